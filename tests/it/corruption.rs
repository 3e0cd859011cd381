//! Ledgers that are damaged, full, copied while they are written, or older than what the broker has done since.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daybook::adapters::clocks::Speed;
use daybook::engine::audit::audit_ledger;
use daybook::engine::commands::Command;
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::ledger::check::check_file;
use daybook::ledger::{Connection, Ledger, LedgerError, LedgerLock, backup, meta};
use daybook::ports::Broker;
use daybook::wiring::{self, Wired};
use daybook_core::calendar::Calendar;
use daybook_core::order::Order;
use daybook_core::time::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::market::new_york;
use crate::support::outside::{MONDAY, Outside};
use crate::support::place::Place;
use crate::support::simulation::{configuration, open, rows, wire};

/// Runs a wired simulation up to an instant of that Monday.
async fn run_until(wired: &Wired, wall: &str) {
    let limits = Limits {
        stop: CancellationToken::new(),
        until: Some(new_york(MONDAY, wall)),
        drain: Duration::from_secs(1),
        on_turn: Arc::new(|| {}),
        jobs: None,
        stuck_after: Duration::from_secs(1),
    };
    let mut driver = Driver::new(wired.parts.clone(), limits, Arc::new(Notify::new()));
    driver.boot().await.unwrap();
    assert_eq!(driver.run().await.unwrap(), Ended::Finished);
}

/// Bytes of a page of the ledger.
const PAGE: usize = 4_096;

/// The first bytes of the pages that hold rows and indexes.
const TREE_PAGES: [u8; 4] = [2, 5, 10, 13];

#[tokio::test]
async fn a_damaged_ledger_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.db");
    let wired = wire(&path, MONDAY, MONDAY).await;
    run_until(&wired, "08:31").await;
    let backup_file = folder.path().join("nightly.db");
    wired.parts.sources.ledger.back_up(&backup_file).unwrap();
    drop(wired);
    // What a free page holds is no damage: here there are none.
    Connection::open(&path).unwrap().execute_batch("VACUUM").unwrap();
    let sound = fs::read(&path).unwrap();
    let pages = sound.len() / PAGE;
    assert!(pages > 40, "{pages} pages");

    let mut damaged: Vec<(String, Vec<u8>)> = vec![
        ("truncated by half".to_owned(), sound[..pages / 2 * PAGE].to_vec()),
        ("truncated within a page".to_owned(), sound[..sound.len() - PAGE / 2].to_vec()),
        ("without its last page".to_owned(), sound[..sound.len() - PAGE].to_vec()),
    ];
    // The first byte of a page says what it is, and the next ones where its cells are.
    let has_cells = |page: &[u8]| TREE_PAGES.contains(&page[0]) && page[3..5] != [0, 0];
    // An empty table has nothing to lose; its damage is told by the first statement that reads it.
    let trees = (1..pages).filter(|page| has_cells(&sound[page * PAGE..]));
    for page in trees.step_by(pages / 12) {
        for bit in [0, 3] {
            let mut flipped = sound.clone();
            flipped[page * PAGE] ^= 1 << bit;
            damaged.push((format!("bit {bit} of page {} flipped", page + 1), flipped));
        }
    }
    for (damage, bytes) in &damaged {
        fs::write(&path, bytes).unwrap();
        let simulation = wiring::Simulation {
            from: MONDAY.parse().unwrap(),
            to: MONDAY.parse().unwrap(),
            speed: Speed::Max,
            bars: None,
        };
        let Err(refused) = wiring::simulated(&configuration(&[]), &path, &simulation).await else {
            panic!("{damage}: it was taken");
        };
        let told = format!("{refused:#}");
        assert!(told.contains("the ledger is damaged") && told.contains("`trade ledger restore`"), "{damage}: {told}");
        assert_eq!(&fs::read(&path).unwrap(), bytes, "{damage}: it was changed");
    }

    let lock = LedgerLock::acquire(&path).unwrap();
    backup::restore(&lock, &backup_file, Timestamp(1)).unwrap();
    drop(lock);
    let wired = wire(&path, MONDAY, MONDAY).await;
    run_until(&wired, "09:01").await;
    assert_eq!(rows(&wired.parts.sources.ledger, "SELECT count(*) FROM scan"), ["3"], "it goes on from the backup");
}

