//! After the run: everything that was acknowledged is read back over HTTP and counted. A copy (a
//! message in the mailbox of one of its recipients) is
//!
//! - stored: it is there, once, as it was sent;
//! - evicted: it is gone, the server says so (410, where its id is known), and the server has counted
//!   a removal for it: in the mailbox's own `Mailfly-Lost`, or, if that mailbox gave way as a whole
//!   and was begun anew, in the sum over all mailboxes;
//! - lost: it is not there, and no rule says why;
//! - doubled: there is one more of it than was sent there;
//! - corrupted: it is there, and is not what was sent.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::http::{Client, Head};
use crate::ledger::Ledger;
use crate::limits::{REQUESTS_AT_ONCE, VERIFY_MAILBOXES_MAX};
use crate::plan::Plan;
use crate::traffic::{Damage, Sequence, Traffic};

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Verdict {
    /// Messages acknowledged, warm-up included.
    pub(crate) acknowledged: u64,
    /// And how many copies of them should be found: one for each recipient.
    pub(crate) copies: u64,
    pub(crate) stored: u64,
    pub(crate) evicted: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) corrupted: u64,
    /// Of this run and there, though never acknowledged: the connection broke before.
    pub(crate) unacknowledged: u64,
    /// Not of this run.
    pub(crate) foreign: u64,
    /// Held by mailboxes beyond what they list, and not found by an id.
    pub(crate) unlisted: u64,
    /// Why not everything was looked at, if so.
    pub(crate) unfinished: Option<String>,
    pub(crate) seconds: f64,
}

impl Verdict {
    /// Whether all that was acknowledged is accounted for.
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.corrupted == 0 && self.unfinished.is_none()
    }
}

/// What the server had counted as removed, over all mailboxes; none if it does not say.
pub(crate) fn removed(plan: &Plan) -> Option<u64> {
    let mut client = client(plan, Duration::from_nanos(plan.timeout_ns));
    let mut sum = None;
    let paths = ["/metrics".to_owned()];
    let result = client.fetch(&paths, |_, head, body| {
        if head.status == 200 {
            sum = sum_of_removed(&String::from_utf8_lossy(body));
        }
    });
    result.ok().and(sum)
}

fn client(plan: &Plan, at_most: Duration) -> Client {
    let patience = Duration::from_nanos(plan.timeout_ns);
    Client::new(plan.http, patience, Instant::now() + at_most)
}

fn sum_of_removed(metrics: &str) -> Option<u64> {
    let lines = metrics.lines().filter(|line| line.starts_with("mailfly_store_lost_total"));
    let counts: Vec<u64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    if counts.is_empty() { None } else { Some(counts.iter().sum()) }
}

/// Reads everything back. `removed_before` is what [`removed`] said before the run.
pub(crate) fn verify(
    plan: &Plan,
    traffic: &Traffic,
    ledger: &Ledger,
    begun: u64,
    removed_before: Option<u64>,
) -> Verdict {
    let since = Instant::now();
    let index = Index::of(plan, traffic, ledger);
    let mut reading = Reading {
        client: client(plan, Duration::from_secs(plan.verify_seconds)),
        traffic,
        ledger,
        begun,
        recipients: plan.recipients,
        uncovered: 0,
        covered: 0,
        verdict: Verdict {
            acknowledged: ledger.acknowledged(),
            copies: index.sequences.len() as u64,
            ..Verdict::default()
        },
    };
    let all = plan.mailboxes <= VERIFY_MAILBOXES_MAX;
    let mailboxes: Vec<u32> = (0..plan.mailboxes)
        .filter(|mailbox| all || !index.of_mailbox(*mailbox).is_empty())
        .collect();
    for group in mailboxes.chunks(REQUESTS_AT_ONCE) {
        if let Err(error) = reading.group(group, &index) {
            let seconds = plan.verify_seconds;
            reading.verdict.unfinished = Some(match error.kind() {
                io::ErrorKind::TimedOut => format!("not all was read in {seconds} s"),
                _ => format!("reading back: {error}"),
            });
            break;
        }
    }
    let removed = removed(plan).zip(removed_before);
    let mut verdict = reading.verdict;
    // What no mailbox answers for, the sum over all of them may.
    let elsewhere = removed
        .map_or(0, |(after, before)| after.saturating_sub(before).saturating_sub(reading.covered));
    let evicted = reading.uncovered.min(elsewhere);
    verdict.evicted += evicted;
    verdict.lost += reading.uncovered - evicted;
    verdict.seconds = since.elapsed().as_secs_f64();
    verdict
}

