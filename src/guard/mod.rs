//! Who is listened to, and what mail is wanted: the server's own judgement, in memory of fixed
//! size. Sans-IO: the time and the seed are arguments, and what is to be done is a [`Verdict`]. Not
//! here: replies, timers, closing, or reading lists from files.
//!
//! ```text
//!  connected(address) ──> (Peer, Verdict)      connections at once, connections, ban
//!  reader_connected(address) ──> (Peer, Verdict)      connections at once
//!     │  offended(peer, offence) ──> Verdict   offences
//!     │  mail(peer) ──> Inspection             ban, bounces                  ┐
//!     │     body(peer, inspection, bytes)      messages, words, subjects,    │ message.rs
//!     │     finished(peer, inspection)         bodies ──> Verdict            ┘
//!  secrets_wait_seconds(peer)                 may one who reads show a secret?
//!  disconnected(peer)
//!
//!  explain(address)      why was I refused?
//!  banned_subjects()     the last hours'
//!
//!  Guard ─┬─ Sources, a table of standings    sources.rs, table.rs, window.rs
//!         ├─ Repeats of subjects              repeats.rs, header_watch.rs, subject.rs
//!         ├─ Repeats of features              fingerprint.rs
//!         └─ Words                            words.rs
//! ```
//!
//! Every call takes a bounded number of steps whatever is in the tables, and none allocates. What
//! is banned is so until a time that was set when it was banned, by the monotonic clock, and
//! nothing that anybody does ends it sooner.
//!
//! Beside the guard stand two laws without memory of their own, [`tarpit`] and [`pressure`].

mod banned_subjects;
mod encoded_word;
mod explanation;
mod figures;
mod fingerprint;
mod header_watch;
mod load;
mod message;
mod networks;
mod offence;
pub mod pressure;
mod repeats;
mod rule;
mod sizes;
mod source;
mod sources;
mod subject;
mod table;
pub mod tarpit;
#[cfg(test)]
mod tests;
mod verdict;
mod window;
mod words;

use std::net::IpAddr;

pub use banned_subjects::BannedSubject;
pub use explanation::{Explanation, Used};
pub use figures::Figures;
pub use load::Load;
pub use message::Inspection;
pub use networks::{Network, NetworkError, Networks};
pub use offence::Offence;
pub use rule::{Action, Counts, Rule, Rules, Setting, SettingError, UnknownName};
pub use sizes::Sizes;
pub use source::Source;
pub use verdict::{Finding, Verdict};
pub use words::{Words, WordsError};

use banned_subjects::BannedSubjects;
use repeats::Repeats;
use sources::{Place, Purpose, Sources};

use crate::clock::Now;

/// All that is known of those who bring mail or read it, and of what they bring.
#[derive(Debug)]
pub struct Guard {
    rules: Rules,
    trusted: Networks,
    words: Words,
    sources: Sources,
    subjects: Repeats,
    bodies: Repeats,
    banned_subjects: BannedSubjects,
    body_key: u64,
    figures: Figures,
}

/// Who is at the other end of a connection. Kept with it, and given back to
/// [`Guard::disconnected`] when it ends.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a connection that was counted has to be counted out"]
pub struct Peer {
    source: Source,
    place: Place,
    purpose: Purpose,
}

impl Guard {
    /// Takes all its memory. The seed has to be one that no peer can guess.
    #[must_use]
    pub fn new(rules: Rules, trusted: Networks, words: Words, seed: u128) -> Self {
        Self::with_sizes(Sizes::FULL, rules, trusted, words, seed)
    }

    /// The same with tables of these sizes.
    #[must_use]
    pub fn with_sizes(
        sizes: Sizes,
        rules: Rules,
        trusted: Networks,
        words: Words,
        seed: u128,
    ) -> Self {
        Self {
            rules,
            trusted,
            words,
            sources: Sources::new(sizes.sources, seed.wrapping_add(1)),
            subjects: Repeats::new(sizes.subjects, seed.wrapping_add(2)),
            bodies: Repeats::new(sizes.bodies, seed.wrapping_add(3)),
            banned_subjects: BannedSubjects::new(),
            body_key: (seed ^ seed >> 64) as u64,
            figures: Figures::default(),
        }
    }

