use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

fn fill(execution: u64, symbol: &str, side: Side, shares: i64, cents: i64, at: i64) -> Fill {
    Fill {
        execution_id: format!("x{execution:06}"),
        broker_order_id: format!("b{execution}"),
        client_order_id: "dbk-1".parse().unwrap(),
        symbol: symbol.parse().unwrap(),
        side,
        quantity: Quantity::whole(shares),
        price: Price::from_cents(cents),
        fee: Money(35_000_000),
        at: Timestamp(at),
    }
}

fn planned(stop: i64, target: i64) -> FillOrigin {
    let plan = EntryPlan {
        strategy: "opening_range_breakout".to_owned(),
        stop: Price::from_cents(stop),
        target: Price::from_cents(target),
    };
    FillOrigin { role: OrderRole::Parent, plan: Some(plan), is_ours: true }
}

fn leg(role: OrderRole) -> FillOrigin {
    FillOrigin { role, plan: None, is_ours: true }
}

#[test]
fn a_trade_from_its_first_fill_to_its_stop() {
    let mut book = Book::with_cash(Money::whole(100_000));
    let buy = |n, shares, cents| fill(n, "AAPL", Side::Buy, shares, cents, i64::try_from(n).unwrap());
    assert_eq!(book.apply(&buy(1, 60, 10_00), &planned(9_80, 10_40)), Ok(vec![Effect::Opened]));
    assert_eq!(book.apply(&buy(2, 40, 10_05), &planned(9_80, 10_40)), Ok(vec![Effect::Added]));
    let symbol = "AAPL".parse().unwrap();
    let open = &book.open[&symbol];
    assert_eq!(open.entry_price.to_string(), "10.02");
    assert_eq!((open.stop, open.initial_stop), (Some(Price::from_cents(9_80)), Some(Price::from_cents(9_80))));
    assert_eq!(book.held(symbol), Quantity::whole(100));

    let sell = |n, shares| fill(n, "AAPL", Side::Sell, shares, 9_80, i64::try_from(n).unwrap());
    assert_eq!(
        book.apply(&sell(3, 30), &leg(OrderRole::StopLoss)),
        Ok(vec![Effect::Reduced { realised: "-6.60".parse().unwrap() }])
    );
    assert_eq!(
        book.apply(&sell(4, 70), &leg(OrderRole::StopLoss)),
        Ok(vec![Effect::Closed { realised: "-15.40".parse().unwrap() }])
    );
    assert!(book.open.is_empty());
    let trade = &book.closed[0];
    assert_eq!(trade.state, PositionState::Closed);
    assert_eq!(trade.exit_reason.as_deref(), Some("stop"));
    assert_eq!(trade.realised.to_string(), "-22.00");
    assert_eq!(trade.net().to_string(), "-23.40");
    assert_eq!(trade.quantity_max, Quantity::whole(100));
    assert_eq!(trade.closed_at, Some(Timestamp(4)));
    assert_eq!(book.cash.to_string(), "99976.60");
}

#[test]
fn a_fill_beyond_what_is_held_closes_and_opens() {
    let mut book = Book::default();
    book.apply(&fill(1, "AAPL", Side::Buy, 100, 10_00, 1), &FillOrigin::STRANGER).unwrap();
    let effects = book.apply(&fill(2, "AAPL", Side::Sell, 150, 11_00, 2), &FillOrigin::STRANGER).unwrap();
    assert_eq!(effects, [Effect::Closed { realised: Money::whole(100) }, Effect::Opened]);
    assert_eq!(book.held("AAPL".parse().unwrap()), Quantity::whole(-50));
    let short = book.open.values().next().unwrap();
    assert_eq!((short.direction, short.entry_price), (Direction::Short, Price::from_cents(11_00)));
    // The fee of 0.35 is divided by shares: two thirds leave with the long.
    assert_eq!(book.closed[0].fees.to_string(), "0.58333333");
    assert_eq!(short.fees.to_string(), "0.11666667");
}

