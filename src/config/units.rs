//! Sizes and times to live, as people write them.
//!
//! Sizes are read by hand: the crates that do it take `64K` for 64,000 or 65,536 as they please,
//! and count fractions in floating point. Here a size means one number of bytes or none.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::TTL_MS_MAX;

/// A number of bytes. Written `65536`, `64KiB`, `4MiB`, `1GiB` or `1TiB`; shown in the largest of
/// these that is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "SizeAsTyped", into = "String")]
pub struct Size(pub usize);

/// The units of sizes, largest first, as powers of two.
const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// It does not begin with a whole number.
    Number,
    /// It has a fraction.
    Fraction,
    /// Its unit means 1000 to some and 1024 to others.
    Ambiguous,
    /// Its unit is none.
    Unit,
    /// It is more than a machine can address.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Number => "a size is a whole number of bytes, or of KiB, MiB, GiB or TiB: 64KiB",
            Self::Fraction => "a size has no fraction; take the next smaller unit: 1536KiB",
            Self::Ambiguous => {
                "K, M, G, T, KB, MB, GB and TB mean 1000s to some and 1024s to others; \
                 write KiB, MiB, GiB or TiB"
            }
            Self::Unit => "the units of sizes are B, KiB, MiB, GiB and TiB",
            Self::TooLarge => "that is more than can be addressed",
        })
    }
}

impl std::error::Error for SizeError {}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        if number.is_empty() {
            return Err(SizeError::Number);
        }
        if unit.starts_with(['.', ',', '_']) {
            return Err(SizeError::Fraction);
        }
        let unit = unit.trim_start();
        let shift = if unit.is_empty() { Some(0) } else { shift_of(unit) };
        let Some(shift) = shift else {
            let ambiguous = ["K", "M", "G", "T", "KB", "MB", "GB", "TB"];
            let known = ambiguous.iter().any(|known| known.eq_ignore_ascii_case(unit));
            return Err(if known { SizeError::Ambiguous } else { SizeError::Unit });
        };
        let number: usize = number.parse().map_err(|_| SizeError::TooLarge)?;
        number.checked_mul(1 << shift).map(Self).ok_or(SizeError::TooLarge)
    }
}

fn shift_of(unit: &str) -> Option<u32> {
    UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, shift)| *shift)
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |shift: u32| self.0 != 0 && self.0.is_multiple_of(1 << shift);
        match UNITS.iter().find(|(_, shift)| exact(*shift)) {
            Some((unit, shift)) => write!(formatter, "{}{unit}", self.0 >> shift),
            None => write!(formatter, "0B"),
        }
    }
}

/// A number of bytes as it is said, not as it is meant: with a tenth of its largest unit.
pub(crate) fn rounded(bytes: usize) -> impl fmt::Display {
    fmt::from_fn(move |formatter| {
        let (unit, shift) =
            UNITS.iter().find(|(_, shift)| bytes >> shift != 0).unwrap_or(&("B", 0));
        if *shift == 0 {
            return write!(formatter, "{bytes} {unit}");
        }
        let whole = bytes >> shift;
        let tenths = ((bytes >> (shift - 10)) & 1023) * 10 / 1024;
        write!(formatter, "{whole}.{tenths} {unit}")
    })
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

/// A size in a file: a number of bytes, or a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a size is a number of bytes or a string such as \"64KiB\"")]
enum SizeAsTyped {
    Bytes(usize),
    Text(String),
}

impl TryFrom<SizeAsTyped> for Size {
    type Error = SizeError;

    fn try_from(typed: SizeAsTyped) -> Result<Self, SizeError> {
        match typed {
            SizeAsTyped::Bytes(bytes) => Ok(Self(bytes)),
            SizeAsTyped::Text(text) => text.parse(),
        }
    }
}

/// How long a message is kept. Written `90s`, `10m`, `24h`, `7days`, or `none` for as long as
/// there is room.
///
/// `0` is refused: to some it means to keep nothing, to others to keep everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeToLive {
    /// Until it has to make room.
    Unlimited,
    /// At most so long, in milliseconds; at least 1, at most [`TTL_MS_MAX`].
    Milliseconds(u64),
}

impl TimeToLive {
    /// The time in milliseconds; `None` if it is unlimited.
    #[must_use]
    pub fn ms(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Milliseconds(ms) => Some(ms),
        }
    }
}

/// Why a text is no time to live.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeToLiveError {
    /// It is no time at all.
    Zero,
    /// It has parts of milliseconds.
    Milliseconds,
    /// It is longer than a century.
    TooLong,
    /// `M` is a month to the library and a minute to the hurried.
    Month,
    /// It is no duration; why is in the library's words.
    Duration(humantime::DurationError),
}

impl fmt::Display for TimeToLiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => {
                formatter.write_str("write none to keep mail for as long as there is room")
            }
            Self::Milliseconds => formatter.write_str("the unit of time is the millisecond"),
            Self::TooLong => formatter.write_str("a century is the most; or write none"),
            Self::Month => {
                formatter.write_str("write 10m for ten minutes, 10months for ten months")
            }
            Self::Duration(error) => write!(formatter, "{error}; write 90s, 10m, 24h or none"),
        }
    }
}

