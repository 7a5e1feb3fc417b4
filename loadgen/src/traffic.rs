//! What is sent: every byte of every message is prepared before the run. For each message only its
//! sequence number, its checksum and its recipients are written into the template, in place; so a
//! message costs one write and no copy, whatever its size. Nothing here knows what was answered.
//!
//! Everything about a message follows from its sequence number: size, mailboxes, bytes. What a
//! message should look like when it is read back is therefore not remembered but worked out.
//!
//! ```text
//! Message-ID: <loadgen.RRRRRRRR.SSSSSSSSSSSSSSSS.CCCCCCCC@example.org>     the first line
//!                      run      sequence         checksum, all in hexadecimal
//! ```
//! The checksum is the CRC-32 of the sequence's sixteen digits followed by the CRC-32 of the whole
//! message with zeros for both (four bytes, the lowest first): the long one is known beforehand.

use crate::arguments::Shape;
use crate::choice::{Choice, scramble};
use crate::plan::Plan;

/// Which message of the run; counted from 0.
pub(crate) type Sequence = u64;

/// One write of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Nothing: the server speaks first.
    Greeting,
    Ehlo,
    Starttls,
    Mail,
    /// The recipient at this place.
    Recipient(u16),
    Data,
    /// MAIL, every RCPT, DATA.
    Envelope,
    /// The message and its end.
    Body(Then),
    /// MAIL, every RCPT, BDAT and the message; never followed by an envelope.
    Chunk(Then),
    Quit,
}

/// What goes out in the same write, behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// The envelope of the next message.
    Envelope,
    Quit,
}

/// A write that is not finished. Its bytes are made again when it goes on, so that a connection
/// that has to wait holds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) script: Script,
    /// The message that the script is about.
    pub(crate) sequence: Sequence,
    /// The message whose envelope follows.
    pub(crate) following: Sequence,
    /// How much of it was sent.
    pub(crate) offset: usize,
}

/// Everything that can be sent in one run.
#[derive(Debug)]
pub(crate) struct Traffic {
    run: u32,
    recipients: u16,
    mailboxes: u32,
    mailbox_prefix: String,
    by_zipf: Option<Choice>,
    by_size: Option<Choice>,
    classes: Vec<Class>,
    recipient: Template,
    envelope: Template,
}

/// The messages of one size.
#[derive(Debug)]
struct Class {
    /// As it is stored: dots unstuffed.
    bytes: usize,
    /// The CRC-32 of it with zeros for sequence and checksum.
    crc: u32,
    /// The message, its end, QUIT.
    with_quit: Template,
    /// The message, its end, the next envelope.
    with_envelope: Template,
    /// The envelope, BDAT, the message, QUIT.
    chunk: Template,
}

/// Bytes with places in them.
#[derive(Clone, Debug, Default)]
struct Template {
    bytes: Vec<u8>,
    /// Where a message's identity begins.
    identity: Option<usize>,
    /// Where each recipient's digits begin.
    recipients: Vec<usize>,
    /// Where a part that may be left out begins.
    tail: usize,
}

const EHLO: &[u8] = b"EHLO loadgen.example.org\r\n";
const STARTTLS: &[u8] = b"STARTTLS\r\n";
const MAIL: &[u8] = b"MAIL FROM:<load@example.org>\r\n";
const DATA: &[u8] = b"DATA\r\n";
const QUIT: &[u8] = b"QUIT\r\n";
/// What a message's first line begins with; the run, the sequence and the checksum follow.
const IDENTITY: &[u8] = b"Message-ID: <loadgen.";
/// From the beginning of a message to its sequence: the run and a dot are between.
const SEQUENCE_AT: usize = IDENTITY.len() + 9;
const SEQUENCE_DIGITS: usize = 16;
const CHECK_AT: usize = SEQUENCE_AT + SEQUENCE_DIGITS + 1;
const CHECK_DIGITS: usize = 8;
/// Digits of a mailbox's name.
const MAILBOX_DIGITS: usize = 8;

