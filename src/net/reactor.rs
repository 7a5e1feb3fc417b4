//! The turn, and the table of connections that it goes over. Read [`Reactor::turn`] first; its
//! steps follow in their order. Not here: what a visit does with a socket (`connection`).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use super::connection::{After, Slot, Workspace};
use super::listener::{Accepted, Bound, ListenerId, Listeners};
use super::spill::Spill;
use super::stalest::Stalest;
use super::timers::Timers;
use super::{Admission, Protocol, Refused};
use crate::clock::{Clock, Now};
use crate::limits::{
    ACCEPTS_PER_TURN, DRAIN_MS, EVENTS_PER_TURN, LINGER_MS, OUTPUT_BYTES, PROTOCOL_TICK_MS,
    READ_BUFFER_BYTES, REVISITS_PER_TURN, SPILL_ARENA_BYTES, SPILL_SURPLUS_ARENAS, TIMER_TICK_MS,
    TIMERS_PER_TURN, TLS_HELD_BYTES,
};
use crate::tls::{Identity, Tls};

/// Tokens from here on are the listeners'; below are the connections'.
const LISTENER_TOKENS: usize = 1 << 32;
/// Tokens from here on are of sources that are not the reactor's own.
const FOREIGN_TOKENS: usize = 1 << 33;

/// How much a reactor may hold. All of it is taken when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The most connections at a time; peers that come then wait in the listeners' backlogs.
    pub connections: u32,
    /// Arenas of the spill beyond each connection's first.
    pub spill_surplus_arenas: u32,
    /// The most of them that are encrypted at a time.
    pub tls_connections: u32,
}

impl Sizes {
    /// Sizes for this many connections, none of them encrypted.
    #[must_use]
    pub fn for_connections(connections: u32) -> Self {
        Self { connections, spill_surplus_arenas: SPILL_SURPLUS_ARENAS, tls_connections: 0 }
    }

    /// The same, with so many of the connections encrypted. What was encrypted and is not read waits
    /// in the spill, which grows by as much.
    #[must_use]
    pub fn with_tls(self, tls_connections: u32) -> Self {
        let each = TLS_HELD_BYTES.div_ceil(SPILL_ARENA_BYTES) as u32;
        let more = tls_connections.saturating_mul(each);
        let spill_surplus_arenas = self.spill_surplus_arenas.saturating_add(more);
        Self { spill_surplus_arenas, tls_connections, ..self }
    }
}

/// What a turn saw that is not the reactor's own business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    foreign: u64,
}

impl Turn {
    /// Whether the source with this number became ready; see [`Reactor::foreign_token`].
    #[must_use]
    pub fn is_ready(&self, number: u8) -> bool {
        self.foreign & (1 << (number % 64)) != 0
    }
}

/// The loop's state. The loop itself is the server's: it calls [`turn`](Self::turn) until it has
/// had enough.
#[derive(Debug)]
pub struct Reactor<P: Protocol> {
    poll: Poll,
    events: Events,
    clock: Clock,
    /// The time of this turn.
    now: Now,
    connections: Slab<Slot<P::Connection>>,
    connections_max: usize,
    /// Connections with work, each at most once, in this queue or the next.
    queue: VecDeque<u32>,
    /// Those that had their share of a turn and have more, and those that have left: they come after
    /// the others, a few a turn, so that who asks for little does not wait for all of them.
    revisits: VecDeque<u32>,
    /// Those for whom the protocol had no time in this turn, in their order. Empty between turns.
    postponed: Vec<u32>,
    /// Slots to free at the end of the turn.
    closed: Vec<u32>,
    listeners: Listeners,
    stalest: Stalest,
    timers: Timers,
    space: Workspace,
    tick_at_ms: u64,
    /// When a drain ends, if there is one.
    drain_until_ms: Option<u64>,
}

/// What became of one who came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// It stays.
    In,
    /// It was sent away.
    AndWas(Refused),
    /// It is gone already.
    AndWent,
}

