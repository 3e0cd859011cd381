//! Seeded lives with faults: fixed seeds, a fresh one, and a broken promise that must be found.

use std::path::PathBuf;
use std::sync::Arc;

use daybook::adapters::clocks::SystemClock;
use daybook::config::{self, Configuration, Environment, Sources};
use daybook::ports::Clock;
use daybook::simulation::{self, Life, Outcome, Profile, ledger_in};
use tempfile::TempDir;

use crate::support::simulation::{open, rows};

/// The documented configuration, on a market of this seed that is small enough for a debug build.
fn configuration(seed: u64) -> Configuration {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/daybook.yaml"));
    let sources = Sources::new(Some(file), Environment::default())
        .with_option("--symbols", "market.simulated.symbols", "20")
        .with_option("--seed", "market.simulated.seed", seed.to_string());
    config::load(&sources).unwrap()
}

fn life(seed: u64, days: usize, profile: Profile) -> Life {
    Life { seed, days, profile, from: None, only: None }
}

fn lived(life: &Life, folder: &TempDir) -> Outcome {
    simulation::live(&configuration(life.seed), life, &folder.path().join("life"), &(Arc::new(|_| {}) as _)).unwrap()
}

/// Lives a life in which no promise may be broken.
fn holds(life: &Life) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let outcome = lived(life, &folder);
    let told = || format!("{:#?}\n{:#?}\nreplay: {}", outcome.failure, outcome.faults, life.command(20));
    assert!(outcome.failure.is_none(), "{}", told());
    outcome
}

#[test]
fn fixed_seeds_break_no_promise() {
    let mut figures = simulation::Figures::default();
    for (seed, profile) in
        [(1, Profile::Crash), (5, Profile::Jobs), (8, Profile::Disk), (9, Profile::All), (11, Profile::Broker)]
    {
        figures.add(&holds(&life(seed, 1, profile)).figures);
    }
    assert!(figures.crashes > 3 && figures.trades > 0, "{figures:?}");
}

#[test]
fn a_fresh_seed_breaks_no_promise() {
    let seed = SystemClock::new().wall().0.unsigned_abs();
    println!("fresh seed: {seed}");
    holds(&life(seed, 1, Profile::All));
}

#[test]
fn the_same_seed_is_the_same_life() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let twice = folders.each_ref().map(|folder| {
        let figures = lived(&life(4, 1, Profile::All), folder).figures;
        let ledger = open(&ledger_in(&folder.path().join("life")));
        let runs =
            rows(&ledger, "SELECT job, slot_at_ms, state, attempt, epoch, finished_at_ms FROM run ORDER BY 1, 2");
        let told = rows(&ledger, "SELECT at_utc, level, event, subject FROM v_alert ORDER BY 1, 3, 4");
        (figures, runs, told)
    });
    let [(figures, runs, told), again] = &twice;
    assert_eq!(*figures, again.0);
    assert_eq!(*told, again.2);
    assert!(!runs.is_empty() && runs.len() == again.1.len());
    for (run, again) in runs.iter().zip(&again.1) {
        assert_eq!(run, again);
    }
}

#[test]
fn a_broken_promise_is_found_and_made_short() {
    let folder = tempfile::tempdir().unwrap();
    let planted = life(3, 2, Profile::Planted);
    let outcome = lived(&planted, &folder);
    let kind = outcome.failure.as_ref().map(|failure| failure.kind.clone()).expect("a fill was kept from the program");
    let tries = folder.path().join("tries");
    let shrunk = simulation::shrink(&configuration(3), &planted, &outcome, &tries, &|_| {}).unwrap();
    assert_eq!(shrunk.life.days, 1);
    assert_eq!(shrunk.life.only.as_ref().map(Vec::len), Some(1), "{:?}", shrunk.life);
    assert!(shrunk.outcome.faults[0].ends_with("lost fill"), "{:?}", shrunk.outcome.faults);
    // What is printed is what fails.
    let again = tempfile::tempdir().unwrap();
    assert_eq!(lived(&shrunk.life, &again).failure, shrunk.outcome.failure);
    assert_eq!(shrunk.outcome.failure.map(|failure| failure.kind), Some(kind));
}
