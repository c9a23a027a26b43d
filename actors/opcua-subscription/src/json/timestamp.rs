//! UTC dates as text with seven digits, `2026-11-23T12:00:00.1234567Z` (Part 6 §5.4.2.6).

use contract::UtcTime;

/// Bytes of a date as text.
pub(crate) const TIMESTAMP_BYTES: usize = 28;

const TICKS_PER_DAY: i64 = 86_400 * UtcTime::TICKS_PER_SECOND;
/// 0001-01-01 and the first day after 9999-12-31, in days since 1970-01-01: what JSON's four digits can say.
const DAYS_MIN: i64 = -719_162;
const DAYS_END: i64 = 2_932_897;

/// Writes dates; remembers the last day, so that a date costs about 5 ns.
#[derive(Debug)]
pub(crate) struct TimestampFormatter {
    day: i64,
    text: [u8; TIMESTAMP_BYTES],
}

impl TimestampFormatter {
    pub(crate) fn new() -> Self {
        let mut formatter = Self { day: 0, text: *b"1970-01-01T00:00:00.0000000Z" };
        formatter.set_day(0);
        formatter
    }

    /// The date as text. Dates outside the years 1 to 9999 become the nearest within.
    #[inline]
    pub(crate) fn format(&mut self, time: UtcTime) -> &[u8; TIMESTAMP_BYTES] {
        let ticks = time.ticks().clamp(DAYS_MIN * TICKS_PER_DAY, DAYS_END * TICKS_PER_DAY - 1);
        let day = ticks.div_euclid(TICKS_PER_DAY);
        if day != self.day {
            self.set_day(day);
        }
        let of_day = u64::try_from(ticks.rem_euclid(TICKS_PER_DAY)).expect("a remainder is not negative");
        let seconds = u32::try_from(of_day / 10_000_000).expect("below 86,400");
        let fraction = u32::try_from(of_day % 10_000_000).expect("below 10,000,000");
        self.put_two(11, seconds / 3_600);
        self.put_two(14, seconds / 60 % 60);
        self.put_two(17, seconds % 60);
        self.put_two(20, fraction / 100_000);
        self.put_two(22, fraction / 1_000 % 100);
        self.put_two(24, fraction / 10 % 100);
        self.text[26] = b'0' + u8::try_from(fraction % 10).expect("one digit");
        &self.text
    }

    #[inline]
    fn put_two(&mut self, at: usize, number: u32) {
        let pair = TWO_DIGITS[number as usize % 100];
        self.text[at..at + 2].copy_from_slice(&pair);
    }

    /// Civil date from days, by the 400-year cycle of the Gregorian calendar that begins on 1 March.
    fn set_day(&mut self, day: i64) {
        let shifted = day + 719_468;
        let cycle = shifted.div_euclid(146_097);
        let day_of_cycle = shifted.rem_euclid(146_097);
        let year_of_cycle =
            (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
        let digits = |number: i64| u32::try_from(number).expect("a date within the years 1 to 9999");
        self.put_two(0, digits(year / 100));
        self.put_two(2, digits(year % 100));
        self.put_two(5, digits(month));
        self.put_two(8, digits(day_of_month));
        self.day = day;
    }
}

const TWO_DIGITS: [[u8; 2]; 100] = {
    let mut table = [[0; 2]; 100];
    let mut number: u8 = 0;
    while number < 100 {
        table[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(ticks: i64) -> String {
        String::from_utf8(TimestampFormatter::new().format(UtcTime::from_ticks(ticks)).to_vec()).unwrap()
    }

    #[test]
    fn dates_read_as_people_know_them() {
        for (ticks, date) in [
            (0, "1970-01-01T00:00:00.0000000Z"),
            (-1, "1969-12-31T23:59:59.9999999Z"),
            (17_222_652_171_858_435, "2024-07-29T15:00:17.1858435Z"),
            (9_517_824_000_000_000, "2000-02-29T00:00:00.0000000Z"),
            (-UtcTime::OPC_UA_EPOCH_TICKS, "1601-01-01T00:00:00.0000000Z"),
            (i64::MAX, "9999-12-31T23:59:59.9999999Z"),
            (i64::MIN, "0001-01-01T00:00:00.0000000Z"),
        ] {
            assert_eq!(text(ticks), date);
        }
    }

    proptest! {
        #[test]
        fn the_order_of_dates_is_the_order_of_their_texts(one in any::<i64>(), other in any::<i64>()) {
            let mut formatter = TimestampFormatter::new();
            let first = *formatter.format(UtcTime::from_ticks(one));
            let second = *formatter.format(UtcTime::from_ticks(other));
            if one < other {
                prop_assert!(first <= second);
            }
        }

        #[test]
        fn the_day_after_is_one_day_later(day in DAYS_MIN..DAYS_END - 1) {
            let (today, tomorrow) = (text(day * TICKS_PER_DAY), text((day + 1) * TICKS_PER_DAY));
            let number = |date: &str, range: std::ops::Range<usize>| date[range].parse::<u32>().unwrap();
            let day_number = number(&tomorrow, 8..10);
            prop_assert!(day_number == number(&today, 8..10) + 1 || day_number == 1);
        }
    }
}
