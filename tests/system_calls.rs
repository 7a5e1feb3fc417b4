//! What the kernel is asked for while mail is taken, counted by strace: one read and one write for
//! each round trip, one epoll_ctl for each connection, and nothing else, through TLS as well as without.
//!
//! Needs strace and leave to use ptrace, and fails without; with MAILFLY_WITHOUT_STRACE in the
//! environment it says that it was skipped instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use support::strace::{self, Call};
use support::{Client, Daemon, PROGRAM, message};

const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg"];
const WRITES: &[&str] = &["write", "writev", "sendto", "sendmsg"];
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2"];
const ACCEPTS: &[&str] = &["accept", "accept4"];
/// Where the kernel's clock cannot be read without a call, reading it is one.
const CLOCKS: &[&str] = &["clock_gettime"];

/// What a handshake cannot do without.
const RANDOMNESS: &[&str] = &["getrandom"];

/// Enough that one call too many for each message is seen, and few enough to be traced at once.
const MESSAGES: usize = 100;
/// Clients that work at once.
const CLIENTS: usize = 16;

const MAIL: &[u8] = b"MAIL FROM:<sender@example.org>\r\n";
const RCPT: &[u8] = b"RCPT TO:<counted@example.com>\r\n";
const DATA: &[u8] = b"DATA\r\n";
const END: &[u8] = b".\r\n";

#[test]
fn a_lockstep_message_is_four_round_trips_of_a_read_and_a_write() {
    let Some(traced) = Traced::start() else { return };
    let mut client = Client::introduced(traced.daemon.smtp);
    let body = [&message(1, 1000)[..], b"\r\n", END].concat();
    let calls = traced.record(|| {
        for _ in 0..MESSAGES {
            lockstep(&mut client, &body);
        }
    });
    calls.assert_round_trips(4 * MESSAGES);
    calls.assert_nothing_else(&[]);
}

#[test]
fn a_pipelined_message_is_two_round_trips() {
    let Some(traced) = Traced::start() else { return };
    let mut client = Client::introduced(traced.daemon.smtp);
    let envelope = [MAIL, RCPT, DATA].concat();
    let body = [&message(1, 1000)[..], b"\r\n", END].concat();
    let calls = traced.record(|| {
        for _ in 0..MESSAGES {
            client.send(&envelope);
            expect(&mut client, &["250", "250", "354"]);
            client.send(&body);
            client.expect("250");
        }
    });
    calls.assert_round_trips(2 * MESSAGES);
    calls.assert_nothing_else(&[]);
}

#[test]
fn a_message_with_the_next_envelope_behind_it_is_one_round_trip() {
    let Some(traced) = Traced::start() else { return };
    let mut client = Client::introduced(traced.daemon.smtp);
    let envelope = [MAIL, RCPT, DATA].concat();
    let burst = [&message(1, 1000)[..], b"\r\n", END, &envelope].concat();
    client.send(&envelope);
    expect(&mut client, &["250", "250", "354"]);
    let calls = traced.record(|| {
        for _ in 0..MESSAGES {
            client.send(&burst);
            expect(&mut client, &["250", "250", "250", "354"]);
        }
    });
    calls.assert_round_trips(MESSAGES);
    calls.assert_nothing_else(&[]);
}

#[test]
fn a_message_in_a_chunk_behind_its_envelope_is_one_round_trip() {
    let Some(traced) = Traced::start() else { return };
    let mut client = Client::introduced(traced.daemon.smtp);
    let body = message(1, 1000);
    let calls = traced.record(|| {
        for _ in 0..MESSAGES {
            client.deliver("counted@example.com", &body);
        }
    });
    calls.assert_round_trips(MESSAGES);
    calls.assert_nothing_else(&[]);
}

#[test]
fn a_long_message_is_read_as_it_comes_and_never_in_vain() {
    let Some(traced) = Traced::start() else { return };
    let mut client = Client::introduced(traced.daemon.smtp);
    let body = [&message(1, 100 * 1024)[..], b"\r\n", END].concat();
    let calls = traced.record(|| {
        for _ in 0..MESSAGES {
            lockstep(&mut client, &body);
        }
    });
    // Its parts arrive one after the other: each is an event and a read, unless it fills the
    // buffer, when there may be more.
    let reads = calls.named(READS);
    let waits = calls.named(WAITS).filter(|call| call.result > 0).count();
    let full = calls.named(READS).filter(|call| call.filled_its_buffer()).count();
    assert!(reads.count() <= waits + full, "{}", calls.summary());
    assert!(calls.named(READS).all(|call| call.result > 0), "{}", calls.summary());
    assert_eq!(calls.named(WRITES).count(), 4 * MESSAGES, "{}", calls.summary());
    calls.assert_nothing_else(&[]);
}

