//! What has gone wrong in other mail servers, in public: each failure as a test, by its name, against
//! the running program. Verbs, routes, methods and keys are those of the program's own tables, so
//! that a new one is tried without being thought of.
//!
//! Not here: foreign origins of HTTP, and what STARTTLS brings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::process::Command;

use mailfly::config::Keys;
use mailfly::http::request::Method;
use mailfly::http::route::{ROUTES, Route, Segment};
use mailfly::smtp::body::naive;
use mailfly::smtp::command::Verb;
use smtp_proto::request::receiver::DataReceiver;
use support::{Browser, Client, Daemon, PROGRAM, message};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const POLICIES: [&str; 2] = ["curt", "rfc"];
/// Longer than anything that a client may say at once, and short enough that the server listens to
/// all of it after it has closed, so that its last word is not lost.
const FLOOD_BYTES: usize = 900 * KIB;

fn small(policy: &str, more: &[&str]) -> Daemon {
    let flags = ["--memory", "16MiB", "--mailboxes", "100", "--message-size", "64KiB"];
    Daemon::start(&[&flags[..], &["--policy", policy], more].concat())
}

/// The most memory that was ever resident, in bytes: what was taken for a moment counts.
fn peak_bytes(daemon: &Daemon) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * KIB
}

/// Does something that has to take no memory.
fn in_no_memory(daemon: &Daemon, act: impl FnOnce()) {
    let before = peak_bytes(daemon);
    act();
    let taken = peak_bytes(daemon) - before;
    assert!(taken <= MIB, "{taken} bytes were taken");
}

/// A path that the route has, for the newest message of a mailbox.
fn path_of(route: &Route, mailbox: &str) -> String {
    let pieces = route.path.iter().map(|segment| match segment {
        Segment::Word(word) => (*word).to_owned(),
        Segment::Name => mailbox.to_owned(),
        Segment::Id => "latest".to_owned(),
        Segment::Number => "0".to_owned(),
    });
    format!("/{}", pieces.collect::<Vec<_>>().join("/"))
}

/// All that can be read of the newest message of a mailbox, and of everything else.
fn readable(mailbox: &str) -> Vec<String> {
    let routes = ROUTES.iter().filter(|route| route.method == Method::Get);
    routes.map(|route| path_of(route, mailbox)).collect()
}

/// Mailpit read a command line into memory up to its end, wherever that was.
#[test]
fn mailpit_cve_2026_67445_a_command_line_without_an_end() {
    for policy in POLICIES {
        let daemon = small(policy, &[]);
        let verbs = Verb::ALL.map(|verb| format!("{} ", verb.as_str()));
        let transaction = "EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n";
        let said = verbs.iter().map(String::as_str).chain(["", "EHLO a\r\n", transaction]);
        in_no_memory(&daemon, || {
            for before in said {
                let mut client = Client::connect(daemon.smtp);
                client.send(before.as_bytes());
                // It may have been cut off before all of it was sent.
                let _ = client.try_send(&vec![b'x'; FLOOD_BYTES]);
                let replies = String::from_utf8(client.rest()).unwrap();
                let refusals = ["550 No such user", "500 5.5.2 Line too long"];
                let refused = refusals.map(|refusal| replies.matches(refusal).count());
                let expected = if policy == "curt" { [1, 0] } else { [0, 1] };
                assert_eq!(refused, expected, "{policy}, {before:?}: {replies}");
            }
        });
    }
}

/// Mailpit judged the size of a message line by line, and read each line whole.
#[test]
fn mailpit_ghsa_r553_m4fv_5v97_a_cap_that_comes_after_the_line() {
    let daemon = small("curt", &[]);
    let line = vec![b'x'; 16 * MIB];
    in_no_memory(&daemon, || {
        for (begin, end) in [
            ("DATA\r\n".to_owned(), "\r\n.\r\n"),
            (format!("BDAT {} LAST\r\n", line.len()), ""),
            (format!("BDAT 1\r\nxBDAT {}\r\n", line.len()), ""),
        ] {
            let mut client = Client::introduced(daemon.smtp);
            client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n");
            client.send(begin.as_bytes());
            client.send(&line);
            client.send(format!("{end}QUIT\r\n").as_bytes());
            let replies = String::from_utf8(client.rest()).unwrap();
            let refused = replies.contains("552 5.3.4 Message too large\r\n221 ");
            assert!(refused, "{begin}: {replies}");
        }
    });
    assert!(Browser::connect(daemon.http).ids("b").is_empty());
}

