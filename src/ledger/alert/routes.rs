//! Which channels are told of an alert, and from when on.

use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent, AlertLevel, AlertRule, QuietHours, ruled};
use daybook_core::calendar::{Calendar, MarketPhase};
use daybook_core::time::Timestamp;

use super::is_note;

/// A channel, and what it is told where no rule says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The channel's name.
    pub channel: String,
    /// The least level that it is told of.
    pub min_level: AlertLevel,
    /// What it is told besides.
    pub besides: Besides,
    /// How long a note waits for others that may come with it; what is critical does not wait.
    pub gather: Duration,
    /// When it is told nothing but what is critical.
    pub quiet: Option<QuietHours>,
}

/// What a channel is told below its least level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Besides {
    /// The report of an ended session: it is for people to read.
    Digests,
    /// The end of a condition whose beginning it was told of: it is a pager.
    Ends,
}

impl Route {
    /// A channel that is told everything.
    #[must_use]
    pub fn every(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            min_level: AlertLevel::Info,
            besides: Besides::Digests,
            gather: Duration::ZERO,
            quiet: None,
        }
    }

    /// A channel that is told what is at least of this level, and when that is over.
    #[must_use]
    pub fn pager(channel: &str, min_level: AlertLevel) -> Self {
        Self { min_level, besides: Besides::Ends, ..Self::every(channel) }
    }

    /// Whether the channel is told of an alert where no rule is about it.
    fn takes(&self, alert: &Alert) -> bool {
        let event = AlertEvent::named(&alert.event);
        if event.is_some_and(AlertEvent::is_routine) {
            return false;
        }
        alert.level >= self.min_level
            || match self.besides {
                Besides::Digests => event.is_some_and(AlertEvent::is_digest),
                Besides::Ends => event.is_some_and(|event| {
                    event == AlertEvent::AlertAcknowledged
                        || event.resolves().iter().any(|begun| begun.level() >= self.min_level)
                }),
            }
    }

    /// From when on an alert that is raised now may be delivered.
    pub(super) fn not_before(&self, alert: &Alert, now: Timestamp) -> Timestamp {
        if alert.level == AlertLevel::Critical {
            return now;
        }
        let gathered = if is_note(alert) { now.after(self.gather) } else { now };
        self.quiet.and_then(|quiet| quiet.end(gathered)).unwrap_or(gathered)
    }
}

/// The channels, and what is said of all of them.
#[derive(Clone, Default)]
pub struct Routes {
    /// Each channel's own.
    pub channels: Vec<Route>,
    /// What is sent or kept back besides.
    pub rules: Vec<AlertRule>,
    /// The exchange whose phases the rules name; without it every alert is raised while the market is closed.
    pub calendar: Option<Calendar>,
    /// How long a critical alert waits for an acknowledgement before others are told; `None`: for ever.
    pub escalate_after: Option<Duration>,
}

impl<R: Into<Vec<Route>>> From<R> for Routes {
    fn from(channels: R) -> Self {
        Self { channels: channels.into(), ..Self::default() }
    }
}

impl Routes {
    /// The same but for one channel.
    #[must_use]
    pub fn without(&self, channel: &str) -> Self {
        let mut others = self.clone();
        others.channels.retain(|route| route.channel != channel);
        others
    }

    /// The channels that are told of an alert that is raised now.
    pub(super) fn told<'a>(&'a self, alert: &'a Alert, now: Timestamp) -> impl Iterator<Item = &'a Route> {
        let phase = match &self.calendar {
            Some(calendar) if !self.rules.is_empty() => calendar.phase_at(now),
            Some(_) | None => MarketPhase::Closed,
        };
        self.channels
            .iter()
            .filter(move |route| ruled(&self.rules, alert, &route.channel, phase).unwrap_or_else(|| route.takes(alert)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(routes: &Routes, event: AlertEvent) -> Vec<String> {
        let alert = Alert::new(event, "told");
        routes.told(&alert, Timestamp(0)).map(|route| route.channel.clone()).collect()
    }

    #[test]
    fn a_route_takes_its_level_and_what_belongs_to_it() {
        let mail = Route { min_level: AlertLevel::Critical, ..Route::every("email") };
        let pager = Route::pager("pagerduty", AlertLevel::Critical);
        let note = |event| Alert::new(event, "told");
        for (event, by_mail, by_pager) in [
            (AlertEvent::OrderFilled, false, false),
            (AlertEvent::RiskBreached, true, true),
            (AlertEvent::DayEnded, true, false),
            (AlertEvent::WeekEnded, true, false),
            (AlertEvent::MarksFresh, false, true),
            (AlertEvent::SafeModeEnded, false, false),
            (AlertEvent::AlertAcknowledged, false, true),
        ] {
            assert_eq!((mail.takes(&note(event)), pager.takes(&note(event))), (by_mail, by_pager), "{event:?}");
        }
    }

    #[test]
    fn a_rule_goes_before_the_level_and_asks_for_what_is_routine() {
        let rule = |event: AlertEvent, channel: &str, send| AlertRule {
            events: vec![event.as_str().to_owned()],
            channels: vec![channel.to_owned()],
            send,
            ..AlertRule::default()
        };
        let mut routes = Routes::from([Route::every("slack"), Route::every("email")]);
        assert_eq!(told(&routes, AlertEvent::OrderFilled), ["slack", "email"]);
        assert!(told(&routes, AlertEvent::PhaseChanged).is_empty(), "nobody asked for what is routine");
        routes.rules =
            vec![rule(AlertEvent::OrderFilled, "email", false), rule(AlertEvent::PhaseChanged, "slack", true)];
        assert_eq!(told(&routes, AlertEvent::OrderFilled), ["slack"]);
        assert_eq!(told(&routes, AlertEvent::PhaseChanged), ["slack"]);
        assert!(told(&routes.without("slack"), AlertEvent::OrderFilled).is_empty());
    }

    #[test]
    fn a_rule_holds_in_its_phase() {
        let mut routes = Routes::from([Route::every("slack")]);
        routes.calendar = Some(Calendar::xnys());
        routes.rules = vec![AlertRule { phases: vec![MarketPhase::Trading], send: false, ..AlertRule::default() }];
        let alert = Alert::new(AlertEvent::OrderFilled, "told");
        let told = |at: &str| routes.told(&alert, at.parse().unwrap()).count();
        assert_eq!((told("2026-11-16T15:00:00Z"), told("2026-11-16T23:59:00Z")), (0, 1));
    }

    #[test]
    fn in_quiet_hours_all_but_what_is_critical_waits_for_their_end() {
        let night = QuietHours {
            from: "22:00".parse().unwrap(),
            until: "07:00".parse().unwrap(),
            zone: chrono_tz::America::New_York,
        };
        let phone = Route { quiet: Some(night), gather: Duration::from_secs(3), ..Route::every("slack") };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let due = |event, now: &str| phone.not_before(&Alert::new(event, "told"), at(now));
        let (evening, midnight, morning) = ("2026-11-17T02:59:58Z", "2026-11-17T05:00:00Z", "2026-11-17T12:00:00Z");
        for event in [AlertEvent::OrderFilled, AlertEvent::DayEnded] {
            assert_eq!(due(event, midnight), at(morning));
        }
        assert_eq!(due(AlertEvent::OrderFilled, evening), at(morning), "they begin while it waits for others");
        assert_eq!(due(AlertEvent::RiskBreached, midnight), at(midnight));
        assert_eq!(due(AlertEvent::OrderFilled, morning), at("2026-11-17T12:00:03Z"));
    }
}
