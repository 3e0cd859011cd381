//! What the gateway lists: working orders, those that are over, executions. A listing is whole, or an error.

use std::collections::HashMap;

use daybook_core::money::{MoneyError, Quantity};
use daybook_core::order::ClientOrderId;
use ibapi::contracts::Contract;
use ibapi::orders::{ExecutionData, Order as WireOrder, OrderData, OrderStatus, OrderStatusKind, Orders};

use super::terms::{Part, Reference, Strange};

/// An order as the gateway shows it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The broker's own number for it, which outlives the gateway.
    pub perm_id: i64,
    /// The client's number for it; meaningless for orders of other clients and for those that are over.
    pub order_id: i32,
    pub contract: Contract,
    pub order: WireOrder,
    pub status: OrderStatusKind,
    /// Shares filled, as far as this listing tells.
    filled: f64,
    pub average_price: Option<f64>,
    /// Why it ended, in the gateway's words; may be empty.
    pub reason: String,
    /// Whether it stands among those that are over.
    pub completed: bool,
}

impl Seen {
    fn of(data: OrderData, completed: bool) -> Self {
        let OrderData { order_id, contract, order, order_state } = data;
        let told = [order_state.reject_reason, order_state.completed_status, order_state.warning_text];
        Self {
            perm_id: order.perm_id,
            order_id,
            status: order_state.status,
            filled: order.filled_quantity,
            average_price: None,
            reason: told.into_iter().find(|words| !words.is_empty()).unwrap_or_default(),
            contract,
            order,
            completed,
        }
    }

    fn take_status(&mut self, status: OrderStatus) {
        self.status = status.status;
        self.filled = self.filled.max(status.filled);
        self.average_price = status.average_fill_price;
        if !status.why_held.is_empty() {
            self.reason = status.why_held;
        }
    }

    /// Takes over what the order's last execution tells of all of them.
    fn take_execution(&mut self, execution: &ExecutionData) {
        let execution = &execution.execution;
        if execution.cumulative_quantity >= self.filled {
            self.filled = execution.cumulative_quantity;
            self.average_price = Some(execution.average_price);
        }
    }

    /// An order that only its executions bear witness to: the gateway has forgotten it. Its terms are not known.
    fn of_execution(data: &ExecutionData) -> Self {
        use ibapi::orders::{Action, ExecutionSide};
        let execution = &data.execution;
        let order = WireOrder {
            perm_id: execution.perm_id,
            client_id: execution.client_id,
            action: match execution.side {
                ExecutionSide::Bought => Action::Buy,
                ExecutionSide::Sold => Action::Sell,
            },
            order_type: "MKT".to_owned(),
            order_ref: execution.order_reference.clone(),
            account: execution.account_number.clone(),
            ..WireOrder::default()
        };
        Self {
            perm_id: execution.perm_id,
            order_id: execution.order_id,
            contract: data.contract.clone(),
            order,
            status: OrderStatusKind::Filled,
            filled: execution.cumulative_quantity,
            average_price: Some(execution.average_price),
            reason: String::new(),
            completed: true,
        }
    }

    /// Whether nothing more can happen to it.
    pub(super) fn is_over(&self) -> bool {
        self.completed
            || matches!(
                self.status,
                OrderStatusKind::Filled | OrderStatusKind::Cancelled | OrderStatusKind::ApiCancelled
            )
    }

    /// Shares filled so far.
    pub(super) fn filled(&self) -> Result<Quantity, MoneyError> {
        Quantity::from_f64(self.filled)
    }

    /// Shares in all. A listing of what is over may have no number for what has filled.
    pub(super) fn quantity(&self, filled: Quantity) -> Result<Quantity, MoneyError> {
        Quantity::from_f64(self.order.total_quantity).map(|quantity| quantity.max(filled))
    }

    /// What of it cannot be understood.
    pub(super) fn strange(&self, field: &'static str, text: impl ToString) -> Strange {
        Strange { document: format!("order {}", self.perm_id), field, text: text.to_string() }
    }
}

