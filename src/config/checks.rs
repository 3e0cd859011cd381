//! What is wrong with values that are each of the right type: limits, and what does not go together.
//!
//! A message that compares two keys names the other one: where that could not be read, the comparison is not told.

use std::time::Duration;

use daybook_core::calendar::{Calendar, Session};
use daybook_core::strategy::{Direction, Directions, ScriptSettings, strategies};
use daybook_core::time::{SessionDate, Span};

use secrecy::ExposeSecret;

use super::settings::{
    AccountSettings, AnalysisSettings, BrokerKind, ExecutionSettings, FeedKind, LedgerSettings, LoggingSettings,
    MarketSettings, RestartSettings, SchedulerSettings, Settings,
};
use crate::adapters::channels::address;

/// The longest name of an account, in characters: it stands in mail subjects and order ids.
const ACCOUNT_NAME_MAX: usize = 32;

/// Most symbols that are looked at at the same time.
const CONCURRENCY_MAX: u32 = 256;

impl Settings {
    /// Everything that is wrong with the values: the key's path, and what is wrong and expected.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let of = |section: &'static str, problems: Problems| {
            problems.into_iter().map(move |(key, message)| (format!("{section}.{key}"), message))
        };
        let unknown_calendar = Calendar::named(&self.exchange_calendar)
            .is_none()
            .then(|| format!("unknown calendar \"{}\"; expected XNYS or 24/7", self.exchange_calendar));
        of("account", self.account.problems())
            .chain(unknown_calendar.map(|message| ("exchange_calendar".to_owned(), message)))
            .chain(of("market", self.market.problems()))
            .chain(of("market.simulated", self.market.simulated.problems()))
            .chain(of("market.files.quotes", self.market.files.quotes.problems()))
            .chain(of("scan", self.scan.problems()))
            .chain(of("analysis", self.analysis.problems()))
            .chain(of("analysis.regime", self.analysis.regime.problems()))
            .chain(self.strategies.problems().into_iter().map(|(key, message)| (format!("strategies.{key}"), message)))
            .chain(of("models", self.models.problems()))
            .chain(self.problems_of_models())
            .chain(of("risk", self.risk.problems()))
            .chain(of("backtest", self.backtest.problems()))
            .chain(of("execution", self.execution.problems()))
            .chain(of("execution.paper", self.execution.paper.problems()))
            .chain(of("alpaca", self.problems_of_alpaca()))
            .chain(of("ibkr", self.problems_of_ibkr()))
            .chain(of("notifications", self.notifications.problems()))
            .chain(of("notifications.email", self.notifications.email.problems()))
            .chain(of("notifications.slack", self.notifications.slack.problems()))
            .chain(of("notifications.discord", self.notifications.discord.problems()))
            .chain(of("notifications.telegram", self.notifications.telegram.problems()))
            .chain(of("notifications.ntfy", self.notifications.ntfy.problems()))
            .chain(of("notifications.pagerduty", self.notifications.pagerduty.problems()))
            .chain(of("notifications.webhook", self.notifications.webhook.problems()))
            .chain(of("notifications.command", self.notifications.command.problems()))
            .chain(self.problems_of_calls())
            .chain(of("api", self.api.problems()))
            .chain(of("ledger", self.ledger.problems()))
            .chain(of("scheduler", self.scheduler.problems()))
            .chain(of("logging", self.logging.problems()))
            .chain(self.problems_of_the_session())
            .chain(self.problems_of_shorts())
            .chain(self.problems_of_entries())
            .collect()
    }

    /// Times that a full session does not have.
    fn problems_of_the_session(&self) -> Vec<(String, String)> {
        let calendar = self.calendar();
        let Some(session) = full_session(&calendar) else { return Vec::new() };
        let length = span_of(session.close.since(session.open));
        let breakout = &self.strategies.opening_range_breakout;
        let range = Span::minutes(breakout.range_minutes);
        let times = [
            ("strategies.opening_range_breakout.range_minutes", range, breakout.range_minutes.to_string()),
            (
                "strategies.opening_range_breakout.latest_entry",
                breakout.latest_entry,
                breakout.latest_entry.to_string(),
            ),
            ("risk.min_session_left", self.risk.min_session_left, self.risk.min_session_left.to_string()),
            ("backtest.flatten", self.backtest.flatten, self.backtest.flatten.to_string()),
        ];
        let beyond = times.into_iter().filter(|(_, time, _)| *time >= length);
        beyond
            .map(|(key, _, shown)| {
                (key.to_owned(), format!("is {shown}: expected less than the session of {}, {length}", calendar.name()))
            })
            .collect()
    }

    /// A weight of what nobody is asked for.
    fn problems_of_models(&self) -> Option<(String, String)> {
        let composite = &self.strategies.composite;
        let weight = composite.model_weight;
        (composite.enabled && weight > 0 && self.models.chain.is_empty()).then(|| {
            let message = format!("is {weight}, and models.chain is empty; expected 0, or a model in models.chain");
            ("strategies.composite.model_weight".to_owned(), message)
        })
    }

    /// Services that are to call, where nobody takes calls.
    fn problems_of_calls(&self) -> Vec<(String, String)> {
        let told = &self.notifications;
        let called = [("slack", told.slack.is_listened_to()), ("discord", told.discord.is_listened_to())];
        let called = called.into_iter().filter(|(_, is_listened_to)| *is_listened_to && self.api.listen.is_none());
        let expected =
            "expected an address that the service's calls are passed on to, such as api.listen: 127.0.0.1:8420";
        called
            .map(|(channel, _)| {
                let key = format!("notifications.{channel}.control.enabled");
                (key, format!("is true, and api.listen is missing; {expected}"))
            })
            .collect()
    }

    /// Falls that are to be traded, and a broker that sells nothing short.
    fn problems_of_shorts(&self) -> Vec<(String, String)> {
        if self.execution.broker != BrokerKind::Paper || self.execution.paper.allow_short {
            return Vec::new();
        }
        self.problems_of_enabled(|name, directions, _| {
            directions.allow(Direction::Short).then(|| {
                let directions = directions.as_str();
                let message = format!(
                    "is {directions}, and execution.paper.allow_short is false: its shorts would be refused; expected long, \
                     or allow_short: true"
                );
                (format!("strategies.{name}.direction"), message)
            })
        })
    }

    /// Entries that risk would refuse.
    fn problems_of_entries(&self) -> Vec<(String, String)> {
        let most = self.risk.max_entries;
        self.problems_of_enabled(|name, _, wanted| {
            let message =
                format!("is {wanted}: expected at most risk.max_entries ({most}), which would refuse the others");
            (wanted > most).then(|| (format!("strategies.{name}.max_entries"), message))
        })
    }

    /// What is wrong with each strategy that is enabled, scripts included: by its name, its directions and its entries.
    fn problems_of_enabled(
        &self,
        problem: impl Fn(&str, Directions, u32) -> Option<(String, String)>,
    ) -> Vec<(String, String)> {
        let scripts = self.strategies.scripts.iter().filter(|(_, script)| script.enabled);
        let of_script = |(name, script): (&String, &ScriptSettings)| {
            problem(&format!("scripts.{name}"), script.direction, script.max_entries)
        };
        let built_in = strategies(&self.strategies);
        let of_built_in = built_in
            .iter()
            .filter_map(|strategy| problem(strategy.name(), strategy.directions(), strategy.max_entries()));
        of_built_in.chain(scripts.filter_map(of_script)).collect()
    }
}

