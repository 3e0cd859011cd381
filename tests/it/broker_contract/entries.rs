use super::*;
use OrderRole::{Parent, StopLoss, TakeProfit};
use OrderStatus::{Accepted, Filled, Held, New, PartiallyFilled};
use daybook_core::market::Quote;

pub async fn a_market_entry_fills_on_the_quote<V: Venue>() {
    let venue: V = monday(exact(), "10:00:05").await;
    let quote = Quote {
        at: at("10:00:04"),
        bid: cents(99_98),
        ask: cents(100_02),
        bid_size: Quantity::whole(500),
        ask_size: Quantity::whole(500),
    };
    venue.market().quoted("AAPL", quote);
    let orders = send(&venue, &bracket("a", 10, OrderType::Market, 99_00, 102_00)).await.unwrap();
    assert!(orders[0].has_terms_of(&bracket("a", 10, OrderType::Market, 99_00, 102_00)));
    assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, New), (StopLoss, New)]);
    assert_eq!(told(&venue).await, [(Side::Buy, 10, cents(100_02))]);
    let positions = venue.broker().positions().await.unwrap();
    assert_eq!((positions.len(), positions[0].average_price), (1, cents(100_02)));
}

pub async fn a_limit_entry_fills_at_its_limit_or_better<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    send(&venue, &bracket("touched", 10, limit(99_00), 98_00, 102_00)).await.unwrap();
    send(&venue, &bracket("gapped", 10, limit(98_50), 97_00, 102_00)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [100_00, 100_10, 99_01, 99_50]);
    venue.wait_until(at("10:01")).await;
    assert_eq!(told(&venue).await, [], "99.01 is not 99.00");
    venue.market().minute("AAPL", at("10:01"), [99_50, 99_60, 99_00, 99_10]);
    venue.market().minute("AAPL", at("10:02"), [98_40, 98_60, 98_30, 98_50]);
    venue.wait_until(at("10:03")).await;
    assert_eq!(told(&venue).await, [(Side::Buy, 10, cents(99_00)), (Side::Buy, 10, cents(98_40))]);
}

pub async fn legs_wait_for_the_whole_entry<V: Venue>() {
    let tenth = ExchangeSettings { participation: Bps(1_000), ..exact() };
    let venue: V = monday(tenth, "10:00").await;
    let orders = send(&venue, &bracket("a", 20, limit(100_00), 99_00, 102_00)).await.unwrap();
    assert_eq!(orders.iter().map(|order| order.status).collect::<Vec<_>>(), [New, Held, Held]);
    assert!(orders[1..].iter().all(|leg| leg.parent == Some(id("a")) && leg.side == Side::Sell));
    venue.market().minute_of("AAPL", at("10:00"), [100_00; 4], Quantity::whole(120));
    venue.wait_until(at("10:01")).await;
    assert_eq!(states(&venue, "a").await, [(Parent, PartiallyFilled), (TakeProfit, Held), (StopLoss, Held)]);
    assert_eq!(venue.broker().orders_by_client_id(&id("a")).await.unwrap()[0].filled, Quantity::whole(12));
    venue.market().minute_of("AAPL", at("10:01"), [99_90; 4], Quantity::whole(120));
    venue.wait_until(at("10:02")).await;
    assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, New), (StopLoss, New)]);
    assert_eq!(told(&venue).await, [(Side::Buy, 12, cents(100_00)), (Side::Buy, 8, cents(99_90))]);
    let entry = &venue.broker().orders_by_client_id(&id("a")).await.unwrap()[0];
    assert_eq!(entry.average_price, Some(cents(99_96)));
}

pub async fn an_entry_before_the_open_is_parked<V: Venue>() {
    let venue: V = monday(exact(), "09:00").await;
    send(&venue, &bracket("a", 10, limit(100_00), 99_00, 102_00)).await.unwrap();
    assert_eq!(states(&venue, "a").await, [(Parent, Accepted), (TakeProfit, Held), (StopLoss, Held)]);
    venue.market().minute("AAPL", at("09:10"), [98_00; 4]);
    venue.wait_until(at("09:29:59")).await;
    assert_eq!(told(&venue).await, [], "the pre-market does not fill");
    venue.market().minute("AAPL", at("09:30"), [99_80, 100_00, 99_70, 99_90]);
    venue.wait_until(at("09:31")).await;
    assert_eq!(told(&venue).await, [(Side::Buy, 10, cents(99_80))]);
    assert_eq!(fills(&venue).await[0].at, at("09:30"));
}

pub async fn a_short_entry_is_bought_back<V: Venue>() {
    let venue: V = monday(ExchangeSettings { allow_short: true, ..exact() }, "10:00").await;
    let short = OrderTicket { side: Side::Sell, ..bracket("short", 10, limit(100_00), 102_00, 98_00) };
    send(&venue, &short).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [100_00, 100_50, 99_00, 99_00]);
    venue.wait_until(at("10:01")).await;
    assert_eq!(held(&venue).await, -10);
    venue.market().minute("AAPL", at("10:01"), [99_00, 99_10, 97_90, 98_00]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await, [(Side::Sell, 10, cents(100_00)), (Side::Buy, 10, cents(98_00))]);
    assert_eq!(venue.broker().positions().await.unwrap(), []);
}
