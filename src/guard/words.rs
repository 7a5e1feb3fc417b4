//! Words that are not wanted in a subject: a list from a file, all of which are searched for at
//! once. Not here: reading the file, or the subject.
//!
//! A line is a word, or several, as they stand in a subject; blank lines and those that begin with
//! `#` are passed over. ASCII letters match in either case. A word matches where no ASCII letter or
//! digit stands right before or behind it, so that `rolex` is not found in `prolexin`; next to
//! other letters it does, since many scripts do not set words apart.

use std::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::limits::{GUARD_WORD_BYTES_MAX, GUARD_WORDS_MAX};

/// A list of words, ready to be searched for.
#[derive(Debug, Default)]
pub struct Words {
    search: Option<AhoCorasick>,
    count: usize,
}

/// Why a list can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordsError {
    /// The line with this number, counted from 1, is longer than [`GUARD_WORD_BYTES_MAX`].
    TooLong(usize),
    /// There are more words than [`GUARD_WORDS_MAX`].
    TooMany,
    /// All of them together are more than can be searched for.
    TooMuch,
}

impl Words {
    /// The words of a list.
    ///
    /// # Errors
    /// [`WordsError`]: nothing of the list is used.
    pub fn parse(list: &str) -> Result<Self, WordsError> {
        let lines = list.lines().map(str::trim).enumerate();
        let mut words = Vec::new();
        for (index, word) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            if word.len() > GUARD_WORD_BYTES_MAX {
                return Err(WordsError::TooLong(index + 1));
            }
            if words.len() == GUARD_WORDS_MAX {
                return Err(WordsError::TooMany);
            }
            words.push(word);
        }
        if words.is_empty() {
            return Ok(Self::default());
        }
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            // A few times slower than the DFA, and of a size that can be told beforehand.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&words)
            .map_err(|_| WordsError::TooMuch)?;
        Ok(Self { search: Some(search), count: words.len() })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What they take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.search.as_ref().map_or(0, AhoCorasick::memory_usage)
    }

    /// Whether any of them stands in a text.
    #[must_use]
    pub fn found_in(&self, text: &[u8]) -> bool {
        let Some(search) = &self.search else { return false };
        let ends = |at: Option<&u8>| !at.is_some_and(u8::is_ascii_alphanumeric);
        search.find_overlapping_iter(text).any(|found| {
            let before = found.start().checked_sub(1).and_then(|index| text.get(index));
            ends(before) && ends(text.get(found.end()))
        })
    }
}

impl fmt::Display for WordsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(line) => {
                write!(formatter, "line {line} is longer than {GUARD_WORD_BYTES_MAX} bytes")
            }
            Self::TooMany => write!(formatter, "more than {GUARD_WORDS_MAX} words"),
            Self::TooMuch => formatter.write_str("too much to search for"),
        }
    }
}

impl std::error::Error for WordsError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_found_whole_in_either_case() {
        let words =
            Words::parse("# bad ones\n\n  Rolex \r\nviagra\ncheap watches\n赌场\n").unwrap();
        assert_eq!((words.len(), words.is_empty()), (4, false));
        for bad in
            ["ROLEX", "a rolex!", "Viagra", "best CHEAP watches", "网上赌场游戏", "x-rolex-y"]
        {
            assert!(words.found_in(bad.as_bytes()), "{bad}");
        }
        for good in ["", "prolexin", "rolexes", "viagr", "cheap  watches", "bad", "# bad ones"] {
            assert!(!words.found_in(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn a_list_of_nothing_finds_nothing() {
        for nothing in ["", "\n\n", "# only\n#comments"] {
            let words = Words::parse(nothing).unwrap();
            assert!(words.is_empty() && !words.found_in(b"") && !words.found_in(b"only"));
            assert_eq!(words.memory_bytes(), 0);
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let long = format!("fine\n{}\n", "x".repeat(GUARD_WORD_BYTES_MAX + 1));
        assert_eq!(Words::parse(&long).unwrap_err(), WordsError::TooLong(2));
        assert!(Words::parse(&"x".repeat(GUARD_WORD_BYTES_MAX)).is_ok());
        let most = (0..GUARD_WORDS_MAX).map(|word| format!("w{word}\n")).collect::<String>();
        let words = Words::parse(&most).unwrap();
        assert_eq!(words.len(), GUARD_WORDS_MAX);
        // So long are the words alone.
        assert!(words.memory_bytes() > most.len() / 2);
        assert!(words.found_in(b"see w9999") && !words.found_in(b"w99990"));
        assert_eq!(Words::parse(&format!("{most}more")).unwrap_err(), WordsError::TooMany);
        for (error, said) in [
            (WordsError::TooLong(2), "line 2 is longer than"),
            (WordsError::TooMany, "more than"),
            (WordsError::TooMuch, "too much"),
        ] {
            assert!(error.to_string().starts_with(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn all_at_once_is_as_one_after_the_other(
            list in prop::collection::vec("[abA ]{1,3}", 0..8), text in "[abB 1]{0,20}",
        ) {
            let words = Words::parse(&list.join("\n")).unwrap();
            let lower = text.to_ascii_lowercase();
            let stands = |word: &str| {
                let word = word.trim().to_ascii_lowercase();
                !word.is_empty() && (0..lower.len()).any(|at| {
                    let edge = |byte: Option<&u8>| !byte.is_some_and(u8::is_ascii_alphanumeric);
                    lower[at..].starts_with(&word)
                        && edge(at.checked_sub(1).map(|before| &lower.as_bytes()[before]))
                        && edge(lower.as_bytes().get(at + word.len()))
                })
            };
            prop_assert_eq!(words.found_in(text.as_bytes()), list.iter().any(|word| stands(word)));
        }
    }
}
