//! One connection with the gateway, from its handshake to its end.
//!
//! Listings go one after another: the gateway marks the end of a listing, not whose it is, so two at a time would cut
//! each other short. A listing that does not come in time ends the session, for its rest would end the next one.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use daybook_core::market::Symbol;
use daybook_core::money::Money;
use daybook_core::order::ClientOrderId;
use futures_util::{Stream, StreamExt};
use ibapi::accounts::{AccountSummaryResult, AccountSummaryTags, Position, PositionUpdate};
use ibapi::contracts::Contract;
use ibapi::orders::{ExecutionData, ExecutionFilter, Executions, Order as WireOrder};
use ibapi::prelude::{AccountGroup, SubscriptionItem};
use ibapi::{Client, Error, RateLimiter};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::answers::{Answers, is_end};
use super::listing::{Seen, is_cut_short, of_ticket, seen, together};
use super::terms::{Reference, wire_symbol};
use super::{IbkrSettings, rejected, retryable};
use crate::ports::BrokerError;

/// Days of executions that are asked for. The gateway may know fewer; Trader Workstation keeps seven.
const EXECUTION_DAYS: i32 = 7;

/// The account's figures that are asked for.
const FIGURES: [&str; 4] = [
    AccountSummaryTags::NET_LIQUIDATION,
    AccountSummaryTags::TOTAL_CASH_VALUE,
    AccountSummaryTags::BUYING_POWER,
    AccountSummaryTags::PREVIOUS_EQUITY_WITH_LOAN_VALUE,
];

/// No contract of that description.
const NO_CONTRACT: i32 = 200;

/// A connection with the gateway.
pub(super) struct Session {
    client: Client,
    /// The account that is traded in.
    pub account: String,
    /// What the gateway says of its own accord.
    pub answers: Arc<Answers>,
    /// The listing that is under way.
    asking: Mutex<()>,
    /// The order that is being sent.
    sending: Mutex<Sending>,
    timeout: Duration,
}

/// What sending an order needs to know of those before it.
#[derive(Debug, Default)]
struct Sending {
    /// The number of the next order: above every one that the gateway has named or shown.
    next_id: i32,
    /// Tickets that were sent, in this session and before.
    tickets: HashSet<ClientOrderId>,
}

/// Why an order was not sent, or may not have been.
#[derive(Debug)]
pub(super) enum Unsent {
    /// Its ticket was sent before.
    Known,
    /// Nothing of it has left.
    Nothing(String),
    /// Nobody knows how much of it has left.
    Unsure(String),
}

/// An account's figure.
pub(super) struct Figure {
    pub tag: String,
    pub value: String,
    pub currency: String,
}

impl Session {
    /// Connects, and reads what was sent before.
    pub(super) async fn begin(settings: &IbkrSettings, limiter: RateLimiter) -> Result<Self, BrokerError> {
        let within = settings.timeout.as_duration();
        let address = settings.address();
        let connecting = Client::builder()
            .address(address.as_str())
            .client_id(settings.client_id)
            .rate_limiter(limiter)
            // A group is several small messages: none waits for the one before it to be acknowledged.
            .tcp_no_delay(true)
            // A connection that ends is not mended: the next call begins another, and reads everything anew.
            .max_reconnect_attempts(0)
            .one_shot_timeout(within)
            .connect_with_notice_stream();
        let silent = || retryable(format!("{address} accepts the connection and does not answer: is it logged in?"));
        let connected = timeout(within, connecting).await.map_err(|_| silent())?;
        let (client, notices) = connected.map_err(|error| unconnected(&error, settings))?;
        let account = settings.choose(client.handshake_managed_accounts()).map_err(rejected)?;
        let answers = Answers::new();
        let updates = client.order_update_stream().await.map_err(|error| unread(&error, "order updates"))?;
        drop(tokio::spawn(answers.clone().listen(updates, notices)));
        let session =
            Self { client, account, answers, asking: Mutex::default(), sending: Mutex::default(), timeout: within };
        session.recall(settings.client_id).await?;
        let (version, account) = (session.server_version(), &session.account);
        tracing::info!(address, version, account, "gateway.connected");
        Ok(session)
    }

