//! The program: reads its configuration, and does what it was started for.

use std::io::{self, Write as _};
use std::process::ExitCode;

use mailfly::config::{self, Error, Machine, Plan, Purpose, Settings};
use mailfly::server::Server;

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
