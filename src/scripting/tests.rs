use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use daybook_core::analysis::{ModelAnswer, ModelScore};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::market::{Bar, Quote};
use daybook_core::money::{Bps, Price, Quantity};
use daybook_core::strategy::{
    Direction, Directions, Evaluation, NextLook, Param, Reason, ScriptSettings, Signal, Strategy, SymbolView, Wording,
};
use daybook_core::time::{SessionDate, Span};

use super::{Declared, MEMORY_MAX, OPERATIONS_MAX, Script, declared, problems_of_params};

static SESSION: LazyLock<Session> =
    LazyLock::new(|| Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap());

/// Minutes that fall a cent each, from 100.00.
static BARS: LazyLock<Vec<Bar>> = LazyLock::new(|| {
    let bar = |minute: u32| {
        let close = Price::from_cents(10_000 - i64::from(minute));
        let start = SESSION.open.after(Span::minutes(minute).as_duration());
        let (high, low) = (close.plus(Price::from_cents(5)).unwrap(), close.minus(Price::from_cents(5)).unwrap());
        Bar { start, open: close, high, low, close, volume: Quantity::whole(100) }
    };
    (0..60).map(bar).collect()
});

/// A model that expects a small fall.
static ANSWER: LazyLock<ModelAnswer> =
    LazyLock::new(|| ModelAnswer::Score(ModelScore::new("mine", Bps(-2_500), "", None, Duration::ZERO)));

fn view() -> SymbolView<'static> {
    let as_of = SESSION.open.after(Span::minutes(60).as_duration());
    let quote = Quote {
        at: as_of,
        bid: Price::from_cents(99_41),
        ask: Price::from_cents(99_43),
        bid_size: Quantity::whole(1),
        ask_size: Quantity::whole(1),
    };
    SymbolView {
        symbol: "AAPL".parse().unwrap(),
        session: *SESSION,
        as_of,
        bars: &BARS,
        quote: Some(quote),
        previous_close: Some(Price::from_cents(99_00)),
        daily_atr: Some(Price::from_cents(1_50)),
        relative_volume: Some(Bps(12_500)),
        news_score: None,
        model: Some(&ANSWER),
        entries_today: 0,
    }
}

fn script(text: &str) -> Script {
    let settings = ScriptSettings {
        script: "my.lua".to_owned(),
        sha256: Some("0123456789abcdef".to_owned()),
        direction: Directions::Both,
        text: text.to_owned(),
        ..ScriptSettings::default()
    };
    Script::new("mine", settings)
}

/// What a body of `propose` answers.
fn answer(body: &str) -> Evaluation {
    script(&format!("function propose(view, params) {body} end")).evaluate(&view())
}

/// What a body of `propose` notes under `x`.
fn noted(body: &str) -> String {
    match answer(body) {
        Evaluation::None(reasons) => {
            let found = reasons.iter().find(|reason| reason.measure == "x");
            found.map_or_else(|| panic!("nothing noted: {reasons:?}"), |reason| reason.value.clone())
        }
        Evaluation::Signal(signal) => panic!("{signal:?}"),
    }
}

/// The fault that a script ends with; nothing that it does is a signal, and it is not asked again.
fn fault_of(text: &str) -> String {
    let script = script(text);
    assert_eq!(script.signal(&view(), Wording::Told), None);
    let fault = script.fault().unwrap_or_else(|| panic!("no fault: {text}"));
    assert_eq!((fault.strategy.as_str(), fault.sha256.as_str()), ("mine", "0123456789abcdef"));
    assert_eq!(script.evaluate(&view()), Evaluation::None(vec![Reason::new("stopped", &fault.message)]));
    assert_eq!(script.next_look(&view()), NextLook::NextSession);
    fault.message
}

fn fault(body: &str) -> String {
    fault_of(&format!("function propose(view, params)\n{body}\nend"))
}

