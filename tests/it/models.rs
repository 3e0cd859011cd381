//! Models that are asked, in the whole program: programs that count how often they are.

use std::fs;

use crate::cli::{Desk, Said};

/// Its line is what it was asked.
const COUNTING: &str = "read -r line
echo \"$line\" >> asked
echo '{\"score\": 0.9, \"rationale\": \"all of it rises\", \"model\": \"m 1\"}'
";

/// The composite alone, and what the model says counts most.
const CONFIGURATION: &str = "
market: {simulated: {symbols: 12}}
scan: {gap_min: 0%, relative_volume_min: 0%, range_min: 0%}
models: {chain: [{name: mine, command: [sh, score.sh]}], simulated: true}
strategies:
  opening_range_breakout: {enabled: false}
  composite: {enabled: true, model_weight: 9, threshold: 50%}
risk: {warm_up_cycles: 0, min_confidence: 0%}
";

/// A folder with a model.
struct Asking(Desk);

impl Asking {
    fn new(script: &str) -> Self {
        let desk = Desk::new();
        desk.write("daybook.yaml", CONFIGURATION);
        desk.write("score.sh", script);
        Self(desk)
    }

    /// Lives a session into a ledger.
    fn replay(&self, ledger: &str, settings: &[&str]) {
        let mut arguments = vec!["replay", "--from", "2026-11-16", "--to", "2026-11-16", "--ledger", ledger];
        settings.iter().for_each(|setting| arguments.extend(["--setting", setting]));
        let said = self.trade(&arguments);
        assert_eq!(said.code, 0, "{}", said.err);
    }

    fn trade(&self, arguments: &[&str]) -> Said {
        self.0.trade(&[arguments, &["--config", "daybook.yaml"]].concat())
    }

