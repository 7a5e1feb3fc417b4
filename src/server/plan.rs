//! The memory that settings take, term by term, before any of it is taken.
//!
//! Each term is counted by a function of its own, from the sizes that the modules which take the
//! memory state (`limits`, `store`). What the kernel takes for its own part (the buffers of
//! sockets, page tables) is not the process's memory and not here.

use std::fmt;

use super::service::Service;
use super::sizes;
use crate::config::{Settings, Size, rounded};
use crate::guard::{self, Words};
use crate::http::Responses;
use crate::limits::{
    ARENA_BYTES, HTTP_CONNECTIONS_MAX, HTTP_RESPONSE_SMALL_BYTES, HTTP_SCRATCH_MESSAGES,
    HTTP_WORK_BYTES, OUTPUT_BYTES, PROGRAM_BYTES, READ_BUFFER_BYTES, SPILL_ARENA_BYTES,
    STACK_TOUCHED_BYTES, TLS_STATE_BYTES,
};
use crate::net::Reactor;
use crate::phases::Phases;

/// What memory is taken for, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    terms: Vec<Term>,
}

/// One thing that memory is taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What.
    pub name: &'static str,
    /// Where.
    pub place: Place,
    /// How much, in bytes.
    pub bytes: usize,
    /// How that is counted, in words.
    pub counted: String,
}

/// Where memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A mapping of its own.
    Mapping,
    /// The heap, which is settled at start and keeps what is given back to it.
    Heap,
    /// The program's own image and stack.
    Program,
}

impl Plan {
    /// What settings take.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let mut terms = store(settings);
        terms.extend(reactor(settings));
        terms.extend(guard(settings));
        terms.extend([http_responses(settings), http_scratch(settings), histograms(), program()]);
        Self { terms }
    }

    /// What the heap will hold, in bytes: for [`settle_heap`](crate::sys::memory::settle_heap).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let heap = self.terms.iter().filter(|term| term.place == Place::Heap);
        heap.fold(0, |total, term| total.saturating_add(term.bytes))
    }

    /// The terms, in the order in which they are shown.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// All terms together, in bytes; `usize::MAX` if that is more than can be counted.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.terms.iter().fold(0, |total, term| total.saturating_add(term.bytes))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total_bytes();
        let name_width = self.terms.iter().map(|term| term.name.len()).max().unwrap_or(0);
        let bytes_width = total.to_string().len();
        let mut line = |name: &str, bytes: usize, counted: &str| {
            let human = rounded(bytes).to_string();
            let line = format!("{name:name_width$}  {human:>10}  {bytes:>bytes_width$}  {counted}");
            writeln!(formatter, "{}", line.trim_end())
        };
        for term in &self.terms {
            line(term.name, term.bytes, &term.counted)?;
        }
        line("total", total, "bytes, all taken before the first connection")
    }
}

/// The store's own terms, of which it says the names and the bytes.
fn store(settings: &Settings) -> Vec<Term> {
    // Settings that were resolved have a capacity; those that were not take nothing.
    let Ok(capacity) = settings.capacity() else { return Vec::new() };
    let counted = |name: &str| match name {
        "mailbox table" => format!("{} mailboxes, in --memory", settings.mailboxes_max),
        "arena links" => "in --memory".to_owned(),
        "arenas" => format!(
            "{} of {}, what --memory {} has left",
            capacity.arenas(),
            Size(ARENA_BYTES),
            Size(settings.memory_bytes),
        ),
        _ => String::new(),
    };
    let place = |name| match name {
        "directory" | "recent ring and scratch" => Place::Heap,
        _ => Place::Mapping,
    };
    let term = |(name, bytes)| Term { name, place: place(name), bytes, counted: counted(name) };
    capacity.memory_terms().map(term).into()
}

/// The reactor's own terms, of which it says the names and the bytes.
fn reactor(settings: &Settings) -> Vec<Term> {
    let (connections, sizes) = (settings.connections_max, sizes(settings));
    let counted = |name: &str| match name {
        "connections" => format!("{connections} slots, with their sessions"),
        "spill" => format!(
            "{} a connection, and {} for all; a link each",
            Size(SPILL_ARENA_BYTES),
            sizes.spill_surplus_arenas,
        ),
        "tls: connections" => format!(
            "{} slots, and {} of the heap for each",
            sizes.tls_connections,
            Size(TLS_STATE_BYTES),
        ),
        "tls: records" => "the beginning of one for each of them".to_owned(),
        "tls: buffers" => "what is read, what is written, and what cryptography borrows".to_owned(),
        "buffers" => format!(
            "{} to read into, {} to reply from",
            Size(READ_BUFFER_BYTES),
            Size(OUTPUT_BYTES),
        ),
        _ => String::new(),
    };
    let place = |name| if name == "spill" { Place::Mapping } else { Place::Heap };
    let term = |(name, bytes)| Term { name, place: place(name), bytes, counted: counted(name) };
    Reactor::<Service<'_>>::memory_terms(sizes).map(term).into()
}

