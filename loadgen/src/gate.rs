//! Whether a run passes: thresholds that were set, and what must never happen.

use std::process::ExitCode;

use crate::plan::Plan;
use crate::report::{Check, Summary};

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Good,
    /// There was no run, or nothing came of it.
    Nothing,
    Missed,
    /// A message was lost, doubled or corrupted, or could not be looked at.
    Unfaithful,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Good => Self::SUCCESS,
            Ending::Nothing => Self::from(1),
            Ending::Missed => Self::from(3),
            Ending::Unfaithful => Self::from(4),
        }
    }
}

/// Each threshold that was set, beside what was measured.
pub(crate) fn checks(plan: &Plan, summary: &Summary) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(max) = plan.p99_ns_max {
        let max = max as f64 / 1e6;
        // Without any message there is no percentile, and a gate that saw nothing is not passed.
        let passed = summary.latency.whole.count > 0 && summary.latency.whole.p99 / 1e3 <= max;
        let measured = summary.latency.whole.p99 / 1e3;
        checks.push(Check { name: "max-p99, ms", threshold: max, measured, passed });
    }
    if let Some(min) = plan.rate_min {
        let measured = summary.messages.per_second;
        checks.push(Check {
            name: "min-rate, /s",
            threshold: min,
            measured,
            passed: measured >= min,
        });
    }
    if let Some(max) = plan.errors_max {
        let (threshold, measured) = (max as f64, summary.errors.total as f64);
        let passed = summary.errors.total <= max;
        checks.push(Check { name: "max-errors", threshold, measured, passed });
    }
    checks
}

/// How the run ends: the worst of what happened.
pub(crate) fn ending(summary: &Summary) -> Ending {
    if summary.verify.as_ref().is_some_and(|verdict| !verdict.is_good()) {
        Ending::Unfaithful
    } else if summary.checks.iter().any(|check| !check.passed) {
        Ending::Missed
    } else if summary.aborted
        || summary.messages.acknowledged_in_all == 0 && summary.traffic.connections > 0
    {
        Ending::Nothing
    } else {
        Ending::Good
    }
}
