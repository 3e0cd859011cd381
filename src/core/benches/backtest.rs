//! How many bars a back-test lives through a second, on one core: `cargo bench -p daybook-core --bench backtest`.
//!
//! Promised: 50 million. An opening-range breakout trades 100 shares a symbol and session, in the two variants of the
//! benchmark that differ most; nearly every session of a symbol has a trade.

use std::collections::BTreeMap;

use daybook_core::backtest::{BacktestSettings, Exits, Fills, Pace, Terms, run};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::exchange::ExchangeSettings;
use daybook_core::market::{Bar, BarColumns, CorporateActions, Symbol, Timeframe};
use daybook_core::money::{Bps, Factor, Money, Price, Quantity};
use daybook_core::risk::{RiskSettings, SafeModeSettings, Sizing, TrailingSettings};
use daybook_core::strategy::{
    Anchor, Confirmation, Directions, Distance, OpeningRangeBreakout, StopRounding, Strategy,
};
use daybook_core::time::{SessionDate, Span, Timestamp};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const SYMBOLS: usize = 500;
const SESSIONS: i64 = 5;

fn sessions() -> Vec<Session> {
    let date = |day| SessionDate::of(2024, 1, day).unwrap_or_else(|| panic!("a date"));
    Calendar::xnys().sessions(date(2), date(8)).collect()
}

/// Walks in whole cents, the same on every run.
fn market() -> BTreeMap<Symbol, BarColumns> {
    let mut state = 20_241_120_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).unwrap_or_default()
    };
    let sessions = sessions();
    let mut series = || {
        let mut close = 5_000 + draw(10_000);
        let mut bars = BarColumns::default();
        for session in &sessions {
            for minute in 0..390 {
                let open = close + draw(5) - 2;
                close = (open + draw(21) - 10).max(100);
                let (high, low) = (open.max(close) + draw(6), open.min(close) - draw(6));
                let start = Timestamp(session.open.0 + 60_000 * minute);
                let [open, high, low, close] = [open, high, low, close].map(Price::from_cents);
                bars.push(&Bar { start, open, high, low, close, volume: Quantity::whole(100 + draw(9_000)) });
            }
        }
        bars
    };
    let symbol = |place: usize| format!("S{place:05}").parse().unwrap_or_else(|_| panic!("a symbol"));
    (0..SYMBOLS).map(|place| (symbol(place), series())).collect()
}

fn breakout() -> OpeningRangeBreakout {
    OpeningRangeBreakout {
        direction: Directions::Long,
        confirmation: Confirmation { closes: 1, timeframe: Timeframe::M1 },
        buffer: Distance::Range(Factor::ZERO),
        max_extension: Factor::whole(100_000),
        stop: Distance::Percent(Bps(200)),
        stop_rounding: StopRounding::AwayFromEntry,
        stop_within_range: true,
        target: Distance::Range(Factor::whole(2)),
        target_from: Anchor::Level,
        atr_timeframe: Timeframe::D1,
        latest_entry: Span::hours(6),
        ..OpeningRangeBreakout::default()
    }
}

/// No limit that binds.
fn boundless() -> RiskSettings {
    RiskSettings {
        sizing: Sizing::Fixed(Quantity::whole(100)),
        max_daily_loss: Money::whole(1_000_000_000),
        max_drawdown: Bps(9_999),
        max_positions: 1_000_000,
        max_position_value: Money::whole(1_000_000_000),
        max_exposure: Money::whole(10_000_000_000),
        execute_top_n: 1_000_000,
        min_confidence: Bps::ZERO,
        min_session_left: Span::ZERO,
        min_bars: 0,
        stop_loss: Bps(9_999),
        max_hold: Span::hours(24),
        trailing: TrailingSettings { break_even_after: Factor::ZERO, ..TrailingSettings::default() },
        safe_mode: SafeModeSettings { after_losses: 0, ..SafeModeSettings::default() },
        ..RiskSettings::default()
    }
}

fn bench(bencher: Bencher<'_, '_>, fills: Fills, exits: Exits) {
    let market = market();
    assert_eq!(sessions().len(), usize::try_from(SESSIONS).unwrap_or_default(), "the sessions of a week");
    let strategies: Vec<Box<dyn Strategy>> = vec![Box::new(breakout())];
    let cash = Money::whole(100_000_000);
    let exchange = ExchangeSettings { starting_cash: cash, slippage: Bps::ZERO, ..ExchangeSettings::default() };
    let terms = Terms {
        calendar: &Calendar::xnys(),
        actions: &CorporateActions::new(),
        backtest: &BacktestSettings { fills, exits, flatten: Span::minutes(5), ..BacktestSettings::default() },
        risk: &boundless(),
        exchange: &exchange,
        half_spread: Bps::ZERO,
        strategies: &strategies,
    };
    let bars: usize = market.values().map(BarColumns::len).sum();
    bencher.counter(ItemsCount::new(bars)).bench_local(|| run(black_box(&market), &terms, Pace::Skipping));
}

#[divan::bench(sample_count = 20)]
fn market_orders(bencher: Bencher<'_, '_>) {
    bench(bencher, Fills::NextOpen, Exits::OnClose);
}

#[divan::bench(sample_count = 20)]
fn brackets(bencher: Bencher<'_, '_>) {
    bench(bencher, Fills::NextOpen, Exits::Resting);
}
