//! Finds the Subject field and the end of the header section (RFC 5322 section 2.1) while a message
//! comes in, cut anywhere. Not here: what the subject means (`subject`), or any other field.
//!
//! ```text
//!           other: not it         ":"
//!  Name(n) ---------------> Skip   |                 a blank: the field goes on
//!   ^  |                     | LF  v      LF        /
//!   |  '-- "subject" ---> Colon  Value ----> Fold -<
//!   '------------------------'                      \ other: Subject, and a new line
//!
//!  an empty line: Over
//! ```
//!
//! Lines end with LF, with or without a CR: mail readers see it so, and what a reader takes for a
//! subject has to be judged. The first Subject counts. A header section that goes on past
//! [`HEADER_SECTION_BYTES_MAX`] is over there, as it is for whoever shows it.

use memchr::memchr;

use super::subject::SubjectText;
use crate::limits::HEADER_SECTION_BYTES_MAX;

const NAME: &[u8] = b"subject";

/// How far into a message's header section one is.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderWatch {
    position: Position,
    subject: SubjectText,
    found: bool,
    bytes_left: u32,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The first Subject, whole.
    Subject,
    /// The end of the header section: what is left are the body's bytes.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// In a line that began with so many bytes of the name, and nothing else.
    Name(u8),
    /// After a CR at a line's start.
    Cr,
    /// After the name, and perhaps blanks.
    Colon,
    /// In a line that does not matter.
    Skip,
    /// In the subject.
    Value,
    /// At the start of the line after one of the subject's.
    Fold,
}

impl HeaderWatch {
    pub(super) const fn new() -> Self {
        Self {
            position: Position::Name(0),
            subject: SubjectText::new(),
            found: false,
            bytes_left: HEADER_SECTION_BYTES_MAX as u32,
        }
    }

    /// The subject, after [`Event::Subject`].
    pub(super) fn subject(&self) -> &SubjectText {
        &self.subject
    }

