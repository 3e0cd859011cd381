use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::entries::{Exits, Found, entries, known_entry_price};
use super::terms::Problems;
use super::{Direction, Directions, NextLook, Reasons, Signal, SymbolView};
use crate::market::Symbol;
use crate::money::{Bps, MoneyError, Price};
use crate::time::Span;

/// The settings of a strategy that is a script: what is its own, and when it is asked.
///
/// The core does not run it: whoever does hands what it returns to [`ScriptSettings::signal`], from where on it is a
/// signal like any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptSettings {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// The file of the script, from the folder of the configuration on.
    pub script: String,
    /// The SHA-256 of its text, in hexadecimal; `None` until it is read.
    pub sha256: Option<String>,
    /// What the script is to use in the place of its own parameters, by name.
    pub params: BTreeMap<String, Param>,
    /// Which directions are traded.
    pub direction: Directions,
    /// The earliest entry, from the session's open.
    pub earliest_entry: Span,
    /// The latest entry, from the session's open.
    pub latest_entry: Span,
    /// How often a symbol is entered in a session.
    pub max_entries: u32,
    /// How long a signal may be traded on.
    pub valid_for: Span,
    /// The script itself. It is kept by its hash, and not with the settings.
    #[serde(skip)]
    pub text: String,
}

impl Default for ScriptSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            script: String::new(),
            sha256: None,
            params: BTreeMap::new(),
            direction: Directions::Long,
            earliest_entry: Span::minutes(15),
            latest_entry: Span::hours(5),
            max_entries: 1,
            valid_for: Span::minutes(5),
            text: String::new(),
        }
    }
}

/// A parameter of a script.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Param {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A number; it is finite.
    Number(f64),
    /// Text.
    Text(String),
}

// What is read is finite, so each is equal to itself.
impl Eq for Param {}

impl<'de> Deserialize<'de> for Param {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParamVisitor;