/// The rows of one listing as orders. The gateway tells an order's terms and its state in rows of their own.
pub(super) fn seen(rows: Vec<Orders>, completed: bool) -> Vec<Seen> {
    let mut orders: Vec<Seen> = Vec::new();
    for row in rows {
        match row {
            Orders::OrderData(data) => {
                let mut new = Seen::of(data, completed);
                match orders.iter_mut().find(|known| is_same(known, new.perm_id, new.order.client_id, new.order_id)) {
                    Some(known) => {
                        new.filled = new.filled.max(known.filled);
                        new.average_price = known.average_price;
                        *known = new;
                    }
                    None => orders.push(new),
                }
            }
            Orders::OrderStatus(status) => {
                let mine = |known: &&mut Seen| is_same(known, status.perm_id, status.client_id, status.order_id);
                if let Some(known) = orders.iter_mut().find(mine) {
                    known.take_status(status);
                }
            }
        }
    }
    orders
}

/// An order that was not transmitted has no number of the broker's yet.
fn is_same(known: &Seen, perm_id: i64, client_id: i32, order_id: i32) -> bool {
    match (known.perm_id, perm_id) {
        (0, _) | (_, 0) => known.order.client_id == client_id && known.order_id == order_id && order_id > 0,
        (known, other) => known == other,
    }
}

/// Everything that the gateway remembers: working orders, then those that are over, then those of which only executions
/// are left. What was listed as working and is over by now is over.
pub(super) fn together(open: Vec<Seen>, completed: Vec<Seen>, executions: &[ExecutionData]) -> Vec<Seen> {
    let over: HashMap<i64, usize> = completed.iter().enumerate().map(|(at, seen)| (seen.perm_id, at)).collect();
    let mut all: Vec<Seen> = open.into_iter().filter(|seen| !over.contains_key(&seen.perm_id)).collect();
    all.extend(completed);
    for execution in executions {
        let perm_id = execution.execution.perm_id;
        match all.iter_mut().find(|seen| seen.perm_id == perm_id) {
            Some(known) => known.take_execution(execution),
            None => all.push(Seen::of_execution(execution)),
        }
    }
    all
}

/// The orders of a ticket, the newest under each reference: one that was cut short is sent again under the same.
pub(super) fn of_ticket(all: &[Seen], ticket: &ClientOrderId) -> Vec<Seen> {
    let mut found: Vec<(Reference, &Seen)> = Vec::new();
    for seen in all {
        let Some(reference) = Reference::read(&seen.order.order_ref).filter(|reference| reference.ticket == *ticket)
        else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| *known == reference) {
            Some((_, known)) if (!known.is_over(), known.perm_id) < (!seen.is_over(), seen.perm_id) => *known = seen,
            Some(_) => {}
            None => found.push((reference, seen)),
        }
    }
    found.into_iter().map(|(_, seen)| seen.clone()).collect()
}

/// Whether a ticket's orders were cut short before the last of them was sent: not all are there, and nothing has traded.
///
/// The broker forgets what ended on an earlier day, so a bracket without its entry is none of these; nor is one whose
/// entry was canceled, for that may be all that is left of it. A pair only ever reduces, and may be sent again.
pub(super) fn is_cut_short(group: &[Seen]) -> bool {
    let parts: Vec<(Part, &Seen)> =
        group.iter().filter_map(|seen| Some((Reference::read(&seen.order.order_ref)?.part, seen))).collect();
    let Some((first, _)) = parts.first() else { return false };
    let is_there = |part: &Part| parts.iter().any(|(found, _)| found == part);
    let is_open = match first {
        Part::Alone => false,
        Part::PairTarget | Part::PairStop => true,
        Part::Entry | Part::Target | Part::Stop => {
            parts.iter().any(|(part, seen)| *part == Part::Entry && !seen.is_over())
        }
    };
    let traded = group.iter().any(|seen| seen.filled > 0.0);
    is_open && !traded && !first.group().iter().all(is_there)
}