    /// Reads which orders were sent before, and takes back what was cut short before its last part: of a bracket
    /// nothing was transmitted, and the gateway would hold it for ever.
    async fn recall(&self, client_id: i32) -> Result<(), BrokerError> {
        let mut all = self.everything().await?;
        // Orders that were not transmitted are listed to their own client, if at all.
        let own = self.list("working orders", async {
            self.client.open_orders().await?.collect_to_end_within(self.timeout).await
        });
        let own = own.await?;
        all.extend(seen(own, false).into_iter().filter(|own| own.perm_id == 0 && self.is_ours(own)));
        let ours = |seen: &&Seen| seen.order.client_id == client_id;
        let highest = all.iter().filter(ours).map(|seen| seen.order_id.max(seen.order.order_id)).max().unwrap_or(0);
        let tickets: HashSet<ClientOrderId> =
            all.iter().filter_map(|seen| Reference::read(&seen.order.order_ref)).map(|found| found.ticket).collect();
        let mut sending = self.sending.lock().await;
        sending.next_id = self.client.next_order_id().max(highest.saturating_add(1));
        for ticket in tickets {
            let group = of_ticket(&all, &ticket);
            if !is_cut_short(&group) {
                sending.tickets.insert(ticket);
                continue;
            }
            tracing::warn!(%ticket, "order.cut_short");
            for left in group.iter().filter(|seen| !seen.is_over() && seen.order.client_id == client_id) {
                self.cancel(left.order_id).await.map_err(|error| unread(&error, "a cancel"))?;
            }
        }
        Ok(())
    }

    /// Whether the connection stands, as far as anybody knows.
    pub(super) fn is_alive(&self) -> bool {
        self.client.is_connected() && self.answers.ended().is_none()
    }

    /// Ends it, and waits until the gateway's side is closed: it knows a client id once.
    pub(super) async fn close(&self, why: &str) {
        self.answers.end(why);
        self.client.disconnect().await;
    }

    /// The version of the gateway's interface.
    pub(super) fn server_version(&self) -> i32 {
        self.client.server_version()
    }

    /// The client's number, to which orders belong.
    pub(super) fn client_id(&self) -> i32 {
        self.client.client_id()
    }