        impl Visitor<'_> for ParamVisitor {
            type Value = Param;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, a number or text")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Param, E> {
                Ok(Param::Flag(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Param, E> {
                Ok(Param::Integer(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Param, E> {
                i64::try_from(value)
                    .map(Param::Integer)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Param, E> {
                if value.is_finite() {
                    Ok(Param::Number(value))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(value), &self))
                }
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Param, E> {
                Ok(Param::Text(value.to_owned()))
            }
        }

        deserializer.deserialize_any(ParamVisitor)
    }
}

/// What a script returns to propose a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    direction: Direction,
    stop: Price,
    target: Price,
    confidence: Bps,
}

/// The numbers of a proposal as a script has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposed {
    /// Which way.
    pub direction: Direction,
    /// Where the loss is taken, in dollars.
    pub stop: f64,
    /// Where the profit is taken, in dollars.
    pub target: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
}

/// A proposal that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Nonsense {
    /// A price that is none.
    #[error("{key} is {value}: expected a price above zero")]
    NoPrice { key: &'static str, value: f64 },
    /// A confidence that is none.
    #[error("confidence is {value}: expected a number from 0 to 1")]
    NoConfidence { value: f64 },
    /// A stop where there is no loss, or a target where there is no profit.
    #[error("{key} is {price}, on the wrong side of the entry at {entry} for a {}", .direction.as_str())]
    WrongSide { key: &'static str, price: Price, entry: Price, direction: Direction },
    /// A number that does not fit.
    #[error(transparent)]
    Amount(#[from] MoneyError),
}

impl Proposal {
    /// Takes a script's numbers. Prices are rounded to their unit, and the confidence to a basis point.
    ///
    /// # Errors
    /// [`Nonsense::NoPrice`] and [`Nonsense::NoConfidence`].
    pub fn new(proposed: &Proposed) -> Result<Self, Nonsense> {
        let Proposed { direction, stop, target, confidence } = *proposed;
        let price = |key, value: f64| {
            Price::from_f64(value).ok().filter(|price| price.is_positive()).ok_or(Nonsense::NoPrice { key, value })
        };
        let sure = Bps::from_f64(confidence).ok().filter(|sure| (Bps::ZERO..=Bps::ONE).contains(sure));
        Ok(Self {
            direction,
            stop: price("stop", stop)?,
            target: price("target", target)?,
            confidence: sure.ok_or(Nonsense::NoConfidence { value: confidence })?,
        })
    }
}

/// Why a script proposes nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptFault {
    /// The strategy's name in the configuration.
    pub strategy: String,
    /// The SHA-256 of the script's text.
    pub sha256: String,
    /// The parameters that it was given.
    pub params: BTreeMap<String, Param>,
    /// The symbol that it was asked about.
    pub symbol: Symbol,
    /// What went wrong, with the place in the file.
    pub message: String,
}

impl ScriptFault {
    /// Whether it is a fault of this script under these settings: with another text or another parameter it may work.
    #[must_use]
    pub fn concerns(&self, strategy: &str, settings: &ScriptSettings) -> bool {
        self.strategy == strategy
            && settings.sha256.as_deref() == Some(self.sha256.as_str())
            && self.params == settings.params
    }
}

impl ScriptSettings {
    /// Everything that is wrong with the settings, the script's own parameters left out.
    pub(super) fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        problems.require(
            "script",
            !self.script.is_empty(),
            "empty",
            "a file beside the configuration, such as strategies/my.lua",
        );
        entries!(self).check(&mut problems);
        problems
    }

    /// Whether the script is asked now; the reasons tell why not.
    pub fn is_open(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> bool {
        entries!(self).are_open(view, reasons)
    }

    /// The earliest look at which the script is asked.
    #[must_use]
    pub fn next_look(&self, view: &SymbolView<'_>) -> NextLook {
        entries!(self).next_look(view)
    }

    /// The signal of the strategy `name` that a proposal makes: at the price of the moment, its exits rounded to ticks
    /// toward it. `None`, and the reason, where the direction is not traded, no price is known, or less than a tick is
    /// left between the entry and an exit.
    ///
    /// # Errors
    /// [`Nonsense`] if the stop or the target is on the wrong side of the entry.
    pub fn signal(
        &self,
        name: &str,
        view: &SymbolView<'_>,
        proposal: &Proposal,
        reasons: &mut Reasons,
    ) -> Result<Option<Signal>, Nonsense> {
        let Proposal { direction, stop, target, confidence } = *proposal;
        let entries = entries!(self);
        if !entries.allow(direction, reasons) {
            return Ok(None);
        }
        let Some(entry) = known_entry_price(view, direction, reasons) else { return Ok(None) };
        reasons.note("entry", entry);
        let wrong = |key, price| Nonsense::WrongSide { key, price, entry, direction };
        if direction.favours(stop, entry) {
            return Err(wrong("stop", stop));
        }
        if direction.favours(entry, target) {
            return Err(wrong("target", target));
        }
        let (risked, hoped) = match direction {
            Direction::Long => (entry.minus(stop)?, target.minus(entry)?),
            Direction::Short => (stop.minus(entry)?, entry.minus(target)?),
        };
        let Some(exits) = Exits::at(entry, direction, risked, hoped, reasons)? else { return Ok(None) };
        let found = Found { strategy: name, direction, entry, exits, confidence };
        Ok(Some(entries.signal(view, found, reasons)))
    }
}

/// What is wrong with the name of a script's strategy; it stands in signals and on command lines.
pub(super) fn problem_of_name(name: &str, built_in: &[&str]) -> Option<String> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if built_in.contains(&name) {
        return Some("is the name of a strategy that is built in; expected another".to_owned());
    }
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters);
    (!is_name).then(|| "is no name of a strategy; expected a-z, 0-9 and _, beginning with a letter".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;
    use crate::market::Quote;
    use crate::money::Quantity;
    use crate::strategy::Wording;
    use crate::time::SessionDate;

    fn view(minute: u64, entries_today: u32) -> SymbolView<'static> {
        let session = Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap();
        let as_of = session.open.after(Span::minutes(u32::try_from(minute).unwrap()).as_duration());
        let quote = Quote {
            at: as_of,
            bid: Price::from_cents(99_99),
            ask: Price::from_cents(10_000),
            bid_size: Quantity::whole(1),
            ask_size: Quantity::whole(1),
        };
        SymbolView {
            symbol: "AAPL".parse().unwrap(),
            session,
            as_of,
            bars: &[],
            quote: Some(quote),
            previous_close: None,
            daily_atr: None,
            relative_volume: None,
            news_score: None,
            model: None,
            entries_today,
        }
    }

    fn answer(direction: Direction, stop: f64, target: f64) -> Result<Option<Signal>, Nonsense> {
        let settings = ScriptSettings { direction: Directions::Both, ..ScriptSettings::default() };
        let proposal = Proposal::new(&Proposed { direction, stop, target, confidence: 0.75 })?;
        settings.signal("mine", &view(30, 0), &proposal, &mut Reasons::new(Wording::Told))
    }

