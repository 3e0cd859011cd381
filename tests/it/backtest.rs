//! `trade backtest` beside `trade replay`: two programs around the same decisions and the same matching engine.

use std::fmt::Write as _;

use daybook_core::time::Timestamp;

use crate::cli::Desk;
use crate::repository;
use crate::support::drawn;

/// A session without a breakout, which leaves something to measure the next ones by, and four that trade; the last is a
/// half day.
const SESSIONS: [(&str, i64); 5] =
    [("2026-11-20", 390), ("2026-11-23", 390), ("2026-11-24", 390), ("2026-11-25", 390), ("2026-11-27", 210)];
const SYMBOLS: [&str; 6] = ["AIG", "BA", "CAT", "DIS", "GE", "HD"];

/// Limits that bind, costs of every kind, both directions, stops that follow.
pub const CONFIGURATION: &str = "
scan: {top: 100, dollar_volume_min: 0, gap_min: 0%, relative_volume_min: 0%, range_min: 0%}
market: {files: {quotes: {half_spread: 0.02%}}}
strategies:
  opening_range_breakout:
    {direction: both, stop: {percent: 0.4%}, target: {percent: 0.8%}, buffer: {range: 0}, latest_entry: 5h}
risk:
  warm_up_cycles: 0
  min_confidence: 0%
  max_positions: 4
  execute_top_n: 2
  max_position_value: 30000
  max_exposure: 120000
  max_hold: 2h
  trailing: {break_even_after: 0.5, distance: 0.8, step: 0.25}
backtest: {looks: 5m, fills: last_close, flatten: 10m}
execution:
  paper:
    allow_short: true
    margin_multiplier: 4
    slippage: 0.01%
    commission_per_share: 0.005
    commission_per_order: 0.35
    commission_minimum: 1
    participation: 20%
";

/// What the jobs of a replay have to be for it to look where a back-test looks: their texts, and what stands in their place.
const JOBS: [(&str, &[(&str, &str)]); 2] = [
    ("breakout-watch", &[("delay: 5s", "delay: 0s"), ("strategies: [opening_range_breakout]", "strategies: []")]),
    ("analysis", &[("enabled: true", "enabled: false")]),
];

/// Minute bars of every symbol: a walk in cents, the same each time. Of a hundred minutes so many have no bar.
pub fn bars(missing: i64) -> String {
    let mut text = "symbol,ts_utc,open,high,low,close,volume\n".to_owned();
    let dollars = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
    for (place, symbol) in (1..).zip(SYMBOLS) {
        let (mut draw, mut lost) = (drawn(place), drawn(100 + place));
        let mut close = 8_000 + 1_000 * i64::try_from(place).unwrap();
        for (session, (date, minutes)) in SESSIONS.into_iter().enumerate() {
            let open: Timestamp = format!("{date}T14:30:00Z").parse().unwrap();
            let drift = draw(7) - 3;
            for minute in 0..minutes {
                let open_price = close;
                close += match session {
                    0 if minute < 16 => [20, -20][minute as usize % 2],
                    0 => 0,
                    _ => draw(19) - 9 + if minute % 3 == 0 { drift } else { 0 },
                };
                let (high, low) = (open_price.max(close) + draw(4), open_price.min(close) - draw(4));
                let start = Timestamp(open.0 + 60_000 * minute);
                let prices = [open_price, high, low, close].map(dollars).join(",");
                let volume = 900 + draw(600);
                if lost(100) >= missing {
                    writeln!(text, "{symbol},{start},{prices},{volume}").unwrap();
                }
            }
        }
    }
    text
}

/// A trade, as both programs tell it: the minutes of entry and exit, prices and results in 10^-8 dollars.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trade {
    entry: Timestamp,
    symbol: String,
    exit: Timestamp,
    entry_price: i64,
    exit_price: i64,
    quantity: i64,
    pnl: i64,
    exit_reason: String,
}

/// Reads rows of `symbol,entry,entry_price,exit,exit_price,quantity,pnl,exit_reason`, in the order of their entries.
fn trades(rows: &str, minute_of: impl Fn(Timestamp, &str) -> Timestamp) -> Vec<Trade> {
    let exact = |text: &str| (text.parse::<f64>().unwrap() * 1e8).round() as i64;
    let mut trades: Vec<Trade> = rows
        .lines()
        .skip(1)
        .map(|row| {
            let cells: [&str; 8] = row.split(',').collect::<Vec<_>>().try_into().unwrap();
            let [symbol, entry, entry_price, exit, exit_price, quantity, pnl, reason] = cells;
            Trade {
                entry: minute_of(entry.parse().unwrap(), "entry"),
                symbol: symbol.to_owned(),
                exit: minute_of(exit.parse().unwrap(), reason),
                entry_price: exact(entry_price),
                exit_price: exact(exit_price),
                quantity: exact(quantity),
                pnl: exact(pnl),
                exit_reason: reason.to_owned(),
            }
        })
        .collect();
    trades.sort();
    trades
}