/// Which messages each mailbox should have.
struct Index {
    /// Where each mailbox's part of `sequences` begins.
    starts: Vec<u32>,
    sequences: Vec<Sequence>,
}

impl Index {
    fn of(plan: &Plan, traffic: &Traffic, ledger: &Ledger) -> Self {
        let mut starts = vec![0u32; plan.mailboxes as usize + 1];
        let copies = || {
            ledger.sequences().flat_map(|sequence| {
                (0..plan.recipients).map(move |place| (traffic.mailbox(sequence, place), sequence))
            })
        };
        for (mailbox, _) in copies() {
            starts[mailbox as usize + 1] += 1;
        }
        for mailbox in 1..starts.len() {
            starts[mailbox] += starts[mailbox - 1];
        }
        let mut next = starts.clone();
        let mut sequences = vec![0; starts.last().map_or(0, |count| *count as usize)];
        for (mailbox, sequence) in copies() {
            sequences[next[mailbox as usize] as usize] = sequence;
            next[mailbox as usize] += 1;
        }
        Self { starts, sequences }
    }

    fn of_mailbox(&self, mailbox: u32) -> &[Sequence] {
        let mailbox = mailbox as usize;
        &self.sequences[self.starts[mailbox] as usize..self.starts[mailbox + 1] as usize]
    }
}

struct Reading<'a> {
    client: Client,
    traffic: &'a Traffic,
    ledger: &'a Ledger,
    begun: u64,
    recipients: u16,
    /// Copies that are gone and that their mailbox has counted, or has not.
    covered: u64,
    uncovered: u64,
    verdict: Verdict,
}

/// One mailbox while it is looked at.
struct Mailbox {
    name: String,
    number: u32,
    ids: Vec<String>,
    held: u64,
    lost: u64,
    /// How many copies of each expected message were found.
    found: HashMap<Sequence, u32>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
}

impl Reading<'_> {
    fn group(&mut self, numbers: &[u32], index: &Index) -> io::Result<()> {
        let mut mailboxes = self.list(numbers, index)?;
        let sources: Vec<(usize, String)> = mailboxes
            .iter_mut()
            .enumerate()
            .flat_map(|(at, mailbox)| {
                std::mem::take(&mut mailbox.ids).into_iter().map(move |id| (at, id))
            })
            .collect();
        let paths: Vec<String> = sources
            .iter()
            .map(|(at, id)| format!("/api/v1/mailbox/{}/{id}/source", mailboxes[*at].name))
            .collect();
        // A message may be evicted between the list and here, when others send mail too.
        let (verdict, traffic, ledger) = (&mut self.verdict, self.traffic, self.ledger);
        let (begun, recipients) = (self.begun, self.recipients);
        self.client.fetch(&paths, |request, head, body| {
            let (at, id) = &sources[request];
            if head.status == 200 {
                let mailbox = &mut mailboxes[*at];
                let expected = index.of_mailbox(mailbox.number);
                let judge = Judge { traffic, ledger, begun, recipients, expected };
                judge.source(mailbox, id, body, verdict);
            }
        })?;
        for mailbox in &mut mailboxes {
            self.missing(mailbox, index.of_mailbox(mailbox.number))?;
        }
        Ok(())
    }

    fn list(&mut self, numbers: &[u32], index: &Index) -> io::Result<Vec<Mailbox>> {
        let mut mailboxes: Vec<Mailbox> = numbers
            .iter()
            .map(|number| Mailbox {
                name: self.traffic.mailbox_name(*number),
                number: *number,
                ids: Vec::new(),
                held: 0,
                lost: 0,
                found: index.of_mailbox(*number).iter().map(|sequence| (*sequence, 0)).collect(),
            })
            .collect();
        let paths: Vec<String> =
            mailboxes.iter().map(|mailbox| format!("/api/v1/mailbox/{}", mailbox.name)).collect();
        let mut odd = None;
        self.client.fetch(&paths, |at, head: &Head, body| {
            let entries = serde_json::from_slice::<Vec<Entry>>(body);
            match entries {
                Ok(entries) if head.status == 200 => {
                    let mailbox = &mut mailboxes[at];
                    mailbox.ids = entries.into_iter().map(|entry| entry.id).collect();
                    mailbox.ids.retain(|id| {
                        id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
                    });
                    mailbox.held = head.messages.unwrap_or(mailbox.ids.len() as u64);
                    mailbox.lost = head.lost.unwrap_or(0);
                }
                _ => odd = Some(format!("{}: answered {}, and no list", paths[at], head.status)),
            }
        })?;
        for mailbox in &mailboxes {
            self.verdict.unlisted += mailbox.held.saturating_sub(mailbox.ids.len() as u64);
        }
        odd.map_or(Ok(mailboxes), |why| Err(io::Error::other(why)))
    }

    /// Asks for the copies that were not in the list by the ids that they were acknowledged with.
    fn missing(&mut self, mailbox: &mut Mailbox, expected: &[Sequence]) -> io::Result<()> {
        let missing: Vec<Sequence> = expected
            .iter()
            .copied()
            .filter(|sequence| mailbox.found.get(sequence) == Some(&0))
            .collect();
        // The id in a reply is that of the first recipient's copy.
        let (named, mut gone): (Vec<(Sequence, &str)>, u64) = {
            let named: Vec<(Sequence, &str)> = missing
                .iter()
                .filter(|sequence| self.traffic.mailbox(**sequence, 0) == mailbox.number)
                .filter_map(|sequence| Some((*sequence, self.ledger.id(*sequence)?)))
                .collect();
            let unnamed = missing.len() - named.len();
            (named, unnamed as u64)
        };
        let paths: Vec<String> = named
            .iter()
            .map(|(_, id)| format!("/api/v1/mailbox/{}/{id}/source", mailbox.name))
            .collect();
        let (verdict, traffic) = (&mut self.verdict, self.traffic);
        self.client.fetch(&paths, |at, head, body| match head.status {
            200 => {
                let whole = traffic.examine(body) == Ok(named[at].0);
                if whole {
                    verdict.stored += 1
                } else {
                    verdict.corrupted += 1
                }
                verdict.unlisted = verdict.unlisted.saturating_sub(1);
            }
            410 => gone += 1,
            _ => verdict.lost += 1,
        })?;
        let covered = gone.min(mailbox.lost);
        self.verdict.evicted += covered;
        self.covered += covered;
        self.uncovered += gone - covered;
        Ok(())
    }
}

