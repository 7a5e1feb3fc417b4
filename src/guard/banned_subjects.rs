//! The subjects that were banned in the last hours, to be shown, and how often each came: a ring of
//! fixed length. Not here: banning them (`repeats`), or their page.

use super::repeats::Ban;
use crate::limits::{GUARD_SUBJECT_SHOWN_BYTES, GUARD_SUBJECTS_SHOWN, GUARD_SUBJECTS_SHOWN_MS};

/// A subject that was banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BannedSubject<'a> {
    /// Its beginning, at most [`GUARD_SUBJECT_SHOWN_BYTES`] of it, without controls and marks that
    /// change the direction of a text. Whoever shows it still has to escape it.
    pub text: &'a str,
    /// How often it came, at the ban and since.
    pub messages: u32,
    /// When it was banned, in monotonic milliseconds.
    pub since_ms: u64,
    /// When its ban ends or ended, in monotonic milliseconds.
    pub until_ms: u64,
}

#[derive(Debug)]
pub(super) struct BannedSubjects {
    ring: Vec<Shown>,
    /// How many have been banned since start.
    banned: u64,
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    text: [u8; GUARD_SUBJECT_SHOWN_BYTES],
    text_bytes: u8,
    messages: u32,
    since_ms: u64,
    until_ms: u64,
    /// Tells a subject from others whose beginnings are the same.
    hash: u64,
}

const NOTHING: Shown = Shown {
    text: [0; GUARD_SUBJECT_SHOWN_BYTES],
    text_bytes: 0,
    messages: 0,
    since_ms: 0,
    until_ms: 0,
    hash: 0,
};

impl BannedSubjects {
    pub(super) const MEMORY_BYTES: usize = GUARD_SUBJECTS_SHOWN * size_of::<Shown>();

    pub(super) fn new() -> Self {
        Self { ring: vec![NOTHING; GUARD_SUBJECTS_SHOWN], banned: 0 }
    }

    pub(super) fn add(&mut self, subject: &[u8], ban: &Ban, now_ms: u64) {
        let &Ban { hash, times: messages, until_ms } = ban;
        let mut shown = Shown { messages, since_ms: now_ms, until_ms, hash, ..NOTHING };
        shown.text_bytes = clean(subject, &mut shown.text) as u8;
        let index = self.banned as usize % self.ring.len();
        self.ring[index] = shown;
        self.banned += 1;
    }

    /// It came again: at most [`GUARD_SUBJECTS_SHOWN`] steps.
    pub(super) fn came_again(&mut self, ban: &Ban) {
        let same = |shown: &&mut Shown| shown.hash == ban.hash && shown.until_ms == ban.until_ms;
        if let Some(shown) = self.ring.iter_mut().find(same) {
            shown.messages = ban.times;
        }
    }

    /// Those of the last hours, newest first.
    pub(super) fn iter(&self, now_ms: u64) -> impl Iterator<Item = BannedSubject<'_>> {
        let length = self.ring.len() as u64;
        (1..=self.banned.min(length))
            .map(move |back| &self.ring[((self.banned - back) % length) as usize])
            .take_while(move |shown| {
                now_ms.saturating_sub(shown.since_ms) < GUARD_SUBJECTS_SHOWN_MS
            })
            .map(|shown| BannedSubject {
                text: str::from_utf8(&shown.text[..shown.text_bytes.into()]).unwrap_or_default(),
                messages: shown.messages,
                since_ms: shown.since_ms,
                until_ms: shown.until_ms,
            })
    }
}

/// Fills `into` with characters that can be shown; how many bytes they are.
fn clean(text: &[u8], into: &mut [u8]) -> usize {
    let mut length = 0;
    for chunk in text.utf8_chunks() {
        let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for character in chunk.valid().chars().chain(broken) {
            let character =
                if is_shown(character) { character } else { char::REPLACEMENT_CHARACTER };
            let Some(room) = into.get_mut(length..length + character.len_utf8()) else {
                return length;
            };
            character.encode_utf8(room);
            length += character.len_utf8();
        }
    }
    length
}

/// Not controls, and not what makes a text look like another: marks of direction (Unicode Standard
/// Annex 9), characters without width, line and paragraph separators.
fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ban(hash: u64, times: u32, until_ms: u64) -> Ban {
        Ban { hash, times, until_ms }
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_make_room() {
        let mut subjects = BannedSubjects::new();
        assert_eq!(subjects.iter(0).count(), 0);
        for number in 0..GUARD_SUBJECTS_SHOWN as u64 + 3 {
            subjects.add(format!("{number}").as_bytes(), &ban(number, 21, 100), number);
        }
        let texts: Vec<_> = subjects.iter(0).map(|subject| subject.text.to_owned()).collect();
        let expected: Vec<_> =
            (3..GUARD_SUBJECTS_SHOWN + 3).rev().map(|number| number.to_string()).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn they_take_what_is_counted_for_them() {
        let taken = size_of_val(&BannedSubjects::new().ring[..]);
        assert_eq!(BannedSubjects::MEMORY_BYTES, taken);
    }

    #[test]
    fn one_that_comes_again_is_counted_as_long_as_it_is_shown() {
        let mut subjects = BannedSubjects::new();
        subjects.add(b"Cheap watches", &ban(7, 21, 2000), 1000);
        assert_eq!(subjects.iter(1000).next().map(|shown| shown.messages), Some(21));
        subjects.came_again(&ban(7, 22, 2000));
        subjects.came_again(&ban(8, 99, 2000));
        subjects.came_again(&ban(7, 99, 2001));
        let shown =
            BannedSubject { text: "Cheap watches", messages: 22, since_ms: 1000, until_ms: 2000 };
        assert_eq!(subjects.iter(3000).collect::<Vec<_>>(), [shown]);
        assert_eq!(subjects.iter(999 + GUARD_SUBJECTS_SHOWN_MS).count(), 1);
        assert_eq!(subjects.iter(1000 + GUARD_SUBJECTS_SHOWN_MS).count(), 0);
    }

    #[test]
    fn what_would_mislead_is_not_shown() {
        let mut text = [0; 64];
        let length = clean("a\x1b[2J\u{202e}b\u{200b}é\u{2028}".as_bytes(), &mut text);
        assert_eq!(str::from_utf8(&text[..length]), Ok("a�[2J�b�é�"));
        let length = clean(b"x\xff\xc3y\xe2\x82", &mut text);
        assert_eq!(str::from_utf8(&text[..length]), Ok("x��y�"));
    }

    proptest! {
        #[test]
        fn whatever_comes_what_is_shown_is_text_that_has_room(
            subject in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut subjects = BannedSubjects::new();
            subjects.add(&subject, &ban(1, 1, 1), 0);
            let shown = subjects.iter(0).next().unwrap();
            prop_assert!(shown.text.chars().all(is_shown));
            prop_assert_eq!(shown.text.is_empty(), subject.is_empty());
            let whole = String::from_utf8_lossy(&subject);
            prop_assert!(shown.text.chars().count() <= whole.chars().count());
        }
    }
}
