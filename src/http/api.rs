//! The API's answers, in the shapes that clients of Inbucket's REST API (v1) read.
//!
//! Where Inbucket leaves something open it is decided here: a list goes from the oldest message to
//! the newest, `date` is when the message was taken, an address is written `Name <address>`, and the
//! names of header fields are spelled as Go spells them (`Message-Id`), since that is what its
//! clients look for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::store::{Lost, Message, MessageId};

use super::date::rfc3339;
use super::held::{Full, Responses, Writing};
use super::message::view::{Summary, View};
use super::newest::Newest;
use super::response::{Response, Status};

/// One message in a list.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    mailbox: &'a str,
    id: String,
    from: String,
    to: Vec<String>,
    subject: String,
    date: String,
    #[serde(rename = "posix-millis")]
    posix_millis: u64,
    size: usize,
    seen: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn of(mailbox: &'a str, message: &Message, summary: Summary) -> Self {
        Self {
            mailbox,
            id: message.id.to_string(),
            from: summary.from,
            to: summary.to,
            subject: summary.subject,
            date: rfc3339(message.received_unix_ms),
            posix_millis: message.received_unix_ms,
            size: message.body_bytes,
            seen: message.seen,
        }
    }
}

#[derive(Debug, Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    body: Body,
    header: BTreeMap<String, Vec<String>>,
    attachments: Vec<Attached<'a>>,
}

#[derive(Debug, Serialize)]
struct Body {
    text: String,
    html: String,
}

#[derive(Debug, Serialize)]
struct Attached<'a> {
    filename: String,
    #[serde(rename = "content-type")]
    content_type: String,
    #[serde(rename = "download-link")]
    download_link: Link<'a>,
    #[serde(rename = "view-link")]
    view_link: Link<'a>,
    md5: String,
}

/// A path, and the number behind it: put together when it is written, since there may be many.
#[derive(Clone, Copy, Debug)]
struct Link<'a>(&'a str, usize);

impl Serialize for Link<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.0, self.1))
    }
}

/// A list that is written entry by entry, because all entries together may be long.
#[derive(Debug)]
pub(super) struct List {
    written: Writing,
    is_empty: bool,
}

impl List {
    pub(super) fn begin(responses: &Responses) -> Result<Self, Full> {
        let mut written = responses.begin()?;
        written.push(b"[")?;
        Ok(Self { written, is_empty: true })
    }

    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Result<(), Full> {
        if !self.is_empty {
            self.written.push(b",")?;
        }
        self.is_empty = false;
        write(entry, &mut self.written)
    }

    /// The list, with how many messages the mailbox had and what it had lost.
    pub(super) fn respond(mut self, newest: &Newest) -> Result<Response, Full> {
        self.written.push(b"]")?;
        let Lost { mailbox_full, memory_full, expired, deleted } = newest.lost;
        let lost = format!(
            "full={mailbox_full}, memory={memory_full}, expired={expired}, deleted={deleted}"
        );
        Ok(Response::json(Status::OK, self.written)
            .with("Mailfly-Messages", newest.held.to_string())
            .with("Mailfly-Lost", lost))
    }
}

/// A whole message. `link` is what the number of an attachment is put behind. If bounds hid
/// something the field `Mailfly-Clipped` says `true`, and the source has all of it.
pub(super) fn show(
    mailbox: &str,
    message: &Message,
    view: View,
    link: &str,
    responses: &Responses,
) -> Result<Response, Full> {
    let is_clipped = view.clipped || view.unreadable;
    let mut header = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in view.fields {
        header.entry(canonical(&name)).or_default().push(value);
    }
    let attachments = view
        .attachments
        .into_iter()
        .enumerate()
        .map(|(number, attachment)| Attached {
            filename: attachment.filename,
            content_type: attachment.content_type,
            download_link: Link(link, number),
            view_link: Link(link, number),
            md5: attachment.md5,
        })
        .collect();
    let entry = Entry::of(mailbox, message, view.summary);
    let body = Body { text: view.text, html: view.html };
    let mut written = responses.begin()?;
    write(&Whole { entry, body, header, attachments }, &mut written)?;
    let response = Response::json(Status::OK, written);
    Ok(if is_clipped { response.with("Mailfly-Clipped", "true".to_owned()) } else { response })
}

/// It is done.
pub(super) fn ok() -> Response {
    json(Status::OK, &"OK")
}

pub(super) fn error(status: Status, words: &str) -> Response {
    json(status, &BTreeMap::from([("error", words)]))
}

/// Whether a PATCH says that the message was seen. Clients send the whole entry, the one field, or,
/// as Inbucket's own does, nothing at all. `None` if it is not JSON.
pub(super) fn seen(body: &[u8]) -> Option<Option<bool>> {
    #[derive(Deserialize)]
    struct Change {
        seen: Option<bool>,
    }
    if body.trim_ascii().is_empty() {
        return Some(Some(true));
    }
    serde_json::from_slice::<Change>(body).ok().map(|change| change.seen)
}

/// The id, if it is spelled as one.
pub(super) fn id(text: &str) -> Option<MessageId> {
    text.parse().ok()
}

/// As Go's net/textproto spells a field's name: capitals at the beginning and after hyphens.
fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|character| {
            let spelled =
                if upper { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
            upper = character == '-';
            spelled
        })
        .collect()
}

fn json(status: Status, value: &impl Serialize) -> Response {
    // Strings, numbers and lists of them: nothing that JSON cannot say.
    Response::json(status, serde_json::to_vec(value).unwrap_or_default())
}

fn write(value: &impl Serialize, into: &mut Writing) -> Result<(), Full> {
    // Nothing here that JSON cannot say, so the only failure is want of room.
    serde_json::to_writer(into, value).map_err(|_| Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_spelled_as_go_spells_them() {
        for (sent, spelled) in [
            ("message-ID", "Message-Id"),
            ("X-MAILER", "X-Mailer"),
            ("dkim-signature", "Dkim-Signature"),
        ] {
            assert_eq!(canonical(sent), spelled);
        }
    }

    #[test]
    fn a_change_is_read() {
        for (body, seen_says) in [
            ("", Some(Some(true))),
            ("{\"seen\":true}", Some(Some(true))),
            ("{\"mailbox\":\"a\",\"seen\":false,\"to\":[]}", Some(Some(false))),
            ("{}", Some(None)),
            ("{\"seen\":1}", None),
            ("seen", None),
            ("\u{0}", None),
        ] {
            assert_eq!(seen(body.as_bytes()), seen_says, "{body}");
        }
    }
}