#[test]
fn why_a_position_ended() {
    let decided = |role, adjustments: u32| {
        let bought = fill(1, "AAPL", Side::Buy, 10, 10_00, 1);
        let mut open = book(None, &bought, &planned(9_00, 12_00)).unwrap().open.unwrap();
        open.exit_reason = Some("max hold".to_owned());
        open.adjustments = adjustments;
        let booked = book(Some(open), &fill(2, "AAPL", Side::Sell, 10, 11_00, 2), &leg(role)).unwrap();
        booked.closed.unwrap().exit_reason.unwrap()
    };
    assert_eq!(decided(OrderRole::Parent, 0), "max hold");
    assert_eq!(decided(OrderRole::StopLoss, 0), "stop");
    assert_eq!(decided(OrderRole::StopLoss, 2), "trailed stop");
    assert_eq!(decided(OrderRole::TakeProfit, 0), "target");
}

#[test]
fn a_sum_that_does_not_fit_is_an_error_and_changes_nothing() {
    let mut book = Book::with_cash(Money::MAX);
    let before = book.clone();
    let sold = fill(1, "AAPL", Side::Sell, 1, 10_00, 1);
    assert!(book.apply(&sold, &FillOrigin::STRANGER).is_err());
    assert_eq!(book, before);
}

fn fills() -> impl Strategy<Value = Vec<Fill>> {
    // Odd prices and fractions of shares, so that roundings happen; few symbols and instants, so that they collide.
    let one = (0..3_usize, any::<bool>(), 1..400_000_000_000_i64, 1..50_000_000_000_i64, 0..5_i64, 0..200_000_000_i64);
    prop::collection::vec(one, 0..40).prop_map(|rows| {
        let numbered = rows.into_iter().zip(0..);
        let row = |((symbol, buys, quantity, price, at, fee), n)| Fill {
            side: if buys { Side::Buy } else { Side::Sell },
            quantity: Quantity(quantity),
            price: Price(price),
            fee: Money(fee),
            ..fill(n, ["A", "B", "C"][symbol], Side::Buy, 1, 1, at)
        };
        numbered.map(row).collect()
    })
}

fn folded(fills: &[Fill]) -> Book {
    let mut fills = fills.to_vec();
    sort_fills(&mut fills);
    let mut book = Book::with_cash(Money::whole(1_000_000));
    for fill in &fills {
        book.apply(fill, &FillOrigin::STRANGER).unwrap();
    }
    book
}

fn signed_cost(position: &Position) -> i64 {
    match position.direction {
        Direction::Long => position.cost.0,
        Direction::Short => -position.cost.0,
    }
}

proptest! {
    #[test]
    fn cash_and_cost_are_what_there_was_and_what_was_realised(fills in fills()) {
        let book = folded(&fills);
        let positions = || book.open.values().chain(&book.closed);
        let realised: i64 = positions().map(|position| position.realised.0).sum();
        let fees: i64 = positions().map(|position| position.fees.0).sum();
        let cost: i64 = book.open.values().map(signed_cost).sum();
        prop_assert_eq!(book.cash.0 + cost, Money::whole(1_000_000).0 + realised - fees);
        prop_assert_eq!(fees, fills.iter().map(|fill| fill.fee.0).sum::<i64>());
    }

    #[test]
    fn shares_are_the_sum_of_the_fills(fills in fills()) {
        let book = folded(&fills);
        for symbol in ["A", "B", "C"].map(|text| text.parse().unwrap()) {
            let sum: i64 =
                fills.iter().filter(|fill| fill.symbol == symbol).map(|fill| fill.side.signed(fill.quantity).0).sum();
            prop_assert_eq!(book.held(symbol).0, sum);
        }
    }

    #[test]
    fn a_closed_trade_realised_the_difference_of_its_values(fills in fills()) {
        for trade in folded(&fills).closed {
            let earned = match trade.direction {
                Direction::Long => trade.exit_value.0 - trade.entry_value.0,
                Direction::Short => trade.entry_value.0 - trade.exit_value.0,
            };
            prop_assert_eq!(trade.realised.0, earned);
            prop_assert_eq!(trade.cost, Money::ZERO);
            prop_assert_eq!(trade.quantity, Quantity::ZERO);
        }
    }

    #[test]
    fn fills_of_one_instant_are_booked_by_execution_id_however_they_came(
        (given, shuffled) in fills().prop_flat_map(|fills| (Just(fills.clone()), Just(fills).prop_shuffle()))
    ) {
        prop_assert_eq!(folded(&given), folded(&shuffled));
    }
}
