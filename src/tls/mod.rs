//! TLS (RFC 8446, RFC 5246) as a machine without a socket or a clock: a fixed number of connections,
//! bytes from the peer in, plain bytes out, and back. Not here: sockets and what waits for them
//! (`net`), what is said over it, and where certificates come from (`server`).
//!
//! ```text
//! room(id) <── recv        incoming   [ kept | new ......... ]   one for all
//! open(id) ──> plain bytes, and in `outgoing` what TLS itself has to say
//!                          kept       [ the beginning of a record ]   one for each connection
//! seal(id) ──> outgoing    outgoing   [ records ...... ]   one for all, one connection at a time
//! ```
//!
//! rustls does the cryptography and the protocol, through its unbuffered interface: between calls it
//! holds keys and no bytes. Its memory comes from the heap (some for each connection, little while a
//! record is worked on), of which as much was set aside at start as [`Tls::memory_terms`] says.
//!
//! Nothing is resumed, by ticket or by session: there is nothing to keep for peers that are gone, and
//! no key that outlives a connection.

mod identity;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use slab::Slab;

pub use identity::{Identity, IdentityError};

use crate::limits::{
    READ_BUFFER_BYTES, TLS_HANDSHAKES_PER_TURN, TLS_HELD_BYTES, TLS_OUTGOING_BYTES,
    TLS_RECORD_BYTES_MAX, TLS_STATE_BYTES, TLS_WORK_BYTES,
};

/// Which of the connections; also the absence of one, in as few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsId(u32);

impl TlsId {
    /// No connection.
    pub const NONE: Self = Self(u32::MAX);
}

/// All connections that are encrypted, or about to be.
#[derive(Debug)]
pub struct Tls {
    identity: Option<Identity>,
    connections: Slab<Connection>,
    connections_max: usize,
    /// What is left over of each connection's input: [`TLS_RECORD_BYTES_MAX`] for each.
    kept: Box<[u8]>,
    incoming: Box<[u8]>,
    outgoing: Outgoing,
    /// How many handshakes may get on in this turn.
    handshakes_left: usize,
}

struct Connection {
    tls: UnbufferedServerConnection,
    kept_bytes: usize,
    started_ms: u64,
    established: bool,
    /// The peer has said that it has no more to say, or cannot be understood any more.
    ended: bool,
    /// It cannot be understood any more, and is not asked again: rustls does not expect that.
    broken: bool,
}

/// What came of bytes from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// How many plain bytes there are.
    pub bytes: usize,
    /// The handshake was finished by them: what is plain came after it.
    pub established: bool,
}

/// The connection cannot go on: what its peer sent is no TLS, or not the TLS that it has to be.
/// What is in the outgoing bytes tells the peer why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Records on their way to a peer, and to no other: what its connection left is gone when another
/// writes.
#[derive(Debug)]
struct Outgoing {
    bytes: Box<[u8]>,
    length: usize,
    owner: TlsId,
}