/// What is decided at the end of a bar meets the quote that its close makes: in the back-test the bar is that one, in
/// a replay the instant is the next minute's first. What rests fills in a bar, at the same minute for both.
fn minute_of_bar(start: Timestamp, why: &str) -> Timestamp {
    let rests = ["stop", "trailed stop", "target"].contains(&why);
    if rests { start } else { Timestamp(start.0 + 60_000) }
}

/// The trades of a back-test, which are those of a replay (`replay.db`) of the same days under the same settings.
pub fn traded_by_both(desk: &Desk, configuration: &str, bars: &str) -> Vec<Trade> {
    desk.write("bars.csv", bars);
    desk.write("daybook.yaml", configuration);
    // A back-test looks the instant that a bar ends, and only there.
    std::fs::create_dir(desk.path().join("jobs")).unwrap();
    for (name, changes) in JOBS {
        let mut text = repository::read(&format!("jobs/{name}.yaml"));
        for (from, to) in changes {
            assert!(text.contains(from), "{name}");
            text = text.replace(from, to);
        }
        desk.write(&format!("jobs/{name}.yaml"), &text);
    }

    let with = ["--config", "daybook.yaml", "--bars", "bars.csv"];
    let backtest = desk.trade(&[&["backtest", "--trades", "trades.csv"], &with[..]].concat());
    assert_eq!(backtest.code, 0, "{}", backtest.err);
    let days = ["replay", "--from", "2026-11-23", "--to", "2026-11-27", "--ledger", "replay.db"];
    let replay = desk.trade(&[&days, &with[..]].concat());
    assert_eq!(replay.code, 0, "{}", replay.err);
    let sql =
        "SELECT symbol, entry_at_utc, entry_price, exit_at_utc, exit_price, quantity, pnl, exit_reason FROM v_trade";
    let replayed = desk.trade(&["ledger", "query", sql, "--ledger", "replay.db", "--format", "csv"]).out;

    let mut ours = trades(&std::fs::read_to_string(desk.path().join("trades.csv")).unwrap(), minute_of_bar);
    let theirs = trades(&replayed, |at, _| at.floor_to(daybook_core::market::MINUTE));
    // What no quote had filled, or not wholly, fills in a later bar, and that is told alike.
    for trade in &mut ours {
        let told = |entry: i64, exit: i64| Trade {
            entry: Timestamp(trade.entry.0 - entry),
            exit: Timestamp(trade.exit.0 - exit),
            ..trade.clone()
        };
        let later = [told(0, 60_000), told(60_000, 0), told(60_000, 60_000)];
        if let Some(same) = later.into_iter().find(|later| theirs.contains(later)) {
            *trade = same;
        }
    }
    ours.sort();
    let only = |these: &[Trade], those: &[Trade]| -> Vec<Trade> {
        these.iter().filter(|trade| !those.contains(trade)).cloned().collect()
    };
    assert_eq!(only(&ours, &theirs), only(&theirs, &ours), "the back-test's own trades, and the replay's");
    assert_eq!(ours, theirs);
    ours
}

#[test]
fn the_page_has_the_recipe_that_is_tested() {
    let page = repository::read("docs/backtest.md");
    let (_, recipe) = page.split_once("## The same trades in a replay").unwrap();
    let block = |kind: &str| recipe.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
    // Each key of the block is in the tested configuration, with its value, in one line or in a section of several.
    for line in block("yaml").lines() {
        let (section, rest) = line.split_once(": {").unwrap();
        for setting in rest.split('}').next().unwrap().split(", ") {
            let tested = CONFIGURATION.split(&format!("\n{section}:")).nth(1).unwrap();
            let end = tested.find("\n\n").unwrap_or(tested.len());
            assert!(tested[..end].contains(setting), "{section}: {setting}");
        }
    }
    for (job, changes) in JOBS {
        let line = block("sh").lines().find(|line| line.ends_with(&format!("jobs/{job}.yaml"))).unwrap();
        for (from, to) in changes {
            let escaped = from.replace('[', "\\[").replace(']', "\\]");
            assert!(line.contains(&format!("s/{escaped}/{to}/")), "{line}: {from}");
        }
    }
}

