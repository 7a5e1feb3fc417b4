//! A client of SMTP: a plan of what it is going to say, how far it waits for answers before it says
//! more, and what it has a right to hear. Not here: when it gets to speak or to read (`world`).

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use mailfly::guard::{Action, Rule, Rules};
use mailfly::limits::LINE_BYTES_MAX;
use mailfly::smtp::session::Policy;

use crate::mail::{Mail, Sizes};
use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Waits after each command.
    Lockstep,
    /// Sends an envelope at once, and waits before the message.
    Pipelined,
    /// Sends the next envelope behind the message.
    Burst,
    /// Envelopes and chunks without ever waiting.
    Chunks,
    /// Sends a message behind its envelope, without having heard that it may.
    Rude,
    /// Much that is no command, and some mail.
    Garbage,
    /// Brings a message with a long envelope and much in it, and never ends it.
    Hog,
    /// Says half a thing, and then nothing for ever.
    Silent,
}

/// What is asked, and so which answers there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Banner,
    Hello,
    Starttls,
    Mail(usize),
    Recipient(usize, usize),
    Data(usize),
    /// The message itself, after DATA.
    Message(usize),
    /// So many bytes of a message from one on, after BDAT.
    Chunk {
        mail: usize,
        first: usize,
        bytes: usize,
        last: bool,
    },
    Reset,
    Noop,
    Quit,
    /// What is no command; answered in one line, whatever it says.
    Fault,
    /// What is only the beginning of something.
    Unfinished,
}

struct Line {
    ask: Ask,
    bytes: Vec<u8>,
    /// Said only when all before it has been answered.
    waits: bool,
}

/// What clients are held to by the server that they talk to.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) policy: Policy,
    pub(crate) message_bytes_max: usize,
    /// What it may refuse or throw away mail for.
    pub(crate) rules: &'a Rules,
}

impl Terms<'_> {
    /// Whether this is what a rule does to a message, one that is on and says so.
    fn is_judgement(&self, line: &str) -> bool {
        let is_done = |rule: &Rule, action| {
            self.rules.of(*rule).is_some_and(|setting| setting.action == action)
        };
        match line.strip_prefix("550 5.7.1 Refused: ") {
            Some(why) => {
                let mut rules = Rule::ALL.iter().filter(|rule| rule.reason() == why);
                rules.any(|rule| is_done(rule, Action::Reject))
            }
            None => {
                line == "250 2.0.0 Ok"
                    && Rule::ALL.iter().any(|rule| is_done(rule, Action::Discard))
            }
        }
    }
}

/// An ask that has been written.
struct Asked {
    ask: Ask,
    /// How much the client had written when it had written this.
    ends_at: u64,
    /// How much of its message the server has used, as far as that was told.
    told_bytes: usize,
}

pub(crate) struct Client {
    pub(crate) style: Style,
    pub(crate) mails: Vec<Rc<Mail>>,
    plan: VecDeque<Line>,
    /// What the server has not answered yet.
    waiting: VecDeque<Asked>,
    asked: usize,
    answered: usize,
    written_bytes: u64,
    /// Complete replies that the client has read.
    heard: usize,
    heard_line: Vec<u8>,
    /// By mail: whether the server has said 354.
    invited: Vec<bool>,
    transaction: Option<Transaction>,
    /// Its message is being taken for commands, so that nothing is known of the answers.
    pub(crate) is_derailed: bool,
    /// What was said last.
    last_ask: Ask,
    /// It has heard that TLS may begin.
    pub(crate) wants_tls: bool,
    /// The server has said goodbye.
    pub(crate) is_dismissed: bool,
}

/// What the server has said yes to.
pub(crate) struct Transaction {
    pub(crate) mail: usize,
    pub(crate) recipients: Vec<usize>,
}

/// What the server has just acknowledged.
pub(crate) struct Stored {
    pub(crate) mail: Rc<Mail>,
    /// Which of its recipients were taken.
    pub(crate) recipients: Vec<usize>,
    pub(crate) id: String,
}

