//! One message as it lies in a mailbox's log: a header, the envelope, and the message itself or
//! where it is. Not here: the log as a whole (`commit` appends to it, `reading` walks it, `removal`
//! shortens it).
//!
//! ```text
//! record    [ header: 96 bytes | envelope | message, if it is short ]
//! envelope  [ u16 length | helo ] [ u16 length | reverse-path ] [ u16 length | forward-path ] ...
//! body      [ references: 64 bytes | message ... ]     a long message's own chain
//! ```
//!
//! A long message lies in a chain of its own, which the records of all its recipients refer to: it
//! is copied once, whoever it is for, and given back at once, however long it is. They count
//! themselves in front of it, if there is more than one: nothing is written there, and read again
//! when it has long left the caches, for a message with one recipient.

use std::net::{IpAddr, Ipv6Addr};

use bytemuck::{Pod, Zeroable};

use super::StorePool;
use super::pool::{Chain, Position};
use crate::clock::Now;
use crate::limits::{
    ARENA_BYTES, BODY_INLINE_BYTES_MAX, ENVELOPE_BYTES_MAX, HELO_BYTES_MAX, PATH_BYTES_MAX,
    RECIPIENTS_MAX,
};

/// Marks the start of a record, for whoever reads a pool that he did not write.
const MAGIC: u32 = u32::from_le_bytes(*b"mail");

/// The length of a record's header.
pub(super) const HEADER_BYTES: usize = size_of::<Header>();

/// The most arenas that one record can take of its log: it may start anywhere in its first.
pub(super) const RECORD_ARENAS_MAX: usize =
    (HEADER_BYTES + ENVELOPE_BYTES_MAX + BODY_INLINE_BYTES_MAX).div_ceil(ARENA_BYTES) + 1;

/// The bit of [`Header::flags`] for a message that somebody has opened.
pub(super) const SEEN: u32 = 1;
/// The bit of [`Header::flags`] for a message that was deleted; its record waits to be the oldest.
pub(super) const DELETED: u32 = 2;

const EXTENDED: u16 = 1;
const UTF8: u16 = 2;
const ENCRYPTED: u16 = 4;

/// How a message came in: what its Received line says after `with` (RFC 5321 section 4.4, RFC
/// 6531 section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// The client said EHLO.
    pub extended: bool,
    /// The client asked for SMTPUTF8.
    pub utf8: bool,
    /// It came through TLS (RFC 3848).
    pub encrypted: bool,
}

impl Protocol {
    /// The keyword (RFC 3848, RFC 6531 section 4.3). There is none for TLS without EHLO.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match (self.utf8, self.extended, self.encrypted) {
            (true, _, true) => "UTF8SMTPS",
            (true, _, false) => "UTF8SMTP",
            (false, true, true) => "ESMTPS",
            (false, true, false) => "ESMTP",
            (false, false, _) => "SMTP",
        }
    }
}

/// Who sent a message, and when: what its envelope keeps beside the paths.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// What the client called itself; cut at [`HELO_BYTES_MAX`].
    pub helo: &'a [u8],
    /// Where it connected from.
    pub source: IpAddr,
    /// How it spoke.
    pub protocol: Protocol,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Header {
    magic: u32,
    /// CRC-32 of the header, with this field and `flags` zero, and of the envelope.
    checksum: u32,
    pub(super) sequence: u64,
    /// Where the record before it in the log is, or was.
    pub(super) before: Position,
    pub(super) received_monotonic_ms: u64,
    pub(super) received_unix_ms: u64,
    /// The length of the whole record: where the next one starts.
    pub(super) record_bytes: u32,
    pub(super) envelope_bytes: u32,
    pub(super) body_bytes: u32,
    /// A long message's own chain; empty for a message that lies in its record.
    pub(super) body: Chain,
    source: [u8; 16],
    protocol: u16,
    /// How many mailboxes the message was committed to. If it is more than one, a long message's
    /// chain starts with how many of their records still refer to it, an `u32`.
    pub(super) copies: u16,
    pub(super) flags: u32,
}

