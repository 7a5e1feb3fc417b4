//! Opening connections that never block, from as many source addresses as were asked for.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;

/// Opens connections to one address.
#[derive(Debug)]
pub(crate) struct Dial {
    target: SocketAddr,
    /// How many addresses to come from in turn; 0: the system's choice.
    sources: u32,
    /// The first of them.
    sources_from: Ipv4Addr,
    next: u32,
}

impl Dial {
    pub(crate) fn new(target: SocketAddr, sources: u32, sources_from: Ipv4Addr) -> Self {
        Self { target, sources, sources_from, next: 0 }
    }

    /// Begins to connect. That it failed may show only later, when the stream is used.
    ///
    /// # Errors
    /// There is no descriptor or port left, or nobody can be reached there.
    pub(crate) fn connect(&mut self) -> io::Result<TcpStream> {
        self.connect_with_buffer(None)
    }

    /// The same, with a receive buffer of about so many bytes.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn connect_with_buffer(
        &mut self,
        receive_buffer_bytes: Option<usize>,
    ) -> io::Result<TcpStream> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(self.target), kind, Some(Protocol::TCP))?;
        // A body longer than a segment would otherwise wait for the acknowledgement of its first.
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = self.source() {
            sys::bind_address_no_port(&socket);
            socket.bind(&source.into())?;
        }
        match socket.connect(&self.target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }

    fn source(&mut self) -> Option<SocketAddr> {
        let number = self.next.checked_rem(self.sources)?;
        self.next = self.next.wrapping_add(1);
        Some((Ipv4Addr::from(u32::from(self.sources_from) + number), 0).into())
    }
}
