//! What a client's fault costs it.
//!
//! A server that takes mail for everybody owes nothing to clients that misbehave, so `curt` answers
//! every fault with the one reply and hangs up. `rfc` answers each with its own code and hangs up
//! with 421 after the last of [`Settings::faults_max`](super::Settings::faults_max).

use super::{Policy, Session, Turn, World, sure};
use crate::smtp::command::Command;
use crate::smtp::reply::{self, Fault, Goodbye};

impl<D> Session<D> {
    /// Answers a fault. The state stays as it is, unless that was the end.
    pub(super) fn fault<W: World<Draft = D>>(&mut self, fault: Fault, turn: &mut Turn<'_, W>) {
        turn.world.faulted(fault);
        match turn.settings.policy() {
            Policy::Curt => {
                turn.say(reply::NO_SUCH_USER);
                self.closed(turn.world);
            }
            Policy::Rfc => {
                turn.say(fault.reply());
                if matches!(fault, Fault::ChunkSize | Fault::BehindStarttls | Fault::HttpRequest) {
                    self.closed(turn.world);
                }
                self.count_fault(turn);
            }
        }
    }

    /// A command that its state has no place for, or that is never obeyed.
    pub(super) fn misplaced<W: World<Draft = D>>(
        &mut self,
        command: &Command<'_>,
        turn: &mut Turn<'_, W>,
    ) {
        let offers_starttls = turn.settings.starttls() && !self.encrypted;
        match (turn.settings.policy(), command) {
            (_, Command::Starttls) if offers_starttls => self.fault(Fault::BadSequence, turn),
            (Policy::Rfc, Command::Vrfy) => turn.say(reply::CANNOT_VERIFY),
            (Policy::Rfc, Command::Help) => turn.say(reply::HELP),
            (_, Command::Vrfy | Command::Help | Command::Expn | Command::Starttls) => {
                self.fault(Fault::UnofferedVerb, turn);
            }
            _ => self.fault(Fault::BadSequence, turn),
        }
    }

    /// The line that is being read has passed another
    /// [`LINE_BYTES_MAX`](crate::limits::LINE_BYTES_MAX) bytes without its end. It is answered once
    /// and counted each time, so that an endless line ends the session like any other stream of
    /// faults.
    pub(super) fn too_long<W: World<Draft = D>>(&mut self, turn: &mut Turn<'_, W>) {
        if self.skips_line {
            self.count_fault(turn);
        } else {
            self.skips_line = true;
            self.fault(Fault::LineTooLong, turn);
        }
    }

    fn count_fault<W: World<Draft = D>>(&mut self, turn: &mut Turn<'_, W>) {
        self.faults = self.faults.saturating_add(1);
        if self.faults >= turn.settings.faults_max() {
            sure(Goodbye::TooManyFaults.write(turn.settings.hostname(), turn.output));
            self.closed(turn.world);
        }
    }
}
