//! Which messages were acknowledged, and by what id: what reading back is held against. Kept only
//! when it will be asked for.

use crate::traffic::Sequence;

/// The acknowledged messages of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// For each sequence number: 0, or one more than where its id begins in `ids`.
    entries: Vec<u64>,
    /// Each a length in one byte, and so many bytes. An id that is not known has none.
    ids: Vec<u8>,
    acknowledged: u64,
}

/// The longest id that is remembered.
const ID_BYTES_MAX: usize = 255;

impl Ledger {
    /// A message was acknowledged in these words.
    pub(crate) fn acknowledge(&mut self, sequence: Sequence, reply: &[u8]) {
        let at = sequence as usize;
        if self.entries.len() <= at {
            self.entries.resize(at + 1, 0);
        }
        let id = id_of(reply);
        self.entries[at] = self.ids.len() as u64 + 1;
        self.ids.push(id.len() as u8);
        self.ids.extend_from_slice(id);
        self.acknowledged += 1;
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(crate) fn is_acknowledged(&self, sequence: Sequence) -> bool {
        self.entries.get(sequence as usize).is_some_and(|entry| *entry != 0)
    }

    /// All acknowledged messages, in order.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = Sequence> {
        let entries = self.entries.iter().enumerate();
        entries.filter(|(_, entry)| **entry != 0).map(|(sequence, _)| sequence as Sequence)
    }

    /// What the server calls the copy of its first recipient, if it said so.
    pub(crate) fn id(&self, sequence: Sequence) -> Option<&str> {
        let at = self.entries.get(sequence as usize)?.checked_sub(1)? as usize;
        let id = self.ids.get(at + 1..)?.get(..usize::from(*self.ids.get(at)?))?;
        std::str::from_utf8(id).ok().filter(|id| !id.is_empty())
    }
}

/// The last word, when the one before it is "as": "stored as 17-4", "queued as 4F3A".
fn id_of(reply: &[u8]) -> &[u8] {
    let mut words = reply.trim_ascii().rsplit(|byte| *byte == b' ');
    let last = words.next().unwrap_or_default();
    let fits = |id: &[u8]| id.len() <= ID_BYTES_MAX && id.iter().all(is_plain);
    if words.next() == Some(b"as") && fits(last) { last } else { b"" }
}

/// What needs no encoding in a path.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_with_their_messages() {
        let mut ledger = Ledger::default();
        ledger.acknowledge(3, b"250 2.0.0 Ok: stored as 1-0-2d\r\n");
        ledger.acknowledge(1, b"250 2.0.0 Ok\r\n");
        ledger.acknowledge(0, b"250 stored as ../x\r\n");
        assert_eq!(ledger.sequences().collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(ledger.id(3), Some("1-0-2d"));
        for unnamed in [0, 1, 2, 4] {
            assert_eq!(ledger.id(unnamed), None);
        }
        assert!(ledger.is_acknowledged(1) && !ledger.is_acknowledged(2));
        assert_eq!(ledger.acknowledged(), 3);
    }
}
