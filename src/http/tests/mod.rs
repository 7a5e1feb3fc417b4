//! Conversations over a real store, and laws over all routes.

mod listing;

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use serde_json::Value;

use super::request::Method;
use super::route::{ROUTES, Reach, Route, Segment};
use super::standing::{BannedSubject, Reason, Standing, Used};
use super::{Desk, Exchange, Gate, Responses, Scratch, Secret};
use crate::clock::Now;
use crate::limits::{KIB, MIB};
use crate::metrics::{Kind, Sample};
use crate::phases::Phases;
use crate::progress::Then;
use crate::store::{Capacity, Client, Demand, MailboxName, MessageId, Naming, Protocol, Store};

struct World {
    store: Store,
    phases: Phases,
    scratch: Scratch,
    responses: Responses,
    standing: Standing,
    secrets_wait_seconds: Option<u64>,
    /// What became of the secrets that were shown.
    secrets: Vec<Secret>,
    gate: Gate,
    encrypted: bool,
    ready: bool,
    now: Now,
}

impl World {
    fn new() -> Self {
        Self::with_mailboxes_of(4)
    }

    /// In which a mailbox holds so many messages.
    fn with_mailboxes_of(mailbox_messages_max: u32) -> Self {
        let demand = Demand {
            memory_bytes: MIB,
            mailboxes_max: 16,
            mailbox_bytes_max: 256 * KIB,
            mailbox_messages_max,
            message_bytes_max: 80 * KIB,
            ttl_ms: None,
        };
        let capacity = Capacity::of(&demand).expect("a small store");
        Self {
            store: Store::new(capacity, 1).expect("memory"),
            phases: Phases::new().expect("bounds"),
            scratch: Scratch::new(demand.message_bytes_max),
            responses: Responses::new(demand.message_bytes_max),
            standing: Standing::default(),
            secrets_wait_seconds: None,
            secrets: Vec::new(),
            gate: Gate { hosts: vec!["h".parse().expect("a name")], ..Gate::default() },
            encrypted: false,
            ready: true,
            now: Now { monotonic_ms: 1000, unix_ms: 784_111_777_042 },
        }
    }

    /// With one message for `bob`.
    fn with_mail() -> (Self, MessageId) {
        let mut world = Self::new();
        let id = world.deliver(&["Bob+tag@d.example"], LETTER);
        (world, id)
    }

    fn deliver(&mut self, forward_paths: &[&str], message: &str) -> MessageId {
        let mut draft = self.store.open(b"alice@s.example", self.now).expect("a draft");
        for path in forward_paths {
            let name = MailboxName::of(path, Naming::Local).expect("a name");
            self.store
                .add_recipient(&mut draft, path.as_bytes(), &name, self.now)
                .expect("a recipient");
        }
        let client = Client {
            helo: b"there.example",
            source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            protocol: Protocol { extended: true, utf8: false, encrypted: false },
        };
        self.store.commit(draft, &[message.as_bytes()], &client, self.now).expect("room")
    }

    fn with_desk<T>(&mut self, act: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        let samples = |store: &Store| {
            let value = store.figures().messages;
            let (name, help) = ("mailfly_messages", "Messages");
            vec![Sample { name, help, kind: Kind::Gauge, label: None, value }]
        };
        let standing = || self.standing.clone();
        act(&mut Desk {
            store: &mut self.store,
            naming: Naming::Local,
            gate: &self.gate,
            hostname: "mail.example",
            smtp: "127.0.0.1:1025",
            encrypted: self.encrypted,
            ready: self.ready,
            samples: &samples,
            standing: &standing,
            secrets_wait_seconds: self.secrets_wait_seconds,
            secret: Secret::default(),
            phases: &self.phases,
            scratch: &mut self.scratch,
            responses: &self.responses,
        })
    }

    /// What a reactor would do with these pieces of input: all that was answered, and whether the
    /// connection was closed.
    fn converse(&mut self, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut exchange = Exchange::default();
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let now = self.now;
        for piece in pieces {
            input.extend_from_slice(piece);
            let bytes = input.len();
            for turns in 0.. {
                assert!(turns <= bytes + 1, "more is answered than was asked, or in more turns");
                let (progress, secret) =
                    self.with_desk(|desk| (exchange.receive(&input, desk, now), desk.secret));
                self.secrets.extend((secret != Secret::Fine).then_some(secret));
                input.drain(..progress.consumed);
                let pending = exchange.pending().len();
                // Piece by piece and each in two steps, as a socket may take them.
                while !exchange.pending().is_empty() {
                    let part = exchange.pending().len().div_ceil(2);
                    output.extend_from_slice(&exchange.pending()[..part]);
                    exchange.sent(part);
                }
                if progress.then == Then::Close {
                    return (output, true);
                }
                if progress.consumed == 0 && pending == 0 && exchange.is_idle() {
                    break;
                }
            }
        }
        (output, false)
    }

    fn ask(&mut self, method: &str, path: &str) -> Answer {
        self.ask_with(method, path, "", "")
    }

    fn ask_with(&mut self, method: &str, path: &str, fields: &str, body: &str) -> Answer {
        self.ask_host("h:8025", method, path, fields, body).0
    }

    /// Also whether the connection was closed after it.
    fn ask_host(
        &mut self,
        host: &str,
        method: &str,
        path: &str,
        fields: &str,
        body: &str,
    ) -> (Answer, bool) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{body}");
        let (output, closed) = self.converse(&[request.as_bytes()]);
        let answer = Answer::read(&output, method == "HEAD");
        answer.assert_guarded();
        (answer, closed)
    }

    /// That nothing of what [`with_mail`](Self::with_mail) brought was deleted or marked.
    #[track_caller]
    fn assert_untouched(&self) {
        let name = MailboxName::of("bob", Naming::Local).expect("a name");
        let mailbox = self.store.find(&name).expect("a mailbox");
        assert_eq!(self.store.figures().messages, 1);
        assert!(!self.store.latest(mailbox, self.now).expect("a message").seen);
    }
}

