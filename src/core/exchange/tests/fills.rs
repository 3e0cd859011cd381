use super::*;
use crate::order::Trail;
use Side::{Buy, Sell};

#[test]
fn a_market_order_fills_on_the_quote_of_its_instant() {
    let mut desk = Desk::new(ExchangeSettings { slippage: Bps(10), ..plain() });
    let now = second(5, 5);
    let orders =
        desk.submit_on(&ticket("a", Buy, 10, OrderType::Market), now, quote(minute(5), 9_999, 10_000)).unwrap();
    assert_eq!(orders[0].status, OrderStatus::Filled);
    assert_eq!(orders[0].average_price, Some(cents(10_010)));
    assert_eq!(desk.told(), [(Buy, 10, 10_010, now)]);
    desk.submit_on(&ticket("b", Sell, 10, OrderType::Market), now, quote(minute(5), 10_000, 10_001)).unwrap();
    assert_eq!(desk.told()[1], (Sell, 10, 9_990, now));
}

#[test]
fn without_a_fresh_quote_a_market_order_waits_for_the_first_open_after_it() {
    let mut desk = Desk::new(plain());
    let stale = quote(minute(3), 9_999, 10_000);
    let orders = desk.submit_on(&ticket("a", Buy, 10, OrderType::Market), second(5, 5), stale).unwrap();
    assert_eq!(orders[0].status, OrderStatus::New);
    desk.bar(5, 10_100, 10_200, 10_000, 10_150);
    assert_eq!(desk.told(), [], "the bar was under way when the order came");
    desk.bar(6, 10_160, 10_200, 10_100, 10_170);
    assert_eq!(desk.told(), [(Buy, 10, 10_160, minute(6))]);
}

#[test]
fn an_order_at_the_bars_start_has_the_whole_bar() {
    let mut desk = Desk::new(plain());
    desk.submit(&ticket("a", Buy, 10, limit(10_000)), minute(5)).unwrap();
    desk.bar(5, 10_100, 10_200, 10_000, 10_150);
    assert_eq!(desk.told(), [(Buy, 10, 10_000, inside(5))]);
}

#[test]
fn an_order_inside_a_bar_does_not_fill_at_prices_before_it() {
    let mut desk = Desk::new(plain());
    desk.submit(&ticket("a", Buy, 10, limit(10_000)), Timestamp(minute(5).0 + 1)).unwrap();
    desk.bar(5, 9_900, 10_200, 9_800, 10_150);
    assert_eq!(desk.told(), []);
    desk.bar(6, 9_900, 10_200, 9_800, 10_150);
    assert_eq!(desk.told(), [(Buy, 10, 9_900, minute(6))], "a gap through the limit fills at the open");
}

#[test]
fn the_open_may_be_told_before_the_range() {
    let tell_open = |tell: bool| {
        let mut desk = Desk::new(plain());
        desk.bar(4, 10_000, 10_000, 10_000, 10_000);
        desk.submit(&bracket("a", 10, OrderType::Market, 9_900, 10_100), minute(5)).unwrap();
        if tell {
            desk.event(&MarketEvent::BarOpen { symbol: "AAPL".parse().unwrap(), at: minute(5), open: cents(10_000) });
            assert_eq!(desk.told(), [(Buy, 10, 10_000, minute(5))]);
        }
        desk.bar(5, 10_000, 10_050, 9_890, 10_000);
        desk.fills
    };
    assert_eq!(tell_open(true), tell_open(false));
    assert_eq!(tell_open(true).len(), 2);
}

#[test]
fn stops_fill_at_the_stop_or_at_a_gap() {
    for (bar, expected) in [
        ([10_000, 10_100, 9_900, 10_000], Some((9_900, inside(6)))),
        ([9_800, 9_850, 9_700, 9_800], Some((9_800, minute(6)))),
        ([10_000, 10_100, 9_901, 10_000], None),
    ] {
        let mut desk = Desk::new(plain());
        desk.holds(10, 5, 10_000);
        desk.submit(&ticket("s", Sell, 10, stop(9_900)), minute(6)).unwrap();
        desk.bar(6, bar[0], bar[1], bar[2], bar[3]);
        let expected: Vec<_> = expected.map(|(price, at)| (Sell, 10, price, at)).into_iter().collect();
        assert_eq!(desk.told(), expected, "{bar:?}");
    }
}