impl<P: Protocol> Reactor<P> {
    /// What a reactor of these sizes takes, term by term, in bytes.
    #[must_use]
    pub fn memory_terms(sizes: Sizes) -> [(&'static str, usize); 7] {
        let connections = sizes.connections as usize;
        // A slab's entry is its value and a tag of at most a word; the two queues, who was postponed
        // and the closed slots are four indices.
        let slot = size_of::<Slot<P::Connection>>() + size_of::<usize>() + 4 * size_of::<u32>();
        let [tls_connections, tls_records, tls_buffers] = Tls::memory_terms(sizes.tls_connections);
        [
            ("connections", connections * slot),
            ("spill", Spill::memory_bytes(sizes.connections, sizes.spill_surplus_arenas)),
            ("timers", Timers::memory_bytes(connections)),
            ("buffers", READ_BUFFER_BYTES + OUTPUT_BYTES),
            tls_connections,
            tls_records,
            tls_buffers,
        ]
    }

    /// A reactor without listeners. Nothing allocates after this but [`listen`](Self::listen).
    ///
    /// # Errors
    /// What the kernel says if it has no epoll descriptor, or no memory for the spill.
    pub fn new(clock: Clock, sizes: Sizes) -> io::Result<Self> {
        let connections_max = sizes.connections as usize;
        let (now, stopwatch) = clock.lap();
        let spill = Spill::new(sizes.connections, sizes.spill_surplus_arenas)?;
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            clock,
            now,
            connections: Slab::with_capacity(connections_max),
            connections_max,
            queue: VecDeque::with_capacity(connections_max),
            revisits: VecDeque::with_capacity(connections_max),
            postponed: Vec::with_capacity(connections_max),
            closed: Vec::with_capacity(connections_max),
            listeners: Listeners::none(),
            stalest: Stalest::new(),
            timers: Timers::new(connections_max),
            space: Workspace::new(spill, Tls::new(sizes.tls_connections), stopwatch),
            tick_at_ms: now.monotonic_ms + PROTOCOL_TICK_MS,
            drain_until_ms: None,
        })
    }

    /// Takes peers at this address from now on.
    ///
    /// # Errors
    /// What the kernel says: somebody else began to listen there meanwhile.
    pub fn listen(&mut self, bound: Bound) -> io::Result<ListenerId> {
        let token = Token(LISTENER_TOKENS + self.listeners.len());
        self.listeners.listen(bound, self.poll.registry(), token)
    }

    /// Whom peers are told they talk to, from now on. Before there is an identity, nothing can be
    /// encrypted.
    pub fn set_identity(&mut self, identity: Identity) {
        self.space.tls.set_identity(identity);
    }

    /// Where sources of others are registered, with [`foreign_token`](Self::foreign_token).
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// The token for a source that is not the reactor's own; `number` is below 64, and
    /// [`Turn::is_ready`] is asked with the same.
    #[must_use]
    pub fn foreign_token(number: u8) -> Token {
        Token(FOREIGN_TOKENS + usize::from(number % 64))
    }

    /// How many connections there are, those that linger included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// One round of the loop.
    ///
    /// # Errors
    /// Only if polling itself fails, which leaves nothing to go on with.
    pub fn turn(&mut self, protocol: &mut P) -> io::Result<Turn> {
        self.sleep()?;
        (self.now, self.space.stopwatch) = self.clock.lap();
        let turn = self.note_events();
        protocol.turn_begins();
        self.space.tls.turn_begins();
        let visited = self.run_queue(protocol);
        let accepted = self.accept(protocol);
        self.fire_timers(protocol);
        self.free_closed();
        protocol.turn_ends(visited + accepted, self.space.stopwatch.elapsed_ns());
        Ok(turn)
    }

    /// Polls until an event, the next timer, or not at all if there is work.
    fn sleep(&mut self) -> io::Result<()> {
        let drain_until_ms = self.drain_until_ms.filter(|_| !self.connections.is_empty());
        let until_ms = match self.queue.is_empty() && self.revisits.is_empty() {
            false => 0,
            true => [self.timers.next_ms(), self.listeners.next_ms(), drain_until_ms]
                .into_iter()
                .flatten()
                .fold(self.tick_at_ms, u64::min),
        };
        // Counted from the last turn's time, which is a little too long after a long turn, and
        // saves a reading of the clock.
        let timeout = Duration::from_millis(until_ms.saturating_sub(self.now.monotonic_ms));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Notes who is ready; nothing is done about it yet.
    fn note_events(&mut self) -> Turn {
        let mut turn = Turn::default();
        for event in &self.events {
            let Token(token) = event.token();
            if token >= FOREIGN_TOKENS {
                turn.foreign |= 1 << ((token - FOREIGN_TOKENS) % 64);
            } else if token >= LISTENER_TOKENS {
                self.listeners.note_ready(ListenerId(token - LISTENER_TOKENS));
            } else if let Some(slot) = self.connections.get_mut(token) {
                slot.note(event);
                // Who has left can wait.
                let has_left = event.is_read_closed();
                let queue = if has_left { &mut self.revisits } else { &mut self.queue };
                enqueue(queue, slot, token as u32);
            }
        }
        turn
    }

    /// Visits everybody who was queued when it begins, and some of those who were visited before and
    /// have more; who is queued again waits a turn. Returns how many that were.
    fn run_queue(&mut self, protocol: &mut P) -> usize {
        let mut visited = 0;
        let (first, again) = (self.queue.len(), self.revisits.len().min(REVISITS_PER_TURN));
        for place in 0..first + again {
            let queue = if place < first { &mut self.queue } else { &mut self.revisits };
            let Some(index) = queue.pop_front() else { break };
            let Some(slot) = self.connections.get_mut(index as usize) else { continue };
            if slot.is_postponed(protocol) {
                self.postponed.push(index);
                continue;
            }
            slot.queued = false;
            if !slot.is_closed() {
                visited += 1;
                let after = slot.visit(protocol, &mut self.space, self.now);
                if after != After::Close {
                    enqueue(&mut self.revisits, slot, index);
                }
                self.settle(protocol, index, after);
            }
        }
        // Before whoever was served and has more: so all of them are, a turn at a time.
        while let Some(index) = self.postponed.pop() {
            self.queue.push_front(index);
        }
        visited
    }

    /// Does what has to be done with a connection after something was done for it.
    fn settle(&mut self, protocol: &mut P, index: u32, mut after: After) {
        let Some(slot) = self.connections.get_mut(index as usize) else { return };
        if self.drain_until_ms.is_some() && after == After::Stay {
            after = slot.drain(protocol, &mut self.space, self.now);
        }
        match after {
            After::Stay => {
                enqueue(&mut self.queue, slot, index);
                // A later deadline is seen when the timer fires; only an earlier one moves it.
                if let Some(deadline_ms) = slot.deadline_ms(protocol, &self.space.tls)
                    && deadline_ms < self.timers.deadline_ms(index)
                {
                    self.timers.set(index, deadline_ms);
                }
            }
            After::Linger => {
                enqueue(&mut self.queue, slot, index);
                self.timers.set(index, self.now.monotonic_ms + LINGER_MS);
            }
            After::Close if slot.is_closed() => {}
            After::Close => {
                slot.close();
                self.closed.push(index);
                self.timers.cancel(index);
            }
        }
        if after != After::Stay
            && let Some(conversation) = slot.hang_up(&mut self.space)
        {
            protocol.disconnected(conversation, self.now);
        }
    }

    /// Accepts a bounded batch at each listener, unless accepting rests. Returns how many peers may
    /// stay.
    fn accept(&mut self, protocol: &mut P) -> usize {
        let (now, now_ms) = (self.now, self.now.monotonic_ms);
        let mut accepted = 0;
        for listener in (0..self.listeners.len()).map(ListenerId) {
            for _ in 0..ACCEPTS_PER_TURN {
                if !self.listeners.is_ready(listener, now_ms) {
                    break;
                }
                if self.connections.len() == self.connections_max {
                    // Until a slot is freed.
                    self.listeners.rest(u64::MAX);
                    return accepted;
                }
                let is_crowded =
                    self.listeners.are_scarce(now_ms) || protocol.is_crowded(listener, now);
                if is_crowded && self.listeners.has_its_crowd(listener, now_ms) {
                    break;
                }
                match self.listeners.accept(listener, now_ms) {
                    Accepted::Peer(stream, peer) => {
                        if is_crowded {
                            self.listeners.note_crowded(listener, now_ms);
                        }
                        let came = self.admit(protocol, listener, stream, peer);
                        accepted += usize::from(came == Came::In);
                        // Whoever is not wanted takes nobody's place.
                        if matches!(came, Came::In | Came::AndWas(Refused::NoRoom))
                            && protocol.wants_way(listener)
                        {
                            self.make_way(protocol);
                        }
                    }
                    Accepted::Lost => {}
                    Accepted::Nobody => break,
                }
            }
        }
        accepted
    }

    /// Greets a peer and gives it a slot, or sends it away; says which.
    fn admit(
        &mut self,
        protocol: &mut P,
        listener: ListenerId,
        mut stream: TcpStream,
        peer: SocketAddr,
    ) -> Came {
        let now = self.now;
        let output = &mut self.space.output;
        let (conversation, encrypt) = match protocol.connected(listener, peer, now, output) {
            Admission::Accept(conversation) => (conversation, false),
            Admission::Encrypt(conversation) => (conversation, true),
            Admission::Refuse(refused) => {
                if !output.is_empty() {
                    // Nothing can be done for a peer that does not even hear this.
                    let _ = stream.write(output.as_slice());
                    output.clear();
                }
                return Came::AndWas(refused);
            }
        };
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        let slot = entry.insert(Slot::new(stream, conversation, now));
        let mut after = match encrypt {
            true => slot.encrypt(protocol, &mut self.space, 0..0, now),
            false => slot.greet(protocol, &mut self.space, now),
        };
        // Of those that storm many have left before they are accepted.
        if after != After::Close {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            if registry.register(slot.source(), Token(index), interest).is_err() {
                after = After::Close;
            }
        }
        self.settle(protocol, index as u32, after);
        if after == After::Close { Came::AndWent } else { Came::In }
    }

    /// Closes the connection that has been silent longest, if any may be.
    fn make_way(&mut self, protocol: &mut P) {
        let now = self.now;
        loop {
            let Some((since_ms, index)) = self.stalest.next() else {
                if !self.stalest.may_look(now.monotonic_ms) {
                    return;
                }
                let silent = self.connections.iter().filter_map(|(index, slot)| {
                    Some((slot.silent_since_ms(protocol, now)?, index as u32))
                });
                self.stalest.look(silent, now.monotonic_ms);
                continue;
            };
            let Some(slot) = self.connections.get_mut(index as usize) else { continue };
            // It may have moved since, or be another.
            if slot.silent_since_ms(protocol, now) == Some(since_ms) {
                let after = slot.make_way(protocol, &mut self.space, now);
                self.settle(protocol, index, after);
                return;
            }
        }
    }

    /// Asks for all deadlines again, since some are earlier than their timers.
    fn rearm(&mut self, protocol: &P) {
        for (index, slot) in &self.connections {
            if let Some(deadline_ms) = slot.deadline_ms(protocol, &self.space.tls)
                && deadline_ms < self.timers.deadline_ms(index as u32)
                && !slot.is_closed()
            {
                self.timers.set(index as u32, deadline_ms);
            }
        }
    }

    /// Fires a bounded number of timers.
    fn fire_timers(&mut self, protocol: &mut P) {
        let now_ms = self.now.monotonic_ms;
        if self.tick_at_ms <= now_ms {
            self.tick_at_ms = now_ms + PROTOCOL_TICK_MS;
            protocol.tick(self.now);
            if protocol.deadlines_came_nearer() {
                self.rearm(protocol);
            }
        }
        if self.drain_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            self.close_all(protocol);
        }
        let mut moves = TIMERS_PER_TURN;
        while let Some(index) = self.timers.fire(now_ms, &mut moves) {
            self.expire(protocol, index);
        }
    }

    /// A connection's timer fired: the deadline that it was armed for may have moved since.
    fn expire(&mut self, protocol: &mut P, index: u32) {
        let Some(slot) = self.connections.get_mut(index as usize) else { return };
        let after = match slot.deadline_ms(protocol, &self.space.tls) {
            Some(deadline_ms) if deadline_ms > self.now.monotonic_ms => After::Stay,
            Some(_) if slot.is_held() => slot.end_hold(protocol, self.now),
            Some(_) => slot.expire(protocol, &mut self.space, self.now),
            // It lingered long enough.
            None => After::Close,
        };
        self.settle(protocol, index, after);
        // A protocol that goes on without a new deadline is asked again, but not at once.
        let now_ms = self.now.monotonic_ms;
        if self.timers.deadline_ms(index) <= now_ms {
            self.timers.set(index, now_ms + TIMER_TICK_MS);
        }
    }

    /// Frees the slots of closed connections, and with them their sockets.
    fn free_closed(&mut self) {
        if self.closed.is_empty() {
            return;
        }
        let connections = &mut self.connections;
        self.closed.retain(|&index| {
            // Whoever waits in the queue is freed when its turn there has come.
            let is_queued = connections.get(index as usize).is_some_and(|slot| slot.queued);
            if !is_queued {
                connections.try_remove(index as usize);
            }
            is_queued
        });
        self.listeners.end_rest();
    }

    /// Begins to shut down: no more peers; connections are told, and those that go on get
    /// [`DRAIN_MS`] to finish.
    pub fn drain(&mut self, protocol: &mut P) {
        if self.drain_until_ms.is_some() {
            return;
        }
        self.now = self.clock.now();
        self.listeners.close();
        self.drain_until_ms = Some(self.now.monotonic_ms + DRAIN_MS);
        for index in 0..self.connections_max {
            self.settle(protocol, index as u32, After::Stay);
        }
        self.free_closed();
    }

    /// Whether a drain was begun and no connection is left.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drain_until_ms.is_some() && self.connections.is_empty()
    }

    /// The drain is over, for everybody.
    fn close_all(&mut self, protocol: &mut P) {
        for index in 0..self.connections_max {
            if let Some(slot) = self.connections.get_mut(index) {
                slot.expire(protocol, &mut self.space, self.now);
                self.settle(protocol, index as u32, After::Close);
            }
        }
    }
}

