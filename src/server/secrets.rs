//! The secrets that the operator names, read when the server starts and when it is told to read them
//! again. Not here: what a secret is, or what it opens (`http`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::StartError;
use crate::http::Secrets;
use crate::http::secret::SecretsError;
use crate::limits::HTTP_SECRETS_FILE_BYTES_MAX;

/// The secrets of a file, read from it now; none without a file.
pub(super) fn load(file: Option<&Path>) -> Result<Secrets, StartError> {
    let Some(path) = file else { return Ok(Secrets::default()) };
    let read = || -> io::Result<Secrets> {
        let mut text = String::new();
        let most = HTTP_SECRETS_FILE_BYTES_MAX;
        File::open(path)?.take(most as u64 + 1).read_to_string(&mut text)?;
        if text.len() > most {
            return Err(io::Error::other(format!("{most} bytes are the most")));
        }
        text.parse().map_err(|error: SecretsError| io::Error::other(error))
    };
    read().map_err(|error| StartError::Secrets(path.to_owned(), error))
}
