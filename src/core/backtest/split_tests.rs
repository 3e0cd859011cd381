//! A split in the bars: what a strategy sees is what it would see had there been none.

use std::sync::{Arc, Mutex};

use super::*;
use crate::market::{ActionKind, Bar, CorporateAction};
use crate::risk::RiskSettings;
use crate::strategy::{Directions, Reasons, Signal, SymbolView};

/// Sessions of the market: more than the average true range looks back at.
const SESSIONS: i64 = 20;

/// The session with which the shares are split.
const SPLIT_ON: i64 = 17;

/// New shares for an old one.
const NEW: i64 = 7;

/// What is measured against other sessions.
type Seen = (SessionDate, Timestamp, Option<Price>, Option<Price>, Option<Bps>);

/// A strategy that proposes nothing and keeps what it sees.
struct Watching(Arc<Mutex<Vec<Seen>>>);

impl Strategy for Watching {
    fn name(&self) -> &'static str {
        "watching"
    }
    fn idea(&self) -> &'static str {
        "sees"
    }
    fn is_enabled(&self) -> bool {
        true
    }
    fn directions(&self) -> Directions {
        Directions::Both
    }
    fn max_entries(&self) -> u32 {
        1
    }
    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    fn propose(&self, view: &SymbolView<'_>, _: &mut Reasons) -> Option<Signal> {
        let seen = (view.session.date, view.as_of, view.previous_close, view.daily_atr, view.relative_volume);
        self.0.lock().unwrap().push(seen);
        None
    }
}

fn days() -> Vec<Session> {
    let calendar = Calendar::xnys();
    let first = SessionDate::of(2014, 5, 14).unwrap();
    calendar.sessions(first, first.plus_days(60)).take(usize::try_from(SESSIONS).unwrap()).collect()
}

/// Half an hour a session; prices in the shares after the split, or as they were traded.
fn market(as_traded: bool) -> BTreeMap<Symbol, BarColumns> {
    let bars = days().into_iter().zip(0..).flat_map(|(session, day)| {
        let old = as_traded && day < SPLIT_ON;
        let (times, parts) = if old { (NEW, NEW) } else { (1, 1) };
        (0..30).map(move |minute| {
            let price = |cents: i64| Price::from_cents(cents * times);
            let close = 92_00 + 31 * day % 97 + minute * 3 % 11;
            Bar {
                start: Timestamp(session.open.0 + 60_000 * minute),
                open: price(close - 4),
                high: price(close + 9 + day % 5),
                low: price(close - 8),
                close: price(close),
                volume: Quantity::whole(NEW * (100 + 13 * day % 7 + minute) / parts),
            }
        })
    });
    [("AAPL".parse().unwrap(), bars.collect())].into()
}

fn seen(market: &BTreeMap<Symbol, BarColumns>, actions: &CorporateActions) -> Vec<Seen> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let strategies: Vec<Box<dyn Strategy>> = vec![Box::new(Watching(seen.clone()))];
    let terms = Terms {
        calendar: &Calendar::xnys(),
        actions,
        backtest: &BacktestSettings::default(),
        risk: &RiskSettings::default(),
        exchange: &ExchangeSettings::default(),
        half_spread: Bps::ZERO,
        strategies: &strategies,
    };
    run(market, &terms, Pace::EveryBar).unwrap();
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[test]
fn a_seven_for_one_split_does_not_look_like_a_crash() {
    let ex_date = days()[usize::try_from(SPLIT_ON).unwrap()].date;
    let mut actions = CorporateActions::new();
    let split = CorporateAction { ex_date, kind: ActionKind::Split("7:1".parse().unwrap()) };
    actions.add("AAPL".parse().unwrap(), split);
    let since = |all: Vec<Seen>| -> Vec<Seen> { all.into_iter().filter(|seen| seen.0 >= ex_date).collect() };
    let adjusted = since(seen(&market(false), &CorporateActions::new()));
    // Of two sessions until they are left, whether or not there are bars; of the last as far as bars tell of it.
    assert_eq!(adjusted.len(), 379 + 379 + 30, "every minute of three sessions");
    assert!(adjusted.iter().all(|(_, _, close, atr, volume)| close.is_some() && atr.is_some() && volume.is_some()));
    assert_eq!(since(seen(&market(true), &actions)), adjusted);
    // Without the action yesterday's close is seven times the price.
    let crash = since(seen(&market(true), &CorporateActions::new()));
    assert_eq!(crash[0].2, adjusted[0].2.map(|close| Price(close.0 * NEW)));
}

#[test]
fn before_its_ex_date_a_split_is_not_known() {
    let ex_date = days()[usize::try_from(SPLIT_ON).unwrap()].date;
    let mut actions = CorporateActions::new();
    let split = CorporateAction { ex_date, kind: ActionKind::Split("7:1".parse().unwrap()) };
    actions.add("AAPL".parse().unwrap(), split);
    let before = |all: Vec<Seen>| -> Vec<Seen> { all.into_iter().filter(|seen| seen.0 < ex_date).collect() };
    let raw = market(true);
    assert_eq!(before(seen(&raw, &actions)), before(seen(&raw, &CorporateActions::new())));
}
