use serde::Serialize;

use super::Bar;
use super::action::{ActionKind, CorporateAction, SplitRatio};
use super::adjustment::Adjustments;
use crate::money::{MoneyError, Price};
use crate::time::SessionDate;

/// Splits that a jump of the price is compared with, as new shares for an old one: the usual ones. A smaller one
/// cannot be told from a bad day.
const FORWARD: [u32; 14] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 50, 100];

/// The same of reverse splits, as old shares for a new one: news alone double and treble a price.
const REVERSE: [u32; 14] = [4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 100];

/// How far a price may move overnight beside a split, as a part of it. Apple's four-for-one of 2020 opened 2.2 % up.
const BESIDE: f64 = 0.04;

/// A split or a dividend that bars and corporate actions do not agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Jump {
    /// The session that begins with it.
    pub session: SessionDate,
    /// The close before, as it was traded.
    pub close: Price,
    /// The first price.
    pub open: Price,
    /// What is wrong.
    pub fault: JumpFault,
}

/// What is wrong about a split or a dividend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JumpFault {
    /// The price jumps like it, and no action tells of it.
    Untold(SplitRatio),
    /// An action tells of it, and the price does not jump: it has been taken out of the bars already.
    NotInBars(SplitRatio),
    /// An action tells of a dividend of as much as a share was worth, or more: it changes no price.
    DividendTooLarge(Price),
}

/// The usual split that a price far from a close looks like; `None` if it looks like none.
///
/// ```
/// # use daybook_core::{market::{SplitRatio, split_like}, money::Price};
/// let like = split_like(Price::from_cents(64_557), Price::from_cents(92_70));
/// assert_eq!(like, SplitRatio::of(7, 1));
/// assert_eq!(split_like(Price::from_cents(64_557), Price::from_cents(43_000)), None);
/// ```
#[must_use]
pub fn split_like(close: Price, price: Price) -> Option<SplitRatio> {
    let change = price.to_f64() / close.to_f64();
    let forward = FORWARD.iter().filter_map(|new| SplitRatio::of(*new, 1));
    let usual = forward.chain(REVERSE.iter().filter_map(|old| SplitRatio::of(1, *old)));
    let distance = |ratio: SplitRatio| (change / ratio.of_price() - 1.0).abs();
    usual.filter(|ratio| distance(*ratio) < BESIDE).min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
}

/// Compares the jumps between sessions, in order, with a symbol's actions.
///
/// # Errors
/// If a figure overflows.
pub fn jumps(daily: &[(SessionDate, Bar)], actions: &[CorporateAction]) -> Result<Vec<Jump>, MoneyError> {
    let splits: Vec<CorporateAction> =
        actions.iter().copied().filter(|action| matches!(action.kind, ActionKind::Split(_))).collect();
    let adjustments = Adjustments::of(&splits, |_| None)?;
    let mut jumps = Vec::new();
    for pair in daily.windows(2) {
        let [(before, earlier), (session, later)] = pair else { continue };
        let (close, open) = (earlier.close, later.open);
        let adjusted = adjustments.between(*before, *session)?.price(close)?;
        let between = actions.iter().filter(|action| *before < action.ex_date && action.ex_date <= *session);
        let (mut told, mut too_large) = (None, None);
        for action in between {
            match action.kind {
                ActionKind::Split(ratio) => told = told.or(Some(ratio)),
                ActionKind::Dividend(amount) if amount >= adjusted => too_large = Some(amount),
                ActionKind::Dividend(_) => {}
            }
        }
        let fault = match told {
            // Nearer to the close as it was than to the close as it is said to have become.
            Some(ratio) => {
                let off = (open.to_f64() / adjusted.to_f64()).ln().abs();
                (off > ratio.of_price().ln().abs() / 2.0).then_some(JumpFault::NotInBars(ratio))
            }
            None => split_like(close, open).map(JumpFault::Untold),
        };
        let faults = fault.into_iter().chain(too_large.map(JumpFault::DividendTooLarge));
        jumps.extend(faults.map(|fault| Jump { session: *session, close, open, fault }));
    }
    Ok(jumps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Quantity;
    use crate::time::Timestamp;

    fn day(day: u32, open: i64, close: i64) -> (SessionDate, Bar) {
        let (open, close) = (Price::from_cents(open), Price::from_cents(close));
        let (high, low) = (open.max(close), open.min(close));
        let bar = Bar { start: Timestamp(0), open, high, low, close, volume: Quantity::ZERO };
        (SessionDate::of(2014, 6, day).unwrap(), bar)
    }

    #[test]
    fn usual_splits_are_recognised_and_bad_days_are_not() {
        let table = [
            (64_557, 92_70, Some("7:1")),
            (49_923, 12_758, Some("4:1")),
            (221_340, 44_461, Some("5:1")),
            (10_000, 50_00, Some("2:1")),
            (10_000, 66_67, None),
            (10_000, 54_00, None),
            (10_000, 20_000, None),
            (1_00, 10_20, Some("1:10")),
            (10_000, 10_000, None),
            (0, 10_00, None),
        ];
        for (close, price, expected) in table {
            let like = split_like(Price::from_cents(close), Price::from_cents(price)).map(|ratio| ratio.to_string());
            assert_eq!(like.as_deref(), expected, "{close} to {price}");
        }
    }

    #[test]
    fn a_jump_is_told_unless_an_action_explains_it() {
        let daily = [day(5, 64_000, 64_600), day(6, 64_990, 64_557), day(9, 92_70, 93_70), day(10, 94_73, 94_25)];
        let ratio = SplitRatio::of(7, 1).unwrap();
        let split = |on: u32| CorporateAction {
            ex_date: SessionDate::of(2014, 6, on).unwrap(),
            kind: ActionKind::Split(ratio),
        };
        let of = |actions: &[CorporateAction]| -> Vec<(u32, JumpFault)> {
            let day = |session: SessionDate| session.to_string()[8..].parse().unwrap();
            jumps(&daily, actions).unwrap().iter().map(|jump| (day(jump.session), jump.fault)).collect()
        };
        assert_eq!(of(&[]), [(9, JumpFault::Untold(ratio))]);
        assert_eq!(of(&[split(9)]), []);
        assert_eq!(of(&[split(7)]), [], "a Saturday before it is as good");
        assert_eq!(of(&[split(9), split(10)]), [(10, JumpFault::NotInBars(ratio))]);
        let dividend = CorporateAction { kind: ActionKind::Dividend(Price::from_cents(47)), ..split(9) };
        assert_eq!(of(&[dividend]), [(9, JumpFault::Untold(ratio))]);
        // After the split a share is worth 92.22.
        for (cents, is_too_large) in [(92_22, false), (92_23, true)] {
            let amount = Price::from_cents(cents);
            let dividend = CorporateAction { kind: ActionKind::Dividend(amount), ..split(9) };
            let expected = is_too_large.then_some((9, JumpFault::DividendTooLarge(amount)));
            assert_eq!(of(&[split(9), dividend]), Vec::from_iter(expected), "{amount}");
        }
    }
}
