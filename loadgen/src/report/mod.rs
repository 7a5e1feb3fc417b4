//! What a run came to, in the one form that all reports are made from.

mod chart;
pub(crate) mod hgrm;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod table;

use serde::Serialize;

use crate::flood::Outcome;
use crate::limits::{OWN_CPU_SHARE_MAX, OWN_WAIT_SHARE_MAX};
use crate::measure::{Latencies, PHASES};
use crate::plan::{Plan, Starttls};
use crate::process;
use crate::verify::Verdict;

/// Everything that a report says.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) command: String,
    pub(crate) target: String,
    pub(crate) traffic: TrafficSummary,
    pub(crate) seconds: f64,
    pub(crate) messages: Messages,
    pub(crate) errors: Errors,
    pub(crate) latency: Latency,
    pub(crate) generator: Generator,
    pub(crate) server: Option<Server>,
    pub(crate) side: Option<Side>,
    pub(crate) verify: Option<Verdict>,
    pub(crate) checks: Vec<Check>,
    /// What makes these figures less than they seem.
    pub(crate) warnings: Vec<String>,
    /// It ended early, since nothing but errors came.
    pub(crate) aborted: bool,
    pub(crate) timeline: Vec<Moment>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TrafficSummary {
    pub(crate) shape: &'static str,
    pub(crate) connections: u32,
    pub(crate) messages_per_connection: Option<u32>,
    pub(crate) recipients: u16,
    pub(crate) sizes: Vec<(usize, f64)>,
    pub(crate) mailboxes: u32,
    pub(crate) zipf: Option<f64>,
    pub(crate) rate: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Messages {
    pub(crate) begun: u64,
    pub(crate) acknowledged_in_all: u64,
    /// In the window that was measured, as are the rates.
    pub(crate) acknowledged: u64,
    pub(crate) per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// With --rate: begun and not acknowledged, and due and not begun.
    pub(crate) unfinished: u64,
    pub(crate) unstarted: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Errors {
    pub(crate) total: u64,
    pub(crate) by_cause: Vec<(String, u64)>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    /// From when each message should have started.
    pub(crate) whole: Percentiles,
    /// With --rate: from when it did.
    pub(crate) uncorrected: Option<Percentiles>,
    pub(crate) phases: Vec<(&'static str, Percentiles)>,
}

/// In microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: f64,
    #[serde(rename = "p99.99")]
    pub(crate) p99_99: f64,
    pub(crate) max: f64,
}

impl Percentiles {
    pub(crate) fn of(latencies: &Latencies) -> Self {
        if latencies.is_empty() {
            return Self::default();
        }
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            count: latencies.len(),
            mean: latencies.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: latencies.max() as f64 / 1e3,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Generator {
    pub(crate) cpu_us_per_message: f64,
    pub(crate) cpu_user_share: f64,
    /// Of one CPU, without what --spin burns.
    pub(crate) cpu_share: f64,
    /// Of the time, how long it was ready and others had the CPU.
    pub(crate) wait_share: f64,
    /// Starts that were over a millisecond late though a connection was free.
    pub(crate) late_starts: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) cpu_us_per_message: f64,
    pub(crate) cpu_share: f64,
    pub(crate) resident_bytes_before: u64,
    pub(crate) resident_bytes_after: u64,
    pub(crate) resident_bytes_max: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) settled: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    pub(crate) resets: u64,
    pub(crate) held_at_end: u64,
    pub(crate) reads: u64,
    pub(crate) reads_other: u64,
    pub(crate) reads_per_second: f64,
    pub(crate) read_latency: Option<Percentiles>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) threshold: f64,
    pub(crate) measured: f64,
    pub(crate) passed: bool,
}

/// One tick of the run.
#[derive(Debug, Serialize)]
pub(crate) struct Moment {
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) slowest_us: f64,
    pub(crate) generator_cpu_share: f64,
    pub(crate) server_cpu_share: Option<f64>,
    pub(crate) server_resident_bytes: Option<u64>,
}

impl Summary {
    /// What `outcome` came to; what is read back and the thresholds are added later.
    pub(crate) fn of(plan: &Plan, outcome: &Outcome) -> Self {
        let measure = &outcome.measure;
        let used = outcome.timeline.used();
        let seconds = measure.window_ns() as f64 / 1e9;
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let mut summary = Self {
            command: std::env::args().collect::<Vec<_>>().join(" "),
            target: plan.smtp.to_string(),
            traffic: TrafficSummary::of(plan),
            seconds,
            messages: Messages {
                begun: outcome.begun,
                acknowledged_in_all: measure.acknowledged_ever,
                acknowledged: measure.acknowledged,
                per_second: per_second(measure.acknowledged),
                bytes_per_second: per_second(measure.bytes),
                unfinished: measure.unfinished,
                unstarted: measure.unstarted,
            },
            errors: Errors {
                total: measure.errors,
                by_cause: measure
                    .errors_by_fault
                    .iter()
                    .map(|(fault, count)| (fault.to_string(), *count))
                    .collect(),
            },
            latency: Latency {
                whole: Percentiles::of(&measure.whole),
                uncorrected: plan.rate.map(|_| Percentiles::of(&measure.uncorrected)),
                phases: PHASES
                    .iter()
                    .zip(&measure.phases)
                    .filter(|(_, latencies)| !latencies.is_empty())
                    .map(|(phase, latencies)| (phase.name(), Percentiles::of(latencies)))
                    .collect(),
            },
            generator: Generator::of(outcome),
            server: Server::of(plan, outcome),
            side: Side::of(plan, outcome, per_second(outcome.side.figures.reads)),
            verify: None,
            checks: Vec::new(),
            warnings: Vec::new(),
            aborted: outcome.aborted,
            timeline: outcome
                .timeline
                .points()
                .iter()
                .map(|point| Moment {
                    seconds: point.at_ns as f64 / 1e9,
                    per_second: point.rate,
                    slowest_us: point.slowest_ns as f64 / 1e3,
                    generator_cpu_share: point.own_cpu,
                    server_cpu_share: point.server_cpu,
                    server_resident_bytes: point.server_resident_bytes,
                })
                .collect(),
        };
        summary.warnings = summary.find_warnings(plan, used.is_some());
        summary
    }

