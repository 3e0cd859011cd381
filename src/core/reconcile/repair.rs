use super::{Difference, DifferencePolicy, Finding, ReconcileFacts, ReconcileSettings, Repair, compare};
use crate::alert::{Alert, AlertEvent, AlertLevel};
use crate::calendar::MarketPhase;
use crate::decision::Decision;
use crate::market::Symbol;
use crate::money::{Money, Price, Quantity};
use crate::order::{ClientOrderId, Fill, Purpose, Side};
use crate::portfolio::{Position, PositionEvent};
use crate::risk::plan::Plan;
use crate::risk::protection::{Protection, protection};
use crate::risk::resting::{Resting, by_symbol, is_in_flight};
use crate::risk::{Halt, HaltKind, RiskSettings};
use crate::strategy::Reason;

/// Decides what makes the ledger agree with the broker; what is promised stands at the module.
#[must_use]
pub fn reconcile(facts: &ReconcileFacts, settings: &ReconcileSettings, risk: &RiskSettings) -> Decision {
    let findings = compare(facts);
    let mut run = Run { facts, settings, risk, plan: Plan::default() };
    for finding in &findings {
        run.mend(finding);
    }
    run.guard(&findings);
    let mut plan = run.plan;
    plan.decision.summary = summary(facts, &findings, plan.intents());
    plan.finish(&facts.origin)
}

fn summary(facts: &ReconcileFacts, findings: &[Finding], intents: usize) -> String {
    if findings.is_empty() && intents == 0 {
        return format!("agrees: {} positions, {} open orders", facts.broker_positions.len(), facts.open_orders.len());
    }
    let [mut unrecorded, mut unintended, mut strangers, mut unsettled, mut differences] = [0_u32; 5];
    for finding in findings {
        match finding {
            Finding::Unrecorded { .. } => unrecorded += 1,
            Finding::Unintended { .. } => unintended += 1,
            Finding::Stranger { .. } => strangers += 1,
            Finding::Unsettled { .. } => unsettled += 1,
            Finding::Differs { .. } => differences += 1,
        }
    }
    let counts = [
        (differences, "positions differ"),
        (unrecorded, "orders recorded"),
        (unsettled, "intents moved on"),
        (unintended, "orders without an intent"),
        (strangers, "orders of strangers"),
        (u32::try_from(intents).unwrap_or(u32::MAX), "intents"),
    ];
    let counted: Vec<String> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    counted.join(", ")
}

struct Run<'a> {
    facts: &'a ReconcileFacts,
    settings: &'a ReconcileSettings,
    risk: &'a RiskSettings,
    plan: Plan,
}

