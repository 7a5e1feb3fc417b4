//! Quoted-printable (RFC 2045 section 6.7), decoded into no more bytes than were sent.
//!
//! By hand because of that bound: mail-parser's decoder turns bare LF into CRLF once it has seen
//! a CR, so what it gives may be twice as long as what it is given. Here line ends stay as sent.

/// Decodes. `None` for what is not quoted-printable. An escape that is cut off by the end is left
/// out.
pub(super) fn decode(sent: &[u8]) -> Option<Vec<u8>> {
    // At once, and never more.
    let mut decoded = Vec::with_capacity(sent.len());
    // Up to where nothing at the end of a line is the blanks that the transport may have put there.
    let mut kept = 0;
    let mut rest = sent;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'=' => {
                let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                rest = match rest.get(blanks..).unwrap_or_default() {
                    // A line that goes on.
                    [b'\r', b'\n', tail @ ..] | [b'\n', tail @ ..] => tail,
                    [] | [b'\r'] => return Some(decoded),
                    [high, ..] if blanks > 0 || digit(*high).is_none() => return None,
                    [_] => return Some(decoded),
                    [high, low, tail @ ..] => {
                        decoded.push(digit(*high)? << 4 | digit(*low)?);
                        tail
                    }
                };
                kept = decoded.len();
            }
            b' ' | b'\t' => decoded.push(byte),
            b'\n' => {
                decoded.truncate(kept);
                let is_crlf = sent.len().checked_sub(rest.len() + 2).and_then(|at| sent.get(at));
                decoded.extend_from_slice(if is_crlf == Some(&b'\r') { b"\r\n" } else { b"\n" });
                kept = decoded.len();
            }
            b'\r' if rest.first() == Some(&b'\n') => {}
            other => {
                decoded.push(other);
                kept = decoded.len();
            }
        }
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use mail_parser::decoders::quoted_printable::quoted_printable_decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_and_escapes() {
        for (sent, decoded) in [
            ("a=3Db=\r\nc", Some("a=bc")),
            ("a=3db= \t\nc", Some("a=bc")),
            ("a \t\r\nb \nc ", Some("a\r\nb\nc ")),
            ("a=20 \r\nb", Some("a \r\nb")),
            ("a\rb\r\r\nc", Some("a\rb\r\r\nc")),
            ("a=", Some("a")),
            ("a=4", Some("a")),
            ("a=zz", None),
            ("a=4z", None),
            ("a==41", None),
            ("a= 41", None),
        ] {
            let expected = decoded.map(|decoded| decoded.as_bytes().to_vec());
            assert_eq!(decode(sent.as_bytes()), expected, "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn law_no_more_comes_out_than_goes_in(
            pieces in proptest::collection::vec(prop_oneof![
                Just("\r"), Just("\n"), Just("\r\n"), Just("="), Just("=3D"), Just(" "), Just("a"),
            ], 0..60),
        ) {
            let sent = pieces.concat();
            if let Some(decoded) = decode(sent.as_bytes()) {
                prop_assert!(decoded.len() <= sent.len() && decoded.capacity() <= sent.len());
            }
        }

        #[test]
        fn law_of_lines_as_mail_has_them_mail_parser_says_the_same(
            pieces in proptest::collection::vec(prop_oneof![
                Just("=\r\n"), Just("=3D"), Just("=e9"), Just(" "), Just("\t"), Just("a"),
                Just("b\r\n"), Just("=zz"),
            ], 0..60),
        ) {
            let sent = format!("\r\n{}", pieces.concat());
            prop_assert_eq!(decode(sent.as_bytes()), quoted_printable_decode(sent.as_bytes()));
        }
    }
}
