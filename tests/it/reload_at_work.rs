//! The configuration changes while positions are being closed: the flatten and the emergency stop go on under the
//! version that they began with, and the next run decides under the new one.
//!
//! The day is a simulated one up to the minute before. From then on the process is as it is live: its runs are tasks of
//! their own, a thread watches its files, and a version comes into force between two claims. Its clock stands until the
//! test moves it, and its broker carries out what it is asked for and keeps the answer back.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::clocks::{SimulatedClock, SystemClock};
use daybook::config::{self, Configuration, Environment, Watch};
use daybook::engine::audit::audit_ledger;
use daybook::engine::commands::{Command, Trade};
use daybook::engine::driver::Ended;
use daybook::engine::job::Sources;
use daybook::engine::verify::verify;
use daybook::engine::{Execution, Parts};
use daybook::ledger::command;
use daybook::ports::{Broker, BrokerError, Clock, FillPage};
use daybook::wiring::{self, Live, Wired};
use daybook_core::money::Price;
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket, OrderType};
use daybook_core::risk::Approved;
use daybook_core::time::Timestamp;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::repository;
use crate::support::market::new_york;
use crate::support::outside::{MONDAY, Outside};
use crate::support::simulation::rows;

/// How long something may take that has to happen: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(120);

/// The minutes that orders which close may take: one fills with the bar after it.
const MINUTES_MAX: u64 = 4;

/// The day's clock, which stands until somebody moves it: a sleep waits for that.
struct StandingClock {
    day: Arc<SimulatedClock>,
    moved: watch::Sender<()>,
}

impl StandingClock {
    async fn move_to(&self, instant: Timestamp) {
        self.day.sleep_until(instant).await;
        self.moved.send_replace(());
    }
}

#[async_trait]
impl Clock for StandingClock {
    fn wall(&self) -> Timestamp {
        self.day.wall()
    }

    fn wall_us(&self) -> i64 {
        self.day.wall_us()
    }

    fn monotonic(&self) -> Duration {
        self.day.monotonic()
    }

    async fn sleep_until(&self, instant: Timestamp) {
        let mut moved = self.moved.subscribe();
        while self.wall() < instant {
            moved.changed().await.unwrap();
        }
    }
}

/// A broker that may keep its answers to orders at the market back.
struct SlowBroker {
    broker: Arc<dyn Broker>,
    is_slow: AtomicBool,
    /// Answers that it may give while it is slow.
    answers: Semaphore,
    /// Orders that were sent, and calls whose answers wait.
    sent: Mutex<Vec<String>>,
    waiting: Mutex<u32>,
}

impl SlowBroker {
    fn over(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            is_slow: AtomicBool::new(false),
            answers: Semaphore::new(0),
            sent: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    fn waiting(&self) -> u32 {
        *self.waiting.lock().unwrap()
    }

    /// Answers everything from now on, at once.
    fn is_quick_again(&self) {
        self.is_slow.store(false, Ordering::SeqCst);
        self.answers.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

#[async_trait]
impl Broker for SlowBroker {
    fn name(&self) -> &str {
        self.broker.name()
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.broker.account().await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.broker.positions().await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.broker.open_orders().await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.broker.orders_by_client_id(id).await
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.broker.orders(broker_order_ids).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.sent.lock().unwrap().push(ticket.get().client_order_id.to_string());
        let answer = self.broker.submit(ticket).await;
        // What a monitor does beside, a stop behind shares that have just come, is not what waits.
        if ticket.get().order_type == OrderType::Market && self.is_slow.load(Ordering::SeqCst) {
            *self.waiting.lock().unwrap() += 1;
            self.answers.acquire().await.unwrap().forget();
            *self.waiting.lock().unwrap() -= 1;
        }
        answer
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        self.broker.cancel(broker_order_id).await
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.broker.replace_stop(broker_order_id, stop).await
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        self.broker.fills(cursor).await
    }
}

/// A configuration in a folder of its own: that of the day which is killed at every point. Its orders fill bit by bit, so
/// that some wait while others are closed.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("");
        files
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("daybook.yaml")
    }

    /// Writes the file with more in its section of risk.
    fn write(&self, risk: &str) {
        let day = repository::read("tests/it/crash/daybook.yaml");
        let day = day.replace("\nrisk:\n", &format!("\nrisk:\n{risk}"));
        fs::write(self.path(), format!("{day}execution: {{paper: {{participation: 0.5%}}}}\n")).unwrap();
    }

    fn sources(&self) -> config::Sources {
        let jobs = repository::root().join("tests/it/crash/jobs").display().to_string();
        config::Sources::new(Some(self.path()), Environment::default()).with_option("--jobs", "jobs_dir", jobs)
    }

    fn read(&self) -> Configuration {
        config::load(&self.sources()).unwrap()
    }
}

/// What closes every position.
#[derive(Clone, Copy)]
enum Closing {
    Flatten,
    EmergencyStop,
}

impl Closing {
    /// When it begins, and the minute before.
    const fn begins(self) -> (&'static str, &'static str) {
        match self {
            Self::Flatten => ("15:50", "15:49"),
            Self::EmergencyStop => ("15:30", "15:29"),
        }
    }

