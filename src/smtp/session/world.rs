//! What a session may touch besides bytes, and what it is told: the effects, which the server
//! implements over its store, and the settings, which the operator chose. No protocol here.

use crate::limits::FAULTS_MAX;
use crate::smtp::address::Address;
use crate::smtp::command::Mail;
use crate::smtp::hostname::Hostname;
use crate::smtp::reply::{Fault, Refusal};

/// The effects of a session. A test's world is a few vectors; the server's is the store.
///
/// A draft that was opened goes back exactly once, by [`commit`](Self::commit) or by
/// [`abandon`](Self::abandon), as long as the session's own end is told with
/// [`Session::closed`](super::Session::closed).
pub trait World {
    /// A message on its way in. Sessions hold it by value, so it is a handle rather than a buffer.
    type Draft;
    /// What a stored message is called, to be read back by, as clients are told it.
    type Id: AsRef<[u8]>;

    /// Opens a draft, at MAIL. What the path borrows is gone after the call.
    ///
    /// # Errors
    /// [`Refusal`]: no draft is open, the client is told why, and the session goes on.
    fn open(&mut self, mail: &Mail<'_>) -> Result<Self::Draft, Refusal>;

    /// Adds a recipient, at RCPT. Sessions ask for at most
    /// [`RECIPIENTS_MAX`](crate::limits::RECIPIENTS_MAX).
    ///
    /// # Errors
    /// [`Refusal`] of this recipient; the draft stays as it was.
    fn recipient(
        &mut self,
        draft: &mut Self::Draft,
        forward_path: &Address<'_>,
    ) -> Result<(), Refusal>;

    /// Adds bytes of the message, its added dots already taken out. Sessions see to it that all of
    /// them together are no more than [`Settings::message_bytes_max`].
    ///
    /// # Errors
    /// [`Refusal`] of the message: the draft is abandoned next.
    fn append(&mut self, draft: &mut Self::Draft, bytes: &[u8]) -> Result<(), Refusal>;

    /// Stores the message for all of its recipients, or for none. `rest` are its last bytes,
    /// straight from the read buffer and no more than
    /// [`BODY_PIECES_MAX`](crate::limits::BODY_PIECES_MAX) pieces; for a message that came in one
    /// read they are all there is, and so are copied once. From the `Ok` on it can be read back.
    ///
    /// # Errors
    /// [`Refusal`] of the message; nothing of it stays. The draft is gone either way.
    fn commit(
        &mut self,
        draft: Self::Draft,
        rest: &[&[u8]],
        client: &Client<'_>,
    ) -> Result<Self::Id, Refusal>;

    /// Gives a draft back, and everything that was put into it.
    fn abandon(&mut self, draft: Self::Draft);

    /// Whether this connection may be encrypted, which it is from the reply on. Asked at STARTTLS,
    /// where it is offered.
    ///
    /// # Errors
    /// [`Refusal::TlsUnavailable`]: there is no room for it now.
    fn encrypt(&mut self) -> Result<(), Refusal> {
        Err(Refusal::TlsUnavailable)
    }

    /// Takes note of a client's fault, of which there may be as many as there are commands.
    fn faulted(&mut self, fault: Fault) {
        let _ = fault;
    }

    /// Takes note that the session told a client of a refusal, whoever refused.
    fn refused(&mut self, refusal: Refusal) {
        let _ = refusal;
    }
}

/// What a trace line (RFC 5321 section 4.4) tells of the client and its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// What the client called itself, cut to
    /// [`HELO_BYTES_KEPT`](crate::limits::HELO_BYTES_KEPT): ASCII without blanks and controls, other
    /// bytes replaced by `?`. It may hold brackets, quotes and backslashes: it is a claim, not a
    /// domain.
    pub helo: &'a [u8],
    /// It said EHLO, not HELO.
    pub extended: bool,
    /// MAIL had `BODY=8BITMIME`.
    pub eight_bit: bool,
    /// MAIL had `SMTPUTF8`.
    pub smtputf8: bool,
    /// The message came through TLS.
    pub encrypted: bool,
}

/// How faults are answered: see the `policy` module beside this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// `550 No such user`, and the connection is closed.
    #[default]
    Curt,
    /// With the code that RFC 5321 gives to each, and closed after
    /// [`FAULTS_MAX`](crate::limits::FAULTS_MAX).
    Rfc,
}

/// What the operator chose, as far as sessions need to know. Cheap to make and to copy.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    hostname: &'a str,
    policy: Policy,
    message_bytes_max: usize,
    faults_max: u8,
    starttls: bool,
}

impl<'a> Settings<'a> {
    /// The name of this server, how it answers faults, and the most bytes of a message.
    #[must_use]
    pub fn new(hostname: &'a Hostname, policy: Policy, message_bytes_max: usize) -> Self {
        let hostname = hostname.as_str();
        let (faults_max, starttls) = (FAULTS_MAX, false);
        Self { hostname, policy, message_bytes_max, faults_max, starttls }
    }

    /// The same, with STARTTLS offered or not.
    #[must_use]
    pub fn with_starttls(self, starttls: bool) -> Self {
        Self { starttls, ..self }
    }

    /// Whether STARTTLS is offered, to those who have not used it yet.
    #[must_use]
    pub fn starttls(&self) -> bool {
        self.starttls
    }

    /// The same, but sessions are closed after so many faults, at least one, where the policy
    /// forgives any.
    #[must_use]
    pub fn with_faults_max(self, faults_max: u8) -> Self {
        Self { faults_max: faults_max.max(1), ..self }
    }

    /// After how many faults a session is closed, where the policy forgives any.
    #[must_use]
    pub fn faults_max(&self) -> u8 {
        self.faults_max
    }

    /// The name that this server gives itself.
    #[must_use]
    pub fn hostname(&self) -> &'a str {
        self.hostname
    }

    /// How faults are answered.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The most bytes of a message, as it is kept.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }
}
