//! The outbox's worker: takes what is due from the ledger, writes the message, hands it to its channel
//! and records what came of it.
//!
//! Nothing here delays trading. On the system's clock [`Outbox::run`] is a task of its own; each channel
//! delivers one message after another, and none waits for another channel. On a simulated clock the
//! driver calls [`Outbox::deliver_due`] in its turn, and the waits between attempts follow from the
//! delivery alone, so that the same days give the same rows.
//!
//! On a channel that people read, notes that are due together go out as one message, and no more in an hour than
//! is wanted (`claim`, `pacing`). What is critical never waits, and where nobody acknowledges it others are told. Where a channel gives up, the others tell of it.
//!
//! Delivery is at least once. A message keeps its key through every attempt, and says from the second
//! on that it may be a repetition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, RwLock};
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent, AlertLevel};
use daybook_core::report::{DAY_ENDED, WEEK_ENDED};
use daybook_core::time::Timestamp;
use rusqlite::Transaction;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::claim::Messages;
use crate::digest::{DigestError, Templates, alert_message, day_message, group_message, inert, week_message};
use crate::ledger::alert::{self, Delivery, Lost, MUTE_MAX, Routes};
use crate::ledger::{Ledger, LedgerError, equity, week};
use crate::ports::{Channel, ChannelError, Clock, Message};

/// Deliveries that an alert of those that were given up names.
const LISTED_MAX: usize = 20;
/// Batches of one call of [`Outbox::deliver_due`].
const ROUNDS_MAX: u32 = 64;
/// Attempts before a delivery is given up: with the waits below, about five hours. A mail server that is
/// away for longer is a person's business, and the folder has every mail.
const ATTEMPTS_MAX: u32 = 50;
/// The wait's bound after the first attempt; it doubles with each.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest bound.
const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);
/// An attempt that takes longer is given up, whatever its channel's own limits are.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// The longest sleep between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// What the deliveries under way may still take when the process is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What a call of [`Outbox::deliver_due`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliverySummary {
    /// Messages that their channel took.
    pub sent: u32,
    /// Attempts that failed and are made again.
    pub failed: u32,
    /// Deliveries that were given up.
    pub dead: u32,
    /// When the next one is due; `None` if nothing waits.
    pub next_at: Option<Timestamp>,
}

/// What is done besides sending.
#[derive(Clone, Default)]
pub struct Policy {
    /// Who is told that a channel has given up.
    pub routes: Routes,
    /// Who is told of what is critical and nobody acknowledges; `None`: nobody.
    pub escalation: Option<Routes>,
    /// The channel that tells what another could not, and what is critical as soon as another fails.
    pub fallback: Option<String>,
    /// How many messages a channel gets that people read.
    pub pace: Pace,
    /// The words of alerts.
    pub templates: Templates,
}

impl Policy {
    /// The longest that a note waits for others.
    fn gather(&self) -> Duration {
        self.routes.channels.iter().map(|route| route.gather).max().unwrap_or_default()
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Sent,
    Failed,
    Dead,
}

/// What an attempt came to.
struct Attempted {
    outcome: Outcome,
    /// Until when the service wants nothing at all.
    muted_until: Option<Timestamp>,
}

impl From<Outcome> for Attempted {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, muted_until: None }
    }
}

/// Sends what stands in the ledger's outbox. A clone is the same worker.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    /// Replaced as a whole: an attempt keeps the channel that it began with.
    setup: RwLock<Arc<Setup>>,
    busy: StdMutex<BTreeSet<String>>,
    wake: Notify,
    /// Whether what waits may have to wait differently: the settings are others, or may be since another process.
    is_changed: AtomicBool,
    /// Whether its channels may be others since: then none of them has asked for a pause.
    is_replaced: AtomicBool,
    /// Held while something is taken from the ledger.
    taking: Mutex<()>,
}

/// Who is told, and how.
struct Setup {
    /// By name. The lock is held for an attempt: a channel delivers one message after another.
    channels: BTreeMap<String, Mutex<Arc<dyn Channel>>>,
    /// The channels that people read as it comes in.
    chats: Vec<String>,
    /// The channels that keep conditions.
    pagers: Vec<String>,
    policy: Policy,
}