    /// What stops entries afterwards.
    fn latches(self) -> Vec<&'static str> {
        match self {
            Self::Flatten => vec![],
            Self::EmergencyStop => vec!["emergency_stop"],
        }
    }

    const fn job(self) -> &'static str {
        match self {
            Self::Flatten => "market-close-flatten",
            Self::EmergencyStop => "operator",
        }
    }
}

/// The process, and what the test knows of it.
struct Desk {
    wired: Wired,
    clock: Arc<StandingClock>,
    broker: Arc<SlowBroker>,
}

const OPEN: &str = "SELECT symbol FROM position WHERE state <> 'closed' ORDER BY symbol";
const REFUSED: &str = "SELECT body FROM alert WHERE event = 'configuration.refused'";
const LATCHES: &str = "SELECT kind FROM halt WHERE cleared_at_ms IS NULL";

/// The number of the version that a run was made under.
const VERSION: &str = "(SELECT max(config_version_id) FROM config_version WHERE hash = config_hash)";

impl Desk {
    fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.wired.parts.sources.ledger, sql)
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let looked = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, looked).await;
        in_time.unwrap_or_else(|_| {
            panic!(
                "{what}: {:?}",
                self.rows(&format!("SELECT job, trigger, state, {VERSION} FROM run ORDER BY run_id DESC LIMIT 9"))
            )
        });
    }

    /// The run that closes everything: its state, its attempts and its version.
    fn closing(&self, closing: Closing) -> Vec<String> {
        let job = closing.job();
        self.rows(&format!("SELECT state, attempt, {VERSION} FROM run WHERE job = '{job}'"))
    }

    /// Begins to close, and returns when the broker has carried something out and keeps the answer back.
    async fn begins(&self, closing: Closing) {
        self.broker.sent.lock().unwrap().clear();
        self.broker.is_slow.store(true, Ordering::SeqCst);
        let at = new_york(MONDAY, closing.begins().0);
        if matches!(closing, Closing::EmergencyStop) {
            let asked = Command::Trade(Trade::StopEverything { reason: "a test".to_owned() });
            let new = asked.into_new("owner").unwrap();
            let ledger = &self.wired.parts.sources.ledger;
            ledger.write(move |tx| command::enqueue(tx, &new, at)).await.unwrap();
        }
        self.clock.move_to(at).await;
        self.until("it is decided to close", || self.closing(closing) == ["decided|1|1"]).await;
        self.until("the broker is asked", || self.broker.waiting() > 0).await;
    }

    /// Goes on, a minute at a time, until nothing is held.
    async fn is_flat_after(&self, at: Timestamp) {
        for minute in 1..=MINUTES_MAX {
            let slot = at.after(Duration::from_secs(60 * minute));
            self.clock.move_to(slot).await;
            let looked = format!(
                "SELECT 1 FROM run WHERE job = 'risk-monitor' AND slot_at_ms = {} AND state IN ('done', 'skipped')",
                slot.0
            );
            let is_flat = || self.rows(OPEN).is_empty();
            // Who has heard of the last fill before the minute's look has no need of it.
            self.until("the monitor has looked", || is_flat() || !self.rows(&looked).is_empty()).await;
            if is_flat() {
                return;
            }
        }
        panic!("still open after {MINUTES_MAX} minutes: {:?}", self.rows(OPEN));
    }

    /// No order was sent twice, none was left out, and the broker holds nothing.
    async fn each_position_was_closed_once(&self, closing: Closing, outside: &Outside) {
        let closes =
            format!("FROM v_order JOIN run USING (run_id) WHERE purpose = 'exit' AND job = '{}'", closing.job());
        let mut names = self.rows(&format!("SELECT client_order_id {closes} AND config_version = 1"));
        assert!(names.len() > 2, "there is little to close: {names:?}");
        let closed = "SELECT DISTINCT symbol FROM v_order WHERE purpose = 'exit' ORDER BY 1";
        assert_eq!(self.rows(&format!("SELECT symbol {closes} ORDER BY 1")), self.rows(closed), "no other run closes");
        let mut sent = self.broker.sent.lock().unwrap().clone();
        names.sort();
        sent.sort();
        let all = sent.len();
        sent.dedup();
        assert_eq!(sent.len(), all, "an order went out twice");
        // What else a monitor sends beside them leaves no position.
        sent.retain(|id| names.contains(id));
        assert_eq!(sent, names);
        let exits = self.rows("SELECT client_order_id FROM v_order WHERE purpose = 'exit'");
        assert_eq!(exits.len(), names.len(), "{exits:?}");
        assert_eq!(outside.broker.positions().await.unwrap(), []);
        assert_eq!(outside.broker.open_orders().await.unwrap(), []);
        let taken = outside.sent().await.into_iter().map(|order| order.client_order_id);
        let taken: Vec<String> = taken.map(|id| id.to_string()).filter(|id| names.contains(id)).collect();
        assert_eq!(taken.len(), names.len(), "{taken:?}");
        assert_eq!(self.rows(LATCHES), closing.latches());
    }

    /// Everything that the program promises of the day.
    fn is_sound(&self) {
        let Sources { ledger, calendar, clock, .. } = &self.wired.parts.sources;
        let audit = audit_ledger(ledger, &self.wired.parts.definitions, calendar, clock.wall());
        assert_eq!(audit.unwrap().findings(), Vec::<String>::new());
        let verified = verify(ledger, &self.wired.parts.jobs, calendar, None, |_, _| {}).unwrap();
        assert_eq!(verified.differences, Vec::new());
    }
}

