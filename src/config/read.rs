//! Numbers, sizes and durations as people write them. Each reader's error ends the sentence
//! "`<where>` is `<text>`: …".

use std::ops::RangeInclusive;
use std::time::Duration;

const SIZES: [(&str, u64); 19] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("ti", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
    ("bytes", 1),
];

const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a whole number; `_` may group its digits.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn number(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let digits = text.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not a whole number".to_owned());
    }
    let number = digits.parse().unwrap_or(u64::MAX);
    within(number, range)
}

/// Reads a number of bytes: `512`, `64k`, `1MiB`, `1.5G`. k, M, G and T are powers of 1024, as are
/// KiB and the like; kB, MB, GB and TB are powers of 1000. Case does not matter.
///
/// # Errors
/// What is wrong with the text.
pub fn size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZES).ok_or_else(|| "not a size".to_owned())
}

/// Reads a time span: `500ms`, `30s`, `1.5m`, `2h`, `7d`. The unit must be given, except with 0.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    match scaled(text, &DURATIONS) {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None if text.parse::<f64>().is_ok() => Err("a unit is missing (ms, s, m, h, d)".to_owned()),
        None => Err("not a time span".to_owned()),
    }
}

pub(super) fn size_in(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    within(size(text)?, range)
}

pub(super) fn duration_in(text: &str, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    let millis = u64::try_from(duration(text)?.as_millis()).unwrap_or(u64::MAX);
    within(millis, range).map(Duration::from_millis)
}

fn within(number: u64, range: &RangeInclusive<u64>) -> Result<u64, String> {
    if number < *range.start() {
        Err("too small".to_owned())
    } else if number > *range.end() {
        Err("too large".to_owned())
    } else {
        Ok(number)
    }
}

/// A decimal number and a unit, multiplied; exact, without floating point. Nothing if it is none,
/// or beyond 64 bits.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let unit = unit.trim().to_ascii_lowercase();
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let number = number.replace('_', "");
    let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() || part.len() > 9 || (number.contains('.') && part.is_empty()) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let part = match part {
        "" => 0,
        digits => {
            let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
            u64::try_from(digits.parse::<u128>().ok()? * u128::from(factor) / scale).ok()?
        }
    };
    whole.checked_add(part)
}

/// A number of bytes in the largest unit that divides it: `1MiB`, `1500B`.
pub fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fit = units
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    match fit {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// A time span in the largest unit that divides it: `30s`, `1500ms`.
pub fn show_duration(span: Duration) -> String {
    let millis = span.as_millis();
    let fit = DURATIONS
        .iter()
        .rev()
        .find(|(_, unit)| millis > 0 && millis.is_multiple_of(u128::from(*unit)));
    match fit {
        Some((name, unit)) => format!("{}{name}", millis / u128::from(*unit)),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let right = [
            ("0", 0),
            ("512", 512),
            ("64k", 65_536),
            ("64K", 65_536),
            ("1MiB", 1_048_576),
            ("1 MiB", 1_048_576),
            ("1MB", 1_000_000),
            ("1.5k", 1_536),
            ("0.5m", 524_288),
            ("1_000", 1_000),
            ("2g", 2 << 30),
            ("1t", 1 << 40),
        ];
        for (text, bytes) in right {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "1x",
            "1.k",
            ".5k",
            "1..2",
            "999999999t",
            "0x10",
            "1,5k",
            "NaN",
            "1e3",
        ] {
            assert_eq!(size(text), Err("not a size".to_owned()), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let right = [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ];
        for (text, millis) in right {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let missing = duration("30").unwrap_err();
        assert!(missing.contains("unit"), "{missing}");
        for text in ["", "s", "-1s", "1y", "soon", "99999999999999999999d"] {
            assert_eq!(duration(text), Err("not a time span".to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_stay_in_their_range() {
        assert_eq!(number("10_000", &(1..=10_000)), Ok(10_000));
        let cases = [
            ("0", "too small"),
            ("10001", "too large"),
            ("99999999999999999999999", "too large"),
            ("", "not a whole number"),
            ("1.5", "not a whole number"),
            ("-1", "not a whole number"),
            ("_", "not a whole number"),
        ];
        for (text, why) in cases {
            assert_eq!(number(text, &(1..=10_000)), Err(why.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in 0_u64..1 << 50, millis in 0_u64..1 << 45) {
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
            let span = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(span)), Ok(span));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = (size(&text), duration(&text), number(&text, &(0..=9)));
        }
    }
}
