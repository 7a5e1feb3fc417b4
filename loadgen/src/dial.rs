//! Opening connections that never block, from as many source addresses as were asked for.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

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
        if self.sources > 0 {
            sys::bind_address_no_port(&socket);
        }
        self.bind_to_next(&socket)?;
        self.connect_socket(&socket)?;
        Ok(TcpStream::from_std(socket.into()))
    }

    /// Begins to connect anew with the socket of a connection that [`sys::disconnect`] ended. It
    /// spares making, registering and closing one: a quarter of what a connection costs here. From the
    /// next source, or else from its own, which spares binding it: another fiftieth.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn reconnect(&mut self, stream: &TcpStream, from_next: bool) -> io::Result<()> {
        let socket = SockRef::from(stream);
        if from_next {
            self.bind_to_next(&socket)?;
        }
        self.connect_socket(&socket)
    }

    fn bind_to_next(&mut self, socket: &Socket) -> io::Result<()> {
        match self.source() {
            Some(source) => socket.bind(&source.into()),
            None => Ok(()),
        }
    }

    fn connect_socket(&self, socket: &Socket) -> io::Result<()> {
        match socket.connect(&self.target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(()),
        }
    }

    fn source(&mut self) -> Option<SocketAddr> {
        let number = self.next.checked_rem(self.sources)?;
        self.next = self.next.wrapping_add(1);
        Some((Ipv4Addr::from(u32::from(self.sources_from) + number), 0).into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream as BlockingStream};

    use super::*;

    /// From so many sources: to whom connections are accepted in turn, and by whom they are made.
    fn dial(sources: u32) -> (TcpListener, Dial) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        (listener, Dial::new(target, sources, Ipv4Addr::new(127, 0, 0, 2)))
    }

    fn accept(listener: &TcpListener) -> (BlockingStream, SocketAddr) {
        listener.accept().unwrap()
    }

    #[test]
    fn a_disconnected_socket_connects_again_and_hears_nothing_of_before() {
        let (listener, mut dial) = dial(0);
        let mut stream = dial.connect().unwrap();
        let (mut first, _) = accept(&listener);
        first.write_all(b"of before").unwrap();

        sys::disconnect(&stream).unwrap();
        let ended = first.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::ConnectionReset));

        dial.reconnect(&stream, true).unwrap();
        let (mut second, _) = accept(&listener);
        let heard = stream.read(&mut [0; 16]).map_err(|error| error.kind());
        assert_eq!(heard, Err(ErrorKind::WouldBlock));
        stream.write_all(b"anew").unwrap();
        let mut said = [0; 4];
        second.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"anew");
    }

    #[test]
    fn who_connects_again_comes_from_the_next_source_or_from_its_own() {
        for (from_next, expected) in [(true, [2, 3, 2]), (false, [2, 2, 2])] {
            let (listener, mut dial) = dial(2);
            let stream = dial.connect().unwrap();
            let mut sources = vec![accept(&listener).1.ip()];
            for _ in 0..2 {
                sys::disconnect(&stream).unwrap();
                dial.reconnect(&stream, from_next).unwrap();
                sources.push(accept(&listener).1.ip());
            }
            assert_eq!(sources, expected.map(|last| Ipv4Addr::new(127, 0, 0, last)));
        }
    }
}
