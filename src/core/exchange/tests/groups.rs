use super::*;
use OrderStatus::{Accepted, Canceled, Filled, Held, New, PartiallyFilled, Replaced};
use Side::{Buy, Sell};

fn statuses(desk: &Desk) -> Vec<OrderStatus> {
    desk.exchange.state().orders.iter().map(|book| book.order.status).collect()
}

fn oco(id: &str, shares: i64, target: i64, stop: i64) -> OrderTicket {
    OrderTicket { class: OrderClass::Oco { stop_loss: cents(stop) }, ..ticket(id, Sell, shares, limit(target)) }
}

#[test]
fn a_brackets_legs_wait_for_the_whole_entry() {
    let mut desk = Desk::new(ExchangeSettings { participation: Bps(1_000), ..plain() });
    let orders = desk.submit(&bracket("a", 20, limit(10_000), 9_900, 10_200), minute(5)).unwrap();
    assert_eq!(
        orders.iter().map(|order| order.role).collect::<Vec<_>>(),
        [OrderRole::Parent, OrderRole::TakeProfit, OrderRole::StopLoss]
    );
    assert!(orders[1..].iter().all(|leg| leg.parent == Some(id("a")) && leg.side == Sell && leg.status == Held));
    desk.bar_of(5, 10_000, 10_000, 10_000, 10_000, 100);
    assert_eq!(statuses(&desk), [PartiallyFilled, Held, Held]);
    desk.bar_of(6, 10_000, 10_000, 10_000, 10_000, 100);
    assert_eq!(statuses(&desk), [Filled, New, New]);
    desk.bar_of(7, 10_200, 10_200, 10_200, 10_200, 1_000);
    assert_eq!(statuses(&desk), [Filled, Filled, Canceled]);
    assert_eq!(desk.held(), Quantity::ZERO);
}

#[test]
fn the_stop_is_assumed_first() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_010, 9_990, 10_000);
    desk.bar(6, 10_000, 10_200, 9_800, 10_000);
    assert_eq!(desk.told()[1], (Sell, 10, 9_900, inside(6)));
    assert_eq!(statuses(&desk), [Filled, Canceled, Filled]);
}

#[test]
fn an_entry_at_the_open_has_the_whole_bar_before_its_legs() {
    for (bar, exit) in [
        ([10_000, 10_150, 9_950, 10_000], Some((10_100, inside(5)))),
        ([10_000, 10_150, 9_850, 10_000], Some((9_900, inside(5)))),
        ([10_000, 10_050, 9_950, 10_000], None),
    ] {
        let mut desk = Desk::new(plain());
        desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
        desk.bar(5, bar[0], bar[1], bar[2], bar[3]);
        let exit = exit.map(|(price, at)| (Sell, 10, price, at));
        let told: Vec<_> = [(Buy, 10, 10_000, minute(5))].into_iter().chain(exit).collect();
        assert_eq!(desk.told(), told, "{bar:?}");
    }
}

#[test]
fn an_entry_inside_the_bar_can_only_be_stopped_in_it() {
    for (bar, exit) in
        [([10_050, 10_150, 9_950, 10_000], None), ([10_050, 10_150, 9_850, 10_000], Some((9_900, inside(5))))]
    {
        let mut desk = Desk::new(plain());
        desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
        desk.bar(5, bar[0], bar[1], bar[2], bar[3]);
        let exit = exit.map(|(price, at)| (Sell, 10, price, at));
        let told: Vec<_> = [(Buy, 10, 10_000, inside(5))].into_iter().chain(exit).collect();
        assert_eq!(desk.told(), told, "{bar:?}");
    }
}

#[test]
fn an_entry_on_a_quote_can_only_be_stopped_in_the_bar_under_way() {
    let mut desk = Desk::new(plain());
    let now = second(5, 30);
    desk.submit_on(&bracket("a", 10, OrderType::Market, 9_900, 10_100), now, quote(now, 9_999, 10_000)).unwrap();
    desk.bar(5, 10_000, 10_150, 9_950, 10_000);
    assert_eq!(statuses(&desk), [Filled, New, New], "the high may have come before the entry");
    desk.bar(6, 10_000, 10_150, 9_950, 10_000);
    assert_eq!(statuses(&desk), [Filled, Filled, Canceled]);
}

#[test]
fn an_exit_in_part_shrinks_its_counterpart() {
    let mut desk = Desk::new(plain());
    desk.holds(30, 4, 10_000);
    let settings = ExchangeSettings { participation: Bps(1_000), ..plain() };
    let mut desk = Desk { exchange: Exchange::new(settings, desk.exchange.state().clone()), fills: vec![] };
    let orders = desk.submit(&oco("pair", 30, 10_100, 9_900), minute(5)).unwrap();
    assert_eq!((orders[0].role, orders[1].role), (OrderRole::TakeProfit, OrderRole::StopLoss));
    desk.bar_of(5, 10_000, 10_100, 9_990, 10_000, 100);
    assert_eq!((desk.order(2).filled, desk.order(3).quantity), (Quantity::whole(10), Quantity::whole(20)));
    desk.bar_of(6, 10_000, 10_000, 9_900, 9_900, 100);
    assert_eq!((desk.order(3).filled, desk.order(2).remaining()), (Quantity::whole(10), Quantity::whole(10)));
    desk.bar_of(7, 9_900, 9_900, 9_900, 9_900, 1_000);
    assert_eq!(statuses(&desk), [Filled, Canceled, Filled]);
    assert_eq!(desk.held(), Quantity::ZERO);
}

