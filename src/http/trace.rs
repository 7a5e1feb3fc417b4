//! The lines that a message gets put before its source: Return-Path, Delivered-To, Received
//! (RFC 5321 section 4.4). They are made when it is read; the store keeps what was sent.
//!
//! All that goes into them was chosen by a peer. Whatever it holds, a line here ends only where this
//! file ends it: each control character, and each byte that is not UTF-8, becomes a question mark.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::date::rfc5322;

/// What the lines tell.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// What the client called itself in HELO or EHLO.
    pub helo: &'a [u8],
    /// Where it came from.
    pub source: IpAddr,
    /// How it spoke (RFC 3848, RFC 6531 section 4.3): `SMTP`, `ESMTPS` or the like.
    pub protocol: &'a str,
    /// The reverse-path without brackets; empty for the null one.
    pub reverse_path: &'a [u8],
    /// The forward-paths that meant this mailbox, without brackets.
    pub forward_paths: &'a [Vec<u8>],
    /// What this server calls itself.
    pub hostname: &'a str,
    /// The message's id.
    pub id: &'a str,
    /// When the message was taken.
    pub received_unix_ms: u64,
}

impl Trace<'_> {
    /// The lines, each ended by CRLF.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = format!("Return-Path: <{}>\r\n", path(self.reverse_path));
        for forward_path in self.forward_paths {
            let _ = write!(lines, "Delivered-To: {}\r\n", path(forward_path));
        }
        let _ = write!(
            lines,
            "Received: from {} ({})\r\n\tby {} with {} id {}",
            domain(self.helo),
            literal(self.source),
            domain(self.hostname.as_bytes()),
            self.protocol,
            self.id,
        );
        // The clause has room for one path only, and is left out rather than half true.
        if let [forward_path] = self.forward_paths {
            let _ = write!(lines, "\r\n\tfor <{}>", path(forward_path));
        }
        let _ = write!(lines, ";\r\n\t{}\r\n", rfc5322(self.received_unix_ms));
        lines
    }
}

/// An address literal (RFC 5321 section 4.1.3).
fn literal(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// A domain or address literal: letters, digits, and what stands between them. No blank and no
/// bracket of a comment, so that it stays one word.
fn domain(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "unknown".to_owned();
    }
    clean(bytes, |character| {
        character.is_alphanumeric() || matches!(character, '.' | '-' | '_' | ':' | '[' | ']')
    })
}

/// A path: printable, and without the brackets that stand around it but in a quoted local-part,
/// where they are lawful and mean nothing.
fn path(bytes: &[u8]) -> String {
    let is_quoted = bytes.starts_with(b"\"");
    clean(bytes, |character| {
        !character.is_control() && (is_quoted || !matches!(character, '<' | '>'))
    })
}

fn clean(bytes: &[u8], keeps: impl Fn(char) -> bool) -> String {
    // U+2028 and U+2029 end lines for some readers.
    let keeps = |character| keeps(character) && !matches!(character, '\u{2028}' | '\u{2029}');
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|character| match character {
            char::REPLACEMENT_CHARACTER => '?',
            kept if keeps(kept) => kept,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn lines(helo: &[u8], reverse_path: &[u8], forward_paths: &[Vec<u8>]) -> String {
        Trace {
            helo,
            source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            protocol: "ESMTP",
            reverse_path,
            forward_paths,
            hostname: "mail.example",
            id: "1-2-3",
            received_unix_ms: 784_111_777_000,
        }
        .lines()
    }

    #[test]
    fn the_lines_of_a_message() {
        assert_eq!(
            lines(b"there.example", b"a@b.example", &[b"c@d.example".to_vec()]),
            "Return-Path: <a@b.example>\r\n\
             Delivered-To: c@d.example\r\n\
             Received: from there.example ([192.0.2.1])\r\n\
             \tby mail.example with ESMTP id 1-2-3\r\n\
             \tfor <c@d.example>;\r\n\
             \tSun, 06 Nov 1994 08:49:37 +0000\r\n"
        );
    }

    #[test]
    fn two_paths_to_one_mailbox_are_both_told_but_not_in_for() {
        let text = lines(b"", b"", &[b"a@b".to_vec(), b"a+c@b".to_vec()]);
        assert!(
            text.starts_with("Return-Path: <>\r\nDelivered-To: a@b\r\nDelivered-To: a+c@b\r\n")
        );
        assert!(text.contains("from unknown (") && !text.contains("for <"), "{text}");
    }

    #[test]
    fn sources_are_literals() {
        assert_eq!(literal(IpAddr::V6(Ipv6Addr::LOCALHOST)), "[IPv6:::1]");
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        assert_eq!(literal(IpAddr::V6(mapped)), "[192.0.2.1]");
    }

    #[test]
    fn cr_in_the_envelope_starts_no_line() {
        let text = lines(b"a\r\nX: y", b"a\rb@c\n\nbody", &[b"\"<x>\"@d\0\r\n.\r\n".to_vec()]);
        assert!(text.contains("from a??X:?y ("), "{text}");
        assert!(text.contains("<a?b@c??body>"), "{text}");
        // Lawful in quotes, and only there.
        assert!(text.contains("Delivered-To: \"<x>\"@d???.??\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn law_no_envelope_makes_or_ends_a_line(
            helo in proptest::collection::vec(any::<u8>(), 0..80),
            reverse_path in proptest::collection::vec(any::<u8>(), 0..80),
            forward_paths in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..80), 0..4),
        ) {
            let text = lines(&helo, &reverse_path, &forward_paths);
            let honest = lines(b"h", b"r", &vec![b"f".to_vec(); forward_paths.len()]);
            let shape = |text: &str| text
                .split("\r\n")
                .map(|line| line.split([' ', '\t']).next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>();
            prop_assert_eq!(shape(&text), shape(&honest));
            prop_assert!(!text.replace("\r\n", "").replace('\t', "").chars().any(char::is_control));
        }
    }
}
