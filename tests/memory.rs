//! Memory is a number that the operator chose: it is there at the start, within the plan, and does
//! not move, whatever comes. And one thread does it all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::process::Command;

use support::{Client, Daemon, message, request};

const MIB: u64 = 1024 * 1024;

/// Small enough to be flooded ten times over in a moment.
const FLAGS: [&str; 10] = [
    "--memory",
    "24MiB",
    "--mailboxes",
    "4000",
    "--mailbox-size",
    "1MiB",
    "--message-size",
    "512KiB",
    "--connections",
    "300",
];

/// What `--plan` promises, in bytes.
fn planned_bytes() -> u64 {
    let program = env!("CARGO_BIN_EXE_mailfly");
    let plan = Command::new(program).env_clear().args(FLAGS).arg("--plan").output();
    let plan = String::from_utf8(plan.unwrap().stdout).unwrap();
    let total = plan.lines().find(|line| line.starts_with("total")).expect("a total");
    total.split_whitespace().find_map(|word| word.parse().ok().filter(|n| *n > MIB)).unwrap()
}

/// Ten times the pool's size in new mailboxes, over connections that come and go, with readers in
/// between.
fn flood(daemon: &Daemon, bytes: u64) -> usize {
    let sizes = [200, 1_000, 1_000, 1_000, 5_000, 30_000, 400_000];
    let (mut sent, mut number) = (0, 0);
    while sent < bytes {
        let mut clients: Vec<Client> = (0..20).map(|_| Client::introduced(daemon.smtp)).collect();
        for round in 0..20 {
            for client in &mut clients {
                number += 1;
                let body = message(number, sizes[number % sizes.len()]);
                client.deliver(&format!("user{number}@example.com"), &body);
                sent += body.len() as u64;
            }
            if round == 10 {
                assert_eq!(daemon.tasks(), 1, "one thread, under load");
                let name = format!("/api/v1/mailbox/user{number}");
                assert_eq!(request(daemon.http, "GET", &name).0, 200);
                assert_eq!(request(daemon.http, "GET", &format!("{name}/latest")).0, 200);
                assert_eq!(request(daemon.http, "GET", &format!("{name}/latest/source")).0, 200);
                assert_eq!(request(daemon.http, "GET", &format!("/mailbox/user{number}")).0, 200);
                assert_eq!(request(daemon.http, "GET", "/metrics").0, 200);
            }
        }
    }
    number
}

#[test]
fn resident_memory_is_planned_and_does_not_move() {
    let planned = planned_bytes();
    let daemon = Daemon::start(&FLAGS);
    let at_start = daemon.resident_bytes();
    assert!(at_start <= planned, "{at_start} bytes at start, {planned} planned");
    flood(&daemon, 240 * MIB);
    let after = daemon.resident_bytes();
    assert!(after <= planned, "{after} bytes after a flood, {planned} planned");
    assert!(
        after.abs_diff(at_start) <= MIB,
        "resident memory moved from {at_start} to {after} bytes"
    );
    let (_, _, metrics) = request(daemon.http, "GET", "/metrics");
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("mailfly_store_lost_total{cause=\"memory_full\"}")
            && !metrics.contains("cause=\"memory_full\"} 0\n"),
        "the flood evicted: {metrics}"
    );
}

#[test]
fn idle_connections_and_half_lines_take_nothing_more() {
    let daemon = Daemon::start(&FLAGS);
    let before = daemon.resident_bytes();
    let clients: Vec<Client> = (0..250)
        .map(|number| {
            let mut client = Client::introduced(daemon.smtp);
            match number % 3 {
                0 => client.send(&[b'x'; 1000]),
                1 => client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: half"),
                _ => {}
            }
            client
        })
        .collect();
    let mut last = Client::introduced(daemon.smtp);
    last.deliver("one@example.com", b"Subject: others go on\r\n\r\n");
    let moved = daemon.resident_bytes().abs_diff(before);
    assert!(moved <= MIB, "{} connections moved {moved} bytes", clients.len());
    let (_, _, list) = request(daemon.http, "GET", "/api/v1/mailbox/b");
    assert_eq!(list, b"[]", "half a message is none");
}
