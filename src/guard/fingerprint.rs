//! By what a text is known again though a few of its words differ. Not here: counting it
//! (`repeats`).
//!
//! Words are folded (ASCII letters to one case, digits to one digit, since campaigns number what
//! they send), and every three that follow each other are hashed: a shingle. The first bits of a
//! shingle's hash choose one of [`GUARD_BODY_FEATURES`] bins, and each bin keeps the least of the
//! rest (min-wise hashing with one permutation). What a bin has kept is a feature:
//!
//! ```text
//! words      dear | friend | we | have | money | ...
//! shingles   dear friend we   friend we have   we have money   ...
//! bins       [ least | least | least | least | least | least | least | least ]
//! ```
//!
//! Of two texts that share a part J of their shingles each feature is the same with chance J. So a
//! text of 150 words of which one is another in each copy (J = 0.96) has six of eight features in
//! common with its like nearly always; two letters of one author hardly have one. Features are
//! counted each by itself, so finding a text's like costs one look for each feature, not one for
//! each text that was seen.
//!
//! Read are the first [`GUARD_BODY_BYTES`] behind the header section, as they were sent: base64 is
//! words of its own kind, each as long as a word may be, which is enough to know the same text or
//! attachment by. A soft line break of quoted-printable (RFC 2045 section 6.7) does not end a word.
//! State is of fixed size, and a byte costs one multiplication.

use crate::limits::{
    GUARD_BODY_BYTES, GUARD_BODY_FEATURES, GUARD_BODY_WORD_BYTES_MAX, GUARD_BODY_WORDS_MIN,
};

/// What is known of a text so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprint {
    least: [u32; GUARD_BODY_FEATURES],
    key: u64,
    /// The word that is being read; `key` if there is none.
    word: u64,
    word_bytes: u8,
    /// The two before it.
    before: [u64; 2],
    words: u32,
    bytes_left: u16,
    /// An equals sign may be a soft line break's beginning.
    soft_break: bool,
}

/// The features of a text, each as the bytes that it is counted by; a bin that nothing fell into
/// has none.
pub(super) type Features = [Option<[u8; 8]>; GUARD_BODY_FEATURES];

const NONE: u32 = u32::MAX;
/// Odd, and half its bits set, in no order: the factor of PCG and Knuth's MMIX.
const FACTOR: u64 = 6_364_136_223_846_793_005;
/// What a byte is in a word: 0 if it is between words.
static FOLD: [u8; 256] = fold();

impl Fingerprint {
    /// With another key it has other features, so that nobody can make texts to match from afar.
    pub(super) const fn new(key: u64) -> Self {
        Self {
            least: [NONE; GUARD_BODY_FEATURES],
            key,
            word: key,
            word_bytes: 0,
            before: [0; 2],
            words: 0,
            bytes_left: GUARD_BODY_BYTES as u16,
            soft_break: false,
        }
    }

    /// Whether more bytes would change nothing.
    pub(super) fn is_full(&self) -> bool {
        self.bytes_left == 0
    }

    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(self.bytes_left.into());
        self.bytes_left -= length as u16;
        for &byte in &bytes[..length] {
            let folded = FOLD[usize::from(byte)];
            if folded != 0 {
                if self.soft_break {
                    self.end_after_equals();
                }
                self.word = (self.word ^ u64::from(folded)).wrapping_mul(FACTOR);
                self.word_bytes += 1;
                if self.word_bytes == GUARD_BODY_WORD_BYTES_MAX {
                    self.end_word();
                }
            } else {
                self.between(byte);
            }
        }
    }

    /// What the text is known by, if it is long enough to be.
    pub(super) fn features(mut self) -> Option<Features> {
        self.end_word();
        if self.words < GUARD_BODY_WORDS_MIN {
            return None;
        }
        let mut bin = 0_u32;
        Some(self.least.map(|least| {
            bin += 1;
            (least != NONE).then(|| (u64::from(bin) << 32 | u64::from(least)).to_le_bytes())
        }))
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'=' if self.word != self.key && !self.soft_break => self.soft_break = true,
            // Its line end; the word goes on behind it.
            b'\r' if self.soft_break => {}
            b'\n' if self.soft_break => self.soft_break = false,
            _ => {
                self.soft_break = false;
                self.end_word();
            }
        }
    }

    fn end_after_equals(&mut self) {
        self.soft_break = false;
        self.end_word();
    }

    fn end_word(&mut self) {
        if self.word == self.key {
            return;
        }
        let word = mixed(self.word, self.key);
        let [first, second] = self.before;
        self.before = [second, word];
        (self.word, self.word_bytes) = (self.key, 0);
        self.words += 1;
        if self.words < 3 {
            return;
        }
        let shingle = mixed(first.rotate_left(21) ^ second.rotate_left(42) ^ word, FACTOR);
        let bin = (shingle >> 32) as usize % GUARD_BODY_FEATURES;
        self.least[bin] = self.least[bin].min(shingle as u32);
    }
}

