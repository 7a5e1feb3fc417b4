//! The certificate and key that the operator names, read when the server starts and when it is told
//! to read them again; without, one that is made. Not here: how they are used (`tls`).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Settings, named_file};
use crate::limits::TLS_FILE_BYTES_MAX;
use crate::tls::{Identity, IdentityError};

/// Why there is no certificate.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// What is in the files is not understood, or does not belong together.
    Identity(IdentityError),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Identity(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for CertificateError {}

/// The identity that settings name, read from its files now, or one that was made for the hostname.
pub(super) fn load(settings: &Settings) -> Result<Identity, CertificateError> {
    let identity = match (&settings.tls_certificate, &settings.tls_key) {
        (Some(certificate), key) => {
            let key = key.as_ref().unwrap_or(certificate);
            Identity::from_pem(&read(certificate)?, &read(key)?)
        }
        (None, _) => Identity::self_signed(settings.hostname.as_str()),
    };
    identity.map_err(CertificateError::Identity)
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    named_file::read(path, TLS_FILE_BYTES_MAX)
        .map_err(|error| CertificateError::Unreadable(path.to_owned(), error))
}
