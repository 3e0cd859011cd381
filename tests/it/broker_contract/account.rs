use super::*;
use daybook_core::money::Money;

pub async fn the_account_adds_up<V: Venue>() {
    let venue: V = monday(exact(), "10:00").await;
    let fresh = venue.broker().account().await.unwrap();
    assert_eq!((fresh.cash, fresh.equity, fresh.last_equity), (Money::whole(100_000), fresh.cash, fresh.cash));
    assert!(fresh.buying_power == fresh.equity && !fresh.blocked);

    send(&venue, &bracket("a", 100, limit(10_000), 9_000, 12_000)).await.unwrap();
    let waiting = venue.broker().account().await.unwrap();
    assert_eq!(waiting.buying_power, Money::whole(90_000), "the open order is set aside");

    venue.market().minute("AAPL", at("10:00"), [10_000, 10_100, 10_000, 10_100]);
    venue.wait_until(at("10:01")).await;
    let entered = venue.broker().account().await.unwrap();
    assert_eq!((entered.cash, entered.equity), (Money::whole(90_000), Money::whole(100_100)));

    venue.market().price("AAPL", at("10:01:30"), 10_200);
    venue.wait_until(at("10:01:30")).await;
    let quoted = venue.broker().account().await.unwrap();
    assert_eq!(quoted.equity, Money::whole(100_200), "a later quote marks the position");

    venue.wait_until(at("16:00")).await;
    let closed = venue.broker().account().await.unwrap();
    assert_eq!((closed.last_equity, closed.account_id), (Money::whole(100_200), fresh.account_id));
}
