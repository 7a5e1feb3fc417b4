//! How a sender stands with the guard, for who asks "why was I refused?": what is told, and its
//! JSON. Not here: who judges, or the page (`pages::refused`).

use serde::Serialize;

use super::response::{Response, Status};

/// How one source stands, and what is banned for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// Who it is about: an IPv4 address, or the /64 of an IPv6 one.
    pub source: String,
    /// No rule applies to it.
    pub trusted: bool,
    /// It is not counted for itself alone, for want of room.
    pub shared: bool,
    /// Why it is banned.
    pub ban: Option<Reason>,
    /// What was found last.
    pub last: Option<Reason>,
    /// When that was, in seconds before now.
    pub last_seconds_ago: Option<u64>,
    /// How near it is to what is allowed.
    pub used: Vec<Used>,
    /// The subjects that were banned in the last hours, newest first; `None` for who may not read.
    pub banned_subjects: Option<Vec<BannedSubject>>,
}

/// Which rule, and how far past it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reason {
    /// The rule's name.
    pub rule: &'static str,
    /// What it found, in words.
    pub reason: &'static str,
    /// What is done about it: reject, discard or tarpit.
    pub action: &'static str,
    /// What was counted.
    pub count: u32,
    /// What is allowed.
    pub limit: u32,
    /// Until it is over; none if it is only about one connection or message.
    pub seconds_left: Option<u64>,
}

/// How much of what a rule allows is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Used {
    /// The rule's name.
    pub rule: &'static str,
    /// What is counted now.
    pub count: u32,
    /// What is allowed.
    pub limit: u32,
}

/// A subject that was banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BannedSubject {
    /// Its beginning.
    pub subject: String,
    /// How often it came.
    pub messages: u32,
    /// When it was banned, in seconds before now.
    pub seconds_ago: u64,
    /// Until its ban ends; 0 if that is over.
    pub seconds_left: u64,
}

/// All of it as JSON.
pub(super) fn respond(standing: &Standing) -> Response {
    // Its keys are text, so that it always has a form.
    let text = serde_json::to_string(standing).unwrap_or_default();
    Response::json(Status::OK, text)
}
