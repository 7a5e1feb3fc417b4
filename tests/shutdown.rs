//! How the program stops: SIGTERM and SIGINT let transactions under way finish and tell the idle; a
//! second signal ends it at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;

use support::{Client, Daemon};

#[test]
fn the_idle_are_told_and_a_message_under_way_is_finished() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start(&[]);
        let mut idle = Client::introduced(daemon.smtp);
        let mut busy = Client::introduced(daemon.smtp);
        busy.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
        busy.expect("250");
        busy.expect("250");
        busy.expect("354");
        busy.send(b"Subject: half");
        daemon.signal(signal);
        idle.expect("421");
        assert_eq!(idle.rest(), b"");
        assert!(TcpStream::connect(daemon.smtp).is_err(), "nobody is let in any more");
        busy.send(b" and whole\r\n.\r\n");
        busy.expect("250");
        busy.expect("421");
        assert_eq!(busy.rest(), b"");
        assert_eq!(daemon.wait().code(), Some(0));
    }
}

#[test]
fn a_message_that_does_not_get_finished_is_not_waited_for_for_ever() {
    let mut daemon = Daemon::start(&[]);
    let mut busy = Client::introduced(daemon.smtp);
    busy.send(b"MAIL FROM:<a@example.org>\r\n");
    busy.expect("250");
    daemon.signal("TERM");
    busy.expect("421");
    assert_eq!(busy.rest(), b"");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut daemon = Daemon::start(&[]);
    let mut idle = Client::introduced(daemon.smtp);
    let mut busy = Client::introduced(daemon.smtp);
    busy.send(b"MAIL FROM:<a@example.org>\r\n");
    busy.expect("250");
    daemon.signal("TERM");
    // The first has been heard when this comes.
    idle.expect("421");
    daemon.signal("TERM");
    assert_eq!(daemon.wait().signal(), Some(15));
}
