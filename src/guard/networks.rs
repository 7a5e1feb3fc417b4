//! Lists of networks, as operators write them: whom to trust, whose PROXY header to believe. Not
//! here: what either means.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::limits::NETWORKS_MAX;

/// A network in the manner of CIDR (RFC 4632 section 3.1): an address and how many of its bits
/// matter.
///
/// Kept as IPv6, IPv4 mapped into it (RFC 4291 section 2.5.5.2), so that there is one way to
/// compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    /// 0 to 128; an IPv4 prefix has 96 added.
    prefix_bits: u8,
}

/// At most [`NETWORKS_MAX`] networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    list: Vec<Network>,
}

/// Why a text names no network, or a list no networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// What is before the slash is no IP address.
    Address,
    /// What is behind the slash is no count of bits that such an address has.
    Prefix,
    /// The address has bits set behind its prefix, so one of the two is a slip. The network that it
    /// lies in.
    Host(Network),
    /// More than [`NETWORKS_MAX`].
    TooMany,
}

const IPV4_BITS_BEFORE: u8 = 96;

impl Network {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        (mapped(address) ^ self.address) & mask(self.prefix_bits) == 0
    }

    fn ipv4(&self) -> Option<Ipv4Addr> {
        (self.prefix_bits >= IPV4_BITS_BEFORE)
            .then(|| Ipv6Addr::from_bits(self.address).to_ipv4_mapped())
            .flatten()
    }
}

impl Networks {
    /// This machine: `127.0.0.0/8` and `::1`.
    #[must_use]
    pub fn loopback() -> Self {
        let ipv4 = Network {
            address: mapped(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0))),
            prefix_bits: IPV4_BITS_BEFORE + 8,
        };
        let ipv6 = Network { address: Ipv6Addr::LOCALHOST.to_bits(), prefix_bits: 128 };
        Self { list: vec![ipv4, ipv6] }
    }

    /// These networks.
    ///
    /// # Errors
    /// [`NetworkError::TooMany`]: more than [`NETWORKS_MAX`].
    pub fn new(networks: &[Network]) -> Result<Self, NetworkError> {
        if networks.len() > NETWORKS_MAX {
            return Err(NetworkError::TooMany);
        }
        Ok(Self { list: networks.to_vec() })
    }

    /// Whether the address lies in any of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.list.iter().any(|network| network.contains(address))
    }

    /// The networks, as they were given.
    #[must_use]
    pub fn as_slice(&self) -> &[Network] {
        &self.list
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `192.0.2.0/24`, `2001:db8::/32`, or an address, which is a network of one.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let before = if address.is_ipv4() { IPV4_BITS_BEFORE } else { 0 };
        let prefix_bits = match prefix {
            None => 128,
            // A sign would be parsed too.
            Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(NetworkError::Prefix);
            }
            Some(digits) => digits
                .parse::<u8>()
                .ok()
                .and_then(|bits| bits.checked_add(before))
                .filter(|bits| *bits <= 128)
                .ok_or(NetworkError::Prefix)?,
        };
        let network = Self { address: mapped(address) & mask(prefix_bits), prefix_bits };
        if network.address != mapped(address) {
            return Err(NetworkError::Host(network));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    /// As it is parsed; a network of one address without its prefix.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, prefix_bits) = match self.ipv4() {
            Some(address) => (IpAddr::V4(address), self.prefix_bits - IPV4_BITS_BEFORE),
            None => (IpAddr::V6(Ipv6Addr::from_bits(self.address)), self.prefix_bits),
        };
        match self.prefix_bits {
            128 => address.fmt(formatter),
            _ => write!(formatter, "{address}/{prefix_bits}"),
        }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => formatter.write_str("no IP address"),
            Self::Prefix => {
                formatter.write_str("no such prefix: 0 to 32 bits for IPv4, 128 for IPv6")
            }
            Self::Host(network) => write!(formatter, "bits are set behind the prefix; {network}?"),
            Self::TooMany => write!(formatter, "more than {NETWORKS_MAX} networks"),
        }
    }
}

impl std::error::Error for NetworkError {}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(prefix_bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_is_this_machine_however_it_is_spelt_and_nobody_else() {
        let loopback = Networks::loopback();
        for own in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            assert!(loopback.contains(address(own)), "{own}");
        }
        for other in ["126.255.255.255", "128.0.0.0", "::2", "::", "::7f00:1", "192.0.2.1"] {
            assert!(!loopback.contains(address(other)), "{other}");
        }
    }

    #[test]
    fn a_prefix_of_no_bits_is_all_of_its_family() {
        assert!(network("0.0.0.0/0").contains(address("203.0.113.9")));
        assert!(!network("0.0.0.0/0").contains(address("2001:db8::1")));
        assert!(network("::/0").contains(address("2001:db8::1")));
    }

    #[test]
    fn what_names_no_network_says_why() {
        for (text, error) in [
            ("", NetworkError::Address),
            ("localhost", NetworkError::Address),
            ("192.0.2/24", NetworkError::Address),
            ("[::1]", NetworkError::Address),
            ("192.0.2.0/", NetworkError::Prefix),
            ("192.0.2.0/33", NetworkError::Prefix),
            ("192.0.2.0/+8", NetworkError::Prefix),
            ("192.0.2.0/8/8", NetworkError::Prefix),
            ("192.0.2.0/200", NetworkError::Prefix),
            ("192.0.2.0/256", NetworkError::Prefix),
            ("::/129", NetworkError::Prefix),
            ("192.0.2.1/24", NetworkError::Host(network("192.0.2.0/24"))),
            ("2001:db8::1/32", NetworkError::Host(network("2001:db8::/32"))),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
        let error = "10.1.0.0/8".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "bits are set behind the prefix; 10.0.0.0/8?");
    }

    #[test]
    fn one_address_is_shown_without_a_prefix() {
        for text in ["192.0.2.1", "2001:db8::1", "192.0.2.0/31", "2001:db8::/127"] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn a_list_has_an_end() {
        let most = vec![network("192.0.2.1"); NETWORKS_MAX];
        assert_eq!(Networks::new(&most).unwrap().as_slice(), most);
        let more = vec![network("192.0.2.1"); NETWORKS_MAX + 1];
        assert_eq!(Networks::new(&more), Err(NetworkError::TooMany));
        assert!(!Networks::default().contains(address("127.0.0.1")), "an empty list has nobody");
    }

    proptest! {
        #[test]
        fn a_network_has_the_addresses_that_begin_as_it_does(
            base in any::<u32>(), other in any::<u32>(), bits in 0_u32..=32,
        ) {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let text = format!("{}/{bits}", Ipv4Addr::from_bits(base & mask));
            let network: Network = text.parse().unwrap();
            let near = Ipv4Addr::from_bits(base & mask | other & !mask);
            prop_assert!(network.contains(near.into()));
            let other = Ipv4Addr::from_bits(other);
            prop_assert_eq!(
                network.contains(other.into()),
                (other.to_bits() ^ base) & mask == 0
            );
            let mapped = other.to_ipv6_mapped();
            prop_assert_eq!(network.contains(mapped.into()), network.contains(other.into()));
        }

        #[test]
        fn what_is_shown_is_parsed_to_the_same(base in any::<u128>(), bits in 0_u8..=128) {
            for address in [base, mapped(Ipv4Addr::from_bits(base as u32).into())] {
                let network = Network { address: address & mask(bits), prefix_bits: bits };
                prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
            }
        }
    }
}
