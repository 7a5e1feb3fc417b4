//! What comes of judging. Not here: how a reply says it.

use super::rule::{Action, Rule};

/// What is to be done with a connection, a message or a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is held against it.
    #[default]
    Allow,
    /// It goes on, and its replies are held back for
    /// [`tarpit::delay_ms`](super::tarpit::delay_ms).
    Tarpit(Finding),
    /// It goes on as if nothing was the matter, and what it brings is thrown away.
    Discard(Finding),
    /// It is refused, now if it has not been answered yet.
    Refuse(Finding),
}

/// Which rule something ran into, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What is set to be done about it.
    pub action: Action,
    /// What was counted, this one included; 1 for rules that do not count.
    pub count: u32,
    /// How much would have been allowed.
    pub limit: u32,
    /// Until when it is so, in monotonic milliseconds; `None` if it is only about this one.
    pub until_ms: Option<u64>,
}

impl Verdict {
    /// What it is about.
    #[must_use]
    pub fn finding(self) -> Option<Finding> {
        match self {
            Self::Allow => None,
            Self::Tarpit(finding) | Self::Discard(finding) | Self::Refuse(finding) => Some(finding),
        }
    }

    /// Whether nothing that is found later can change what is done.
    pub(super) fn is_settled(self) -> bool {
        matches!(self, Self::Refuse(_) | Self::Discard(_))
    }
}

impl From<Finding> for Verdict {
    fn from(finding: Finding) -> Self {
        match finding.action {
            Action::Tarpit => Self::Tarpit(finding),
            Action::Discard => Self::Discard(finding),
            Action::Reject => Self::Refuse(finding),
        }
    }
}

impl Finding {
    /// Seconds until it is over, rounded up.
    #[must_use]
    pub fn seconds_left(&self, now_ms: u64) -> u64 {
        self.until_ms.unwrap_or(0).saturating_sub(now_ms).div_ceil(1000)
    }
}

/// The finding with the harsher action; the first if they are as harsh.
pub(super) fn harsher(first: Option<Finding>, second: Option<Finding>) -> Option<Finding> {
    match (first, second) {
        (Some(one), Some(other)) if other.action > one.action => second,
        (None, _) => second,
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harsher_finding_counts_and_of_two_alike_the_first() {
        let finding =
            |rule, action| Some(Finding { rule, action, count: 1, limit: 0, until_ms: None });
        let reject = finding(Rule::Words, Action::Reject);
        let discard = finding(Rule::Bounces, Action::Discard);
        let tarpit = finding(Rule::Bodies, Action::Tarpit);
        for pair in [(reject, discard), (discard, reject), (tarpit, reject), (reject, None)] {
            assert_eq!(harsher(pair.0, pair.1), reject);
        }
        assert_eq!(harsher(tarpit, discard), discard);
        assert_eq!(harsher(None, tarpit), tarpit);
        let other = finding(Rule::Subjects, Action::Reject);
        assert_eq!(harsher(reject, other), reject);
        assert_eq!(harsher(None, None), None);
    }

    #[test]
    fn a_finding_leads_to_what_is_set() {
        let finding =
            |action| Finding { rule: Rule::Words, action, count: 1, limit: 0, until_ms: None };
        let (reject, tarpit) = (finding(Action::Reject), finding(Action::Tarpit));
        assert_eq!(Verdict::from(reject), Verdict::Refuse(reject));
        assert_eq!(Verdict::from(tarpit), Verdict::Tarpit(tarpit));
        assert!(Verdict::from(reject).is_settled() && !Verdict::from(tarpit).is_settled());
        let discard = finding(Action::Discard);
        assert_eq!(Verdict::from(discard).finding(), Some(discard));
        assert!(Verdict::from(discard).is_settled() && !Verdict::Allow.is_settled());
        let until = Finding { until_ms: Some(5001), ..reject };
        assert_eq!((until.seconds_left(5000), until.seconds_left(5001)), (1, 0));
        assert_eq!(reject.seconds_left(0), 0);
    }
}
