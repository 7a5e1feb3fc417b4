//! A mailbox: its messages, newest first, and what it has lost.

use maud::{Markup, html};

use crate::http::date::plain;
use crate::http::desk::Desk;
use crate::http::link;
use crate::http::message::view::Summary;
use crate::http::newest::Newest;
use crate::http::response::{Response, Status};
use crate::limits::HTTP_PAGE_FIELD_BYTES_MAX;
use crate::store::{Lost, MailboxName, Message, Naming};

use super::{button, count, frame, size};

/// What a mailbox's page shows of one message.
pub(in crate::http) fn row(
    name: &MailboxName,
    naming: Naming,
    message: &Message,
    summary: &Summary,
) -> Markup {
    let link = link::message_page(name, naming, message.id);
    let subject = beginning(&summary.subject);
    html! {
        li.unseen[!message.seen] {
            a.row href=(link) {
                span.from { (beginning(&summary.from)) }
                span.subject {
                    @if subject.is_empty() { em { "no subject" } }
                    @else { (subject) }
                }
                span.when {
                    time { (plain(message.received_unix_ms)) }
                    " · " (size(message.body_bytes))
                }
            }
            (button(&format!("{link}/delete"), "Delete"))
        }
    }
}

/// As much as a row can show at all.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(HTTP_PAGE_FIELD_BYTES_MAX)]
}

/// The page, with the rows of its messages, oldest first.
pub(in crate::http) fn page(
    desk: &Desk<'_>,
    name: &MailboxName,
    rows: &[Markup],
    newest: &Newest,
) -> Response {
    let here = link::mailbox_page(name, desk.naming);
    let listed = rows.len();
    let main = html! {
        div.title {
            h1 { (name) }
            p.muted {
                (count(newest.held, "message", "messages"))
                @if listed < newest.held { ", the newest " (listed) " shown" }
            }
            div.actions {
                a.quiet href=(here) { "Refresh" }
                @if newest.held > 0 {
                    (button(&format!("{here}/delete"), "Delete all"))
                }
            }
        }
        @if newest.held == 0 {
            (empty(desk, name))
        } @else {
            ul.messages {
                @for row in rows.iter().rev() { (row) }
            }
        }
        @if let Some(words) = lost_words(newest.lost) {
            p.lost { (words) }
        }
        p.muted.small { "Times are UTC. As JSON: " code { "/api/v1" (here) } }
    };
    Response::page(Status::OK, frame(name.as_str(), &main))
}

fn empty(desk: &Desk<'_>, name: &MailboxName) -> Markup {
    // A name that is an address already, or one to which any domain does.
    let address = if name.as_str().contains('@') {
        name.to_string()
    } else {
        format!("{name}@{}", desk.hostname)
    };
    html! {
        section.notice {
            p { "Nothing here yet." }
            p {
                "Mail to " code { (address) }
                @if !desk.smtp.is_empty() { ", sent to " code { (desk.smtp) } "," }
                " shows up as soon as it is accepted."
            }
        }
    }
}

/// What a mailbox has lost and why, in words. `None` if nothing.
fn lost_words(lost: Lost) -> Option<String> {
    let reasons: Vec<_> = [
        (lost.mailbox_full, "because the mailbox was full"),
        (lost.memory_full, "because the server's memory was full"),
        (lost.expired, "because their time was up"),
        (lost.deleted, "because somebody deleted them"),
    ]
    .into_iter()
    .filter(|(messages, _)| *messages > 0)
    .map(|(messages, reason)| format!("{messages} {reason}"))
    .collect();
    (!reasons.is_empty()).then(|| format!("No longer here: {}.", reasons.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_with_their_reasons() {
        assert_eq!(lost_words(Lost::default()), None);
        let lost = Lost { mailbox_full: 3, deleted: 1, ..Lost::default() };
        assert_eq!(
            lost_words(lost).as_deref(),
            Some(
                "No longer here: 3 because the mailbox was full, 1 because somebody deleted them."
            )
        );
    }
}
