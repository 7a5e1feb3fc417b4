//! A key that lists networks, as people write them: whom to trust, whose word to take. Not here: what
//! a network is (`guard`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::guard::{Network, NetworkError, Networks};

/// One entry of a list of networks: a network, or `none`, which stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum NetworkKey {
    /// Nobody.
    Nobody,
    /// All of a network.
    Network(Network),
}

impl NetworkKey {
    /// The list that these entries are.
    ///
    /// # Errors
    /// More than there may be, or `none` and somebody.
    pub(super) fn networks(list: &[Self]) -> Result<Networks, String> {
        let networks: Vec<_> = list
            .iter()
            .filter_map(|entry| match entry {
                Self::Nobody => None,
                Self::Network(network) => Some(*network),
            })
            .collect();
        if !networks.is_empty() && networks.len() < list.len() {
            return Err("`none` stands alone".to_owned());
        }
        Networks::new(&networks).map_err(|error| error.to_string())
    }

    /// The entries that a list is written as.
    pub(super) fn list(networks: &Networks) -> Vec<Self> {
        match networks.as_slice() {
            [] => vec![Self::Nobody],
            networks => networks.iter().copied().map(Self::Network).collect(),
        }
    }
}

impl FromStr for NetworkKey {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text == "none" { Ok(Self::Nobody) } else { text.parse().map(Self::Network) }
    }
}

impl fmt::Display for NetworkKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => formatter.write_str("none"),
            Self::Network(network) => network.fmt(formatter),
        }
    }
}

impl From<NetworkKey> for String {
    fn from(key: NetworkKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for NetworkKey {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_is_meant_by_a_word_that_stands_alone() {
        let list = |text: &str| {
            let list: Vec<NetworkKey> =
                text.split(',').map(|entry| entry.parse().unwrap()).collect();
            NetworkKey::networks(&list)
        };
        assert_eq!(list("none"), Ok(Networks::default()));
        assert_eq!(NetworkKey::list(&Networks::default()), [NetworkKey::Nobody]);
        assert_eq!(list("127.0.0.0/8,::1"), Ok(Networks::loopback()));
        assert!(list("none,::1").is_err());
        assert_eq!(NetworkKey::networks(&[]), Ok(Networks::default()));
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_reading(text in "\\PC*") {
            let _ = text.parse::<NetworkKey>();
        }
    }
}
