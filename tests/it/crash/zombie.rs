//! A process that was thought dead wakes up after another one has taken over.
//!
//! Its lock keeps others out for as long as it lives; what is tried here is what a lock cannot prevent: a machine that
//! slept while its disk was moved.

use super::matrix::WHOLE;
use super::world::{End, first_difference, is_stopped, wake};

/// The old process stops at `point`, another one lives the day to its end, and the old one wakes.
fn wakes_too_late(point: &str) {
    let mut world = WHOLE.before.fork();
    let old = world.start(&[("DAYBOOK_CRASH", format!("{point}:stop"))]);
    assert!(is_stopped(&old), "{point}: it ended");
    let refused = world.life(None).unwrap_err();
    assert!(refused.contains("holds the ledger"), "{refused}");
    world.remove_lock();
    assert_eq!(world.life(None), Ok(End::Finished));
    wake(&old);
    let ended = old.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && told.contains("was taken over"), "{point}: {told}");
    assert_eq!(world.findings(), Vec::<String>::new(), "{point}");
    assert_eq!(first_difference(&WHOLE.rows, &world.rows()), None, "{point}");
}

#[test]
fn an_old_process_that_wakes_can_write_nothing_and_sends_no_second_order() {
    for point in ["gather.before:10", "decision.before:6", "submitting.before:2", "submit.before:2", "submit.after:2"] {
        wakes_too_late(point);
    }
    for point in ["answer.before:2", "close.before:1", "close.cancel.before:1", "fills.stored:3", "deliver.before:2"] {
        wakes_too_late(point);
    }
}

/// Nobody else can write while it stands inside a transaction; it goes on when it wakes, and the day is whole.
#[test]
fn an_old_process_that_stops_inside_a_transaction_is_not_taken_over() {
    let mut world = WHOLE.before.fork();
    let old = world.start(&[("DAYBOOK_CRASH", "commit.before:60:stop".to_owned())]);
    assert!(is_stopped(&old));
    world.remove_lock();
    let refused = world.life(None).unwrap_err();
    assert!(refused.contains("another process keeps a transaction open"), "{refused}");
    wake(&old);
    assert!(old.wait_with_output().unwrap().status.success());
    assert_eq!(world.findings(), Vec::<String>::new());
    assert_eq!(first_difference(&WHOLE.rows, &world.rows()), None);
}
