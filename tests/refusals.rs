//! What the server has no room for: messages over the cap, and drafts past their share. Each is
//! refused with its code, and nobody else notices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use support::{Browser, Client, Daemon, message};

const OVER: &str = "552 5.3.4 Message too large";
const NO_ROOM: &str = "452 4.3.1 Insufficient storage, try again later";
/// The cap on messages here, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const DRAFTS: &str = "mailfly_store_arenas{owner=\"drafts\"}";
/// More clients than it takes to fill the drafts.
const CLIENTS_MAX: usize = 1000;

fn daemon() -> Daemon {
    Daemon::start(&["--memory", "2MiB", "--mailboxes", "100", "--message-size", "64KiB"])
}

/// Begins a transaction.
fn envelope(client: &mut Client, recipient: &str) {
    client.send(format!("MAIL FROM:<a@example.org>\r\nRCPT TO:<{recipient}>\r\n").as_bytes());
    client.expect("250");
    client.expect("250");
}

#[test]
fn a_message_over_the_cap_is_refused_at_mail_if_its_size_is_said() {
    let daemon = daemon();
    let mut client = Client::introduced(daemon.smtp);
    client.send(b"MAIL FROM:<a@example.org> SIZE=65537\r\n");
    assert_eq!(client.reply(), OVER);
    client.send(b"MAIL FROM:<a@example.org> SIZE=65536\r\n");
    client.expect("250");
    client.send(b"RSET\r\n");
    client.expect("250");
    client.deliver("b@example.com", &message(1, MESSAGE_BYTES_MAX));
    let mut browser = Browser::connect(daemon.http);
    assert_eq!(browser.ids("b").len(), 1);
    let refusals = "mailfly_smtp_refusals_total{reason=\"message_too_long\"}";
    assert_eq!(browser.metric(refusals), 1);
}

#[test]
fn a_message_over_the_cap_is_refused_after_its_true_end_and_the_session_goes_on_in_step() {
    let daemon = daemon();
    let mut browser = Browser::connect(daemon.http);
    let mut client = Client::introduced(daemon.smtp);
    // One byte too many, and some that were too many long ago. What looks like commands and ends in
    // them is neither.
    let decoy = b"\r\nQUIT\r\n.QUIT\r\n\n.\r\nRSET\n.\nMAIL FROM:<x@y>\r\n".repeat(20_000);
    let one_too_many = [&message(1, MESSAGE_BYTES_MAX - 1)[..], b"\r\n"].concat();
    for over in [one_too_many, decoy] {
        envelope(&mut client, "b@example.com");
        client.send(b"DATA\r\n");
        client.expect("354");
        client.send(&over);
        // Another is served meanwhile.
        Client::introduced(daemon.smtp).deliver("other@example.com", &over[..1000]);
        assert!(client.is_quiet(), "no answer before the end");
        client.send(b".\r\nNOOP\r\n");
        assert_eq!(client.reply(), OVER);
        client.expect("250 2.0.0");
        assert_eq!(browser.metric(DRAFTS), 0, "nothing is kept of it");
    }
    let id = client.deliver("b@example.com", &message(2, MESSAGE_BYTES_MAX));
    assert_eq!(browser.ids("b"), std::slice::from_ref(&id));
    assert_eq!(browser.source("b", &id).sent, message(2, MESSAGE_BYTES_MAX));
    assert_eq!(browser.ids("other").len(), 2);
}

/// What fills the drafts: chunks of messages that do not end, each in a session of its own, and
/// then transactions without one, until there is not an arena left.
fn fill(daemon: &Daemon) -> Vec<Client> {
    let mut fillers = vec![];
    for _ in 0..CLIENTS_MAX {
        let mut filler = Client::introduced(daemon.smtp);
        envelope(&mut filler, "filler@example.com");
        let chunk = message(0, 60_000);
        filler.send(&[b"BDAT 60000\r\n", &chunk[..]].concat());
        let reply = filler.reply();
        if reply == NO_ROOM {
            filler.send(b"RSET\r\n");
            filler.expect("250");
            break;
        }
        assert_eq!(reply, "250 2.0.0 60000 octets received");
        fillers.push(filler);
    }
    assert!(fillers.len() > 3, "there was room for {}", fillers.len());
    for _ in 0..CLIENTS_MAX {
        let mut filler = Client::introduced(daemon.smtp);
        filler.send(b"MAIL FROM:<a@example.org>\r\n");
        let reply = filler.reply();
        if reply == NO_ROOM {
            return fillers;
        }
        assert!(reply.starts_with("250 2.1.0"), "{reply}");
        fillers.push(filler);
    }
    panic!("{CLIENTS_MAX} transactions did not fill the drafts");
}

