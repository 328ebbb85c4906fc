//! The help of every command has examples that the command line takes, and colours are for terminals alone.

use std::path::Path;
use std::process::{Command, Stdio};

use podwall::reference::{definition, each, name};

/// The lines of examples, each without what a shell would do with it.
fn examples(help: &str) -> Vec<Vec<String>> {
    let below = help.split_once("Examples:\n").map(|(_, below)| below).unwrap_or_default();
    let lines = below.lines().take_while(|line| line.starts_with("  "));
    let commands = lines.flat_map(|line| line.split(['|', '>', '<', '(', ')']).flat_map(|it| it.split("&&")));
    let words = commands.map(|it| it.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    // One of them runs in a pod.
    let ours = words.filter_map(|words| {
        let start = words.iter().position(|word| word == "podwall")?;
        Some(words[start..].to_vec())
    });
    ours.collect()
}

#[test]
fn every_command_has_examples_that_it_takes() {
    each(&mut definition(), &mut |command| {
        let name = name(command);
        // Unwrapped, as it was written.
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples(&help);
        let own = examples.iter().filter(|words| words.join(" ").starts_with(&name)).count();
        assert!(own > 0, "no example of {name}:\n{help}");
        for words in examples {
            if let Err(error) = podwall::command().try_get_matches_from(&words) {
                panic!("{name} has the example {words:?}, which is not taken: {error}");
            }
        }
    });
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Standard output and standard error of a program, run in the root of the repository.
fn printed(program: &mut Command) -> String {
    let output = program.current_dir(root()).stdin(Stdio::null()).output().unwrap();
    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
}

fn is_coloured(text: &str) -> bool {
    text.contains('\u{1b}')
}

/// Commands that print what they found, and the last a mistake.
const COMMANDS: [&[&str]; 9] = [
    &["explain", "--help"],
    &["explain", "production/web-0", "production/database-0", "-f", "examples/three-tier"],
    &["check", "-f", "examples/three-tier"],
    &["diff", "examples/three-tier/app.yaml", "examples/three-tier"],
    &["test", "integration/scenarios/three-tier/expect.yaml", "-f", "examples/three-tier"],
    &["map", "-f", "examples/three-tier", "--format", "dot"],
    &["compile", "-f", "examples/three-tier"],
    &["lab", "run", "--step", "examples/three-tier", "--probe", "TCP/80", "--timeout", "100"],
    &["explain", "--no-such-option"],
];

#[test]
fn no_colours_where_nobody_looks_or_wants_them() {
    let podwall = env!("CARGO_BIN_EXE_podwall");
    for arguments in COMMANDS {
        let text = printed(Command::new(podwall).args(arguments).env_remove("NO_COLOR").env("TERM", "xterm"));
        assert!(!text.is_empty() && !is_coloured(&text), "{arguments:?}: {text:?}");
        let text = on_terminal(arguments, true);
        assert!(!text.is_empty() && !is_coloured(&text), "{arguments:?} with NO_COLOR: {text:?}");
    }
    assert!(is_coloured(&on_terminal(COMMANDS[0], false)), "help on a terminal has colours");
    assert!(is_coloured(&on_terminal(COMMANDS[7], false)), "the lab on a terminal has colours");
}

/// The same with a terminal, which `script` makes.
fn on_terminal(arguments: &[&str], no_color: bool) -> String {
    let line = [&[env!("CARGO_BIN_EXE_podwall")], arguments].concat().join(" ");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    match no_color {
        true => script.env("NO_COLOR", "1"),
        false => script.env_remove("NO_COLOR"),
    };
    printed(&mut script)
}
