//! Who is listened to, and what mail is wanted: conversations with sources that are not trusted,
//! which all are that begin with 127.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use support::{Browser, Client, Daemon};

/// A daemon that trusts nobody.
fn wary(flags: &[&str]) -> Daemon {
    Daemon::start(&[&["--memory", "16MiB", "--trust", "none"], flags].concat())
}

/// An address of this machine in the network of this number.
fn source(network: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, network, 7))
}

fn connect(daemon: &Daemon, network: u8) -> Client {
    Client::from(source(network), daemon.smtp)
}

fn introduced(daemon: &Daemon, network: u8) -> Client {
    let mut client = connect(daemon, network);
    client.expect("220");
    client.send(b"EHLO client.example\r\n");
    client.expect("250");
    client
}

/// Sends one message and returns the reply to its end.
fn send(client: &mut Client, reverse_path: &str, subject: &str) -> String {
    client.send(
        format!("MAIL FROM:<{reverse_path}>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n").as_bytes(),
    );
    client.expect("250 2.1.0");
    client.expect("250 2.1.5");
    client.expect("354");
    client.send(format!("Subject: {subject}\r\n\r\nHello.\r\n.\r\n").as_bytes());
    client.reply()
}

fn findings(browser: &mut Browser, rule: &str) -> u64 {
    browser.metric(&format!("mailfly_guard_findings_total{{rule=\"{rule}\"}}"))
}

#[test]
fn a_source_may_send_twenty_messages_and_is_refused_after_that_and_others_are_not() {
    let daemon = wary(&[]);
    let mut browser = Browser::connect(daemon.http);
    let mut client = introduced(&daemon, 1);
    for number in 0..20 {
        let reply = send(&mut client, "a@example.org", &format!("number {number}"));
        assert!(reply.starts_with("250 2.0.0 Ok: stored as "), "{reply}");
    }
    let words = "550 5.7.1 Refused: too many messages from your network";
    assert_eq!(send(&mut client, "a@example.org", "one more"), words);
    assert_eq!(browser.ids("b").len(), 20, "nothing is kept of it");
    client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nNOOP\r\n");
    for _ in 0..3 {
        assert_eq!(client.reply(), words, "and so is all that was sent on behind it");
    }
    client.expect("250 2.0.0 Ok");

    let mut again = connect(&daemon, 1);
    let reply = again.expect("554 5.7.1 ");
    assert!(reply.ends_with("too many messages from your network"), "{reply}");
    assert_eq!(again.rest(), b"");
    let reply = send(&mut introduced(&daemon, 2), "a@example.org", "other");
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(browser.metric("mailfly_guard_bans_total{rule=\"messages\"}"), 1);
    assert_eq!(browser.metric("mailfly_guard_bans_standing{rule=\"messages\"}"), 1);
    assert!(browser.metric("mailfly_smtp_refusals_total{reason=\"unwanted\"}") >= 4);
    assert_eq!(browser.metric("mailfly_smtp_messages_total"), 21);
}

#[test]
fn loopback_is_trusted_unless_it_is_said_otherwise_and_others_when_it_is() {
    let daemon = Daemon::start(&["--memory", "16MiB"]);
    let mut client = introduced(&daemon, 1);
    for number in 0..100 {
        let reply = send(&mut client, "", &format!("bounce {number}"));
        assert!(reply.starts_with("250 2.0.0 Ok: stored as "), "{reply}");
    }
    let daemon = Daemon::start(&["--memory", "16MiB", "--trust", "127.0.1.0/24,::1"]);
    let reply = send(&mut introduced(&daemon, 1), "", "trusted");
    assert!(reply.starts_with("250 2.0.0 Ok: stored as "), "{reply}");
    assert_eq!(send(&mut introduced(&daemon, 2), "", "not trusted"), "250 2.0.0 Ok");
}