impl Traffic {
    /// Prepares what `plan` asks for. `run` tells its messages from those of other runs.
    pub(crate) fn new(plan: &Plan, run: u32) -> Self {
        let recipient = Template::recipient(&plan.mailbox_prefix, &plan.domain);
        let mut envelope = Template { bytes: MAIL.to_vec(), ..Template::default() };
        for _ in 0..plan.recipients {
            envelope.append(&recipient);
        }
        let transaction = envelope.clone();
        envelope.bytes.extend_from_slice(DATA);
        let classes = plan
            .sizes
            .iter()
            .map(|&(bytes, _)| {
                Class::new(message(run, bytes, plan.dots), plan.shape, &envelope, &transaction)
            })
            .collect();
        let weights: Vec<f64> = plan.sizes.iter().map(|&(_, weight)| weight).collect();
        Self {
            run,
            recipients: plan.recipients,
            mailboxes: plan.mailboxes,
            mailbox_prefix: plan.mailbox_prefix.clone(),
            by_zipf: plan.zipf.map(|exponent| Choice::zipf(plan.mailboxes, exponent)),
            by_size: (weights.len() > 1).then(|| Choice::of(&weights)),
            classes,
            recipient,
            envelope,
        }
    }

    /// The rest of a write.
    pub(crate) fn bytes(&mut self, outgoing: &Outgoing) -> &[u8] {
        let Outgoing { script, sequence, following, offset } = *outgoing;
        let bytes: &[u8] = match script {
            Script::Greeting => b"",
            Script::Ehlo => EHLO,
            Script::Starttls => STARTTLS,
            Script::Mail => MAIL,
            Script::Data => DATA,
            Script::Quit => QUIT,
            Script::Recipient(place) => {
                let mailbox = self.mailbox(sequence, place);
                self.recipient.write_recipient(0, mailbox);
                &self.recipient.bytes
            }
            Script::Envelope => {
                let mailboxes = self.first_mailbox(sequence);
                self.envelope.write_recipients(mailboxes, self.mailboxes);
                &self.envelope.bytes
            }
            Script::Body(Then::Envelope) => {
                let mailboxes = self.first_mailbox(following);
                let count = self.mailboxes;
                let class = self.class_mut(sequence);
                class.with_envelope.write_recipients(mailboxes, count);
                class.with_envelope.write_identity(sequence, class.crc);
                &class.with_envelope.bytes
            }
            Script::Body(then) => {
                let class = self.class_mut(sequence);
                class.with_quit.write_identity(sequence, class.crc);
                class.with_quit.until(then)
            }
            Script::Chunk(then) => {
                let mailboxes = self.first_mailbox(sequence);
                let count = self.mailboxes;
                let class = self.class_mut(sequence);
                class.chunk.write_recipients(mailboxes, count);
                class.chunk.write_identity(sequence, class.crc);
                class.chunk.until(then)
            }
        };
        &bytes[offset.min(bytes.len())..]
    }

    /// Which mailbox the recipient at a place of a message has. No message has the same one twice.
    pub(crate) fn mailbox(&self, sequence: Sequence, place: u16) -> u32 {
        let mailbox = u64::from(self.first_mailbox(sequence)) + u64::from(place);
        (mailbox % u64::from(self.mailboxes)) as u32
    }

    /// The other recipients' mailboxes are the ones after it.
    fn first_mailbox(&self, sequence: Sequence) -> u32 {
        match &self.by_zipf {
            Some(choice) => choice.pick(scramble(sequence)),
            None => {
                (sequence.wrapping_mul(u64::from(self.recipients)) % u64::from(self.mailboxes))
                    as u32
            }
        }
    }

    /// What a mailbox is called.
    pub(crate) fn mailbox_name(&self, mailbox: u32) -> String {
        format!("{}{mailbox:0MAILBOX_DIGITS$}", self.mailbox_prefix)
    }

    /// How many bytes a message has.
    pub(crate) fn message_bytes(&self, sequence: Sequence) -> usize {
        self.classes[self.class_of(sequence)].bytes
    }

