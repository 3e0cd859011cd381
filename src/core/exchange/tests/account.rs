use super::*;
use crate::order::Trail;
use Side::{Buy, Sell};

fn figures(desk: &Desk) -> Figures {
    desk.exchange.figures(&BTreeMap::new()).unwrap()
}

#[test]
fn cash_equity_and_the_days_result_follow_the_fills() {
    let mut desk = Desk::new(ExchangeSettings { commission_per_order: Money::whole(1), ..plain() });
    desk.submit(&ticket("a", Buy, 100, limit(10_000)), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_100, 9_990, 10_050);
    let now = figures(&desk);
    assert_eq!(now.cash, Money::whole(89_999));
    assert_eq!(now.equity, Money::whole(100_049));
    assert_eq!(now.day_pnl(), Money::whole(49));
    desk.event(&MarketEvent::SessionClose { at: minute(10) });
    assert_eq!(figures(&desk).last_equity, Money::whole(100_049));
    assert_eq!(figures(&desk).day_pnl(), Money::ZERO);
    let dearer = BTreeMap::from([("AAPL".parse().unwrap(), cents(10_150))]);
    assert_eq!(desk.exchange.figures(&dearer).unwrap().day_pnl(), Money::whole(100));
}

#[test]
fn commissions_of_partial_fills_add_up_to_those_of_one() {
    let settings = ExchangeSettings {
        commission_per_share: cents(1),
        commission_per_order: Money(Money::UNIT / 2),
        commission_minimum: Money::whole(1),
        participation: Bps(1_000),
        ..plain()
    };
    let mut desk = Desk::new(settings.clone());
    desk.submit(&ticket("a", Buy, 100, limit(1_000)), minute(5)).unwrap();
    for (n, volume) in [(5, 200), (6, 400), (7, 5_000)] {
        desk.bar_of(n, 1_000, 1_000, 1_000, 1_000, volume);
    }
    let fees: Vec<_> = desk.fills.iter().map(|fill| fill.fee.to_string()).collect();
    assert_eq!(fees, ["1.00", "0.10", "0.40"], "the minimum covers the first 50 shares");
    assert_eq!(settings.commission(Quantity::whole(100), Money::whole(1_000)).unwrap().to_string(), "1.50");
}

#[test]
fn averages_are_kept_by_leaving_and_renewed_by_crossing() {
    let traded = |held, shares, price| Holding::traded(held, Quantity::whole(shares), cents(price)).unwrap();
    let held = traded(traded(None, 100, 1_000), 100, 1_100);
    assert_eq!(held, Some(Holding { quantity: Quantity::whole(200), average_price: cents(1_050) }));
    let held = traded(held, -150, 1_200);
    assert_eq!(held, Some(Holding { quantity: Quantity::whole(50), average_price: cents(1_050) }));
    let short = traded(held, -80, 900);
    assert_eq!(short, Some(Holding { quantity: Quantity::whole(-30), average_price: cents(900) }));
    let short = traded(short, -30, 1_000);
    assert_eq!(short, Some(Holding { quantity: Quantity::whole(-60), average_price: cents(950) }));
    assert_eq!(traded(short, 60, 1), None);
}

#[test]
fn buying_power_counts_open_orders() {
    let mut desk = Desk::new(plain());
    desk.submit(&ticket("a", Buy, 600, limit(10_000)), minute(5)).unwrap();
    assert_eq!(figures(&desk).buying_power, Money::whole(40_000));
    let refused = desk.submit(&ticket("b", Buy, 401, limit(10_000)), minute(5));
    let expected = Refusal::InsufficientBuyingPower { cost: Money::whole(40_100), buying_power: Money::whole(40_000) };
    assert_eq!(refused, Err(expected));
    desk.submit(&ticket("b", Buy, 400, limit(10_000)), minute(5)).unwrap();
    desk.exchange.cancel("ord-000001", minute(5)).unwrap();
    assert_eq!(figures(&desk).buying_power, Money::whole(60_000));
}