#[test]
fn when_the_drafts_are_full_452_is_said_at_mail_and_others_go_on() {
    let daemon = daemon();
    let mut browser = Browser::connect(daemon.http);
    let mut early = Client::introduced(daemon.smtp);
    let kept = early.deliver("kept@example.com", &message(1, 50_000));
    let whole = browser.metric("mailfly_store_arenas{owner=\"nobody\"}")
        + browser.metric("mailfly_store_arenas{owner=\"mailboxes\"}");
    // This one has its transaction before they are full.
    envelope(&mut early, "early@example.com");
    let mut fillers = fill(&daemon);
    let held = browser.metric(DRAFTS);
    assert!(held <= whole / 4, "drafts hold {held} of {whole} arenas");

    let mut late = Client::introduced(daemon.smtp);
    late.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nNOOP\r\n");
    for _ in 0..3 {
        assert_eq!(late.reply(), NO_ROOM, "a whole pipelined group is refused for one reason");
    }
    late.expect("250 2.0.0 Ok");

    // Whoever was let in, and brings what fits beside the drafts, goes on.
    early.send(b"BDAT 5 LAST\r\nhello");
    let id = early.expect("250 2.0.0 Ok: stored as ").rsplit(' ').next().unwrap().to_owned();
    assert_eq!(browser.source("early", &id).sent, b"hello");
    assert_eq!(browser.source("kept", &kept).sent, message(1, 50_000), "nothing had to give way");
    let refusals = browser.metric("mailfly_smtp_refusals_total{reason=\"drafts_full\"}");
    assert!(refusals >= 4, "{refusals}");

    // A filler that ends its message keeps it, and one that goes makes room for others.
    let mut first = fillers.remove(0);
    first.send(b"BDAT 0 LAST\r\n");
    first.expect("250 2.0.0 Ok: stored as ");
    assert_eq!(browser.ids("filler").len(), 1);
    late.deliver("b@example.com", b"Subject: at last\r\n\r\n");
    for mut filler in fillers {
        filler.send(b"QUIT\r\n");
        filler.expect("221");
    }
    assert_eq!(browser.metric(DRAFTS), 0, "nothing is kept of drafts that were given up");
    assert_eq!(browser.metric("mailfly_store_lost_total{cause=\"memory_full\"}"), 0);
}

#[test]
fn when_the_drafts_are_full_452_is_said_at_the_true_end_and_the_session_goes_on_in_step() {
    let daemon = daemon();
    let mut browser = Browser::connect(daemon.http);
    let mut early = Client::introduced(daemon.smtp);
    envelope(&mut early, "early@example.com");
    early.send(b"DATA\r\n");
    early.expect("354");
    let fillers = fill(&daemon);
    let body = [&message(1, 50_000)[..], b"\r\nQUIT\r\n"].concat();
    early.send(&body);
    // The server has read some of it, so that it had to keep it as a draft.
    assert_eq!(browser.get("/livez").status, 200);
    assert!(early.is_quiet(), "no answer before the end");
    early.send(b".\r\nNOOP\r\n");
    assert_eq!(early.reply(), NO_ROOM);
    early.expect("250 2.0.0 Ok");
    assert_eq!(browser.ids("early"), [""; 0], "nothing is half stored");

    // Also a chunk that is not the last, and those behind it.
    drop(fillers);
    let mut chunked = Client::introduced(daemon.smtp);
    // The loop sees the closing of a few sockets as it goes round.
    assert!((0..1000).any(|_| browser.metric(DRAFTS) == 0), "drafts outlive their sessions");
    envelope(&mut chunked, "chunked@example.com");
    let _fillers = fill(&daemon);
    let chunk = [b"BDAT 50008\r\n", &body[..]].concat();
    chunked.send(&chunk);
    assert_eq!(chunked.reply(), NO_ROOM);
    chunked.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(chunked.reply(), NO_ROOM);
    chunked.expect("250 2.0.0 Ok");
    assert_eq!(browser.ids("chunked"), [""; 0]);
}

