//! What the server's connections mean, with a clock of the tests' own: how long each stage may take,
//! what pressure changes, and that the wall clock changes nothing.

use std::net::SocketAddr;

use super::{Conversation, Server};
use crate::clock::Now;
use crate::config::{Keys, Machine, Settings, Size};
use crate::guard::Rule;
use crate::limits::{
    CROWDED_MS, HTTP_CALM_MAIL_VISITS, HTTP_IDLE_MS, HTTP_LISTED_PER_TURN, HTTP_REQUEST_MS,
    HTTP_TURNS_LEFT_OUT_MAX, MESSAGE_GRACE_MS, PRESSURE_DEADLINE_MS_MIN, SMTP_FIRST_COMMAND_MS,
    SMTP_IDLE_MS, SMTP_SESSION_MS,
};
use crate::net::{Admission, ListenerId, Protocol};
use crate::output::Output;
use crate::progress::Then;
use crate::smtp::hostname::Hostname;

const SMTP: ListenerId = ListenerId(0);
const HTTP: ListenerId = ListenerId(1);
const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
const START: Now = Now { monotonic_ms: 1_000_000, unix_ms: 50 * YEAR_MS };

fn settings(connections: u32, rules: &[(&str, &str)]) -> Settings {
    let machine = Machine { hostname: Hostname::localhost(), descriptors: 65_536, available: None };
    let any_port = || Some(vec!["127.0.0.1:0".parse().unwrap()]);
    let mut keys = Keys {
        smtp: any_port(),
        http: any_port(),
        memory: Some(Size(8 << 20)),
        connections: Some(connections),
        policy: Some(crate::config::PolicyKey::Rfc),
        ..Keys::default()
    };
    for (name, value) in rules {
        match *name {
            "connections-at-once" => keys.guard_connections_at_once = value.parse().ok(),
            "offences" => keys.guard_offences = value.parse().ok(),
            _ => panic!("{name}"),
        }
    }
    Settings::resolve(keys, &machine).unwrap()
}

/// The server's connections, without a reactor.
struct Talk<'s> {
    server: Server<'s>,
    now: Now,
    moved_ms: u64,
    output: Output,
}

impl<'s> Talk<'s> {
    fn new(settings: &'s Settings) -> Self {
        let server = Server::start(settings).unwrap();
        Self { server, now: START, moved_ms: 0, output: Output::with_capacity(4096) }
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
    }

    fn connect(&mut self, listener: ListenerId, peer: &str) -> Option<Conversation> {
        let peer = SocketAddr::new(peer.parse().unwrap(), 25);
        self.output.clear();
        let service = &mut self.server.service;
        self.moved_ms = self.now.monotonic_ms;
        match service.connected(listener, peer, self.now, &mut self.output) {
            Admission::Accept(conversation) | Admission::Encrypt(conversation) => {
                Some(conversation)
            }
            Admission::Refuse(_) => None,
        }
    }

    /// Sends, and returns what is answered and whether that was all.
    fn say(&mut self, conversation: &mut Conversation, text: &str) -> (String, Then) {
        self.output.clear();
        self.moved_ms = self.now.monotonic_ms;
        let service = &mut self.server.service;
        service.turn_begins();
        let progress = service.received(conversation, text.as_bytes(), self.now, &mut self.output);
        (self.said(), progress.then)
    }

    fn said(&self) -> String {
        String::from_utf8(self.output.as_slice().to_vec()).unwrap()
    }

    /// How long it may go on as it is.
    fn left_ms(&self, conversation: &Conversation) -> u64 {
        let deadline_ms = self.server.service.deadline_ms(conversation, self.moved_ms);
        deadline_ms.saturating_sub(self.now.monotonic_ms)
    }

    fn expire(&mut self, conversation: &mut Conversation) -> String {
        self.output.clear();
        let then = self.server.service.expired(conversation, self.now, &mut self.output);
        assert_eq!(then, Then::Close);
        self.said()
    }

    fn offences(&self) -> u32 {
        let why = self.server.service.guard.explain("192.0.2.1".parse().unwrap(), self.now);
        why.used.iter().flatten().find(|used| used.rule == Rule::Offences).map_or(0, |u| u.count)
    }
}