impl Tls {
    /// What this many connections take, term by term, in bytes.
    #[must_use]
    pub fn memory_terms(connections: u32) -> [(&'static str, usize); 3] {
        let number = connections as usize;
        // A slab's entry is its value and a tag of at most a word.
        let connection = size_of::<Connection>() + size_of::<usize>() + TLS_STATE_BYTES;
        let shared = READ_BUFFER_BYTES + TLS_RECORD_BYTES_MAX + TLS_OUTGOING_BYTES + TLS_WORK_BYTES;
        [
            ("tls: connections", number * connection),
            ("tls: records", number * TLS_RECORD_BYTES_MAX),
            ("tls: buffers", if number == 0 { 0 } else { shared }),
        ]
    }

    /// Room for this many connections, and none of them yet; nor can there be before there is an
    /// [`identity`](Self::set_identity).
    #[must_use]
    pub fn new(connections: u32) -> Self {
        let number = connections as usize;
        let shared = |bytes| vec![0; if number == 0 { 0 } else { bytes }].into_boxed_slice();
        Self {
            identity: None,
            connections: Slab::with_capacity(number),
            connections_max: number,
            kept: vec![0; number * TLS_RECORD_BYTES_MAX].into_boxed_slice(),
            incoming: shared(READ_BUFFER_BYTES + TLS_RECORD_BYTES_MAX),
            outgoing: Outgoing { bytes: shared(TLS_OUTGOING_BYTES), length: 0, owner: TlsId::NONE },
            handshakes_left: TLS_HANDSHAKES_PER_TURN,
        }
    }

    /// Whom connections that begin from now on are told they talk to.
    pub fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// A turn begins: so many handshakes may get on.
    pub fn turn_begins(&mut self) {
        self.handshakes_left = TLS_HANDSHAKES_PER_TURN;
    }

    /// A connection whose handshake has not begun; [`TlsId::NONE`] if there are as many as there may
    /// be, or no identity. Whoever has it has to [`end`](Self::end) it.
    pub fn begin(&mut self, now_ms: u64) -> TlsId {
        let Some(identity) = &self.identity else { return TlsId::NONE };
        if self.connections.len() == self.connections_max {
            return TlsId::NONE;
        }
        let Ok(tls) = UnbufferedServerConnection::new(Arc::clone(identity.config())) else {
            return TlsId::NONE;
        };
        let (started_ms, kept_bytes) = (now_ms, 0);
        let connection = Connection {
            tls,
            kept_bytes,
            started_ms,
            established: false,
            ended: false,
            broken: false,
        };
        TlsId(self.connections.insert(connection) as u32)
    }

    /// Forgets a connection.
    pub fn end(&mut self, id: TlsId) {
        self.connections.try_remove(id.0 as usize);
        self.outgoing.belongs_to(TlsId::NONE);
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// When the handshake that is under way began.
    #[must_use]
    pub fn handshaking_since_ms(&self, id: TlsId) -> Option<u64> {
        let connection = self.connections.get(id.0 as usize)?;
        (!connection.established).then_some(connection.started_ms)
    }

    /// Whether the connection may get on in this turn: handshakes cost a thousand times what other
    /// bytes do.
    pub fn may_go_on(&mut self, id: TlsId) -> bool {
        if self.handshaking_since_ms(id).is_none() {
            return true;
        }
        let left = self.handshakes_left.checked_sub(1);
        self.handshakes_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether the peer has said that there is no more to come (RFC 8446 section 6.1): whatever
    /// comes all the same is nothing of its.
    #[must_use]
    pub fn is_ended(&self, id: TlsId) -> bool {
        self.connections.get(id.0 as usize).is_none_or(|connection| connection.ended)
    }

    /// Where bytes from the peer are to be put, so that what they come to is no more than
    /// `plain_bytes`; empty if not even that is sure for what there is already.
    pub fn room(&mut self, id: TlsId, plain_bytes: usize) -> &mut [u8] {
        let Some(connection) = self.connections.get(id.0 as usize) else { return &mut [] };
        // A record is longer than what is in it.
        let end = plain_bytes.min(READ_BUFFER_BYTES).max(connection.kept_bytes);
        self.incoming.get_mut(connection.kept_bytes..end).unwrap_or_default()
    }

    /// The first `new` bytes of the room were filled: puts what is plain of them into `plain`, and
    /// what TLS has to say to the peer into the outgoing bytes.
    ///
    /// # Errors
    /// [`Broken`]: the outgoing bytes say so to the peer, and nothing else can be done.
    pub fn open(&mut self, id: TlsId, new: usize, plain: &mut [u8]) -> Result<Opened, Broken> {
        self.try_to_open(id, new, plain).inspect_err(|Broken| {
            if let Some(connection) = self.connections.get_mut(id.0 as usize) {
                connection.ended = true;
                connection.broken = true;
            }
        })
    }

    fn try_to_open(&mut self, id: TlsId, new: usize, plain: &mut [u8]) -> Result<Opened, Broken> {
        self.outgoing.belongs_to(id);
        let kept = kept_range(id);
        let connection = self.connections.get_mut(id.0 as usize).ok_or(Broken)?;
        let kept = self.kept.get_mut(kept).ok_or(Broken)?;
        if connection.broken {
            return Err(Broken);
        }
        let filled = connection.kept_bytes + new;
        self.incoming[..connection.kept_bytes].copy_from_slice(&kept[..connection.kept_bytes]);
        let mut rest = self.incoming.get_mut(..filled).ok_or(Broken)?;
        let mut bytes = 0;
        loop {
            let UnbufferedStatus { discard, state } = connection.tls.process_tls_records(rest);
            let mut goes_on = true;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record.map_err(|_| Broken)?.payload;
                        let into = plain.get_mut(bytes..bytes + payload.len()).ok_or(Broken)?;
                        into.copy_from_slice(payload);
                        bytes += payload.len();
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    self.outgoing.append(|room| data.encode(room).map_err(|_| Broken))?;
                }
                // It will be, before anything else is done with this connection.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    goes_on = false;
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    connection.ended = true;
                    goes_on = false;
                }
                // Early data was never offered.
                Ok(_) => return Err(Broken),
                Err(_) => {
                    connection.say_why(rest, &mut self.outgoing);
                    return Err(Broken);
                }
            }
            rest = rest.get_mut(discard..).ok_or(Broken)?;
            if !goes_on {
                break;
            }
        }
        let established = !connection.established && !connection.tls.is_handshaking();
        connection.established |= established;
        // Only a message of the handshake that is longer than any lawful one leaves more.
        kept.get_mut(..rest.len()).ok_or(Broken)?.copy_from_slice(rest);
        connection.kept_bytes = rest.len();
        Ok(Opened { bytes, established })
    }

