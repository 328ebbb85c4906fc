//! The sessions in `docs/tutorial.md` and `README.md` are what the commands print, run in `examples/tutorial`. UPDATE=1
//! writes what they print now.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Longer lines are wrapped, deeper by so much.
const WIDTH: usize = 120;
const DEEPER: usize = 4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a command line prints, wrapped.
fn session(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_podwall"))
        .args(&words)
        .current_dir(root().join("examples/tutorial"))
        .output()
        .expect("the program runs");
    // Both outputs: what is wrong with manifests is said on standard error.
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.code().is_some_and(|code| code < 2), "{line}: {text}");
    text.lines().map(|line| wrapped(line) + "\n").collect()
}

fn wrapped(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let mut lines = vec![" ".repeat(indent)];
    for word in line.split_whitespace() {
        let last = lines.last_mut().expect("there is one");
        let is_first = last.trim().is_empty();
        if !is_first && last.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{}{word}", " ".repeat(indent + DEEPER)));
        } else {
            last.push_str(if is_first { "" } else { " " });
            last.push_str(word);
        }
    }
    // Two blanks between a verdict and its connection are part of it.
    if lines.len() == 1 { line.to_owned() } else { lines.join("\n") }
}

/// The page with what the commands of its sessions print; and how many there are.
fn rerun(page: &str) -> (String, usize) {
    let (mut text, mut commands) = (String::new(), 0);
    for (index, part) in page.split("```").enumerate() {
        if index > 0 {
            text.push_str("```");
        }
        // Every other part is between fences; those of examples of the lab have no input here.
        if index % 2 == 0 || !part.starts_with("\n$ podwall ") || part.contains("$ podwall lab ") {
            text.push_str(part);
            continue;
        }
        let lines: Vec<&str> = part.lines().filter(|line| line.starts_with("$ podwall ")).collect();
        commands += lines.len();
        let sessions = lines.iter().map(|line| format!("{line}\n{}", session(&line[2..])));
        text.push('\n');
        text.push_str(&sessions.collect::<Vec<_>>().join("\n"));
    }
    (text, commands)
}

#[test]
fn sessions_are_what_the_commands_print() {
    for (page, at_least) in [("docs/tutorial.md", 7), ("README.md", 4)] {
        let path = root().join(page);
        let written = fs::read_to_string(&path).unwrap();
        let (text, commands) = rerun(&written);
        assert!(commands >= at_least, "{page} has {commands} commands");
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        } else {
            let differing = written.lines().zip(text.lines()).find(|(was, is)| was != is);
            assert!(written == text, "{page} is stale: make reference\n{differing:#?}");
        }
    }
}

#[test]
fn what_is_mended_holds_and_what_is_broken_does_not() {
    let test = |policies: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podwall"));
        command.args(["test", "expect.yaml", "-f", "app.yaml", "-f", policies]);
        command.current_dir(root().join("examples/tutorial")).output().unwrap().status.code()
    };
    assert_eq!((test("broken.yaml"), test("mended.yaml")), (Some(1), Some(0)));
}