#[test]
fn bounces_are_taken_and_thrown_away_or_refused_at_mail_or_kept_as_it_is_set() {
    let daemon = wary(&[]);
    let mut browser = Browser::connect(daemon.http);
    let mut client = introduced(&daemon, 1);
    assert_eq!(send(&mut client, "", "a bounce"), "250 2.0.0 Ok");
    // The same in chunks.
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nBDAT 3\r\nhi BDAT 5 LAST\r\nhello");
    client.expect("250 2.1.0");
    client.expect("250 2.1.5");
    assert_eq!(client.reply(), "250 2.0.0 Ok");
    assert_eq!(client.reply(), "250 2.0.0 Ok");
    let reply = send(&mut client, "a@example.org", "mail");
    assert!(reply.starts_with("250 2.0.0 Ok: stored as "), "{reply}");
    assert_eq!(browser.ids("b").len(), 1);
    assert_eq!(browser.metric("mailfly_smtp_discarded_total"), 3);
    assert_eq!(findings(&mut browser, "bounces"), 2);

    let daemon = wary(&["--guard-bounces", "reject"]);
    let mut client = introduced(&daemon, 1);
    client.send(b"MAIL FROM:<>\r\n");
    assert_eq!(client.reply(), "550 5.7.1 Refused: bounces are not wanted here");
    assert!(send(&mut client, "a@example.org", "mail").starts_with("250"));

    let daemon = wary(&["--guard-bounces", "off"]);
    let reply = send(&mut introduced(&daemon, 1), "", "kept");
    assert!(reply.starts_with("250 2.0.0 Ok: stored as "), "{reply}");
}

#[test]
fn a_subject_is_judged_when_its_field_is_over_and_the_body_is_not_kept() {
    let mut words = tempfile::NamedTempFile::new().unwrap();
    words.write_all(b"# not wanted\nrolex\n").unwrap();
    let daemon = wary(&["--words-file", words.path().to_str().unwrap()]);
    let mut browser = Browser::connect(daemon.http);
    let mut client = introduced(&daemon, 1);
    client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    client.expect("250");
    client.expect("250");
    client.expect("354");
    client.send(b"Subject: A =?utf-8?q?ROLEX?=\r\n for you\r\nTo: b@example.com\r\n");
    client.send(&b"a line of the body\r\n".repeat(5000));
    // The loop sees it as it goes round.
    assert!((0..1000).any(|_| findings(&mut browser, "words") == 1), "judged before its end");
    assert_eq!(browser.metric("mailfly_store_arenas{owner=\"drafts\"}"), 0, "nothing is kept");
    assert!(client.is_quiet(), "and nothing is said before the end");
    client.send(b".\r\nNOOP\r\n");
    client.expect("550 5.7.1 Refused: a word of the subject is not wanted here");
    client.expect("250 2.0.0 Ok");
    assert!(send(&mut client, "a@example.org", "prolexin").starts_with("250"));
    assert_eq!(browser.ids("b").len(), 1);
}

#[test]
fn a_subject_that_comes_from_everywhere_is_refused_from_anywhere() {
    let daemon = wary(&["--guard-offences", "off"]);
    let mut browser = Browser::connect(daemon.http);
    let refused = (0..60).find(|network| {
        let reply = send(&mut introduced(&daemon, *network), "a@example.org", "Cheap watches");
        reply == "550 5.7.1 Refused: too many messages with this subject"
    });
    assert!(matches!(refused, Some(20..)), "{refused:?}");
    let reply = send(&mut introduced(&daemon, 200), "a@example.org", "Re: cheap  WATCHES");
    assert_eq!(reply, "550 5.7.1 Refused: too many messages with this subject");
    assert!(
        send(&mut introduced(&daemon, 200), "a@example.org", "Cheap clocks").starts_with("250")
    );
    assert_eq!(browser.metric("mailfly_guard_bans_standing{rule=\"subjects\"}"), 1);
}

#[test]
fn connections_at_once_are_bounded_for_each_source() {
    let daemon = wary(&["--guard-connections-at-once", "3"]);
    let mut clients: Vec<Client> = (0..3).map(|_| introduced(&daemon, 1)).collect();
    let mut refused = connect(&daemon, 1);
    let reply = refused.expect("421 4.7.0 ");
    assert!(reply.ends_with("too many connections at once from your network"), "{reply}");
    assert_eq!(refused.rest(), b"");
    let _other = introduced(&daemon, 2);
    let mut leaves = clients.remove(0);
    leaves.send(b"QUIT\r\n");
    leaves.expect("221");
    assert_eq!(leaves.rest(), b"");
    let _again = introduced(&daemon, 1);
}

#[test]
fn faults_weigh_toward_a_ban_which_ends_the_conversation() {
    let daemon = wary(&["--policy", "rfc", "--guard-offences", "10/1m"]);
    let mut client = introduced(&daemon, 1);
    client.send(&b"what?\r\n".repeat(6));
    for _ in 0..6 {
        client.expect("500");
    }
    let reply = client.expect("421 4.7.0 ");
    assert!(reply.ends_with("Too many errors from your network"), "{reply}");
    assert_eq!(client.rest(), b"");
    let reply = connect(&daemon, 1).expect("554 5.7.1 ");
    assert!(reply.ends_with("too many errors from your network"), "{reply}");
    let _other = introduced(&daemon, 2);
}

