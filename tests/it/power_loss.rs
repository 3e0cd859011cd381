//! The power is cut: what was acknowledged is there, and the day goes on.
//!
//! A kill cannot show it, since the system still writes what the process had written. The files stand on a
//! [`Disk`] that keeps what was synced, and of the rest whatever it likes.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use daybook::adapters::brokers::paper::{Durability, PaperBroker};
use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::engine::driver::Ended;
use daybook::ledger::{Gate, Ledger, LedgerError, LedgerKind, NewLedger, OpenOptions, check};
use daybook::ports::Broker;
use daybook_core::calendar::Calendar;
use daybook_core::exchange::ExchangeSettings;
use tempfile::TempDir;
use tokio::sync::{Notify, OnceCell};

use crate::faulty_broker::entry;
use crate::support::disk::{Disk, Fate, Image};
use crate::support::drawn;
use crate::support::market::ScriptedMarket;
use crate::support::process::{LEDGER, Process, at};
use crate::support::simulation::{FINISHED, finished};

const WAL: &str = "day.db-wal";

/// Commits of 200 kB: more than the 4,000 pages after which a simulation's write-ahead log is copied to the file.
const COMMITS: usize = 100;

/// The files of an image, in a folder of their own.
fn machine_with(image: &Image) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    image.put_into(folder.path());
    folder
}

/// A ledger that is written a row at a time, on a disk that forgets.
struct Notebook {
    ledger: Ledger,
    disk: Arc<Disk>,
    rows: usize,
    _folder: TempDir,
}

impl Notebook {
    fn new(kind: LedgerKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::watch(folder.path());
        let new = NewLedger { kind, ..NewLedger::live("paper", at("09:30")).unwrap() };
        let ledger = Ledger::open(&folder.path().join(LEDGER), &OpenOptions::create_or_open(new)).unwrap();
        let mut notebook = Self { ledger, disk, rows: 0, _folder: folder };
        notebook.commit(1); // with it the write-ahead log gets its head, and that is synced, too
        notebook
    }

    /// Commits a row of this size.
    fn commit(&mut self, bytes: usize) {
        let (hash, body) = (format!("row {}", self.rows), "x".repeat(bytes));
        let insert = "INSERT INTO config_version (hash, body, origin, recorded_at_ms) VALUES (?1, ?2, 'test', 0)";
        self.ledger.write_blocking(move |tx| Ok(tx.execute(insert, [hash, body])?)).unwrap();
        self.rows += 1;
    }

    /// The rows that are there after a power cut, in a ledger that must be sound.
    fn left(&self) -> usize {
        let machine = machine_with(&self.disk.synced());
        let _quick = Disk::watch(machine.path()); // it does not wait for the real one
        let ledger = Ledger::open(&machine.path().join(LEDGER), &OpenOptions::existing()).unwrap();
        ledger
            .read(|conn| {
                assert!(check::check_file(conn)?.is_sound());
                let rows: i64 = conn.query_row("SELECT count(*) FROM config_version", [], |row| row.get(0))?;
                Ok(usize::try_from(rows).unwrap())
            })
            .unwrap()
    }

    /// Cuts the power after each of many commits, over several checkpoints: acknowledged rows that are lost each time.
    fn losses(&mut self) -> Vec<usize> {
        let checkpoints_before = self.disk.syncs(LEDGER);
        let losses = (0..COMMITS)
            .map(|_| {
                self.commit(200_000);
                self.rows - self.left()
            })
            .collect();
        assert!(self.disk.syncs(LEDGER) > checkpoints_before, "without a checkpoint the half of it is untried");
        losses
    }
}

#[test]
fn a_commit_of_a_live_ledger_outlives_a_power_cut_once_it_is_acknowledged() {
    assert_eq!(Notebook::new(LedgerKind::Live).losses(), [0; COMMITS]);
}

/// Without this the test above would prove nothing: a simulation's ledger does not sync its commits.
#[test]
fn where_commits_are_not_synced_a_power_cut_loses_them() {
    let losses = Notebook::new(LedgerKind::Simulation).losses();
    assert!(losses.iter().filter(|lost| **lost > 0).count() > COMMITS / 2, "{losses:?}");
}

#[test]
fn a_commit_of_a_live_ledger_is_one_sync() {
    for (kind, each) in [(LedgerKind::Live, 1), (LedgerKind::Simulation, 0)] {
        let mut notebook = Notebook::new(kind);
        let before = (notebook.disk.syncs(WAL), notebook.disk.syncs(LEDGER));
        for _ in 0..50 {
            notebook.commit(100);
        }
        let after = (notebook.disk.syncs(WAL), notebook.disk.syncs(LEDGER));
        assert_eq!((after.0 - before.0, after.1 - before.1), (50 * each, 0), "{kind:?}");
    }
}

/// The paper account in `folder`, at ten o'clock.
fn account(folder: &Path, durability: Durability, market: &Arc<ScriptedMarket>) -> PaperBroker {
    let clock = Arc::new(SimulatedClock::new(at("10:00"), Speed::Max));
    let settings = ExchangeSettings::default();
    PaperBroker::open(&folder.join("paper.db"), durability, settings, market.clone(), clock, Calendar::xnys()).unwrap()
}

