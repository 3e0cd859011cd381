use std::time::Duration;

use async_trait::async_trait;
use daybook_core::alert::{AlertEvent, AlertLevel};
use daybook_core::time::Span;
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::post::{Answer, ChannelSetupError, Poster, address};
use super::text::{headline, shortened};
use crate::adapters::Veiled;
use crate::ports::{Channel, ChannelError, Message};

/// Characters of an event's summary.
const SUMMARY_MAX: usize = 1_024;
/// Characters of a deduplication key.
const KEY_MAX: usize = 255;
/// Characters of the details; far below the service's 512 KB.
const DETAILS_MAX: usize = 16_000;
/// The wait after a refusal for too many events: the service asks for it in its documentation, not in its answer.
const RATE_WAIT: Duration = Duration::from_secs(30);

/// A service of PagerDuty, by its Events API v2.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PagerDutySettings {
    /// Whether it is told anything.
    pub enabled: bool,
    /// The integration's key, 32 letters and digits; none: nothing is sent.
    #[serde(skip_serializing)]
    pub routing_key: Option<SecretString>,
    /// Where events go; `https://events.eu.pagerduty.com/v2/enqueue` for accounts in Europe.
    pub url: Veiled,
    /// The least level that it is told of.
    pub min_level: AlertLevel,
    /// How long one event may take.
    pub timeout: Span,
}

impl Default for PagerDutySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            routing_key: None,
            url: "https://events.pagerduty.com/v2/enqueue".into(),
            min_level: AlertLevel::Critical,
            timeout: Span::seconds(10),
        }
    }
}

impl PagerDutySettings {
    /// Whether events are to be sent.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.enabled && self.routing_key.is_some()
    }

    /// Everything that is wrong: the key, and what is wrong and expected.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        let key = self.routing_key.as_ref().map_or("", |key| key.expose_secret());
        if key.len() != 32 || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
            let problem = "is no integration key; expected the 32 letters and digits of an Events API v2 integration";
            problems.push(("routing_key", problem.to_owned()));
        }
        problems.extend(address(self.url.value()).err().map(|problem| ("url", problem)));
        problems
    }
}

/// Opens and resolves alerts in PagerDuty.
///
/// A condition that another event ends has a key of its own, so that it is one alert however often it is told, and
/// is resolved once it is over. Any other event is an alert for itself; its repetition is not.
pub struct PagerDutyChannel {
    poster: Poster,
    url: Url,
    routing_key: SecretString,
    account: String,
}

impl PagerDutyChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "pagerduty";

    /// A channel that tells of `account`; nothing is connected yet.
    ///
    /// # Errors
    /// [`ChannelSetupError`] names the setting that is not usable.
    pub fn new(settings: &PagerDutySettings, account: &str) -> Result<Self, ChannelSetupError> {
        let failed = |key, problem| ChannelSetupError::Settings { channel: Self::NAME, key, problem };
        if let Some((key, problem)) = settings.problems().into_iter().next() {
            return Err(failed(key, problem));
        }
        let url = address(settings.url.value()).map_err(|problem| failed("url", problem))?;
        let routing_key = settings.routing_key.clone().unwrap_or_default();
        let poster = Poster::new(Self::NAME, settings.timeout, vec![routing_key.clone()])?;
        Ok(Self { poster, url, routing_key, account: account.to_owned() })
    }

    fn events(&self, message: &Message) -> Vec<Value> {
        events(message, self.routing_key.expose_secret(), &self.account)
    }

    fn refused(&self, answer: &Answer) -> ChannelError {
        match answer.status {
            429 => {
                self.poster.refused(&Answer { retry_after: answer.retry_after.or(Some(RATE_WAIT)), ..answer.clone() })
            }
            _ => self.poster.refused(answer),
        }
    }
}

fn condition_key(account: &str, event: AlertEvent) -> String {
    shortened(&format!("daybook/{account}/{}", event.as_str()), KEY_MAX)
}

