//! TLS between a client and the server, for real: rustls at the client's end, the server's own machine
//! at the other, and what goes over the wire is cut, delayed and lost like everything else. rustls has
//! its randomness from the system, so that the bytes differ from run to run; how many there are does
//! not (the key is Ed25519, whose signatures are all of a length), and nothing else is looked at. So a
//! seed stays a history.

use std::io::{Read as _, Write as _};
use std::sync::LazyLock;

use mailfly::limits::READ_BUFFER_BYTES;
use mailfly::tls::{Broken, Identity, Opened, Tls, TlsId};
use rustls::{ClientConnection, version};

use crate::random::Random;
use crate::tls;
use crate::wire::{Received, Wire};

/// Nobody's.
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIBZulcpBa6yTH0ZTGoEHUAFlzdS0D4L8Lwo06c+lC0Z8
-----END PRIVATE KEY-----
";
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBPjCB8aADAgECAhRdh33A2G6nEj6jvwuJXVv4KajfxDAFBgMrZXAwFDESMBAG
A1UEAwwJbWFpbC50ZXN0MCAXDTI2MTEyMzE1NTgwMVoYDzIxMjYxMDMwMTU1ODAx
WjAUMRIwEAYDVQQDDAltYWlsLnRlc3QwKjAFBgMrZXADIQA+3RvJh82uXb3umQpE
oNUZsQMWZFzzKJRpysG+pjKnwKNTMFEwHQYDVR0OBBYEFBRjIKzb44YPlkEBnUxu
smL1F6adMB8GA1UdIwQYMBaAFBRjIKzb44YPlkEBnUxusmL1F6adMA8GA1UdEwEB
/wQFMAMBAf8wBQYDK2VwA0EAapXkFNr8biu6sP9dODHWXCl/fCeV/18aXLROKCcA
cwywLALrro0tROXa50tEiEz20MA0X1iVTF6KjgTRp7zmCQ==
-----END CERTIFICATE-----
";

static IDENTITY: LazyLock<Identity> =
    LazyLock::new(|| Identity::from_pem(CERTIFICATE, KEY).expect("an identity"));

/// Room for so many.
pub(crate) fn machine(connections: u32) -> Tls {
    let mut tls = Tls::new(connections);
    tls.set_identity(IDENTITY.clone());
    tls
}

/// The client's end.
pub(crate) struct Sealed {
    tls: ClientConnection,
    said_goodbye: bool,
}

impl Sealed {
    /// Its hello is on its way at once.
    pub(crate) fn new(random: &mut Random, wire: &mut Wire) -> Self {
        let version = random.pick(&[&version::TLS12, &version::TLS13, &version::TLS13]);
        let mut sealed = Self { tls: tls::connection(version), said_goodbye: false };
        sealed.tls.set_buffer_limit(None);
        wire.seal();
        sealed.flush(wire);
        sealed
    }

    /// Whether it may speak.
    pub(crate) fn is_ready(&self) -> bool {
        !self.tls.is_handshaking() && !self.said_goodbye
    }

    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.said_goodbye
    }

    pub(crate) fn write(&mut self, plain: &[u8], wire: &mut Wire) {
        self.tls.writer().write_all(plain).expect("no limit");
        self.flush(wire);
    }

    /// Says that there is no more to come, wherever that is.
    pub(crate) fn say_goodbye(&mut self, wire: &mut Wire) {
        if !self.tls.is_handshaking() && !self.said_goodbye {
            self.said_goodbye = true;
            self.tls.send_close_notify();
            self.flush(wire);
        }
    }

    /// What these bytes of the server's come to.
    pub(crate) fn hear(&mut self, mut bytes: &[u8], wire: &mut Wire) -> Vec<u8> {
        let mut plain = vec![];
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).expect("it has room");
            self.tls.process_new_packets().expect("an honest server");
            // Nothing yet is no end.
            let _ = self.tls.reader().read_to_end(&mut plain);
        }
        self.flush(wire);
        plain
    }

    fn flush(&mut self, wire: &mut Wire) {
        let mut bytes = vec![];
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("a vector");
        }
        wire.write(&bytes);
    }
}

/// One read at the server's end: what is plain of what has arrived goes behind `kept`. `None`: nothing
/// came, or it has to wait.
pub(crate) fn receive(
    tls: &mut Tls,
    id: TlsId,
    wire: &mut Wire,
    (kept, most): (&mut Vec<u8>, usize),
) -> Result<Option<Opened>, Ended> {
    if tls.is_ended(id) {
        return Err(Ended);
    }
    if !tls.may_go_on(id) {
        return Ok(None);
    }
    let room = tls.room(id, READ_BUFFER_BYTES - kept.len());
    if room.is_empty() {
        return Err(Ended);
    }
    let mut come = vec![];
    match wire.receive(&mut come, most.min(room.len())) {
        Received::End => return Err(Ended),
        Received::Nothing => return Ok(None),
        Received::Bytes(bytes) => room[..bytes].copy_from_slice(&come),
    }
    let mut plain = vec![0; READ_BUFFER_BYTES - kept.len()];
    match tls.open(id, come.len(), &mut plain) {
        Ok(opened) => {
            kept.extend_from_slice(&plain[..opened.bytes]);
            Ok(Some(opened))
        }
        Err(Broken) => panic!("an honest client, and {come:?}"),
    }
}

/// There is no more to come.
pub(crate) struct Ended;
