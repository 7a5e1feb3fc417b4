//! The configuration: a file, a command line and an environment, of which nothing is ever opened.

use std::ffi::OsString;

use mailfly::config::{self, Keys, Machine, Settings};
use mailfly::smtp::hostname::Hostname;

/// The input is text in lines: those before a line `-` are a file, those up to the next one are
/// arguments, and the rest are variables of the environment with `MAILFLY_` left out.
pub fn holds(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let mut sections = text.split("\n-\n");
    let (file, arguments, variables) = (
        sections.next().unwrap_or(""),
        sections.next().unwrap_or(""),
        sections.next().unwrap_or(""),
    );
    let machine = Machine { hostname: Hostname::localhost(), descriptors: 4096, available: None };
    if let Ok(keys) = Keys::from_toml(file) {
        comes_back(keys, &machine);
    }
    // No file is read, since it might be any.
    let arguments = arguments.lines().filter(|argument| !argument.starts_with("--config"));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.filter(|(name, _)| *name != "CONFIG");
    let request = config::read(
        ["mailfly"].into_iter().chain(arguments).map(OsString::from),
        variables.map(|(name, value)| (format!("MAILFLY_{name}").into(), value.into())),
        &machine,
    );
    match request {
        Ok(request) => comes_back(request.settings.keys(), &machine),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What can be had can be written as a file, and read as the same again.
fn comes_back(keys: Keys, machine: &Machine) {
    match Settings::resolve(keys, machine) {
        Ok(settings) => {
            let file = settings.to_toml().expect("settings can be written");
            let keys = Keys::from_toml(&file).expect("what was written can be read");
            assert_eq!(Settings::resolve(keys, machine), Ok(settings), "{file}");
        }
        Err(impossible) => assert!(!impossible.to_string().is_empty()),
    }
}
