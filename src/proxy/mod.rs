//! The header of the PROXY protocol (versions 1 and 2, as HAProxy defines them), which a proxy in
//! front of the server sends before anything else to say who its client is. Bytes in, an address
//! out. Not here: whom to believe.
//!
//! By hand, since whoever reads it has to tell a header that is not whole yet from one that is none,
//! at every byte, and to stop at a bound that is below what version 2 allows.
//!
//! ```text
//! 1   PROXY TCP4 192.0.2.1 198.51.100.2 40000 25 CR LF          107 bytes at most
//! 2   signature (12) | version and command | family | length (2) | addresses, and then TLVs
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::PROXY_HEADER_BYTES_MAX;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How long it is: what is behind it is the client's.
    pub bytes: usize,
    /// Who the client is; none if it is the proxy itself, or something without an IP address.
    pub source: Option<IpAddr>,
}

/// The bytes begin no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeader;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature and the four bytes behind it.
const FIXED_BYTES: usize = SIGNATURE.len() + 4;
const LINE_START: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const LINE_BYTES_MAX: usize = 107;

/// The header that `input` begins with, or nothing if it may be one and more has to come.
///
/// # Errors
/// [`NoHeader`]: whatever comes, it will not be one, or be longer than
/// [`PROXY_HEADER_BYTES_MAX`].
pub fn parse(input: &[u8]) -> Result<Option<Header>, NoHeader> {
    if begins(input, SIGNATURE) {
        binary(input)
    } else if begins(input, LINE_START) {
        line(input)
    } else {
        Err(NoHeader)
    }
}

/// Whether the two are the same as far as both go.
fn begins(input: &[u8], start: &[u8]) -> bool {
    input.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

/// Version 1.
fn line(input: &[u8]) -> Result<Option<Header>, NoHeader> {
    let within = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if within.len() < LINE_BYTES_MAX { Ok(None) } else { Err(NoHeader) };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(NoHeader)?;
    let line = line.strip_prefix(LINE_START).ok_or(NoHeader)?;
    let mut words = str::from_utf8(line).map_err(|_| NoHeader)?.split(' ');
    let mut word = || words.next().ok_or(NoHeader);
    let bytes = end + 1;
    let address = |text: &str, is_ipv4: bool| {
        text.parse::<IpAddr>().ok().filter(|address| address.is_ipv4() == is_ipv4).ok_or(NoHeader)
    };
    let is_ipv4 = match word()? {
        // Whatever else the line says does not count.
        "UNKNOWN" => return Ok(Some(Header { bytes, source: None })),
        "TCP4" => true,
        "TCP6" => false,
        _ => return Err(NoHeader),
    };
    let source = address(word()?, is_ipv4)?;
    address(word()?, is_ipv4)?;
    for _ in 0..2 {
        let port = word()?;
        // A sign would be parsed too.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
            return Err(NoHeader);
        }
    }
    match words.next() {
        None => Ok(Some(Header { bytes, source: Some(source) })),
        Some(_) => Err(NoHeader),
    }
}