/// A session of full length: that of a Monday without a holiday near it.
pub(super) fn full_session(calendar: &Calendar) -> Option<Session> {
    SessionDate::of(2026, 11, 16).and_then(|monday| calendar.session(monday))
}

fn span_of(duration: Duration) -> Span {
    Span::millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Settings {
    /// What is wrong with the settings of Interactive Brokers, where it holds the account.
    fn problems_of_ibkr(&self) -> Problems {
        if self.execution.broker == BrokerKind::Ibkr { self.ibkr.problems() } else { Problems::new() }
    }

    /// What is wrong with the part of Alpaca's settings that is used.
    fn problems_of_alpaca(&self) -> Problems {
        let mut problems = Problems::new();
        if self.execution.broker == BrokerKind::Alpaca {
            problems.extend(self.alpaca.problems_of_trading());
        }
        if self.market.feed == FeedKind::Alpaca {
            problems.extend(self.alpaca.problems_of_data());
        }
        problems.sort();
        problems.dedup();
        problems
    }
}

/// Keys within a section, and what is wrong with their values.
pub(super) type Problems = Vec<(&'static str, String)>;

impl AccountSettings {
    fn problems(&self) -> Problems {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if (1..=ACCOUNT_NAME_MAX).contains(&self.name.len()) && self.name.chars().all(letters) {
            return Vec::new();
        }
        vec![("name", format!("is \"{}\"; expected 1 to {ACCOUNT_NAME_MAX} of A-Z, a-z, 0-9, '-' and '_'", self.name))]
    }
}

impl MarketSettings {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        if self.feed == FeedKind::Files && self.files.bars.is_empty() {
            let message = "is empty, and market.feed is files; expected at least one file, such as [data/bars.csv]";
            problems.push(("files.bars", message.to_owned()));
        }
        problems
    }
}

impl ExecutionSettings {
    fn problems(&self) -> Problems {
        match self.approval_above.filter(|above| above.is_negative()) {
            Some(above) => {
                let expected = "expected 0 (every entry waits) or more dollars, or null (none waits for its size)";
                vec![("approval_above", format!("is {above}; {expected}"))]
            }
            None => Vec::new(),
        }
    }
}

impl AnalysisSettings {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            problems.push(("concurrency", format!("is {}; expected 1 to {CONCURRENCY_MAX}", self.concurrency)));
        }
        if self.news_half_life.is_zero() {
            problems.push(("news_half_life", "is 0s; expected a length of time above zero, such as 4h".to_owned()));
        }
        problems
    }
}

