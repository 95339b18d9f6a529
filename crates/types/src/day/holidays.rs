//! Calendars of holidays that are known by name.

use jiff::ToSpan;
use jiff::civil::Date;

/// Easter Sunday of a year of the Gregorian calendar.
///
/// Source: "Anonymous Gregorian algorithm" (Nature, 20 April 1876; Meeus, Astronomical Algorithms,
/// chapter 8). `None` outside years -9999 to 9999.
pub(super) fn easter(year: i16) -> Option<Date> {
    let year_number = i32::from(year);
    let golden = year_number.rem_euclid(19);
    let (century, of_century) = (year_number.div_euclid(100), year_number.rem_euclid(100));
    let (leap_centuries, century_rest) = (century.div_euclid(4), century.rem_euclid(4));
    let moon_shift = (century + 8).div_euclid(25);
    let moon_rest = (century - moon_shift + 1).div_euclid(3);
    let full_moon = (19 * golden + century - leap_centuries - moon_rest + 15).rem_euclid(30);
    let (leap_years, year_rest) = (of_century / 4, of_century % 4);
    let to_sunday = (32 + 2 * century_rest + 2 * leap_years - full_moon - year_rest).rem_euclid(7);
    let correction = (golden + 11 * full_moon + 22 * to_sunday) / 451;
    let days = full_moon + to_sunday - 7 * correction + 114;
    let month = i8::try_from(days / 31).ok()?;
    let day = i8::try_from(days % 31 + 1).ok()?;
    Date::new(year, month, day).ok()
}

/// Whether the Eurosystem's TARGET is closed on a date for another reason than that it is a
/// Saturday or a Sunday.
///
/// Sources: press releases of the European Central Bank of 14 December 2000 (from 2002 on), 15 July 1999
/// (for 2000, and 31 December 1999) and 3 September 1998 (for 1999); for 31 December 2001 the calendar of
/// QuantLib. Years before 1999 are taken like 1999, without its last day.
pub(super) fn is_target_holiday(date: Date) -> bool {
    match (date.month(), date.day(), date.year()) {
        (1, 1, _) | (12, 25, _) | (12, 31, 1999 | 2001) => true,
        (5, 1, 2000..) | (12, 26, 2000..) => true,
        (3 | 4, _, 2000..) => {
            let easter = easter(date.year());
            let is = |days: i32| {
                easter.and_then(|easter| easter.checked_add(days.days()).ok()) == Some(date)
            };
            is(-2) || is(1)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn easter_is_where_the_tables_have_it() {
        // Among them the earliest and the latest possible, and the exceptions of 1954, 1981, 2049 and 2076.
        let known = "1818-03-22 1943-04-25 1954-04-18 1961-04-02 1981-04-19 2000-04-23 2008-03-23 \
                     2019-04-21 2024-03-31 2025-04-20 2026-04-05 2027-03-28 2038-04-25 2049-04-18 \
                     2076-04-19 2100-03-28 2285-03-22";
        for text in known.split_whitespace() {
            let date: Date = text.parse().expect("a date");
            assert_eq!(easter(date.year()), Some(date));
        }
    }

    #[test]
    fn easter_is_a_sunday_from_22_march_to_25_april() {
        for year in -9999..=9999 {
            let easter = easter(year).expect("in range");
            assert_eq!(easter.weekday(), jiff::civil::Weekday::Sunday);
            let of_year = (easter.month(), easter.day());
            assert!(((3, 22)..=(4, 25)).contains(&of_year), "{easter}");
        }
    }

    #[test]
    fn target_is_closed_as_the_central_bank_says() {
        let mut text = String::new();
        for year in [1999, 2000, 2001, 2002, 2026] {
            let mut date = Date::constant(year, 1, 1);
            while date.year() == year {
                if is_target_holiday(date) {
                    text += &format!("{date} ");
                }
                date = date.tomorrow().expect("in range");
            }
            text.push('\n');
        }
        let expected = expect![[r#"
            1999-01-01 1999-12-25 1999-12-31 
            2000-01-01 2000-04-21 2000-04-24 2000-05-01 2000-12-25 2000-12-26 
            2001-01-01 2001-04-13 2001-04-16 2001-05-01 2001-12-25 2001-12-26 2001-12-31 
            2002-01-01 2002-03-29 2002-04-01 2002-05-01 2002-12-25 2002-12-26 
            2026-01-01 2026-04-03 2026-04-06 2026-05-01 2026-12-25 2026-12-26 
        "#]];
        expected.assert_eq(&text);
    }
}
