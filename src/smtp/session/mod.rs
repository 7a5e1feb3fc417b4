//! A conversation with one client (RFC 5321), as a machine without a socket or a clock: bytes and
//! [`Settings`] in, replies into an [`Output`], effects through a [`World`].
//!
//! ```text
//! Greeted --HELO,EHLO--> Helo --MAIL--> Mail --RCPT--> Rcpt --DATA--> Data --CRLF.CRLF--> Helo
//!                                        |              |  |
//!                                        |              |  '--BDAT--> Chunk <--BDAT-- Bdat
//!                                        |              |             |  '--its end-->--'
//!                                        '---refused----'             '--end of LAST--> Helo
//! ```
//!
//! STARTTLS leads from Helo to Handshake, and from there, when it is done, to Greeted again: nothing
//! that was said in the clear counts any more (RFC 3207 section 4.2).
//!
//! HELO and EHLO lead back to Helo from wherever commands are read, RSET too once one of them has
//! come, QUIT to Done. What the server cannot take leads to `Refused`, where the commands that the
//! client had already sent on are told the same again, until the next MAIL; a message that is
//! refused half way is read to its true end first, so that nothing in it is ever taken for a command.
//!
//! Lines are read by [`line::next`], so whoever calls keeps what [`Session::receive`] leaves of its
//! input, less than a line, and shows it again with more behind it. Of bodies nothing is left.
//!
//! Beside this file, `body` moves the states that read messages, `policy` judges faults, and `world`
//! is what the server implements.

mod body;
mod policy;
mod world;

use std::mem;

pub use world::{Client, Policy, Settings, World};

use crate::limits::{HELO_BYTES_KEPT, LINE_BYTES_MAX, RECIPIENTS_MAX, REPLY_BYTES_MAX};
use crate::output::{Full, Output};
use crate::progress::{Progress, Then};
use crate::smtp::address::Address;
use crate::smtp::command::{self, Command, Mail};
use crate::smtp::line::{self, Line};
use crate::smtp::reply::{self, Fault, Goodbye, Refusal};

/// One client's conversation. `D` is the [`World`]'s draft.
#[derive(Debug)]
pub struct Session<D> {
    state: State<D>,
    introduction: Introduction,
    /// Faults answered so far, which only `--policy rfc` counts.
    faults: u8,
    /// Within a line that was too long, whose rest is read and thrown away.
    skips_line: bool,
    /// What is read and answered goes through TLS, or will from the next byte on.
    encrypted: bool,
}

/// Where the conversation stands. Each state owns what it needs, the draft first of all, so that no
/// draft can be left over in a state that knows of none.
#[derive(Debug)]
enum State<D> {
    /// Greeted, not introduced.
    Greeted,
    /// Introduced, no transaction under way.
    Helo,
    /// After MAIL, no recipient yet.
    Mail(Transaction<D>),
    /// After RCPT.
    Rcpt(Transaction<D>),
    /// After DATA, within the message.
    Data(body::Data<D>),
    /// After BDAT, within the chunk.
    Chunk(body::Chunk<D>),
    /// Between two chunks.
    Bdat(Transaction<D>),
    /// STARTTLS was answered; nothing is read before the handshake is done.
    Handshake,
    /// No transaction, but the client may believe in one that was refused and have sent on.
    Refused(Refusal),
    /// The end.
    Done,
}

/// A message on its way in.
#[derive(Debug)]
struct Transaction<D> {
    draft: D,
    /// Bytes of the message that the draft was given.
    kept_bytes: usize,
    recipients: u8,
    /// A recipient was refused, so a client with none left has made no mistake.
    recipient_refused: bool,
    eight_bit: bool,
    smtputf8: bool,
}

/// Who the client says it is.
#[derive(Debug)]
struct Introduction {
    helo: [u8; HELO_BYTES_KEPT],
    helo_bytes: u8,
    extended: bool,
}

/// What every step works with: the arguments of one call.
struct Turn<'t, W> {
    settings: &'t Settings<'t>,
    world: &'t mut W,
    output: &'t mut Output,
    /// Nothing has come behind the command that is being obeyed.
    is_last: bool,
    encrypted: bool,
}