impl Setup {
    fn new(channels: Vec<Arc<dyn Channel>>, policy: Policy) -> Arc<Self> {
        let named = |is_one: fn(&dyn Channel) -> bool| {
            channels
                .iter()
                .filter(|channel| is_one(channel.as_ref()))
                .map(|channel| channel.name().to_owned())
                .collect()
        };
        let (chats, pagers) = (named(|channel| channel.is_chat()), named(|channel| channel.keeps_conditions()));
        let channels = channels.into_iter().map(|channel| (channel.name().to_owned(), Mutex::new(channel))).collect();
        Arc::new(Self { channels, chats, pagers, policy })
    }

    fn fallback_of(&self, channel: &str) -> Option<String> {
        self.policy.fallback.clone().filter(|fallback| fallback != channel)
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("channels", &self.channel_names()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// A worker for `channels`, each under its own name.
    #[must_use]
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>, channels: Vec<Arc<dyn Channel>>, policy: Policy) -> Self {
        let setup = RwLock::new(Setup::new(channels, policy));
        Self {
            shared: Arc::new(Shared {
                ledger,
                clock,
                setup,
                busy: StdMutex::default(),
                wake: Notify::new(),
                is_changed: AtomicBool::new(true),
                is_replaced: AtomicBool::new(false),
                taking: Mutex::default(),
            }),
        }
    }

    /// Puts other channels in the place of those there are. What is being delivered goes its way; what waits goes the
    /// new one, and [`run`](Self::run) has it wait as the new settings have it.
    pub fn change(&self, channels: Vec<Arc<dyn Channel>>, policy: Policy) {
        *self.shared.setup.write().unwrap_or_else(PoisonError::into_inner) = Setup::new(channels, policy);
        self.shared.is_replaced.store(true, Ordering::Release);
        self.shared.is_changed.store(true, Ordering::Release);
        self.nudge();
    }

    /// Keeps what waits from being taken, as long as the guard lives: what is written meanwhile may be for channels that
    /// come into force with it.
    pub async fn hold(&self) -> MutexGuard<'_, ()> {
        self.shared.taking.lock().await
    }

    /// The names of the channels: those for which a delivery is committed with each alert.
    #[must_use]
    pub fn channel_names(&self) -> Vec<String> {
        self.shared.setup().channels.keys().cloned().collect()
    }

    /// Has [`run`](Self::run) look at once, as it does after each commit: its channels are others.
    pub fn nudge(&self) {
        self.shared.wake.notify_one();
    }

    /// Delivers everything that is due at `now`, and returns when every attempt has ended.
    ///
    /// # Errors
    /// If the ledger cannot be read or written. What a channel says is an outcome, not an error.
    pub async fn deliver_due(&self, now: Timestamp) -> Result<DeliverySummary, LedgerError> {
        let mut summary = DeliverySummary::default();
        for round in 1.. {
            let mut tasks = JoinSet::new();
            // Where all that was due was put back, it may have brought forward what it waits for.
            let is_idle = !self.start_due(&mut tasks, now).await?;
            if is_idle {
                break;
            }
            while let Some(ended) = tasks.join_next().await {
                for outcome in settled(ended)? {
                    match outcome {
                        Outcome::Sent => summary.sent += 1,
                        Outcome::Failed => summary.failed += 1,
                        Outcome::Dead => summary.dead += 1,
                    }
                }
            }
            if round == ROUNDS_MAX {
                tracing::warn!(rounds = ROUNDS_MAX, "outbox.crowded: the rest waits for the next turn");
                break;
            }
        }
        summary.next_at = self.shared.next_due_at(&[])?;
        Ok(summary)
    }

