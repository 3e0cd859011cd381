//! The traits for what Daybook does not control: the clock, the market's data, models, the broker, and the
//! channels on which people are told.
//!
//! Adapters implement them; the engine and the jobs see nothing else. A port's errors are classed by
//! what may be done next, never by what went wrong in some protocol.

use std::time::Duration;

use async_trait::async_trait;
use daybook_core::alert::{AlertLevel, Settled};
use daybook_core::analysis::ModelQuestion;
use daybook_core::calendar::Calendar;
use daybook_core::market::{Bar, CorporateAction, Quote, Symbol};
use daybook_core::money::{Bps, Price};
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Fill, Order, OrderTicket};
use daybook_core::risk::Approved;
use daybook_core::time::{SessionDate, Span, Timestamp};
use secrecy::SecretString;
use tokio::sync::Notify;

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock. It may step, in both directions.
    fn wall(&self) -> Timestamp;
    /// The wall clock in microseconds since 1970-01-01T00:00:00Z, where lateness is measured.
    fn wall_us(&self) -> i64;
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;
    /// Returns once the wall clock has reached `instant`; at once if it has.
    async fn sleep_until(&self, instant: Timestamp);
    /// As [`sleep_until`](Self::sleep_until) where nothing is due at `instant`: it may return some milliseconds after it,
    /// and costs less.
    async fn rest_until(&self, instant: Timestamp) {
        self.sleep_until(instant).await;
    }
}

/// What went wrong at a feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// It may work later.
    #[error("{feed}: {reason}")]
    Retryable { feed: String, reason: String },
    /// It will not work as asked.
    #[error("{feed}: {reason}")]
    Rejected { feed: String, reason: String },
}

/// Where bars and quotes come from.
///
/// A feed never answers with what was not known at `as_of`: a bar is there once it is complete.
#[async_trait]
pub trait MarketFeed: Send + Sync {
    /// The feed's name, as it stands with the facts: `simulated`, `files`.
    fn name(&self) -> &str;
    /// Every symbol it can tell of.
    async fn universe(&self) -> Result<Vec<SymbolInfo>, FeedError>;
    /// One-minute bars with `from <= start` that were complete at `as_of`, in order, as they were traded. Extended
    /// hours are included.
    async fn minute_bars(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<Bar>, FeedError>;
    /// One bar a session (regular hours) for the last `sessions` sessions that ended before `before`, in order and in
    /// the shares of `before`: splits since then are taken out, and dividends where the feed knows of them.
    async fn daily_bars(&self, symbol: Symbol, sessions: usize, before: SessionDate) -> Result<Vec<Bar>, FeedError>;
    /// Splits and dividends with `after < ex_date <= through` that minute bars from before them still have in them,
    /// in order. A feed that takes them out of its minutes, or knows of none, has none.
    async fn corporate_actions(
        &self,
        symbol: Symbol,
        after: SessionDate,
        through: SessionDate,
    ) -> Result<Vec<CorporateAction>, FeedError> {
        let _ = (symbol, after, through);
        Ok(Vec::new())
    }
    /// The quote in force at `as_of`, with its own instant; `None` if there is none.
    async fn quote(&self, symbol: Symbol, as_of: Timestamp) -> Result<Option<Quote>, FeedError>;
    /// News items of the symbol published in `(from, as_of]`, in order.
    async fn news(&self, symbol: Symbol, from: Timestamp, as_of: Timestamp) -> Result<Vec<NewsItem>, FeedError>;
}

/// What a feed knows of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SymbolInfo {
    /// The symbol.
    pub symbol: Symbol,
    /// Its sector; `-` where unknown.
    pub sector: String,
}

/// A headline.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewsItem {
    /// When it was published.
    pub at: Timestamp,
    /// Its text.
    pub headline: String,
}

/// Why a model gave no score.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScorerError {
    /// It took too long, and was given up.
    #[error("{scorer}: no answer within {within}")]
    TimedOut { scorer: String, within: Span },
    /// It was not asked: the calls that are allowed are used up.
    #[error("the budget is used up: {limit}")]
    OverBudget { limit: String },
    /// What it answered is no score.
    #[error("{scorer} answered {found}; expected {expected}")]
    Nonsense { scorer: String, found: String, expected: &'static str },
    /// It cannot be asked, or failed.
    #[error("{scorer}: {reason}")]
    Unavailable { scorer: String, reason: String },
}

/// What a model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// -100 % (a fall) to 100 % (a rise).
    pub score: Bps,
    /// Its grounds, in a few words; may be empty.
    pub rationale: String,
    /// What the model calls itself, such as its version.
    pub version: Option<String>,
}

/// A model: somebody outside who says what he makes of a symbol.
///
/// A call may take long, and may be given up: dropped, it leaves nothing behind that goes on working. It is asked by
/// live runs alone; a run that is decided again has the answer among its facts.
#[async_trait]
pub trait Scorer: Send + Sync {
    /// The model's name in the configuration.
    fn name(&self) -> &str;
    /// Asks about one symbol.
    async fn score(&self, question: &ModelQuestion) -> Result<Score, ScorerError>;
}

