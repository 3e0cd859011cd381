use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Symbol;
use crate::money::Price;
use crate::time::SessionDate;

/// Old shares that a ratio is looked for with: two factors of seven digits tell no finer one.
const OLD_MAX: u32 = 10_000;

/// How far a ratio may lie from the number that it stands for, as a part of it.
const NEAREST: f64 = 1e-4;

/// What a company does to its shares that moves their price though nobody gains or loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CorporateAction {
    /// The first session whose prices have it in them.
    pub ex_date: SessionDate,
    /// What is done.
    pub kind: ActionKind,
}

/// What is done to shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// They become more, or fewer.
    Split(SplitRatio),
    /// Cash is paid for each share of the ex-date.
    Dividend(Price),
}

impl ActionKind {
    /// What it is called: `split`, `dividend`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split(_) => "split",
            Self::Dividend(_) => "dividend",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split(ratio) => write!(f, "{ratio} split"),
            Self::Dividend(amount) => write!(f, "dividend of {amount}"),
        }
    }
}

/// How many new shares stand for how many old ones: `7:1`; a reverse split is `1:10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SplitRatio {
    new: u32,
    old: u32,
}

/// Text that is no ratio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no ratio of a split: expected new and old shares, such as 7:1, or 1:10 for a reverse split")]
pub struct SplitRatioError {
    /// What was read.
    pub text: String,
}

impl SplitRatio {
    /// The ratio in lowest terms; `None` if either number is zero, or both are the same.
    #[must_use]
    pub const fn of(new: u32, old: u32) -> Option<Self> {
        let (mut a, mut b) = (new, old);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        if new == 0 || old == 0 || new == old { None } else { Some(Self { new: new / a, old: old / a }) }
    }

    /// The simplest ratio near a number of new shares for an old one; `None` where there is none, or it is no split.
    ///
    /// ```
    /// # use daybook_core::market::SplitRatio;
    /// assert_eq!(SplitRatio::nearest(1.0 / 0.142857), SplitRatio::of(7, 1));
    /// assert_eq!(SplitRatio::nearest(0.1), SplitRatio::of(1, 10));
    /// ```
    #[must_use]
    pub fn nearest(new_for_old: f64) -> Option<Self> {
        if !(1.0 / f64::from(OLD_MAX)..=f64::from(OLD_MAX)).contains(&new_for_old) {
            return None;
        }
        (1..=OLD_MAX).find_map(|old| {
            // At most the square of the largest number of shares, above zero.
            let new = (new_for_old * f64::from(old)).round() as u32;
            let is_near = (f64::from(new) / f64::from(old) / new_for_old - 1.0).abs() < NEAREST;
            is_near.then(|| Self::of(new, old))
        })?
    }

    /// New shares.
    #[must_use]
    pub const fn new_shares(self) -> u32 {
        self.new
    }

    /// The old shares that they stand for.
    #[must_use]
    pub const fn old_shares(self) -> u32 {
        self.old
    }

    /// What a price is multiplied by.
    #[must_use]
    pub fn of_price(self) -> f64 {
        f64::from(self.old) / f64::from(self.new)
    }
}

impl fmt::Display for SplitRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.new, self.old)
    }
}

impl FromStr for SplitRatio {
    type Err = SplitRatioError;
    fn from_str(text: &str) -> Result<Self, SplitRatioError> {
        let parts = text.split_once(':');
        let ratio = parts.and_then(|(new, old)| Self::of(new.trim().parse().ok()?, old.trim().parse().ok()?));
        ratio.ok_or_else(|| SplitRatioError { text: text.to_owned() })
    }
}