/// What the server has just said, as far as somebody else has to know.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) stored: Vec<Stored>,
    /// Refusals for want of room, of those that are told at once.
    pub(crate) drafts_full: usize,
    pub(crate) faults: usize,
    pub(crate) replies: usize,
    pub(crate) copies: usize,
    /// What was answered, and at the end perhaps what is under way, in its order; nothing of a client
    /// of which nothing is known.
    pub(crate) events: Vec<Event>,
}

/// What the server has done with something that was asked.
pub(crate) struct Event {
    pub(crate) ask: Ask,
    /// More of its message was used: so many bytes of it.
    pub(crate) message: Range<usize>,
    pub(crate) answer: Option<String>,
}

impl Client {
    /// With TLS on offer it asks for that, most of the time.
    pub(crate) fn new(random: &mut Random, style: Style, sizes: Sizes, has_tls: bool) -> Self {
        let mut client = Self {
            style,
            mails: vec![],
            plan: VecDeque::new(),
            waiting: VecDeque::new(),
            asked: 0,
            answered: 0,
            written_bytes: 0,
            heard: 0,
            heard_line: vec![],
            invited: vec![],
            transaction: None,
            last_ask: Ask::Banner,
            wants_tls: false,
            is_derailed: false,
            is_dismissed: false,
        };
        client.ask(Ask::Banner, 0);
        client.make_plan(random, sizes, has_tls);
        client
    }

    fn make_plan(&mut self, random: &mut Random, sizes: Sizes, has_tls: bool) {
        let style = self.style;
        // Whoever is rude does not wait for the banner either.
        let hello = random.pick(&[&b"EHLO client.example\r\n"[..], b"HELO client.example\r\n"]);
        self.plan(Ask::Hello, hello.to_vec(), style != Style::Rude);
        if has_tls && style != Style::Rude && random.percent(80) {
            self.plan(Ask::Starttls, b"STARTTLS\r\n".to_vec(), true);
            self.plan(Ask::Hello, hello.to_vec(), true);
        }
        if style == Style::Silent {
            let half = random.pick(&[&b"MAIL FROM:<"[..], b"NOO", b"BDAT 100", b"NOOP\r"]);
            self.plan(Ask::Unfinished, half.to_vec(), false);
            return;
        }
        if style == Style::Hog {
            self.plan_hog(random, sizes.bytes_max);
            return;
        }
        let mails =
            if style == Style::Rude { 1 } else { random.weighted(&[(3, 1), (2, 3), (1, 8)]) };
        for _ in 0..mails {
            self.plan_trifles(random);
            self.plan_mail(random, sizes);
        }
        if random.percent(70) {
            self.plan(Ask::Quit, b"QUIT\r\n".to_vec(), style == Style::Lockstep);
        }
    }

    /// What is said between two messages.
    fn plan_trifles(&mut self, random: &mut Random) {
        let waits = self.style == Style::Lockstep;
        if random.percent(10) {
            self.plan(Ask::Noop, b"NOOP\r\n".to_vec(), waits);
        }
        if random.percent(5) {
            self.plan(Ask::Reset, b"RSET\r\n".to_vec(), waits);
        }
        if self.style == Style::Garbage {
            for _ in 0..random.below(4) {
                self.plan(Ask::Fault, garbage(random), random.percent(30));
            }
        }
    }

    fn plan_mail(&mut self, random: &mut Random, sizes: Sizes) {
        let style = self.style;
        let in_chunks = style == Style::Chunks || (style == Style::Garbage && random.percent(30));
        let mail = match in_chunks {
            true => Mail::of_bytes(random, sizes),
            false => Mail::of_lines(random, sizes),
        };
        let (lockstep, pipelined) = (style == Style::Lockstep, style == Style::Pipelined);
        let number = self.mails.len();
        let mail = Rc::new(mail);
        self.mails.push(Rc::clone(&mail));
        self.invited.push(false);
        let size = mail.declared_bytes.map(|bytes| format!(" SIZE={bytes}")).unwrap_or_default();
        let line = format!("MAIL FROM:<{}>{size}\r\n", mail.reverse_path);
        self.plan(Ask::Mail(number), line.into_bytes(), lockstep || pipelined);
        for (index, recipient) in mail.recipients.iter().enumerate() {
            let line = format!("RCPT TO:<{}>\r\n", recipient.forward_path);
            self.plan(Ask::Recipient(number, index), line.into_bytes(), lockstep);
            if style == Style::Garbage && random.percent(10) {
                self.plan(Ask::Fault, garbage(random), false);
            }
        }
        // Some change their minds.
        if random.percent(5) {
            let (ask, line) =
                random.pick(&[(Ask::Reset, "RSET\r\n"), (Ask::Hello, "EHLO again.example\r\n")]);
            self.plan(ask, line.into(), lockstep);
            return;
        }
        if in_chunks {
            self.plan_chunks(random, number, &mail.body);
            return;
        }
        self.plan(Ask::Data(number), b"DATA\r\n".to_vec(), lockstep);
        self.plan(Ask::Message(number), mail.sent.clone(), style != Style::Rude);
    }

