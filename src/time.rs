//! Durations as authors write them (`300`, `"30s"`, `"5m"`) and timestamps as data.
//!
//! There is no clock here: the engine reads it and hands the value in.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with milliseconds (A2A 1.0 §5.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since the epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this moment; 0 when the clock went backwards.
    pub fn since_ms(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// This moment, `duration` later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Reads `2026-11-23T05:00:00.123Z`, with or without a fraction, with `Z` or a numeric offset.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
        let bytes = text.as_bytes();
        if bytes.len() < 20 || !text.is_ascii() || bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' || bytes[16] != b':' {
            return None;
        }
        if !matches!(bytes[10], b'T' | b't' | b' ') {
            return None;
        }
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
        if !in_range || text[..19].contains('+') {
            return None;
        }
        let mut rest = &text[19..];
        let mut millis = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            millis = format!("{:0<3}", &fraction[..digits.min(3)]).parse::<i64>().ok()?;
            rest = &fraction[digits..];
        }
        let offset_minutes = match rest {
            "Z" | "z" => 0,
            _ => {
                let sign = match rest.as_bytes().first()? {
                    b'+' => 1,
                    b'-' => -1,
                    _ => return None,
                };
                let (hours, minutes) = rest[1..].split_once(':')?;
                sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
            }
        };
        let days = days_from_civil(year, month, day);
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_minutes * 60;
        Some(Self(seconds * 1000 + millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 timestamp")))
    }
}

// Howard Hinnant's algorithms for the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Reads a duration: a number of seconds (`300`, `0.5`) or a text of numbers with units (`250ms`, `30s`, `5m`, `1h30m`, `2d`).
///
/// The error is a rule for people, without the offending text.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const RULE: &str = "a duration is seconds (300) or numbers with units (250ms, 30s, 5m, 1h30m, 2d)";
    let text = text.trim();
    if text.is_empty() || text.len() > 64 {
        return Err(RULE);
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let number: f64 = rest[..digits].parse().map_err(|_| RULE)?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        seconds += number
            * match &rest[..letters] {
                "" if digits == text.len() => 1.0,
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return Err(RULE),
            };
        rest = rest[letters..].trim_start();
    }
    from_seconds(seconds)
}

/// A duration from a number of seconds, checked against [`limits::DURATION_MAX`].
pub fn from_seconds(seconds: f64) -> Result<Duration, &'static str> {
    if !seconds.is_finite() || seconds < 0.0 {
        return Err("a duration cannot be negative");
    }
    if seconds > limits::DURATION_MAX.as_secs_f64() {
        return Err("a duration cannot be longer than 366 days");
    }
    // Rounded to milliseconds: nothing here is finer, and 0.1 + 0.2 should read as 300ms.
    Ok(Duration::from_millis((seconds * 1000.0).round() as u64))
}

/// Writes a duration for people: `340ms`, `1.2s`, `2m05s`, `1h02m`.
pub fn humanize(duration: Duration) -> String {
    // Rounded, since what is left of a deadline of 2s is a little less than that.
    let ms = (duration.as_micros() + 500) / 1000;
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..59_950 => format!("{:.1}s", ((ms + 50) / 100) as f64 / 10.0),
        59_950..60_000 => "1m00s".to_owned(),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_authors_write_them() {
        for (text, ms) in [
            ("300", 300_000),
            ("0.5", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("2d", 172_800_000),
            ("1h 5m", 3_900_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "abc", "5x", "-1", "5m3", "1e9h", "400d", "s", "..s", "NaN", "inf"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_duration_is_a_leap_year() {
        assert_eq!(parse_duration("366d"), Ok(limits::DURATION_MAX));
        assert_eq!(parse_duration("31622400"), Ok(limits::DURATION_MAX));
        for text in ["366d 1ms", "31622400.001", "8784h1s", "366d1s"] {
            assert_eq!(parse_duration(text), Err("a duration cannot be longer than 366 days"), "{text}");
        }
    }

    #[test]
    fn timestamps_round_trip() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2026-11-23T05:07:09.123Z", 1_795_410_429_123),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
        ] {
            let moment = Timestamp::parse(text).expect(text);
            assert_eq!(moment.unix_ms(), ms, "{text}");
            assert_eq!(moment.to_string(), text);
        }
        assert_eq!(Timestamp::parse("2026-11-23T06:07:09+01:00"), Timestamp::parse("2026-11-23T05:07:09Z"));
        for text in ["", "2026-11-23", "2026-13-23T05:07:09Z", "2026-11-23T05:07:09", "2026-11-23T05:07:09.Z", "yesterday at about five"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_for_people() {
        for (us, text) in [
            (340_000, "340ms"),
            (999_400, "999ms"),
            (999_600, "1.0s"),
            (1_230_000, "1.2s"),
            (1_250_000, "1.3s"),
            (1_999_981, "2.0s"),
            (59_940_000, "59.9s"),
            (59_990_000, "1m00s"),
            (125_000_000, "2m05s"),
            (3_725_000_000, "1h02m"),
        ] {
            assert_eq!(humanize(Duration::from_micros(us)), text);
        }
    }
}