#[test]
fn clients_past_the_cap_are_told_so_and_a_monitor_still_gets_in() {
    let daemon = Daemon::start(&["--memory", "4MiB", "--connections", "40"]);
    let mut browser = Browser::connect(daemon.http);
    // Five are left to HTTP.
    let mut clients: Vec<Client> = (0..35).map(|_| Client::introduced(daemon.smtp)).collect();
    let mut refused = Client::connect(daemon.smtp);
    let reply = refused.expect("421 4.3.2");
    assert!(reply.ends_with("Too many connections"), "{reply}");
    assert_eq!(refused.rest(), b"");
    assert_eq!(browser.get("/readyz").status, 200);
    assert_eq!(Browser::connect(daemon.http).get("/livez").status, 200);
    assert_eq!(browser.metric("mailfly_connections_refused_total{service=\"smtp\"}"), 1);
    let mut leaves = clients.swap_remove(0);
    leaves.send(b"QUIT\r\n");
    leaves.expect("221");
    assert_eq!(leaves.rest(), b"");
    Client::introduced(daemon.smtp).deliver("b@example.com", b"Subject: room again\r\n\r\n");
}

/// Also where all of them came at once, so that nobody had been silent for long enough when the last
/// place was taken.
#[test]
fn where_no_place_is_left_the_silent_make_way_too() {
    let daemon = Daemon::start(&[
        "--memory=4MiB",
        "--connections=40",
        "--trust=none",
        "--guard-connections=off",
        "--guard-connections-at-once=off",
        "--guard-offences=off",
    ]);
    let mut browser = Browser::connect(daemon.http);
    let _silent: Vec<Client> = (0..35).map(|_| Client::introduced(daemon.smtp)).collect();
    Client::connect(daemon.smtp).expect("421 4.3.2 ");
    let is_let_in = |_| Client::connect(daemon.smtp).reply().starts_with("220 ");
    assert!((0..100_000).any(is_let_in), "the silent stay");
    assert!(browser.metric("mailfly_smtp_made_way_total") >= 1);
    assert_eq!(browser.metric("mailfly_smtp_timeouts_total"), 0, "nobody had to wait for that");
}

#[test]
fn near_the_cap_the_session_that_was_silent_longest_makes_way_for_a_new_one() {
    let daemon = Daemon::start(&[
        "--memory=4MiB",
        "--connections=40",
        // Whoever is trusted is not asked to go.
        "--trust=127.0.0.2",
        "--guard-connections=off",
        "--guard-offences=off",
    ]);
    let mut browser = Browser::connect(daemon.http);
    let trusted = std::net::Ipv4Addr::new(127, 0, 0, 2).into();
    let mut trusted = Client::from(trusted, daemon.smtp);
    trusted.expect("220");
    let mut oldest = Client::introduced(daemon.smtp);
    let mut second = Client::introduced(daemon.smtp);
    // The 31 before nine tenths of the 35 that are for mail; none of these may be asked to go.
    let mut busy: Vec<Client> = (0..28).map(|_| Client::introduced(daemon.smtp)).collect();
    for client in &mut busy {
        client.send(b"MAIL FROM:<a@example.org>\r\n");
        client.expect("250");
    }
    // It speaks again, so that it is not the oldest any more.
    second.send(b"NOOP\r\n");
    second.expect("250");
    let made_way = "mailfly_smtp_made_way_total";
    let mut newcomer = Client::introduced(daemon.smtp);
    // Until the oldest has been silent for long enough, nobody goes.
    let begun = std::time::Instant::now();
    while browser.metric(made_way) == 0 {
        assert!(begun.elapsed() < support::PATIENCE, "nobody makes way");
        second.send(b"NOOP\r\n");
        second.expect("250");
        newcomer.send(b"QUIT\r\n");
        newcomer.expect("221");
        assert_eq!(newcomer.rest(), b"");
        newcomer = Client::introduced(daemon.smtp);
    }
    let reply = oldest.expect("421 4.3.2 ");
    assert!(reply.ends_with("Too many connections"), "{reply}");
    assert_eq!(oldest.rest(), b"");
    assert!(trusted.is_quiet(), "older still, and trusted");
    newcomer.deliver("b@example.com", b"Subject: there was room\r\n\r\n");
    second.send(b"NOOP\r\n");
    second.expect("250");
    for client in &mut busy {
        client.send(b"NOOP\r\n");
        client.expect("250");
    }
    assert_eq!(browser.metric("mailfly_connections_refused_total{service=\"smtp\"}"), 0);
}