/// What went wrong at a broker, classed by what may be done next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum BrokerError {
    /// Nothing happened at the broker; the same call may be made again.
    #[error("{broker}: {reason}")]
    Retryable { broker: String, reason: String },
    /// The broker has said no, and will say no again.
    #[error("{broker} refuses: {reason}")]
    Rejected { broker: String, reason: String },
    /// The order id was used before. Look it up: it may be this very order.
    #[error("{broker}: client order id {client_order_id} exists")]
    Duplicate { broker: String, client_order_id: ClientOrderId },
    /// Nobody knows whether it happened: look it up, never send it again blindly.
    #[error("{broker}: outcome unknown: {reason}")]
    Unknown { broker: String, reason: String },
}

/// A page of fills and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FillPage {
    /// In the order of the broker's own record.
    pub fills: Vec<Fill>,
    /// Opaque; stored in the transaction that stores the page.
    pub cursor: String,
    /// Whether another page is there already.
    pub more: bool,
}

/// Who holds the account.
#[async_trait]
pub trait Broker: Send + Sync {
    /// The broker's name, for people: `paper`.
    fn name(&self) -> &str;
    /// The account's figures.
    async fn account(&self) -> Result<Account, BrokerError>;
    /// Everything the account holds.
    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError>;
    /// Orders that are not terminal, legs listed on their own after their parent.
    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError>;
    /// The order sent under `id`, followed by its legs; empty if the broker has never seen it.
    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError>;
    /// The orders with these broker ids, whatever their state; unknown ids are left out.
    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError>;
    /// Sends an order. The answer is the order followed by its legs.
    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError>;
    /// Whether limit orders can trade before the regular open and after the close.
    fn trades_extended_hours(&self) -> bool {
        false
    }
    /// Sends a simple limit order that may trade outside regular hours, too, where the broker has them.
    async fn submit_for_extended_hours(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.submit(ticket).await
    }
    /// Asks for a cancel of an order and its group. Accepted is not canceled: look at the order.
    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError>;
    /// Moves the stop price of a resting stop order. The answer is the order in force afterwards.
    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError>;
    /// Fills after `cursor` (`None`: from the beginning).
    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError>;
    /// Notifies `happened` whenever something may have happened in the account, and once when it begins to listen;
    /// returns when it cannot listen any more. It is a hint and no fact: what happened is read from the broker. A
    /// broker that cannot tell never returns.
    async fn listen(&self, happened: &Notify) -> Result<(), BrokerError> {
        let _ = happened;
        std::future::pending().await
    }
    /// What of the broker's ground is not ours, a line each for a person: its clock, its sessions, blocks on the
    /// account.
    async fn disagreements(&self, calendar: &Calendar) -> Result<Vec<String>, BrokerError> {
        let _ = calendar;
        Ok(Vec::new())
    }
}

/// What went wrong on a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// It may work later; `after` is the service's own wish.
    #[error("{channel}: {reason}")]
    Transient { channel: String, reason: String, after: Option<Duration> },
    /// It will not work until somebody changes something.
    #[error("{channel}: {reason}")]
    Permanent { channel: String, reason: String },
}

/// A message as a channel gets it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// The same for every attempt: what the receiver may deduplicate by.
    pub key: String,
    /// Its name as a file's: `2026-11-16-daily`.
    pub name: String,
    /// What it belongs together with, the session: mail readers show a thread.
    pub thread: String,
    /// Which attempt it is, from 1: from 2 on the message says that it may be a repetition.
    pub attempt: u32,
    /// How much it matters.
    pub level: AlertLevel,
    /// What happened: the name of an alert's event.
    pub event: String,
    /// What it concerns, if it is about one symbol.
    pub symbol: Option<Symbol>,
    /// One line.
    pub subject: String,
    /// What a chat shows below the subject: the rest in some lines of plain text; may be empty.
    pub summary: String,
    /// All of it as plain text, the subject included.
    pub text: String,
    /// The same as a page, where there is one.
    pub html: Option<String>,
    /// Pictures that the page refers to as `cid:NAME`: name and PNG bytes.
    pub pictures: Vec<(String, Vec<u8>)>,
    /// What it settles: a pager closes these.
    pub settled: Vec<Settled>,
    /// When it was written.
    pub at: Timestamp,
}

/// An error of the world outside with everything that caused it, in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}

/// Something that a chat's service has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatUpdate {
    /// The service's own number of it; later ones are higher.
    pub number: i64,
    /// What a person wrote; `None`: it is something else, and only its number counts.
    pub message: Option<ChatMessage>,
}