impl<D> Default for Session<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> Session<D> {
    /// A session whose client has seen nothing yet: [`greeting`](Self::greeting) comes first.
    #[must_use]
    pub fn new() -> Self {
        let introduction = Introduction::none();
        let state = State::Greeted;
        Self { state, introduction, faults: 0, skips_line: false, encrypted: false }
    }

    /// The same, where TLS comes before anything else.
    #[must_use]
    pub fn within_tls() -> Self {
        Self { encrypted: true, ..Self::new() }
    }

    /// The handshake is done. If STARTTLS asked for it, the session begins anew, but for its faults;
    /// if not, the client waits for its greeting. Says which: whether there is nothing to say.
    pub fn handshake_done(&mut self) -> bool {
        let asked = matches!(self.state, State::Handshake);
        if asked {
            self.state = State::Greeted;
        }
        asked
    }

    /// Whether what is read and answered goes through TLS, or will from the next byte on.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Appends the greeting, for which a fresh output has room.
    pub fn greeting(&self, settings: &Settings<'_>, output: &mut Output) {
        sure(reply::greeting(settings.hostname(), output));
    }

    /// Reads `input`, answers into `output`, and touches the `world`, until it needs something: the
    /// rest of a line ([`Then::Continue`]), room in the output ([`Then::Flush`]), or TLS
    /// ([`Then::Encrypt`], after which [`handshake_done`](Self::handshake_done) comes first).
    ///
    /// `input` begins with what the last call left of its own. Every call that has room for a
    /// reply ([`REPLY_BYTES_MAX`]) gets on, so calls end. However the bytes are cut, the replies and
    /// the messages are the same.
    pub fn receive<W: World<Draft = D>>(
        &mut self,
        settings: &Settings<'_>,
        input: &[u8],
        world: &mut W,
        output: &mut Output,
    ) -> Progress {
        let mut turn = Turn { settings, world, output, is_last: false, encrypted: self.encrypted };
        let mut rest = input;
        let then = loop {
            if let State::Done = self.state {
                break Then::Close;
            }
            if let State::Handshake = self.state {
                break Then::Encrypt;
            }
            if rest.is_empty() {
                break Then::Continue;
            }
            if turn.output.room() < REPLY_BYTES_MAX {
                break Then::Flush;
            }
            if let State::Data(_) | State::Chunk(_) = self.state {
                self.read_body(&mut rest, &mut turn);
                continue;
            }
            match line::next(rest) {
                Line::Partial => break Then::Continue,
                Line::TooLong => {
                    rest = &rest[LINE_BYTES_MAX..];
                    self.too_long(&mut turn);
                }
                Line::Whole { consumed, .. } if self.skips_line => {
                    rest = &rest[consumed..];
                    self.skips_line = false;
                }
                Line::Whole { text, consumed } => {
                    rest = &rest[consumed..];
                    turn.is_last = rest.is_empty();
                    self.obey(text, &mut turn);
                }
            }
        };
        Progress { consumed: input.len() - rest.len(), then }
    }

