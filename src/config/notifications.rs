//! Who is told, on which channels, of what and when.

use std::path::PathBuf;

use chrono::NaiveTime;
use chrono_tz::Tz;
use daybook_core::alert::{AlertEvent, AlertLevel, AlertRule, QuietHours};
use daybook_core::time::Span;
use serde::{Deserialize, Serialize};

use super::checks::Problems;
use super::problem::suggestion;
use crate::adapters::channels::{
    CommandSettings, DiscordSettings, EmailSettings, LogSettings, NtfySettings, PagerDutySettings, SlackSettings,
    TelegramSettings, WebhookSettings,
};

/// Who is told, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotificationSettings {
    /// Where every mail is also written as a file.
    pub folder: PathBuf,
    /// The least level of alert that is sent to a person; all alerts are in the ledger.
    pub min_level: AlertLevel,
    /// What is sent or kept back besides: for each channel the first rule that is about an alert decides.
    pub rules: Vec<AlertRule>,
    /// When people are told nothing but what is critical.
    pub quiet_hours: QuietHoursSettings,
    /// Who is told of what nobody acknowledges.
    pub escalation: EscalationSettings,
    /// A folder with templates of one's own.
    pub templates: Option<PathBuf>,
    /// The mail server, and who is told through it.
    pub email: EmailSettings,
    /// The channel that tells what another could not.
    pub fallback: Option<String>,
    /// How many messages a channel gets that people read.
    pub pace: PaceSettings,
    /// A channel of Slack.
    pub slack: SlackSettings,
    /// A channel of Discord.
    pub discord: DiscordSettings,
    /// A chat of Telegram.
    pub telegram: TelegramSettings,
    /// A topic of ntfy.
    pub ntfy: NtfySettings,
    /// A pager.
    pub pagerduty: PagerDutySettings,
    /// A receiver of one's own.
    pub webhook: WebhookSettings,
    /// A program on this machine.
    pub command: CommandSettings,
    /// The process's log.
    pub log: LogSettings,
}

/// How many messages a channel gets that people read. What is critical never waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaceSettings {
    /// How long a note waits for others, which come with it as one message.
    pub gather: Span,
    /// How long the same event of the same symbol waits after it was told.
    pub cool_down: Span,
    /// Messages in an hour, after which notes wait and come as one; 0: any number.
    pub hourly_max: u32,
}

/// The hours in which people are told nothing but what is critical; without a beginning and an end there are none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuietHoursSettings {
    /// The wall time at which they begin.
    pub from: Option<NaiveTime>,
    /// The wall time at which they end: then what was held back comes as one message.
    pub until: Option<NaiveTime>,
    /// Whose wall time it is.
    pub zone: Tz,
}

/// Who is told of a critical alert that nobody acknowledges.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EscalationSettings {
    /// How long a person has for it.
    pub after: Span,
    /// The channels that are told then; without any, nobody is.
    pub channels: Vec<String>,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self {
            folder: "data/mail".into(),
            min_level: AlertLevel::Info,
            rules: Vec::new(),
            quiet_hours: QuietHoursSettings::default(),
            escalation: EscalationSettings::default(),
            templates: None,
            email: EmailSettings::default(),
            fallback: None,
            pace: PaceSettings::default(),
            slack: SlackSettings::default(),
            discord: DiscordSettings::default(),
            telegram: TelegramSettings::default(),
            ntfy: NtfySettings::default(),
            pagerduty: PagerDutySettings::default(),
            webhook: WebhookSettings::default(),
            command: CommandSettings::default(),
            log: LogSettings::default(),
        }
    }
}

impl Default for PaceSettings {
    fn default() -> Self {
        Self { gather: Span::seconds(3), cool_down: Span::minutes(1), hourly_max: 30 }
    }
}

impl Default for QuietHoursSettings {
    fn default() -> Self {
        Self { from: None, until: None, zone: chrono_tz::America::New_York }
    }
}

impl Default for EscalationSettings {
    fn default() -> Self {
        Self { after: Span::minutes(10), channels: Vec::new() }
    }
}

