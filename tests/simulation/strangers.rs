//! What the server's own guard has to say of those who bring mail: the plain rules (`judge`) are told
//! what each client does, as far as the server has used it, and every refusal, every message that is
//! thrown away and every reply that is held back has to be what they say, and nothing else.
//!
//! It cannot always be known from outside how much of a refused message was judged: of one that found
//! no room, or that was too long and full of dots. Then nothing more is foretold of that server. Those
//! whose guard is looked at so closely have room enough.

use std::net::IpAddr;

use mailfly::clock::Now;
use mailfly::guard::{Action, Finding, Load, Offence, Rule, Rules, tarpit};
use mailfly::limits::{BANNER_HOLD_MS, BODY_PIECES_MAX};

use crate::client::{Ask, Event};
use crate::judge::{Inspection, Judge, Peer, is_refusal};
use crate::mail::Mail;

pub(crate) struct Strangers {
    judge: Judge,
    rules: Rules,
    message_bytes_max: usize,
    pub(crate) is_certain: bool,
    pub(crate) foretold: Foretold,
}

/// How often the server had to do what, and did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Foretold {
    pub(crate) welcomes: u64,
    pub(crate) taken: u64,
    /// By rule.
    pub(crate) found: [u64; Rule::ALL.len()],
}

/// One who brings mail.
pub(crate) struct Stranger {
    peer: Peer,
    message: Option<Message>,
    /// All that it brings is thrown away.
    discards: bool,
    slowed: bool,
    message_slowed: bool,
    is_banned: bool,
    awaits_banner: bool,
    held_until_ms: u64,
}

/// The message that is coming in.
struct Message {
    inspection: Inspection,
    recipients: usize,
    bytes: usize,
    /// Whether anything else was decided about it than the rules did.
    is_too_long: bool,
    /// It is thrown away, since all are that come this way.
    is_discarded: bool,
}

/// What somebody was told who asked to come in.
pub(crate) enum Admitted {
    Yes,
    TooMany,
    /// A rule found this.
    Refused(Rule),
}

impl Strangers {
    pub(crate) fn new(judge: Judge, rules: Rules, message_bytes_max: usize) -> Self {
        let foretold = Foretold::default();
        Self { judge, rules, message_bytes_max, is_certain: true, foretold }
    }

    /// Somebody came.
    pub(crate) fn connected(
        &mut self,
        address: IpAddr,
        admitted: &Admitted,
        load: Load,
        now: Now,
    ) -> Option<Stranger> {
        let (peer, found) = self.judge.connected(address, now);
        self.note(found);
        match admitted {
            Admitted::Refused(rule) => {
                self.expect(is_refusal(found), "turned away", found);
                self.expect(found.is_some_and(|found| found.rule == *rule), "why", found);
                return None;
            }
            _ => self.expect(!is_refusal(found), "let in", found),
        }
        if let Admitted::TooMany = admitted {
            self.judge.disconnected(peer);
            return None;
        }
        self.foretold.welcomes += 1;
        let mut stranger = Stranger {
            peer,
            message: None,
            discards: found.is_some_and(|found| found.action == Action::Discard),
            slowed: is_tarpit(found),
            message_slowed: false,
            is_banned: false,
            awaits_banner: false,
            held_until_ms: 0,
        };
        let delay_ms = tarpit::delay_ms(load);
        let is_watched = !peer.is_exempt() && self.rules.of(Rule::Offences).is_some();
        if stranger.slowed || is_watched {
            stranger.awaits_banner = true;
            let most_ms = if stranger.slowed { delay_ms } else { BANNER_HOLD_MS };
            stranger.held_until_ms = now.monotonic_ms + delay_ms.min(most_ms);
        }
        Some(stranger)
    }

    /// The server has used more of what it said, found so many faults in it, and answered.
    pub(crate) fn heard(
        &mut self,
        stranger: &mut Stranger,
        mails: &[std::rc::Rc<Mail>],
        events: &[Event],
        faults: u64,
        now: Now,
    ) {
        stranger.awaits_banner = false;
        let mut faults_left = faults;
        for event in events {
            let is_fault = event.ask == Ask::Fault
                && event.answer.as_ref().is_some_and(|it| it.starts_with('5'));
            if is_fault {
                self.expect(faults_left > 0, "a fault", None);
                faults_left = faults_left.saturating_sub(1);
                self.offended(stranger, Offence::Fault, now);
            } else {
                self.happened(stranger, mails, event, now);
            }
        }
        // Of a client of which nothing is known.
        for _ in 0..faults_left {
            self.offended(stranger, Offence::Fault, now);
        }
    }

