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
/// The longest address literal (RFC 5321 section 4.1.3) that is looked at. The longest that means
/// an address, IPv6 with its end in the manner of IPv4, has 52 bytes.
pub const LITERAL_BYTES_MAX: usize = 64;
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
/// Pieces of a body that are shorter than this, in bytes and on average, cost more to find and to
/// hand over one by one than their bytes cost to copy together.
pub const BODY_PIECE_BYTES_SHORT: usize = 16;
/// How much of a body is copied together at a time, in bytes. On the stack; more gains nothing.
pub const BODY_JOINED_BYTES: usize = 512;
/// The most recipients of one message; the next is refused with 452 (RFC 5321 section 4.5.3.1.8
/// asks for at least this many).
pub const RECIPIENTS_MAX: usize = 100;
/// Faults after which `--policy rfc` closes a session.
pub const FAULTS_MAX: u8 = 10;
/// How long a client may take for its next command, however few bytes of it come meanwhile, before
/// its session is closed with 421, in milliseconds (RFC 5321 section 4.5.3.2.7 asks for at least
/// five minutes).
pub const SMTP_IDLE_MS: u64 = 5 * 60 * 1000;
/// The same for its first command, in milliseconds. Whoever connects has something to say.
pub const SMTP_FIRST_COMMAND_MS: u64 = 60 * 1000;
/// The least that has to come of a message each second, on average, in bytes: less than any modem
/// brings.
pub const MESSAGE_BYTES_PER_SECOND: u64 = 500;
/// How far a message may be behind that rate, in milliseconds: clients may pause to think.
pub const MESSAGE_GRACE_MS: u64 = 60 * 1000;
/// How long a session may last at most, in milliseconds: an hour, in which the longest message of
/// the default comes over any link that is in use.
pub const SMTP_SESSION_MS: u64 = 60 * 60 * 1000;