#[test]
fn messages_that_are_never_finished_weigh_toward_a_ban() {
    let daemon = wary(&["--guard-offences", "10/1m"]);
    let mut browser = Browser::connect(daemon.http);
    for _ in 0..3 {
        let mut client = introduced(&daemon, 1);
        client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
        client.expect("250");
        client.expect("250");
        client.expect("354");
        client.send(b"Subject: half\r\n");
        let open = "mailfly_connections_open{service=\"smtp\"}";
        drop(client);
        assert!((0..1000).any(|_| browser.metric(open) == 0), "the loop sees it go");
    }
    connect(&daemon, 1).expect("554 5.7.1 ");
    // Who says QUIT, or goes between two messages, offends nobody.
    for _ in 0..5 {
        let mut client = introduced(&daemon, 2);
        client.send(b"MAIL FROM:<a@example.org>\r\nQUIT\r\n");
        client.expect("250");
        client.expect("221");
        drop(introduced(&daemon, 2));
    }
    let _still = introduced(&daemon, 2);
    assert_eq!(browser.metric("mailfly_guard_bans_total{rule=\"offences\"}"), 1);
}

#[test]
fn whoever_connects_too_often_may_be_listened_to_for_nothing() {
    for rule in ["--guard-connections=1/1m discard", "--guard-connections-at-once=1 discard"] {
        let daemon = wary(&[rule]);
        let mut browser = Browser::connect(daemon.http);
        let mut first = introduced(&daemon, 1);
        let mut second = introduced(&daemon, 1);
        assert_eq!(send(&mut second, "a@example.org", "one"), "250 2.0.0 Ok", "{rule}");
        // Nor what comes in many pieces, or is empty.
        let long = "x".repeat(100_000);
        assert_eq!(send(&mut second, "a@example.org", &long), "250 2.0.0 Ok", "{rule}");
        second.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nBDAT 0 LAST\r\n");
        second.expect("250");
        second.expect("250");
        assert_eq!(second.reply(), "250 2.0.0 Ok", "{rule}");
        assert_eq!(browser.ids("b"), [""; 0], "{rule}");
        assert_eq!(browser.metric("mailfly_smtp_discarded_total"), 3, "{rule}");
        let reply = send(&mut first, "a@example.org", "two");
        assert!(reply.starts_with("250 2.0.0 Ok: stored as "), "{reply}");
    }
}

#[test]
fn who_speaks_before_the_banner_offends_and_is_banned_if_that_is_too_much() {
    let daemon = wary(&[]);
    let mut browser = Browser::connect(daemon.http);
    let mut early = connect(&daemon, 1);
    early.send(b"EHLO early.example\r\n");
    early.expect("220");
    early.expect("250");
    let _polite = introduced(&daemon, 2);
    assert_eq!(browser.metric("mailfly_smtp_early_talkers_total"), 1);

    let daemon = wary(&["--guard-offences", "9/1m"]);
    let mut early = connect(&daemon, 1);
    early.send(b"EHLO early.example\r\n");
    assert_eq!(early.rest(), b"", "it has no banner to wait for");
    connect(&daemon, 1).expect("554 5.7.1 ");
    let _polite = introduced(&daemon, 2);

    // Whoever is trusted, and everybody where nobody counts offences, has the banner at once.
    for flags in [&["--trust", "127.0.0.0/8"][..], &["--trust=none", "--guard-offences=off"]] {
        let daemon = Daemon::start(&[&["--memory", "16MiB"], flags].concat());
        let mut early = connect(&daemon, 1);
        early.send(b"EHLO early.example\r\n");
        early.expect("220");
        early.expect("250");
        let mut browser = Browser::connect(daemon.http);
        assert_eq!(browser.metric("mailfly_smtp_early_talkers_total"), 0);
    }
}

/// What comes with a proxy's header comes before the banner as well.
#[test]
fn who_speaks_before_the_banner_through_a_proxy_offends_as_its_source() {
    let daemon = wary(&["--guard-offences", "9/1m", "--proxy-from", "127.0.1.0/24"]);
    let proxied = |source: &str, input: &str| {
        let mut client = connect(&daemon, 1);
        let header = format!("PROXY TCP4 {source} 198.51.100.2 40000 25\r\n{input}");
        client.send(header.as_bytes());
        client
    };
    let mut browser = Browser::connect(daemon.http);
    proxied("192.0.2.2", "").expect("220");
    assert_eq!(browser.metric("mailfly_smtp_early_talkers_total"), 0);
    let mut early = proxied("192.0.2.1", "EHLO early.example\r\n");
    assert_eq!(early.rest(), b"", "it has no banner to wait for");
    assert_eq!(browser.metric("mailfly_smtp_early_talkers_total"), 1);
    proxied("192.0.2.1", "").expect("554 5.7.1 ");
    proxied("192.0.2.2", "").expect("220");
}

