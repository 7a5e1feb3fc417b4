//! The configuration file: TOML, its keys the flags' names. And the file of words that it may name.

use std::path::Path;

use super::keys::nearest;
use super::{Error, Keys, named_file};
use crate::guard::Words;
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Reads the file.
///
/// # Errors
/// It cannot be read, or is not understood.
pub(super) fn read(path: &Path) -> Result<Keys, Error> {
    parse(&text(path)?).map_err(|reason| Error::File { path: path.to_owned(), reason })
}

/// Reads a list of words, and makes sure that it is one.
///
/// # Errors
/// It cannot be read, or is none.
pub(super) fn read_words(path: &Path) -> Result<String, Error> {
    let text = text(path)?;
    match Words::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Error::File { path: path.to_owned(), reason: error.to_string() }),
    }
}

fn text(path: &Path) -> Result<String, Error> {
    named_file::read_text(path, CONFIG_FILE_BYTES_MAX)
        .map_err(|error| Error::Unreadable { path: path.to_owned(), error })
}

impl Keys {
    /// The keys of a configuration file, which is TOML.
    ///
    /// # Errors
    /// Where it is not understood and why, for people to read.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        parse(text)
    }
}

pub(super) fn parse(text: &str) -> Result<Keys, String> {
    toml::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.trim_end();
        match text.parse::<toml::Table>().ok().and_then(|table| unknown(&table)) {
            Some(hint) => format!("{reason}\n{hint}"),
            None => reason.to_owned(),
        }
    })
}

fn unknown(table: &toml::Table) -> Option<String> {
    let name = table.keys().find(|name| !Keys::NAMES.contains(&name.as_str()))?;
    Some(format!("`{name}` is no key of mailfly; `{}` is", nearest(name, Keys::NAMES)))
}
