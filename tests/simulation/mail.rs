//! Messages as clients make them up: for whom, and what they say, with a liking for lengths at the
//! edges of arenas, for everything that looks like the end of data and is not, and for subjects and
//! texts that others have too.

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
    /// What is to be kept.
    pub(crate) body: Vec<u8>,
    /// What follows DATA for that, the end of data behind it.
    pub(crate) sent: Vec<u8>,
    /// Where in what is kept lines begin that are sent with a dot.
    dots: Vec<usize>,
    /// Said with MAIL, if it is.
    pub(crate) declared_bytes: Option<usize>,
}

pub(crate) struct Recipient {
    pub(crate) forward_path: String,
    pub(crate) name: &'static str,
}

impl Mail {
    /// A message that can follow DATA: empty, or ended by CRLF. Not every client adds the dots that it
    /// should, but all of them do where the message would end.
    pub(crate) fn of_lines(random: &mut Random, sizes: Sizes) -> Self {
        let mut mail = Self::of_bytes(random, sizes);
        let mut text = std::mem::take(&mut mail.body);
        if !text.is_empty() && !text.ends_with(b"\r\n") {
            text.extend_from_slice(b"\r\n");
        }
        let adds_all = random.percent(60);
        for (index, &byte) in text.iter().enumerate() {
            mail.sent.push(byte);
            if byte == b'.' && is_line_start(&text[..index]) {
                mail.dots.push(mail.body.len());
                let is_end = text[index..].starts_with(b".\r\n");
                if !(adds_all || is_end || random.percent(30)) {
                    continue;
                }
                mail.sent.push(byte);
            }
            mail.body.push(byte);
        }
        mail.sent.extend_from_slice(b".\r\n");
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
        Self { reverse_path, recipients, body, sent: vec![], dots: vec![], declared_bytes }
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
        let reverse_path = "hog@example.org".into();
        Self { reverse_path, recipients, body, sent: vec![], dots: vec![], declared_bytes: None }
    }

    /// How much of the message is known to be kept when so much of what was sent has come: a dot at a
    /// line's start is not kept, nor, until it is clear what follows, is a CR behind that.
    pub(crate) fn kept_bytes(&self, sent_bytes: usize) -> usize {
        let come = &self.sent[..sent_bytes];
        let dots = come.iter().enumerate();
        let dots = dots.filter(|&(at, byte)| *byte == b'.' && is_line_start(&come[..at])).count();
        let is_held = come.strip_suffix(b".\r").is_some_and(is_line_start);
        (sent_bytes - dots - usize::from(is_held)).min(self.body.len())
    }

    /// Where the next line after this place begins that was sent with a dot, in what is kept.
    pub(crate) fn next_dot(&self, kept_bytes: usize) -> usize {
        self.dots.iter().copied().find(|at| *at > kept_bytes).unwrap_or(self.body.len())
    }

    /// How many lines begin with a dot.
    pub(crate) fn dots(&self) -> usize {
        self.dots.len()
    }
}

fn is_line_start(before: &[u8]) -> bool {
    before.is_empty() || before.ends_with(b"\r\n")
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
    let mut body = if random.percent(70) { header(random) } else { vec![] };
    if body.len() > bytes {
        body.clear();
    }
    let rest = bytes - body.len();
    body.extend(body_of(random, rest));
    body
}

/// Fields, mostly a subject among them, that many have in common; and sometimes a text that they do.
fn header(random: &mut Random) -> Vec<u8> {
    let mut lines = vec!["From: somebody".to_owned()];
    if random.percent(90) {
        let name = random.pick(&["Subject", "subject", "SUBJECT", "Subject ", "Subjects"]);
        let prefix = random.pick(&["", "", " ", "Re: ", "Fwd:Re : "]);
        let mut subject = match random.below(10) {
            0 => format!("offer number {}", random.below(60)),
            1 => WITH_WORDS[random.below(WITH_WORDS.len())].to_owned(),
            _ => SUBJECTS[random.below(SUBJECTS.len())].to_owned(),
        };
        if random.percent(20) {
            subject = subject.to_uppercase();
        }
        if random.percent(20) {
            subject = subject.replacen(' ', "\r\n  ", 1);
        }
        lines.push(format!("{name}:{prefix}{subject}"));
    }
    random.shuffle(&mut lines);
    let mut header = lines.join("\r\n") + random.pick(&["\r\n\r\n", "\n\n", "\r\n"]);
    if random.percent(20) {
        header += CAMPAIGN;
    }
    header.into_bytes()
}

const SUBJECTS: [&str; 5] = ["hello", "your invoice", "dear friend", "", "about the plotteryx"];
/// One of them only looks as if it had one.
const WITH_WORDS: [&str; 3] = ["win the Lottery now", "lottery", "lotterys"];
const CAMPAIGN: &str = "this is the text of a campaign that comes from everywhere at once and says \
    the same to everybody in more than twenty four words so that it has a fingerprint by which all \
    of its copies can be told from other mail\r\n";

fn body_of(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes + 80);
    while body.len() < bytes {
        match random.below(8) {
            0 => body.extend_from_slice(random.pick(TRAPS)),
            2 => (0..random.between(2, 9)).for_each(|_| body.extend(random.pick(LINE_ENDS))),
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

/// What ends lines, and what is only part of that: in any order, next to dots.
const LINE_ENDS: &[&[u8]] = &[b"\r\n", b"\r\n.", b"\r\n.\r", b".", b"\r", b"\n", b"x"];

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