/// What is posted, in order: the ends of conditions, what was acknowledged, and then the event itself, unless that is
/// all it says. A condition that another event ends is acknowledged there, too; anything else is resolved.
pub(super) fn events(message: &Message, routing_key: &str, account: &str) -> Vec<Value> {
    let event = AlertEvent::named(&message.event);
    let ended = event.map_or(&[][..], AlertEvent::resolves);
    let mut events: Vec<Value> = ended
        .iter()
        .map(|ended| {
            json!({
                "routing_key": routing_key,
                "event_action": "resolve",
                "dedup_key": condition_key(account, *ended),
            })
        })
        .collect();
    events.extend(message.settled.iter().map(|settled| {
        let condition = AlertEvent::named(&settled.event).filter(|event| event.is_resolved());
        let (action, dedup_key) = match condition {
            Some(condition) => ("acknowledge", condition_key(account, condition)),
            None => ("resolve", shortened(&settled.key, KEY_MAX)),
        };
        json!({
            "routing_key": routing_key,
            "event_action": action,
            "dedup_key": dedup_key,
        })
    }));
    let says_more = events.is_empty() && event != Some(AlertEvent::AlertAcknowledged);
    if says_more || message.level > AlertLevel::Info {
        let condition = event.filter(|event| event.is_resolved());
        let dedup_key =
            condition.map_or_else(|| shortened(&message.key, KEY_MAX), |condition| condition_key(account, condition));
        events.push(json!({
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "client": "Daybook",
            "payload": {
                "summary": shortened(&headline(message), SUMMARY_MAX),
                "source": format!("daybook {account}"),
                "severity": message.level.as_str(),
                "timestamp": message.at.to_string(),
                "group": account,
                "class": message.event,
                "component": message.symbol.map(|symbol| symbol.to_string()),
                "custom_details": {
                    "text": shortened(message.summary.trim(), DETAILS_MAX),
                    "meaning": event.map_or("", AlertEvent::meaning),
                    "what to do": event.map_or("", AlertEvent::advice),
                    "key": message.key,
                },
            },
        }));
    }
    events
}

