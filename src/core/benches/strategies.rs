//! What one look of a strategy at one symbol costs, at the close of a bar: `cargo bench -p daybook-core --bench strategies`.
//!
//! Promised: under 5 µs. It is the look of a trading day: the grounds are put into words where there is a signal.

use daybook_core::calendar::{Calendar, Session};
use daybook_core::market::Bar;
use daybook_core::money::{Bps, Price, Quantity};
use daybook_core::strategy::{Directions, StrategySettings, SymbolView, Wording};
use daybook_core::time::{SessionDate, Timestamp};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Minutes into the session at which it is looked: the first hours, in which entries are, and late.
const MINUTES: [i64; 3] = [60, 180, 300];

fn session() -> Session {
    let date = SessionDate::of(2026, 11, 16).unwrap_or_else(|| panic!("a date"));
    Calendar::xnys().session(date).unwrap_or_else(|| panic!("a session"))
}

/// A walk in whole cents from half an hour before the open: the same on every run.
fn bars(session: &Session) -> Vec<Bar> {
    let mut state = 20_241_120_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).unwrap_or_default()
    };
    let mut close = 8_300;
    let mut next = |minute: i64| {
        let open = close + draw(5) - 2;
        close = open + draw(21) - 10;
        let (high, low) = (open.max(close) + draw(6), open.min(close) - draw(6));
        let [open, high, low, close] = [open, high, low, close].map(Price::from_cents);
        let volume = Quantity::whole(100 + draw(9_000));
        Bar { start: Timestamp(session.open.0 + 60_000 * minute), open, high, low, close, volume }
    };
    (-30..390).map(&mut next).collect()
}

fn look(bencher: Bencher<'_, '_>, strategy: &str, minute: i64) {
    let session = session();
    let bars = bars(&session);
    let view = SymbolView {
        symbol: "ACME".parse().unwrap_or_else(|_| panic!("a symbol")),
        session,
        as_of: Timestamp(session.open.0 + 60_000 * minute),
        bars: &bars,
        quote: None,
        previous_close: Some(Price::from_cents(80_00)),
        daily_atr: Some(Price::from_cents(2_00)),
        relative_volume: Some(Bps(20_000)),
        news_score: Some(Bps(5_000)),
        model: None,
        entries_today: 0,
    };
    // As far as each of them can be brought to look: nothing is too early, too late or too little.
    let mut settings = StrategySettings::default();
    for direction in [
        &mut settings.opening_range_breakout.direction,
        &mut settings.vwap_reversion.direction,
        &mut settings.gap_and_go.direction,
        &mut settings.trend_following.direction,
        &mut settings.rsi_mean_reversion.direction,
        &mut settings.donchian_breakout.direction,
        &mut settings.composite.direction,
    ] {
        *direction = Directions::Both;
    }
    settings.opening_range_breakout.latest_entry = settings.composite.latest_entry;
    settings.gap_and_go.latest_entry = settings.composite.latest_entry;
    settings.vwap_reversion.deviations = daybook_core::money::Factor(1);
    settings.trend_following.max_age_bars = 1_000;
    settings.composite.threshold = Bps(1);
    let strategy = settings.strategy(strategy).unwrap_or_else(|| panic!("a strategy"));
    bencher.bench_local(|| strategy.signal(black_box(&view), Wording::Told));
}

macro_rules! looks {
    ($($name:ident)+) => {
        $(#[divan::bench(args = MINUTES)]
        fn $name(bencher: Bencher<'_, '_>, minute: i64) {
            look(bencher, stringify!($name), minute);
        })+
    };
}

looks! {
    opening_range_breakout
    vwap_reversion
    gap_and_go
    trend_following
    rsi_mean_reversion
    donchian_breakout
    composite
}
