//! The bytes' way to a peer and back: its socket, and what is known of how ready that is. Not here:
//! what the bytes mean, and where those wait that the kernel has no room for (`connection`).

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::{Event, Source};
use mio::net::TcpStream;

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// There may be input in the kernel. An edge comes once, so this stays until a read is short.
    readable: bool,
    /// The kernel may have room for output. Stays until a write is short.
    writable: bool,
    /// The peer has sent its last byte: a short read does not mean that nothing is left to see.
    peer_closed: bool,
}

/// What came of asking for input.
pub(super) enum Received {
    Bytes(usize),
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
        Self { stream, readable: false, writable: true, peer_closed: false }
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

    /// One recv. A short one means that the kernel has no more.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
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

    /// One send of both, as far as the kernel has room. What is left of `first` is the caller's to
    /// keep; what is left of `second` can be sent another time.
    pub(super) fn send<'a>(&mut self, first: &'a [u8], second: &[u8]) -> io::Result<Sent<'a>> {
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

    /// Sends bytes that were left before; says how many the kernel took.
    pub(super) fn resend(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.send(bytes, &[])?.bytes)
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
