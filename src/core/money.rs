//! Exact money: prices, amounts, quantities and ratios as distinct integers.
//!
//! | type | unit | example |
//! |---|---|---|
//! | [`Price`] | 10⁻⁸ of the currency, a share | `Price::from_cents(12_34)` |
//! | [`Money`] | 10⁻⁸ of the currency | `price.times(quantity)?` |
//! | [`Quantity`] | 10⁻⁹ of a share | `Quantity::whole(100)` |
//! | [`Bps`] | 1/10,000 | `Bps(200)` is 2 % |
//! | [`Factor`] | 10⁻⁴ | `"1.5".parse::<Factor>()?` |
//!
//! Arithmetic is checked: an overflow is an error that its caller handles, never a panic. A rounding
//! names its direction. As text the types are decimals (`"12.34"`), and they parse exactly: a digit
//! that the unit cannot hold is an error.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Arithmetic on money that has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MoneyError {
    /// The result does not fit in 64 bits.
    #[error("{operation} overflows")]
    Overflow { operation: &'static str },
    /// A division by zero.
    #[error("{operation} divides by zero")]
    DivisionByZero { operation: &'static str },
    /// A number that is not finite or is out of range.
    #[error("{value} is no {kind}")]
    NotFinite { value: f64, kind: &'static str },
    /// Text that is no decimal of this type's precision.
    #[error("\"{text}\" is no {kind}: expected a decimal with at most {decimals} places, such as 12.34{}", plain(text, *decimals))]
    Unreadable { text: String, kind: &'static str, decimals: u32 },
    /// Text of more digits than the type holds.
    #[error("\"{text}\" is too large: no {kind} has so many digits")]
    TooLarge { text: String, kind: &'static str },
    /// Text that is no percentage.
    #[error(
        "\"{text}\" is no percentage: expected a number with its sign and at most 2 places, such as 2%{}",
        percent(text)
    )]
    NotPercentage { text: String },
}

/// How an amount with a sign or separators is written, as a person is told.
fn plain(text: &str, decimals: u32) -> String {
    let digits = text.trim_end_matches("USD").replace(['$', ',', '_', '\'', ' '], "");
    match parse_decimal(&digits, decimals, "decimal") {
        Ok(_) => format!("; write {digits}"),
        Err(_) => String::new(),
    }
}

/// How a number without its sign is written as a percentage: 0.5 may be meant as a half, too.
fn percent(text: &str) -> String {
    match parse_decimal(text, 4, "ratio") {
        Ok(ratio) if 0 < ratio && ratio < Bps::ONE.0 => format!("; write {text}%, or {} for that part", Bps(ratio)),
        Ok(_) => format!("; write {text}%"),
        Err(_) => String::new(),
    }
}

const fn overflow(operation: &'static str) -> MoneyError {
    MoneyError::Overflow { operation }
}

/// Narrows an exact product or quotient back to 64 bits.
fn narrow(value: i128, operation: &'static str) -> Result<i64, MoneyError> {
    i64::try_from(value).map_err(|_| overflow(operation))
}

/// The quotient, rounded toward negative infinity where `divisor` is above zero. Nearly every product fits in 64 bits,
/// which are divided many times as fast as 128.
fn quotient(product: i128, divisor: i64) -> i128 {
    let short = i64::try_from(product).ok().and_then(|product| product.checked_div_euclid(divisor));
    short.map_or_else(|| product.div_euclid(i128::from(divisor)), i128::from)
}

fn parse_decimal(text: &str, decimals: u32, kind: &'static str) -> Result<i64, MoneyError> {
    let unreadable = || MoneyError::Unreadable { text: text.to_owned(), kind, decimals };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(unreadable());
    }
    let kept = fraction.trim_end_matches('0');
    if kept.len() > decimals as usize {
        return Err(unreadable());
    }
    let too_large = || MoneyError::TooLarge { text: text.to_owned(), kind };
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(kept.bytes()) {
        value = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(byte - b'0'))).ok_or_else(too_large)?;
    }
    let missing = decimals - kept.len() as u32; // kept.len() <= decimals <= 9
    value = value.checked_mul(10_i128.pow(missing)).ok_or_else(too_large)?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| too_large())
}

