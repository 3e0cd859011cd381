//! Does at the broker what a person asked for, on the path of every other decision.
//!
//! Gathers: the broker's positions and orders; for an order also what every entry is held against. Decides:
//! [`risk::trade_by_hand`](daybook_core::risk::trade_by_hand()); what is to be closed and canceled; the latch of an
//! emergency stop.

use anyhow::{Context, bail};
use async_trait::async_trait;
use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::analysis::latest_atr;
use daybook_core::decision::Decision;
use daybook_core::market::Symbol;
use daybook_core::money::Quantity;
use daybook_core::order::{Action, BrokerPosition, Intent, Order, Purpose};
use daybook_core::portfolio::{Position, PositionChange, PositionEvent};
use daybook_core::risk::{Halt, HaltKind, HandFacts, HandOrder, RiskFacts, Sizing, SymbolFacts, trade_by_hand};
use daybook_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::account::{self, ATR_SESSIONS, DAILY_BARS, Gathered, risk_facts};
use crate::engine::broker_link::BrokerView;
use crate::engine::commands::Trade;
use crate::engine::job::{Job, Sources, Terms};
use crate::ledger::intent;

/// The job of kind `operator`.
#[derive(Debug)]
pub struct Operator;

/// What the account holds and what works in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorFacts {
    as_of: Timestamp,
    positions: Vec<BrokerPosition>,
    recorded: Vec<Position>,
    open_orders: Vec<Order>,
    /// What an order is held against; absent where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    risk: Option<RiskFacts>,
}

#[async_trait]
impl Job for Operator {
    type Facts = OperatorFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<OperatorFacts> {
        let view = sources.broker.look().await?;
        let recorded = sources.ledger.read(|conn| account::open_positions(conn, &sources.ledger.meta().account))?;
        let risk = match terms.parameters()? {
            Trade::Order(order) => Some(gate_facts(sources, terms, order.symbol, &view).await?),
            Trade::Close { .. } | Trade::Cancel { .. } | Trade::StopEverything { .. } => None,
        };
        Ok(OperatorFacts {
            as_of: view.as_of,
            positions: view.positions,
            recorded,
            open_orders: view.open_orders,
            risk,
        })
    }

    fn decide(&self, facts: &OperatorFacts, terms: &Terms) -> anyhow::Result<Decision> {
        let mut decision = match terms.parameters()? {
            Trade::Order(order) => return trade(facts, terms, &order),
            Trade::Close { symbol } => close(facts, terms, symbol, "closed by hand")?,
            Trade::Cancel { order } => cancel(facts, order.as_deref())?,
            Trade::StopEverything { reason } => stop_everything(facts, terms, &reason)?,
        };
        for (leg, intent) in (0..).zip(&mut decision.intents) {
            intent.leg = leg;
            if let Action::Close { client_order_id, .. } = &mut intent.action {
                *client_order_id = terms.origin().client_order_id(leg);
            }
        }
        Ok(decision)
    }
}

/// What the gate knows of the account and of the symbol. A symbol that the feed does not know has no price.
async fn gate_facts(sources: &Sources, terms: &Terms, symbol: Symbol, view: &BrokerView) -> anyhow::Result<RiskFacts> {
    let session = terms.session()?;
    let settings = &terms.settings.risk;
    let held = view.positions.iter().map(|position| position.symbol);
    let marks = account::marks(sources, held, view.as_of).await;
    let mark = account::marks(sources, std::iter::once(symbol), view.as_of).await.pop();
    let daily_atr = match settings.sizing {
        Sizing::Volatility(_) => {
            let daily = sources.feed.daily_bars(symbol, DAILY_BARS, session.date).await.unwrap_or_else(|error| {
                tracing::warn!(%symbol, %error, "range.unknown");
                Vec::new()
            });
            latest_atr(&daily, ATR_SESSIONS)
        }
        Sizing::RiskPerTrade | Sizing::Fixed(_) | Sizing::Equity(_) | Sizing::Kelly(_) => None,
    };
    let account = &sources.ledger.meta().account;
    Ok(sources.ledger.read(|conn| {
        let entered_today = intent::symbols_entered(conn, session.date)?;
        let symbols = vec![SymbolFacts { symbol, mark, bars: 0, daily_atr }];
        let gathered = Gathered { session, view, marks: &marks, entered_today, symbols };
        risk_facts(conn, account, gathered, settings)
    })?)
}

