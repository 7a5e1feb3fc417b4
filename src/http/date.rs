//! A moment in the spellings that HTTP, JSON and mail want. The calendar is mail-parser's.

use mail_parser::DateTime;

/// The last second of the year 9999, past which no spelling here has room.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

/// `Mon, 23 Nov 2026 06:02:12 GMT` (RFC 9110 section 5.6.7).
pub(super) fn imf_fixdate(unix_ms: u64) -> String {
    spelled(unix_ms, "GMT")
}

/// `Mon, 23 Nov 2026 06:02:12 +0000` (RFC 5322 section 3.3).
pub(super) fn rfc5322(unix_ms: u64) -> String {
    spelled(unix_ms, "+0000")
}

/// `2026-11-23T06:02:12.345Z` (RFC 3339).
pub(super) fn rfc3339(unix_ms: u64) -> String {
    let date = date_time(unix_ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year,
        date.month,
        date.day,
        date.hour,
        date.minute,
        date.second,
        unix_ms % 1000
    )
}

/// `2026-11-23 06:02:12`, for people.
pub(super) fn plain(unix_ms: u64) -> String {
    let date = date_time(unix_ms);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

fn spelled(unix_ms: u64, zone: &str) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = date_time(unix_ms);
    let day = DAYS.get(usize::from(date.day_of_week())).copied().unwrap_or_default();
    let month = MONTHS.get(usize::from(date.month.saturating_sub(1))).copied().unwrap_or_default();
    format!(
        "{day}, {:02} {month} {:04} {:02}:{:02}:{:02} {zone}",
        date.day, date.year, date.hour, date.minute, date.second
    )
}

fn date_time(unix_ms: u64) -> DateTime {
    let seconds = (unix_ms / 1000).min(UNIX_SECONDS_MAX);
    DateTime::from_timestamp(i64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_one_moment() {
        // date -u -d @784111777: the example of RFC 9110 section 5.6.7.
        let unix_ms = 784_111_777_042;
        assert_eq!(imf_fixdate(unix_ms), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(rfc5322(unix_ms), "Sun, 06 Nov 1994 08:49:37 +0000");
        assert_eq!(rfc3339(unix_ms), "1994-11-06T08:49:37.042Z");
        assert_eq!(plain(unix_ms), "1994-11-06 08:49:37");
    }

    #[test]
    fn a_clock_gone_mad_still_has_a_date() {
        assert_eq!(imf_fixdate(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(imf_fixdate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
