//! Time as logs write it.

use core::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends `time` as `2026-11-22T21:55:29.123Z`.
pub(crate) fn write_rfc3339(out: &mut Vec<u8>, time: SystemTime) {
    out.extend_from_slice(Stamp::default().at(time));
}

/// A time as [`write_rfc3339`] writes it, kept: of one within the same second only the milliseconds are written anew.
#[derive(Debug)]
pub(crate) struct Stamp {
    second: u64,
    text: [u8; 24],
}

impl Default for Stamp {
    fn default() -> Self {
        Self {
            second: 0,
            text: *b"1970-01-01T00:00:00.000Z",
        }
    }
}

impl Stamp {
    /// The text of `time`.
    pub(crate) fn at(&mut self, time: SystemTime) -> &[u8] {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() {
            self.second = since.as_secs();
            self.write_second();
        }
        self.write(20..23, u64::from(since.subsec_millis()));
        &self.text
    }

    fn write_second(&mut self) {
        let (days, second) = (self.second / 86_400, self.second % 86_400);
        let (year, month, day) = civil(days);
        self.write(0..4, year);
        self.write(5..7, month);
        self.write(8..10, day);
        self.write(11..13, second / 3600);
        self.write(14..16, second / 60 % 60);
        self.write(17..19, second % 60);
    }

    fn write(&mut self, places: Range<usize>, mut value: u64) {
        for digit in self.text.get_mut(places).into_iter().flatten().rev() {
            *digit = b"0123456789".get((value % 10) as usize).copied().unwrap_or(b'0');
            value /= 10;
        }
    }
}

/// Year, month and day of a day count since 1970, after Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn known_instants() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_384_529_123, "2026-11-22T21:55:29.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            write_rfc3339(&mut out, UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_stamp_remembers_nothing_that_has_changed() {
        let mut stamp = Stamp::default();
        for (millis, text) in [
            (999, "1970-01-01T00:00:00.999Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_709_251_199_998, "2024-02-29T23:59:59.998Z"),
        ] {
            assert_eq!(stamp.at(UNIX_EPOCH + Duration::from_millis(millis)), text.as_bytes());
        }
    }
}
