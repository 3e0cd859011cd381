//! What is outside of the process, and the lives that the process has in it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use daybook_core::money::Price;
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket};
use daybook_core::risk::Approved;
use daybook_core::schedule::JobKind;
use daybook_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::job::{JobFault, faulty_table};
use super::plan::{DiskFault, FaultKind, Plan};
use super::watch::Watch;
use super::{Failure, Figures, OnDay};
use crate::adapters::brokers::paper::{Durability, PaperBroker};
use crate::adapters::clocks::{SimulatedClock, Speed};
use crate::adapters::faulty::{
    BrokerFault, ChannelFault, Charge, FaultyBroker, FaultyChannel, FaultyClock, FaultyFeed, FeedFault, Fuse,
    FusedBroker, Side, Site, Spell, Step, Struck,
};
use crate::adapters::feeds::simulated::SimulatedMarket;
use crate::config::Configuration;
use crate::engine::driver::Ended;
use crate::ledger::{Gate, Ledger, LedgerError, OpenOptions, position, run_facts};
use crate::ports::{Broker, BrokerError, Channel, ChannelError, Clock, FillPage, Message};
use crate::wiring::{self, World};

/// The name of the ledger in a life's folder.
pub(super) const LEDGER: &str = "ledger.db";

/// How long a process that ended itself is away, as a service manager has it.
const RESTART_AFTER: Duration = Duration::from_secs(10);

/// Lives of the process in a life beyond which it does not come on any more.
const LIVES_MAX: u64 = 2_000;

/// What is left after the last session for everything to come to rest: longer than the longest pause between two
/// attempts at a message.
const REST: Duration = Duration::from_secs(3_600);

/// How one life of the process ended.
enum End {
    /// The sessions are over, or the watch has found something.
    Ended(Ended),
    /// It died at a call; by which fault.
    Died(usize),
    /// It gave up.
    Failed(anyhow::Error),
    /// It panicked outside of a job.
    Panicked(String),
}

/// What came of a life.
pub(super) struct Lived {
    pub(super) figures: Figures,
    /// The first promise that was broken.
    pub(super) failure: Option<Failure>,
    /// When a person stopped everything.
    pub(super) asked_at: Option<Timestamp>,
}

/// Lives a life.
pub(super) fn live(configuration: &Configuration, plan: &Plan, folder: &Path, day: &OnDay) -> anyhow::Result<Lived> {
    let mut around = Around::make(configuration, plan, folder)?;
    let mut figures = Figures { sessions: plan.sessions.len() as u64, ..Figures::default() };
    let until = around.until;
    let mut is_over = around.lives(configuration, day, until, &mut figures)?;
    if is_over {
        // Once more, with nothing left to do: what is late arrives, and a recovery changes nothing.
        let traded = around.watch.traded();
        is_over = around.lives(configuration, day, until.after(REST), &mut figures)?;
        if is_over && around.watch.traded() != traded {
            let found = format!("{traded:?} orders and fills before it, {:?} after it", around.watch.traded());
            around.watch.fail("a second recovery", vec![found]);
        }
    }
    let ledger = Ledger::open(&around.ledger, &OpenOptions::existing())?;
    if is_over {
        let taken = around.mailbox.taken();
        around.watch.at_rest(&ledger, &configuration.jobs, around.clock.wall(), &taken)?;
    }
    let (orders, fills) = around.watch.traded();
    let account = ledger.meta().account.clone();
    figures.runs = ledger.read(run_facts::last_run_id)?.unsigned_abs();
    figures.trades = ledger.read(|conn| {
        let positions = position::all(conn, &account)?;
        Ok(positions.iter().filter(|stored| stored.position.closed_at.is_some()).count() as u64)
    })?;
    (figures.orders, figures.fills) = (orders, fills);
    figures.messages = around.mailbox.taken().len() as u64;
    figures.audits = around.watch.audits();
    for number in around.struck.numbers() {
        if let Some(fault) = plan.faults.get(number) {
            *figures.faults.entry(fault.kind.name().to_owned()).or_default() += 1;
        }
    }
    Ok(Lived { figures, failure: around.watch.failure(), asked_at: around.watch.asked_at() })
}

/// A world, and what keeps count of it.
struct Around {
    ledger: PathBuf,
    until: Timestamp,
    clock: Arc<SimulatedClock>,
    fuse: Fuse,
    struck: Struck,
    /// How long the process is away after a fault has ended it.
    down: BTreeMap<usize, Duration>,
    disk: Arc<Disk>,
    mailbox: Arc<Mailbox>,
    watch: Arc<Watch>,
    world: World,
}

