//! The bytes that follow DATA: where the message ends, and which of its dots the client added
//! (RFC 5321 section 4.5.2). Not for BDAT, whose chunks are counted and hold no added dots.
//!
//! End of data is CRLF `.` CRLF and nothing else; the first CRLF belongs to the message, and a
//! message may begin with the dot. A bare CR, a bare LF and a NUL are data, kept as sent: whoever
//! ends a message at anything else can be made to see a second one inside it.
//!
//! ```text
//!              "."              CR              LF
//!  LineStart ------> Dot -----------> DotCr ---------> end
//!   ^   |             | other: data     | other: data, the held CR before it
//!   |   | other       v                 v
//!   |   '--------> Within <-------------'
//!   |   LF            | CR
//!   '---------- Cr <--'
//! ```
//!
//! The dot is dropped when it is seen. The CR after it is the only byte ever held back, and only
//! when the bytes are cut just behind it; then it comes out as a slice of its own.
//!
//! Two ways through one body, that can take turns at any byte: [`Scanner::next`] finds slices, at no
//! price for most of a text, but at some 9 ns for each; [`Scanner::join`] copies, at 0.8 ns for each
//! byte. So `join` is for lines of a few bytes that all begin with a dot, where it takes half the
//! time, and spares its caller a piece for each.

pub mod naive;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::limits::BODY_PIECE_BYTES_SHORT;

/// The only place where the bytes can stop being one slice of message: a line that begins with a
/// dot.
static DOT_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));

/// What the scanner found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of the message, never none.
    Bytes(&'a [u8]),
    /// The end of data. What is left of the input is the client's next command.
    End,
}

/// Bytes of a message that were copied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined<'r> {
    /// The bytes, in the caller's room; there may be none.
    pub bytes: &'r [u8],
    /// The end of data is behind them. What is left of the input is the client's next command.
    pub ended: bool,
    /// They were still short pieces (less than [`BODY_PIECE_BYTES_SHORT`] on average), so that
    /// copying on is cheaper than slices. Never without input.
    pub short: bool,
}

/// Finds a message's bytes and its end in input that may be cut anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanner {
    position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// At the first byte of a line.
    LineStart,
    /// Within a line.
    Within,
    /// After a CR that was handed out.
    Cr,
    /// After a dot at a line's start, which was dropped.
    Dot,
    /// After that dot and a CR, which is held back.
    DotCr,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner for the bytes after DATA's line.
    #[must_use]
    pub const fn new() -> Self {
        Self { position: Position::LineStart }
    }

    /// The next piece of `input`, which is shortened by what was looked at; `None` when there is
    /// nothing left to look at. After [`Piece::End`] the scanner is as new.
    #[must_use]
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        loop {
            let (&first, after_first) = input.split_first()?;
            match self.position {
                Position::LineStart if first == b'.' => {
                    *input = after_first;
                    self.position = Position::Dot;
                }
                Position::Dot if first == b'\r' => match after_first.split_first() {
                    Some((b'\n', rest)) => {
                        *input = rest;
                        self.position = Position::LineStart;
                        return Some(Piece::End);
                    }
                    Some(_) => return Some(self.data(input)),
                    None => {
                        *input = after_first;
                        self.position = Position::DotCr;
                    }
                },
                Position::DotCr if first == b'\n' => {
                    *input = after_first;
                    self.position = Position::LineStart;
                    return Some(Piece::End);
                }
                Position::DotCr => {
                    // No LF follows this CR, so it begins no line end.
                    self.position = Position::Within;
                    return Some(Piece::Bytes(b"\r"));
                }
                _ => return Some(self.data(input)),
            }
        }
    }

    /// Copies the message's bytes in `input` into `room`, up to the end of data or as far as there
    /// is room, and shortens `input` by what was looked at. A room of less than two bytes takes
    /// nothing. After the end the scanner is as new.
    pub fn join<'r>(&mut self, input: &mut &[u8], room: &'r mut [u8]) -> Joined<'r> {
        // One byte less than there is room for: a CR that was held back may come out before them.
        let (window, _) = input.split_at(input.len().min(room.len().saturating_sub(1)));
        // The last bytes of the stream, the newest lowest. All that the position can mean is in them.
        let mut seen = self.position.seen();
        let mut filled = 0;
        if self.position == Position::DotCr && !window.is_empty() {
            room[0] = b'\r';
            filled = 1;
        }
        let held = filled;
        for (index, &byte) in window.iter().enumerate() {
            seen = seen << 8 | u64::from(byte);
            room[filled] = byte;
            filled += 1;
            if byte == b'.' {
                // Without a branch: where lines begin is what a predictor can't know.
                filled -= usize::from(ends_with(seen, b"\r\n."));
            } else if byte == b'\n' && ends_with(seen, b"\r\n.\r\n") {
                *input = &input[index + 1..];
                self.position = Position::LineStart;
                // The CR and the LF behind the dot are no message.
                return Joined { bytes: &room[..filled - 2], ended: true, short: true };
            }
        }
        *input = &input[window.len()..];
        let dots = held + window.len() - filled;
        if !window.is_empty() {
            self.position = Position::after(seen);
            filled -= usize::from(self.position == Position::DotCr);
        }
        let short = dots * BODY_PIECE_BYTES_SHORT > window.len();
        Joined { bytes: &room[..filled], ended: false, short }
    }

    /// Takes message bytes up to the next line that begins with a dot, or all there are.
    fn data<'a>(&mut self, input: &mut &'a [u8]) -> Piece<'a> {
        let after_cr = self.position == Position::Cr;
        let length = if after_cr && input.starts_with(b"\n.") {
            1
        } else {
            // The dot itself stays in the input, to be judged at its line's start.
            DOT_LINE.find(input).map_or(input.len(), |found| found + 2)
        };
        let (bytes, rest) = input.split_at(length);
        *input = rest;
        self.position = match bytes {
            [.., b'\r', b'\n'] => Position::LineStart,
            [b'\n'] if after_cr => Position::LineStart,
            [.., b'\r'] => Position::Cr,
            _ => Position::Within,
        };
        Piece::Bytes(bytes)
    }
}

