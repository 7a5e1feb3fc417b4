//! What the operator may choose: flags over environment over a file over defaults.
//!
//! What was typed is [`Keys`], where every key may be missing, and [`Arguments`], which adds what
//! only a command line has. What is meant is [`Settings`], where nothing is missing and nothing
//! contradicts anything else.
//!
//! ```text
//! command line ─ Arguments ┐
//! MAILFLY_…  ─────── Keys ─┼─ Keys ── Settings::resolve(…, Machine) ── Settings
//! TOML file  ─────── Keys ─┘
//! ```
//!
//! Nothing here reads the command line, the environment or the system by itself: they are
//! arguments of [`read`], so that tests can make them up.

mod arguments;
mod environment;
mod error;
mod file;
mod file_key;
mod keys;
mod machine;
pub mod named_file;
mod network_key;
mod rules;
mod settings;
mod units;
mod user;

use std::ffi::OsString;

use clap::Parser as _;

pub use arguments::Arguments;
pub use error::{Error, Impossible};
pub use file_key::{FileKey, FileKeyError};
pub use keys::{Keys, Naming as NamingKey, Policy as PolicyKey};
pub use machine::Machine;
pub use network_key::NetworkKey;
pub use rules::{RuleKey, RuleKeyError};
pub use settings::Settings;
pub(crate) use units::rounded;
pub use units::{Size, SizeError, TimeToLive, TimeToLiveError};
pub use user::User;

/// What the program was started for, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub purpose: Purpose,
    /// With what.
    pub settings: Settings,
}

/// What the program was started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve.
    Serve,
    /// `--check`: to print the settings.
    Check,
    /// `--plan`: to print the memory that they take.
    Plan,
}

/// Reads the configuration: flags over environment over the file that either names over defaults.
///
/// Whether the machine has the memory is another question: see [`Machine::holds`].
///
/// # Errors
/// Something was not understood, or cannot be had; also [`Error::Arguments`] for `--help` and
/// `--version`, which are not faults, but end the program too.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    machine: &Machine,
) -> Result<Request, Error> {
    let arguments = Arguments::try_parse_from(arguments)?;
    let environment = environment::read(environment)?;
    let purpose = arguments.purpose();
    let file = match arguments.config.or(environment.config) {
        Some(path) => file::read(&path)?,
        None => Keys::default(),
    };
    let keys = arguments.keys.over(environment.keys).over(file);
    let mut settings = Settings::resolve(keys, machine)?;
    if let Some(path) = &settings.words_file {
        settings.words = file::read_words(path)?;
    }
    Ok(Request { purpose, settings })
}
