//! What monitors ask for: is it alive, would it take work, how is it doing.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::response::{Response, Status};
use crate::metrics::{Kind, Sample};

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
pub(super) fn metrics(samples: Vec<Sample>) -> Response {
    Response::openmetrics(render(samples))
}

fn render(samples: Vec<Sample>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Samples(samples)));
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Samples(Vec<Sample>);

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in self.0.chunk_by(|one, next| one.name == next.name) {
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
        Ok(())
    }
}

impl Sample {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
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
        let text = render(vec![
            sample("mailfly_lost", Kind::Counter, Some(("reason", "full")), 3),
            sample("mailfly_lost", Kind::Counter, Some(("reason", "expired")), 1),
            sample("mailfly_connections", Kind::Gauge, None, 7),
        ]);
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
}