#[test]
fn whoever_was_refused_can_ask_why_and_for_which_subjects() {
    let daemon = wary(&["--guard-offences", "off", "--guard-subjects", "3/2m"]);
    let ask = |network| {
        let mut browser = Browser::over(Client::from(source(network), daemon.http));
        let answer = browser.get("/api/v1/refused");
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()
    };
    let mut client = introduced(&daemon, 1);
    for number in 0..21 {
        send(&mut client, "a@example.org", &format!("number {number}"));
    }
    let why = ask(1);
    assert_eq!((&why["source"], &why["trusted"]), (&"127.0.1.7".into(), &false.into()));
    let ban = &why["ban"];
    assert_eq!((&ban["rule"], &ban["action"]), (&"messages".into(), &"reject".into()));
    assert_eq!((&ban["count"], &ban["limit"]), (&21.into(), &20.into()));
    let left = ban["seconds-left"].as_u64().unwrap();
    assert!((500..=600).contains(&left), "{left}");
    assert!(ask(2)["ban"].is_null() && ask(2)["last"].is_null(), "others are not told of it");

    for network in 10..20 {
        send(&mut introduced(&daemon, network), "a@example.org", "Cheap watches");
    }
    let why = ask(19);
    assert!(why["ban"].is_null());
    assert_eq!(why["last"]["rule"], "subjects");
    assert_eq!(why["banned-subjects"][0]["subject"], "Cheap watches");
    assert!(why["banned-subjects"][0]["messages"].as_u64().unwrap() >= 4);
    assert_eq!(why["used"][2]["count"], 1, "{why}");
    let mut browser = Browser::over(Client::from(source(1), daemon.http));
    let page = String::from_utf8(browser.get("/refused").body).unwrap();
    assert!(page.contains("It is banned") && page.contains("Cheap watches"), "{page}");
}

/// So many connections that a reply is held back for about a second, and what is said meanwhile to
/// others is said long before.
const BUSY: u8 = 7;

#[test]
fn who_is_slowed_down_waits_for_each_reply_and_nobody_else_does() {
    let flags = ["--connections", "24", "--guard-offences", "off"];
    let daemon = wary(&[&flags[..], &["--guard-messages", "1/1m ban 1m tarpit"]].concat());
    let mut browser = Browser::connect(daemon.http);
    let mut others: Vec<Client> = (2..=BUSY).map(|network| introduced(&daemon, network)).collect();
    let mut slow = introduced(&daemon, 1);
    assert!(send(&mut slow, "a@example.org", "one").starts_with("250 2.0.0 Ok: stored as "));
    assert_eq!(browser.metric("mailfly_smtp_replies_held_total"), 0);
    // The next is one too many, which is known when it comes.
    slow.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    for code in ["250", "250", "354"] {
        slow.expect(code);
    }
    slow.send(b"Subject: two\r\n\r\n.\r\nMAIL FROM:<a@example.org>\r\n");
    assert!((0..1000).any(|_| browser.metric("mailfly_smtp_replies_held_total") == 1));
    assert_eq!(browser.ids("b").len(), 2, "it is kept all the same");
    for other in &mut others {
        other.send(b"NOOP\r\n");
        other.expect("250");
    }
    assert!(slow.is_quiet(), "it waits, and others do not");
    slow.expect("250 2.0.0 Ok: stored as ");
    slow.expect("250 2.1.0 Ok");
    assert_eq!(browser.metric("mailfly_smtp_replies_held_total"), 1, "both were one group");
    // From half of the connections on nobody is slowed down.
    let _more: Vec<Client> = (20..30).map(|network| introduced(&daemon, network)).collect();
    slow.send(b"RCPT TO:<b@example.com>\r\n");
    slow.expect("250");
    assert_eq!(browser.metric("mailfly_smtp_replies_held_total"), 1);
}

/// One request with this secret, from the network of this number: the answer's status, and how many
/// seconds it says to wait.
fn show(daemon: &Daemon, network: u8, path: &str, secret: &str) -> (u16, Option<u64>) {
    let mut client = Client::from(source(network), daemon.http);
    client.send(
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {secret}\r\n\r\n"
        )
        .as_bytes(),
    );
    let answer = String::from_utf8(client.rest()).unwrap();
    let retry = answer.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, retry.map(|seconds| seconds.parse().unwrap()))
}