    fn rows(&self, ledger: &str, sql: &str) -> Vec<String> {
        let said = self.trade(&["ledger", "query", sql, "--ledger", ledger, "--format", "csv"]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.out.lines().skip(1).map(str::to_owned).collect()
    }

    fn verify(&self, ledger: &str) {
        let said = self.trade(&["verify", "--ledger", ledger]);
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    }

    /// How often the model was asked.
    fn asked(&self) -> usize {
        fs::read_to_string(self.0.path().join("asked")).unwrap_or_default().lines().count()
    }
}

#[test]
fn what_a_model_answered_is_a_fact_that_nobody_asks_for_again() {
    let desk = Asking::new(COUNTING);
    desk.replay("asked.db", &[]);
    let calls = desk.asked();
    assert!(calls > 20, "{calls}");
    let signals = "SELECT symbol, at_ms, confidence_bps, reasons FROM signal ORDER BY symbol, at_ms";
    let proposed = desk.rows("asked.db", signals);
    assert!(!proposed.is_empty() && proposed.iter().all(|row| row.contains("all of it rises")), "{proposed:?}");
    let answers = "SELECT count(*), min(a.value ->> '$.score.score'), max(a.value ->> '$.score.version')
        FROM run_record, json_each(facts -> '$.models') AS a";
    assert_eq!(desk.rows("asked.db", answers), [format!("{calls},90%,m 1")]);
    assert_eq!(desk.rows("asked.db", "SELECT sum(calls) FROM model_call"), [calls.to_string()]);

    // From here on nobody is asked.
    desk.0.write("score.sh", "echo called >> asked; exit 1\n");
    desk.verify("asked.db");
    let symbol = desk.rows("asked.db", "SELECT symbol FROM signal LIMIT 1").remove(0);
    let why = desk.trade(&["why", &symbol, "--ledger", "asked.db"]);
    assert!(why.out.replace('\n', " ").contains("model mine all of it rises"), "{}", why.out);
    desk.replay("again.db", &["models.simulated=false", "models.recorded=asked.db"]);
    assert_eq!(desk.rows("again.db", signals), proposed);
    assert_eq!(desk.rows("again.db", answers), [format!("{calls},90%,m 1")]);
    desk.verify("again.db");
    assert_eq!(desk.asked(), calls);
}

#[test]
fn a_day_without_recorded_answers_has_none_and_a_budget_ends_for_the_session() {
    let desk = Asking::new(COUNTING);
    let nobody = "SELECT DISTINCT a.value ->> '$.none.reason' FROM run_record, json_each(facts -> '$.models') AS a
        WHERE a.value ->> '$.none.reason' IS NOT NULL";
    desk.replay("none.db", &["models.simulated=false"]);
    assert_eq!((desk.rows("none.db", nobody), desk.asked()), (vec!["no answer is recorded".to_owned()], 0));

    desk.replay("few.db", &["models.budget.per_run=5", "models.budget.per_session=7"]);
    assert_eq!((desk.asked(), desk.rows("few.db", "SELECT sum(calls) FROM model_call")), (7, vec!["7".to_owned()]));
    assert_eq!(desk.rows("few.db", nobody), ["\"the budget is used up: 5 calls a run, 7 a session\""]);
    desk.verify("few.db");
}

#[test]
fn a_model_that_hangs_keeps_nobody_waiting() {
    let desk = Asking::new("sleep 600\n");
    desk.replay("hung.db", &["models.timeout=30ms", "models.within=50ms"]);
    let ends = "SELECT job, state FROM run WHERE state <> 'done'";
    assert_eq!(desk.rows("hung.db", ends), Vec::<String>::new(), "the analysis, the monitor and the flatten");
    let answers =
        "SELECT count(*) > 20, count(a.value -> '$.score') FROM run_record, json_each(facts -> '$.models') AS a";
    assert_eq!(desk.rows("hung.db", answers), ["1,0"]);
    let alerts = "SELECT subject FROM alert WHERE event = 'model.failed'";
    assert_eq!(desk.rows("hung.db", alerts), ["the model mine gave no score: mine: no answer within 30ms"]);
    assert_eq!(desk.rows("hung.db", "SELECT model, reason FROM model_fault"), ["mine,mine: no answer within 30ms"]);
    desk.verify("hung.db");
}

#[test]
fn the_chain_is_asked_by_hand() {
    let desk = Asking::new(COUNTING);
    let about = ["ABDN", "--at", "2026-11-16T10:30:00-05:00", "--json"];
    let json = |verb: &str| -> serde_json::Value {
        let said = desk.trade(&[&["models", verb], &about[..]].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        serde_json::from_str(&said.out).unwrap()
    };
    let question = json("question");
    assert_eq!((&question["symbol"], &question["minute"]), (&"ABDN".into(), &60.into()));
    assert!(question["last"].is_number() && question["indicators"]["vwap"].is_number(), "{question}");
    assert_eq!(desk.asked(), 0);
    let answer = &json("ask")["answer"]["score"];
    assert_eq!((&answer["score"], &answer["model"]), (&"90%".into(), &"mine".into()));
    let read = fs::read_to_string(desk.0.path().join("asked")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&read).unwrap(), question, "the very question");
    let doctor = desk.trade(&["doctor"]);
    assert!(doctor.out.contains("1 program is there, mine first"), "{}", doctor.out);

    desk.0.write("score.sh", "echo 'no such key' >&2; exit 3\n");
    let failed = desk.trade(&["models", "ask", "ABDN", "--at", "2026-11-16T10:30"]);
    assert_eq!(failed.code, 1);
    assert!(failed.out.contains("no score\nmine: it ended with exit status: 3: no such key\n"), "{}", failed.out);
    let alone = desk.trade(&[
        "models",
        "ask",
        "ABDN",
        "--setting",
        "models.chain=[]",
        "--setting",
        "strategies.composite.enabled=false",
    ]);
    assert_eq!(alone.code, 2);
    assert!(alone.err.contains("models.chain is empty"), "{}", alone.err);
}

#[test]
fn what_is_wrong_with_models_is_told_where_it_stands() {
    let desk = Desk::new();
    for (text, told) in [
        (
            "models:\n  chain: [{name: mine, comand: [x]}]",
            "daybook.yaml:2:24: models.chain[0].comand: unknown key; did you mean \"command\"?",
        ),
        (
            "models:\n  chain: [{name: mine, openai: {}}]",
            "models.chain[0].openai: unknown key; expected name, command, environment or timeout",
        ),
        (
            "models:\n  chain: [{name: mine}]",
            "daybook.yaml:2:10: models.chain: mine has no command; expected a program",
        ),
        ("models:\n  within: 5s", "daybook.yaml:2:11: models.within: is 5s; expected timeout (10s) or longer"),
        (
            "strategies:\n  composite: {enabled: true, model_weight: 1}",
            "daybook.yaml:2:44: strategies.composite.model_weight: is 1, and models.chain is empty",
        ),
    ] {
        desk.write("daybook.yaml", text);
        let said = desk.trade(&["config", "check", "--config", "daybook.yaml"]);
        assert_eq!(said.code, 2, "{text}: {}", said.out);
        assert!(said.err.contains(told), "{text}: {}", said.err);
    }
}