/// What a person wrote in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// When, by the service's clock.
    pub at: Timestamp,
    /// Where, and where the answer goes.
    pub chat: String,
    /// Whether nobody else reads along.
    pub is_private: bool,
    /// Who.
    pub sender: String,
    /// What: a word and what belongs to it.
    pub text: String,
    /// What a person writes there before a word: `/`, or `/daybook ` where one command takes them all.
    pub prefix: String,
}

/// A chat in which people ask the program for something, and which is asked for what they wrote.
#[async_trait]
pub trait ControlChat: Send + Sync {
    /// The channel's name in the configuration: `telegram`.
    fn name(&self) -> &str;
    /// Waits a while for what came after a number (`None`: after nothing), in order; empty if nothing did. The service
    /// may forget what came before.
    async fn updates(&self, after: Option<i64>) -> Result<Vec<ChatUpdate>, ChannelError>;
    /// Says something in a chat, as plain text.
    async fn say(&self, chat: &str, text: &str) -> Result<(), ChannelError>;
}

/// A call that a chat's service makes over HTTP, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCall {
    /// The header that signs it; empty: there is none.
    pub signature: String,
    /// The header that says when it was made; it is signed, too.
    pub timestamp: String,
    /// Its body, to the byte.
    pub body: Vec<u8>,
}

/// The headers of a service's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallHeaders {
    /// The one that holds [`ServiceCall::signature`].
    pub signature: &'static str,
    /// The one that holds [`ServiceCall::timestamp`].
    pub timestamp: &'static str,
}

/// What a service calls for.
#[derive(Debug)]
pub enum Called {
    /// It asks whether somebody is there: this is the reply.
    Probe(String),
    /// Somebody has written something.
    Asked(CalledMessage),
}

/// What a person wrote, as a service's call brings it.
#[derive(Debug)]
pub struct CalledMessage {
    /// The call's number: with the message's instant it is that of this call alone, and of its repetitions.
    pub number: i64,
    /// What was written.
    pub message: ChatMessage,
    /// Where an answer goes that comes after the reply. Whoever has it can speak there; it holds for some minutes.
    pub back: Option<SecretString>,
}

/// Why a call is not listened to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    /// It is not the service's.
    #[error("it is not signed by the service")]
    Unsigned,
    /// It may be the service's, and is another time's.
    #[error("it was made at another time ({off_s} s away): it is a repetition, or a clock is wrong")]
    Stale {
        /// How far away, in seconds.
        off_s: u64,
    },
    /// It is the service's, and nothing that is understood.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// A chat whose service calls: what a person writes is a call over HTTP, which the service has signed.
#[async_trait]
pub trait CallingChat: Send + Sync {
    /// The channel's name in the configuration: `slack`.
    fn name(&self) -> &str;
    /// Where its calls are signed.
    fn headers(&self) -> CallHeaders;
    /// Reads a call of the service.
    fn read(&self, call: &ServiceCall, now: Timestamp) -> Result<Called, CallRefused>;
    /// The reply to a call that says something to who asked, as plain text.
    fn reply(&self, text: &str) -> String;
    /// The reply to a call whose answer comes later.
    fn reply_later(&self) -> String;
    /// Says something as plain text: to who asked, or in the channel that is told alerts where no way goes back.
    async fn say(&self, back: Option<&SecretString>, text: &str) -> Result<(), ChannelError>;
}

/// A way to tell a person.
#[async_trait]
pub trait Channel: Send + Sync {
    /// The channel's name in the configuration: `file`, `email`.
    fn name(&self) -> &str;
    /// Whether people read it as it comes in: then several notes may come as one message, and not too many.
    fn is_chat(&self) -> bool {
        false
    }
    /// Whether it keeps conditions from their beginning to their end: then neither overtakes the other.
    fn keeps_conditions(&self) -> bool {
        false
    }
    /// The least time between two messages that the service takes.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }
    /// Delivers one message; the answer is the service's own receipt.
    async fn deliver(&self, message: &Message) -> Result<String, ChannelError>;
}

/// A question of which little is known, for tests of those who ask and of those who answer.
#[cfg(test)]
pub fn question_about(symbol: &str) -> ModelQuestion {
    use daybook_core::analysis::ModelIndicators;
    use daybook_core::market::Timeframe;

    ModelQuestion {
        symbol: symbol.parse().unwrap(),
        as_of: Timestamp(1_794_843_000_000),
        session: SessionDate::of(2026, 11, 16).unwrap(),
        minute: 60,
        session_minutes: 390,
        last: Some(221.5),
        bid: None,
        ask: None,
        previous_close: None,
        open: None,
        high: None,
        low: None,
        gap: None,
        change: None,
        change_30m: None,
        relative_volume: None,
        volatility: None,
        daily_atr: None,
        indicators: ModelIndicators {
            timeframe: Timeframe::M5,
            bars: 12,
            ema_fast: None,
            ema_slow: None,
            rsi: None,
            vwap: None,
            atr: None,
        },
        news: Vec::new(),
    }
}
