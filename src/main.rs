//! The program: reads its configuration, and does what it was started for.

use std::io::{self, Write as _};
use std::process::ExitCode;

use mailfly::config::{self, Error, Machine, Purpose, Request, Settings};
use mailfly::server::{Plan, Server};

fn main() -> ExitCode {
    let machine = Machine::look();
    match config::read(std::env::args_os(), std::env::vars_os(), &machine) {
        Ok(request) => fulfil(&request, &machine),
        Err(error) => told(&error),
    }
}

/// That the memory can be had is only asked where it will be, or would be, taken: `--plan` also
/// answers for another machine than this.
fn fulfil(Request { purpose, settings }: &Request, machine: &Machine) -> ExitCode {
    let plan = Plan::of(settings);
    match (purpose, machine.holds(plan.total_bytes())) {
        (Purpose::Plan, _) => printed(write!(io::stdout(), "{plan}")),
        (_, Err(impossible)) => told(&impossible.into()),
        (Purpose::Check, Ok(())) => printed(check(settings)),
        (Purpose::Serve, Ok(())) => serve(settings),
    }
}

/// Serves until told to stop. What cannot be had is said before anything listens.
fn serve(settings: &Settings) -> ExitCode {
    let served = Server::start(settings)
        .map_err(|error| error.to_string())
        .and_then(|server| server.run(io::stdout()).map_err(|error| error.to_string()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether or not anybody reads the message, the code tells.
            let _ = writeln!(io::stderr(), "mailfly: {error}");
            ExitCode::FAILURE
        }
    }
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