    /// The gateway's clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) async fn server_time_ms(&self) -> Result<i64, BrokerError> {
        let _turn = self.asking.lock().await;
        let time = self.client.server_time_millis().await.map_err(|error| unread(&error, "the time"))?;
        Ok(time.unix_timestamp() * 1_000 + i64::from(time.millisecond()))
    }

    /// Sends a ticket's orders one after another, as `make` makes them from the number of the first. The answer is
    /// their numbers.
    pub(super) async fn send(
        &self,
        ticket: &ClientOrderId,
        contract: &Contract,
        make: impl FnOnce(i32) -> Vec<WireOrder>,
    ) -> Result<Vec<i32>, Unsent> {
        let mut sending = self.sending.lock().await;
        if !sending.tickets.insert(ticket.clone()) {
            return Err(Unsent::Known);
        }
        let orders = make(sending.next_id);
        let ids: Vec<i32> = orders.iter().map(|order| order.order_id).collect();
        for (sent, order) in orders.iter().enumerate() {
            // A number is used once, whatever becomes of it.
            sending.next_id = sending.next_id.max(order.order_id.saturating_add(1));
            self.answers.expect(order.order_id);
            match timeout(self.timeout, self.client.submit_order(order.order_id, contract, order)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if sent == 0 && leaves_nothing(&error) => {
                    sending.tickets.remove(ticket);
                    return Err(Unsent::Nothing(error.to_string()));
                }
                Ok(Err(error)) => return Err(Unsent::Unsure(error.to_string())),
                Err(_) => return Err(Unsent::Unsure("it could not be written in time".to_owned())),
            }
        }
        Ok(ids)
    }

    /// Sends an order again that works, under other terms.
    pub(super) async fn change(&self, contract: &Contract, order: &WireOrder) -> Result<(), Unsent> {
        self.answers.expect(order.order_id);
        match timeout(self.timeout, self.client.submit_order(order.order_id, contract, order)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if leaves_nothing(&error) => Err(Unsent::Nothing(error.to_string())),
            Ok(Err(error)) => Err(Unsent::Unsure(error.to_string())),
            Err(_) => Err(Unsent::Unsure("it could not be written in time".to_owned())),
        }
    }

    /// Forgets that a ticket was sent: the gateway has refused it.
    pub(super) async fn forget(&self, ticket: &ClientOrderId) {
        self.sending.lock().await.tickets.remove(ticket);
    }

    /// Asks for a cancel. What comes of it is said in [`Answers`].
    pub(super) async fn cancel(&self, order_id: i32) -> Result<(), Error> {
        self.answers.expect(order_id);
        // The subscription is let go at once: while it stands, it takes the order's executions from who asks for them.
        timeout(self.timeout, self.client.cancel_order(order_id, "")).await.map_err(|_| Error::Timeout)?.map(drop)
    }

    fn is_ours(&self, seen: &Seen) -> bool {
        seen.order.account.is_empty() || seen.order.account == self.account
    }

    /// The account's orders that work, of whatever program or hand.
    pub(super) async fn open(&self) -> Result<Vec<Seen>, BrokerError> {
        let rows = self.list("working orders", async {
            self.client.all_open_orders().await?.collect_to_end_within(self.timeout).await
        });
        Ok(seen(rows.await?, false).into_iter().filter(|seen| self.is_ours(seen)).collect())
    }

    /// The account's orders, as far as the gateway remembers any.
    pub(super) async fn everything(&self) -> Result<Vec<Seen>, BrokerError> {
        let open = self.open().await?;
        let rows = self.list("orders that are over", async {
            self.client.completed_orders(false).await?.collect_to_end_within(self.timeout).await
        });
        let completed = seen(rows.await?, true).into_iter().filter(|seen| self.is_ours(seen)).collect();
        Ok(together(open, completed, &self.executions().await?))
    }

    /// The account's executions, as many days of them as the gateway keeps.
    pub(super) async fn executions(&self) -> Result<Vec<ExecutionData>, BrokerError> {
        let filter = ExecutionFilter {
            account_code: self.account.clone(),
            last_n_days: EXECUTION_DAYS,
            ..ExecutionFilter::default()
        };
        let rows = self.list("executions", async {
            self.client.executions(filter).await?.collect_to_end_within(self.timeout).await
        });
        let rows = rows.await?;
        let mut executions = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                Executions::ExecutionData(data) => executions.push(data),
                Executions::CommissionReport(report) => self.answers.take_fee(&report),
            }
        }
        executions.retain(|data| data.execution.account_number == self.account);
        Ok(executions)
    }

    /// What the account holds.
    pub(super) async fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        let all = self.list("positions", async {
            let row = |update| match update {
                PositionUpdate::Position(position) => Some(position),
                PositionUpdate::PositionEnd => None,
            };
            first_rows(self.client.positions().await?, row).await
        });
        let mut positions = all.await?;
        positions.retain(|position| position.account == self.account);
        Ok(positions)
    }

    /// The account's figures.
    pub(super) async fn figures(&self) -> Result<Vec<Figure>, BrokerError> {
        let everyone = AccountGroup("All".to_owned());
        let all = self.list("the account", async {
            let row = |row| match row {
                AccountSummaryResult::Summary(row) => Some(row),
                AccountSummaryResult::End => None,
            };
            first_rows(self.client.account_summary(&everyone, &FIGURES).await?, row).await
        });
        let ours = all.await?.into_iter().filter(|row| row.account == self.account);
        Ok(ours.map(|row| Figure { tag: row.tag, value: row.value, currency: row.currency }).collect())
    }

    /// The contract behind a symbol, traded in dollars wherever the broker finds it best.
    pub(super) async fn contract(&self, symbol: Symbol) -> Result<Contract, BrokerError> {
        let wanted = Contract::stock(wire_symbol(symbol)).on_exchange("SMART").in_currency("USD").build();
        let _turn = self.asking.lock().await;
        let details = match timeout(self.timeout, self.client.contract_details(&wanted)).await {
            Ok(Err(Error::Notice(notice))) if notice.code == NO_CONTRACT => Vec::new(),
            Ok(answered) => answered.map_err(|error| self.failed(&error, "a contract"))?,
            Err(_) => return Err(self.failed(&Error::Timeout, "a contract")),
        };
        match <[_; 1]>::try_from(details) {
            Ok([only]) => Ok(only.contract),
            Err(details) if details.is_empty() => {
                Err(rejected(format!("{symbol} is no share in dollars that Interactive Brokers knows")))
            }
            Err(details) => Err(rejected(format!("{symbol} could be any of {} contracts", details.len()))),
        }
    }

    /// Reads a listing to its end, when its turn has come.
    async fn list<T>(
        &self,
        what: &str,
        reading: impl Future<Output = Result<Vec<T>, Error>>,
    ) -> Result<Vec<T>, BrokerError> {
        let _turn = self.asking.lock().await;
        let read = timeout(self.timeout, reading).await.unwrap_or(Err(Error::Timeout));
        read.map_err(|error| self.failed(&error, what))
    }

    /// What an answer that did not come, or not whole, means: the session is over, unless the gateway has said no.
    fn failed(&self, error: &Error, what: &str) -> BrokerError {
        if !matches!(error, Error::Notice(_)) {
            self.answers.end(&format!("{what}: {error}"));
        }
        unread(error, what)
    }
}