impl Around {
    fn make(configuration: &Configuration, plan: &Plan, folder: &Path) -> anyhow::Result<Self> {
        let settings = &configuration.settings;
        let calendar = settings.calendar();
        let (began, until) = plan.bounds(&calendar);
        let clock = Arc::new(SimulatedClock::new(began, Speed::Max));
        let time: Arc<dyn Clock> = clock.clone();
        let struck = Struck::default();
        let spells = Spells::of(plan);
        let fuse = Fuse::new(time.clone(), spells.charges, struck.clone());
        let market = Arc::new(SimulatedMarket::new(&settings.market.simulated, calendar.clone()));
        let ledger = folder.join(LEDGER);
        std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        let paper = Arc::new(PaperBroker::open(
            &ledger.with_extension("paper.db"),
            Durability::Kill,
            settings.execution.paper.clone(),
            market.clone(),
            time.clone(),
            calendar.clone(),
        )?);
        let mailbox = Arc::new(Mailbox::default());
        let hiding = Hiding { inner: paper.clone(), spells: spells.lost, struck: struck.clone() };
        let broker = FaultyBroker::new(Arc::new(hiding), time.clone(), spells.broker, struck.clone());
        let disk =
            Arc::new(Disk { clock: time.clone(), spells: spells.disk, struck: struck.clone(), fuse: fuse.clone() });
        let channel = FaultyChannel::new(mailbox.clone(), time.clone(), spells.channel, struck.clone(), fuse.clone());
        let waking = Waking::new(Arc::new(FaultyClock::new(time.clone(), spells.clock, struck.clone())));
        let world = World {
            clock: Arc::new(waking.clone()),
            feed: Arc::new(FaultyFeed::new(market, time.clone(), spells.feed, struck.clone(), fuse.clone())),
            broker: Arc::new(FusedBroker::new(Arc::new(broker), fuse.clone())),
            channel: Arc::new(channel),
            jobs: Arc::new(faulty_table(&spells.jobs, &fuse, &struck)),
            gate: disk.clone(),
            began,
            until,
            name: plan.name.clone(),
        };
        let watch =
            Arc::new(Watch::new(time, paper, calendar, plan.sessions.clone(), plan.asked.clone(), waking.clone()));
        Ok(Self { ledger, until, clock, fuse, struck, down: spells.down, disk, mailbox, watch, world })
    }

    /// Lives until an instant, through as many lives of the process as that takes; whether it came there.
    fn lives(
        &mut self,
        configuration: &Configuration,
        day: &OnDay,
        until: Timestamp,
        figures: &mut Figures,
    ) -> anyhow::Result<bool> {
        self.world.until = until;
        let mut away = Duration::ZERO;
        loop {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.life(configuration, day, away))));
            // With it goes everything that the process was about to do.
            drop(runtime);
            match lived.unwrap_or_else(|panic| End::Panicked(told(panic.as_ref()))) {
                End::Ended(_) if self.watch.failure().is_some() => return Ok(false),
                End::Ended(Ended::Finished) => return Ok(true),
                End::Ended(Ended::Stopped) => {
                    self.watch.fail("end", vec!["it stopped without being asked to".to_owned()])
                }
                End::Died(number) => {
                    figures.crashes += 1;
                    away = self.down.get(&number).copied().unwrap_or(RESTART_AFTER);
                    self.fuse.mend();
                }
                End::Failed(error) if self.disk.excuses(&error) => {
                    figures.restarts += 1;
                    away = RESTART_AFTER;
                }
                End::Failed(error) => self.watch.fail("error", vec![format!("the process gave up: {error:#}")]),
                End::Panicked(message) => self.watch.fail("panic", vec![format!("the process panicked: {message}")]),
            }
            if figures.crashes + figures.restarts > LIVES_MAX {
                self.watch.fail("lives", vec![format!("it was started {LIVES_MAX} times and is not through yet")]);
            }
            if self.watch.failure().is_some() {
                return Ok(false);
            }
        }
    }

    /// One life of the process, after it was away for a while.
    async fn life(&self, configuration: &Configuration, day: &OnDay, away: Duration) -> End {
        let lived = async {
            self.clock.sleep_until(self.clock.wall().after(away)).await;
            let wired = wiring::in_world(configuration, &self.ledger, self.world.clone()).await?;
            let stop = CancellationToken::new();
            let on_turn = {
                let (watch, parts, stop, day) = (self.watch.clone(), wired.parts.clone(), stop.clone(), day.clone());
                move || watch.turn(&parts, &day, &stop)
            };
            wiring::run(&wired, stop, Arc::new(on_turn)).await
        };
        tokio::select! {
            biased;
            number = self.fuse.blown() => End::Died(number),
            ended = lived => match ended {
                Ok(ended) => End::Ended(ended),
                Err(error) => End::Failed(error),
            },
        }
    }
}

/// What a panic said.
fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// A clock that can end the sleep that comes next after a second: on the system's clock the loop looks that often whether
/// somebody has asked for something, on a simulated one it sleeps until its next slot.
#[derive(Clone)]
pub(super) struct Waking {
    inner: Arc<dyn Clock>,
    is_due: Arc<AtomicBool>,
}

