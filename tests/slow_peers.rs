//! Peers that ask and do not read: they wait for themselves alone, and get everything, in order,
//! once they do read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::fmt::Write as _;
use std::thread;

use support::{Browser, Client, Daemon, message};

/// What others do meanwhile: bring mail and read it, over new connections.
fn others_go_on(daemon: &Daemon) {
    for number in 0..20 {
        let body = message(number, 10_000);
        let id = Client::introduced(daemon.smtp).deliver("meanwhile@x", &body);
        assert_eq!(Browser::connect(daemon.http).source("meanwhile", &id).sent, body);
    }
}

#[test]
fn a_reader_who_does_not_read_a_long_source_holds_up_nobody_and_gets_all_of_it() {
    let daemon = Daemon::start(&[]);
    let body = message(1, 3_000_000);
    let id = Client::introduced(daemon.smtp).deliver("long@x", &body);
    let path = format!("/api/v1/mailbox/long/{id}/source");
    let mut slow: Vec<Browser> =
        (0..5).map(|_| Browser::over(Client::narrow(daemon.http))).collect();
    for browser in &mut slow {
        // A request behind the one that is not read: it is not even looked at.
        browser.ask("GET", &path);
        browser.ask("DELETE", &format!("/api/v1/mailbox/long/{id}"));
    }
    others_go_on(&daemon);
    // Three megabytes are more than the kernel holds for a narrow client.
    let mut other = Browser::connect(daemon.http);
    assert_eq!(other.source("long", &id).sent, body, "what is behind an answer waits for it");
    // One goes without having read: nobody misses it.
    drop(slow.pop());
    for browser in &mut slow {
        let source = browser.answer();
        assert_eq!(source.status, 200);
        assert!(source.body.ends_with(&body), "{} bytes", source.body.len());
    }
    let deleted: Vec<u16> = slow.iter_mut().map(|browser| browser.answer().status).collect();
    assert_eq!(deleted.iter().filter(|status| **status == 200).count(), 1, "{deleted:?}");
    assert_eq!(deleted.iter().filter(|status| **status == 410).count(), 3, "{deleted:?}");
    others_go_on(&daemon);
}

/// Many more than the kernel has room for the replies of.
const COMMANDS: usize = 30_000;

#[test]
fn a_client_who_pipelines_without_reading_holds_up_nobody_and_gets_every_reply_in_order() {
    let daemon = Daemon::start(&["--hostname", "mx.test", "--policy", "rfc"]);
    let mut client = Client::narrow(daemon.smtp);
    client.send(b"HELO there\r\n");
    client.expect("220");
    client.expect("250 mx.test");
    // Replies that tell the commands apart, and a message at the end of it all.
    let (mut commands, mut replies) = (String::new(), String::new());
    for number in 0..COMMANDS {
        let (command, reply) = match number % 7 {
            0 => ("VRFY", "252 2.5.0 Any address is accepted, none is verified"),
            1 | 4 => ("RSET", "250 2.0.0 Ok"),
            2 => ("HELO again", "250 mx.test"),
            _ => ("NOOP", "250 2.0.0 Ok"),
        };
        write!(commands, "{command}\r\n").unwrap();
        write!(replies, "{reply}\r\n").unwrap();
    }
    commands += "MAIL FROM:<a@x>\r\nRCPT TO:<last@x>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n";
    let sent = thread::scope(|scope| {
        // In a thread of its own: the server takes no more than it can answer.
        let mut writer = client.twin();
        let sent = scope.spawn(move || writer.send(commands.as_bytes()));
        others_go_on(&daemon);
        let mut browser = Browser::connect(daemon.http);
        assert_eq!(browser.ids("last"), [""; 0], "nothing is done ahead of who does not read");
        let all = String::from_utf8(client.rest()).unwrap();
        let (before, last) = all.split_at(replies.len().min(all.len()));
        assert!(before == replies, "a reply is lost, or out of order");
        let (envelope, stored) = last.split_once("354 ").unwrap();
        assert_eq!(envelope, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
        assert!(stored.ends_with("\r\n221 2.0.0 mx.test Bye\r\n"), "{stored}");
        assert_eq!(browser.source("last", "latest").sent, b"hello\r\n");
        sent.join()
    });
    sent.unwrap();
    others_go_on(&daemon);
}

#[test]
fn one_who_pipelines_without_ever_reading_and_leaves_is_forgotten() {
    let daemon = Daemon::start(&[]);
    let before = daemon.resident_bytes();
    let commands = "NOOP\r\nRSET\r\n".repeat(2_500);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::narrow(daemon.smtp)).collect();
    for client in &mut clients {
        client.send(b"HELO there\r\n");
        client.send(commands.as_bytes());
    }
    others_go_on(&daemon);
    let moved = daemon.resident_bytes().abs_diff(before);
    assert!(moved <= 1024 * 1024, "{} clients moved {moved} bytes", clients.len());
    drop(clients);
    let mut browser = Browser::connect(daemon.http);
    let open = "mailfly_connections_open{service=\"smtp\"}";
    assert!((0..1000).any(|_| browser.metric(open) == 0), "they are still there");
    others_go_on(&daemon);
}

#[test]
fn requests_in_a_row_that_take_long_do_not_keep_mail_waiting() {
    const REQUESTS: usize = 400;
    let daemon = Daemon::start(&[]);
    Client::introduced(daemon.smtp).deliver("long@x", &message(1, 1_000_000));
    let mut greedy = Client::connect(daemon.http);
    greedy.send(
        "HEAD /api/v1/mailbox/long/latest HTTP/1.1\r\nHost: localhost\r\n\r\n"
            .repeat(REQUESTS)
            .as_bytes(),
    );
    Client::introduced(daemon.smtp).deliver("short@x", b"Subject: in between\r\n\r\n");
    let mut answers = Vec::new();
    while !greedy.is_quiet() {
        answers.extend(greedy.some());
    }
    let answered = String::from_utf8(answers).unwrap().matches("HTTP/1.1 200").count();
    assert!(answered < REQUESTS, "mail was taken after all of it");
}
