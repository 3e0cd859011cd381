use std::fmt;

use serde::{Deserialize, Serialize};

use super::RiskSettings;
use crate::money::{Bps, Money, MoneyError, Price, Quantity};

/// How many shares an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizing {
    /// So many that `risk_per_trade` of the equity is lost at the stop.
    RiskPerTrade,
    /// Always this many.
    Fixed(Quantity),
    /// So many that they are worth this part of the equity.
    Equity(Bps),
    /// So many that a move of one daily average true range changes the equity by this part.
    Volatility(Bps),
    /// So many that a part of Kelly's share of the equity is lost at the stop.
    Kelly(KellySettings),
}

/// Kelly's share, taken with care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KellySettings {
    /// The part of Kelly's share that is risked.
    pub fraction: Bps,
    /// The most of the equity that is risked, whatever the record says.
    pub cap: Bps,
    /// The latest closed trades that the share follows from; with fewer it is `risk_per_trade`.
    pub trades: u32,
}

impl Default for KellySettings {
    fn default() -> Self {
        Self { fraction: Bps(2_500), cap: Bps(100), trades: 50 }
    }
}

impl Sizing {
    /// How many of the latest trades it looks at.
    #[must_use]
    pub const fn looks_at_trades(self) -> u32 {
        match self {
            Self::Kelly(kelly) => kelly.trades,
            Self::RiskPerTrade | Self::Fixed(_) | Self::Equity(_) | Self::Volatility(_) => 0,
        }
    }

    /// What is wrong with it: the key within `risk`, its value, and what is expected.
    pub(super) fn problems(self) -> Vec<(&'static str, String)> {
        let is_part = |part: Bps| Bps::ZERO < part && part <= Bps::ONE;
        let share = "a percentage above 0%, at most 100%";
        let checks = match self {
            Self::RiskPerTrade => vec![],
            Self::Fixed(shares) => {
                vec![("sizing.fixed", shares.is_positive(), shares.to_string(), "a quantity above zero, such as 100")]
            }
            Self::Equity(part) => {
                vec![("sizing.equity", part > Bps::ZERO, part.to_string(), "a percentage above 0%, such as 5%")]
            }
            Self::Volatility(part) => vec![("sizing.volatility", is_part(part), part.to_string(), share)],
            Self::Kelly(KellySettings { fraction, cap, trades }) => vec![
                ("sizing.kelly.fraction", is_part(fraction), fraction.to_string(), share),
                ("sizing.kelly.cap", is_part(cap), cap.to_string(), share),
                ("sizing.kelly.trades", trades >= 10, trades.to_string(), "at least 10: fewer say nothing"),
            ],
        };
        let wrong = checks.into_iter().filter(|(_, holds, ..)| !holds);
        wrong.map(|(key, _, value, expected)| (key, format!("is {value}: expected {expected}"))).collect()
    }
}

/// What the size of an entry follows from.
pub(super) struct Basis<'a> {
    /// The account's equity.
    pub(super) equity: Money,
    /// The price at which it is sized.
    pub(super) price: Price,
    /// Where its stop will be.
    pub(super) stop: Price,
    /// From the one to the other; above zero.
    pub(super) distance: Price,
    /// The average true range of the sessions before.
    pub(super) daily_atr: Option<Price>,
    /// The results of the latest closed trades.
    pub(super) results: &'a [Money],
}

/// The shares that a sizing asks for; as text, the numbers behind them.
pub(super) struct Wanted {
    /// Not yet in lots, nor bounded by what the account may hold.
    pub(super) shares: Quantity,
    stop: Price,
    why: Why,
}

/// What the shares follow from.
enum Why {
    AtRisk { budget: Money, distance: Price, share: Share },
    Fixed,
    Equity { part: Bps, equity: Money, price: Price },
    Volatility { budget: Money, atr: Price },
    UnknownRange,
}

