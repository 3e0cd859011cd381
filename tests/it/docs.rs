//! The pages say what is true: links lead somewhere, commands are the ones that are run, columns are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use daybook::config::{self, Environment, Sources};
use daybook::ledger::{Ledger, LedgerKind, NewLedger, OpenOptions};
use daybook_core::indicators::Column;
use daybook_core::patterns::Pattern;
use daybook_core::strategy::StrategySettings;
use daybook_core::time::Timestamp;

use crate::repository;

/// The main job, as the README shows it and the script of all checks runs it.
const MAIN_JOB: &str =
    "cargo run --release --bin scheduler -- --simulate 2026-11-16..2026-11-20 --speed max --exit-when-done";
/// The tests, likewise.
const TESTS: &str = "cargo test --workspace";

#[test]
fn every_link_leads_to_a_file() {
    for page in pages() {
        let text = repository::read(&page.to_string_lossy());
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            let there = page.parent().unwrap_or(Path::new("")).join(file);
            assert!(repository::root().join(&there).exists(), "{}: {target}", page.display());
        }
    }
}

#[test]
fn the_architecture_names_files_that_exist() {
    let text = repository::read("src/ARCHITECTURE.md");
    for name in text.split('`').skip(1).step_by(2).filter(|name| name.contains('/') && !name.contains(['*', ' ', '!']))
    {
        let places = [PathBuf::from("src").join(name), PathBuf::from(name)];
        assert!(places.iter().any(|place| repository::root().join(place).exists()), "{name}");
    }
}

#[test]
fn the_commands_of_the_readme_are_those_that_are_checked() {
    let (readme, script) = (repository::read("README.md"), repository::read(".ci/run"));
    // The script breaks long lines.
    let script = script.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for command in [MAIN_JOB, TESTS] {
        assert!(readme.lines().any(|line| line.trim() == command), "README.md: {command}");
        assert!(script.contains(command), ".ci/run: {command}");
    }
}

#[test]
fn every_column_of_every_view_is_documented_and_there() {
    let folder = tempfile::tempdir().unwrap();
    let new = NewLedger::simulated(LedgerKind::Simulation, "paper", "docs", Timestamp(0));
    let ledger = Ledger::open(&folder.path().join("day.db"), &OpenOptions::create_or_open(new)).unwrap();
    let views = ledger.query("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name").unwrap();
    let page = repository::read("docs/ledger.md");
    let mut documented = BTreeSet::new();
    for section in page.split("\n### ").skip(1) {
        let (view, rest) = section.split_once('\n').unwrap();
        let names = rest.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
            let names = line.split(" | ").next().unwrap();
            names.split('`').skip(1).step_by(2)
        });
        let mut expected: Vec<String> = names.flat_map(columns).collect();
        expected.sort();
        let mut found = ledger.query(&format!("SELECT * FROM {view}")).unwrap().columns;
        found.sort();
        assert_eq!(found, expected, "{view}");
        documented.insert(view.to_owned());
    }
    assert_eq!(documented.len(), views.rows.len(), "{documented:?}");
}

/// An instant is two columns.
fn columns(name: &str) -> Vec<String> {
    if name == "at" || name.ends_with("_at") || name.ends_with("_until") {
        vec![format!("{name}_utc"), format!("{name}_ny")]
    } else {
        vec![name.to_owned()]
    }
}

fn pages() -> Vec<PathBuf> {
    let folders = ["benches", "config", "cron", "docs", "jobs", "migrations", "src", "tests", "assets"];
    let below = folders.iter().flat_map(|folder| repository::files(folder, ".md"));
    below.chain([PathBuf::from("README.md")]).collect()
}

#[test]
fn every_parameter_of_every_strategy_is_documented_with_its_default() {
    let page = repository::read("docs/strategies.md");
    let mut variables = Vec::new();
    let mut documented = BTreeSet::new();
    for section in page.split("\n## ").skip(1) {
        let name = section.split("`strategies.").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
        let (_, table) = section.split_once("| key | unit | default | meaning |").unwrap();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let [key, default] = [1, 3].map(|part| row.split('`').nth(part).unwrap());
            let key = format!("strategies.{name}.{key}");
            variables.push((format!("DAYBOOK__{}", key.replace('.', "__").to_uppercase()), default));
            assert!(documented.insert(key.clone()), "{key} stands there twice");
        }
    }
    let loaded =
        config::load(&Sources::new(None, Environment::from_iter(variables))).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.settings.strategies, StrategySettings::default());

    let mut there = BTreeSet::new();
    collect_keys("strategies", &serde_json::to_value(StrategySettings::default()).unwrap(), &mut there);
    assert_eq!(documented, there);
}

#[test]
fn every_column_and_pattern_is_documented_and_there() {
    let page = repository::read("docs/indicators.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: Vec<&str> = rows.collect();
    let there: BTreeSet<&str> =
        Column::FORMS.iter().copied().chain(Pattern::ALL.iter().map(|pattern| pattern.name())).collect();
    assert_eq!(documented.iter().copied().collect::<BTreeSet<_>>(), there);
    assert_eq!(documented.len(), there.len(), "none stands there twice");
}

/// The keys of settings, by their paths. A distance (`{atr: 2}`) is one value.
fn collect_keys(path: &str, value: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map)
            if !map.keys().any(|key| ["atr", "range", "percent"].contains(&key.as_str())) =>
        {
            map.iter().for_each(|(key, value)| collect_keys(&format!("{path}.{key}"), value, keys));
        }
        _ => {
            keys.insert(path.to_owned());
        }
    }
}
