//! Copying bytes that nobody will look at soon past the caches. Not here: which bytes are (`store`).

/// What a cache line holds, and what a processor gathers before it writes past its caches.
const LINE_BYTES: usize = 64;

/// Does `work`, whose copies with [`PastCaches`] other processors see when this returns.
pub fn past_caches<R>(work: impl FnOnce(PastCaches<'_>) -> R) -> R {
    // One for all of them: with one behind each arena 10 KiB take half as long again.
    let fence = Fence;
    work(PastCaches::before(&fence))
}

/// Copies past the caches, as long as [`past_caches`] has it done.
#[derive(Clone, Copy, Debug)]
pub struct PastCaches<'fence> {
    /// Its copies are made before this is dropped.
    _fence: &'fence Fence,
    /// The processor has vectors of half a cache line. With those of a quarter 10 KiB take a third
    /// longer. One that has none, which is an old one, copies plainly.
    #[cfg(target_arch = "x86_64")]
    has_avx: bool,
}

impl<'fence> PastCaches<'fence> {
    fn before(fence: &'fence Fence) -> Self {
        Self {
            _fence: fence,
            #[cfg(target_arch = "x86_64")]
            has_avx: is_x86_feature_detected!("avx"),
        }
    }

    /// Copies as [`copy_from_slice`](slice::copy_from_slice) does, but whole cache lines go straight
    /// to memory, where the processor can do that: they are not fetched before they are
    /// overwritten, and nothing that is in the caches gives way to them. What is read again at once
    /// is better copied plainly.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn copy(self, into: &mut [u8], from: &[u8]) {
        assert_eq!(into.len(), from.len(), "as long as each other");
        let unaligned = into.as_ptr().align_offset(LINE_BYTES).min(into.len());
        let (into_front, into_rest) = into.split_at_mut(unaligned);
        let (from_front, from_rest) = from.split_at(unaligned);
        let (into_lines, into_back) = into_rest.as_chunks_mut();
        let (from_lines, from_back) = from_rest.as_chunks();
        into_front.copy_from_slice(from_front);
        self.copy_lines(into_lines, from_lines);
        into_back.copy_from_slice(from_back);
    }

    /// `into` begins at the begin of a cache line, and has as many of them as `from`.
    fn copy_lines(self, into: &mut [[u8; LINE_BYTES]], from: &[[u8; LINE_BYTES]]) {
        #[cfg(target_arch = "x86_64")]
        if self.has_avx {
            #[allow(unsafe_code, reason = "a processor's features are known when it runs")]
            // SAFETY: the processor has them, as was found when this was made.
            return unsafe { copy_lines_avx(into, from) };
        }
        into.as_flattened_mut().copy_from_slice(from.as_flattened());
    }
}

/// `into` begins at the begin of a cache line, and has as many of them as `from`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn copy_lines_avx(into: &mut [[u8; LINE_BYTES]], from: &[[u8; LINE_BYTES]]) {
    use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_stream_si256};

    let (into, _) = into.as_flattened_mut().as_chunks_mut::<{ size_of::<__m256i>() }>();
    let (from, _) = from.as_flattened().as_chunks::<{ size_of::<__m256i>() }>();
    for (into, from) in into.iter_mut().zip(from) {
        let into: *mut __m256i = std::ptr::from_mut(into).cast();
        let from: *const __m256i = std::ptr::from_ref(from).cast();
        debug_assert!(into.is_aligned(), "a line's vectors are where vectors must be");
        #[allow(unsafe_code, reason = "streaming stores exist as intrinsics only")]
        // SAFETY: both point to as many bytes as a vector has, which are ours to read and to write;
        // `into` is aligned as a line is, and so as a vector must be; `from` need not be. The
        // thread itself sees what it wrote at once, and others behind the fence.
        unsafe {
            _mm256_stream_si256(into, _mm256_loadu_si256(from));
        }
    }
}

/// Orders what was streamed before whatever follows it, when it is dropped.
#[derive(Debug)]
struct Fence;

impl Drop for Fence {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code, reason = "the fence exists as an intrinsic only")]
        // SAFETY: touches no memory itself.
        unsafe {
            std::arch::x86_64::_mm_sfence();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way that a copy can lie to the lines, on both sides, and no byte beside it is touched.
    #[test]
    fn copies_as_copy_from_slice_does_at_every_alignment() {
        past_caches(copies_at_every_alignment);
        // As where there are no such vectors.
        #[cfg(target_arch = "x86_64")]
        past_caches(|past| copies_at_every_alignment(PastCaches { has_avx: false, ..past }));
    }

    fn copies_at_every_alignment(past_caches: PastCaches<'_>) {
        const ROOM_BYTES: usize = 6 * LINE_BYTES;
        let from: Vec<u8> = (0..ROOM_BYTES).map(|index| (index % 251) as u8).collect();
        for into_start in 0..LINE_BYTES {
            for from_start in 0..20 {
                for length in (0..5).chain(LINE_BYTES - 1..LINE_BYTES + 2).chain(250..260) {
                    let from = &from[from_start..from_start + length];
                    let mut plain = [0xff; ROOM_BYTES];
                    plain[into_start..into_start + length].copy_from_slice(from);
                    let mut streamed = [0xff; ROOM_BYTES];
                    past_caches.copy(&mut streamed[into_start..into_start + length], from);
                    assert_eq!(streamed, plain, "{length} bytes at {into_start}");
                }
            }
        }
    }
}