/// How the part of the equity that is at risk was chosen.
enum Share {
    Set,
    TooFewTrades { known: usize, wanted: u32 },
    Kelly { part: Bps, settings: KellySettings, kelly: Bps },
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shares, stop, why } = self;
        match why {
            Why::AtRisk { budget, distance, share } => {
                write!(f, "{budget} at risk over {distance} to the stop at {stop}")?;
                match share {
                    Share::Set => Ok(()),
                    Share::TooFewTrades { known, wanted } => {
                        write!(f, " (Kelly's share is unknown: {known} trades of {wanted})")
                    }
                    Share::Kelly { part, settings: KellySettings { fraction, cap, .. }, kelly } => {
                        write!(f, " ({part} of the equity: {fraction} of Kelly's {kelly}, at most {cap})")
                    }
                }
            }
            Why::Fixed => write!(f, "{shares} wanted, stop at {stop}"),
            Why::Equity { part, equity, price } => {
                write!(f, "{part} of an equity of {equity} at {price}, stop at {stop}")
            }
            Why::Volatility { budget, atr } => write!(f, "{budget} for a daily range of {atr}, stop at {stop}"),
            Why::UnknownRange => f.write_str("the daily range is unknown"),
        }
    }
}

/// The shares that the sizing asks for, and the numbers behind them.
pub(super) fn wanted(basis: &Basis<'_>, settings: &RiskSettings) -> Result<Wanted, MoneyError> {
    let Basis { equity, price, stop, distance, daily_atr, results } = *basis;
    let at_risk = |part: Bps, share: Share| -> Result<(Quantity, Why), MoneyError> {
        let budget = equity.portion(part)?;
        let shares = if budget.is_positive() { budget.shares_at(distance)? } else { Quantity::ZERO };
        Ok((shares, Why::AtRisk { budget, distance, share }))
    };
    let (shares, why) = match settings.sizing {
        Sizing::RiskPerTrade => at_risk(settings.risk_per_trade, Share::Set)?,
        Sizing::Fixed(shares) => (shares, Why::Fixed),
        Sizing::Equity(part) => (equity.portion(part)?.shares_at(price)?, Why::Equity { part, equity, price }),
        Sizing::Volatility(part) => match daily_atr.filter(|atr| atr.is_positive()) {
            Some(atr) => {
                let budget = equity.portion(part)?;
                (budget.shares_at(atr)?, Why::Volatility { budget, atr })
            }
            None => (Quantity::ZERO, Why::UnknownRange),
        },
        Sizing::Kelly(kelly @ KellySettings { fraction, cap, trades }) => {
            let is_known = results.len() >= usize::try_from(trades).unwrap_or(usize::MAX);
            if is_known {
                let share = kelly_share(results);
                let part = Bps(share.0.saturating_mul(fraction.0) / Bps::ONE.0).min(cap);
                at_risk(part, Share::Kelly { part, settings: kelly, kelly: share })?
            } else {
                let share = Share::TooFewTrades { known: results.len(), wanted: trades };
                at_risk(settings.risk_per_trade.min(cap), share)?
            }
        }
    };
    Ok(Wanted { shares, stop, why })
}