    /// Reads on. `input` is shortened by what was looked at; `None` when nothing is left.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Event> {
        while let Some(&byte) = input.first() {
            if self.bytes_left == 0 {
                return Some(self.end().unwrap_or(Event::Over));
            }
            if self.position == Position::Fold && !is_blank(byte) {
                // The byte begins a line of its own, and is looked at again.
                self.position = Position::Name(0);
                return Some(self.finished());
            }
            let length = if self.position == Position::Skip {
                // The one state that long stretches are spent in.
                let most = input.len().min(self.bytes_left as usize);
                memchr(b'\n', &input[..most]).map_or(most, |found| found + 1)
            } else {
                1
            };
            let last = input[length - 1];
            *input = &input[length..];
            self.bytes_left -= length as u32;
            match self.step(last) {
                Some(event) => return Some(event),
                None => continue,
            }
        }
        None
    }

    /// The message is over: a subject that nothing followed.
    pub(super) fn end(&mut self) -> Option<Event> {
        let within = matches!(self.position, Position::Value | Position::Fold);
        self.position = Position::Skip;
        within.then(|| self.finished())
    }

    fn finished(&mut self) -> Event {
        self.found = true;
        self.subject.finish();
        Event::Subject
    }

    fn step(&mut self, byte: u8) -> Option<Event> {
        self.position = match (self.position, byte) {
            (Position::Name(0) | Position::Cr, b'\n') => return Some(Event::Over),
            (Position::Name(0), b'\r') => Position::Cr,
            (Position::Value, b'\n') => Position::Fold,
            (Position::Value | Position::Fold, byte) => {
                self.subject.push(byte);
                Position::Value
            }
            (_, b'\n') => Position::Name(0),
            (Position::Name(matched), byte) => self.name(usize::from(matched), byte),
            (Position::Colon, b':') => Position::Value,
            (Position::Colon, byte) if is_blank(byte) => Position::Colon,
            (Position::Cr | Position::Skip | Position::Colon, _) => Position::Skip,
        };
        None
    }

    fn name(&self, matched: usize, byte: u8) -> Position {
        if self.found || byte.to_ascii_lowercase() != NAME[matched] {
            return Position::Skip;
        }
        match matched + 1 {
            matched if matched == NAME.len() => Position::Colon,
            matched => Position::Name(matched as u8),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The subject, and where the body begins if it does.
    type Found = (Option<Vec<u8>>, Option<usize>);

    fn watch(pieces: &[&[u8]]) -> Found {
        let mut watch = HeaderWatch::new();
        let mut subject = None;
        let mut before = 0;
        for piece in pieces {
            let mut rest = *piece;
            while let Some(event) = watch.next(&mut rest) {
                match event {
                    Event::Subject => {
                        assert_eq!(subject, None, "there is one subject");
                        subject = Some(watch.subject().as_bytes().to_vec());
                    }
                    Event::Over => return (subject, Some(before + piece.len() - rest.len())),
                }
            }
            assert!(rest.is_empty());
            before += piece.len();
        }
        if watch.end().is_some() {
            assert_eq!(subject, None, "there is one subject");
            subject = Some(watch.subject().as_bytes().to_vec());
        }
        (subject, None)
    }

    /// The same, all at once, line by line.
    fn naive(message: &[u8]) -> Found {
        let mut lines = message.split_inclusive(|byte| *byte == b'\n').peekable();
        let mut at = 0;
        let mut subject: Option<SubjectText> = None;
        let mut over = None;
        while let Some(line) = lines.next() {
            at += line.len();
            if line == b"\n" || line == b"\r\n" {
                over = Some(at);
                break;
            }
            let lower = line.to_ascii_lowercase();
            let Some(rest) = lower.strip_prefix(b"subject") else { continue };
            let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
            if subject.is_some() || rest.get(blanks) != Some(&b':') {
                continue;
            }
            let mut text = SubjectText::new();
            line[NAME.len() + blanks + 1..].iter().for_each(|byte| text.push(*byte));
            while let Some(line) = lines.next_if(|line| is_blank(line[0])) {
                at += line.len();
                line.iter().for_each(|byte| text.push(*byte));
            }
            text.finish();
            subject = Some(text);
        }
        (subject.map(|text| text.as_bytes().to_vec()), over)
    }

    fn found(subject: &str, body: usize) -> Found {
        (Some(subject.as_bytes().to_vec()), Some(body))
    }

    #[test]
    fn the_first_subject_is_found_wherever_it_stands_and_however_it_is_spelt() {
        for (message, expected) in [
            ("Subject: a b\r\n\r\nbody", found("a b", 16)),
            ("From: x\r\nSUBJECT:a\r\n\r\n", found("a", 22)),
            ("Subject : a\n\n", found("a", 13)),
            ("Subject: a\r\n  b\r\n\tc\r\n\r\n", found("a b c", 23)),
            ("Subject: a\r\nSubject: b\r\n\r\n", found("a", 26)),
            ("Subject:\r\n\r\n", found("", 12)),
            ("Subjects: a\r\nX-Subject: b\r\n\r\n", (None, Some(29))),
            (" Subject: a\r\n\r\n", (None, Some(15))),
            ("Subject\r\n: a\r\n\r\n", (None, Some(16))),
            ("\r\nSubject: a\r\n", (None, Some(2))),
            ("\rSubject: a\r\n\r\n", (None, Some(15))),
            ("Subject: a", (Some(b"a".to_vec()), None)),
            ("Subject: a\r\n", (Some(b"a".to_vec()), None)),
            ("", (None, None)),
        ] {
            assert_eq!(watch(&[message.as_bytes()]), expected, "{message:?}");
        }
    }

    #[test]
    fn an_endless_header_section_is_over_where_readers_stop() {
        let endless = vec![b'x'; HEADER_SECTION_BYTES_MAX + 100];
        assert_eq!(watch(&[&endless]), (None, Some(HEADER_SECTION_BYTES_MAX)));
        let mut subject = b"Subject: ".to_vec();
        subject.resize(HEADER_SECTION_BYTES_MAX + 100, b' ');
        assert_eq!(watch(&[&subject]), (Some(Vec::new()), Some(HEADER_SECTION_BYTES_MAX)));
        let late = [b"X: y\r\n".repeat(HEADER_SECTION_BYTES_MAX / 6 + 1), b"Subject: a".to_vec()];
        assert_eq!(watch(&[&late.concat()]).0, None);
    }

    proptest! {
        #[test]
        fn the_same_is_found_at_every_cut(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "Subject", "sub", "ject", ":", " ", "\t", "\r\n", "\n", "\r", "a", "Re: ",
                    "\r\n\r\n",
                ]),
                0..40,
            ),
        ) {
            let message = pieces.concat();
            let message = message.as_bytes();
            let expected = naive(message);
            prop_assert_eq!(&watch(&[message]), &expected);
            for cut in 0..=message.len() {
                let (first, second) = message.split_at(cut);
                prop_assert_eq!(&watch(&[first, second]), &expected, "cut at {}", cut);
            }
            let single: Vec<&[u8]> = message.chunks(1).collect();
            prop_assert_eq!(&watch(&single), &expected);
        }
    }
}