/// All of a conversation that is left for one message.
fn bring_and_leave<S: Read + Write>(mut client: Client<S>, body: &[u8]) {
    lockstep(&mut client, body);
    client.send(b"QUIT\r\n");
    client.expect("221");
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_connection_is_one_accept_one_epoll_ctl_and_one_close_besides_its_round_trips() {
    let Some(traced) = Traced::start() else { return };
    let address = traced.daemon.smtp;
    let body = [&message(1, 1000)[..], b"\r\n", END].concat();
    let calls = traced.record(|| {
        for _ in 0..MESSAGES {
            bring_and_leave(Client::introduced(address), &body);
        }
    });
    calls.assert_connections(MESSAGES);
    let accepted = calls.named(ACCEPTS).filter(|call| call.result >= 0).count();
    assert_eq!(accepted, MESSAGES, "{}", calls.summary());
    // An edge says that somebody waits, not how many: accepting ends with nobody.
    assert!(calls.named(ACCEPTS).count() <= 2 * MESSAGES, "{}", calls.summary());
    // EHLO, the message's four, QUIT; and the banner, which is written unasked.
    assert_eq!(calls.named(READS).count(), 6 * MESSAGES, "{}", calls.summary());
    assert_eq!(calls.named(WRITES).count(), 7 * MESSAGES, "{}", calls.summary());
    // One more than it has round trips, at most: registering a socket that can be written is an event.
    assert!(calls.waits() <= 8 * MESSAGES + 1, "{}", calls.summary());
    calls.assert_nothing_else(&[ACCEPTS, &["epoll_ctl", "close"]]);
}

#[test]
fn through_tls_a_round_trip_is_a_read_and_a_write_too() {
    let Some(traced) = Traced::start() else { return };
    let mut client = Client::encrypted(traced.daemon.smtp);
    let body = [&message(1, 1000)[..], b"\r\n", END].concat();
    let calls = traced.record(|| {
        for _ in 0..MESSAGES {
            lockstep(&mut client, &body);
        }
    });
    calls.assert_round_trips(4 * MESSAGES);
    calls.assert_nothing_else(&[]);
}

#[test]
fn a_connection_with_starttls_is_one_epoll_ctl_and_two_round_trips_more() {
    let Some(traced) = Traced::start() else { return };
    let address = traced.daemon.smtp;
    let body = [&message(1, 1000)[..], b"\r\n", END].concat();
    let calls = traced.record(|| {
        for _ in 0..CLIENTS {
            bring_and_leave(Client::encrypted(address), &body);
        }
    });
    calls.assert_connections(CLIENTS);
    // EHLO, STARTTLS, the hello and the end of the handshake, EHLO, which may come with that, the
    // message's four, QUIT.
    let reads = calls.named(READS).count();
    assert!((9 * CLIENTS..=10 * CLIENTS).contains(&reads), "{}", calls.summary());
    // All of them are answered but the handshake's end; the banner; and TLS says goodbye, too.
    assert_eq!(calls.named(WRITES).count(), 11 * CLIENTS, "{}", calls.summary());
    calls.assert_nothing_else(&[ACCEPTS, &["epoll_ctl", "close"], RANDOMNESS]);
}

#[test]
fn clients_that_speak_at_once_share_an_epoll_wait() {
    let Some(traced) = Traced::start() else { return };
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::introduced(traced.daemon.smtp)).collect();
    let body = [&message(1, 1000)[..], b"\r\n", END].concat();
    let rounds = MESSAGES / 5;
    let calls = traced.record(|| {
        for _ in 0..rounds {
            for (command, code) in [(MAIL, "250"), (RCPT, "250"), (DATA, "354"), (&body, "250")] {
                // Everybody has spoken before anybody listens.
                clients.iter_mut().for_each(|client| client.send(command));
                clients.iter_mut().for_each(|client| drop(client.expect(code)));
            }
        }
    });
    let round_trips = 4 * rounds * CLIENTS;
    assert_eq!(calls.named(READS).count(), round_trips, "{}", calls.summary());
    assert_eq!(calls.named(WRITES).count(), round_trips, "{}", calls.summary());
    assert!(calls.waits() < round_trips, "{}", calls.summary());
    calls.assert_nothing_else(&[]);
}

