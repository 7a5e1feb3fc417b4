//! The guard's rules, as people write them. Not here: what a rule means (`guard`).
//!
//! A rule is written in words, of which what is left out stays as it is by default:
//!
//! ```text
//! off                           it does not apply
//! reject | discard | tarpit     what is done about it
//! 20/2m                         how often it may happen within how long; 50, for what is at once
//! ban 10m | ban none            for how long the source, subject or text is banned then
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TimeToLive;
use crate::guard::{Action, Counts, Rule, Rules, Setting};

/// What was written about a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum RuleKey {
    /// It does not apply.
    Off,
    /// It applies, with what of this was written.
    On {
        /// What is done about it.
        action: Option<Action>,
        /// How often it may happen.
        count: Option<u32>,
        /// Within how long, in milliseconds.
        window_ms: Option<u64>,
        /// How long a ban lasts, in milliseconds; 0 for none.
        ban_ms: Option<u64>,
    },
}

/// Why a text says nothing about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKeyError {
    /// A word that is none of a rule's.
    Word(String),
    /// The same thing is said twice.
    Twice(String),
    /// Nothing is said.
    Empty,
    /// `ban` without how long.
    Ban,
    /// What should be a time is none; why.
    Time(String),
}

impl RuleKey {
    /// The setting that is written in full.
    #[must_use]
    pub fn of(rule: Rule, setting: Option<Setting>) -> Self {
        let Some(Setting { action, count_max, window_ms, ban_ms }) = setting else {
            return Self::Off;
        };
        let counts = rule.counts();
        Self::On {
            action: Some(action),
            count: (counts != Counts::Nothing).then_some(count_max),
            window_ms: matches!(counts, Counts::Rate | Counts::Ban).then_some(window_ms),
            ban_ms: matches!(counts, Counts::Rate | Counts::Ban).then_some(ban_ms),
        }
    }

    /// Sets a rule to what was written, over what is set.
    ///
    /// # Errors
    /// The rule has no such number, or none so large or small; why, in words.
    pub(super) fn apply(self, rule: Rule, rules: &mut Rules) -> Result<(), String> {
        let Self::On { action, count, window_ms, ban_ms } = self else {
            return rules.set(rule, None).map_err(|error| error.to_string());
        };
        let counts = rule.counts();
        let timed = matches!(counts, Counts::Rate | Counts::Ban);
        if count.is_some() && counts == Counts::Nothing {
            return Err("it counts nothing, so there is no number to set".to_owned());
        }
        if !timed && (window_ms.is_some() || ban_ms.is_some()) {
            return Err("it has no window and bans nobody, so there is no time to set".to_owned());
        }
        if timed && count.is_some() != window_ms.is_some() {
            return Err("how often and within how long are set together, as in 20/2m".to_owned());
        }
        let Some(standing) = rules.of(rule).or_else(|| Rules::default().of(rule)) else {
            return Err("it cannot be set".to_owned());
        };
        let setting = Setting {
            action: action.unwrap_or(standing.action),
            count_max: count.unwrap_or(standing.count_max),
            window_ms: window_ms.unwrap_or(standing.window_ms),
            ban_ms: ban_ms.unwrap_or(standing.ban_ms),
        };
        rules.set(rule, Some(setting)).map_err(|error| error.to_string())
    }
}

impl FromStr for RuleKey {
    type Err = RuleKeyError;

    fn from_str(text: &str) -> Result<Self, RuleKeyError> {
        if text.trim() == "off" {
            return Ok(Self::Off);
        }
        let (mut action, mut count, mut window_ms, mut ban_ms) = (None, None, None, None);
        let mut words = text.split_ascii_whitespace();
        let mut any = false;
        while let Some(word) = words.next() {
            any = true;
            let twice = if let Ok(named) = word.parse::<Action>() {
                action.replace(named).is_some()
            } else if word == "ban" {
                let time = words.next().ok_or(RuleKeyError::Ban)?;
                ban_ms.replace(if time == "none" { 0 } else { ms(time)? }).is_some()
            } else {
                let (number, window) = match word.split_once('/') {
                    Some((number, window)) => (number, Some(ms(window)?)),
                    None => (word, None),
                };
                let digits = number.bytes().all(|byte| byte.is_ascii_digit());
                let number = number.parse().ok().filter(|_| digits);
                window_ms = window_ms.or(window);
                count.replace(number.ok_or_else(|| RuleKeyError::Word(word.to_owned()))?).is_some()
            };
            if twice {
                return Err(RuleKeyError::Twice(word.to_owned()));
            }
        }
        if !any {
            return Err(RuleKeyError::Empty);
        }
        Ok(Self::On { action, count, window_ms, ban_ms })
    }
}

fn ms(text: &str) -> Result<u64, RuleKeyError> {
    let time: TimeToLive = text.parse().map_err(|_| RuleKeyError::Time(text.to_owned()))?;
    time.ms().ok_or_else(|| RuleKeyError::Time(text.to_owned()))
}

