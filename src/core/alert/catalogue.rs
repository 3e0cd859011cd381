//! Every event that a person can be told of.
//!
//! One entry has all that is known of an event: its name, how much it usually matters, what it means and
//! what to do. `trade notify catalogue` prints them.

use super::AlertLevel;

macro_rules! catalogue {
    ($($variant:ident = $name:literal, $level:ident, $meaning:literal, $advice:literal;)+) => {
        /// An event that a person is told of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AlertEvent {
            $(#[doc = $meaning] $variant,)+
        }

        impl AlertEvent {
            /// Every event, grouped by what it is about.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name, as `noun.verb`; it stands in the ledger and never changes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// How much it usually matters.
            #[must_use]
            pub const fn level(self) -> AlertLevel {
                match self { $(Self::$variant => AlertLevel::$level,)+ }
            }

            /// What it means: one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// What a person does about it: one sentence.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)+ }
            }
        }
    };
}

catalogue! {
    OrderFilled = "order.filled", Info,
        "An order was executed, in whole or the last part of it.",
        "Nothing.";
    OrderPartFilled = "order.part_filled", Info,
        "A part of an order was executed.",
        "Nothing: the rest is still working.";
    OrderCanceled = "order.canceled", Info,
        "An order ended without being executed in whole.",
        "Nothing: exits cancel what rests at the broker, and one leg of a bracket the other.";
    OrderRejected = "order.rejected", Warning,
        "The broker refused an order.",
        "Read its reason; the signal is not traded again.";
    OrderAbandoned = "order.abandoned", Warning,
        "An order could not be sent while it was valid.",
        "Look at the connection to the broker.";
    OrderParked = "order.parked", Warning,
        "Nothing trades now: an order that closes a position waits at the broker for the next open.",
        "Nothing, if it can wait; the position is watched again from the open on.";
    OrderConflicted = "order.conflicted", Critical,
        "The broker holds an order of ours under other terms; entries are halted.",
        "Compare the order with `trade orders`, then `trade resume`.";
    OrderAdopted = "order.adopted", Warning,
        "The broker showed an order of ours whose answer had been lost.",
        "Nothing: it is watched like any other.";
    OrderStranger = "order.stranger", Warning,
        "The broker shows an order that Daybook did not send.",
        "Nothing, if it is yours: it is left alone, and counted. Else find out who sent it.";
    OrderUnrecognised = "order.unrecognised", Warning,
        "The broker shows an order in a state that this version does not know; it counts as working.",
        "Look at the order at the broker; `trade orders` shows it.";
    ApprovalAsked = "approval.asked", Warning,
        "An entry waits for a person before it is sent.",
        "`trade approve SYMBOL` or `trade reject SYMBOL`, before its time is over.";
    ApprovalAnswered = "approval.answered", Info,
        "A person has said yes or no to an entry that waited.",
        "Nothing.";
    ApprovalExpired = "approval.expired", Info,
        "An entry waited for a person until its time was over, and was not sent.",
        "Nothing; `execution.approval_above` and `session_mode` say what waits.";
    FillChanged = "fill.changed", Critical,
        "The broker shows a recorded execution with other numbers; the recorded ones were kept.",
        "Compare with the broker's statement.";
    BrokerHintsLost = "broker.hints_lost", Warning,
        "The broker's stream of updates is down: fills are seen at the next look, within a minute.",
        "Nothing, unless the broker is down itself; it is tried again all the time.";
    BrokerUnreachable = "broker.unreachable", Critical,
        "The broker cannot be reached, or what answers is not it: nothing can be seen or sent.",
        "Read the reason; `trade doctor` tries it anew. Stops that rest at the broker go on.";
    BrokerRefuses = "broker.refuses", Critical,
        "The broker refuses the key, or what is asked for with it: nothing can be seen or sent.",
        "`trade doctor` says what is wrong; check both halves of the key, its environment and the address.";
    BrokerDisagrees = "broker.disagrees", Warning,
        "The broker's clock, sessions, account or symbols are not as this program takes them.",
        "Read each line, and `trade doctor`.";

    TradesExecuted = "trades.executed", Info,
        "A run has sent its orders to the broker.",
        "Nothing: each fill is told by itself.";

    PositionOpened = "position.opened", Info,
        "A position was opened.",
        "Nothing: it is watched.";
    PositionAdjusted = "position.adjusted", Info,
        "A position was added to or reduced, or its stop was moved.",
        "Nothing.";
    PositionClosed = "position.closed", Info,
        "A position is closed, with the result that is told.",
        "Nothing.";
    PositionProtected = "position.protected", Warning,
        "Shares had no stop behind them and were given one.",
        "Find out why the stop was gone.";
    PositionExit = "position.exit", Info,
        "A position is being closed, for the reason that is told.",
        "Nothing, unless it is told again: then look at the broker.";
    PositionUnprotected = "position.unprotected", Critical,
        "A position has no stop, and none can be placed.",
        "Look at the broker; `trade close SYMBOL` closes it.";
    PositionDiffers = "position.differs", Critical,
        "The ledger and the broker do not agree on a position; entries are halted.",
        "Compare both, then `trade resume`.";
    PositionCorrected = "position.corrected", Critical,
        "The ledger has taken over a position as the broker shows it.",
        "Find out who traded.";

    RiskWarned = "risk.warned", Warning,
        "The session's loss has reached the part of its limit at which a person is warned.",
        "Look at the open positions.";
    RiskSecondLook = "risk.second_look", Warning,
        "The loss would be at its limit by a price that is not believed yet.",
        "Nothing: it looks again.";
    RiskBreached = "risk.breached", Critical,
        "The session's loss has reached its limit: everything is being closed.",
        "Watch until it is flat; `trade resume` opens entries again.";
    RiskDrawdown = "risk.drawdown", Critical,
        "The equity has fallen too far from its highest: entries are stopped.",
        "Decide whether to go on; `trade resume` opens entries again.";
    RiskStopped = "risk.stopped", Critical,
        "A person has ordered the emergency stop: everything is being closed.",
        "Watch until it is flat; `trade resume` opens entries again.";
    RiskClosing = "risk.closing", Critical,
        "The emergency stop is not done: the broker still shows something.",
        "Be ready to close it at the broker.";
    RiskFlat = "risk.flat", Critical,
        "The emergency stop is done: the broker shows nothing any more.",
        "Find out what happened; `trade resume` opens entries again.";
    SafeModeBegun = "safe_mode.begun", Warning,
        "Entries pause for a while, after losses or failures in a row.",
        "Nothing: it ends by itself.";
    SafeModeEnded = "safe_mode.ended", Info,
        "Safe mode is over: entries may go on.",
        "Nothing.";
    EntriesHalted = "entries.halted", Warning,
        "A person has stopped new entries.",
        "`trade resume` opens them again.";
    EntriesPaused = "entries.paused", Warning,
        "The trades so far have made entries pause, in one symbol or in all.",
        "Nothing: it ends by itself; `trade resume` ends it now.";
    EntriesResumed = "entries.resumed", Info,
        "A person has cleared every latch: entries are open again.",
        "Nothing.";
    FlattenLate = "flatten.late", Critical,
        "Positions are still open at the session's last minutes.",
        "Be ready to close them at the broker.";
    FlattenStranger = "flatten.stranger", Warning,
        "The session ends with a position that was not traded from here; it is left alone.",
        "Nothing, if it is yours; `trade close SYMBOL` closes it.";

    MarksStale = "marks.stale", Critical,
        "Open positions have had no fresh price for too long: entries are stopped.",
        "Look at the feed and at the positions.";
    MarksFresh = "marks.fresh", Info,
        "Prices are fresh again: entries may go on.",
        "Nothing.";
    SymbolFailed = "symbol.failed", Warning,
        "A symbol could not be analysed; the others were.",
        "Read the reason; one symbol alone is often halted or without data.";

    StrategyStopped = "strategy.stopped", Warning,
        "A script has failed: its strategy proposes nothing more, the others go on.",
        "Mend it: a changed file or parameter is taken at once; `trade strategies check FILE` tries it.";

    ModelFailed = "model.failed", Warning,
        "A model that was asked gave no score; the strategies go on without it.",
        "`trade models ask SYMBOL` asks it; this is told once a session.";

    JobStarted = "job.started", Info,
        "A run of a job begins.",
        "Nothing.";
    JobLate = "job.late", Warning,
        "A run of a job began long after it was due.",
        "Find out what kept the scheduler; what must run is made up for.";
    JobTroubled = "job.troubled", Warning,
        "A job keeps failing and is tried again.",
        "`trade job history` shows its errors.";
    JobFailed = "job.failed", Warning,
        "A job was given up for its slot.",
        "`trade job show RUN` tells why; `trade job run NAME` runs it again.";
    JobExpired = "job.expired", Warning,
        "A job was not done within its window.",
        "`trade job show RUN` tells why.";
    JobMissed = "job.missed", Critical,
        "Slots of a job that must run were missed.",
        "Find out why the scheduler was away.";
    PhaseChanged = "phase.changed", Info,
        "The program has gone from one phase to another.",
        "Nothing.";
    HeartbeatRecorded = "heartbeat.recorded", Info,
        "The scheduler is alive, with the figures that are told.",
        "Nothing; for silence to be noticed set `scheduler.heartbeat_url`.";
    DeadManUnreachable = "dead_man.unreachable", Warning,
        "The dead man's switch has not been reached for a while: it may tell that this process is silent.",
        "Look at the network, then at `scheduler.heartbeat_url`; `trade doctor` tries it.";
    DeadManReached = "dead_man.reached", Info,
        "The dead man's switch is reached again.",
        "Nothing.";
    DiskLow = "disk.low", Critical,
        "The ledger's disk is nearly full: soon nothing can be committed.",
        "Make room on it.";
    LedgerTakenAway = "ledger.taken_away", Critical,
        "The ledger's file was removed while in use: what it held is kept, and the process ends.",
        "Start it again; `trade ledger restore` where the file could not be put back.";
    ClockStepped = "clock.stepped", Critical,
        "The clock was set back: entries wait until it has caught up.",
        "Look at the machine's time synchronisation.";
    ConfigurationChanged = "configuration.changed", Info,
        "Another version of the configuration is in force.",
        "Nothing; `trade config history` lists the versions.";
    ConfigurationWaits = "configuration.waits", Warning,
        "A change loosens a limit while the market is open: that part of it waits.",
        "Nothing, or `trade config apply --confirm` to have it at once.";
    ConfigurationRefused = "configuration.refused", Warning,
        "What was read cannot come into force; the configuration stays as it was.",
        "Mend what each line names; `trade config check` tells whether all is right.";
    PartFailed = "part.failed", Critical,
        "A part of the process has failed too often and rests for a while.",
        "Read the log around it.";

    DeliveryDead = "delivery.dead", Warning,
        "Messages were given up on a channel; this comes by the others.",
        "Mend the channel, then `trade notify retry ID`.";
    ChatStranger = "chat.stranger", Warning,
        "Somebody who is not heard has asked for something in a chat.",
        "Find out who it is; `trade config show` tells who is heard.";
    ChatDeaf = "chat.deaf", Warning,
        "What people ask for in a chat cannot be read.",
        "Mend the channel's settings; it is tried again, at the latest every 15 minutes.";
    ApiDeaf = "api.deaf", Warning,
        "The address of `api.listen` cannot be listened on: nothing can be asked over HTTP.",
        "End the program that holds it, or name another; it is tried again, at the latest every 5 minutes.";
    ChannelTested = "channel.tested", Info,
        "Somebody tries whether a channel works.",
        "Nothing.";
    AlertUnacknowledged = "alert.unacknowledged", Critical,
        "Nobody has acknowledged a critical alert in time.",
        "Look at it, then `trade alerts ack ID`.";
    AlertAcknowledged = "alert.acknowledged", Info,
        "Somebody has taken note of critical alerts.",
        "Nothing.";
    DayEnded = "day.ended", Info,
        "The session's digest.",
        "Read it.";
    WeekEnded = "week.ended", Info,
        "The week's digest.",
        "Read it.";
}

