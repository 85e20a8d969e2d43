//! Dates of the battery-backed clock. Owns nothing; must never be given a year before 1970.

/// Seconds since the epoch of a date in the Gregorian calendar.
pub fn seconds([year, month, day, hour, minute, second]: [u64; 6]) -> u64 {
    // Years that begin in March, so that the odd day is the last (Hinnant, "chrono-compatible low-level date
    // algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn dates_become_seconds() {
        assert_eq!(seconds([1970, 1, 1, 0, 0, 0]), 0);
        assert_eq!(seconds([2000, 2, 29, 23, 59, 59]), 951_868_799);
        assert_eq!(seconds([2026, 11, 25, 15, 30, 0]), 1_795_620_600);
    }
}
