//! Takes the calls of a service, each of which is a request, and answers: in the reply where the answer is there in
//! time, and otherwise the way that the call names.
//!
//! That way is a credential: it stands in no ledger and ends with the process. What a later process finds unanswered is
//! told in the channel that gets the alerts.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::{Desk, Guard, Heard};
use super::{ANSWER_WITHIN, LOOK_EVERY, SAY_AGAIN, answer, drawn_code};
use crate::engine::Parts;
use crate::ledger::chat::{self as requests, Unanswered};
use crate::ports::{CallHeaders, CallRefused, Called, CalledMessage, CallingChat, ChannelError, ServiceCall};

/// How long a reply may wait for its answer: services hang up after three seconds.
const REPLY_WITHIN: Duration = Duration::from_secs(2);
/// Answers that are waited for at the same time.
const ANSWERS_MAX: usize = 256;
/// How often an answer is tried that a service does not take: Slack lets five through.
const SAYS_MAX: u32 = 5;

/// What everybody is told who is not heard, whatever was asked for.
const NOT_HEARD: &str = "nobody listens to you here";
/// What is told of a request that was taken before.
const TAKEN_BEFORE: &str = "that was taken before, and is not done again";
/// What is told where the answer cannot be waited for.
const IN_THE_LEDGER: &str = "it is taken, and stands in the ledger: status and positions tell how it goes on";

/// Where the calls of a service arrive.
pub struct Reception {
    chat: Arc<dyn CallingChat>,
    guard: Arc<Guard>,
    in_force: watch::Receiver<Arc<Parts>>,
    answers: TaskTracker,
    stop: CancellationToken,
}

