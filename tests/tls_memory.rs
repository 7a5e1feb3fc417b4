//! What TLS takes from the heap is what the plan says: so much for each connection, and so much more
//! while one of them is worked on. Counted by an allocator, on the server's side only.

#![allow(clippy::unwrap_used, reason = "what is not as it should be fails the test")]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write as _;

use mailfly::limits::{READ_BUFFER_BYTES, TLS_STATE_BYTES, TLS_WORK_BYTES};
use mailfly::tls::{Identity, Tls, TlsId};
use rustls::{ClientConnection, version};

use self::other_side::connection as client;

#[path = "support/tls.rs"]
mod other_side;

thread_local! {
    /// Whether to count, how much there is now, and the most there was.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static BYTES_MAX: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    if COUNTS.get() {
        BYTES.set(BYTES.get() + bytes);
        BYTES_MAX.set(BYTES_MAX.get().max(BYTES.get()));
    }
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // What malloc adds to each piece counts as well.
        count(layout.size() as isize + 16);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize + 16));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does it, with everything counted.
fn counted<T>(work: impl FnOnce() -> T) -> T {
    COUNTS.set(true);
    let result = work();
    COUNTS.set(false);
    result
}

/// Brings the server everything that the client has to say, and its answer back.
fn exchange(tls: &mut Tls, id: TlsId, client: &mut ClientConnection) {
    let mut bytes = vec![];
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    let mut plain = vec![0; READ_BUFFER_BYTES];
    for piece in bytes.chunks(20_000) {
        let answer = counted(|| {
            tls.room(id, READ_BUFFER_BYTES)[..piece.len()].copy_from_slice(piece);
            tls.open(id, piece.len(), &mut plain).unwrap();
            tls.take_outgoing(id)
        });
        let mut answer = answer;
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
    }
}

#[test]
fn connections_take_what_the_plan_says_and_give_it_back() {
    const CONNECTIONS: u32 = 20;
    let most = TLS_STATE_BYTES as isize;
    for version in [&version::TLS12, &version::TLS13] {
        let mut tls = Tls::new(CONNECTIONS);
        tls.set_identity(Identity::self_signed("mail.test").unwrap());
        // Some things are made once.
        let first = tls.begin(0);
        exchange(&mut tls, first, &mut client(version));
        tls.end(first);
        BYTES.set(0);
        BYTES_MAX.set(0);
        let mut each = 0;
        let mut stage = |name: &str| {
            each = BYTES.get() / CONNECTIONS as isize;
            println!("{version:?}, {name}: {each} bytes each, {} at most", BYTES_MAX.get());
            assert!(each <= most, "{name}: {each}");
            let work = BYTES_MAX.get() - BYTES.get();
            assert!(work <= TLS_WORK_BYTES as isize, "{name}: {work} at a time");
        };
        let mut peers: Vec<_> =
            (0..CONNECTIONS).map(|_| (counted(|| tls.begin(0)), client(version))).collect();
        stage("begun");
        for (id, client) in &mut peers {
            exchange(&mut tls, *id, client);
        }
        stage("half way");
        for (id, client) in &mut peers {
            while client.is_handshaking() || client.wants_write() {
                exchange(&mut tls, *id, client);
            }
        }
        stage("done");
        for (id, client) in &mut peers {
            client.writer().write_all(&[b'x'; 30_000]).unwrap();
            exchange(&mut tls, *id, client);
            counted(|| tls.seal(*id, &[b'y'; 30_000], &[b'z'; 8000]).unwrap());
        }
        stage("at work");
        for (id, _) in &peers {
            counted(|| tls.end(*id));
        }
        assert_eq!(BYTES.get(), 0, "all of it is given back");
    }
}
