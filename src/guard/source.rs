//! Who mail comes from, as far as it is counted: an IPv4 address, or the /64 of an IPv6 one. Not
//! here: what is counted of it (`sources`), or whom to trust (`networks`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A peer's IPv4 address, or the first 64 bits of its IPv6 address: whoever has one address there
/// has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// One address. One that is mapped into IPv6 is the same source.
    Ipv4(Ipv4Addr),
    /// The first 64 bits.
    Ipv6(u64),
}

impl Source {
    /// The wider network that a source belongs to: the /24 of an IPv4 address, the /48 of an IPv6
    /// one. One customer often has all of that, so what is said by one network is said once.
    pub(super) fn network(self) -> [u8; 8] {
        match self {
            Self::Ipv4(address) => {
                let [first, second, third, _] = address.octets();
                [4, first, second, third, 0, 0, 0, 0]
            }
            Self::Ipv6(prefix) => {
                let [first, second, third, fourth, fifth, sixth, ..] = prefix.to_be_bytes();
                [6, first, second, third, fourth, fifth, sixth, 0]
            }
        }
    }

    pub(super) fn bytes(self) -> [u8; 8] {
        match self {
            Self::Ipv4(address) => u64::from(address.to_bits()).to_be_bytes(),
            Self::Ipv6(prefix) => prefix.to_be_bytes(),
        }
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Source {
    /// `192.0.2.1`, or `2001:db8::/64`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(formatter),
            Self::Ipv6(prefix) => {
                write!(formatter, "{}/64", Ipv6Addr::from_bits(u128::from(*prefix) << 64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn ipv4_counts_by_address_and_ipv6_by_its_first_64_bits() {
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("2001:db8:0:7::1").to_string(), "2001:db8:0:7::/64");
        assert_eq!(source("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn a_network_is_the_24_of_ipv4_and_the_48_of_ipv6_and_never_both() {
        assert_eq!(source("192.0.2.1").network(), source("192.0.2.200").network());
        assert_ne!(source("192.0.2.1").network(), source("192.0.3.1").network());
        assert_eq!(source("2001:db8:1:1::").network(), source("2001:db8:1:2::").network());
        assert_ne!(source("2001:db8:1::").network(), source("2001:db8:2::").network());
        assert_ne!(source("192.0.2.1").network(), source("c000:200::").network());
    }
}