const _: () = assert!(PATH_BYTES_MAX < LINE_BYTES_MAX);
const _: () = assert!(LITERAL_BYTES_MAX < PATH_BYTES_MAX);
const _: () = assert!(HELO_BYTES_MAX < LINE_BYTES_MAX);
// Sessions count both in a byte.
const _: () = assert!(HELO_BYTES_KEPT <= HELO_BYTES_MAX && HELO_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(RECIPIENTS_MAX <= u8::MAX as usize);
// A held back CR, and one byte read.
const _: () = assert!(BODY_JOINED_BYTES >= 2);
// No reply says more than this beside the host's name.
const _: () = assert!(REPLY_BYTES_MAX >= HOSTNAME_BYTES_MAX + 192);

// ---- HTTP ----

/// The most HTTP connections at once, however many connections there may be in all: readers do not
/// keep mail out.
pub const HTTP_CONNECTIONS_MAX: u64 = 1024;
/// Mail leaves this many of `--connections` to HTTP, or an eighth of them if that is less: however
/// many clients bring mail, a monitor gets in.
pub const HTTP_CONNECTIONS_RESERVED: u64 = 64;
/// How many messages a turn lists; a longer list goes on in the next one. A list of a thousand at once
/// keeps all mail waiting for 3 ms, and for 50 if somebody wants that: four readers of such lists made
/// the median of 12,000 messages a second 240 ms, which is 0.3 ms with 16 a turn.
pub const HTTP_LISTED_PER_TURN: usize = 16;
/// How much of a message as it was sent a turn copies, in bytes; a longer one goes on in the next one. At
/// once, 4 MiB made turns of up to 5 ms; now next to none takes longer than 0.25.
pub const HTTP_COPIED_PER_TURN_BYTES: usize = 64 * KIB;
/// How many readers are answered in a turn before mail comes again. An answer takes as long as a
/// message or two, and may take as long as a thousand, so with one, all mail that arrived meanwhile
/// waits for one answer.
pub const HTTP_ANSWERS_PER_TURN: u32 = 1;
/// A turn that served more clients who bring mail than this is followed by one without an answer:
/// mail that piled up during the last answer goes first.
pub const HTTP_CALM_MAIL_VISITS: u32 = 2;
/// But readers are never left out of more turns than this in a row: under a flood of mail they still
/// get some hundred answers a second.
pub const HTTP_TURNS_LEFT_OUT_MAX: u32 = 8;
/// How long an HTTP connection may be silent between two requests, in milliseconds.
pub const HTTP_IDLE_MS: u64 = 60 * 1000;
/// How long a request may take from its first byte to its last, head and body, in milliseconds.
pub const HTTP_REQUEST_MS: u64 = 20 * 1000;
/// How long a reader may take nothing of a response that it is owed, in milliseconds.
pub const HTTP_STALL_MS: u64 = 10 * 1000;
/// The least that has to be read of a response each second, on average, in bytes: as much as a
/// modem does.
pub const HTTP_READ_BYTES_PER_SECOND: u64 = 4 * KIB as u64;
/// How far a reader may be behind that rate, in milliseconds.
pub const HTTP_READ_GRACE_MS: u64 = 20 * 1000;
/// What the kernel may hold of a response beyond what the reader's side has taken or has room for,
/// in bytes: of more nobody would know whether it is read.
pub const UNSENT_BYTES_MAX: u32 = 16 * KIB as u32;
/// The longest head of a request, its request line and blank line included.
pub const HTTP_HEAD_BYTES_MAX: usize = 8 * KIB;
/// The longest request target. A path holds one mailbox name (a path of SMTP, percent-encoded at
/// worst, so three times as long), an id and little else.
pub const HTTP_TARGET_BYTES_MAX: usize = 2 * KIB;
/// The most header fields of one request; a browser sends about 20.
pub const HTTP_HEADERS_MAX: usize = 64;
/// The longest name in a Host field, or in `--http-host`: what DNS has room for (RFC 1035 section
/// 2.3.4).
pub const HTTP_HOST_BYTES_MAX: usize = 255;
/// The shortest secret that reading or deleting may need, in bytes: eight characters at random
/// outlast anybody who guesses over the network.
pub const HTTP_SECRET_BYTES_MIN: usize = 8;
/// The longest, in bytes: 512 bits in hexadecimal.
pub const HTTP_SECRET_BYTES_MAX: usize = 128;
/// The most secrets in one file; a request is compared with all of them.
pub const HTTP_SECRETS_MAX: usize = 16;
/// The most that a file of secrets may be long, in bytes.
pub const HTTP_SECRETS_FILE_BYTES_MAX: usize = 4 * KIB;
/// The longest name and password of Basic authentication, decoded, in bytes: as much for the name,
/// which nobody looks at, as for the secret.
pub const HTTP_CREDENTIALS_BYTES_MAX: usize = 2 * HTTP_SECRET_BYTES_MAX;
/// The longest body of a request, on the one route that takes one (PATCH, a line of JSON).
pub const HTTP_BODY_BYTES_MAX: usize = KIB;
/// What the responses that wait to be read share, over all connections; more only if the longest
/// message is longer. Past it, 503 with Retry-After.
pub const HTTP_RESPONSES_BYTES_MAX: usize = 32 * MIB;
/// One piece of that. A write of fewer bytes costs more calls, and who has one byte in a piece has
/// all of it.
pub const HTTP_RESPONSE_PIECE_BYTES: usize = 64 * KIB;
/// What every connection has for itself besides, for the head and the beginning of its response:
/// refusals, and the answers to what has already been done, must be sayable.
pub const HTTP_RESPONSE_SMALL_BYTES: usize = 6 * KIB;
/// The room for the head in that. The longest has a path in its Location, of which every character
/// is escaped and each escape percent-encoded, or the longest name of a file in its
/// Content-Disposition.
pub const HTTP_RESPONSE_HEAD_BYTES_MAX: usize = 3 * KIB;
/// What else an answer takes while it is made, beside its message: the fields, texts and HTML of
/// the message, their charset decoded, a page.
pub const HTTP_WORK_BYTES: usize = 20 * MIB;
/// How long a reader who was refused for want of room is asked to wait, in seconds.
pub const HTTP_RETRY_AFTER_SECONDS: u64 = 1;
/// The most messages that one list of the API names: the newest. All that a mailbox holds, unless
/// the operator lets it hold more.
pub const HTTP_LIST_MESSAGES_MAX: usize = 1000;
/// The most messages that one page lists.
pub const HTTP_PAGE_MESSAGES_MAX: usize = 200;
/// The most bytes of an author or subject in such a list; a row has room for fewer.
pub const HTTP_PAGE_FIELD_BYTES_MAX: usize = 512;
/// The most bytes of a text that the message's page shows; the rest is a link away.
pub const HTTP_PAGE_TEXT_BYTES_MAX: usize = 256 * KIB;

const _: () = assert!(HTTP_TARGET_BYTES_MAX > 3 * PATH_BYTES_MAX + 256);
const _: () = assert!(HTTP_TARGET_BYTES_MAX < HTTP_HEAD_BYTES_MAX);
const _: () =
    assert!(HTTP_SECRETS_MAX * (HTTP_SECRET_BYTES_MAX + 2) <= HTTP_SECRETS_FILE_BYTES_MAX);
const _: () = assert!(HTTP_RESPONSE_HEAD_BYTES_MAX + 2 * KIB <= HTTP_RESPONSE_SMALL_BYTES);
const _: () = assert!(HTTP_RESPONSE_SMALL_BYTES < HTTP_RESPONSE_PIECE_BYTES);
const _: () = assert!(HTTP_RESPONSES_BYTES_MAX.is_multiple_of(HTTP_RESPONSE_PIECE_BYTES));
// JSON writes six bytes for a control character, and a message has a text and HTML.
const _: () = assert!(2 * 6 * MESSAGE_TEXT_BYTES_MAX + 4 * MIB < HTTP_RESPONSES_BYTES_MAX);
const _: () = assert!(HTTP_PAGE_MESSAGES_MAX <= HTTP_LIST_MESSAGES_MAX);

// ---- Messages as they are read: header fields and the MIME tree ----

/// The most decoded bytes of a message's text that are shown, and of its HTML; the source has all
/// of it.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 2 * MIB;
/// Header fields that begin past this much of a message are passed over.
pub const HEADER_SECTION_BYTES_MAX: usize = 128 * KIB;
/// The same for a list, which reads one such beginning for each message that it names, and for the
/// parts of a message.
pub const HEADER_PREVIEW_BYTES: usize = 16 * KIB;
/// The most fields of a header section that are shown; the rest is in the source.
pub const HEADER_FIELDS_MAX: usize = 1000;
/// The most bytes of one field that are decoded or shown. Some decoders cost the square of the length: at
/// this length, a few milliseconds at worst.
pub const HEADER_FIELD_BYTES_MAX: usize = 16 * KIB;
/// The same for a list, which decodes three fields of each of [`HTTP_LISTED_PER_TURN`] messages while
/// all others wait: with four times as many bytes, that took 4 ms for the worst of addresses.
pub const HEADER_FIELD_PREVIEW_BYTES: usize = 512;
/// The same for the subject, which tests compare whole: some 0.3 ms for the worst 16, where the worst
/// addresses take 0.8.
pub const SUBJECT_PREVIEW_BYTES: usize = 2 * KIB;
/// The most fields of a message that a list looks through.
pub const HEADER_FIELDS_PREVIEW_MAX: usize = 256;
/// How deep multiparts may lie in each other; each level reads the bytes within it once more.
pub const MIME_DEPTH_MAX: usize = 16;
/// The most parts of one message that are looked at, containers included.
pub const MIME_PARTS_MAX: usize = 512;
/// The most bytes of a part's Content-Type or Content-Disposition that are decoded; a message has
/// two of them in each of up to [`MIME_PARTS_MAX`] parts, and a long one costs the square.
pub const MIME_FIELD_BYTES_MAX: usize = 2 * KIB;
/// The longest content type that is believed: RFC 6838 section 4.2 allows 127 to each of its two
/// names.
pub const MIME_TYPE_BYTES_MAX: usize = 255;
/// The longest boundary that is believed. RFC 2046 section 5.1.1 allows 70; some senders do not
/// care.
pub const MIME_BOUNDARY_BYTES_MAX: usize = 200;
/// The longest file name that an attachment is offered under, in characters; file systems have room
/// for 255 bytes, which may be four to a character.
pub const MIME_FILE_NAME_CHARACTERS_MAX: usize = 100;

const _: () = assert!(HEADER_FIELD_PREVIEW_BYTES <= HEADER_FIELD_BYTES_MAX);
const _: () = assert!(HEADER_FIELDS_PREVIEW_MAX <= HEADER_FIELDS_MAX);
// A page shows no more of a field than a list decodes.
const _: () = assert!(HTTP_PAGE_FIELD_BYTES_MAX <= HEADER_FIELD_PREVIEW_BYTES);
const _: () = assert!(SUBJECT_PREVIEW_BYTES <= HEADER_FIELD_BYTES_MAX);
const _: () = assert!(HTTP_LIST_MESSAGES_MAX * 3 * HEADER_FIELD_PREVIEW_BYTES <= 2 * MIB);
const _: () = assert!(HTTP_LIST_MESSAGES_MAX * SUBJECT_PREVIEW_BYTES <= 2 * MIB);
const _: () = assert!(HEADER_PREVIEW_BYTES <= HEADER_SECTION_BYTES_MAX);
const _: () = assert!(MIME_FIELD_BYTES_MAX <= HEADER_PREVIEW_BYTES);
const _: () = assert!(MIME_BOUNDARY_BYTES_MAX < MIME_FIELD_BYTES_MAX);

// ---- The store ----

/// One arena of the store's pool, in bytes. A power of two.
pub const ARENA_BYTES: usize = 2 * KIB;
/// The longest name of a mailbox: no path is longer.
pub const NAME_BYTES_MAX: usize = PATH_BYTES_MAX;
/// The longest message that there can be, in bytes, whatever `--message-size` says: records count
/// with a u32, and there is room left for what is reckoned with it.
pub const MESSAGE_BYTES_MAX: usize = 1024 * MIB;
/// The longest envelope that one copy of a message keeps: the client's name, the reverse-path and
/// at least two forward-paths. Further addresses that mean the same mailbox are left out.
pub const ENVELOPE_BYTES_MAX: usize = KIB + 512;
/// The longest message that lies in its mailbox's log itself, packed with others. A longer one, or
/// one of which a part had to wait for the rest, gets arenas of its own, which all its recipients
/// share.
pub const BODY_INLINE_BYTES_MAX: usize = 2 * ARENA_BYTES;
/// What is appended to a chain in one piece of at least so many bytes is copied past the caches:
/// nobody reads it soon, and a long message would push out of them what the next one needs. Of less,
/// most is there still when its mailbox is read or evicted.
pub const PAST_CACHES_BYTES_MIN: usize = 4 * KIB;
/// Drafts together may hold one part in so many of the pool's arenas; the others are for mail that
/// was acknowledged.
pub const DRAFTS_SHARE: u32 = 4;
/// How many of the newest messages over all mailboxes are remembered.
pub const RECENT_MESSAGES: usize = 1024;
/// How often every mailbox is looked at for messages that have expired, in milliseconds. Readers
/// never see one, swept or not.
pub const SWEEP_MS: u64 = 60 * 1000;

const _: () = assert!(ARENA_BYTES.is_power_of_two());
const _: () = assert!(MESSAGE_BYTES_MAX < u32::MAX as usize / 2);
const _: () = assert!(BODY_INLINE_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(
    ENVELOPE_BYTES_MAX >= HELO_BYTES_MAX + 3 * PATH_BYTES_MAX + 4 * size_of::<u16>(),
    "an envelope holds the client's name, the reverse-path and two forward-paths"
);

// ---- The guard ----

/// The most networks that one list (`--trust`, `--proxy-from`) may name: each connection is
/// compared with all of them.
pub const NETWORKS_MAX: usize = 64;
/// How many entries of a table of the guard share one set: as many are compared, at most, to find
/// one or to choose which gives way.
pub const GUARD_WAYS: usize = 16;
/// Sets of the table of sources, for each family of addresses: 16,384 sources of each.
pub const GUARD_SOURCE_SETS: usize = 1024;
/// `--memory` from which on the guard's tables are as large as they get; with less they are smaller
/// in proportion. All of them take some 8 MiB then.
pub const GUARD_MEMORY_BYTES_FULL: usize = 256 * MIB;
/// Sets that each of the guard's tables has at least: 256 entries.
pub const GUARD_SETS_MIN: usize = 16;
/// The sources that find no place in their set share one count, and may together do so many times
/// what one source may.
pub const GUARD_CROWD_FACTOR: u32 = 16;
/// Sets of the table of subjects: 4096 subjects.
pub const GUARD_SUBJECT_SETS: usize = 256;
/// Sets of the table of bodies' features: 16,384 features, of at least 2048 bodies.
pub const GUARD_BODY_SETS: usize = 1024;
/// The parts that a source's window is counted in: it is kept to within a seventh of its length.
pub const GUARD_WINDOW_PARTS: usize = 8;
/// The same for a subject's, which is kept to within a third.
pub const GUARD_REPEAT_WINDOW_PARTS: usize = 4;
/// The shortest window of a rule, in milliseconds: less is the jitter of a network.
pub const GUARD_WINDOW_MS_MIN: u64 = 1000;
/// The longest window of a rule, in milliseconds.
pub const GUARD_WINDOW_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// The most that a rule about sources may allow: a part of a window counts with a u16, and has to
/// get past it.
pub const GUARD_COUNT_MAX: u32 = 60_000;
/// The longest that anybody or anything stays banned, in milliseconds: a day, since addresses
/// change hands. No ban is for ever.
pub const GUARD_BAN_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// No subject or body is banned on the word of fewer networks, of which each counts for no more
/// than its share.
pub const GUARD_REPEAT_NETWORKS_MIN: u32 = 4;
/// How many counts of networks a subject or feature has; networks that fall on the same one share
/// it.
pub const GUARD_REPEAT_NETWORK_COUNTS: usize = 16;
/// The most that a rule about repeats may allow: one network's share of it is counted in a byte.
pub const GUARD_REPEAT_COUNT_MAX: u32 = (GUARD_REPEAT_NETWORKS_MIN - 1) * u8::MAX as u32;
/// How much of a subject is judged, in bytes: every message on its way in pays for this. Most
/// subjects are shorter; those that differ only behind it are one.
pub const GUARD_SUBJECT_BYTES: usize = 192;
/// How much of a banned subject is kept to be shown, in bytes.
pub const GUARD_SUBJECT_SHOWN_BYTES: usize = 96;
/// How many banned subjects are kept to be shown.
pub const GUARD_SUBJECTS_SHOWN: usize = 64;
/// How long a banned subject is shown, in milliseconds: the last hours.
pub const GUARD_SUBJECTS_SHOWN_MS: u64 = 12 * 60 * 60 * 1000;
/// How much of a body its fingerprint is taken from, in bytes, behind its header section: campaigns
/// are short, and the mail path pays for each byte.
pub const GUARD_BODY_BYTES: usize = 4 * KIB;
/// A body of fewer words has no fingerprint: too little to tell mail by.
pub const GUARD_BODY_WORDS_MIN: u32 = 24;
/// The longest word of a body, in bytes; what goes on behind it is the next word. Base64 and scripts
/// without spaces have no ends of words, and whole quanta of the one and characters of the others,
/// of two bytes or three, end here.
pub const GUARD_BODY_WORD_BYTES_MAX: u8 = 24;
/// The features of a fingerprint.
pub const GUARD_BODY_FEATURES: usize = 8;
/// How many of a body's features have to be banned for the body to be.
pub const GUARD_BODY_FEATURES_BANNED: usize = 6;
/// The most words that subjects are searched for. They take some 100 bytes of memory each.
pub const GUARD_WORDS_MAX: usize = 10_000;
/// The longest of them, in bytes.
pub const GUARD_WORD_BYTES_MAX: usize = 64;
/// The longest that a reply is held back, in milliseconds: less than any client waits for one,
/// which RFC 5321 section 4.5.3.2 puts at two minutes and more.
pub const TARPIT_MS_MAX: u64 = 10 * 1000;
/// How long the banner is held back from those who are not trusted, in milliseconds, to see who
/// speaks before it: what is sent without waiting comes right behind the handshake. Shorter, and
/// none, by the law of [`TARPIT_LOAD_PERCENT`].
pub const BANNER_HOLD_MS: u64 = 100;
/// The share of connections, in percent, from which on no reply is held back.
pub const TARPIT_LOAD_PERCENT: u32 = 50;
/// The shortest that pressure makes a deadline, in milliseconds: a client on the other side of the
/// world still makes it.
pub const PRESSURE_DEADLINE_MS_MIN: u64 = 10 * 1000;
/// How long a session has to have been silent, in milliseconds, before it may be asked to make way:
/// clients on the other side of the world are silent for a moment between any two commands.
pub const MAKE_WAY_SILENT_MS: u64 = 1000;
/// How often it is looked for those that have been silent longest, in milliseconds. A look goes over
/// all connections.
pub const MAKE_WAY_LOOK_MS: u64 = 100;
/// How many of them one look finds.
pub const MAKE_WAY_MAX: usize = 128;
/// The load, in percent, at which deadlines get shorter; and to which it has to fall for them to
/// be as they were.
pub const PRESSURE_HIGH_PERCENT: [u32; 2] = [75, 65];
/// The same for the highest pressure.
pub const PRESSURE_CRITICAL_PERCENT: [u32; 2] = [90, 80];

const _: () = assert!(GUARD_SETS_MIN.is_power_of_two() && GUARD_SETS_MIN <= GUARD_SUBJECT_SETS);
const _: () = assert!(GUARD_SOURCE_SETS.is_power_of_two());
const _: () = assert!(GUARD_SUBJECT_SETS.is_power_of_two());
const _: () = assert!(GUARD_BODY_SETS.is_power_of_two());
// A window is at least one part beside the one that is filled.
const _: () = assert!(GUARD_WINDOW_PARTS.is_power_of_two() && GUARD_WINDOW_PARTS >= 2);
const _: () =
    assert!(GUARD_REPEAT_WINDOW_PARTS.is_power_of_two() && GUARD_REPEAT_WINDOW_PARTS >= 2);
const _: () = assert!(GUARD_COUNT_MAX < u16::MAX as u32);
const _: () = assert!(GUARD_REPEAT_NETWORKS_MIN >= 2, "one network is never enough");
const _: () = assert!(GUARD_REPEAT_NETWORK_COUNTS >= 2 * GUARD_REPEAT_NETWORKS_MIN as usize);
// Lengths of texts are counted in a byte.
const _: () = assert!(GUARD_SUBJECT_BYTES <= u8::MAX as usize);
const _: () = assert!(GUARD_SUBJECT_SHOWN_BYTES <= u8::MAX as usize);
const _: () = assert!(GUARD_BODY_BYTES <= u16::MAX as usize);
const _: () = assert!(GUARD_BODY_FEATURES.is_power_of_two());
const _: () = assert!(GUARD_BODY_FEATURES_BANNED > GUARD_BODY_FEATURES / 2);
const _: () = assert!(GUARD_WORD_BYTES_MAX <= GUARD_SUBJECT_BYTES);
const _: () = assert!(TARPIT_MS_MAX < SMTP_IDLE_MS);
const _: () = assert!(PRESSURE_DEADLINE_MS_MIN < SMTP_IDLE_MS);
const _: () = assert!(PRESSURE_DEADLINE_MS_MIN <= SMTP_FIRST_COMMAND_MS);
const _: () = assert!(MAKE_WAY_SILENT_MS < PRESSURE_DEADLINE_MS_MIN);
const _: () = assert!(SMTP_FIRST_COMMAND_MS <= SMTP_IDLE_MS && SMTP_IDLE_MS < SMTP_SESSION_MS);
const _: () = assert!(PRESSURE_HIGH_PERCENT[1] < PRESSURE_HIGH_PERCENT[0]);
const _: () = assert!(PRESSURE_CRITICAL_PERCENT[1] < PRESSURE_CRITICAL_PERCENT[0]);
const _: () = assert!(PRESSURE_HIGH_PERCENT[0] < PRESSURE_CRITICAL_PERCENT[1]);

// ---- Configuration ----

/// `--memory` unless set: a day's mail of a busy test service, and small beside any server.
pub const MEMORY_BYTES_DEFAULT: usize = 256 * MIB;
/// The most that `--memory` may be: its arenas are counted with a u32.
pub const MEMORY_BYTES_MAX: usize = 4 * 1024 * 1024 * MIB;
/// `--mailboxes` unless set.
pub const MAILBOXES_DEFAULT: u32 = 65_536;
/// The most that `--mailboxes` may be: the directory has twice as many buckets, and a hash of 32
/// bits has to get to each.
pub const MAILBOXES_MAX: u32 = 1 << 30;
/// `--mailbox-size` unless set: four messages of the default's longest.
pub const MAILBOX_BYTES_DEFAULT: usize = 16 * MIB;
/// `--messages-per-mailbox` unless set.
pub const MAILBOX_MESSAGES_DEFAULT: u32 = 1000;
/// `--message-size` unless set.
pub const MESSAGE_BYTES_DEFAULT: usize = 4 * MIB;
/// `--message-size` unless set is never less, however small the pool: a pool that is too small says
/// so, rather than take no real mail.
pub const MESSAGE_BYTES_DEFAULT_MIN: usize = 16 * KIB;
/// How often the advice about too small a `--memory` is tried out before it is given.
pub const ADVICE_ROUNDS_MAX: usize = 32;
/// In a smaller `--memory` the default of `--mailboxes` is smaller too: their table takes at most
/// one part in so many of it.
pub const TABLE_SHARE: usize = 8;
/// The same for `--mailbox-size`.
pub const MAILBOX_SHARE: usize = 16;
/// The same for `--message-size`.
pub const MESSAGE_SHARE: usize = 64;
/// `--ttl` unless set, in milliseconds: 24 hours.
pub const TTL_MS_DEFAULT: u64 = 24 * 60 * 60 * 1000;
/// The longest `--ttl` but `none`, in milliseconds: a century. Added to any clock it overflows
/// nothing.
pub const TTL_MS_MAX: u64 = 100 * 365 * TTL_MS_DEFAULT;
/// `--connections` unless set; fewer where the descriptor limit allows fewer.
pub const CONNECTIONS_DEFAULT: u32 = 16_384;
/// The most addresses that `--smtp`, `--smtps`, `--http` and `--https` may name together.
pub const LISTENERS_MAX: usize = 16;
/// Descriptors that are not connections: the standard three, epoll, the signals', the listeners,
/// a connection accepted only to be turned away, and some to spare.
pub const DESCRIPTORS_RESERVED: u64 = 64;
/// The most that is read of `/etc/passwd` to find a user, in bytes: some ten thousand users.
pub const PASSWD_FILE_BYTES_MAX: u64 = MIB as u64;
/// The most that is read of a configuration file: nobody writes a longer one, and `/dev/zero`
/// has no end.
pub const CONFIG_FILE_BYTES_MAX: usize = MIB;
/// The longest line on standard error while the server serves, in bytes: what a pipe that takes any
/// takes at once (`PIPE_BUF`).
pub const TOLD_BYTES_MAX: usize = 4 * KIB;

const _: () = assert!(MEMORY_BYTES_DEFAULT <= MEMORY_BYTES_MAX);
const _: () = assert!(MEMORY_BYTES_MAX / ARENA_BYTES < u32::MAX as usize);
const _: () = assert!(MAILBOXES_DEFAULT <= MAILBOXES_MAX);
const _: () = assert!(MAILBOXES_MAX.checked_mul(2).is_some());
const _: () = assert!(2 * MESSAGE_BYTES_DEFAULT <= MAILBOX_BYTES_DEFAULT);
const _: () = assert!(MESSAGE_BYTES_DEFAULT <= MESSAGE_BYTES_MAX);
// The defaults are what a pool of the default's size allows.
const _: () = assert!(MAILBOX_BYTES_DEFAULT * MAILBOX_SHARE <= MEMORY_BYTES_DEFAULT);
const _: () = assert!(MESSAGE_BYTES_DEFAULT * MESSAGE_SHARE <= MEMORY_BYTES_DEFAULT);
const _: () = assert!(MAILBOX_MESSAGES_DEFAULT as usize <= HTTP_LIST_MESSAGES_MAX);
const _: () = assert!(LISTENERS_MAX < DESCRIPTORS_RESERVED as usize / 2);

// ---- The process's memory, beside what the store and the reactor take ----

/// How many times its own length a message takes while it is shown: its source gathered, and one of
/// its parts decoded.
pub const HTTP_SCRATCH_MESSAGES: usize = 2;
/// An allowance for the program itself, in bytes: its code and constants, the C library's, and
/// what the allocator keeps. With nothing but its configuration a release build had 4 MiB
/// resident and a debug one 6 MiB; the rest is for what it grows by.
pub const PROGRAM_BYTES: usize = 16 * MIB;
/// Stack that is touched at start, in bytes, so that a deep call later adds nothing.
pub const STACK_TOUCHED_BYTES: usize = 256 * KIB;
/// How far beyond what is asked the heap grows when it has to grow after all, in bytes.
pub const HEAP_TOP_PAD_BYTES: usize = MIB;

// ---- The reactor ----

/// The buffer that everything is read into, one for all connections, in bytes. As measured, 16 KiB
/// costs 6 % more on long messages, and more than 64 KiB gains nothing.
pub const READ_BUFFER_BYTES: usize = 64 * KIB;
/// The buffer that replies are gathered in, one for all connections, in bytes: enough for the
/// replies to a read buffer full of pipelined mail, so that they leave in one write.
pub const OUTPUT_BYTES: usize = 32 * KIB;
/// How many bytes one visit may move for a connection before others have their turn.
pub const BYTES_PER_VISIT: usize = 256 * KIB;
/// How many of those that had their share and have more, or that have left, are visited in one turn,
/// after all others: thousands may leave at once.
pub const REVISITS_PER_TURN: usize = 16;
/// How many readiness events one turn takes from the kernel.
pub const EVENTS_PER_TURN: usize = 256;
/// How many connections one turn accepts at each listener, after the work of those that it has: in a
/// storm of them half a millisecond's.
pub const ACCEPTS_PER_TURN: usize = 16;
/// How many entries of the timer wheel one turn looks at.
pub const TIMERS_PER_TURN: usize = 256;
/// The timer wheel's grain, in milliseconds: deadlines are seen to pass less than this late, by a
/// loop that comes round.
pub const TIMER_TICK_MS: u64 = 16;
/// How often a protocol is told the time for its own sweeps, in milliseconds.
pub const PROTOCOL_TICK_MS: u64 = 1000;
/// How long accepting rests when the system is out of descriptors or memory, in milliseconds. A
/// timer has to bring it back, since the listener's edge is gone.
pub const ACCEPT_REST_MS: u64 = 100;
/// How many peers are accepted at each listener in that time where there is next to no room: whatever
/// storms at a full server then costs it some hundredths of a CPU, and waits.
pub const CROWDED_ACCEPTS_PER_REST: u32 = 6;
/// For how long descriptors or memory are taken to be scarce after there were none, in milliseconds.
pub const ACCEPT_SCARCE_MS: u64 = 2 * ACCEPT_REST_MS;
/// The same for room for mail, after the last connection was taken or somebody had to make way: when
/// those who storm have left, others get in again within a second.
pub const CROWDED_MS: u64 = 500;
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
// A session that begins on an empty output gets on.
const _: () = assert!(REPLY_BYTES_MAX <= OUTPUT_BYTES);
// Whoever needs more than the read buffer before it can answer is closed.
const _: () = assert!(LINE_BYTES_MAX < READ_BUFFER_BYTES);
const _: () = assert!(HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX < READ_BUFFER_BYTES);
// What is unsent is read back through the read buffer.
const _: () = assert!(OUTPUT_BYTES <= READ_BUFFER_BYTES);
const _: () = assert!(BYTES_PER_VISIT >= READ_BUFFER_BYTES);
// Connections count both with a u32.
const _: () = assert!(LINGER_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(BYTES_PER_VISIT <= u32::MAX as usize);
const _: () = assert!(LINGER_MS < DRAIN_MS);
// A sweep is some of the protocol's ticks.
const _: () = assert!(SWEEP_MS >= PROTOCOL_TICK_MS && SWEEP_MS.is_multiple_of(PROTOCOL_TICK_MS));

// ---- TLS and PROXY ----

/// `--tls-connections` unless set: each takes the room of a record and its keys' whether or not it is
/// there.
pub const TLS_CONNECTIONS_DEFAULT: u32 = 1024;
/// Unless set it is no more than one part in so many of `--connections`.
pub const TLS_CONNECTIONS_SHARE: u32 = 8;
/// The longest record that is lawful, with its header: 2^14 bytes, and 2048 that TLS 1.2 lets
/// encryption add (RFC 5246 section 6.2.3).
pub const TLS_RECORD_BYTES_MAX: usize = 5 + 16 * KIB + 2048;
/// What one connection holds of the heap beside that, at most, in bytes: its keys and its state.
/// Measured, 2.8 KiB within a handshake and 2.3 after it.
pub const TLS_STATE_BYTES: usize = 4 * KIB;
/// What the heap lends while one connection is worked on, in bytes: a record's plain text, the
/// messages of a handshake, taken apart.
pub const TLS_WORK_BYTES: usize = 256 * KIB;
/// The longest chain of certificates, in bytes; it is sent in each handshake. Four are long.
pub const TLS_CHAIN_BYTES_MAX: usize = 16 * KIB;
/// How much of a response that the protocol holds is encrypted at a time. What was encrypted cannot
/// be taken back, so that as much may have to be kept for a reader that takes nothing.
pub const TLS_HELD_BYTES: usize = 8 * KIB;
/// The buffer that records are written into, one for all connections, in bytes: a whole output, a
/// piece of what is held, and what encryption adds to both.
pub const TLS_OUTGOING_BYTES: usize = OUTPUT_BYTES + TLS_HELD_BYTES + KIB;
/// How many connections get on with their handshake in one turn: each step takes up to half a
/// millisecond.
pub const TLS_HANDSHAKES_PER_TURN: usize = 4;
/// How long a handshake may take, in milliseconds, however many bytes come.
pub const TLS_HANDSHAKE_MS: u64 = 10 * 1000;

/// The most that is read of a file with certificates or a key.
pub const TLS_FILE_BYTES_MAX: usize = 256 * KIB;
/// The longest header of the PROXY protocol that is taken: version 2 allows 64 KiB, of which addresses
/// take 216 and the rest is of no use here.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;
/// How long that header may take to come, in milliseconds.
pub const PROXY_HEADER_MS: u64 = 5 * 1000;

const _: () = assert!(TLS_CHAIN_BYTES_MAX < TLS_FILE_BYTES_MAX);
// What has not come whole waits in the spill.
const _: () = assert!(PROXY_HEADER_BYTES_MAX <= SPILL_ARENA_BYTES);
// A flight of the handshake is the chain and little else.
const _: () = assert!(TLS_CHAIN_BYTES_MAX + 8 * KIB <= TLS_OUTGOING_BYTES);
// A read goes on where it has to wait for a record's end.
const _: () = assert!(
    TLS_RECORD_BYTES_MAX + HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX < READ_BUFFER_BYTES / 2
);

// ---- Metrics ----

/// Decimal digits to which distributions tell values apart: to less than 1 %, and each digit more
/// takes ten times the memory.
pub const DISTRIBUTION_DIGITS: u8 = 2;
/// The least that durations of phases are told apart by, in nanoseconds: about what it costs to
/// read the clock.
pub const PHASE_GRAIN_NS: u64 = 64;
/// The longest duration of a phase that is told from longer ones, in nanoseconds: a minute, in
/// which no server is alive that takes it for one turn.
pub const PHASE_NS_MAX: u64 = 60_000_000_000;
/// The bounds of the buckets that `/metrics` sorts those durations into, in nanoseconds: from 5 µs,
/// within which an idle machine takes a short message, to 10 s.
pub const PHASE_BOUNDS_NS: [u64; 20] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// The most connections served in one turn that are told from more.
pub const TURN_CONNECTIONS_COUNTED_MAX: u64 = 1 << 20;
/// The bounds of the buckets that turns are sorted into by the connections that they served: none,
/// and up to what the events and accepts of one turn come to, with as much again left over.
pub const TURN_CONNECTIONS_BOUNDS: [u64; 12] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

const _: () = assert!(PHASE_GRAIN_NS.is_power_of_two());
const _: () = assert!(ascends_below(&PHASE_BOUNDS_NS, PHASE_NS_MAX));
const _: () = assert!(ascends_below(&TURN_CONNECTIONS_BOUNDS, TURN_CONNECTIONS_COUNTED_MAX));

/// Whether each bound is greater than the one before, and `most` than all.
const fn ascends_below(bounds: &[u64], most: u64) -> bool {
    let mut at = 0;
    while at < bounds.len() {
        let next = if at + 1 < bounds.len() { bounds[at + 1] } else { most };
        if bounds[at] >= next {
            return false;
        }
        at += 1;
    }
    true
}
