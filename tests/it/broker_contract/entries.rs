use super::*;
use OrderRole::{Parent, StopLoss, TakeProfit};
use OrderStatus::{Accepted, Canceled, Filled, Held, New, PartiallyFilled};
use daybook_core::market::Quote;

pub async fn a_market_entry_fills_on_the_quote<V: Venue>() {
    let venue: V = monday(exact(), "10:00:05").await;
    let quote = Quote {
        at: at("10:00:04"),
        bid: cents(9_998),
        ask: cents(10_002),
        bid_size: Quantity::whole(500),
        ask_size: Quantity::whole(500),
    };
    venue.market().quoted("AAPL", quote);
    let orders = send(&venue, &bracket("a", 10, OrderType::Market, 9_900, 10_200)).await.unwrap();
    assert!(orders[0].has_terms_of(&bracket("a", 10, OrderType::Market, 9_900, 10_200)));
    assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, New), (StopLoss, New)]);
    assert_eq!(told(&venue).await, [(Side::Buy, 10, cents(10_002))]);
    let positions = venue.broker().positions().await.unwrap();
    assert_eq!((positions.len(), positions[0].average_price), (1, cents(10_002)));
}

pub async fn a_limit_entry_fills_at_its_limit_or_better<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    send(&venue, &bracket("touched", 10, limit(9_900), 9_800, 10_200)).await.unwrap();
    send(&venue, &bracket("gapped", 10, limit(9_850), 9_700, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000, 10_010, 9_901, 9_950]);
    venue.wait_until(at("10:01")).await;
    assert_eq!(told(&venue).await, [], "99.01 is not 99.00");
    venue.market().minute("AAPL", at("10:01"), [9_950, 9_960, 9_900, 9_910]);
    venue.market().minute("AAPL", at("10:02"), [9_840, 9_860, 9_830, 9_850]);
    venue.wait_until(at("10:03")).await;
    assert_eq!(told(&venue).await, [(Side::Buy, 10, cents(9_900)), (Side::Buy, 10, cents(9_840))]);
}

pub async fn legs_wait_for_the_whole_entry<V: Venue>() {
    let tenth = ExchangeSettings { participation: Bps(1_000), ..exact() };
    let venue: V = monday(tenth, "10:00").await;
    let orders = send(&venue, &bracket("a", 20, limit(10_000), 9_900, 10_200)).await.unwrap();
    assert_eq!(orders.iter().map(|order| order.status).collect::<Vec<_>>(), [New, Held, Held]);
    assert!(orders[1..].iter().all(|leg| leg.parent == Some(id("a")) && leg.side == Side::Sell));
    venue.market().minute_of("AAPL", at("10:00"), [10_000; 4], Quantity::whole(120));
    venue.wait_until(at("10:01")).await;
    assert_eq!(states(&venue, "a").await, [(Parent, PartiallyFilled), (TakeProfit, Held), (StopLoss, Held)]);
    assert_eq!(venue.broker().orders_by_client_id(&id("a")).await.unwrap()[0].filled, Quantity::whole(12));
    venue.market().minute_of("AAPL", at("10:01"), [9_990; 4], Quantity::whole(120));
    venue.wait_until(at("10:02")).await;
    assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, New), (StopLoss, New)]);
    assert_eq!(told(&venue).await, [(Side::Buy, 12, cents(10_000)), (Side::Buy, 8, cents(9_990))]);
    let entry = &venue.broker().orders_by_client_id(&id("a")).await.unwrap()[0];
    assert_eq!(entry.average_price, Some(cents(9_996)));
}

pub async fn a_canceled_entry_leaves_the_shares_that_it_bought<V: Venue>() {
    let tenth = ExchangeSettings { participation: Bps(1_000), ..exact() };
    let venue: V = monday(tenth, "10:00").await;
    let orders = send(&venue, &bracket("a", 20, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute_of("AAPL", at("10:00"), [10_000; 4], Quantity::whole(120));
    venue.wait_until(at("10:01")).await;
    venue.broker().cancel(&orders[0].broker_order_id).await.unwrap();
    assert_eq!(states(&venue, "a").await, [(Parent, Canceled), (TakeProfit, Canceled), (StopLoss, Canceled)]);
    assert_eq!((held(&venue).await, venue.broker().open_orders().await.unwrap()), (12, vec![]));
    // Nothing protects the twelve any more: a pair of their own does.
    send(&venue, &pair("pair", 12, 9_900, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:01"), [9_950, 9_950, 9_850, 9_900]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 12, cents(9_900))]);
}

pub async fn class_shares_trade_under_their_name<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    venue.market().minute("BRK.B", at("09:00"), [10_000; 4]);
    let class = OrderTicket { symbol: "BRK.B".parse().unwrap(), ..bracket("b", 3, limit(10_000), 9_900, 10_200) };
    let sent = send(&venue, &class).await.unwrap();
    assert!(sent[0].has_terms_of(&class) && sent.iter().all(|order| order.symbol.as_str() == "BRK.B"));
    venue.market().minute("BRK.B", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    let positions = venue.broker().positions().await.unwrap();
    assert_eq!((positions[0].symbol.as_str(), positions[0].quantity), ("BRK.B", Quantity::whole(3)));
    assert_eq!(fills(&venue).await[0].symbol.as_str(), "BRK.B");
}

pub async fn an_entry_before_the_open_is_parked<V: Venue>() {
    let venue: V = monday(exact(), "09:00").await;
    send(&venue, &bracket("a", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    assert_eq!(states(&venue, "a").await, [(Parent, Accepted), (TakeProfit, Held), (StopLoss, Held)]);
    venue.market().minute("AAPL", at("09:10"), [9_800; 4]);
    venue.wait_until(at("09:29:59")).await;
    assert_eq!(told(&venue).await, [], "the pre-market does not fill");
    venue.market().minute("AAPL", at("09:30"), [9_980, 10_000, 9_970, 9_990]);
    venue.wait_until(at("09:31")).await;
    assert_eq!(told(&venue).await, [(Side::Buy, 10, cents(9_980))]);
    assert_eq!(fills(&venue).await[0].at, at("09:30"));
}

pub async fn a_short_entry_is_bought_back<V: Venue>() {
    let venue: V = monday(ExchangeSettings { allow_short: true, ..exact() }, "10:00").await;
    let short = OrderTicket { side: Side::Sell, ..bracket("short", 10, limit(10_000), 10_200, 9_800) };
    send(&venue, &short).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000, 10_050, 9_900, 9_900]);
    venue.wait_until(at("10:01")).await;
    assert_eq!(held(&venue).await, -10);
    venue.market().minute("AAPL", at("10:01"), [9_900, 9_910, 9_790, 9_800]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await, [(Side::Sell, 10, cents(10_000)), (Side::Buy, 10, cents(9_800))]);
    assert_eq!(venue.broker().positions().await.unwrap(), []);
}
