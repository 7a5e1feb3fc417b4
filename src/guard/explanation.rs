//! The answer to "why was I refused?". Not here: its page.

use std::net::IpAddr;

use super::Guard;
use super::rule::Rule;
use super::source::Source;
use super::sources::limit_of;
use super::verdict::Finding;
use crate::clock::Now;

/// What is held against a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Who it is about: the address, or its /64.
    pub source: Source,
    /// No rule applies to it.
    pub trusted: bool,
    /// There was no room to count it for itself: all of this is about others too.
    pub shared: bool,
    /// It is banned, until [`Finding::until_ms`].
    pub ban: Option<Finding>,
    /// What was found last, of whatever rule, as long as the source is remembered.
    pub last: Option<Finding>,
    /// When that was, in seconds before now.
    pub last_seconds_ago: u64,
    /// How near it is to the limits of the rules about sources that are on.
    pub used: [Option<Used>; 4],
}

/// How much of what a rule allows is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The rule.
    pub rule: Rule,
    /// What is counted now.
    pub count: u32,
    /// What is allowed.
    pub limit: u32,
}

impl Guard {
    /// What is held against the source of an address.
    #[must_use]
    pub fn explain(&self, address: IpAddr, now: Now) -> Explanation {
        let source = Source::from(address);
        let trusted = self.trusted.contains(address);
        let mut explanation = Explanation {
            source,
            trusted,
            shared: false,
            ban: None,
            last: None,
            last_seconds_ago: 0,
            used: [None; 4],
        };
        let account = self.sources.account(source, &self.rules, now.monotonic_ms);
        let Some(account) = account.filter(|_| !trusted) else { return explanation };
        explanation.shared = account.crowd;
        explanation.ban = account.ban;
        if let Some((finding, since_ms)) = account.last {
            explanation.last = Some(finding);
            explanation.last_seconds_ago = now.monotonic_ms.saturating_sub(since_ms) / 1000;
        }
        explanation.used = account.used.map(|(rule, count)| {
            let limit = self.rules.of(rule)?.count_max;
            Some(Used { rule, count, limit: limit_of(limit, account.crowd) })
        });
        explanation
    }
}
