//! `trade optimize` as one machine and as several run it.

use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::cli::Desk;
use crate::repository;

/// The keys that are searched, and their values: six trials.
const GRID: [&str; 3] = ["--grid", "range_minutes=5,10,15", "confirmation.closes=1,2"];

/// A search that leaves its trials in a file.
fn search<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let subject = ["optimize", "--strategy", "opening_range_breakout", "--bars", "bars.csv"];
    [&subject[..], &GRID, &["--out", out], more].concat()
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("bars.csv", &walk_of_bars());
    desk
}

fn text(desk: &Desk, name: &str) -> String {
    std::fs::read_to_string(desk.path().join(name)).unwrap()
}

/// Four sessions of one symbol that breaks out of its first minutes each day, up or down.
fn walk_of_bars() -> String {
    let dollars = |cents: i32| format!("{}.{:02}", cents / 100, cents % 100);
    let mut text = "symbol,ts_utc,open,high,low,close,volume\n".to_owned();
    for (day, drift) in [(7, 3), (8, -2), (9, 4), (10, 2)] {
        for (minute, wave) in (0..390).zip([0, 4, 7, 4, 0, -4, -7, -4].into_iter().cycle()) {
            let cents = 5_000 + wave + (minute - 20).max(0) * drift;
            let prices = [cents, cents + 3, cents - 3, cents].map(dollars).join(",");
            let (hour, past) = ((810 + minute) / 60, (810 + minute) % 60);
            text.push_str(&format!("AIG,2013-10-{day:02}T{hour:02}:{past:02}:00Z,{prices},50000\n"));
        }
    }
    text
}

#[test]
fn shares_come_to_the_file_of_one_machine() {
    let desk = desk();
    let whole = desk.json(&search("whole.csv", &["--walk-forward", "2/1"]));
    assert_eq!((&whole["trials"], &whole["sessions"], &whole["by"]), (&6.into(), &4.into(), &"sharpe".into()));
    assert!(whole["best"][0]["trades"].as_u64().unwrap() > 0, "{whole}");
    let steps = whole["walk_forward"]["steps"].as_array().unwrap();
    let windows: Vec<[&Value; 3]> =
        steps.iter().map(|step| ["train_from", "train_to", "test_from"].map(|key| &step[key])).collect();
    assert_eq!(windows, [["2013-10-07", "2013-10-08", "2013-10-09"], ["2013-10-08", "2013-10-09", "2013-10-10"]]);

    let (first, second) =
        (search("1.csv", &["--shard", "1/2", "--threads", "1"]), search("2.csv", &["--shard", "2/2"]));
    let told = desk.trade(&first);
    // No progress bar: this is no terminal.
    assert_eq!((told.code, told.err.as_str()), (0, "3 trials in 1.csv\n"));
    assert!(told.out.contains("A share of a search of 6."), "{}", told.out);
    let early = desk.trade(&["optimize", "merge", "1.csv"]);
    assert_eq!((early.code, early.out.as_str()), (2, ""));
    assert_eq!(early.err, "error: the files have 3 of the 6 trials of their search: name every share of it\n");
    assert_eq!(desk.trade(&second).code, 0);
    let merged = desk.json(&["optimize", "merge", "1.csv", "2.csv", "--out", "merged.csv", "--walk-forward", "2/1"]);
    assert_eq!(merged, whole);
    assert_eq!(text(&desk, "merged.csv"), text(&desk, "whole.csv"));
}

#[test]
fn shares_of_other_settings_or_bars_are_refused() {
    let desk = desk();
    assert_eq!(desk.trade(&search("1.csv", &["--shard", "1/2"])).code, 0);
    assert_eq!(desk.trade(&search("2.csv", &["--shard", "2/2", "--set", "risk.max_positions=2"])).code, 0);
    let refused = desk.trade(&["optimize", "merge", "1.csv", "2.csv"]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("2.csv is of another search than 1.csv"), "{}", refused.err);
    desk.write("bars.csv", &walk_of_bars().replace(",50000\n", ",50001\n"));
    assert_eq!(desk.trade(&search("2.csv", &["--shard", "2/2"])).code, 0);
    assert_eq!(desk.trade(&["optimize", "merge", "1.csv", "2.csv"]).code, 2);
    assert_eq!(desk.trade(&["optimize", "merge", "bars.csv"]).code, 2);
}

#[test]
fn a_search_that_was_killed_is_started_again() {
    let desk = desk();
    assert_eq!(desk.trade(&search("whole.csv", &[])).code, 0);
    let whole = text(&desk, "whole.csv");
    let mut killed = desk.command(&search("again.csv", &[]));
    let mut process = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    // Wherever the kill has met it, the file is whole or not there.
    let left = std::fs::read_to_string(desk.path().join("again.csv"));
    assert!(left.is_err() || left.is_ok_and(|left| left == whole));
    assert_eq!(desk.trade(&search("again.csv", &[])).code, 0);
    assert_eq!(text(&desk, "again.csv"), whole);
}