#[test]
fn a_script_proposes_like_any_other_strategy() {
    let text = "function propose(view) note('seen', view.symbol)
        return { direction = 'short', stop = view:entry('short') + 1, target = 97.5, confidence = 0.7 } end";
    let Evaluation::Signal(signal) = script(text).evaluate(&view()) else { panic!() };
    let expected = Signal {
        symbol: "AAPL".parse().unwrap(),
        strategy: "mine".to_owned(),
        direction: Direction::Short,
        entry: Price::from_cents(99_41),
        stop: Price::from_cents(10_041),
        target: Price::from_cents(97_50),
        confidence: Bps(7_000),
        reasons: vec![
            Reason::new("script", "my.lua 0123456789ab"),
            Reason::new("seen", "AAPL"),
            Reason::new("entry", "99.41"),
        ],
        valid_until: view().as_of.after(Span::minutes(5).as_duration()),
    };
    assert_eq!(signal, expected);
    let early = SymbolView { as_of: SESSION.open, ..view() };
    assert_eq!(script("function propose() error('asked') end").signal(&early, Wording::Told), None);
}

#[test]
fn it_sees_what_the_others_see() {
    let table = [
        ("view.minute", "60.0"),
        ("view.session_minutes", "390.0"),
        ("view.bid", "99.41"),
        ("view.ask", "99.43"),
        ("view.last", "99.41"),
        ("view.previous_close", "99.0"),
        ("view.daily_atr", "1.5"),
        ("view.relative_volume", "1.25"),
        ("view.news_score", "nil"),
        ("view.model_score", "-0.25"),
        ("view.entries_today", "0"),
        ("view:entry('long')", "99.43"),
        ("view:bars('1m').n", "60"),
        ("view:bars('1m').close[1]", "100.0"),
        ("#view:bars('5m').low", "12"),
        ("view:bars('5m').volume[12]", "500.0"),
        ("view:bars('5m').minute[12]", "55.0"),
        ("view:bars('5m').nothing", "nil"),
        ("view:bars('1m'):first('close', '<', 99.9)", "12"),
        ("view:bars('1m'):first('close', '<=', 99.9)", "11"),
        ("view:bars('1m'):first('close', '<', 99.9, 20)", "20"),
        ("view:bars('1m'):first('minute', '>=', 15)", "16"),
        ("view:bars('1m'):first('minute', '>=', 60)", "nil"),
        ("view:bars('1m'):first('close', '<', 99.9, 61)", "nil"),
        ("view:bars('1m'):first('close', '<', 0/0)", "nil"),
        ("view:bars('1m'):count('close', '>', 99.9)", "10"),
        ("view:bars('1m'):count('close', '>', 99.9, 4)", "7"),
        ("view:bars('5m'):count('volume', '>=', 500)", "12"),
        ("view:premarket():count('high', '>', 0)", "0"),
        ("view:premarket().n", "0"),
        ("view.open", "100.0"),
        ("view:opening_range(15).high", "100.05"),
        ("view:opening_range(15).low", "99.81"),
        ("view:opening_range(15).width", "0.24"),
        ("view:opening_range(15).minutes", "15"),
        ("view:opening_range(90)", "nil"),
        ("view:average_range('1m')", "0.1"),
        ("view:indicator('SMA_2', '1m')", "99.415"),
        ("view:indicator('SMA_2', '1m', 1)", "99.425"),
        ("view:indicator('SMA_20', '5m')", "nil"),
        ("price(0.1 + 0.2)", "0.3"),
        // Numbers are written as Lua writes them.
        ("0.1 + 0.2", "0.3"),
        ("1 / 3", "0.33333333333333"),
        ("-0.125", "-0.125"),
        ("0 * -1.0", "-0.0"),
        ("0 / 0 ~= 0 / 0", "true"),
        ("12, -3", "12-3"),
        ("1e-7", "1e-07"),
        ("0.00012", "0.00012"),
        ("123456789.125", "123456789.125"),
        ("2^53", "9.007199254741e+15"),
        ("1 / 0", "inf"),
        ("view.open, ' to ', 3, true, nil", "100.0 to 3truenil"),
    ];
    for (expression, expected) in table {
        assert_eq!(noted(&format!("note('x', {expression})")), expected, "{expression}");
    }
}

#[test]
fn what_runs_for_ever_is_ended_by_operations() {
    let used_up = format!("took more than {OPERATIONS_MAX} operations");
    for body in [
        "while true do end",
        "repeat until false",
        "::again:: goto again",
        "for i = 1, math.huge do end",
        "local function f() return f() end return f()",
        "local t = {} for i = 1, 1e9 do t[1] = i end",
        "table.sort({3, 1, 2}, function() while true do end end)",
        "local t = {} for k = 0, 61 do t[1 << k] = 1 end table.insert(t, 1, 1) while true do end",
    ] {
        let told = fault(body);
        assert!(told.starts_with("my.lua:2: ") && told.ends_with(&used_up), "{body}: {told}");
    }
    let told = fault_of("while true do end");
    assert_eq!(told, format!("my.lua:1: {used_up}"));
}

