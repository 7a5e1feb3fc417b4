//! One connection's conversation: requests one after the other, cut anywhere, and memory that comes back.

use proptest::prelude::*;

use super::{Answer, World};
use crate::http::Exchange;
use crate::limits::KIB;

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