#[test]
fn combinations_that_are_no_configuration_are_left_out() {
    let desk = desk();
    let search = |grid: [&'static str; 2], more: &[&'static str]| {
        let first = ["optimize", "--strategy", "trend_following", "--bars", "bars.csv", "--grid"];
        [&first[..], &grid[..], more].concat()
    };
    let table = desk.json(&search(["fast=3,5,8", "slow=5,8,13"], &["--out", "whole.csv"]));
    assert_eq!((&table["trials"], &table["of"], &table["refused"]["combinations"]), (&6.into(), &6.into(), &3.into()));
    let told = table["refused"]["such_as"].as_str().unwrap();
    assert!(told.starts_with("--grid fast=5 slow=5: ") && told.contains("expected more than fast (5)"), "{told}");
    for (share, out) in [("1/2", "1.csv"), ("2/2", "2.csv")] {
        assert_eq!(desk.trade(&search(["fast=3,5,8", "slow=5,8,13"], &["--shard", share, "--out", out])).code, 0);
    }
    assert_eq!(desk.trade(&["optimize", "merge", "1.csv", "2.csv", "--out", "merged.csv"]).code, 0);
    assert_eq!(text(&desk, "merged.csv"), text(&desk, "whole.csv"));
    // A value that is in no configuration is a mistake.
    let refused = desk.trade(&search(["fast=3,13", "slow=5,8"], &[]));
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("--grid fast=13: "), "{}", refused.err);
    let all = desk.trade(&search(["fast=13", "slow=5,8"], &[]));
    assert!(all.code == 2 && all.err.contains("--grid fast=13 slow=5: "), "{}", all.err);
}

#[test]
fn what_cannot_be_searched_is_told_before_the_first_trial() {
    let desk = desk();
    for (more, told) in [
        (["--shard", "0/2"], "expected i/n with i from 1 to n, such as 1/8"),
        (["--shard", "3/2"], "expected i/n with i from 1 to n, such as 1/8"),
        (["--shard", "one"], "expected i/n with i from 1 to n, such as 1/8"),
        (["--walk-forward", "60"], "expected sessions to choose on and sessions to hold on, such as 60/20"),
        (["--grid", "range_minutes=5"], "range_minutes is searched twice"),
        (["--grid", "risk.max_positions=3,many"], "--grid risk.max_positions=many: "),
        (["--grid", "earliest_entry=15m,3m"], "--grid earliest_entry=3m: "),
        (["--random", "0"], "invalid value '0' for '--random <N>'"),
        (["--top", "0"], "invalid value '0' for '--top <N>'"),
        (["--grid", "no_such_key=1"], "no_such_key"),
    ] {
        let refused = desk.trade(&search("out.csv", &more));
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{more:?}");
        assert!(refused.err.contains(told), "{more:?}: {}", refused.err);
    }
    assert!(!desk.path().join("out.csv").exists());
}

/// The container's command of `cron/kubernetes/optimize.yaml`, with its folders in this one.
fn indexed_job() -> (u32, Vec<String>) {
    #[derive(Deserialize)]
    struct Job {
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        completions: u32,
        template: Template,
    }
    #[derive(Deserialize)]
    struct Template {
        spec: Pod,
    }
    #[derive(Deserialize)]
    struct Pod {
        containers: Vec<Container>,
    }
    #[derive(Deserialize)]
    struct Container {
        command: Vec<String>,
        args: Vec<String>,
    }
    let job: Job = serde_yaml::from_str(&repository::read("cron/kubernetes/optimize.yaml")).unwrap();
    let [container] = <[Container; 1]>::try_from(job.spec.template.spec.containers).ok().unwrap();
    let here = |word: &String| {
        let word = word.replace("/bars/*.csv.gz", "*.csv").replace("/results/", "results/");
        word.replace("--config /etc/daybook/daybook.yaml", "")
    };
    (job.spec.completions, container.command.iter().chain(&container.args).map(here).collect())
}

#[test]
fn the_indexed_job_of_kubernetes_comes_to_the_whole_search() {
    let desk = desk();
    std::fs::create_dir(desk.path().join("results")).unwrap();
    let (completions, command) = indexed_job();
    let programs = assert_cmd::cargo::cargo_bin!("trade").parent().unwrap().to_owned();
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let mut shares = Vec::new();
    for index in 0..completions {
        let mut pod = Command::new(&command[0]);
        pod.args(&command[1..]).current_dir(desk.path()).env_clear();
        let ended = pod.env("PATH", &path).env("JOB_COMPLETION_INDEX", index.to_string()).output().unwrap();
        assert!(ended.status.success(), "{index}: {}", String::from_utf8_lossy(&ended.stderr));
        shares.push(format!("results/share-{}.csv", index + 1));
    }
    let merge: Vec<&str> = ["optimize", "merge"].into_iter().chain(shares.iter().map(String::as_str)).collect();
    assert_eq!(desk.json(&merge)["trials"], 15);
}
