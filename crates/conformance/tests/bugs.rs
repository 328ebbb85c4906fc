//! The bugs that `make bugs` puts in on purpose still fit the code that they are put into: a change of that code takes
//! their patches along, in the same commit.

use std::fs;
use std::path::Path;

#[test]
fn every_bug_can_be_put_in() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = fs::read_dir(here.join("bugs")).unwrap().map(|entry| entry.unwrap().path());
    let patches: Vec<_> = patches.filter(|path| path.extension().is_some_and(|it| it == "patch")).collect();
    assert_eq!(patches.len(), 5);
    for path in patches {
        let (mut source, mut hunk) = (String::new(), String::new());
        let fits = |source: &str, hunk: &str| {
            let found = source.matches(hunk).count();
            assert!(hunk.is_empty() || found == 1, "{}: found {found} times:\n{hunk}", path.display());
        };
        for line in fs::read_to_string(&path).unwrap().lines().chain(["@@"]) {
            if line.starts_with("@@") || line.starts_with("--- ") {
                fits(&source, &std::mem::take(&mut hunk));
            }
            if let Some(file) = line.strip_prefix("--- a/") {
                source = fs::read_to_string(here.join("../..").join(file)).unwrap();
            } else if let Some(before) = line.strip_prefix([' ', '-']).filter(|_| !line.starts_with("--- ")) {
                hunk.push_str(before);
                hunk.push('\n');
            }
        }
    }
}
