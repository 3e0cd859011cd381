//! Asks models what they make of symbols: in a chain, within bounds of time and number.
//!
//! The first of the chain that answers wins. One that fails is passed over, and after some failures in a row it rests for a
//! while. Calls are counted in the ledger before they are made, so that neither a restart nor a run that is tried again
//! has more of them. Whatever happens, there is an answer for each symbol: a score, or why there is none.
//!
//! What was answered is a fact of the run. A run that is decided again asks nobody, and on a simulated clock the answers
//! are those that another ledger has recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daybook_core::analysis::{ModelAnswer, ModelFault, ModelQuestion, ModelScore};
use daybook_core::market::Symbol;
use daybook_core::time::Span;
use futures_util::stream::{self, StreamExt};
use tokio::sync::Notify;

use crate::config::{ModelBudgetSettings, ModelSettings};
use crate::ledger::model::{self, Asker, RecordedAnswers};
use crate::ledger::{Ledger, LedgerError};
use crate::ports::{Clock, Score, Scorer, ScorerError};

/// Failures in a row after which a model rests.
const FAILURES_MAX: u32 = 3;

/// Those who are asked, or what they have answered before.
#[derive(Default)]
pub struct Models {
    chain: Option<Chain>,
    recorded: Option<RecordedAnswers>,
}

/// What came of asking about several symbols.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// One for each symbol.
    pub answers: BTreeMap<Symbol, ModelAnswer>,
    /// Models that gave no score, and of which nobody was told in the session yet.
    pub faults: Vec<ModelFault>,
}

impl Models {
    /// Models that are asked, in this order; `settings` has each of them by its name.
    #[must_use]
    pub fn asking(scorers: Vec<Arc<dyn Scorer>>, settings: &ModelSettings, clock: Arc<dyn Clock>) -> Self {
        let link = |scorer: Arc<dyn Scorer>| {
            let own = settings.chain.iter().find(|own| own.name == scorer.name());
            let timeout = own.map_or(settings.timeout, |own| settings.timeout_of(own));
            Link { scorer, timeout, circuit: Mutex::default() }
        };
        let links: Vec<Link> = scorers.into_iter().map(link).collect();
        let ModelSettings { within, rest, budget, .. } = *settings;
        let chain = (!links.is_empty()).then_some(Chain { links, within, rest, budget, clock });
        Self { chain, recorded: None }
    }

    /// The same, asked only about what is not recorded.
    #[must_use]
    pub fn after_recorded(self, recorded: RecordedAnswers) -> Self {
        Self { recorded: Some(recorded), ..self }
    }

    /// Answers the questions of a run, at most `beside` of them beside one another.
    ///
    /// # Errors
    /// If the calls cannot be counted.
    pub async fn answers(
        &self,
        ledger: &Ledger,
        asker: &Asker,
        questions: Vec<ModelQuestion>,
        beside: usize,
    ) -> Result<Answered, LedgerError> {
        let mut answered = Answered::default();
        let recorded = self.recorded.as_ref().map(|recorded| recorded.get(&(asker.job.clone(), asker.slot)));
        let mut open = Vec::new();
        for question in questions {
            match recorded.flatten().and_then(|of_run| of_run.get(&question.symbol)) {
                Some(answer) => drop(answered.answers.insert(question.symbol, answer.clone())),
                None => open.push(question),
            }
        }
        if open.is_empty() {
            return Ok(answered);
        }
        let Some(chain) = &self.chain else {
            let why = if recorded.is_some() { "no answer is recorded" } else { "no model is configured" };
            answered.answers.extend(open.into_iter().map(|question| (question.symbol, ModelAnswer::none(why))));
            return Ok(answered);
        };
        let Answered { answers, faults } = chain.answers(ledger, asker, open, beside).await?;
        answered.answers.extend(answers);
        Ok(Answered { faults, ..answered })
    }

    /// Asks about one symbol for a person: outside of the budget. Beside the answer are the models that failed before it,
    /// in the order in which they were asked.
    pub async fn ask(&self, question: &ModelQuestion) -> (ModelAnswer, Vec<ModelFault>) {
        let Some(chain) = &self.chain else {
            return (ModelAnswer::none("no model is configured"), Vec::new());
        };
        let calls = Calls::new(u32::MAX);
        let answer = chain.ask(question, &calls).await;
        let mut faults = std::mem::take(&mut *calls.faults());
        (answer, chain.links.iter().filter_map(|link| faults.remove(link.scorer.name())).collect())
    }
}

