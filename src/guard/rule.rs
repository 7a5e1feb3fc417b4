//! The rules: what they are called, what may be set about each, and what it is unless it is set.
//! Not here: how they are judged.

use std::fmt;
use std::str::FromStr;

use crate::limits::{
    GUARD_BAN_MS_MAX, GUARD_COUNT_MAX, GUARD_REPEAT_COUNT_MAX, GUARD_WINDOW_MS_MAX,
    GUARD_WINDOW_MS_MIN,
};

/// What the guard looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// How many connections a source has open to bring mail, and how many to read it.
    ConnectionsAtOnce,
    /// How many connections a source makes in a window.
    Connections,
    /// How many messages a source sends in a window.
    Messages,
    /// What a source's offences weigh in a window.
    Offences,
    /// Messages with a null reverse-path.
    Bounces,
    /// Words in the subject.
    Words,
    /// The same subject again and again, from wherever.
    Subjects,
    /// Much the same text again and again, from wherever.
    Bodies,
}

/// What is done about what a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Taken, but replies are held back as long as the server has nothing better to do.
    Tarpit,
    /// Acknowledged and thrown away.
    Discard,
    /// Refused, and said so.
    Reject,
}

/// What is set about a rule. Fields that mean nothing to a rule are 0 (see [`Rule::counts`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What is done about it.
    pub action: Action,
    /// How often it may happen: once more is too much.
    pub count_max: u32,
    /// Within how long, in milliseconds.
    pub window_ms: u64,
    /// For how long the source, subject or text is banned then, in milliseconds. 0: only what is
    /// too much is stopped.
    pub ban_ms: u64,
}

/// What is set about all rules: each is on with its setting, or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    settings: [Option<Setting>; Rule::ALL.len()],
}

/// Why something can't be set: the least and the most that can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// The count.
    Count(u32, u32),
    /// The window, in milliseconds.
    Window(u64, u64),
    /// The ban, in milliseconds.
    Ban(u64, u64),
}

/// A name that no rule or action has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName;

/// What numbers a rule goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// None: once is too much, and nobody is banned for it.
    Nothing,
    /// [`Setting::count_max`], without window or ban.
    AtOnce,
    /// All of them; the ban may be 0.
    Rate,
    /// All of them.
    Ban,
}

impl Rule {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::ConnectionsAtOnce,
        Self::Connections,
        Self::Messages,
        Self::Offences,
        Self::Bounces,
        Self::Words,
        Self::Subjects,
        Self::Bodies,
    ];

    /// Its name: for settings, metrics and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionsAtOnce => "connections-at-once",
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Offences => "offences",
            Self::Bounces => "bounces",
            Self::Words => "words",
            Self::Subjects => "subjects",
            Self::Bodies => "bodies",
        }
    }

    /// What it found, for whoever asks why. Plain ASCII and short, so that a reply has room for it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::ConnectionsAtOnce => "too many connections at once from your network",
            Self::Connections => "too many connections from your network",
            Self::Messages => "too many messages from your network",
            Self::Offences => "too many errors from your network",
            Self::Bounces => "bounces are not wanted here",
            Self::Words => "a word of the subject is not wanted here",
            Self::Subjects => "too many messages with this subject",
            Self::Bodies => "too many messages with much the same text",
        }
    }

    /// Which fields of its [`Setting`] mean something.
    #[must_use]
    pub fn counts(self) -> Counts {
        match self {
            Self::ConnectionsAtOnce => Counts::AtOnce,
            Self::Connections | Self::Messages => Counts::Rate,
            Self::Offences | Self::Subjects | Self::Bodies => Counts::Ban,
            Self::Bounces | Self::Words => Counts::Nothing,
        }
    }

    fn count_max(self) -> u32 {
        match self {
            Self::Subjects | Self::Bodies => GUARD_REPEAT_COUNT_MAX,
            _ => GUARD_COUNT_MAX,
        }
    }
}

impl Action {
    const ALL: [Self; 3] = [Self::Tarpit, Self::Discard, Self::Reject];

    /// Its name, for settings and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tarpit => "tarpit",
            Self::Discard => "discard",
            Self::Reject => "reject",
        }
    }
}

impl FromStr for Rule {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|rule| rule.name() == name).ok_or(UnknownName)
    }
}

impl FromStr for Action {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|action| action.name() == name).ok_or(UnknownName)
    }
}

impl Setting {
    fn check(self, rule: Rule) -> Result<(), SettingError> {
        let (count_max, ban_ms_min) = match rule.counts() {
            Counts::Nothing => return Ok(()),
            Counts::AtOnce | Counts::Rate => (rule.count_max(), 0),
            Counts::Ban => (rule.count_max(), GUARD_WINDOW_MS_MIN),
        };
        if !(1..=count_max).contains(&self.count_max) {
            return Err(SettingError::Count(1, count_max));
        }
        if rule.counts() == Counts::AtOnce {
            return Ok(());
        }
        if !(GUARD_WINDOW_MS_MIN..=GUARD_WINDOW_MS_MAX).contains(&self.window_ms) {
            return Err(SettingError::Window(GUARD_WINDOW_MS_MIN, GUARD_WINDOW_MS_MAX));
        }
        if !(ban_ms_min..=GUARD_BAN_MS_MAX).contains(&self.ban_ms) {
            return Err(SettingError::Ban(ban_ms_min, GUARD_BAN_MS_MAX));
        }
        Ok(())
    }
}