/// The rows of a subscription up to the mark after its first ones; `row` knows the mark by having nothing to say.
async fn first_rows<T, R>(
    mut rows: impl Stream<Item = Result<SubscriptionItem<T>, Error>> + Unpin,
    row: impl Fn(T) -> Option<R>,
) -> Result<Vec<R>, Error> {
    let mut read = Vec::new();
    while let Some(item) = rows.next().await {
        let SubscriptionItem::Data(item) = item? else { continue };
        match row(item) {
            Some(item) => read.push(item),
            None => return Ok(read),
        }
    }
    Err(Error::UnexpectedEndOfStream)
}

/// Whether a failure to send means that nothing has left: the crate looks at the connection before it writes.
fn leaves_nothing(error: &Error) -> bool {
    !matches!(error, Error::Io(_) | Error::Timeout)
}

/// Why there is no connection, in words for a person.
fn unconnected(error: &Error, settings: &IbkrSettings) -> BrokerError {
    let address = settings.address();
    match error {
        Error::ServerVersion(least, found, _) => rejected(format!(
            "the gateway at {address} is too old: its interface has version {found}, and {least} is the least: install \
             a newer one"
        )),
        Error::ClientIdInUse { client_id } => retryable(format!(
            "{address}: client id {client_id} is in use by another program, and orders belong to the id: stop it, or \
             set ibkr.client_id to another number (326)"
        )),
        Error::ConnectionRejected(_) => retryable(format!(
            "{address} hangs up on this host: add it to the gateway's trusted addresses, or wait until its restart is \
             over"
        )),
        Error::Io(io) => retryable(format!("no gateway at {address} ({io}): start it, and log in")),
        other => retryable(format!("connecting to the gateway at {address}: {other}")),
    }
}

/// What a question without a whole answer means. Nothing was changed by it.
fn unread(error: &Error, what: &str) -> BrokerError {
    match error {
        Error::Notice(notice) if !notice.is_client_synthesized() => {
            rejected(format!("{what}: {} ({})", notice.message, notice.code))
        }
        Error::Timeout => retryable(format!("{what}: no whole answer in time")),
        error if is_end(error) => retryable(format!("{what}: the gateway has closed the connection")),
        other => retryable(format!("{what}: {other}")),
    }
}

/// A figure in dollars; `None` where it is not told.
///
/// # Errors
/// If it is in another currency, or is no amount.
pub(super) fn dollars(figures: &[Figure], tag: &str) -> Result<Option<Money>, BrokerError> {
    let Some(figure) = figures.iter().find(|figure| figure.tag == tag) else { return Ok(None) };
    if !matches!(figure.currency.as_str(), "" | "USD") {
        let currency = &figure.currency;
        return Err(rejected(format!("{tag} is in {currency}: expected an account whose base currency is USD")));
    }
    let no_amount = |_| rejected(format!("{tag} is \"{}\", which is no amount", figure.value));
    figure.value.parse().map(Some).map_err(no_amount)
}