    /// Puts all of `first` and some of `second` into the outgoing bytes, as records; returns how much
    /// of `second`.
    ///
    /// # Errors
    /// [`Broken`]: the connection cannot be written to, because its handshake is not done or its keys
    /// are worn out, or `first` is too long.
    pub fn seal(&mut self, id: TlsId, first: &[u8], second: &[u8]) -> Result<usize, Broken> {
        let second = &second[..second.len().min(TLS_HELD_BYTES)];
        self.write(id, |traffic, outgoing| {
            for bytes in [first, second].into_iter().filter(|bytes| !bytes.is_empty()) {
                outgoing.append(|room| traffic.encrypt(bytes, room).map_err(|_| Broken))?;
            }
            Ok(())
        })?;
        Ok(second.len())
    }

    /// Puts the alert that nothing more will be said into the outgoing bytes.
    ///
    /// # Errors
    /// [`Broken`]: as [`seal`](Self::seal).
    pub fn close(&mut self, id: TlsId) -> Result<(), Broken> {
        self.write(id, |traffic, outgoing| {
            outgoing.append(|room| traffic.queue_close_notify(room).map_err(|_| Broken))
        })
    }

    /// What is to be sent to the connection's peer, before anything is done with another connection.
    #[must_use]
    pub fn take_outgoing(&mut self, id: TlsId) -> &[u8] {
        self.outgoing.belongs_to(id);
        let length = std::mem::take(&mut self.outgoing.length);
        self.outgoing.bytes.get(..length).unwrap_or_default()
    }

    fn write(
        &mut self,
        id: TlsId,
        write: impl FnOnce(&mut WriteTraffic<'_>, &mut Outgoing) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        self.outgoing.belongs_to(id);
        let connection = self.connections.get_mut(id.0 as usize).ok_or(Broken)?;
        if connection.broken || !connection.established {
            return Err(Broken);
        }
        // What was kept is shown again: rustls may know parts of it by where they are.
        let kept = self.kept.get_mut(kept_range(id)).ok_or(Broken)?;
        let kept = kept.get_mut(..connection.kept_bytes).ok_or(Broken)?;
        loop {
            let UnbufferedStatus { discard, state } = connection.tls.process_tls_records(kept);
            if discard > 0 {
                return Err(Broken);
            }
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return write(&mut traffic, &mut self.outgoing);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    self.outgoing.append(|room| data.encode(room).map_err(|_| Broken))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                // Said once; after it there is writing still.
                Ok(ConnectionState::PeerClosed) => connection.ended = true,
                _ => return Err(Broken),
            }
        }
    }
}

type WriteTraffic<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::server::ServerConnectionData>;

impl Connection {
    /// Puts the alert that goes with an error into the outgoing bytes, if there is one. Asked once:
    /// after that, rustls would look at the bytes again, which it does not expect (and asserts).
    fn say_why(&mut self, rest: &mut [u8], outgoing: &mut Outgoing) {
        if let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.tls.process_tls_records(rest).state
        {
            // To a peer that is wrong already, it does not matter.
            let _ = outgoing.append(|room| data.encode(room).map_err(|_| Broken));
        }
    }
}

/// Without its keys.
impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept_bytes, started_ms, established, ended, broken, .. } = self;
        formatter
            .debug_struct("Connection")
            .field("kept_bytes", kept_bytes)
            .field("started_ms", started_ms)
            .field("established", established)
            .field("ended", ended)
            .field("broken", broken)
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    fn belongs_to(&mut self, id: TlsId) {
        if self.owner != id {
            self.owner = id;
            self.length = 0;
        }
    }

    fn append(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Result<usize, Broken>,
    ) -> Result<(), Broken> {
        self.length += write(self.bytes.get_mut(self.length..).ok_or(Broken)?)?;
        Ok(())
    }
}

fn kept_range(id: TlsId) -> Range<usize> {
    let start = (id.0 as usize).saturating_mul(TLS_RECORD_BYTES_MAX);
    start..start.saturating_add(TLS_RECORD_BYTES_MAX)
}

#[cfg(test)]
mod tests;
