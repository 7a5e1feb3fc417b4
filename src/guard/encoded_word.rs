//! Encoded-words (RFC 2047) turned into the bytes that they stand for, where they lie. Not here:
//! charsets; for showing a subject there is the message's own reader.
//!
//! What is decoded is never longer than what it came from, so it needs no other room. A word that
//! is cut off at the end is decoded as far as it goes; one that is malformed stays as it was sent.
//! Each byte is looked at a bounded number of times.

use std::ops::Range;

/// Decodes all encoded-words; how many bytes are left.
pub(super) fn decode_in_place(text: &mut [u8]) -> usize {
    let (mut read, mut write) = (0, 0);
    // Where to go on writing if a word follows: blanks between two words stand for nothing.
    let mut after_word = None;
    while let Some(&byte) = text.get(read) {
        match word(&text[read..]) {
            Some(Word { encoding, content, length }) => {
                write = after_word.take().unwrap_or(write);
                let encoded = read + content.0..read + content.1;
                write = match encoding {
                    Encoding::Base64 => base64(text, encoded, write),
                    Encoding::Quoted => quoted(text, encoded, write),
                };
                read += length;
                after_word = Some(write);
            }
            None => {
                if byte != b' ' {
                    after_word = None;
                }
                text[write] = byte;
                write += 1;
                read += 1;
            }
        }
    }
    write
}

#[derive(Clone, Copy)]
enum Encoding {
    Base64,
    Quoted,
}

struct Word {
    encoding: Encoding,
    /// From where to where the encoded text is, seen from the word's beginning.
    content: (usize, usize),
    /// All of the word.
    length: usize,
}

/// The encoded-word that a text begins with: `=?charset?encoding?content?=`.
fn word(text: &[u8]) -> Option<Word> {
    let rest = text.strip_prefix(b"=?")?;
    let charset = rest.iter().position(|byte| *byte == b'?' || *byte == b' ')?;
    let [b'?', encoding, b'?', content @ ..] = &rest[charset..] else { return None };
    let encoding = match encoding {
        b'b' | b'B' => Encoding::Base64,
        b'q' | b'Q' => Encoding::Quoted,
        _ => return None,
    };
    let start = text.len() - content.len();
    let question = content.iter().position(|byte| *byte == b'?' || *byte == b' ');
    let (end, length) = match question.map(|at| (at, &content[at..])) {
        Some((at, [b'?', b'=', ..])) => (start + at, start + at + 2),
        // Cut off where the room ended.
        Some((at, [b'?'])) => (start + at, text.len()),
        None => (text.len(), text.len()),
        Some(_) => return None,
    };
    Some(Word { encoding, content: (start, end), length })
}

/// Both decoders read `encoded` and write from `write` on, which is not behind it, and say where
/// they stopped. Like mail readers they pass over what has no place there.
fn base64(text: &mut [u8], encoded: Range<usize>, mut write: usize) -> usize {
    let (mut bits, mut count) = (0_u32, 0);
    for index in encoded {
        let value = match text[index] {
            byte @ b'A'..=b'Z' => byte - b'A',
            byte @ b'a'..=b'z' => byte - b'a' + 26,
            byte @ b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            text[write] = (bits >> count) as u8;
            write += 1;
        }
    }
    write
}

fn quoted(text: &mut [u8], encoded: Range<usize>, mut write: usize) -> usize {
    let end = encoded.end;
    let mut read = encoded.start;
    while read < end {
        let escaped = match &text[read..end] {
            [b'=', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let (byte, length) = match (escaped, text[read]) {
            (Some(byte), _) => (byte, 3),
            (None, b'_') => (b' ', 1),
            (None, byte) => (byte, 1),
        };
        text[write] = byte;
        write += 1;
        read += length;
    }
    write
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> String {
        let mut text = text.as_bytes().to_vec();
        let length = decode_in_place(&mut text);
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[test]
    fn words_are_decoded_and_what_is_malformed_stays() {
        for (sent, means) in [
            ("", ""),
            ("plain", "plain"),
            ("=?utf-8?Q?a=C3=A9_b?=", "aé b"),
            ("=?UTF-8?B?Y2hlYXA=?=", "cheap"),
            ("=?utf-8*en?q?a?=", "a"),
            ("x =?utf-8?q?a?= y", "x a y"),
            ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
            ("=?utf-8?q?a?=x", "ax"),
            ("=?utf-8?q?=4?=", "=4"),
            ("=?utf-8?q?=zz?=", "=zz"),
            ("=?utf-8?b?Y2hl YXA=?=", "=?utf-8?b?Y2hl YXA=?="),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?utf-8?q?a?b?=", "=?utf-8?q?a?b?="),
            ("=?a b?q?c?=", "=?a b?q?c?="),
            ("=?utf-8?b?Y2hlYX", "chea"),
            ("=?utf-8?q?chea?", "chea"),
            ("=?utf-8?q?cheap =", "=?utf-8?q?cheap ="),
            ("=?=?utf-8?q?a?=", "=?a"),
            ("=?utf-8", "=?utf-8"),
        ] {
            assert_eq!(decoded(sent), means, "{sent}");
        }
    }

    /// Base64 (RFC 4648 section 4), with its padding.
    fn base64_of(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |chunk: &[u8]| {
            let mut three = [0; 3];
            three[..chunk.len()].copy_from_slice(chunk);
            let [first, second, third] = three.map(u32::from);
            let bits = first << 16 | second << 8 | third;
            let digit = |at| match at {
                at if at > chunk.len() => '=',
                at => char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]),
            };
            (0..4).map(digit).collect::<String>()
        };
        bytes.chunks(3).map(group).collect()
    }

    proptest! {
        #[test]
        fn whatever_was_base64_is_found_again(
            bytes in prop::collection::vec(any::<u8>(), 0..60), tail in "[a-z]{1,5}",
        ) {
            let mut line = format!("=?utf-8?B?{}?={tail}", base64_of(&bytes)).into_bytes();
            let length = decode_in_place(&mut line);
            prop_assert_eq!(&line[..length], [&bytes, tail.as_bytes()].concat());
        }

        #[test]
        fn what_was_encoded_is_found_again(text in "[a-z ]{1,60}", before in "[a-z]{0,5}") {
            let quoted: String = text.bytes().map(|byte| format!("={byte:02X}")).collect();
            let line = format!("{before} =?us-ascii?q?{quoted}?=");
            prop_assert_eq!(decoded(&line), format!("{before} {text}"));
        }

        #[test]
        fn no_text_is_too_strange(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "=?", "?=", "?", "q", "b", "=", "a", "==", " ", "=4", "_",
                ]),
                0..80,
            ),
        ) {
            let text = pieces.concat();
            prop_assert!(decoded(&text).len() <= text.len());
        }
    }
}
