//! A fill that arrives after a later one of its symbol: the positions from there on are folded again.
//!
//! What was decided about a position (its stop, its adjustments, why it is to be left) stays with it: a position
//! keeps its row if any of its fills keeps it there.

use daybook_core::order::Fill;
use daybook_core::portfolio::{Booked, Effect, FillOrigin, Position, PositionState, book};
use daybook_core::time::Timestamp;
use rusqlite::{Transaction, params};

use super::position::{self, StoredPosition};
use super::{LedgerError, fill};

const SQL_MOVE_FILL: &str = "
    UPDATE fill SET realised_e8 = ?2, position_id = ?3 WHERE fill_id = ?1 AND (realised_e8 <> ?2 OR position_id <> ?3)";
/// Rows that refer to one another change together; what refers to nothing is found at the commit.
const SQL_DEFER: &str = "PRAGMA defer_foreign_keys = ON";

/// An execution of the symbol, with its row if it is recorded already.
struct Known {
    fill: Fill,
    origin: FillOrigin,
    row: Option<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    fill_id: i64,
    position_id: i64,
}

/// A position as it is folded now.
struct Folded {
    position: Position,
    /// The row that it keeps; `None`: it has none yet.
    kept: Option<i64>,
}

/// What an execution did, and to which of the folded positions.
struct Step {
    booked: Booked,
    ended: Option<usize>,
    last: usize,
}

/// Records an execution that is older than others of its symbol, and folds those again.
pub(super) fn insert_late(tx: &Transaction<'_>, account: &str, late: &Fill, now: Timestamp) -> Result<(), LedgerError> {
    let old = affected(tx, account, late)?;
    let since = old.first().map_or(late.at, |first| first.position.opened_at.min(late.at));
    let mut fills = Vec::new();
    for stored in fill::of_symbol_since(tx, account, late.symbol, since)? {
        let row = Some(Row { fill_id: stored.fill_id, position_id: stored.position_id });
        fills.push(Known { origin: fill::origin(tx, account, &stored.fill)?, fill: stored.fill, row });
    }
    let place =
        fills.partition_point(|known| (known.fill.at, &known.fill.execution_id) < (late.at, &late.execution_id));
    fills.insert(place, Known { fill: late.clone(), origin: fill::origin(tx, account, late)?, row: None });

    let refused = |error: &dyn std::error::Error| LedgerError::Refused {
        what: "execution",
        key: late.execution_id.clone(),
        reason: error.to_string(),
    };
    // The first fold finds which fills make a position; the second carries on what was decided about it.
    let (_, steps) = fold(&fills, |_| None).map_err(|error| refused(&error))?;
    let kept = matched(&fills, &steps);
    let mut decided = Vec::with_capacity(kept.len());
    for row in &kept {
        let stored = row.and_then(|id| old.iter().find(|stored| stored.position_id == id));
        decided.push(match stored {
            Some(stored) => Some(as_decided(tx, stored)?),
            None => None,
        });
    }
    let (mut folded, steps) =
        fold(&fills, |number| decided.get(number).and_then(Option::as_ref)).map_err(|error| refused(&error))?;
    for (position, row) in folded.iter_mut().zip(kept) {
        position.kept = row.filter(|id| old.iter().any(|stored| stored.position_id == *id));
    }
    tracing::info!(execution_id = late.execution_id, symbol = %late.symbol, fills = fills.len(), "positions.refolded");
    write(tx, account, &old, &folded, &fills, &steps, now)
}

/// The positions that the fill may change: those held when it traded or later, and those that are linked to them by
/// an execution which ended one and began another.
fn affected(tx: &Transaction<'_>, account: &str, late: &Fill) -> Result<Vec<StoredPosition>, LedgerError> {
    let mut since = late.at;
    loop {
        let held = position::held_since(tx, account, late.symbol, since)?;
        match held.first() {
            Some(first) if first.position.opened_at < since => since = first.position.opened_at,
            Some(_) | None => return Ok(held),
        }
    }
}