impl QuietHoursSettings {
    /// The hours, if there are any.
    #[must_use]
    pub fn hours(&self) -> Option<QuietHours> {
        Some(QuietHours { from: self.from?, until: self.until?, zone: self.zone })
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let missing = "is missing, and the other end is set; expected a wall time such as";
        match (self.from, self.until) {
            (Some(_), None) => Some(("quiet_hours.until", format!("{missing} 07:00"))),
            (None, Some(_)) => Some(("quiet_hours.from", format!("{missing} 22:00"))),
            (Some(from), Some(until)) if from == until => Some((
                "quiet_hours.until",
                format!("is {until}, when they begin; expected another time: what is never sent is switched off"),
            )),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

/// The longest wait for others: longer, a note is old news.
const GATHER_MAX: Span = Span::minutes(1);
/// The shortest time for an acknowledgement: shorter, everything critical comes twice.
const ESCALATION_MIN: Span = Span::minutes(1);

impl NotificationSettings {
    pub(super) fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        let on = self.channels_on();
        let is_on = |channel: &str| on.contains(&channel);
        let not_on = |channel: &str| format!("is \"{channel}\"; expected a channel that is on: {}", on.join(", "));
        if let Some(fallback) = self.fallback.as_ref().filter(|fallback| !is_on(fallback)) {
            problems.push(("fallback", not_on(fallback)));
        }
        let escalated = self.escalation.channels.iter().filter(|channel| !is_on(channel));
        problems.extend(escalated.map(|channel| ("escalation.channels", not_on(channel))));
        if self.escalation.after < ESCALATION_MIN {
            let told = format!("is {}; expected {ESCALATION_MIN} or longer", self.escalation.after);
            problems.push(("escalation.after", told));
        }
        if self.rules.contains(&AlertRule::default()) {
            let message = "a rule says nothing: expected what it is about and whether it is sent, such as {events: \
                           [order.*], send: false}";
            problems.push(("rules", message.to_owned()));
        }
        for rule in &self.rules {
            let strangers = rule.channels.iter().filter(|channel| !is_on(channel));
            problems.extend(strangers.map(|channel| ("rules", format!("a rule's channel {}", not_on(channel)))));
            problems.extend(rule.unknown_events().map(|event| ("rules", unknown_event(event))));
        }
        problems.extend(self.quiet_hours.problem());
        if self.pace.gather > GATHER_MAX {
            problems.push(("pace.gather", format!("is {}; expected {GATHER_MAX} or less", self.pace.gather)));
        }
        problems
    }

    fn channels_on(&self) -> Vec<&'static str> {
        let channels = [
            ("file", true),
            ("email", self.email.is_on()),
            ("slack", self.slack.is_on()),
            ("discord", self.discord.is_on()),
            ("telegram", self.telegram.is_on()),
            ("ntfy", self.ntfy.is_on()),
            ("pagerduty", self.pagerduty.is_on()),
            ("webhook", self.webhook.is_on()),
            ("command", self.command.is_on()),
            ("log", self.log.enabled),
        ];
        channels.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect()
    }
}

fn unknown_event(event: &str) -> String {
    let meant = suggestion(event, AlertEvent::ALL.iter().map(|known| known.as_str()))
        .map_or(String::new(), |meant| format!("; did you mean \"{meant}\"?"));
    format!("a rule's event is \"{event}\"; expected one of `trade notify catalogue`, or its noun and .*{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_names_its_key() {
        let rule = |events: &[&str], channels: &[&str]| {
            let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            vec![AlertRule { events: list(events), channels: list(channels), ..AlertRule::default() }]
        };
        let quiet = |from: Option<&str>, until: Option<&str>| QuietHoursSettings {
            from: from.map(|time| time.parse().unwrap()),
            until: until.map(|time| time.parse().unwrap()),
            ..QuietHoursSettings::default()
        };
        let good = NotificationSettings::default;
        assert!(good().problems().is_empty());
        let whole = NotificationSettings {
            rules: rule(&["order.*", "phase.changed"], &["file"]),
            quiet_hours: quiet(Some("22:00"), Some("07:00")),
            escalation: EscalationSettings { channels: vec!["file".to_owned()], ..EscalationSettings::default() },
            ..good()
        };
        assert!(whole.problems().is_empty() && whole.quiet_hours.hours().is_some());
        for (settings, key, told) in [
            (
                NotificationSettings { rules: rule(&["order.fill"], &[]), ..good() },
                "rules",
                "did you mean \"order.filled\"?",
            ),
            (NotificationSettings { rules: rule(&[], &["slack"]), ..good() }, "rules", "a channel that is on: file"),
            (NotificationSettings { rules: rule(&[], &[]), ..good() }, "rules", "a rule says nothing"),
            (NotificationSettings { quiet_hours: quiet(Some("22:00"), None), ..good() }, "quiet_hours.until", "07:00"),
            (NotificationSettings { quiet_hours: quiet(None, Some("07:00")), ..good() }, "quiet_hours.from", "22:00"),
            (
                NotificationSettings { quiet_hours: quiet(Some("07:00"), Some("07:00")), ..good() },
                "quiet_hours.until",
                "another time",
            ),
            (
                NotificationSettings {
                    escalation: EscalationSettings {
                        channels: vec!["slack".to_owned()],
                        ..EscalationSettings::default()
                    },
                    ..good()
                },
                "escalation.channels",
                "a channel that is on",
            ),
            (
                NotificationSettings {
                    escalation: EscalationSettings { after: Span::seconds(9), ..EscalationSettings::default() },
                    ..good()
                },
                "escalation.after",
                "1m or longer",
            ),
        ] {
            let problems = settings.problems();
            assert!(matches!(&problems[..], [(of, said)] if *of == key && said.contains(told)), "{problems:?}");
        }
    }
}
