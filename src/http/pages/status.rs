//! How the server is doing: what it has counted, and how long its phases take.

use maud::{Markup, html};

use super::frame;
use crate::http::desk::Desk;
use crate::http::response::{Response, Status};
use crate::metrics::Sample;
use crate::phases::{Histogram, SHARE_NAMES, Unit};

pub(in crate::http) fn page(desk: &Desk<'_>) -> Response {
    let histograms = desk.phases.histograms();
    let samples = (desk.samples)(desk.store);
    let main = html! {
        section.title {
            h1 { "Status" }
            p.muted {
                @if desk.ready { "Taking mail." } @else { "Shutting down." }
                " The same as " a href="/api/v1/status" { "JSON" } ", and "
                a href="/metrics" { "for Prometheus" } "."
            }
        }
        h2 { "The loop, since the start" }
        (times(&histograms))
        h2 { "Counts" }
        (counts(&samples))
    };
    Response::page(Status::OK, frame("Status", &main))
}

fn times(histograms: &[Histogram]) -> Markup {
    html! {
        div.wide {
            table.figures {
                thead {
                    tr {
                        th { "" }
                        @for name in SHARE_NAMES { th { (name) } }
                        th { "max" }
                        th { "values" }
                    }
                }
                tbody {
                    @for histogram in histograms {
                        tr {
                            th { (histogram.help) }
                            @for value in histogram.quantiles { td { (told(histogram, value)) } }
                            td { (told(histogram, histogram.max)) }
                            td { (grouped(histogram.count)) }
                        }
                    }
                }
            }
        }
    }
}

fn counts(samples: &[Sample]) -> Markup {
    html! {
        div.wide {
            table.figures {
                tbody {
                    @for sample in samples {
                        tr {
                            th {
                                (sample.help)
                                @if let Some((name, value)) = sample.label {
                                    " " span.muted { (name) ": " (value.replace('_', " ")) }
                                }
                            }
                            td { (grouped(sample.value)) }
                        }
                    }
                }
            }
        }
    }
}

/// A value of a histogram; a dash if there is none.
fn told(histogram: &Histogram, value: u64) -> String {
    match histogram.unit {
        _ if histogram.count == 0 => "–".to_owned(),
        Unit::Nanoseconds => duration(value),
        Unit::Connections => grouped(value),
    }
}

/// A duration in the unit that fits, with about two digits, which is all that is known.
fn duration(ns: u64) -> String {
    let (unit_ns, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let tenths = (ns % unit_ns) * 10 / unit_ns;
    match ns / unit_ns {
        whole @ 0..10 => format!("{whole}.{tenths} {unit}"),
        whole => format!("{whole} {unit}"),
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            // It does not break.
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        for (ns, told) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.0 µs"),
            (9_999, "9.9 µs"),
            (10_500, "10 µs"),
            (999_999, "999 µs"),
            (1_000_000, "1.0 ms"),
            (2_345_678, "2.3 ms"),
            (999_999_999, "999 ms"),
            (61_000_000_000, "61 s"),
        ] {
            assert_eq!(duration(ns), told);
        }
    }

    #[test]
    fn thousands_are_apart() {
        for (number, told) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number).replace('\u{202f}', " "), told);
        }
    }
}