#[test]
fn a_replay_of_the_same_days_with_the_same_settings_makes_the_same_trades() {
    let ours = traded_by_both(&Desk::new(), CONFIGURATION, &bars(0));
    for reason in ["stop", "target", "trailed stop", "max hold", "market close"] {
        assert!(ours.iter().any(|trade| trade.exit_reason == reason), "nothing was left at its {reason}: {ours:?}");
    }
    assert!(ours.len() > 12, "{} trades", ours.len());
}

#[test]
fn minutes_without_a_bar_pass_for_both_alike() {
    let several = CONFIGURATION.replace("{direction: both,", "{direction: both, max_entries: 4,");
    let several = several.replace("  max_hold: 2h\n", "  max_hold: 20m\n  max_entries: 4\n");
    for (configuration, missing) in [(CONFIGURATION, 30), (several.as_str(), 20)] {
        let ours = traded_by_both(&Desk::new(), configuration, &bars(missing));
        assert!(ours.len() > 12, "{missing} % missing: {} trades", ours.len());
    }
}

#[test]
fn what_fills_in_part_is_protected_by_both_alike() {
    for participation in ["1%", "3%"] {
        let bound = CONFIGURATION.replace("participation: 20%", &format!("participation: {participation}"));
        let ours = traded_by_both(&Desk::new(), &bound, &bars(0));
        assert!(ours.len() > 12, "{participation}: {} trades", ours.len());
        for reason in ["stop", "stop did not work", "max hold"] {
            assert!(ours.iter().any(|trade| trade.exit_reason == reason), "{participation}: {reason}: {ours:?}");
        }
        // What a minute has, and not the whole order, is held: its target is gone with the rest of the entry.
        assert!(ours.iter().all(|trade| trade.quantity < 100_000_000_000 && trade.exit_reason != "target"), "{ours:?}");
    }
}

#[test]
fn several_strategies_share_the_entries_of_a_symbol() {
    let several = CONFIGURATION.replace("  opening_range_breakout:\n", "  donchian_breakout: {enabled: true, direction: both, max_entries: 3, max_extension: 5}\n  opening_range_breakout:\n");
    let several = several.replace("{direction: both, stop", "{direction: both, max_entries: 3, stop");
    let several = several.replace("  max_hold: 2h\n", "  max_hold: 15m\n  max_entries: 3\n");
    let desk = Desk::new();
    let ours = traded_by_both(&desk, &several, &bars(0));
    let session = |trade: &Trade| trade.entry.0 / 86_400_000;
    let most = ours
        .iter()
        .map(|trade| {
            ours.iter().filter(|other| (&other.symbol, session(other)) == (&trade.symbol, session(trade))).count()
        })
        .max();
    assert_eq!(most, Some(3), "{ours:?}");
    let names = desk
        .trade(&[
            "ledger",
            "query",
            "SELECT DISTINCT strategy FROM v_trade ORDER BY 1",
            "--ledger",
            "replay.db",
            "--format",
            "csv",
        ])
        .out;
    assert_eq!(names.lines().skip(1).collect::<Vec<_>>(), ["donchian_breakout", "opening_range_breakout"]);
}

#[test]
fn no_position_outlives_its_session_where_little_trades() {
    let desk = Desk::new();
    // The last quarter of an hour has thirty shares a minute, and a twentieth of them is one.
    let thin: String = bars(0)
        .lines()
        .map(|row| match row.rsplit_once(',') {
            Some((rest, _)) if rest.contains("T20:4") || rest.contains("T20:5") || rest.contains("T17:5") => {
                format!("{rest},30\n")
            }
            _ => format!("{row}\n"),
        })
        .collect();
    desk.write("bars.csv", &thin);
    desk.write(
        "daybook.yaml",
        &CONFIGURATION.replace("participation: 20%", "participation: 5%").replace("max_hold: 2h", "max_hold: 7h"),
    );
    let told = desk.json(&["backtest", "--config", "daybook.yaml", "--bars", "bars.csv", "--trades", "trades.csv"]);
    assert!(told["left_unmet"].as_u64().unwrap() > 0 && told["left_open"] == 0, "{told}");
    let trades = std::fs::read_to_string(desk.path().join("trades.csv")).unwrap();
    for row in trades.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!(cells[1].get(..10), cells[3].get(..10), "{row}");
    }
}