#[test]
fn what_takes_long_in_few_operations_is_ended_by_time() {
    // A number behind a hundred thousand blanks.
    let long = "local s = ' ' for i = 1, 17 do s = s .. s end";
    for step in ["n = n + s", "n = n + tonumber(s)"] {
        let told = fault(&format!("{long} s = s .. '1' local n = 0 for i = 1, 20000 do {step} end"));
        assert!(told.starts_with("my.lua:2: ") && told.ends_with("took more than 100 ms"), "{step}: {told}");
    }
}

#[test]
fn the_end_of_a_budget_cannot_be_caught() {
    for catcher in ["pcall", "xpcall"] {
        let told = fault(&format!("{catcher}(function() while true do end end) return nil"));
        assert!(told.contains(&format!("attempt to call a nil value (global '{catcher}')")), "{told}");
    }
}

#[test]
fn memory_is_bounded_whether_or_not_it_is_free_again() {
    let used_up = format!("my.lua: took more than {} KiB of memory", MEMORY_MAX / 1024);
    for body in [
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = string.format('%99d', 1) while true do local t = s .. s .. s .. s .. s .. s .. s .. s end",
        "local function f() return 1 + f() end return f()",
        "local t = {} for i = 1, 60 do t[i] = string.format('%99d', i) end while true do table.concat(t) end",
        "while true do local c = view:bars('1m').close end",
        "local s = 'x' for i = 1, 16 do s = s .. s end while true do s:upper() end",
    ] {
        assert_eq!(fault(body), used_up, "{body}");
    }
}

#[test]
fn what_is_outside_is_out_of_reach() {
    for name in [
        "io",
        "os",
        "debug",
        "package",
        "coroutine",
        "utf8",
        "require",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "print",
        "warn",
        "collectgarbage",
        "getmetatable",
        "setmetatable",
        "rawget",
        "rawset",
        "rawequal",
        "rawlen",
        "next",
        "pcall",
        "xpcall",
        "_G",
        "host",
    ] {
        assert_eq!(noted(&format!("note('x', {name})")), "nil", "{name}");
    }
    for method in ["rep", "find", "match", "gmatch", "gsub", "dump", "pack", "unpack", "reverse"] {
        assert_eq!(noted(&format!("note('x', ('a').{method})")), "nil", "{method}");
        assert_eq!(noted(&format!("note('x', string.{method})")), "nil", "{method}");
    }
    for name in ["math.random", "math.randomseed", "table.unpack", "table.move", "table.pack"] {
        assert_eq!(noted(&format!("note('x', {name})")), "nil", "{name}");
    }
    let compiled = declared("my.lua", "\u{1b}LuaT\0").unwrap_err().to_string();
    assert_eq!(compiled, "my.lua: is compiled Lua; expected its source");
}

#[test]
fn nothing_is_left_over_from_one_answer_to_the_next() {
    let counting = script(
        "local local_count = 0 count = 0
        function propose(view, params)
            local_count, count = local_count + 1, count + 1
            note('x', local_count .. ' ' .. count)
        end",
    );
    for _ in 0..3 {
        let Evaluation::None(reasons) = counting.evaluate(&view()) else { panic!() };
        assert_eq!(reasons.last(), Some(&Reason::new("x", "1 1")));
    }
    for body in
        ["math.pi = 3", "string.upper = nil", "table.insert(string, 1)", "params.own = 1", "table.insert(params, 1)"]
    {
        let told = fault(body);
        assert!(told.ends_with("what is given to a script cannot be changed"), "{body}: {told}");
    }
}

