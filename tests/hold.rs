//! What a protocol holds back leaves when its time has come, and costs nobody else anything until
//! then: a protocol that answers each line, over loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mailfly::clock::{Clock, Now};
use mailfly::net::{Admission, Bound, ListenerId, Protocol, Reactor, Sizes};
use mailfly::output::Output;
use mailfly::progress::{Progress, Then};

/// Longer than anything on loopback takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than a test waits for anything that is not held.
const LONG_MS: u64 = 3_600_000;
const SHORT_MS: u64 = 200;

/// Answers `hold …` late, `keep …` an hour late, `bye …` late and for the last time, and all other
/// lines at once.
#[derive(Default)]
struct Answers {
    banner_held_ms: u64,
    /// How many holds ended, and of how many peers who had spoken meanwhile.
    ended: Arc<AtomicU32>,
    spoke: Arc<AtomicU32>,
    closes_who_spoke: bool,
    /// Deadlines are an hour away until this is set, and have passed then.
    hurry: Arc<AtomicBool>,
    hurried: bool,
    turns: Arc<AtomicU32>,
}

impl Protocol for Answers {
    /// Until when it is held.
    type Connection = u64;

    fn connected(
        &mut self,
        _: ListenerId,
        _: SocketAddr,
        now: Now,
        output: &mut Output,
    ) -> Admission<u64> {
        output.push(b"hello\n").unwrap();
        Admission::Accept(now.monotonic_ms + self.banner_held_ms)
    }

    fn received(
        &mut self,
        held: &mut u64,
        input: &[u8],
        now: Now,
        output: &mut Output,
    ) -> Progress {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return Progress { consumed: 0, then: Then::Continue };
        };
        let line = &input[..=end];
        output.push(line).unwrap();
        let (held_ms, then) = match &line[..line.len().min(4)] {
            b"hold" => (SHORT_MS, Then::Flush),
            b"keep" => (LONG_MS, Then::Flush),
            b"bye " => (SHORT_MS, Then::Close),
            _ => (0, Then::Flush),
        };
        *held = now.monotonic_ms + held_ms;
        Progress { consumed: line.len(), then }
    }

    fn deadline_ms(&self, _: &u64, moved_ms: u64) -> u64 {
        moved_ms + if self.hurried { 0 } else { LONG_MS }
    }

    fn deadlines_came_nearer(&mut self) -> bool {
        let hurried = self.hurry.load(Ordering::Relaxed);
        !std::mem::replace(&mut self.hurried, hurried) && hurried
    }

    fn expired(&mut self, _: &mut u64, _: Now, _: &mut Output) -> Then {
        Then::Close
    }

    fn disconnected(&mut self, _: u64, _: Now) {}

    fn turn_begins(&mut self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    fn held_until_ms(&self, held: &u64) -> u64 {
        *held
    }

    fn hold_ended(&mut self, _: &mut u64, spoke: bool, _: Now) -> Then {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.spoke.fetch_add(u32::from(spoke), Ordering::Relaxed);
        if spoke && self.closes_who_spoke { Then::Close } else { Then::Continue }
    }
}

struct Server {
    address: SocketAddr,
    drain: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

fn start(mut answers: Answers, spill_surplus_arenas: u32) -> Server {
    let sizes = Sizes { connections: 8, spill_surplus_arenas, tls_connections: 0 };
    let mut reactor = Reactor::new(Clock::start(), sizes).unwrap();
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.address();
    reactor.listen(bound).unwrap();
    let drain = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&drain);
    let thread = thread::spawn(move || {
        while !reactor.is_drained() {
            reactor.turn(&mut answers).unwrap();
            if asked.load(Ordering::Relaxed) {
                reactor.drain(&mut answers);
            }
        }
    });
    Server { address, drain, thread }
}

