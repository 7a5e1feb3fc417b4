//! What names a message, and how that is written. Not here: where messages are (`reading`).

use std::fmt;
use std::str::FromStr;

const SEPARATOR: u8 = b'-';
/// The longest id: a number of 64 bits and two of 32 in hexadecimal, and what is between them.
const ID_TEXT_BYTES_MAX: usize = 16 + 1 + 8 + 1 + 8;

/// What names one copy of a message for as long as the server runs: the mailbox's slot, which
/// mailbox it was in that slot, and the message's number there. Whoever holds the id of a message
/// that is gone is told so, and never shown another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) sequence: u64,
}

/// An id as it is written: `sequence-slot-generation` in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct IdText {
    bytes: [u8; ID_TEXT_BYTES_MAX],
    /// Where it begins.
    start: usize,
}

impl MessageId {
    /// As it is written. Each message's 250 says it, and three numbers through the formatter cost
    /// as much as two parsed addresses; so it is put together from its end.
    #[must_use]
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; ID_TEXT_BYTES_MAX], start: ID_TEXT_BYTES_MAX };
        text.put_hexadecimal(u64::from(self.generation));
        text.put(SEPARATOR);
        text.put_hexadecimal(u64::from(self.slot));
        text.put(SEPARATOR);
        text.put_hexadecimal(self.sequence);
        text
    }
}

impl IdText {
    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    fn put_hexadecimal(&mut self, mut number: u64) {
        loop {
            self.put(b"0123456789abcdef"[(number & 0xf) as usize]);
            number >>= 4;
            if number == 0 {
                return;
            }
        }
    }
}

impl AsRef<[u8]> for IdText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(self.text().as_ref()).map_err(|_| fmt::Error)?)
    }
}

/// The text is not one that a [`MessageId`] shows itself as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl FromStr for MessageId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut parts = text.split(char::from(SEPARATOR));
        let mut part = || u64::from_str_radix(parts.next()?, 16).ok();
        let id = (|| {
            let sequence = part()?;
            let slot = u32::try_from(part()?).ok()?;
            let generation = u32::try_from(part()?).ok()?;
            Some(Self { slot, generation, sequence })
        })();
        // One spelling for each id: no plus signs, capitals or leading zeros.
        id.filter(|id| id.to_string() == text).ok_or(NotAnId)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What the formatter would write is what is read back.
        #[test]
        fn an_id_is_three_numbers_in_hexadecimal(sequence: u64, slot: u32, generation: u32) {
            let id = MessageId { slot, generation, sequence };
            let text = id.to_string();
            prop_assert_eq!(&text, &format!("{sequence:x}-{slot:x}-{generation:x}"));
            prop_assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn the_least_and_the_greatest_id_have_room() {
        for number in [0, u32::MAX] {
            let sequence = u64::from(number) << 32 | u64::from(number);
            let id = MessageId { slot: number, generation: number, sequence };
            assert_eq!(id.to_string(), format!("{sequence:x}-{number:x}-{number:x}"));
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = MessageId { slot: 0x12, generation: 0xabc, sequence: 7 };
        assert_eq!("7-12-abc".parse(), Ok(id));
        for other in
            ["", "7", "7-12", "7-12-ABC", "07-12-abc", "+7-12-abc", "7-12-abc-1", "7-12-1ffffffff"]
        {
            assert_eq!(other.parse::<MessageId>(), Err(NotAnId), "{other}");
        }
    }
}
