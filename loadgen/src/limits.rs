//! Every bound of the generator, with its reason. Not here: what the user may choose (`arguments`).

use std::time::Duration;

/// The largest number of connections, of each kind; descriptors are checked besides.
pub(crate) const CONNECTIONS_MAX: u32 = 1_000_000;
/// Recipients of one message. RFC 5321 section 4.5.3.1.8 has servers take at least 100.
pub(crate) const RECIPIENTS_MAX: u16 = 100;
/// Mailboxes are numbered with eight digits in a recipient's address.
pub(crate) const MAILBOXES_MAX: u32 = 100_000_000;
/// With unequal choice there is a table of them, 8 bytes each.
pub(crate) const MAILBOXES_ZIPF_MAX: u32 = 10_000_000;
/// The smallest message that has room for its header fields.
pub(crate) const MESSAGE_BYTES_MIN: usize = 256;
/// The largest: templates are held whole, several for each size.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most sizes in a mix.
pub(crate) const SIZES_MAX: usize = 16;
/// Source addresses: 127.0.0.2 and on unless told otherwise, within 127.0.0.0/8.
pub(crate) const SOURCES_MAX: u32 = 1 << 20;
/// How many there are by default where one has too few ports.
pub(crate) const SOURCES_DEFAULT: u32 = 64;
/// The longest run, warm-up included: a day.
pub(crate) const SECONDS_MAX: u64 = 24 * 60 * 60;
/// The most messages of one run: a verified one remembers some 25 bytes of each.
pub(crate) const MESSAGES_MAX: u64 = 1_000_000_000;
/// The most messages of one run unless more are asked for.
pub(crate) const MESSAGES_DEFAULT: u64 = 10_000_000;
/// The flood runs for so long before it is measured: buffers and tables have grown by then.
pub(crate) const WARMUP_DEFAULT: Duration = Duration::from_millis(500);
/// The highest rate that can be asked for; a start every 100 ns is beyond any server.
pub(crate) const RATE_MAX: f64 = 1e7;

/// The buffer for replies, one for all connections. Replies are short.
pub(crate) const READ_BUFFER_BYTES: usize = 64 * 1024;
/// The longest line of a reply that is believed. RFC 5321 section 4.5.3.1.5 says 512.
pub(crate) const REPLY_LINE_BYTES_MAX: usize = 4096;
/// Events that one turn takes from the kernel.
pub(crate) const EVENTS_PER_TURN: usize = 512;
/// How many connections may be on their way at once while many are opened: fewer than any
/// listener's queue of 128 or more.
pub(crate) const CONNECTING_MAX: usize = 100;
/// How long a connection rests after a fault before it is opened again, in nanoseconds, so that a
/// server that refuses everything is not hammered.
pub(crate) const REST_NS: u64 = 10_000_000;
/// After so many faults in a row, without one message acknowledged between them, the run ends.
pub(crate) const FAULTS_IN_A_ROW_MAX: u64 = 2000;
/// How long messages under way may finish after the run, in nanoseconds.
pub(crate) const DRAIN_NS: u64 = 5_000_000_000;
/// How often it looks at the clocks, timeouts and the server's process, at least, in nanoseconds.
pub(crate) const TICK_NS: u64 = 100_000_000;
/// The most points in time of one run; longer runs have longer ticks.
pub(crate) const TICKS_MAX: u64 = 600;
/// A start that is so much later than it could have been is the generator's fault and counted, in
/// nanoseconds.
pub(crate) const LATE_NS: u64 = 1_000_000;
/// The share of one CPU above which the generator no longer trusts its own figures.
pub(crate) const OWN_CPU_SHARE_MAX: f64 = 0.9;
/// The share of the time that it may wait for a CPU before it says so.
pub(crate) const OWN_WAIT_SHARE_MAX: f64 = 0.1;
/// Latencies are kept from this on, in nanoseconds, to three digits.
pub(crate) const LATENCY_NS_MIN: u64 = 100;
/// And up to this; longer ones count as this.
pub(crate) const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Descriptors that are not connections.
pub(crate) const DESCRIPTORS_RESERVED: u64 = 32;

/// Requests that are sent at once when mail is read back. So few fit any socket's buffer, so that
/// both sides never wait for each other.
pub(crate) const REQUESTS_AT_ONCE: usize = 16;
/// The largest head of a response that is believed.
pub(crate) const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;
/// The largest body of a response: a list of very many messages, or the longest message.
pub(crate) const HTTP_BODY_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Header fields of a response.
pub(crate) const HTTP_FIELDS_MAX: usize = 64;
/// How often a request is tried again when the server says 503 or closes.
pub(crate) const HTTP_TRIES_MAX: u32 = 10;
/// How long reading back may take unless told otherwise, in seconds.
pub(crate) const VERIFY_SECONDS_DEFAULT: u64 = 300;
/// The slow ones have their bytes in so many groups, one after the other: they do not know each
/// other.
pub(crate) const SLOW_GROUPS: usize = 100;
/// Connections that are opened beside the flood in one turn: the flood has its turns, too.
pub(crate) const SIDE_OPENS_PER_TURN: usize = 256;
/// How long one that comes to be reset waits for what it came for, in nanoseconds.
pub(crate) const VISIT_NS_MAX: u64 = 1_000_000_000;
/// How long a stalled handshake that the server ended rests before it comes again, in nanoseconds.
pub(crate) const COME_AGAIN_NS: u64 = 100_000_000;
/// A BDAT that is cut off is of so many bytes, most of which never come.
pub(crate) const RESET_CHUNK_BYTES: usize = 100_000;
/// All that one who never reads asks for, in bytes: more than there is room for its answers.
pub(crate) const NEVER_READER_REQUEST_BYTES: usize = 64 * 1024;
/// How many messages it asks a mailbox for over HTTP: a long answer to a short question.
pub(crate) const NEVER_READER_LIST_MESSAGES: usize = 1000;
/// The most that one slow reader asks for at once, in bytes.
pub(crate) const SLOW_READER_REQUEST_BYTES: usize = 16 * 1024;
/// How many messages a reader beside the flood asks a mailbox for.
pub(crate) const READER_LIST_MESSAGES: usize = 20;
/// The receive buffer of a slow reader, in bytes: about the least that the kernel gives.
pub(crate) const SLOW_READER_RECEIVE_BYTES: usize = 4096;
/// With more mailboxes than this only those are read back that should hold something.
pub(crate) const VERIFY_MAILBOXES_MAX: u32 = 100_000;
/// How long the server may take to introduce itself before the run.
pub(crate) const PROBE_SECONDS: u64 = 10;
