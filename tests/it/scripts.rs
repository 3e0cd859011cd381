//! Strategies that are scripts, in the whole program.

use std::fs;
use std::sync::Arc;

use daybook::adapters::feeds::simulated::{SimulatedMarket, SimulatedMarketSettings};
use daybook::ports::MarketFeed;
use daybook::scripting::Script;
use daybook_core::analysis::latest_atr;
use daybook_core::calendar::Calendar;
use daybook_core::indicators::Period;
use daybook_core::money::Bps;
use daybook_core::strategy::{
    Directions, OpeningRangeBreakout, ScriptSettings, Signal, Strategy as _, SymbolView, Wording,
};
use daybook_core::time::{SessionDate, Span};

use crate::backtest::{CONFIGURATION, bars, traded_by_both};
use crate::cli::Desk;
use crate::repository;
use crate::support::place::Place;

/// The example, which stands in the repository.
const EXAMPLE: &str = "config/strategies/opening_range.lua";

/// The back-test's configuration with scripts in the place of the breakout that is built in.
fn with_scripts(scripts: &str) -> String {
    let (before, after) = CONFIGURATION.split_once("strategies:\n").unwrap();
    let after = after.split_once("risk:\n").unwrap().1;
    format!("{before}strategies:\n  opening_range_breakout: {{enabled: false}}\n  scripts:\n{scripts}risk:\n{after}")
}

const MINE: &str =
    "    mine: {script: strategies/mine.lua, direction: both, latest_entry: 5h, params: {buffer: 0, stop: 1}}\n";

#[tokio::test]
async fn the_example_gives_the_signals_of_the_strategy_that_it_writes_anew() {
    let calendar = Calendar::xnys();
    let market: Arc<dyn MarketFeed> =
        Arc::new(SimulatedMarket::new(&SimulatedMarketSettings::default(), calendar.clone()));
    let text = include_str!("../../config/strategies/opening_range.lua");
    let built_in = OpeningRangeBreakout { direction: Directions::Both, ..OpeningRangeBreakout::default() };
    let latest_entry = built_in.latest_entry;
    let settings = ScriptSettings {
        script: "opening_range.lua".to_owned(),
        direction: Directions::Both,
        latest_entry,
        text: text.to_owned(),
        ..ScriptSettings::default()
    };
    let script = Script::new("opening_range_breakout", settings);
    let symbols = market.universe().await.unwrap();
    let (mut signals, mut looks) = (0, 0);
    for day in [16, 17, 18, 19, 20] {
        let session = calendar.session(SessionDate::of(2026, 11, day).unwrap()).unwrap();
        for info in symbols.iter().take(12) {
            let symbol = info.symbol;
            let bars = market.minute_bars(symbol, session.pre_open, session.close).await.unwrap();
            let daily = market.daily_bars(symbol, 30, session.date).await.unwrap();
            for minute in (16..180).step_by(4) {
                let as_of = session.open.after(Span::minutes(minute).as_duration());
                let quote = market.quote(symbol, as_of).await.unwrap();
                let known = bars.partition_point(|bar| bar.minute_end() <= as_of);
                let view = SymbolView {
                    symbol,
                    session,
                    as_of,
                    bars: &bars[..known],
                    quote,
                    previous_close: daily.last().map(|bar| bar.close),
                    daily_atr: latest_atr(&daily, Period::of::<14>()).filter(|_| minute % 3 != 0),
                    relative_volume: (minute % 5 != 0).then_some(Bps(i64::from(minute) * 137)),
                    news_score: None,
                    model: None,
                    entries_today: 0,
                };
                let plain = |signal: Option<Signal>| signal.map(|signal| Signal { reasons: Vec::new(), ..signal });
                let (expected, found) =
                    (plain(built_in.signal(&view, Wording::Told)), plain(script.signal(&view, Wording::Told)));
                assert_eq!(script.fault(), None);
                assert_eq!(found, expected, "{symbol} at {as_of}");
                signals += usize::from(found.is_some());
                looks += 1;
            }
        }
    }
    assert!(signals > 50 && looks > signals * 2, "{signals} of {looks}");
}

