use super::*;
use OrderRole::{Parent, StopLoss, TakeProfit};
use OrderStatus::{Canceled, Filled};

pub async fn refusals_say_why_and_leave_nothing_behind<V: Venue>() {
    let venue: V = monday(exact(), "09:58").await;
    holds(&venue, 10, "10:00").await;
    venue.market().price("AAPL", at("10:00"), 10_000);
    let sub_penny = Price(cents(9_900).0 + 1);
    let in_msft = |ticket: OrderTicket| OrderTicket { symbol: "MSFT".parse().unwrap(), ..ticket };
    venue.market().price("MSFT", at("10:00"), 10_000);
    let cases = [
        ("buying power", bracket("x", 2_000, limit(10_000), 9_900, 10_200)),
        ("10 are held", sell("x", 11, OrderType::Market)),
        ("short selling is off", in_msft(sell("x", 1, OrderType::Market))),
        (
            "short selling is off",
            in_msft(OrderTicket { side: Side::Sell, ..bracket("x", 1, limit(10_000), 10_100, 9_900) }),
        ),
        ("bracket opens", OrderTicket { side: Side::Sell, ..bracket("x", 1, limit(10_000), 10_100, 9_900) }),
        ("multiple of", bracket("x", 1, OrderType::Limit { limit: sub_penny }, 9_800, 10_200)),
        (
            "fractional",
            OrderTicket { quantity: Quantity(1_500_000_000), ..bracket("x", 1, limit(10_000), 9_900, 10_200) },
        ),
        ("a tick away", bracket("x", 1, OrderType::Market, 10_000, 10_200)),
        ("through the market", sell("x", 1, stop(10_050))),
        ("wrong side", pair("x", 1, 9_900, 9_800)),
    ];
    let open = venue.broker().open_orders().await.unwrap();
    for (reason, ticket) in cases {
        match send(&venue, &ticket).await {
            Err(BrokerError::Rejected { reason: told, .. }) => assert!(told.contains(V::says(reason)), "{told}"),
            other => panic!("{ticket:?} was answered {other:?}"),
        }
        assert_eq!(venue.broker().orders_by_client_id(&id("x")).await.unwrap(), []);
    }
    assert_eq!(venue.broker().open_orders().await.unwrap(), open);
    send(&venue, &bracket("x", 1, limit(9_900), 9_800, 10_200)).await.expect("the id is still free");
}

pub async fn a_cancel_that_comes_too_late_is_refused<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    let orders = send(&venue, &bracket("a", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    // Nobody has asked since the entry filled: the cancel meets an order that its sender thinks is working.
    let late = venue.broker().cancel(&orders[0].broker_order_id).await;
    assert!(matches!(late, Err(BrokerError::Rejected { .. })), "{late:?}");
    assert_eq!(held(&venue).await, 10);
    let unknown = venue.broker().cancel("unknown").await;
    assert!(matches!(unknown, Err(BrokerError::Rejected { .. })), "{unknown:?}");
}

pub async fn a_cancel_takes_the_group_with_it<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    let waiting = send(&venue, &bracket("waiting", 10, limit(9_000), 8_900, 10_200)).await.unwrap();
    let entered = send(&venue, &bracket("entered", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    for _ in 0..2 {
        venue.broker().cancel(&waiting[0].broker_order_id).await.expect("a cancel may be repeated");
        venue.broker().cancel(&entered[2].broker_order_id).await.expect("a cancel may be repeated");
    }
    let canceled = [(Parent, Canceled), (TakeProfit, Canceled), (StopLoss, Canceled)];
    assert_eq!(states(&venue, "waiting").await, canceled);
    assert_eq!(states(&venue, "entered").await, [(Parent, Filled), canceled[1], canceled[2]]);
    venue.market().minute("AAPL", at("10:01"), [10_000, 10_300, 8_000, 10_000]);
    venue.wait_until(at("10:02")).await;
    assert_eq!((held(&venue).await, told(&venue).await.len()), (10, 1), "nothing is left to be hit");
}
