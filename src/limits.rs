//! Every bound of the program, with its unit and its reason. What an operator may set has its
//! default here; what he may not has its only value here. Relations between bounds are asserted
//! when this file is compiled.

/// One kibibyte, in bytes.
pub const KIB: usize = 1024;
/// One mebibyte, in bytes.
pub const MIB: usize = 1024 * KIB;

// ---- SMTP (RFC 5321 section 4.5.3.1, and the extensions that EHLO offers) ----

/// The longest command line, its line end included. RFC 5321 asks for 512; MAIL and RCPT grow by
/// the parameters of the extensions, so twice that.
pub const LINE_BYTES_MAX: usize = 1024;
/// The longest path (RFC 5321 section 4.5.3.1.3), brackets included.
pub const PATH_BYTES_MAX: usize = 256;
/// The longest name that a client may call itself in HELO or EHLO (RFC 5321 section 4.5.3.1.2).
pub const HELO_BYTES_MAX: usize = 255;
/// How much of that name a session keeps for the trace line. Names of hosts are shorter; every
/// connection pays for this, the idle ones too.
pub const HELO_BYTES_KEPT: usize = 64;
/// The longest name that this server may give itself (RFC 5321 section 4.5.3.1.2).
pub const HOSTNAME_BYTES_MAX: usize = 255;
/// The longest answer to one command, the closing 421 after a last fault included. A session does
/// not begin on a command while its output has less room than this. The longest is EHLO's, which
/// names the host and every extension.
pub const REPLY_BYTES_MAX: usize = 512;
/// Pieces of a body that a session gathers from one read before it hands them over. A body has one
/// more piece for each line that began with a dot, so most have one.
pub const BODY_PIECES_MAX: usize = 16;
/// The most recipients of one message; the next is refused with 452 (RFC 5321 section 4.5.3.1.8
/// asks for at least this many).
pub const RECIPIENTS_MAX: usize = 100;
/// Faults after which `--policy rfc` closes a session.
pub const FAULTS_MAX: u8 = 10;

// ---- The store ----

/// One arena of the store's pool, in bytes. A power of two.
pub const ARENA_BYTES: usize = 2 * KIB;
/// The longest name of a mailbox: a path without its brackets (RFC 5321 section 4.5.3.1.3).
pub const NAME_BYTES_MAX: usize = PATH_BYTES_MAX;
/// The longest envelope that one copy of a message keeps: the client's name, the reverse-path and
/// at least two forward-paths. Further addresses that mean the same mailbox are left out.
pub const ENVELOPE_BYTES_MAX: usize = KIB + 512;
/// The longest message that lies in its mailbox's log itself, packed with others; a longer one
/// gets arenas of its own, which all its recipients share.
pub const BODY_INLINE_BYTES_MAX: usize = 2 * ARENA_BYTES;
/// Drafts together may hold one part in so many of the pool's arenas; the others are for mail that
/// was acknowledged.
pub const DRAFTS_SHARE: u32 = 4;
/// How many of the newest messages over all mailboxes are remembered.
pub const RECENT_MESSAGES: usize = KIB;

const _: () = assert!(ARENA_BYTES.is_power_of_two());
const _: () = assert!(PATH_BYTES_MAX < LINE_BYTES_MAX);
const _: () = assert!(
    ENVELOPE_BYTES_MAX >= HELO_BYTES_MAX + 3 * PATH_BYTES_MAX + 4 * size_of::<u16>(),
    "an envelope holds the client's name, the reverse-path and two forward-paths"
);
const _: () = assert!(HELO_BYTES_KEPT <= HELO_BYTES_MAX && HELO_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(RECIPIENTS_MAX <= u8::MAX as usize);
const _: () = assert!(REPLY_BYTES_MAX >= HOSTNAME_BYTES_MAX + 192);

// ---- The reactor ----

/// The buffer that everything is read into, one for all connections, in bytes. Measured on the
/// floor of the benchmarks: 16 KiB costs 6 % more on long messages, more than 64 KiB gains nothing.
pub const READ_BUFFER_BYTES: usize = 64 * KIB;
/// The buffer that replies are gathered in, one for all connections, in bytes: enough for the
/// replies to a read buffer full of pipelined mail, so that they leave in one write.
pub const OUTPUT_BYTES: usize = 32 * KIB;
/// How many bytes one visit may move for a connection before others have their turn.
pub const BYTES_PER_VISIT: usize = 256 * KIB;
/// How many readiness events one turn takes from the kernel.
pub const EVENTS_PER_TURN: usize = 256;
/// How many connections one turn accepts at each listener, after the work of those that it has.
pub const ACCEPTS_PER_TURN: usize = 64;
/// How many entries of the timer wheel one turn looks at.
pub const TIMERS_PER_TURN: usize = 256;
/// The timer wheel's grain, in milliseconds: deadlines pass up to this much late.
pub const TIMER_TICK_MS: u64 = 16;
/// How often a protocol is told the time for its own sweeps, in milliseconds.
pub const PROTOCOL_TICK_MS: u64 = 1000;
/// How long accepting rests when the system is out of descriptors or memory, in milliseconds. A
/// timer has to bring it back, since the listener's edge is gone.
pub const ACCEPT_REST_MS: u64 = 100;
/// How many connections the kernel keeps for a listener until they are accepted; it takes less if
/// `net.core.somaxconn` is less.
pub const LISTEN_BACKLOG: i32 = 4096;

/// One arena of the spill, in bytes: the first is every connection's for sure, so that a command
/// line that has not arrived whole can always be kept.
pub const SPILL_ARENA_BYTES: usize = KIB;
/// How many more arenas there are for all connections together, for replies that peers don't read
/// and for what they sent meanwhile; who finds none is closed.
pub const SPILL_SURPLUS_ARENAS: u32 = 4096;

/// How long a closed connection may go on talking before it is cut off, in milliseconds. It is
/// listened to at all because closing with unread input destroys the last reply on its way.
pub const LINGER_MS: u64 = 2000;
/// How much of that talk is read and thrown away, in bytes.
pub const LINGER_BYTES_MAX: usize = MIB;
/// How long connections may finish what they are at when the server shuts down, in milliseconds.
pub const DRAIN_MS: u64 = 5000;

const _: () = assert!(SPILL_ARENA_BYTES.is_power_of_two());
const _: () = assert!(LINE_BYTES_MAX <= SPILL_ARENA_BYTES);
// What is unsent is read back through the read buffer.
const _: () = assert!(OUTPUT_BYTES <= READ_BUFFER_BYTES);
const _: () = assert!(BYTES_PER_VISIT >= READ_BUFFER_BYTES);
const _: () = assert!(LINGER_MS < DRAIN_MS);
