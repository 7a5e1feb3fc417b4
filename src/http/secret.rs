//! Secrets that reading and deleting may need, and the Authorization field that shows one.
//!
//! A secret comes as a Bearer token (RFC 6750 section 2.1), or as the password of Basic
//! authentication (RFC 7617), for browsers, with whatever name. Which of them it is not, and how
//! much of it was right, cannot be told from the time that the answer takes. Not here: how often
//! one may try (`guard`).

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding as _};
use subtle::{Choice, ConstantTimeEq as _};

use crate::limits::{
    HTTP_CREDENTIALS_BYTES_MAX, HTTP_SECRET_BYTES_MAX, HTTP_SECRET_BYTES_MIN, HTTP_SECRETS_MAX,
};

/// Secrets of which any one will do.
#[derive(Clone, Default)]
pub struct Secrets {
    secrets: Vec<Secret>,
}

/// A secret in a room that has the same size for all, filled up with zeros, which none contains.
#[derive(Clone)]
struct Secret([u8; HTTP_SECRET_BYTES_MAX]);

impl Secrets {
    /// Whether there are none, so that nobody needs to know one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether an Authorization field shows one of them.
    pub(super) fn shown_by(&self, authorization: &str) -> bool {
        let mut room = [0; HTTP_CREDENTIALS_BYTES_MAX];
        let Some(shown) = shown(authorization, &mut room).and_then(Secret::of) else {
            return false;
        };
        // All of them are compared, whichever is the one.
        let found = self
            .secrets
            .iter()
            .fold(Choice::from(0), |found, secret| found | secret.0.ct_eq(&shown.0));
        found.into()
    }
}

impl Secret {
    /// `None` for what no secret can be.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut secret = [0; HTTP_SECRET_BYTES_MAX];
        secret.get_mut(..bytes.len())?.copy_from_slice(bytes);
        bytes.iter().all(u8::is_ascii_graphic).then_some(Self(secret))
    }
}

/// What an Authorization field shows, as a token or as a password; decoded into `room`.
fn shown<'a>(
    authorization: &'a str,
    room: &'a mut [u8; HTTP_CREDENTIALS_BYTES_MAX],
) -> Option<&'a [u8]> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    let credentials = credentials.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.as_bytes());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Base64::decode(credentials, room).ok()?;
    // A name has no colon, a password may have some.
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(colon.saturating_add(1)..)
}

/// Why a text is no list of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsError {
    /// There is none.
    None,
    /// There are more than [`HTTP_SECRETS_MAX`].
    TooMany,
    /// This line, counted from 1, is shorter than [`HTTP_SECRET_BYTES_MIN`].
    TooShort(usize),
    /// This line is longer than [`HTTP_SECRET_BYTES_MAX`].
    TooLong(usize),
    /// This line has a blank, or something that is not printable ASCII.
    Character(usize),
}

impl fmt::Display for SecretsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("no secret in it; write one a line"),
            Self::TooMany => write!(formatter, "{HTTP_SECRETS_MAX} secrets are the most"),
            Self::TooShort(line) => {
                write!(
                    formatter,
                    "line {line}: a secret has at least {HTTP_SECRET_BYTES_MIN} bytes"
                )
            }
            Self::TooLong(line) => {
                write!(formatter, "line {line}: a secret has at most {HTTP_SECRET_BYTES_MAX} bytes")
            }
            Self::Character(line) => {
                write!(formatter, "line {line}: a secret is printable ASCII without blanks")
            }
        }
    }
}

impl std::error::Error for SecretsError {}

/// One a line; empty lines are passed over.
impl FromStr for Secrets {
    type Err = SecretsError;

    fn from_str(text: &str) -> Result<Self, SecretsError> {
        let mut secrets = Vec::new();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        for (number, line) in lines.map(|(at, line)| (at.saturating_add(1), line.as_bytes())) {
            if line.len() < HTTP_SECRET_BYTES_MIN {
                return Err(SecretsError::TooShort(number));
            }
            if line.len() > HTTP_SECRET_BYTES_MAX {
                return Err(SecretsError::TooLong(number));
            }
            if secrets.len() == HTTP_SECRETS_MAX {
                return Err(SecretsError::TooMany);
            }
            secrets.push(Secret::of(line).ok_or(SecretsError::Character(number))?);
        }
        if secrets.is_empty() { Err(SecretsError::None) } else { Ok(Self { secrets }) }
    }
}

/// How many, and nothing more.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} secrets", self.secrets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        "correct-horse\n\nbattery:staple\r\n".parse().expect("two")
    }

    fn basic(credentials: &str) -> String {
        let mut room = [0; 1024];
        format!("Basic {}", Base64::encode(credentials.as_bytes(), &mut room).expect("room"))
    }

    #[test]
    fn a_secret_is_shown_as_a_token_or_as_a_password_of_anybody() {
        for shows in [
            "Bearer correct-horse".to_owned(),
            "bearer   battery:staple".to_owned(),
            basic("anybody:correct-horse"),
            basic(":battery:staple"),
            basic("é:correct-horse").replace("Basic", "BASIC"),
        ] {
            assert!(secrets().shown_by(&shows), "{shows}");
        }
    }

    #[test]
    fn law_nothing_else_shows_one() {
        for shows in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer correct-hors",
            "Bearer correct-horse1",
            "Bearer Correct-horse",
            "Bearer correct-horse\0",
            "Bearer correct-horse\0\0\0",
            "Bearer correct-horse, Bearer correct-horse",
            "correct-horse",
            "Digest correct-horse",
            "Basic correct-horse",
            "Basic !!!!",
            &basic("correct-horse"),
            &basic("correct-horse:"),
            &basic("a:b:correct-horse"),
            &basic(&format!("{}:correct-horse", "u".repeat(HTTP_CREDENTIALS_BYTES_MAX))),
            &format!("Bearer {}", "x".repeat(5000)),
        ] {
            assert!(!secrets().shown_by(shows), "{shows:?}");
        }
        assert!(!Secrets::default().shown_by("Bearer "), "no secret is not the empty one");
    }

    #[test]
    fn a_file_of_secrets_is_one_a_line() {
        let error = |text: &str| text.parse::<Secrets>().expect_err(text);
        assert_eq!(error("\n\r\n"), SecretsError::None);
        assert_eq!(error("long-enough\nshort\n"), SecretsError::TooShort(2));
        assert_eq!(error(&"x".repeat(HTTP_SECRET_BYTES_MAX + 1)), SecretsError::TooLong(1));
        assert_eq!(error("with a blank in it"), SecretsError::Character(1));
        assert_eq!(error("unerhört-geheim"), SecretsError::Character(1));
        assert_eq!(error(&"long-enough\n".repeat(HTTP_SECRETS_MAX + 1)), SecretsError::TooMany);
        assert_eq!(format!("{:?}", secrets()), "2 secrets");
    }
}