#[tokio::test]
async fn an_order_that_the_paper_broker_took_outlives_a_power_cut_for_one_sync() {
    let market = Arc::new(ScriptedMarket::default());
    market.minute("AAPL", at("09:59"), [10_000; 4]);
    for (durability, each) in [(Durability::PowerCut, 1), (Durability::Kill, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::watch(folder.path());
        let broker = account(folder.path(), durability, &market);
        broker.submit(&entry("first")).await.unwrap();
        let before = disk.syncs("paper.db-wal");
        for n in 0..10 {
            let name = format!("order-{n}");
            broker.submit(&entry(&name)).await.unwrap();
            let machine = machine_with(&disk.synced());
            let found = account(machine.path(), durability, &market);
            let found = found.orders_by_client_id(&name.parse().unwrap()).await.unwrap();
            assert_eq!(found.len(), 3 * each, "{durability:?}");
        }
        assert_eq!(disk.syncs("paper.db-wal") - before, 10 * u64::try_from(each).unwrap(), "{durability:?}");
    }
}

/// Ends a process that writes after its power was cut.
struct Power {
    disk: Arc<Disk>,
    went_off: Notify,
}

impl Power {
    async fn check(&self) {
        if self.disk.left().is_some() {
            self.went_off.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Gate for Power {
    async fn enter(&self) -> Result<(), LedgerError> {
        self.check().await;
        Ok(())
    }

    async fn leave(&self) {
        self.check().await;
    }
}

/// The rows of a finished day, view by view, and what speaks against them.
struct Day {
    rows: Vec<(&'static str, Vec<String>)>,
    findings: Vec<String>,
}

impl Day {
    /// The first thing in which it is not the other day.
    fn differs_from(&self, other: &Self) -> Option<String> {
        if self.findings != other.findings {
            return Some(self.findings.join("; "));
        }
        self.rows.iter().zip(&other.rows).find(|(one, another)| one != another).map(|((view, one), (_, another))| {
            let at = one.iter().zip(another).take_while(|(one, another)| one == another).count();
            format!("{view}: {:?} for {:?}", one.get(at), another.get(at))
        })
    }
}

/// How a life of the process ended.
enum Life {
    /// The power was cut, and the disk holds this.
    Cut(Image),
    /// The day is over.
    Whole(Day),
}

/// Lives the day, or what is left of it, on this disk.
async fn life(folder: &Path, disk: &Arc<Disk>, account: Durability) -> Life {
    let power = Arc::new(Power { disk: disk.clone(), went_off: Notify::new() });
    let living = async {
        let process = Process::start(folder, account, Some(power.clone()), |broker, _| broker).await;
        assert_eq!(process.run().await.unwrap(), Ended::Finished);
        let rows = FINISHED.into_iter().map(|view| (view, finished(process.ledger(), view))).collect();
        Life::Whole(Day { rows, findings: process.findings() })
    };
    tokio::select! {
        life = living => life,
        () = power.went_off.notified() => Life::Cut(disk.left().unwrap()),
    }
}

/// The day whose power is not cut, and what is done to the disk in it.
async fn whole_day() -> &'static (Day, u64) {
    static WHOLE: OnceCell<(Day, u64)> = OnceCell::const_new();
    let live = async || {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::watch(folder.path());
        let Life::Whole(day) = life(folder.path(), &disk, Durability::PowerCut).await else { panic!("nobody cut it") };
        assert_eq!(day.findings, Vec::<String>::new());
        (day, disk.operations())
    };
    WHOLE.get_or_init(live).await
}

/// Lives the day with its power cut after so many operations of the disk, counted in each life anew. Of what is not
/// synced then all is lost, or in an odd seed each change is lost, torn or kept.
async fn day_with_cuts(seed: u64, cuts: &[u64], account: Durability) -> Day {
    let mut machine = tempfile::tempdir().unwrap();
    for at in cuts {
        let disk = Disk::watch(machine.path());
        let mut draw = drawn(seed + at);
        let choices = if seed.is_multiple_of(2) { 1 } else { 3 };
        disk.cut_at(*at, move || match draw(choices) {
            0 => Fate::Lost,
            1 => Fate::Torn,
            _ => Fate::Kept,
        });
        let Life::Cut(image) = life(machine.path(), &disk, account).await else {
            panic!("seed {seed}: a cut after the end cuts nothing")
        };
        machine = machine_with(&image);
    }
    match life(machine.path(), &Disk::watch(machine.path()), account).await {
        Life::Whole(day) => day,
        Life::Cut(_) => unreachable!("nobody cut it"),
    }
}

#[tokio::test]
async fn a_day_whose_power_is_cut_is_the_day_whose_power_was_not() {
    let (whole, operations) = whole_day().await;
    let (seeds, count) = if std::env::var_os("DAYBOOK_LONG").is_some() { (50, 20) } else { (2, 8) };
    for seed in 0..seeds {
        let mut draw = drawn(seed);
        let cuts: Vec<u64> = (0..count).map(|_| 1 + draw(operations.cast_signed() / count).cast_unsigned()).collect();
        let day = day_with_cuts(seed, &cuts, Durability::PowerCut).await;
        assert_eq!(day.differs_from(whole), None, "seed {seed}, cut after {cuts:?} operations");
    }
}

/// Without this the test above would prove nothing: an account whose file is not synced forgets orders that it took.
#[tokio::test]
async fn where_the_broker_forgets_it_is_another_day() {
    let (whole, operations) = whole_day().await;
    let day = day_with_cuts(0, &[operations / 2], Durability::Kill).await;
    assert!(day.differs_from(whole).is_some());
}
