//! The MIME tree of a message (RFC 2045, RFC 2046), walked to its leaves. Bounded in depth
//! ([`MIME_DEPTH_MAX`]) and in parts ([`MIME_PARTS_MAX`]); a message in a message is a leaf.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use memchr::memmem;

use crate::limits::{
    HEADER_PREVIEW_BYTES, MIME_BOUNDARY_BYTES_MAX, MIME_DEPTH_MAX, MIME_FIELD_BYTES_MAX,
    MIME_FILE_NAME_CHARACTERS_MAX, MIME_PARTS_MAX, MIME_TYPE_BYTES_MAX,
};

use super::fields::{Field, Fields, clean, first_line, trim_line_end};
use super::quoted_printable;

/// The leaves of the tree, in their order.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    /// The leaves.
    pub leaves: Vec<Part<'a>>,
    /// Whether a bound hid some.
    pub clipped: bool,
    /// Parts seen, containers included.
    seen: usize,
}

/// What a type that cannot be is taken for.
const UNKNOWN: &str = "application/octet-stream";

/// A leaf.
#[derive(Debug)]
pub struct Part<'a> {
    /// `type/subtype` in lower case; `text/plain` where nothing is said.
    pub content_type: String,
    /// What the sender calls it, as a file; empty if nothing.
    pub filename: String,
    /// Whether the sender wants it kept apart from the text.
    pub is_attachment: bool,
    charset: Option<String>,
    boundary: Option<String>,
    encoding: Encoding,
    body: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
}

impl<'a> Parts<'a> {
    /// The leaves of a message, whose header section is cut already.
    #[must_use]
    pub fn of(message: &'a [u8], fields: &Fields<'a>) -> Self {
        let mut parts = Self::default();
        parts.walk(message, fields, 0, "text/plain");
        parts
    }

    fn walk(&mut self, bytes: &'a [u8], fields: &Fields<'a>, depth: usize, default: &str) {
        self.seen += 1;
        let body = bytes.get(fields.body_at..).unwrap_or_default();
        let part = Part::read(fields, body, default);
        let Some(boundary) = part.boundary.as_deref().filter(|_| depth < MIME_DEPTH_MAX) else {
            self.clipped |= part.boundary.is_some();
            self.leaves.push(part);
            return;
        };
        let digest = part.content_type == "multipart/digest";
        let default = if digest { "message/rfc822" } else { "text/plain" };
        let delimiter = format!("--{boundary}");
        let mut pieces = Pieces::of(body, delimiter.as_bytes()).peekable();
        if pieces.peek().is_none() {
            // The boundary is nowhere, so it is no multipart: show what is there.
            self.leaves.push(Part { content_type: "text/plain".to_owned(), ..part });
            return;
        }
        for piece in pieces {
            if self.seen >= MIME_PARTS_MAX {
                self.clipped = true;
                return;
            }
            let fields = Fields::split(piece, HEADER_PREVIEW_BYTES);
            self.walk(piece, &fields, depth + 1, default);
        }
    }
}

impl<'a> Part<'a> {
    fn read(fields: &Fields<'_>, body: &'a [u8], default: &str) -> Self {
        let typed = |name: &str| {
            fields.first(name).and_then(|field| field.content_type(MIME_FIELD_BYTES_MAX))
        };
        let kind = typed("Content-Type");
        let disposition = typed("Content-Disposition");
        let content_type = kind
            .as_ref()
            .and_then(|kind| Some(format!("{}/{}", kind.ctype(), kind.subtype()?)))
            .map(|kind| if kind.len() > MIME_TYPE_BYTES_MAX { UNKNOWN.to_owned() } else { kind })
            .unwrap_or_else(|| default.to_owned())
            .to_ascii_lowercase();
        let attribute = |name: &str| kind.as_ref().and_then(|kind| kind.attribute(name));
        let is_multipart = content_type.starts_with("multipart/");
        let boundary = attribute("boundary").filter(|boundary| {
            is_multipart && (1..=MIME_BOUNDARY_BYTES_MAX).contains(&boundary.len())
        });
        let filename = disposition
            .as_ref()
            .and_then(|disposition| disposition.attribute("filename"))
            .or_else(|| attribute("name"))
            .unwrap_or_default();
        // A multipart that cannot be taken apart is text for want of anything better.
        let is_broken = is_multipart && boundary.is_none();
        Self {
            boundary: boundary.map(str::to_owned),
            charset: attribute("charset").map(str::to_owned),
            filename: file_name(filename),
            is_attachment: disposition
                .as_ref()
                .is_some_and(|disposition| disposition.ctype().eq_ignore_ascii_case("attachment")),
            encoding: Encoding::read(fields),
            body,
            content_type: if is_broken { "text/plain".to_owned() } else { clean(&content_type) },
        }
    }

