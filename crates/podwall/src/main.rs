//! The program `podwall`.

use std::process::ExitCode;

fn main() -> ExitCode {
    podwall::run()
}
