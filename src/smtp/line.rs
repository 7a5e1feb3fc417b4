//! The next command line of the bytes that have arrived. Not for bodies: see [`body`](super::body).
//!
//! A line ends at its first LF, and one CR before that LF belongs to the line end. The CR may be
//! missing, because people type at servers with tools that send none. A CR or a NUL anywhere else
//! is left in the text, where [`command`](super::command) refuses it: a server that takes a bare
//! CR for a line end, behind one that does not, can be told two different stories.

use memchr::memchr;

use crate::limits::LINE_BYTES_MAX;

/// What the bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line: its text without the line end, and how many bytes it took with it.
    Whole {
        /// The text between the line ends.
        text: &'a [u8],
        /// The bytes of the text and its line end.
        consumed: usize,
    },
    /// No line yet, and still fewer bytes than a line may have.
    Partial,
    /// No line end within [`LINE_BYTES_MAX`] bytes; none of them need be kept.
    TooLong,
}

/// The first line of `input`.
///
/// What it says of some bytes it also says of them and any that follow, [`Line::Partial`] apart:
/// how the network cut them changes nothing.
#[must_use]
pub fn next(input: &[u8]) -> Line<'_> {
    let within = &input[..input.len().min(LINE_BYTES_MAX)];
    match memchr(b'\n', within) {
        Some(end) => {
            let text = &within[..end];
            Line::Whole { text: text.strip_suffix(b"\r").unwrap_or(text), consumed: end + 1 }
        }
        None if within.len() == LINE_BYTES_MAX => Line::TooLong,
        None => Line::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &[u8], consumed: usize) -> Line<'_> {
        Line::Whole { text, consumed }
    }

    #[test]
    fn a_line_ends_at_lf_and_one_cr_before_it_is_cut() {
        assert_eq!(next(b"NOOP\r\nQUIT\r\n"), whole(b"NOOP", 6));
        assert_eq!(next(b"NOOP\nQUIT\n"), whole(b"NOOP", 5));
        assert_eq!(next(b"NOOP\r\r\n"), whole(b"NOOP\r", 7));
        assert_eq!(next(b"NO\rOP\r\n"), whole(b"NO\rOP", 7));
        assert_eq!(next(b"\r\n"), whole(b"", 2));
        assert_eq!(next(b"NOOP\r"), Line::Partial);
        assert_eq!(next(b""), Line::Partial);
    }

    #[test]
    fn the_longest_line_is_taken_and_one_byte_more_is_too_long() {
        let mut input = vec![b'x'; LINE_BYTES_MAX - 2];
        input.extend_from_slice(b"\r\n");
        assert_eq!(next(&input), whole(&input[..LINE_BYTES_MAX - 2], LINE_BYTES_MAX));
        assert_eq!(next(&input[..LINE_BYTES_MAX - 1]), Line::Partial);
        input.insert(0, b'x');
        assert_eq!(next(&input), Line::TooLong);
        assert_eq!(next(&input[..LINE_BYTES_MAX]), Line::TooLong);
    }

    proptest! {
        #[test]
        fn what_is_said_of_a_prefix_is_said_of_the_whole(
            input in proptest::collection::vec(prop_oneof![9 => Just(b'x'), 1 => any::<u8>()], 0..1100),
            cut in 0usize..1100,
        ) {
            let cut = cut.min(input.len());
            let early = next(&input[..cut]);
            if early != Line::Partial {
                prop_assert_eq!(early, next(&input));
            }
        }
    }
}
