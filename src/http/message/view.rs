//! What a reader is shown of a message: who, to whom, about what; its texts, its HTML, its
//! attachments.
//!
//! Decoding runs other people's code over what strangers sent. mail-parser means never to panic, but
//! it unwraps and indexes in its decoders; should one of those be wrong, the reader of that one
//! message is told so, and the loop goes on. That is what `catch_unwind` is here for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use md5::{Digest, Md5};

use crate::limits::{
    HEADER_FIELD_BYTES_MAX, HEADER_FIELD_PREVIEW_BYTES, HEADER_PREVIEW_BYTES,
    HEADER_SECTION_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX, SUBJECT_PREVIEW_BYTES,
};
use crate::store::Envelope;

use super::fields::{Fields, clean};
use super::parts::{self, Part, Parts};

/// Who wrote to whom about what. Where the message does not say, its envelope does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The first author, as `Name <address>`.
    pub from: String,
    /// The recipients that the message names.
    pub to: Vec<String>,
    /// Further ones; none in a list, which does not show them.
    pub cc: Vec<String>,
    /// The subject, decoded.
    pub subject: String,
    /// When the author says that it was written, as sent; empty in a list, which does not show it.
    pub date: String,
}

/// A message, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Who and what.
    pub summary: Summary,
    /// The header section: each field's name as sent, and its value, unfolded but not decoded.
    pub fields: Vec<(String, String)>,
    /// The plain texts, one after the other, up to [`MESSAGE_TEXT_BYTES_MAX`]. Empty if there is
    /// only HTML: none is made up.
    pub text: String,
    /// The HTML, exactly as dangerous as it was sent; up to as much.
    pub html: String,
    /// Everything else.
    pub attachments: Vec<Attachment>,
    /// Whether bounds hid something; all of it is in the source.
    pub clipped: bool,
    /// Whether decoding failed in a way that it never should.
    pub unreadable: bool,
}

/// What is known about an attachment. Its number is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// A safe name for the file; never empty.
    pub filename: String,
    /// What the sender says it is.
    pub content_type: String,
    /// The length, decoded.
    pub bytes: usize,
    /// The MD5 of the decoded bytes, in hexadecimal.
    pub md5: String,
}

impl Summary {
    /// Reads a message's beginning, for a list.
    #[must_use]
    pub fn of_beginning(beginning: &[u8], envelope: &Envelope) -> Self {
        caught(|| {
            let fields = Fields::preview(beginning, HEADER_PREVIEW_BYTES);
            let (most, subject_most) = (HEADER_FIELD_PREVIEW_BYTES, SUBJECT_PREVIEW_BYTES);
            Self::of(&fields, envelope, most, subject_most)
        })
        .unwrap_or_else(|| Self::of(&Fields::default(), envelope, 0, 0))
    }

    /// Decodes so many bytes of each field, and so many of the subject.
    fn of(fields: &Fields<'_>, envelope: &Envelope, most: usize, subject_most: usize) -> Self {
        let subject = fields.first("Subject").map(|field| field.words(subject_most));
        let from = addresses(fields, "From", most, 1).pop();
        let to = Some(addresses(fields, "To", most, usize::MAX)).filter(|to| !to.is_empty());
        let path = |path: &[u8]| format!("<{}>", clean(&String::from_utf8_lossy(path)));
        Self {
            from: from.unwrap_or_else(|| path(&envelope.reverse_path)),
            to: to.unwrap_or_else(|| {
                envelope.forward_paths.iter().map(|forward_path| path(forward_path)).collect()
            }),
            cc: Vec::new(),
            subject: subject.unwrap_or_default(),
            date: String::new(),
        }
    }
}

impl View {
    /// Decodes a message.
    #[must_use]
    pub fn of(message: &[u8], envelope: &Envelope) -> Self {
        caught(|| Self::decode(message, envelope)).unwrap_or_else(|| Self {
            summary: Summary::of_beginning(&[], envelope),
            unreadable: true,
            ..Self::default()
        })
    }

    fn decode(message: &[u8], envelope: &Envelope) -> Self {
        let fields = Fields::split(message, HEADER_SECTION_BYTES_MAX);
        let parts = Parts::of(message, &fields);
        let date = fields.first("Date").map(|field| field.raw_text(HEADER_FIELD_BYTES_MAX));
        let mut view = Self {
            summary: Summary {
                cc: addresses(&fields, "Cc", HEADER_FIELD_BYTES_MAX, usize::MAX),
                date: date.unwrap_or_default(),
                ..Summary::of(&fields, envelope, HEADER_FIELD_BYTES_MAX, HEADER_FIELD_BYTES_MAX)
            },
            fields: fields
                .list
                .iter()
                .map(|field| (field.name.to_owned(), field.raw_text(HEADER_FIELD_BYTES_MAX)))
                .collect(),
            clipped: fields.clipped
                || parts.clipped
                || fields.list.iter().any(|field| field.value.len() > HEADER_FIELD_BYTES_MAX),
            ..Self::default()
        };
        for part in &parts.leaves {
            match Role::of(part) {
                Role::Text => view.clipped |= push(&mut view.text, part, message.len()),
                Role::Html => view.clipped |= push(&mut view.html, part, message.len()),
                Role::Attachment => {
                    let number = view.attachments.len();
                    view.attachments.push(attachment(part, number, Digested::of(&part.bytes())));
                }
            }
        }
        view
    }

