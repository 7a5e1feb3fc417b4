//! Idle connections, as many as the limit on descriptors allows: they take next to nothing, all of
//! them are still answered afterwards, and others bring mail meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use mailfly::sys::descriptors;
use socket2::{Domain, Socket, Type};
use support::{Browser, Client, Daemon, PATIENCE, message, skipped};

/// What the test wants to hold. A limit of 20,000 descriptors, which is common, has room for them.
const IDLE_MAX: usize = 19_000;
/// Descriptors besides, on either side: the program's own, and the other tests' beside this one.
const RESERVED: usize = 500;
/// Resident memory that a connection may add, in bytes.
const BYTES_EACH: u64 = 512;
/// Connections that are brought up at a time: fewer than any backlog.
const BATCH: usize = 100;

#[test]
fn thousands_of_idle_connections_take_next_to_nothing_and_are_all_answered() {
    let limit = usize::try_from(descriptors::raise().unwrap().soft).unwrap_or(usize::MAX);
    let idle = IDLE_MAX.min(limit.saturating_sub(RESERVED));
    if idle < IDLE_MAX {
        let why =
            format!("in part: a limit of {limit} descriptors has room for {idle} of {IDLE_MAX}");
        skipped("idle connections", &why);
    }
    let connections = (idle + RESERVED / 2).to_string();
    let daemon = Daemon::start(&["--connections", &connections, "--memory", "64MiB"]);
    // The first of everything, so that only what comes in numbers is counted.
    let mut active = Client::introduced(daemon.smtp);
    active.deliver("active@example.com", &message(0, 1000));
    let before = daemon.resident_bytes();

    let mut held: Vec<TcpStream> = Vec::with_capacity(idle);
    while held.len() < idle {
        let batch = BATCH.min(idle - held.len());
        let mut fresh: Vec<TcpStream> =
            (0..batch).map(|place| connect(daemon.smtp, held.len() + place)).collect();
        for stream in &mut fresh {
            expect(stream, "220 ");
            stream.write_all(b"HELO idle.example.org\r\n").unwrap();
        }
        for stream in &mut fresh {
            expect(stream, "250 ");
        }
        held.append(&mut fresh);
    }
    let moved = daemon.resident_bytes().abs_diff(before);
    let each = moved / idle.max(1) as u64;
    println!("{idle} idle connections moved resident memory by {moved} bytes, {each} each");
    assert!(moved <= BYTES_EACH * idle as u64, "{idle} connections moved {moved} bytes");

    // Who is not idle does not notice.
    let body = message(1, 5000);
    let id = active.deliver("active@example.com", &body);
    let id_of_new = Client::introduced(daemon.smtp).deliver("fresh@example.com", &body);
    let mut browser = Browser::connect(daemon.http);
    assert_eq!(browser.source("active", &id).sent, body);
    assert_eq!(browser.source("fresh", &id_of_new).sent, body);
    assert_eq!(browser.metric("mailfly_connections_open{service=\"smtp\"}"), idle as u64 + 1);

    // All of them at once.
    for stream in &mut held {
        stream.write_all(b"NOOP\r\n").unwrap();
    }
    for stream in &mut held {
        expect(stream, "250 ");
    }
    let moved = daemon.resident_bytes().abs_diff(before);
    assert!(moved <= BYTES_EACH * idle as u64, "after NOOP {moved} bytes have moved");
    drop(held);
    active.deliver("active@example.com", &body);
}

/// Connects from one of several addresses: one alone has too few ports for all.
fn connect(address: SocketAddr, number: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source = Ipv4Addr::new(127, 0, 0, 2 + (number % 16) as u8);
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// Reads one line, which must begin with this.
#[track_caller]
fn expect(stream: &mut TcpStream, begins: &str) {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut buffer = [0; 512];
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the server closed after {line:?}");
        line.extend_from_slice(&buffer[..length]);
    }
    let line = String::from_utf8(line).unwrap();
    assert!(line.starts_with(begins), "wanted {begins}, got {line:?}");
}
