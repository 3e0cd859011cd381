use chrono::NaiveTime;

use super::action::{ActionKind, CorporateAction};
use super::{Bar, BarColumns};
use crate::calendar::Calendar;
use crate::money::{MoneyError, Price, Quantity};
use crate::time::{SessionDate, Timestamp};

/// The unit of a factor. A price of ten thousand dollars comes out right to its last digit.
const UNIT: i128 = 10_i128.pow(16);

/// What earlier prices and volumes are multiplied by, so that they compare with later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjustment {
    price: i128,
    volume: i128,
}

impl Adjustment {
    /// Everything stays.
    pub const NONE: Self = Self { price: UNIT, volume: UNIT };

    /// The price in the later shares, rounded to its unit.
    ///
    /// # Errors
    /// If it overflows.
    pub fn price(self, price: Price) -> Result<Price, MoneyError> {
        scaled(price.0, self.price, "adjusting a price").map(Price)
    }

    /// The volume in the later shares, rounded to its unit.
    ///
    /// # Errors
    /// If it overflows.
    pub fn volume(self, volume: Quantity) -> Result<Quantity, MoneyError> {
        scaled(volume.0, self.volume, "adjusting a volume").map(Quantity)
    }

    /// The bar in the later shares.
    ///
    /// # Errors
    /// If a price or the volume overflows.
    pub fn bar(self, bar: Bar) -> Result<Bar, MoneyError> {
        if self == Self::NONE {
            return Ok(bar);
        }
        Ok(Bar {
            start: bar.start,
            open: self.price(bar.open)?,
            high: self.price(bar.high)?,
            low: self.price(bar.low)?,
            close: self.price(bar.close)?,
            volume: self.volume(bar.volume)?,
        })
    }

    /// This one, and then another.
    fn then(self, later: Self) -> Result<Self, MoneyError> {
        let product = |a: i128, b: i128| {
            let product = a.checked_mul(b).ok_or(MoneyError::Overflow { operation: "adjusting for several splits" })?;
            Ok(rounded(product, UNIT))
        };
        Ok(Self { price: product(self.price, later.price)?, volume: product(self.volume, later.volume)? })
    }
}

fn scaled(value: i64, factor: i128, operation: &'static str) -> Result<i64, MoneyError> {
    let overflows = || MoneyError::Overflow { operation };
    let product = i128::from(value).checked_mul(factor).ok_or_else(overflows)?;
    i64::try_from(rounded(product, UNIT)).map_err(|_| overflows())
}

/// `part / whole`, halves rounded up; `whole` is above zero.
fn rounded(part: i128, whole: i128) -> i128 {
    part.saturating_add(whole / 2).div_euclid(whole)
}

/// What splits and dividends of a symbol do to what was before them.
///
/// A split of `n` new shares for `o` old ones multiplies earlier prices by `o / n` and volumes by `n / o`. A dividend
/// `d` after a close `c` multiplies earlier prices by `(c - d) / c`, as CRSP has it. Nothing is changed for good: bars
/// stay as they were traded, and are seen in the shares of whichever session looks at them.
///
/// ```
/// # use daybook_core::{market::*, money::Price, time::SessionDate};
/// let ex_date = SessionDate::of(2014, 6, 9).unwrap();
/// let split = CorporateAction { ex_date, kind: ActionKind::Split("7:1".parse()?) };
/// let adjustments = Adjustments::of(&[split], |_| None)?;
/// let friday = adjustments.between(ex_date.plus_days(-3), ex_date)?;
/// assert_eq!(friday.price("645.54".parse()?)?, "92.22".parse::<Price>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adjustments {
    /// In the order of ex-dates.
    steps: Vec<(SessionDate, Adjustment)>,
}

impl Adjustments {
    /// The adjustments for actions in order; `close_before` knows the close of the last session before a date.
    ///
    /// # Errors
    /// If a figure overflows.
    pub fn of(
        actions: &[CorporateAction],
        close_before: impl Fn(SessionDate) -> Option<Price>,
    ) -> Result<Self, MoneyError> {
        let mut adjustments = Self::default();
        for action in actions {
            adjustments.add(*action, || close_before(action.ex_date))?;
        }
        Ok(adjustments)
    }

    /// Adds one for an action that does not come before those that were added.
    ///
    /// A dividend after no known close, or of as much as a share was worth, changes nothing.
    ///
    /// # Errors
    /// If a figure overflows.
    pub fn add(
        &mut self,
        action: CorporateAction,
        close_before: impl FnOnce() -> Option<Price>,
    ) -> Result<(), MoneyError> {
        let CorporateAction { ex_date, kind } = action;
        let step = match kind {
            ActionKind::Split(ratio) => {
                let (new, old) = (i128::from(ratio.new_shares()), i128::from(ratio.old_shares()));
                Adjustment { price: rounded(old * UNIT, new), volume: rounded(new * UNIT, old) }
            }
            ActionKind::Dividend(amount) => {
                let Some(close) = close_before() else { return Ok(()) };
                // Paid for a share of the ex-date: a split of that day comes first.
                let close = i128::from(self.between(ex_date.plus_days(-1), ex_date)?.price(close)?.0);
                let left = close - i128::from(amount.0);
                if left <= 0 {
                    return Ok(());
                }
                Adjustment { price: rounded(left * UNIT, close), ..Adjustment::NONE }
            }
        };
        self.steps.push((ex_date, step));
        Ok(())
    }