const _: () = assert!(size_of::<Header>() == 96);
const _: () = assert!(RECIPIENTS_MAX <= u16::MAX as usize, "copies are counted");

/// A message as its records refer to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    /// Its length.
    pub(super) bytes: u32,
    /// Its own chain, if it has one.
    pub(super) chain: Chain,
    /// How many mailboxes it is committed to.
    pub(super) copies: u16,
}

/// So many bytes of a record's head are summed, and a multiple of [`SUMMED_BYTES_STEP`], with zeros
/// behind what there is. From there on it takes no tables, which are out of the caches again by the
/// next message: 0.1 us of the 22 that one costs.
const SUMMED_BYTES_MIN: usize = 128;
const SUMMED_BYTES_STEP: usize = 16;

/// How many bytes are summed of a head of so many.
pub(super) const fn summed_bytes(head_bytes: usize) -> usize {
    let whole_steps = head_bytes.next_multiple_of(SUMMED_BYTES_STEP);
    if whole_steps < SUMMED_BYTES_MIN { SUMMED_BYTES_MIN } else { whole_steps }
}

impl Header {
    /// Where in a header its flags are.
    pub(super) const FLAGS_OFFSET: usize = std::mem::offset_of!(Header, flags);

    /// A header in front of an envelope; its checksum is still to be made, by [`Header::seal`].
    pub(super) fn new(
        sequence: u64,
        before: Position,
        now: Now,
        client: &Client<'_>,
        envelope_bytes: usize,
        body: Body,
    ) -> Self {
        let inline_bytes = if body.chain.is_empty() { body.bytes } else { 0 };
        Self {
            magic: MAGIC,
            checksum: 0,
            sequence,
            before,
            received_monotonic_ms: now.monotonic_ms,
            received_unix_ms: now.unix_ms,
            record_bytes: (HEADER_BYTES + envelope_bytes) as u32 + inline_bytes,
            envelope_bytes: envelope_bytes as u32,
            body_bytes: body.bytes,
            body: body.chain,
            source: mapped(client.source).octets(),
            protocol: u16::from(client.protocol.extended) * EXTENDED
                + u16::from(client.protocol.utf8) * UTF8
                + u16::from(client.protocol.encrypted) * ENCRYPTED,
            copies: body.copies,
            flags: 0,
        }
    }

    /// Writes a new header where [`begin_envelope`] has left room for it, with the checksum of it
    /// and of the envelope behind it.
    pub(super) fn seal(self, head: &mut Vec<u8>) {
        head[..HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&self));
        let bytes = head.len();
        head.resize(summed_bytes(bytes), 0);
        let checksum = crc32fast::hash(head);
        head.truncate(bytes);
        let header = Self { checksum, ..self };
        head[..HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&header));
    }

    /// Whether this is the header that was written with this envelope. In a pool that only this
    /// process has written it always is; a pool read again after a kill will have to be asked.
    pub(super) fn is_whole(&self, envelope: &[u8]) -> bool {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytemuck::bytes_of(&Self { checksum: 0, flags: 0, ..*self }));
        hasher.update(envelope);
        let bytes = HEADER_BYTES + envelope.len();
        hasher.update(&[0; SUMMED_BYTES_MIN][..summed_bytes(bytes) - bytes]);
        self.magic == MAGIC && self.checksum == hasher.finalize()
    }

    pub(super) fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn source(&self) -> IpAddr {
        Ipv6Addr::from(self.source).to_canonical()
    }

    pub(super) fn protocol(&self) -> Protocol {
        Protocol {
            extended: self.protocol & EXTENDED != 0,
            utf8: self.protocol & UTF8 != 0,
            encrypted: self.protocol & ENCRYPTED != 0,
        }
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The room in front of a long message in its chain. Of the references there would be 4 bytes: it is
/// a line of the caches, so that the message can be copied past them from its first byte on.
pub(super) const BODY_FRONT_BYTES: usize = 64;

/// How many arenas more it takes to put so many bytes of a long message at the end of its chain.
pub(super) fn body_arenas_for(chain: &Chain, bytes: usize) -> u32 {
    let front = if chain.is_empty() { BODY_FRONT_BYTES } else { 0 };
    StorePool::arenas_for(chain, front + bytes)
}

/// Who a message is from and for, as its client said it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// What the client called itself.
    pub helo: Vec<u8>,
    /// Where bounces go; empty for the null reverse-path.
    pub reverse_path: Vec<u8>,
    /// The forward-paths that meant this mailbox, in their order; at least one.
    pub forward_paths: Vec<Vec<u8>>,
}

