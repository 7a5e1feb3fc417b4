//! The server's side of TLS: a peer that speaks none of it, and one that does and whose records are
//! spoilt on their way. Whatever comes, in whatever pieces: no more plain bytes than were asked for,
//! none that the peer did not say, bounded leftovers, and an end that is one.

use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use mailfly::limits::{READ_BUFFER_BYTES, TLS_OUTGOING_BYTES, TLS_RECORD_BYTES_MAX};
use mailfly::tls::{Broken, Identity, Opened, Tls, TlsId};
use rustls::{ClientConfig, ClientConnection, version};

#[path = "../../tests/support/tls.rs"]
mod other_side;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::self_signed("mail.test").unwrap());

/// TLS 1.2 and 1.3.
static CLIENTS: LazyLock<[Arc<ClientConfig>; 2]> =
    LazyLock::new(|| [&version::TLS12, &version::TLS13].map(other_side::configuration));

/// The first byte of the input says who the peer is and how far it gets, the second how its bytes
/// are cut, the next two where the rest of the input comes in.
pub fn holds(input: &[u8]) {
    let [flags, step, high, low, rest @ ..] = input else { return };
    let mut line = Line::new(usize::from(*step).max(1), flags & 16 != 0);
    let place = usize::from(u16::from_be_bytes([*high, *low]));
    if flags & 1 == 0 {
        let _ = line.bring(rest);
        assert!(line.plain.is_empty(), "nobody has shaken hands");
    } else {
        spoilt(&mut line, *flags, place, rest);
    }
    line.end();
}

/// A peer that speaks TLS, and whose handshake or message something happens to.
fn spoilt(line: &mut Line, flags: u8, place: usize, rest: &[u8]) {
    let mut client = Client::new(flags & 2 != 0);
    // In the handshake's first flight, in its second, or behind it.
    let spoilt_flight = usize::from(flags >> 2 & 3);
    for flight in 0..2 {
        let said = client.says();
        let is_spoilt = flight == spoilt_flight;
        let said = if is_spoilt { mixed(&said, place, rest, flags) } else { said };
        let brought = line.bring(&said);
        if is_spoilt {
            assert!(line.plain.is_empty(), "what is plain was said by the peer");
            return;
        }
        brought.expect("an honest handshake is understood");
        client.hears(&line.heard);
        line.heard.clear();
    }
    assert!(line.established, "an honest handshake comes to its end");
    client.0.writer().write_all(rest).unwrap();
    if flags & 32 != 0 {
        client.0.send_close_notify();
    }
    let said = client.says();
    match spoilt_flight {
        2 => {
            let _ = line.bring(&mixed(&said, place, rest, flags));
            assert!(rest.starts_with(&line.plain), "what is plain was said by the peer");
        }
        _ => {
            line.bring(&said).unwrap();
            assert!(line.plain == rest, "all that was said is understood");
            assert_eq!(line.tls.is_ended(line.id), flags & 32 != 0);
        }
    }
}

/// Records with the input among them: instead of what is there, before it, or at a loss of the rest.
fn mixed(said: &[u8], place: usize, rest: &[u8], flags: u8) -> Vec<u8> {
    let place = place % (said.len() + 1);
    let (before, after) = said.split_at(place);
    let after = match flags >> 6 {
        0 => after.get(rest.len()..).unwrap_or_default(),
        1 => after,
        _ => &[],
    };
    [before, rest, after].concat()
}

/// The server's end.
struct Line {
    tls: Tls,
    id: TlsId,
    piece_bytes: usize,
    /// As many plain bytes as are asked for at once.
    plain_bytes: usize,
    established: bool,
    plain: Vec<u8>,
    /// What the peer is told.
    heard: Vec<u8>,
    is_broken: bool,
}

impl Line {
    fn new(piece_bytes: usize, has_little_room: bool) -> Self {
        let mut tls = Tls::new(1);
        tls.set_identity(IDENTITY.clone());
        let id = tls.begin(0);
        assert_ne!(id, TlsId::NONE, "there is room for one");
        let plain_bytes = if has_little_room { READ_BUFFER_BYTES / 2 } else { READ_BUFFER_BYTES };
        Self {
            tls,
            id,
            piece_bytes,
            plain_bytes,
            established: false,
            plain: vec![],
            heard: vec![],
            is_broken: false,
        }
    }

    /// All of these bytes arrive, in pieces.
    fn bring(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut plain = vec![0; self.plain_bytes];
        for piece in bytes.chunks(self.piece_bytes) {
            if self.tls.is_ended(self.id) {
                return Ok(());
            }
            let room = self.tls.room(self.id, self.plain_bytes);
            assert!(room.len() + TLS_RECORD_BYTES_MAX >= self.plain_bytes, "it keeps one record");
            room[..piece.len()].copy_from_slice(piece);
            let opened = self.tls.open(self.id, piece.len(), &mut plain);
            let outgoing = self.tls.take_outgoing(self.id);
            assert!(outgoing.len() <= TLS_OUTGOING_BYTES);
            self.heard.extend_from_slice(outgoing);
            self.is_broken = opened.is_err();
            let Opened { bytes, established } = opened?;
            assert!(!(established && self.established), "hands are shaken once");
            self.established |= established;
            assert!(self.established || bytes == 0, "nothing is plain before");
            self.plain.extend_from_slice(&plain[..bytes]);
        }
        Ok(())
    }

    /// What is so at the end of all.
    fn end(mut self) {
        if self.is_broken {
            assert!(self.tls.is_ended(self.id));
            assert_eq!(self.bring_one(), Err(Broken), "what is broken stays so");
        }
        let can_speak = self.established && !self.is_broken;
        assert_eq!(self.tls.seal(self.id, b"250 Ok\r\n", b"").is_ok(), can_speak);
        assert_eq!(self.tls.close(self.id).is_ok(), can_speak);
        self.tls.end(self.id);
        assert_eq!(self.tls.connections(), 0);
        assert_ne!(self.tls.begin(0), TlsId::NONE, "its place is free");
    }

    fn bring_one(&mut self) -> Result<Opened, Broken> {
        self.tls.room(self.id, self.plain_bytes)[..1].fill(b'x');
        self.tls.open(self.id, 1, &mut [0; 8])
    }
}

/// The other end, which is honest.
struct Client(ClientConnection);

impl Client {
    fn new(is_newer: bool) -> Self {
        let config = Arc::clone(&CLIENTS[usize::from(is_newer)]);
        Self(ClientConnection::new(config, "mail.test".try_into().unwrap()).unwrap())
    }

    fn says(&mut self) -> Vec<u8> {
        let mut bytes = vec![];
        while self.0.wants_write() {
            self.0.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn hears(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.0.read_tls(&mut bytes).unwrap();
            self.0.process_new_packets().unwrap();
        }
    }
}
