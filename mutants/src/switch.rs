
/// Whether this mutant is the one that `MUTANT` names. Where `REACHED` names a file, it says there that it was asked.
#[inline]
pub(crate) fn mutant(id: u32) -> bool {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    static ACTIVE: AtomicU32 = AtomicU32::new(u32::MAX);
    static RECORDS: AtomicBool = AtomicBool::new(false);
    static REACHED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
    #[cold]
    fn begin() -> u32 {
        let active = std::env::var("MUTANT").map_or(0, |text| text.parse().expect("MUTANT is a number"));
        RECORDS.store(std::env::var_os("REACHED").is_some(), Ordering::Relaxed);
        ACTIVE.store(active, Ordering::Relaxed);
        active
    }
    #[cold]
    fn record(id: u32) {
        use std::io::Write as _;
        let path = std::env::var_os("REACHED").expect("asked for");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a file to append to");
        file.write_all(format!("{id}\n").as_bytes()).expect("it is written");
    }
    let mut active = ACTIVE.load(Ordering::Relaxed);
    if active == u32::MAX {
        active = begin();
    }
    if RECORDS.load(Ordering::Relaxed) && !REACHED[id as usize].swap(true, Ordering::Relaxed) {
        record(id);
    }
    active == id
}