/// Folds the fills from flat; `decided` answers what was decided about the n-th position.
fn fold<'a>(
    fills: &[Known],
    decided: impl Fn(usize) -> Option<&'a Position>,
) -> Result<(Vec<Folded>, Vec<Step>), daybook_core::money::MoneyError> {
    let mut folded: Vec<Folded> = Vec::new();
    let mut steps = Vec::with_capacity(fills.len());
    let mut open: Option<Position> = None;
    for known in fills {
        let mut booked = book(open.take(), &known.fill, &known.origin)?;
        let mut ended = None;
        if let Some(closed) = &booked.closed
            && let Some(last) = folded.last_mut()
        {
            last.position = closed.clone();
            ended = Some(folded.len() - 1);
        }
        if let Some(position) = &mut booked.open {
            if booked.effects.contains(&Effect::Opened) {
                if let Some(decided) = decided(folded.len()) {
                    take_over(position, decided);
                }
                folded.push(Folded { position: position.clone(), kept: None });
            } else if let Some(last) = folded.last_mut() {
                last.position = position.clone();
            }
        }
        open.clone_from(&booked.open);
        // The first fill meets nothing, so it has opened a position.
        let last = folded.len().saturating_sub(1);
        steps.push(Step { booked, ended, last });
    }
    Ok((folded, steps))
}

/// The row that each folded position keeps: that of the first of its fills whose row no other has taken.
fn matched(fills: &[Known], steps: &[Step]) -> Vec<Option<i64>> {
    let count = steps.last().map_or(0, |step| step.last + 1);
    let mut kept: Vec<Option<i64>> = vec![None; count];
    for (known, step) in fills.iter().zip(steps) {
        let Some(row) = known.row else { continue };
        // A fill that ends one position and opens the next stands with the second.
        if let Some(place) = kept.get(step.last)
            && place.is_none()
            && !kept.contains(&Some(row.position_id))
        {
            kept[step.last] = Some(row.position_id);
        }
    }
    kept
}

/// A position with what was decided about it while it was open: a close has put its own reason over that.
fn as_decided(tx: &Transaction<'_>, stored: &StoredPosition) -> Result<Position, LedgerError> {
    let mut position = stored.position.clone();
    if position.state != PositionState::Closed {
        return Ok(position);
    }
    position.state = PositionState::Open;
    position.exit_reason = None;
    for event in position::history(tx, stored.position_id)? {
        match event.kind.as_str() {
            "watched" if position.state == PositionState::Open => position.state = PositionState::Monitoring,
            "exit_begun" => {
                position.state = PositionState::Closing;
                position.exit_reason = event.detail;
            }
            _ => {}
        }
    }
    Ok(position)
}

/// Puts onto a position that was just opened again what was decided about it.
fn take_over(position: &mut Position, decided: &Position) {
    position.state = decided.state;
    position.exit_reason.clone_from(&decided.exit_reason);
    if decided.state == PositionState::Open || position.direction != decided.direction {
        return; // nobody has decided anything yet, or for the other direction
    }
    position.stop = decided.stop.or(position.stop);
    position.target = decided.target.or(position.target);
    position.adjustments = decided.adjustments;
    position.best_price = decided.best_price;
}