    /// The bytes, decoded: no more of them than were sent. What is not encoded as it claims to be
    /// is given as it was sent.
    #[must_use]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        self.encoding.decode(self.body)
    }

    /// Appends the text to `text`, by its charset, or by UTF-8 if that is not known; line ends as
    /// sent. `text` ends with a whole character within `most` bytes; whether that cut something
    /// off is returned.
    pub fn push_text(&self, text: &mut String, most: usize) -> bool {
        let room = most.saturating_sub(text.len());
        // No encoding takes more than three bytes for one.
        let sent = self.body.get(..room.saturating_mul(3)).unwrap_or(self.body);
        let decoded = self.encoding.decode(sent);
        let bytes = decoded.get(..room).unwrap_or(&decoded);
        let is_cut = sent.len() < self.body.len() || bytes.len() < decoded.len();
        match self.charset.as_deref().and_then(|charset| charset_decoder(charset.as_bytes())) {
            Some(decode) => push(text, &decode(bytes), most) || is_cut,
            None => push_utf8(text, bytes, most, is_cut) || is_cut,
        }
    }
}

/// Appends as many whole characters as there is room for; whether that is not all.
pub(super) fn push(text: &mut String, more: &str, most: usize) -> bool {
    let end = more.floor_char_boundary(most.saturating_sub(text.len()));
    text.push_str(more.get(..end).unwrap_or_default());
    end < more.len()
}

/// The same for bytes that should be UTF-8. Those that are not become U+FFFD, but not those that
/// are only `cut` off from the rest of their character.
fn push_utf8(text: &mut String, bytes: &[u8], most: usize, is_cut: bool) -> bool {
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        if push(text, chunk.valid(), most) {
            return true;
        }
        let is_whole = chunk.invalid().is_empty() || (is_cut && chunks.peek().is_none());
        if !is_whole && push(text, REPLACEMENT, most) {
            return true;
        }
    }
    false
}

/// U+FFFD.
const REPLACEMENT: &str = "\u{fffd}";

impl Encoding {
    fn read(fields: &Fields<'_>) -> Self {
        let named = fields.first("Content-Transfer-Encoding");
        let named = named.map(|field| field.raw_text(MIME_FIELD_BYTES_MAX));
        match named.unwrap_or_default().to_ascii_lowercase().as_str() {
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }

    fn decode(self, sent: &[u8]) -> Cow<'_, [u8]> {
        let decoded = match self {
            Self::Identity => None,
            Self::Base64 => base64_decode(sent),
            Self::QuotedPrintable => quoted_printable::decode(sent),
        };
        decoded.map_or(Cow::Borrowed(sent), Cow::Owned)
    }
}

/// A name for a file that leads nowhere: no path, nothing hidden, on one line, not too long.
fn file_name(sent: &str) -> String {
    let decoded = if sent.contains("=?") {
        Field { name: "", value: sent.as_bytes() }.words(MIME_FIELD_BYTES_MAX)
    } else {
        clean(sent)
    };
    let last = decoded.rsplit(['/', '\\']).next().unwrap_or_default();
    last.trim().trim_start_matches('.').chars().take(MIME_FILE_NAME_CHARACTERS_MAX).collect()
}

/// The pieces of a multipart's body, between its delimiter lines.
struct Pieces<'a, 'd> {
    body: &'a [u8],
    delimiter: &'d [u8],
    /// Where the piece after the last delimiter begins; `None` after the closing one.
    at: Option<usize>,
}

impl<'a, 'd> Pieces<'a, 'd> {
    fn of(body: &'a [u8], delimiter: &'d [u8]) -> Self {
        let mut pieces = Self { body, delimiter, at: None };
        // What is before the first delimiter is for readers that know no MIME.
        pieces.at = pieces.delimiter_line(0).and_then(|line| line.next);
        pieces
    }