    fn find_warnings(&self, plan: &Plan, measured: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.aborted {
            warnings.push("ended early: one error after the other, and nothing between".to_owned());
        }
        if !measured {
            warnings.push("the run ended within its warm-up: nothing was measured".to_owned());
            return warnings;
        }
        if plan.starttls == Starttls::NotOffered {
            warnings.push("STARTTLS is not offered: everything was sent in the clear".to_owned());
        }
        warnings.extend(self.generator.warnings());
        if self.messages.unstarted > 0 {
            warnings.push(format!(
                "{} messages were due and never started, for want of a free connection: the server \
                 is slower than --rate, or --connections are too few",
                self.messages.unstarted
            ));
        }
        if plan.pid.is_some() && self.server.is_none() {
            warnings.push("there is no process with that --pid, or it ended".to_owned());
        }
        warnings
    }
}

impl TrafficSummary {
    fn of(plan: &Plan) -> Self {
        Self {
            shape: plan.shape.name(),
            connections: plan.connections,
            messages_per_connection: Some(plan.messages_per_connection).filter(|count| *count > 0),
            recipients: plan.recipients,
            sizes: plan.sizes.clone(),
            mailboxes: plan.mailboxes,
            zipf: plan.zipf,
            rate: plan.rate,
        }
    }
}

impl Generator {
    fn of(outcome: &Outcome) -> Self {
        let Some(used) = outcome.timeline.used() else {
            return Self {
                cpu_us_per_message: 0.0,
                cpu_user_share: 0.0,
                cpu_share: 0.0,
                wait_share: 0.0,
                late_starts: outcome.measure.late,
            };
        };
        let whole = (used.own_user_ns + used.own_system_ns) as f64;
        // Who spins is kept from the CPU while spinning: that was no work either, and no spinning.
        let spun = used.own_spun_ns.saturating_sub(used.own_wait_ns) as f64;
        let work = (whole - spun).max(0.0);
        let elapsed = used.elapsed_ns.max(1) as f64;
        Self {
            cpu_us_per_message: work / 1e3 / outcome.measure.acknowledged.max(1) as f64,
            cpu_user_share: used.own_user_ns as f64 / whole.max(1.0),
            cpu_share: work / elapsed,
            wait_share: used.own_wait_ns as f64 / elapsed,
            late_starts: outcome.measure.late,
        }
    }
}

impl Generator {
    /// When it was itself what was measured.
    fn warnings(&self) -> Vec<String> {
        let percent = |share: f64| (share * 100.0).round();
        let mut warnings = Vec::new();
        if self.cpu_share > OWN_CPU_SHARE_MAX {
            warnings.push(format!(
                "the generator used {} % of a CPU: it may be what limits these figures",
                percent(self.cpu_share)
            ));
        }
        if self.wait_share > OWN_WAIT_SHARE_MAX {
            warnings.push(format!(
                "the generator waited for a CPU {} % of the time: give it one of its own",
                percent(self.wait_share)
            ));
        }
        if self.late_starts > 0 {
            warnings.push(format!(
                "the generator fell behind: {} messages started over 1 ms late though a \
                 connection was free (the corrected latency has it)",
                self.late_starts
            ));
        }
        warnings
    }
}

impl Server {
    fn of(plan: &Plan, outcome: &Outcome) -> Option<Self> {
        let used = outcome.timeline.used()?;
        let cpu_ns = used.server_cpu_ns? as f64;
        let mut resident =
            outcome.timeline.points().iter().filter_map(|point| point.server_resident_bytes);
        let before = resident.next().unwrap_or(0);
        Some(Self {
            cpu_us_per_message: cpu_ns / 1e3 / outcome.measure.acknowledged.max(1) as f64,
            cpu_share: cpu_ns / used.elapsed_ns.max(1) as f64,
            resident_bytes_before: before,
            resident_bytes_after: resident.next_back().unwrap_or(before),
            resident_bytes_max: plan.pid.and_then(process::resident_bytes_max).unwrap_or(0),
        })
    }
}

impl Side {
    fn of(plan: &Plan, outcome: &Outcome, reads_per_second: f64) -> Option<Self> {
        let figures = &outcome.side.figures;
        (plan.side.connections() > 0).then(|| Self {
            settled: figures.settled,
            failed: figures.failed,
            lost: figures.lost,
            resets: figures.resets,
            held_at_end: outcome.side.held() as u64,
            reads: figures.reads,
            reads_other: figures.reads_other,
            reads_per_second,
            read_latency: (plan.side.http_readers > 0)
                .then(|| Percentiles::of(&figures.read_latencies)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_was_the_bottleneck_says_so() {
        let generator = |cpu_share, wait_share, late_starts| Generator {
            cpu_us_per_message: 1.0,
            cpu_user_share: 0.1,
            cpu_share,
            wait_share,
            late_starts,
        };
        assert!(generator(0.9, 0.1, 0).warnings().is_empty());
        assert!(generator(0.91, 0.0, 0).warnings()[0].contains("used 91 %"));
        assert!(generator(0.5, 0.4, 0).warnings()[0].contains("waited for a CPU 40 %"));
        assert!(generator(0.5, 0.0, 1).warnings()[0].contains("fell behind"));
    }
}