fn secret_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"for-reading\n").unwrap();
    file
}

#[test]
fn wrong_secrets_weigh_toward_a_ban_in_which_none_is_looked_at() {
    let secret = secret_file();
    let daemon = wary(&["--http-read-secret", secret.path().to_str().unwrap()]);
    let list = "/api/v1/mailbox/b";
    // Eight weigh as much as is allowed; the right one is never held against anybody.
    for number in 0..8 {
        assert_eq!(show(&daemon, 1, list, &format!("guess-no-{number}")), (401, None));
        assert_eq!(show(&daemon, 1, list, "for-reading").0, 200);
    }
    assert_eq!(show(&daemon, 1, list, "one-more-guess").0, 401);
    for secret in ["another-guess", "for-reading"] {
        let (status, seconds) = show(&daemon, 1, list, secret);
        assert_eq!(status, 429);
        assert!((590..=600).contains(&seconds.unwrap()), "{seconds:?}");
    }
    connect(&daemon, 1).expect("554 5.7.1 ");
    // It may still ask why; others feel nothing.
    assert_eq!(show(&daemon, 1, "/api/v1/refused", "for-reading").0, 200);
    assert_eq!(show(&daemon, 2, list, "for-reading").0, 200);
    let _other = introduced(&daemon, 2);
    let mut client = Client::from(source(2), daemon.http);
    client.send(
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
          Authorization: Bearer for-reading\r\n\r\n",
    );
    let metrics = String::from_utf8(client.rest()).unwrap();
    for line in [
        "mailfly_http_secrets_refused_total{reason=\"wrong\"} 9\n",
        "mailfly_http_secrets_refused_total{reason=\"unchecked\"} 2\n",
        "mailfly_guard_bans_total{rule=\"offences\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// A proxy on this machine brings everybody: whoever guesses through it must not shut out the rest,
/// and whoever it says it brings is counted for itself.
#[test]
fn who_guesses_through_a_proxy_is_banned_only_if_the_proxy_says_who_it_is() {
    let secret = secret_file();
    let flags = ["--http-read-secret", secret.path().to_str().unwrap()];
    let daemon = Daemon::start(&flags);
    let list = "/api/v1/mailbox/b";
    for _ in 0..50 {
        assert_eq!(show(&daemon, 1, list, "wrong-guess").0, 401);
    }
    assert_eq!(show(&daemon, 1, list, "for-reading").0, 200);

    let daemon = Daemon::start(&[&flags[..], &["--proxy-from", "127.0.0.0/8"]].concat());
    let proxied = |client: &str, secret: &str| {
        let mut proxy = Client::connect(daemon.http);
        proxy.send(
            format!(
                "PROXY TCP4 {client} 198.51.100.2 40000 80\r\nGET {list} HTTP/1.1\r\n\
                 Host: localhost\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\n\r\n"
            )
            .as_bytes(),
        );
        let answer = String::from_utf8(proxy.rest()).unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    for _ in 0..9 {
        assert_eq!(proxied("192.0.2.1", "wrong-guess"), 401);
    }
    assert_eq!(proxied("192.0.2.1", "for-reading"), 429);
    assert_eq!(proxied("192.0.2.2", "for-reading"), 200);
}

#[test]
fn readers_at_once_are_bounded_for_each_source_apart_from_mail() {
    let daemon = wary(&["--guard-connections-at-once", "3"]);
    let reader = |network| Browser::over(Client::from(source(network), daemon.http));
    let answers = |browser: &mut Browser| browser.get("/livez").status == 200;
    let mut readers: Vec<_> = (0..3).map(|_| reader(1)).collect();
    assert!(readers.iter_mut().all(answers));
    let mut refused = Client::from(source(1), daemon.http);
    // It may be closed already.
    let _ =
        refused.try_send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(refused.rest(), b"", "one too many");
    assert!(answers(&mut reader(2)), "others are let in");
    let _mail: Vec<_> = (0..3).map(|_| introduced(&daemon, 1)).collect();
    connect(&daemon, 1).expect("421 4.7.0 ");
    // Whoever leaves makes room; and one after the other there may be any number.
    readers.clear();
    for _ in 0..200 {
        let mut client = Client::from(source(1), daemon.http);
        client.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert!(client.rest().starts_with(b"HTTP/1.1 200 "));
    }
    assert_eq!(findings(&mut reader(2), "connections-at-once"), 2);
}
