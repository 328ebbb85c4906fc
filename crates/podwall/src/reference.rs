//! The command line's reference, `docs/cli.md`: what `--help` says, for each command.

use crate::command;

/// Columns of the help.
const WIDTH: usize = 100;

/// The definition with every name complete, without what the environment holds.
pub fn definition() -> clap::Command {
    let mut definition = without_values(command().term_width(WIDTH));
    definition.build();
    definition
}

/// The reference, as Markdown.
pub fn reference() -> String {
    let mut text = "# Command line\n\nWhat `--help` says, written by `make reference`.\n".to_owned();
    each(&mut definition(), &mut |command| {
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        text += &format!("\n## {}\n\n```\n{}\n```\n", name(command), lines.join("\n").trim_end());
    });
    text
}

/// The whole name of a command: `podwall lab run`.
pub fn name(command: &clap::Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).to_owned()
}

/// Visits a command and all below it that are not hidden.
pub fn each(command: &mut clap::Command, visit: &mut impl FnMut(&mut clap::Command)) {
    visit(command);
    for below in command.get_subcommands_mut().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        each(below, visit);
    }
}

fn without_values(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(without_values)
}
