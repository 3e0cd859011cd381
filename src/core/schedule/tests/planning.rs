use std::time::Duration;

use proptest::prelude::*;

use super::walks::{any_calendar, any_pace, any_schedule};
use super::*;
use crate::schedule::series::Backlog;
use crate::time::Span;

fn plan_at(job: &JobDefinition, horizon: &str, now: &str) -> Plan {
    let calendar = Calendar::xnys();
    plan(&PlanInput { definition: job, calendar: &calendar, pace: Pace::Normal, horizon: at(horizon), now: at(now) })
}

fn due(plan: &Plan) -> Vec<String> {
    plan.due.iter().map(|slot| slot.at.to_string()).collect()
}

fn missed(from: &str, to: &str, slots: u64, reason: MissedReason) -> Option<MissedRange> {
    Some(MissedRange { from: at(from), to: at(to), slots, reason })
}

fn flatten() -> JobDefinition {
    job(r#"{"kind": "market-close-flatten", "schedule": {"at": "close-10m"}}"#)
}

#[test]
fn a_slot_is_due_once_and_the_horizon_passes_it() {
    let first = plan_at(&flatten(), "2026-11-27T17:49:59Z", "2026-11-27T17:50:00Z");
    let slot = PlannedSlot {
        at: at("2026-11-27T17:50:00Z"),
        session: Some(date("2026-11-27")),
        expires_at: at("2026-11-27T18:00:00Z"),
    };
    assert_eq!(
        first,
        Plan {
            due: vec![slot],
            missed: None,
            horizon: at("2026-11-27T17:50:00Z"),
            next_slot: Some(at("2026-11-30T20:50:00Z")),
        }
    );
    let second = plan_at(&flatten(), "2026-11-27T17:50:00Z", "2026-11-27T17:50:01Z");
    assert_eq!((second.due, second.missed), (vec![], None));
}

#[test]
fn a_flatten_that_was_missed_runs_until_the_close_and_expires_with_it() {
    let late = plan_at(&flatten(), "2026-11-27T15:00:00Z", "2026-11-27T17:59:59Z");
    assert_eq!((due(&late), late.missed), (vec!["2026-11-27T17:50:00Z".to_owned()], None));
    let too_late = plan_at(&flatten(), "2026-11-27T15:00:00Z", "2026-11-27T18:00:00Z");
    let one = missed("2026-11-27T17:50:00Z", "2026-11-27T17:50:00Z", 1, MissedReason::Expired);
    assert_eq!((too_late.due, too_late.missed), (vec![], one));
    // A week away, and back in the last minutes: today's runs, the others are one range.
    let week = plan_at(&flatten(), "2026-11-13T22:00:00Z", "2026-11-20T20:55:00Z");
    assert_eq!(due(&week), ["2026-11-20T20:50:00Z"]);
    assert_eq!(week.missed, missed("2026-11-16T20:50:00Z", "2026-11-19T20:50:00Z", 4, MissedReason::Expired));
}

#[test]
fn latest_runs_the_newest_slot_only() {
    let scan = job(r#"{"kind": "premarket-scan", "schedule": {"every": "30m", "during": "pre_market"}}"#);
    let plan = plan_at(&scan, "2026-11-16T09:30:00Z", "2026-11-16T11:10:00Z");
    assert_eq!(due(&plan), ["2026-11-16T11:00:00Z"]);
    assert_eq!(plan.missed, missed("2026-11-16T10:00:00Z", "2026-11-16T10:30:00Z", 2, MissedReason::Superseded));
    assert_eq!(plan.due[0].expires_at, at("2026-11-16T14:30:00Z"));
}

#[test]
fn all_runs_so_many_of_the_newest() {
    let summary = job(r#"{"kind": "daily-summary", "schedule": {"at": "close+15m"}, "catch_up": {"all": 3}}"#);
    let plan = plan_at(&summary, "2026-11-13T22:00:00Z", "2026-11-20T22:00:00Z");
    assert_eq!(due(&plan), ["2026-11-18T21:15:00Z", "2026-11-19T21:15:00Z", "2026-11-20T21:15:00Z"]);
    let sessions: Vec<_> = plan.due.iter().map(|slot| slot.session.unwrap().to_string()).collect();
    assert_eq!(sessions, ["2026-11-18", "2026-11-19", "2026-11-20"]);
    assert_eq!(plan.missed, missed("2026-11-16T21:15:00Z", "2026-11-17T21:15:00Z", 2, MissedReason::OverLimit));
    // On Thanksgiving: the newest three, all from the last seven days.
    let later = plan_at(&summary, "2026-11-13T22:00:00Z", "2026-11-26T21:15:00Z");
    assert_eq!(due(&later), ["2026-11-23T21:15:00Z", "2026-11-24T21:15:00Z", "2026-11-25T21:15:00Z"]);
    // A week after a slot its window is over.
    let after = plan_at(&summary, "2026-11-23T22:00:00Z", "2026-12-01T21:15:00Z");
    assert_eq!(due(&after), ["2026-11-27T18:15:00Z", "2026-11-30T21:15:00Z", "2026-12-01T21:15:00Z"]);
    let after = plan_at(&summary, "2026-11-23T22:00:00Z", "2026-12-04T18:15:00Z");
    assert_eq!(due(&after), ["2026-12-01T21:15:00Z", "2026-12-02T21:15:00Z", "2026-12-03T21:15:00Z"]);
}

#[test]
fn none_runs_what_is_still_in_its_window() {
    let json =
        r#"{"kind": "command", "command": ["x"], "schedule": {"every": "1m"}, "catch_up": "none", "window": "3m"}"#;
    let plan = plan_at(&job(json), "2026-11-16T15:00:00Z", "2026-11-16T15:10:30Z");
    assert_eq!(due(&plan), ["2026-11-16T15:08:00Z", "2026-11-16T15:09:00Z", "2026-11-16T15:10:00Z"]);
    assert_eq!(plan.missed, missed("2026-11-16T15:01:00Z", "2026-11-16T15:07:00Z", 7, MissedReason::Expired));
}

#[test]
fn a_clock_set_back_replays_nothing() {
    let plan = plan_at(&flatten(), "2026-11-27T17:55:00Z", "2026-11-27T17:45:00Z");
    assert_eq!(
        plan,
        Plan {
            due: vec![],
            missed: None,
            horizon: at("2026-11-27T17:55:00Z"),
            next_slot: Some(at("2026-11-30T20:50:00Z")),
        }
    );
}

#[test]
fn a_job_that_is_not_enabled_has_no_slots() {
    let off = job(r#"{"kind": "market-close-flatten", "schedule": {"at": "close-10m"}, "enabled": false}"#);
    let plan = plan_at(&off, "2026-11-13T22:00:00Z", "2026-11-20T20:55:00Z");
    assert_eq!(plan, Plan { due: vec![], missed: None, horizon: at("2026-11-20T20:55:00Z"), next_slot: None });
}

#[test]
fn windows_end_with_the_earliest_of_their_limits() {
    let calendar = Calendar::xnys();
    let expires = |schedule_json: &str, window: Window, slot: &str| {
        let slot = Slot { at: at(slot), session: None };
        window.expires_at(slot, &schedule(schedule_json), &calendar, Pace::Normal).to_string()
    };
    let bars = r#"{"bar": "10m", "delay": "5s"}"#;
    let after = |minutes| Limit::After(Span::minutes(minutes));
    assert_eq!(expires(bars, Window::until(after(15)), "2026-11-16T15:00:05Z"), "2026-11-16T15:15:05Z");
    let next = Window::until(after(15)).or_until(Limit::UntilNextSlot);
    assert_eq!(expires(bars, next.clone(), "2026-11-16T15:00:05Z"), "2026-11-16T15:10:05Z");
    assert_eq!(expires(bars, next, "2026-11-16T21:00:05Z"), "2026-11-16T21:15:05Z", "the next slot is tomorrow's");
    let (open, close) = (Window::until(Limit::UntilOpen), Window::until(Limit::UntilClose));
    assert_eq!(expires(bars, open.clone(), "2026-11-27T13:00:00Z"), "2026-11-27T14:30:00Z");
    assert_eq!(expires(bars, open, "2026-11-27T14:30:00Z"), "2026-11-27T14:30:00Z", "at the open it is over");
    assert_eq!(expires(bars, close.clone(), "2026-11-27T14:30:00Z"), "2026-11-27T18:00:00Z");
    // Past the calendar's last close there is none to wait for.
    assert_eq!(expires(bars, close, "2030-12-31T22:00:00Z"), "2031-01-01T22:00:00Z");
}

#[test]
fn an_outage_of_years_is_one_range() {
    let json = r#"{"kind": "risk-monitor", "schedule": {"every": "1s", "during": "always"}, "window": "1m"}"#;
    let plan = plan_at(&job(json), "2020-01-01T00:00:00Z", "2026-01-01T00:00:00.500Z");
    assert_eq!(due(&plan), ["2026-01-01T00:00:00Z"]);
    let slots = 2192 * 86_400 - 1;
    let reason = MissedReason::Superseded;
    assert_eq!(plan.missed, missed("2020-01-01T00:00:01Z", "2025-12-31T23:59:59Z", slots, reason));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_backlog_is_what_enumeration_finds(
        schedule in any_schedule(),
        calendar in any_calendar(),
        pace in any_pace(),
        hours in (0..24 * 60_i64, 0..24 * 10_i64),
        keep in 0..7_usize,
    ) {
        let from = Timestamp(at("2026-10-10T00:00:00Z").0 + hours.0 * 3_600_000);
        let to = Timestamp(from.0 + hours.1 * 3_600_000);
        let all = slots(&schedule, &calendar, pace, from, to);
        let backlog = Backlog::of(&schedule, &calendar, pace, (from, to), keep);
        prop_assert_eq!(backlog.count, all.len() as u64);
        prop_assert_eq!(backlog.first, all.first().map(|slot| slot.at));
        prop_assert_eq!(&backlog.newest[..], &all[all.len().saturating_sub(keep)..]);
    }

    /// Whenever the planner looks, and whatever its clock does meanwhile: no slot twice, none lost.
    #[test]
    fn every_slot_is_accounted_for_once(
        schedule in any_schedule(),
        calendar in any_calendar(),
        pace in any_pace(),
        catch_up in prop_oneof![
            Just(CatchUp::None), Just(CatchUp::Latest), Just(CatchUp::MustRun), (1..5_u32).prop_map(CatchUp::All),
        ],
        limits in proptest::collection::vec(
            prop_oneof![
                (1..600_u32).prop_map(|minutes| Limit::After(Span::minutes(minutes))),
                Just(Limit::UntilOpen), Just(Limit::UntilClose), Just(Limit::UntilNextSlot),
            ],
            1..3,
        ),
        looks in proptest::collection::vec(prop_oneof![
            4 => 0..3_600_000_i64, 2 => 0..40 * 3_600_000_i64, 1 => -7_200_000..0_i64,
        ], 1..12),
        start in 0..24 * 50_i64,
    ) {
        let window = limits[1..].iter().fold(Window::until(limits[0]), |window, limit| window.or_until(*limit));
        let mut definition = flatten();
        (definition.schedule, definition.catch_up, definition.window) = (schedule, catch_up, window);
        let begin = Timestamp(at("2026-10-10T00:00:00Z").0 + start * 3_600_000);
        let (mut horizon, mut now, mut accounted) = (begin, begin, Vec::new());
        for step in looks {
            now = Timestamp(now.0 + step);
            let planned = plan(&PlanInput { definition: &definition, calendar: &calendar, pace, horizon, now });
            prop_assert_eq!(planned.horizon, horizon.max(now));
            let next = next_slot_after(&definition.schedule, &calendar, pace, planned.horizon);
            prop_assert_eq!(planned.next_slot, next.map(|slot| slot.at));

            let expires_at = |slot: Slot| definition.window.expires_at(slot, &definition.schedule, &calendar, pace);
            if let Some(range) = planned.missed {
                let inside = slots(&definition.schedule, &calendar, pace, range.from.before(Duration::from_millis(1)), range.to);
                prop_assert_eq!(inside.len() as u64, range.slots);
                prop_assert_eq!(inside.first().map(|slot| slot.at), Some(range.from));
                prop_assert_eq!(inside.last().map(|slot| slot.at), Some(range.to));
                let expired = expires_at(inside[inside.len() - 1]) <= now;
                prop_assert_eq!(range.reason == MissedReason::Expired, expired);
                let most = match catch_up {
                    CatchUp::Latest | CatchUp::MustRun => 1,
                    CatchUp::All(slots) => slots as usize,
                    CatchUp::None => 100,
                };
                prop_assert!(expired || planned.due.len() == most, "what is in its window is left out only for the limit");
                accounted.extend(inside.iter().map(|slot| slot.at));
            }
            for slot in &planned.due {
                prop_assert!(slot.expires_at > now);
                prop_assert_eq!(slot.expires_at, expires_at(Slot { at: slot.at, session: slot.session }));
                accounted.push(slot.at);
            }
            horizon = planned.horizon;
        }
        let all: Vec<Timestamp> =
            slots(&definition.schedule, &calendar, pace, begin, horizon).iter().map(|slot| slot.at).collect();
        prop_assert_eq!(accounted, all);
    }
}
