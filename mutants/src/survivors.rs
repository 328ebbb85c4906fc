//! What is known to survive, and why that is well: `mutants/survivors`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::mutant::Mutant;

/// The survivors that are not known to survive, or more often than is known.
pub fn unknown<'a>(known: &Path, survivors: &[&'a Mutant]) -> Result<Vec<&'a Mutant>> {
    let text = fs::read_to_string(known).with_context(|| known.display().to_string())?;
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        *known.entry(line).or_default() += 1;
    }
    let mut unknown = Vec::new();
    for mutant in survivors {
        match known.get_mut(mutant.title().as_str()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => unknown.push(*mutant),
        }
    }
    for (title, _) in known.into_iter().filter(|(_, count)| *count > 0) {
        println!("noticed now, or gone: take it from the list: {title}");
    }
    Ok(unknown)
}