/// Queues a connection that has work, unless it is queued already.
fn enqueue<C>(queue: &mut VecDeque<u32>, slot: &mut Slot<C>, index: u32) {
    if !slot.queued && slot.has_work() {
        slot.queued = true;
        queue.push_back(index);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Stream};

    use super::*;
    use crate::output::Output;
    use crate::progress::{Progress, Then};

    /// Goes on whatever happens, with this deadline.
    struct Waits(u64);

    impl Protocol for Waits {
        type Connection = ();

        fn connected(
            &mut self,
            _listener: ListenerId,
            _peer: SocketAddr,
            _now: Now,
            _output: &mut Output,
        ) -> Admission<()> {
            Admission::Refuse(Refused::Unwanted)
        }

        fn received(
            &mut self,
            _connection: &mut (),
            input: &[u8],
            _now: Now,
            _output: &mut Output,
        ) -> Progress {
            Progress { consumed: input.len(), then: Then::Continue }
        }

        fn deadline_ms(&self, _connection: &(), _moved_ms: u64) -> u64 {
            self.0
        }

        fn expired(&mut self, _connection: &mut (), _now: Now, _output: &mut Output) -> Then {
            Then::Continue
        }

        fn disconnected(&mut self, _connection: (), _now: Now) {}
    }

    /// When the only connection's timer fires next, after it fired at `now_ms` to find that the
    /// deadline is another by now.
    fn fires_again_ms(reactor: &mut Reactor<Waits>, now_ms: u64, deadline_ms: u64) -> u64 {
        reactor.timers = Timers::new(1);
        reactor.now = Now { monotonic_ms: now_ms, unix_ms: 0 };
        assert_eq!(reactor.timers.fire(now_ms, &mut 1), None);
        reactor.expire(&mut Waits(deadline_ms), 0);
        (now_ms..)
            .find(|&at_ms| reactor.timers.fire(at_ms, &mut { TIMERS_PER_TURN }).is_some())
            .unwrap()
    }

    #[test]
    fn law_a_deadline_that_moved_passes_less_than_a_tick_late_and_never_early() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = Stream::connect(listener.local_addr().unwrap()).unwrap();
        let mut reactor = Reactor::new(Clock::start(), Sizes::for_connections(1)).unwrap();
        let slot = Slot::new(TcpStream::from_std(stream), (), Now::default());
        assert_eq!(reactor.connections.insert(slot), 0);
        for now_ms in 1000..1000 + 2 * TIMER_TICK_MS {
            for deadline_ms in now_ms + 1..now_ms + 3 * TIMER_TICK_MS {
                let fired_ms = fires_again_ms(&mut reactor, now_ms, deadline_ms);
                let on_time = deadline_ms..deadline_ms + TIMER_TICK_MS;
                assert!(on_time.contains(&fired_ms), "{now_ms} {deadline_ms} {fired_ms}");
            }
            // Who goes on without a new one is asked again, but not at once.
            for deadline_ms in [0, now_ms - 1, now_ms] {
                let fired_ms = fires_again_ms(&mut reactor, now_ms, deadline_ms);
                let later = now_ms + TIMER_TICK_MS..now_ms + 2 * TIMER_TICK_MS;
                assert!(later.contains(&fired_ms), "{now_ms} {deadline_ms} {fired_ms}");
            }
        }
    }
}