    /// Whether no transaction is under way: nothing is lost by saying goodbye now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(
            self.state,
            State::Greeted | State::Helo | State::Handshake | State::Refused(_) | State::Done
        )
    }

    /// Whether it is within a message: a body or a chunk is being read.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Chunk(_))
    }

    /// Ends the session from this side: abandons an open draft and appends the 421, if it fits. The
    /// caller writes what it can and closes.
    pub fn dismiss<W: World<Draft = D>>(
        &mut self,
        goodbye: Goodbye,
        settings: &Settings<'_>,
        world: &mut W,
        output: &mut Output,
    ) {
        self.closed(world);
        // A client that reads none of its replies needs no goodbye either.
        let _ = goodbye.write(settings.hostname(), output);
    }

    /// Abandons an open draft, because the connection is gone or about to be. To be called at every
    /// connection's end; more than once does no harm.
    pub fn closed<W: World<Draft = D>>(&mut self, world: &mut W) {
        if let Some(draft) = mem::replace(&mut self.state, State::Done).into_draft() {
            world.abandon(draft);
        }
    }

    /// Does what a command line says. This is the one `match` of the machine: the state is taken
    /// out, and each arm makes the next one.
    fn obey<W: World<Draft = D>>(&mut self, text: &[u8], turn: &mut Turn<'_, W>) {
        let command = match command::parse(text) {
            Ok(command) => command,
            Err(fault) => return self.fault(fault, turn),
        };
        self.state = match (mem::replace(&mut self.state, State::Done), command) {
            (state, Command::Helo(name)) => {
                self.introduction.set(name, false);
                sure(reply::helo(turn.settings.hostname(), turn.output));
                turn.abandon(state);
                State::Helo
            }
            (state, Command::Ehlo(name)) => {
                self.introduction.set(name, true);
                let (hostname, most) =
                    (turn.settings.hostname(), turn.settings.message_bytes_max());
                let starttls = turn.settings.starttls() && !self.encrypted;
                sure(reply::ehlo(hostname, most, starttls, turn.output));
                turn.abandon(state);
                State::Helo
            }
            (State::Helo | State::Refused(_), Command::Mail(mail)) => turn.mail(&mail),
            (
                State::Mail(mut transaction) | State::Rcpt(mut transaction),
                Command::Rcpt(address),
            ) => {
                if !transaction.smtputf8 && !address.is_ascii() {
                    self.state = transaction.with_or_without_recipients();
                    return self.fault(Fault::Utf8WithoutSmtputf8, turn);
                }
                match turn.recipient(&mut transaction, &address) {
                    Ok(()) => turn.say(reply::RECIPIENT_OK),
                    Err(refusal) => {
                        transaction.recipient_refused = true;
                        turn.refuse(refusal);
                    }
                }
                transaction.with_or_without_recipients()
            }
            (State::Rcpt(transaction), Command::Data) => {
                turn.say(reply::START_MAIL_INPUT);
                State::Data(body::Data::new(transaction))
            }
            (
                State::Rcpt(transaction) | State::Bdat(transaction),
                Command::Bdat { bytes, last },
            ) => self.chunk(body::Chunk::new(transaction, bytes, last, turn), turn),
            // The recipients were refused, and the client had sent on: not its fault.
            (State::Mail(transaction), Command::Data) if transaction.recipient_refused => {
                turn.world.abandon(transaction.draft);
                turn.refuse(Refusal::NoRecipients);
                State::Refused(Refusal::NoRecipients)
            }
            (State::Mail(transaction), Command::Bdat { bytes, last })
                if transaction.recipient_refused =>
            {
                turn.world.abandon(transaction.draft);
                let refusal = Refusal::NoRecipients;
                self.chunk(body::Chunk::refused(refusal, bytes, last), turn)
            }
            (State::Refused(refusal), Command::Rcpt(_) | Command::Data)
                if refusal != Refusal::Discarded =>
            {
                turn.refuse(refusal);
                State::Refused(refusal)
            }
            (State::Refused(refusal), Command::Bdat { bytes, last }) => {
                self.chunk(body::Chunk::refused(refusal, bytes, last), turn)
            }
            // Out of order. The chunk follows all the same, and is no command.
            (state, Command::Bdat { bytes, .. }) if turn.settings.policy() == Policy::Rfc => {
                turn.abandon(state);
                self.chunk(body::Chunk::out_of_order(bytes), turn)
            }
            (State::Helo | State::Refused(_), Command::Starttls)
                if turn.settings.starttls() && !self.encrypted =>
            {
                if !turn.is_last {
                    self.state = State::Helo;
                    return self.fault(Fault::BehindStarttls, turn);
                }
                match turn.world.encrypt() {
                    Ok(()) => {
                        turn.say(reply::START_TLS);
                        self.introduction = Introduction::none();
                        self.encrypted = true;
                        State::Handshake
                    }
                    Err(refusal) => {
                        turn.refuse(refusal);
                        State::Helo
                    }
                }
            }
            (state, Command::Rset) => {
                turn.say(reply::OK);
                turn.abandon(state);
                self.introduction.state()
            }
            (state, Command::Noop) => {
                turn.say(reply::OK);
                state
            }
            (state, Command::Quit) => {
                sure(reply::closing(turn.settings.hostname(), turn.output));
                turn.abandon(state);
                State::Done
            }
            (state, command) => {
                self.state = state;
                return self.misplaced(&command, turn);
            }
        };
    }
}