#[test]
fn the_same_view_has_the_same_answer_in_every_state_of_lua() {
    let body = "local t, said = {}, '' for _, key in ipairs { 'gamma', 'alpha', 'delta', 'beta' } do t[key] = #key end
        t[3], t[1], t[2.5] = 'c', 'a', 'b'
        for key, value in pairs(t) do said = said .. key .. '=' .. value .. ' ' end
        note('x', said)";
    for _ in 0..5 {
        assert_eq!(noted(body), "1=a 2.5=b 3=c alpha=5 beta=4 delta=5 gamma=5 ");
    }
    assert_eq!(noted("note('x', tostring({}) .. tostring(note) .. tostring(1.5))"), "tablefunction1.5");
    assert_eq!(noted("note('x', {})"), "table");
    for raised in ["error({})", "assert(false, {})"] {
        assert_eq!(fault(raised), "my.lua:2: table", "{raised}");
    }
    assert_eq!(fault("error('at 0x1f: 0xyz')"), "my.lua:2: at 0x1f: 0xyz");
    assert_eq!(noted("note('x', string.format('%5.2f %d%% %s', 1.005, 3, 'a'))"), " 1.00 3% a");
    for (body, expected) in [
        ("string.format('%p', 'x')", "string.format has no %p here"),
        ("string.format('%%%-8p', 'x')", "string.format has no %p here"),
        ("string.format('%s', {})", "string.format takes no table"),
        ("for _ in pairs({ [{}] = 1 }) do end", "one is a table"),
    ] {
        assert!(fault(body).starts_with("my.lua:2: ") && fault(body).ends_with(expected), "{}", fault(body));
    }
}

#[test]
fn a_budget_ends_at_the_same_operation_each_time() {
    // A turn of the loop is one operation; the rest of the answer takes some tens.
    let counted = |turns| script(&format!("function propose() for i = 1, {turns} do end end"));
    let enough = counted(OPERATIONS_MAX - 1_000);
    for _ in 0..20 {
        assert_eq!(enough.signal(&view(), Wording::Untold), None);
        assert_eq!(enough.fault(), None);
    }
    let too_many = counted(OPERATIONS_MAX);
    assert_eq!(too_many.signal(&view(), Wording::Untold), None);
    assert!(too_many.fault().is_some());
}

#[test]
fn tables_are_sorted_and_moved_as_in_lua() {
    assert_eq!(noted("local t = {5, 3, 9, 1, 7, 3} table.sort(t) note('x', table.concat(t, ','))"), "1,3,3,5,7,9");
    assert_eq!(
        noted(
            "local t = {5, 3, 9, 1, 7} table.sort(t, function(a, b) return a > b end) note('x', table.concat(t, ','))"
        ),
        "9,7,5,3,1"
    );
    assert_eq!(noted("local t = {} table.sort(t) note('x', #t)"), "0");
    assert_eq!(
        noted(
            "local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) note('x', table.concat(t, ',') .. ';' .. table.remove(t) .. table.remove(t, 1) .. ';' .. #t)"
        ),
        "0,1,2,3;30;2"
    );
    assert!(fault("table.insert({}, 5, 1)").ends_with("table.insert takes a place from 1 to 1"));
    assert!(fault("table.sort(nil)").ends_with("table.sort takes a table first, not a nil"));
}

#[test]
fn nonsense_is_a_fault_with_its_words() {
    let returned = |what: &str| fault(&format!("return {what}"));
    let table = [
        ("5", "my.lua: propose returned a integer; expected a table or nil"),
        ("{}", "my.lua: propose returned no direction; expected direction, stop, target and confidence"),
        (
            "{direction = 'long', stop = 98, target = 101, confidence = 0.5, stopp = 1}",
            "my.lua: propose returned a key \"stopp\"; expected direction, stop, target and confidence",
        ),
        (
            "{direction = 'up', stop = 98, target = 101, confidence = 0.5}",
            "my.lua: propose: \"up\" is no direction: expected \"long\" or \"short\"",
        ),
        (
            "{direction = 'long', stop = '98', target = 101, confidence = 0.5}",
            "my.lua: propose returned a string as stop; expected a number",
        ),
        (
            "{direction = 'long', stop = 0/0, target = 101, confidence = 0.5}",
            "my.lua: propose: stop is NaN: expected a price above zero",
        ),
        (
            "{direction = 'long', stop = 99.5, target = 101, confidence = 0.5}",
            "my.lua: propose: stop is 99.50, on the wrong side of the entry at 99.43 for a long",
        ),
        (
            "{direction = 'long', stop = 98, target = 101, confidence = 60}",
            "my.lua: propose: confidence is 60: expected a number from 0 to 1",
        ),
    ];
    for (what, expected) in table {
        assert_eq!(returned(what).replace("-NaN", "NaN"), expected, "{what}");
    }
}