#[test]
fn a_replay_trades_a_script_as_the_back_test_does_and_is_decided_again_by_the_text_of_that_day() {
    let desk = Desk::new();
    desk.write("strategies/mine.lua", &repository::read(EXAMPLE));
    let trades = traded_by_both(&desk, &with_scripts(MINE), &bars(0));
    assert!(trades.len() > 5, "{trades:?}");

    fs::remove_file(desk.path().join("strategies/mine.lua")).unwrap();
    desk.write("daybook.yaml", "");
    let verified = desk.trade(&["verify", "--ledger", "replay.db"]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    let asked = |sql: &str| desk.trade(&["ledger", "query", sql, "--ledger", "replay.db", "--format", "csv"]).out;
    let named =
        "SELECT count(*) FROM script JOIN config_version ON sha256 = body ->> '$.strategies.scripts.mine.sha256'";
    assert_eq!(asked(named).lines().last(), Some("1"));
    let shown =
        "SELECT count(*) > 5 AND min(reasons ->> '$[0].value' LIKE 'strategies/mine.lua ' || substr(sha256, 1, 12))
        FROM signal, script";
    assert_eq!(asked(shown).lines().last(), Some("1"));
}

#[test]
fn a_script_that_fails_is_stopped_and_told_once_and_the_others_go_on() {
    let desk = Desk::new();
    desk.write("strategies/mine.lua", &repository::read(EXAMPLE));
    let faulty = "-- It works until the second hour.\nfunction propose(view)\n  if view.minute > 60 then while true do end end\nend\n";
    desk.write("strategies/faulty.lua", faulty);
    desk.write("bars.csv", &bars(0));
    let configuration = with_scripts(&format!("{MINE}    faulty: {{script: strategies/faulty.lua}}\n"));
    desk.write("daybook.yaml", &configuration);
    let with = ["--config", "daybook.yaml", "--bars", "bars.csv"];

    let told = "strategies/faulty.lua:3: took more than 100000 operations";
    let backtest = desk.trade(&[&["backtest", "--strategy", "faulty"], &with[..]].concat());
    assert_eq!(backtest.code, 1);
    assert!(backtest.err.contains(told), "{}", backtest.err);
    let days = ["replay", "--from", "2026-11-23", "--to", "2026-11-24", "--ledger", "replay.db"];
    let replay = desk.trade(&[&days, &with[..]].concat());
    assert_eq!(replay.code, 0, "{}", replay.err);
    let asked = |sql: &str| {
        let said = desk.trade(&["ledger", "query", sql, "--ledger", "replay.db", "--format", "csv"]);
        said.out.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let alerts = "SELECT subject FROM alert WHERE event = 'strategy.stopped'";
    assert_eq!(asked(alerts), [format!("the strategy faulty proposes nothing more: {told}")]);
    assert_eq!(asked("SELECT strategy || ' ' || message FROM script_fault"), [format!("faulty {told}")]);
    let later = "SELECT count(*) > 3 FROM signal JOIN script_fault ON signal.at_ms > script_fault.at_ms WHERE signal.strategy = 'mine'";
    assert_eq!(asked(later), ["1"]);
    let verified = desk.trade(&["verify", "--ledger", "replay.db"]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);

    let here = ["--config", "daybook.yaml", "--ledger", "replay.db"];
    let shown = |arguments: &[&str]| desk.trade(&[arguments, &here[..]].concat()).out;
    assert!(shown(&["status"]).contains(&format!("the strategy faulty: {told}")));
    let row = |state: &str| format!("\nfaulty,{state},");
    let listed = shown(&["strategies", "--format", "csv"]);
    assert!(listed.contains(&row("stopped")) && listed.contains("\nmine,enabled,"), "{listed}");
    desk.write("strategies/faulty.lua", &faulty.replace("60", "1000"));
    let listed = shown(&["strategies", "--format", "csv"]);
    assert!(listed.contains(&row("enabled")), "{listed}");
    assert!(!shown(&["status"]).contains("stopped"));
}

#[test]
fn a_changed_script_is_in_force_without_a_restart_and_a_wrong_one_changes_nothing() {
    let mut place = Place::new("XNYS");
    fs::create_dir(place.path("strategies")).unwrap();
    let script = |name: &str, text: &str| fs::write(place.path("strategies").join(name), text).unwrap();
    let configure = |names: &[&str]| {
        let path = place.path("daybook.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("strategies:").next().unwrap();
        let entry = |name: &&str| format!("    {name}: {{script: strategies/{name}.lua}}\n");
        let scripts: String = names.iter().map(entry).collect();
        fs::write(&path, format!("{text}strategies:\n  scripts:\n{scripts}")).unwrap();
    };
    script("mine.lua", "function propose() end");
    configure(&["mine"]);
    place.start(&[]);
    let versions = "SELECT body ->> '$.strategies.scripts.mine.sha256' FROM config_version ORDER BY config_version_id";
    let refused = "SELECT body FROM alert WHERE event = 'configuration.refused' ORDER BY alert_id";
    let script = |name: &str, text: &str| fs::write(place.path("strategies").join(name), text).unwrap();

    script("mine.lua", "function propose() return nil end");
    let found = place.await_rows(versions, 2);
    assert_ne!(found[0], found[1]);
    let changed = "SELECT subject FROM alert WHERE event = 'configuration.changed'";
    let told = place.await_rows(changed, 1);
    assert!(told[0].contains("strategies.scripts.mine.sha256"), "{told:?}");

    script("mine.lua", "function propose()\n  return return\nend");
    let told = place.await_rows(refused, 1);
    assert!(told[0].contains("strategies/mine.lua:2: ") && told[0].contains("daybook.yaml:9:"), "{told:?}");
    assert_eq!(place.rows(versions).len(), 2);
    script("mine.lua", "function propose() return nil end -- mended");
    place.await_rows(versions, 3);

    // One that is wrong when it is named first is read again once it is mended.
    script("other.lua", "oops");
    let path = place.path("daybook.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}    other: {{script: strategies/other.lua}}\n")).unwrap();
    place.await_rows(refused, 2);
    script("other.lua", "function propose() end");
    place.await_rows(versions, 4);
    assert_eq!(place.rows("SELECT count(*) FROM script"), ["3"], "the two files began with the same text");
}

#[test]
fn a_script_is_tried_on_the_command_line() {
    let desk = Desk::new();
    desk.write("mine.lua", &repository::read(EXAMPLE));
    desk.write("config/daybook.yaml", "market: {simulated: {symbols: 5}}");
    let checked = desk.json(&["strategies", "check", "mine.lua", "--sessions", "2", "--set", "closes=1"]);
    assert_eq!(checked["parameters"]["closes"], 1);
    assert!(checked["signals"].as_array().unwrap().len() > 2, "{checked}");
    let said = desk.trade(&["strategies", "check", "mine.lua", "--sessions", "1", "--set", "close=1"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("--set close: the script declares no such parameter; expected buffer, closes"),
        "{}",
        said.err
    );
    desk.write("wrong.lua", "function propose()\n  retrun nil\nend");
    let said = desk.trade(&["strategies", "check", "wrong.lua"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("wrong.lua:2: "), "{}", said.err);
    desk.write("fails.lua", "function propose(view)\n  return { stop = view.nothing.at_all }\nend");
    let said = desk.trade(&["strategies", "check", "fails.lua", "--sessions", "1"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("fails.lua:2: attempt to index a nil value (field 'nothing')"), "{}", said.err);
}

#[test]
fn what_is_wrong_with_a_script_is_told_where_it_is_named() {
    let desk = Desk::new();
    desk.write("strategies/mine.lua", "parameters = { closes = 2 }\nfunction propose() end");
    let refused = |entry: &str| {
        desk.write("daybook.yaml", &format!("strategies:\n  scripts:\n    {entry}\n"));
        let said = desk.trade(&["config", "check", "--config", "daybook.yaml"]);
        assert_eq!(said.code, 2, "{entry}: {}", said.out);
        said.err
    };
    for (entry, place, told) in [
        (
            "mine: {script: strategies/no.lua}",
            "daybook.yaml:3:20: strategies.scripts.mine.script: ",
            "there is no file",
        ),
        (
            "mine: {script: strategies/mine.lua, params: {closes: x}}",
            "daybook.yaml:3:58: strategies.scripts.mine.params.closes: ",
            "expected a whole number",
        ),
        (
            "mine: {script: strategies/mine.lua, params: {close: 1}}",
            "strategies.scripts.mine.params.close: ",
            "expected closes",
        ),
        ("mine: {script: strategies/mine.lua, sha256: abc}", "strategies.scripts.mine.sha256: ", "is abc, and "),
        ("mine: {}", "strategies.scripts.mine.script: ", "is empty"),
        ("composite: {script: strategies/mine.lua}", "strategies.scripts.composite: ", "built in"),
        ("mine: {script: strategies/mine.lua, stop: 2%}", "strategies.scripts.mine.stop: ", "unknown key"),
    ] {
        let said = refused(entry);
        assert!(said.contains(place) && said.contains(told), "{entry}: {said}");
    }
}
