//! A message: who, what, when; its text; its HTML in a frame that can do nothing; its attachments.

use maud::{Markup, html};

use crate::http::date::plain;
use crate::http::desk::Desk;
use crate::http::link;
use crate::http::message::view::View;
use crate::http::response::{Images, Response, Status};
use crate::limits::HTTP_PAGE_TEXT_BYTES_MAX;
use crate::store::{MailboxName, Message};

use super::{button, frame, size};

pub(in crate::http) fn page(
    desk: &Desk<'_>,
    name: &MailboxName,
    message: &Message,
    view: &View,
    images: Images,
) -> Response {
    let here = link::message_page(name, desk.naming, message.id);
    let source = link::source(name, desk.naming, message.id);
    let subject =
        if view.summary.subject.is_empty() { "No subject" } else { &view.summary.subject };
    let (text, is_cut) = beginning(&view.text);
    let main = html! {
        div.title {
            p.muted { a href=(link::mailbox_page(name, desk.naming)) { "← " (name) } }
            h1 { (subject) }
            div.actions {
                a.quiet href=(source) { "Source" }
                (button(&format!("{here}/delete"), "Delete"))
            }
        }
        (head(message, view))
        @if view.unreadable {
            p.lost { "This message could not be taken apart. Its source is as it was sent." }
        }
        @if !text.is_empty() {
            pre.text { (text) }
        } @else if view.html.is_empty() {
            p.muted { "This message has no text." }
        }
        @if is_cut {
            p.lost { "The text goes on; " a href=(source) { "the source" } " has all of it." }
        }
        @if !view.html.is_empty() {
            h2 { "HTML" }
            (offer(view, &here, images))
            iframe.letter sandbox="" src=(format!("{here}/html{}", link::images(images)))
                title="HTML of the message" referrerpolicy="no-referrer" loading="lazy" {}
        }
        @if !view.attachments.is_empty() {
            (attachments(view, &link::attachment(name, desk.naming, message.id)))
        }
        (fields(view))
        @if view.clipped {
            p.lost {
                "There is more to this message than is shown; "
                a href=(source) { "the source" } " has all of it."
            }
        }
    };
    Response::page(Status::OK, frame(subject, &main))
}

fn head(message: &Message, view: &View) -> Markup {
    let summary = &view.summary;
    html! {
        table.head {
            tbody {
                tr { th { "From" } td { (summary.from) } }
                tr { th { "To" } td { (summary.to.join(", ")) } }
                @if !summary.cc.is_empty() {
                    tr { th { "Cc" } td { (summary.cc.join(", ")) } }
                }
                @if !summary.date.is_empty() {
                    tr { th { "Date" } td { (summary.date) } }
                }
                tr {
                    th { "Received" }
                    td {
                        time { (plain(message.received_unix_ms)) } " UTC from "
                        (message.source.to_canonical()) ", " (size(message.body_bytes))
                    }
                }
            }
        }
    }
}

/// Offers to fetch what the message's HTML may show from elsewhere, or tells that it was.
fn offer(view: &View, here: &str, images: Images) -> Markup {
    html! {
        @match images {
            Images::Own => @if view.html.contains("//") {
                p.muted {
                    "Nothing is fetched from elsewhere. "
                    a href=(format!("{here}{}", link::images(Images::Remote))) { "Fetch images" }
                    ", which may tell the sender that you have opened this."
                }
            }
            Images::Remote => p.muted {
                "Images are fetched from elsewhere. " a href=(here) { "Without them" }
            }
        }
    }
}

fn attachments(view: &View, link: &str) -> Markup {
    html! {
        h2 { "Attachments" }
        ul.attachments {
            @for (number, attachment) in view.attachments.iter().enumerate() {
                li {
                    a href=(format!("{link}{number}")) { (attachment.filename) }
                    span.muted { " " (attachment.content_type) ", " (size(attachment.bytes)) }
                }
            }
        }
    }
}

fn fields(view: &View) -> Markup {
    html! {
        @if !view.fields.is_empty() {
            details {
                summary { "All header fields" }
                table.head {
                    tbody {
                        @for (name, value) in &view.fields {
                            tr { th { (name) } td { (value) } }
                        }
                    }
                }
            }
        }
    }
}

/// As much of a text as a page shows, and whether that is not all.
fn beginning(text: &str) -> (&str, bool) {
    let end = text.floor_char_boundary(HTTP_PAGE_TEXT_BYTES_MAX);
    (text.get(..end).unwrap_or(text), end < text.len())
}
