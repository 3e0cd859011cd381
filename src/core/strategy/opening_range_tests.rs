use proptest::prelude::Just;
use proptest::{prop_assert, prop_oneof, proptest};

use super::*;
use crate::calendar::{Calendar, Session};
use crate::market::Quote;
use crate::money::Quantity;
use crate::strategy::Evaluation;
use crate::time::{SessionDate, Timestamp};

fn session() -> Session {
    Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap()
}

fn minute(minutes: u32) -> Timestamp {
    session().open.after(Span::minutes(minutes).as_duration())
}

fn bar(start: Timestamp, low: i64, high: i64, close: i64) -> Bar {
    Bar {
        start,
        open: Price::from_cents(i64::midpoint(low, high)),
        high: Price::from_cents(high),
        low: Price::from_cents(low),
        close: Price::from_cents(close),
        volume: Quantity::whole(1_000),
    }
}

/// A quarter of an hour between 49.80 and 50.20, then a minute for each close given, ten cents wide.
fn session_with(closes: &[i64]) -> Vec<Bar> {
    let range = (0..15).map(|n| bar(minute(n), 49_80, 50_20, 50_00));
    let later = (15..).zip(closes).map(|(n, close)| bar(minute(n), close - 5, close + 5, *close));
    range.chain(later).collect()
}

/// What is known of the symbol one minute after the last bar began.
fn view(bars: &[Bar]) -> SymbolView<'_> {
    SymbolView {
        symbol: "AAPL".parse().unwrap(),
        session: session(),
        as_of: bars.last().unwrap().minute_end(),
        bars,
        quote: None,
        previous_close: Some(Price::from_cents(50_00)),
        daily_atr: Some(Price::from_cents(1_00)),
        relative_volume: Some(Bps(15_000)),
        news_score: None,
        model: None,
        entries_today: 0,
    }
}

fn signal(strategy: &OpeningRangeBreakout, view: &SymbolView<'_>) -> Signal {
    match strategy.evaluate(view) {
        Evaluation::Signal(signal) => signal,
        Evaluation::None(reasons) => panic!("no signal: {reasons:?}"),
    }
}

/// The measure that stood against a signal, and its number.
fn refusal(strategy: &OpeningRangeBreakout, view: &SymbolView<'_>) -> (String, String) {
    match strategy.evaluate(view) {
        Evaluation::Signal(signal) => panic!("a signal: {signal:?}"),
        Evaluation::None(reasons) => {
            let last = reasons.last().unwrap();
            (last.measure.to_string(), last.value.clone())
        }
    }
}

fn reason<'a>(signal: &'a Signal, measure: &str) -> &'a str {
    &signal.reasons.iter().find(|reason| reason.measure == measure).unwrap().value
}

