use crate::indicators::{
    Adx, Atr, Band, Bollinger, Candle, Ema, Indicator, Macd, MacdPeriods, MacdValue, Momentum, Period, Rsi, Sma,
    StdDev, Vwap,
};
use crate::patterns::{CandlePatterns, PATTERNS, PatternValues};

/// Bars of the opening range that the technical score looks at.
const OPENING_BARS: u32 = 15;

/// Measures a symbol's trend, momentum and patterns, bar by bar: what the technical scan ranks a universe by.
#[derive(Debug, Clone)]
pub struct TechnicalScan {
    sma_20: Sma,
    sma_50: Sma,
    ema_12: Ema,
    ema_26: Ema,
    macd: Macd,
    rsi: Rsi,
    atr: Atr,
    bands: Bollinger,
    adx: Adx,
    vwap: Vwap,
    change: Momentum,
    volatility: StdDev,
    patterns: CandlePatterns,
    opening: Opening,
    figures: Option<Figures>,
}

/// The highest high and the lowest low of the first bars.
#[derive(Debug, Clone, Copy)]
struct Opening {
    bars: u32,
    high: f64,
    low: f64,
}

impl Opening {
    const NONE: Self = Self { bars: 0, high: f64::NEG_INFINITY, low: f64::INFINITY };
}

/// The indicators at a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The close.
    pub close: f64,
    /// The simple averages of 20 and of 50 closes.
    pub sma: [f64; 2],
    /// The exponential averages of 12 and of 26 closes.
    pub ema: [f64; 2],
    /// MACD(12, 26, 9).
    pub macd: MacdValue,
    /// RSI(14).
    pub rsi: f64,
    /// ATR(14).
    pub atr: f64,
    /// Bollinger's bands of 20 closes and 2 deviations.
    pub bands: Band,
    /// ADX(14).
    pub adx: f64,
    /// The volume-weighted average price since the session's first bar.
    pub vwap: f64,
    /// The standard deviation of the last 20 returns, per bar.
    pub volatility: f64,
}

/// A symbol as its last bar leaves it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Technicals {
    /// The indicators.
    pub figures: Figures,
    /// The high of the session's first 15 bars.
    pub opening_high: f64,
    /// The low of the session's first 15 bars.
    pub opening_low: f64,
    /// The candlestick patterns.
    pub patterns: PatternValues,
}

impl TechnicalScan {
    /// Before the first bar.
    #[must_use]
    pub fn new() -> Self {
        let (fourteen, twenty) = (Period::of::<14>(), Period::of::<20>());
        Self {
            sma_20: Sma::new(twenty),
            sma_50: Sma::new(Period::of::<50>()),
            ema_12: Ema::new(Period::of::<12>()),
            ema_26: Ema::new(Period::of::<26>()),
            macd: Macd::new(MacdPeriods::default()),
            rsi: Rsi::new(fourteen),
            atr: Atr::new(fourteen),
            bands: Bollinger::new(twenty, 2.0),
            adx: Adx::new(fourteen),
            vwap: Vwap::default(),
            change: Momentum::ratio(Period::of::<1>()),
            volatility: StdDev::new(twenty),
            patterns: CandlePatterns::new(),
            opening: Opening::NONE,
            figures: None,
        }
    }
}

impl Default for TechnicalScan {
    fn default() -> Self {
        Self::new()
    }
}

impl TechnicalScan {
    /// Begins a session: its opening range and its average price are its own. Bars that are sessions have one of all.
    pub fn begin_session(&mut self) {
        (self.opening, self.vwap) = (Opening::NONE, Vwap::default());
    }

    /// Takes the next bar.
    pub fn push(&mut self, candle: &Candle) {
        if self.opening.bars < OPENING_BARS {
            let Opening { bars, high, low } = self.opening;
            self.opening = Opening { bars: bars + 1, high: high.max(candle.high), low: low.min(candle.low) };
        }
        self.patterns.push(candle);
        self.figures = self.update(candle);
    }

    /// The indicators at the next bar. Each has to see it, also while another is undefined.
    fn update(&mut self, candle: &Candle) -> Option<Figures> {
        let close = candle.close;
        let (sma_20, sma_50) = (self.sma_20.update(close), self.sma_50.update(close));
        let (ema_12, ema_26) = (self.ema_12.update(close), self.ema_26.update(close));
        let (macd, rsi, bands) = (self.macd.update(close), self.rsi.update(close), self.bands.update(close));
        let (atr, adx, vwap) = (self.atr.update(*candle), self.adx.update(*candle), self.vwap.update(*candle));
        let volatility = self.change.update(close).and_then(|change| self.volatility.update(change));
        Some(Figures {
            close,
            sma: [sma_20?, sma_50?],
            ema: [ema_12?, ema_26?],
            macd: macd?,
            rsi: rsi?,
            atr: atr?,
            bands: bands?,
            adx: adx?,
            vwap: vwap?,
            volatility: volatility?,
        })
    }

