//! What the guard knows of a source, in the form in which it is shown.

use std::net::IpAddr;

use crate::clock::Now;
use crate::guard::{Finding, Guard};
use crate::http::standing::{BannedSubject, Reason, Standing, Used};

/// How the source of an address stands.
pub(super) fn of(guard: &Guard, address: IpAddr, now: Now) -> Standing {
    let why = guard.explain(address, now);
    let now_ms = now.monotonic_ms;
    let reason = |finding: Finding| Reason {
        rule: finding.rule.name(),
        reason: finding.rule.reason(),
        action: finding.action.name(),
        count: finding.count,
        limit: finding.limit,
        seconds_left: finding.until_ms.map(|_| finding.seconds_left(now_ms)),
    };
    let used = why.used.into_iter().flatten();
    let subjects = guard.banned_subjects(now);
    Standing {
        source: why.source.to_string(),
        trusted: why.trusted,
        shared: why.shared,
        ban: why.ban.map(reason),
        last: why.last.map(reason),
        last_seconds_ago: why.last.map(|_| why.last_seconds_ago),
        used: used
            .map(|used| Used { rule: used.rule.name(), count: used.count, limit: used.limit })
            .collect(),
        banned_subjects: Some(
            subjects
                .map(|subject| BannedSubject {
                    subject: subject.text.to_owned(),
                    messages: subject.messages,
                    seconds_ago: now_ms.saturating_sub(subject.since_ms) / 1000,
                    seconds_left: subject.until_ms.saturating_sub(now_ms).div_ceil(1000),
                })
                .collect(),
        ),
    }
}