impl Reception {
    /// A reception that hears whom the guard lets in, until `stop`.
    pub fn new(
        chat: Arc<dyn CallingChat>,
        guard: Guard,
        in_force: watch::Receiver<Arc<Parts>>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { chat, guard: Arc::new(guard), in_force, answers: TaskTracker::new(), stop })
    }

    /// The channel's name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        self.chat.name()
    }

    /// Where its calls are signed.
    #[must_use]
    pub fn headers(&self) -> CallHeaders {
        self.chat.headers()
    }

    /// Takes a call, and says what to reply. It goes on to its end although nobody waits for the reply any more.
    ///
    /// # Errors
    /// What the ledger could not take: then nothing is done.
    pub async fn take(self: &Arc<Self>, call: ServiceCall) -> anyhow::Result<Result<String, CallRefused>> {
        let reception = self.clone();
        tokio::spawn(async move { reception.taken(&call).await }).await?
    }

    async fn taken(self: &Arc<Self>, call: &ServiceCall) -> anyhow::Result<Result<String, CallRefused>> {
        let parts = self.in_force.borrow().clone();
        let (ledger, clock) = (&parts.sources.ledger, &parts.sources.clock);
        let (began, now) = (clock.monotonic(), clock.wall());
        let CalledMessage { number, message, back } = match self.chat.read(call, now) {
            Ok(Called::Asked(asked)) => asked,
            Ok(Called::Probe(reply)) => return Ok(Ok(reply)),
            Err(refused) => return Ok(Err(refused)),
        };
        crash_point!("call.read");
        let (routes, loss_max) = (&parts.routes, parts.settings.risk.max_daily_loss);
        let desk = Desk { ledger, routes, channel: self.name(), guard: &self.guard, loss_max };
        let prefix = message.prefix.clone();
        let heard = desk.take_called(number, message, drawn_code()?, now).await?;
        crash_point!("call.after");
        let told = match heard {
            Heard::Before => TAKEN_BEFORE.to_owned(),
            Heard::NotMeant | Heard::Stranger => NOT_HEARD.to_owned(),
            Heard::Crowded => format!("too many requests: only {prefix}halt is done now"),
            Heard::Request { .. } if self.answers.len() >= ANSWERS_MAX => {
                tracing::warn!(
                    channel = self.name(),
                    answers = ANSWERS_MAX,
                    "chat.crowded: an answer is not waited for"
                );
                IN_THE_LEDGER.to_owned()
            }
            Heard::Request { chat_request_id } => {
                let (tell, told) = oneshot::channel();
                let leads_back = back.is_some();
                self.spawn_answer(chat_request_id, back, Some(tell));
                let left = REPLY_WITHIN.saturating_sub(clock.monotonic().saturating_sub(began));
                match within(told, left).await {
                    Waited::Told(text) => text,
                    Waited::Late if leads_back => return Ok(Ok(self.chat.reply_later())),
                    Waited::Late | Waited::Gone => IN_THE_LEDGER.to_owned(),
                }
            }
        };
        Ok(Ok(self.chat.reply(&told)))
    }

    /// Answers what a former process has taken and left unanswered.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn resume(self: &Arc<Self>) -> anyhow::Result<()> {
        let parts = self.in_force.borrow().clone();
        let since = parts.sources.clock.wall().before(ANSWER_WITHIN);
        for request in parts.sources.ledger.read(|conn| requests::unanswered(conn, self.name(), since))? {
            self.spawn_answer(request.chat_request_id, None, None);
        }
        Ok(())
    }

    fn spawn_answer(
        self: &Arc<Self>,
        chat_request_id: i64,
        back: Option<SecretString>,
        tell: Option<oneshot::Sender<String>>,
    ) {
        let reception = self.clone();
        self.answers.spawn(async move {
            let answered = tokio::select! {
                () = reception.stop.cancelled() => return,
                answered = reception.answer(chat_request_id, back.as_ref(), tell) => answered,
            };
            if let Err(error) = answered {
                tracing::error!(channel = reception.name(), chat_request_id, %error, "chat.unanswered");
            }
        });
    }

    /// Waits for a request's answer, and gives it: to who waits for the reply, or the way back, or in the channel.
    async fn answer(
        &self,
        chat_request_id: i64,
        back: Option<&SecretString>,
        mut tell: Option<oneshot::Sender<String>>,
    ) -> anyhow::Result<()> {
        let mut says = 0;
        loop {
            let parts = self.in_force.borrow().clone();
            let (ledger, clock) = (&parts.sources.ledger, &parts.sources.clock);
            let now = clock.wall();
            let Some(request) = ledger.read(|conn| requests::unanswered_one(conn, chat_request_id))? else {
                return Ok(());
            };
            if now.since(request.taken_at) > ANSWER_WITHIN {
                return Ok(());
            }
            let Some(text) = ledger.read(|conn| answer::of(conn, &request, now))? else {
                clock.sleep_until(now.after(LOOK_EVERY)).await;
                continue;
            };
            let is_told = tell.take().is_some_and(|tell| tell.send(text.clone()).is_ok());
            says += u32::from(!is_told);
            let refused = match if is_told { Ok(()) } else { self.say(back, &request, &text).await } {
                Ok(()) => None,
                Err(ChannelError::Permanent { reason, .. }) => Some(reason),
                Err(ChannelError::Transient { reason, .. }) if says >= SAYS_MAX => Some(reason),
                Err(error @ ChannelError::Transient { after, .. }) => {
                    tracing::warn!(chat_request_id, %error, "chat.unanswered");
                    let wait = SAY_AGAIN.saturating_mul(1 << (says - 1));
                    clock.sleep_until(now.after(after.unwrap_or_default().max(wait))).await;
                    continue;
                }
            };
            crash_point!("call.said");
            if let Some(error) = &refused {
                tracing::warn!(chat_request_id, error, "chat.unanswerable");
            }
            let now = clock.wall();
            ledger
                .write(move |tx| requests::mark_answered(tx, chat_request_id, &text, refused.as_deref(), now))
                .await?;
            return Ok(());
        }
    }

    async fn say(&self, back: Option<&SecretString>, request: &Unanswered, text: &str) -> Result<(), ChannelError> {
        match back {
            Some(back) => self.chat.say(Some(back), text).await,
            None => self.chat.say(None, &format!("to {}: {text}", request.sender)).await,
        }
    }
}

/// What came of waiting for an answer.
enum Waited {
    /// This is it.
    Told(String),
    /// It takes longer.
    Late,
    /// Nobody works at it any more.
    Gone,
}

async fn within(mut told: oneshot::Receiver<String>, patience: Duration) -> Waited {
    match tokio::time::timeout(patience, &mut told).await {
        Ok(Ok(text)) => Waited::Told(text),
        Ok(Err(_)) => Waited::Gone,
        Err(_) => {
            // From here on it goes the other way, unless it has come this way in the meantime.
            told.close();
            told.try_recv().map_or(Waited::Late, Waited::Told)
        }
    }
}
