//! Copying bytes that nobody will look at soon past the caches. Not here: which bytes are (`store`).

/// What a cache line holds, and what a processor gathers before it writes past its caches.
const LINE_BYTES: usize = 64;

/// Copies as [`copy_from_slice`](slice::copy_from_slice) does, but whole cache lines go straight to
/// memory, where the processor can do that: they are not fetched before they are overwritten, and
/// nothing that is in the caches gives way to them. What is read again at once is better copied
/// plainly.
///
/// # Panics
/// If the slices differ in length.
pub fn copy_past_caches(into: &mut [u8], from: &[u8]) {
    assert_eq!(into.len(), from.len(), "as long as each other");
    let unaligned = into.as_ptr().align_offset(LINE_BYTES).min(into.len());
    let (into_front, into_rest) = into.split_at_mut(unaligned);
    let (from_front, from_rest) = from.split_at(unaligned);
    let (into_lines, into_back) = into_rest.as_chunks_mut();
    let (from_lines, from_back) = from_rest.as_chunks();
    into_front.copy_from_slice(from_front);
    copy_lines(into_lines, from_lines);
    into_back.copy_from_slice(from_back);
}

/// `into` begins at the begin of a cache line, and has as many of them as `from`.
#[cfg(target_arch = "x86_64")]
fn copy_lines(into: &mut [[u8; LINE_BYTES]], from: &[[u8; LINE_BYTES]]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const VECTOR_BYTES: usize = size_of::<__m128i>();

    for (into, from) in into.iter_mut().zip(from) {
        let (into, _) = into.as_chunks_mut::<VECTOR_BYTES>();
        let (from, _) = from.as_chunks::<VECTOR_BYTES>();
        for (into, from) in into.iter_mut().zip(from) {
            let into: *mut __m128i = std::ptr::from_mut(into).cast();
            let from: *const __m128i = std::ptr::from_ref(from).cast();
            debug_assert!(into.is_aligned(), "a line's vectors are where vectors must be");
            #[allow(unsafe_code, reason = "streaming stores exist as intrinsics only")]
            // SAFETY: both point to as many bytes as a vector has, which are ours to read and to
            // write; `into` is aligned as a line is, and so as a vector must be; `from` need not
            // be. The fence below comes before anything else that looks at the bytes, while
            // `into` is still borrowed. Each x86_64 processor has these instructions (SSE2).
            unsafe {
                _mm_stream_si128(into, _mm_loadu_si128(from));
            }
        }
    }
    #[allow(unsafe_code, reason = "streaming stores exist as intrinsics only")]
    // SAFETY: orders what was streamed before whatever follows; touches no memory itself.
    unsafe {
        _mm_sfence();
    }
}

/// Other processors find by themselves that lines are written from end to end.
#[cfg(not(target_arch = "x86_64"))]
fn copy_lines(into: &mut [[u8; LINE_BYTES]], from: &[[u8; LINE_BYTES]]) {
    into.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way that a copy can lie to the lines, on both sides, and no byte beside it is touched.
    #[test]
    fn copies_as_copy_from_slice_does_at_every_alignment() {
        const ROOM_BYTES: usize = 6 * LINE_BYTES;
        let from: Vec<u8> = (0..ROOM_BYTES).map(|index| (index % 251) as u8).collect();
        for into_start in 0..LINE_BYTES {
            for from_start in 0..20 {
                for length in (0..5).chain(LINE_BYTES - 1..LINE_BYTES + 2).chain(250..260) {
                    let from = &from[from_start..from_start + length];
                    let mut plain = [0xff; ROOM_BYTES];
                    plain[into_start..into_start + length].copy_from_slice(from);
                    let mut streamed = [0xff; ROOM_BYTES];
                    copy_past_caches(&mut streamed[into_start..into_start + length], from);
                    assert_eq!(streamed, plain, "{length} bytes at {into_start}");
                }
            }
        }
    }
}