#[test]
fn each_stage_of_a_session_has_its_deadline_and_bytes_do_not_put_it_off() {
    let settings = settings(100, &[]);
    let mut talk = Talk::new(&settings);
    let mut client = talk.connect(SMTP, "127.0.0.1").unwrap();
    assert_eq!(talk.left_ms(&client), SMTP_FIRST_COMMAND_MS);
    for passed in 1..50 {
        talk.pass(1000);
        talk.say(&mut client, "E");
        assert_eq!(talk.left_ms(&client), SMTP_FIRST_COMMAND_MS - passed * 1000);
    }
    talk.say(&mut client, "EHLO a\r\n");
    assert_eq!(talk.left_ms(&client), SMTP_IDLE_MS);
    talk.pass(1000);
    talk.say(&mut client, "MAIL FR");
    assert_eq!(talk.left_ms(&client), SMTP_IDLE_MS - 1000);
    talk.say(&mut client, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
    let (mut left, began) = (talk.left_ms(&client), talk.now.monotonic_ms);
    assert!((MESSAGE_GRACE_MS..MESSAGE_GRACE_MS + 1000).contains(&left), "{left}");
    // A tenth of the least rate.
    while left > 0 {
        talk.pass(1000);
        talk.say(&mut client, &"x".repeat(50));
        left = talk.left_ms(&client);
    }
    let lasted = talk.now.monotonic_ms - began;
    assert!((MESSAGE_GRACE_MS..MESSAGE_GRACE_MS * 10 / 8).contains(&lasted), "{lasted}");
    assert!(talk.expire(&mut client).starts_with("421 4.4.2 "));
    assert_eq!(talk.server.service.store.draft_arenas().0, 0, "its draft is given back");
}

#[test]
fn a_session_that_goes_on_and_on_is_over_after_an_hour() {
    let settings = settings(100, &[]);
    let mut talk = Talk::new(&settings);
    let mut client = talk.connect(SMTP, "127.0.0.1").unwrap();
    let mut lasted = 0;
    while talk.left_ms(&client) > 0 {
        talk.say(&mut client, "NOOP\r\n");
        talk.pass(60_000);
        lasted += 60_000;
    }
    assert_eq!(lasted, SMTP_SESSION_MS);
}

#[test]
fn a_request_has_so_long_from_its_first_byte_to_its_last() {
    let settings = settings(100, &[]);
    let mut talk = Talk::new(&settings);
    let mut reader = talk.connect(HTTP, "192.0.2.1").unwrap();
    assert_eq!(talk.left_ms(&reader), HTTP_IDLE_MS);
    talk.pass(HTTP_IDLE_MS / 2);
    let mut request = String::from("GET /livez HTTP/1.1\r\nHost: localhost\r\n");
    for passed in 0..15 {
        talk.say(&mut reader, &request);
        request.push_str("x: y\r\n");
        assert_eq!(talk.left_ms(&reader), HTTP_REQUEST_MS - passed * 1000);
        talk.pass(1000);
    }
    talk.say(&mut reader, &format!("{request}\r\n"));
    let owed = talk.server.service.held_output(&reader).len();
    assert!(owed > 0);
    talk.server.service.held_output_sent(&mut reader, owed);
    assert_eq!(talk.left_ms(&reader), HTTP_IDLE_MS, "between two requests");
}

#[test]
fn the_wall_clock_changes_no_deadline() {
    let settings = settings(100, &[]);
    let run = |jump: fn(u64, u64) -> u64| {
        let mut talk = Talk::new(&settings);
        let mut lefts = Vec::new();
        let mut client = talk.connect(SMTP, "192.0.2.1").unwrap();
        let mut reader = talk.connect(HTTP, "192.0.2.1").unwrap();
        for (step, text) in
            ["EH", "EHLO a\r\n", "MAIL FROM:<a@x>\r\n", "RCPT TO:<b@y>\r\nDATA\r\n", "x\r\n.\r\n"]
                .into_iter()
                .enumerate()
        {
            talk.pass(700);
            talk.now.unix_ms = jump(START.unix_ms, step as u64);
            talk.server.service.tick(talk.now);
            let (said, _) = talk.say(&mut client, text);
            // An id is not the same in another run.
            lefts.push((talk.left_ms(&client), said.lines().count() as u64));
            talk.say(&mut reader, "GET / HTTP/1.1\r\n");
            lefts.push((talk.left_ms(&reader), 0));
            lefts.push((talk.server.service.held_until_ms(&client), 0));
        }
        lefts
    };
    let calm = run(|unix_ms, step| unix_ms + step * 700);
    assert_eq!(run(|unix_ms, step| unix_ms + step * 10 * YEAR_MS), calm);
    assert_eq!(run(|unix_ms, step| unix_ms - step * 10 * YEAR_MS), calm);
}

#[test]
fn near_the_cap_deadlines_are_shorter_and_fewer_faults_forgiven_until_room_is_back() {
    // Of 40 connections 35 are for mail.
    let settings = settings(40, &[("offences", "off")]);
    let mut talk = Talk::new(&settings);
    let mut trusted = talk.connect(SMTP, "127.0.0.1").unwrap();
    talk.say(&mut trusted, "EHLO a\r\n");
    let mut clients = Vec::new();
    let mut lefts = Vec::new();
    for _ in 1..34 {
        let mut client = talk.connect(SMTP, "192.0.2.1").unwrap();
        talk.say(&mut client, "EHLO a\r\n");
        lefts.push(talk.left_ms(&client));
        clients.push(client);
    }
    assert_eq!(lefts[24..26], [SMTP_IDLE_MS, SMTP_IDLE_MS / 5], "at three quarters");
    assert_eq!(lefts[29..31], [SMTP_IDLE_MS / 5, PRESSURE_DEADLINE_MS_MIN], "at nine tenths");
    assert!(talk.server.service.deadlines_came_nearer(), "for those that were there before, too");
    assert!(!talk.server.service.deadlines_came_nearer(), "which is said once");
    assert_eq!(talk.left_ms(&clients[0]), PRESSURE_DEADLINE_MS_MIN);
    let (said, then) = talk.say(&mut clients[0], "WHAT\r\n");
    assert!(said.starts_with("500 ") && said.contains("421 4.7.0 "), "{said}");
    assert_eq!(then, Then::Close);
    let (said, then) = talk.say(&mut trusted, "WHAT\r\n");
    assert!(said.starts_with("500 ") && then == Then::Continue, "who is trusted feels nothing");
    assert_eq!(talk.left_ms(&trusted), SMTP_IDLE_MS);
    for client in clients.drain(..20) {
        talk.server.service.disconnected(client, talk.now);
    }
    talk.server.service.tick(talk.now);
    assert_eq!(talk.left_ms(&clients[0]), SMTP_IDLE_MS);
    let (said, then) = talk.say(&mut clients[0], "WHAT\r\n");
    assert!(said.starts_with("500 ") && then == Then::Continue, "{said}");
    assert!(!talk.server.service.deadlines_came_nearer());
}

#[test]
fn a_session_may_make_way_when_it_is_silent_between_two_messages_and_readers_do_not() {
    let settings = settings(40, &[("offences", "off")]);
    let mut talk = Talk::new(&settings);
    let trusted = talk.connect(SMTP, "127.0.0.1").unwrap();
    let reader = talk.connect(HTTP, "192.0.2.1").unwrap();
    let mut client = talk.connect(SMTP, "192.0.2.1").unwrap();
    talk.say(&mut client, "EHLO a\r\n");
    let may = |talk: &Talk<'_>, conversation: &Conversation| {
        talk.server.service.may_make_way(conversation, talk.moved_ms, talk.now)
    };
    talk.pass(100_000);
    assert!(!may(&talk, &client) && !talk.server.service.wants_way(SMTP), "there is room");
    let _many: Vec<_> = (0..30).map(|_| talk.connect(SMTP, "192.0.2.2").unwrap()).collect();
    assert!(talk.server.service.wants_way(SMTP));
    talk.say(&mut client, "EHLO a\r\n");
    talk.pass(999);
    assert!(!may(&talk, &client));
    talk.pass(1);
    assert!(may(&talk, &client) && !may(&talk, &reader) && !may(&talk, &trusted));
    talk.say(&mut client, "MAIL FROM:<a@x>\r\n");
    talk.pass(100_000);
    assert!(!may(&talk, &client), "a transaction is under way");
    talk.say(&mut client, "RSET\r\n");
    talk.pass(1000);
    assert!(may(&talk, &client));
    talk.output.clear();
    talk.server.service.makes_way(&mut client, talk.now, &mut talk.output);
    assert!(talk.said().starts_with("421 4.3.2 "), "{}", talk.said());
}

