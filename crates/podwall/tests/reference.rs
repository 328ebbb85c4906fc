//! `docs/cli.md` says what the program takes. UPDATE=1 writes it.

use std::{env, fs};

#[test]
fn the_reference_is_what_help_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let text = podwall::reference::reference();
    if env::var_os("UPDATE").is_some() {
        fs::write(path, &text).expect("docs/cli.md can be written");
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == text, "docs/cli.md is stale: make reference");
    for command in podwall::command().get_subcommands() {
        assert!(text.contains(&format!("\n## podwall {}\n", command.get_name())), "{}", command.get_name());
    }
}