    /// What is known about one attachment, whose bytes are shown to `show`.
    #[must_use]
    pub fn attachment(
        message: &[u8],
        number: usize,
        show: impl FnOnce(&[u8]),
    ) -> Option<Attachment> {
        caught(|| {
            let fields = Fields::split(message, HEADER_SECTION_BYTES_MAX);
            let parts = Parts::of(message, &fields);
            let part = parts
                .leaves
                .iter()
                .filter(|part| Role::of(part) == Role::Attachment)
                .nth(number)?;
            let bytes = part.bytes();
            let digested = Digested::of(&bytes);
            show(&bytes);
            drop(bytes);
            Some(attachment(part, number, digested))
        })
        .flatten()
    }
}

/// The first `count_max` addresses of the first field of a name, in the first `most` bytes of it.
fn addresses(fields: &Fields<'_>, name: &str, most: usize, count_max: usize) -> Vec<String> {
    fields.first(name).map(|field| field.addresses(most, count_max)).unwrap_or_default()
}

/// What a leaf is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Text,
    Html,
    Attachment,
}

impl Role {
    fn of(part: &Part<'_>) -> Self {
        let apart = part.is_attachment || !part.filename.is_empty();
        match part.content_type.as_str() {
            "text/plain" if !apart => Self::Text,
            "text/html" if !apart => Self::Html,
            _ => Self::Attachment,
        }
    }
}

/// What is left of the bytes of an attachment. It takes no heap, so that the bytes, which do, leave
/// no hole below something small when they go.
#[derive(Clone, Copy)]
struct Digested {
    bytes: usize,
    md5: [u8; 16],
}

impl Digested {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), md5: Md5::digest(bytes).into() }
    }
}

fn attachment(part: &Part<'_>, number: usize, digested: Digested) -> Attachment {
    let filename = if !part.filename.is_empty() {
        part.filename.clone()
    } else if part.content_type == "message/rfc822" {
        format!("message-{number}.eml")
    } else {
        format!("attachment-{number}")
    };
    let md5 = digested.md5.iter().map(|byte| format!("{byte:02x}")).collect();
    Attachment { filename, content_type: part.content_type.clone(), bytes: digested.bytes, md5 }
}

/// Appends a text on a line of its own; whether the bound cut something off.
fn push(text: &mut String, part: &Part<'_>, message_bytes: usize) -> bool {
    let most = MESSAGE_TEXT_BYTES_MAX;
    if text.is_empty() {
        // At once, or it would be grown by doubling. A byte may become a character of three.
        text.reserve_exact(message_bytes.saturating_mul(3).min(most));
    } else if !text.ends_with('\n') && parts::push(text, "\n", most) {
        return true;
    }
    part.push_text(text, most)
}