    fn delimiter_line(&self, from: usize) -> Option<DelimiterLine> {
        let mut at = from;
        loop {
            let start = at + memmem::find(self.body.get(at..)?, self.delimiter)?;
            let rest = self.body.get(start + self.delimiter.len()..).unwrap_or_default();
            let line = first_line(rest);
            let closes = line.starts_with(b"--");
            let tail = if closes { line.get(2..).unwrap_or_default() } else { line };
            let begins = start == 0 || self.body.get(start - 1) == Some(&b'\n');
            let end = start + self.delimiter.len() + line.len();
            if begins && tail.trim_ascii().is_empty() {
                return Some(DelimiterLine { start, next: (!closes).then_some(end) });
            }
            // The next one begins a line, so the rest of this line can be passed over.
            at = end;
        }
    }
}

struct DelimiterLine {
    start: usize,
    next: Option<usize>,
}

impl<'a> Iterator for Pieces<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let from = self.at?;
        let (end, next) = match self.delimiter_line(from) {
            Some(line) => (line.start, line.next),
            // Cut short on its way: the rest is the last piece.
            None => (self.body.len(), None),
        };
        self.at = next;
        self.body.get(from..end).map(trim_line_end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::HEADER_SECTION_BYTES_MAX;

    fn with_parts<T>(message: &str, look: impl FnOnce(&Parts<'_>) -> T) -> T {
        let fields = Fields::split(message.as_bytes(), HEADER_SECTION_BYTES_MAX);
        look(&Parts::of(message.as_bytes(), &fields))
    }

    fn texts(message: &str) -> Vec<(String, String)> {
        with_parts(message, |parts| {
            parts.leaves.iter().map(|part| (part.content_type.clone(), text_of(part))).collect()
        })
    }

    fn text_of(part: &Part<'_>) -> String {
        let mut text = String::new();
        assert!(!part.push_text(&mut text, usize::MAX));
        text
    }

    #[test]
    fn law_a_text_is_cut_at_a_character_wherever_the_bound_is() {
        for (head, sent, whole) in [
            ("", "aé\u{20ac}b".to_owned(), "aé\u{20ac}b"),
            ("Content-Transfer-Encoding: base64\r\n", "YcOp4oKsYg==".to_owned(), "aé\u{20ac}b"),
            (
                "Content-Transfer-Encoding: quoted-printable\r\n",
                "a=C3=A9=E2=82=ACb".to_owned(),
                "aé\u{20ac}b",
            ),
            (
                "Content-Type: text/plain; charset=windows-1252\r\n\
                 Content-Transfer-Encoding: quoted-printable\r\n",
                "a=E9=80b".to_owned(),
                "aé\u{20ac}b",
            ),
        ] {
            with_parts(&format!("{head}\r\n{sent}"), |parts| {
                for most in 0..=9 {
                    let mut text = String::from("x");
                    let is_cut = parts.leaves[0].push_text(&mut text, most);
                    assert!(text.len() <= most.max(1), "{text:?} {most}");
                    let shown = text.strip_prefix('x').expect("what was there");
                    assert!(whole.starts_with(shown), "{shown:?} {most}");
                    assert_eq!(is_cut, shown != whole, "{shown:?} {most}");
                }
            });
        }
    }

    #[test]
    fn pieces_lie_between_delimiter_lines() {
        for (body, pieces) in [
            ("--b\r\none\r\n--b\r\ntwo\r\n--b--\r\nend", vec!["one", "two"]),
            ("before\r\n--b  \r\none\r\n\r\n--b-- \r\n", vec!["one\r\n"]),
            ("--b\none\n--b--", vec!["one"]),
            ("--b\r\none", vec!["one"]),
            ("--b\r\n--b\r\n--b--", vec!["", ""]),
            ("x--b\r\n--bb\r\n--b-\r\n --b\r\n--b--x\r\n", vec![]),
            ("x--b\n--b\r\none", vec!["one"]),
            ("--b--\r\n--b\r\none", vec![]),
            ("--b", vec![""]),
            ("", vec![]),
        ] {
            let found: Vec<_> = Pieces::of(body.as_bytes(), b"--b").collect();
            let expected: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            assert_eq!(found, expected, "{body:?}");
        }
    }

    #[test]
    fn a_tree_is_walked_to_its_leaves() {
        let message = "Content-Type: multipart/mixed; boundary=\"o\"\r\n\r\n\
            --o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n\
            --i\r\n\r\nplain\r\n--i\r\nContent-Type: TEXT/html\r\n\r\n<b>\r\n--i--\r\n\
            --o\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx\r\n--o--\r\n";
        let expected = [
            ("text/plain", "plain"),
            ("text/html", "<b>"),
            ("message/rfc822", "Subject: inner\r\n\r\nx"),
        ];
        assert_eq!(
            texts(message),
            expected.map(|(content_type, text)| (content_type.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn a_multipart_that_cannot_be_taken_apart_is_text() {
        for head in ["multipart/mixed; boundary=b", "multipart/mixed", "multipart/mixed; boundary="]
        {
            let message = format!("Content-Type: {head}\r\n\r\nhello");
            assert_eq!(texts(&message), [("text/plain".to_owned(), "hello".to_owned())], "{head}");
        }
    }

    #[test]
    fn texts_are_decoded_or_shown_as_sent() {
        let text = |head: &str, body: &str| texts(&format!("{head}\r\n\r\n{body}"))[0].1.clone();
        assert_eq!(text("Content-Transfer-Encoding: BASE64", "aGVs\r\nbG8=\r\n"), "hello");
        assert_eq!(text("Content-Transfer-Encoding: base64", "!!! not"), "!!! not");
        assert_eq!(text("Content-Transfer-Encoding: quoted-printable", "a=3Db=\r\nc"), "a=bc");
        assert_eq!(text("Content-Transfer-Encoding: quoted-printable", "a=zz"), "a=zz");
        let latin = "Content-Type: text/plain; charset=iso-8859-1\r\n\
            Content-Transfer-Encoding: quoted-printable";
        assert_eq!(text(latin, "caf=E9"), "café");
        let unknown = "Content-Type: text/plain; charset=x-unheard-of";
        assert_eq!(text(unknown, "café"), "café");
    }

    #[test]
    fn files_are_named_without_a_path() {
        for (sent, name) in [
            ("a.txt", "a.txt"),
            ("../../etc/passwd", "passwd"),
            ("c:\\windows\\system.ini", "system.ini"),
            (".bashrc", "bashrc"),
            ("..", ""),
            ("=?utf-8?q?caf=C3=A9.pdf?=", "café.pdf"),
            ("=?utf-8?q?=2E=2E=2Fx?=", "x"),
            ("a\u{202e}gpj.exe", "a\u{fffd}gpj.exe"),
        ] {
            assert_eq!(file_name(sent), name, "{sent}");
        }
        assert_eq!(file_name(&"x".repeat(300)).len(), 100);
    }

    #[test]
    fn stalwart_cyclic_mime_one_boundary_on_every_level_ends() {
        let level = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
        with_parts(&level.repeat(5000), |parts| {
            assert!(parts.leaves.len() <= MIME_PARTS_MAX);
        });
    }

    #[test]
    fn nesting_is_bounded() {
        let message: String = (0..1000)
            .map(|depth| {
                let boundary = format!("b{depth}x");
                format!(
                    "Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n--{boundary}\r\n"
                )
            })
            .collect();
        with_parts(&message, |parts| assert!(parts.clipped && parts.leaves.len() == 1));
        let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(30_000);
        with_parts(&messages, |parts| assert_eq!(parts.leaves.len(), 1));
    }

    #[test]
    fn what_is_decoded_of_a_type_is_bounded() {
        let named = |blanks: usize| {
            let blanks = " ".repeat(blanks);
            let message = format!("Content-Type: text/plain;{blanks}name=a.txt\r\n\r\nx");
            with_parts(&message, |parts| parts.leaves[0].filename.clone())
        };
        assert_eq!(named(MIME_FIELD_BYTES_MAX / 2), "a.txt");
        assert_eq!(named(MIME_FIELD_BYTES_MAX), "");
    }

    #[test]
    fn parts_are_bounded() {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
            "--b\r\n\r\nx\r\n".repeat(5000)
        );
        with_parts(&message, |parts| {
            assert!(parts.clipped);
            assert_eq!(parts.leaves.len(), MIME_PARTS_MAX - 1);
        });
    }

    proptest! {
        #[test]
        fn law_any_lines_have_parts(
            lines in proptest::collection::vec(prop_oneof![
                Just("--b"), Just("--b--"), Just("--c"), Just(""), Just("x"), Just("--"),
                Just("Content-Type: multipart/mixed; boundary=b"),
                Just("Content-Type: multipart/digest; boundary=c"),
                Just("Content-Transfer-Encoding: base64"), Just("=="), Just("="),
                Just("Content-Transfer-Encoding: quoted-printable"),
            ], 0..40),
        ) {
            for end in ["\r\n", "\n"] {
                with_parts(&lines.join(end), |parts| {
                    for part in &parts.leaves {
                        let _ = text_of(part);
                    }
                });
            }
        }
    }
}