impl std::error::Error for TimeToLiveError {}

impl FromStr for TimeToLive {
    type Err = TimeToLiveError;

    fn from_str(text: &str) -> Result<Self, TimeToLiveError> {
        if text == "none" {
            return Ok(Self::Unlimited);
        }
        if text.contains('M') {
            return Err(TimeToLiveError::Month);
        }
        let duration = humantime::parse_duration(text).map_err(TimeToLiveError::Duration)?;
        let ms = u64::try_from(duration.as_millis())
            .ok()
            .filter(|ms| *ms <= TTL_MS_MAX)
            .ok_or(TimeToLiveError::TooLong)?;
        if Duration::from_millis(ms) != duration {
            return Err(TimeToLiveError::Milliseconds);
        }
        if ms == 0 {
            return Err(TimeToLiveError::Zero);
        }
        Ok(Self::Milliseconds(ms))
    }
}

impl fmt::Display for TimeToLive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Milliseconds(ms) = *self else { return formatter.write_str("none") };
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match units.iter().find(|(_, unit_ms)| ms.is_multiple_of(*unit_ms)) {
            Some((unit, unit_ms)) => write!(formatter, "{}{unit}", ms / unit_ms),
            None => write!(formatter, "{ms}ms"),
        }
    }
}

impl From<TimeToLive> for String {
    fn from(ttl: TimeToLive) -> Self {
        ttl.to_string()
    }
}

impl TryFrom<String> for TimeToLive {
    type Error = TimeToLiveError;

    fn try_from(text: String) -> Result<Self, TimeToLiveError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_size_is_read_as_it_is_shown(bytes: usize, shift in 0_u32..64) {
            let size = Size((bytes >> shift) << (shift / 2));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn a_time_to_live_is_read_as_it_is_shown(ms in 1..=TTL_MS_MAX, unit in 0_usize..4) {
            let unit_ms = [1, 1000, 60_000, 3_600_000][unit];
            let ttl = TimeToLive::Milliseconds((ms / unit_ms).max(1) * unit_ms);
            prop_assert_eq!(ttl.to_string().parse(), Ok(ttl));
        }

        #[test]
        fn no_text_upsets_the_reading(text in "\\PC*") {
            let _ = text.parse::<Size>();
            let _ = text.parse::<TimeToLive>();
        }
    }

    #[test]
    fn a_size_means_one_number_of_bytes_or_none() {
        let cases = [
            ("0", Ok(0)),
            ("65536", Ok(65536)),
            ("64KiB", Ok(65536)),
            ("64 kib", Ok(65536)),
            ("1MiB", Ok(1 << 20)),
            ("3GiB", Ok(3 << 30)),
            ("1TiB", Ok(1 << 40)),
            ("7B", Ok(7)),
            ("", Err(SizeError::Number)),
            ("KiB", Err(SizeError::Number)),
            ("-1", Err(SizeError::Number)),
            ("+1", Err(SizeError::Number)),
            (".5MiB", Err(SizeError::Number)),
            ("1.5MiB", Err(SizeError::Fraction)),
            ("1,5MiB", Err(SizeError::Fraction)),
            ("1_000", Err(SizeError::Fraction)),
            ("64K", Err(SizeError::Ambiguous)),
            ("64m", Err(SizeError::Ambiguous)),
            ("64MB", Err(SizeError::Ambiguous)),
            ("64Kib/s", Err(SizeError::Unit)),
            ("64 apples", Err(SizeError::Unit)),
            ("1e6", Err(SizeError::Unit)),
            ("18446744073709551616", Err(SizeError::TooLarge)),
            ("16777216TiB", Err(SizeError::TooLarge)),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), bytes.map(Size), "{text}");
        }
    }

    #[test]
    fn a_time_to_live_means_one_time_or_none() {
        let ms = |ms| Ok(TimeToLive::Milliseconds(ms));
        let cases = [
            ("90s", ms(90_000)),
            ("10m", ms(600_000)),
            ("24h", ms(86_400_000)),
            ("1h 30m", ms(5_400_000)),
            ("7days", ms(604_800_000)),
            ("250ms", ms(250)),
            ("none", Ok(TimeToLive::Unlimited)),
            ("0", Err(TimeToLiveError::Zero)),
            ("0s", Err(TimeToLiveError::Zero)),
            ("10M", Err(TimeToLiveError::Month)),
            ("1us", Err(TimeToLiveError::Milliseconds)),
            ("101years", Err(TimeToLiveError::TooLong)),
        ];
        for (text, ttl) in cases {
            assert_eq!(text.parse(), ttl, "{text}");
        }
        for text in ["", "24", "h", "-1s", "soon", "24 hoars"] {
            let error = text.parse::<TimeToLive>();
            assert!(matches!(error, Err(TimeToLiveError::Duration(_))), "{text}: {error:?}");
        }
    }
}