impl LedgerSettings {
    fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push(("path", "is empty; expected a file, such as data/ledger.db".to_owned()));
        }
        if self.backup.keep == 0 {
            problems.push(("backup.keep", "is 0; expected at least 1: the newest backup is always kept".to_owned()));
        }
        problems
    }
}

impl SchedulerSettings {
    fn problems(&self) -> Problems {
        let RestartSettings { max: _, backoff_first, backoff_max, cool_down } = self.restarts;
        let mut problems: Problems = [
            ("health_check", self.health_check),
            ("heartbeat", self.heartbeat),
            ("restarts.backoff_first", backoff_first),
            ("restarts.cool_down", cool_down),
        ]
        .into_iter()
        .filter(|(_, span)| *span < Span::seconds(1))
        .map(|(key, span)| (key, format!("is {span}; expected 1s or longer")))
        .collect();
        if backoff_max < backoff_first {
            let message = format!("is {backoff_max}; expected restarts.backoff_first ({backoff_first}) or longer");
            problems.push(("restarts.backoff_max", message));
        }
        let url = self.heartbeat_url.as_ref().and_then(|url| address(url.expose_secret()).err());
        problems.extend(url.map(|problem| ("heartbeat_url", problem)));
        problems
    }
}

impl LoggingSettings {
    fn problems(&self) -> Problems {
        if self.targets().is_some() {
            return Vec::new();
        }
        let expected = "expected off, error, warn, info, debug or trace, or levels by module: warn,daybook=debug";
        vec![("level", format!("is \"{}\"; {expected}", self.level))]
    }
}
