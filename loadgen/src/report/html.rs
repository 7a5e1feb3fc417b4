//! The report as one page that needs nothing else: no script, no fonts, no other files. Its curves
//! are drawn in `chart`.

use std::error::Error;
use std::fmt::{self, Write};

use super::chart::{Curve, percentile_chart, percentiles, time_chart};
use super::table::{milliseconds, rows};
use super::{Moment, Summary};
use crate::measure::{Measure, PHASES};

const STYLE: &str = include_str!("page.css");

/// The page.
///
/// # Errors
/// A curve could not be drawn.
pub(crate) fn render(summary: &Summary, measure: &Measure) -> Result<String, Box<dyn Error>> {
    let mut page = String::new();
    let traffic = &summary.traffic;
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>loadgen: {} at {}</title>\n<style>\n{STYLE}</style>\n\
         <h1>{}, {} connections, {}</h1>\n<code>{}</code>\n",
        traffic.shape,
        Escaped(&summary.target),
        traffic.shape,
        traffic.connections,
        match traffic.rate {
            Some(rate) => format!("open loop at {rate} a second"),
            None => "closed loop".to_owned(),
        },
        Escaped(&summary.command),
    )?;
    notices(summary, &mut page)?;
    figures(summary, &mut page)?;
    page.push_str("<h2>Latency by percentile</h2>\n");
    page.push_str(&percentile_chart(&latency_curves(summary, measure))?);
    table(summary, &mut page)?;
    courses(summary, &mut page)?;
    errors(summary, &mut page)?;
    page.push_str("</html>\n");
    Ok(page)
}

/// What puts all the rest in question comes first.
fn notices(summary: &Summary, page: &mut String) -> fmt::Result {
    for warning in &summary.warnings {
        writeln!(page, "<p class=\"warning\">{}</p>", Escaped(warning))?;
    }
    for check in summary.checks.iter().filter(|check| !check.passed) {
        let (name, threshold, measured) = (check.name, check.threshold, check.measured);
        writeln!(
            page,
            "<p class=\"warning bad\">Threshold missed: {name} {threshold}, was {measured:.3}</p>"
        )?;
    }
    let Some(verdict) = &summary.verify else { return Ok(()) };
    if !verdict.is_good() {
        writeln!(
            page,
            "<p class=\"warning bad\">Of {} copies {} were lost, {} doubled, {} corrupted. {}</p>",
            verdict.copies,
            verdict.lost,
            verdict.doubled,
            verdict.corrupted,
            Escaped(verdict.unfinished.as_deref().unwrap_or_default()),
        )?;
    }
    Ok(())
}

fn figures(summary: &Summary, page: &mut String) -> fmt::Result {
    let latency = &summary.latency.whole;
    let mut figures = vec![
        (format!("{:.0}/s", summary.messages.per_second), "messages acknowledged".to_owned()),
        (format!("{:.1} MB/s", summary.messages.bytes_per_second / 1e6), "of messages".to_owned()),
        (
            format!("{} ms", milliseconds(latency.p99)),
            format!("p99; p50 is {} ms", milliseconds(latency.p50)),
        ),
        (summary.errors.total.to_string(), "errors".to_owned()),
    ];
    if let Some(server) = &summary.server {
        figures.push((
            format!("{:.1} µs", server.cpu_us_per_message),
            "server's CPU a message".to_owned(),
        ));
    }
    figures.push((
        format!("{:.1} µs", summary.generator.cpu_us_per_message),
        "generator's CPU a message".to_owned(),
    ));
    if let Some(verdict) = &summary.verify {
        figures.push((
            format!("{} of {}", verdict.stored, verdict.copies),
            format!("copies read back; {} evicted by rule", verdict.evicted),
        ));
    }
    if let Some(side) = summary.side.as_ref().filter(|side| side.read_latency.is_some()) {
        figures.push((format!("{:.0}/s", side.reads_per_second), "HTTP reads beside".to_owned()));
    }
    page.push_str("<div class=\"figures\">\n");
    for (figure, what) in figures {
        writeln!(page, "<div><b>{figure}</b><span>{what}</span></div>")?;
    }
    page.push_str("</div>\n");
    Ok(())
}

