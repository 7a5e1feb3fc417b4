//! What the guard has done, for metrics.

use super::rule::Rule;
use crate::metrics::Sample;

/// A reading of the guard's counters, all since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How often each rule found something: connections and messages, those of who is banned
    /// included. By [`Rule`], in the order of [`Rule::ALL`].
    pub found: [u64; Rule::ALL.len()],
    /// Bans of sources, subjects and texts, by the rule that imposed them.
    pub bans: [u64; Rule::ALL.len()],
    /// Connections of sources for which the table had no room.
    pub crowd_connections: u64,
    /// Subjects and features of texts that were not counted, for want of room.
    pub repeats_uncounted: u64,
}

impl Figures {
    /// All of them, and the bans that stand ([`Guard::standing_bans`](super::Guard::standing_bans)),
    /// to be shown.
    #[must_use]
    pub fn samples(&self, standing: [u64; Rule::ALL.len()]) -> Vec<Sample> {
        let by_rule = |name, help, counts: [u64; Rule::ALL.len()]| {
            Rule::ALL.into_iter().zip(counts).map(move |(rule, count)| {
                Sample::counter(name, help, count).labelled("rule", rule.name())
            })
        };
        let found = "What the guard found, by the rule: connections, messages and offences.";
        let bans = "Bans of sources, subjects and texts, by the rule that imposed them.";
        let mut samples: Vec<_> = by_rule("mailfly_guard_findings", found, self.found).collect();
        samples.extend(by_rule("mailfly_guard_bans", bans, self.bans));
        let help = "Bans that stand: of sources, subjects, and features of texts, by the rule.";
        samples.extend(Rule::ALL.into_iter().zip(standing).map(|(rule, bans)| {
            Sample::gauge("mailfly_guard_bans_standing", help, bans).labelled("rule", rule.name())
        }));
        samples.push(Sample::counter(
            "mailfly_guard_crowd_connections",
            "Connections of sources that there was no room to count each for itself.",
            self.crowd_connections,
        ));
        samples.push(Sample::counter(
            "mailfly_guard_repeats_uncounted",
            "Subjects and features of texts that there was no room to count.",
            self.repeats_uncounted,
        ));
        samples
    }
}
