//! What whoever operates a node sees of an agent: how it starts, stops, is replaced and refused, what it says, to whom,
//! and what it does not repeat of what others wrote.
//!
//! `cargo test --test agent_operation -- status` runs those whose names contain `status`.

mod refusals;
mod restarts;

use std::path::Path;
use std::process::ExitCode;

use podwall_integration::Suite;

fn main() -> ExitCode {
    Suite::main(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-operation"), |suite| {
        suite.test("a restart without a change writes nothing", restarts::without_change);
        suite.test("a stop leaves the rules in force", restarts::stop);
        suite.test("the layout of another version is replaced at once", restarts::from_another_version);
        suite.test("a second agent is refused", refusals::second_agent);
        suite.test("IPVS is refused", refusals::ipvs);
        suite.test("another enforcer is named while it is there", refusals::another_enforcer);
        Ok(())
    })
}
