//! The table of conversations, over real sockets: however the bytes are cut, the running program
//! answers and keeps what the table says. Not here: every cut of every transcript (`transcripts`),
//! which needs no socket.
//!
//! `MAILFLY_TRANSCRIPT=part of a name` runs only those.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;
#[path = "transcripts/table.rs"]
mod table;

use std::thread;

use mailfly::smtp::session::Policy;
use support::{Browser, Client, Daemon, Source};
use table::{HOSTNAME, MESSAGE_BYTES_MAX, Transcript, Turn, without_ids};

/// Programs beside each other, each with clients of its own, so that two are never at one mailbox.
const LANES: usize = 4;
/// Transcripts up to this length are cut everywhere.
const CUT_EVERYWHERE_BYTES_MAX: usize = 24;
/// In how many places a longer one is cut.
const CUTS: usize = 12;

/// How the client's bytes are written.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// A turn at a time, each after the replies to the one before.
    InStep,
    /// In one write.
    Whole,
    /// Byte by byte; the server has read each before the next is written.
    Bytes,
    /// In two writes; the server has read the first before the second is written.
    Cut(usize),
}

/// A running program, and a connection to see what it keeps.
struct Lane {
    daemon: Daemon,
    browser: Browser,
}

impl Lane {
    fn open(policy: Policy) -> Self {
        let policy = match policy {
            Policy::Curt => "curt",
            Policy::Rfc => "rfc",
        };
        let size = MESSAGE_BYTES_MAX.to_string();
        let flags = ["--hostname", HOSTNAME, "--policy", policy, "--message-size", &size];
        let daemon =
            Daemon::start(&[&flags[..], &["--memory", "4MiB", "--tls-connections", "0"]].concat());
        let browser = Browser::connect(daemon.http);
        Self { daemon, browser }
    }

    /// Returns when the server has read all that was written before. It has one loop, which visits
    /// connections in the order in which something came.
    fn settle(&mut self) {
        assert_eq!(self.browser.get("/livez").status, 200);
    }

    /// Sends a transcript, and returns the replies. In the end the connection is as the transcript
    /// has it, open or closed.
    fn converse(&mut self, talk: &Transcript, manner: Manner) -> String {
        let mut client = Client::connect(self.daemon.smtp);
        let mut replies = Replies::default();
        let sent = talk.sent();
        match manner {
            Manner::InStep => {
                let mut expected = 0;
                for turn in &talk.turns {
                    match turn {
                        Turn::Client(bytes) => {
                            replies.read_up_to(expected, &mut client);
                            // What comes after a QUIT may meet a closed door.
                            let _ = client.try_send(bytes);
                        }
                        Turn::Server(lines) => expected += lines.len(),
                    }
                }
            }
            Manner::Whole => client.send(&sent),
            Manner::Bytes => {
                for byte in &sent {
                    let _ = client.try_send(&[*byte]);
                    self.settle();
                }
            }
            Manner::Cut(at) => {
                let (before, behind) = sent.split_at(at);
                client.send(before);
                self.settle();
                let _ = client.try_send(behind);
            }
        }
        if !talk.closes {
            replies.read_up_to(talk.replies().len(), &mut client);
            self.settle();
            assert!(client.is_quiet(), "{}, {manner:?}: more replies, or closed", talk.name);
            client.end();
        }
        // Of a transcript that closes this is the proof that the server does.
        replies.take(&client.rest());
        replies.text()
    }

    /// That there is what the table says, and nothing else; then it is deleted.
    fn check_stored(&mut self, talk: &Transcript, manner: Manner) {
        let about = format!("{}, {manner:?}", talk.name);
        let mut expected: Vec<(String, Vec<Source>)> = vec![];
        for stored in &talk.stored {
            for recipient in &stored.recipients {
                let source = Source {
                    return_path: stored.reverse_path.clone(),
                    delivered_to: vec![recipient.clone()],
                    sent: stored.bytes.clone(),
                };
                match expected.iter_mut().find(|(mailbox, _)| mailbox == recipient) {
                    Some((_, sources)) => sources.push(source),
                    None => expected.push((recipient.clone(), vec![source])),
                }
            }
        }
        let copies: usize = expected.iter().map(|(_, sources)| sources.len()).sum();
        assert_eq!(self.browser.metric("mailfly_store_messages"), copies as u64, "{about}");
        for (mailbox, sources) in expected {
            let name = encoded(&mailbox);
            let ids = self.browser.ids(&name);
            let found: Vec<_> = ids.iter().map(|id| self.browser.source(&name, id)).collect();
            assert_eq!(found, sources, "{about}: {mailbox}");
            let path = format!("/api/v1/mailbox/{name}");
            assert_eq!(self.browser.request("DELETE", &path).status, 200);
        }
    }
}

/// What the server has said so far.
#[derive(Default)]
struct Replies(Vec<u8>);

impl Replies {
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&self) -> String {
        without_ids(str::from_utf8(&self.0).unwrap())
    }

    /// Reads until this many bytes, ids not counted, have come, or the server closes.
    fn read_up_to(&mut self, bytes: usize, client: &mut Client) {
        // An id that has come in part would count as whole.
        while self.text().len() < bytes || !self.0.ends_with(b"\r\n") {
            let some = client.some();
            if some.is_empty() {
                return;
            }
            self.take(&some);
        }
    }
}

/// A segment of a path.
fn encoded(mailbox: &str) -> String {
    mailbox.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn manners(talk: &Transcript) -> Vec<Manner> {
    let bytes = talk.sent().len();
    let cuts: Vec<usize> = if bytes <= CUT_EVERYWHERE_BYTES_MAX {
        (1..bytes).collect()
    } else {
        (1..=CUTS).map(|cut| cut * bytes / (CUTS + 1)).collect()
    };
    // The ends of messages are cut everywhere: that is where the cuts matter.
    let ends = talk.sent();
    let ends = ends.windows(3).enumerate().filter(|(_, bytes)| bytes == b"\n.\r");
    let ends = ends.flat_map(|(at, _)| at..at + 5).filter(|at| (1..bytes).contains(at)).take(20);
    let mut cuts: Vec<usize> = cuts.into_iter().chain(ends).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let whole = [Manner::InStep, Manner::Whole, Manner::Bytes];
    whole.into_iter().chain(cuts.into_iter().map(Manner::Cut)).collect()
}

fn all_as_the_table_says(policy: Policy) {
    let wanted = std::env::var("MAILFLY_TRANSCRIPT").unwrap_or_default();
    let talks: Vec<Transcript> = table::all()
        .into_iter()
        .filter(|talk| talk.policy == policy && talk.name.contains(&wanted))
        .collect();
    let run = |lane: usize| {
        let mut open = Lane::open(policy);
        for talk in talks.iter().skip(lane).step_by(LANES) {
            for manner in manners(talk) {
                let replies = open.converse(talk, manner);
                assert_eq!(replies, talk.replies(), "{}, {manner:?}", talk.name);
                open.check_stored(talk, manner);
            }
        }
    };
    thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || run(lane));
        }
    });
}

#[test]
fn over_sockets_all_is_as_in_the_table_however_it_is_cut_curt() {
    all_as_the_table_says(Policy::Curt);
}

#[test]
fn over_sockets_all_is_as_in_the_table_however_it_is_cut_rfc() {
    all_as_the_table_says(Policy::Rfc);
}