/// Version 2.
fn binary(input: &[u8]) -> Result<Option<Header>, NoHeader> {
    let Some(&[command, family, high, low]) = input.get(SIGNATURE.len()..FIXED_BYTES) else {
        return Ok(None);
    };
    let bytes = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    let is_proxied = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(NoHeader),
    };
    if bytes > PROXY_HEADER_BYTES_MAX {
        return Err(NoHeader);
    }
    // The two addresses and ports that a family has before anything else.
    let address_bytes = match family {
        // Whatever it says of itself, the connection is the proxy's own.
        _ if !is_proxied => 0,
        0x11 => 12,
        0x21 => 36,
        // Neither TCP over IP nor anything that must be told from it.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => 0,
        _ => return Err(NoHeader),
    };
    if bytes < FIXED_BYTES + address_bytes {
        return Err(NoHeader);
    }
    let Some(addresses) = input.get(FIXED_BYTES..bytes) else { return Ok(None) };
    let source = match family {
        _ if !is_proxied => None,
        0x11 => addresses.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()),
        0x21 => addresses.first_chunk().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()),
        _ => None,
    };
    Ok(Some(Header { bytes, source }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binary_header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    fn ipv4_rest() -> Vec<u8> {
        vec![192, 0, 2, 1, 198, 51, 100, 2, 0x9c, 0x40, 0, 25]
    }

    /// Every header here, with what it says.
    fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let ipv6: Vec<u8> = ["2001:db8::1", "2001:db8::2"]
            .iter()
            .flat_map(|text| text.parse::<Ipv6Addr>().unwrap().octets())
            .chain([0, 1, 0, 25])
            .collect();
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\r\n".to_vec(), Some("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n".to_vec(), Some("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (binary_header(0x21, 0x11, &ipv4_rest()), Some("192.0.2.1")),
            (
                binary_header(0x21, 0x11, &[ipv4_rest(), vec![4, 0, 1, 7]].concat()),
                Some("192.0.2.1"),
            ),
            (binary_header(0x21, 0x21, &ipv6), Some("2001:db8::1")),
            (binary_header(0x20, 0x00, &[]), None),
            (binary_header(0x20, 0x11, &[]), None),
            (binary_header(0x20, 0xff, &[7; 9]), None),
            (binary_header(0x21, 0x31, &[0; 216]), None),
        ]
    }

    #[test]
    fn law_a_header_is_known_when_its_last_byte_has_come_and_not_before() {
        for (header, source) in headers() {
            for cut in 0..header.len() {
                assert_eq!(parse(&header[..cut]), Ok(None), "{cut} of {header:?}");
            }
            let source = source.map(|text| text.parse().unwrap());
            let whole = Header { bytes: header.len(), source };
            let behind = [&header[..], b"EHLO client.example\r\n"].concat();
            assert_eq!(parse(&header), Ok(Some(whole)));
            assert_eq!(parse(&behind), Ok(Some(whole)));
        }
    }

    #[test]
    fn what_is_no_header_is_seen_as_soon_as_it_can_be() {
        for wrong in [
            &b"EHLO client.example\r\n"[..],
            b"PROXI",
            b"proxy TCP4 192.0.2.1 198.51.100.2 40000 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 25 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 65536\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 25\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.2 1 25\r\n",
            b"PROXY TCP4  192.0.2.1 198.51.100.2 1 25\r\n",
            b"PROXY TCP4 192.0.2.256 198.51.100.2 1 25\r\n",
            b"PROXY TCP4\r\n",
            b"PROXY \r\n",
            b"\r\n\r\n\0\r\nQUIX",
        ] {
            assert_eq!(parse(wrong), Err(NoHeader), "{}", wrong.escape_ascii());
        }
        for (command, family) in [(0x11, 0x11), (0x22, 0x11), (0x21, 0x13), (0x21, 0x41)] {
            assert_eq!(parse(&binary_header(command, family, &ipv4_rest())), Err(NoHeader));
        }
        assert_eq!(parse(&binary_header(0x21, 0x11, &ipv4_rest()[1..])), Err(NoHeader));
        assert_eq!(parse(&binary_header(0x21, 0x21, &ipv4_rest())), Err(NoHeader));
    }

    #[test]
    fn an_endless_header_has_an_end() {
        let line = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
        assert_eq!(parse(&line[..LINE_BYTES_MAX - 1]), Ok(None));
        assert_eq!(parse(&line), Err(NoHeader));
        let most = PROXY_HEADER_BYTES_MAX - FIXED_BYTES;
        assert!(parse(&binary_header(0x21, 0x11, &vec![0; most])).unwrap().is_some());
        assert_eq!(
            parse(&binary_header(0x21, 0x11, &vec![0; most + 1])[..FIXED_BYTES]),
            Err(NoHeader)
        );
    }

    proptest! {
        #[test]
        fn law_more_bytes_never_change_an_answer(
            start in prop_oneof![
                Just(LINE_START.to_vec()), Just(SIGNATURE.to_vec()), Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
                Just(vec![]),
            ],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, rest].concat();
            let mut answer = Ok(None);
            for cut in 0..=bytes.len() {
                let next = parse(&bytes[..cut]);
                prop_assert!(answer == Ok(None) || next == answer);
                if let Ok(Some(header)) = next {
                    prop_assert!(header.bytes <= PROXY_HEADER_BYTES_MAX && header.bytes <= cut);
                }
                answer = next;
            }
        }
    }
}
