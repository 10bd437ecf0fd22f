//! Dates in the names of files.

use time::OffsetDateTime;

use crate::model::WallTime;

/// A time in UTC as it stands in the name of a file: `20261121T024555Z`. A time beyond the year
/// 9999 as its bare number of milliseconds.
pub fn compact_date(at: WallTime) -> String {
    let nanos = i128::from(at.millis()) * 1_000_000;
    match OffsetDateTime::from_unix_timestamp_nanos(nanos) {
        Ok(at) => format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => at.millis().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_sorts_as_a_name() {
        let date = |millis| compact_date(WallTime::from_millis(millis));
        assert_eq!(date(1_795_229_155_999), "20261121T024555Z");
        assert_eq!(date(0), "19700101T000000Z");
        assert_eq!(date(u64::MAX), u64::MAX.to_string());
    }
}