#[test]
fn an_error_has_its_place_in_the_file() {
    let table = [
        ("local x = view.nothing.more", "my.lua:2: attempt to index a nil value (field 'nothing')"),
        ("error('out of ideas')", "my.lua:2: out of ideas"),
        ("\nassert(false, 'no')", "my.lua: no"),
        ("view:bars('7m')", "my.lua:2: \"7m\" is no timeframe of a session: expected 1m, 5m, 15m, 30m, 1h or 4h"),
        ("\n\nview:entry('up')", "my.lua:4: \"up\" is no direction: expected \"long\" or \"short\""),
        ("while true do note('a', 1) end", "my.lua:2: note was called more than 64 times"),
        (
            "local s = 'aaaaaaaaaa' s = s .. s .. s note('a', s, s, s, s, s, s, s)",
            "my.lua:2: note takes texts of at most 200 bytes",
        ),
        ("view:bars('1m'):count('close', '=', 1)", "my.lua:2: \"=\" is no relation: expected <, <=, > or >="),
        (
            "view:bars('1m'):first('closes', '<', 1)",
            "my.lua:2: \"closes\" is none of open, high, low, close, volume and minute of a bar",
        ),
        ("view:bars('1m'):first('close', '<', 1, 0)", "my.lua:2: the first bar is bar 1, not 0"),
    ];
    for (body, expected) in table {
        let told = fault(body);
        let matches = told == expected || (expected == "my.lua: no" && told.ends_with(": no"));
        assert!(matches, "{told}");
    }
    assert!(fault("view:indicator('SMAA_2', '1m')").starts_with("my.lua:2: no indicator is called SMAA_2"));
}

#[test]
fn a_script_is_read_before_it_is_asked() {
    let text = "idea = 'a test' parameters = { closes = 2, buffer = 0.5, name = 'x', on = true }
        function propose(view, params) note('x', params.closes + params.buffer) end";
    let parameters = BTreeMap::from([
        ("buffer".to_owned(), Param::Number(0.5)),
        ("closes".to_owned(), Param::Integer(2)),
        ("name".to_owned(), Param::Text("x".to_owned())),
        ("on".to_owned(), Param::Flag(true)),
    ]);
    let read = declared("my.lua", text).unwrap();
    assert_eq!(read, Declared { idea: "a test".to_owned(), parameters });
    let given = [
        ("buffer", Param::Integer(1)),
        ("closes", Param::Number(0.5)),
        ("on", Param::Text("yes".to_owned())),
        ("stop", Param::Integer(2)),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value)).into();
    let expected = [
        ("closes", "expected a whole number, as the script declares it"),
        ("on", "expected true or false, as the script declares it"),
        ("stop", "the script declares no such parameter; expected buffer, closes, name, on"),
    ];
    let told = problems_of_params(&read, &given);
    assert_eq!(told, expected.map(|(key, message)| (key.to_owned(), message.to_owned())));

    let settings = ScriptSettings {
        script: "my.lua".to_owned(),
        params: BTreeMap::from([("buffer".to_owned(), Param::Integer(1))]),
        text: text.to_owned(),
        ..ScriptSettings::default()
    };
    let Evaluation::None(reasons) = Script::new("mine", settings).evaluate(&view()) else { panic!() };
    assert_eq!(reasons.last(), Some(&Reason::new("x", "3.0")));

    for (text, expected) in [
        ("function propose(\n", "my.lua:2: "),
        ("return 1", "my.lua: has no function `propose`"),
        ("propose = 5", "my.lua: has no function `propose`"),
        ("parameters = 5 function propose() end", "my.lua: has a integer as `parameters`"),
        ("parameters = {1} function propose() end", "my.lua: has a parameter without a name"),
        ("parameters = {a = {}} function propose() end", "my.lua: has a table as the parameter a"),
        ("while true do end", "my.lua:1: took more than"),
        ("local x = nil + 1", "my.lua:1: attempt to perform arithmetic"),
    ] {
        let told = declared("my.lua", text).unwrap_err().to_string();
        assert!(told.starts_with(expected), "{text}: {told}");
    }
}
