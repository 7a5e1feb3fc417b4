//! The secrets that the operator names, read when the server starts and when it is told to read them
//! again. Not here: what a secret is, or what it opens (`http`).

use std::io;
use std::path::Path;

use super::StartError;
use crate::config::named_file;
use crate::http::Secrets;
use crate::http::secret::SecretsError;
use crate::limits::HTTP_SECRETS_FILE_BYTES_MAX;

/// The secrets of a file, read from it now; none without a file.
pub(super) fn load(file: Option<&Path>) -> Result<Secrets, StartError> {
    let Some(path) = file else { return Ok(Secrets::default()) };
    let read = || -> io::Result<Secrets> {
        let text = named_file::read_text(path, HTTP_SECRETS_FILE_BYTES_MAX)?;
        text.parse().map_err(|error: SecretsError| io::Error::other(error))
    };
    read().map_err(|error| StartError::Secrets(path.to_owned(), error))
}