    /// A connection was accepted from an address, of one who brings mail. One that is refused is not
    /// counted; its [`Peer`] may be dropped.
    pub fn connected(&mut self, address: IpAddr, now: Now) -> (Peer, Verdict) {
        self.received(address, Purpose::Mail, now)
    }

    /// The same, of one who reads mail. No more is asked than how many of them its source has open:
    /// whoever is banned may read why, and who asks for mail again and again does no harm by it.
    pub fn reader_connected(&mut self, address: IpAddr, now: Now) -> (Peer, Verdict) {
        self.received(address, Purpose::Reading, now)
    }

    fn received(&mut self, address: IpAddr, purpose: Purpose, now: Now) -> (Peer, Verdict) {
        let source = Source::from(address);
        if self.trusted.contains(address) {
            return (Peer { source, place: Place::Nowhere, purpose }, Verdict::Allow);
        }
        let now_ms = now.monotonic_ms;
        let (place, finding) = self.sources.connected(source, purpose, &self.rules, now_ms);
        self.figures.crowd_connections += u64::from(place == Place::Crowd);
        let peer = Peer { source, place, purpose };
        let verdict = self.verdict(&peer, finding, now);
        (peer, verdict)
    }

    /// For how many seconds more no secret that a reader shows is to be looked at, right or wrong,
    /// since its source is banned for its offences; `None`: it may show one.
    #[must_use]
    pub fn secrets_wait_seconds(&self, peer: &Peer, now: Now) -> Option<u64> {
        let who = (peer.source, peer.place);
        let until_ms = self.sources.secrets_wait_until_ms(who, &self.rules, now.monotonic_ms)?;
        Some(until_ms.saturating_sub(now.monotonic_ms).div_ceil(1000))
    }

    /// A connection is over.
    #[expect(clippy::needless_pass_by_value, reason = "nothing is counted out twice")]
    pub fn disconnected(&mut self, peer: Peer) {
        self.sources.disconnected(peer.source, peer.place, peer.purpose);
    }

    /// A peer did what honest clients do not. [`Verdict::Refuse`]: its source is banned from now
    /// on.
    pub fn offended(&mut self, peer: &Peer, offence: Offence, now: Now) -> Verdict {
        let (who, weight) = ((peer.source, peer.place), offence.weight());
        let found = self.sources.charge(who, Rule::Offences, weight, &self.rules, now.monotonic_ms);
        self.verdict(peer, found, now)
    }

    /// The rules that it was made with.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The subjects that were banned in the last hours, newest first.
    pub fn banned_subjects(&self, now: Now) -> impl Iterator<Item = BannedSubject<'_>> {
        self.banned_subjects.iter(now.monotonic_ms)
    }

    /// How many bans stand now, by the rule that imposed them, in the order of [`Rule::ALL`]: of
    /// sources, subjects, and features of texts. Goes over all tables, which is for who asks, not
    /// for the mail path.
    #[must_use]
    pub fn standing_bans(&self, now: Now) -> [u64; Rule::ALL.len()] {
        let mut standing = self.sources.standing_bans(now.monotonic_ms);
        standing[Rule::Subjects as usize] += self.subjects.standing_bans(now.monotonic_ms);
        standing[Rule::Bodies as usize] += self.bodies.standing_bans(now.monotonic_ms);
        standing
    }

    /// A reading of its counters.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures;
        for rule in Rule::ALL {
            figures.bans[rule as usize] += self.sources.bans(rule);
        }
        figures
    }

    fn verdict(&mut self, peer: &Peer, finding: Option<Finding>, now: Now) -> Verdict {
        let Some(finding) = finding else { return Verdict::Allow };
        self.found(peer, &finding, now);
        finding.into()
    }

    fn found(&mut self, peer: &Peer, finding: &Finding, now: Now) {
        self.figures.found[finding.rule as usize] += 1;
        self.sources.note(peer.source, peer.place, finding, now.monotonic_ms);
    }
}

impl Peer {
    /// Whether no rule applies to it, so that nothing needs to be asked about it.
    #[must_use]
    pub fn is_exempt(&self) -> bool {
        self.place == Place::Nowhere
    }

    /// Its address, or its /64.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }
}