/// Kelly's share of the capital for a bet like the trades of the record, rounded down to a basis point: `W - (1 - W) / R`, where
/// `W` is the part of trades that won and `R` the mean win over the mean loss.
///
/// With the sums of wins and of losses that is `W x (1 - lost / won)`: zero or less where the trades lost more than
/// they won. Sources: Kelly, *A New Interpretation of Information Rate* (Bell System Technical Journal 35, 1956); Thorp,
/// *The Kelly Criterion in Blackjack, Sports Betting, and the Stock Market* (2006).
fn kelly_share(results: &[Money]) -> Bps {
    let (mut wins, mut won, mut lost) = (0_i128, 0_i128, 0_i128);
    for result in results {
        if result.is_positive() {
            wins += 1;
            won += i128::from(result.0);
        } else {
            lost -= i128::from(result.0);
        }
    }
    if won == 0 {
        return Bps::ZERO;
    }
    let count = i128::try_from(results.len()).unwrap_or(i128::MAX);
    // 64-bit sums over a few thousand trades times 10^4 fit.
    let share = (i128::from(Bps::ONE.0) * (won - lost)).div_euclid(won) * wins;
    i64::try_from(share.div_euclid(count)).map_or(Bps::ZERO, Bps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dollars(results: &[i64]) -> Vec<Money> {
        results.iter().map(|result| Money::whole(*result)).collect()
    }

    fn sized(sizing: Sizing, daily_atr: Option<i64>, results: &[Money]) -> (String, String) {
        let basis = Basis {
            equity: Money::whole(100_000),
            price: Price::from_cents(50_00),
            stop: Price::from_cents(49_50),
            distance: Price::from_cents(50),
            daily_atr: daily_atr.map(Price::from_cents),
            results,
        };
        let wanted = wanted(&basis, &RiskSettings { sizing, ..RiskSettings::default() }).unwrap();
        (wanted.shares.to_string(), wanted.to_string())
    }

    fn expect(found: (String, String), shares: &str, words: &str) {
        assert_eq!((found.0.as_str(), found.1.as_str()), (shares, words));
    }

    #[test]
    fn each_sizing_shows_its_numbers() {
        expect(sized(Sizing::RiskPerTrade, None, &[]), "1000", "500.00 at risk over 0.50 to the stop at 49.50");
        expect(sized(Sizing::Fixed(Quantity::whole(70)), None, &[]), "70", "70 wanted, stop at 49.50");
        let words = "5% of an equity of 100000.00 at 50.00, stop at 49.50";
        expect(sized(Sizing::Equity(Bps(500)), None, &[]), "100", words);
        let words = "400.00 for a daily range of 2.00, stop at 49.50";
        expect(sized(Sizing::Volatility(Bps(40)), Some(2_00), &[]), "200", words);
        expect(sized(Sizing::Volatility(Bps(40)), None, &[]), "0", "the daily range is unknown");
    }

    #[test]
    fn kelly_takes_a_part_of_its_share_and_never_more_than_the_cap() {
        let kelly = |cap| Sizing::Kelly(KellySettings { fraction: Bps(1_000), cap: Bps(cap), trades: 10 });
        // Six of ten won 200 each, four lost 100 each: W = 0.6, R = 2, Kelly's share 0.4.
        let good = dollars(&[200, 200, 200, 200, 200, 200, -100, -100, -100, -100]);
        // 1 - 400 / 1200 is 66.66 % in whole basis points, and six tenths of it are 39.99 %.
        let found = sized(kelly(1_000), None, &good);
        assert_eq!(found.0, "7980");
        assert!(found.1.ends_with("(3.99% of the equity: 10% of Kelly's 39.99%, at most 10%)"), "{}", found.1);
        assert_eq!(sized(kelly(200), None, &good).0, "4000", "2 % of 100,000 over 0.50");
        let bad = dollars(&[100, 100, 100, 100, 100, 100, -300, -300, -300, -300]);
        assert_eq!(sized(kelly(1_000), None, &bad).0, "0");
        let few = sized(kelly(1_000), None, &good[..9]);
        assert_eq!(few.0, "1000");
        assert!(few.1.ends_with("(Kelly's share is unknown: 9 trades of 10)"), "{}", few.1);
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        let read = |text: &str| serde_json::from_str::<Sizing>(text);
        assert_eq!(read(r#""risk_per_trade""#).unwrap(), Sizing::RiskPerTrade);
        assert_eq!(read(r#"{"volatility": "0.5%"}"#).unwrap(), Sizing::Volatility(Bps(50)));
        let kelly = read(r#"{"kelly": {"cap": "2%"}}"#).unwrap();
        assert_eq!(kelly, Sizing::Kelly(KellySettings { cap: Bps(200), ..KellySettings::default() }));
        assert_eq!(kelly.looks_at_trades(), 50);
        assert!(read(r#"{"kelly": {"kap": "2%"}}"#).is_err());
        let wrong = Sizing::Kelly(KellySettings { fraction: Bps::ZERO, cap: Bps(20_000), trades: 3 });
        let keys: Vec<&str> = wrong.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["sizing.kelly.fraction", "sizing.kelly.cap", "sizing.kelly.trades"]);
    }
}