/// Without allocating: every row that is stored writes some. A `sign` may follow the number.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: i64, decimals: u32, shown: u32, sign: Option<u8>) -> fmt::Result {
    let unit = 10_u64.pow(decimals);
    let (mut whole, mut fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    let mut places = decimals;
    while places > shown && fraction % 10 == 0 {
        fraction /= 10;
        places -= 1;
    }
    // From the last digit to the first; two signs, the 20 digits of a u64 and a point fit.
    let mut text = [0_u8; 23];
    let mut start = text.len();
    let mut put = |byte| {
        start -= 1;
        text[start] = byte;
    };
    sign.into_iter().for_each(&mut put);
    for _ in 0..places {
        put(digit(fraction));
        fraction /= 10;
    }
    if places > 0 {
        put(b'.');
    }
    loop {
        put(digit(whole));
        whole /= 10;
        if whole == 0 {
            break;
        }
    }
    if value < 0 {
        put(b'-');
    }
    f.pad(std::str::from_utf8(&text[start..]).map_err(|_| fmt::Error)?)
}

/// The last digit of a number.
fn digit(number: u64) -> u8 {
    b"0123456789"[(number % 10) as usize]
}

/// Accepts a decimal as text, as an integer, or as the shortest decimal of a float.
struct DecimalVisitor<T> {
    kind: &'static str,
    _type: std::marker::PhantomData<T>,
}

impl<T: FromStr<Err = MoneyError>> de::Visitor<'_> for DecimalVisitor<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} as a decimal, such as 12.34", self.kind)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        // The shortest decimal that reads back as this float is what a person typed.
        value.to_string().parse().map_err(E::custom)
    }
}

macro_rules! decimal_type {
    ($name:ident, $kind:literal, $decimals:literal, $shown:literal) => {
        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(i64::MAX);
            /// Units in one whole.
            pub const UNIT: i64 = 10_i64.pow($decimals);

            /// Adds, or says that the sum overflows.
            pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
                self.0.checked_add(other.0).map(Self).ok_or(overflow(concat!("adding a ", $kind)))
            }
            /// Subtracts, or says that the difference overflows.
            pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
                self.0.checked_sub(other.0).map(Self).ok_or(overflow(concat!("subtracting a ", $kind)))
            }
            /// Changes the sign; saturates at the single value that has no opposite.
            #[must_use]
            pub const fn negated(self) -> Self {
                Self(self.0.saturating_neg())
            }
            /// The distance from zero.
            #[must_use]
            pub const fn abs(self) -> Self {
                Self(self.0.saturating_abs())
            }
            /// Whether it is zero.
            #[must_use]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
            /// Whether it is above zero.
            #[must_use]
            pub const fn is_positive(self) -> bool {
                self.0 > 0
            }
            /// Whether it is below zero.
            #[must_use]
            pub const fn is_negative(self) -> bool {
                self.0 < 0
            }
            /// Multiplies by an integer.
            pub fn scaled(self, factor: i64) -> Result<Self, MoneyError> {
                self.0.checked_mul(factor).map(Self).ok_or(overflow(concat!("multiplying a ", $kind)))
            }
            /// The nearest float, for indicators and pictures only.
            #[must_use]
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / Self::UNIT as f64
            }
            /// Takes a float back, rounded to the nearest unit; the one way out of floating point.
            ///
            /// # Errors
            /// [`MoneyError::NotFinite`] for NaN, infinities and what does not fit.
            #[inline]
            pub fn from_f64(value: f64) -> Result<Self, MoneyError> {
                let scaled = value * Self::UNIT as f64;
                if scaled.is_nan() || scaled.abs() >= i64::MAX as f64 {
                    return Err(MoneyError::NotFinite { value, kind: $kind });
                }
                // As `f64::round` does, halves away from zero; that is a call for each of the millions that a file has.
                let whole = scaled as i64;
                let rest = scaled - whole as f64;
                Ok(Self(whole + i64::from(rest >= 0.5) - i64::from(rest <= -0.5)))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(f, self.0, $decimals, $shown, None)
            }
        }
        impl FromStr for $name {
            type Err = MoneyError;
            fn from_str(text: &str) -> Result<Self, MoneyError> {
                parse_decimal(text, $decimals, $kind).map(Self)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(DecimalVisitor { kind: $kind, _type: std::marker::PhantomData })
            }
        }
    };
}

