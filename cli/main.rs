//! The program `grail`; `grail --help` says what it does.
//!
//! Exit codes: 0 done, 1 failure, 2 usage, 3 rejected, 4 hung.

use std::process::ExitCode;

fn main() -> ExitCode {
    grail::commands::main(std::env::args_os())
}