/// A key that caps something: a small value and a large one, and whether the small one is felt.
struct Cap {
    key: &'static str,
    small: &'static str,
    large: &'static str,
    is_felt: fn(&Daemon) -> bool,
}

const CAPS: [Cap; 8] = [
    Cap { key: "message-size", small: "16KiB", large: "64KiB", is_felt: refuses_a_long_message },
    Cap { key: "memory", small: "2MiB", large: "32MiB", is_felt: |daemon| keeps(daemon, 60) < 60 },
    Cap { key: "mailboxes", small: "30", large: "100", is_felt: |daemon| keeps(daemon, 60) < 60 },
    Cap { key: "mailbox-size", small: "256KiB", large: "2MiB", is_felt: loses_of_one_mailbox },
    Cap { key: "messages-per-mailbox", small: "9", large: "100", is_felt: loses_of_one_mailbox },
    Cap { key: "connections", small: "8", large: "100", is_felt: turns_clients_away },
    Cap { key: "tls-connections", small: "1", large: "100", is_felt: refuses_a_second_starttls },
    Cap { key: "ttl", small: "1s", large: "1h", is_felt: forgets },
];
/// Keys that cap nothing.
const NO_CAPS: [&str; 16] = [
    "smtp",
    "http",
    "smtps",
    "https",
    "tls-certificate",
    "tls-key",
    "proxy-from",
    "hostname",
    "user",
    "http-host",
    "http-read-secret",
    "http-delete-secret",
    "policy",
    "naming",
    "trust",
    "words-file",
];
/// Keys of which each caps something for those who are not trusted: `tests/guard.rs` shows it.
const GUARD_CAPS: &str = "guard-";

fn refuses_a_long_message(daemon: &Daemon) -> bool {
    let mut client = Client::introduced(daemon.smtp);
    client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nBDAT 20000 LAST\r\n");
    client.send(&message(1, 20_000));
    client.expect("250");
    client.expect("250");
    client.reply().starts_with("552")
}

/// How many of so many mailboxes are still there after each got its message.
fn keeps(daemon: &Daemon, mailboxes: usize) -> usize {
    let mut client = Client::introduced(daemon.smtp);
    for number in 0..mailboxes {
        client.deliver(&format!("user{number}@example.com"), &message(number, 30 * KIB));
    }
    let mut browser = Browser::connect(daemon.http);
    (0..mailboxes).filter(|number| !browser.ids(&format!("user{number}")).is_empty()).count()
}

fn loses_of_one_mailbox(daemon: &Daemon) -> bool {
    let mut client = Client::introduced(daemon.smtp);
    for number in 0..10 {
        client.deliver("b@example.com", &message(number, 50 * KIB));
    }
    Browser::connect(daemon.http).ids("b").len() < 10
}

fn turns_clients_away(daemon: &Daemon) -> bool {
    let clients: Vec<Client> = (0..20).map(|_| Client::connect(daemon.smtp)).collect();
    clients.into_iter().map(|mut client| client.reply()).any(|reply| reply.starts_with("421"))
}

fn refuses_a_second_starttls(daemon: &Daemon) -> bool {
    let mut clients = [Client::introduced(daemon.smtp), Client::introduced(daemon.smtp)];
    let replies = clients.each_mut().map(|client| {
        client.send(b"STARTTLS\r\n");
        client.reply()
    });
    replies[1].starts_with("454")
}