    fn plan_hog(&mut self, random: &mut Random, message_bytes_max: usize) {
        let mail = Rc::new(Mail::of_a_hog(random, message_bytes_max));
        self.mails.push(Rc::clone(&mail));
        self.invited.push(false);
        self.plan(Ask::Mail(0), b"MAIL FROM:<hog@example.org>\r\n".to_vec(), false);
        for (index, recipient) in mail.recipients.iter().enumerate() {
            let line = format!("RCPT TO:<{}>\r\n", recipient.forward_path);
            self.plan(Ask::Recipient(0, index), line.into_bytes(), false);
        }
        let command = format!("BDAT {}\r\n", mail.body.len());
        let chunk = [command.as_bytes(), &mail.body].concat();
        let ask = Ask::Chunk { mail: 0, first: 0, bytes: mail.body.len(), last: false };
        self.plan(ask, chunk, false);
    }

    fn plan_chunks(&mut self, random: &mut Random, mail: usize, body: &[u8]) {
        let mut rest = body;
        loop {
            let bytes = match random.below(3) {
                0 => rest.len(),
                _ => random.below(rest.len() + 1),
            };
            let (chunk, after) = rest.split_at(bytes);
            rest = after;
            // The last chunk may be empty.
            let last = rest.is_empty() && random.percent(80);
            let command = format!("BDAT {}{}\r\n", chunk.len(), if last { " LAST" } else { "" });
            let first = body.len() - rest.len() - chunk.len();
            let ask = Ask::Chunk { mail, first, bytes: chunk.len(), last };
            let bytes = [command.as_bytes(), chunk].concat();
            self.plan(ask, bytes, random.percent(10));
            if last {
                return;
            }
        }
    }

    fn plan(&mut self, ask: Ask, bytes: Vec<u8>, waits: bool) {
        self.plan.push_back(Line { ask, bytes, waits });
    }

    fn ask(&mut self, ask: Ask, bytes: usize) {
        self.written_bytes += bytes as u64;
        if ask != Ask::Unfinished {
            self.asked += 1;
            self.last_ask = ask;
            self.waiting.push_back(Asked { ask, ends_at: self.written_bytes, told_bytes: 0 });
        }
    }

    /// What it writes next, if it need not wait; at most so many lines of its plan.
    pub(crate) fn speak(&mut self, lines_max: usize) -> Vec<u8> {
        let mut said = Vec::new();
        for _ in 0..lines_max {
            if let Some(Line { ask: Ask::Message(mail), waits: true, .. }) = self.plan.front()
                && self.heard == self.asked
                && !self.invited[*mail]
            {
                self.plan.pop_front();
            }
            if self.plan.front().is_none_or(|line| line.waits && self.heard < self.asked) {
                break;
            }
            let Some(line) = self.plan.pop_front() else { break };
            self.ask(line.ask, line.bytes.len());
            said.extend(line.bytes);
        }
        said
    }

    /// Whether it has said all that it was going to.
    pub(crate) fn has_said_all(&self) -> bool {
        self.plan.is_empty()
    }