#[test]
fn it_is_crowded_at_the_cap_and_while_others_make_way() {
    let settings = settings(100, &[]);
    let mut talk = Talk::new(&settings);
    let mail_max = talk.server.service.smtp_connections_max as usize;
    let crowded = |talk: &Talk, listener| talk.server.service.is_crowded(listener, talk.now);
    let mut clients = vec![];
    while clients.len() < mail_max {
        assert!(!crowded(&talk, SMTP), "{}", clients.len());
        clients.push(talk.connect(SMTP, "127.0.0.1").unwrap());
    }
    assert!(crowded(&talk, SMTP));
    assert!(!crowded(&talk, HTTP), "there is room for readers");
    talk.server.service.disconnected(clients.pop().unwrap(), talk.now);
    assert!(crowded(&talk, SMTP), "one place is soon taken");
    let mut busy = clients.pop().unwrap();
    for said in ["HELO a\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<b@x>\r\n", "DATA\r\n", "x\r\n.\r\n"] {
        talk.say(&mut busy, said);
    }
    assert!(crowded(&talk, SMTP));
    talk.server.service.disconnected(busy, talk.now);
    assert!(!crowded(&talk, SMTP), "whoever brought mail has made room for one");
    clients.push(talk.connect(SMTP, "127.0.0.1").unwrap());
    assert!(crowded(&talk, SMTP));
    talk.pass(CROWDED_MS);
    assert!(!crowded(&talk, SMTP));
    let mut silent = clients.pop().unwrap();
    talk.server.service.makes_way(&mut silent, talk.now, &mut talk.output);
    talk.server.service.disconnected(silent, talk.now);
    assert!(crowded(&talk, SMTP), "somebody had to make way");
    talk.pass(CROWDED_MS);
    assert!(!crowded(&talk, SMTP));
}

