//! The process's own memory: making all of it resident before the first connection, so that it
//! does not move afterwards, and looking at how much it is. Not here: the pool (`store::pool`),
//! which takes and touches its own mapping; how much is left to take (`available`).

use std::collections::TryReserveError;
use std::fs;
use std::hint::black_box;

/// Takes, touches and gives back `bytes` of heap, and has the allocator keep them: what the heap
/// needs later, up to that, is resident from now on, and nothing is given back to the system. If
/// it needs more after all, it grows by that and `top_pad_bytes`.
///
/// Call it once, before other large allocations. With another C library than glibc it does
/// nothing, since only glibc's allocator promises to keep what it was told to keep.
///
/// # Errors
/// The heap cannot be had.
pub fn settle_heap(bytes: usize, top_pad_bytes: usize) -> Result<(), TryReserveError> {
    #[cfg(target_env = "gnu")]
    {
        keep_heap(top_pad_bytes);
        let mut heap: Vec<u8> = Vec::new();
        heap.try_reserve_exact(bytes)?;
        heap.resize(bytes, 1);
        // Or the compiler sees that nobody looks at it, and leaves all of this out.
        black_box(&mut heap);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = (bytes, top_pad_bytes);
    Ok(())
}

/// One heap, grown at its end only, never trimmed, and never beside it a mapping that would be
/// given back to the system when it is freed.
#[cfg(target_env = "gnu")]
fn keep_heap(top_pad_bytes: usize) {
    let top_pad = i32::try_from(top_pad_bytes).unwrap_or(i32::MAX);
    let never = -1;
    for (parameter, value) in [
        (libc::M_MMAP_MAX, 0),
        (libc::M_TRIM_THRESHOLD, never),
        (libc::M_TOP_PAD, top_pad),
        // One thread needs one arena.
        (libc::M_ARENA_MAX, 1),
    ] {
        #[allow(unsafe_code, reason = "mallopt is the only way to tell glibc's allocator")]
        // SAFETY: takes two integers, and changes only where later allocations come from. A
        // parameter that it does not know it refuses.
        unsafe {
            libc::mallopt(parameter, value);
        }
    }
}

/// Makes the program's own code and data, its libraries' too, and `STACK_BYTES` of its stack
/// resident, as far as the kernel will; returns how many bytes of files are mapped for that.
///
/// What fails is left as it is: those pages then come when they are first used.
pub fn prefault_program<const STACK_BYTES: usize>() -> usize {
    touch_stack::<STACK_BYTES>();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut bytes = 0;
    for mapping in maps.lines().filter_map(Mapping::of_line) {
        bytes += mapping.end - mapping.start;
        populate(&mapping);
    }
    bytes
}

/// Memory that the process has resident now, in bytes; `None` where `/proc` does not say.
///
/// The kernel gathers the figure from counters for each processor, so it may be off by some
/// dozens of pages a processor.
#[must_use]
pub fn resident_bytes() -> Option<usize> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    resident_pages(&statm)?.checked_mul(page_bytes())
}

/// The second field of `/proc/self/statm`.
fn resident_pages(statm: &str) -> Option<usize> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A private mapping of a file: the program's, or one of its libraries'.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: usize,
    end: usize,
    writable: bool,
}

impl Mapping {
    /// A line of `/proc/self/maps` (`start-end rwxp offset device inode path`), if it is such a
    /// mapping and may be read. Shared mappings are the pool's affair, and those without a path
    /// the heap's and the stack's.
    fn of_line(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let permissions = fields.next()?.as_bytes();
        let path = fields.nth(3)?;
        let (&[b'r', write, _, b'p'], true) = (permissions, path.starts_with('/')) else {
            return None;
        };
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok().filter(|end| *end >= start)?;
        Some(Self { start, end, writable: write == b'w' })
    }
}

fn populate(mapping: &Mapping) {
    // A writable page that is only read would be copied, and so counted anew, when it is written.
    let advice =
        if mapping.writable { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
    let start = std::ptr::without_provenance_mut(mapping.start);
    #[allow(unsafe_code, reason = "madvise has no safe twin in the standard library")]
    // SAFETY: both advices make pages present and leave every byte as it is; no reference is made
    // from the address. Of addresses that are mapped no longer the kernel says ENOMEM.
    unsafe {
        libc::madvise(start, mapping.end - mapping.start, advice);
    }
}

#[inline(never)]
fn touch_stack<const STACK_BYTES: usize>() {
    let mut stack = [0_u8; STACK_BYTES];
    black_box(&mut stack);
}

fn page_bytes() -> usize {
    #[allow(unsafe_code, reason = "sysconf has no safe twin in the standard library")]
    // SAFETY: takes an integer and returns one; touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_mappings_of_files_are_the_program() {
        let mapping = |line| Mapping::of_line(line);
        assert_eq!(
            mapping("1000-3000 r-xp 00000000 fd:01 12   /usr/bin/mailfly"),
            Some(Mapping { start: 0x1000, end: 0x3000, writable: false })
        );
        assert_eq!(
            mapping("1000-3000 rw-p 00000000 fd:01 12   /usr/bin/mail fly (deleted)"),
            Some(Mapping { start: 0x1000, end: 0x3000, writable: true })
        );
        for other in [
            "1000-3000 rw-s 00000000 fd:01 12   /var/lib/pool",
            "1000-3000 ---p 00000000 fd:01 12   /lib/libc.so.6",
            "1000-3000 rw-p 00000000 00:00 0    [heap]",
            "1000-3000 rw-p 00000000 00:00 0",
            "3000-1000 r--p 00000000 fd:01 12   /lib/libc.so.6",
            "nonsense",
            "",
        ] {
            assert_eq!(mapping(other), None, "{other}");
        }
    }

    #[test]
    fn the_second_field_of_statm_is_what_is_resident() {
        assert_eq!(resident_pages("100 42 7 1 0 9 0\n"), Some(42));
        assert_eq!(resident_pages(""), None);
    }

    #[test]
    fn the_program_is_some_and_resident_when_prefaulted() {
        let bytes = prefault_program::<4096>();
        assert!(bytes > 0);
        assert!(resident_bytes().is_some_and(|resident| resident > bytes / 2));
    }
}
