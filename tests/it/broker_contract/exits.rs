use super::*;
use OrderRole::{Parent, StopLoss, TakeProfit};
use OrderStatus::{Canceled, Expired, Filled, New, Replaced};
use daybook_core::order::Trail;

/// Ten shares from 10:00 at 100.00, with a stop at 99.00 and a target at 102.00; it is 10:01.
async fn protected<V: Venue>() -> V {
    let venue: V = monday(exact(), "10:00").await;
    send(&venue, &bracket("a", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    venue
}

pub async fn the_stop_ends_the_trade<V: Venue>() {
    for (bar, price) in [([9_950, 9_960, 9_890, 9_920], 9_900), ([9_800, 9_810, 9_700, 9_750], 9_800)] {
        let venue: V = protected().await;
        venue.market().minute("AAPL", at("10:01"), bar);
        venue.wait_until(at("10:02")).await;
        assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(price))], "{bar:?}");
        assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, Canceled), (StopLoss, Filled)]);
        assert_eq!(held(&venue).await, 0);
        assert_eq!(venue.broker().open_orders().await.unwrap(), []);
    }
}

pub async fn the_target_ends_the_trade<V: Venue>() {
    for (bar, price) in [([10_100, 10_210, 10_090, 10_200], 10_200), ([10_300, 10_310, 10_290, 10_300], 10_300)] {
        let venue: V = protected().await;
        venue.market().minute("AAPL", at("10:01"), bar);
        venue.wait_until(at("10:02")).await;
        assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(price))], "{bar:?}");
        assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, Filled), (StopLoss, Canceled)]);
    }
}

pub async fn a_bar_that_reaches_both_is_a_loss<V: Venue>() {
    let venue: V = protected().await;
    venue.market().minute("AAPL", at("10:01"), [10_000, 10_300, 9_800, 10_250]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(9_900))]);
}

pub async fn every_type_of_exit<V: Venue>() {
    let trail = |trail| OrderType::TrailingStop { trail };
    for (order_type, price) in [
        (OrderType::Market, 10_000),
        (limit(10_100), 10_100),
        (stop(9_950), 9_950),
        (OrderType::StopLimit { stop: cents(9_950), limit: cents(9_940) }, 9_950),
        (trail(Trail::Amount(cents(80))), 10_020),
        (trail(Trail::Ratio(Bps(100))), 9_999),
    ] {
        let venue: V = monday(exact(), "09:58").await;
        holds(&venue, 10, "10:00").await;
        send(&venue, &sell("exit", 10, order_type)).await.unwrap();
        // Up by a dollar in one minute, down by two in the next.
        venue.market().minute("AAPL", at("10:00"), [10_000, 10_100, 10_000, 10_100]);
        venue.market().minute("AAPL", at("10:01"), [10_100, 10_100, 9_900, 9_900]);
        venue.wait_until(at("10:02")).await;
        assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(price))], "{order_type:?}");
        assert_eq!(states(&venue, "exit").await, [(Parent, Filled)]);
        assert_eq!(held(&venue).await, 0);
    }
}

pub async fn a_pair_protects_what_is_held<V: Venue>() {
    let tenth = ExchangeSettings { participation: Bps(1_000), ..exact() };
    let venue: V = monday(tenth, "09:58").await;
    holds(&venue, 10, "10:00").await;
    let orders = send(&venue, &pair("pair", 10, 9_900, 10_200)).await.unwrap();
    assert_eq!(orders.iter().map(|order| order.role).collect::<Vec<_>>(), [TakeProfit, StopLoss]);
    venue.market().minute_of("AAPL", at("10:00"), [10_100, 10_200, 10_100, 10_100], Quantity::whole(40));
    venue.wait_until(at("10:01")).await;
    let orders = venue.broker().orders_by_client_id(&id("pair")).await.unwrap();
    assert_eq!((orders[0].filled, orders[1].remaining()), (Quantity::whole(4), Quantity::whole(6)));
    venue.market().minute("AAPL", at("10:01"), [9_800; 4]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 4, cents(10_200)), (Side::Sell, 6, cents(9_800))]);
    assert_eq!(states(&venue, "pair").await, [(TakeProfit, Canceled), (StopLoss, Filled)]);
}

pub async fn a_stop_is_moved<V: Venue>() {
    let venue: V = protected().await;
    let old = venue.broker().orders_by_client_id(&id("a")).await.unwrap()[2].clone();
    let moved = venue.broker().replace_stop(&old.broker_order_id, cents(9_980)).await.unwrap();
    assert_eq!((moved.order_type, moved.role, moved.status), (stop(9_980), StopLoss, New));
    let in_force = &venue.broker().orders_by_client_id(&id("a")).await.unwrap()[2];
    assert_eq!(in_force.broker_order_id, moved.broker_order_id);
    if moved.broker_order_id != old.broker_order_id {
        let before = venue.broker().orders(&[old.broker_order_id]).await.unwrap();
        assert_eq!(before[0].status, Replaced);
    }
    venue.market().minute("AAPL", at("10:01"), [10_000, 10_000, 9_950, 9_990]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(9_980))]);
    let again = venue.broker().replace_stop(&moved.broker_order_id, cents(9_990)).await;
    assert!(matches!(again, Err(BrokerError::Rejected { .. })), "{again:?}");
}