impl fmt::Display for RuleKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::On { action, count, window_ms, ban_ms } = *self else {
            return formatter.write_str("off");
        };
        let time = |ms| match ms {
            0 => "none".to_owned(),
            ms => TimeToLive::Milliseconds(ms).to_string(),
        };
        let rate = count.map(|count| match window_ms {
            Some(window_ms) => format!("{count}/{}", time(window_ms)),
            None => count.to_string(),
        });
        let ban = ban_ms.map(|ban_ms| format!("ban {}", time(ban_ms)));
        let action = action.map(|action| action.name().to_owned());
        let words: Vec<_> = [rate, ban, action].into_iter().flatten().collect();
        formatter.write_str(&words.join(" "))
    }
}

impl fmt::Display for RuleKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(formatter, "`{word}` says nothing about a rule")?,
            Self::Twice(word) => write!(formatter, "`{word}` says again what was said")?,
            Self::Empty => formatter.write_str("nothing is said")?,
            Self::Ban => formatter.write_str("a ban lasts for a time, or none")?,
            Self::Time(time) => write!(formatter, "`{time}` is no time such as 90s, 10m or 24h")?,
        }
        formatter.write_str("; write off, or such as `20/2m ban 10m reject`")
    }
}

impl std::error::Error for RuleKeyError {}

impl From<RuleKey> for String {
    fn from(key: RuleKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for RuleKey {
    type Error = RuleKeyError;

    fn try_from(text: String) -> Result<Self, RuleKeyError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{GUARD_BAN_MS_MAX, GUARD_WINDOW_MS_MAX};

    #[test]
    fn every_default_is_written_and_read_back() {
        for rule in Rule::ALL {
            let key = RuleKey::of(rule, Rules::default().of(rule));
            assert_eq!(key.to_string().parse(), Ok(key), "{key}");
            let mut rules = Rules::off();
            assert_eq!(key.apply(rule, &mut rules), Ok(()), "{key}");
            assert_eq!(rules.of(rule), Rules::default().of(rule), "{key}");
            assert_eq!(RuleKey::Off.apply(rule, &mut rules), Ok(()));
            assert_eq!(rules, Rules::off());
        }
        let text = |rule: Rule| RuleKey::of(rule, Rules::default().of(rule)).to_string();
        assert_eq!(text(Rule::Messages), "20/2m ban 10m reject");
        assert_eq!(text(Rule::Connections), "100/1m ban none reject");
        assert_eq!(text(Rule::ConnectionsAtOnce), "50 reject");
        assert_eq!(text(Rule::Bounces), "discard");
    }

    #[test]
    fn what_is_left_out_stays_as_it_is() {
        let mut rules = Rules::default();
        "tarpit".parse::<RuleKey>().unwrap().apply(Rule::Messages, &mut rules).unwrap();
        "ban 1h".parse::<RuleKey>().unwrap().apply(Rule::Messages, &mut rules).unwrap();
        let default = Rules::default().of(Rule::Messages).unwrap();
        let set = Setting { action: Action::Tarpit, ban_ms: 3_600_000, ..default };
        assert_eq!(rules.of(Rule::Messages), Some(set));
    }

    #[test]
    fn a_number_that_means_nothing_to_a_rule_is_an_error() {
        for (rule, text) in [
            (Rule::Bounces, "3 reject"),
            (Rule::Words, "ban 1h"),
            (Rule::ConnectionsAtOnce, "50/1m"),
            (Rule::ConnectionsAtOnce, "50 ban 1h"),
            (Rule::Messages, "20"),
            (Rule::Messages, "0/1m"),
            (Rule::Messages, "20/1ms"),
            (Rule::Subjects, "ban none"),
            (Rule::Subjects, "20/2m ban 25h"),
        ] {
            let mut rules = Rules::default();
            let applied = text.parse::<RuleKey>().unwrap().apply(rule, &mut rules);
            assert!(applied.is_err(), "{rule} {text}");
            assert_eq!(rules, Rules::default());
        }
        for text in
            ["", "on", "20/", "/2m", "20/2", "+2/2m", "ban", "ban x", "5 6", "reject reject"]
        {
            assert!(text.parse::<RuleKey>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_rule_is_read_as_it_is_shown(
            action in prop::option::of(prop::sample::select(vec![
                Action::Tarpit, Action::Discard, Action::Reject,
            ])),
            rate in (any::<u32>(), prop::option::of(1..=GUARD_WINDOW_MS_MAX)),
            ban_ms in prop::option::of(0..=GUARD_BAN_MS_MAX),
        ) {
            let (count, window_ms) = (Some(rate.0), rate.1);
            let key = RuleKey::On { action, count, window_ms, ban_ms };
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }

        #[test]
        fn no_text_upsets_the_reading(text in "\\PC*") {
            let _ = text.parse::<RuleKey>();
        }
    }
}
