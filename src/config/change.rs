//! What two configurations differ in, in words, and what of it cannot change while the program runs.

use std::collections::BTreeMap;
use std::fmt;

use daybook_core::schedule::JobDefinition;
use serde::Serialize;
use serde_json::Value;

/// What a process took at its start and cannot take anew, and why: a key or a section.
const FIXED: [(&str, &str); 9] = [
    ("account", "the ledger is this account's"),
    ("alpaca", "the connection to the account and its data is made at the start"),
    ("exchange_calendar", "every session that is recorded follows from it"),
    ("execution", "the connection to the account is made at the start"),
    ("ibkr", "the connection to the account is made at the start"),
    ("ledger.path", "this process holds the lock of the ledger it began with"),
    ("logging.format", "the log has one form from its first line on"),
    ("session_mode", "whether a person approves entries is settled before a session begins"),
    ("market", "the feed is connected at the start, and the paper broker fills from it"),
];

/// The longest value that is shown whole, in characters.
const SHOWN_MAX: usize = 60;

/// A key whose value changed. `Display` gives it as people read it: `risk.max_positions 5 -> 8`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The path of the key; of a job's file it begins with `jobs/NAME.`.
    pub key: String,
    /// The value that it had; `None`: there was none.
    pub from: Option<String>,
    /// The value that it has now; `None`: there is none.
    pub to: Option<String>,
}

impl Change {
    /// Why it cannot come into force while the program runs; `None` if it can.
    #[must_use]
    pub fn fixed_because(&self) -> Option<&'static str> {
        let is_of =
            |section: &str| self.key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        FIXED.iter().find(|(section, _)| is_of(section)).map(|(_, reason)| *reason)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, from, to } = self;
        match (from, to) {
            (Some(from), Some(to)) => write!(f, "{key} {from} -> {to}"),
            (None, Some(to)) => write!(f, "{key} is new: {to}"),
            (Some(from), None) => write!(f, "{key} is gone: {from}"),
            (None, None) => f.write_str(key),
        }
    }
}

/// What two versions of the settings differ in, by key.
///
/// # Errors
/// If one of the texts is not what the ledger keeps of settings.
pub fn changes(before: &str, after: &str) -> Result<Vec<Change>, serde_json::Error> {
    let read = |body: &str| -> Result<_, serde_json::Error> { Ok(leaves(&serde_json::from_str(body)?, "")) };
    Ok(between(&read(before)?, &read(after)?))
}

/// The keys whose values two versions of the settings do not have in common; those of the second alone.
pub(super) fn changed_keys(before: &str, after: &str) -> Result<Vec<String>, serde_json::Error> {
    let (before, after) = (leaves(&serde_json::from_str(before)?, ""), leaves(&serde_json::from_str(after)?, ""));
    Ok(after.into_iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, _)| key).collect())
}

/// What the jobs of two configurations differ in, by job and key.
#[must_use]
pub fn job_changes(before: &[JobDefinition], after: &[JobDefinition]) -> Vec<Change> {
    let read = |jobs: &[JobDefinition]| -> BTreeMap<String, String> {
        // A job that was read from text can be written as text.
        let of_job =
            |job: &JobDefinition| leaves(&serde_json::to_value(job).unwrap_or_default(), &format!("jobs/{}", job.name));
        jobs.iter().flat_map(of_job).collect()
    };
    let told = between(&read(before), &read(after));
    let is_there = |jobs: &[JobDefinition], change: &Change| {
        jobs.iter().any(|job| change.key.strip_prefix(&format!("jobs/{}.", job.name)).is_some())
    };
    // Of a job that came or went the name says enough.
    let (of_both, others): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|change| is_there(before, change) && is_there(after, change));
    let of_one = others.into_iter().filter_map(|change| {
        let job = change.key.strip_suffix(".kind").filter(|job| !job.contains('.'))?.to_owned();
        Some(Change { key: job, ..change })
    });
    of_one.chain(of_both).collect()
}