/// What judges one copy.
struct Judge<'a> {
    traffic: &'a Traffic,
    ledger: &'a Ledger,
    begun: u64,
    recipients: u16,
    expected: &'a [Sequence],
}

impl Judge<'_> {
    fn source(&self, mailbox: &mut Mailbox, id: &str, source: &[u8], verdict: &mut Verdict) {
        match self.traffic.examine(source) {
            Ok(sequence) => match mailbox.found.get_mut(&sequence) {
                Some(copies) => {
                    *copies += 1;
                    if *copies == 1 { verdict.stored += 1 } else { verdict.doubled += 1 }
                }
                None if self.was_tried(sequence, mailbox.number) => {
                    mailbox.found.insert(sequence, 1);
                    verdict.unacknowledged += 1;
                }
                None => verdict.doubled += 1,
            },
            Err(damage) => {
                let bears = match damage {
                    Damage::Corrupted(sequence) => sequence,
                    Damage::Foreign => None,
                };
                // By its id, since what it bears may be what is wrong.
                let is = self.expected.iter().copied().find(|sequence| {
                    self.traffic.mailbox(*sequence, 0) == mailbox.number
                        && self.ledger.id(*sequence) == Some(id)
                });
                if is.is_none() && damage == Damage::Foreign {
                    verdict.foreign += 1;
                    return;
                }
                verdict.corrupted += 1;
                if let Some(copies) =
                    is.or(bears).and_then(|sequence| mailbox.found.get_mut(&sequence))
                {
                    *copies += 1;
                }
            }
        }
    }

    /// Whether the message was sent to this mailbox, and never acknowledged.
    fn was_tried(&self, sequence: Sequence, mailbox: u32) -> bool {
        sequence < self.begun
            && !self.ledger.is_acknowledged(sequence)
            && (0..self.recipients).any(|place| self.traffic.mailbox(sequence, place) == mailbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_are_summed_over_their_causes() {
        let metrics = "# TYPE mailfly_store_lost counter\n\
                       mailfly_store_lost_total{cause=\"mailbox_full\"} 7\n\
                       mailfly_store_lost_total{cause=\"expired\"} 2\nother 5\n";
        assert_eq!(sum_of_removed(metrics), Some(9));
        assert_eq!(sum_of_removed("other 5\n"), None);
    }
}
