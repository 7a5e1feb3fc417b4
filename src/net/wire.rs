//! The bytes' way to a peer and back: its socket, what is known of how ready that is, and whether TLS
//! lies between. Not here: what the bytes mean, and where those wait that the kernel has no room for
//! (`connection`).
//!
//! ```text
//! plain    socket ── recv ──> input                            output, held ── send ──> socket
//! TLS      socket ── recv ──> room ── open ──> input    output, held ── seal ── send ──> socket
//! ```

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::{Event, Source};
use mio::net::TcpStream;

use crate::tls::{Broken, Opened, Tls, TlsId};

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// There may be input in the kernel. An edge comes once, so this stays until a read is short.
    readable: bool,
    /// The kernel may have room for output. Stays until a write is short.
    writable: bool,
    /// The peer has sent its last byte: a short read does not mean that nothing is left to see.
    peer_closed: bool,
    /// The TLS connection, or [`TlsId::NONE`].
    tls: TlsId,
}

/// What came of asking for input.
pub(super) enum Received {
    Bytes(usize),
    /// So many bytes of TLS, and what they came to. TLS may have something to say itself then.
    Sealed(usize, Result<Opened, Broken>),
    Nothing,
    End,
}

/// What came of sending.
pub(super) struct Sent<'a> {
    /// How many bytes the kernel took.
    pub(super) bytes: usize,
    /// What it did not take, and has to be sent as it is before anything else.
    pub(super) unsent: &'a [u8],
    /// How much of what could wait is done with.
    pub(super) second_taken: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, readable: false, writable: true, peer_closed: false, tls: TlsId::NONE }
    }

    pub(super) fn source(&mut self) -> &mut impl Source {
        &mut self.stream
    }

    /// Remembers what the kernel said.
    pub(super) fn note(&mut self, event: &Event) {
        // An error shows itself to whatever is tried next.
        let failed = event.is_error();
        self.readable |= event.is_readable() || event.is_read_closed() || failed;
        self.writable |= event.is_writable() || event.is_write_closed() || failed;
        self.peer_closed |= event.is_read_closed();
    }

    /// Whether there may be something to receive.
    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether the kernel may have room for more.
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether there may be something to receive, and not just the end.
    pub(super) fn has_spoken(&self) -> bool {
        self.readable && !self.peer_closed
    }

    /// These bytes as records, to be sent as they are and before anything else.
    pub(super) fn seal<'a>(&self, tls: &'a mut Tls, bytes: &[u8]) -> Result<&'a [u8], Broken> {
        tls.seal(self.tls, bytes, &[])?;
        Ok(tls.take_outgoing(self.tls))
    }

    /// Whether TLS lies between.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls != TlsId::NONE
    }

    /// When the handshake began that is under way.
    pub(super) fn handshaking_since_ms(&self, tls: &Tls) -> Option<u64> {
        if self.is_encrypted() { tls.handshaking_since_ms(self.tls) } else { None }
    }

    /// From here on everything goes through TLS, of which these bytes are the beginning. Fails if
    /// there are as many such connections as there may be, and if the bytes are no such beginning.
    pub(super) fn encrypt(
        &mut self,
        tls: &mut Tls,
        beginning: &[u8],
        now_ms: u64,
    ) -> Result<Opened, Broken> {
        if self.is_encrypted() {
            return Err(Broken);
        }
        self.tls = tls.begin(now_ms);
        if !self.is_encrypted() {
            return Err(Broken);
        }
        let room = tls.room(self.tls, beginning.len());
        room.get_mut(..beginning.len()).ok_or(Broken)?.copy_from_slice(beginning);
        // Nothing of it is plain: the peer has not heard from this side yet.
        tls.open(self.tls, beginning.len(), &mut [])
    }

    /// Forgets the TLS connection: nothing is understood or said any more.
    pub(super) fn forget_keys(&mut self, tls: &mut Tls) {
        if self.is_encrypted() {
            tls.end(self.tls);
            self.tls = TlsId::NONE;
        }
    }

    /// One recv, and what is plain of it.
    pub(super) fn receive(&mut self, tls: &mut Tls, into: &mut [u8]) -> io::Result<Received> {
        if !self.is_encrypted() {
            return self.read(into);
        }
        if tls.is_ended(self.tls) {
            return Ok(Received::End);
        }
        if !tls.may_go_on(self.tls) {
            return Ok(Received::Nothing);
        }
        let room = tls.room(self.tls, into.len());
        if room.is_empty() {
            return Ok(Received::End);
        }
        let bytes = match self.read(room)? {
            Received::Bytes(bytes) => bytes,
            // Cut off: what TLS has not said the end of.
            other => return Ok(other),
        };
        let opened = tls.open(self.tls, bytes, into);
        // The end is seen by asking again.
        self.readable |= tls.is_ended(self.tls);
        Ok(Received::Sealed(bytes, opened))
    }

    /// One recv. A short one means that the kernel has no more.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Received> {
        loop {
            match (&self.stream).read(into) {
                Ok(0) => return Ok(Received::End),
                Ok(bytes) => {
                    self.readable = bytes == into.len() || self.peer_closed;
                    return Ok(Received::Bytes(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// One send of both, as far as the kernel has room. What is unsent is the caller's to keep; what
    /// is left of `second` can be sent another time.
    pub(super) fn send<'a>(
        &mut self,
        tls: &'a mut Tls,
        first: &'a [u8],
        second: &[u8],
    ) -> io::Result<Sent<'a>> {
        if !self.is_encrypted() {
            return self.write(first, second);
        }
        let sealed = tls.seal(self.tls, first, second);
        let second_taken = sealed.map_err(|Broken| io::ErrorKind::BrokenPipe)?;
        Ok(Sent { second_taken, ..self.send_outgoing(tls)? })
    }

    /// Sends what TLS itself has to say, if it has.
    pub(super) fn send_outgoing<'a>(&mut self, tls: &'a mut Tls) -> io::Result<Sent<'a>> {
        match tls.take_outgoing(self.tls) {
            [] => Ok(Sent { bytes: 0, unsent: &[], second_taken: 0 }),
            outgoing => self.write(outgoing, &[]),
        }
    }

    /// Says that nothing more will be said, as far as that can be said at once.
    pub(super) fn close(&mut self, tls: &mut Tls) {
        if self.is_encrypted() && tls.close(self.tls).is_ok() {
            // To a peer that does not take it, it does not matter.
            let _ = self.send_outgoing(tls);
        }
    }

    fn write<'a>(&mut self, first: &'a [u8], second: &[u8]) -> io::Result<Sent<'a>> {
        let bytes = match (first, second) {
            (bytes, []) | ([], bytes) => taken(&self.stream, |mut stream| stream.write(bytes)),
            (first, second) => {
                let both = [IoSlice::new(first), IoSlice::new(second)];
                taken(&self.stream, |mut stream| stream.write_vectored(&both))
            }
        }?;
        self.writable = bytes == first.len() + second.len();
        Ok(Sent {
            bytes,
            unsent: first.get(bytes..).unwrap_or_default(),
            second_taken: bytes.saturating_sub(first.len()),
        })
    }

    /// Sends bytes that were left unsent before; says how many the kernel took.
    pub(super) fn resend(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.write(bytes, &[])?.bytes)
    }

    /// Says that nothing more will be sent.
    pub(super) fn end(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

/// How many bytes the kernel took: fewer than there are, or none, when it has no room.
fn taken(stream: &TcpStream, write: impl Fn(&TcpStream) -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}
