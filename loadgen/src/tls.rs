//! A connection's encryption, between its socket and what is said: rustls's client, which trusts any
//! certificate. A load generator proves nothing about who answers, and test servers sign for
//! themselves. Not here: when a connection is encrypted (`connection`).

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

/// How all connections of a run are encrypted.
#[derive(Debug)]
pub(crate) struct Encryption {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

/// One connection's.
#[derive(Debug)]
pub(crate) struct Tls {
    client: Box<ClientConnection>,
}

impl Encryption {
    /// # Errors
    /// The cryptography has no version of TLS, which it has.
    pub(crate) fn new(server: std::net::IpAddr) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        // Every handshake is a whole one, whatever the server would remember.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), server: ServerName::IpAddress(server.into()) })
    }

    /// Begins on a connection.
    ///
    /// # Errors
    /// There are no random bytes.
    pub(crate) fn begin(&self) -> Result<Tls, rustls::Error> {
        let client = ClientConnection::new(Arc::clone(&self.config), self.server.clone())?;
        Ok(Tls { client: Box::new(client) })
    }

    /// What a client says first.
    ///
    /// # Errors
    /// There are no random bytes.
    pub(crate) fn hello(&self) -> io::Result<Vec<u8>> {
        let mut tls = self.begin().map_err(io::Error::other)?;
        let mut hello = Vec::new();
        tls.client.write_tls(&mut hello)?;
        Ok(hello)
    }
}

impl Tls {
    /// Whether nothing can be said yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.client.is_handshaking()
    }

    /// Whether something was said that has not left.
    pub(crate) fn wants_write(&self) -> bool {
        self.client.wants_write()
    }

    /// What came, in plain: the front of `bytes` is replaced with it. Says how long it is.
    ///
    /// # Errors
    /// It is no TLS, or not what was sent.
    pub(crate) fn open(&mut self, bytes: &mut [u8], length: usize) -> io::Result<usize> {
        let (mut plain, mut done) = (0, 0);
        while done < length {
            let mut rest = &bytes[done..length];
            let before = rest.len();
            self.client.read_tls(&mut rest)?;
            done += before - rest.len();
            self.client.process_new_packets().map_err(io::Error::other)?;
            // What is plain is shorter than what it came from.
            loop {
                match self.client.reader().read(&mut bytes[plain..done]) {
                    Ok(0) => break,
                    Ok(read) => plain += read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(plain)
    }

    /// Says as much of this as fits, and sends what the kernel takes of it: what is left then is sent
    /// by the next call, which may be with nothing.
    ///
    /// # Errors
    /// The connection broke; or [`io::ErrorKind::WouldBlock`], if nothing was taken.
    pub(crate) fn write(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        if self.wants_write() {
            self.flush(stream)?;
        }
        let taken = self.client.writer().write(bytes)?;
        match self.flush(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(taken),
            Err(error) => Err(error),
            Ok(()) => Ok(taken),
        }
    }

    /// Sends what was said.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.wants_write() {
            self.client.write_tls(stream)?;
        }
        Ok(())
    }
}

/// Trusts whomever it talks to; that it is one and the same is still seen to.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