struct Chain {
    links: Vec<Link>,
    within: Span,
    rest: Span,
    budget: ModelBudgetSettings,
    clock: Arc<dyn Clock>,
}

/// A model in the chain.
struct Link {
    scorer: Arc<dyn Scorer>,
    timeout: Span,
    circuit: Mutex<Circuit>,
}

/// Whether a model is asked.
#[derive(Default)]
struct Circuit {
    /// Failures since the last answer.
    failures: u32,
    /// By the monotonic clock; from then on it is tried again.
    rests_until: Option<Duration>,
}

/// The calls that are left, and what went wrong in them.
struct Calls {
    budget: Mutex<Budget>,
    /// Told when calls that were set aside are left over.
    returned: Notify,
    /// The first fault of each model.
    faults: Mutex<BTreeMap<String, ModelFault>>,
}

struct Budget {
    left: u32,
    /// Questions that have calls set aside.
    asking: u32,
}

/// Calls that are set aside for one question; those that it does not need are returned.
struct Share<'c> {
    calls: &'c Calls,
    left: u32,
}

impl Calls {
    fn new(left: u32) -> Self {
        let (budget, returned) = (Mutex::new(Budget { left, asking: 0 }), Notify::new());
        Self { budget, returned, faults: Mutex::default() }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        // Both numbers are set together, without a step that may panic between them.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets aside a call for each model that a question may come to, so that who stands first in the ranking has the
    /// whole chain. What others may return is waited for; where nobody can, there is what is left.
    async fn share(&self, wanted: u32) -> Share<'_> {
        loop {
            let returned = self.returned.notified();
            {
                let mut budget = self.budget();
                if budget.left >= wanted || budget.asking == 0 {
                    let left = budget.left.min(wanted);
                    budget.left -= left;
                    budget.asking += 1;
                    return Share { calls: self, left };
                }
            }
            returned.await;
        }
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<String, ModelFault>> {
        // An entry is there as a whole or not at all.
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share<'_> {
    fn take(&mut self) -> bool {
        // One that has woken meanwhile is asked from what nobody has set aside.
        let mut budget = self.calls.budget();
        let left = if self.left > 0 { &mut self.left } else { &mut budget.left };
        let is_left = *left > 0;
        *left -= u32::from(is_left);
        is_left
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut budget = self.calls.budget();
        budget.left += self.left;
        budget.asking -= 1;
        self.calls.returned.notify_waiters();
    }
}

impl Link {
    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        // Each change of it is a single one.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self, now: Duration) -> bool {
        self.circuit().rests_until.is_some_and(|until| now < until)
    }

    fn has_answered(&self) {
        *self.circuit() = Circuit::default();
    }

    fn has_failed(&self, now: Duration, rest: Span) {
        let mut circuit = self.circuit();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures >= FAILURES_MAX {
            circuit.rests_until = Some(now + rest.as_duration());
        }
    }
}

impl Chain {
    async fn answers(
        &self,
        ledger: &Ledger,
        asker: &Asker,
        questions: Vec<ModelQuestion>,
        beside: usize,
    ) -> Result<Answered, LedgerError> {
        let ModelBudgetSettings { per_run, per_session } = self.budget;
        let most = questions.len().saturating_mul(self.links.len());
        let wanted = u32::try_from(most).unwrap_or(u32::MAX).min(per_run);
        let reserving = asker.clone();
        let granted = ledger.write(move |tx| model::reserve(tx, &reserving, wanted, per_session)).await?;
        let calls = Calls::new(granted);
        let symbols: Vec<Symbol> = questions.iter().map(|question| question.symbol).collect();
        let mut answers = BTreeMap::new();
        let asked = stream::iter(questions).map(|question| {
            let calls = &calls;
            async move { (question.symbol, self.ask(&question, calls).await) }
        });
        let all = asked.buffer_unordered(beside.max(1)).for_each(|(symbol, answer)| {
            answers.insert(symbol, answer);
            std::future::ready(())
        });
        if tokio::time::timeout(self.within.as_duration(), all).await.is_err() {
            tracing::warn!(job = %asker.job, within = %self.within, "models.given_up");
        }
        let late = format!("no answer within {} for all", self.within);
        for symbol in symbols {
            answers.entry(symbol).or_insert_with(|| ModelAnswer::none(&late));
        }
        let unused = calls.budget().left;
        if unused > 0 {
            let returning = asker.clone();
            ledger.write(move |tx| model::give_back(tx, &returning, unused)).await?;
        }
        let told = ledger.read(|conn| model::faulty(conn, asker.session))?;
        let mut faults = std::mem::take(&mut *calls.faults());
        faults.retain(|model, _| !told.contains(model));
        Ok(Answered { answers, faults: faults.into_values().collect() })
    }

