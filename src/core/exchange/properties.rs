//! What holds for every sequence of orders and events.

use proptest::prelude::*;

use super::tests::{cents, minute};
use super::*;
use crate::market::{Bar, Quote};
use crate::money::Bps;
use crate::order::{OrderClass, OrderTicket, OrderType, Side, Trail};

const SYMBOLS: [&str; 2] = ["AAPL", "MSFT"];

/// One thing that happens at the start of a minute, before its bars.
#[derive(Debug, Clone)]
enum Act {
    Submit { symbol: usize, side: Side, shares: i64, kind: Kind, gtc: bool, quoted: bool },
    Cancel { number: i64 },
    Move { number: i64, stop: i64 },
    Close,
    Open,
}

#[derive(Debug, Clone)]
enum Kind {
    Plain(OrderType),
    Bracket { order_type: OrderType, below: i64, above: i64 },
    Oco { below: i64, above: i64 },
}

/// A minute: what is done, the bar of each symbol, and whether the second exchange is stored and read
/// back after it.
#[derive(Debug, Clone)]
struct Minute {
    acts: Vec<Act>,
    bars: [[i64; 5]; 2],
    restart: bool,
}

fn price() -> impl Strategy<Value = i64> {
    9_800_i64..10_200
}

fn order_type() -> impl Strategy<Value = OrderType> {
    prop_oneof![
        Just(OrderType::Market),
        price().prop_map(|limit| OrderType::Limit { limit: cents(limit) }),
        price().prop_map(|stop| OrderType::Stop { stop: cents(stop) }),
        (price(), price()).prop_map(|(stop, limit)| OrderType::StopLimit { stop: cents(stop), limit: cents(limit) }),
        (1_i64..200).prop_map(|trail| OrderType::TrailingStop { trail: Trail::Amount(cents(trail)) }),
        (1_i64..200).prop_map(|trail| OrderType::TrailingStop { trail: Trail::Ratio(Bps(trail)) }),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        order_type().prop_map(Kind::Plain),
        (order_type(), 9_700_i64..10_000, 10_001_i64..10_300).prop_map(|(order_type, below, above)| Kind::Bracket {
            order_type,
            below,
            above
        }),
        (9_700_i64..10_000, 10_001_i64..10_300).prop_map(|(below, above)| Kind::Oco { below, above }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    prop_oneof![
        6 => (0_usize..2, side, 1_i64..60, kind(), any::<bool>(), any::<bool>()).prop_map(
            |(symbol, side, shares, kind, gtc, quoted)| Act::Submit { symbol, side, shares, kind, gtc, quoted }
        ),
        1 => (1_i64..60).prop_map(|number| Act::Cancel { number }),
        1 => (1_i64..60, price()).prop_map(|(number, stop)| Act::Move { number, stop }),
        1 => Just(Act::Close),
        2 => Just(Act::Open),
    ]
}

fn bar() -> impl Strategy<Value = [i64; 5]> {
    (price(), 0_i64..150, 0_i64..150, 0_i64..=100, 0_i64..400).prop_map(|(open, up, down, at, volume)| {
        let (high, low) = (open + up, open - down);
        [open, high, low, low + (high - low) * at / 100, volume]
    })
}

fn minutes() -> impl Strategy<Value = Vec<Minute>> {
    let one = (prop::collection::vec(act(), 0..4), [bar(), bar()], any::<bool>());
    prop::collection::vec(one.prop_map(|(acts, bars, restart)| Minute { acts, bars, restart }), 1..40)
}

fn settings() -> impl Strategy<Value = ExchangeSettings> {
    (0_i64..20, prop_oneof![Just(0_i64), Just(1_000)], any::<bool>(), 0_i64..3).prop_map(
        |(slippage, participation, allow_short, commission)| ExchangeSettings {
            slippage: Bps(slippage),
            participation: Bps(participation),
            allow_short,
            commission_per_share: cents(commission),
            commission_minimum: Money::whole(commission),
            margin_multiplier: 2,
            ..ExchangeSettings::default()
        },
    )
}

fn do_act(exchange: &mut Exchange, act: &Act, n: i64, place: usize) {
    let now = Timestamp(minute(n).0 + i64::try_from(place).unwrap() * 7_000);
    match act {
        Act::Submit { symbol, side, shares, kind, gtc, quoted } => {
            let (order_type, class) = match kind {
                Kind::Plain(order_type) => (*order_type, OrderClass::Simple),
                Kind::Bracket { order_type, below, above } => {
                    let (stop_loss, take_profit) = if *side == Side::Buy { (below, above) } else { (above, below) };
                    let class = OrderClass::Bracket { stop_loss: cents(*stop_loss), take_profit: cents(*take_profit) };
                    (*order_type, class)
                }
                Kind::Oco { below, above } => {
                    let (stop_loss, limit) = if *side == Side::Sell { (below, above) } else { (above, below) };
                    (OrderType::Limit { limit: cents(*limit) }, OrderClass::Oco { stop_loss: cents(*stop_loss) })
                }
            };
            let ticket = OrderTicket {
                client_order_id: format!("order-{n}-{place}").parse().unwrap(),
                symbol: SYMBOLS[*symbol].parse().unwrap(),
                side: *side,
                quantity: Quantity::whole(*shares),
                order_type,
                time_in_force: if *gtc { TimeInForce::Gtc } else { TimeInForce::Day },
                class,
            };
            let quote = Quote {
                at: now,
                bid: cents(9_995),
                ask: cents(10_005),
                bid_size: Quantity::whole(20),
                ask_size: Quantity::whole(20),
            };
            // Refused or not: the properties hold.
            let _ = exchange.submit(&ticket, now, quoted.then_some(&quote));
        }
        Act::Cancel { number } => {
            let _ = exchange.cancel(&OrderNumber(*number).to_string(), now);
        }
        Act::Move { number, stop } => {
            let _ = exchange.replace_stop(&OrderNumber(*number).to_string(), cents(*stop), now);
        }
        Act::Close => exchange.apply(&MarketEvent::SessionClose { at: now }).unwrap(),
        Act::Open => exchange.apply(&MarketEvent::SessionOpen { at: now }).unwrap(),
    }
}

fn do_minute(exchange: &mut Exchange, minute_of: &Minute, n: i64) -> Vec<Execution> {
    for (place, act) in minute_of.acts.iter().enumerate() {
        do_act(exchange, act, n, place);
    }
    for (symbol, [open, high, low, close, volume]) in SYMBOLS.iter().zip(minute_of.bars) {
        let bar = Bar {
            start: minute(n),
            open: cents(open),
            high: cents(high),
            low: cents(low),
            close: cents(close),
            volume: Quantity::whole(volume),
        };
        exchange.apply(&MarketEvent::BarRange { symbol: symbol.parse().unwrap(), bar, end: minute(n + 1) }).unwrap();
    }
    exchange.take_changes().executions
}

/// What is wrong with a bracket whose entry has filled, if anything.
fn unprotected(state: &ExchangeState, entry: &BookOrder) -> Option<String> {
    let legs: Vec<_> = state.group(entry.number).filter(|book| book.is_exit_leg()).collect();
    let left = entry.order.filled.0 - legs.iter().map(|leg| leg.order.filled.0).sum::<i64>();
    let given_up = legs.iter().any(|leg| {
        let reason = leg.order.reason.as_deref().unwrap_or_default();
        leg.order.status == OrderStatus::Expired || reason.starts_with("canceled")
    });
    let working: Vec<_> = legs.iter().filter(|leg| !leg.order.status.is_terminal()).collect();
    let covered = working.len() == 2 && working.iter().all(|leg| leg.is_working() && leg.order.remaining().0 == left);
    (left != 0 && !covered && !given_up).then(|| format!("{left} of {} are left with {legs:?}", entry.order.filled))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_books_always_balance(settings in settings(), minutes in minutes()) {
        let start = ExchangeState::new(settings.starting_cash, true);
        let mut exchange = Exchange::new(settings.clone(), start.clone());
        let mut restarted = Exchange::new(settings.clone(), start);
        let mut told: Vec<Execution> = Vec::new();
        for (n, minute_of) in (1..).zip(&minutes) {
            let executions = do_minute(&mut exchange, minute_of, n);
            prop_assert_eq!(&do_minute(&mut restarted, minute_of, n), &executions, "whether stored and read back or not");
            if minute_of.restart {
                restarted.retire_settled();
                restarted = Exchange::new(settings.clone(), restarted.state().clone());
            }
            told.extend(executions);

            let state = exchange.state();
            let mut cash = settings.starting_cash;
            let mut held: BTreeMap<Symbol, Quantity> = BTreeMap::new();
            for (number, execution) in (1..).zip(&told) {
                let fill = &execution.fill;
                prop_assert_eq!(execution.number, ExecutionNumber(number));
                prop_assert!(fill.quantity.is_positive() && fill.price.is_positive() && !fill.fee.is_negative());
                let signed = fill.side.signed(fill.quantity);
                cash = cash.minus(fill.price.times(signed).unwrap()).unwrap().minus(fill.fee).unwrap();
                let shares = held.entry(fill.symbol).or_default();
                *shares = shares.plus(signed).unwrap();
            }
            prop_assert_eq!(state.cash, cash, "cash is the fold of the fills");
            for symbol in SYMBOLS.map(|symbol| symbol.parse().unwrap()) {
                let shares = state.held(symbol);
                prop_assert_eq!(shares, held.get(&symbol).copied().unwrap_or_default());
                if !settings.allow_short {
                    let tied = state.held_for_orders(symbol, Side::Sell).unwrap();
                    prop_assert!(tied <= shares && !shares.is_negative(), "{tied} of {shares} are for sale");
                }
            }
            for book in &state.orders {
                let order = &book.order;
                prop_assert!(order.filled <= order.quantity || order.status.is_terminal(), "{order:?}");
                let bracket = matches!(order.class, OrderClass::Bracket { .. });
                if bracket && order.role == OrderRole::Parent && order.status == OrderStatus::Filled {
                    prop_assert_eq!(unprotected(state, book), None);
                }
            }
        }
        for execution in &told {
            let order = &exchange.state().orders.get(execution.order).unwrap().order;
            let (OrderType::Limit { limit } | OrderType::StopLimit { limit, .. }) = order.order_type else { continue };
            let distance = order.side.signed(Quantity(limit.0 - execution.fill.price.0));
            prop_assert!(!distance.is_negative(), "{order:?} filled at {}", execution.fill.price);
        }
    }

    #[test]
    fn telling_the_open_early_changes_nothing(minutes in minutes()) {
        let settings = ExchangeSettings { margin_multiplier: 2, ..ExchangeSettings::default() };
        let start = ExchangeState::new(settings.starting_cash, true);
        let mut plain = Exchange::new(settings.clone(), start.clone());
        let mut early = Exchange::new(settings, start);
        for (n, minute_of) in (1..).zip(&minutes) {
            // One order a minute, at its start, so that nothing comes between the open and the range.
            let minute_of = &Minute { acts: minute_of.acts.iter().take(1).cloned().collect(), ..minute_of.clone() };
            let expected = do_minute(&mut plain, minute_of, n);
            for (place, act) in minute_of.acts.iter().enumerate() {
                do_act(&mut early, act, n, place);
            }
            for (symbol, bar) in SYMBOLS.iter().zip(minute_of.bars) {
                let symbol = symbol.parse().unwrap();
                early.apply(&MarketEvent::BarOpen { symbol, at: minute(n), open: cents(bar[0]) }).unwrap();
            }
            let mut executions = early.take_changes().executions;
            executions.extend(do_minute(&mut early, &Minute { acts: vec![], ..minute_of.clone() }, n));
            let told = |executions: &[Execution]| {
                let mut told: Vec<_> = executions
                    .iter()
                    .map(|execution| (execution.order, execution.fill.quantity, execution.fill.price, execution.fill.at))
                    .collect();
                told.sort();
                told
            };
            prop_assert_eq!(told(&executions), told(&expected));
        }
    }

    #[test]
    fn a_bar_out_of_reach_changes_nothing(settings in settings(), minutes in minutes()) {
        let start = ExchangeState::new(settings.starting_cash, true);
        let mut whole = Exchange::new(settings.clone(), start.clone());
        let mut skipping = Exchange::new(settings, start);
        for (n, minute_of) in (1..).zip(&minutes) {
            let executions = do_minute(&mut whole, minute_of, n);
            for (place, act) in minute_of.acts.iter().enumerate() {
                do_act(&mut skipping, act, n, place);
            }
            // What is asked of the exchange next may depend on the last price.
            let is_last_before_acts = minutes.get(usize::try_from(n).unwrap()).is_none_or(|next| !next.acts.is_empty());
            for (symbol, [open, high, low, close, volume]) in SYMBOLS.iter().zip(minute_of.bars) {
                let symbol = symbol.parse().unwrap();
                let (open, high, low, close) = (cents(open), cents(high), cents(low), cents(close));
                let bar = Bar { start: minute(n), open, high, low, close, volume: Quantity::whole(volume) };
                if is_last_before_acts || skipping.reach(symbol).unwrap().feels(low, high) {
                    skipping.apply(&MarketEvent::BarRange { symbol, bar, end: minute(n + 1) }).unwrap();
                }
            }
            prop_assert_eq!(skipping.take_changes().executions, executions);
        }
    }
}
