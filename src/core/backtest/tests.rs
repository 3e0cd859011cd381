//! Days at the desk: what the back-test trades, beside a reference of plain loops and beside itself without leaving
//! anything out.

use std::ops::Range;

use proptest::prelude::{Just, Strategy as Arbitrary, any};
use proptest::test_runner::Config;
use proptest::{prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::market::{Bar, Timeframe};
use crate::money::Factor;
use crate::risk::{HaltKind, SafeModeSettings, Sizing, TrailingSettings};
use crate::strategy::{
    Anchor, Confirmation, Directions, Distance, OpeningRangeBreakout, Reasons, Signal, StopRounding, StrategySettings,
    SymbolView,
};
use crate::time::Span;

const SESSION_BARS: i64 = 390;

fn cents(cents: i64) -> Price {
    Price::from_cents(cents)
}

/// 2026-11-16 and the days after it.
fn session(place: i64) -> Session {
    Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap().plus_days(place)).unwrap()
}

fn minute(day: i64, place: i64) -> Timestamp {
    Timestamp(session(day).open.0 + 60_000 * place)
}

/// The breakout of the benchmark: the first close above the range of 15 minutes, all day.
fn breakout() -> OpeningRangeBreakout {
    OpeningRangeBreakout {
        confirmation: Confirmation { closes: 1, timeframe: Timeframe::M1 },
        buffer: Distance::Range(Factor::ZERO),
        max_extension: Factor::whole(1_000),
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
        max_positions: 1_000,
        max_position_value: Money::whole(1_000_000_000),
        max_exposure: Money::whole(1_000_000_000),
        execute_top_n: 1_000,
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

fn free() -> ExchangeSettings {
    ExchangeSettings { starting_cash: Money::whole(100_000_000), slippage: Bps::ZERO, ..ExchangeSettings::default() }
}

/// Everything that a back-test depends on but the bars.
#[derive(Debug, Clone)]
struct Setting {
    strategy: OpeningRangeBreakout,
    risk: RiskSettings,
    exchange: ExchangeSettings,
    backtest: BacktestSettings,
    half_spread: Bps,
}

impl Setting {
    fn benchmark(fills: Fills, exits: Exits) -> Self {
        let backtest = BacktestSettings { fills, exits, flatten: Span::minutes(5), ..BacktestSettings::default() };
        Self { strategy: breakout(), risk: boundless(), exchange: free(), backtest, half_spread: Bps::ZERO }
    }

    fn run(&self, market: &BTreeMap<Symbol, BarColumns>, pace: Pace) -> Outcome {
        let strategies: Vec<Box<dyn Strategy>> = vec![Box::new(self.strategy.clone())];
        let terms = Terms {
            calendar: &Calendar::xnys(),
            actions: &CorporateActions::new(),
            backtest: &self.backtest,
            risk: &self.risk,
            exchange: &self.exchange,
            half_spread: self.half_spread,
            strategies: &strategies,
        };
        run(market, &terms, pace).unwrap()
    }
}

/// One symbol's bars, from what each adds to the last close: the move to the open, to the close, and how far the
/// extremes are beyond both.
fn series(moves: &[[i64; 4]], missing: &[bool]) -> BarColumns {
    let mut close = 10_000;
    let mut bars = BarColumns::default();
    for (place, ([gap, body, up, down], is_missing)) in (0..).zip(moves.iter().zip(missing)) {
        let open = close + gap;
        close = open + body;
        let bar = Bar {
            start: minute(place / SESSION_BARS, place % SESSION_BARS),
            open: cents(open),
            high: cents(open.max(close) + up),
            low: cents(open.min(close) - down),
            close: cents(close),
            volume: Quantity::whole(50 + body.abs() * 10),
        };
        if !is_missing {
            bars.push(&bar);
        }
    }
    bars
}

/// Two sessions of a few symbols, most minutes of them.
fn market(symbols: Range<usize>, missing: f64) -> impl Arbitrary<Value = BTreeMap<Symbol, BarColumns>> {
    let bars = usize::try_from(2 * SESSION_BARS).unwrap();
    let one_move = (-3_i64..=3, -12_i64..=12, 0_i64..=6, 0_i64..=6).prop_map(|(a, b, c, d)| [a, b, c, d]);
    let moves = proptest::collection::vec(one_move, bars);
    let missing = proptest::collection::vec(proptest::bool::weighted(missing), bars);
    let one = (moves, missing).prop_map(|(moves, missing)| series(&moves, &missing));
    proptest::collection::vec(one, symbols).prop_map(|all| {
        let named = all.into_iter().enumerate();
        named.map(|(place, bars)| (format!("S{place}").parse().unwrap(), bars)).collect()
    })
}

/// A fill: the start of the bar, and the price.
type Leg = (Timestamp, Price);

/// The benchmark's rules as plain loops over whole minutes; the trades of one symbol.
fn reference(bars: &BarColumns, fills: Fills, exits: Exits) -> Vec<(Leg, Leg)> {
    let bar = |place: usize| bars.get(place).unwrap();
    // An order that was decided at the end of a bar.
    let filled = |place: usize| match fills {
        Fills::NextOpen => (bar(place + 1).start, bar(place + 1).open),
        Fills::LastClose => (bar(place).start, bar(place).close),
    };
    let mut trades = Vec::new();
    for day in (0..bars.len()).step_by(390) {
        let high = (day..day + 15).map(|place| bar(place).high).max().unwrap();
        let low = (day..day + 15).map(|place| bar(place).low).min().unwrap();
        let Some(signal) = (day + 15..day + 360).find(|place| bar(*place).close > high) else { continue };
        let percent = bar(signal).close.0 / 1_000_000 * 98 / 100;
        let stop = low.max(cents(percent));
        let target = Price(high.0 + 2 * (high.0 - low.0));
        let exit = (signal + 1..day + 390).find_map(|place| {
            let Bar { start, open, high, low, close, .. } = bar(place);
            let is_last = place == day + 384;
            match exits {
                Exits::Resting if low <= stop => Some((start, open.min(stop))),
                Exits::Resting if high >= target => Some((start, open.max(target))),
                Exits::OnClose if close <= stop || close >= target => Some(filled(place)),
                Exits::Resting | Exits::OnClose => is_last.then(|| filled(place)),
            }
        });
        trades.push((filled(signal), exit.unwrap()));
    }
    trades
}

fn variants() -> impl Arbitrary<Value = (Fills, Exits)> {
    let fills = prop_oneof![Just(Fills::NextOpen), Just(Fills::LastClose)];
    (fills, prop_oneof![Just(Exits::Resting), Just(Exits::OnClose)])
}

proptest! {
    #![proptest_config(Config::with_cases(24))]

    #[test]
    fn the_benchmark_is_traded_as_plain_loops_trade_it(market in market(1..4, 0.0), (fills, exits) in variants()) {
        let outcome = Setting::benchmark(fills, exits).run(&market, Pace::Skipping);
        for (symbol, bars) in &market {
            let of_symbol = outcome.trades.iter().filter(|trade| trade.symbol == *symbol);
            let traded: Vec<(Leg, Leg)> = of_symbol
                .map(|trade| ((trade.entry_at, trade.entry_price), (trade.exit_at, trade.exit_price)))
                .collect();
            prop_assert_eq!(traded, reference(bars, fills, exits));
        }
        prop_assert_eq!((outcome.refused_by.len(), outcome.rejected, outcome.left_open), (0, 0, 0));
        let earned: i64 = outcome.trades.iter().map(|trade| trade.pnl.0).sum();
        prop_assert_eq!(outcome.equity.last().unwrap().1, Money(Money::whole(100_000_000).0 + earned));
    }

    /// Leaving out what can do nothing changes nothing, with limits that bind, costs, both directions, missing
    /// minutes and orders that take their time.
    #[test]
    fn skipping_changes_nothing(
        market in market(2..5, 0.12),
        (fills, exits) in variants(),
        (direction, buffer, latest) in (
            prop_oneof![Just(Directions::Long), Just(Directions::Short), Just(Directions::Both)], 0_i64..2_000, 30_u32..360,
        ),
        (positions, daily_loss, drawdown, losses) in (1_u32..4, 20_i64..2_000, 1_i64..200, 0_u32..3),
        (max_entries, asked) in (1_u32..4, 1_u32..4),
        (trailing, hold, adjustments) in (any::<bool>(), 5_u32..300, 0_u32..4),
        (slippage, participation, latency, half_spread) in (0_i64..5, prop_oneof![Just(0_i64), Just(2_000)], 0_u32..3, 0_i64..3),
        looks in prop_oneof![Just(Timeframe::M1), Just(Timeframe::M5)],
    ) {
        let setting = Setting {
            strategy: OpeningRangeBreakout {
                direction,
                buffer: Distance::Range(Factor(buffer)),
                latest_entry: Span::minutes(latest),
                max_entries: asked,
                ..breakout()
            },
            risk: RiskSettings {
                max_entries,
                sizing: Sizing::RiskPerTrade,
                max_positions: positions,
                max_position_value: Money::whole(20_000),
                max_exposure: Money::whole(50_000),
                execute_top_n: 2,
                max_daily_loss: Money::whole(daily_loss),
                max_drawdown: Bps(drawdown),
                max_hold: Span::minutes(hold),
                max_adjustments: adjustments,
                stop_loss: Bps(100),
                trailing: TrailingSettings {
                    break_even_after: if trailing { Factor(5_000) } else { Factor::ZERO },
                    ..TrailingSettings::default()
                },
                safe_mode: SafeModeSettings { after_losses: losses, ..SafeModeSettings::default() },
                ..boundless()
            },
            exchange: ExchangeSettings {
                starting_cash: Money::whole(100_000),
                slippage: Bps(slippage),
                commission_per_share: cents(1),
                participation: Bps(participation),
                allow_short: true,
                margin_multiplier: 2,
                ..ExchangeSettings::default()
            },
            backtest: BacktestSettings { looks, fills, exits, latency_bars: latency, ..BacktestSettings::default() },
            half_spread: Bps(half_spread),
        };
        let (skipping, whole) = (setting.run(&market, Pace::Skipping), setting.run(&market, Pace::EveryBar));
        prop_assert_eq!(skipping.trades, whole.trades);
        prop_assert_eq!(skipping.equity, whole.equity);
        prop_assert_eq!(skipping.halts, whole.halts);
        prop_assert_eq!(skipping.left_open, whole.left_open);
    }
}

proptest! {
    #![proptest_config(Config::with_cases(12))]

    /// So a choice among settings that was made on the sessions before knows no bar of those that it is held on.
    #[test]
    fn a_session_is_the_same_whatever_comes_after_it(market in market(1..4, 0.05), (fills, exits) in variants()) {
        let setting = Setting::benchmark(fills, exits);
        let mut first = market.clone();
        for bars in first.values_mut() {
            bars.truncate(bars.starts().partition_point(|start| *start < minute(1, 0)));
        }
        let (mut whole, alone) = (setting.run(&market, Pace::Skipping), setting.run(&first, Pace::Skipping));
        whole.trades.retain(|trade| trade.entry_at < minute(1, 0));
        prop_assert_eq!(whole.trades, alone.trades);
        prop_assert_eq!(whole.equity.first(), alone.equity.first());
    }
}

/// A quarter of an hour between 99.80 and 100.20, then these closes, a minute each, and the last one for the rest.
fn day_of(closes: &[i64]) -> BarColumns {
    let last = closes.last().copied().unwrap_or(10_000);
    let later = closes.iter().copied().chain(std::iter::repeat(last));
    let range = std::iter::repeat_n(10_000, 15).chain(later).take(390);
    let bar = |(place, close): (i64, i64)| {
        let reach = if place < 15 { 20 } else { 0 };
        let (open, volume) = (cents(close), Quantity::whole(1_000));
        let (high, low) = (cents(close + reach), cents(close - reach));
        Bar { start: minute(0, place), open, high, low, close: cents(close), volume }
    };
    (0..).zip(range).map(bar).collect()
}

fn market_of(days: &[(&str, &[i64])]) -> BTreeMap<Symbol, BarColumns> {
    days.iter().map(|(name, closes)| (name.parse().unwrap(), day_of(closes))).collect()
}

fn reasons(outcome: &Outcome) -> Vec<&str> {
    outcome.trades.iter().map(|trade| trade.exit_reason.as_str()).collect()
}

#[test]
fn each_way_out_has_its_name() {
    let table: [(&[i64], Exits, &str, i64); 6] = [
        (&[10_030, 10_030, 9_970], Exits::Resting, "stop", 9_970),
        (&[10_030, 10_030, 10_120], Exits::Resting, "target", 10_120),
        (&[10_030, 10_030, 9_975, 9_976], Exits::OnClose, "stop", 9_976),
        (&[10_030, 10_030, 10_100, 10_099], Exits::OnClose, "target", 10_099),
        (&[10_030, 10_040], Exits::Resting, "market close", 10_040),
        (&[10_030, 10_041], Exits::OnClose, "market close", 10_041),
    ];
    for (closes, exits, reason, price) in table {
        let setting = Setting::benchmark(Fills::NextOpen, exits);
        let outcome = setting.run(&market_of(&[("AAA", closes)]), Pace::Skipping);
        assert_eq!(reasons(&outcome), [reason], "{closes:?}");
        assert_eq!(outcome.trades[0].exit_price, cents(price), "{closes:?}");
    }
    let mut hasty = Setting::benchmark(Fills::NextOpen, Exits::Resting);
    hasty.risk.max_hold = Span::minutes(30);
    let outcome = hasty.run(&market_of(&[("AAA", &[10_030, 10_040])]), Pace::Skipping);
    assert_eq!(reasons(&outcome), ["max hold"]);
    // Entered at the open of minute 16, left at the first open once half an hour is over.
    assert_eq!((outcome.trades[0].entry_at, outcome.trades[0].exit_at), (minute(0, 16), minute(0, 46)));
}

#[test]
fn the_day_s_limit_closes_everything_and_lets_nothing_in() {
    let mut setting = Setting::benchmark(Fills::NextOpen, Exits::Resting);
    setting.strategy.stop_within_range = false;
    setting.risk.max_daily_loss = Money::whole(80);
    // 100 shares each, bought at 100.30: together they lose 80 dollars at 99.90. C would break out later.
    let falls: &[i64] = &[10_030, 10_030, 10_010, 9_990, 9_980];
    let late: &[i64] = &[10_000, 10_000, 10_000, 10_000, 10_000, 10_030, 10_030];
    let outcome = setting.run(&market_of(&[("A", falls), ("B", falls), ("C", late)]), Pace::Skipping);
    assert_eq!(reasons(&outcome), ["emergency stop"; 2]);
    assert_eq!(outcome.trades[0].exit_price, cents(9_980), "the next open");
    assert_eq!(outcome.halts.len(), 1);
    assert_eq!((outcome.halts[0].kind, outcome.halts[0].since), (HaltKind::EmergencyStop, minute(0, 19)));
    assert!(!outcome.refused_by.is_empty(), "the late breakout is refused");
}

#[test]
fn costs_are_taken_from_the_result() {
    let mut setting = Setting::benchmark(Fills::NextOpen, Exits::Resting);
    setting.strategy.direction = Directions::Short;
    setting.exchange.allow_short = true;
    setting.exchange.commission_per_order = Money::whole(1);
    setting.backtest.borrow_rate = Bps(3_600);
    // Sold at 99.70, bought back at the target of 99.00; 36 % a year of 9,970 dollars is 9.97 a day.
    let outcome = setting.run(&market_of(&[("AAA", &[9_970, 9_970, 9_900])]), Pace::Skipping);
    let trade = &outcome.trades[0];
    assert_eq!((trade.direction, trade.exit_reason.as_str()), (Direction::Short, "target"));
    assert_eq!((trade.fees.to_string(), trade.pnl.to_string()), ("11.97".to_owned(), "58.03".to_owned()));
    let (_, equity) = outcome.equity[0];
    assert_eq!(equity.to_string(), "100000058.03");
}

#[test]
fn an_order_takes_its_time_to_the_exchange() {
    let mut setting = Setting::benchmark(Fills::NextOpen, Exits::OnClose);
    setting.backtest.latency_bars = 2;
    let closes = [10_030, 10_031, 10_032, 10_033, 9_970, 9_971, 9_972, 9_973];
    let outcome = setting.run(&market_of(&[("AAA", &closes)]), Pace::Skipping);
    let trade = &outcome.trades[0];
    // Decided at the close of minute 15, there at the end of minute 17, filled at the open of minute 18.
    assert_eq!((trade.entry_at, trade.entry_price), (minute(0, 18), cents(10_033)));
    assert_eq!((trade.exit_at, trade.exit_price), (minute(0, 22), cents(9_973)));
}

#[test]
fn a_half_day_ends_early_unless_the_bars_are_made_up() {
    let half = Calendar::xnys().session(SessionDate::of(2026, 11, 27).unwrap()).unwrap();
    let bars = |place: i64| Bar {
        start: Timestamp(half.open.0 + 60_000 * place),
        ..day_of(&[10_030, 10_040]).get(usize::try_from(place).unwrap()).unwrap()
    };
    let market = BTreeMap::from([("AAA".parse().unwrap(), (0..390).map(bars).collect())]);
    let mut setting = Setting::benchmark(Fills::NextOpen, Exits::Resting);
    let left_at = |setting: &Setting| setting.run(&market, Pace::Skipping).trades[0].exit_at;
    assert_eq!(left_at(&setting), half.close.before(Span::minutes(5).as_duration()));
    setting.backtest.early_closes = false;
    assert_eq!(left_at(&setting), half.open.after(Span::minutes(385).as_duration()));
}

#[test]
fn a_position_outlives_no_session_though_no_bar_comes_for_it() {
    let whole = day_of(&[10_030, 10_031, 10_032]);
    let mut bars = BarColumns::default();
    bars.append(&whole, 0..60);
    let next = Bar { start: minute(1, 0), ..whole.get(0).unwrap() };
    bars.push(&next);
    let (market, last) = (BTreeMap::from([("AAA".parse().unwrap(), bars)]), whole.closes()[59]);
    for pace in [Pace::Skipping, Pace::EveryBar] {
        let outcome = Setting::benchmark(Fills::NextOpen, Exits::Resting).run(&market, pace);
        let trade = &outcome.trades[0];
        assert_eq!((trade.exit_reason.as_str(), trade.exit_price), ("market close", last));
        assert_eq!(trade.exit_at, session(0).close.before(MINUTE));
        assert_eq!((outcome.trades.len(), outcome.left_unmet, outcome.left_open), (1, 1, 0));
    }
    // The bars end in the middle of their last session: what is held then is held.
    let cut = market.into_iter().map(|(symbol, mut bars)| {
        bars.truncate(60);
        (symbol, bars)
    });
    let outcome = Setting::benchmark(Fills::NextOpen, Exits::Resting).run(&cut.collect(), Pace::Skipping);
    assert_eq!((outcome.trades.len(), outcome.left_unmet, outcome.left_open), (0, 0, 1));
}

#[test]
fn an_exit_that_arrives_after_the_close_is_made_at_it() {
    let mut setting = Setting::benchmark(Fills::LastClose, Exits::Resting);
    (setting.backtest.latency_bars, setting.strategy.valid_for) = (6, Span::hours(1));
    setting.half_spread = Bps(10);
    let market = market_of(&[("AAA", &[10_030, 10_031, 10_032, 10_033, 10_034, 10_035, 10_036, 10_037])]);
    let outcome = setting.run(&market, Pace::Skipping);
    let (trade, close) = (&outcome.trades[0], *market.values().next().unwrap().closes().last().unwrap());
    assert_eq!((trade.exit_reason.as_str(), outcome.left_unmet, outcome.left_open), ("market close", 0, 0));
    assert_eq!(trade.exit_price, close.moved_by(Bps(-10)).unwrap().round_to_tick_down(), "at the bid");
}

#[test]
fn an_entry_that_takes_longer_than_it_is_valid_expires() {
    let mut setting = Setting::benchmark(Fills::NextOpen, Exits::Resting);
    (setting.backtest.latency_bars, setting.strategy.valid_for) = (3, Span::minutes(2));
    let outcome = setting.run(&market_of(&[("AAA", &[10_030, 10_031, 10_032, 10_033])]), Pace::Skipping);
    assert_eq!((outcome.signals, outcome.refused_by.len(), outcome.expired, outcome.trades.len()), (1, 0, 1, 0));
}

/// The cuts of a check, thinned, and what is found at them.
fn peeks(
    setting: &Setting,
    market: &BTreeMap<Symbol, BarColumns>,
    make: &MakeStrategies<'_>,
    every: usize,
) -> Vec<Peek> {
    let terms = Terms {
        calendar: &Calendar::xnys(),
        actions: &CorporateActions::new(),
        backtest: &setting.backtest,
        risk: &setting.risk,
        exchange: &setting.exchange,
        half_spread: setting.half_spread,
        strategies: &[],
    };
    let check = LookAhead::of(market, &terms, make).unwrap();
    assert!(!check.acts().is_empty(), "nothing was done");
    let mut market = market.clone();
    let cuts = check.cuts().iter().rev().step_by(every);
    cuts.filter_map(|cut| check.at(*cut, &mut market, &terms, make).unwrap()).collect()
}

/// A market in which everything that breaks out does so, and comes back.
fn waves() -> BTreeMap<Symbol, BarColumns> {
    let wave = |place: i64, speed: i64| 10_000 + (place * speed % 97 - 48).abs() * 3 + place / 4;
    let series = |speed: i64| -> BarColumns {
        let bar = |place: i64| {
            let (open, close) = (wave(place, speed), wave(place + 1, speed));
            Bar {
                start: minute(place / SESSION_BARS, place % SESSION_BARS),
                open: cents(open),
                high: cents(open.max(close) + 2),
                low: cents(open.min(close) - 2),
                close: cents(close),
                volume: Quantity::whole(5_000),
            }
        };
        (0..2 * SESSION_BARS).map(bar).collect()
    };
    [("SLOW", 1), ("FAST", 5)].map(|(name, speed)| (name.parse().unwrap(), series(speed))).into()
}

#[test]
fn no_strategy_of_ours_looks_ahead() {
    for (fills, exits) in [(Fills::NextOpen, Exits::Resting), (Fills::LastClose, Exits::OnClose)] {
        let mut setting = Setting::benchmark(fills, exits);
        setting.risk.trailing = TrailingSettings::default();
        setting.backtest.looks = Timeframe::M5;
        let all = |_: &BTreeMap<Symbol, BarColumns>| -> Vec<Box<dyn Strategy>> {
            let settings = StrategySettings::default();
            StrategySettings::NAMES.iter().filter_map(|name| settings.strategy(name)).collect()
        };
        assert_eq!(peeks(&setting, &waves(), &all, 5), []);
    }
}

/// A strategy that has seen how the day ends: it buys what will close higher, or keeps from what will close lower.
struct Peeking {
    honest: OpeningRangeBreakout,
    last: BTreeMap<Symbol, Price>,
    buys: bool,
}

impl Strategy for Peeking {
    fn name(&self) -> &'static str {
        "peeking"
    }
    fn idea(&self) -> &'static str {
        "knows how the day ends"
    }
    fn is_enabled(&self) -> bool {
        true
    }
    fn directions(&self) -> Directions {
        Directions::Long
    }
    fn max_entries(&self) -> u32 {
        1
    }
    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    fn propose(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> Option<Signal> {
        let (last, entry) = (self.last[&view.symbol], view.last_price().unwrap());
        if self.buys && last > entry {
            let (stop, target) = (Price(entry.0 / 100 * 98), Price(entry.0 / 100 * 105));
            return Some(Signal {
                symbol: view.symbol,
                strategy: self.name().to_owned(),
                direction: Direction::Long,
                entry,
                stop: cents(stop.0 / 1_000_000),
                target: cents(target.0 / 1_000_000),
                confidence: Bps::ONE,
                reasons: Vec::new(),
                valid_until: view.session.close,
            });
        }
        let held_back = !self.buys && last < entry;
        if held_back { None } else { self.honest.propose(view, reasons) }
    }
}

#[test]
fn a_strategy_that_peeks_is_found_whether_it_buys_or_holds_back() {
    let setting = Setting::benchmark(Fills::NextOpen, Exits::Resting);
    let make = |buys: bool| {
        move |market: &BTreeMap<Symbol, BarColumns>| -> Vec<Box<dyn Strategy>> {
            let last = market.iter().map(|(symbol, bars)| (*symbol, *bars.closes().last().unwrap())).collect();
            vec![Box::new(Peeking { honest: breakout(), last, buys })]
        }
    };
    let bought = peeks(&setting, &waves(), &make(true), 1);
    assert!(
        bought.iter().any(|peek| peek.with_the_future.is_some() && peek.without != peek.with_the_future),
        "{bought:?}"
    );
    // It breaks out in the morning and ends the day below: who does not know that enters.
    let risen = |place: i64| if place < 15 { 10_000 } else { 10_030 };
    let mut closes: Vec<i64> = (15..300).map(risen).collect();
    closes.extend([9_990; 75]);
    let held_back =
        peeks(&setting, &market_of(&[("AAA", closes.as_slice()), ("BBB", &[10_030, 10_040])]), &make(false), 1);
    assert!(held_back.iter().any(|peek| peek.without.is_some()), "{held_back:?}");
}
