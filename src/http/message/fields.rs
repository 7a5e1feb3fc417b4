//! A header section cut into its fields (RFC 5322 section 2.2), and their values decoded.
//!
//! mail-parser is shown one field at a time and a bounded piece of it, since some of its decoders
//! take the square of what they are shown.

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, ContentType, HeaderValue};
use memchr::memchr;

use crate::limits::{HEADER_FIELDS_MAX, HEADER_FIELDS_PREVIEW_MAX};

/// The fields of a header section, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The first [`HEADER_FIELDS_MAX`] of them, as far as they begin within the bytes asked for.
    pub list: Vec<Field<'a>>,
    /// Whether there are more.
    pub clipped: bool,
    /// Where the body begins.
    pub body_at: usize,
}

/// One field, undecoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name: printable ASCII.
    pub name: &'a str,
    /// The value, with its line ends if it is folded, without the last one.
    pub value: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Cuts the header section at the beginning of `message`; fields past its first `most` bytes
    /// are passed over.
    ///
    /// The section ends at the first blank line or, since anybody may send anything, before the
    /// first line that is no field.
    #[must_use]
    pub fn split(message: &'a [u8], most: usize) -> Self {
        Self::split_first(message, most, HEADER_FIELDS_MAX, usize::MAX)
    }

    /// The same for who wants to know no more than the first few fields, however many there are, and
    /// not where the body begins.
    #[must_use]
    pub fn preview(beginning: &'a [u8], most: usize) -> Self {
        let few = HEADER_FIELDS_PREVIEW_MAX;
        Self::split_first(beginning, most, few, few)
    }

    /// Keeps so many fields, and looks at so many.
    fn split_first(message: &'a [u8], most: usize, kept: usize, looked_at: usize) -> Self {
        let mut fields = Self { body_at: message.len(), ..Self::default() };
        let (mut at, mut seen) = (0, 0);
        while let Some(rest) = message.get(at..).filter(|rest| !rest.is_empty()) {
            if seen == looked_at {
                fields.clipped = true;
                return fields;
            }
            seen += 1;
            let line = first_line(rest);
            if matches!(line, b"\r\n" | b"\n") {
                fields.body_at = at + line.len();
                return fields;
            }
            let Some((name, value_at)) = name(line) else {
                fields.body_at = at;
                return fields;
            };
            let mut end = line.len();
            while let Some(folded @ [b' ' | b'\t', ..]) = rest.get(end..) {
                end += first_line(folded).len();
            }
            let value = rest.get(value_at..end).unwrap_or_default();
            if fields.list.len() < kept && at < most {
                fields.list.push(Field { name, value: trim_line_end(value) });
            } else {
                fields.clipped = true;
            }
            at += end;
        }
        fields
    }

    /// The first field of a name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<Field<'a>> {
        self.list.iter().find(|field| field.name.eq_ignore_ascii_case(name)).copied()
    }
}

impl Field<'_> {
    /// The value on one line, not decoded: what was sent, unfolded, without control characters; at
    /// most `most` of its bytes.
    #[must_use]
    pub fn raw_text(&self, most: usize) -> String {
        let text = String::from_utf8_lossy(self.value.get(..most).unwrap_or(self.value));
        let unfolded: String = text.chars().filter(|kept| !matches!(kept, '\r' | '\n')).collect();
        clean(unfolded.trim())
    }

    /// The value as text, its encoded words decoded (RFC 2047); at most `most` of its bytes.
    #[must_use]
    pub fn words(&self, most: usize) -> String {
        match MessageStream::new(&self.shown(most)).parse_unstructured() {
            HeaderValue::Text(text) => clean(&text),
            _ => String::new(),
        }
    }

    /// The value as addresses, each as `Name <address>`, the first `count_max`; at most `most` of its
    /// bytes.
    #[must_use]
    pub fn addresses(&self, most: usize, count_max: usize) -> Vec<String> {
        match MessageStream::new(&self.shown(most)).parse_address() {
            HeaderValue::Address(addresses) => {
                let texts = addresses.iter().map(address);
                texts.filter(|text| !text.is_empty()).take(count_max).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The value as a type with parameters, like that of Content-Type; at most `most` of its bytes.
    #[must_use]
    pub fn content_type(&self, most: usize) -> Option<ContentType<'static>> {
        let shown = self.shown(most);
        MessageStream::new(&shown).parse_content_type().into_owned().into_content_type()
    }

    /// The beginning of the value, with the line end that mail-parser wants to see.
    fn shown(&self, most: usize) -> Vec<u8> {
        [self.value.get(..most).unwrap_or(self.value), b"\n"].concat()
    }
}

fn address(address: &Addr<'_>) -> String {
    match (address.name(), address.address()) {
        (Some(name), Some(address)) => format!("{} <{}>", clean(name), clean(address)),
        (None, Some(address)) => format!("<{}>", clean(address)),
        (Some(name), None) => clean(name),
        (None, None) => String::new(),
    }
}

/// The same without what makes no mark but changes others: control characters, and those that turn
/// the direction of writing.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            control if control.is_control() => ' ',
            other => other,
        })
        .collect()
}

