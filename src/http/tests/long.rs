//! Answers that are longer than what a turn makes of them.

use serde_json::Value;

use super::{Answer, World};
use crate::http::Exchange;
use crate::limits::{
    HTTP_COPIED_PER_TURN_BYTES, HTTP_LISTED_PER_TURN, HTTP_RESPONSE_PIECE_BYTES, KIB,
    SUBJECT_PREVIEW_BYTES,
};
use crate::progress::{Progress, Then};
use crate::store::{Mailbox, MailboxName, MessageId, Naming};

const TURNS: usize = 3;
const MESSAGES: usize = TURNS * HTTP_LISTED_PER_TURN - 1;
const LIST: &[u8] = b"GET /api/v1/mailbox/bob HTTP/1.1\r\nHost: h\r\n\r\n";
const SOURCE: &[u8] = b"GET /api/v1/mailbox/bob/latest/source HTTP/1.1\r\nHost: h\r\n\r\n";
const PAGE: &[u8] = b"GET /mailbox/bob HTTP/1.1\r\nHost: h\r\n\r\n";

impl World {
    /// With so many messages that a list of them takes [`TURNS`] turns.
    fn with_much_mail() -> (Self, Vec<MessageId>) {
        let mut world = Self::with_mailboxes_of(MESSAGES as u32);
        let ids = (0..MESSAGES).map(|_| world.deliver_one_more()).collect();
        (world, ids)
    }

    fn deliver_one_more(&mut self) -> MessageId {
        // So long that its lists take more than one piece of the responses' memory.
        let subject = "so many words ".repeat(SUBJECT_PREVIEW_BYTES / 14);
        self.deliver(&["bob@d.example"], &format!("Subject: {subject}\r\n\r\n"))
    }

    fn bob(&self) -> Mailbox {
        let name = MailboxName::of("bob", Naming::Local).expect("a name");
        self.store.find(&name).expect("a mailbox")
    }

    fn turn(&mut self, exchange: &mut Exchange, input: &[u8]) -> Progress {
        let now = self.now;
        self.with_desk(|desk| exchange.receive(input, desk, now))
    }

    /// A turn in which the answer is not made.
    #[track_caller]
    fn part_of_a_turn(&mut self, exchange: &mut Exchange, input: &[u8]) {
        let progress = self.turn(exchange, input);
        assert_eq!(progress, Progress { consumed: 0, then: Then::Yield });
        assert!(exchange.is_making() && !exchange.is_idle() && exchange.pending().is_empty());
    }
}

fn sent(exchange: &mut Exchange) -> Answer {
    let mut output = Vec::new();
    while !exchange.pending().is_empty() {
        output.extend_from_slice(exchange.pending());
        exchange.sent(exchange.pending().len());
    }
    assert!(exchange.is_idle());
    Answer::read(&output, false)
}

fn ids(answer: &Answer) -> Vec<String> {
    let Value::Array(entries) = answer.json() else { panic!("a list") };
    entries.iter().map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect()
}

