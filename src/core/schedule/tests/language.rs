use super::*;
use crate::time::Span;

#[test]
fn every_form_reads_and_is_written_back() {
    for json in [
        r#"{"at":"close-10m"}"#,
        r#"{"at":"open"}"#,
        r#"{"at":"pre_open+1h30m"}"#,
        r#"{"at":"post_close+1d"}"#,
        r#"{"at":"close+1h","on":"last_of_week"}"#,
        r#"{"every":"1m","during":"regular"}"#,
        r#"{"every":"1s","during":"always"}"#,
        r#"{"every":"30m","during":"pre_market"}"#,
        r#"{"bar":"5m","delay":"5s"}"#,
        r#"{"adaptive":{"fast":"15m","normal":"30m","slow":"4h","delay":"5s"}}"#,
        r#"{"cron":"30 8 * * MON-FRI","tz":"America/New_York","on":"sessions"}"#,
        r#"[{"at":"open+5m"},{"at":"close-10m"}]"#,
    ] {
        assert_eq!(serde_json::to_string(&schedule(json)).unwrap(), json);
    }
}

#[test]
fn what_is_left_out_has_a_default() {
    for (short, full) in [
        (r#"{"every":"60s"}"#, r#"{"every":"1m","during":"regular"}"#),
        (r#"{"bar":"5m"}"#, r#"{"bar":"5m","delay":"0s"}"#),
        (r#"{"cron":"0 3 * * *"}"#, r#"{"cron":"0 3 * * *","on":"always"}"#),
        (r#"{"at":"close+0m"}"#, r#"{"at":"close"}"#),
        (r#"[{"at":"close"}]"#, r#"{"at":"close"}"#),
    ] {
        assert_eq!(serde_json::to_string(&schedule(short)).unwrap(), full);
    }
}

#[test]
fn a_wrong_schedule_is_told_what_was_expected() {
    for (json, message) in [
        ("{}", "a schedule without a form: expected exactly one of `at`, `every`, `bar`, `adaptive` and `cron`"),
        (r#"{"at":"open","every":"5m"}"#, "`at` and `every` together: expected exactly one of"),
        (r#"{"at":"noon+5m"}"#, "\"noon+5m\" is no point of a session: expected open, close, pre_open or post_close"),
        (r#"{"at":"close-ten"}"#, "\"close-ten\" is no point of a session"),
        (r#"{"at":"close - 10m"}"#, "\"close - 10m\" is no point of a session"),
        (r#"{"at":"close-2d"}"#, "`at` is 2d: expected at most a day from the session's point, such as close-10m"),
        (r#"{"at":"close","on":"always"}"#, "`on: always` does not go with `at`"),
        (r#"{"at":"close","during":"regular"}"#, "`during` does not go with `at`: expected it with `every`"),
        (r#"{"every":"500ms"}"#, "`every` is 500ms: expected 1s to 1d, such as 60s"),
        (r#"{"every":"5m","delay":"5s"}"#, "`delay` does not go with `every`: expected it with `bar`"),
        (r#"{"every":5}"#, "expected a length of time with its unit, such as 90s, 5m, 1h30m or 7d"),
        (r#"{"bar":"90s"}"#, "`bar` is 1m30s: expected whole minutes, such as 5m"),
        (r#"{"bar":"5m","delay":"6m"}"#, "`delay` is 6m: expected at most the length of the bar, such as 5s"),
        (r#"{"adaptive":{"fast":"4h","normal":"30m","slow":"4h"}}"#, "`adaptive` is 4h, 30m, 4h: expected fast <="),
        (r#"{"adaptive":{"fast":"1s","normal":"30m","slow":"4h"}}"#, "`adaptive.fast` is 1s: expected 1m to 1d"),
        (r#"{"adaptive":{"fast":"1m","normal":"30m","slow":"4h","quick":"1m"}}"#, "unknown field `quick`"),
        (r#"{"cron":"0 30 8 * * *"}"#, "it has 6 fields, not five; expected minute, hour, day of month, month"),
        (r#"{"cron":"@daily"}"#, "it has 1 fields, not five"),
        (r#"{"cron":"61 * * * *"}"#, "`cron` is \"61 * * * *\": "),
        (r#"{"cron":"0 0 30 2 *"}"#, "it names a day that never comes"),
        (r#"{"cron":"0 0 * * *","tz":"New York"}"#, "New York"),
        (r#"{"cron":"0 0 * * *","on":"last_of_week"}"#, "`on: last_of_week` does not go with `cron`"),
        (r#"{"every":"5m","tz":"UTC"}"#, "`tz` does not go with `every`: expected it with `cron`"),
        (r#"{"at":"open","when":"now"}"#, "unknown field `when`"),
        ("[]", "at least one schedule"),
        ("5", "a schedule such as `at: close-10m`, or a list of schedules"),
    ] {
        let error = serde_json::from_str::<Schedule>(json).unwrap_err().to_string();
        assert!(error.contains(message), "{json}: {error}");
    }
}

#[test]
fn a_job_says_little_and_its_kind_the_rest() {
    let flatten = job(r#"{"kind": "market-close-flatten", "schedule": {"at": "close-10m"}}"#);
    assert_eq!(flatten.name, "a-job");
    assert!(flatten.enabled);
    assert_eq!((flatten.catch_up, flatten.overlap), (CatchUp::MustRun, Overlap::QueueOne));
    assert_eq!(flatten.retries, Retries::UntilExpired);
    assert_eq!(flatten.window.limits(), [Limit::UntilClose]);
    assert_eq!(flatten.parameters, serde_json::json!({}));

    let analysis = job(r#"{"kind": "analysis", "schedule": {"bar": "5m"}}"#);
    assert_eq!(analysis.window.limits(), [Limit::After(Span::minutes(15)), Limit::UntilNextSlot]);
    let summary = job(r#"{"kind": "daily-summary", "schedule": {"at": "close+15m"}}"#);
    assert_eq!((summary.catch_up, summary.retries), (CatchUp::All(5), Retries::For(Span::hours(24))));
}

#[test]
fn every_key_of_a_job_reads() {
    let job = job(r#"{
            "kind": "command", "schedule": [{"at": "close+1h"}, {"cron": "0 6 * * SAT"}], "timeout": "90s",
            "retries": 5, "overlap": "queue_one", "catch_up": {"all": 3}, "window": ["2h", "until_open"],
            "enabled": false, "parameters": {"keep": 7}, "command": ["tidy", "--all"]
        }"#);
    assert_eq!((job.timeout, job.retries, job.overlap), (Span::seconds(90), Retries::Times(5), Overlap::QueueOne));
    assert_eq!((job.catch_up, job.enabled), (CatchUp::All(3), false));
    assert_eq!(job.window, Window::until(Limit::After(Span::hours(2))).or_until(Limit::UntilOpen));
    assert_eq!(job.parameters["keep"], 7);
    assert_eq!(job.command, ["tidy", "--all"]);
    let json = serde_json::to_value(&job).unwrap();
    assert_eq!(json["catch_up"], serde_json::json!({"all": 3}));
    assert_eq!(json["window"], serde_json::json!(["2h", "until_open"]));
    assert_eq!(json["timeout"], "1m30s");
}

#[test]
fn the_words_of_a_policy_read_and_are_written_back() {
    for json in [r#""none""#, r#""latest""#, r#""must_run""#, r#"{"all":5}"#] {
        let read: CatchUp = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
    for json in ["0", "5", r#""1d""#, r#""until_expired""#] {
        let read: Retries = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
    for json in [r#""15m""#, r#""until_next_slot""#, r#"["15m","until_close"]"#] {
        let read: Window = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
    for json in ["-1", "4294967296", r#""often""#] {
        let error = serde_json::from_str::<Retries>(json).unwrap_err().to_string();
        assert!(error.contains("expected a number of retries such as 5, a length of time such as 24h"), "{error}");
    }
    for json in [r#""forever""#, "15", "[]"] {
        let error = serde_json::from_str::<Window>(json).unwrap_err().to_string();
        assert!(error.contains("15m") || error.contains("at least one end"), "{json}: {error}");
    }
}

#[test]
fn a_job_whose_keys_contradict_each_other_is_refused() {
    let at_close = r#""schedule": {"at": "close+5m"}"#;
    for (json, message) in [
        (
            r#""kind": "analysis", "schedule": {"bar": "5m"}, "timeout": "0s""#,
            "job \"a-job\": `timeout` is 0s: expected more than 0s and at most 24h, such as 60s",
        ),
        (r#""kind": "analysis", "schedule": {"bar": "5m"}, "timeout": "25h""#, "`timeout` is 1d1h"),
        (r#""kind": "analysis", "schedule": {"bar": "5m"}, "retries": 101"#, "`retries` is 101: expected at most 100"),
        (
            r#""kind": "analysis", "schedule": {"bar": "5m"}, "catch_up": {"all": 0}"#,
            "`catch_up` is all: 0: expected 1 to 100, such as `all: 5`",
        ),
        (
            r#""kind": "market-close-flatten", "schedule": {"at": "close-5m"}, "catch_up": "latest""#,
            "`catch_up` is latest: expected must_run for market-close-flatten",
        ),
        (&format!(r#""kind": "daily-summary", {at_close}, "window": "32d""#), "`window` is 32d: expected more than 0s"),
        (
            &format!(r#""kind": "daily-summary", {at_close}, "window": "until_close""#),
            "`window` is until_close: expected a window that is still open at the slot",
        ),
        (
            r#""kind": "premarket-scan", "schedule": {"at": "open"}"#,
            "`window` is until_open: expected a window that is still open at the slot",
        ),
        (&format!(r#""kind": "command", {at_close}"#), "`command` is empty: expected the program and its arguments"),
        (&format!(r#""kind": "command", {at_close}, "command": [""]"#), "`command` is empty"),
        (&format!(r#""kind": "analysis", {at_close}, "command": ["ls"]"#), "`command` is ls: expected it with"),
    ] {
        let file: JobFile = serde_json::from_str(&format!("{{{json}}}")).unwrap();
        let error = file.into_definition("a-job").unwrap_err().to_string();
        assert!(error.contains(message), "{json}: {error}");
    }
}

#[test]
fn a_jobs_name_can_stand_in_an_orders_identity() {
    let named = |name: &str| {
        let file: JobFile = serde_json::from_str(r#"{"kind": "analysis", "schedule": {"bar": "5m"}}"#).unwrap();
        file.into_definition(name)
    };
    for name in ["analysis", "scan-2", "a"] {
        assert!(named(name).is_ok(), "{name}");
    }
    for name in ["", "Analysis", "2nd", "-a", "a_b", "a.b", "ä", &"a".repeat(33)] {
        let error = named(name).unwrap_err();
        assert_eq!((error.key, error.found), ("name", format!("\"{name}\"")));
    }
}

#[test]
fn unknown_keys_and_kinds_of_a_job_are_refused() {
    for (json, message) in [
        (r#"{"kind": "analysis", "schedule": {"bar": "5m"}, "retry": 5}"#, "unknown field `retry`"),
        (r#"{"kind": "flaten", "schedule": {"at": "close"}}"#, "unknown variant `flaten`, expected one of `reconcile`"),
        (r#"{"kind": "analysis"}"#, "missing field `schedule`"),
        (r#"{"kind": "analysis", "schedule": {"bar": "5m"}, "parameters": [1]}"#, "invalid type: sequence"),
    ] {
        let error = serde_json::from_str::<JobFile>(json).unwrap_err().to_string();
        assert!(error.contains(message), "{json}: {error}");
    }
}