    /// What turns figures of the session `of` into those that compare with the session `on`.
    ///
    /// # Errors
    /// If a factor overflows.
    pub fn between(&self, of: SessionDate, on: SessionDate) -> Result<Adjustment, MoneyError> {
        self.product(|ex_date| of < ex_date && ex_date <= on)
    }

    /// What turns figures of the session `of` into those that compare with what is known last.
    ///
    /// # Errors
    /// If a factor overflows.
    pub fn since(&self, of: SessionDate) -> Result<Adjustment, MoneyError> {
        self.product(|ex_date| of < ex_date)
    }

    fn product(&self, counts: impl Fn(SessionDate) -> bool) -> Result<Adjustment, MoneyError> {
        let steps = self.steps.iter().filter(|(ex_date, _)| counts(*ex_date));
        steps.map(|(_, step)| *step).try_fold(Adjustment::NONE, Adjustment::then)
    }
}

/// Puts minute bars of many sessions, in order, into the shares of the last one.
///
/// # Errors
/// If a price or a volume overflows.
pub fn adjust(bars: &mut [Bar], actions: &[CorporateAction], calendar: &Calendar) -> Result<(), MoneyError> {
    let Some(last) = bars.last().filter(|_| !actions.is_empty()) else { return Ok(()) };
    let basis = last.start.date_in(calendar.zone());
    let close_before = |date| {
        let close = calendar.session_before(date)?.close;
        let after = bars.partition_point(|bar| bar.start < close);
        bars.get(after.checked_sub(1)?).map(|bar| bar.close)
    };
    let adjustments = Adjustments::of(actions, close_before)?;
    let mut rest = bars;
    for CorporateAction { ex_date, .. } in actions {
        let midnight = Timestamp::from_wall(ex_date.0.and_time(NaiveTime::MIN), calendar.zone());
        let (earlier, later) = rest.split_at_mut(rest.partition_point(|bar| bar.start < midnight));
        let adjustment = adjustments.between(ex_date.plus_days(-1), basis)?;
        for bar in earlier {
            *bar = adjustment.bar(*bar)?;
        }
        rest = later;
    }
    Ok(())
}

