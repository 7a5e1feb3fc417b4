//! What the store holds and has done, for metrics.

use super::Lost;
use crate::metrics::Sample;

/// A reading of the store's counters and gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Copies of messages that are there.
    pub messages: u64,
    /// Mailboxes that have mail.
    pub mailboxes: u64,
    /// Copies of messages that were committed since start.
    pub committed: u64,
    /// What was removed since start, and why.
    pub lost: Lost,
    /// Arenas of the pool.
    pub arenas: u32,
    /// Arenas that nobody owns.
    pub arenas_free: u32,
    /// Arenas that drafts own.
    pub arenas_drafts: u32,
}

impl Figures {
    /// All of them, to be shown.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let lost = |cause, value| {
            Sample::counter(
                "mailfly_store_lost",
                "Copies of messages that were removed, by the rule that took them.",
                value,
            )
            .labelled("cause", cause)
        };
        let arenas = |state, value| {
            Sample::gauge("mailfly_store_arenas", "Arenas of the pool, by who owns them.", value)
                .labelled("owner", state)
        };
        let mailboxes = self.arenas - self.arenas_free - self.arenas_drafts;
        vec![
            Sample::gauge("mailfly_store_messages", "Copies of messages kept.", self.messages),
            Sample::gauge("mailfly_store_mailboxes", "Mailboxes that have mail.", self.mailboxes),
            Sample::counter(
                "mailfly_store_committed",
                "Copies of messages that were stored, one for each mailbox.",
                self.committed,
            ),
            lost("mailbox_full", self.lost.mailbox_full),
            lost("memory_full", self.lost.memory_full),
            lost("expired", self.lost.expired),
            lost("deleted", self.lost.deleted),
            arenas("nobody", self.arenas_free.into()),
            arenas("drafts", self.arenas_drafts.into()),
            arenas("mailboxes", mailboxes.into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_shown_and_every_arena_is_somebodys() {
        let lost = Lost { mailbox_full: 1, memory_full: 2, expired: 3, deleted: 4 };
        let figures = Figures {
            arenas: 100,
            arenas_free: 60,
            arenas_drafts: 15,
            messages: 20,
            mailboxes: 7,
            committed: 30,
            lost,
        };
        let shown = figures.samples().into_iter().map(|sample| {
            let label = sample.label.map_or("", |(_, value)| value);
            (sample.name.trim_start_matches("mailfly_store_"), label, sample.value)
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                ("messages", "", 20),
                ("mailboxes", "", 7),
                ("committed", "", 30),
                ("lost", "mailbox_full", 1),
                ("lost", "memory_full", 2),
                ("lost", "expired", 3),
                ("lost", "deleted", 4),
                ("arenas", "nobody", 60),
                ("arenas", "drafts", 15),
                ("arenas", "mailboxes", 25),
            ]
        );
    }
}