#[async_trait]
impl Channel for PagerDutyChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn keeps_conditions(&self) -> bool {
        true
    }

    /// All of a message's events again after a failure: each has its key, and a second one of a key changes nothing.
    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let mut receipts = Vec::new();
        for event in self.events(message) {
            let answer = self.poster.post(&self.url, HeaderMap::new(), event.to_string().into_bytes()).await?;
            if answer.status != 202 {
                return Err(self.refused(&answer));
            }
            let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            receipts.push(format!("{} {}", text("event_action"), text("dedup_key")));
        }
        Ok(receipts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::alert::Settled;

    use super::super::fake_http::{FakeHttp, Reply, is_permanent, wait_of};
    use super::super::text::samples::hostile_note;
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const TAKEN: &str = r#"{"status":"success","message":"Event processed"}"#;

    fn channel(server: &str) -> PagerDutyChannel {
        let settings = PagerDutySettings {
            routing_key: Some(KEY.into()),
            url: server.into(),
            timeout: Span::millis(300),
            ..PagerDutySettings::default()
        };
        PagerDutyChannel::new(&settings, "paper").unwrap()
    }

    async fn outcome(reply: Reply) -> Result<String, ChannelError> {
        let server = FakeHttp::start(vec![reply]).await;
        channel(&server.url("/v2/enqueue")).deliver(&hostile_note()).await
    }

    fn events_of(event: AlertEvent, level: AlertLevel) -> Vec<(String, String)> {
        let message = Message { event: event.as_str().to_owned(), level, ..hostile_note() };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let events = channel("https://events.example.com").events(&message);
        events.iter().map(|event| (text(&event["event_action"]), text(&event["dedup_key"]))).collect()
    }

    #[test]
    fn a_condition_has_one_alert_from_its_beginning_to_its_end() {
        let pair = |action: &str, key: &str| (action.to_owned(), key.to_owned());
        assert_eq!(
            events_of(AlertEvent::MarksStale, AlertLevel::Critical),
            [pair("trigger", "daybook/paper/marks.stale")]
        );
        assert_eq!(events_of(AlertEvent::MarksFresh, AlertLevel::Info), [pair("resolve", "daybook/paper/marks.stale")]);
        assert_eq!(
            events_of(AlertEvent::RiskFlat, AlertLevel::Critical),
            [pair("resolve", "daybook/paper/risk.closing"), pair("trigger", "daybook/paper/risk.flat")]
        );
        assert_eq!(
            events_of(AlertEvent::PositionUnprotected, AlertLevel::Critical),
            [pair("trigger", "dbk-1f3a9c2e-7-test")],
            "an event that nothing ends is an alert for itself, and its repetition is not"
        );
    }

    #[test]
    fn what_is_acknowledged_is_settled_and_a_condition_stays_until_it_is_over() {
        let settled = |event: AlertEvent, key: &str| Settled { event: event.as_str().to_owned(), key: key.to_owned() };
        let message = Message {
            event: AlertEvent::AlertAcknowledged.as_str().to_owned(),
            level: AlertLevel::Info,
            settled: vec![settled(AlertEvent::MarksStale, "dbk-1"), settled(AlertEvent::PositionUnprotected, "dbk-2")],
            ..hostile_note()
        };
        let events = channel("https://events.example.com").events(&message);
        let said: Vec<_> =
            events.iter().map(|event| (event["event_action"].clone(), event["dedup_key"].clone())).collect();
        let pair = |action: &str, key: &str| (json!(action), json!(key));
        assert_eq!(said, [pair("acknowledge", "daybook/paper/marks.stale"), pair("resolve", "dbk-2")]);
        assert!(channel("https://events.example.com").events(&Message { settled: vec![], ..message }).is_empty());
    }

    #[test]
    fn a_trigger_is_whole_and_keeps_to_the_limits() {
        let note = Message { subject: "ä".repeat(5_000), summary: "x".repeat(900_000), ..hostile_note() };
        let trigger = channel("https://events.example.com").events(&note).remove(0);
        let payload = &trigger["payload"];
        assert_eq!(payload["summary"].as_str().unwrap().chars().count(), SUMMARY_MAX);
        assert!(trigger.to_string().len() < 512 * 1_024);
        assert_eq!((&payload["severity"], &payload["class"]), (&json!("critical"), &json!("risk.breached")));
        assert_eq!(payload["timestamp"], "2026-11-16T16:42:05Z");
        assert_eq!(payload["source"], "daybook paper");
    }

    #[tokio::test]
    async fn what_pagerduty_says_is_understood() {
        assert_eq!(outcome(Reply::of(202, TAKEN)).await, Ok("trigger daybook/paper/risk.breached".to_owned()));
        assert_eq!(wait_of(&outcome(Reply::of(429, "Request Limit Exceeded")).await), Some(30_000));
        for passes_by in [Reply::of(408, ""), Reply::of(500, ""), Reply::Hang, Reply::CloseMidway] {
            assert!(!is_permanent(&outcome(passes_by).await));
        }
        let unknown = format!(r#"{{"status":"invalid event","errors":["'{KEY}' is no key"]}}"#);
        for needs_a_person in [Reply::of(400, &unknown), Reply::of(404, ""), Reply::of(200, "<html>")] {
            let error = outcome(needs_a_person).await;
            assert!(is_permanent(&error) && !error.unwrap_err().to_string().contains(KEY));
        }
    }

    #[test]
    fn each_mistake_names_its_key() {
        let good = || PagerDutySettings { routing_key: Some(KEY.into()), ..PagerDutySettings::default() };
        assert!(good().problems().is_empty() && PagerDutySettings::default().problems().is_empty());
        for (settings, key) in [
            (PagerDutySettings { routing_key: Some("hunter2".into()), ..good() }, "routing_key"),
            (PagerDutySettings { url: "http://example.com".into(), ..good() }, "url"),
        ] {
            let problems = settings.problems();
            assert_eq!(problems.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
            assert!(!problems[0].1.contains("hunter2"));
        }
    }
}
