//! The law of a settled heap: what comes and goes within it moves no resident memory. A program of
//! its own, without a harness, because the law is about the one heap of the one thread.

use std::process::ExitCode;

use mailfly::limits::{HEAP_TOP_PAD_BYTES, MIB, STACK_TOUCHED_BYTES};
use mailfly::sys::memory::{prefault_program, resident_bytes, settle_heap};

/// What the kernel's figure may be off by, since it gathers it from counters of each processor.
const SLACK_BYTES: usize = MIB / 2;
const HEAP_BYTES: usize = 32 * MIB;

fn main() -> ExitCode {
    if !cfg!(target_env = "gnu") {
        return ExitCode::SUCCESS;
    }
    let cold = resident_bytes().unwrap_or(0);
    prefault_program::<STACK_TOUCHED_BYTES>();
    if settle_heap(HEAP_BYTES, HEAP_TOP_PAD_BYTES).is_err() {
        eprintln!("no heap of {HEAP_BYTES} bytes");
        return ExitCode::FAILURE;
    }
    let settled = resident_bytes().unwrap_or(0);
    if settled < cold + HEAP_BYTES - SLACK_BYTES {
        eprintln!("{settled} bytes are resident, and {cold} were: the heap is not");
        return ExitCode::FAILURE;
    }
    for round in 1..=64 {
        // From many small to few large pieces, half of them given back out of order.
        let piece_bytes = 1 << (10 + round % 14);
        let pieces = HEAP_BYTES / 2 / piece_bytes;
        let mut held: Vec<Vec<u8>> = (0..pieces).map(|_| vec![1; piece_bytes]).collect();
        let full = resident_bytes().unwrap_or(0);
        let mut odd = false;
        held.retain(|_| {
            odd = !odd;
            odd
        });
        drop(held);
        let empty = resident_bytes().unwrap_or(0);
        for now in [full, empty] {
            if now.abs_diff(settled) > SLACK_BYTES {
                eprintln!("round {round}: {now} bytes are resident, and {settled} were");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
