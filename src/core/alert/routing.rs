//! Who is told of what: rules, and the hours in which nobody wants to be told.

use chrono::NaiveTime;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Alert, AlertEvent, AlertLevel};
use crate::calendar::MarketPhase;
use crate::market::Symbol;
use crate::time::Timestamp;

/// Whether some alerts are sent on some channels, whatever their level says otherwise. An empty list stands for any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertRule {
    /// Names of events: `order.filled`, or `order.*` for all of a noun.
    pub events: Vec<String>,
    /// How much they matter.
    pub levels: Vec<AlertLevel>,
    /// What they are about. An alert about no symbol is about none of these.
    pub symbols: Vec<Symbol>,
    /// What the market does when they are raised.
    pub phases: Vec<MarketPhase>,
    /// The channels that the rule is for.
    pub channels: Vec<String>,
    /// Whether they are sent there.
    pub send: bool,
}

impl Default for AlertRule {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            levels: Vec::new(),
            symbols: Vec::new(),
            phases: Vec::new(),
            channels: Vec::new(),
            send: true,
        }
    }
}

impl AlertRule {
    /// Whether the rule is about an alert that is raised while the market does `phase`, on a channel.
    ///
    /// What is critical is kept from a channel only by a rule that names `critical` among its levels.
    #[must_use]
    pub fn is_about(&self, alert: &Alert, channel: &str, phase: MarketPhase) -> bool {
        let spares = !self.send && alert.level == AlertLevel::Critical && self.levels.is_empty();
        let any_or = |is_empty: bool, holds: bool| is_empty || holds;
        !spares
            && any_or(self.channels.is_empty(), self.channels.iter().any(|named| named == channel))
            && any_or(self.levels.is_empty(), self.levels.contains(&alert.level))
            && any_or(self.phases.is_empty(), self.phases.contains(&phase))
            && any_or(self.symbols.is_empty(), alert.symbol.is_some_and(|symbol| self.symbols.contains(&symbol)))
            && any_or(self.events.is_empty(), self.events.iter().any(|pattern| names(pattern, &alert.event)))
    }

    /// The patterns among its events that name none of the catalogue.
    pub fn unknown_events(&self) -> impl Iterator<Item = &str> {
        let known = |pattern: &str| AlertEvent::ALL.iter().any(|event| names(pattern, event.as_str()));
        self.events.iter().map(String::as_str).filter(move |pattern| !known(pattern))
    }
}

/// What the first of the rules that is about an alert on a channel says; `None`: none is.
#[must_use]
pub fn ruled(rules: &[AlertRule], alert: &Alert, channel: &str, phase: MarketPhase) -> Option<bool> {
    rules.iter().find(|rule| rule.is_about(alert, channel, phase)).map(|rule| rule.send)
}

/// Whether `pattern` names `event`: itself, or its noun and `.*`.
fn names(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(noun) => event.split_once('.').is_some_and(|(of, _)| of == noun),
        None => pattern == event,
    }
}

/// Hours of the day in which people are told nothing but what is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// The wall time at which they begin.
    pub from: NaiveTime,
    /// The wall time at which they end; before `from`: on the next day.
    pub until: NaiveTime,
    /// Whose wall time it is.
    pub zone: Tz,
}

impl QuietHours {
    /// When the quiet hours end that `at` lies in; `None` outside them.
    #[must_use]
    pub fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let wall = at.in_zone(self.zone).naive_local();
        let (time, today) = (wall.time(), wall.date());
        let end_date = if self.from < self.until {
            (self.from <= time && time < self.until).then_some(today)
        } else if time < self.until {
            Some(today)
        } else {
            (self.from <= time).then(|| today.succ_opt()).flatten()
        };
        let end = Timestamp::from_wall(end_date?.and_time(self.until), self.zone);
        // Where an hour comes twice its first end counts.
        (end > at).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(send: bool) -> AlertRule {
        AlertRule { send, ..AlertRule::default() }
    }

    fn fill(symbol: &str) -> Alert {
        Alert::new(AlertEvent::OrderFilled, "told").about(symbol.parse().unwrap())
    }