/// A price of one share, in 10⁻⁸ of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(pub i64);
decimal_type!(Price, "price", 8, 2);

/// An amount of the account's currency, in 10⁻⁸; negative for a debit or a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(pub i64);
decimal_type!(Money, "amount of money", 8, 2);

/// A number of shares, in 10⁻⁹; negative where a type says so (a short position).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity(pub i64);
decimal_type!(Quantity, "quantity", 9, 0);

/// A multiple of some measure, in 10⁻⁴: how many ranges, how many times the usual volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Factor(pub i64);
decimal_type!(Factor, "multiple", 4, 0);

impl Factor {
    /// A whole multiple.
    #[must_use]
    pub const fn whole(times: i64) -> Self {
        Self(times.saturating_mul(Self::UNIT))
    }
}

impl Price {
    /// A price in whole cents.
    #[must_use]
    pub const fn from_cents(cents: i64) -> Self {
        Self(cents.saturating_mul(1_000_000))
    }

    /// What `quantity` shares cost at this price, rounded toward negative infinity to 10⁻⁸.
    ///
    /// ```
    /// use daybook_core::money::{Price, Quantity};
    /// let cost = Price::from_cents(12_34).times(Quantity::whole(100)).unwrap();
    /// assert_eq!(cost.to_string(), "1234.00");
    /// ```
    #[inline]
    pub fn times(self, quantity: Quantity) -> Result<Money, MoneyError> {
        if quantity.0 % Quantity::UNIT == 0 {
            // Whole shares, as nearly all are, need no division of 128 bits.
            let cost = self.0.checked_mul(quantity.0 / Quantity::UNIT);
            return cost.map(Money).ok_or(overflow("price times quantity"));
        }
        self.times_parts(quantity)
    }

    /// Apart, so that whole shares cost no more than they must.
    #[inline(never)]
    fn times_parts(self, quantity: Quantity) -> Result<Money, MoneyError> {
        let product = i128::from(self.0) * i128::from(quantity.0);
        narrow(product.div_euclid(i128::from(Quantity::UNIT)), "price times quantity").map(Money)
    }

    /// The price moved by a ratio of itself, rounded toward negative infinity to 10⁻⁸.
    pub fn moved_by(self, ratio: Bps) -> Result<Self, MoneyError> {
        let product = i128::from(self.0) * (i128::from(Bps::ONE.0) + i128::from(ratio.0));
        narrow(quotient(product, Bps::ONE.0), "moving a price").map(Self)
    }

    /// This distance taken `factor` times, rounded toward negative infinity to 10⁻⁸.
    ///
    /// # Errors
    /// On overflow.
    pub fn multiplied(self, factor: Factor) -> Result<Self, MoneyError> {
        let product = i128::from(self.0) * i128::from(factor.0);
        narrow(quotient(product, Factor::UNIT), "multiplying a price").map(Self)
    }

    /// This price or distance as a ratio of another, rounded toward negative infinity to a basis point.
    ///
    /// # Errors
    /// On a `whole` of zero, and on overflow.
    pub fn ratio_of(self, whole: Self) -> Result<Bps, MoneyError> {
        Money(self.0).ratio_of(Money(whole.0))
    }