/// Whether a message has gone after some time, which other requests take up.
fn forgets(daemon: &Daemon) -> bool {
    let mut client = Client::introduced(daemon.smtp);
    client.deliver("b@example.com", b"\r\n");
    let start = std::time::Instant::now();
    let mut browser = Browser::connect(daemon.http);
    while start.elapsed().as_secs() < 2 {
        if browser.ids("b").is_empty() {
            return true;
        }
    }
    false
}

/// Mailpit had a limit on the size of messages that nothing ever set.
#[test]
fn mailpit_cve_2026_45710_a_cap_that_is_wired_to_nothing() {
    for key in Keys::NAMES {
        let known = CAPS.iter().any(|cap| cap.key == key)
            || NO_CAPS.contains(&key)
            || key.starts_with(GUARD_CAPS);
        assert!(known, "is {key} a cap? Then show that it is felt");
    }
    let flags = |low: Option<&str>| -> Vec<String> {
        // In a small pool a mailbox that is as large does not fit.
        let caps = CAPS.iter().filter(|cap| low != Some("memory") || cap.key != "mailbox-size");
        caps.map(|cap| {
            let value = if low == Some(cap.key) { cap.small } else { cap.large };
            format!("--{}={value}", cap.key)
        })
        .collect()
    };
    let start =
        |flags: Vec<String>| Daemon::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let all_large = start(flags(None));
    for Cap { key, is_felt, .. } in CAPS {
        assert!(!is_felt(&all_large), "{key} is felt before it is low");
        assert!(is_felt(&start(flags(Some(key)))), "{key} is wired to nothing");
    }
}