impl AlertEvent {
    /// The event of a name; `None` for one that an older or a newer version has raised.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.as_str() == name)
    }

    /// Whether its message is a whole digest: it is sent at once and by itself.
    #[must_use]
    pub const fn is_digest(self) -> bool {
        matches!(self, Self::DayEnded | Self::WeekEnded)
    }

    /// Whether it belongs to the ordinary course, and stands in the ledger anyway: a person is told of it only where a
    /// rule asks for it.
    #[must_use]
    pub const fn is_routine(self) -> bool {
        matches!(
            self,
            Self::OrderPartFilled
                | Self::OrderCanceled
                | Self::TradesExecuted
                | Self::PositionOpened
                | Self::PositionAdjusted
                | Self::JobStarted
                | Self::PhaseChanged
                | Self::HeartbeatRecorded
        )
    }

    /// The events whose condition is over once this one happens: a pager resolves them.
    #[must_use]
    pub const fn resolves(self) -> &'static [Self] {
        match self {
            Self::MarksFresh => &[Self::MarksStale],
            Self::SafeModeEnded => &[Self::SafeModeBegun],
            Self::DeadManReached => &[Self::DeadManUnreachable],
            Self::RiskFlat => &[Self::RiskClosing],
            Self::EntriesResumed => &[
                Self::EntriesHalted,
                Self::RiskBreached,
                Self::RiskDrawdown,
                Self::RiskStopped,
                Self::RiskFlat,
                Self::MarksStale,
                Self::SafeModeBegun,
                Self::ClockStepped,
            ],
            _ => &[],
        }
    }

    /// Whether it begins a condition that another event ends.
    #[must_use]
    pub fn is_resolved(self) -> bool {
        Self::ALL.iter().any(|event| event.resolves().contains(&self))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_a_noun_and_a_verb_and_each_is_there_once() {
        let names: BTreeSet<&str> = AlertEvent::ALL.iter().map(|event| event.as_str()).collect();
        assert_eq!(names.len(), AlertEvent::ALL.len());
        for event in AlertEvent::ALL {
            let (noun, verb) = event.as_str().split_once('.').unwrap();
            let letters = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(letters(noun) && letters(verb), "{}", event.as_str());
            assert_eq!(AlertEvent::named(event.as_str()), Some(*event));
        }
        assert_eq!(AlertEvent::named("of.tomorrow"), None);
    }

    #[test]
    fn every_entry_says_what_it_means_and_what_to_do() {
        for event in AlertEvent::ALL {
            for sentence in [event.meaning(), event.advice()] {
                assert!(sentence.ends_with('.') && sentence.len() < 100, "{}: {sentence}", event.as_str());
            }
        }
    }

    #[test]
    fn what_is_routine_is_of_no_weight() {
        assert!(
            AlertEvent::ALL.iter().filter(|event| event.is_routine()).all(|event| event.level() == AlertLevel::Info)
        );
    }

    #[test]
    fn what_is_resolved_can_be_told_before_and_does_not_resolve_itself() {
        for event in AlertEvent::ALL {
            assert!(!event.resolves().contains(event), "{}", event.as_str());
            assert!(event.resolves().iter().all(|ended| ended.level() >= AlertLevel::Warning));
        }
    }
}
