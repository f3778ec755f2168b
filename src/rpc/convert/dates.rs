//! Instants as legacy clients read them.

use crate::domain::Timestamp;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Mon, 23 Nov 2026 04:54:41 -0000`, in UTC.
pub fn rfc822(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let name = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    format!("{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} -0000")
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. The year is counted from March, so
/// that the day that leap years add is its last; 400 years have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let in_month = day - (153 * month + 2) / 5 + 1;
    let is_late = month >= 10;
    (era * 400 + year + i64::from(is_late), if is_late { month - 9 } else { month + 3 }, in_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_with_their_day_and_in_utc() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 -0000"),
            (-1, "Wed, 31 Dec 1969 23:59:59 -0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 -0000"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 -0000"),
            (1_795_409_681, "Mon, 23 Nov 2026 04:54:41 -0000"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 -0000"),
        ] {
            assert_eq!(rfc822(Timestamp(seconds * 1000)), text);
        }
    }
}
