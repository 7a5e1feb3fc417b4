//! Tells whoever supervises the program how it does: systemd's protocol (sd_notify(3)), a datagram
//! to the socket that `NOTIFY_SOCKET` names. Without one, nobody is told.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Who is told, if anybody is.
#[derive(Debug, Default)]
pub struct Supervisor(Option<UnixDatagram>);

impl Supervisor {
    /// The one whose socket this is. It is connected to now, since no file can be opened later.
    ///
    /// # Errors
    /// The kernel's, if there is nobody.
    pub fn at(socket: Option<&OsStr>) -> io::Result<Self> {
        let Some(path) = socket else { return Ok(Self(None)) };
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(path)?,
        };
        let datagram = UnixDatagram::unbound()?;
        datagram.connect_addr(&address)?;
        // A supervisor that does not listen holds nobody up.
        datagram.set_nonblocking(true)?;
        Ok(Self(Some(datagram)))
    }

    /// The program serves.
    pub fn ready(&self) {
        self.tell(b"READY=1");
    }

    /// The program has begun to stop.
    pub fn stopping(&self) {
        self.tell(b"STOPPING=1");
    }

    fn tell(&self, state: &[u8]) {
        if let Self(Some(datagram)) = self {
            // Who does not listen is told nothing.
            let _ = datagram.send(state);
        }
    }
}
