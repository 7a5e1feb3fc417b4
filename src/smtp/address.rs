//! Paths: the reverse-path of MAIL and the forward-paths of RCPT (RFC 5321 section 4.1.2). Says
//! what was sent and whether it is an address; which mailbox it means is the store's business.
//!
//! ```text
//! <@relay,@other:"a b"@example.org> SIZE=100
//!  '-- route ---''---- text ------'  '-- rest
//!                 local-part  domain
//! ```
//!
//! Read as people send them: with or without the brackets, blanks before them, domains with
//! underscores or a dot at the end, local-parts with dots anywhere and longer than 64 bytes. Not
//! read where two servers might differ on whose address it is: no blanks or second `@` outside
//! quotes, no mixture of quoted and bare words, and no control byte anywhere.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::{LITERAL_BYTES_MAX, PATH_BYTES_MAX};

/// A reverse-path or a forward-path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path<'a> {
    /// `<>`: from nobody, as notifications are.
    Null,
    /// An address.
    Address(Address<'a>),
}

/// A mailbox as RFC 5321 has it, borrowed from the line that named it: `local-part@domain`, or
/// `postmaster` alone. At most [`PATH_BYTES_MAX`] less 2 bytes; no control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    text: &'a str,
    local_part_bytes: usize,
}

/// Why some bytes are no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// Nothing there, or not an address.
    Malformed,
    /// An address of more than [`PATH_BYTES_MAX`] bytes, its brackets counted.
    TooLong,
}

impl<'a> Path<'a> {
    /// The path that `input` begins with, and what follows it: nothing, or a blank and parameters.
    ///
    /// UTF-8 is let through (RFC 6531); whoever calls knows whether SMTPUTF8 was asked for, and
    /// asks [`Address::is_ascii`]. A source route is skipped and does not count as length.
    ///
    /// # Errors
    /// [`PathFault`]: a peer's fault, to be answered.
    pub fn parse(input: &'a [u8]) -> Result<(Self, &'a [u8]), PathFault> {
        let input = after_blanks(input);
        let (path, rest) = match input.strip_prefix(b"<") {
            Some(inner) => match inner.strip_prefix(b">") {
                Some(rest) => (Self::Null, rest),
                None => {
                    let (address, rest) = Address::parse(after_route(inner)?)?;
                    let rest = rest.strip_prefix(b">").ok_or(PathFault::Malformed)?;
                    (Self::Address(address), rest)
                }
            },
            None => {
                let (address, rest) = Address::parse(input)?;
                (Self::Address(address), rest)
            }
        };
        match rest.first() {
            None | Some(b' ' | b'\t') => Ok((path, rest)),
            Some(_) => Err(PathFault::Malformed),
        }
    }

    /// The text between the brackets, without a route: empty for the null path.
    #[must_use]
    pub fn text(&self) -> &'a str {
        match self {
            Self::Null => "",
            Self::Address(address) => address.text,
        }
    }

    /// Whether all of it is ASCII, and so needs no SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text().is_ascii()
    }
}

impl<'a> Address<'a> {
    /// The address as it was sent, quotes and case included, without brackets and route.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// What stands before the `@`, as sent.
    #[must_use]
    pub fn local_part(&self) -> &'a str {
        &self.text[..self.local_part_bytes]
    }

    /// What stands after the `@`: a domain, perhaps with a dot at its end, or an address literal
    /// in its square brackets. Only `postmaster` may have none.
    #[must_use]
    pub fn domain(&self) -> Option<&'a str> {
        self.text.get(self.local_part_bytes + 1..)
    }

    /// Whether all of it is ASCII, and so needs no SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// The address that `input` begins with, and what follows it.
    fn parse(input: &'a [u8]) -> Result<(Self, &'a [u8]), PathFault> {
        let local_part_bytes = local_part_length(input)?;
        let length = match &input[local_part_bytes..] {
            [b'@', after_at @ ..] => local_part_bytes + 1 + domain_length(after_at)?,
            _ if input[..local_part_bytes].eq_ignore_ascii_case(b"postmaster") => local_part_bytes,
            _ => return Err(PathFault::Malformed),
        };
        let (text, rest) = input.split_at(length);
        if length > PATH_BYTES_MAX - 2 {
            return Err(PathFault::TooLong);
        }
        let text = str::from_utf8(text).map_err(|_| PathFault::Malformed)?;
        if !text.is_ascii() && text.chars().any(char::is_control) {
            return Err(PathFault::Malformed);
        }
        Ok((Self { text, local_part_bytes }, rest))
    }
}

/// What is left after blanks at the beginning.
fn after_blanks(input: &[u8]) -> &[u8] {
    let blanks = input.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &input[blanks..]
}

