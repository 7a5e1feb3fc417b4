//! The report for people.

use std::fmt::Write;

use super::{Percentiles, Summary};

/// The report as text.
pub(crate) fn render(summary: &Summary) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_all(summary, &mut text);
    text
}

fn write_all(summary: &Summary, text: &mut String) -> std::fmt::Result {
    let Summary { traffic, messages, .. } = summary;
    write!(text, "{} to {}: {} connections", traffic.shape, summary.target, traffic.connections)?;
    match traffic.messages_per_connection {
        Some(count) => write!(text, " of {count} messages")?,
        None => write!(text, " kept")?,
    }
    match traffic.rate {
        Some(rate) => write!(text, ", open loop at {rate}/s")?,
        None => write!(text, ", closed loop")?,
    }
    writeln!(text, ", {:.2} s measured\n", summary.seconds)?;
    writeln!(
        text,
        "messages     {} acknowledged, {:.0}/s, {:.1} MB/s   ({} in all, warm-up included)",
        messages.acknowledged,
        messages.per_second,
        messages.bytes_per_second / 1e6,
        messages.acknowledged_in_all,
    )?;
    if traffic.rate.is_some() {
        writeln!(
            text,
            "             {} begun and not acknowledged, {} due and not begun",
            messages.unfinished, messages.unstarted
        )?;
    }
    writeln!(text, "errors       {}", summary.errors.total)?;
    for (cause, count) in &summary.errors.by_cause {
        writeln!(text, "             {count} × {cause}")?;
    }
    latencies(summary, text)?;
    processes(summary, text)?;
    side(summary, text)?;
    verify(summary, text)?;
    for check in &summary.checks {
        let verdict = if check.passed { "passed" } else { "MISSED" };
        let (name, threshold, measured) = (check.name, check.threshold, check.measured);
        writeln!(text, "threshold    {name} {threshold}: {measured:.3}, {verdict}")?;
    }
    for warning in &summary.warnings {
        writeln!(text, "WARNING      {warning}")?;
    }
    Ok(())
}

fn latencies(summary: &Summary, text: &mut String) -> std::fmt::Result {
    let names = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    write!(text, "\n{:<24}", "latency, ms")?;
    for name in names {
        write!(text, "{name:>10}")?;
    }
    writeln!(text, "{:>12}", "count")?;
    for (name, percentiles) in rows(summary) {
        let Percentiles { count, p50, p90, p99, p99_9, p99_99, max, .. } = percentiles;
        write!(text, "{name:<24}")?;
        for us in [p50, p90, p99, p99_9, p99_99, max] {
            write!(text, "{:>10}", milliseconds(us))?;
        }
        writeln!(text, "{count:>12}")?;
    }
    writeln!(text)
}

/// The rows of the latencies' table, in every report.
pub(super) fn rows(summary: &Summary) -> Vec<(&'static str, Percentiles)> {
    let latency = &summary.latency;
    let mut rows = latency.phases.clone();
    match latency.uncorrected {
        None => rows.push(("whole message", latency.whole)),
        Some(uncorrected) => {
            rows.push(("whole, corrected", latency.whole));
            rows.push(("whole, uncorrected", uncorrected));
        }
    }
    let reads = summary.side.as_ref().and_then(|side| side.read_latency);
    rows.extend(reads.map(|reads| ("HTTP read", reads)));
    rows
}

/// Microseconds as milliseconds, with as many digits as mean something.
pub(super) fn milliseconds(us: f64) -> String {
    let ms = us / 1e3;
    let digits = match ms {
        ms if ms < 10.0 => 3,
        ms if ms < 100.0 => 2,
        _ => 1,
    };
    format!("{ms:.digits$}")
}

fn processes(summary: &Summary, text: &mut String) -> std::fmt::Result {
    let generator = &summary.generator;
    writeln!(
        text,
        "generator    {:.2} µs CPU a message, {:.0} % of a CPU ({:.0} % of it user), waited for one {:.1} % of the time",
        generator.cpu_us_per_message,
        generator.cpu_share * 100.0,
        generator.cpu_user_share * 100.0,
        generator.wait_share * 100.0,
    )?;
    if let Some(server) = &summary.server {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        writeln!(
            text,
            "server       {:.2} µs CPU a message, {:.0} % of a CPU, {:.1} MiB resident before, {:.1} after, {:.1} at most",
            server.cpu_us_per_message,
            server.cpu_share * 100.0,
            mib(server.resident_bytes_before),
            mib(server.resident_bytes_after),
            mib(server.resident_bytes_max),
        )?;
    }
    Ok(())
}

fn side(summary: &Summary, text: &mut String) -> std::fmt::Result {
    let Some(side) = &summary.side else { return Ok(()) };
    writeln!(
        text,
        "beside       {} connections came up, {} did not, {} were closed by the server, {} held to the end",
        side.settled, side.failed, side.lost, side.held_at_end
    )?;
    if side.resets > 0 {
        writeln!(text, "             {} came and were reset", side.resets)?;
    }
    if side.read_latency.is_some() {
        writeln!(
            text,
            "             {} reads answered 200, {:.0}/s; {} answered otherwise",
            side.reads, side.reads_per_second, side.reads_other
        )?;
    }
    Ok(())
}

fn verify(summary: &Summary, text: &mut String) -> std::fmt::Result {
    let Some(verdict) = &summary.verify else { return Ok(()) };
    writeln!(
        text,
        "read back    {} copies of {} acknowledged messages in {:.1} s: {} stored, {} evicted by rule, \
         {} lost, {} doubled, {} corrupted",
        verdict.copies,
        verdict.acknowledged,
        verdict.seconds,
        verdict.stored,
        verdict.evicted,
        verdict.lost,
        verdict.doubled,
        verdict.corrupted,
    )?;
    for (count, what) in [
        (verdict.unacknowledged, "there though not acknowledged"),
        (verdict.foreign, "not of this run"),
        (verdict.unlisted, "beyond what their mailboxes list: not looked for twice"),
    ] {
        if count > 0 {
            writeln!(text, "             {count} {what}")?;
        }
    }
    if let Some(why) = &verdict.unfinished {
        writeln!(text, "             UNFINISHED: {why}")?;
    }
    Ok(())
}