    fn happened(
        &mut self,
        stranger: &mut Stranger,
        mails: &[std::rc::Rc<Mail>],
        event: &Event,
        now: Now,
    ) {
        let answer = event.answer.as_deref();
        match event.ask {
            Ask::Mail(mail) => {
                // One that says that it is too long is not looked at.
                if answer.is_some_and(|answer| !answer.starts_with("552")) {
                    self.begins(stranger, &mails[mail], answer.unwrap_or_default(), now);
                }
            }
            Ask::Recipient(..) => {
                let is_taken = answer.is_some_and(|answer| answer.starts_with("250"));
                if let Some(message) = &mut stranger.message {
                    message.recipients += usize::from(is_taken);
                }
            }
            Ask::Data(_) => {
                let is_taken = answer.is_some_and(|answer| answer.starts_with("354"));
                stranger.message.take_if(|_| !is_taken);
            }
            Ask::Message(mail) => {
                self.comes(stranger, &mails[mail], event, now);
                let Some(answer) = answer else { return };
                if let Some(message) = stranger.message.take() {
                    self.ends(stranger, message, answer, now);
                }
            }
            Ask::Chunk { mail, first, bytes, last } => {
                if let Some(message) = stranger.message.take_if(|message| message.recipients == 0) {
                    // Not even with this chunk it becomes one.
                    drop(message);
                    return;
                }
                if let Some(message) = &mut stranger.message
                    && event.message.start == first
                    && message.bytes + bytes > self.message_bytes_max
                {
                    message.is_too_long = true;
                }
                self.comes(stranger, &mails[mail], event, now);
                let Some(answer) = answer else { return };
                let is_over = last || !answer.ends_with("octets received");
                match stranger.message.take_if(|_| is_over) {
                    Some(message) if last => self.ends(stranger, message, answer, now),
                    Some(message) => self.is_as_foretold(&message, answer, now),
                    None => {
                        let found = stranger.message.as_ref().and_then(Message::decided);
                        self.expect(found.is_none(), "go on", found);
                    }
                }
            }
            Ask::Hello | Ask::Starttls | Ask::Reset | Ask::Quit => stranger.message = None,
            Ask::Banner | Ask::Noop | Ask::Fault | Ask::Unfinished => {}
        }
    }

    /// MAIL was looked at.
    fn begins(&mut self, stranger: &mut Stranger, mail: &Mail, answer: &str, now: Now) {
        let inspection = self.judge.mail(&stranger.peer, mail.reverse_path.is_empty(), now);
        let found = inspection.found;
        if !stranger.peer.is_exempt() {
            stranger.message_slowed = false;
        }
        stranger.message_slowed |= is_tarpit(found);
        self.note(found);
        if is_refusal(found) {
            self.expect(told(answer) == found.map(|found| found.rule), answer, found);
            return;
        }
        self.expect(told(answer).is_none(), answer, found);
        self.is_certain &= answer.starts_with("250");
        stranger.message = Some(Message {
            inspection,
            recipients: 0,
            bytes: 0,
            is_too_long: false,
            is_discarded: stranger.discards,
        });
    }

    /// Some of the message was used.
    fn comes(&mut self, stranger: &mut Stranger, mail: &Mail, event: &Event, now: Now) {
        let Some(message) = &mut stranger.message else { return };
        let bytes = &mail.body[event.message.clone()];
        if bytes.is_empty() || message.is_too_long || message.decided().is_some() {
            return;
        }
        if message.bytes + bytes.len() > self.message_bytes_max {
            message.is_too_long = true;
            // With so many pieces, some were looked at before that was clear.
            self.is_certain &= mail.dots() < BODY_PIECES_MAX - 1;
            return;
        }
        message.bytes += bytes.len();
        if message.is_discarded {
            return;
        }
        // The server looks at what lies between two dots at once.
        let mut first = event.message.start;
        while first < event.message.end {
            let next = mail.next_dot(first).min(event.message.end);
            let before = message.inspection.found;
            self.judge.body(&stranger.peer, &mut message.inspection, &mail.body[first..next], now);
            let found = message.inspection.found;
            stranger.message_slowed |= is_tarpit(found);
            // Very many dots are looked at together.
            let is_clear = !is_tarpit(before) || is_tarpit(found) || mail.dots() < BODY_PIECES_MAX;
            self.is_certain &= is_clear;
            first = next;
        }
    }

    /// The message is whole, and was answered.
    fn ends(&mut self, stranger: &mut Stranger, mut message: Message, answer: &str, now: Now) {
        if !message.is_too_long && !message.is_discarded && message.decided().is_none() {
            self.judge.finished(&stranger.peer, &mut message.inspection, now);
            stranger.message_slowed |= is_tarpit(message.inspection.found);
        }
        self.is_as_foretold(&message, answer, now);
    }

