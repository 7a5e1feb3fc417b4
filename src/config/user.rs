//! Whom the program becomes when it has what only root may take.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys::identity::Identity;

/// A user of the system, by name or by numbers (`65534:65534`), or `none`: whoever started the
/// program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum User {
    /// Whoever it is already.
    #[default]
    Unchanged,
    /// The one with this name in `/etc/passwd`.
    Named(String),
    /// The one with these numbers, whether or not anybody knows of it.
    Numbered(Identity),
}

/// A text names no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserError;

impl fmt::Display for UserError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a user is needed, or UID:GID in numbers, or none")
    }
}

impl std::error::Error for UserError {}

impl FromStr for User {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        if text == "none" {
            return Ok(Self::Unchanged);
        }
        if let Some((uid, gid)) = text.split_once(':') {
            // The last number stands for "as it is" in the calls that change them.
            let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX);
            let identity = number(uid).zip(number(gid)).map(|(uid, gid)| Identity { uid, gid });
            return identity.map(Self::Numbered).ok_or(UserError);
        }
        // A number alone says nothing of the group; and no name begins with one.
        let is_name = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$'));
        is_name.then(|| Self::Named(text.to_owned())).ok_or(UserError)
    }
}

impl TryFrom<String> for User {
    type Error = UserError;

    fn try_from(text: String) -> Result<Self, UserError> {
        text.parse()
    }
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => formatter.write_str("none"),
            Self::Named(name) => formatter.write_str(name),
            Self::Numbered(Identity { uid, gid }) => write!(formatter, "{uid}:{gid}"),
        }
    }
}

impl From<User> for String {
    fn from(user: User) -> Self {
        user.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_shown_as_it_was_written() {
        for text in ["none", "nobody", "_mail-fly.1", "0:0", "65534:65533"] {
            assert_eq!(text.parse::<User>().map(|user| user.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "1000", "1000:", ":1", "-1:0", "4294967295:0", "0:4294967295", "a b", "a:b", "é"]
        {
            assert_eq!(text.parse::<User>(), Err(UserError), "{text:?}");
        }
    }
}
