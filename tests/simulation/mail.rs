//! Messages as clients make them up: for whom, and what they say, with a liking for lengths at the
//! edges of arenas and for everything that looks like the end of data and is not.

use mailfly::limits::{ARENA_BYTES, BODY_INLINE_BYTES_MAX};

use crate::random::Random;

/// More than there may be mailboxes, so that some give way.
pub(crate) const NAMES: [&str; 12] =
    ["ann", "bob", "cat", "dan", "eve", "fay", "gil", "hal", "ida", "jon", "kim", "lou"];

/// How long messages are.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// More is refused.
    pub(crate) bytes_max: usize,
    /// Most are nearer to that than to nothing, so that the pool is soon full.
    pub(crate) heavy: bool,
}

pub(crate) struct Mail {
    pub(crate) reverse_path: String,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) body: Vec<u8>,
    /// Said with MAIL, if it is.
    pub(crate) declared_bytes: Option<usize>,
}

pub(crate) struct Recipient {
    pub(crate) forward_path: String,
    pub(crate) name: &'static str,
}

impl Mail {
    /// A message that can follow DATA: empty, or ended by CRLF.
    pub(crate) fn of_lines(random: &mut Random, sizes: Sizes) -> Self {
        let mut mail = Self::of_bytes(random, sizes);
        if !mail.body.is_empty() && !mail.body.ends_with(b"\r\n") {
            mail.body.extend_from_slice(b"\r\n");
        }
        mail
    }

    /// A message of whatever bytes, for BDAT.
    pub(crate) fn of_bytes(random: &mut Random, sizes: Sizes) -> Self {
        let number = random.next() % 100_000;
        let recipients = (0..random.weighted(&[(12, 1), (4, 2), (2, 4), (1, 9)]))
            .map(|_| Recipient::new(random))
            .collect();
        let body = body(random, sizes);
        let declared_bytes = random.percent(20).then_some(body.len());
        let reverse_path = match random.percent(10) {
            true => String::new(),
            false => format!("sender{number}@example.org"),
        };
        Self { reverse_path, recipients, body, declared_bytes }
    }

    /// As much as one message may hold of the drafts' share.
    pub(crate) fn of_a_hog(random: &mut Random, bytes_max: usize) -> Self {
        let domain = "long.".repeat(random.between(1, 38));
        let recipients = (0..random.between(1, 110))
            .map(|number| Recipient {
                forward_path: format!("{}@{number}.{domain}example", NAMES[number % NAMES.len()]),
                name: NAMES[number % NAMES.len()],
            })
            .collect();
        let bytes = random.pick(&[bytes_max, bytes_max, bytes_max / 2]);
        let body = body_of(random, bytes);
        Self { reverse_path: "hog@example.org".into(), recipients, body, declared_bytes: None }
    }

    /// As it follows DATA: each line that begins with a dot has another, and the end is behind it.
    pub(crate) fn stuffed(&self) -> Vec<u8> {
        let mut stuffed = Vec::with_capacity(self.body.len() + 8);
        for (index, &byte) in self.body.iter().enumerate() {
            if byte == b'.' && (index == 0 || self.body[..index].ends_with(b"\r\n")) {
                stuffed.push(b'.');
            }
            stuffed.push(byte);
        }
        stuffed.extend_from_slice(b".\r\n");
        stuffed
    }
}

impl Recipient {
    fn new(random: &mut Random) -> Self {
        // The first few have most of the mail.
        let end = random.pick(&[2, 6, NAMES.len()]);
        let name = NAMES[random.below(end)];
        let domain = random.below(100);
        let forward_path = match random.below(4) {
            0 => format!("{}+tag@host{domain}.example", name.to_uppercase()),
            1 => format!("\"{name}\"@host{domain}.example"),
            _ => format!("{name}@host{domain}.example"),
        };
        Self { forward_path, name }
    }
}

fn body(random: &mut Random, Sizes { bytes_max, heavy }: Sizes) -> Vec<u8> {
    let near = |random: &mut Random, bytes: usize| (bytes + random.below(5)).saturating_sub(2);
    let bytes = match random.below(20) {
        _ if heavy && random.percent(70) => random.between(bytes_max / 2, bytes_max - 2),
        0 => 0,
        1..11 => random.between(1, 600),
        11 | 12 => near(random, ARENA_BYTES),
        13 | 14 => near(random, BODY_INLINE_BYTES_MAX),
        15..18 => random.below(bytes_max),
        18 => near(random, bytes_max),
        _ => bytes_max + random.below(bytes_max),
    };
    body_of(random, bytes)
}

fn body_of(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes + 80);
    while body.len() < bytes {
        match random.below(8) {
            0 => body.extend_from_slice(random.pick(TRAPS)),
            1 => body.extend((0..random.between(1, 60)).map(|_| random.next() as u8)),
            _ => {
                // No two arenas of a message are alike.
                for _ in 0..random.between(1, 40) {
                    body.extend(random.next().to_le_bytes().map(|byte| b' ' + (byte & 63)));
                }
                body.extend_from_slice(b"\r\n");
            }
        }
    }
    body.truncate(bytes);
    body
}

/// None of them ends a message, once their dots are stuffed.
const TRAPS: &[&[u8]] = &[
    b"\r\n.\r\n",
    b".",
    b"..\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\r\r\n",
    b"\r\n.\n",
    b"\r",
    b"\0",
    b"\r\n..\r\n.",
    b"Subject: a subject\r\n\r\n",
    b"QUIT\r\n",
    b"RSET\r\n",
];
