//! Which channels are told, and of what.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook_core::alert::AlertLevel;
use daybook_core::calendar::Calendar;
use daybook_core::time::Span;

use crate::adapters::channels::{
    CommandChannel, DiscordChannel, DiscordControl, EmailChannel, FileChannel, LogChannel, NtfyChannel,
    PagerDutyChannel, SlackChannel, SlackControl, TelegramChannel, TelegramControl, TelegramSettings, WebhookChannel,
    letterhead,
};
use crate::adapters::clocks::SystemClock;
use crate::config::{Configuration, NotificationSettings, Settings};
use crate::digest::Templates;
use crate::engine::chat::Guard;
use crate::ledger::alert::{Route, Routes};
use crate::ledger::{Ledger, LedgerKind};
use crate::outbox::{Outbox, Pace, Policy};
use crate::ports::{CallingChat, Channel, Clock, ControlChat};

/// Channels, and what each is told.
pub(super) type Channels = (Vec<Arc<dyn Channel>>, Routes);

/// The channels that are told: files of everything, and those that are configured. Nobody is told of a day that is
/// made up: there it is files, and mail where it is asked for.
pub(super) fn configured(
    settings: &Settings,
    calendar: &Calendar,
    mails: &Path,
    simulated: bool,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Channels> {
    let told = &settings.notifications;
    let files = FileChannel::new(mails.to_owned(), letterhead(&told.email)?);
    let mut routes = vec![Route::every(files.name())];
    let mut channels: Vec<Arc<dyn Channel>> = vec![Arc::new(files)];
    let mut add = |channel: Arc<dyn Channel>, min_level: Option<AlertLevel>| {
        let min_level = min_level.unwrap_or(told.min_level);
        let waits = channel.is_chat() && !simulated;
        let gather = if waits { told.pace.gather.as_duration() } else { Duration::ZERO };
        let quiet = told.quiet_hours.hours().filter(|_| waits);
        routes.push(Route { min_level, gather, quiet, ..Route::every(channel.name()) });
        channels.push(channel);
    };
    if told.email.is_on() && (told.email.simulated || !simulated) {
        add(Arc::new(EmailChannel::new(&told.email)?), None);
    }
    if !simulated {
        if told.slack.is_on() {
            add(Arc::new(SlackChannel::new(&told.slack)?), told.slack.min_level);
        }
        if told.discord.is_on() {
            add(Arc::new(DiscordChannel::new(&told.discord)?), told.discord.min_level);
        }
        if told.telegram.is_on() {
            add(Arc::new(TelegramChannel::new(&told.telegram)?), told.telegram.min_level);
        }
        if told.ntfy.is_on() {
            add(Arc::new(NtfyChannel::new(&told.ntfy)?), told.ntfy.min_level);
        }
        if told.webhook.is_on() {
            add(Arc::new(WebhookChannel::new(&told.webhook, clock.clone())?), told.webhook.min_level);
        }
        if told.command.is_on() {
            add(Arc::new(CommandChannel::new(told.command.clone())), told.command.min_level);
        }
        if told.log.enabled {
            add(Arc::new(LogChannel), told.log.min_level);
        }
        if told.pagerduty.is_on() {
            let pager = PagerDutyChannel::new(&told.pagerduty, &settings.account.name)?;
            routes.push(Route::pager(pager.name(), told.pagerduty.min_level));
            channels.push(Arc::new(pager));
        }
    }
    let escalates = !simulated && !told.escalation.channels.is_empty();
    let routes = Routes {
        channels: routes,
        rules: told.rules.clone(),
        calendar: Some(calendar.clone()),
        escalate_after: escalates.then(|| told.escalation.after.as_duration()),
    };
    Ok((channels, routes))
}

/// The chat in which people may ask for something, and who is heard there.
pub(super) fn control(settings: &TelegramSettings) -> anyhow::Result<(Arc<dyn ControlChat>, Guard)> {
    let numbers = |numbers: &[i64]| numbers.iter().map(i64::to_string).collect();
    let guard = Guard {
        users: numbers(&settings.control.users),
        chats: numbers(&settings.control.chats),
        confirm_within: settings.control.confirm_within.as_duration(),
    };
    Ok((Arc::new(TelegramControl::new(settings)?), guard))
}

/// The chats whose services call, and who is heard in each.
pub(super) fn called(told: &NotificationSettings) -> anyhow::Result<Vec<(Arc<dyn CallingChat>, Guard)>> {
    let mut called: Vec<(Arc<dyn CallingChat>, Guard)> = Vec::new();
    if told.slack.is_listened_to() {
        let control = &told.slack.control;
        let guard = guard(&control.users, &control.chats, control.confirm_within);
        called.push((Arc::new(SlackControl::new(&told.slack)?), guard));
    }
    if told.discord.is_listened_to() {
        let control = &told.discord.control;
        let guard = guard(&control.users, &control.chats, control.confirm_within);
        called.push((Arc::new(DiscordControl::new(&told.discord)?), guard));
    }
    Ok(called)
}

fn guard(users: &[String], chats: &[String], confirm_within: Span) -> Guard {
    Guard { users: users.to_vec(), chats: chats.to_vec(), confirm_within: confirm_within.as_duration() }
}

/// What the outbox does besides sending.
pub(super) fn policy(settings: &Settings, routes: &Routes) -> Policy {
    let told = &settings.notifications;
    let is_told = |channel: &String| routes.channels.iter().any(|route| route.channel == *channel);
    let others = told.escalation.channels.iter().filter(|channel| is_told(channel));
    let others: Vec<Route> = others.map(|channel| Route::every(channel)).collect();
    Policy {
        routes: routes.clone(),
        escalation: routes.escalate_after.map(|_| Routes::from(others)),
        fallback: told.fallback.clone().filter(is_told),
        templates: Templates::of(told.templates.clone()),
        pace: Pace {
            cool_down: told.pace.cool_down.as_duration(),
            hourly_max: usize::try_from(told.pace.hourly_max).ok().filter(|max| *max > 0),
        },
    }
}

/// The outbox of a ledger and where alerts go, for a process that sends something and ends. The mails of a
/// simulation stay beside its ledger.
///
/// # Errors
/// If a channel's settings cannot be used.
pub fn outbox(configuration: &Configuration, ledger: &Ledger) -> anyhow::Result<(Outbox, Routes)> {
    let settings = &configuration.settings;
    let simulated = ledger.meta().kind != LedgerKind::Live;
    let mails = if simulated { ledger.path().with_extension("mail") } else { settings.notifications.folder.clone() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (channels, routes) = configured(settings, &settings.calendar(), &mails, simulated, &clock)?;
    let policy = policy(settings, &routes);
    Ok((Outbox::new(ledger.clone(), clock, channels, policy), routes))
}