#[test]
fn margin_multiplies_equity_and_counts_shorts() {
    let mut desk = Desk::new(ExchangeSettings { allow_short: true, margin_multiplier: 2, ..plain() });
    desk.submit(&ticket("short", Sell, 1_000, limit(10_000)), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_000, 10_000, 10_000);
    assert_eq!(desk.held(), Quantity::whole(-1_000));
    let now = figures(&desk);
    assert_eq!((now.cash, now.equity), (Money::whole(200_000), Money::whole(100_000)));
    assert_eq!(now.buying_power, Money::whole(100_000));
    desk.bar(6, 10_100, 10_100, 10_100, 10_100);
    assert_eq!(figures(&desk).day_pnl(), Money::whole(-1_000));
    desk.submit(&ticket("cover", Buy, 1_000, limit(10_100)), minute(7)).unwrap();
    let refused = desk.submit(&ticket("more", Buy, 1, limit(10_100)), minute(7));
    assert!(matches!(refused, Err(Refusal::InsufficientShares { .. })), "the short is being covered already");
}

#[test]
fn every_refusal_has_its_name_and_numbers() {
    let mut desk = Desk::new(plain());
    desk.holds(10, 5, 10_000);
    let symbol = "AAPL".parse().unwrap();
    let market = OrderType::Market;
    let simple = |side, shares, order_type| ticket("x", side, shares, order_type);
    let oco = |order_type, stop| OrderTicket {
        class: OrderClass::Oco { stop_loss: cents(stop) },
        ..simple(Sell, 10, order_type)
    };
    let shares = Quantity::whole;
    let fraction = Quantity(1_500_000_000);
    let odd = Price(cents(10_000).0 + 1);
    let cases = [
        (ticket("buy-5", Buy, 1, market), Refusal::DuplicateId { client_order_id: id("buy-5") }),
        (ticket("exchange-000009", Buy, 1, market), Refusal::ReservedId { client_order_id: id("exchange-000009") }),
        (simple(Buy, 0, market), Refusal::QuantityNotPositive { quantity: shares(0) }),
        (simple(Buy, -1, market), Refusal::QuantityNotPositive { quantity: shares(-1) }),
        (
            OrderTicket { quantity: fraction, ..bracket("x", 1, market, 9_900, 10_100) },
            Refusal::Fractional { quantity: fraction },
        ),
        (simple(Buy, 1, limit(0)), Refusal::PriceNotPositive { field: "limit", price: cents(0) }),
        (
            simple(Buy, 1, OrderType::Limit { limit: odd }),
            Refusal::SubPenny { field: "limit", price: odd, tick: cents(1) },
        ),
        (
            simple(Sell, 1, OrderType::TrailingStop { trail: Trail::Ratio(Bps::ONE) }),
            Refusal::TrailOutOfRange { trail: Trail::Ratio(Bps::ONE) },
        ),
        (bracket("x", 1, stop(10_100), 9_900, 10_100), Refusal::BracketEntry { order_type: stop(10_100) }),
        (
            OrderTicket { side: Sell, ..bracket("x", 1, limit(10_000), 10_100, 9_900) },
            Refusal::BracketExits { symbol, held: shares(10) },
        ),
        (
            bracket("x", 1, limit(10_000), 10_000, 10_100),
            Refusal::LegThroughEntry { leg: "stop loss", price: cents(10_000), base: cents(10_000) },
        ),
        (
            bracket("x", 1, market, 9_900, 9_990),
            Refusal::LegThroughEntry { leg: "take profit", price: cents(9_990), base: cents(10_000) },
        ),
        (
            bracket("x", 1, limit(10_000), 10_100, 9_900),
            Refusal::LegsCrossed { side: Sell, take_profit: cents(9_900), stop_loss: cents(10_100) },
        ),
        (oco(market, 9_900), Refusal::OcoType { order_type: market }),
        (
            oco(limit(9_900), 10_100),
            Refusal::LegsCrossed { side: Sell, take_profit: cents(9_900), stop_loss: cents(10_100) },
        ),
        (
            OrderTicket { side: Buy, ..oco(limit(9_900), 10_100) },
            Refusal::InsufficientShares { symbol, requested: shares(10), held: shares(0), held_for_orders: shares(0) },
        ),
        (
            simple(Sell, 11, market),
            Refusal::InsufficientShares { symbol, requested: shares(11), held: shares(10), held_for_orders: shares(0) },
        ),
        (
            OrderTicket { symbol: "MSFT".parse().unwrap(), ..simple(Sell, 1, market) },
            Refusal::ShortNotAllowed { symbol: "MSFT".parse().unwrap(), requested: shares(1) },
        ),
        (
            OrderTicket { symbol: "MSFT".parse().unwrap(), ..simple(Buy, 1, market) },
            Refusal::NoPrice { symbol: "MSFT".parse().unwrap() },
        ),
        (
            simple(Buy, 1_000, limit(10_000)),
            Refusal::InsufficientBuyingPower { cost: Money::whole(100_000), buying_power: Money::whole(99_000) },
        ),
    ];
    let before = desk.exchange.state().clone();
    for (ticket, refusal) in cases {
        assert_eq!(desk.submit(&ticket, minute(6)), Err(refusal), "{ticket:?}");
        assert_eq!(*desk.exchange.state(), before, "a refusal leaves nothing behind");
    }
    let through = desk.submit_on(&simple(Sell, 10, stop(10_000)), minute(6), quote(minute(6), 10_000, 10_001));
    assert_eq!(through, Err(Refusal::StopThroughMarket { side: Sell, stop: cents(10_000), market: cents(10_000) }));
    let huge = desk.submit(&simple(Buy, i64::MAX / Quantity::UNIT, limit(i64::MAX / 1_000_000_000)), minute(6));
    assert!(matches!(huge, Err(Refusal::Amount(_))), "{huge:?}");
}

