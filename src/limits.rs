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
