//! HdrHistogram's percentile format, which its plotters read. In milliseconds.

use std::fmt::Write;

use crate::measure::Latencies;

/// Steps for each halving of the distance to 100 %, as HdrHistogram's own tools have it.
const STEPS: u32 = 5;

pub(crate) fn render(latencies: &Latencies) -> String {
    let ms = |ns: f64| ns / 1e6;
    let mut text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    // Writing to a String does not fail.
    for step in latencies.iter_quantiles(STEPS) {
        let quantile = step.quantile_iterated_to();
        let value = ms(step.value_iterated_to() as f64);
        let count = latencies.count_between(0, step.value_iterated_to());
        let _ = write!(text, "{value:12.3} {quantile:2.12} {count:10}");
        let _ = match quantile < 1.0 {
            true => writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(text),
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
         #[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]",
        ms(latencies.mean()),
        ms(latencies.stdev()),
        ms(latencies.max() as f64),
        latencies.len(),
        latencies.buckets(),
        2048,
    );
    text
}
