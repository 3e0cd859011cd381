use super::*;
use crate::risk::testing::{minute, symbol};

/// Trades of 10,000 dollars: symbol, minute at which it closed, result in dollars, whether by its stop.
fn record(trades: &[(&str, u32, i64, bool)]) -> TradeRecord {
    let trade = |&(name, closed, net, stopped): &(&str, u32, i64, bool)| PastTrade {
        symbol: symbol(name),
        closed_at: minute(closed),
        net: Money::whole(net),
        cost: Money::whole(10_000),
        stopped,
    };
    TradeRecord { trades: trades.iter().map(trade).collect(), pauses: Vec::new() }
}

fn settings(text: &str) -> ProtectionSettings {
    serde_json::from_str(text).unwrap()
}

fn found(record: &TradeRecord, at: u32, settings: &ProtectionSettings) -> Vec<String> {
    pauses(record, Money::whole(100_000), minute(at), settings).iter().map(Pause::words).collect()
}

#[test]
fn nothing_pauses_unless_it_is_asked_for() {
    let losing: Vec<_> = (0..20).map(|at| ("AAA", at, -500, true)).collect();
    assert_eq!(found(&record(&losing), 30, &ProtectionSettings::default()), Vec::<String>::new());
    assert_eq!(ProtectionSettings::default().problems(), vec![]);
}

#[test]
fn each_protection_begins_at_its_limit() {
    let guard = r#"{"stop_loss_guard": {"stops": 3, "within": "2h", "pause": "1h"}}"#;
    let cooldown = r#"{"loss_cooldown": "30m"}"#;
    let drawdown = r#"{"drawdown": {"limit": "1%", "trades": 3, "within": "2h", "pause": "1h"}}"#;
    let profit = r#"{"low_profit": {"trades": 2, "required": "0.5%", "within": "2h", "pause": "1h"}}"#;
    let streak = r#"{"loss_streak": {"losses": 2, "within": "2h", "pause": "1h"}}"#;
    type Trades = &'static [(&'static str, u32, i64, bool)];
    let cases: [(&str, Trades, u32, &[&str]); 14] = [
        (guard, &[("AAA", 1, -10, true), ("BBB", 2, -10, true)], 10, &[]),
        (guard, &[("AAA", 1, -10, true), ("BBB", 2, -10, true), ("AAA", 3, -10, false)], 10, &[]),
        (
            guard,
            &[("AAA", 1, -10, true), ("BBB", 2, -10, true), ("AAA", 3, -10, true)],
            10,
            &["all symbols: stop-loss guard (stops 3 in 2h (limit 3))"],
        ),
        (guard, &[("AAA", 1, -10, true), ("BBB", 2, -10, true), ("AAA", 3, -10, true)], 122, &[]),
        (
            cooldown,
            &[("AAA", 1, -10, false), ("BBB", 2, 10, false)],
            10,
            &["AAA: cooldown after a loss (result -10.00)"],
        ),
        (cooldown, &[("AAA", 1, -10, false), ("AAA", 2, 10, false)], 10, &[]),
        (cooldown, &[("AAA", 1, -10, false)], 31, &[]),
        (drawdown, &[("AAA", 1, -600, false), ("BBB", 2, -600, false)], 10, &[]),
        (
            drawdown,
            &[("AAA", 1, 200, false), ("BBB", 2, -600, false), ("AAA", 3, -500, false)],
            10,
            &["all symbols: drawdown of recent trades (drawdown 1.1% of the equity in 2h (limit 1%), trades 3)"],
        ),
        (drawdown, &[("AAA", 1, -600, false), ("BBB", 2, 600, false), ("AAA", 3, -500, false)], 10, &[]),
        (profit, &[("AAA", 1, 60, false), ("AAA", 2, 50, false)], 10, &[]),
        (
            profit,
            &[("AAA", 1, 60, false), ("AAA", 2, 10, false), ("BBB", 3, -50, false)],
            10,
            &["AAA: low profit (profit 0.35% of what was paid in 2h (at least 0.5%), trades 2)"],
        ),
        (streak, &[("AAA", 1, -10, false), ("AAA", 2, 10, false), ("AAA", 3, -10, false)], 10, &[]),
        (
            streak,
            &[("AAA", 1, -10, false), ("BBB", 2, 10, false), ("AAA", 3, -10, false)],
            10,
            &["AAA: loss streak (losses in a row 2 in 2h (limit 2))"],
        ),
    ];
    for (text, trades, at, expected) in cases {
        assert_eq!(found(&record(trades), at, &settings(text)), expected, "{text} {trades:?}");
    }
}

#[test]
fn the_same_trades_pause_once() {
    let settings = settings(r#"{"loss_streak": {"losses": 2, "within": "6h", "pause": "1h"}, "loss_cooldown": "1h"}"#);
    let mut record = record(&[("AAA", 1, -10, false), ("AAA", 2, -10, false)]);
    let begun = pauses(&record, Money::whole(100_000), minute(10), &settings);
    let spans: Vec<_> = begun.iter().map(|pause| (pause.kind, pause.until)).collect();
    assert_eq!(spans, [(PauseKind::LossCooldown, minute(62)), (PauseKind::LossStreak, minute(70))]);
    assert!(
        begun.iter().all(|pause| pause.stops(symbol("AAA"), minute(20)) && !pause.stops(symbol("BBB"), minute(20)))
    );
    record.pauses = begun;
    assert_eq!(found(&record, 11, &settings), Vec::<String>::new(), "they hold");
    // A person has ended them: the trades have been counted.
    record.pauses.iter_mut().for_each(|pause| pause.until = minute(12));
    assert_eq!(found(&record, 13, &settings), Vec::<String>::new());
    record.trades.push(PastTrade { closed_at: minute(30), ..record.trades[0] });
    assert_eq!(
        found(&record, 31, &settings),
        ["AAA: cooldown after a loss (result -10.00)"],
        "one new loss is no streak"
    );
}

#[test]
fn senseless_settings_are_named() {
    let wrong = [
        (r#"{"stop_loss_guard": {"stops": 1, "within": "0s"}}"#, "protections.stop_loss_guard.within"),
        (r#"{"stop_loss_guard": {"stops": 1, "pause": "0s"}}"#, "protections.stop_loss_guard.pause"),
        (r#"{"drawdown": {"limit": "100%"}}"#, "protections.drawdown.limit"),
        (r#"{"low_profit": {"within": "400d"}}"#, "protections.low_profit.within"),
        (r#"{"loss_cooldown": "400d"}"#, "protections.loss_cooldown"),
    ];
    for (text, key) in wrong {
        let keys: Vec<&str> = settings(text).problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [key], "{text}");
    }
    assert!(serde_json::from_str::<ProtectionSettings>(r#"{"los_cooldown": "1h"}"#).is_err());
}
