use super::*;
use OrderRole::{Parent, StopLoss, TakeProfit};
use OrderStatus::{Canceled, Filled, New};
use daybook_core::order::Trail;

pub async fn a_bracket_protects_while_nobody_looks<V: Venue>() {
    let mut venue: V = monday(exact(), "10:00").await;
    send(&venue, &bracket("a", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().flat("AAPL", at("10:00"), 20, 10_000);
    venue.market().minute("AAPL", at("10:20"), [10_000, 10_000, 9_850, 9_860]);
    venue.market().flat("AAPL", at("10:21"), 39, 10_500);
    venue.wait_until(at("11:00")).await;
    venue.restart().await;
    assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, Canceled), (StopLoss, Filled)]);
    let exit = fills(&venue).await[1].clone();
    assert_eq!((exit.price, held(&venue).await), (cents(9_900), 0));
    assert!(at("10:20") <= exit.at && exit.at < at("10:21"), "it traded when its price came, at {}", exit.at);
}

pub async fn working_orders_outlive_the_process<V: Venue>() {
    let mut venue: V = monday(exact(), "09:58").await;
    holds(&venue, 20, "10:00").await;
    send(&venue, &sell("trail", 10, OrderType::TrailingStop { trail: Trail::Amount(cents(100)) })).await.unwrap();
    send(&venue, &pair("pair", 10, 9_000, 11_000)).await.unwrap();
    send(&venue, &bracket("entry", 10, limit(9_500), 9_400, 9_600)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000, 10_400, 10_000, 10_350]);
    venue.wait_until(at("10:01")).await;
    let before = (venue.broker().open_orders().await.unwrap(), venue.broker().account().await.unwrap());
    venue.restart().await;
    assert_eq!((venue.broker().open_orders().await.unwrap(), venue.broker().account().await.unwrap()), before);
    venue.market().minute("AAPL", at("10:01"), [10_350, 10_350, 10_300, 10_320]);
    venue.wait_until(at("10:02")).await;
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(10_300))], "the trail remembers 104.00");
    assert_eq!(venue.broker().open_orders().await.unwrap().len(), 5);
}

pub async fn a_moved_stop_stays_in_its_group<V: Venue>() {
    let mut venue: V = monday(exact(), "10:00").await;
    let orders = send(&venue, &bracket("a", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    venue.broker().replace_stop(&orders[2].broker_order_id, cents(9_950)).await.unwrap();
    let before = (venue.broker().open_orders().await.unwrap(), fills(&venue).await);
    venue.restart().await;
    assert_eq!((venue.broker().open_orders().await.unwrap(), fills(&venue).await), before);
    assert_eq!(before.0.len(), 2);
    assert!(before.0.iter().all(|leg| leg.parent == Some(id("a"))));
    assert_eq!((before.0[1].role, before.0[1].order_type), (StopLoss, stop(9_950)));
}

pub async fn an_entry_goes_on_filling_after_a_restart<V: Venue>() {
    let tenth = ExchangeSettings { participation: Bps(1_000), ..exact() };
    let mut venue: V = monday(tenth, "10:00").await;
    send(&venue, &bracket("a", 20, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute_of("AAPL", at("10:00"), [10_000; 4], Quantity::whole(120));
    venue.wait_until(at("10:01")).await;
    let page = venue.broker().fills(None).await.unwrap();
    assert_eq!((page.fills.len(), page.more), (1, false));
    venue.restart().await;
    venue.market().minute_of("AAPL", at("10:01"), [9_990; 4], Quantity::whole(120));
    venue.wait_until(at("10:02")).await;
    // What a broker tells a second time, it tells under the same name.
    let mut after = venue.broker().fills(Some(&page.cursor)).await.unwrap().fills;
    after.retain(|fill| !page.fills.contains(fill));
    let after: Vec<_> = after.iter().map(|fill| (fill.quantity, fill.price)).collect();
    assert_eq!(after, [(Quantity::whole(8), cents(9_990))]);
    assert_eq!(states(&venue, "a").await, [(Parent, Filled), (TakeProfit, New), (StopLoss, New)]);
}

pub async fn how_often_it_is_asked_does_not_matter<V: Venue>() {
    let outcome = async |every_s: u64, restarts: bool| {
        let third = ExchangeSettings { participation: Bps(3_333), slippage: Bps(5), ..exact() };
        let mut venue: V = monday(third, "09:59").await;
        // A walk that wanders through stops, targets and limits.
        let mut price = 10_000;
        for n in 0..200_i64 {
            let close = price + (n * 7_919 % 61 - 30) * 2;
            let (high, low) = (price.max(close) + n % 13, price.min(close) - n % 11);
            let start = at("09:59").after(MINUTE * u32::try_from(n).unwrap());
            venue.market().minute_of("AAPL", start, [price, high, low, close], Quantity::whole(10 + n % 40));
            price = close;
        }
        for n in 0..6_u32 {
            let now = at("10:00:05").after(MINUTE * (n * 30));
            let mut look = at("09:59").max(now.before(MINUTE * 30));
            while look < now {
                look = look.after(std::time::Duration::from_secs(every_s)).min(now);
                venue.wait_until(look).await;
                venue.broker().account().await.unwrap();
                if restarts {
                    venue.restart().await;
                }
            }
            let mark = venue.market();
            mark.price("AAPL", now, 10_000);
            // Refused or not, it must be the same every time.
            let entry = bracket(&format!("entry-{n}"), 25, OrderType::Market, 9_960, 10_050);
            let _ = send(&venue, &entry).await;
            let _ = send(&venue, &bracket(&format!("dip-{n}"), 25, limit(9_970), 9_930, 10_010)).await;
        }
        venue.wait_until(at("16:30")).await;
        let orders = venue.broker().orders_by_client_id(&id("entry-3")).await.unwrap();
        (fills(&venue).await, orders, venue.broker().account().await.unwrap())
    };
    let seldom = outcome(1_800, false).await;
    assert!(seldom.0.len() > 12, "the walk has to trade to prove anything: {} fills", seldom.0.len());
    assert_eq!(outcome(60, false).await, seldom);
    assert_eq!(outcome(47, false).await, seldom);
    assert_eq!(outcome(311, true).await, seldom);
}