fn trade(facts: &OperatorFacts, terms: &Terms, order: &HandOrder) -> anyhow::Result<Decision> {
    let held = facts.positions.iter().find(|position| position.symbol == order.symbol);
    let facts = HandFacts {
        held: held.map_or(Quantity::ZERO, |position| position.quantity),
        recorded: facts.recorded.iter().find(|position| position.symbol == order.symbol),
        risk: facts.risk.as_ref().context("what the gate has to know was not gathered")?,
        approval_above: terms.settings.execution.approval_above,
    };
    trade_by_hand(order, &facts, &terms.settings.risk, &terms.origin()).context("pricing the order")
}

fn close(facts: &OperatorFacts, terms: &Terms, symbol: Option<Symbol>, reason: &str) -> anyhow::Result<Decision> {
    let chosen: Vec<Symbol> = facts
        .positions
        .iter()
        .map(|position| position.symbol)
        .filter(|held| symbol.is_none_or(|symbol| symbol == *held))
        .collect();
    if chosen.is_empty() {
        // What was asked for holds already: that is no failure.
        let summary = symbol.map_or_else(
            || "nothing to close: no position is held".to_owned(),
            |symbol| format!("nothing to close: there is no position in {symbol}"),
        );
        return Ok(Decision { summary, ..Decision::default() });
    }
    let intents = chosen.iter().map(|symbol| Intent {
        leg: 0, // numbered by the caller
        purpose: Purpose::Exit,
        action: Action::Close { symbol: *symbol, client_order_id: terms.origin().client_order_id(0), quantity: None },
        valid_until: None,
        reason: reason.to_owned(),
    });
    let recorded = chosen.iter().filter(|symbol| facts.recorded.iter().any(|position| position.symbol == **symbol));
    Ok(Decision {
        summary: format!("close {} positions", chosen.len()),
        intents: intents.collect(),
        positions: recorded
            .map(|symbol| PositionChange {
                symbol: *symbol,
                event: PositionEvent::ExitBegun { reason: reason.to_owned() },
            })
            .collect(),
        ..Decision::default()
    })
}

fn cancel(facts: &OperatorFacts, order: Option<&str>) -> anyhow::Result<Decision> {
    let chosen: Vec<&Order> = facts
        .open_orders
        .iter()
        .filter(|open| match order {
            Some(name) => open.broker_order_id == name || open.client_order_id.as_str() == name,
            // A leg goes with its parent.
            None => open.parent.is_none(),
        })
        .collect();
    if let Some(name) = order
        && chosen.is_empty()
    {
        bail!("there is no open order {name}: `trade orders` shows them");
    }
    let intents = chosen.iter().map(|open| Intent {
        leg: 0, // numbered by the caller
        purpose: Purpose::CancelEntry,
        action: Action::Cancel { symbol: open.symbol, broker_order_id: open.broker_order_id.clone() },
        valid_until: None,
        reason: "canceled by hand".to_owned(),
    });
    Ok(Decision {
        summary: format!("cancel {} orders", chosen.len()),
        intents: intents.collect(),
        ..Decision::default()
    })
}

fn stop_everything(facts: &OperatorFacts, terms: &Terms, reason: &str) -> anyhow::Result<Decision> {
    let mut decision = close(facts, terms, None, "emergency stop")?;
    let held: Vec<Symbol> = facts.positions.iter().map(|position| position.symbol).collect();
    let cancels = cancel(facts, None)?;
    // Closing a position cancels what works in its symbol.
    decision.intents.extend(cancels.intents.into_iter().filter(|intent| !held.contains(&intent.action.symbol())));
    let reason = format!("emergency stop by hand: {reason}");
    decision.summary = format!("{reason}; {} positions, {} intents", held.len(), decision.intents.len());
    decision.alerts.push(Alert::new(AlertEvent::RiskStopped, decision.summary.clone()));
    decision.halts.push(Halt {
        kind: HaltKind::EmergencyStop,
        reason,
        numbers: Vec::new(),
        since: facts.as_of,
        until: None,
    });
    Ok(decision)
}