    /// Asks one after the other, until one answers.
    async fn ask(&self, question: &ModelQuestion, calls: &Calls) -> ModelAnswer {
        let now = self.clock.monotonic();
        let awake = self.links.iter().filter(|link| !link.rests(now)).count();
        let mut share = calls.share(u32::try_from(awake).unwrap_or(u32::MAX)).await;
        let mut reasons = Vec::new();
        for link in &self.links {
            let (scorer, name, began) = (&link.scorer, link.scorer.name(), self.clock.monotonic());
            if link.rests(began) {
                reasons.push(format!("{name} rests after {FAILURES_MAX} failures in a row"));
                continue;
            }
            if !share.take() {
                let ModelBudgetSettings { per_run, per_session } = self.budget;
                let limit = format!("{per_run} calls a run, {per_session} a session");
                reasons.push(ScorerError::OverBudget { limit }.to_string());
                break;
            }
            let within = link.timeout;
            let answer = tokio::time::timeout(within.as_duration(), scorer.score(question)).await;
            let answer = answer.unwrap_or_else(|_| Err(ScorerError::TimedOut { scorer: name.to_owned(), within }));
            let now = self.clock.monotonic();
            match answer {
                Ok(Score { score, rationale, version }) => {
                    link.has_answered();
                    let took = now.saturating_sub(began);
                    return ModelAnswer::Score(ModelScore::new(name, score, &rationale, version.as_deref(), took));
                }
                Err(error) => {
                    tracing::warn!(model = name, symbol = %question.symbol, %error, "model.failed");
                    link.has_failed(now, self.rest);
                    let reason = error.to_string();
                    calls.faults().entry(name.to_owned()).or_insert_with(|| ModelFault::new(name, &reason));
                    reasons.push(reason);
                }
            }
        }
        ModelAnswer::none(&reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    use async_trait::async_trait;
    use daybook_core::money::Bps;
    use daybook_core::time::Timestamp;

    use super::*;
    use crate::ledger::testing::{OPEN, TestLedger, session};
    use crate::ports::question_about;

    /// A clock that goes by the seconds that a test says.
    #[derive(Default)]
    struct Seconds(AtomicU64);

    #[async_trait]
    impl Clock for Seconds {
        fn wall(&self) -> Timestamp {
            OPEN
        }
        fn wall_us(&self) -> i64 {
            OPEN.0 * 1_000
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
        async fn sleep_until(&self, _: Timestamp) {}
    }

    /// What a model does when it is asked.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        Answer,
        Fail,
        Hang,
    }

    /// A model that does what it is told, and counts how often it is asked.
    struct Fake {
        name: &'static str,
        does: Mutex<Does>,
        asked: AtomicU32,
    }

    #[async_trait]
    impl Scorer for Fake {
        fn name(&self) -> &str {
            self.name
        }
        async fn score(&self, _: &ModelQuestion) -> Result<Score, ScorerError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let does = *self.does.lock().unwrap();
            match does {
                Does::Answer => Ok(Score { score: Bps(2_500), rationale: "a rise".to_owned(), version: None }),
                Does::Fail => {
                    Err(ScorerError::Unavailable { scorer: self.name.to_owned(), reason: "no key".to_owned() })
                }
                Does::Hang => std::future::pending().await,
            }
        }
    }

    /// A chain of two, and a day on which it is asked.
    struct Desk {
        day: TestLedger,
        clock: Arc<Seconds>,
        models: Models,
        first: Arc<Fake>,
        second: Arc<Fake>,
    }

    impl Desk {
        fn new(first: Does, second: Does, budget: (u32, u32)) -> Self {
            let fake = |name, does| Arc::new(Fake { name, does: Mutex::new(does), asked: AtomicU32::new(0) });
            let (first, second) = (fake("first", first), fake("second", second));
            let (per_run, per_session) = budget;
            let budget = ModelBudgetSettings { per_run, per_session };
            let settings = ModelSettings { budget, within: Span::seconds(25), ..ModelSettings::default() };
            let clock = Arc::new(Seconds::default());
            let models = Models::asking(vec![first.clone(), second.clone()], &settings, clock.clone());
            Self { day: TestLedger::new(), clock, models, first, second }
        }

        async fn asks(&self, minute: i64, symbols: &[&str]) -> Answered {
            let slot = Timestamp(OPEN.0 + 60_000 * minute);
            let asker = Asker { session: session(), job: "analysis".to_owned(), slot };
            let questions = symbols.iter().map(|symbol| question_about(symbol)).collect();
            self.models.answers(&self.day.ledger, &asker, questions, 2).await.unwrap()
        }

        fn asked(&self) -> (u32, u32) {
            (self.first.asked.load(Ordering::Relaxed), self.second.asked.load(Ordering::Relaxed))
        }

        fn calls(&self) -> String {
            let answer = self.day.ledger.query("SELECT coalesce(sum(calls), 0) FROM model_call").unwrap();
            answer.rows[0][0].to_string()
        }
    }

    /// Who answered about each symbol, or why nobody did.
    fn told(answered: &Answered) -> Vec<String> {
        let told = |answer: &ModelAnswer| match answer {
            ModelAnswer::Score(score) => score.model.clone(),
            ModelAnswer::None { reason } => reason.clone(),
        };
        answered.answers.values().map(told).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_wins_and_a_fault_is_told_once_a_session() {
        let desk = Desk::new(Does::Fail, Does::Answer, (20, 100));
        let answered = desk.asks(0, &["AAPL", "MSFT"]).await;
        assert_eq!(told(&answered), ["second", "second"]);
        assert_eq!(answered.faults, [ModelFault::new("first", "first: no key")]);
        assert_eq!((desk.asked(), desk.calls()), ((2, 2), "4".to_owned()));
        let run = desk.day.run("analysis", 0);
        let decision = daybook_core::decision::Decision { model_faults: answered.faults, ..Default::default() };
        desk.day.decide(&run, &decision);
        assert_eq!(desk.asks(30, &["AAPL"]).await.faults, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_keeps_failing_rests_and_is_tried_again() {
        let desk = Desk::new(Does::Fail, Does::Answer, (20, 100));
        for minute in 0..5 {
            desk.asks(minute, &["AAPL"]).await;
        }
        assert_eq!(desk.asked(), (3, 5));
        desk.clock.0.store(299, Ordering::Relaxed);
        desk.asks(5, &["AAPL"]).await;
        assert_eq!(desk.asked(), (3, 6));
        desk.clock.0.store(300, Ordering::Relaxed);
        desk.asks(6, &["AAPL"]).await;
        desk.asks(7, &["AAPL"]).await;
        assert_eq!(desk.asked(), (4, 8), "one look, and it rests again");
        desk.clock.0.store(600, Ordering::Relaxed);
        *desk.first.does.lock().unwrap() = Does::Answer;
        assert_eq!(told(&desk.asks(8, &["AAPL"]).await), ["first"]);
        *desk.first.does.lock().unwrap() = Does::Fail;
        desk.asks(9, &["AAPL"]).await;
        desk.asks(10, &["AAPL"]).await;
        assert_eq!(desk.asked(), (7, 10), "an answer has ended the row");
        *desk.second.does.lock().unwrap() = Does::Fail;
        desk.asks(11, &["AAPL"]).await;
        let silent = desk.asks(12, &["AAPL"]).await;
        assert_eq!(told(&silent), ["first rests after 3 failures in a row; second: no key"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_is_given_up_and_all_together_have_a_bound() {
        let desk = Desk::new(Does::Hang, Does::Answer, (20, 100));
        assert_eq!(told(&desk.asks(0, &["AAPL"]).await), ["second"]);
        *desk.second.does.lock().unwrap() = Does::Hang;
        // Two beside one another, twice ten seconds for each: the third and the fourth are begun, and not ended.
        let answered = desk.asks(30, &["A", "B", "C", "D", "E"]).await;
        let (both, late) =
            ("first: no answer within 10s; second: no answer within 10s", "no answer within 25s for all");
        assert_eq!(told(&answered)[..2], [both, both]);
        assert_eq!(told(&answered)[2..], [late; 3]);
        let named: Vec<&str> = answered.faults.iter().map(|fault| fault.model.as_str()).collect();
        assert_eq!(named, ["first", "second"]);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_budget_nobody_is_asked_whatever_restarts() {
        let desk = Desk::new(Does::Answer, Does::Answer, (3, 5));
        let over = "the budget is used up: 3 calls a run, 5 a session";
        assert_eq!(told(&desk.asks(0, &["A", "B", "C", "D"]).await), ["first", "first", "first", over]);
        assert_eq!(desk.calls(), "3");
        let Desk { day, clock, models: _, first, second } = desk;
        let settings =
            ModelSettings { budget: ModelBudgetSettings { per_run: 3, per_session: 5 }, ..ModelSettings::default() };
        let models = Models::asking(vec![first.clone(), second.clone()], &settings, clock.clone());
        let desk = Desk { day, clock, models, first, second };
        assert_eq!(told(&desk.asks(30, &["A", "B", "C"]).await), ["first", "first", over]);
        assert_eq!((desk.asked(), desk.calls()), ((5, 0), "5".to_owned()));
        let (answer, failed) = desk.models.ask(&question_about("A")).await;
        assert!(matches!(answer, ModelAnswer::Score(_)) && failed.is_empty(), "a person has no budget");
        assert_eq!(desk.calls(), "5");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_first_has_the_whole_chain_and_what_it_leaves_goes_to_the_next() {
        let over = "the budget is used up: 5 calls a run, 100 a session";
        let desk = Desk::new(Does::Fail, Does::Answer, (5, 100));
        let answered = desk.asks(0, &["A", "B", "C", "D"]).await;
        let (asked_in_vain, resting) =
            (format!("first: no key; {over}"), format!("first rests after 3 failures in a row; {over}"));
        assert_eq!(told(&answered), ["second", "second", &asked_in_vain, &resting]);
        assert_eq!((desk.asked(), desk.calls()), ((3, 2), "5".to_owned()));
        // The first one rests: a question comes to one model.
        assert_eq!(told(&desk.asks(1, &["A", "B", "C", "D", "E", "F"]).await)[..5], ["second"; 5]);
        let desk = Desk::new(Does::Answer, Does::Answer, (5, 100));
        assert_eq!(
            told(&desk.asks(0, &["A", "B", "C", "D", "E", "F"]).await),
            ["first", "first", "first", "first", "first", over]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_were_given_up_before_they_were_made_are_returned() {
        let desk = Desk::new(Does::Hang, Does::Answer, (20, 100));
        desk.asks(0, &["A", "B", "C", "D", "E", "F"]).await;
        let (first, second) = desk.asked();
        assert_eq!(desk.calls(), (first + second).to_string());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_recorded_is_not_asked_again() {
        let mut desk = Desk::new(Does::Answer, Does::Answer, (20, 100));
        let known = ModelAnswer::none("as recorded");
        let of_run = BTreeMap::from([("AAPL".parse().unwrap(), known.clone())]);
        let recorded = RecordedAnswers::from([(("analysis".to_owned(), OPEN), of_run)]);
        desk.models = std::mem::take(&mut desk.models).after_recorded(recorded.clone());
        assert_eq!(told(&desk.asks(0, &["AAPL", "MSFT"]).await), ["as recorded", "first"]);
        assert_eq!(desk.asked(), (1, 0));
        desk.models = Models::default().after_recorded(recorded);
        assert_eq!(told(&desk.asks(0, &["AAPL", "MSFT"]).await), ["as recorded", "no answer is recorded"]);
        assert_eq!(told(&desk.asks(30, &["AAPL"]).await), ["no answer is recorded"]);
        desk.models = Models::default();
        assert_eq!(told(&desk.asks(0, &["AAPL"]).await), ["no model is configured"]);
        assert_eq!(desk.asked(), (1, 0));
    }
}
