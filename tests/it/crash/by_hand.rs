//! A person's order is sent once, wherever the process is killed that takes it.

use std::sync::Mutex;

use daybook::engine::commands::{Command, Trade};
use daybook_core::market::Symbol;
use daybook_core::money::Quantity;
use daybook_core::order::Side;
use daybook_core::risk::{HandOrder, HandSize};

use super::matrix::{WHOLE, in_parallel};
use super::world::{End, Kill, World};
use crate::support::simulation::rows;

/// What there is between the command and the row of its answer.
const OF_ITS_WAY: [&str; 4] = ["command.taken", "submit.before", "submit.after", "answer.before"];

/// The companies of the market, in their order; one of them is not traded on that day.
const LISTED: [&str; 8] = ["ABDN", "ABLX", "ABMR", "ABNT", "ABRG", "ABRX", "ABST", "ABTA"];

/// A world in which the process was killed in the session, and a person has given an order since.
fn ordered() -> World {
    let traded = |symbol: &&str| WHOLE.rows["v_order"].iter().any(|row| row.contains(*symbol));
    let symbol: Symbol = LISTED.iter().find(|symbol| !traded(symbol)).unwrap().parse().unwrap();
    let mut world = WHOLE.before.fork();
    assert_eq!(world.life(Some(&Kill::at("answer.after", 2))), Ok(End::Killed));
    world.ask(&Command::Trade(Trade::Order(HandOrder {
        symbol,
        side: Side::Buy,
        size: HandSize::Shares(Quantity::whole(1)),
        short: false,
        limit: None,
        stop: None,
        target: None,
    })));
    world
}

/// The person's orders at the broker.
fn sent(world: &World) -> Vec<String> {
    let orders = world.record().orders;
    let by_hand = orders.iter().filter(|order| !order.is_leg && order.name.as_str().contains("-operator-"));
    by_hand.map(|order| order.name.to_string()).collect()
}

/// Kills the process at the passes of a point, up to the first that the order has gone by: others come to it, too. The
/// answer is how many kills struck, and how many of them between the order and the row of its answer.
fn killed_at(ordered: &World, point: &str) -> (usize, usize) {
    let (mut kills, mut unanswered) = (0, 0);
    for pass in 1.. {
        let mut world = ordered.fork();
        if world.life(Some(&Kill::at(point, pass))) != Ok(End::Killed) {
            break;
        }
        kills += 1;
        let state = "SELECT intent.state FROM intent JOIN run USING (run_id) WHERE job = 'operator'";
        let state = rows(&world.ledger(), state);
        let is_over = state == ["acked"] || state == ["terminal"];
        unanswered += usize::from(sent(&world).len() == 1 && !is_over);
        assert_eq!(world.life(None), Ok(End::Finished), "{point}:{pass}");
        assert_eq!((sent(&world).len(), world.findings()), (1, Vec::new()), "{point}:{pass}");
        if is_over {
            break;
        }
    }
    (kills, unanswered)
}

#[test]
fn a_persons_order_is_sent_once_wherever_the_process_is_killed() {
    let (ordered, struck) = (ordered(), Mutex::new((0, 0)));
    in_parallel(&OF_ITS_WAY, |point| {
        let (kills, unanswered) = killed_at(&ordered, point);
        let mut struck = struck.lock().unwrap();
        *struck = (struck.0 + kills, struck.1 + unanswered);
    });
    let (kills, unanswered) = struck.into_inner().unwrap();
    println!("{kills} kills, {unanswered} of them before the answer was written");
    assert!(kills >= OF_ITS_WAY.len() && unanswered > 0, "{kills} kills, {unanswered} before the answer was written");
}