impl Envelope {
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut strings = Strings(bytes).map(<[u8]>::to_vec);
        Self {
            helo: strings.next().unwrap_or_default(),
            reverse_path: strings.next().unwrap_or_default(),
            forward_paths: strings.collect(),
        }
    }
}

/// Starts an envelope in `into`, which has room for it since start, behind what its record's header
/// will take.
pub(super) fn begin_envelope(into: &mut Vec<u8>, helo: &[u8], reverse_path: &[u8]) {
    into.clear();
    into.resize(HEADER_BYTES, 0);
    push_string(into, &helo[..helo.len().min(HELO_BYTES_MAX)]);
    push_string(into, &reverse_path[..reverse_path.len().min(PATH_BYTES_MAX)]);
}

/// Adds a forward-path, unless it is there already, or so many addresses meant this mailbox that
/// the envelope is full.
pub(super) fn push_forward_path(into: &mut Vec<u8>, forward_path: &[u8]) {
    let envelope = &into[HEADER_BYTES..];
    let fits = envelope.len() + size_of::<u16>() + forward_path.len() <= ENVELOPE_BYTES_MAX;
    // Behind the client's name and the reverse-path.
    if fits && !Strings(envelope).skip(2).any(|other| other == forward_path) {
        push_string(into, forward_path);
    }
}

/// Appends a string behind its length.
pub(super) fn push_string(into: &mut Vec<u8>, string: &[u8]) {
    into.extend_from_slice(&(string.len() as u16).to_le_bytes());
    into.extend_from_slice(string);
}