    /// The symbol as the last bar leaves it, once every figure is defined: from the fiftieth bar on.
    #[must_use]
    pub fn measure(&self) -> Option<Technicals> {
        Some(Technicals {
            figures: self.figures?,
            opening_high: self.opening.high,
            opening_low: self.opening.low,
            patterns: self.patterns.values(),
        })
    }
}

impl Technicals {
    /// How many patterns end at the last bar.
    #[must_use]
    pub fn pattern_count(&self) -> usize {
        PATTERNS - self.patterns.iter().filter(|value| **value == 0).count()
    }

    /// The parts of the score by name, each in its own natural unit; what is divided by nothing is not finite.
    ///
    /// Distances are in average true ranges, the trend in standard deviations of a return, the place between the
    /// bands as a share of their width. RSI counts from its middle, ADX and patterns are scaled to about one.
    #[must_use]
    pub fn factors(&self) -> [(&'static str, f64); 8] {
        let Figures { close, sma: [_, sma_50], macd, rsi, atr, bands, adx, vwap, volatility, .. } = self.figures;
        let patterns: i32 = self.patterns.iter().map(|value| i32::from(*value)).sum();
        [
            ("trend", (close / sma_50 - 1.0) / volatility),
            ("rsi", (rsi - 50.0) / 50.0),
            ("adx", adx / 100.0),
            ("vwap", (close - vwap) / atr),
            ("opening_range", (close - self.opening_high) / atr),
            ("macd", macd.histogram / atr),
            ("bands", (close - bands.middle) / (bands.upper - bands.lower)),
            ("patterns", f64::from(patterns) / 1000.0),
        ]
    }

    /// The sum of the factors: the higher, the stronger and the more decided the rise; `None` where one is not
    /// finite, as in a symbol that stands still.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        let score = self.factors().iter().map(|(_, factor)| factor).sum::<f64>();
        score.is_finite().then_some(score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(closes: impl Iterator<Item = f64>) -> Vec<Candle> {
        let candle = |close: f64| Candle { open: close - 0.1, high: close + 0.2, low: close - 0.3, close, volume: 5.0 };
        closes.map(candle).collect()
    }

    fn measured(bars: &[Candle]) -> Option<Technicals> {
        let mut scan = TechnicalScan::new();
        bars.iter().for_each(|bar| scan.push(bar));
        scan.measure()
    }

    #[test]
    fn it_is_defined_from_the_fiftieth_bar_on() {
        let rising = bars((0..60).map(|i| 50.0 + f64::from(i) + f64::from(i % 3)));
        assert_eq!(measured(&rising[..49]), None);
        assert!(measured(&rising[..50]).is_some());
        let last = measured(&rising).unwrap();
        let figures = last.figures;
        assert_eq!((figures.close, last.opening_high, last.opening_low), (111.0, 66.2, 49.7));
        assert!(figures.sma[0] > figures.sma[1] && figures.macd.macd > 0.0 && figures.rsi > 50.0);
    }

    #[test]
    fn the_score_is_the_sum_of_its_factors_and_rising_beats_falling() {
        let sloped = |slope: f64| {
            let bars = bars((0..80).map(|i| 100.0 + slope * f64::from(i) + 0.2 * f64::from(i % 4)));
            measured(&bars).unwrap()
        };
        let (up, down) = (sloped(0.5), sloped(-0.5));
        assert_eq!(up.score(), Some(up.factors().iter().map(|(_, factor)| factor).sum()));
        assert!(up.score() > down.score());
    }

    #[test]
    fn a_session_has_its_own_opening_range_and_average() {
        let (first, second) = (bars((0..60).map(|i| 500.0 - f64::from(i))), bars((0..20).map(|i| 50.0 + f64::from(i))));
        let mut scan = TechnicalScan::new();
        first.iter().for_each(|bar| scan.push(bar));
        scan.begin_session();
        second.iter().for_each(|bar| scan.push(bar));
        let last = scan.measure().unwrap();
        assert_eq!((last.opening_high, last.opening_low), (64.2, 49.7));
        assert!((last.figures.vwap - (59.5 - 0.1 / 3.0)).abs() < 1e-9, "{}", last.figures.vwap);
        assert!(last.figures.sma[1] > 100.0, "what looks back over sessions does");
    }

    #[test]
    fn a_symbol_that_stands_still_has_no_score() {
        let still = [Candle { open: 5.0, high: 5.0, low: 5.0, close: 5.0, volume: 1.0 }; 60];
        assert_eq!(measured(&still).unwrap().score(), None);
    }
}