    /// Delivers what becomes due, until `stop`.
    ///
    /// # Errors
    /// If the ledger cannot be read or written; the caller starts it again.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), LedgerError> {
        let mut tasks = JoinSet::new();
        loop {
            let now = self.shared.clock.wall();
            self.release(now).await?;
            self.start_due(&mut tasks, now).await?;
            let next_at = self.shared.next_due_at(&self.shared.busy())?;
            let look_by = now.after(LOOK_EVERY);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => drop(settled(ended)?),
                () = self.shared.wake.notified() => {}
                // Whoever has raised an alert, in whatever transaction.
                () = self.shared.ledger.committed() => {}
                () = self.shared.clock.sleep_until(next_at.map_or(look_by, |due| due.min(look_by))) => {}
            }
        }
        let drain = async {
            while let Some(ended) = tasks.join_next().await {
                settled(ended)?;
            }
            Ok(())
        };
        // What does not end in time stays `sending` in the ledger, and is sent again after the next start.
        tokio::time::timeout(DRAIN, drain).await.unwrap_or(Ok(()))
    }

    /// Has what waits for the end of quiet hours, or of an hour that was full, wait as the settings in force have it.
    async fn release(&self, now: Timestamp) -> Result<(), LedgerError> {
        if !self.shared.is_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let _taking = self.shared.taking.lock().await;
        let setup = self.shared.setup();
        let is_replaced = self.shared.is_replaced.swap(false, Ordering::AcqRel);
        let release = move |tx: &Transaction<'_>| {
            if is_replaced {
                setup.channels.keys().try_for_each(|channel| alert::unmute(tx, channel, now))?;
            }
            alert::release(tx, &setup.policy.routes, now)
        };
        let released = self.shared.ledger.write(release).await;
        if released.is_err() {
            self.shared.is_replaced.fetch_or(is_replaced, Ordering::AcqRel);
            self.shared.is_changed.store(true, Ordering::Release);
        }
        released.map(drop)
    }

    /// Claims a batch of what is due, and starts a task for each of its channels. One that is still busy is left alone:
    /// it may hang as long as it likes, and keeps nothing from the others. The answer is whether anything was due.
    async fn start_due(&self, tasks: &mut Tasks, now: Timestamp) -> Result<bool, LedgerError> {
        let _taking = self.shared.taking.lock().await;
        let busy = self.shared.busy();
        if self.shared.next_due_at(&busy)?.is_none_or(|due| due > now) {
            return Ok(false); // a look costs no write
        }
        let due = self.shared.claim(busy, now).await?;
        crash_point!("outbox.sending");
        for (channel, messages) in due {
            let shared = Arc::clone(&self.shared);
            let until_ended = Busy::begin(&shared, channel);
            tasks.spawn(async move {
                let _until_ended = until_ended;
                shared.attempt_all(messages).await
            });
        }
        Ok(true)
    }
}

type Tasks = JoinSet<Result<Vec<Outcome>, LedgerError>>;

/// What a task came to. One that panicked has left its deliveries `sending`: the next start releases them.
fn settled(ended: Result<Result<Vec<Outcome>, LedgerError>, JoinError>) -> Result<Vec<Outcome>, LedgerError> {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "outbox.panicked: its messages are sent after the next start");
        Ok(Vec::new())
    })
}

/// A channel that delivers something, as long as this lives.
struct Busy {
    shared: Arc<Shared>,
    channel: String,
}

impl Busy {
    fn begin(shared: &Arc<Shared>, channel: String) -> Self {
        shared.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(channel.clone());
        Self { shared: Arc::clone(shared), channel }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.channel);
    }
}