#[tokio::test]
async fn a_disk_that_is_full_within_a_commit_stops_the_day_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.db");
    let wired = wire(&path, MONDAY, MONDAY).await;
    let ledger = wired.parts.sources.ledger.clone();
    ledger
        .write_blocking(|tx| {
            let pages: i64 = tx.pragma_query_value(None, "page_count", |row| row.get(0))?;
            tx.pragma_update_and_check(None, "max_page_count", pages + 40, |_| Ok(()))?;
            Ok(())
        })
        .unwrap();
    let stopped = wiring::run(&wired, CancellationToken::new(), Arc::new(|| {})).await.unwrap_err();
    let cause = stopped.chain().find_map(|cause| cause.downcast_ref::<LedgerError>());
    assert!(matches!(cause, Some(LedgerError::DiskFull)), "{stopped:#}");
    assert!(ledger.read(check_file).unwrap().is_sound());
    let reached = ledger.read(meta::simulated_now).unwrap().unwrap();
    drop((ledger, wired));

    let wired = wire(&path, MONDAY, MONDAY).await;
    assert_eq!(wired.parts.sources.clock.wall(), reached, "it goes on where it was");
    run_until(&wired, "16:30").await;
    let parts = &wired.parts;
    let now = parts.sources.clock.wall();
    let audit = audit_ledger(&parts.sources.ledger, &parts.definitions, &parts.sources.calendar, now).unwrap();
    assert_eq!(audit.findings(), Vec::<String>::new());
    assert_eq!(rows(&parts.sources.ledger, "SELECT session FROM v_day WHERE ended"), [MONDAY]);
}

#[test]
fn a_copy_made_while_it_is_written_is_the_ledger_as_it_was_at_some_instant() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wired = runtime.block_on(wire(&folder.path().join("day.db"), MONDAY, MONDAY));
    let ledger = wired.parts.sources.ledger.clone();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 1_i64.. {
                // Two rows that belong together.
                let both = ledger.write_blocking(move |tx| {
                    meta::set_simulated_now(tx, Timestamp(at))?;
                    tx.execute(
                        "INSERT INTO config_version (hash, body, origin, recorded_at_ms) VALUES (?1, ?2, 'test', ?1)",
                        [at.to_string(), "x".repeat(2_000)],
                    )?;
                    Ok(())
                });
                both.unwrap();
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let mut before = Timestamp(0);
        for number in 0..6 {
            let copy = folder.path().join(format!("copy-{number}.db"));
            ledger.back_up(&copy).unwrap();
            let copy = open(&copy);
            assert!(copy.read(check_file).unwrap().is_sound());
            let now = copy.read(meta::simulated_now).unwrap().unwrap_or_default();
            let last = rows(&copy, "SELECT coalesce(max(recorded_at_ms), 0) FROM config_version WHERE origin = 'test'");
            assert_eq!(last, [now.0.to_string()], "both rows of a transaction, or neither");
            assert!(now >= before);
            before = now;
        }
        is_over.store(true, Ordering::SeqCst);
        assert!(before.0 > 0, "something was written meanwhile");
    });
}

/// The ledger as it was is put back in the place of the one that is there.
fn restore(ledger: &Path, copy: &Path, wall: &str) {
    let lock = LedgerLock::acquire(ledger).unwrap();
    backup::restore(&lock, copy, new_york(MONDAY, wall)).unwrap();
}