    fn class_of(&self, sequence: Sequence) -> usize {
        // Other bits than the mailbox's, so that sizes and mailboxes have nothing to do with each other.
        self.by_size.as_ref().map_or(0, |choice| choice.pick(scramble(!sequence)) as usize)
    }

    fn class_mut(&mut self, sequence: Sequence) -> &mut Class {
        let class = self.class_of(sequence);
        &mut self.classes[class]
    }

    /// Which message of this run these bytes are; a server may have put lines before it.
    ///
    /// # Errors
    /// It is not a message of this run, or was one.
    pub(crate) fn examine(&self, source: &[u8]) -> Result<Sequence, Damage> {
        let at = start_of(source).ok_or(Damage::Foreign)?;
        let message = &source[at..];
        let run =
            hexadecimal(message.get(IDENTITY.len()..SEQUENCE_AT - 1)).ok_or(Damage::Foreign)?;
        if run != u64::from(self.run) {
            return Err(Damage::Foreign);
        }
        let digits = message.get(SEQUENCE_AT..CHECK_AT - 1);
        let sequence = hexadecimal(digits).ok_or(Damage::Corrupted(None))?;
        let corrupted = Err(Damage::Corrupted(Some(sequence)));
        let Some(check) = hexadecimal(message.get(CHECK_AT..CHECK_AT + CHECK_DIGITS)) else {
            return corrupted;
        };
        if message.len() != self.message_bytes(sequence) {
            return corrupted;
        }
        let mut whole = crc32fast::Hasher::new();
        whole.update(&message[..SEQUENCE_AT]);
        whole.update(&[b'0'; SEQUENCE_DIGITS]);
        whole.update(&message[CHECK_AT - 1..CHECK_AT]);
        whole.update(&[b'0'; CHECK_DIGITS]);
        whole.update(&message[CHECK_AT + CHECK_DIGITS..]);
        let digits = digits.unwrap_or_default();
        if u64::from(check_of(digits, whole.finalize())) != check {
            // The sequence may be what is wrong; nobody can tell.
            return corrupted;
        }
        Ok(sequence)
    }
}

/// Why bytes are not a message of this run as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It never was one.
    Foreign,
    /// It was, and this is the sequence that it bears.
    Corrupted(Option<Sequence>),
}

/// Where our own first line begins: at the start, or behind a line that the server added.
fn start_of(source: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(source, IDENTITY).find(|&at| at == 0 || source[at - 1] == b'\n')
}

fn hexadecimal(digits: Option<&[u8]>) -> Option<u64> {
    let digits = digits?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn check_of(sequence_digits: &[u8], crc: u32) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(sequence_digits);
    check.update(&crc.to_le_bytes());
    check.finalize()
}

impl Class {
    fn new(message: Vec<u8>, shape: Shape, envelope: &Template, transaction: &Template) -> Self {
        let bytes = message.len();
        let crc = crc32fast::hash(&message);
        // Only what the shape sends is kept: a message may be 64 MiB.
        let chunking = shape == Shape::Bdat;
        let stuffed = if chunking { Template::default() } else { Template::body(&message) };
        let with_envelope = if shape == Shape::Burst {
            let mut template = stuffed.clone();
            template.append(envelope);
            template
        } else {
            Template::default()
        };
        let mut with_quit = stuffed;
        with_quit.end_with_quit();
        let mut chunk = Template::default();
        if chunking {
            chunk.append(transaction);
            chunk.bytes.extend_from_slice(format!("BDAT {bytes} LAST\r\n").as_bytes());
            chunk.append(&Template { bytes: message, identity: Some(0), ..Template::default() });
            chunk.end_with_quit();
        }
        Self { bytes, crc, with_quit, with_envelope, chunk }
    }
}

impl Template {
    /// RCPT with digits to be written.
    fn recipient(prefix: &str, domain: &str) -> Self {
        let mut bytes = format!("RCPT TO:<{prefix}").into_bytes();
        let digits = bytes.len();
        bytes.extend_from_slice(&[b'0'; MAILBOX_DIGITS]);
        bytes.extend_from_slice(format!("@{domain}>\r\n").as_bytes());
        Self { bytes, recipients: vec![digits], ..Self::default() }
    }