const LETTER: &str = "From: Alice <alice@s.example>\r\nTo: Bob <bob@d.example>\r\n\
    Subject: =?utf-8?q?h=C3=AA?=\r\nMessage-ID: <1@s>\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\n\r\ntext <&>\r\n--b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n\
    --b\r\nContent-Type: text/html; name=\"e\\\"vil.html\"\r\n\r\n<b>\r\n--b--\r\n";

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Reads the one answer that `bytes` must be.
    fn read(bytes: &[u8], head_only: bool) -> Self {
        let (answer, rest) = Self::read_first(bytes, head_only);
        assert!(rest.is_empty(), "more than one answer: {}", String::from_utf8_lossy(rest));
        answer
    }

    fn read_first(bytes: &[u8], head_only: bool) -> (Self, &[u8]) {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Self { status, head, body: Vec::new() };
        if head_only || status == 100 {
            return (answer, &bytes[end..]);
        }
        let length: usize = answer.field("Content-Length").parse().expect("a length");
        answer.body = bytes[end..end + length].to_vec();
        (answer, &bytes[end + length..])
    }

    fn field(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| *found == name)
            .map_or("", |(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn json(&self) -> Value {
        assert_eq!(self.field("Content-Type"), "application/json");
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn assert_guarded(&self) {
        assert_eq!(self.field("Date"), "Sun, 06 Nov 1994 08:49:37 GMT", "{self:?}");
        assert_eq!(self.field("X-Content-Type-Options"), "nosniff", "{self:?}");
        assert_eq!(self.field("X-DNS-Prefetch-Control"), "off", "{self:?}");
        assert_eq!(self.field("Cross-Origin-Resource-Policy"), "same-origin", "{self:?}");
        assert!(self.field("Content-Security-Policy").contains("default-src 'none'"), "{self:?}");
        assert!(self.field("Content-Security-Policy").contains("frame-ancestors"), "{self:?}");
        assert!(matches!(self.field("Referrer-Policy"), "no-referrer" | "same-origin"));
        let is_sandboxed = self.field("Content-Security-Policy").starts_with("sandbox");
        let opener = if is_sandboxed { "" } else { "same-origin" };
        assert_eq!(self.field("Cross-Origin-Opener-Policy"), opener, "{self:?}");
        assert!(!self.head.contains("Set-Cookie"), "{self:?}");
        assert!(!self.head.contains("script-src"), "{self:?}");
        // Nobody is told that he may look at this from elsewhere.
        assert!(!self.head.contains("Access-Control"), "{self:?}");
    }
}

/// A path that the route has, for a message of bob's.
fn path_of(route: &Route, id: &str) -> String {
    let pieces = route.path.iter().map(|segment| match segment {
        Segment::Word(word) => (*word).to_owned(),
        Segment::Name => "bob".to_owned(),
        Segment::Id => id.to_owned(),
        Segment::Number => "0".to_owned(),
    });
    format!("/{}", pieces.collect::<Vec<_>>().join("/"))
}

#[test]
fn law_every_route_answers_every_method_sensibly_and_guarded() {
    for route in ROUTES {
        for method in Method::ALL {
            let (mut world, id) = World::with_mail();
            let path = path_of(route, &id.to_string());
            let offered: Vec<_> = ROUTES
                .iter()
                .filter(|other| other.path == route.path)
                .map(|other| other.method)
                .collect();
            let answer = world.ask(method.as_str(), &path);
            answer.assert_guarded();
            let asked = if method == Method::Head { Method::Get } else { method };
            let expected: &[u16] = if offered.contains(&asked) { &[200, 303] } else { &[405] };
            assert!(expected.contains(&answer.status), "{} {path}: {answer:?}", method.as_str());
            if answer.status == 405 {
                let allow = answer.field("Allow");
                assert!(offered.iter().all(|method| allow.contains(method.as_str())), "{allow}");
                assert_eq!(allow.contains("HEAD"), allow.contains("GET"), "{allow}");
            }
        }
    }
}

/// Every route with every method, whether or not it has that, each in a world of its own.
fn every_request(mut ask: impl FnMut(&mut World, &Route, Method, &str)) {
    for route in ROUTES {
        for method in Method::ALL {
            let (mut world, id) = World::with_mail();
            ask(&mut world, route, method, &path_of(route, &id.to_string()));
        }
    }
}

/// A page that browsers call cross-site, or same-site because a neighbour has it, or whose origin
/// they say, or keep to themselves.
const FOREIGN: [&str; 6] = [
    "Origin: http://x\r\n",
    "Origin: null\r\n",
    "Origin: http://h:8026\r\n",
    "Origin: http://h:8025.x\r\n",
    "Sec-Fetch-Site: cross-site\r\n",
    "Origin: http://h:8026\r\nSec-Fetch-Site: same-site\r\n",
];

#[test]
fn law_a_foreign_page_changes_nothing() {
    every_request(|world, route, method, path| {
        for fields in FOREIGN {
            let changes = ROUTES.iter().any(|other| {
                other.path == route.path
                    && other.method == method
                    && matches!(other.reach, Reach::Change | Reach::Stream)
            });
            let answer = world.ask_with(method.as_str(), path, fields, "");
            let allowed: &[u16] = match (changes, fields.starts_with("Origin")) {
                (true, _) => &[403],
                (false, true) => &[403, 405],
                // Links from other sites.
                (false, false) => &[200, 303, 405],
            };
            assert!(allowed.contains(&answer.status), "{fields} {path}: {answer:?}");
            world.assert_untouched();
        }
    });
}

/// A page of another site may neither have what is here as a part of it, nor make the visitor's
/// browser ask for it again and again, which would have it rendered each time.
#[test]
fn law_no_route_is_part_of_a_page_of_another_site() {
    every_request(|world, route, method, path| {
        for site in ["cross-site", "same-site", "whatever"] {
            for (mode, dest) in [
                ("no-cors", "image"),
                ("no-cors", "script"),
                ("no-cors", "style"),
                ("no-cors", "empty"),
                ("cors", "empty"),
                ("websocket", "websocket"),
                ("navigate", "iframe"),
                ("navigate", "object"),
                ("navigate", "embed"),
                ("", ""),
            ] {
                let fields = format!(
                    "Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {dest}\r\n"
                );
                let answer = world.ask_with(method.as_str(), path, &fields, "");
                assert!(matches!(answer.status, 403 | 405), "{fields} {path}: {answer:?}");
                world.assert_untouched();
            }
        }
        // Whoever follows a link from there reads it, and our own pages have what they consist of.
        let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
        let own =
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n";
        if method == Method::Get && route.method == Method::Get {
            for fields in [link, own] {
                let answer = world.ask_with("GET", path, fields, "");
                assert!(matches!(answer.status, 200 | 303), "{fields} {path}: {answer:?}");
            }
        }
    });
}

#[test]
fn law_under_a_name_that_is_not_ours_nothing_is_said_and_nothing_changes() {
    every_request(|world, _, method, path| {
        for host in ["evil.example", "evil.example:8025", "h.evil.example", "hh", "127.1"] {
            let (answer, closed) = world.ask_host(host, method.as_str(), path, "", "");
            assert_eq!((answer.status, closed), (421, false), "{host} {path}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("bob"), "{path}");
            world.assert_untouched();
        }
    });
    // Also where there is nothing, and for who says that it is ours.
    let mut world = World::new();
    let ours = "Origin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n";
    for path in ["/nothing", "/mailbox/%00", "/mailbox/bob"] {
        assert_eq!(world.ask_host("evil.example", "GET", path, ours, "").0.status, 421, "{path}");
    }
    for host in ["localhost:8025", "127.0.0.1:8025", "[::1]:8025", "192.0.2.1", "H:1", "h."] {
        assert_eq!(world.ask_host(host, "GET", "/mailbox/bob", "", "").0.status, 200, "{host}");
    }
}

#[test]
fn law_every_route_asks_for_the_secret_that_its_reach_needs() {
    let gate = |read: &str, change: &str| Gate {
        hosts: vec!["h".parse().expect("a name")],
        read: read.parse().unwrap_or_default(),
        change: change.parse().unwrap_or_default(),
    };
    let (read, change) =
        ("Authorization: Bearer for-reading\r\n", "Authorization: Bearer for-deleting\r\n");
    for route in ROUTES {
        let (reads, changes) = match route.reach {
            Reach::Open | Reach::Own => (false, false),
            Reach::Read | Reach::Stream => (true, false),
            Reach::Change => (false, true),
        };
        for (gate, fields, refused) in [
            (gate("for-reading", "for-deleting"), "", reads || changes),
            (gate("for-reading", "for-deleting"), read, changes),
            (gate("for-reading", "for-deleting"), change, false),
            (
                gate("for-reading", "for-deleting"),
                "Authorization: Bearer wrong-one\r\n",
                reads || changes,
            ),
            (gate("for-reading", ""), "", reads || changes),
            (gate("for-reading", ""), read, false),
            (gate("", "for-deleting"), "", changes),
            (gate("", "for-deleting"), change, false),
        ] {
            let (mut world, id) = World::with_mail();
            world.gate = gate;
            let path = path_of(route, &id.to_string());
            let answer = world.ask_with(route.method.as_str(), &path, fields, "");
            assert_eq!(answer.status == 401, refused, "{fields} {path}: {answer:?}");
            assert_eq!(answer.field("WWW-Authenticate").starts_with("Basic realm="), refused);
            assert_eq!(answer.head.contains("WWW-Authenticate: Bearer realm="), refused);
            if refused {
                world.assert_untouched();
            }
        }
    }
}

#[test]
fn law_on_every_route_a_wrong_secret_is_told_and_after_too_many_none_is_looked_at() {
    for route in ROUTES {
        for (secret, is_right) in [("for-deleting", true), ("wrong-one", false)] {
            let (mut world, id) = World::with_mail();
            world.gate.read = "for-reading".parse().expect("a secret");
            world.gate.change = "for-deleting".parse().expect("a secret");
            let path = path_of(route, &id.to_string());
            let fields = format!("Authorization: Bearer {secret}\r\n");
            let is_open = matches!(route.reach, Reach::Open | Reach::Own);
            world.secrets_wait_seconds = Some(599);
            let answer = world.ask_with(route.method.as_str(), &path, &fields, "");
            assert_eq!(answer.status == 429, !is_open, "{path}: {answer:?}");
            assert_eq!(answer.field("Retry-After"), if is_open { "" } else { "599" });
            let unchecked = if is_open { vec![] } else { vec![Secret::Unchecked] };
            assert_eq!(std::mem::take(&mut world.secrets), unchecked, "{path}");
            world.assert_untouched();
            // Who shows none is asked for one, and may try when it is over.
            let answer = world.ask(route.method.as_str(), &path);
            assert_eq!(answer.status == 401, !is_open, "{path}: {answer:?}");
            world.secrets_wait_seconds = None;
            world.ask_with(route.method.as_str(), &path, &fields, "");
            let is_told = !is_right && route.reach != Reach::Open;
            assert_eq!(world.secrets, vec![Secret::Wrong; usize::from(is_told)], "{path}");
        }
    }
}

#[test]
fn law_of_what_others_sent_nothing_is_said_without_the_secret_on_any_route() {
    for route in ROUTES {
        for fields in ["", "Authorization: Bearer wrong-one\r\n"] {
            let (mut world, id) = World::with_mail();
            world.gate.read = "for-reading".parse().expect("a secret");
            world.standing.source = "192.0.2.7".into();
            world.standing.banned_subjects = Some(vec![BannedSubject {
                subject: "bob@d.example wins".into(),
                messages: 21,
                seconds_ago: 5,
                seconds_left: 3595,
            }]);
            let path = path_of(route, &id.to_string());
            let answer = world.ask_with(route.method.as_str(), &path, fields, "");
            let body = String::from_utf8_lossy(&answer.body);
            assert!(!body.contains("d.example") && !body.contains("text &"), "{path}: {body}");
            assert_eq!(body.contains("192.0.2.7"), route.reach == Reach::Own, "{path}: {body}");
            if route.reach == Reach::Own {
                let right = "Authorization: Bearer for-reading\r\n";
                let answer = world.ask_with(route.method.as_str(), &path, right, "");
                assert!(answer.text().contains("bob@d.example wins"), "{answer:?}");
            }
        }
    }
}

#[test]
fn law_every_route_caps_its_body() {
    every_request(|world, route, method, path| {
        let asked = if method == Method::Head { Method::Get } else { method };
        let most = ROUTES
            .iter()
            .find(|other| other.path == route.path && other.method == asked)
            .map(|other| other.body_bytes_max);
        let expected = if most.is_some() { 413 } else { 405 };
        for length in [most.unwrap_or(0).saturating_add(1), usize::MAX] {
            for expect in ["", "Expect: 100-continue\r\n"] {
                let fields = format!("Content-Length: {length}\r\n{expect}");
                let (answer, closed) = world.ask_host("h", method.as_str(), path, &fields, "");
                assert_eq!((answer.status, closed), (expected, true), "{path}");
                assert_eq!(answer.field("Connection"), "close");
                world.assert_untouched();
            }
        }
    });
}

#[test]
fn law_no_route_takes_a_body_whose_length_is_said_otherwise_or_twice() {
    every_request(|world, _, method, path| {
        for (fields, status) in [
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 2\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 2, 2\r\n", 400),
            ("Transfer-Encoding: chunked\r\n", 501),
            ("Transfer-Encoding: identity\r\n", 501),
        ] {
            // What is refused is no request: whether it was for a HEAD is nobody's business.
            let request =
                format!("{} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n{{}}", method.as_str());
            let (output, closed) = world.converse(&[request.as_bytes()]);
            let answer = Answer::read(&output, false);
            answer.assert_guarded();
            assert_eq!((answer.status, closed), (status, true), "{fields} {path}");
            world.assert_untouched();
        }
    });
}

/// Regression, of Mailpit's: CVE-2026-22689 let pages of other sites open a stream, and
/// GHSA-8r62-w5wh-fc5m did so again where the path was spelled `/%61pi/…`, since the rule knew only
/// one spelling of it and what routed knew more.
#[test]
fn law_no_other_spelling_of_a_path_leads_anywhere() {
    for route in ROUTES {
        let (mut world, id) = World::with_mail();
        let path = path_of(route, &id.to_string());
        let words = route.path.iter().filter_map(|segment| match segment {
            Segment::Word(word) => Some(*word),
            _ => None,
        });
        let mut spellings = vec![format!("/{path}"), format!("{path}/"), format!("/.{path}")];
        for word in words.clone() {
            for (at, letter) in word.char_indices() {
                for encoded in [
                    format!("%{:02x}", u32::from(letter)),
                    format!("%{:02X}", u32::from(letter)),
                    format!("%25{:02x}", u32::from(letter)),
                ] {
                    let respelled = [&word[..at], &encoded, &word[at + 1..]].concat();
                    spellings.push(path.replacen(word, &respelled, 1));
                }
            }
            spellings.push(path.replacen(word, &word.to_uppercase(), 1));
            spellings.push(path.replacen(&format!("/{word}"), &format!("%2f{word}"), 1));
            spellings.push(path.replacen(&format!("/{word}"), &format!("/{word};a=b"), 1));
            spellings.push(path.replacen(&format!("/{word}"), &format!("/x/..%2f{word}"), 1));
        }
        for spelling in spellings.iter().filter(|spelling| **spelling != path) {
            for fields in ["", FOREIGN[0]] {
                let answer = world.ask_with(route.method.as_str(), spelling, fields, "");
                // What is left of a path may be another's, whose words it has and whose rules it
                // keeps to: a message called `sourc%65`, which there is not.
                let known = matches!(answer.status, 404 | 400 | 405);
                let refused = !fields.is_empty() && answer.status == 403;
                assert!(known || refused, "{spelling} for {path}: {answer:?}");
                world.assert_untouched();
            }
        }
    }
}

#[test]
fn law_every_route_survives_names_and_ids_that_are_none() {
    for route in ROUTES {
        for (name, id) in [("%22%22", "1-0-0"), ("nobody", "1-0-0"), ("bob", "x"), ("bob", "0-0-0")]
        {
            let (mut world, _) = World::with_mail();
            let path = path_of(route, id).replace("bob", name);
            let answer = world.ask(route.method.as_str(), &path);
            answer.assert_guarded();
            assert!(matches!(answer.status, 200 | 303 | 400 | 404 | 410), "{path}: {answer:?}");
        }
    }
}

#[test]
fn reading_an_unknown_mailbox_makes_nothing() {
    let mut world = World::new();
    for route in ROUTES {
        for id in ["latest", "1-0-0"] {
            world.ask(route.method.as_str(), &path_of(route, id));
        }
    }
    assert_eq!(world.store.figures().mailboxes, 0);
    let answer = world.ask("GET", "/api/v1/mailbox/nobody");
    assert_eq!((answer.status, answer.text()), (200, "[]"));
    assert_eq!(answer.field("Mailfly-Lost"), "full=0, memory=0, expired=0, deleted=0");
}

#[test]
fn a_list_has_the_shape_that_inbucket_clients_read() {
    let (mut world, id) = World::with_mail();
    let answer = world.ask("GET", "/api/v1/mailbox/BOB%2Bx@anywhere.example");
    assert_eq!(
        answer.json(),
        serde_json::json!([{
            "mailbox": "bob",
            "id": id.to_string(),
            "from": "Alice <alice@s.example>",
            "to": ["Bob <bob@d.example>"],
            "subject": "hê",
            "date": "1994-11-06T08:49:37.042Z",
            "posix-millis": 784_111_777_042_u64,
            "size": LETTER.len(),
            "seen": false,
        }])
    );
}

#[test]
fn a_message_has_the_shape_that_inbucket_clients_read() {
    let (mut world, id) = World::with_mail();
    let whole = world.ask("GET", &format!("/api/v1/mailbox/bob/{id}")).json();
    assert_eq!(whole["mailbox"], "bob");
    assert_eq!(whole["seen"], false);
    assert_eq!(whole["body"]["text"], "text <&>");
    assert_eq!(whole["body"]["html"], "<script>alert(1)</script>");
    assert_eq!(whole["header"]["Message-Id"], serde_json::json!(["<1@s>"]));
    assert_eq!(whole["header"]["Subject"], serde_json::json!(["=?utf-8?q?h=C3=AA?="]));
    let link = format!("http://h:8025/api/v1/mailbox/bob/{id}/attachment/0");
    // printf '<b>' | md5sum
    let md5 = "2d5fef6c87f16217aa1b50e1ebc89720";
    let attachments = whole["attachments"].as_array().expect("a list");
    assert_eq!(attachments.len(), 1);
    assert_eq!(attachments[0]["filename"], "e\"vil.html");
    assert_eq!(attachments[0]["content-type"], "text/html");
    assert_eq!(attachments[0]["download-link"], link);
    assert_eq!(attachments[0]["view-link"], link);
    assert_eq!(attachments[0]["md5"], md5);
    assert_eq!(world.ask("GET", "/api/v1/mailbox/bob/latest").json()["id"], id.to_string());
}

#[test]
fn lists_go_from_the_oldest_to_the_newest_and_pages_the_other_way() {
    let mut world = World::new();
    for number in 1..=6 {
        world.deliver(&["bob@x"], &format!("Subject: s{number}\r\n\r\n"));
    }
    let answer = world.ask("GET", "/api/v1/mailbox/bob");
    let subjects = |answer: &Answer| -> Vec<String> {
        let list = answer.json();
        let entries = list.as_array().expect("a list");
        entries.iter().map(|entry| entry["subject"].as_str().expect("text").into()).collect()
    };
    assert_eq!(subjects(&answer), ["s3", "s4", "s5", "s6"]);
    assert_eq!(answer.field("Mailfly-Lost"), "full=2, memory=0, expired=0, deleted=0");
    assert_eq!(answer.field("Mailfly-Messages"), "4");
    let answer = world.ask("GET", "/api/v1/mailbox/bob?limit=2");
    assert_eq!(subjects(&answer), ["s5", "s6"]);
    assert_eq!(answer.field("Mailfly-Messages"), "4");
    assert_eq!(world.ask("GET", "/api/v1/mailbox/bob?limit=-1").status, 400);
    let page = world.ask("GET", "/mailbox/bob");
    let at = |subject| page.text().find(subject).expect(subject);
    assert!(at(">s6<") < at(">s3<"));
    assert!(page.text().contains("2 because the mailbox was full"), "{}", page.text());
}

#[test]
fn the_source_is_the_message_behind_its_trace() {
    let (mut world, id) = World::with_mail();
    let answer = world.ask("GET", &format!("/api/v1/mailbox/bob/{id}/source"));
    let trace = format!(
        "Return-Path: <alice@s.example>\r\n\
         Delivered-To: Bob+tag@d.example\r\n\
         Received: from there.example ([192.0.2.7])\r\n\
         \tby mail.example with ESMTP id {id}\r\n\
         \tfor <Bob+tag@d.example>;\r\n\
         \tSun, 06 Nov 1994 08:49:37 +0000\r\n"
    );
    assert_eq!(answer.text(), trace + LETTER);
    assert_eq!(answer.field("Content-Type"), "text/plain; charset=utf-8");
}

/// Or a client would show its secret on the way there, for all to see.
#[test]
fn what_was_asked_for_through_tls_links_to_nothing_without() {
    for (encrypted, scheme) in [(false, "http"), (true, "https")] {
        let (mut world, id) = World::with_mail();
        world.encrypted = encrypted;
        let path = format!("/api/v1/mailbox/bob/{id}");
        let shown = world.ask("GET", &path).json();
        let link = format!("{scheme}://h:8025{path}/attachment/0");
        assert_eq!(shown["attachments"][0]["download-link"], link);
        assert_eq!(shown["attachments"][0]["view-link"], link);
    }
}

#[test]
fn an_attachment_is_saved_and_never_shown() {
    let (mut world, id) = World::with_mail();
    let answer = world.ask("GET", &format!("/api/v1/mailbox/bob/{id}/attachment/0"));
    assert_eq!((answer.status, answer.text()), (200, "<b>"));
    assert_eq!(answer.field("Content-Type"), "application/octet-stream");
    assert!(answer.field("Content-Disposition").starts_with("attachment; filename=\"e_vil.html\""));
    assert_eq!(world.ask("GET", &format!("/api/v1/mailbox/bob/{id}/attachment/1")).status, 404);
}

#[test]
fn what_is_gone_is_gone_and_what_never_was_is_not_found() {
    let (mut world, id) = World::with_mail();
    let path = format!("/api/v1/mailbox/bob/{id}");
    let answer = world.ask("DELETE", &path);
    assert_eq!((answer.status, answer.text()), (200, "\"OK\""));
    for method in ["GET", "DELETE"] {
        let answer = world.ask(method, &path);
        assert_eq!(answer.status, 410);
        assert!(answer.text().contains("gone"), "{}", answer.text());
    }
    for path in
        ["/api/v1/mailbox/bob/latest", "/api/v1/mailbox/bob/1-f-0", "/api/v1/mailbox/x/latest"]
    {
        assert_eq!(world.ask("GET", path).status, 404, "{path}");
    }
    world.deliver(&["bob@x"], "A: b\r\n\r\n");
    assert_eq!(world.ask("DELETE", "/api/v1/mailbox/bob/latest").status, 404);
    assert_eq!(world.ask("DELETE", "/api/v1/mailbox/bob").text(), "\"OK\"");
    assert_eq!(world.ask("DELETE", "/api/v1/mailbox/nobody").text(), "\"OK\"");
    assert_eq!(world.store.figures().messages, 0);
    let lost = world.ask("GET", "/api/v1/mailbox/bob");
    assert_eq!(lost.field("Mailfly-Lost"), "full=0, memory=0, expired=0, deleted=2");
}

#[test]
fn messages_are_marked_as_clients_ask_and_by_being_opened() {
    let (mut world, id) = World::with_mail();
    let path = format!("/api/v1/mailbox/bob/{id}");
    let mut mark = |body: &str| {
        let fields = format!("Content-Length: {}\r\n", body.len());
        let answer = world.ask_with("PATCH", &path, &fields, body);
        (answer.status, world.ask("GET", &path).json()["seen"] == true)
    };
    assert_eq!(mark("{}"), (200, false));
    assert_eq!(mark("{\"seen\":true}"), (200, true));
    assert_eq!(mark("{\"seen\":false}"), (200, false));
    assert_eq!(mark("seen"), (400, false));
    assert_eq!(mark(""), (200, true));
    assert_eq!(mark("{\"seen\":false}"), (200, false));
    world.ask("HEAD", &format!("/mailbox/bob/{id}"));
    assert_eq!(world.ask("GET", &path).json()["seen"], false);
    world.ask("GET", &format!("/mailbox/bob/{id}"));
    assert_eq!(world.ask("GET", &path).json()["seen"], true);
}

#[test]
fn a_field_for_a_name_leads_to_the_mailbox() {
    let mut world = World::new();
    for (query, location) in [
        ("?name=Bob%2Btag%40x.example", "/mailbox/bob"),
        ("?name=+bob+", "/mailbox/bob"),
        ("?name=%C3%A9", "/mailbox/%C3%A9"),
        ("?name=a%2Fb", "/mailbox/a%2Fb"),
        ("?name=", "/"),
        ("", "/"),
    ] {
        let answer = world.ask("GET", &format!("/mailbox{query}"));
        assert_eq!((answer.status, answer.field("Location")), (303, location), "{query}");
    }
    assert_eq!(world.ask("GET", "/mailbox?name=%22%22").status, 400);
}

#[test]
fn the_message_page_escapes_and_frames_what_strangers_wrote() {
    let (mut world, id) = World::with_mail();
    let page = world.ask("GET", &format!("/mailbox/bob/{id}"));
    assert!(page.text().contains("text &lt;&amp;&gt;"), "{}", page.text());
    assert!(!page.text().contains("<script"), "{}", page.text());
    assert!(page.text().contains("<iframe class=\"letter\" sandbox=\"\""), "{}", page.text());
    let letter = world.ask("GET", &format!("/mailbox/bob/{id}/html"));
    assert_eq!(letter.text(), "<script>alert(1)</script>");
    let policy = letter.field("Content-Security-Policy");
    assert!(
        policy.starts_with("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    );
    assert_eq!(letter.field("Referrer-Policy"), "no-referrer");
}

#[test]
fn what_a_letter_shows_from_elsewhere_is_fetched_only_if_the_reader_asks() {
    let mut world = World::new();
    let id = world.deliver(
        &["bob@x"],
        "Content-Type: text/html\r\n\r\n<link rel=preconnect href=//x><img src=http://x/y>",
    );
    let path = format!("/mailbox/bob/{id}");
    for (query, remote) in
        [("", false), ("?images=remote", true), ("?images=own", false), ("?image=remote", false)]
    {
        let page = world.ask("GET", &format!("{path}{query}"));
        let frame = format!("src=\"{path}/html{}\"", if remote { query } else { "" });
        assert!(page.text().contains("sandbox=\"\""), "{}", page.text());
        assert!(page.text().contains(&frame), "{frame} in {}", page.text());
        assert_eq!(page.text().contains(&format!("href=\"{path}?images=remote\"")), !remote);
        assert!(page.field("Content-Security-Policy").contains("img-src data:; "));

        let letter = world.ask("GET", &format!("{path}/html{query}"));
        let policy = letter.field("Content-Security-Policy");
        let images = if remote { "img-src data: http: https:" } else { "img-src data:" };
        let directives: Vec<_> = policy.split("; ").collect();
        assert_eq!(
            directives,
            [
                "sandbox",
                "default-src 'none'",
                "style-src 'unsafe-inline'",
                images,
                "form-action 'none'",
                "base-uri 'none'",
                "frame-ancestors 'self'",
            ]
        );
        assert!(letter.text().contains("<no-link rel=preconnect"), "{}", letter.text());
    }
}

/// Or its sender could learn when it is read from whoever it gets to a page that leads here.
#[test]
fn a_link_on_a_page_of_another_site_does_not_ask_for_what_is_elsewhere() {
    let mut world = World::new();
    world.deliver(&["bob@x"], "Content-Type: text/html\r\n\r\n<img src=http://x/y>");
    let link = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    for (site, fetched) in
        [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)]
    {
        let fields = format!("Sec-Fetch-Site: {site}\r\n{link}");
        let page = world.ask_with("GET", "/mailbox/bob/latest?images=remote", &fields, "");
        assert_eq!(page.text().contains("/html?images=remote\""), fetched, "{site}");
        assert_eq!(page.text().contains("Fetch images"), !fetched, "{site}");
        let letter = world.ask_with("GET", "/mailbox/bob/latest/html?images=remote", &fields, "");
        let policy = letter.field("Content-Security-Policy");
        assert_eq!(policy.contains("img-src data: http: https:"), fetched, "{site}");
    }
}

#[test]
fn whoever_may_only_read_marks_nothing_by_reading() {
    let read = "Authorization: Bearer for-reading\r\n";
    let change = "Authorization: Bearer for-deleting\r\n";
    for (opens, fields, seen) in
        [("", "", false), ("for-reading", read, false), ("for-reading", change, true)]
    {
        let (mut world, id) = World::with_mail();
        world.gate.read = opens.parse().unwrap_or_default();
        world.gate.change = "for-deleting".parse().unwrap();
        let page = world.ask_with("GET", &format!("/mailbox/bob/{id}"), fields, "");
        assert_eq!(page.status, 200, "{fields}");
        let list = world.ask_with("GET", "/api/v1/mailbox/bob", fields, "").text().to_owned();
        assert_eq!(list.contains("\"seen\":true"), seen, "{fields}: {list}");
    }
}

#[test]
fn a_page_of_another_site_does_not_mark_a_message_by_showing_its_path() {
    let (mut world, id) = World::with_mail();
    let path = format!("/mailbox/bob/{id}");
    assert_eq!(world.ask_with("GET", &path, "Sec-Fetch-Site: cross-site\r\n", "").status, 200);
    world.assert_untouched();
}

#[test]
fn forms_of_our_own_pages_delete() {
    let (mut world, id) = World::with_mail();
    let fields = "Origin: http://h:8025\r\nContent-Length: 0\r\n";
    let answer = world.ask_with("POST", &format!("/mailbox/bob/{id}/delete"), fields, "");
    assert_eq!((answer.status, answer.field("Location")), (303, "/mailbox/bob"));
    assert_eq!(world.store.figures().messages, 0);
    world.deliver(&["bob@x"], "A: b\r\n\r\n");
    let answer =
        world.ask_with("POST", "/mailbox/bob/delete", "Sec-Fetch-Site: same-origin\r\n", "");
    assert_eq!((answer.status, world.store.figures().messages), (303, 0));
}

#[test]
fn monitors_are_answered_while_draining_too() {
    let mut world = World::new();
    assert_eq!(world.ask("GET", "/livez").text(), "alive\n");
    assert_eq!(world.ask("GET", "/readyz").text(), "ready\n");
    let metrics = world.ask("GET", "/metrics");
    assert!(metrics.text().contains("mailfly_messages 0\n"), "{}", metrics.text());
    world.ready = false;
    let answer = world.ask("GET", "/readyz");
    assert_eq!((answer.status, answer.field("Connection")), (503, "close"));
    assert_eq!(world.ask("GET", "/livez").status, 200);
}

#[test]
fn answers_past_the_bound_are_refused_and_small_ones_are_not() {
    let mut world = World::new();
    world.deliver(&["bob@x"], &format!("A: b\r\n\r\n{}", "x".repeat(64 * KIB)));
    let mut held = world.responses.begin().expect("a piece");
    while held.push(&[0; KIB]).is_ok() {}
    let answer = world.ask("GET", "/api/v1/mailbox/bob/latest/source");
    assert_eq!((answer.status, answer.field("Retry-After")), (503, "1"));
    answer.assert_guarded();
    assert_eq!(world.ask("GET", "/livez").status, 200);
    drop(held);
    assert_eq!(world.ask("GET", "/api/v1/mailbox/bob/latest/source").status, 200);
    assert_eq!(world.responses.bytes(), 0);
}

#[test]
fn a_dropped_connection_gives_back_what_it_held() {
    let (mut world, _) = World::with_mail();
    let mut exchange = Exchange::default();
    let now = world.now;
    let input = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /livez HTTP/1.1\r\nHost: h\r\n\r\n";
    let progress = world.with_desk(|desk| exchange.receive(input, desk, now));
    assert_eq!(progress.consumed, 27);
    assert!(world.responses.bytes() >= exchange.pending().len());
    // The next request waits until the first answer was read.
    exchange.sent(1);
    let progress = world.with_desk(|desk| exchange.receive(&input[27..], desk, now));
    assert_eq!(progress.consumed, 0);
    drop(exchange);
    assert_eq!(world.responses.bytes(), 0);
}

#[test]
fn law_an_idle_connection_is_small() {
    assert!(size_of::<Exchange>() <= 64);
}

#[test]
fn a_body_is_asked_for_once_and_only_if_it_will_be_read() {
    let (mut world, id) = World::with_mail();
    let head = |length: usize| {
        format!(
            "PATCH /api/v1/mailbox/bob/{id} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let (output, closed) =
        world.converse(&[head(13).as_bytes(), b"{\"seen\"", b":true}", head(2).as_bytes(), b"{}"]);
    let (first, rest) = Answer::read_first(&output, false);
    let (second, rest) = Answer::read_first(rest, false);
    let (third, rest) = Answer::read_first(rest, false);
    let fourth = Answer::read(rest, false);
    let statuses = [first.status, second.status, third.status, fourth.status];
    assert_eq!((statuses, closed), ([100, 200, 100, 200], false));
    let (output, closed) = world.converse(&[head(5000).as_bytes()]);
    assert_eq!((Answer::read(&output, false).status, closed), (413, true));
}

/// Conversations, each with the statuses of its answers and whether it ends closed.
const CONVERSATIONS: &[(&str, &[u16], bool)] = &[
    (
        "GET /livez HTTP/1.1\r\nHost: h\r\n\r\nGET /readyz HTTP/1.1\r\nHost: h\r\n\r\n\r\n\
         GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n",
        &[200, 200, 404],
        false,
    ),
    ("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n", &[200], true),
    ("GET /livez HTTP/1.0\r\n\r\nGET /livez HTTP/1.0\r\n\r\n", &[200], true),
    (
        "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /livez HTTP/1.0\r\n\r\n",
        &[200, 200],
        true,
    ),
    (
        "PATCH /api/v1/mailbox/bob/latest HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n\
         {\"seen\":true}DELETE /api/v1/mailbox/bob HTTP/1.1\r\nHost: h\r\n\r\n\
         GET /api/v1/mailbox/bob HTTP/1.1\r\nHost: h\r\n\r\n",
        &[200, 200, 200],
        false,
    ),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nGET", &[405], true),
    ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[501], true),
    (
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    ("GET /mailbox/%00 HTTP/1.1\r\nHost: h\r\n\r\n", &[400], false),
    ("GET / HTTP/1.1\nHost: h\n\n", &[400], true),
    ("EHLO there\r\nMAIL FROM:<a@b>\r\n", &[400], true),
    ("GET / HTTP/1.1\r\nHost: h", &[], false),
];

#[test]
fn law_a_conversation_is_the_same_at_every_cut() {
    for (text, statuses, closes) in CONVERSATIONS {
        let (whole, closed) = World::with_mail().0.converse(&[text.as_bytes()]);
        let mut rest = &whole[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (answer, next) = Answer::read_first(rest, false);
            answer.assert_guarded();
            found.push(answer.status);
            rest = next;
        }
        assert_eq!((&found[..], closed), (*statuses, *closes), "{text}");
        let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
        assert!(World::with_mail().0.converse(&bytes) == (whole.clone(), closed), "{text}");
        for cut in 1..text.len() {
            let (one, two) = text.as_bytes().split_at(cut);
            let answers = World::with_mail().0.converse(&[one, two]);
            assert!(answers == (whole.clone(), closed), "{text} cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn law_any_bytes_are_answered_or_waited_for(
        pieces in proptest::collection::vec(prop_oneof![
            Just("GET ".as_bytes().to_vec()), Just(b"PATCH /api/v1/mailbox/bob/latest".to_vec()),
            Just(b" HTTP/1.1\r\n".to_vec()), Just(b"Host: h\r\n".to_vec()), Just(b"\r\n".to_vec()),
            Just(b"Content-Length: 2\r\n".to_vec()), Just(b"{}".to_vec()), Just(b"/".to_vec()),
            Just(b"/mailbox/%".to_vec()), Just(b"?name=".to_vec()), Just(b"41".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..20),
        ], 0..20),
    ) {
        let (mut world, _) = World::with_mail();
        let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
        let (output, closed) = world.converse(&pieces);
        let whole = World::with_mail().0.converse(&[&pieces.concat()]);
        prop_assert_eq!((output, closed), whole);
        prop_assert_eq!(world.responses.bytes(), 0);
    }
}

#[test]
fn whoever_was_refused_is_told_why_and_markup_in_a_subject_is_text() {
    let mut world = World::new();
    world.standing = Standing {
        source: "192.0.2.7".into(),
        ban: Some(Reason {
            rule: "messages",
            reason: "too many messages from your network",
            action: "reject",
            count: 21,
            limit: 20,
            seconds_left: Some(599),
        }),
        used: vec![Used { rule: "connections", count: 3, limit: 100 }],
        banned_subjects: Some(vec![BannedSubject {
            subject: "<script>alert(1)</script>".into(),
            messages: 21,
            seconds_ago: 5,
            seconds_left: 3595,
        }]),
        ..Standing::default()
    };
    let answer = world.ask("GET", "/api/v1/refused");
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        told,
        serde_json::json!({
            "source": "192.0.2.7", "trusted": false, "shared": false,
            "ban": {
                "rule": "messages", "reason": "too many messages from your network",
                "action": "reject", "count": 21, "limit": 20, "seconds-left": 599,
            },
            "last": null, "last-seconds-ago": null,
            "used": [{ "rule": "connections", "count": 3, "limit": 100 }],
            "banned-subjects": [{
                "subject": "<script>alert(1)</script>", "messages": 21, "seconds-ago": 5,
                "seconds-left": 3595,
            }],
        })
    );
    let page = String::from_utf8(world.ask("GET", "/refused").body).unwrap();
    for text in ["192.0.2.7", "It is banned: too many messages", "21, where 20", "10 min", "60 min"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
}