/// What is left after a source route, `@one,@two:`, if there is one.
fn after_route(input: &[u8]) -> Result<&[u8], PathFault> {
    let mut rest = input;
    while let Some(hop) = rest.strip_prefix(b"@") {
        let (separator, after) =
            hop[domain_length(hop)?..].split_first().ok_or(PathFault::Malformed)?;
        match (separator, after) {
            (b':', _) => return Ok(after),
            (b',', [b'@', ..]) => rest = after,
            _ => return Err(PathFault::Malformed),
        }
    }
    Ok(rest)
}

/// How many bytes the local-part has that `input` begins with; never 0.
fn local_part_length(input: &[u8]) -> Result<usize, PathFault> {
    if input.first() == Some(&b'"') {
        return quoted_length(input);
    }
    match length_of(input, IN_LOCAL_PART) {
        0 => Err(PathFault::Malformed),
        length => Ok(length),
    }
}

/// How many bytes the quoted string has that `input` begins with, its quotes counted. An empty one
/// is refused, because it would name nothing.
fn quoted_length(input: &[u8]) -> Result<usize, PathFault> {
    let mut index = 1;
    while let Some(&byte) = input.get(index) {
        match byte {
            b'"' if index == 1 => return Err(PathFault::Malformed),
            b'"' => return Ok(index + 1),
            b'\\' => match input.get(index + 1) {
                Some(b' '..=b'~') => index += 2,
                _ => return Err(PathFault::Malformed),
            },
            ..b' ' | 0x7f => return Err(PathFault::Malformed),
            _ => index += 1,
        }
    }
    Err(PathFault::Malformed)
}

/// How many bytes the domain or address literal has that `input` begins with; never 0.
fn domain_length(input: &[u8]) -> Result<usize, PathFault> {
    if input.first() == Some(&b'[') {
        return literal_length(input);
    }
    let mut length = 0;
    loop {
        let label = length_of(&input[length..], IN_LABEL);
        length += label;
        match input.get(length) {
            // Only behind the last dot may there be nothing.
            Some(b'.') if label == 0 => return Err(PathFault::Malformed),
            Some(b'.') => length += 1,
            _ if length == 0 => return Err(PathFault::Malformed),
            _ => return Ok(length),
        }
    }
}

/// How many bytes the address literal has that `input` begins with: `[192.0.2.1]` or
/// `[IPv6:2001:db8::1]`. RFC 5321 leaves room for other kinds; none was ever registered.
fn literal_length(input: &[u8]) -> Result<usize, PathFault> {
    let within = &input[..input.len().min(LITERAL_BYTES_MAX)];
    let end = memchr::memchr(b']', within).ok_or(PathFault::Malformed)?;
    let inner = str::from_utf8(&within[1..end]).map_err(|_| PathFault::Malformed)?;
    let is_address = match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().is_ok()
        }
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    };
    if is_address { Ok(end + 1) } else { Err(PathFault::Malformed) }
}

/// How many bytes of this class `input` begins with.
fn length_of(input: &[u8], class: u8) -> usize {
    input.iter().take_while(|&&byte| CLASSES[usize::from(byte)] & class != 0).count()
}

const IN_LOCAL_PART: u8 = 1;
const IN_LABEL: u8 = 2;