/// Mailpit capped the bodies of requests on one of five routes.
#[test]
fn mailpit_ghsa_28pq_6qxg_wg5r_a_cap_on_one_route_of_five() {
    let daemon = small("curt", &[]);
    Client::introduced(daemon.smtp).deliver("b@example.com", b"Subject: kept\r\n\r\n");
    in_no_memory(&daemon, || {
        for route in ROUTES {
            for method in Method::ALL {
                let most = ROUTES
                    .iter()
                    .find(|other| (other.method, other.path) == (method, route.path))
                    .map_or(0, |other| other.body_bytes_max);
                let asked = format!(
                    "{} {} HTTP/1.1\r\nHost: {}",
                    method.as_str(),
                    path_of(route, "b"),
                    daemon.http
                );
                for length in [most + 1, 50 * MIB, usize::MAX] {
                    let mut client = Client::connect(daemon.http);
                    client.send(format!("{asked}\r\nContent-Length: {length}\r\n\r\n").as_bytes());
                    // The answer does not wait for the body, and the connection is done with.
                    let answer = String::from_utf8(client.rest()).unwrap();
                    let status = answer.get(9..12).unwrap_or_default();
                    assert!(matches!(status, "413" | "405" | "403"), "{asked}, {length}: {answer}");
                }
                let mut client = Client::connect(daemon.http);
                client.send(format!("{asked}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes());
                let _ = client.try_send(&b"10000\r\nx".repeat(FLOOD_BYTES / 8));
                let answer = String::from_utf8(client.rest()).unwrap();
                assert!(answer.starts_with("HTTP/1.1 501 "), "{asked}, chunked: {answer}");
            }
        }
    });
    assert_eq!(Browser::connect(daemon.http).ids("b").len(), 1, "nothing was done");
}

/// Mailpit took a CR in the envelope for part of an address, and wrote it into the header section.
#[test]
fn mailpit_cve_2026_23829_a_cr_in_the_envelope() {
    for policy in POLICIES {
        let daemon = small(policy, &["--messages-per-mailbox", "10000"]);
        for verb in Verb::ALL {
            for tail in ["\rX: y", " <a\rX: y@example.org>", " TO:<a@example.org>\r", "\r"] {
                let mut client = Client::connect(daemon.smtp);
                client.expect("220");
                client.send(format!("{}{tail}\r\nQUIT\r\n", verb.as_str()).as_bytes());
                let refusal = if policy == "curt" { "550 No such user" } else { "500 5.5.2 CR" };
                client.expect(refusal);
            }
        }
        let places: [(&[u8], &[u8]); 9] = [
            (b"EHLO a", b"b\r\nMAIL FROM:<a@x>\r\n"),
            (b"HELO a", b"b\r\nMAIL FROM:<a@x>\r\n"),
            (b"EHLO a\r\nMAIL FROM:<a", b"b@example.org> SMTPUTF8\r\n"),
            (b"EHLO a\r\nMAIL FROM:<\"a", b"b\"@example.org> SMTPUTF8\r\n"),
            (b"EHLO a\r\nMAIL FROM:<\"a\\", b"b\"@example.org> SMTPUTF8\r\n"),
            (b"EHLO a\r\nMAIL FROM:<a@b", b"c> SMTPUTF8\r\n"),
            (b"EHLO a\r\nMAIL FROM:<a@[", b"::1]> SMTPUTF8\r\n"),
            (b"EHLO a\r\nMAIL FROM:<a@x> SMTPUTF8\r\nRCPT TO:<a", b"b@example.org>\r\n"),
            (b"EHLO a\r\nMAIL FROM:<a@x> SMTPUTF8\r\nRCPT TO:<\"a", b"b\"@example.org>\r\n"),
        ];
        // Every byte, and those characters of more than one that some take for the end of a line.
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
        let characters =
            ['\u{85}', '\u{2028}', '\u{2029}', '\u{b}'].map(|it| it.to_string().into_bytes());
        for odd in bytes.chain(characters).chain([b"\r\n".to_vec(), b"\r\n X: y\r\n".to_vec()]) {
            for (before, after) in places {
                let sent =
                    [before, &odd, after, b"RCPT TO:<sink@x>\r\nDATA\r\nbody\r\n.\r\nQUIT\r\n"]
                        .concat();
                let mut client = Client::connect(daemon.smtp);
                client.send(&sent);
                client.rest();
            }
        }
        let mut browser = Browser::connect(daemon.http);
        let ids = browser.ids("sink");
        assert!(ids.len() > 500, "{} were taken", ids.len());
        for id in ids {
            let source = browser.get(&format!("/api/v1/mailbox/sink/{id}/source")).body;
            let trace = source.strip_suffix(b"body\r\n").expect("what was sent comes last");
            let trace = str::from_utf8(trace).unwrap().strip_suffix("\r\n").unwrap();
            for line in trace.split("\r\n") {
                let text = line.trim_start_matches('\t');
                assert!(!text.chars().any(char::is_control), "{line:?}");
                let fields = ["Return-Path: <", "Delivered-To: ", "Received: from "];
                let known =
                    line.starts_with('\t') || fields.iter().any(|field| line.starts_with(field));
                assert!(known, "{line:?} is a field of somebody else's");
            }
        }
    }
}

/// MailDev wrote an attachment to the path that its Content-ID named.
#[test]
fn maildev_cve_2024_27448_a_content_id_that_is_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("in/side");
    std::fs::create_dir_all(&inside).unwrap();
    let mut command = Command::new(PROGRAM);
    let daemon = Daemon::run(command.current_dir(&inside), &["--memory", "4MiB"]);
    let absolute = folder.path().join("absolute").display().to_string();
    let names = [
        "../evil",
        "../../evil",
        "..\\evil",
        "./evil",
        "evil",
        "/tmp/../evil",
        ".evil",
        "..",
        &absolute,
    ];
    let parts: String = names
        .map(|name| {
            format!(
                "--b\r\nContent-Type: image/png; name=\"{name}\"\r\nContent-ID: <{name}>\r\n\
                 Content-Location: file://{name}\r\n\
                 Content-Disposition: attachment; filename=\"{name}\"\r\n\r\nevil\r\n"
            )
        })
        .concat();
    let letter = format!("Content-Type: multipart/related; boundary=b\r\n\r\n{parts}--b--\r\n");
    Client::introduced(daemon.smtp).deliver("b@example.com", letter.as_bytes());
    let mut browser = Browser::connect(daemon.http);
    for path in readable("b") {
        let answer = browser.get(&path);
        assert!(matches!(answer.status, 200 | 303 | 404), "{path}: {}", answer.head);
        let head = answer.head.replace(&path, "");
        assert!(!head.contains("..") && !head.contains(&absolute), "{path}: {head}");
    }
    for number in 0..names.len() {
        let answer = browser.get(&format!("/api/v1/mailbox/b/latest/attachment/{number}"));
        assert_eq!((answer.status, &answer.body[..]), (200, &b"evil"[..]));
        let name = answer.field("Content-Disposition").split_once('"').unwrap().1;
        assert!(!name.starts_with('.') && !name.contains(['/', '\\']), "{name}");
    }
    let written: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .chain(std::fs::read_dir(&inside).unwrap())
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(written, ["in"], "nothing was written");
}

/// Bytes that one server or another took for the end of a message: all of up to five that are made
/// of what an end is made of, but for those that hold the true one.
fn false_ends() -> Vec<Vec<u8>> {
    let mut ends = vec![vec![]];
    let mut longest = ends.clone();
    for _ in 0..5 {
        longest = longest
            .iter()
            .flat_map(|end| b"\r\n.\0".map(|byte| [&end[..], &[byte]].concat()))
            .collect();
        ends.extend_from_slice(&longest);
    }
    ends.extend(
        [&b"\r\n.\r\r\n"[..], b"\r\n.\r\0\n", b"\n.\r\r\n", b"\r\r\n.\r\r\n"].map(<[u8]>::to_vec),
    );
    ends.retain(|end| naive::message(&[b"x", &end[..], b"x"].concat()).is_none());
    ends
}

/// Postfix, Sendmail, Exim (CVE-2023-51764, -51765, -51766) and their kin took more than CRLF . CRLF
/// for the end of a message, so that a second one could be hidden in the first.
#[test]
fn smtp_smuggling_cve_2023_51764_a_message_ends_at_nothing_else() {
    let smuggled =
        b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nsmuggled\r\n";
    let ends = false_ends();
    assert!(ends.len() > 1300, "{}", ends.len());
    for policy in POLICIES {
        let daemon = small(policy, &["--messages-per-mailbox", "4000"]);
        let mut browser = Browser::connect(daemon.http);
        let mut client = Client::introduced(daemon.smtp);
        for end in &ends {
            let body = [b"Subject: x\r\n\r\nbody", &end[..], smuggled].concat();
            let stream = [&body[..], b".\r\n"].concat();
            let (unstuffed, _) = naive::message(&stream).expect("it ends at its end");
            let data = (b"DATA\r\n".to_vec(), &unstuffed, "354");
            let bdat = (format!("BDAT {}\r\n", stream.len()).into_bytes(), &stream, "250 2.0.0");
            for (begin, expected, reply) in [data, bdat] {
                let envelope = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n";
                client.send(&[&envelope[..], &begin, &stream].concat());
                if reply != "354" {
                    client.send(b"BDAT 0 LAST\r\n");
                }
                // One more reply, and what was hidden in the message was obeyed.
                client.send(b"NOOP\r\n");
                let id = ["250 2.1.0", "250 2.1.5", reply, "250 2.0.0 Ok: stored as "]
                    .map(|code| client.expect(code))
                    .into_iter()
                    .next_back()
                    .and_then(|stored| Some(stored.rsplit_once(' ')?.1.to_owned()))
                    .unwrap();
                assert_eq!(client.reply(), "250 2.0.0 Ok", "{}", end.escape_ascii());
                let sent = browser.source("b", &id).sent;
                assert!(sent == *expected, "{}: {}", end.escape_ascii(), sent.escape_ascii());
            }
        }
        assert!(browser.ids("victim").is_empty());
    }
}

/// `smtp-proto`, and with it Stalwart, ends a message at CRLF . CR CRLF. Should that change, the
/// fuzzer's comparison has an exception too many.
#[test]
fn smtp_proto_ends_a_message_at_crlf_dot_cr_crlf_and_mailfly_does_not() {
    let stream = b"a\r\n.\r\r\nb";
    let mut message = vec![];
    assert!(DataReceiver::new().ingest(&mut stream.iter(), &mut message));
    assert_eq!(naive::message(stream), None);
    assert!(false_ends().iter().any(|end| end == b"\r\n.\r\r\n"), "and that was tried above");
}

/// Stalwart's parser made a cycle of messages within messages, and others overflow their stack, or
/// take the square of what they are shown.
#[test]
fn stalwart_cyclic_mime_a_message_within_itself() {
    let message_size = 500 * KIB;
    let repeated = |head: &str, piece: &str| {
        head.to_owned() + &piece.repeat((message_size - head.len()) / piece.len())
    };
    let multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
    let message = "Content-Type: message/rfc822\r\n\r\n";
    // Each within the one before, as deep as there is room.
    let nested = |end: &str| {
        let piece = |depth: usize| {
            format!(
                "Content-Type: multipart/mixed; boundary=b{depth}{end}\r\n\r\n--b{depth}{end}\r\n"
            )
        };
        (0..).map(piece).take(message_size / piece(99_999).len()).collect::<String>()
    };
    let letters = [
        repeated("", message),
        repeated("", multipart),
        repeated("", &[multipart, message].concat()),
        repeated("", &[message, multipart].concat()),
        repeated("", "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n"),
        repeated(multipart, "--b\r\n"),
        repeated(multipart, "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n--b--\r\n"),
        repeated(multipart, &["\r\n--b\r\n", multipart].concat()),
        repeated(
            "Content-Type: multipart/mixed; boundary=b\r\n",
            "Content-Type: multipart/mixed; boundary=b\r\n",
        ),
        repeated(
            "Content-Transfer-Encoding: base64\r\nContent-Type: message/rfc822\r\n\r\n",
            "Q29udGVudC1U",
        ),
        repeated("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n", "--\r\n"),
        nested(""),
        nested("--"),
    ];
    let daemon = Daemon::start(&["--memory", "64MiB", "--message-size", "500KiB"]);
    let mut sender = Client::introduced(daemon.smtp);
    for (number, letter) in letters.iter().enumerate() {
        sender.deliver(&format!("cyclic{number}@example.com"), letter.as_bytes());
    }
    let mut browser = Browser::connect(daemon.http);
    in_no_memory(&daemon, || {
        for (number, letter) in letters.iter().enumerate() {
            for path in readable(&format!("cyclic{number}")) {
                let answer = browser.get(&path);
                assert!(
                    matches!(answer.status, 200 | 303 | 404),
                    "{number}, {path}: {}",
                    answer.head
                );
            }
            let source = browser.get(&format!("/api/v1/mailbox/cyclic{number}/latest/source"));
            assert!(source.body.ends_with(letter.as_bytes()), "{number}");
        }
    });
}

/// Known since 2001 as the HTML form protocol attack: a web page has its visitor's browser post a form
/// to a mail server that the page itself does not reach, with commands in it, which the server finds
/// behind some lines that it only calls errors.
#[test]
fn form_protocol_attack_a_web_page_sends_mail_through_its_visitors_browser() {
    for policy in POLICIES {
        let daemon = small(policy, &[]);
        for method in Method::ALL {
            let mut client = Client::connect(daemon.smtp);
            client.expect("220");
            client.send(
                format!(
                    "{} / HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\n\
                     EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<victim@b>\r\nBDAT 2 LAST\r\n\r\nQUIT\r\n",
                    method.as_str(),
                    daemon.smtp,
                )
                .as_bytes(),
            );
            let said = String::from_utf8(client.rest()).unwrap();
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(
                said.starts_with("550 No such user") || said.starts_with("500 5.5.1 "),
                "{said}"
            );
        }
        assert_eq!(Browser::connect(daemon.http).ids("victim").len(), 0);
    }
}
