//! The price of finding a message's end and taking its added dots out, while it is copied to where
//! it is kept. In bytes per second, for mail as it is and for bodies made to be slow.
//!
//! Beside it the naive twin that the tests use, and the `smtp-proto` crate's receiver; all three
//! gather the message in a vector, and have to find the same one, which is asserted. mailfly's copies
//! slices, and joins short ones where a session does. `scan alone` is
//! mailfly's by slices, without the copy: what the scanner itself takes, since the daemon copies from its read
//! buffer into the store. `in reads of` cuts the stream as the network does; the twin needs it whole.

#![allow(clippy::panic, reason = "an input that is not what it says fails")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use mailfly::limits::{BODY_JOINED_BYTES, BODY_PIECE_BYTES_SHORT, BODY_PIECES_MAX, KIB};
use mailfly::smtp::body::{Piece, Scanner, naive};
use smtp_proto::request::receiver::DataReceiver;

/// Bodies by their names, as they are sent: the end of data follows. None begins with a dot, which
/// `smtp-proto` would keep, since it sees dots behind a line end only.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let filled = |line: &str| {
        let mut body = "x\r\n".to_owned();
        body.push_str(&line.repeat(64 * KIB / line.len()));
        body.push_str("\r\n");
        body.into_bytes()
    };
    vec![
        ("text, 1 KiB", support::message(KIB)),
        ("text, 64 KiB", support::message(64 * KIB)),
        ("one line", filled("x")),
        ("empty lines", filled("\r\n")),
        ("bare CR", filled("\r")),
        ("bare LF", filled("\n")),
        ("a dot in each line", filled("..x\r\n")),
        ("lines that are a dot", filled("..\r\n")),
        ("ends that are none", filled("..\r.x\r\n")),
    ]
}

fn main() {
    let mut criterion = support::criterion();
    for (name, mut stream) in bodies() {
        stream.extend_from_slice(b".\r\n");
        bench(&mut criterion, name, &stream);
    }
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, name: &str, stream: &[u8]) {
    let expected = naive::message(stream).map(|(message, _)| message).unwrap_or_default();
    assert!(expected.len() >= stream.len() / 2, "{name}: nearly all of it is message");
    assert_eq!(naive::message(stream).map(|(_, left)| left), Some(0), "{name}: ends at its end");
    let mut message = Vec::with_capacity(stream.len());

    let mut group = criterion.benchmark_group(format!("body/{name}"));
    group.throughput(Throughput::Bytes(stream.len() as u64));
    for (case, read_bytes) in [
        ("mailfly", usize::MAX),
        ("mailfly, in reads of 1460", 1460),
        ("mailfly, in reads of 1", 1),
    ] {
        assert!(gather(stream, read_bytes, &mut message) && message == expected, "{name}: {case}");
        // Short reads change something for one subject only: how often the scanner is begun.
        if read_bytes == usize::MAX || name.starts_with("text, 64") || name.starts_with("ends") {
            group.bench_function(case, |bencher| {
                bencher.iter(|| gather(black_box(stream), read_bytes, &mut message));
            });
        }
    }
    assert_eq!(scan(stream), expected.len(), "{name}: scan alone");
    group.bench_function("mailfly, scan alone", |bencher| {
        bencher.iter(|| scan(black_box(stream)));
    });
    group.bench_function("naive", |bencher| {
        bencher.iter(|| naive::message(black_box(stream)));
    });
    assert!(smtp_proto(stream, &mut message), "{name}: smtp-proto finds the end");
    assert_eq!(message, expected, "{name}: smtp-proto");
    group.bench_function("smtp-proto", |bencher| {
        bencher.iter(|| smtp_proto(black_box(stream), &mut message));
    });
    group.finish();
}

/// Scans a stream in reads of so many bytes and gathers its message. Whether it ended.
fn gather(stream: &[u8], read_bytes: usize, message: &mut Vec<u8>) -> bool {
    message.clear();
    let mut scanner = Scanner::new();
    for mut read in stream.chunks(read_bytes) {
        let (mut pieces, mut before) = (0, message.len());
        while let Some(piece) = scanner.next(&mut read) {
            match piece {
                Piece::Bytes(bytes) => message.extend_from_slice(bytes),
                Piece::End => return true,
            }
            pieces += 1;
            if pieces == BODY_PIECES_MAX {
                let short = message.len() - before < BODY_PIECES_MAX * BODY_PIECE_BYTES_SHORT;
                if short && join(&mut scanner, &mut read, message) {
                    return true;
                }
                (pieces, before) = (0, message.len());
            }
        }
    }
    false
}

/// Gathers on by copying, as long as the pieces would be short. Whether the message ended.
fn join(scanner: &mut Scanner, read: &mut &[u8], message: &mut Vec<u8>) -> bool {
    let mut room = [0; BODY_JOINED_BYTES];
    loop {
        let joined = scanner.join(read, &mut room);
        message.extend_from_slice(joined.bytes);
        if joined.ended || !joined.short {
            return joined.ended;
        }
    }
}

/// The length of the message that a stream begins with.
fn scan(mut stream: &[u8]) -> usize {
    let mut scanner = Scanner::new();
    let mut length = 0;
    while let Some(Piece::Bytes(bytes)) = scanner.next(&mut stream) {
        length += bytes.len();
    }
    length
}

fn smtp_proto(stream: &[u8], message: &mut Vec<u8>) -> bool {
    message.clear();
    DataReceiver::new().ingest(&mut stream.iter(), message)
}