impl Rules {
    /// No rule at all.
    #[must_use]
    pub const fn off() -> Self {
        Self { settings: [None; Rule::ALL.len()] }
    }

    /// What is set about a rule; `None` if it is off.
    #[must_use]
    pub fn of(&self, rule: Rule) -> Option<Setting> {
        self.settings[rule as usize]
    }

    /// Sets a rule, or switches it off.
    ///
    /// # Errors
    /// [`SettingError`]: what of it is out of its bounds. The rule stays as it was.
    pub fn set(&mut self, rule: Rule, setting: Option<Setting>) -> Result<(), SettingError> {
        if let Some(setting) = setting {
            setting.check(rule)?;
        }
        self.settings[rule as usize] = setting;
        Ok(())
    }
}

impl Default for Rules {
    /// What Mailinator was said to do, where that is known: a source that sends more than 20
    /// messages in two minutes is banned, a subject that comes more than 20 times in two minutes is
    /// banned for an hour, bounces are dropped.
    fn default() -> Self {
        const SECOND: u64 = 1000;
        const MINUTE: u64 = 60 * SECOND;
        let setting = |rule| {
            let (action, count_max, window_ms, ban_ms) = match rule {
                Rule::ConnectionsAtOnce => (Action::Reject, 50, 0, 0),
                Rule::Connections => (Action::Reject, 100, MINUTE, 0),
                Rule::Messages => (Action::Reject, 20, 2 * MINUTE, 10 * MINUTE),
                Rule::Offences => (Action::Reject, 40, 10 * MINUTE, 10 * MINUTE),
                Rule::Bounces => (Action::Discard, 0, 0, 0),
                Rule::Words => (Action::Reject, 0, 0, 0),
                Rule::Subjects => (Action::Reject, 20, 2 * MINUTE, 60 * MINUTE),
                // Different mail made from one template is much the same at its beginning, so this
                // takes more, and lasts less long.
                Rule::Bodies => (Action::Reject, 100, 2 * MINUTE, 10 * MINUTE),
            };
            Some(Setting { action, count_max, window_ms, ban_ms })
        };
        Self { settings: Rule::ALL.map(setting) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(least, most) => write!(formatter, "the count is {least} to {most}"),
            Self::Window(least, most) => write!(formatter, "the window is {least} to {most} ms"),
            Self::Ban(least, most) => write!(formatter, "the ban is {least} to {most} ms"),
        }
    }
}

impl std::error::Error for SettingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_by_default_could_have_been_set() {
        let mut rules = Rules::off();
        for rule in Rule::ALL {
            assert_eq!(rules.of(rule), None);
            rules.set(rule, Rules::default().of(rule)).unwrap();
        }
        assert_eq!(rules, Rules::default());
    }

    #[test]
    fn a_rule_is_found_by_its_name_and_its_number() {
        for (index, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, index);
            assert_eq!(rule.name().parse(), Ok(rule));
            assert_eq!(rule.to_string(), rule.name());
            let same = Rule::ALL.into_iter().filter(|other| other.reason() == rule.reason());
            assert_eq!(same.count(), 1, "each has a reason of its own");
            assert!(rule.reason().is_ascii() && rule.reason().len() < 64);
        }
        assert_eq!("Messages".parse::<Rule>(), Err(UnknownName));
        for action in Action::ALL {
            assert_eq!(action.name().parse(), Ok(action));
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_not_set() {
        let good = Rules::default().of(Rule::Subjects).unwrap();
        let count = SettingError::Count(1, GUARD_REPEAT_COUNT_MAX);
        let window = SettingError::Window(GUARD_WINDOW_MS_MIN, GUARD_WINDOW_MS_MAX);
        let ban = SettingError::Ban(GUARD_WINDOW_MS_MIN, GUARD_BAN_MS_MAX);
        let mut rules = Rules::default();
        for (setting, error) in [
            (Setting { count_max: 0, ..good }, count),
            (Setting { count_max: GUARD_REPEAT_COUNT_MAX + 1, ..good }, count),
            (Setting { window_ms: GUARD_WINDOW_MS_MIN - 1, ..good }, window),
            (Setting { window_ms: GUARD_WINDOW_MS_MAX + 1, ..good }, window),
            (Setting { ban_ms: 0, ..good }, ban),
            (Setting { ban_ms: GUARD_BAN_MS_MAX + 1, ..good }, ban),
        ] {
            assert_eq!(rules.set(Rule::Subjects, Some(setting)), Err(error));
            assert_eq!(rules, Rules::default());
        }
        let free = Setting { ban_ms: 0, count_max: GUARD_COUNT_MAX, ..good };
        assert_eq!(rules.set(Rule::Messages, Some(free)), Ok(()));
        let none = Setting { window_ms: 0, ban_ms: 0, ..good };
        assert_eq!(rules.set(Rule::ConnectionsAtOnce, Some(none)), Ok(()));
        assert_eq!(rules.set(Rule::Words, Some(Setting { count_max: 0, ..none })), Ok(()));
    }
}