impl Run<'_> {
    fn mend(&mut self, finding: &Finding) {
        match finding {
            Finding::Unrecorded { order } => self.plan.decision.repairs.push(Repair::Record(order.clone())),
            Finding::Unsettled { client_order_id, event } => self
                .plan
                .decision
                .repairs
                .push(Repair::Settle { client_order_id: client_order_id.clone(), event: *event }),
            Finding::Unintended { broker_order_id, symbol } => {
                let subject = format!(
                    "{symbol}: the broker's order {broker_order_id} was sent from this ledger, which does not know why; it is watched from now on"
                );
                self.plan.tell_of(*symbol, AlertEvent::OrderAdopted, subject);
            }
            Finding::Stranger { broker_order_id, symbol } => {
                let subject =
                    format!("{symbol}: the broker's order {broker_order_id} was not sent from here; left alone");
                self.plan.tell_of(*symbol, AlertEvent::OrderStranger, subject);
            }
            Finding::Differs { difference, seen_before } => {
                self.plan.decision.differences.push(*difference);
                if *seen_before {
                    self.settle_difference(difference);
                }
            }
        }
    }

    fn settle_difference(&mut self, difference: &Difference) {
        let Difference { symbol, ledger, broker } = *difference;
        let differs = format!("{symbol}: the ledger holds {ledger} shares, the broker {broker}");
        match self.settings.on_difference {
            DifferencePolicy::Halt => self.halt(symbol, differs),
            DifferencePolicy::Adopt | DifferencePolicy::Close => {
                let Some(correction) = self.correction(difference) else {
                    self.halt(symbol, format!("{differs}, and no price to book the difference at"));
                    return;
                };
                let subject = format!("{differs}; corrected at {}", correction.price);
                self.plan.decision.repairs.push(Repair::Correct(correction));
                self.plan.tell_of(symbol, AlertEvent::PositionCorrected, subject);
                let closes = self.settings.on_difference == DifferencePolicy::Close && !broker.is_zero();
                if closes && self.can_close(symbol) {
                    self.plan.close(symbol, "unexplained position", self.facts.session.close);
                }
            }
        }
    }

    /// Stops entries until a person has looked; once.
    fn halt(&mut self, symbol: Symbol, reason: String) {
        let now = self.facts.as_of;
        let stands = self
            .facts
            .halts
            .iter()
            .chain(&self.plan.decision.halts)
            .any(|halt| halt.kind == HaltKind::Conflict && halt.holds_at(now));
        if stands {
            return;
        }
        let subject = format!("{reason}. Entries stop until `trade resume`");
        self.plan.tell_of(symbol, AlertEvent::PositionDiffers, subject);
        let numbers = vec![Reason::new("symbol", symbol)];
        self.plan.decision.halts.push(Halt { kind: HaltKind::Conflict, reason, numbers, since: now, until: None });
    }

    /// The execution that leads from the ledger's shares to the broker's: at the mark, or at the price
    /// at which the broker or the ledger says that they were opened.
    fn correction(&self, difference: &Difference) -> Option<Fill> {
        let symbol = difference.symbol;
        let missing = difference.broker.minus(difference.ledger).ok()?;
        let marked = self.facts.marks.iter().find(|mark| mark.symbol == symbol).map(|mark| mark.price);
        let at_broker = self.facts.broker_positions.iter().find(|held| held.symbol == symbol);
        let in_ledger = self.facts.positions.iter().find(|held| held.symbol == symbol);
        let opens = difference.ledger.is_zero();
        let opened_at = at_broker.map(|held| held.average_price);
        let entered_at = in_ledger.map(|held| held.entry_price);
        let prices: [Option<Price>; 3] =
            if opens { [opened_at, marked, entered_at] } else { [marked, opened_at, entered_at] };
        let price = prices.into_iter().flatten().find(|price| price.is_positive())?;
        let client_order_id = ClientOrderId::correction(self.facts.origin.slot, symbol);
        Some(Fill {
            execution_id: client_order_id.as_str().to_owned(),
            broker_order_id: client_order_id.as_str().to_owned(),
            client_order_id,
            symbol,
            side: if missing.is_negative() { Side::Sell } else { Side::Buy },
            quantity: Quantity(missing.0.saturating_abs()),
            price,
            fee: Money::ZERO,
            at: self.facts.as_of,
        })
    }

    fn can_close(&self, symbol: Symbol) -> bool {
        self.facts.session.phase_at(self.facts.as_of) == MarketPhase::Trading
            && !is_in_flight(&self.facts.in_flight, symbol, Purpose::Exit)
    }

    /// Sees to the stops of our positions, and to exits that no position is left for, in every symbol in
    /// which the views agree.
    fn guard(&mut self, findings: &[Finding]) {
        let differs = |symbol: Symbol| {
            findings
                .iter()
                .any(|finding| matches!(finding, Finding::Differs { difference, .. } if difference.symbol == symbol))
        };
        let at_broker = by_symbol(&self.facts.broker_positions, &self.facts.open_orders, &self.facts.origin.ledger_id);
        for (symbol, resting) in at_broker.iter().filter(|(symbol, _)| !differs(**symbol)) {
            if !resting.orphans.is_empty() && !is_in_flight(&self.facts.in_flight, *symbol, Purpose::CancelEntry) {
                self.plan.cancel_all(*symbol, &resting.orphans, "no position is left for it");
            }
        }
        let ours = self.facts.positions.iter().filter(|position| !position.is_strangers());
        let agreed = ours.filter(|position| !differs(position.symbol));
        for (position, resting) in agreed.filter_map(|held| Some((held, at_broker.get(&held.symbol)?))) {
            self.protect(position, resting);
        }
    }

    fn protect(&mut self, position: &Position, resting: &Resting<'_>) {
        let symbol = position.symbol;
        let price = self.facts.marks.iter().find(|mark| mark.symbol == symbol).map(|mark| mark.price);
        match protection(position, price, resting, &self.facts.in_flight, self.risk) {
            Protection::Sound | Protection::UnderWay => {}
            Protection::Excess(stops) => self.plan.cancel_all(symbol, &stops, "more stopped than held"),
            Protection::Missing { held, stop } => {
                self.plan.place_stop(symbol, held, stop, self.facts.as_of);
                if !is_in_flight(&self.facts.in_flight, symbol, Purpose::CancelEntry) {
                    self.plan.cancel_all(symbol, &resting.entries, "filled in part, its stop waits");
                }
            }
            Protection::Impossible if self.can_close(symbol) => {
                self.plan.close(symbol, "unprotected", self.facts.session.close);
                self.plan.change(symbol, PositionEvent::ExitBegun { reason: "unprotected".to_owned() });
                let subject = format!("{symbol}: no stop can be placed; closing {} shares", position.quantity);
                let exit = Alert::new(AlertEvent::PositionExit, subject).about(symbol);
                self.plan.raise(exit.at_level(AlertLevel::Warning));
            }
            Protection::Impossible => {
                let subject =
                    format!("{symbol}: no stop can be placed, and nothing can be sold now: look at the broker");
                self.plan.tell_of(symbol, AlertEvent::PositionUnprotected, subject);
            }
        }
    }
}