fn texts(ids: &[MessageId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn a_long_list_takes_turns_and_says_what_a_short_one_would() {
    let (mut world, delivered) = World::with_much_mail();
    let mut exchange = Exchange::default();
    let input = [LIST, b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    for _ in 1..TURNS {
        world.part_of_a_turn(&mut exchange, &input);
    }
    let progress = world.turn(&mut exchange, &input);
    assert_eq!(progress, Progress { consumed: LIST.len(), then: Then::Yield });
    let answer = sent(&mut exchange);
    answer.assert_guarded();
    assert_eq!(ids(&answer), texts(&delivered));
    assert_eq!(answer.field("Mailfly-Messages"), MESSAGES.to_string());
    world.turn(&mut exchange, &input[LIST.len()..]);
    assert_eq!(sent(&mut exchange).text(), "alive\n", "what was asked next");
}

#[test]
fn a_page_takes_turns_too() {
    let (mut world, delivered) = World::with_much_mail();
    let mut exchange = Exchange::default();
    for _ in 1..TURNS {
        world.part_of_a_turn(&mut exchange, PAGE);
    }
    assert_eq!(world.turn(&mut exchange, PAGE).consumed, PAGE.len());
    let answer = sent(&mut exchange);
    let row = |id: &MessageId| answer.text().find(&format!("/mailbox/bob/{id}\""));
    let places: Vec<_> = delivered.iter().map(|id| row(id).expect("a row")).collect();
    assert!(places.is_sorted_by(|older, newer| older > newer));
}

#[test]
fn a_list_under_way_has_what_was_there_when_it_was_asked_for_and_still_is() {
    let (mut world, delivered) = World::with_much_mail();
    let mut exchange = Exchange::default();
    world.part_of_a_turn(&mut exchange, LIST);
    let (listed, ahead) = delivered.split_at(HTTP_LISTED_PER_TURN);
    let now = world.now;
    world.store.delete(world.bob(), listed[5], now).expect("it is there");
    world.store.delete(world.bob(), ahead[3], now).expect("it is there");
    // In place of what was deleted, and then of the oldest.
    for _ in 0..5 {
        world.deliver_one_more();
    }
    world.part_of_a_turn(&mut exchange, LIST);
    world.turn(&mut exchange, LIST);
    let mut expected = delivered.clone();
    expected.remove(HTTP_LISTED_PER_TURN + 3);
    let answer = sent(&mut exchange);
    assert_eq!(ids(&answer), texts(&expected));
    assert_eq!(answer.field("Mailfly-Messages"), MESSAGES.to_string(), "as of then");
}

#[test]
fn a_list_under_way_ends_where_the_mailbox_has_been_emptied() {
    let (mut world, delivered) = World::with_much_mail();
    let mut exchange = Exchange::default();
    world.part_of_a_turn(&mut exchange, LIST);
    let now = world.now;
    world.store.purge(world.bob(), now);
    world.deliver_one_more();
    world.turn(&mut exchange, LIST);
    assert_eq!(ids(&sent(&mut exchange)), texts(&delivered[..HTTP_LISTED_PER_TURN]));
}

#[test]
fn who_leaves_while_a_list_is_made_leaves_nothing_behind() {
    let (mut world, _) = World::with_much_mail();
    let mut exchange = Exchange::default();
    world.part_of_a_turn(&mut exchange, LIST);
    assert!(world.responses.bytes() > 0);
    drop(exchange);
    assert_eq!(world.responses.bytes(), 0);
}

#[test]
fn a_list_that_outgrows_the_memory_is_refused_in_whichever_turn() {
    let (mut world, _) = World::with_much_mail();
    let mut exchange = Exchange::default();
    world.part_of_a_turn(&mut exchange, LIST);
    let mut others = Vec::new();
    while let Ok(mut other) = world.responses.begin() {
        while other.push(&[0; HTTP_RESPONSE_PIECE_BYTES]).is_ok() {}
        others.push(other);
    }
    assert_eq!(world.turn(&mut exchange, LIST).consumed, LIST.len());
    drop(others);
    assert_eq!(sent(&mut exchange).status, 503);
    assert_eq!(world.responses.bytes(), 0);
}

#[test]
fn a_server_that_drains_finishes_the_list_and_closes() {
    let (mut world, delivered) = World::with_much_mail();
    let mut exchange = Exchange::default();
    for _ in 1..TURNS {
        world.part_of_a_turn(&mut exchange, LIST);
    }
    world.ready = false;
    assert_eq!(world.turn(&mut exchange, LIST).then, Then::Close);
    let answer = sent(&mut exchange);
    assert_eq!((ids(&answer), answer.field("Connection")), (texts(&delivered), "close"));
}

/// In whose mailbox lies a message whose source takes two turns.
fn world_with_a_long_message() -> (World, MessageId, String) {
    let mut world = World::with_mailboxes_of(2);
    let message = format!("A: b\r\n\r\n{}", "x".repeat(HTTP_COPIED_PER_TURN_BYTES + KIB));
    let id = world.deliver(&["bob@d.example"], &message);
    (world, id, message)
}

#[test]
fn a_long_source_takes_turns_and_another_may_be_the_latest_meanwhile() {
    let (mut world, id, message) = world_with_a_long_message();
    let mut exchange = Exchange::default();
    world.part_of_a_turn(&mut exchange, SOURCE);
    world.deliver_one_more();
    assert_eq!(world.turn(&mut exchange, SOURCE).consumed, SOURCE.len());
    let answer = sent(&mut exchange);
    answer.assert_guarded();
    assert!(answer.text().contains(&format!(" id {id}")), "its trace");
    assert!(answer.text().ends_with(&message));
}

#[test]
fn a_source_whose_message_goes_meanwhile_is_gone() {
    let goes: [fn(&mut World, MessageId); 3] = [
        |world, id| {
            let now = world.now;
            world.store.delete(world.bob(), id, now).expect("it is there");
        },
        // Not the oldest, so that its record stays.
        |world, id| {
            let now = world.now;
            world.store.delete(world.bob(), id, now).expect("it is there");
            world.deliver_one_more();
        },
        // Evicted, and others are in its place.
        |world, _| {
            world.deliver_one_more();
            world.deliver_one_more();
        },
    ];
    for goes in goes {
        let (mut world, id, _) = world_with_a_long_message();
        let mut exchange = Exchange::default();
        world.part_of_a_turn(&mut exchange, SOURCE);
        goes(&mut world, id);
        assert_eq!(world.turn(&mut exchange, SOURCE).consumed, SOURCE.len());
        assert_eq!(sent(&mut exchange).status, 410);
        assert_eq!(world.responses.bytes(), 0);
    }
}