    #[test]
    fn exits_are_rounded_toward_the_entry() {
        let long = answer(Direction::Long, 98.001, 103.009).unwrap().unwrap();
        assert_eq!(
            (long.entry, long.stop, long.target),
            (Price::from_cents(10_000), Price::from_cents(98_01), Price::from_cents(10_300))
        );
        assert_eq!((long.strategy.as_str(), long.confidence), ("mine", Bps(7_500)));
        let short = answer(Direction::Short, 101.009, 97.001).unwrap().unwrap();
        assert_eq!(
            (short.entry, short.stop, short.target),
            (Price::from_cents(99_99), Price::from_cents(10_100), Price::from_cents(97_01))
        );
        assert_eq!(answer(Direction::Long, 99.995, 103.0), Ok(None), "less than a tick");
    }

    #[test]
    fn nonsense_is_told_with_its_numbers() {
        let table = [
            (Direction::Long, 100.5, 103.0, "stop is 100.50, on the wrong side of the entry at 100.00 for a long"),
            (Direction::Long, 98.0, 99.0, "target is 99.00, on the wrong side of the entry at 100.00 for a long"),
            (Direction::Short, 99.0, 97.0, "stop is 99.00, on the wrong side of the entry at 99.99 for a short"),
            (Direction::Long, f64::NAN, 103.0, "stop is NaN: expected a price above zero"),
            (Direction::Long, 98.0, f64::INFINITY, "target is inf: expected a price above zero"),
            (Direction::Long, -1.0, 103.0, "stop is -1: expected a price above zero"),
        ];
        for (direction, stop, target, expected) in table {
            assert_eq!(answer(direction, stop, target).unwrap_err().to_string(), expected);
        }
        for confidence in [-0.1, 1.1, f64::NAN] {
            let proposed = Proposed { direction: Direction::Long, stop: 1.0, target: 2.0, confidence };
            assert!(matches!(Proposal::new(&proposed), Err(Nonsense::NoConfidence { .. })), "{confidence}");
        }
    }

    #[test]
    fn it_is_asked_within_its_time() {
        let settings = ScriptSettings::default();
        assert!(matches!(settings.next_look(&view(5, 0)), NextLook::From(_)));
        assert_eq!(settings.next_look(&view(20, 0)), NextLook::Now);
        assert_eq!(settings.next_look(&view(20, 1)), NextLook::NextSession);
        assert_eq!(settings.next_look(&view(301, 0)), NextLook::NextSession);
        for (minute, entries, open) in [(5, 0, false), (20, 0, true), (20, 1, false), (301, 0, false)] {
            assert_eq!(settings.is_open(&view(minute, entries), &mut Reasons::new(Wording::Untold)), open);
        }
    }

    #[test]
    fn parameters_are_read_as_what_they_are() {
        let read: BTreeMap<String, Param> = serde_json::from_str(r#"{"a": true, "b": 5, "c": 0.5, "d": "x"}"#).unwrap();
        let expected = [Param::Flag(true), Param::Integer(5), Param::Number(0.5), Param::Text("x".to_owned())];
        assert_eq!(read.values().cloned().collect::<Vec<_>>(), expected);
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"a":true,"b":5,"c":0.5,"d":"x"}"#);
        assert!(serde_json::from_str::<Param>("[1]").unwrap_err().to_string().contains("a number or text"));
    }

    #[test]
    fn a_fault_is_of_one_text_under_one_set_of_parameters() {
        let settings = ScriptSettings { sha256: Some("a".to_owned()), ..ScriptSettings::default() };
        let fault = ScriptFault {
            strategy: "mine".to_owned(),
            sha256: "a".to_owned(),
            params: BTreeMap::new(),
            symbol: "AAPL".parse().unwrap(),
            message: String::new(),
        };
        assert!(fault.concerns("mine", &settings) && !fault.concerns("other", &settings));
        let changed = ScriptSettings { sha256: Some("b".to_owned()), ..settings.clone() };
        assert!(!fault.concerns("mine", &changed));
        let params = BTreeMap::from([("closes".to_owned(), Param::Integer(2))]);
        assert!(!fault.concerns("mine", &ScriptSettings { params, ..settings }));
    }

    #[test]
    fn a_name_is_a_word_that_is_not_taken() {
        for (name, is_good) in
            [("my_2nd", true), ("", false), ("My", false), ("2nd", false), ("a-b", false), ("composite", false)]
        {
            assert_eq!(problem_of_name(name, &["composite"]).is_none(), is_good, "{name}");
        }
    }
}