fn write(
    tx: &Transaction<'_>,
    account: &str,
    old: &[StoredPosition],
    folded: &[Folded],
    fills: &[Known],
    steps: &[Step],
    now: Timestamp,
) -> Result<(), LedgerError> {
    tx.execute_batch(SQL_DEFER)?;
    for stored in old.iter().filter(|stored| folded.iter().all(|folded| folded.kept != Some(stored.position_id))) {
        position::forget(tx, stored.position_id)?;
    }
    // The closed ones first: one of a symbol is open at a time, and it is the last.
    let mut rows = Vec::with_capacity(folded.len());
    for Folded { position, kept } in folded {
        rows.push(match kept {
            Some(id) => {
                position::rewrite(tx, *id, position)?;
                *id
            }
            None => position::insert(tx, account, position)?,
        });
    }
    for (known, step) in fills.iter().zip(steps) {
        let Some(position_id) = rows.get(step.last).copied() else { continue };
        let ended = step.ended.and_then(|place| rows.get(place).copied());
        let fill_id = match known.row {
            Some(row) => {
                let realised = fill::realised_by(&step.booked);
                tx.prepare_cached(SQL_MOVE_FILL)?.execute(params![row.fill_id, realised.0, position_id])?;
                row.fill_id
            }
            None => fill::insert(tx, account, &known.fill, &step.booked, position_id, now)?,
        };
        fill::note_effects(tx, &known.fill, fill_id, &step.booked, ended, position_id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use daybook_core::money::{Money, Price, Quantity};
    use daybook_core::order::Side;
    use daybook_core::portfolio::{Book, PositionChange, PositionEvent};
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::check::check_file;
    use crate::ledger::testing::{OPEN, TestLedger, session, symbol};
    use daybook_core::decision::Decision;

    fn execution(number: u32, side: Side, shares: i64, cents: i64) -> Fill {
        Fill {
            execution_id: format!("x-{number:04}"),
            broker_order_id: "b-1".to_owned(),
            client_order_id: "c-1".parse().unwrap(),
            symbol: symbol("AAPL"),
            side,
            quantity: Quantity::whole(shares),
            price: Price::from_cents(cents),
            fee: Money(1_000_000),
            at: Timestamp(OPEN.0 + i64::from(number / 2) * 1_000),
        }
    }

    fn show(day: &TestLedger, fill: &Fill) {
        let fill = fill.clone();
        let recorded = day.ledger.write_blocking(move |tx| fill::record(tx, "paper", &[fill], OPEN)).unwrap();
        assert_eq!(recorded.new.len(), 1);
    }

    fn stored(day: &TestLedger) -> Vec<StoredPosition> {
        let mut positions = day.ledger.read(|conn| position::all(conn, "paper")).unwrap();
        positions.sort_by_key(|stored| (stored.position.opened_at, stored.position_id));
        positions
    }

    #[test]
    fn an_entry_that_arrives_after_its_exit_makes_the_same_trade() {
        let day = TestLedger::new();
        show(&day, &execution(4, Side::Sell, 10, 11_00));
        show(&day, &execution(2, Side::Buy, 10, 10_00));
        let positions = stored(&day);
        assert_eq!(positions.len(), 1);
        assert_eq!(positions[0].position.realised, Money::whole(10));
        assert_eq!(positions[0].position.opened_at, execution(2, Side::Buy, 1, 1).at);
        let fills = day.ledger.read(|conn| fill::all(conn, "paper")).unwrap();
        assert_eq!(fills[0].realised, Money::whole(10));
        let story = day.ledger.read(|conn| position::history(conn, positions[0].position_id)).unwrap();
        assert_eq!(story.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["opened", "closed"]);
        assert!(day.ledger.read(check_file).unwrap().is_sound());
    }

    #[test]
    fn what_was_decided_about_a_position_outlasts_a_late_fill() {
        let day = TestLedger::new();
        show(&day, &execution(2, Side::Buy, 10, 10_00));
        let run = day.run("risk-monitor", 1);
        let change = |event| PositionChange { symbol: symbol("AAPL"), event };
        let stop = Price::from_cents(9_50);
        let decided = [
            PositionEvent::Watched,
            PositionEvent::AdjustBegun { stop },
            PositionEvent::ExitBegun { reason: "max hold".to_owned() },
        ];
        let positions = decided.into_iter().map(change).collect();
        day.decide(&run, &Decision { positions, ..Decision::default() });
        show(&day, &execution(6, Side::Sell, 10, 11_00));
        show(&day, &execution(4, Side::Buy, 5, 10_00));
        let held = stored(&day);
        assert_eq!(held.len(), 1);
        let position = &held[0].position;
        assert_eq!((position.quantity, position.state), (Quantity::whole(5), PositionState::Closing));
        assert_eq!((position.stop, position.adjustments), (Some(stop), 1));
        show(&day, &execution(8, Side::Sell, 5, 11_00));
        let trades = day.ledger.read(|conn| position::closed_in(conn, "paper", session())).unwrap();
        assert_eq!(trades[0].position.exit_reason.as_deref(), Some("max hold"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn positions_are_the_fold_of_fills_in_whatever_order_they_arrive(
            (fills, arrivals) in proptest::collection::vec((any::<bool>(), 1_i64..50, 9_00_i64..11_00), 1..16)
                .prop_flat_map(|trades| {
                    let fills: Vec<Fill> = (0..).zip(trades).map(|(number, (buys, shares, cents))| {
                        execution(number, if buys { Side::Buy } else { Side::Sell }, shares, cents)
                    }).collect();
                    (Just(fills.clone()), Just(fills).prop_shuffle())
                })
        ) {
            let day = TestLedger::new();
            for fill in &arrivals {
                show(&day, fill);
            }
            let mut book = Book::default();
            for fill in &fills {
                book.apply(fill, &FillOrigin::STRANGER).unwrap();
            }
            let folded: Vec<Position> = book.closed.iter().chain(book.open.values()).cloned().collect();
            let found: Vec<Position> = stored(&day).into_iter().map(|stored| stored.position).collect();
            // Two that open at one instant may stand in either order.
            prop_assert_eq!(found.len(), folded.len());
            for position in &folded {
                prop_assert!(found.contains(position), "{position:?} is not among {found:?}");
            }
            let realised: Money = day.ledger.read(|conn| fill::session_result(conn, "paper", session())).unwrap().realised;
            prop_assert_eq!(realised.0, folded.iter().map(|position| position.realised.0).sum::<i64>());
            prop_assert!(day.ledger.read(check_file).unwrap().is_sound());
        }
    }
}
