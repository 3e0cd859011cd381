use serde::{Deserialize, Serialize};

use super::session::{gap, ratio, relative_volume, usual_part};
use crate::calendar::Session;
use crate::decision::Candidate;
use crate::indicators::{Atr, Candle, Indicator, Period, TrueRange};
use crate::market::{Bar, Quote, SplitRatio, Symbol, complete_minutes, split_like};
use crate::money::{Bps, Money, Price, Quantity};
use crate::patterns::{CandlePatterns, directed};
use crate::strategy::Reason;
use crate::time::Timestamp;

/// Sessions in the average true range of the scan: Wilder's own period.
const ATR_SESSIONS: Period = Period::of::<14>();

/// What a symbol's features are measured from.
#[derive(Debug, Clone, Copy)]
pub struct ScanInput<'a> {
    /// The symbol.
    pub symbol: Symbol,
    /// Its price now.
    pub last: Price,
    /// Its quote now; `None` if there is none, or nobody asks for it.
    pub quote: Option<Quote>,
    /// Its sessions before today, one bar each, oldest first.
    pub daily: &'a [Bar],
    /// Its minutes of today so far, extended hours included.
    pub today: &'a [Bar],
    /// The session of today.
    pub session: Session,
    /// The instant of the look.
    pub as_of: Timestamp,
    /// News items since the close before.
    pub news: u32,
}

/// Why a symbol has no features.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmeasured {
    /// Nothing to compare with.
    #[error("{symbol}: no earlier session is known")]
    NoSessions { symbol: Symbol },
    /// The close before is told in other shares than the price.
    #[error(
        "{symbol}: {last} after a close of {close} looks like a {ratio} split that no corporate action tells of; \
         it is left out until one does"
    )]
    LooksSplit { symbol: Symbol, close: Price, last: Price, ratio: SplitRatio },
    /// Numbers that cannot be computed with.
    #[error("{symbol}: its {figure} is out of bounds")]
    OutOfBounds { symbol: Symbol, figure: &'static str },
}

/// What the scan knows of a symbol: stored with the run as its facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanFeatures {
    /// The symbol.
    pub symbol: Symbol,
    /// Its price.
    pub last: Price,
    /// The close of the session before.
    pub previous_close: Price,
    /// The first price of today's regular hours; `None` before it.
    #[serde(default)]
    pub opened: Option<Price>,
    /// The distance from `previous_close` of the price at which today opened; before that, of `last`.
    pub gap: Bps,
    /// Today's volume since the open against [what is usual](super::usual_part) by this time; before the first trade, the
    /// last session's volume against the mean of those before it. `None` without a session to compare with.
    pub relative_volume: Option<Bps>,
    /// Highest less lowest price of today so far; zero before the first trade.
    pub range: Price,
    /// The average true range of 14 sessions.
    pub atr: Price,
    /// What an average session trades, in whole dollars.
    pub dollar_volume: Money,
    /// News items since the close before.
    pub news: u32,
    /// The distance of bid and ask, of their middle; `None` without a quote that has both.
    #[serde(default)]
    pub spread: Option<Bps>,
    /// How far the close before lies above the mean of the closes before, in average true ranges; below it less than
    /// zero.
    #[serde(default)]
    pub trend: Bps,
    /// The values of the candlestick patterns that end with the last session and have a direction, summed: 100 % is one
    /// that is bullish.
    #[serde(default)]
    pub pattern: Bps,
}