    #[test]
    fn a_rule_is_about_what_fits_all_that_it_names() {
        let named = AlertRule {
            events: vec!["order.*".to_owned(), "risk.warned".to_owned()],
            levels: vec![AlertLevel::Info],
            symbols: vec!["AAPL".parse().unwrap()],
            phases: vec![MarketPhase::Trading],
            channels: vec!["slack".to_owned()],
            send: true,
        };
        let about = |alert: &Alert, channel, phase| named.is_about(alert, channel, phase);
        assert!(about(&fill("AAPL"), "slack", MarketPhase::Trading));
        assert!(!about(&fill("MSFT"), "slack", MarketPhase::Trading));
        assert!(!about(&fill("AAPL"), "email", MarketPhase::Trading));
        assert!(!about(&fill("AAPL"), "slack", MarketPhase::Closed));
        assert!(!about(&fill("AAPL").at_level(AlertLevel::Warning), "slack", MarketPhase::Trading));
        assert!(!about(&Alert::new(AlertEvent::OrderFilled, "told"), "slack", MarketPhase::Trading), "about no symbol");
        let other = Alert::new(AlertEvent::EntriesResumed, "told").about("AAPL".parse().unwrap());
        assert!(!about(&other, "slack", MarketPhase::Trading));
    }

    #[test]
    fn the_first_rule_decides_and_what_is_critical_is_spared() {
        let to_slack = AlertRule { channels: vec!["slack".to_owned()], ..rule(true) };
        let rules = [to_slack, rule(false)];
        let says = |alert: &Alert, channel| ruled(&rules, alert, channel, MarketPhase::Trading);
        assert_eq!((says(&fill("A"), "slack"), says(&fill("A"), "email")), (Some(true), Some(false)));
        assert_eq!(says(&Alert::new(AlertEvent::RiskBreached, "stop"), "email"), None);
        let silent = [AlertRule { levels: vec![AlertLevel::Critical], ..rule(false) }];
        let stop = Alert::new(AlertEvent::RiskBreached, "stop");
        assert_eq!(ruled(&silent, &stop, "email", MarketPhase::Trading), Some(false), "it is named");
    }

    #[test]
    fn events_that_are_none_are_named() {
        let events = ["order.filled", "order.*", "orders.*", "order", "*", "order.fill"];
        let rule = AlertRule { events: events.map(str::to_owned).to_vec(), ..rule(true) };
        assert_eq!(rule.unknown_events().collect::<Vec<_>>(), ["orders.*", "order", "*", "order.fill"]);
    }

    #[test]
    fn quiet_hours_end_at_their_wall_time_whatever_the_clocks_do() {
        let quiet = |from: &str, until: &str| QuietHours {
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
            zone: chrono_tz::America::New_York,
        };
        let end = |quiet: QuietHours, at: &str| quiet.end(at.parse().unwrap()).map(|end| end.to_string());
        let night = quiet("22:00", "07:00");
        for (at, expected) in [
            ("2026-11-17T02:59:59Z", None), // 21:59:59 in New York
            ("2026-11-17T03:00:00Z", Some("2026-11-17T12:00:00Z")),
            ("2026-11-17T11:59:59Z", Some("2026-11-17T12:00:00Z")),
            ("2026-11-17T12:00:00Z", None),
            ("2026-03-08T04:00:00Z", Some("2026-03-08T11:00:00Z")), // the night that is an hour shorter
            ("2026-11-01T03:00:00Z", Some("2026-11-01T12:00:00Z")), // and the one that is longer
        ] {
            assert_eq!(end(night, at).as_deref(), expected, "{at}");
        }
        let noon = quiet("12:00", "13:30");
        assert_eq!(end(noon, "2026-11-17T17:15:00Z").as_deref(), Some("2026-11-17T18:30:00Z"));
        assert_eq!(end(noon, "2026-11-17T18:30:00Z"), None);
        // 01:10 comes twice on this day: quiet the first time, over the second.
        let twice = quiet("00:30", "01:30");
        assert_eq!(end(twice, "2026-11-01T05:10:00Z").as_deref(), Some("2026-11-01T05:30:00Z"));
        assert_eq!(end(twice, "2026-11-01T06:10:00Z"), None);
    }
}