fn between(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Change> {
    let gone_or_changed = before.iter().filter_map(|(key, from)| {
        let to = after.get(key).cloned();
        (to.as_ref() != Some(from)).then(|| Change {
            key: key.clone(),
            from: Some(if was_a_secret(key, from, to.as_deref()) { UNTOLD.to_owned() } else { shown(from) }),
            to: to.as_deref().map(shown),
        })
    });
    let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
    let new = new.map(|(key, to)| Change { key: key.clone(), from: None, to: Some(shown(to)) });
    let mut changes: Vec<Change> = gone_or_changed.chain(new).collect();
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

/// Keys whose values may hold secrets by reference.
const VEILED: [&str; 7] = [
    "alpaca.",
    "models.chain",
    "notifications.command.run",
    "notifications.ntfy.server",
    "notifications.pagerduty.url",
    "notifications.telegram.server",
    "notifications.webhook.headers.",
];

/// What is told of a value in whose place a reference came.
const UNTOLD: &str = "(a value without a reference)";

/// Whether a reference took the place of what it stands for: that may be the secret.
fn was_a_secret(key: &str, from: &str, to: Option<&str>) -> bool {
    let is_of_job = key.starts_with("jobs/") && key.ends_with(".command");
    let may_hold_one = is_of_job || VEILED.iter().any(|veiled| key.starts_with(veiled));
    may_hold_one && to.is_some_and(|to| to.contains("${")) && !from.contains("${")
}

fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// Every key with its value; a list is one value.
fn leaves(value: &Value, path: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, inner) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                found.extend(leaves(inner, &path));
            }
        }
        Value::String(text) if !text.is_empty() => {
            found.insert(path.to_owned(), text.clone());
        }
        other => {
            found.insert(path.to_owned(), other.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn words(changes: &[Change]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_change_reads_as_it_was_made() {
        let before = Settings::default();
        let mut after = before.clone();
        after.risk.max_positions = 8;
        after.notifications.fallback = Some("email".to_owned());
        after.alpaca.symbols = (0..40).map(|i| format!("SYM{}", char::from(b'A' + i % 26)).parse().unwrap()).collect();
        let body = |settings: &Settings| settings.version().unwrap().body;
        let told = changes(&body(&before), &body(&after)).unwrap();
        assert_eq!(told.len(), 3);
        assert!(
            told[0].to_string().starts_with("alpaca.symbols [] -> [\"SYMA\",\"SYMB\"")
                && told[0].to_string().ends_with("...")
        );
        assert_eq!(words(&told[1..]), ["notifications.fallback null -> email", "risk.max_positions 5 -> 8"]);
        assert_eq!(changes(&body(&before), &body(&before)).unwrap(), []);
    }

    #[test]
    fn what_a_reference_took_the_place_of_is_not_told() {
        let run = |word: &str| format!(r#"{{"notifications": {{"command": {{"run": ["say", "{word}"]}}}}}}"#);
        let told = words(&changes(&run("hunter2"), &run("${KEY}")).unwrap());
        assert_eq!(told, [r#"notifications.command.run (a value without a reference) -> ["say","${KEY}"]"#]);
    }

    #[test]
    fn keys_of_another_program_are_new_or_gone() {
        let told = changes(r#"{"a": {"b": 1, "c": ""}}"#, r#"{"a": {"c": "x"}, "d": []}"#).unwrap();
        assert_eq!(words(&told), ["a.b is gone: 1", "a.c \"\" -> x", "d is new: []"]);
        assert!(changes("{", "{}").is_err());
    }

    #[test]
    fn a_job_that_came_or_went_is_one_line() {
        let job = |name: &str, every: &str| {
            let text = serde_json::json!({"kind": "reconcile", "schedule": {"every": every}});
            serde_json::from_value::<daybook_core::schedule::JobFile>(text).unwrap().into_definition(name).unwrap()
        };
        let before = [job("gone", "1m"), job("kept", "5m")];
        let after = [job("kept", "10m"), job("new", "1m")];
        let told = words(&job_changes(&before, &after));
        assert_eq!(told[..2], ["jobs/gone is gone: reconcile", "jobs/new is new: reconcile"]);
        assert_eq!(told[2..], ["jobs/kept.schedule.every 5m -> 10m"]);
    }

    #[test]
    fn what_the_process_began_with_is_fixed() {
        let change = |key: &str| Change { key: key.to_owned(), from: None, to: None };
        for key in [
            "account.name",
            "ibkr.account",
            "ledger.path",
            "market.files.bars",
            "execution.broker",
            "exchange_calendar",
        ] {
            assert!(change(key).fixed_because().is_some(), "{key}");
        }
        for key in ["ledger.backup.keep", "risk.max_positions", "jobs/market.kind", "marketing", "jobs_dir"] {
            assert_eq!(change(key).fixed_because(), None, "{key}");
        }
    }
}
