//! What a bar costs: indicators and patterns, streaming and over a session: `cargo bench -p daybook-core`.
//!
//! Promised: nine indicators under 80 ns a bar, all patterns under 0.7 µs.

use daybook_core::indicators::{
    Adx, Atr, Bollinger, Candle, Ema, Indicator, Macd, MacdPeriods, Period, Rsi, Sma, StdDev, Vwap,
};
use daybook_core::patterns::CandlePatterns;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Minutes of a session.
const BARS: usize = 390;

/// A walk in whole cents: the same on every run.
fn session() -> Vec<Candle> {
    let mut state = 20_241_120_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below) as f64
    };
    let mut close = 8_000.0;
    let mut next = |_| {
        let open = close + draw(5) - 2.0;
        close = open + draw(21) - 10.0;
        let (high, low) = (open.max(close) + draw(6), open.min(close) - draw(6));
        let [open, high, low, close] = [open, high, low, close].map(|cents: f64| cents / 100.0);
        Candle { open, high, low, close, volume: 100.0 + draw(9_000) }
    };
    (0..BARS).map(&mut next).collect()
}

/// The nine of the scan benchmark, one after the other for each bar.
#[divan::bench]
fn nine_indicators(bencher: Bencher) {
    let candles = session();
    bencher.counter(ItemsCount::new(BARS)).bench_local(|| {
        let (mut sma_20, mut sma_50) = (Sma::new(Period::of::<20>()), Sma::new(Period::of::<50>()));
        let (mut ema_12, mut ema_26) = (Ema::new(Period::of::<12>()), Ema::new(Period::of::<26>()));
        let (mut macd, mut rsi) = (Macd::new(MacdPeriods::default()), Rsi::new(Period::of::<14>()));
        let (mut atr, mut adx) = (Atr::new(Period::of::<14>()), Adx::new(Period::of::<14>()));
        let mut bands = Bollinger::new(Period::of::<20>(), 2.0);
        for candle in &candles {
            let close = candle.close;
            black_box((sma_20.update(close), sma_50.update(close), ema_12.update(close), ema_26.update(close)));
            black_box((macd.update(close), rsi.update(close), bands.update(close)));
            black_box((atr.update(*candle), adx.update(*candle)));
        }
    });
}

#[divan::bench]
fn all_patterns(bencher: Bencher) {
    let candles = session();
    bencher.counter(ItemsCount::new(BARS)).bench_local(|| {
        let mut patterns = CandlePatterns::new();
        for candle in &candles {
            black_box(patterns.update(*candle));
        }
    });
}

/// Each indicator alone over a session.
mod alone {
    use super::*;

    fn over<I: Indicator + Clone>(bencher: Bencher, indicator: &I, inputs: &[I::Input]) {
        bencher.counter(ItemsCount::new(inputs.len())).bench_local(|| {
            let mut indicator = indicator.clone();
            for input in inputs {
                black_box(indicator.update(*input));
            }
        });
    }

    fn closes() -> Vec<f64> {
        session().iter().map(|candle| candle.close).collect()
    }

    #[divan::bench]
    fn sma_20(bencher: Bencher) {
        over(bencher, &Sma::new(Period::of::<20>()), &closes());
    }

    #[divan::bench]
    fn ema_12(bencher: Bencher) {
        over(bencher, &Ema::new(Period::of::<12>()), &closes());
    }

    #[divan::bench]
    fn macd(bencher: Bencher) {
        over(bencher, &Macd::new(MacdPeriods::default()), &closes());
    }

    #[divan::bench]
    fn rsi_14(bencher: Bencher) {
        over(bencher, &Rsi::new(Period::of::<14>()), &closes());
    }

    #[divan::bench]
    fn atr_14(bencher: Bencher) {
        over(bencher, &Atr::new(Period::of::<14>()), &session());
    }

    #[divan::bench]
    fn adx_14(bencher: Bencher) {
        over(bencher, &Adx::new(Period::of::<14>()), &session());
    }

    #[divan::bench]
    fn bollinger_20(bencher: Bencher) {
        over(bencher, &Bollinger::new(Period::of::<20>(), 2.0), &closes());
    }

    #[divan::bench]
    fn stddev_20(bencher: Bencher) {
        over(bencher, &StdDev::new(Period::of::<20>()), &closes());
    }

    #[divan::bench]
    fn vwap(bencher: Bencher) {
        over(bencher, &Vwap::default(), &session());
    }
}
