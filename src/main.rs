//! The program: reads its configuration, and does what it was started for.

use std::io::{self, Write as _};
use std::process::ExitCode;

use mailfly::config::{self, Error, Machine, Plan, Purpose, Settings};

fn main() -> ExitCode {
    let machine = Machine::look();
    match config::read(std::env::args_os(), std::env::vars_os(), &machine) {
        Ok(request) => match request.purpose {
            Purpose::Serve => serve(&request.settings),
            Purpose::Check => printed(check(&request.settings)),
            Purpose::Plan => printed(write!(io::stdout(), "{}", Plan::of(&request.settings))),
        },
        Err(error) => told(&error),
    }
}

/// Serves until told to stop.
///
/// To come: `sys::memory::prefault_program::<STACK_TOUCHED_BYTES>()`, then
/// `sys::memory::settle_heap(Plan::heap_bytes(settings), HEAP_TOP_PAD_BYTES)`, then
/// `mailfly::server`.
fn serve(_settings: &Settings) -> ExitCode {
    printed(writeln!(io::stderr(), "mailfly: to come"));
    ExitCode::FAILURE
}

fn check(settings: &Settings) -> io::Result<()> {
    let toml = settings.to_toml().map_err(io::Error::other)?;
    write!(io::stdout(), "{toml}")
}

fn told(error: &Error) -> ExitCode {
    // Whether or not anybody reads the message, the code is the error's.
    let _ = error.report();
    error.exit_code()
}

/// What was asked for was to print something: if nobody reads it, that failed.
fn printed(result: io::Result<()>) -> ExitCode {
    match result.and_then(|()| io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