    /// The smallest legal step at this price: a cent at or above one dollar, a hundredth of a cent
    /// below (SEC Rule 612).
    #[must_use]
    pub const fn tick(self) -> Self {
        if self.0 >= Self::UNIT { Self(1_000_000) } else { Self(10_000) }
    }

    /// Rounds down to a whole tick.
    #[must_use]
    pub const fn round_to_tick_down(self) -> Self {
        Self(self.0 - self.0.rem_euclid(self.tick().0))
    }

    /// Rounds up to a whole tick.
    #[must_use]
    pub const fn round_to_tick_up(self) -> Self {
        let tick = self.tick().0;
        let rest = self.0.rem_euclid(tick);
        if rest == 0 { self } else { Self(self.0.saturating_add(tick - rest)) }
    }
}

impl Money {
    /// An amount of whole currency units.
    #[must_use]
    pub const fn whole(units: i64) -> Self {
        Self(units.saturating_mul(Self::UNIT))
    }

    /// A share of this amount, rounded toward negative infinity to 10⁻⁸.
    pub fn portion(self, ratio: Bps) -> Result<Self, MoneyError> {
        let product = i128::from(self.0) * i128::from(ratio.0);
        narrow(quotient(product, Bps::ONE.0), "a portion of an amount").map(Self)
    }

    /// How many shares this amount buys at `price`, rounded toward zero to 10⁻⁹.
    pub fn shares_at(self, price: Price) -> Result<Quantity, MoneyError> {
        if price.is_zero() {
            return Err(MoneyError::DivisionByZero { operation: "shares for an amount" });
        }
        let scaled = i128::from(self.0) * i128::from(Quantity::UNIT);
        narrow(scaled / i128::from(price.0), "shares for an amount").map(Quantity)
    }

    /// This amount for each share of `quantity`, rounded to the nearest 10⁻⁸ (half away from zero).
    pub fn per_share(self, quantity: Quantity) -> Result<Price, MoneyError> {
        if quantity.is_zero() {
            return Err(MoneyError::DivisionByZero { operation: "an amount a share" });
        }
        if quantity.0 % Quantity::UNIT == 0 && self.0.checked_abs().is_some() {
            // Whole shares, as in `Price::times`: what is left of the division rounds up from a half on.
            let shares = quantity.0 / Quantity::UNIT;
            let (whole, rest) = (self.0 / shares, self.0 % shares);
            let is_up = rest.unsigned_abs() >= shares.unsigned_abs().div_ceil(2);
            return Ok(Price(whole + i64::from(is_up) * (self.0.signum() * shares.signum())));
        }
        let scaled = i128::from(self.0) * i128::from(Quantity::UNIT);
        let divisor = i128::from(quantity.0);
        let half = divisor.abs() / 2;
        let adjusted = if (scaled < 0) == (divisor < 0) {
            scaled + half * divisor.signum()
        } else {
            scaled - half * divisor.signum()
        };
        narrow(adjusted / divisor, "an amount a share").map(Price)
    }

    /// This amount as a ratio of another, rounded toward negative infinity to a basis point.
    pub fn ratio_of(self, whole: Self) -> Result<Bps, MoneyError> {
        if whole.is_zero() {
            return Err(MoneyError::DivisionByZero { operation: "a ratio of amounts" });
        }
        let scaled = i128::from(self.0) * i128::from(Bps::ONE.0);
        narrow(quotient(scaled, whole.0), "a ratio of amounts").map(Bps)
    }
}

impl Quantity {
    /// A number of whole shares.
    #[must_use]
    pub const fn whole(shares: i64) -> Self {
        Self(shares.saturating_mul(Self::UNIT))
    }

    /// Rounds toward zero to a multiple of `lot`; a lot of zero or less leaves it as it is.
    #[must_use]
    pub const fn floor_to_lot(self, lot: Self) -> Self {
        if lot.0 <= 0 { self } else { Self(self.0 - self.0 % lot.0) }
    }
}

