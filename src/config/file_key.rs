//! A key that names a file, or none: certificates, secrets, words. What is in the file is in no flag,
//! which every user of the machine can read, and in nothing that `--check` prints. Not here: reading
//! it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The path of a file, or `none`. (A file of that name is `./none`.)
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileKey(Option<PathBuf>);

impl FileKey {
    /// The path, if there is to be a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    pub(super) fn of(path: Option<&Path>) -> Self {
        Self(path.map(Path::to_owned))
    }
}

/// A text names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileKeyError;

impl fmt::Display for FileKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the path of a file is needed, or none")
    }
}

impl std::error::Error for FileKeyError {}

impl FromStr for FileKey {
    type Err = FileKeyError;

    fn from_str(text: &str) -> Result<Self, FileKeyError> {
        match text {
            "none" => Ok(Self(None)),
            _ if text.is_empty() || text.contains('\0') => Err(FileKeyError),
            _ => Ok(Self(Some(text.into()))),
        }
    }
}

impl TryFrom<String> for FileKey {
    type Error = FileKeyError;

    fn try_from(text: String) -> Result<Self, FileKeyError> {
        text.parse()
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => path.display().fmt(formatter),
            None => formatter.write_str("none"),
        }
    }
}

impl From<FileKey> for String {
    fn from(file: FileKey) -> Self {
        file.to_string()
    }
}
