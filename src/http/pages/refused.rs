//! Why was I refused? For the address that asks; and the subjects that nobody may send now.

use maud::{Markup, html};

use super::frame;
use crate::http::response::{Response, Status};
use crate::http::standing::{BannedSubject, Reason, Standing};

pub(in crate::http) fn page(standing: &Standing) -> Response {
    let main = html! {
        section.title {
            h1 { "Why was I refused?" }
            p.muted {
                "About mail from " code { (standing.source) } ", which this page was asked from. The \
                 same as " a href="/api/v1/refused" { "JSON" } "."
            }
        }
        (verdict(standing))
        @if !standing.used.is_empty() {
            h2 { "What is counted of it now" }
            (used(standing))
        }
        h2 { "Subjects banned in the last hours" }
        (subjects(standing.banned_subjects.as_deref()))
    };
    Response::page(Status::OK, frame("Why was I refused?", &main))
}

fn verdict(standing: &Standing) -> Markup {
    html! {
        @if standing.trusted {
            p { "It is trusted: no rule applies to it." }
        } @else if let Some(ban) = &standing.ban {
            p { strong { "It is banned: " (ban.reason) "." } " " (told(ban)) }
        } @else if let Some(last) = &standing.last {
            p {
                "It is not banned. The last thing that was found: " strong { (last.reason) } ", "
                (ago(standing.last_seconds_ago.unwrap_or(0))) ". " (told(last))
            }
        } @else {
            p { "It is not banned, and nothing is held against it." }
        }
        @if standing.shared {
            p.muted { "There was no room to count it alone: this is about others too." }
        }
    }
}

fn told(reason: &Reason) -> Markup {
    html! {
        "Rule " code { (reason.rule) } " (" (reason.action) ")"
        @if reason.limit > 0 {
            ": " (reason.count) ", where " (reason.limit) " are allowed"
        }
        "."
        @if let Some(seconds) = reason.seconds_left.filter(|seconds| *seconds > 0) {
            " Over in " strong { (span(seconds)) } "."
        }
    }
}

fn used(standing: &Standing) -> Markup {
    html! {
        div.wide {
            table.figures {
                thead { tr { th { "rule" } th { "now" } th { "allowed" } } }
                tbody {
                    @for used in &standing.used {
                        tr { th { (used.rule) } td { (used.count) } td { (used.limit) } }
                    }
                }
            }
        }
    }
}

fn subjects(subjects: Option<&[BannedSubject]>) -> Markup {
    let Some(subjects) = subjects else {
        return html! { p.muted { "What others sent is for those who may read mail here." } };
    };
    html! {
        @if subjects.is_empty() {
            p.muted { "None." }
        } @else {
            div.wide {
                table.figures {
                    thead { tr { th { "subject" } th { "messages" } th { "banned" } th { "left" } } }
                    tbody {
                        @for subject in subjects {
                            tr {
                                th { (subject.subject) }
                                td { (subject.messages) }
                                td { (ago(subject.seconds_ago)) }
                                td {
                                    @if subject.seconds_left > 0 { (span(subject.seconds_left)) }
                                    @else { "over" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn ago(seconds: u64) -> String {
    format!("{} ago", span(seconds))
}

/// A span of time in the unit that fits, rounded up: who waits for so long has waited long enough.
fn span(seconds: u64) -> String {
    let (unit, name) = match seconds {
        0..120 => (1, "s"),
        120..7200 => (60, "min"),
        _ => (3600, "h"),
    };
    format!("{} {name}", seconds.div_ceil(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_unit_that_fits_and_never_too_short() {
        for (seconds, told) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (121, "3 min"),
            (7200, "2 h"),
            (7201, "3 h"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }
}