impl Shared {
    fn setup(&self) -> Arc<Setup> {
        self.setup.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn claim(&self, busy: Vec<String>, now: Timestamp) -> Result<Messages, LedgerError> {
        let setup = self.setup();
        self.ledger.write(move |tx| claim::claim(tx, &setup, &busy, now)).await
    }

    fn next_due_at(&self, busy: &[String]) -> Result<Option<Timestamp>, LedgerError> {
        self.ledger.read(|conn| alert::next_due_at(conn, busy))
    }

    /// Makes an attempt at each of a channel's messages, one after another. Once the service wants nothing for a while,
    /// the rest is put back.
    async fn attempt_all(&self, messages: Vec<Vec<Delivery>>) -> Result<Vec<Outcome>, LedgerError> {
        let mut outcomes = Vec::new();
        let mut left = messages.into_iter();
        while let Some(deliveries) = left.next() {
            let Attempted { outcome, muted_until } = self.attempt(&deliveries).await?;
            outcomes.extend(std::iter::repeat_n(outcome, deliveries.len()));
            if let Some(until) = muted_until {
                let back: Vec<Delivery> = left.flatten().collect();
                let fallback = deliveries.first().and_then(|first| self.setup().fallback_of(&first.channel));
                let now = self.clock.wall();
                let put_back =
                    move |tx: &Transaction<'_>| claim::leave_alone(tx, back, until, fallback.as_deref(), now);
                let tests: Vec<Vec<Delivery>> =
                    self.ledger.write(put_back).await?.into_iter().map(|test| vec![test]).collect();
                left = tests.into_iter();
            }
            let pause = match deliveries.first() {
                // Also after the last: the channel is not free before.
                Some(first) => self.pause_of(&first.channel).await,
                None => Duration::ZERO,
            };
            if !pause.is_zero() {
                self.clock.sleep_until(self.clock.wall().after(pause)).await;
            }
        }
        Ok(outcomes)
    }

    /// What a channel's service wants between two messages.
    async fn pause_of(&self, channel: &str) -> Duration {
        match self.setup().channels.get(channel) {
            Some(channel) => channel.lock().await.pause(),
            None => Duration::ZERO,
        }
    }

    /// The channels that deliver something right now.
    fn busy(&self) -> Vec<String> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Makes one attempt at a message, which may be several deliveries, and records its end.
    async fn attempt(&self, deliveries: &[Delivery]) -> Result<Attempted, LedgerError> {
        let Some(first) = deliveries.first() else { return Ok(Outcome::Sent.into()) };
        let ids: Vec<i64> = deliveries.iter().map(|delivery| delivery.delivery_id).collect();
        let (id, attempt) = (first.delivery_id, first.attempts);
        let setup = self.setup();
        let Some(channel) = setup.channels.get(&first.channel) else {
            let error = format!("no channel \"{}\" is configured", first.channel);
            return self.give_up(deliveries, error).await;
        };
        let message = match deliveries {
            [delivery] => self.message(delivery).await?,
            _ => group(deliveries),
        };
        let message = inert(message);
        crash_point!("deliver.before");
        let answer = {
            let channel = channel.lock().await;
            tokio::time::timeout(ATTEMPT_TIMEOUT, channel.deliver(&message)).await
        };
        crash_point!("deliver.after");
        let error = match answer {
            Ok(Ok(receipt)) => {
                let now = self.clock.wall();
                tracing::info!(
                    delivery_id = id,
                    channel = first.channel,
                    attempt,
                    messages = ids.len(),
                    "delivery.sent"
                );
                // Those are tried while a service wants nothing: now it does.
                let unmuted =
                    (first.is_test() || first.alert.alert.level == AlertLevel::Critical).then(|| first.channel.clone());
                self.ledger
                    .write(move |tx| {
                        ids.iter().try_for_each(|id| alert::mark_sent(tx, *id, &receipt, now))?;
                        unmuted.iter().try_for_each(|channel| alert::unmute(tx, channel, now))
                    })
                    .await?;
                crash_point!("outbox.sent");
                return Ok(Outcome::Sent.into());
            }
            Ok(Err(error)) => error,
            Err(_) => ChannelError::Transient {
                channel: first.channel.clone(),
                reason: format!("no end after {} s; it may have been delivered", ATTEMPT_TIMEOUT.as_secs()),
                after: None,
            },
        };
        match error {
            ChannelError::Permanent { .. } => self.give_up(deliveries, error.to_string()).await,
            ChannelError::Transient { .. } if attempt >= ATTEMPTS_MAX => {
                self.give_up(deliveries, format!("{error} (after {attempt} attempts)")).await
            }
            ChannelError::Transient { after, .. } => {
                let error = error.to_string();
                tracing::warn!(delivery_id = id, channel = first.channel, attempt, error, "delivery.failed");
                let wait = backoff(id, attempt).max(after.unwrap_or_default());
                let now = self.clock.wall();
                let not_before = now.after(wait);
                let muted_until = after.filter(|after| !after.is_zero()).map(|after| now.after(after.min(MUTE_MAX)));
                let channel = first.channel.clone();
                let critical = first.alert.alert.level == AlertLevel::Critical;
                let fallback = setup.fallback_of(&first.channel).filter(|_| critical);
                let alert_id = first.alert.alert_id;
                self.ledger
                    .write(move |tx| {
                        ids.iter().try_for_each(|id| alert::mark_failed(tx, *id, &error, not_before))?;
                        muted_until.iter().try_for_each(|until| alert::mute(tx, &channel, *until, now))?;
                        fallback.iter().try_for_each(|fallback| alert::fall_back(tx, alert_id, fallback, now))
                    })
                    .await?;
                self.wake.notify_one();
                Ok(Attempted { outcome: Outcome::Failed, muted_until })
            }
        }
    }

    /// Gives deliveries up: the other channels tell of it, and the fallback delivers what is lost.
    async fn give_up(&self, deliveries: &[Delivery], error: String) -> Result<Attempted, LedgerError> {
        let Some(first) = deliveries.first() else { return Ok(Outcome::Dead.into()) };
        tracing::error!(
            delivery_id = first.delivery_id,
            channel = first.channel,
            attempt = first.attempts,
            messages = deliveries.len(),
            error,
            "delivery.dead: `trade notify retry` tries it again"
        );
        let setup = self.setup();
        let routes = setup.policy.routes.without(&first.channel);
        let now = self.clock.wall();
        let fallback = setup.fallback_of(&first.channel);
        let (channel, dead) = (first.channel.clone(), deliveries.to_vec());
        self.ledger
            .write(move |tx| {
                let told = alert_of_dead(&dead, &error, alert::lost(tx, &channel)?);
                for delivery in &dead {
                    alert::mark_dead(tx, delivery.delivery_id, &error)?;
                    if let Some(fallback) = &fallback {
                        alert::fall_back(tx, delivery.alert.alert_id, fallback, now)?;
                    }
                }
                if let Some(told) = &told {
                    alert::raise(tx, None, told, &routes, now)?;
                }
                Ok(())
            })
            .await?;
        self.wake.notify_one();
        Ok(Outcome::Dead.into())
    }

    /// Writes the message: a day's or a week's alert becomes the whole digest, drawn from the report as it is stored.
    async fn message(&self, delivery: &Delivery) -> Result<Message, LedgerError> {
        let stored = &delivery.alert;
        if stored.alert.event == AlertEvent::AlertAcknowledged.as_str() {
            let settled = self.ledger.read(|conn| alert::settled_by(conn, stored.alert_id, &delivery.channel))?;
            return Ok(Message { settled, ..self.worded(delivery).await });
        }
        match self.digest(delivery).await? {
            Some(digest) => Ok(digest),
            None => Ok(self.worded(delivery).await),
        }
    }

    /// An alert in its words.
    async fn worded(&self, delivery: &Delivery) -> Message {
        let stored = &delivery.alert;
        let (id, key, attempt) = (stored.alert_id, &delivery.message_id, delivery.attempts);
        let message = alert_message(id, &stored.alert, stored.at, key, attempt);
        self.setup().policy.templates.worded(message, &stored.alert, &delivery.channel).await
    }

    /// The digest that an alert becomes; `None` if it becomes none, or its page cannot be drawn.
    async fn digest(&self, delivery: &Delivery) -> Result<Option<Message>, LedgerError> {
        let stored = &delivery.alert;
        let Some(run_id) = stored.run_id else { return Ok(None) };
        let (key, attempt) = (delivery.message_id.clone(), delivery.attempts);
        let write: Box<dyn FnOnce() -> Result<Message, DigestError> + Send> = match stored.alert.event.as_str() {
            DAY_ENDED => match self.ledger.read(|conn| equity::day_of_run(conn, run_id))? {
                Some(day) => Box::new(move || day_message(&day, &key, attempt)),
                None => return Ok(None),
            },
            WEEK_ENDED => match self.ledger.read(|conn| week::of_run(conn, run_id))? {
                Some(week) => Box::new(move || week_message(&week, &key, attempt)),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        // Drawing takes a while; other tasks of this thread must not wait for it.
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(message)) => Ok(Some(message)),
            Ok(Err(error)) => {
                tracing::error!(%error, run_id, "digest.failed: its alert is sent alone");
                Ok(None)
            }
            Err(error) => {
                tracing::error!(%error, run_id, "digest.failed: its alert is sent alone");
                Ok(None)
            }
        }
    }
}

/// One message for several deliveries. Its key follows from them: the same ones have the same.
fn group(deliveries: &[Delivery]) -> Message {
    let alerts: Vec<(&Alert, Timestamp)> =
        deliveries.iter().map(|delivery| (&delivery.alert.alert, delivery.alert.at)).collect();
    let first = deliveries.first().map_or("", |delivery| delivery.message_id.as_str());
    let attempt = deliveries.iter().map(|delivery| delivery.attempts).max().unwrap_or(1);
    let held_back = deliveries.iter().filter(|delivery| delivery.was_held_back()).count();
    group_message(&alerts, held_back, &format!("{first}-and-{}", deliveries.len() - 1), attempt)
}

/// What the other channels tell of deliveries that were given up. That such an alert is itself given up is told no
/// further: it would go round for ever. A channel that stays dead is told of once, and again when it has lost ten times
/// as many messages, or a more serious one.
fn alert_of_dead(deliveries: &[Delivery], error: &str, before: Lost) -> Option<Alert> {
    let of_dead = AlertEvent::DeliveryDead.as_str();
    let lost: Vec<&Delivery> = deliveries.iter().filter(|delivery| delivery.alert.alert.event != of_dead).collect();
    let (first, others) = lost.split_first()?;
    let level = lost.iter().map(|delivery| delivery.alert.alert.level).max()?;
    let in_all = before.count.saturating_add(u32::try_from(lost.len()).unwrap_or(u32::MAX));
    let is_known = before.count > 0 && level <= before.level && in_all.ilog10() == before.count.ilog10();
    if is_known {
        return None;
    }
    let channel = &first.channel;
    let subject = match (before.count, others.len()) {
        (0, 0) => format!("{channel} could not deliver: {}", first.alert.alert.subject),
        (0, others) => format!("{channel} could not deliver {} messages", others + 1),
        (_, _) => format!("{channel} could not deliver {in_all} messages since it delivered one"),
    };
    let listed = lost.iter().take(LISTED_MAX).map(|delivery| {
        let told = &delivery.alert.alert;
        format!("{}  {}: {}", delivery.delivery_id, told.level.as_str(), told.subject)
    });
    let body = [error.to_owned()].into_iter().chain(listed).collect::<Vec<_>>().join("\n");
    Some(Alert::new(AlertEvent::DeliveryDead, subject).at_level(level.max(AlertLevel::Warning)).with_body(body))
}

/// The wait after a failed attempt: full jitter, from a second up to a bound that doubles from
/// [`BACKOFF_FIRST`] to [`BACKOFF_MAX`]. The jitter follows from the delivery, so that a simulated day repeats.
fn backoff(delivery_id: i64, attempt: u32) -> Duration {
    let bound = BACKOFF_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(BACKOFF_MAX);
    let draw = u32::try_from(mixed(delivery_id.cast_unsigned() ^ (u64::from(attempt) << 40)) >> 48).unwrap_or(0);
    BACKOFF_FIRST + (bound - BACKOFF_FIRST) * draw / u32::from(u16::MAX)
}

/// Spreads a number over all 64 bits (the finalizer of SplitMix64, Steele, Lea and Flood 2014).
const fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

mod claim;
mod pacing;

pub use pacing::Pace;

#[cfg(test)]
mod tests;
