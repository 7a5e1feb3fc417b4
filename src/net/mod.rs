//! The reactor: one thread, one poll, any number of connections up to a cap, and a [`Protocol`]
//! that says what they mean. It knows sockets, readiness, buffers and time; it knows no SMTP and
//! no HTTP, and tests drive it with an echo.
//!
//! ```text
//!          ┌──────────────────────────────── a turn ────────────────────────────────┐
//!   poll ──┤ until the next timer, or not at all while work is left over            │
//!  clock   │ read once; everything below is told the time                           │
//!  events  │ set readiness bits and queue the connection, nothing else              │
//!  queue   │ visit each: recv → received() → one send; a budget of bytes, then the  │
//!          │ next; whoever is stopped keeps its bits and stays queued, with those   │
//!          │ that have left: after the others, a few a turn                         │
//!  accept  │ a bounded batch, after the old work; rests when there is no room       │
//!  timers  │ a bounded number                                                       │
//!  free    │ closed slots last, so that nothing stale meets a reused slot           │
//!  clock   │ read once more: how long it took                                       │
//!          └────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A round trip is one recv and one send, whatever arrives and however many replies it makes; a
//! connection is registered once, and never changed or deregistered. All memory is taken when the
//! [`Reactor`] is made.
//!
//! A connection may be encrypted from its first byte or from some later one on (`crate::tls`); a
//! protocol sees only what is plain. A handshake has a deadline of its own, and so many get on in a
//! turn.
//!
//! What a peer makes wait, waits in a fixed spill: replies that it does not read, and input that
//! the protocol cannot use yet. While replies wait, nothing is read. What a protocol makes wait (a
//! reply that it holds back) waits there too, for a timer.

mod connection;
mod listener;
mod reactor;
mod spill;
mod stalest;
pub mod timers;
mod wire;

use std::net::SocketAddr;

pub use listener::{Bound, ListenerId};
pub use reactor::{Reactor, Sizes, Turn};

use crate::clock::Now;
use crate::output::Output;
use crate::progress::{Progress, Then};

/// What connections mean: one value for all of them, which the reactor calls with bytes and the
/// time. It never sees a socket, and cannot block.
pub trait Protocol {
    /// What the protocol remembers of one connection. It lives in the reactor's table.
    type Connection;

    /// A peer came in. What is put in `output` is sent at once: a banner, or why it is refused.
    fn connected(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
        now: Now,
        output: &mut Output,
    ) -> Admission<Self::Connection>;

    /// The handshake of a connection that was to be encrypted is done: everything it is shown or says
    /// from here on is. What is put in `output` is sent at once.
    fn encrypted(&mut self, _connection: &mut Self::Connection, _now: Now, _output: &mut Output) {}

    /// Whether there is next to no room for peers that come in here: others have to make way for them,
    /// or they are sent away. Then few are accepted, and the others wait in the backlog.
    fn is_crowded(&self, _listener: ListenerId, _now: Now) -> bool {
        false
    }

    /// Bytes arrived: `input` is everything that was not consumed yet, oldest first, in one piece,
    /// and never empty. Replies go to `output`.
    ///
    /// [`Then::Continue`] closes the connection if the input filled the whole read buffer and none
    /// of it was consumed, and [`Then::Flush`] if nothing was consumed and there is nothing to send.
    fn received(
        &mut self,
        connection: &mut Self::Connection,
        input: &[u8],
        now: Now,
        output: &mut Output,
    ) -> Progress;

    /// By when the connection has waited too long, in monotonic milliseconds, if a byte last
    /// moved between it and its peer at `moved_ms`; [`timers::NEVER`] if it may wait for ever.
    ///
    /// Asked after each visit and when a timer fires, so that it should be an addition or two.
    /// Until it moves by more than the timers' grain, a later deadline costs nothing.
    fn deadline_ms(&self, connection: &Self::Connection, moved_ms: u64) -> u64;

    /// The deadline has passed. Not asked while replies are unsent, when there is no way to say
    /// anything and the connection is just closed. Going on takes a later deadline.
    fn expired(&mut self, connection: &mut Self::Connection, now: Now, output: &mut Output)
    -> Then;