fn latency_curves(summary: &Summary, measure: &Measure) -> Vec<Curve<'static>> {
    let mut curves = Vec::new();
    if summary.latency.uncorrected.is_some() {
        curves.push(percentiles("whole message, corrected", &measure.whole, true));
        curves.push(percentiles("whole message, uncorrected", &measure.uncorrected, true));
    } else {
        curves.push(percentiles("whole message", &measure.whole, true));
    }
    for (phase, latencies) in PHASES.iter().zip(&measure.phases) {
        curves.push(percentiles(phase.name(), latencies, false));
    }
    // Without anything measured there is no curve.
    let empty = |curve: &Curve<'_>| curve.points.iter().all(|(nines, _)| *nines == 0.0);
    curves.retain(|curve| !empty(curve));
    curves
}

fn table(summary: &Summary, page: &mut String) -> fmt::Result {
    page.push_str(
        "<table>\n<tr><th>milliseconds<th>p50<th>p90<th>p99<th>p99.9<th>p99.99<th>max<th>count\n",
    );
    for (name, row) in rows(summary) {
        let class = if name.starts_with("whole") { " class=\"whole\"" } else { "" };
        write!(page, "<tr{class}><td>{name}")?;
        for us in [row.p50, row.p90, row.p99, row.p99_9, row.p99_99, row.max] {
            write!(page, "<td>{}", milliseconds(us))?;
        }
        writeln!(page, "<td>{}", row.count)?;
    }
    page.push_str("</table>\n");
    if summary.latency.uncorrected.is_some() {
        page.push_str(
            "<p class=\"note\">Corrected: from the moment that a message should have started by the \
             schedule. Uncorrected: from when it did start.</p>\n",
        );
    }
    Ok(())
}

/// How it went over time, warm-up included.
fn courses(summary: &Summary, page: &mut String) -> Result<(), Box<dyn Error>> {
    let course = |name, value: &dyn Fn(&Moment) -> Option<f64>| Curve {
        name,
        points: summary
            .timeline
            .iter()
            .filter_map(|moment| Some((moment.seconds, value(moment)?)))
            .collect(),
        main: true,
    };
    if summary.timeline.is_empty() {
        return Ok(());
    }
    let warmup =
        summary.timeline.iter().map(|moment| moment.seconds).fold(0.0, f64::max) - summary.seconds;
    if warmup > 0.05 {
        writeln!(
            page,
            "<p class=\"note\">The curves below begin with {warmup:.1} s of warm-up, which all other \
             figures leave out.</p>"
        )?;
    }
    let mut chart = |heading: &str, unit: &str, curves: Vec<Curve<'_>>| {
        let curves: Vec<_> = curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
        if !curves.is_empty() {
            write!(page, "<h2>{heading}</h2>\n{}", time_chart(unit, &curves)?)?;
        }
        Ok::<(), Box<dyn Error>>(())
    };
    chart(
        "Throughput",
        "messages a second",
        vec![course("acknowledged", &|moment| Some(moment.per_second))],
    )?;
    chart(
        "Slowest message of each moment",
        "milliseconds",
        vec![course("slowest", &|moment| Some(moment.slowest_us / 1e3))],
    )?;
    chart(
        "CPU",
        "% of one CPU",
        vec![
            course("server", &|moment| moment.server_cpu_share.map(|share| share * 100.0)),
            course("generator", &|moment| Some(moment.generator_cpu_share * 100.0)),
        ],
    )?;
    chart(
        "The server's resident memory",
        "MiB",
        vec![course("resident", &|moment| {
            moment.server_resident_bytes.map(|bytes| bytes as f64 / 1_048_576.0)
        })],
    )
}

fn errors(summary: &Summary, page: &mut String) -> fmt::Result {
    if summary.errors.by_cause.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>Errors</h2>\n<ul>\n");
    for (cause, count) in &summary.errors.by_cause {
        writeln!(page, "<li>{count} × {}", Escaped(cause))?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

/// Text in a page.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(Escaped("a<b>&\"").to_string(), "a&lt;b&gt;&amp;&quot;");
    }
}