impl ScanFeatures {
    /// Measures a symbol.
    ///
    /// The average true range is Wilder's over 14 sessions. With fewer sessions it is the mean of the
    /// true ranges there are, the first session counting with its high less low.
    ///
    /// # Errors
    /// [`Unmeasured`] without an earlier session, after what looks like a split, or if a figure overflows.
    pub fn measure(input: &ScanInput<'_>) -> Result<Self, Unmeasured> {
        let ScanInput { symbol, last, quote, daily, today, session, as_of, news } = *input;
        let (Some(first), Some(yesterday)) = (daily.first(), daily.last()) else {
            return Err(Unmeasured::NoSessions { symbol });
        };
        let regular = complete_minutes(today, session.open, as_of.min(session.close));
        let opened = regular.first().map(|bar| bar.open);
        let gapped_to = opened.unwrap_or(last);
        if let Some(ratio) = split_like(yesterday.close, gapped_to) {
            return Err(Unmeasured::LooksSplit { symbol, close: yesterday.close, last: gapped_to, ratio });
        }
        let out_of_bounds = |figure| Unmeasured::OutOfBounds { symbol, figure };

        let candles: Vec<Candle> = daily.iter().map(Candle::from).collect();
        let average_range = Atr::new(ATR_SESSIONS).last(candles.iter().copied()).unwrap_or_else(|| {
            let later = TrueRange::default().batch(&candles).into_iter().flatten();
            let ranges: Vec<f64> = std::iter::once(first.high.to_f64() - first.low.to_f64()).chain(later).collect();
            ranges.iter().sum::<f64>() / ranges.len() as f64
        });
        let atr = Price::from_f64(average_range).map_err(|_| out_of_bounds("average true range"))?;
        let volumes: Vec<Quantity> = daily.iter().map(|bar| bar.volume).collect();
        let (last_volume, earlier) = volumes.split_last().ok_or(Unmeasured::NoSessions { symbol })?;
        let relative_volume = if regular.is_empty() {
            relative_volume(*last_volume, earlier)
        } else {
            let traded = regular.iter().map(|bar| bar.volume).try_fold(Quantity::ZERO, Quantity::plus);
            let traded = traded.map_err(|_| out_of_bounds("volume"))?;
            let usual = usual_part(as_of.since(session.open), session.close.since(session.open));
            relative_volume(traded, &volumes).and_then(|of_all| Bps::from_f64(of_all.to_f64() / usual).ok())
        };
        let range = match (today.iter().map(|bar| bar.high).max(), today.iter().map(|bar| bar.low).min()) {
            (Some(high), Some(low)) => high.minus(low).map_err(|_| out_of_bounds("range"))?,
            _ => Price::ZERO,
        };
        Ok(Self {
            symbol,
            last,
            previous_close: yesterday.close,
            opened,
            gap: gap(yesterday.close, gapped_to).ok_or_else(|| out_of_bounds("gap"))?,
            relative_volume,
            range,
            atr,
            dollar_volume: average_dollar_volume(daily).ok_or_else(|| out_of_bounds("dollar volume"))?,
            news,
            spread: quote.as_ref().and_then(spread),
            trend: trend(daily, atr),
            pattern: pattern(&candles),
        })
    }

    /// The gap in average true ranges, unsigned; zero where the average is.
    pub(super) fn gap_in_atr(&self) -> Bps {
        let distance = i128::from(self.opened.unwrap_or(self.last).0) - i128::from(self.previous_close.0);
        ratio(distance.abs(), i128::from(self.atr.0)).unwrap_or(Bps::ZERO)
    }

    /// The range of the day so far in average true ranges; zero where the average is.
    pub(super) fn range_in_atr(&self) -> Bps {
        ratio(i128::from(self.range.0), i128::from(self.atr.0)).unwrap_or(Bps::ZERO)
    }

    /// A figure with a direction, as it speaks for the gap's: above zero where both point the same way.
    pub(super) const fn with_the_gap(&self, figure: Bps) -> Bps {
        if self.gap.0 < 0 { Bps(figure.0.saturating_neg()) } else { figure }
    }

    pub(super) fn candidate(&self, rank: u32, score: i64) -> Candidate {
        let known = |ratio: Option<Bps>| ratio.map_or_else(|| "unknown".to_owned(), |ratio| ratio.to_string());
        let factors = vec![
            Reason::new("price", self.last),
            Reason::new("gap", self.gap),
            Reason::new("gap in ATR", self.gap_in_atr()),
            Reason::new("relative volume", known(self.relative_volume)),
            Reason::new("range in ATR", self.range_in_atr()),
            Reason::new("dollar volume", self.dollar_volume),
            Reason::new("news items", self.news),
            Reason::new("spread", known(self.spread)),
            Reason::new("trend in ATR", self.trend),
            Reason::new("patterns", self.pattern),
        ];
        Candidate { symbol: self.symbol, rank, score, factors }
    }
}

/// The mean of close times volume, in whole dollars, rounded down.
fn average_dollar_volume(daily: &[Bar]) -> Option<Money> {
    let mut sum: i128 = 0;
    for bar in daily {
        sum += i128::from(bar.close.times(bar.volume).ok()?.0);
    }
    let mean = sum.checked_div(i128::try_from(daily.len()).ok()?)? / i128::from(Money::UNIT);
    i64::try_from(mean).ok().map(Money::whole)
}

/// The distance of bid and ask, of their middle.
fn spread(quote: &Quote) -> Option<Bps> {
    let middle = quote.midpoint().ok()?;
    let width = i128::from(quote.ask.0) - i128::from(quote.bid.0);
    if quote.check().is_err() { None } else { ratio(width, i128::from(middle.0)) }
}

/// The distance of the last close from the mean of all, in average true ranges; zero where the average is.
fn trend(daily: &[Bar], atr: Price) -> Bps {
    let count = i128::try_from(daily.len()).unwrap_or(i128::MAX);
    let sum: i128 = daily.iter().map(|bar| i128::from(bar.close.0)).sum();
    let last = daily.last().map_or(0, |bar| i128::from(bar.close.0));
    ratio(last * count - sum, i128::from(atr.0) * count).unwrap_or(Bps::ZERO)
}

/// The patterns that end with the last candle and have a direction.
fn pattern(candles: &[Candle]) -> Bps {
    let mut patterns = CandlePatterns::new();
    candles.iter().for_each(|candle| patterns.push(candle));
    let sum: i64 = directed(&patterns.values()).map(|(_, value)| i64::from(value)).sum();
    Bps(sum * Bps::ONE.0 / 100)
}