#[test]
fn shares_that_resting_legs_may_sell_are_not_free() {
    let mut desk = Desk::new(plain());
    desk.submit(&bracket("a", 10, limit(10_000), 9_900, 10_100), minute(5)).unwrap();
    desk.bar(5, 10_000, 10_000, 10_000, 10_000);
    let exit = ticket("exit", Sell, 1, OrderType::Market);
    let expected = Refusal::InsufficientShares {
        symbol: "AAPL".parse().unwrap(),
        requested: Quantity::whole(1),
        held: Quantity::whole(10),
        held_for_orders: Quantity::whole(10),
    };
    assert_eq!(desk.submit(&exit, minute(6)), Err(expected));
    desk.exchange.cancel("ord-000002", minute(6)).unwrap();
    desk.submit(&exit, minute(6)).unwrap();
}

#[test]
fn fractions_trade_as_simple_day_orders() {
    let mut desk = Desk::new(plain());
    let half = OrderTicket { quantity: Quantity(500_000_000), ..ticket("half", Buy, 1, limit(10_000)) };
    desk.submit(&half, minute(5)).unwrap();
    desk.bar(5, 10_000, 10_000, 10_000, 10_000);
    assert_eq!(figures(&desk).cash, Money::whole(99_950));
}

#[test]
fn the_settings_name_what_is_wrong_with_them() {
    assert_eq!(ExchangeSettings::default().problems(), []);
    let wrong = ExchangeSettings {
        starting_cash: Money::ZERO,
        slippage: Bps(-1),
        commission_per_share: Price(-1),
        commission_per_order: Money(-1),
        commission_minimum: Money(-1),
        participation: Bps(10_001),
        margin_multiplier: 0,
        ..ExchangeSettings::default()
    };
    let fields: Vec<_> = wrong.problems().into_iter().map(|(field, _)| field).collect();
    assert_eq!(
        fields,
        [
            "starting_cash",
            "slippage",
            "commission_per_share",
            "commission_per_order",
            "commission_minimum",
            "participation",
            "margin_multiplier"
        ]
    );
}

#[test]
fn exits_are_measured_at_the_newest_price_that_is_known() {
    let ticket = bracket("a", 10, OrderType::Market, 9_900, 10_100);
    // The last trade was yesterday's, at 95 dollars; a quote of three minutes ago is too old to trade on, and newer.
    let mut desk = Desk::new(plain());
    desk.bar(-900, 9_500, 9_500, 9_500, 9_500);
    assert!(desk.submit_on(&ticket, minute(5), quote(minute(2), 9_999, 10_000)).is_ok());
    // A trade behind the quote counts.
    let mut desk = Desk::new(plain());
    desk.bar(3, 10_200, 10_200, 10_200, 10_200);
    let refusal = Refusal::LegThroughEntry { leg: "take profit", price: cents(10_100), base: cents(10_200) };
    assert_eq!(desk.submit_on(&ticket, minute(5), quote(minute(2), 9_999, 10_000)), Err(refusal));
    // A crossed quote tells nothing.
    let mut desk = Desk::new(plain());
    desk.bar(1, 10_000, 10_000, 10_000, 10_000);
    assert!(desk.submit_on(&ticket, minute(5), quote(minute(2), 10_900, 10_800)).is_ok());
}
