//! Where peers come in: sockets that are bound first and listen later, and the rest that
//! accepting takes when no connection could be held. Not here: what becomes of a peer that came
//! in (`reactor`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{
    ACCEPT_REST_MS, ACCEPT_SCARCE_MS, CROWDED_ACCEPTS_PER_REST, LISTEN_BACKLOG, UNSENT_BYTES_MAX,
};

/// Which listener a peer came in by: the order in which the reactor was given them, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub usize);

/// A socket that holds its address but takes no peers yet, so that a server can see that it gets
/// all of its addresses before it answers at any of them.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: SocketAddr,
}

impl Bound {
    /// Takes an address. An IPv6 one takes IPv6 peers only, also the wildcard; port 0 becomes a
    /// free one.
    ///
    /// # Errors
    /// What the kernel says: the address is taken, not of this machine, or a privileged port.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        // Or a restart would have to wait for the old connections' TIME_WAIT.
        socket.set_reuse_address(true)?;
        bequeath(&socket)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        // Until somebody listens the kernel lets sockets that allow reuse share a port, and refuses
        // the second only when it comes to listen: too late for a server that already answers.
        socket.set_reuse_address(false)?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { socket, address })
    }

    /// Takes a socket that whoever started the program listens with already.
    ///
    /// # Errors
    /// It does not listen, or not for TCP.
    pub fn inherited(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        let listens = socket.is_listener()? && socket.r#type()? == Type::STREAM;
        let address = socket.local_addr()?.as_socket().filter(|_| listens);
        let address = address.ok_or_else(|| io::Error::other("it does not listen for TCP"))?;
        socket.set_nonblocking(true)?;
        bequeath(&socket)?;
        Ok(Self { socket, address })
    }

    /// Whoever comes in here is told a few segments at most, and has nothing to be controlled: Reno (RFC
    /// 5681), which every Linux has and lets everybody choose, does least for each. Beside BBR, where the
    /// system has that, 1 to 2 % of a message's CPU time.
    #[must_use]
    pub fn says_little(self) -> Self {
        // A system that will not have it only takes longer.
        let _ = self.socket.set_tcp_congestion(b"reno");
        self
    }

    /// The address that it got, its port included.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Sets what every connection inherits, so that it costs no call for each.