#[test]
fn a_cancel_ends_the_group_and_may_be_repeated() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_000, 10_000, 10_000);
    assert_eq!(desk.exchange.cancel("ord-000003", minute(6)), Ok(()));
    assert_eq!(statuses(&desk), [Filled, Canceled, Canceled]);
    assert_eq!(desk.exchange.cancel("ord-000002", minute(7)), Ok(()), "a canceled order stays canceled");
    assert_eq!(
        desk.exchange.cancel("ord-000001", minute(7)),
        Err(ChangeRefusal::Ended { broker_order_id: "ord-000001".to_owned(), status: Filled })
    );
    for unknown in ["ord-000009", "ord-1", "nonsense"] {
        let expected = ChangeRefusal::Unknown { broker_order_id: unknown.to_owned() };
        assert_eq!(desk.exchange.cancel(unknown, minute(7)), Err(expected));
    }
}

#[test]
fn a_canceled_entry_keeps_what_it_filled_without_a_stop() {
    let mut desk = Desk::new(ExchangeSettings { participation: Bps(1_000), ..plain() });
    desk.submit(&bracket("a", 20, limit(10_000), 9_900, 10_200), minute(5)).unwrap();
    desk.bar_of(5, 10_000, 10_000, 10_000, 10_000, 100);
    let exit = ticket("exit", Sell, 10, OrderType::Market);
    let refused = desk.submit(&exit, minute(6));
    assert!(
        matches!(refused, Err(Refusal::InsufficientShares { held_for_orders, .. }) if held_for_orders == Quantity::whole(10))
    );
    desk.exchange.cancel("ord-000001", minute(6)).unwrap();
    assert_eq!(statuses(&desk), [Canceled, Canceled, Canceled]);
    assert_eq!(desk.held(), Quantity::whole(10));
    desk.submit(&exit, minute(6)).unwrap();
}

#[test]
fn a_moved_stop_is_a_new_order_in_the_group() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_000, 10_000, 10_000);
    let moved = desk.exchange.replace_stop("ord-000003", cents(9_950), minute(6)).unwrap();
    assert_eq!((moved.broker_order_id.as_str(), moved.parent.clone()), ("ord-000004", Some(id("a"))));
    assert_eq!((moved.order_type, moved.role, moved.status), (stop(9_950), OrderRole::StopLoss, New));
    assert_eq!(statuses(&desk), [Filled, New, Replaced, New]);
    assert_eq!(desk.order(3).reason.as_deref(), Some("replaced by ord-000004"));
    desk.bar(6, 10_000, 10_000, 9_940, 10_000);
    assert_eq!(statuses(&desk), [Filled, Canceled, Replaced, Filled]);
    assert_eq!(desk.told()[1], (Sell, 10, 9_950, inside(6)));
}

#[test]
fn a_stop_moves_only_where_one_rests() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
    let id = || "ord-000003".to_owned();
    let held = desk.exchange.replace_stop("ord-000003", cents(9_910), minute(5)).unwrap();
    assert_eq!(held.status, Held, "a leg that waits may be moved too");
    let moved = held.broker_order_id;
    assert_eq!(desk.exchange.replace_stop(&moved, cents(9_910), minute(5)).unwrap().broker_order_id, moved);
    let odd = Price(cents(9_910).0 + 1);
    let refused = |desk: &mut Desk, id: &str, stop| desk.exchange.replace_stop(id, stop, minute(5)).unwrap_err();
    assert_eq!(refused(&mut desk, &moved, odd), ChangeRefusal::StopPrice { stop: odd, tick: cents(1) });
    assert_eq!(refused(&mut desk, "ord-000003", odd), ChangeRefusal::Ended { broker_order_id: id(), status: Replaced });
    let limit_order = ChangeRefusal::NoRestingStop { broker_order_id: "ord-000001".to_owned() };
    assert_eq!(refused(&mut desk, "ord-000001", cents(1)), limit_order);
    desk.event(&MarketEvent::SessionClose { at: minute(10) });
    desk.submit(&ticket("late", Buy, 1, stop(11_000)), minute(11)).unwrap();
    let parked = ChangeRefusal::NotWorking { broker_order_id: "ord-000005".to_owned(), status: Accepted };
    assert_eq!(refused(&mut desk, "ord-000005", cents(11_100)), parked);
}

#[test]
fn a_replaced_simple_stop_names_the_order_it_came_from() {
    let mut desk = Desk::new(plain());
    desk.holds(10, 5, 10_000);
    desk.submit(&ticket("protect", Sell, 10, stop(9_900)), minute(6)).unwrap();
    let moved = desk.exchange.replace_stop("ord-000002", cents(9_950), minute(6)).unwrap();
    assert_eq!((moved.parent, moved.role), (Some(id("protect")), OrderRole::Parent));
    let free = desk.submit(&ticket("more", Sell, 1, OrderType::Market), minute(6));
    assert!(matches!(free, Err(Refusal::InsufficientShares { .. })), "the new stop ties the shares up");
}

#[test]
fn a_stop_that_was_moved_inside_a_bar_fills_after_it_was_moved() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_300), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_000, 10_000, 10_000);
    let moved = second(6, 18);
    let stop = desk.exchange.replace_stop("ord-000003", cents(30_000), moved).unwrap();
    desk.bar(6, 10_000, 10_010, 9_990, 10_000);
    assert_eq!(desk.told()[1].3, inside(6));
    let filled = desk.exchange.state().orders.iter().find(|book| book.order.broker_order_id == stop.broker_order_id);
    assert!(filled.is_some_and(|book| book.order.status == Filled && book.order.updated_at > moved));
}

#[test]
fn settled_groups_are_retired_whole() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_000, 10_000, 10_000);
    desk.exchange.retire_settled();
    assert_eq!(statuses(&desk), [Filled, New, New], "the entry stays while its legs work");
    desk.bar(6, 9_900, 9_900, 9_900, 9_900);
    desk.exchange.retire_settled();
    assert_eq!(statuses(&desk), []);
}
