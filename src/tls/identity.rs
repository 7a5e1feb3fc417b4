//! Whom a peer is told it talks to: a certificate chain and its key, and how TLS is spoken with them.
//! Not here: files, and when they are read again.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;

use crate::limits::TLS_CHAIN_BYTES_MAX;

/// A certificate chain and its key, ready to be used by any number of connections.
#[derive(Clone, Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
}

/// Why there is no identity.
#[derive(Debug)]
pub enum IdentityError {
    /// The first text is no certificates in PEM, or has none.
    Certificate,
    /// The certificates are longer than [`TLS_CHAIN_BYTES_MAX`].
    TooLong,
    /// The second text has no private key in PEM.
    Key,
    /// The two do not belong together, or are of a kind that is not known.
    Pair(rustls::Error),
    /// A certificate cannot be made.
    SelfSigned(rcgen::Error),
}

impl Identity {
    /// From PEM (RFC 7468): a chain of certificates, the server's own first, and its key in PKCS #8,
    /// PKCS #1 or SEC1.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| IdentityError::Certificate)?;
        if chain.is_empty() {
            return Err(IdentityError::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityError::Key)?;
        Self::new(chain, key)
    }

    /// A fresh key, and a certificate for this name that nobody but itself vouches for.
    ///
    /// # Errors
    /// [`IdentityError::SelfSigned`]: the system has no random bytes.
    pub fn self_signed(hostname: &str) -> Result<Self, IdentityError> {
        let made = |names: Vec<String>| rcgen::generate_simple_self_signed(names);
        // Not everything that SMTP takes for a hostname is a name to X.509.
        let pair = made(vec![hostname.to_owned()])
            .or_else(|_| made(vec!["localhost".to_owned()]))
            .map_err(IdentityError::SelfSigned)?;
        let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
        Self::new(vec![pair.cert.der().clone()], key.into())
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > TLS_CHAIN_BYTES_MAX {
            return Err(IdentityError::TooLong);
        }
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(IdentityError::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(IdentityError::Pair)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config) })
    }

    pub(super) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate => formatter.write_str("no certificates in PEM"),
            Self::TooLong => {
                write!(formatter, "the certificates are longer than {TLS_CHAIN_BYTES_MAX} bytes")
            }
            Self::Key => formatter.write_str("no private key in PEM"),
            Self::Pair(error) => write!(formatter, "certificate and key: {error}"),
            Self::SelfSigned(error) => write!(formatter, "no certificate can be made: {error}"),
        }
    }
}

impl std::error::Error for IdentityError {}