pub async fn a_stop_that_was_hit_meanwhile_is_not_moved<V: Venue>() {
    let venue: V = protected().await;
    let stop_loss = venue.broker().orders_by_client_id(&id("a")).await.unwrap()[2].broker_order_id.clone();
    let moved = venue.broker().replace_stop(&stop_loss, cents(9_950)).await.unwrap();
    let again = venue.broker().replace_stop(&moved.broker_order_id, cents(9_950)).await.unwrap();
    assert_eq!(again.broker_order_id, moved.broker_order_id, "it is there already");
    venue.market().minute("AAPL", at("10:01"), [9_960, 9_960, 9_940, 9_960]);
    venue.wait_until(at("10:02")).await;
    // Nobody has asked since: who moves it thinks that it rests.
    let late = venue.broker().replace_stop(&moved.broker_order_id, cents(9_955)).await;
    assert!(matches!(late, Err(BrokerError::Rejected { .. })), "{late:?}");
    assert_eq!((held(&venue).await, told(&venue).await[1]), (0, (Side::Sell, 10, cents(9_950))));
    assert_eq!(venue.broker().open_orders().await.unwrap(), []);
}

/// A halt is a stretch of regular hours in which nothing trades; the first price after it may be anywhere.
pub async fn nothing_fills_in_a_halt<V: Venue>() {
    let venue: V = protected().await;
    venue.wait_until(at("10:30")).await;
    let exit = send(&venue, &sell("exit", 10, OrderType::Market)).await;
    assert!(matches!(exit, Err(BrokerError::Rejected { .. })), "the legs hold the shares: {exit:?}");
    assert_eq!((held(&venue).await, told(&venue).await.len()), (10, 1));
    assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, New), (StopLoss, New)]);
    venue.market().minute("AAPL", at("10:30"), [9_500, 9_600, 9_400, 9_550]);
    venue.wait_until(at("10:31")).await;
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(9_500))], "far below its price, and out");
}

pub async fn shares_are_sold_once<V: Venue>() {
    let venue: V = protected().await;
    let early = send(&venue, &sell("exit", 10, OrderType::Market)).await;
    assert!(matches!(early, Err(BrokerError::Rejected { .. })), "the legs hold the shares: {early:?}");
    let legs = venue.broker().open_orders().await.unwrap();
    venue.broker().cancel(&legs[0].broker_order_id).await.unwrap();
    let too_many = send(&venue, &sell("exit", 11, OrderType::Market)).await;
    assert!(matches!(too_many, Err(BrokerError::Rejected { .. })), "{too_many:?}");
    send(&venue, &sell("exit", 10, OrderType::Market)).await.unwrap();
    venue.market().minute("AAPL", at("10:01"), [10_010, 10_300, 9_800, 10_000]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(10_010))]);
    assert_eq!(held(&venue).await, 0);
}

pub async fn day_orders_end_at_an_early_close<V: Venue>() {
    let friday = |wall| new_york("2026-11-27", wall);
    let venue = V::open(exact(), friday("12:00")).await;
    venue.market().flat("AAPL", friday("12:00"), 60, 10_000);
    let gtc = OrderTicket { time_in_force: TimeInForce::Gtc, ..bracket("gtc", 1, limit(9_800), 9_700, 10_200) };
    send(&venue, &bracket("filled", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    send(&venue, &bracket("waiting", 10, limit(9_800), 9_700, 10_200)).await.unwrap();
    send(&venue, &gtc).await.unwrap();
    venue.wait_until(friday("12:59:59")).await;
    assert_eq!(venue.broker().open_orders().await.unwrap().len(), 8);
    venue.wait_until(friday("13:00")).await;
    assert_eq!(states(&venue, "filled").await, [(Parent, Filled), (TakeProfit, Expired), (StopLoss, Expired)]);
    assert_eq!(states(&venue, "waiting").await[0], (Parent, Expired));
    assert!(states(&venue, "waiting").await.iter().all(|(_, status)| status.is_terminal()));
    let open = venue.broker().open_orders().await.unwrap();
    assert!(open.len() == 3 && open[0].client_order_id == id("gtc"), "{open:?}");
    venue.market().minute("AAPL", new_york("2026-11-30", "09:30"), [9_750; 4]);
    venue.wait_until(new_york("2026-11-30", "09:31")).await;
    assert_eq!(states(&venue, "gtc").await, [(Parent, Filled), (TakeProfit, New), (StopLoss, New)]);
}