#[test]
fn what_runs_out_of_time_weighs_as_an_offence_and_what_the_server_ends_does_not() {
    let settings = settings(100, &[("offences", "1000/1h")]);
    let mut talk = Talk::new(&settings);
    let mut client = talk.connect(SMTP, "192.0.2.1").unwrap();
    talk.pass(SMTP_FIRST_COMMAND_MS);
    talk.expire(&mut client);
    talk.server.service.disconnected(client, talk.now);
    assert_eq!(talk.offences(), 5, "once, though it is also gone");
    let mut client = talk.connect(SMTP, "192.0.2.1").unwrap();
    talk.say(&mut client, "EHLO a\r\nMAIL FROM:<a@x>\r\n");
    talk.server.service.disconnected(client, talk.now);
    assert_eq!(talk.offences(), 10);
    let mut client = talk.connect(SMTP, "192.0.2.1").unwrap();
    talk.say(&mut client, "EHLO a\r\nMAIL FROM:<a@x>\r\n");
    talk.server.service.draining = true;
    talk.expire(&mut client);
    talk.server.service.disconnected(client, talk.now);
    let client = talk.connect(SMTP, "192.0.2.1").unwrap();
    talk.server.service.disconnected(client, talk.now);
    assert_eq!(talk.offences(), 10);
}

#[test]
fn who_is_refused_is_not_counted_and_who_is_counted_is_counted_out() {
    let settings = settings(40, &[("connections-at-once", "2")]);
    let mut talk = Talk::new(&settings);
    for _ in 0..5 {
        let clients: Vec<_> = (0..2).map(|_| talk.connect(SMTP, "192.0.2.1").unwrap()).collect();
        assert!(talk.connect(SMTP, "192.0.2.1").is_none());
        assert!(talk.said().starts_with("421 4.7.0 "), "{}", talk.said());
        for client in clients {
            talk.server.service.disconnected(client, talk.now);
        }
    }
    assert_eq!(talk.server.metrics().smtp_connections_open, 0);
    // At the server's own cap the guard counts nobody whom the server does not let in.
    let full: Vec<_> = (0..35).map(|_| talk.connect(SMTP, "127.0.0.1").unwrap()).collect();
    for _ in 0..5 {
        assert!(talk.connect(SMTP, "192.0.2.1").is_none());
        assert!(talk.said().starts_with("421 4.3.2 "), "{}", talk.said());
    }
    for client in full {
        talk.server.service.disconnected(client, talk.now);
    }
    for _ in 0..2 {
        assert!(talk.connect(SMTP, "192.0.2.1").is_some());
    }
}