impl Serialize for SplitRatio {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SplitRatio {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The corporate actions of symbols, each symbol's in the order of their ex-dates, splits before dividends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CorporateActions(BTreeMap<Symbol, Vec<CorporateAction>>);

/// What became of an action that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionAdded {
    /// It is new.
    New,
    /// It was there already.
    Repeated,
    /// One of its kind was there for its ex-date, which stays.
    Different(CorporateAction),
}

impl CorporateActions {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds an action. A symbol has one of a kind for an ex-date: the first.
    pub fn add(&mut self, symbol: Symbol, action: CorporateAction) -> ActionAdded {
        let actions = self.0.entry(symbol).or_default();
        let key = |action: &CorporateAction| (action.ex_date, action.kind.name() == "dividend");
        let place = actions.partition_point(|known| key(known) < key(&action));
        match actions.get(place).filter(|known| key(known) == key(&action)) {
            Some(known) if *known == action => ActionAdded::Repeated,
            Some(known) => ActionAdded::Different(*known),
            None => {
                actions.insert(place, action);
                ActionAdded::New
            }
        }
    }

    /// Adds actions to others; of two of a kind for an ex-date the one that was there stays.
    pub fn merge(&mut self, more: Self) {
        for (symbol, action) in more.iter() {
            self.add(symbol, action);
        }
    }

    /// The actions of a symbol.
    #[must_use]
    pub fn of(&self, symbol: Symbol) -> &[CorporateAction] {
        self.0.get(&symbol).map_or(&[], Vec::as_slice)
    }

    /// All actions, by symbol and ex-date.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, CorporateAction)> + '_ {
        self.0.iter().flat_map(|(symbol, actions)| actions.iter().map(|action| (*symbol, *action)))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(day: u32, kind: ActionKind) -> CorporateAction {
        CorporateAction { ex_date: SessionDate::of(2014, 6, day).unwrap(), kind }
    }

    #[test]
    fn a_ratio_is_told_in_lowest_terms_and_read_back() {
        let table = [("7:1", Some("7:1")), ("14:2", Some("7:1")), ("1:10", Some("1:10")), (" 3 : 2", Some("3:2"))];
        let wrong = ["", "7", "7:0", "0:1", "5:5", "7/1", "-7:1", "1.5:1"].map(|text| (text, None));
        for (text, told) in table.into_iter().chain(wrong) {
            let read = text.parse::<SplitRatio>().map(|ratio| ratio.to_string());
            assert_eq!(read.as_deref().ok(), told, "{text}");
        }
    }

    #[test]
    fn the_simplest_ratio_near_a_number_is_found() {
        let table = [
            (7.000_007, Some((7, 1))),
            (1.5, Some((3, 2))),
            (0.066_666_7, Some((1, 15))),
            (1.000_01, None),
            (0.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ];
        for (number, expected) in table {
            let expected = expected.and_then(|(new, old)| SplitRatio::of(new, old));
            assert_eq!(SplitRatio::nearest(number), expected, "{number}");
        }
        let spin_off = SplitRatio::nearest(1.034_567).unwrap();
        assert!((1.0 / spin_off.of_price() / 1.034_567 - 1.0).abs() < NEAREST);
    }

    #[test]
    fn a_symbol_has_one_action_of_a_kind_for_a_date() {
        let split = |new| ActionKind::Split(SplitRatio::of(new, 1).unwrap());
        let dividend = ActionKind::Dividend(Price::from_cents(47));
        let symbol: Symbol = "AAPL".parse().unwrap();
        let mut actions = CorporateActions::new();
        assert_eq!(actions.add(symbol, on(9, dividend)), ActionAdded::New);
        assert_eq!(actions.add(symbol, on(9, split(7))), ActionAdded::New);
        assert_eq!(actions.add(symbol, on(2, split(2))), ActionAdded::New);
        assert_eq!(actions.add(symbol, on(9, split(7))), ActionAdded::Repeated);
        assert_eq!(actions.add(symbol, on(9, split(8))), ActionAdded::Different(on(9, split(7))));
        assert_eq!(actions.of(symbol), [on(2, split(2)), on(9, split(7)), on(9, dividend)]);
        assert_eq!(actions.of("AIG".parse().unwrap()), []);
        let mut others = CorporateActions::new();
        others.merge(actions.clone());
        assert_eq!(others, actions);
    }
}