    /// A message as DATA sends it: dots stuffed, and its end.
    fn body(message: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(message.len() + 64);
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.first() == Some(&b'.') {
                bytes.push(b'.');
            }
            bytes.extend_from_slice(line);
        }
        bytes.extend_from_slice(b".\r\n");
        Self { bytes, identity: Some(0), ..Self::default() }
    }

    fn append(&mut self, other: &Self) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.identity = self.identity.or(other.identity.map(|identity| at + identity));
        self.recipients.extend(other.recipients.iter().map(|digits| at + digits));
    }

    fn end_with_quit(&mut self) {
        self.tail = self.bytes.len();
        self.bytes.extend_from_slice(QUIT);
    }

    fn until(&self, then: Then) -> &[u8] {
        if then == Then::Quit { &self.bytes } else { &self.bytes[..self.tail] }
    }

    fn write_identity(&mut self, sequence: Sequence, crc: u32) {
        let Some(at) = self.identity else { return };
        let digits = &mut self.bytes[at + SEQUENCE_AT..][..SEQUENCE_DIGITS];
        write_hexadecimal(sequence, digits);
        let check = check_of(digits, crc);
        write_hexadecimal(check.into(), &mut self.bytes[at + CHECK_AT..][..CHECK_DIGITS]);
    }

    fn write_recipients(&mut self, first: u32, mailboxes: u32) {
        let mut mailbox = first;
        for place in 0..self.recipients.len() {
            self.write_recipient(place, mailbox);
            mailbox += 1;
            if mailbox == mailboxes {
                mailbox = 0;
            }
        }
    }

    fn write_recipient(&mut self, place: usize, mailbox: u32) {
        let at = self.recipients[place];
        let mut rest = mailbox;
        for digit in self.bytes[at..at + MAILBOX_DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

fn write_hexadecimal(number: u64, digits: &mut [u8]) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
}

/// A message of exactly so many bytes, with zeros where its sequence and checksum will be.
fn message(run: u32, bytes: usize, dots: bool) -> Vec<u8> {
    let mut message = IDENTITY.to_vec();
    message.extend_from_slice(
        format!(
            "{run:08x}.{:0SEQUENCE_DIGITS$}.{:0CHECK_DIGITS$}@example.org>\r\n\
             From: Load <load@example.org>\r\nSubject: {bytes} bytes\r\n\
             Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n",
            0, 0
        )
        .as_bytes(),
    );
    if dots {
        message.extend_from_slice(b".\r\n..two\r\n");
    }
    let line = b"Sphinx of black quartz, judge my vow; then pack five dozen jugs.\r\n";
    while message.len() < bytes {
        let room = bytes - message.len();
        message.extend_from_slice(&line[..line.len().min(room)]);
    }
    // It ends with a line's end, as DATA needs. A CR that was cut from its LF would be data too, but
    // other servers take offence.
    message.truncate(bytes - 2);
    if let Some(last) = message.last_mut().filter(|last| **last == b'\r') {
        *last = b'.';
    }
    message.extend_from_slice(b"\r\n");
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::Parser;

    fn traffic(flags: &[&str]) -> Traffic {
        let all = ["loadgen"].iter().chain(flags);
        Traffic::new(&Plan::of(Arguments::try_parse_from(all).unwrap()).unwrap(), 0xbeef)
    }

    fn sent(traffic: &mut Traffic, script: Script, sequence: u64, following: u64) -> Vec<u8> {
        traffic.bytes(&Outgoing { script, sequence, following, offset: 0 }).to_vec()
    }

    fn unstuffed(sent: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(sent.to_vec()).unwrap();
        let (message, _) = text.split_once("\r\n.\r\n").unwrap();
        format!("{}\r\n", message.replace("\r\n..", "\r\n.")).into_bytes()
    }

    #[test]
    fn every_size_is_exact_and_known_again() {
        for bytes in 256..600 {
            for dots in [&["--dots"][..], &[]] {
                let size = bytes.to_string();
                let mut traffic = traffic(&[&["--size", &size], dots].concat());
                let body = sent(&mut traffic, Script::Body(Then::Nothing), 77, 0);
                let message = unstuffed(&body);
                assert_eq!(message.len(), bytes);
                assert_eq!(traffic.examine(&message), Ok(77), "{bytes}");
                let text = String::from_utf8(message).unwrap();
                assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "only whole line ends");
            }
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let mut traffic = traffic(&["--size", "300"]);
        let message = unstuffed(&sent(&mut traffic, Script::Body(Then::Nothing), 5, 0));
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert_ne!(traffic.examine(&changed), Ok(5), "{at}");
            if at >= SEQUENCE_AT {
                assert_ne!(traffic.examine(&changed), Err(Damage::Foreign), "{at}");
            }
        }
        assert_eq!(traffic.examine(&message[..299]), Err(Damage::Corrupted(Some(5))));
        let traced = [b"Received: Message-ID: <loadgen.\r\n", &message[..]].concat();
        assert_eq!(traffic.examine(&traced), Ok(5));
    }

    #[test]
    fn scripts_are_what_the_rfcs_have() {
        let mut traffic = traffic(&["--recipients", "2", "--mailboxes", "3", "--shape", "burst"]);
        let envelope = "MAIL FROM:<load@example.org>\r\nRCPT TO:<load00000002@example.com>\r\n\
                        RCPT TO:<load00000000@example.com>\r\nDATA\r\n";
        assert_eq!(sent(&mut traffic, Script::Envelope, 4, 0), envelope.as_bytes());
        assert_eq!(
            sent(&mut traffic, Script::Recipient(1), 4, 0),
            b"RCPT TO:<load00000000@example.com>\r\n"
        );
        let body = sent(&mut traffic, Script::Body(Then::Nothing), 3, 0);
        assert!(body.ends_with(b"\r\n.\r\n"));
        assert_eq!(
            sent(&mut traffic, Script::Body(Then::Quit), 3, 0),
            [&body[..], b"QUIT\r\n"].concat()
        );
        assert_eq!(
            sent(&mut traffic, Script::Body(Then::Envelope), 3, 4),
            [&body, envelope.as_bytes()].concat()
        );
    }

    #[test]
    fn a_chunk_says_its_size_and_stuffs_nothing() {
        let flags = ["--shape", "bdat", "--dots", "--size", "300", "--mailboxes", "9"];
        let mut traffic = traffic(&flags);
        let chunk = sent(&mut traffic, Script::Chunk(Then::Quit), 8, 0);
        let head = "MAIL FROM:<load@example.org>\r\nRCPT TO:<load00000008@example.com>\r\n\
                    BDAT 300 LAST\r\n";
        let rest = chunk.strip_prefix(head.as_bytes()).unwrap();
        assert_eq!(traffic.examine(&rest[..300]), Ok(8));
        assert_eq!(&rest[300..], b"QUIT\r\n");
    }

    #[test]
    fn a_write_goes_on_where_it_was_cut() {
        let mut traffic = traffic(&["--shape", "burst", "--size", "300"]);
        let script = Script::Body(Then::Envelope);
        let whole = sent(&mut traffic, script, 1, 2);
        for offset in 0..=whole.len() {
            // Another connection's message was written over the template meanwhile.
            sent(&mut traffic, script, 1000, 2000);
            let rest = traffic.bytes(&Outgoing { script, sequence: 1, following: 2, offset });
            assert_eq!(rest, &whole[offset..]);
        }
    }

    #[test]
    fn no_message_names_a_mailbox_twice() {
        for flags in [&["--zipf", "1.2"][..], &[]] {
            let flags = [&["--recipients", "5", "--mailboxes", "7"], flags].concat();
            let traffic = traffic(&flags);
            for sequence in 0..1000 {
                let mut named: Vec<u32> = (0..5).map(|p| traffic.mailbox(sequence, p)).collect();
                named.sort_unstable();
                named.dedup();
                assert!(named.len() == 5 && named[4] < 7);
            }
        }
    }
}