/// What each byte may be part of, outside quotes: RFC 5321's atext and the dot; letters, digits,
/// hyphen and underscore; in both, the bytes of UTF-8 (RFC 6531).
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | 0x80.. => {
                IN_LOCAL_PART | IN_LABEL
            }
            b'.'
            | b'!'
            | b'#'..=b'\''
            | b'*'
            | b'+'
            | b'/'
            | b'='
            | b'?'
            | b'^'
            | b'`'
            | b'{'..=b'~' => IN_LOCAL_PART,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The path's text, its domain and what follows it.
    fn parts(input: &str) -> Option<(&str, Option<&str>, &str)> {
        let (path, rest) = Path::parse(input.as_bytes()).ok()?;
        let domain = match path {
            Path::Null => None,
            Path::Address(address) => address.domain(),
        };
        Some((path.text(), domain, str::from_utf8(rest).unwrap()))
    }

    #[test]
    fn an_address_is_read_with_or_without_brackets_and_blanks() {
        let expected = Some(("bob@example.org", Some("example.org"), ""));
        for input in
            ["<bob@example.org>", "bob@example.org", " <bob@example.org>", "\t bob@example.org"]
        {
            assert_eq!(parts(input), expected, "{input}");
        }
        assert_eq!(parts("<a@b> SIZE=1"), Some(("a@b", Some("b"), " SIZE=1")));
        assert_eq!(parts("a@b SIZE=1"), Some(("a@b", Some("b"), " SIZE=1")));
    }

    #[test]
    fn null_postmaster_routes_and_literals_are_read() {
        for (input, text, domain) in [
            ("<>", "", None),
            ("<PostMaster>", "PostMaster", None),
            ("postmaster", "postmaster", None),
            ("<postmaster@x>", "postmaster@x", Some("x")),
            ("<@a,@b.c:bob@x>", "bob@x", Some("x")),
            ("<@[192.0.2.1]:bob@x>", "bob@x", Some("x")),
            ("<bob@[192.0.2.1]>", "bob@[192.0.2.1]", Some("[192.0.2.1]")),
            ("<bob@[ipv6:2001:db8::1]>", "bob@[ipv6:2001:db8::1]", Some("[ipv6:2001:db8::1]")),
            ("<a_b+c=d@x_y.z->", "a_b+c=d@x_y.z-", Some("x_y.z-")),
            ("<.a..b.@x.>", ".a..b.@x.", Some("x.")),
            (r#"<"a b@>\"\\"@x>"#, r#""a b@>\"\\"@x"#, Some("x")),
            ("<пошта@приклад.укр>", "пошта@приклад.укр", Some("приклад.укр")),
        ] {
            assert_eq!(parts(input), Some((text, domain, "")), "{input}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for input in [
            "",
            " ",
            "<",
            ">",
            "< >",
            "bob",
            "<bob>",
            "<bob@>",
            "bob@",
            "<@x>",
            "@x",
            "<a@b",
            "a@b>",
            "<a@b>>",
            "<<a@b>>",
            "<a@b>c",
            "<a @b>",
            "<a@b c>",
            "< a@b>",
            "<a@b@c>",
            "<a@.b>",
            "<a@b..c>",
            "<a,b@c>",
            "<a:b@c>",
            "<a(b)@c>",
            "<a\\b@c>",
            "<\"\"@x>",
            "<\"a@x>",
            "<\"a\"b@x>",
            "<b\"a\"@x>",
            "<\"a\".b@x>",
            "<\"a\\\"@x>",
            "<a@[1.2.3]>",
            "<a@[1.2.3.4>",
            "<a@[::1]>",
            "<a@[IPv6:1.2.3.4]>",
            "<a@[]>",
            "<a@[1.2.3.4]x>",
            "<@a:>",
            "<@a,b:c@d>",
            "<@a bob@x>",
            "<@:bob@x>",
            "@a:bob@x",
            "<a@b\x7f>",
            "<a\x01@b>",
            "<\"a\x01\"@b>",
            "<\"a\\\x01\"@b>",
            "<\"a\tb\"@x>",
            "<\"a\x7f\"@x>",
            "<a\u{85}b@x>",
            "<a@b\u{9f}>",
        ] {
            assert_eq!(parts(input), None, "{input:?}");
        }
        assert_eq!(Path::parse(b"<\xff@x>"), Err(PathFault::Malformed));
        assert_eq!(Path::parse(b"<a\0@x>"), Err(PathFault::Malformed));
    }

    #[test]
    fn the_longest_path_is_taken_and_one_byte_more_is_not() {
        let longest = format!("<{}@example.org>", "a".repeat(PATH_BYTES_MAX - 14));
        assert_eq!(longest.len(), PATH_BYTES_MAX);
        assert!(parts(&longest).is_some());
        let longer = longest.replace('@', "a@");
        assert_eq!(Path::parse(longer.as_bytes()), Err(PathFault::TooLong));
        assert_eq!(
            Path::parse(longer.trim_matches(['<', '>']).as_bytes()),
            Err(PathFault::TooLong)
        );
    }

    proptest! {
        #[test]
        fn what_is_taken_is_a_part_of_the_input_without_controls_and_reads_the_same_again(
            input in prop_oneof![
                "[<]?[a-b\"\\\\@.,:\\[\\]> é\u{1}]{0,24}[>]?",
                "<(@[a-c.]{1,5}:)?[a-c\".\\\\ ]{1,6}@[a-c.\\[\\]1]{1,8}>",
            ],
        ) {
            if let Ok((Path::Address(address), rest)) = Path::parse(input.as_bytes()) {
                prop_assert!(input.contains(address.text()));
                prop_assert!(input.as_bytes().ends_with(rest));
                prop_assert!(!address.text().chars().any(char::is_control));
                let again = format!("<{}>", address.text());
                let read = Path::parse(again.as_bytes());
                prop_assert_eq!(read, Ok((Path::Address(address), &b""[..])));
            }
        }

        #[test]
        fn no_bytes_panic(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Path::parse(&input);
        }
    }
}
