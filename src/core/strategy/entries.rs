//! Which way a strategy enters, when, and how often: one set of rules for what is built in and for scripts.

use super::terms::Problems;
use super::{Direction, Directions, NextLook, Reasons, Signal, SymbolView};
use crate::money::{Bps, MoneyError, Price};
use crate::time::{Span, Timestamp};

/// The rules of a strategy's entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries {
    pub(super) direction: Directions,
    /// The first and the last instant, from the session's open.
    pub(super) earliest: Span,
    pub(super) latest: Span,
    /// How often a symbol is entered in a session.
    pub(super) most: u32,
    /// How long a signal may be traded on.
    pub(super) valid_for: Span,
}

/// The [`Entries`] of a strategy whose settings name them so.
macro_rules! entries {
    ($settings:expr) => {
        $crate::strategy::entries::Entries {
            direction: $settings.direction,
            earliest: $settings.earliest_entry,
            latest: $settings.latest_entry,
            most: $settings.max_entries,
            valid_for: $settings.valid_for,
        }
    };
}
pub(super) use entries;

/// A trade that a strategy has found.
pub(super) struct Found<'a> {
    /// The strategy's name.
    pub(super) strategy: &'a str,
    pub(super) direction: Direction,
    pub(super) entry: Price,
    pub(super) exits: Exits,
    pub(super) confidence: Bps,
}

impl Entries {
    /// Adds what is wrong with them.
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.require(
            "latest_entry",
            self.latest > self.earliest,
            self.latest,
            &format!("later than earliest_entry ({})", self.earliest),
        );
        problems.require("max_entries", self.most > 0, self.most, "at least 1");
        problems.require("valid_for", !self.valid_for.is_zero(), self.valid_for, "a length of time above zero");
    }

    /// Whether there may be an entry now; otherwise there were enough today, or it is too early or too late.
    pub(super) fn are_open(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> bool {
        if view.entries_today >= self.most {
            reasons.note("entries today", format_args!("{} (limit {})", view.entries_today, self.most));
            return false;
        }
        let (earliest, latest) = (self.earliest(view), self.latest(view));
        let are_open = earliest <= view.as_of && view.as_of <= latest;
        if !are_open {
            reasons.note("time", format_args!("{} (entries from {earliest} to {latest})", view.as_of));
        }
        are_open
    }

    /// The look before which there is no entry for reasons of time; [`NextLook::Now`] within it.
    pub(super) fn next_look(&self, view: &SymbolView<'_>) -> NextLook {
        let earliest = self.earliest(view);
        if view.entries_today >= self.most || view.as_of > self.latest(view) {
            NextLook::NextSession
        } else if view.as_of < earliest {
            NextLook::From(earliest)
        } else {
            NextLook::Now
        }
    }

    /// Whether the direction is traded.
    pub(super) fn allow(&self, direction: Direction, reasons: &mut Reasons) -> bool {
        let is_allowed = self.direction.allow(direction);
        if !is_allowed {
            let allowed = self.direction.as_str();
            reasons.note("direction", format_args!("{} (allowed: {allowed})", direction.as_str()));
        }
        is_allowed
    }

    /// The signal of a trade that was found.
    pub(super) fn signal(&self, view: &SymbolView<'_>, found: Found<'_>, reasons: &mut Reasons) -> Signal {
        let Found { strategy, direction, entry, exits: Exits { stop, target }, confidence } = found;
        Signal {
            symbol: view.symbol,
            strategy: strategy.to_owned(),
            direction,
            entry,
            stop,
            target,
            confidence,
            reasons: reasons.take(),
            valid_until: view.as_of.after(self.valid_for.as_duration()),
        }
    }

    fn earliest(&self, view: &SymbolView<'_>) -> Timestamp {
        view.session.open.after(self.earliest.as_duration())
    }

    fn latest(&self, view: &SymbolView<'_>) -> Timestamp {
        view.session.open.after(self.latest.as_duration()).min(view.session.close)
    }
}

/// The price at which a position could be opened, rounded to a tick to the worse side.
#[must_use]
pub fn entry_price(view: &SymbolView<'_>, direction: Direction) -> Option<Price> {
    view.entry_price(direction).map(|entry| match direction {
        Direction::Long => entry.round_to_tick_up(),
        Direction::Short => entry.round_to_tick_down(),
    })
}

/// As [`entry_price`]; that there is none is noted.
pub(super) fn known_entry_price(view: &SymbolView<'_>, direction: Direction, reasons: &mut Reasons) -> Option<Price> {
    let entry = entry_price(view, direction);
    if entry.is_none() {
        reasons.note("price", "none");
    }
    entry
}

/// Where a position ends.
pub(super) struct Exits {
    /// With a loss.
    stop: Price,
    /// With a profit.
    target: Price,
}

impl Exits {
    /// The exits at these distances from the entry, rounded to ticks toward it: no more is risked than was measured,
    /// and no more is hoped for. `None`, and the reason, where less than a tick is left between them and the entry.
    pub(super) fn at(
        entry: Price,
        direction: Direction,
        risked: Price,
        hoped: Price,
        reasons: &mut Reasons,
    ) -> Result<Option<Self>, MoneyError> {
        let (stop, target) = match direction {
            Direction::Long => (entry.minus(risked)?.round_to_tick_up(), entry.plus(hoped)?.round_to_tick_down()),
            Direction::Short => (entry.plus(risked)?.round_to_tick_down(), entry.minus(hoped)?.round_to_tick_up()),
        };
        Ok(Self::around(entry, direction, stop, target, reasons))
    }

    /// The exits at two prices on ticks; `None`, and the reason, where less than a tick is left between them and the entry.
    pub(super) fn around(
        entry: Price,
        direction: Direction,
        stop: Price,
        target: Price,
        reasons: &mut Reasons,
    ) -> Option<Self> {
        let (low, high) = match direction {
            Direction::Long => (stop, target),
            Direction::Short => (target, stop),
        };
        if !low.is_positive() || low >= entry || entry >= high {
            let prices = format_args!("stop {stop}, entry {entry}, target {target}: less than a tick apart");
            reasons.note("bracket", prices);
            return None;
        }
        Some(Self { stop, target })
    }
}
