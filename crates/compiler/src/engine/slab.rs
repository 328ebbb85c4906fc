//! Values under small numbers, which are used again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Values by number.
#[derive(Debug, Clone)]
pub struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Adds a value under a number that is not in use.
    pub fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(id) => {
                self.values[id as usize] = Some(value);
                id
            }
            None => {
                self.values.push(Some(value));
                u32::try_from(self.values.len() - 1).expect("fewer than four billion objects")
            }
        }
    }

    /// Removes the value of a number that is in use.
    pub fn remove(&mut self, id: u32) -> T {
        self.free.push(id);
        self.values[id as usize].take().expect("the number is in use")
    }

    /// The value of a number that is in use.
    pub fn get(&self, id: u32) -> &T {
        self.values[id as usize].as_ref().expect("the number is in use")
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: u32) -> &mut T {
        self.values[id as usize].as_mut().expect("the number is in use")
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.values).filter_map(|(id, value)| Some((id, value.as_ref()?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }
}

/// Values that many hold: each is kept once, for as long as somebody holds it.
#[derive(Debug)]
pub struct Pool<T: ?Sized> {
    values: Slab<(Arc<T>, u32)>,
    ids: HashMap<Arc<T>, u32>,
}

impl<T: ?Sized + Eq + Hash> Default for Pool<T> {
    fn default() -> Self {
        Self { values: Slab::default(), ids: HashMap::new() }
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    /// The number of a value, which is held from now on.
    pub fn hold(&mut self, value: &T) -> u32
    where
        for<'a> Arc<T>: From<&'a T>,
    {
        if let Some(id) = self.ids.get(value) {
            self.values.get_mut(*id).1 += 1;
            return *id;
        }
        let value: Arc<T> = value.into();
        let id = self.values.insert((value.clone(), 1));
        self.ids.insert(value, id);
        id
    }

    /// Holds a value no longer.
    pub fn release(&mut self, id: u32) {
        let (_, holders) = self.values.get_mut(id);
        *holders -= 1;
        if *holders == 0 {
            let (value, _) = self.values.remove(id);
            self.ids.remove(&value);
        }
    }

    /// The value of a number that is held.
    pub fn get(&self, id: u32) -> &Arc<T> {
        &self.values.get(id).0
    }
}