fn connect(server: &Server) -> TcpStream {
    let client = TcpStream::connect(server.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

#[track_caller]
fn expect(client: &mut TcpStream, text: &str) {
    let mut got = vec![0; text.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), text);
}

fn is_quiet(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let peeked = client.peek(&mut [0]);
    client.set_nonblocking(false).unwrap();
    peeked.is_err()
}

#[test]
fn what_is_held_leaves_in_its_order_and_others_do_not_wait() {
    let server = start(Answers::default(), 8);
    let mut held = connect(&server);
    let mut other = connect(&server);
    expect(&mut held, "hello\n");
    expect(&mut other, "hello\n");
    held.write_all(b"now\nhold it\nafter\nhold again\nha").unwrap();
    expect(&mut held, "now\n");
    for _ in 0..20 {
        other.write_all(b"quick\n").unwrap();
        expect(&mut other, "quick\n");
    }
    expect(&mut held, "hold it\nafter\nhold again\n");
    held.write_all(b"lf\nbye now\nlost\n").unwrap();
    expect(&mut held, "half\nbye now\n");
    let mut rest = Vec::new();
    // Nothing, or a reset because of what was not read.
    let _ = held.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

#[test]
fn the_loop_sleeps_while_somebody_is_held() {
    let answers = Answers::default();
    let turns = Arc::clone(&answers.turns);
    let server = start(answers, 8);
    let mut held = connect(&server);
    expect(&mut held, "hello\n");
    let before = turns.load(Ordering::Relaxed);
    for _ in 0..5 {
        held.write_all(b"hold it\nand more\n").unwrap();
        held.write_all(b"and yet more\n").unwrap();
        expect(&mut held, "hold it\nand more\nand yet more\n");
    }
    // A few for each line; one that does not sleep takes thousands.
    let turns = turns.load(Ordering::Relaxed) - before;
    assert!(turns < 200, "{turns}");
}

#[test]
fn who_speaks_while_it_is_held_is_known_and_may_be_closed() {
    for closes_who_spoke in [false, true] {
        let answers = Answers { banner_held_ms: SHORT_MS, closes_who_spoke, ..Answers::default() };
        let (ended, spoke) = (Arc::clone(&answers.ended), Arc::clone(&answers.spoke));
        let server = start(answers, 8);
        let mut polite = connect(&server);
        let mut early = connect(&server);
        early.write_all(b"me first\n").unwrap();
        expect(&mut polite, "hello\n");
        if closes_who_spoke {
            let mut rest = Vec::new();
            let _ = early.read_to_end(&mut rest);
            assert_eq!(rest, b"", "no word to it");
        } else {
            expect(&mut early, "hello\nme first\n");
        }
        let counts = (ended.load(Ordering::Relaxed), spoke.load(Ordering::Relaxed));
        assert_eq!(counts, (2, 1));
    }
}

#[test]
fn a_peer_that_is_held_is_not_read_and_one_that_leaves_is_let_go() {
    let server = start(Answers { banner_held_ms: SHORT_MS, ..Answers::default() }, 8);
    for _ in 0..20 {
        // More than there may be at once: each is gone when its hold ends.
        let mut leaves = connect(&server);
        leaves.write_all(b"x\n").unwrap();
        drop(leaves);
    }
    let mut stays = connect(&server);
    expect(&mut stays, "hello\n");
}

#[test]
fn what_finds_no_room_to_be_held_in_is_said_at_once() {
    let server = start(Answers::default(), 0);
    let mut client = connect(&server);
    expect(&mut client, "hello\n");
    let line = format!("keep {}\n", "x".repeat(2000));
    // With what it leaves behind it, no arena of its own has room for it.
    client.write_all(line.as_bytes()).unwrap();
    expect(&mut client, &line);
    client.write_all(b"keep this\n").unwrap();
    let mut other = connect(&server);
    expect(&mut other, "hello\n");
    other.write_all(b"quick\n").unwrap();
    expect(&mut other, "quick\n");
    assert!(is_quiet(&client));
}

#[test]
fn a_drain_lets_go_what_is_held() {
    let server = start(Answers::default(), 8);
    let mut client = connect(&server);
    expect(&mut client, "hello\n");
    client.write_all(b"keep this\n").unwrap();
    let mut other = connect(&server);
    expect(&mut other, "hello\n");
    other.write_all(b"quick\n").unwrap();
    expect(&mut other, "quick\n");
    assert!(is_quiet(&client));
    server.drain.store(true, Ordering::Relaxed);
    other.write_all(b"wakes the loop\n").unwrap();
    expect(&mut client, "keep this\n");
    drop((client, other));
    server.thread.join().unwrap();
}

#[test]
fn deadlines_that_come_nearer_are_heeded_also_for_those_whom_nobody_visits() {
    let answers = Answers::default();
    let hurry = Arc::clone(&answers.hurry);
    let server = start(answers, 8);
    let mut idle = connect(&server);
    expect(&mut idle, "hello\n");
    let mut held = connect(&server);
    expect(&mut held, "hello\n");
    held.write_all(b"hold this\n").unwrap();
    hurry.store(true, Ordering::Relaxed);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    expect(&mut held, "hold this\n");
}
