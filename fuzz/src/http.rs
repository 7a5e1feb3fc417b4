//! Whole conversations of HTTP over a store with mail in it: heads and routes, however the bytes are
//! cut, and whatever is done to the mail.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

use mailfly::clock::Now;
use mailfly::http::request::Request;
use mailfly::http::standing::Standing;
use mailfly::http::{Desk, Exchange, Gate, Responses, Scratch, Secret};
use mailfly::limits::{KIB, MIB};
use mailfly::phases::Phases;
use mailfly::progress::Then;
use mailfly::store::{Capacity, Client, Demand, MailboxName, Naming, Protocol, Store};

/// The first byte of the input says how the rest, which a client sends, is cut.
pub fn holds(input: &[u8]) {
    let Some((&step, sent)) = input.split_first() else { return };
    let whole = Request::parse(sent);
    for cut in [sent.len() / 2, sent.len().saturating_sub(1)] {
        let early = Request::parse(&sent[..cut]);
        assert!(early == Ok(None) || early == whole, "a cut at {cut} changed a head");
    }
    WORLDS.with_borrow_mut(|(whole, cut)| {
        let expected = whole.converse([sent]);
        let found = cut.converse(sent.chunks(usize::from(step).max(1)));
        let text =
            |(output, closed): &(Vec<u8>, bool)| format!("{} {closed}", output.escape_ascii());
        assert!(found == expected, "in pieces of {step}: {} not {}", text(&found), text(&expected));
        whole.restore();
        cut.restore();
    });
}

thread_local! {
    /// Two of a kind, to which the same happens, so that the ids in them are the same. They outlive
    /// an input, since they take long to make.
    static WORLDS: RefCell<(World, World)> = RefCell::new((World::new(), World::new()));
}

/// The second of the two letters that each of them holds.
const LETTER: &[u8] = b"From: Alice <alice@s.example>\r\nTo: <\"b\\\"<&>\"@d>\r\n\
    Subject: =?utf-8?q?h=C3=AA<&>?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\n\r\ntext <&>\r\n--b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n\
    --b\r\nContent-Type: text/html; name=\"e\\\"vil.html\"\r\n\r\n<b>\r\n--b--\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const NOW: Now = Now { monotonic_ms: 1000, unix_ms: 784_111_777_042 };

struct World {
    store: Store,
    phases: Phases,
    scratch: Scratch,
    responses: Responses,
    /// Lets every name through, or few of the heads would get to a route.
    gate: Gate,
}

impl World {
    fn new() -> Self {
        let demand = Demand {
            memory_bytes: MIB,
            mailboxes_max: 16,
            mailbox_bytes_max: 256 * KIB,
            mailbox_messages_max: 4,
            message_bytes_max: 80 * KIB,
            ttl_ms: None,
        };
        let mut world = Self {
            store: Store::new(Capacity::of(&demand).expect("a small store"), 1).expect("memory"),
            phases: Phases::new().expect("bounds"),
            scratch: Scratch::new(demand.message_bytes_max),
            responses: Responses::new(demand.message_bytes_max),
            gate: Gate { hosts: vec!["*".parse().expect("any name")], ..Gate::default() },
        };
        world.restore();
        world
    }

    /// Two letters for `b`, as if nothing had been done to those before.
    fn restore(&mut self) {
        let name = MailboxName::of("b", Naming::Local).expect("a name");
        if let Some(mailbox) = self.store.find(&name) {
            self.store.purge(mailbox, NOW);
        }
        for letter in [&b"hello\r\n"[..], LETTER] {
            let mut draft = self.store.open(b"a@x", NOW).expect("a draft");
            self.store.add_recipient(&mut draft, b"b@y", &name, NOW).expect("a recipient");
            let client = Client {
                helo: b"there",
                source: IpAddr::V4(Ipv4Addr::LOCALHOST),
                protocol: Protocol { extended: true, utf8: false, encrypted: false },
            };
            self.store.commit(draft, &[letter], &client, NOW).expect("room");
        }
    }

    /// All that is answered, and whether the connection is closed. Whether a body is asked for before
    /// it comes depends on the cuts, so that is left out.
    fn converse<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
        let (mut exchange, mut input, mut output) = (Exchange::default(), vec![], vec![]);
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                let mut desk = Desk {
                    store: &mut self.store,
                    naming: Naming::Local,
                    hostname: "mail.example",
                    smtp: "127.0.0.1:1025",
                    encrypted: false,
                    ready: true,
                    samples: &|_| vec![],
                    phases: &self.phases,
                    gate: &self.gate,
                    standing: &Standing::default,
                    secrets_wait_seconds: None,
                    secret: Secret::default(),
                    scratch: &mut self.scratch,
                    responses: &self.responses,
                };
                let progress = exchange.receive(&input, &mut desk, NOW);
                input.drain(..progress.consumed);
                let mut response = vec![];
                while !exchange.pending().is_empty() {
                    let pending = exchange.pending();
                    response.extend_from_slice(pending);
                    exchange.sent(pending.len());
                }
                if !response.is_empty() && response != CONTINUE {
                    is_a_response(&response);
                }
                if response != CONTINUE {
                    output.append(&mut response);
                }
                match progress.then {
                    Then::Continue => break,
                    Then::Flush | Then::Yield => {}
                    Then::Encrypt => panic!("nobody asked for it"),
                    Then::Close => {
                        assert_eq!(self.responses.bytes(), 0, "memory of responses is held");
                        return (output, true);
                    }
                }
            }
        }
        (output, false)
    }
}

/// A head of whole lines that guards what it comes with, and as long a body as it says, or none.
fn is_a_response(response: &[u8]) {
    let end = response.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
    let head = str::from_utf8(&response[..end]).expect("a head is text");
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    for line in head.split("\r\n") {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let field = |name: &str| {
        let mut values =
            head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {head}"));
        assert_eq!(values.next(), None, "{name} comes once");
        value
    };
    let body = &response[end + 4..];
    let length: usize = field("Content-Length").parse().expect("a length");
    assert!(body.is_empty() || body.len() == length, "{} for {length}", body.len());
    assert_eq!(field("X-Content-Type-Options"), "nosniff");
    assert!(field("Content-Security-Policy").contains("default-src 'none'"));
    assert!(!head.contains("Set-Cookie") && !head.contains("Access-Control"));
    let is_html = field("Content-Type").starts_with("text/html");
    let is_sandboxed = field("Content-Security-Policy").contains("sandbox");
    let has_script = body.windows(7).any(|window| window.eq_ignore_ascii_case(b"<script"));
    assert!(!(is_html && has_script) || is_sandboxed, "script outside of a sandbox");
}
