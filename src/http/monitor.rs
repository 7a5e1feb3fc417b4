//! What monitors ask for: is it alive, would it take work, how is it doing.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{self, Registry};
use serde_json::{Map, Value, json};

use super::desk::Desk;
use super::response::{Response, Status};
use crate::metrics::{Kind, Sample};
use crate::phases::{Histogram, SHARE_NAMES, Unit};

/// The process runs and its loop turns, or this would not be said.
pub(super) fn livez() -> Response {
    Response::text(Status::OK, "alive\n")
}

/// Whether new work should be sent here.
pub(super) fn readyz(ready: bool) -> Response {
    if ready {
        Response::text(Status::OK, "ready\n")
    } else {
        Response::text(Status::UNAVAILABLE, "draining\n")
    }
}

/// The metrics in the text form that Prometheus reads (OpenMetrics 1.0).
pub(super) fn metrics(desk: &Desk<'_>) -> Response {
    Response::openmetrics(render((desk.samples)(desk.store), desk.phases.histograms().into()))
}

/// The same figures as JSON, under the names that they have there, and of each distribution what
/// people ask for: an object with its quantiles, in seconds where it tells seconds.
pub(super) fn status(desk: &Desk<'_>) -> Response {
    let samples = (desk.samples)(desk.store);
    let counts = samples.iter().map(|sample| (sample.to_string(), sample.value.into()));
    let histograms = desk.phases.histograms();
    let phases = histograms.iter().map(|histogram| (histogram.to_string(), summary(histogram)));
    let status = json!({
        "ready": desk.ready,
        "metrics": counts.collect::<Map<_, _>>(),
        "phases": phases.collect::<Map<_, _>>(),
    });
    Response::json(Status::OK, status.to_string())
}

fn summary(histogram: &Histogram) -> Value {
    let shown = |value| match histogram.unit {
        Unit::Nanoseconds => json!(seconds(value)),
        Unit::Connections => json!(value),
    };
    let quantiles = SHARE_NAMES.iter().zip(histogram.quantiles);
    let quantiles = quantiles.map(|(name, value)| ((*name).to_owned(), shown(value)));
    let ends = [("count", json!(histogram.count)), ("max", shown(histogram.max))];
    let ends = ends.map(|(name, value)| (name.to_owned(), value));
    Value::Object(quantiles.chain(ends).collect())
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn render(samples: Vec<Sample>, histograms: Vec<Histogram>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures { samples, histograms }));
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Figures {
    samples: Vec<Sample>,
    histograms: Vec<Histogram>,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in self.samples.chunk_by(|one, next| one.name == next.name) {
            let Some(first) = family.first() else { continue };
            let kind = match first.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            if first.label.is_none() {
                first.encode(metric)?;
                continue;
            }
            for sample in family {
                if let Some(label) = sample.label {
                    sample.encode(metric.encode_family(&[label])?)?;
                }
            }
        }
        for histogram in &self.histograms {
            let unit = match histogram.unit {
                Unit::Nanoseconds => Some(&registry::Unit::Seconds),
                Unit::Connections => None,
            };
            let kind = MetricType::Histogram;
            histogram.encode(encoder.encode_descriptor(
                histogram.name,
                histogram.help,
                unit,
                kind,
            )?)?;
        }
        Ok(())
    }
}

impl Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let shown = |value| match self.unit {
            Unit::Nanoseconds => seconds(value),
            Unit::Connections => value as f64,
        };
        let within = self.buckets.iter().map(|(bound, count)| (shown(*bound), *count));
        let buckets: Vec<_> = within.chain([(f64::INFINITY, self.beyond)]).collect();
        encoder.encode_histogram::<NoLabelSet>(shown(self.sum), self.count, &buckets, None)
    }
}

/// The name under which `/metrics` shows it, label and all.
impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        write!(formatter, "{}{suffix}", self.name)?;
        match self.label {
            Some((name, value)) => write!(formatter, "{{{name}=\"{value}\"}}"),
            None => Ok(()),
        }
    }
}

/// The name under which `/metrics` shows it.
impl fmt::Display for Histogram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Nanoseconds => "_seconds",
            Unit::Connections => "",
        };
        write!(formatter, "{}{unit}", self.name)
    }
}

impl Sample {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self.kind {
            Kind::Counter => ConstCounter::new(self.value).encode(encoder),
            Kind::Gauge => ConstGauge::new(self.value).encode(encoder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_lines() {
        let sample = |name, kind, label, value| Sample { name, help: "Help", kind, label, value };
        let samples = vec![
            sample("mailfly_lost", Kind::Counter, Some(("reason", "full")), 3),
            sample("mailfly_lost", Kind::Counter, Some(("reason", "expired")), 1),
            sample("mailfly_connections", Kind::Gauge, None, 7),
        ];
        let text = render(samples, vec![]);
        assert_eq!(
            text,
            "# HELP mailfly_lost Help\n\
             # TYPE mailfly_lost counter\n\
             mailfly_lost_total{reason=\"full\"} 3\n\
             mailfly_lost_total{reason=\"expired\"} 1\n\
             # HELP mailfly_connections Help\n\
             # TYPE mailfly_connections gauge\n\
             mailfly_connections 7\n\
             # EOF\n"
        );
    }
    fn turns() -> Histogram {
        Histogram {
            name: "mailfly_turn",
            help: "Help",
            unit: Unit::Nanoseconds,
            count: 6,
            sum: 4_500_000_000,
            buckets: vec![(5_000, 3), (2_500_000_000, 2)],
            beyond: 1,
            quantiles: [1_000, 2_000, 3_000_000, 4_000_000],
            max: 2_600_000_000,
        }
    }

    #[test]
    fn histograms_come_to_what_people_ask_for() {
        assert_eq!(turns().to_string(), "mailfly_turn_seconds");
        assert_eq!(
            summary(&turns()),
            json!({
                "p50": 1e-6, "p90": 2e-6, "p99": 0.003, "p99.9": 0.004, "max": 2.6, "count": 6
            })
        );
        let connections = Histogram { unit: Unit::Connections, max: 7, ..turns() };
        assert_eq!(connections.to_string(), "mailfly_turn");
        assert_eq!(summary(&connections)["max"], 7);
    }

    #[test]
    fn histograms_become_cumulative_buckets_in_seconds() {
        let text = render(vec![], vec![turns()]);
        assert_eq!(
            text,
            "# HELP mailfly_turn_seconds Help\n\
             # TYPE mailfly_turn_seconds histogram\n\
             # UNIT mailfly_turn_seconds seconds\n\
             mailfly_turn_seconds_sum 4.5\n\
             mailfly_turn_seconds_count 6\n\
             mailfly_turn_seconds_bucket{le=\"0.000005\"} 3\n\
             mailfly_turn_seconds_bucket{le=\"2.5\"} 5\n\
             mailfly_turn_seconds_bucket{le=\"+Inf\"} 6\n\
             # EOF\n"
        );
    }
}
