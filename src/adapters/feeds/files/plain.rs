//! Rows as nearly all files have them, read byte by byte: a field's digits become an integer in one pass, without
//! text, floating point or a copy. What is written in any other way is left to the reader that knows all of it, and
//! that says what is wrong with a row.

use chrono::{Datelike, Days, NaiveDate};
use daybook_core::market::Bar;
use daybook_core::money::{Price, Quantity};
use daybook_core::time::Timestamp;

/// Digits before the point that fit into 64 bits, in units of 10⁻⁹ too.
const WHOLE_DIGITS_MAX: usize = 9;

/// Digits of an instant: beyond, the number might wrap around to a positive one.
const INSTANT_DIGITS_MAX: usize = 19;

const DAY_MS: i64 = 86_400_000;

/// The fields of a line, one after the other.
pub(super) struct Fields<'l>(&'l [u8]);

impl<'l> Fields<'l> {
    pub(super) const fn new(line: &'l [u8]) -> Self {
        Self(line)
    }

    /// The bytes up to the next comma, which is passed over.
    pub(super) fn text(&mut self) -> Option<&'l [u8]> {
        let end = self.0.iter().position(|byte| *byte == b',')?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.get(1..)?;
        Some(text)
    }

    /// The bar that begins at `start`, where its numbers are all that is left.
    pub(super) fn bar(mut self, start: Timestamp) -> Option<Bar> {
        let mut price = || self.decimal(Price::UNIT, true).map(Price);
        let (open, high, low, close) = (price()?, price()?, price()?, price()?);
        let volume = Quantity(self.decimal(Quantity::UNIT, false)?);
        Some(Bar { start, open, high, low, close, volume })
    }

    /// A decimal, `unit` of whose units are one; up to a comma, or else up to the end of the line.
    fn decimal(&mut self, unit: i64, has_comma: bool) -> Option<i64> {
        let (whole, mut rest) = digits(self.0);
        let length = self.0.len() - rest.len(); // the rest is a part
        if length == 0 || length > WHOLE_DIGITS_MAX {
            return None;
        }
        let mut value = whole * unit;
        if let [b'.', fraction @ ..] = rest {
            let mut place = unit;
            rest = fraction;
            while let [digit @ b'0'..=b'9', further @ ..] = rest {
                place /= 10;
                if place == 0 {
                    return None;
                }
                value += i64::from(digit - b'0') * place;
                rest = further;
            }
        }
        self.0 = match (rest, has_comma) {
            ([b',', further @ ..], true) => further,
            ([], false) => rest,
            _ => return None,
        };
        Some(value)
    }
}

/// The number that the text begins with, modulo 2⁶⁴, and what follows it.
fn digits(text: &[u8]) -> (i64, &[u8]) {
    let (mut value, mut rest) = (0_i64, text);
    while let [digit @ b'0'..=b'9', further @ ..] = rest {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        rest = further;
    }
    (value, rest)
}

/// A whole number of seconds, milliseconds or nanoseconds.
pub(super) fn whole(text: &[u8]) -> Option<i64> {
    let (number, rest) = digits(text);
    // Of 19 digits those that do not fit have turned negative.
    (rest.is_empty() && (1..=INSTANT_DIGITS_MAX).contains(&text.len()) && number >= 0).then_some(number)
}

/// Reads instants as `YYYY-MM-DDThh:mm:ssZ`; neighbours in a file mostly share their date.
#[derive(Default)]
pub(super) struct Instants {
    date: [u8; 10],
    midnight_ms: i64,
}

impl Instants {
    /// The instant, written with `T` or a blank; `None` for anything else.
    pub(super) fn utc(&mut self, text: &[u8]) -> Option<Timestamp> {
        let (date, time) = text.split_first_chunk::<10>()?;
        let [b'T' | b' ', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] = *time else { return None };
        if *date != self.date {
            self.midnight_ms = midnight_ms(*date)?;
            self.date = *date;
        }
        let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
        let is_time = hour < 24 && minute < 60 && second < 60;
        is_time.then_some(Timestamp(self.midnight_ms + ((hour * 60 + minute) * 60 + second) * 1_000))
    }
}

fn midnight_ms([y1, y2, y3, y4, dash, m1, m2, second_dash, d1, d2]: [u8; 10]) -> Option<i64> {
    let year = i32::try_from(two(y1, y2)? * 100 + two(y3, y4)?).ok()?;
    let (month, day) = (u32::try_from(two(m1, m2)?).ok()?, u64::try_from(two(d1, d2)?).ok()?);
    // By way of the month's first: a day that the month has not lies in another.
    let date = NaiveDate::from_ymd_opt(year, month, 1)?.checked_add_days(Days::new(day.checked_sub(1)?))?;
    let is_there = dash == b'-' && second_dash == b'-' && date.month() == month;
    is_there.then(|| i64::from(date.to_epoch_days()) * DAY_MS)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let are_digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    are_digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}