    /// The connection is over, for whatever reason. Comes exactly once for each that was accepted.
    fn disconnected(&mut self, connection: Self::Connection, now: Now);

    /// A response, or what is left of one, that the protocol keeps itself because it is long: it
    /// is sent after what is in the output, and nothing is received before all of it has left.
    fn held_output<'a>(&'a self, _connection: &'a Self::Connection) -> &'a [u8] {
        &[]
    }

    /// The first `bytes` of the held output have left.
    fn held_output_sent(&mut self, _connection: &mut Self::Connection, _bytes: usize) {}

    /// Until when what is said to the connection is held back, in monotonic milliseconds: nothing is
    /// sent and nothing is read before. Asked when there is output, and while it is held, when the
    /// answer must not change.
    ///
    /// It waits in the spill. What finds no room there is not held.
    fn held_until_ms(&self, _connection: &Self::Connection) -> u64 {
        0
    }

    /// A hold is over, and what was held is sent next; [`Then::Close`] closes instead. `spoke`: the
    /// peer has sent something before that.
    fn hold_ended(&mut self, _connection: &mut Self::Connection, _spoke: bool, _now: Now) -> Then {
        Then::Continue
    }

    /// Whether there is so little room that a peer which has just come in should have that of another,
    /// the one that has been silent longest. Asked after each that may stay, or for which there was no
    /// room at all.
    fn wants_way(&self, _listener: ListenerId) -> bool {
        false
    }

    /// Whether a connection may be asked to make way, if a byte last moved at `moved_ms`. Nothing of
    /// it is unsent or unread.
    fn may_make_way(&self, _connection: &Self::Connection, _moved_ms: u64, _now: Now) -> bool {
        false
    }

    /// The connection makes way; what is put in `output` is the last that it hears.
    fn makes_way(&mut self, _connection: &mut Self::Connection, _now: Now, _output: &mut Output) {}

    /// Whether deadlines of connections that nobody visited have come nearer since this was last
    /// asked, after each [`tick`](Self::tick): if so, all are asked for again.
    fn deadlines_came_nearer(&mut self) -> bool {
        false
    }

    /// The server shuts down: told once to each connection, when it has no replies unsent.
    /// [`Then::Close`] ends it after what was put in `output`; others may go on until the
    /// reactor's drain is over, and it is up to the protocol to close them when they are done.
    fn draining(
        &mut self,
        _connection: &mut Self::Connection,
        _now: Now,
        _output: &mut Output,
    ) -> Then {
        Then::Close
    }

    /// A turn of the loop begins: what the protocol counts by turns starts again.
    fn turn_begins(&mut self) {}

    /// Whether the protocol has something left of this turn for the connection. If not, it is not
    /// visited, nothing is read from it, and it is the first to be asked for in the next turn.
    fn has_time(&self, _connection: &Self::Connection) -> bool {
        true
    }

    /// Whether there is something in what the protocol has just put into the output that it wants
    /// timed. Asked after each write, so that the clock is only read for what matters.
    fn is_timed(&self) -> bool {
        false
    }

    /// What was in the output has been handed to the kernel, as far as the peer had room for it,
    /// `turn_ns` nanoseconds after the turn began, which is when the loop learnt of everything that
    /// it answers in it. Comes after [`is_timed`](Self::is_timed), before anything else is said to
    /// anybody, and also if the peer was gone.
    fn sent(&mut self, _turn_ns: u64) {}

    /// A turn has ended, in which so many connections were visited or accepted, and which lasted for
    /// `turn_ns` nanoseconds; the loop polls next.
    fn turn_ends(&mut self, _connections: usize, _turn_ns: u64) {}

    /// Comes about every [`PROTOCOL_TICK_MS`](crate::limits::PROTOCOL_TICK_MS), for sweeps.
    fn tick(&mut self, _now: Now) {}
}

/// Whether a peer may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission<C> {
    /// It may.
    Accept(C),
    /// It may, and speaks TLS from its first byte. There has to be nothing in the output.
    Encrypt(C),
    /// It is sent away, after what was put in the output.
    Refuse(Refused),
}

/// Why a peer is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// For what it is.
    Unwanted,
    /// Only because there is no room for it: another may have to make way for whoever comes next.
    NoRoom,
}