impl Waking {
    fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, is_due: Arc::default() }
    }

    /// Has the loop look within a second.
    pub(super) fn wake(&self) {
        self.is_due.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Waking {
    fn wall(&self) -> Timestamp {
        self.inner.wall()
    }

    fn wall_us(&self) -> i64 {
        self.inner.wall_us()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    async fn sleep_until(&self, instant: Timestamp) {
        let soon = self.inner.wall().after(Duration::from_secs(1));
        let woken = self.is_due.swap(false, Ordering::SeqCst);
        self.inner.sleep_until(if woken { instant.min(soon) } else { instant }).await;
    }
}

/// The faults of a plan, by what they are put around.
#[derive(Default)]
struct Spells {
    charges: Vec<Charge>,
    down: BTreeMap<usize, Duration>,
    feed: Vec<Spell<FeedFault>>,
    broker: Vec<Spell<BrokerFault>>,
    clock: Vec<Spell<Step>>,
    channel: Vec<Spell<ChannelFault>>,
    disk: Vec<Spell<DiskFault>>,
    jobs: Vec<(JobKind, Spell<JobFault>)>,
    lost: Vec<Spell<()>>,
}

impl Spells {
    fn of(plan: &Plan) -> Self {
        let mut spells = Self::default();
        for (number, fault) in plan.faults.iter().enumerate() {
            let (from, until) = (fault.from, fault.until);
            match fault.kind {
                FaultKind::Crash { site, nth, side, down } => {
                    spells.charges.push(Charge { number, from, site, nth, side });
                    spells.down.insert(number, down);
                }
                FaultKind::Feed(fault) => spells.feed.push(Spell { number, from, until, fault }),
                FaultKind::Broker(fault) => spells.broker.push(Spell { number, from, until, fault }),
                FaultKind::Clock { by_ms } => {
                    spells.clock.push(Spell { number, from, until, fault: Step { by_ms } });
                }
                FaultKind::Channel(fault) => spells.channel.push(Spell { number, from, until, fault }),
                FaultKind::Disk(fault) => spells.disk.push(Spell { number, from, until, fault }),
                FaultKind::Job { kind, fault } => spells.jobs.push((kind, Spell { number, from, until, fault })),
                FaultKind::LostFill => spells.lost.push(Spell { number, from, until, fault: () }),
            }
        }
        spells
    }
}

/// The ledger's disk: it is full, or the file is busy; and a process may end at a commit.
struct Disk {
    clock: Arc<dyn Clock>,
    spells: Vec<Spell<DiskFault>>,
    struck: Struck,
    fuse: Fuse,
}

impl Disk {
    fn fault(&self) -> Option<DiskFault> {
        let now = self.clock.wall();
        let spell = self.spells.iter().find(|spell| spell.holds_at(now))?;
        self.struck.note(spell.number);
        Some(spell.fault)
    }

    /// Whether a process may give up with this error: its ledger could not be written.
    fn excuses(&self, error: &anyhow::Error) -> bool {
        let of_disk = |cause: &(dyn std::error::Error + 'static)| {
            matches!(cause.downcast_ref::<LedgerError>(), Some(LedgerError::DiskFull | LedgerError::Busy))
        };
        self.fault().is_some() && error.chain().any(of_disk)
    }
}

#[async_trait]
impl Gate for Disk {
    async fn enter(&self) -> Result<(), LedgerError> {
        self.fuse.pass(Site::Commit, Side::Before).await;
        match self.fault() {
            Some(DiskFault::Full) => Err(LedgerError::DiskFull),
            Some(DiskFault::Busy) => Err(LedgerError::Busy),
            None => Ok(()),
        }
    }

    async fn leave(&self) {
        self.fuse.pass(Site::Commit, Side::After).await;
    }
}

/// A person who gets mail.
#[derive(Default)]
struct Mailbox(Mutex<BTreeSet<String>>);

impl Mailbox {
    /// The keys of the messages that arrived.
    fn taken(&self) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Channel for Mailbox {
    fn name(&self) -> &str {
        "mailbox"
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(message.key.clone());
        Ok("taken".to_owned())
    }
}

/// A broker that keeps some executions to itself: a promise that is broken on purpose.
struct Hiding {
    inner: Arc<dyn Broker>,
    spells: Vec<Spell<()>>,
    struck: Struck,
}

#[async_trait]
impl Broker for Hiding {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.inner.account().await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.inner.positions().await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.inner.open_orders().await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.inner.orders_by_client_id(id).await
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.inner.orders(broker_order_ids).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.inner.submit(ticket).await
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        self.inner.cancel(broker_order_id).await
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.inner.replace_stop(broker_order_id, stop).await
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        let mut page = self.inner.fills(cursor).await?;
        for spell in &self.spells {
            let before = page.fills.len();
            page.fills.retain(|fill| !spell.holds_at(fill.at));
            if page.fills.len() < before {
                self.struck.note(spell.number);
            }
        }
        Ok(page)
    }
}