fn caught<T>(look: impl FnOnce() -> T) -> Option<T> {
    // Nothing outlives a panic in there: what it read is shared, what it made is dropped.
    catch_unwind(AssertUnwindSafe(look)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::HEADER_FIELDS_PREVIEW_MAX;

    fn envelope() -> Envelope {
        Envelope {
            helo: b"h".to_vec(),
            reverse_path: b"r@s".to_vec(),
            forward_paths: vec![b"f@g".to_vec()],
        }
    }

    #[test]
    fn a_message_with_everything() {
        let message = "From: A <a@b>\r\nTo: c@d, E <e@f>\r\nSubject: =?utf-8?q?h=C3=AA?=\r\n\
            Content-Type: multipart/mixed; boundary=o\r\n\r\n\
            --o\r\nContent-Type: text/plain\r\n\r\none\r\n\
            --o\r\nContent-Type: text/html\r\n\r\n<i>two</i>\r\n\
            --o\r\nContent-Type: text/plain\r\n\r\nthree\r\n\
            --o\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\
            Content-Disposition: inline; filename=\"x.png\"\r\n\r\naGVsbG8=\r\n\
            --o\r\nContent-Type: text/html; name=page.html\r\n\r\n<b>\r\n\
            --o\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n--o--\r\n";
        let view = View::of(message.as_bytes(), &envelope());
        assert_eq!(view.summary.from, "A <a@b>");
        assert_eq!(view.summary.to, ["<c@d>", "E <e@f>"]);
        assert_eq!(view.summary.subject, "hê");
        assert_eq!((view.text.as_str(), view.html.as_str()), ("one\nthree", "<i>two</i>"));
        let names: Vec<_> = view.attachments.iter().map(|found| found.filename.as_str()).collect();
        assert_eq!(names, ["x.png", "page.html", "message-2.eml"]);
        // printf hello | md5sum
        assert_eq!(view.attachments[0].md5, "5d41402abc4b2a76b9719d911017c592");
        let mut shown = Vec::new();
        let mut show = |bytes: &[u8]| shown.extend_from_slice(bytes);
        let first = View::attachment(message.as_bytes(), 0, &mut show).expect("there");
        assert_eq!(View::attachment(message.as_bytes(), 3, &mut show), None);
        assert_eq!((&first, &shown[..]), (&view.attachments[0], &b"hello"[..]));
        assert!(!view.clipped && !view.unreadable);
    }

    #[test]
    fn what_the_message_does_not_say_its_envelope_does() {
        let view = View::of(b"hello\r\n", &envelope());
        assert_eq!(view.summary.from, "<r@s>");
        assert_eq!(view.summary.to, ["<f@g>"]);
        assert_eq!(view.text, "hello\r\n");
    }

    #[test]
    fn long_texts_and_fields_are_clipped() {
        let long = "é".repeat(MESSAGE_TEXT_BYTES_MAX / 2);
        let view = View::of(format!("\r\n{long}").as_bytes(), &envelope());
        assert!(view.text == long && !view.clipped);
        let view = View::of(format!("\r\nx{long}").as_bytes(), &envelope());
        assert_eq!(view.text.len(), MESSAGE_TEXT_BYTES_MAX - 1);
        assert!(view.clipped);
        let field = "x".repeat(HEADER_FIELD_BYTES_MAX + 1);
        let view = View::of(format!("A:{field}\r\n\r\n").as_bytes(), &envelope());
        assert_eq!(view.fields[0].1.len(), HEADER_FIELD_BYTES_MAX);
        assert!(view.clipped);
    }

    /// Or whoever fills a mailbox with the worst of headers has all mail wait for each turn of its list.
    #[test]
    fn law_a_list_decodes_little_of_each_message() {
        for piece in ["a,", "<a>,", "\"a\" <b>,", "=?utf-8?q?a?= ", "a:b;", "(", "\"\\", "x"] {
            let value = piece.repeat(HEADER_FIELD_BYTES_MAX);
            for name in ["From", "To", "Cc", "Subject", "Date"] {
                let beginning = format!("{name}: {value}\r\n\r\n");
                let shown = Summary::of_beginning(beginning.as_bytes(), &envelope());
                let Summary { from, to, cc, subject, date } = shown;
                let texts = [&[from, subject, date][..], &to, &cc].concat();
                let letters = texts.concat().matches(['a', 'x']).count();
                let most = match name {
                    "Subject" => SUBJECT_PREVIEW_BYTES,
                    _ => HEADER_FIELD_PREVIEW_BYTES,
                };
                assert!(letters <= most, "{name} {piece}: {letters}");
            }
        }
        let authors = b"From: a@b, c@d\r\n\r\n";
        assert_eq!(Summary::of_beginning(authors, &envelope()).from, "<a@b>");
        let many = |fields: usize| {
            let beginning = format!("{}Subject: s\r\n\r\n", "a:\r\n".repeat(fields));
            Summary::of_beginning(beginning.as_bytes(), &envelope()).subject
        };
        assert_eq!(many(HEADER_FIELDS_PREVIEW_MAX - 1), "s");
        assert_eq!(many(HEADER_FIELDS_PREVIEW_MAX), "");
        // What lies behind the last that is kept is not looked at.
        let endless = "a:\r\n".repeat(HEADER_FIELDS_PREVIEW_MAX) + "\r\nbody";
        let fields = Fields::preview(endless.as_bytes(), HEADER_PREVIEW_BYTES);
        assert_eq!((fields.list.len(), fields.body_at), (HEADER_FIELDS_PREVIEW_MAX, endless.len()));
    }

    #[test]
    fn no_text_is_made_up_where_only_html_is() {
        let view = View::of(b"Content-Type: text/html\r\n\r\n<b>x", &envelope());
        assert_eq!((view.text.as_str(), view.html.as_str()), ("", "<b>x"));
    }

    #[test]
    fn a_panic_in_decoding_stays_with_its_message() {
        assert_eq!(caught(|| -> u8 { panic!("as a decoder might") }), None);
    }

    proptest! {
        #[test]
        fn law_any_message_has_a_view(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            charset in "(utf-7|utf-16|iso-2022-jp|gb18030|big5|euc-kr|shift_jis|windows-1252|koi8-r)",
            encoding in "(base64|quoted-printable|8bit)",
        ) {
            let head = format!("Content-Type: text/plain; charset={charset}\r\n\
                Content-Transfer-Encoding: {encoding}\r\n\r\n");
            let message = [head.as_bytes(), &bytes].concat();
            prop_assert!(!View::of(&message, &envelope()).unreadable);
            prop_assert!(!View::of(&bytes, &envelope()).unreadable);
        }
    }
}