fn lockstep<S: Read + Write>(client: &mut Client<S>, body: &[u8]) {
    for (command, code) in [(MAIL, "250"), (RCPT, "250"), (DATA, "354"), (body, "250")] {
        client.send(command);
        client.expect(code);
    }
}

#[track_caller]
fn expect(client: &mut Client, codes: &[&str]) {
    for code in codes {
        client.expect(code);
    }
}

/// The program with strace looking on.
struct Traced {
    daemon: Daemon,
    trace: JoinHandle<String>,
}

impl Traced {
    /// Starts it; none if it cannot be traced and that is all right.
    fn start() -> Option<Self> {
        let strace = strace::usable("system calls")?;
        // -D: the program stays our child, and strace its tracer ends when it does. The trace goes to
        // the program's standard error, whose end is therefore the end of the trace.
        let mut command = Command::new(strace);
        command.args(["-D", "-q", "-s", "32", "--", PROGRAM]).stderr(Stdio::piped());
        let mut daemon = Daemon::run(&mut command, &["--memory", "64MiB"]);
        let mut stderr = daemon.stderr().unwrap();
        let trace = thread::spawn(move || {
            let mut trace = String::new();
            stderr.read_to_string(&mut trace).unwrap();
            trace
        });
        Some(Self { daemon, trace })
    }

    /// Ends the program after this, and returns what it asked the kernel for meanwhile.
    fn record(self, traffic: impl FnOnce()) -> Calls {
        let mut marker = Client::introduced(self.daemon.smtp);
        marker.send(b"NOOP begin\r\n");
        marker.expect("250");
        traffic();
        marker.send(b"NOOP end\r\n");
        marker.expect("250");
        drop(self.daemon);
        Calls::between_markers(&self.trace.join().unwrap())
    }
}

/// All of them, in their order.
struct Calls(Vec<Call>);

impl Calls {
    /// From the answer to the first marker to the second one, which is not among them.
    fn between_markers(trace: &str) -> Self {
        let lines: Vec<&str> = trace.lines().collect();
        let find = |from: usize, marker: &str| {
            let place = lines[from..].iter().position(|line| line.contains(marker));
            from + place.unwrap_or_else(|| panic!("no {marker:?} in {lines:#?}"))
        };
        // Its answer, too, is the marker's.
        let begin = find(0, "\"NOOP begin\\r\\n\"") + 2;
        let end = find(begin, "\"NOOP end\\r\\n\"");
        Self(lines[begin..end].iter().filter_map(|line| Call::parse(line)).collect())
    }

    fn named<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Call> {
        self.0.iter().filter(move |call| names.contains(&call.name.as_str()))
    }

    /// How often it waited and something came. What only the clock ends is no traffic's doing.
    fn waits(&self) -> usize {
        self.named(WAITS).filter(|call| call.result != 0).count()
    }

    /// One read, one write and at most one epoll_wait for each round trip.
    #[track_caller]
    fn assert_round_trips(&self, count: usize) {
        assert_eq!(self.named(READS).count(), count, "{}", self.summary());
        assert_eq!(self.named(WRITES).count(), count, "{}", self.summary());
        // The marker at the end was waited for, too.
        assert!(self.waits() <= count + 1, "{}", self.summary());
    }

    /// So many connections were registered once each, and closed.
    #[track_caller]
    fn assert_connections(&self, count: usize) {
        let controls: Vec<&Call> = self.named(&["epoll_ctl"]).collect();
        assert_eq!(controls.len(), count, "{}", self.summary());
        let once = controls.iter().all(|call| call.arguments.contains("EPOLL_CTL_ADD"));
        assert!(once, "{controls:?}");
        assert_eq!(self.named(&["close"]).count(), count, "{}", self.summary());
    }

    /// Nothing else was asked for but reads, writes, waits, the time, and these.
    #[track_caller]
    fn assert_nothing_else(&self, also: &[&[&str]]) {
        let usual = [READS, WRITES, WAITS, CLOCKS];
        let known = |name: &str| usual.iter().chain(also).any(|names| names.contains(&name));
        let others: Vec<&Call> = self.0.iter().filter(|call| !known(&call.name)).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    fn summary(&self) -> String {
        let mut names: Vec<&str> = self.0.iter().map(|call| call.name.as_str()).collect();
        names.sort_unstable();
        let counts =
            names.chunk_by(|a, b| a == b).map(|same| format!("{} {}", same.len(), same[0]));
        let vain = self.named(READS).filter(|call| call.result < 0).count();
        format!("{}; {vain} reads in vain", counts.collect::<Vec<_>>().join(", "))
    }
}
