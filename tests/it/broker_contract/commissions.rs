use super::*;
use daybook_core::money::Money;

pub async fn an_open_order_sets_its_commission_aside<V: Venue>() {
    let settings = ExchangeSettings { commission_per_order: Money::whole(1), ..exact() };
    let venue: V = monday(settings, "10:00").await;
    send(&venue, &bracket("a", 100, limit(10_000), 9_000, 12_000)).await.unwrap();
    assert_eq!(venue.broker().account().await.unwrap().buying_power, Money::whole(89_999));
    venue.market().minute("AAPL", at("10:00"), [10_000, 10_100, 10_000, 10_100]);
    venue.wait_until(at("10:01")).await;
    let entered = venue.broker().account().await.unwrap();
    assert_eq!((entered.cash, entered.equity), (Money::whole(89_999), Money::whole(100_099)));
    assert_eq!(fills(&venue).await[0].fee, Money::whole(1));
}
