//! The header of the PROXY protocol, and what is behind it.

use mailfly::limits::PROXY_HEADER_BYTES_MAX;
use mailfly::proxy::parse;

/// The input is what a proxy sends first.
pub fn holds(input: &[u8]) {
    let whole = parse(input);
    let mut first = Ok(None);
    for cut in 0..=input.len().min(PROXY_HEADER_BYTES_MAX + 1) {
        let answer = parse(&input[..cut]);
        assert!(first == Ok(None) || answer == first, "at {cut} more bytes changed an answer");
        if let Ok(Some(header)) = answer {
            assert!(header.bytes <= cut.min(PROXY_HEADER_BYTES_MAX), "it ends within its bytes");
        }
        first = answer;
    }
    assert_eq!(whole, first, "what is behind the longest header counts");
}
