//! What honest clients do not do, and how much of it is held against them.

/// An offence, which [`Rule::Offences`](super::Rule::Offences) counts with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A bad request, of whatever kind.
    Fault,
    /// It closed the connection within a message, or let its time run out.
    Unfinished,
    /// It spoke before the banner: RFC 5321 section 3.1 has clients wait for it, and programs that
    /// send in bulk to whoever answers do not.
    EarlyTalk,
    /// One who reads showed a secret that is none: a slip, or a guess.
    WrongSecret,
}

impl Offence {
    /// What it weighs. Slips weigh little, since mail programs have bugs; what takes a slot for
    /// nothing, or a guess at a secret, weighs more; what is only done by those who do not listen
    /// weighs most. By default a source is banned with the fifth of those in ten minutes, with the
    /// ninth wrong secret, or with the 21st fault.
    #[must_use]
    pub fn weight(self) -> u16 {
        match self {
            Self::Fault => 2,
            Self::Unfinished | Self::WrongSecret => 5,
            Self::EarlyTalk => 10,
        }
    }
}