/// Lives a day in which the configuration changes while everything is being closed.
async fn changes_while_closing(closing: Closing) {
    let files = Files::new();
    let outside = Outside::configured(files.read());
    let (begins, before) = closing.begins();
    let at = new_york(MONDAY, begins);
    outside.live_until(before).await;
    let clock = Arc::new(StandingClock { day: outside.clock.clone(), moved: watch::Sender::new(()) });
    let broker = Arc::new(SlowBroker::over(outside.broker.clone()));
    let mut wired = outside.process(broker.clone(), clock.clone(), "17:00").await;
    wired.parts = Arc::new(Parts { execution: Execution::Concurrent, ..(*wired.parts).clone() });
    let desk = Desk { wired, clock, broker };
    let (readings, read) = mpsc::channel(8);
    let deliver = move |reading| readings.blocking_send(reading).is_ok();
    let watch = Watch::start(files.sources(), &files.read(), Arc::new(SystemClock::new()), deliver).unwrap();
    let stop = CancellationToken::new();
    let live = Live { readings: read, on_change: Box::new(|_| {}) };
    let script = async {
        desk.until("the start is over", || {
            desk.rows("SELECT count(*) FROM run WHERE trigger = 'boot' AND state = 'done'") == ["2"]
        })
        .await;
        desk.begins(closing).await;
        files.write("  max_positions: 0\n");
        desk.until("the bad one is refused", || desk.rows(REFUSED).len() == 1).await;
        files.write("  max_positions: 2\n  max_daily_loss: 10\n");
        desk.until("the good one is in force", || desk.rows("SELECT count(*) FROM config_version") == ["2"]).await;
        let monitors = format!("SELECT 1 FROM run WHERE trigger = 'manual' AND job = 'risk-monitor' AND {VERSION} = 2");
        desk.until("the next run is made under it", || !desk.rows(&monitors).is_empty()).await;
        assert_eq!(desk.closing(closing), ["decided|1|1"], "it is where it was");
        assert!(desk.broker.waiting() > 0);
        desk.broker.is_quick_again();
        desk.until("it has closed", || desk.closing(closing) == ["done|1|1"]).await;
        desk.is_flat_after(at).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(wiring::run_live(&desk.wired, stop.clone(), Arc::new(|| {}), live), script);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    drop(watch);
    desk.each_position_was_closed_once(closing, &outside).await;
    let refused = desk.rows(REFUSED);
    assert!(refused.len() == 1 && refused[0].contains("risk.max_positions"), "{refused:?}");
    let later = format!("SELECT DISTINCT {VERSION} FROM run WHERE slot_at_ms > {} AND state = 'done'", at.0);
    assert_eq!(desk.rows(&later), ["2"]);
    desk.is_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flatten_goes_on_under_the_version_that_it_began_with() {
    changes_while_closing(Closing::Flatten).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_stop_goes_on_under_the_version_that_it_began_with() {
    changes_while_closing(Closing::EmergencyStop).await;
}