    /// Whether everything that it said has been answered.
    pub(crate) fn has_all_answers(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The client reads.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.heard_line.push(byte);
            if byte == b'\n' {
                self.heard += usize::from(self.heard_line.get(3) != Some(&b'-'));
                self.wants_tls |=
                    self.last_ask == Ask::Starttls && self.heard_line.starts_with(b"220 2.0.0");
                self.heard_line.clear();
            }
        }
    }

    /// What the server says after it has received and used so many bytes in all: replies that are
    /// whole, to what has been asked, in its order, and such as were to be expected.
    pub(crate) fn answered(
        &mut self,
        output: &[u8],
        (received_bytes, used_bytes): (u64, u64),
        terms: Terms<'_>,
    ) -> Said {
        let mut said = Said::default();
        let mut lines = output.split_inclusive(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            assert!(line.ends_with(b"\r\n"), "replies are whole");
            if line.get(3) == Some(&b'-') {
                assert!(lines.peek().is_some(), "replies are whole");
                continue;
            }
            let line = str::from_utf8(line).expect("replies are text").trim_end();
            assert!(!self.is_dismissed, "nothing is said after the goodbye: {line}");
            said.replies += 1;
            if line.starts_with("421 ") {
                self.is_dismissed = true;
                continue;
            }
            let waiting = self.waiting.front().unwrap_or_else(|| panic!("nobody asked: {line}"));
            let ask = waiting.ask;
            if let Ask::Message(mail) = ask
                && !self.invited[mail]
            {
                self.is_derailed = true;
            }
            if self.is_derailed {
                // Some of it may even be a command.
                said.faults += usize::from(line.starts_with('5'));
                let is_curt = terms.policy == Policy::Curt && !terms.is_judgement(line);
                self.is_dismissed = line.starts_with("221") || is_curt && line.starts_with('5');
                continue;
            }
            // A line that is too long is told so before its end.
            let is_early = waiting.ends_at > received_bytes && ask != Ask::Fault;
            assert!(!is_early, "{ask:?} was answered too early: {line}");
            said.events.extend(self.event(used_bytes, Some(line)));
            self.waiting.pop_front();
            self.answered += 1;
            self.judge(ask, line, terms, &mut said);
        }
        if !self.is_derailed {
            said.events.extend(self.event(used_bytes, None));
        }
        said
    }

    /// What has become of the first thing that waits for an answer.
    fn event(&mut self, used_bytes: u64, answer: Option<&str>) -> Option<Event> {
        let asked = self.waiting.front_mut()?;
        let unused_bytes = asked.ends_at.saturating_sub(used_bytes) as usize;
        let used_bytes = match asked.ask {
            Ask::Message(mail) => {
                let mail = &self.mails[mail];
                mail.kept_bytes(mail.sent.len().saturating_sub(unused_bytes))
            }
            Ask::Chunk { bytes, .. } => bytes.saturating_sub(unused_bytes),
            _ => 0,
        };
        let first = if let Ask::Chunk { first, .. } = asked.ask { first } else { 0 };
        let message = first + asked.told_bytes..first + used_bytes;
        asked.told_bytes = used_bytes;
        let answer = answer.map(str::to_owned);
        (answer.is_some() || !message.is_empty()).then_some(Event {
            ask: asked.ask,
            message,
            answer,
        })
    }

    fn judge(&mut self, ask: Ask, line: &str, terms: Terms<'_>, said: &mut Said) {
        let (policy, most) = (terms.policy, terms.message_bytes_max);
        let code = &line[..3];
        let is_judgement = terms.is_judgement(line);
        let is_refused_by_rule = is_judgement && code == "550";
        let full = line.starts_with("452 4.3.1");
        let opened = self.transaction.is_some();
        // Other refusals are told some time after the fact.
        let at_once = matches!(ask, Ask::Mail(_)) || (matches!(ask, Ask::Recipient(..)) && opened);
        said.drafts_full += usize::from(full && at_once);
        let is_expected = match ask {
            Ask::Banner => code == "220",
            Ask::Hello | Ask::Noop => code == "250",
            Ask::Reset => line == "250 2.0.0 Ok",
            Ask::Starttls => code == "220" || line.starts_with("454 4.7.0"),
            Ask::Quit => code == "221",
            Ask::Unfinished => false,
            Ask::Mail(mail) => {
                let too_large = self.mails[mail].declared_bytes.is_some_and(|bytes| bytes > most);
                assert!(!opened, "one transaction at a time");
                if code == "250" {
                    self.transaction = Some(Transaction { mail, recipients: vec![] });
                }
                match too_large {
                    true => code == "552",
                    false => code == "250" || full || is_refused_by_rule,
                }
            }
            Ask::Recipient(mail, recipient) => {
                if let Some(transaction) = &mut self.transaction {
                    assert_eq!(transaction.mail, mail);
                    if code == "250" {
                        transaction.recipients.push(recipient);
                    }
                }
                if opened {
                    code == "250" || full || line.starts_with("452 4.5.3")
                } else {
                    full || code == "552" || is_refused_by_rule
                }
            }
            Ask::Data(mail) => {
                self.invited[mail] = code == "354";
                match &self.transaction {
                    Some(transaction) if !transaction.recipients.is_empty() => code == "354",
                    Some(_) => {
                        self.transaction = None;
                        code == "554"
                    }
                    None => full || code == "552" || is_refused_by_rule,
                }
            }
            Ask::Message(_) => self.ended(line, terms, said),
            Ask::Chunk { last: true, .. } => self.ended(line, terms, said),
            Ask::Chunk { last: false, .. } => {
                let is_taken = line.ends_with("octets received");
                if !is_taken {
                    self.transaction = None;
                }
                opened && is_taken || full || code == "552" || code == "554" || is_judgement
            }
            Ask::Fault => {
                said.faults += 1;
                self.is_dismissed = policy == Policy::Curt;
                match policy {
                    Policy::Curt => line == "550 No such user",
                    Policy::Rfc => "550" != code && ["5", "2"].contains(&&code[..1]),
                }
            }
        };
        assert!(is_expected, "{ask:?} was answered {line:?}");
        match ask {
            Ask::Hello | Ask::Starttls | Ask::Reset | Ask::Quit => self.transaction = None,
            _ => {}
        }
        self.is_dismissed |= ask == Ask::Quit;
    }

    /// The answer to the end of a message.
    fn ended(&mut self, line: &str, terms: Terms<'_>, said: &mut Said) -> bool {
        let most = terms.message_bytes_max;
        let is_judgement = terms.is_judgement(line);
        let refused = is_judgement || line.starts_with("452 4.3.1") || line.starts_with("552");
        let Some(transaction) = self.transaction.take() else {
            return refused || line.starts_with("554");
        };
        let mail = Rc::clone(&self.mails[transaction.mail]);
        if let Some(id) = line.strip_prefix("250 2.0.0 Ok: stored as ") {
            assert!(mail.body.len() <= most, "it was too long");
            said.copies += transaction.recipients.len();
            said.stored.push(Stored {
                mail,
                recipients: transaction.recipients,
                id: id.to_owned(),
            });
            return true;
        }
        match mail.body.len() > most {
            // It may have found no room even before it was too long.
            true => refused,
            false => is_judgement || line.starts_with("452 4.3.1") || line.starts_with("554"),
        }
    }
}

fn garbage(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0 => b"FOO\r\n".to_vec(),
        1 => b"VRFY bob\r\n".to_vec(),
        2 => b"EXPN list\n".to_vec(),
        3 => b"MAIL FROM:\r\n".to_vec(),
        4 => b"RCPT TO:<>\r\n".to_vec(),
        5 => b"NOOP \0\r\n".to_vec(),
        6 => b"NO\rOP\r\n".to_vec(),
        7 => b"DATA now\r\n".to_vec(),
        8 => b"\r\n".to_vec(),
        9 => [&vec![b'x'; random.between(LINE_BYTES_MAX, 3000)], &b"\r\n"[..]].concat(),
        10 => b"GET / HTTP/1.1\r\n".to_vec(),
        _ => {
            let byte = |byte: u64| if byte as u8 == b'\n' { b' ' } else { byte as u8 };
            let bytes = (0..random.between(1, 100)).map(|_| byte(random.next()));
            let mut line: Vec<u8> = std::iter::once(b'#').chain(bytes).collect();
            line.extend_from_slice(b"\r\n");
            line
        }
    }
}