fn bequeath(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // Otherwise the kernel takes megabytes for who reads slowly, and then nothing for as long as that
    // one takes to read a third of them.
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

/// The listeners, and whether they may be asked.
#[derive(Debug)]
pub(super) struct Listeners {
    listeners: Vec<Listener>,
    /// Until when nothing is accepted.
    rest_until_ms: Option<u64>,
    /// Until when descriptors or memory are scarce.
    scarce_until_ms: u64,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    /// Whether peers may be waiting. Edges come once, so this stays until accepting finds none.
    ready: bool,
    /// How many peers were accepted while there was next to no room, and until when that is counted.
    crowded: u32,
    counted_until_ms: u64,
}

impl Listener {
    fn new(socket: TcpListener) -> Self {
        Self { socket, ready: false, crowded: 0, counted_until_ms: 0 }
    }

    /// Until when nothing is accepted here while there is next to no room; 0 if some may be.
    fn crowded_until_ms(&self) -> u64 {
        if self.crowded < CROWDED_ACCEPTS_PER_REST { 0 } else { self.counted_until_ms }
    }
}

/// What came of asking a listener for a peer.
pub(super) enum Accepted {
    Peer(TcpStream, SocketAddr),
    /// That one was gone before it was accepted.
    Lost,
    /// Nobody waits, or accepting rests from now on.
    Nobody,
}

impl Listeners {
    pub(super) fn none() -> Self {
        Self { listeners: Vec::new(), rest_until_ms: None, scarce_until_ms: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Takes peers at an address from now on.
    pub(super) fn listen(
        &mut self,
        bound: Bound,
        registry: &Registry,
        token: Token,
    ) -> io::Result<ListenerId> {
        // Inherited by the connections, whose TIME_WAIT the next start must be able to ignore.
        bound.socket.set_reuse_address(true)?;
        bound.socket.listen(LISTEN_BACKLOG)?;
        // Inherited too, but only what is set after that: the first bytes of a peer are acknowledged
        // with what they are answered, and not in a segment of their own.
        bound.socket.set_tcp_quickack(false)?;
        let mut socket = TcpListener::from_std(bound.socket.into());
        registry.register(&mut socket, token, Interest::READABLE)?;
        self.listeners.push(Listener::new(socket));
        Ok(ListenerId(self.listeners.len() - 1))
    }

    pub(super) fn close(&mut self) {
        self.listeners.clear();
    }

    pub(super) fn note_ready(&mut self, listener: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(listener.0) {
            listener.ready = true;
        }
    }

    /// Nothing is accepted until then, unless [`end_rest`](Self::end_rest) says otherwise.
    pub(super) fn rest(&mut self, until_ms: u64) {
        self.rest_until_ms = Some(until_ms);
    }

    /// A peer was accepted while there was next to no room. After enough of them no more should be
    /// for a while, as long as that is so: others wait in the backlog.
    pub(super) fn note_crowded(&mut self, listener: ListenerId, now_ms: u64) {
        let Some(listener) = self.listeners.get_mut(listener.0) else { return };
        if listener.counted_until_ms <= now_ms {
            (listener.crowded, listener.counted_until_ms) = (0, now_ms + ACCEPT_REST_MS);
        }
        listener.crowded += 1;
    }

    /// Whether as many were accepted as may be where there is next to no room.
    pub(super) fn has_its_crowd(&self, listener: ListenerId, now_ms: u64) -> bool {
        self.listeners.get(listener.0).is_some_and(|listener| now_ms < listener.crowded_until_ms())
    }

    /// Whether the system was out of descriptors or memory a moment ago.
    pub(super) fn are_scarce(&self, now_ms: u64) -> bool {
        now_ms < self.scarce_until_ms
    }

    /// There is room again.
    pub(super) fn end_rest(&mut self) {
        self.rest_until_ms = None;
    }

    /// When accepting has something to do: none while nobody waits.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let ready = self.listeners.iter().filter(|listener| listener.ready);
        let rested_ms = ready.map(Listener::crowded_until_ms).min()?;
        Some(rested_ms.max(self.rest_until_ms.unwrap_or(0)))
    }

    /// Whether a peer may be waiting and may be taken.
    pub(super) fn is_ready(&self, listener: ListenerId, now_ms: u64) -> bool {
        self.listeners.get(listener.0).is_some_and(|listener| listener.ready)
            && self.rest_until_ms.is_none_or(|until_ms| until_ms <= now_ms)
    }

    pub(super) fn accept(&mut self, listener: ListenerId, now_ms: u64) -> Accepted {
        let Some(Listener { socket, ready, .. }) = self.listeners.get_mut(listener.0) else {
            return Accepted::Nobody;
        };
        match socket.accept() {
            Ok((stream, peer)) => Accepted::Peer(stream, peer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *ready = false;
                Accepted::Nobody
            }
            Err(error) if is_the_peers(&error) => Accepted::Lost,
            // No descriptors, no memory, or something that was never seen: either way, asking
            // again at once would only spin.
            Err(_) => {
                self.rest(now_ms + ACCEPT_REST_MS);
                self.scarce_until_ms = now_ms + ACCEPT_SCARCE_MS;
                Accepted::Nobody
            }
        }
    }
}

/// Whether accept(2) failed for this one peer: it passes on what the network said about it.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
                | libc::EPERM
        )
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mio::Poll;
    use socket2::SockRef;

    use super::*;

    #[test]
    fn connections_inherit_what_their_listener_was_given() -> io::Result<()> {
        let poll = Poll::new()?;
        let mut listeners = Listeners::none();
        let made = Bound::new((Ipv4Addr::LOCALHOST, 0).into())?;
        let passed = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        passed.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        passed.listen(1)?;
        for bound in [made, Bound::inherited(passed.into())?] {
            let address = bound.address();
            let listener = listeners.listen(bound.says_little(), poll.registry(), Token(0))?;
            let _peer = std::net::TcpStream::connect(address)?;
            let Accepted::Peer(stream, _) = listeners.accept(listener, 0) else {
                return Err(io::Error::other("nobody was accepted"));
            };
            let connection = SockRef::from(&stream);
            assert!(connection.tcp_nodelay()?);
            assert!(!connection.tcp_quickack()?);
            assert!(connection.tcp_congestion()?.starts_with(b"reno"));
            assert_eq!(connection.tcp_notsent_lowat()?, UNSENT_BYTES_MAX);
        }
        Ok(())
    }

    #[test]
    fn where_there_is_next_to_no_room_few_are_accepted_at_a_time() -> io::Result<()> {
        let poll = Poll::new()?;
        let mut listeners = Listeners::none();
        let bound = || Bound::new((Ipv4Addr::LOCALHOST, 0).into());
        let [crowded, other] = [0, 1].map(|token| (token, bound()));
        let crowded = listeners.listen(crowded.1?, poll.registry(), Token(crowded.0))?;
        let other = listeners.listen(other.1?, poll.registry(), Token(other.0))?;
        let begins_ms = 5000;
        for round in 0..3 {
            let now_ms = begins_ms + round * ACCEPT_REST_MS;
            listeners.note_ready(crowded);
            for _ in 0..CROWDED_ACCEPTS_PER_REST {
                assert!(!listeners.has_its_crowd(crowded, now_ms), "round {round}");
                listeners.note_crowded(crowded, now_ms);
            }
            let rested_ms = now_ms + ACCEPT_REST_MS;
            assert!(listeners.has_its_crowd(crowded, rested_ms - 1), "round {round}");
            assert_eq!(listeners.next_ms(), Some(rested_ms));
            // Who leaves is followed by the next, and that for ever.
            listeners.end_rest();
            assert!(listeners.has_its_crowd(crowded, rested_ms - 1), "round {round}");
        }
        listeners.note_ready(other);
        assert!(!listeners.has_its_crowd(other, begins_ms), "others have room");
        assert_eq!(listeners.next_ms(), Some(0));
        // Those that come slowly are never too many.
        for second in 10..100 {
            listeners.note_crowded(crowded, second * 1000);
            assert!(!listeners.has_its_crowd(crowded, second * 1000));
        }
        Ok(())
    }
}