#[test]
fn a_stop_limit_that_gaps_past_its_limit_rests_as_a_limit() {
    let mut desk = Desk::new(plain());
    let order_type = OrderType::StopLimit { stop: cents(10_100), limit: cents(10_120) };
    desk.submit(&ticket("a", Buy, 10, order_type), minute(5)).unwrap();
    desk.bar(5, 10_200, 10_300, 10_150, 10_250);
    assert_eq!(desk.told(), []);
    assert!(desk.exchange.state().orders.get(OrderNumber(1)).unwrap().triggered);
    desk.bar(6, 10_200, 10_300, 10_110, 10_150);
    assert_eq!(desk.told(), [(Buy, 10, 10_120, inside(6))]);
}

#[test]
fn a_stop_limit_triggered_at_the_open_may_fill_later_in_the_bar() {
    let mut desk = Desk::new(plain());
    let order_type = OrderType::StopLimit { stop: cents(10_100), limit: cents(10_120) };
    desk.submit(&ticket("a", Buy, 10, order_type), minute(5)).unwrap();
    desk.bar(5, 10_200, 10_300, 10_110, 10_250);
    assert_eq!(desk.told(), [(Buy, 10, 10_120, inside(5))]);
}

#[test]
fn a_trailing_stop_follows_the_best_price() {
    let mut desk = Desk::new(plain());
    desk.holds(10, 5, 10_000);
    let trail = OrderType::TrailingStop { trail: Trail::Amount(cents(100)) };
    desk.submit(&ticket("t", Sell, 10, trail), minute(6)).unwrap();
    desk.bar(6, 10_000, 10_300, 9_950, 10_250);
    assert_eq!(desk.told(), [], "9,950 was held against the level from before the bar");
    desk.bar(7, 10_250, 10_260, 10_201, 10_250);
    assert_eq!(desk.told(), []);
    desk.bar(8, 10_250, 10_260, 10_190, 10_250);
    assert_eq!(desk.told(), [(Sell, 10, 10_200, inside(8))]);
}

#[test]
fn a_close_below_the_new_level_hits_a_trailing_stop_in_the_same_bar() {
    let mut desk = Desk::new(plain());
    desk.holds(10, 5, 10_000);
    let trail = OrderType::TrailingStop { trail: Trail::Ratio(Bps(100)) };
    desk.submit(&ticket("t", Sell, 10, trail), minute(6)).unwrap();
    desk.bar(6, 10_000, 11_000, 9_950, 10_800);
    assert_eq!(desk.told(), [(Sell, 10, 10_890, inside(6))]);
}

#[test]
fn a_trailing_stop_gapped_through_fills_at_the_open() {
    let mut desk = Desk::new(plain());
    desk.holds(10, 5, 10_000);
    let trail = OrderType::TrailingStop { trail: Trail::Amount(cents(100)) };
    desk.submit_on(&ticket("t", Sell, 10, trail), minute(6), quote(minute(6), 10_000, 10_001)).unwrap();
    desk.bar(6, 9_800, 9_900, 9_700, 9_800);
    assert_eq!(desk.told(), [(Sell, 10, 9_800, minute(6))]);
}

#[test]
fn participation_spreads_an_order_over_bars() {
    let mut desk = Desk::new(ExchangeSettings { participation: Bps(1_000), ..plain() });
    desk.submit(&ticket("a", Buy, 25, OrderType::Market), minute(5)).expect_err("no price is known");
    desk.bar_of(4, 10_000, 10_000, 10_000, 10_000, 100);
    desk.submit(&ticket("a", Buy, 25, OrderType::Market), minute(5)).unwrap();
    desk.event(&MarketEvent::BarOpen { symbol: "AAPL".parse().unwrap(), at: minute(5), open: cents(10_000) });
    assert_eq!(desk.told(), [], "the volume is not known yet");
    desk.bar_of(5, 10_000, 10_010, 9_990, 10_000, 109);
    assert_eq!(desk.status(1), OrderStatus::PartiallyFilled);
    desk.bar_of(6, 10_100, 10_100, 10_100, 10_100, 9);
    desk.bar_of(7, 10_200, 10_200, 10_200, 10_200, 1_000);
    assert_eq!(desk.told(), [(Buy, 10, 10_000, minute(5)), (Buy, 15, 10_200, minute(7))]);
    assert_eq!(desk.order(1).average_price, Some(cents(10_120)));
}