impl<W: World> Turn<'_, W> {
    /// MAIL, where it is in order.
    fn mail(&mut self, mail: &Mail<'_>) -> State<W::Draft> {
        let most = self.settings.message_bytes_max() as u64;
        let opened = if mail.size.is_some_and(|size| size > most) {
            Err(Refusal::MessageTooLarge)
        } else {
            self.world.open(mail)
        };
        match opened {
            Ok(draft) => {
                self.say(reply::SENDER_OK);
                State::Mail(Transaction {
                    draft,
                    kept_bytes: 0,
                    recipients: 0,
                    recipient_refused: false,
                    eight_bit: mail.eight_bit,
                    smtputf8: mail.smtputf8,
                })
            }
            Err(refusal) => {
                self.refuse(refusal);
                State::Refused(refusal)
            }
        }
    }

    /// RCPT, where it is in order.
    fn recipient(
        &mut self,
        transaction: &mut Transaction<W::Draft>,
        address: &Address<'_>,
    ) -> Result<(), Refusal> {
        if usize::from(transaction.recipients) >= RECIPIENTS_MAX {
            return Err(Refusal::TooManyRecipients);
        }
        self.world.recipient(&mut transaction.draft, address)?;
        transaction.recipients += 1;
        Ok(())
    }

    fn say(&mut self, reply: &[u8]) {
        sure(self.output.push(reply));
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.world.refused(refusal);
        self.say(refusal.reply());
    }

    fn abandon(&mut self, state: State<W::Draft>) {
        if let Some(draft) = state.into_draft() {
            self.world.abandon(draft);
        }
    }
}

/// Replies always fit, because no command is begun without room for the longest. Should one not,
/// the client lacks a reply and the server is none the worse.
fn sure(pushed: Result<(), Full>) {
    debug_assert!(pushed.is_ok(), "a command was begun without room for its reply");
}

impl<D> State<D> {
    fn into_draft(self) -> Option<D> {
        match self {
            Self::Mail(transaction) | Self::Rcpt(transaction) | Self::Bdat(transaction) => {
                Some(transaction.draft)
            }
            Self::Data(data) => data.into_draft(),
            Self::Chunk(chunk) => chunk.into_draft(),
            Self::Greeted | Self::Helo | Self::Handshake | Self::Refused(_) | Self::Done => None,
        }
    }
}

impl<D> Transaction<D> {
    fn with_or_without_recipients(self) -> State<D> {
        if self.recipients == 0 { State::Mail(self) } else { State::Rcpt(self) }
    }

    fn client<'a>(&self, introduction: &'a Introduction, encrypted: bool) -> Client<'a> {
        Client {
            helo: introduction.helo(),
            extended: introduction.extended,
            eight_bit: self.eight_bit,
            smtputf8: self.smtputf8,
            encrypted,
        }
    }
}

impl Introduction {
    fn none() -> Self {
        Self { helo: [0; HELO_BYTES_KEPT], helo_bytes: 0, extended: false }
    }

    fn set(&mut self, name: &[u8], extended: bool) {
        let kept = name.len().min(HELO_BYTES_KEPT);
        for (to, &byte) in self.helo.iter_mut().zip(name) {
            *to = if byte.is_ascii() { byte } else { b'?' };
        }
        self.helo_bytes = kept as u8;
        self.extended = extended;
    }

    fn helo(&self) -> &[u8] {
        &self.helo[..usize::from(self.helo_bytes)]
    }

    /// The state without a transaction.
    fn state<D>(&self) -> State<D> {
        if self.helo_bytes == 0 { State::Greeted } else { State::Helo }
    }
}
