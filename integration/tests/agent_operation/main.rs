//! What whoever operates a node sees of an agent: how it starts, stops, is replaced and refused, what it says, to whom,
//! and what it does not repeat of what others wrote.
//!
//! `cargo test --test agent_operation -- status` runs those whose names contain `status`.

mod asked;
mod flows;
mod force_deleted;
mod hostile;
mod planted;
mod refusals;
mod restarts;
mod served;

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
        suite.test("a pod deleted by force stays closed, routed", force_deleted::routed);
        suite.test("a pod deleted by force stays closed, bridged", force_deleted::bridged);
        suite.test("a pod deleted by force stays closed, restarted", force_deleted::restarted);
        suite.test("health before and after the first list", served::health);
        suite.test("status is root's and says what is enforced", served::status);
        suite.test("what is served is on loopback", served::loopback);
        suite.test("a node is asked what it holds of an answer", asked::here);
        suite.test("the doctor sees a node and its API server", asked::doctor);
        suite.test("a policy that cannot be honoured has an Event", planted::event);
        suite.test("flows that are denied are reported", flows::denied);
        suite.test("a policy in audit mode reports", flows::audit);
        suite.test("flows are not reported when that is off", flows::off);
        suite.test("hostile objects say nothing in our name", hostile::run);
        Ok(())
    })
}
