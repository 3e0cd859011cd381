//! Invariants 8 to 10 and 16: shares, results and equity, added up from the fills.

use std::collections::{BTreeMap, BTreeSet};

use super::{FillRow, Findings, Invariant, LedgerView, amount, instant, shares};
use crate::market::Symbol;
use crate::order::Side;
use crate::portfolio::{Position, PositionState};
use crate::strategy::Direction;
use crate::time::Timestamp;

/// A stretch of fills in one symbol from flat to flat, or to now.
#[derive(Default)]
struct Stretch {
    /// Shares held at its end, in 10⁻⁹; negative for a short position.
    shares: i128,
    /// Received less paid, in 10⁻¹⁷ (a price's unit times a quantity's).
    flow: i128,
    /// How many fills it has: each may have been rounded by a unit.
    fills: i128,
    /// When its last fill traded.
    ended: Timestamp,
}

/// 10⁻⁸ in units of [`Stretch::flow`].
const UNIT: i128 = 1_000_000_000;

pub(super) fn check(view: &LedgerView, findings: &mut Findings) {
    let mut symbols: BTreeMap<Symbol, Vec<&FillRow>> = BTreeMap::new();
    for row in &view.fills {
        symbols.entry(row.fill.symbol).or_default().push(row);
    }
    let held: BTreeSet<Symbol> = view.positions.iter().map(|row| row.position.symbol).collect();
    for symbol in held.union(&symbols.keys().copied().collect()) {
        let fills = symbols.get(symbol).map_or(&[][..], Vec::as_slice);
        positions_are_folds(view, *symbol, &stretches(fills), findings);
    }
    days_are_sums(view, findings);
    flat_by_close(view, &symbols, findings);
}

/// Cuts a symbol's fills where the account is flat; a fill through zero is divided there by shares.
fn stretches(fills: &[&FillRow]) -> Vec<Stretch> {
    let mut ordered = fills.to_vec();
    ordered.sort_by_key(|row| (row.fill.at, &row.fill.execution_id));
    let mut stretches = Vec::new();
    let mut now = Stretch::default();
    for row in ordered {
        let price = i128::from(row.fill.price.0);
        let mut rest = signed(row);
        while rest != 0 {
            // As much of the fill as leads to flat, if it leads away from what is held; else all of it.
            let leads_to_flat =
                now.shares != 0 && now.shares.signum() != rest.signum() && rest.abs() >= now.shares.abs();
            let part = if leads_to_flat { -now.shares } else { rest };
            now.shares += part;
            now.flow -= part * price;
            now.fills += 1;
            now.ended = row.fill.at;
            rest -= part;
            if now.shares == 0 {
                stretches.push(std::mem::take(&mut now));
            }
        }
    }
    if now.shares != 0 {
        stretches.push(now);
    }
    stretches
}

fn signed(row: &FillRow) -> i128 {
    let shares = i128::from(row.fill.quantity.0);
    match row.fill.side {
        Side::Buy => shares,
        Side::Sell => -shares,
    }
}

fn positions_are_folds(view: &LedgerView, symbol: Symbol, stretches: &[Stretch], findings: &mut Findings) {
    let of_symbol = || view.positions.iter().map(|row| &row.position).filter(|position| position.symbol == symbol);
    let open: Vec<&Position> = of_symbol().filter(|position| position.state != PositionState::Closed).collect();
    if open.len() > 1 {
        findings.add(Invariant::PositionIsFold, symbol, format!("{} positions are open in it", open.len()));
    }
    let held: i128 = open.iter().map(|position| shares_of(position)).sum();
    let folded = stretches.last().map_or(0, |stretch| stretch.shares);
    if held != folded {
        let found = format!("positions hold {}, the fills add up to {}", shares(held), shares(folded));
        findings.add(Invariant::PositionIsFold, symbol, found);
    }

    let mut closed: Vec<&Position> = of_symbol().filter(|position| position.state == PositionState::Closed).collect();
    closed.sort_by_key(|position| (position.closed_at, position.opened_at));
    let ended: Vec<&Stretch> = stretches.iter().filter(|stretch| stretch.shares == 0).collect();
    if closed.len() != ended.len() {
        let found = format!("{} positions are closed, the fills came back to zero {} times", closed.len(), ended.len());
        findings.add(Invariant::PositionIsFold, symbol, found);
        return;
    }
    for (position, stretch) in closed.into_iter().zip(ended) {
        let realised = i128::from(position.realised.0) * UNIT;
        // The ledger rounds each value down to 10^-8, and a division at a flip once more.
        let tolerance = (stretch.fills + 2) * UNIT;
        if (realised - stretch.flow).abs() > tolerance {
            let found = format!(
                "the position closed at {} realised {}, its fills {}",
                stretch.ended,
                position.realised,
                amount(stretch.flow / UNIT)
            );
            findings.add(Invariant::RealisedIsFold, symbol, found);
        }
        if position.closed_at != Some(stretch.ended) {
            let found = format!("closed: {}, its last fill traded at {}", instant(position.closed_at), stretch.ended);
            findings.add(Invariant::PositionIsFold, symbol, found);
        }
    }
}

fn shares_of(position: &Position) -> i128 {
    let shares = i128::from(position.quantity.0);
    match position.direction {
        Direction::Long => shares,
        Direction::Short => -shares,
    }
}

fn days_are_sums(view: &LedgerView, findings: &mut Findings) {
    for day in &view.days {
        let of_day = || view.fills.iter().filter(|row| row.session == day.session);
        let realised: i128 = of_day().map(|row| i128::from(row.realised.0)).sum();
        let fees: i128 = of_day().map(|row| i128::from(row.fill.fee.0)).sum();
        for (figure, stated, sum) in [("realised", day.realised, realised), ("fees", day.fees, fees)] {
            if i128::from(stated.0) != sum {
                findings.add(
                    Invariant::DayIsSum,
                    day.session,
                    format!("{figure} is {stated}, the session's fills add up to {}", amount(sum)),
                );
            }
        }
        let result = i128::from(day.closing_equity.0) - i128::from(day.opening_equity.0);
        let stated = i128::from(day.realised.0) + i128::from(day.unrealised.0) - i128::from(day.fees.0);
        if result != stated {
            findings.add(
                Invariant::DayIsSum,
                day.session,
                format!(
                    "equity went from {} to {}, but realised {} and unrealised {} less fees {} is another result",
                    day.opening_equity, day.closing_equity, day.realised, day.unrealised, day.fees
                ),
            );
        }
    }
    for point in &view.equity {
        let stated = i128::from(point.opening_equity.0) + i128::from(point.realised.0) + i128::from(point.unrealised.0)
            - i128::from(point.fees.0);
        if stated != i128::from(point.equity.0) {
            findings.add(
                Invariant::DayIsSum,
                format!("equity at {}", point.at),
                format!("{} is not what it opened with ({}) and the day's result", point.equity, point.opening_equity),
            );
        }
    }
}

fn flat_by_close(view: &LedgerView, symbols: &BTreeMap<Symbol, Vec<&FillRow>>, findings: &mut Findings) {
    let strangers = view.strangers();
    for session in view.sessions.iter().filter(|session| session.close <= view.as_of) {
        for (symbol, fills) in symbols.iter().filter(|(symbol, _)| !strangers.contains(symbol)) {
            let held: i128 = fills.iter().filter(|row| row.fill.at < session.close).map(|row| signed(row)).sum();
            if held != 0 {
                findings.add(
                    Invariant::FlatByClose,
                    format!("{} {symbol}", session.date),
                    format!("{} shares were held at the close", shares(held)),
                );
            }
        }
    }
}
