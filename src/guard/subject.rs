//! The text of a subject as it is judged: what it is about, without how it was spelt. Not here:
//! finding it in a message (`header_watch`), or judging it (`repeats`, `words`).
//!
//! Bytes come in as they were sent, one by one. Runs of blanks and line ends become one blank. What
//! stands for an answer or a forward (`Re:`, `Fwd:`, `AW[2]:` and their kin) is taken away as soon
//! as its colon comes, however many there are, so that they cannot fill the room there is. At the
//! end of the field encoded-words (RFC 2047) are decoded into bytes, of whatever charset. Only the
//! first [`GUARD_SUBJECT_BYTES`] count. ASCII letters are folded for comparison; others are not,
//! and the same words in another charset are another subject.

use super::encoded_word;
use crate::limits::GUARD_SUBJECT_BYTES;

/// Answer and forward, as mail programs of various languages put it.
const PREFIXES: [&[u8]; 14] = [
    b"re", b"fw", b"fwd", b"aw", b"wg", b"sv", b"vs", b"vb", b"antw", b"tr", b"rv", b"enc", b"odp",
    b"ref",
];
/// The longest prefix, a count in brackets included: `antw[99]`.
const PREFIX_BYTES_MAX: usize = 8;

/// The text of a subject, in room of fixed size.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubjectText {
    text: [u8; GUARD_SUBJECT_BYTES],
    length: u8,
    /// Blanks came, and nothing after them yet.
    blank: bool,
}

/// A subject for comparison: equal for what is about the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folded {
    text: [u8; GUARD_SUBJECT_BYTES],
    length: usize,
}

impl SubjectText {
    pub(super) const fn new() -> Self {
        Self { text: [0; GUARD_SUBJECT_BYTES], length: 0, blank: false }
    }

    /// As it can be shown and searched.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length.into()]
    }

    /// The next byte of the field.
    pub(super) fn push(&mut self, byte: u8) {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            self.blank = self.length > 0;
            return;
        }
        if byte == b':' && is_prefix(self.as_bytes()) {
            *self = Self { length: 0, blank: false, ..*self };
            return;
        }
        if self.blank {
            self.blank = false;
            self.keep(b' ');
        }
        self.keep(byte);
    }

    /// The field is over.
    pub(super) fn finish(&mut self) {
        let sent = usize::from(self.length);
        let decoded = encoded_word::decode_in_place(&mut self.text[..sent]);
        if decoded == sent {
            return;
        }
        // Decoded text has its own blanks and prefixes. It never gets ahead of what is read.
        self.length = 0;
        self.blank = false;
        for index in 0..decoded {
            self.push(self.text[index]);
        }
    }

    pub(super) fn folded(&self) -> Folded {
        let mut text = self.text;
        text.make_ascii_lowercase();
        Folded { text, length: self.length.into() }
    }

    fn keep(&mut self, byte: u8) {
        if let Some(room) = self.text.get_mut(usize::from(self.length)) {
            *room = byte;
            self.length += 1;
        }
    }
}

impl Folded {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// `re`, `Re[2]`, `RE(12)`: what stands before a colon, blanks already taken away.
fn is_prefix(text: &[u8]) -> bool {
    if text.len() > PREFIX_BYTES_MAX {
        return false;
    }
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, count) = text.split_at(letters);
    let count = match count {
        [] => &[],
        [b'[', digits @ .., b']'] | [b'(', digits @ .., b')'] => digits,
        _ => return false,
    };
    count.iter().all(u8::is_ascii_digit)
        && PREFIXES.iter().any(|prefix| word.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(field: &[u8]) -> SubjectText {
        let mut subject = SubjectText::new();
        field.iter().for_each(|byte| subject.push(*byte));
        subject.finish();
        subject
    }

    fn folded(field: &str) -> String {
        let subject = subject(field.as_bytes());
        String::from_utf8_lossy(subject.folded().as_bytes()).into_owned()
    }

    #[test]
    fn subjects_about_the_same_are_the_same() {
        for same in [
            "Cheap watches",
            "  cheap\t WATCHES  ",
            "Re: Cheap watches",
            "RE: re:Re :  FWD: aw: Cheap\r\n watches",
            "Re :Cheap watches",
            "Re[2]: Fw(3): antw[99]: Cheap watches",
            "=?utf-8?q?Cheap?= =?utf-8?b?IHdhdGNoZXM=?=",
            "=?utf-8?q?Re:_Cheap__watches?=",
            "Fwd: =?utf-8?q?Re=3A?= Cheap watches",
        ] {
            assert_eq!(folded(same), "cheap watches", "{same}");
        }
        for other in ["Cheap watches!", "Reply: Cheap watches", "Cheap: watches", "Re[x]: a", ": a"]
        {
            assert_ne!(folded(other), "cheap watches", "{other}");
        }
        assert_eq!(folded("Reply: Cheap"), "reply: cheap");
        assert_eq!(folded("a Re: b"), "a re: b");
        assert_eq!(folded("Re: Re:"), "");
    }

    #[test]
    fn what_is_shown_keeps_its_letters() {
        assert_eq!(subject(b"Re:  Cheap  Watches ").as_bytes(), b"Cheap Watches");
    }

    #[test]
    fn prefixes_cannot_fill_the_room() {
        let mut field = b"Re: ".repeat(10_000);
        field.extend(b"Cheap");
        assert_eq!(subject(&field).as_bytes(), b"Cheap");
        let blanks = [vec![b' '; 10_000], b"Cheap".to_vec()].concat();
        assert_eq!(subject(&blanks).as_bytes(), b"Cheap");
    }

    #[test]
    fn only_the_beginning_counts() {
        let long = [b'x'; GUARD_SUBJECT_BYTES + 9];
        assert_eq!(subject(&long).as_bytes(), &long[..GUARD_SUBJECT_BYTES]);
    }

    /// The same with room for everything: prefixes are taken away last.
    fn naive(field: &[u8]) -> Vec<u8> {
        let blank = |byte: &u8| b" \t\r\n".contains(byte);
        let words = field.split(blank).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let mut text = words.join(&b' ');
        while let Some(colon) = text.iter().position(|byte| *byte == b':') {
            if !is_prefix(text[..colon].trim_ascii_end()) {
                break;
            }
            text = text[colon + 1..].trim_ascii_start().to_vec();
        }
        text.truncate(GUARD_SUBJECT_BYTES);
        text
    }

    proptest! {
        #[test]
        fn a_text_without_encoded_words_is_read_as_if_at_once(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "Re", "fwd", ":", " ", "\r\n ", "[2]", "x", "cheap", "::",
                ]),
                0..60,
            ),
        ) {
            let field = pieces.concat();
            let read = subject(field.as_bytes());
            prop_assert_eq!(read.as_bytes(), naive(field.as_bytes()));
        }

        #[test]
        fn no_bytes_are_too_strange(field in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(subject(&field).as_bytes().len() <= GUARD_SUBJECT_BYTES);
        }
    }
}
