//! What a venue lets an order ask for beyond a ticket.

use super::*;

fn terms(timing: Timing) -> Terms {
    Terms { timing, ..Terms::default() }
}

#[test]
fn what_is_for_now_fills_now_or_ends() {
    let mut desk = Desk::new(ExchangeSettings { participation: Bps::ONE, ..plain() });
    let offer = quote(second(1, 0), 9_990, 10_000); // a hundred shares
    let mut place = |id: &str, shares, timing| {
        let order = ticket(id, Side::Buy, shares, limit(10_000));
        let placed = desk.exchange.submit_on(&order, terms(timing), second(1, 0), Some(&offer)).unwrap();
        (placed[0].status, placed[0].filled)
    };
    assert_eq!(place("ioc", 150, Timing::ImmediateOrCancel), (OrderStatus::Canceled, Quantity::whole(100)));
    assert_eq!(place("fok", 150, Timing::FillOrKill), (OrderStatus::Canceled, Quantity::ZERO));
    assert_eq!(place("all", 100, Timing::FillOrKill), (OrderStatus::Filled, Quantity::whole(100)));
}

#[test]
fn auctions_fill_at_the_first_and_the_last_price() {
    let mut desk = Desk::new(plain());
    let place = |desk: &mut Desk, id: &str, order_type, timing| {
        desk.exchange.submit_on(&ticket(id, Side::Buy, 1, order_type), terms(timing), second(1, 0), None).unwrap();
    };
    place(&mut desk, "close", limit(20_000), Timing::AtClose);
    place(&mut desk, "open", limit(9_000), Timing::AtOpen);
    desk.bar(2, 10_000, 10_100, 9_900, 10_050);
    assert_eq!((desk.status(1), desk.status(2)), (OrderStatus::Accepted, OrderStatus::Accepted));
    desk.event(&MarketEvent::SessionClose { at: minute(3) });
    assert_eq!(desk.told(), [(Side::Buy, 1, 10_050, minute(3))]);
    desk.event(&MarketEvent::SessionOpen { at: minute(10) });
    desk.bar(10, 10_000, 10_100, 9_900, 10_050);
    assert_eq!(desk.status(2), OrderStatus::Canceled);
}

#[test]
fn outside_regular_hours_only_who_asks_trades() {
    let mut desk = Desk::new(plain());
    desk.event(&MarketEvent::SessionClose { at: minute(1) });
    desk.event(&MarketEvent::ExtendedOpen { at: minute(2) });
    let extended = Terms { extended_hours: true, ..Terms::default() };
    let order = ticket("early", Side::Buy, 1, limit(10_000));
    desk.exchange.submit_on(&order, extended, minute(2), None).unwrap();
    desk.submit(&ticket("parked", Side::Buy, 1, limit(10_000)), minute(2)).unwrap();
    desk.event(&MarketEvent::Quote { symbol: order.symbol, quote: quote(minute(3), 9_990, 9_995) });
    assert_eq!((desk.status(1), desk.status(2)), (OrderStatus::Filled, OrderStatus::Accepted));
    let late = ticket("late", Side::Buy, 1, limit(9_000));
    desk.exchange.submit_on(&late, extended, minute(3), None).unwrap();
    desk.event(&MarketEvent::SessionOpen { at: minute(4) });
    desk.event(&MarketEvent::SessionClose { at: minute(5) });
    assert_eq!((desk.status(2), desk.status(3)), (OrderStatus::Expired, OrderStatus::New));
    desk.event(&MarketEvent::ExtendedClose { at: minute(6) });
    assert_eq!(desk.status(3), OrderStatus::Expired);
}

#[test]
fn a_fill_activates_the_one_exit() {
    let mut desk = Desk::new(plain());
    let exit = Terms { then: Some(stop(9_500)), ..Terms::default() };
    desk.exchange.submit_on(&ticket("oto", Side::Buy, 3, limit(10_000)), exit, minute(1), None).unwrap();
    assert_eq!(desk.status(2), OrderStatus::Held);
    desk.bar(1, 10_000, 10_000, 10_000, 10_000);
    assert_eq!((desk.status(2), desk.order(2).role), (OrderStatus::New, OrderRole::StopLoss));
    desk.bar(2, 9_600, 9_600, 9_400, 9_450);
    assert_eq!(desk.held(), Quantity::ZERO);
}

#[test]
fn an_amended_entry_still_activates_its_legs() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("one", 10, limit(9_000), 8_500, 11_000), minute(1)).unwrap();
    let amendment = Amendment { limit: Some(cents(10_000)), ..Amendment::default() };
    let new = desk.exchange.amend("ord-000001", &amendment, minute(1)).unwrap();
    let again = desk.exchange.amend(&new.broker_order_id, &amendment, minute(1));
    assert!(matches!(again, Err(Refusal::Change(ChangeRefusal::Unchanged { .. }))), "{again:?}");
    desk.bar(1, 10_000, 10_000, 10_000, 10_000);
    let statuses: Vec<OrderStatus> = (1..=4).map(|number| desk.status(number)).collect();
    assert_eq!(statuses, [OrderStatus::Replaced, OrderStatus::New, OrderStatus::New, OrderStatus::Filled]);
}

#[test]
fn an_amendment_must_be_paid_for() {
    let mut desk = Desk::new(plain());
    desk.submit(&ticket("all", Side::Buy, 900, limit(10_000)), minute(1)).unwrap();
    let more = |shares| Amendment { quantity: Some(Quantity::whole(shares)), ..Amendment::default() };
    let refused = desk.exchange.amend("ord-000001", &more(1_001), minute(1));
    assert!(matches!(refused, Err(Refusal::InsufficientBuyingPower { .. })), "{refused:?}");
    assert_eq!(desk.exchange.amend("ord-000001", &more(1_000), minute(1)).unwrap().quantity, Quantity::whole(1_000));
}
