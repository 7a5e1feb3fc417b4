//! A file that holds secrets, as it is named: the secrets themselves are in no flag, which every
//! user of the machine can read, and in nothing that `--check` prints.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The path of a file of secrets, or `none`. (A file of that name is `./none`.)
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretFile(Option<PathBuf>);

impl SecretFile {
    /// The path; `None` if no secret is needed.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

/// A text names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretFileError;

impl fmt::Display for SecretFileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the path of a file is needed, or none")
    }
}

impl std::error::Error for SecretFileError {}

impl FromStr for SecretFile {
    type Err = SecretFileError;

    fn from_str(text: &str) -> Result<Self, SecretFileError> {
        match text {
            "none" => Ok(Self(None)),
            _ if text.is_empty() || text.contains('\0') => Err(SecretFileError),
            _ => Ok(Self(Some(text.into()))),
        }
    }
}

impl TryFrom<String> for SecretFile {
    type Error = SecretFileError;

    fn try_from(text: String) -> Result<Self, SecretFileError> {
        text.parse()
    }
}

impl fmt::Display for SecretFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => path.display().fmt(formatter),
            None => formatter.write_str("none"),
        }
    }
}

impl From<SecretFile> for String {
    fn from(file: SecretFile) -> Self {
        file.to_string()
    }
}