/// The regular sessions of minute bars as one bar each, in order; a session without a bar is left out.
///
/// # Errors
/// If a volume overflows.
pub fn daily(bars: &BarColumns, calendar: &Calendar) -> Result<Vec<(SessionDate, Bar)>, MoneyError> {
    let starts = bars.starts();
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return Ok(Vec::new()) };
    let mut daily = Vec::new();
    let mut place = 0;
    for session in calendar.sessions(first.date_in(calendar.zone()), last.date_in(calendar.zone())) {
        let open = bars.place_of(session.open, place);
        place = bars.place_of(session.close, open);
        let bar = bars.as_one(open..place)?;
        daily.extend(bar.map(|bar| (session.date, Bar { start: session.open, ..bar })));
    }
    Ok(daily)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::action::SplitRatio;
    use super::*;

    fn date(day: u32) -> SessionDate {
        SessionDate::of(2014, 6, day).unwrap()
    }

    fn split(day: u32, new: u32, old: u32) -> CorporateAction {
        CorporateAction { ex_date: date(day), kind: ActionKind::Split(SplitRatio::of(new, old).unwrap()) }
    }

    fn dividend(day: u32, cents: i64) -> CorporateAction {
        CorporateAction { ex_date: date(day), kind: ActionKind::Dividend(Price::from_cents(cents)) }
    }

    fn bar(start: &str, cents: i64, shares: i64) -> Bar {
        let price = Price::from_cents(cents);
        let start = start.parse().unwrap();
        Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::whole(shares) }
    }

    #[test]
    fn a_split_counts_from_its_ex_date_on() {
        let adjustments = Adjustments::of(&[split(9, 7, 1)], |_| None).unwrap();
        let close = Price::from_cents(64_557);
        let told = |of, on| adjustments.between(date(of), date(on)).unwrap();
        assert_eq!(told(6, 6), Adjustment::NONE);
        assert_eq!(told(9, 10), Adjustment::NONE);
        assert_eq!(told(6, 9).price(close).unwrap(), Price(9_222_428_571));
        assert_eq!(told(2, 30).volume(Quantity::whole(12)).unwrap(), Quantity::whole(84));
        let reverse = Adjustments::of(&[split(9, 1, 10)], |_| None).unwrap().between(date(6), date(9)).unwrap();
        assert_eq!(reverse.price(Price::from_cents(50)).unwrap(), Price::from_cents(5_00));
        assert_eq!(reverse.volume(Quantity::whole(1_000)).unwrap(), Quantity::whole(100));
    }

    #[test]
    fn a_dividend_comes_off_the_close_before_and_leaves_the_volume() {
        let of = |actions: &[CorporateAction], close: Option<i64>| {
            let adjustments = Adjustments::of(actions, |_| close.map(Price::from_cents)).unwrap();
            let adjustment = adjustments.between(date(6), date(9)).unwrap();
            assert_eq!(adjustment.volume(Quantity::whole(7)).unwrap(), Quantity::whole(7));
            adjustment.price(Price::from_cents(20_000)).unwrap()
        };
        assert_eq!(of(&[dividend(9, 2_00)], Some(10_000)), Price::from_cents(19_600));
        assert_eq!(of(&[dividend(9, 2_00)], None), Price::from_cents(20_000));
        assert_eq!(of(&[dividend(9, 10_000)], Some(10_000)), Price::from_cents(20_000), "nothing would be left");
        assert_eq!(of(&[dividend(5, 2_00)], Some(10_000)), Price::from_cents(20_000), "that was before");
    }

    #[test]
    fn a_dividend_of_the_day_of_a_split_is_one_of_the_new_shares() {
        let both = [split(9, 2, 1), dividend(9, 1_00)];
        let adjustments = Adjustments::of(&both, |_| Some(Price::from_cents(10_000))).unwrap();
        let adjustment = adjustments.between(date(6), date(9)).unwrap();
        assert_eq!(adjustment.price(Price::from_cents(10_000)).unwrap(), Price::from_cents(49_00));
    }

    #[test]
    fn bars_are_seen_in_the_shares_of_the_last_session() {
        let calendar = Calendar::xnys();
        let raw = [
            bar("2014-06-05T19:59:00Z", 70_000, 10),
            bar("2014-06-06T19:59:00Z", 77_000, 10),
            bar("2014-06-06T20:30:00Z", 77_700, 10),
            bar("2014-06-09T13:30:00Z", 11_100, 70),
            bar("2014-06-10T13:30:00Z", 10_900, 70),
        ];
        let mut bars = raw;
        // The dividend of the tenth is a hundredth of the close before, that of the ninth's last bar.
        adjust(&mut bars, &[split(9, 7, 1), dividend(10, 1_11)], &calendar).unwrap();
        let told: Vec<(Price, Quantity)> = bars.iter().map(|bar| (bar.close, bar.volume)).collect();
        let expected = [(99_00, 70), (10_890, 70), (10_989, 70), (10_989, 70), (10_900, 70)];
        assert_eq!(told, expected.map(|(cents, shares)| (Price::from_cents(cents), Quantity::whole(shares))));
        // In the shares of the ninth the dividend is still to come.
        let mut until = raw[..4].to_vec();
        adjust(&mut until, &[split(9, 7, 1), dividend(10, 1_11)], &calendar).unwrap();
        assert_eq!(until[0].close, Price::from_cents(10_000));
        assert_eq!(until[3], raw[3]);
    }

    #[test]
    fn sessions_are_one_bar_each() {
        let bars = [
            bar("2014-06-06T13:29:00Z", 1_00, 1),
            bar("2014-06-06T13:30:00Z", 2_00, 1),
            bar("2014-06-06T19:59:00Z", 3_00, 1),
            bar("2014-06-06T20:00:00Z", 4_00, 1),
            bar("2014-06-10T14:00:00Z", 5_00, 1),
        ];
        let daily = daily(&bars.into_iter().collect(), &Calendar::xnys()).unwrap();
        let told: Vec<_> = daily.iter().map(|(date, bar)| (*date, bar.open, bar.close, bar.volume)).collect();
        let expected = [(6, 2_00, 3_00, 2), (10, 5_00, 5_00, 1)];
        let expected = expected.map(|(day, open, close, shares)| {
            (date(day), Price::from_cents(open), Price::from_cents(close), Quantity::whole(shares))
        });
        assert_eq!(told, expected);
        assert_eq!(daily[1].1.start, "2014-06-10T13:30:00Z".parse().unwrap(), "it begins with its session");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let adjustment = Adjustments::of(&[split(9, 10_000, 1)], |_| None).unwrap().between(date(6), date(9)).unwrap();
        assert!(adjustment.volume(Quantity::MAX).is_err());
        assert!(adjustment.price(Price::MAX).is_ok());
    }

    proptest! {
        /// A split there and back leaves a price where it was, to a unit a new share.
        #[test]
        fn a_split_and_its_reverse_cancel(cents in 1_i64..100_000_000, new in 2_u32..=50) {
            let there_and_back = [split(9, new, 1), split(10, 1, new)];
            let adjustments = Adjustments::of(&there_and_back, |_| None).unwrap();
            let once = adjustments.between(date(6), date(9)).unwrap();
            let twice = adjustments.between(date(6), date(10)).unwrap();
            let price = Price::from_cents(cents);
            let back = twice.price(price).unwrap();
            prop_assert!((back.0 - price.0).abs() <= 1, "{back} of {price}");
            let worth = once.price(price).unwrap().0 * i64::from(new);
            prop_assert!((worth - price.0).abs() <= i64::from(new));
        }
    }
}
