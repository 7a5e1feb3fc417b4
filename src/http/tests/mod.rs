//! Conversations over a real store: what a reactor would do with an exchange, and what comes of it.

mod answers;
mod exchange;
mod long;
mod routes;

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::standing::Standing;
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
