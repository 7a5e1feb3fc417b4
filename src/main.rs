//! The program: reads its configuration, and does what it was started for.

use std::io::{self, Write as _};
use std::process::ExitCode;

use mailfly::config::{self, Error, Machine, Purpose, Request, Settings};
use mailfly::server::{Confinement, ConfinementError, Plan, Server, Surroundings};

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
        (Purpose::Plan, _) => printed(print_plan(&plan, settings)),
        (_, Err(impossible)) => told(&impossible.into()),
        (Purpose::Check, Ok(())) => printed(check(settings)),
        (Purpose::Serve, Ok(())) => serve(settings),
    }
}

/// The memory, and what the process gives up besides.
fn print_plan(plan: &Plan, settings: &Settings) -> io::Result<()> {
    let mut out = io::stdout();
    write!(out, "{plan}")?;
    match Confinement::of(settings) {
        Ok(confinement) => writeln!(out, "\nbefore it serves: {confinement}"),
        Err(error) => writeln!(out, "\nbefore it serves: {error}"),
    }
}

/// Serves until told to stop. What cannot be had is said before anything listens.
fn serve(settings: &Settings) -> ExitCode {
    match try_to_serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether or not anybody reads the message, the code tells.
            let _ = writeln!(io::stderr(), "mailfly: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_serve(settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
    let surroundings = Surroundings::take(|name| std::env::var_os(name))?;
    let confinement = Confinement::of(settings)?;
    confinement.check(settings)?;
    let server = Server::start_in(surroundings, settings)?;
    confine(&confinement)?;
    Ok(server.run(io::stdout())?)
}

/// Everything that the program needs, it has; what it can do without, it gives up.
fn confine(confinement: &Confinement) -> Result<(), ConfinementError> {
    let confined = confinement.enter()?;
    // A log that nobody keeps keeps nobody from serving.
    let _ = writeln!(io::stderr(), "mailfly: confined: {confined}");
    Ok(())
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
