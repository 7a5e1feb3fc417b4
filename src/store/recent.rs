//! The newest messages over all mailboxes, as ids: a reader who fell behind sees how far. Not
//! here: whether those messages are still there, which only their mailboxes know.

use super::MessageId;

/// A ring of ids, each with a number that counts all messages since start.
#[derive(Debug)]
pub(super) struct Recent {
    ids: Vec<MessageId>,
    capacity: usize,
    /// How many were pushed: the number of the next one.
    pushed: u64,
}

impl Recent {
    pub(super) fn new(capacity: usize) -> Self {
        Self { ids: Vec::with_capacity(capacity), capacity, pushed: 0 }
    }

    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    pub(super) fn push(&mut self, id: MessageId) {
        let at = (self.pushed % self.capacity as u64) as usize;
        match self.ids.get_mut(at) {
            Some(oldest) => *oldest = id,
            None => self.ids.push(id),
        }
        self.pushed += 1;
    }

    /// The ids that were pushed as number `from` and later, with their numbers, as far as the
    /// ring still has them, oldest first.
    pub(super) fn since(&self, from: u64) -> impl Iterator<Item = (u64, MessageId)> {
        let oldest = self.pushed - self.ids.len() as u64;
        (from.max(oldest)..self.pushed)
            .map(|number| (number, self.ids[(number % self.capacity as u64) as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> MessageId {
        MessageId { slot: 0, generation: 0, sequence }
    }

    #[test]
    fn the_ring_holds_the_newest_and_numbers_all() {
        for pushed in 0..20 {
            let mut recent = Recent::new(5);
            (0..pushed).for_each(|sequence| recent.push(id(sequence)));
            for from in 0..25 {
                let seen: Vec<_> = recent.since(from).collect();
                let expected: Vec<_> = (from.max(pushed.saturating_sub(5))..pushed)
                    .map(|number| (number, id(number)))
                    .collect();
                assert_eq!(seen, expected, "{pushed} pushed, from {from}");
            }
        }
    }
}