impl Position {
    /// Bytes that lead to this position, the last of them lowest.
    const fn seen(self) -> u64 {
        last(match self {
            Self::Within => b"",
            Self::Cr => b"\r",
            Self::LineStart => b"\r\n",
            Self::Dot => b"\r\n.",
            Self::DotCr => b"\r\n.\r",
        })
    }

    /// The position that bytes lead to.
    fn after(seen: u64) -> Self {
        if ends_with(seen, b"\r\n.\r") {
            Self::DotCr
        } else if ends_with(seen, b"\r\n.") {
            Self::Dot
        } else if ends_with(seen, b"\r\n") {
            Self::LineStart
        } else if ends_with(seen, b"\r") {
            Self::Cr
        } else {
            Self::Within
        }
    }
}

/// Bytes as a number, the last of them lowest. No more than eight.
const fn last(bytes: &[u8]) -> u64 {
    let mut number = 0;
    let mut at = 0;
    while at < bytes.len() {
        number = number << 8 | bytes[at] as u64;
        at += 1;
    }
    number
}

/// Whether the last bytes seen are these.
const fn ends_with<const BYTES: usize>(seen: u64, bytes: &[u8; BYTES]) -> bool {
    seen & ((1 << (8 * BYTES)) - 1) == last(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scans `pieces` one after another: the message, and how many bytes were left after its end.
    fn scan(pieces: &[&[u8]]) -> Option<(Vec<u8>, usize)> {
        let mut scanner = Scanner::new();
        let mut message = Vec::new();
        for (index, mut input) in pieces.iter().copied().enumerate() {
            while let Some(piece) = scanner.next(&mut input) {
                match piece {
                    Piece::Bytes(bytes) => {
                        assert!(!bytes.is_empty());
                        message.extend_from_slice(bytes);
                    }
                    Piece::End => {
                        let left = input.len() + pieces[index + 1..].concat().len();
                        return Some((message, left));
                    }
                }
            }
            assert!(input.is_empty(), "all of a body's bytes are always taken");
        }
        None
    }

    /// The same by [`Scanner::join`] into so little room, or by slices and that in turns.
    fn scan_joined(
        pieces: &[&[u8]],
        room_bytes: usize,
        in_turns: bool,
    ) -> Option<(Vec<u8>, usize)> {
        let mut scanner = Scanner::new();
        let mut message = Vec::new();
        let mut room = vec![b'#'; room_bytes];
        for (index, mut input) in pieces.iter().copied().enumerate() {
            let left_behind = |input: &[u8]| input.len() + pieces[index + 1..].concat().len();
            while !input.is_empty() {
                let before = input.len();
                let joined = scanner.join(&mut input, &mut room);
                assert!(input.len() < before && joined.bytes.len() < room_bytes + 1);
                message.extend_from_slice(joined.bytes);
                if joined.ended {
                    assert_eq!(scanner, Scanner::new());
                    return Some((message, left_behind(input)));
                }
                match in_turns.then(|| scanner.next(&mut input)).flatten() {
                    Some(Piece::Bytes(bytes)) => message.extend_from_slice(bytes),
                    Some(Piece::End) => return Some((message, left_behind(input))),
                    None => {}
                }
            }
            let nothing = scanner.join(&mut input, &mut room);
            assert_eq!(nothing, Joined { bytes: b"", ended: false, short: false });
        }
        None
    }

    /// The fast scanner and its slow twin on one stream: whole, at every cut, and by single bytes.
    fn agree(stream: &[u8]) {
        let expected = naive::message(stream);
        assert_eq!(scan(&[stream]), expected, "whole: {}", stream.escape_ascii());
        for cut in 0..=stream.len() {
            let (before, after) = stream.split_at(cut);
            assert_eq!(scan(&[before, after]), expected, "at {cut}: {}", stream.escape_ascii());
            for (room_bytes, in_turns) in [(64, false), (2, true), (3, true), (64, true)] {
                assert_eq!(
                    scan_joined(&[before, after], room_bytes, in_turns),
                    expected,
                    "at {cut}, joined in {room_bytes}, in turns {in_turns}: {}",
                    stream.escape_ascii()
                );
            }
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(scan(&bytes), expected, "by bytes: {}", stream.escape_ascii());
    }

    /// Bodies that someone's server ends early, or unstuffs wrongly; none of them is an end.
    const SEEDS: &[&[u8]] = &[
        b"",
        b"a",
        b"a\r\n",
        b"a\n.\nb",
        b"a\n.\r\nb",
        b"a\r.\rb",
        b"a\r.\r\nb",
        b"a\r\n.\nb",
        b"a\r\n.\rb",
        b"a\r\n.\r\r\nb",
        b"a\r\n.\r.\r\nb",
        b"a\r\n\0.\r\nb",
        b"a\r\n.\0\r\nb",
        b"a\r\n.\r\0\nb",
        b"a\r\0\n.\r\nb",
        b"a\r\n.. \r\nb",
        b"a\n\n.\n\nb",
        b"a\r\r\n.\n\r\nb",
        b"..",
        b"...",
        b".x",
        b".\rx",
        b".\n",
        b".\r\r",
        b"..\r\n..\r\n",
        b"\r\n\r\n",
        b"\n.\r\n.x",
        b"\r",
        b"\n",
        b"\r\n\n.",
        b"a line\r\nand another\r\n..a dot line\r\n...\r\nx\r\n.y",
    ];

    #[test]
    fn the_seeds_end_where_the_twin_says_at_every_cut() {
        for seed in SEEDS {
            agree(seed);
            for ending in [&b"\r\n.\r\n"[..], b".\r\n", b"\n.\r\n", b"\r\n.\r\nRSET\r\n.\r\n"] {
                agree(&[seed, ending].concat());
            }
        }
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_a_body() {
        for seed in SEEDS {
            assert_eq!(scan(&[seed]), None, "{}", seed.escape_ascii());
            let stream = [seed, &b"\r\n.\r\n"[..]].concat();
            let (message, left) = scan(&[&stream]).unwrap();
            assert_eq!(left, 0, "{}", seed.escape_ascii());
            assert!(message.ends_with(b"\r\n"));
        }
    }

    #[test]
    fn the_empty_message_is_a_dot_line_at_the_very_start() {
        assert_eq!(scan(&[b".\r\nQUIT"]), Some((vec![], 4)));
        assert_eq!(scan(&[b"\r\n.\r\n"]), Some((b"\r\n".to_vec(), 0)));
    }

    #[test]
    fn a_body_in_one_slice_comes_out_as_one_slice() {
        let stream = b"one\r\ntwo\r\n.\r\n";
        let (mut scanner, mut input) = (Scanner::new(), &stream[..]);
        assert_eq!(scanner.next(&mut input), Some(Piece::Bytes(&stream[..10])));
        assert_eq!(scanner.next(&mut input), Some(Piece::End));
        assert_eq!((scanner, input), (Scanner::new(), &b""[..]));
    }

    #[test]
    fn only_many_dots_are_short_pieces() {
        for (line, short) in
            [("..x\r\n", true), ("..x, and it goes on so\r\n", false), ("x\r\n", false)]
        {
            let stream = line.repeat(100);
            let mut room = [0; 512];
            let joined = Scanner::new().join(&mut stream.as_bytes(), &mut room);
            assert_eq!((joined.short, joined.ended), (short, false), "{line}");
        }
    }

    fn difficult_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => Just(&b"\r\n"[..]),
            3 => Just(&b"."[..]),
            1 => Just(&b"\r"[..]),
            1 => Just(&b"\n"[..]),
            1 => Just(&b"a"[..]),
            1 => Just(&b"\0"[..]),
        ];
        proptest::collection::vec(byte, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn the_scanner_and_its_twin_agree_at_every_cut(stream in difficult_bytes()) {
            agree(&stream);
            agree(&[&stream[..], b"\r\n.\r\n"].concat());
        }
    }
}