/// A ratio in basis points: `Bps(10_000)` is one whole. As text it is a percentage: `"2%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bps(pub i64);

impl Bps {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One whole: 100 %.
    pub const ONE: Self = Self(10_000);

    /// The nearest float ratio (1.0 is the whole), for statistics only.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::ONE.0 as f64
    }

    /// Takes a float ratio (1.0 is the whole), rounded to the nearest basis point.
    ///
    /// # Errors
    /// [`MoneyError::NotFinite`] for NaN, infinities and what does not fit.
    pub fn from_f64(ratio: f64) -> Result<Self, MoneyError> {
        let scaled = (ratio * Self::ONE.0 as f64).round();
        if !scaled.is_finite() || scaled.abs() >= i64::MAX as f64 {
            return Err(MoneyError::NotFinite { value: ratio, kind: "ratio" });
        }
        Ok(Self(scaled as i64))
    }
}

impl fmt::Display for Bps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, 2, 0, Some(b'%'))
    }
}

impl FromStr for Bps {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let unreadable = || MoneyError::NotPercentage { text: text.to_owned() };
        let number = text.strip_suffix('%').ok_or_else(unreadable)?;
        parse_decimal(number.trim_end(), 2, "percentage").map(Self).map_err(|_| unreadable())
    }
}

impl Serialize for Bps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_shows_what_it_is() {
        let cases = [
            (0, "0.00"),
            (5, "0.00000005"),
            (-5, "-0.00000005"),
            (150_000_000, "1.50"),
            (-123_456_700_000, "-1234.567"),
            (i64::MAX, "92233720368.54775807"),
            (i64::MIN, "-92233720368.54775808"),
        ];
        for (value, shown) in cases {
            assert_eq!(Money(value).to_string(), shown);
        }
        assert_eq!(format!("[{:>8}]", Money(150_000_000)), "[    1.50]");
        assert_eq!(Quantity(2_000_000_000).to_string(), "2");
        assert_eq!(Quantity(-500_000_000).to_string(), "-0.5");
    }

    proptest! {
        /// The short ways through 64 bits find what the long one does.
        #[test]
        fn whole_shares_and_short_products_are_divided_alike(
            amount in prop_oneof![-1_000_i64..1_000, any::<i64>()],
            shares in prop_oneof![-20_i64..=20, -9_000_000_000_i64..9_000_000_000].prop_filter("some", |shares| *shares != 0),
            divisor in any::<i64>().prop_filter("not zero", |divisor| *divisor != 0),
        ) {
            let exact = i128::from(amount) * 2 + i128::from(amount.signum() * shares.signum()) * i128::from(shares);
            let nearest = exact / (2 * i128::from(shares));
            let found = Money(amount).per_share(Quantity::whole(shares));
            prop_assert_eq!(found.map(|price| i128::from(price.0)), Ok(nearest));
            for product in [i128::from(amount), i128::from(amount) * 1_000_000] {
                prop_assert_eq!(quotient(product, divisor), product.div_euclid(i128::from(divisor)));
            }
        }

        #[test]
        fn a_float_comes_back_as_the_nearest_unit(value in prop_oneof![-1e3_f64..1e3, -9e10_f64..9e10]) {
            let nearest = (value * 1e8).round() as i64;
            prop_assert_eq!(Price::from_f64(value), Ok(Price(nearest)));
            let half = (value.trunc() + 0.5) / 1e8;
            prop_assert_eq!(Price::from_f64(half), Ok(Price((half * 1e8).round() as i64)));
        }

        #[test]
        fn what_is_shown_reads_back(value in any::<i64>()) {
            prop_assume!(value != i64::MIN);
            prop_assert_eq!(Money(value).to_string().parse(), Ok(Money(value)));
            prop_assert_eq!(Price(value).to_string().parse(), Ok(Price(value)));
            prop_assert_eq!(Quantity(value).to_string().parse(), Ok(Quantity(value)));
        }
    }
}