/// Without room to hold the banner back it leaves at once, and then nobody can speak before it.
#[test]
fn who_waited_for_a_banner_that_was_not_held_did_not_speak_early() {
    let settings = settings(100, &[]);
    let mut talk = Talk::new(&settings);
    for (hears_first, offences) in [(true, 0), (false, 10)] {
        let mut client = talk.connect(SMTP, "192.0.2.1").unwrap();
        assert!(talk.server.service.held_until_ms(&client) > talk.now.monotonic_ms);
        if hears_first {
            talk.say(&mut client, "EHLO a\r\n");
        }
        let then = talk.server.service.hold_ended(&mut client, true, talk.now);
        assert_eq!((then, talk.offences()), (Then::Continue, offences));
        talk.server.service.disconnected(client, talk.now);
    }
}

#[test]
fn mail_that_piled_up_goes_before_readers_who_are_never_left_out_for_long() {
    let settings = settings(100, &[]);
    let mut talk = Talk::new(&settings);
    let reader = talk.connect(HTTP, "127.0.0.1").unwrap();
    let mut client = talk.connect(SMTP, "127.0.0.1").unwrap();
    let mut turn = |mail_visits| {
        let service = &mut talk.server.service;
        service.turn_begins();
        let has_time = service.has_time(&reader);
        assert!(service.has_time(&client));
        for _ in 0..mail_visits {
            talk.output.clear();
            let progress = service.received(&mut client, b"NOOP\r\n", talk.now, &mut talk.output);
            assert_eq!(progress.then, Then::Continue);
        }
        has_time
    };
    for _ in 0..3 {
        assert!(turn(HTTP_CALM_MAIL_VISITS), "few bring mail");
    }
    assert!(turn(HTTP_CALM_MAIL_VISITS + 1));
    for _ in 0..3 {
        for _ in 0..HTTP_TURNS_LEFT_OUT_MAX {
            assert!(!turn(HTTP_CALM_MAIL_VISITS + 1), "many bring mail");
        }
        assert!(turn(HTTP_CALM_MAIL_VISITS + 1), "long enough");
    }
    assert!(!turn(0));
    assert!(turn(0), "nobody brings mail any more");
}

#[test]
fn a_long_list_takes_turns_in_which_others_who_ask_wait_and_mail_does_not() {
    let settings = settings(100, &[]);
    let mut talk = Talk::new(&settings);
    let mut client = talk.connect(SMTP, "127.0.0.1").unwrap();
    talk.say(&mut client, "EHLO client.example\r\n");
    for _ in 0..3 * HTTP_LISTED_PER_TURN {
        talk.say(&mut client, "MAIL FROM:<>\r\nRCPT TO:<bob@x>\r\nDATA\r\n");
        let (said, _) = talk.say(&mut client, "Subject: x\r\n\r\n.\r\n");
        assert!(said.starts_with("250 "), "{said}");
    }
    let list = "GET /api/v1/mailbox/bob HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let livez = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut reader = talk.connect(HTTP, "127.0.0.1").unwrap();
    let mut other = talk.connect(HTTP, "127.0.0.1").unwrap();
    // Who leaves in the middle is not waited for, and who stays is.
    for leaves in [true, false] {
        let mut whole = vec![];
        while whole.is_empty() {
            talk.say(&mut reader, list);
            whole.extend_from_slice(talk.server.service.held_output(&reader));
            assert!(talk.server.service.has_time(&client));
            talk.server.service.turn_begins();
            assert_eq!(talk.server.service.has_time(&other), !whole.is_empty(), "nobody else");
            assert!(talk.server.service.has_time(&reader), "but who waits for the rest");
            if leaves {
                talk.server.service.disconnected(reader, talk.now);
                reader = talk.connect(HTTP, "127.0.0.1").unwrap();
                break;
            }
        }
        talk.say(&mut other, livez);
        let said = talk.server.service.held_output(&other).len();
        assert!(said > 0, "answered");
        talk.server.service.held_output_sent(&mut other, said);
    }
}