#[test]
fn what_makes_entries_pause_does_so_at_the_same_minute_in_both() {
    let sets: [(&str, &[&str]); 2] = [
        (
            "{stop_loss_guard: {stops: 1, within: 1d, pause: 1h}, \
             drawdown: {limit: 0.02%, trades: 2, within: 7d, pause: 1h}}",
            &["stop_loss_guard", "trade_drawdown"],
        ),
        (
            "{loss_cooldown: 20m, low_profit: {trades: 2, required: 1%, within: 1d, pause: 1h}, \
             loss_streak: {losses: 2, within: 2d, pause: 1h}}",
            &["loss_cooldown", "loss_streak", "low_profit"],
        ),
    ];
    let several = CONFIGURATION.replace("{direction: both,", "{direction: both, max_entries: 4,");
    for (protections, kinds) in sets {
        let desk = Desk::new();
        let configuration = several
            .replace("  max_hold: 2h\n", &format!("  max_hold: 20m\n  max_entries: 4\n  protections: {protections}\n"));
        assert!(configuration.contains(protections) && configuration.contains("max_entries"));
        let ours = traded_by_both(&desk, &configuration, &bars(0));
        assert!(ours.len() > 5, "{} trades", ours.len());
        let paused = "SELECT DISTINCT kind FROM pause ORDER BY kind";
        let paused = desk.trade(&["ledger", "query", paused, "--ledger", "replay.db", "--format", "csv"]).out;
        assert_eq!(paused.lines().skip(1).collect::<Vec<_>>(), kinds, "each has paused something");
    }
}

#[test]
fn the_equity_of_a_back_test_is_what_its_statistics_read() {
    let desk = Desk::new();
    desk.write("bars.csv", &bars(0));
    desk.write("daybook.yaml", CONFIGURATION);
    let with = ["backtest", "--config", "daybook.yaml", "--bars", "bars.csv", "--json"];
    let told = desk.trade(&[&with[..], &["--equity", "equity.csv", "--trades", "trades.csv"]].concat());
    assert_eq!(told.code, 0, "{}", told.err);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    let by_check = told["refused_by"].as_object().unwrap();
    assert!(by_check.contains_key("positions"), "{told}");
    assert_eq!(by_check.values().filter_map(serde_json::Value::as_u64).sum::<u64>(), told["refused"].as_u64().unwrap());

    let equity = std::fs::read_to_string(desk.path().join("equity.csv")).unwrap();
    assert_eq!(equity.lines().nth(1), Some("2026-11-19,100000.00"), "what it began with, on the day before");
    assert_eq!(equity.lines().count(), 2 + SESSIONS.len());
    let stats = desk.trade(&["report", "stats", "equity.csv", "--trades", "trades.csv", "--json"]);
    assert_eq!(stats.code, 0, "{}", stats.err);
    let stats: serde_json::Value = serde_json::from_str(&stats.out).unwrap();
    let total = stats["total_return"].as_f64().unwrap();
    assert!((total - told["pnl"].as_f64().unwrap() / 100_000.0).abs() < 1e-12, "{total}");
}

#[test]
fn bars_are_not_overwritten_and_must_be_of_a_session() {
    let desk = Desk::new();
    let text = bars(0);
    desk.write("bars.csv", &text);
    desk.write("daybook.yaml", CONFIGURATION);
    for option in ["--trades", "--equity"] {
        let refused = desk.trade(&["backtest", "--config", "daybook.yaml", "--bars", "bars.csv", option, "./bars.csv"]);
        assert_eq!(refused.code, 2);
        assert_eq!(refused.err, "error: bars.csv is read, and would be overwritten: name another\n");
    }
    assert_eq!(std::fs::read_to_string(desk.path().join("bars.csv")).unwrap(), text);

    // A Saturday.
    let weekend: String =
        text.lines().take(30).map(|row| format!("{}\n", row.replace("2026-11-20", "2026-11-21"))).collect();
    desk.write("weekend.csv", &weekend);
    let refused = desk.trade(&["backtest", "--config", "daybook.yaml", "--bars", "weekend.csv"]);
    assert_eq!(refused.code, 2);
    let told =
        "no bar lies between the open and the close of a session of XNYS: expected minutes of sessions, not days";
    assert!(refused.err.contains(told), "{}", refused.err);
}

#[test]
fn a_session_of_too_many_shares_is_told_before_it_is_stored() {
    let desk = Desk::new();
    let row = |minute: i64| format!("SHIB,2026-11-20T14:3{minute}:00Z,1,1,1,1,5000000000\n");
    desk.write("bars.csv", &format!("symbol,ts_utc,open,high,low,close,volume\n{}{}", row(0), row(1)));
    let refused = desk.trade(&["bars", "import", "bars.csv", "--store", "store"]);
    assert_eq!(refused.code, 2);
    let expected = "error: the bars of SHIB cannot be taken together: adding a quantity overflows; \
                    expected at most 9,223,372,036 shares in a session\n";
    assert_eq!(refused.err, expected);
    assert!(!desk.path().join("store/SHIB").exists());
}
