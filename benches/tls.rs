//! The price of TLS at the server's end: a handshake, and what goes through it afterwards. In
//! handshakes, and in plain bytes per second.
//!
//! mailfly's machine holds no bytes between calls, and copies what it opens into the read buffer; the
//! naive twin is rustls's own buffered connection, which keeps vectors for both directions. Timed is
//! the server's part only. TLS 1.3, a key on P-256.

#![allow(clippy::unwrap_used, reason = "what is not as its name says fails the bench")]

mod support;
#[path = "../tests/support/tls.rs"]
mod tls;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use mailfly::limits::{KIB, READ_BUFFER_BYTES};
use mailfly::tls::{Identity, Tls, TlsId};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConnection, ServerConfig, ServerConnection, version};

fn main() {
    let mut criterion = support::criterion();
    handshake(&mut criterion);
    for bytes in [KIB, 64 * KIB] {
        sealed(&mut criterion, bytes);
        opened(&mut criterion, bytes);
    }
    criterion.final_summary();
}

/// One end, as the server has it.
trait Server {
    /// What the client has sent goes in; what is plain of it comes out at its end.
    fn take(&mut self, bytes: &[u8], plain: &mut Vec<u8>);
    /// Says something.
    fn say(&mut self, plain: &[u8]);
    /// What goes to the client.
    fn sends(&mut self, sealed: &mut Vec<u8>);
}

struct Mailfly {
    tls: Tls,
    id: TlsId,
    buffer: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Mailfly {
    fn new(identity: &Identity) -> Self {
        let mut tls = Tls::new(1);
        tls.set_identity(identity.clone());
        let (buffer, outgoing) = (vec![0; READ_BUFFER_BYTES], Vec::with_capacity(128 * KIB));
        let id = tls.begin(0);
        Self { tls, id, buffer, outgoing }
    }

    /// Another peer.
    fn begin(&mut self) {
        self.tls.end(self.id);
        self.id = self.tls.begin(0);
    }
}

impl Server for Mailfly {
    fn take(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let room = self.tls.room(self.id, READ_BUFFER_BYTES);
            let (piece, rest) = bytes.split_at(bytes.len().min(room.len()));
            room[..piece.len()].copy_from_slice(piece);
            bytes = rest;
            let opened = self.tls.open(self.id, piece.len(), &mut self.buffer).unwrap();
            plain.extend_from_slice(&self.buffer[..opened.bytes]);
            self.outgoing.extend_from_slice(self.tls.take_outgoing(self.id));
        }
    }

    fn say(&mut self, mut plain: &[u8]) {
        while !plain.is_empty() {
            let taken = self.tls.seal(self.id, b"", plain).unwrap();
            plain = &plain[taken..];
            self.outgoing.extend_from_slice(self.tls.take_outgoing(self.id));
        }
    }

    fn sends(&mut self, sealed: &mut Vec<u8>) {
        sealed.append(&mut self.outgoing);
    }
}

impl Server for ServerConnection {
    fn take(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) {
        while !bytes.is_empty() {
            self.read_tls(&mut bytes).unwrap();
            self.process_new_packets().unwrap();
            // Nothing yet is no end.
            let _ = self.reader().read_to_end(plain);
        }
    }

    fn say(&mut self, plain: &[u8]) {
        self.writer().write_all(plain).unwrap();
    }

    fn sends(&mut self, sealed: &mut Vec<u8>) {
        while self.wants_write() {
            self.write_tls(sealed).unwrap();
        }
    }
}

fn identity() -> Identity {
    Identity::self_signed("mail.test").unwrap()
}

/// The same kind of key and certificate, and as little kept of peers.
fn config() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["mail.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

/// Shakes hands; how long the server took for its part.
fn shake(server: &mut impl Server, client: &mut ClientConnection) -> Duration {
    let mut took = Duration::ZERO;
    let (mut hello, mut plain, mut answer) = (vec![], vec![], vec![]);
    while client.is_handshaking() || client.wants_write() {
        hello.clear();
        while client.wants_write() {
            client.write_tls(&mut hello).unwrap();
        }
        answer.clear();
        let started = Instant::now();
        server.take(&hello, &mut plain);
        server.sends(&mut answer);
        took += started.elapsed();
        hears(client, &answer);
    }
    took
}

fn hears(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plain = vec![];
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        let _ = client.reader().read_to_end(&mut plain);
    }
    plain
}

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls/handshake");
    group.throughput(Throughput::Elements(1));
    let mut mailfly = Mailfly::new(&identity());
    group.bench_function("mailfly", |bencher| {
        bencher.iter_custom(|times| {
            let peers = 0..times;
            let shaken = peers.map(|_| {
                let mut client = tls::connection(&version::TLS13);
                let started = Instant::now();
                mailfly.begin();
                started.elapsed() + shake(&mut mailfly, &mut client)
            });
            shaken.sum()
        });
    });
    let config = config();
    group.bench_function("rustls, buffered", |bencher| {
        bencher.iter_custom(|times| {
            let peers = 0..times;
            let shaken = peers.map(|_| {
                let mut client = tls::connection(&version::TLS13);
                let started = Instant::now();
                let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
                started.elapsed() + shake(&mut server, &mut client)
            });
            shaken.sum()
        });
    });
}

/// Both servers, each with a client that it has shaken hands with.
fn connected() -> [(&'static str, Box<dyn Server>, ClientConnection); 2] {
    let [mut first, mut second] = [(); 2].map(|()| tls::connection(&version::TLS13));
    let mut mailfly = Mailfly::new(&identity());
    shake(&mut mailfly, &mut first);
    let mut rustls = ServerConnection::new(config()).unwrap();
    shake(&mut rustls, &mut second);
    // Long messages at once.
    rustls.set_buffer_limit(None);
    first.set_buffer_limit(None);
    second.set_buffer_limit(None);
    [("mailfly", Box::new(mailfly), first), ("rustls, buffered", Box::new(rustls), second)]
}

fn sealed(criterion: &mut Criterion, bytes: usize) {
    let message = support::message(bytes);
    let mut group = criterion.benchmark_group("tls/seal");
    group.throughput(Throughput::Bytes(bytes as u64));
    for (name, mut server, mut client) in connected() {
        let mut sealed = Vec::with_capacity(2 * bytes + KIB);
        group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
            bencher.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    sealed.clear();
                    let started = Instant::now();
                    server.say(&message);
                    server.sends(&mut sealed);
                    took += started.elapsed();
                    assert!(hears(&mut client, &sealed) == message, "it is understood");
                }
                took
            });
        });
    }
}

fn opened(criterion: &mut Criterion, bytes: usize) {
    let message = support::message(bytes);
    let mut group = criterion.benchmark_group("tls/open");
    group.throughput(Throughput::Bytes(bytes as u64));
    for (name, mut server, mut client) in connected() {
        let (mut sealed, mut plain) = (vec![], Vec::with_capacity(2 * bytes));
        group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
            bencher.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    sealed.clear();
                    plain.clear();
                    client.writer().write_all(&message).unwrap();
                    while client.wants_write() {
                        client.write_tls(&mut sealed).unwrap();
                    }
                    let started = Instant::now();
                    server.take(&sealed, &mut plain);
                    took += started.elapsed();
                    assert!(plain == message, "it is understood");
                }
                took
            });
        });
    }
}