#[test]
fn what_is_left_of_a_stop_that_was_hit_is_a_market_order() {
    let mut desk = Desk::new(plain());
    desk.holds(30, 4, 10_000);
    let mut state = desk.exchange.state().clone();
    state.executions_issued = 0;
    let mut desk = Desk {
        exchange: Exchange::new(ExchangeSettings { participation: Bps(1_000), ..plain() }, state),
        fills: vec![],
    };
    desk.submit(&ticket("s", Sell, 30, stop(9_900)), minute(5)).unwrap();
    desk.bar_of(5, 10_000, 10_000, 9_900, 10_000, 100);
    desk.bar_of(6, 10_050, 10_100, 10_000, 10_050, 1_000);
    assert_eq!(desk.told(), [(Sell, 10, 9_900, inside(5)), (Sell, 20, 10_050, minute(6))]);
}

#[test]
fn quotes_fill_what_rests() {
    let mut desk = Desk::new(plain());
    let symbol = "AAPL".parse().unwrap();
    desk.submit(&ticket("a", Buy, 10, limit(10_000)), second(5, 1)).unwrap();
    desk.event(&MarketEvent::Quote { symbol, quote: quote(second(5, 2), 10_000, 10_001) });
    assert_eq!(desk.told(), []);
    desk.event(&MarketEvent::Quote { symbol, quote: quote(second(5, 3), 9_989, 9_990) });
    assert_eq!(desk.told(), [(Buy, 10, 9_990, second(5, 3))]);
    desk.submit(&ticket("s", Sell, 10, stop(9_900)), second(5, 4)).unwrap();
    desk.event(&MarketEvent::Quote { symbol, quote: quote(second(5, 5), 9_890, 9_891) });
    assert_eq!(desk.told()[1], (Sell, 10, 9_890, second(5, 5)));
}

#[test]
fn orders_outside_regular_hours_are_parked_until_the_open() {
    let mut desk = Desk::new(plain());
    desk.event(&MarketEvent::SessionClose { at: minute(10) });
    let orders =
        desk.submit_on(&ticket("a", Buy, 10, limit(10_000)), minute(11), quote(minute(11), 9_000, 9_001)).unwrap();
    assert_eq!(orders[0].status, OrderStatus::Accepted);
    desk.bar(12, 9_000, 9_000, 9_000, 9_000);
    desk.event(&MarketEvent::SessionOpen { at: minute(20) });
    assert_eq!(desk.status(1), OrderStatus::New);
    assert_eq!(desk.told(), []);
    desk.bar(20, 9_950, 10_100, 9_900, 10_000);
    assert_eq!(desk.told(), [(Buy, 10, 9_950, minute(20))]);
}

#[test]
fn day_orders_expire_at_the_close_and_gtc_orders_do_not() {
    let mut desk = Desk::new(plain());
    desk.submit(&ticket("day", Buy, 1, limit(9_000)), minute(5)).unwrap();
    let gtc = OrderTicket { time_in_force: TimeInForce::Gtc, ..ticket("gtc", Buy, 1, limit(9_100)) };
    desk.submit(&gtc, minute(5)).unwrap();
    desk.submit(&bracket("group", 1, limit(9_000), 8_000, 10_000), minute(5)).unwrap();
    desk.event(&MarketEvent::SessionClose { at: minute(10) });
    let statuses = (1..=5).map(|number| desk.status(number)).collect::<Vec<_>>();
    use OrderStatus::{Canceled, Expired, New};
    assert_eq!(statuses, [Expired, New, Expired, Canceled, Canceled]);
    desk.event(&MarketEvent::SessionOpen { at: minute(20) });
    desk.bar(20, 9_050, 9_050, 9_050, 9_050);
    assert_eq!(desk.told(), [(Buy, 1, 9_050, minute(20))]);
}