#[test]
fn the_defaults_are_sound_and_read_back() {
    let strategy = OpeningRangeBreakout::default();
    assert_eq!(strategy.problems(), vec![]);
    let text = serde_json::to_string(&strategy).unwrap();
    assert_eq!(serde_json::from_str::<OpeningRangeBreakout>(&text).unwrap(), strategy);
    let written = r#"{"stop": {"range": 1}, "target": {"percent": "2%"}, "confirmation": {"closes": 1, "timeframe": "5m"}, "direction": "both"}"#;
    let strategy: OpeningRangeBreakout = serde_json::from_str(written).unwrap();
    assert_eq!(strategy.stop, Distance::Range(Factor::whole(1)));
    assert_eq!(strategy.target, Distance::Percent(Bps(200)));
    assert_eq!(strategy.confirmation, Confirmation { closes: 1, timeframe: Timeframe::M5 });
    assert!(serde_json::from_str::<OpeningRangeBreakout>(r#"{"stop": {"atr": 2, "range": 1}}"#).is_err());
}

#[test]
fn each_senseless_setting_is_named() {
    let cases = [
        (r#"{"range_minutes": 0}"#, "range_minutes", "is 0: expected at least 1"),
        (r#"{"stop": {"atr": 0}}"#, "stop", "is {atr: 0}: expected a distance above zero, such as {atr: 2}"),
        (r#"{"buffer": {"percent": "-1%"}}"#, "buffer", "is {percent: -1%}: expected a distance of zero or more"),
        (
            r#"{"earliest_entry": "10m"}"#,
            "earliest_entry",
            "is 10m: expected range_minutes or later: the range must be complete",
        ),
        (r#"{"latest_entry": "15m"}"#, "latest_entry", "is 15m: expected later than earliest_entry (15m)"),
        (
            r#"{"confirmation": {"timeframe": "1d"}}"#,
            "confirmation.timeframe",
            "is 1d: expected bars of the session, such as 1m or 5m",
        ),
    ];
    for (text, key, problem) in cases {
        let strategy: OpeningRangeBreakout = serde_json::from_str(text).unwrap();
        assert_eq!(strategy.problems(), [(key, problem.to_owned())], "{text}");
    }
}

#[test]
fn a_confirmed_breakout_is_a_signal_with_its_numbers() {
    // The range is 0.40 wide, so the level is 50.22; two closes lie beyond it.
    let bars = session_with(&[50_10, 50_30, 50_35, 50_35, 50_35]);
    let strategy = OpeningRangeBreakout::default();
    let signal = signal(&strategy, &view(&bars));
    assert_eq!((signal.direction, signal.entry), (Direction::Long, Price::from_cents(50_35)));
    // Four 5-minute bars: three of 0.40, one from 50.05 (or the close before, 50.00) to 50.40: 0.40.
    assert_eq!(reason(&signal, "ATR"), "0.40 (5m)");
    assert_eq!((signal.stop, signal.target), (Price::from_cents(49_55), Price::from_cents(51_55)));
    assert_eq!(signal.valid_until, view(&bars).as_of.after(Span::minutes(5).as_duration()));
    assert_eq!(reason(&signal, "opening range"), "49.80 to 50.20, 15 minutes");
    assert_eq!(reason(&signal, "breakout"), "2 closes of 1m beyond 50.22");
    assert_eq!(reason(&signal, "entry"), "50.35, 0.13 beyond the level");
    assert_eq!(reason(&signal, "relative volume"), "150%");
    // 0.13 beyond of 0.40 is past a quarter; volume 1.5 is two thirds of the way; 0.4 daily ATRs; no gap; all stayed.
    let parts = ["distance", "volume", "range", "gap", "persistence"]
        .map(|part| reason(&signal, &format!("confidence in {part}")).to_owned());
    assert_eq!(parts, ["100% of 25%", "66.66% of 30%", "100% of 20%", "50% of 10%", "100% of 15%"]);
    assert_eq!(signal.confidence, Bps(8_499));
}

#[test]
fn a_breakdown_is_the_mirror_image() {
    let bars = session_with(&[49_90, 49_70, 49_65, 49_65, 49_65]);
    let short = OpeningRangeBreakout { direction: Directions::Short, ..OpeningRangeBreakout::default() };
    let signal = signal(&short, &view(&bars));
    assert_eq!((signal.direction, signal.entry), (Direction::Short, Price::from_cents(49_65)));
    assert_eq!((signal.stop, signal.target), (Price::from_cents(50_45), Price::from_cents(48_45)));
    assert_eq!(signal.confidence, Bps(8_499));
    let long = OpeningRangeBreakout::default();
    assert_eq!(refusal(&long, &view(&bars)), ("direction".to_owned(), "short (allowed: long)".to_owned()));
}

#[test]
fn each_reason_against_a_signal_has_its_number() {
    type Change = fn(&mut OpeningRangeBreakout, &mut SymbolView<'_>);
    let broken_out = session_with(&[50_30, 50_35]);
    let inside = session_with(&[50_30, 50_10]);
    let far = session_with(&[50_30, 50_70]);
    let flat: Vec<Bar> = (0..20).map(|n| bar(minute(n), 50_00, 50_00, 50_00)).collect();
    let early = broken_out[..14].to_vec();
    let cases: [(&[Bar], Change, &str, &str); 11] = [
        (&broken_out, |_, view| view.entries_today = 1, "entries today", "1 (limit 1)"),
        (&early, |_, _| {}, "time", "2026-11-16T14:44:00Z (entries from 2026-11-16T14:45:00Z to 2026-11-16T17:30:00Z)"),
        (
            &broken_out,
            |_, view| view.as_of = minute(181),
            "time",
            "2026-11-16T17:31:00Z (entries from 2026-11-16T14:45:00Z to 2026-11-16T17:30:00Z)",
        ),
        (&broken_out[15..], |_, _| {}, "opening range", "no complete range traded"),
        (&flat, |_, _| {}, "range width", "0.00"),
        (&inside, |_, _| {}, "breakout", "no 2 closes of 1m above 50.22 or below 49.78, last 50.10"),
        (
            &broken_out,
            |strategy, _| strategy.confirmation.timeframe = Timeframe::M5,
            "breakout",
            "no 2 closes of 5m above 50.22 or below 49.78, last 50.35",
        ),
        (&broken_out, |strategy, _| strategy.min_relative_volume = Factor::whole(2), "least relative volume", "200%"),
        (&far, |_, _| {}, "distance", "expected above 0 and at most 1 ranges of 0.40"),
        (
            &broken_out,
            |strategy, view| {
                strategy.atr_timeframe = Timeframe::D1;
                view.daily_atr = None;
            },
            "ATR",
            "unknown: too few bars of 1d",
        ),
        (
            &broken_out,
            |strategy, _| strategy.stop = Distance::Percent(Bps(1)),
            "bracket",
            "stop 50.35, entry 50.35, target 51.55: less than a tick apart",
        ),
    ];
    for (bars, change, measure, value) in cases {
        let (mut strategy, mut view) = (OpeningRangeBreakout::default(), view(bars));
        change(&mut strategy, &mut view);
        assert_eq!(refusal(&strategy, &view), (measure.to_owned(), value.to_owned()));
    }
}

#[test]
fn the_entry_is_the_far_side_of_a_fresh_quote() {
    let bars = session_with(&[50_30, 50_35]);
    let mut view = view(&bars);
    let quote = |at, bid, ask| Quote {
        at,
        bid: Price::from_cents(bid),
        ask: Price::from_cents(ask),
        bid_size: Quantity::whole(100),
        ask_size: Quantity::whole(100),
    };
    view.quote = Some(quote(view.as_of, 50_36, 50_38));
    assert_eq!(signal(&OpeningRangeBreakout::default(), &view).entry, Price::from_cents(50_38));
    view.quote = Some(quote(minute(3), 50_36, 50_38));
    assert_eq!(signal(&OpeningRangeBreakout::default(), &view).entry, Price::from_cents(50_35), "the quote is old");
    view.quote = Some(quote(view.as_of, 50_10, 50_20));
    assert_eq!(refusal(&OpeningRangeBreakout::default(), &view).0, "distance", "the price is back inside");
}

#[test]
fn distances_are_measured_as_they_are_written() {
    let bars = session_with(&[50_30, 50_35]);
    let exits = |stop, target| {
        let strategy = OpeningRangeBreakout { stop, target, ..OpeningRangeBreakout::default() };
        let signal = signal(&strategy, &view(&bars));
        (signal.stop.to_string(), signal.target.to_string())
    };
    let range = |factor| Distance::Range(Factor(factor));
    assert_eq!(exits(range(10_000), range(15_000)), ("49.95".to_owned(), "50.95".to_owned()));
    // 1 % of 50.35 is 0.5035, 2 % is 1.007: both are rounded toward the entry.
    let percent = |ratio| Distance::Percent(Bps(ratio));
    assert_eq!(exits(percent(100), percent(200)), ("49.85".to_owned(), "51.35".to_owned()));
}

#[test]
fn exits_are_measured_from_where_they_are_said_to_be() {
    // The range is from 49.80 to 50.20; the entry is 50.36.
    let bars = session_with(&[50_30, 50_36]);
    let strategy = OpeningRangeBreakout {
        buffer: Distance::Range(Factor::ZERO),
        stop: Distance::Percent(Bps(200)),
        stop_rounding: StopRounding::AwayFromEntry,
        target: Distance::Range(Factor::whole(2)),
        target_from: Anchor::Level,
        ..OpeningRangeBreakout::default()
    };
    let exits = |strategy: &OpeningRangeBreakout| {
        let signal = signal(strategy, &view(&bars));
        (signal.stop.to_string(), signal.target.to_string())
    };
    // 98 % of 50.36 is 49.3528.
    assert_eq!(exits(&strategy), ("49.35".to_owned(), "51.00".to_owned()));
    let within = OpeningRangeBreakout { stop_within_range: true, ..strategy };
    assert_eq!(exits(&within), ("49.80".to_owned(), "51.00".to_owned()));

    let bars = session_with(&[4_970, 4_964]);
    let short = OpeningRangeBreakout { direction: Directions::Short, ..within };
    let signal = signal(&short, &view(&bars));
    assert_eq!((signal.stop, signal.target), (Price::from_cents(50_20), Price::from_cents(49_00)));
}

proptest! {
    /// Whoever waits as [`Strategy::next_look`] says misses no signal.
    #[test]
    fn no_signal_comes_before_the_next_look(
        closes in proptest::collection::vec(49_00_i64..51_50, 60),
        missing in proptest::collection::vec(proptest::bool::weighted(0.1), 75),
        confirming in 1_u32..3,
        direction in prop_oneof![Just(Directions::Long), Just(Directions::Short), Just(Directions::Both)],
        buffer in prop_oneof![
            Just(Distance::Range(Factor(500))), Just(Distance::Percent(Bps(20))), Just(Distance::Atr(Factor(1_000))),
        ],
    ) {
        let strategy = OpeningRangeBreakout {
            direction,
            buffer,
            confirmation: Confirmation { closes: confirming, timeframe: Timeframe::M1 },
            latest_entry: Span::minutes(60),
            ..OpeningRangeBreakout::default()
        };
        let whole = session_with(&closes);
        let bars: Vec<Bar> = whole.into_iter().zip(missing).filter_map(|(bar, missing)| (!missing).then_some(bar)).collect();
        let mut awaited = NextLook::Now;
        for known in 1..=bars.len() {
            let view = view(&bars[..known]);
            let close = bars[known - 1].close;
            let has_come = match awaited {
                NextLook::Now => true,
                NextLook::From(instant) => view.as_of >= instant,
                NextLook::CloseBeyond { above, below } => {
                    above.is_some_and(|above| close > above) || below.is_some_and(|below| close < below)
                }
                NextLook::NextSession => false,
            };
            if has_come {
                awaited = strategy.next_look(&view);
            }
            if awaited == NextLook::Now {
                continue;
            }
            let evaluation = strategy.evaluate(&view);
            prop_assert!(matches!(evaluation, Evaluation::None(_)), "{awaited:?}: {evaluation:?}");
        }
    }
}

#[test]
fn nothing_later_than_the_look_is_seen() {
    let bars = session_with(&[50_30, 50_35, 49_00, 49_00]);
    let mut view = view(&bars);
    view.as_of = minute(17);
    let short_view = SymbolView { bars: &bars[..17], ..view };
    let strategy = OpeningRangeBreakout::default();
    assert_eq!(strategy.evaluate(&view), strategy.evaluate(&short_view));
    assert_eq!(signal(&strategy, &view).entry, Price::from_cents(50_35));
}

#[test]
fn confidence_tells_good_breakouts_from_poor_ones() {
    let confidence = |closes: &[i64], volume, gap_from, atr| {
        let bars = session_with(closes);
        let view = SymbolView {
            relative_volume: volume,
            previous_close: Some(Price::from_cents(gap_from)),
            daily_atr: Some(Price::from_cents(atr)),
            ..view(&bars)
        };
        signal(&OpeningRangeBreakout::default(), &view).confidence
    };
    let steady = [50_30, 50_33, 50_35, 50_36];
    let torn = [50_30, 50_00, 50_30, 50_00, 50_00, 50_30, 50_31];
    assert_eq!(confidence(&steady, Some(Bps(20_000)), 49_50, 1_00), Bps::ONE, "all parts are whole");
    // What an ordinary day brings lies on both sides of the owner's 60 %.
    assert!(confidence(&steady, Some(Bps(10_000)), 50_00, 1_00) > Bps(6_000));
    assert!(confidence(&steady, None, 50_00, 1_00) > Bps(6_000));
    assert!(confidence(&steady, Some(Bps(6_000)), 50_20, 30) < Bps(6_000), "little volume, a wide range");
    assert!(confidence(&torn, Some(Bps(10_000)), 50_30, 1_00) < Bps(6_000), "torn between inside and outside");
    assert!(confidence(&[50_23, 50_23], Some(Bps(10_000)), 50_00, 1_00) < Bps(6_000), "barely out");
}

#[test]
fn prices_beyond_all_bounds_are_a_reason_and_no_panic() {
    let mut bars = session_with(&[50_30, 50_35]);
    bars[3].high = Price::MAX;
    bars[4].low = Price(i64::MIN);
    let strategy = OpeningRangeBreakout { buffer: Distance::Percent(Bps(200)), ..OpeningRangeBreakout::default() };
    assert_eq!(refusal(&strategy, &view(&bars)).0, "arithmetic");
}