/// The guard's own terms, and the words that it looks for.
fn guard(settings: &Settings) -> Vec<Term> {
    let sizes = guard::Sizes::for_memory(settings.memory_bytes);
    let term = |(name, bytes), counted| Term { name, place: Place::Heap, bytes, counted };
    let mut terms: Vec<_> =
        sizes.memory_terms().into_iter().map(|named| term(named, String::new())).collect();
    // What is no list of words was refused when it was read.
    let words = Words::parse(&settings.words).unwrap_or_default();
    if !words.is_empty() {
        let counted = format!("{} words of --words-file", words.len());
        terms.push(term(("guard: words", words.memory_bytes()), counted));
    }
    terms
}

fn http_responses(settings: &Settings) -> Term {
    Term {
        name: "http: responses",
        place: Place::Heap,
        bytes: Responses::heap_bytes(settings.message_bytes_max),
        counted: format!(
            "made and not yet sent, at most; {} each for {HTTP_CONNECTIONS_MAX} connections",
            Size(HTTP_RESPONSE_SMALL_BYTES),
        ),
    }
}

fn http_scratch(settings: &Settings) -> Term {
    Term {
        name: "http: scratch",
        place: Place::Heap,
        bytes: settings
            .message_bytes_max
            .saturating_mul(HTTP_SCRATCH_MESSAGES)
            .saturating_add(HTTP_WORK_BYTES),
        counted: format!(
            "{HTTP_SCRATCH_MESSAGES} times --message-size {}, and {}, to show a message",
            Size(settings.message_bytes_max),
            Size(HTTP_WORK_BYTES),
        ),
    }
}

fn histograms() -> Term {
    Term {
        name: "histograms",
        place: Place::Heap,
        bytes: Phases::heap_bytes(),
        counted: "how long the loop's phases take".to_owned(),
    }
}

fn program() -> Term {
    Term {
        name: "program",
        place: Place::Program,
        bytes: PROGRAM_BYTES + STACK_TOUCHED_BYTES,
        counted: format!(
            "an allowance of {} for code and libraries, {} of stack",
            Size(PROGRAM_BYTES),
            Size(STACK_TOUCHED_BYTES),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Impossible, Keys, Machine};
    use crate::smtp::hostname::Hostname;

    fn machine() -> Machine {
        Machine { hostname: Hostname::localhost(), descriptors: 65_536, available: None }
    }

    fn settings(keys: Keys) -> Settings {
        Settings::resolve(keys, &machine()).unwrap()
    }

    #[test]
    fn the_total_is_the_sum_of_the_lines_that_are_shown() {
        let shown = Plan::of(&settings(Keys::default())).to_string();
        let bytes_of = |line: &str| {
            line.split("  ").filter_map(|field| field.trim().parse::<usize>().ok()).next().unwrap()
        };
        let bytes: Vec<_> = shown.lines().map(bytes_of).collect();
        let (total, terms) = bytes.split_last().unwrap();
        assert_eq!(*total, terms.iter().sum::<usize>());
        assert!(shown.lines().last().unwrap().starts_with("total "));
    }

    proptest! {
        #[test]
        fn the_terms_of_the_pool_fill_its_memory_and_are_no_more(
            memory in 64_usize << 20..1 << 40, mailboxes in 1_u32..70_000,
        ) {
            let keys = Keys {
                memory: Some(Size(memory)), mailboxes: Some(mailboxes), ..Keys::default()
            };
            let plan = Plan::of(&settings(keys));
            let pool = ["mailbox table", "arena links", "arenas"].map(|name| {
                plan.terms().iter().find(|term| term.name == name).unwrap().bytes
            });
            let pool: usize = pool.iter().sum();
            prop_assert!(pool <= memory && memory < pool + 4 * ARENA_BYTES);
        }

        #[test]
        fn what_an_impossibility_says_is_needed_is_enough(
            mailboxes in 1_u32..100_000, message in 1_usize..1 << 30,
        ) {
            let keys = |mailbox, memory| Keys {
                memory: Some(Size(memory)),
                mailboxes: Some(mailboxes),
                mailbox_size: Some(mailbox),
                message_size: Some(Size(message)),
                ..Keys::default()
            };
            let resolve = |mailbox, memory| Settings::resolve(keys(mailbox, memory), &machine());
            let mailbox = match resolve(Size(1), 1) {
                Err(Impossible::MessageOverMailbox { needed, .. }) => needed,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            let memory = match resolve(mailbox, 1) {
                Err(Impossible::MemoryTooSmall { needed, .. }) => needed.0,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert!(resolve(mailbox, memory).is_ok());
            let room = match resolve(Size(memory), memory) {
                Err(Impossible::MailboxOverMemory { room, .. }) => room,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert!(resolve(room, memory).is_ok());
            prop_assert!(resolve(Size(room.0 + 1), memory).is_err());
        }
    }
}
