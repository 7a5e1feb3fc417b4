//! The report for machines: the whole summary. Latencies are in microseconds.

use super::Summary;

pub(crate) fn render(summary: &Summary) -> String {
    // Strings, numbers and lists of them: nothing that JSON cannot say.
    serde_json::to_string_pretty(summary).unwrap_or_default()
}