/// The first line, its end included.
pub(super) fn first_line(bytes: &[u8]) -> &[u8] {
    memchr(b'\n', bytes).and_then(|end| bytes.get(..=end)).unwrap_or(bytes)
}

/// Without one CRLF or LF at the end.
pub(super) fn trim_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The field's name at the beginning of a line, and where its value begins.
fn name(line: &[u8]) -> Option<(&str, usize)> {
    let colon = memchr(b':', line)?;
    let name = line.get(..colon)?.trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, colon + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{HEADER_FIELD_BYTES_MAX, HEADER_SECTION_BYTES_MAX};

    fn split(message: &str) -> Fields<'_> {
        Fields::split(message.as_bytes(), HEADER_SECTION_BYTES_MAX)
    }

    #[test]
    fn fields_fold_and_end_at_the_blank_line() {
        let message = "Subject : one\r\n two\r\nX-Y:z\r\n\r\nbody: no\r\n";
        let fields = split(message);
        let texts: Vec<_> =
            fields.list.iter().map(|field| (field.name, field.raw_text(99))).collect();
        assert_eq!(texts, [("Subject", "one two".to_owned()), ("X-Y", "z".to_owned())]);
        assert_eq!(&message[fields.body_at..], "body: no\r\n");
    }

    #[test]
    fn a_message_without_a_header_section_is_all_body() {
        for message in ["hello\r\nthere\r\n", " a: b\r\n", "\r\nx", "\nx", ": x\r\n", "a b: c\r\n"]
        {
            let fields = split(message);
            assert!(fields.list.is_empty() && fields.body_at <= 2, "{message:?}");
        }
        assert_eq!(split("").body_at, 0);
        assert_eq!(split("A: b").body_at, 4);
    }

    #[test]
    fn values_are_decoded() {
        let field = |value: &'static str| Field { name: "X", value: value.as_bytes() };
        assert_eq!(field(" =?utf-8?q?caf=C3=A9?=\r\n =?utf-8?b?IQ==?=").words(99), "café!");
        assert_eq!(field(" =?iso-2022-jp?b?GyRCRnxLXBsoQg==?=").words(99), "日本");
        assert_eq!(
            field("=?utf-8?q?J=C3=B6rg?= <j@x>, b@y, \"C, D\" <c@z>").addresses(99, 99),
            ["Jörg <j@x>", "<b@y>", "C, D <c@z>"]
        );
        assert_eq!(field("team: a@b, c@d;").addresses(99, 99), ["<a@b>", "<c@d>"]);
        assert_eq!(field(";, a@b, c@d").addresses(99, 1), ["<a@b>"]);
        assert_eq!(field(" a =?utf-8?q?=0D=0AX:_y=E2=80=AEz?=").words(99), "a   X: y\u{fffd}z");
        assert_eq!(field("0123456789").words(4), "0123");
        let content_type = field("Text/PLAIN; Charset=x; name*=utf-8''a%20b").content_type(99);
        let content_type = content_type.expect("a type");
        assert_eq!((content_type.ctype(), content_type.subtype()), ("text", Some("plain")));
        assert_eq!(content_type.attribute("name"), Some("a b"));
    }

    #[test]
    fn many_fields_are_clipped_and_the_body_is_still_found() {
        let message = format!("{}\r\nbody", "A: b\r\n".repeat(HEADER_FIELDS_MAX + 1));
        let fields = split(&message);
        assert!(fields.clipped && fields.list.len() == HEADER_FIELDS_MAX);
        assert_eq!(&message[fields.body_at..], "body");
        assert_eq!(Fields::split(message.as_bytes(), 7).list.len(), 2);
    }

    proptest! {
        #[test]
        fn law_any_bytes_are_split_and_decoded(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            more in "[A-Za-z=?:;<>(),@\"\\\\ \r\n*'%0-9_-]{0,200}",
        ) {
            for value in [&bytes[..], more.as_bytes()] {
                let fields = Fields::split(value, HEADER_SECTION_BYTES_MAX);
                prop_assert!(fields.body_at <= value.len());
                let field = Field { name: "X", value: trim_line_end(value) };
                for text in [
                    field.raw_text(HEADER_FIELD_BYTES_MAX),
                    field.words(HEADER_FIELD_BYTES_MAX),
                    field.addresses(HEADER_FIELD_BYTES_MAX, usize::MAX).concat(),
                ] {
                    prop_assert!(!text.chars().any(char::is_control), "{text:?}");
                }
                let _ = field.content_type(HEADER_FIELD_BYTES_MAX);
            }
        }
    }
}