/// Strings that were written by [`push_string`].
pub(super) struct Strings<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (string, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        self.0 = rest;
        Some(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client<'static> {
        let protocol = Protocol { extended: true, utf8: false, encrypted: true };
        Client { helo: b"client.example", source: [192, 0, 2, 1].into(), protocol }
    }

    const BODY: Body = Body { bytes: 100, chain: Chain::EMPTY, copies: 1 };

    fn header(sequence: u64, now: Now, envelope_bytes: usize) -> Header {
        Header::new(sequence, Chain::EMPTY.start(), now, &client(), envelope_bytes, BODY)
    }

    #[test]
    fn a_header_knows_its_own_envelope_and_no_other() {
        let mut head = Vec::new();
        begin_envelope(&mut head, b"client.example", b"");
        push_forward_path(&mut head, b"bob@example.com");
        let now = Now { monotonic_ms: 7, unix_ms: 8 };
        header(5, now, head.len() - HEADER_BYTES).seal(&mut head);
        let (header, envelope) = head.split_at(HEADER_BYTES);
        let mut header: Header = bytemuck::pod_read_unaligned(header);
        header.flags = SEEN;
        assert!(header.is_whole(envelope));
        assert!(!header.is_whole(&envelope[1..]));
        assert!(!Header { magic: 0, ..header }.is_whole(envelope));
        assert!(!Header { sequence: 6, ..header }.is_whole(envelope));
        assert_eq!(header.source(), IpAddr::from([192, 0, 2, 1]));
        assert_eq!(header.protocol(), client().protocol);
        let decoded = Envelope::decode(envelope);
        assert_eq!(decoded.helo, b"client.example");
        assert_eq!(decoded.reverse_path, b"");
        assert_eq!(decoded.forward_paths, [b"bob@example.com"]);
    }

    #[test]
    fn every_protocol_has_its_registered_keyword() {
        for (extended, utf8, encrypted, keyword) in [
            (false, false, false, "SMTP"),
            // Without EHLO there is no STARTTLS, and no keyword for TLS from the start.
            (false, false, true, "SMTP"),
            (true, false, false, "ESMTP"),
            (true, false, true, "ESMTPS"),
            (true, true, false, "UTF8SMTP"),
            (true, true, true, "UTF8SMTPS"),
        ] {
            let protocol = Protocol { extended, utf8, encrypted };
            assert_eq!(protocol.keyword(), keyword, "{protocol:?}");
            let now = Now { monotonic_ms: 0, unix_ms: 0 };
            let client = Client { protocol, ..client() };
            let header = Header::new(0, Chain::EMPTY.start(), now, &client, 0, BODY);
            assert_eq!(header.protocol(), protocol, "and is kept");
        }
    }

    #[test]
    fn a_head_of_any_length_is_known_again_and_keeps_its_length() {
        let now = Now { monotonic_ms: 7, unix_ms: 8 };
        for envelope_bytes in 0..=ENVELOPE_BYTES_MAX {
            let mut head = Vec::with_capacity(summed_bytes(HEADER_BYTES + ENVELOPE_BYTES_MAX));
            head.resize(HEADER_BYTES + envelope_bytes, b'e');
            let address = head.as_ptr();
            header(5, now, envelope_bytes).seal(&mut head);
            assert_eq!((head.len(), head.as_ptr()), (HEADER_BYTES + envelope_bytes, address));
            let (header, envelope) = head.split_at(HEADER_BYTES);
            let header: Header = bytemuck::pod_read_unaligned(header);
            assert!(header.is_whole(envelope), "{envelope_bytes}");
        }
    }

    #[test]
    fn what_is_summed_is_long_enough_for_the_fast_way() {
        for (bytes, summed) in
            [(0, 128), (112, 128), (113, 128), (128, 128), (129, 144), (145, 160)]
        {
            assert_eq!(summed_bytes(bytes), summed, "{bytes}");
        }
    }

    #[test]
    fn a_forward_path_that_just_fits_is_kept_and_one_byte_more_is_not() {
        let mut full = Vec::new();
        begin_envelope(&mut full, b"", b"");
        let longest = HEADER_BYTES + ENVELOPE_BYTES_MAX;
        for number in 0.. {
            let left = longest - full.len() - size_of::<u16>();
            if left <= PATH_BYTES_MAX {
                let mut tight = full.clone();
                push_forward_path(&mut tight, &vec![b'z'; left + 1]);
                assert_eq!(tight, full);
                push_forward_path(&mut full, &vec![b'z'; left]);
                assert_eq!(full.len(), longest);
                return;
            }
            push_forward_path(&mut full, &[number; PATH_BYTES_MAX - 3]);
        }
    }

    #[test]
    fn an_envelope_never_outgrows_its_bound() {
        let mut head = Vec::new();
        let path = [b'a'; PATH_BYTES_MAX];
        begin_envelope(&mut head, &[b'h'; 2 * HELO_BYTES_MAX], &path);
        for number in 0..100 {
            push_forward_path(&mut head, &[number; PATH_BYTES_MAX]);
            push_forward_path(&mut head, &[number; PATH_BYTES_MAX]);
        }
        let envelope = &head[HEADER_BYTES..];
        assert!(envelope.len() <= ENVELOPE_BYTES_MAX);
        let kept = Envelope::decode(envelope).forward_paths;
        assert!(kept.len() >= 2);
        assert!(kept.iter().zip(0..).all(|(path, number)| path[0] == number), "each once");
    }

    #[test]
    fn the_longest_record_wherever_it_starts_takes_what_is_counted_for_it() {
        let longest = HEADER_BYTES + ENVELOPE_BYTES_MAX + BODY_INLINE_BYTES_MAX;
        let taken = (0..ARENA_BYTES).map(|offset| (offset + longest).div_ceil(ARENA_BYTES)).max();
        assert_eq!(taken, Some(RECORD_ARENAS_MAX));
    }
}