/// Every bit of the outcome depends on every bit of `value`.
fn mixed(value: u64, key: u64) -> u64 {
    let product = u128::from(value ^ key) * u128::from(FACTOR);
    let folded = product as u64 ^ (product >> 64) as u64;
    (folded ^ folded >> 32).wrapping_mul(FACTOR).rotate_left(32)
}

const fn fold() -> [u8; 256] {
    let mut fold = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        fold[byte] = match byte as u8 {
            letter @ (b'a'..=b'z' | b'A'..=b'Z') => letter.to_ascii_lowercase(),
            b'0'..=b'9' => b'0',
            other if other >= 0x80 => other,
            _ => 0,
        };
        byte += 1;
    }
    fold
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::GUARD_BODY_FEATURES_BANNED;

    fn features(key: u64, pieces: &[&[u8]]) -> Option<Features> {
        let mut fingerprint = Fingerprint::new(key);
        pieces.iter().for_each(|piece| fingerprint.read(piece));
        fingerprint.features()
    }

    fn alike(one: &Features, other: &Features) -> usize {
        one.iter().zip(other).filter(|(one, other)| one.is_some() && one == other).count()
    }

    /// So many words that no other seed has.
    fn text(seed: u32, words: u32) -> Vec<String> {
        let letters = |mut number: u32| {
            let mut word = String::new();
            for _ in 0..6 {
                word.push(char::from(b'a' + (number % 26) as u8));
                number /= 26;
            }
            word
        };
        (0..words).map(|word| letters(seed * 1000 + word)).collect()
    }

    fn of(words: &[String]) -> Features {
        features(1, &[words.join(" ").as_bytes()]).unwrap()
    }

    #[test]
    fn the_copies_of_a_campaign_are_alike_and_other_texts_are_not() {
        let campaign = text(1, 150);
        let first = of(&campaign);
        let mut enough = 0;
        for copy in 0..150 {
            let mut words = campaign.clone();
            words[copy] = format!("unique{}", text(2, 150)[copy]);
            enough += usize::from(alike(&first, &of(&words)) >= GUARD_BODY_FEATURES_BANNED);
        }
        assert!(enough >= 147, "{enough} of 150 copies are known again");
        for other in 3..200 {
            assert!(alike(&first, &of(&text(other, 150))) <= 1);
        }
    }

    #[test]
    fn what_two_texts_share_by_half_does_not_make_them_alike() {
        let mut alikes = 0;
        for pair in 0..200 {
            let (common, one, other) =
                (text(3 * pair, 100), text(3 * pair + 1, 100), text(3 * pair + 2, 100));
            let (one, other) = (of(&[common.clone(), one].concat()), of(&[common, other].concat()));
            alikes += usize::from(alike(&one, &other) >= GUARD_BODY_FEATURES_BANNED);
        }
        // J is a third: 28 · (1/3)⁶ · (2/3)² and less, two in a hundred.
        assert!(alikes <= 10, "{alikes} of 200");
    }

    #[test]
    fn a_text_is_known_by_its_words_not_by_how_they_are_spaced_or_numbered() {
        let plain = text(1, 40).join(" ");
        let expected = features(1, &[format!("{plain} order 123").as_bytes()]).unwrap();
        for same in [
            format!("{}, ORDER: 987!", plain.to_uppercase()),
            format!("{}=order=5", plain.replace(' ', "=")),
            format!("<p>{}</p> order 555", plain.replace(' ', "\r\n"))
                .replace("<p>", "")
                .replace("</p>", ""),
            format!("{}=\r\n{} order 000", &plain[..30], &plain[30..]),
            format!("{}=\n{} order 000", &plain[..30], &plain[30..]),
        ] {
            assert_eq!(features(1, &[same.as_bytes()]), Some(expected), "{same}");
        }
        let split = format!("{}=x{} order 000", &plain[..30], &plain[30..]);
        assert_ne!(features(1, &[split.as_bytes()]), Some(expected));
        let split = format!("{}==\r\n{} order 000", &plain[..30], &plain[30..]);
        assert_ne!(features(1, &[split.as_bytes()]), Some(expected));
        assert_ne!(features(2, &[format!("{plain} order 123").as_bytes()]), Some(expected));
    }

    #[test]
    fn numbers_are_all_the_same() {
        let numbered = |number: u32| {
            let words = text(1, 60).into_iter().enumerate();
            let words = words.map(|(at, word)| format!("{word} {}", number + at as u32));
            of(&words.collect::<Vec<_>>())
        };
        assert_eq!(numbered(10_000), numbered(73_000));
        assert!(alike(&numbered(10_000), &numbered(100_000)) <= 2, "but for their length");
    }

    /// Base64, and languages that are written without them.
    #[test]
    fn a_text_without_spaces_is_known_too() {
        let letters = text(1, 100).concat();
        let lines: Vec<_> = letters.as_bytes().chunks(76).collect();
        let known = features(1, &[&lines.join(&b"\r\n"[..])]).expect("it is long enough");
        assert_eq!(features(1, &[&lines.join(&b"\n"[..])]), Some(known), "is the same");
        let other = text(2, 100).concat();
        let other: Vec<_> = other.as_bytes().chunks(76).collect();
        assert!(alike(&known, &features(1, &[&other.join(&b"\r\n"[..])]).unwrap()) <= 1);
        // What differs early shows in its own line only.
        let mut changed = lines.clone();
        changed[0] = b"another first line";
        assert!(alike(&known, &features(1, &[&changed.join(&b"\r\n"[..])]).unwrap()) >= 4);
        let words = usize::try_from(GUARD_BODY_WORDS_MIN).unwrap();
        let least = (words - 1) * usize::from(GUARD_BODY_WORD_BYTES_MAX);
        assert_eq!(features(1, &[&letters.as_bytes()[..least]]), None);
        assert!(features(1, &[&letters.repeat(2).as_bytes()[..=least]]).is_some());
    }

    #[test]
    fn a_short_text_is_known_by_nothing() {
        let short = text(1, GUARD_BODY_WORDS_MIN - 1);
        assert_eq!(features(1, &[short.join(" ").as_bytes()]), None);
        let long = text(1, GUARD_BODY_WORDS_MIN);
        assert!(features(1, &[long.join(" ").as_bytes()]).is_some());
        assert_eq!(features(1, &[b""]), None);
    }

    #[test]
    fn only_the_beginning_is_read() {
        let mut fingerprint = Fingerprint::new(1);
        fingerprint.read(&[b' '; GUARD_BODY_BYTES - 1]);
        assert!(!fingerprint.is_full());
        fingerprint.read(b"ab");
        assert!(fingerprint.is_full());
        fingerprint.read(text(1, 100).join(" ").as_bytes());
        assert_eq!(fingerprint.features(), None);
    }

    #[test]
    fn law_every_bit_that_is_mixed_depends_on_every_bit() {
        const VALUES: u64 = 400;
        // Any odd factor but the one of the mixture itself.
        let values = || (1..=VALUES).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for bit in 0..64 {
            let mut changed = [0; 64];
            for value in values() {
                let difference = mixed(value, 1) ^ mixed(value ^ 1 << bit, 1);
                for (at, count) in changed.iter_mut().enumerate() {
                    *count += difference >> at & 1;
                }
            }
            let sometimes = VALUES / 20..VALUES * 19 / 20;
            assert!(changed.iter().all(|count| sometimes.contains(count)), "{bit}: {changed:?}");
        }
    }

    #[test]
    fn all_bins_are_used() {
        let texts: Vec<_> = (0..50).map(|seed| of(&text(seed, 150))).collect();
        for bin in 0..GUARD_BODY_FEATURES {
            let different: HashSet<_> = texts.iter().map(|features| features[bin]).collect();
            assert!(different.len() > 45);
        }
    }

    /// The naive twin, for texts without equals signs: all words, then all shingles, then the least
    /// of each bin.
    fn naive(key: u64, text: &str) -> Option<Features> {
        let folded = text.to_ascii_lowercase().replace(|byte: char| byte.is_ascii_digit(), "0");
        let hash = |word: &[u8]| {
            let word =
                word.iter().fold(key, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FACTOR));
            mixed(word, key)
        };
        let words: Vec<u64> = folded
            .split(|letter: char| !letter.is_ascii_alphanumeric() && letter.is_ascii())
            .flat_map(|word| word.as_bytes().chunks(GUARD_BODY_WORD_BYTES_MAX.into()))
            .map(hash)
            .collect();
        let shingles: Vec<u64> = words
            .windows(3)
            .map(|three| {
                mixed(three[0].rotate_left(21) ^ three[1].rotate_left(42) ^ three[2], FACTOR)
            })
            .collect();
        let feature = |bin: usize| {
            let fell = shingles.iter().filter(|hash| (**hash >> 32) as usize % 8 == bin);
            let least = fell.map(|shingle| *shingle as u32).min()?;
            let [first, second, third, fourth] = least.to_le_bytes();
            Some([first, second, third, fourth, bin as u8 + 1, 0, 0, 0])
        };
        (words.len() >= GUARD_BODY_WORDS_MIN as usize).then(|| std::array::from_fn(feature))
    }

    proptest! {
        #[test]
        fn law_the_features_are_the_naive_twins(
            key in any::<u64>(),
            text in "([a-zA-Z0-9é]{1,6}[ ,.\r\n\t<>-]{1,2}|[a-z é]{20,80}|[é漢a-z]{40,60}){0,60}",
        ) {
            prop_assert_eq!(features(key, &[text.as_bytes()]), naive(key, &text));
        }

        #[test]
        fn a_text_has_the_same_features_at_every_cut(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "bc", "D", "7", " ", "=", "=\r\n", "\r\n", "\n", "é",
                ]),
                60..120,
            ),
        ) {
            let text = pieces.concat();
            let text = text.as_bytes();
            let expected = features(5, &[text]);
            for cut in 0..=text.len() {
                let (first, second) = text.split_at(cut);
                prop_assert_eq!(features(5, &[first, second]), expected);
            }
        }
    }
}
