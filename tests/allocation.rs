//! From accept to the final 250 the server takes nothing from the heap: everything that mail needs
//! was set aside at start. Counted on the server's own thread, so that the client's part does not
//! count.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what is not as it should be fails the test"
)]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait; this one only counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use mailfly::config::{self, Machine};
use mailfly::server::Server;
use support::{Client, message};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MESSAGES: usize = 100_000;
/// Of those who are not trusted, where each is judged.
const MESSAGES_JUDGED: usize = 20_000;
const CONNECTIONS: usize = 10;
const MESSAGES_PER_CONNECTION: usize = 250;

#[test]
fn taking_mail_allocates_nothing() {
    assert_no_allocation("", MESSAGES);
}

#[test]
fn judging_mail_allocates_nothing() {
    assert_no_allocation(
        " --trust none --guard-connections off --guard-messages 60000/1h --guard-bodies 700/2m",
        MESSAGES_JUDGED,
    );
}

fn assert_no_allocation(more_flags: &str, messages: usize) {
    let flags = "mailfly --smtp 127.0.0.1:0 --http 127.0.0.1:0 --memory 16MiB --mailboxes 2000 \
                 --mailbox-size 512KiB --message-size 256KiB --connections 100 --hostname localhost \
                 --messages-per-mailbox 50";
    let flags = flags.to_owned() + more_flags;
    let arguments = flags.split_whitespace().map(OsString::from);
    let request = config::read(arguments, [], &Machine::look()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (address_sender, address) = mpsc::channel();
    let stopped = Arc::clone(&stop);
    let server = thread::spawn(move || {
        let mut server = Server::start(&request.settings).unwrap();
        address_sender.send(server.smtp_addresses()[0]).unwrap();
        let before = ALLOCATIONS.with(Cell::get);
        while !stopped.load(Ordering::Relaxed) {
            server.turn().unwrap();
        }
        let allocations = ALLOCATIONS.with(Cell::get) - before;
        (allocations, server.metrics(), server.store().figures())
    });
    let address = address.recv().unwrap();
    let sizes = [0, 100, 1_000, 1_000, 1_000, 1_000, 5_000, 10_000, 60_000];
    let mut number = 0;
    while number < messages {
        let mut clients: Vec<Client> =
            (0..CONNECTIONS).map(|_| Client::introduced(address)).collect();
        for _ in 0..MESSAGES_PER_CONNECTION {
            for client in &mut clients {
                number += 1;
                let mut body = message(number, sizes[number % sizes.len()]);
                let recipients = match number % 50 {
                    0 => 5,
                    _ => 1,
                };
                // Now and then a large one, in the manner of DATA, and in two writes.
                if number.is_multiple_of(997) {
                    body = message(number, 200_000);
                }
                deliver_by_data(client, number, recipients, &body);
            }
        }
        for client in &mut clients {
            client.send(b"QUIT\r\n");
            client.expect("221");
        }
    }
    stop.store(true, Ordering::Relaxed);
    // Wakes the loop.
    let _last = Client::connect(address);
    let (allocations, metrics, figures) = server.join().unwrap();
    assert_eq!(metrics.messages, number as u64);
    assert!(figures.lost.memory_full > 0 && figures.lost.mailbox_full > 0, "{figures:?}");
    assert_eq!(allocations, 0, "over {number} messages");
}

/// An envelope in one write; a body with its end in one or two.
fn deliver_by_data(client: &mut Client, number: usize, recipients: usize, body: &[u8]) {
    let mut envelope = b"MAIL FROM:<sender@example.org> BODY=8BITMIME\r\n".to_vec();
    for recipient in 0..recipients {
        // A busy mailbox, and ever new ones.
        let name = if number.is_multiple_of(3) { 0 } else { number * 7 + recipient };
        envelope.extend_from_slice(format!("RCPT TO:<user{name}@example.com>\r\n").as_bytes());
    }
    envelope.extend_from_slice(b"DATA\r\n");
    client.send(&envelope);
    for _ in 0..=recipients {
        client.expect("250");
    }
    client.expect("354");
    let (first, second) = body.split_at(if number.is_multiple_of(4) { body.len() / 2 } else { 0 });
    if !first.is_empty() {
        client.send(first);
    }
    client.send(&[second, b"\r\n.\r\n"].concat());
    client.expect("250");
}