    fn is_as_foretold(&mut self, message: &Message, answer: &str, now: Now) {
        let found = message.inspection.found;
        self.is_certain &= !answer.starts_with("452");
        if message.is_discarded {
            // Too long may be found before it is thrown away, or not any more.
            let is_too_long = message.is_too_long && answer.starts_with("552");
            self.expect(is_too_long || answer == "250 2.0.0 Ok", answer, found);
            return;
        }
        if message.decided().is_none() && message.is_too_long {
            self.expect(answer.starts_with("552"), answer, found);
            return;
        }
        self.note(found);
        let is_campaign = self.judge.may_be_a_campaign(now);
        let bodies = self.rules.of(Rule::Bodies).map(|setting| setting.action);
        let is_as_foretold = match message.decided() {
            Some(Finding { action: Action::Discard, .. }) => answer == "250 2.0.0 Ok",
            Some(found) => told(answer) == Some(found.rule),
            None if told(answer) == Some(Rule::Bodies) => {
                is_campaign && bodies == Some(Action::Reject)
            }
            None if answer == "250 2.0.0 Ok" => is_campaign && bodies == Some(Action::Discard),
            None => told(answer).is_none(),
        };
        self.foretold.taken += u64::from(message.decided().is_none());
        self.expect(is_as_foretold, answer, found);
    }

    fn offended(&mut self, stranger: &mut Stranger, offence: Offence, now: Now) -> bool {
        if stranger.peer.is_exempt() {
            return false;
        }
        let found = self.judge.offended(&stranger.peer, offence, now);
        self.note(found);
        stranger.is_banned |= is_refusal(found);
        stranger.slowed |= is_tarpit(found);
        stranger.is_banned
    }

    /// What was said to it leaves, unless it has to go.
    pub(crate) fn said(
        &mut self,
        stranger: &mut Stranger,
        (output, is_over): (&[u8], bool),
        load: Load,
        held_until_ms: u64,
        now: Now,
    ) {
        let is_dismissed = output.ends_with(b" Too many errors from your network\r\n");
        self.expect(!stranger.is_banned || is_over, "a ban", None);
        self.expect(stranger.is_banned || !is_dismissed, "no ban", None);
        let is_slowed = stranger.slowed || stranger.message_slowed;
        if is_slowed && !output.is_empty() && !is_dismissed {
            stranger.held_until_ms = now.monotonic_ms + tarpit::delay_ms(load);
        }
        self.holds(stranger, held_until_ms);
    }

    /// Until then it is kept waiting.
    pub(crate) fn holds(&mut self, stranger: &Stranger, held_until_ms: u64) {
        let expected_ms = stranger.held_until_ms;
        let what = || format!("held until {held_until_ms} ms, not {expected_ms} ms");
        assert!(held_until_ms == expected_ms || !self.is_certain, "{}", what());
    }

    /// What was held back leaves; whether the peer has to go, since it spoke too early.
    pub(crate) fn hold_ended(&mut self, stranger: &mut Stranger, spoke: bool, now: Now) -> bool {
        let is_early = std::mem::take(&mut stranger.awaits_banner) && spoke;
        if is_early {
            self.offended(stranger, Offence::EarlyTalk, now);
        }
        stranger.is_banned
    }

    /// It left something unfinished, by its own doing or for want of time.
    pub(crate) fn left_unfinished(&mut self, stranger: &mut Stranger, now: Now) {
        self.offended(stranger, Offence::Unfinished, now);
    }

    pub(crate) fn disconnected(&mut self, stranger: Stranger) {
        self.judge.disconnected(stranger.peer);
    }

    fn note(&mut self, found: Option<Finding>) {
        if let Some(found) = found.filter(|_| self.is_certain) {
            self.foretold.found[found.rule as usize] += 1;
        }
    }

    #[track_caller]
    pub(crate) fn expect(&self, is_so: bool, what: &str, found: Option<Finding>) {
        assert!(is_so || !self.is_certain, "{what:?}, where the rules say {found:?}");
    }
}

fn is_tarpit(finding: Option<Finding>) -> bool {
    finding.is_some_and(|finding| finding.action == Action::Tarpit)
}

impl Message {
    /// What the rules have decided, once they have.
    fn decided(&self) -> Option<Finding> {
        // What is thrown away is so at its first byte, not at MAIL.
        self.inspection.found.filter(|_| self.inspection.is_settled() && self.inspection.is_counted)
    }
}

/// The rule that a refusal is said to be for.
fn told(answer: &str) -> Option<Rule> {
    let why = answer.strip_prefix("550 5.7.1 Refused: ")?;
    Some(Rule::ALL.into_iter().find(|rule| rule.reason() == why).expect("a rule"))
}