#[tokio::test]
async fn an_old_backup_adopts_what_the_broker_has_done_since_and_sends_nothing_twice() {
    let outside = Outside::new();
    outside.live_until("09:40").await;
    let copy = outside.ledger.with_file_name("nightly.db");
    open(&outside.ledger).back_up(&copy).unwrap();
    assert_eq!(outside.sent().await.len(), 0, "the copy knows of no order");
    outside.live_until("11:30").await;
    let sent = outside.sent().await;
    assert!(!sent.is_empty(), "there is something to adopt");
    let first = rows(
        &open(&outside.ledger),
        "SELECT run.job, run.slot_at_ms FROM intent JOIN run USING (run_id) WHERE purpose = 'enter' ORDER BY intent_id LIMIT 1",
    );
    let (job, slot) = first[0].split_once('|').unwrap();

    restore(&outside.ledger, &copy, "11:30");
    // The very slot that has entered is decided again: its orders have the same names.
    let as_slot = Some(Timestamp(slot.parse().unwrap()));
    outside.ask(Command::Run { job: job.to_owned(), as_slot, session: None });
    outside.live_until("11:35").await;
    let names = |orders: &[Order]| -> BTreeSet<String> {
        orders.iter().map(|order| order.client_order_id.as_str().to_owned()).collect()
    };
    let after = outside.sent().await;
    let before = names(&sent);
    assert_eq!(names(&after).len(), after.len(), "no name was taken twice");
    let again: Vec<&String> = before.iter().filter(|name| name.contains(&format!("-{job}-{slot}-"))).collect();
    assert!(!again.is_empty());
    for name in again {
        assert_eq!(after.iter().filter(|order| order.client_order_id.as_str() == name).count(), 1, "{name}");
    }
    let ledger = open(&outside.ledger);
    let executions = |broker: Vec<String>| -> BTreeSet<String> { broker.into_iter().collect() };
    let theirs = outside.broker.fills(None).await.unwrap().fills;
    let theirs = executions(theirs.into_iter().map(|fill| fill.execution_id).collect());
    assert_eq!(executions(rows(&ledger, "SELECT execution_id FROM fill")), theirs, "every execution was adopted");
    drop(ledger);

    outside.live_until("20:30").await;
    assert_eq!(outside.broker.positions().await.unwrap(), [], "what was adopted was closed by the evening");
    let ledger: Ledger = open(&outside.ledger);
    assert_eq!(rows(&ledger, "SELECT symbol FROM position WHERE closed_at_ms IS NULL"), Vec::<String>::new());
    let audit = audit_ledger(&ledger, &[], &Calendar::xnys(), new_york(MONDAY, "20:30")).unwrap();
    assert_eq!(audit.findings(), Vec::<String>::new(), "what the backup was not there to see is no finding");
}

/// What refuses to take up these sessions, in words.
async fn refusal(ledger: &Path, settings: &[&str]) -> String {
    match try_wire(ledger, settings).await {
        Ok(_) => panic!("it was taken up"),
        Err(refused) => format!("{refused:#}"),
    }
}

async fn try_wire(ledger: &Path, settings: &[&str]) -> anyhow::Result<Wired> {
    let simulation = wiring::Simulation {
        from: MONDAY.parse().unwrap(),
        to: MONDAY.parse().unwrap(),
        speed: Speed::Max,
        bars: None,
    };
    wiring::simulated(&configuration(settings), ledger, &simulation).await
}

/// A simulation that has traded and was left at 11:30, in a folder.
async fn left_while_trading() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let wired = wire(&folder.path().join("day.db"), MONDAY, MONDAY).await;
    run_until(&wired, "11:30").await;
    assert_ne!(rows(&wired.parts.sources.ledger, "SELECT count(*) FROM fill"), ["0"]);
    folder
}

#[tokio::test]
async fn a_first_start_that_was_killed_before_it_wrote_anything_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("day.db");
    fs::write(&ledger, "").unwrap();
    let wired = try_wire(&ledger, &[]).await.unwrap();
    assert_eq!(wired.parts.epoch, 1);
}

#[tokio::test]
async fn a_log_without_its_ledger_is_not_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("day.db");
    fs::write(folder.path().join("day.db-wal"), "commits").unwrap();
    let refused = refusal(&ledger, &[]).await;
    assert!(refused.contains("in its -wal: put the file back"), "{refused}");
    assert_eq!(fs::read_to_string(folder.path().join("day.db-wal")).unwrap(), "commits");
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_a_ledger_is_that_ledger_with_its_lock_and_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, link, second) =
        (folder.path().join("day.db"), folder.path().join("link.db"), folder.path().join("second.db"));
    std::os::unix::fs::symlink("day.db", &link).unwrap();
    let wired = wire(&link, MONDAY, MONDAY).await;
    assert!(ledger.exists() && folder.path().join("day.paper.db").exists());
    assert!(!folder.path().join("link.paper.db").exists());
    let refused = refusal(&ledger, &[]).await;
    assert!(refused.contains("process"), "{refused}");
    drop(wired);

    fs::hard_link(&ledger, &second).unwrap();
    let refused = refusal(&second, &[]).await;
    assert!(refused.contains("2 names (hard links)"), "{refused}");
}

