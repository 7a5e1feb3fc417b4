//! Where a message ends after DATA, and which dots are its own: the scanner beside its naive twin
//! and beside the `smtp-proto` crate.

use mailfly::smtp::body::{Piece, Scanner, naive};
use smtp_proto::request::receiver::DataReceiver;

/// The first byte of the input says how it is cut, the rest is the stream.
pub fn holds(input: &[u8]) {
    let Some((&step, stream)) = input.split_first() else { return };
    let expected = naive::message(stream);
    let pieces = || stream.chunks(usize::from(step).max(1));
    assert_eq!(scan([stream]), expected, "in one piece");
    assert_eq!(scan(pieces()), expected, "in pieces of {step}");
    let room_bytes = 2 + usize::from(step / 4);
    assert_eq!(join([stream], room_bytes, false), expected, "joined in {room_bytes}");
    assert_eq!(join(pieces(), room_bytes, true), expected, "in pieces of {step}, by turns");
    match smtp_proto(stream) {
        // Its known difference: CRLF . CR CR LF is an end too, however many CR there are.
        Some((_, left)) if ends_in_many_cr(&stream[..stream.len() - left]) => {
            assert!(expected.is_none_or(|(_, ours)| ours < left), "that is no end");
        }
        theirs => assert_eq!(theirs, expected, "smtp-proto"),
    }
}

/// The message, and how many bytes are left behind its end.
fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<(Vec<u8>, usize)> {
    let (mut scanner, mut message, mut ended, mut left) = (Scanner::new(), vec![], false, 0);
    for mut input in pieces {
        while !ended && let Some(piece) = scanner.next(&mut input) {
            match piece {
                Piece::Bytes(bytes) => {
                    assert!(!bytes.is_empty());
                    message.extend_from_slice(bytes);
                }
                Piece::End => ended = true,
            }
        }
        left += input.len();
    }
    ended.then_some((message, left))
}

/// The same, copied together in so much room, or by turns that and slice by slice.
fn join<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    room_bytes: usize,
    by_turns: bool,
) -> Option<(Vec<u8>, usize)> {
    let (mut scanner, mut message, mut ended, mut left) = (Scanner::new(), vec![], false, 0);
    let mut room = vec![b'#'; room_bytes];
    for mut input in pieces {
        while !ended && !input.is_empty() {
            let before = input.len();
            let joined = scanner.join(&mut input, &mut room);
            assert!(input.len() < before, "it gets on");
            message.extend_from_slice(joined.bytes);
            ended = joined.ended;
            if by_turns && !ended {
                match scanner.next(&mut input) {
                    Some(Piece::Bytes(bytes)) => message.extend_from_slice(bytes),
                    Some(Piece::End) => ended = true,
                    None => {}
                }
            }
        }
        left += input.len();
    }
    ended.then_some((message, left))
}

/// The same by `smtp-proto`, which is told of the line end before the stream: by itself it does
/// not know that a stream begins a line.
fn smtp_proto(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
    let stream = [b"\r\n", stream].concat();
    let (mut bytes, mut message) = (stream.iter(), vec![]);
    let ended = DataReceiver::new().ingest(&mut bytes, &mut message);
    ended.then(|| (message.split_off(2), bytes.as_slice().len()))
}

fn ends_in_many_cr(stream: &[u8]) -> bool {
    let Some(rest) = stream.strip_suffix(b"\r\r\n") else { return false };
    let cr = rest.iter().rev().take_while(|&&byte| byte == b'\r').count();
    let dotted = &rest[..rest.len() - cr];
    dotted == b"." || dotted.ends_with(b"\r\n.")
}