#[tokio::test]
async fn a_paper_account_belongs_to_its_ledger() {
    let folder = left_while_trading().await;
    let at = |name: &str| folder.path().join(name);
    // The account is gone.
    fs::rename(at("day.paper.db"), at("kept.db")).unwrap();
    let refused = refusal(&at("day.db"), &[]).await;
    assert!(refused.contains("is not there, and the ledger"), "{refused}");
    assert!(!at("day.paper.db").exists(), "none was made in its place");
    // It is another's.
    fs::copy(at("kept.db"), at("other.paper.db")).unwrap();
    let wired = try_wire(&at("other.db"), &["market.simulated.seed=99"]).await.unwrap();
    assert_eq!(wired.parts.sources.broker.broker().fills(None).await.unwrap().fills, [], "begun anew with its ledger");
    run_until(&wired, "09:45").await;
    drop(wired);
    fs::copy(at("kept.db"), at("other.paper.db")).unwrap();
    let refused = refusal(&at("other.db"), &["market.simulated.seed=99"]).await;
    assert!(refused.contains("is not that of the ledger"), "{refused}");
    // It is back.
    fs::rename(at("kept.db"), at("day.paper.db")).unwrap();
    drop(try_wire(&at("day.db"), &[]).await.unwrap());
}

#[tokio::test]
async fn a_simulation_goes_on_in_the_world_that_it_began_in() {
    let folder = left_while_trading().await;
    let ledger = folder.path().join("day.db");
    for (setting, told) in [
        ("exchange_calendar=24/7", "exchange_calendar: it began with XNYS and would go on with 24/7"),
        ("market.simulated.symbols=20", "market.simulated.symbols: it began with 60 and would go on with 20"),
    ] {
        let refused = refusal(&ledger, &[setting]).await;
        assert!(refused.contains(told), "{refused}");
    }
    drop(try_wire(&ledger, &["risk.max_positions=3"]).await.unwrap());
}

#[tokio::test]
async fn what_keeps_the_account_safe_is_not_paused() {
    let outside = Outside::new();
    outside.live_until("08:00").await;
    for job in ["risk-monitor", "market-close-flatten", "reconcile", "breakout-watch"] {
        outside.ask(Command::Pause { job: job.to_owned() });
    }
    outside.live_until("08:05").await;
    let ledger = open(&outside.ledger);
    assert_eq!(rows(&ledger, "SELECT name FROM job WHERE paused = 1"), ["breakout-watch"]);
    assert_eq!(
        rows(&ledger, "SELECT count(*) FROM command WHERE result LIKE '%keeps what is held safe, and is not paused%'"),
        ["3"]
    );
}

#[test]
fn a_ledger_that_is_taken_away_while_it_is_in_use_is_put_back_and_nothing_is_lost() {
    const SOON: [(&str, &str); 1] = [("DAYBOOK__SCHEDULER__HEALTH_CHECK", "1s")];
    let mut place = Place::new("24/7");
    place.start(&SOON);
    for file in ["day.db", "day.db-wal", "day.db-shm"] {
        fs::remove_file(place.path(file)).unwrap();
    }
    assert_eq!(place.scheduler.take().unwrap().wait().unwrap().code(), Some(1));
    assert_eq!(place.rows("SELECT event FROM alert WHERE level = 'critical'"), ["ledger.taken_away"]);
    place.start(&SOON);
    assert_eq!(place.rows("SELECT epoch FROM lease"), ["2"], "it goes on where it was");

    fs::write(place.path("other"), "of somebody else").unwrap();
    fs::rename(place.path("other"), place.path("day.db")).unwrap();
    assert_eq!(place.scheduler.take().unwrap().wait().unwrap().code(), Some(1));
    assert_eq!(fs::read_to_string(place.path("day.db")).unwrap(), "of somebody else", "nothing is overwritten");
    let names = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let kept = names.filter(|name| name.starts_with("day.db.rescued-")).collect::<Vec<_>>();
    assert_eq!(kept.len(), 1, "{kept:?}");
    fs::remove_file(place.path("day.db")).unwrap();
    let (code, said) = place.trade(&["ledger", "restore", &kept[0], "--ledger", "day.db"]);
    assert_eq!(code, 0, "{said}");
    place.start(&SOON);
    assert_eq!(place.rows("SELECT epoch FROM lease"), ["3"]);
}
