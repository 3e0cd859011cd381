//! Takes one update of a chat: who wrote it, what it asks for, and what follows, in one transaction.

use std::sync::Arc;
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::money::Money;
use daybook_core::time::Timestamp;
use rusqlite::Transaction;

use super::answer;
use super::wish::Wish;
use crate::engine::commands::{Command, Trade};
use crate::ledger::alert::{self, Routes};
use crate::ledger::chat::{self as requests, NewRequest, Outcome};
use crate::ledger::command::{self, NewCommand};
use crate::ledger::{Ledger, LedgerError};
use crate::ports::{ChatMessage, ChatUpdate};

/// What was written longer ago than this is not done: nobody expects it any more. A halt always is.
const OLD: Duration = Duration::from_secs(120);
/// Requests of one person in [`CROWD_WITHIN`] that are looked at; a halt always is.
const REQUESTS_MAX: u32 = 20;
/// See [`REQUESTS_MAX`].
const CROWD_WITHIN: Duration = Duration::from_secs(60);
/// How often a person is told of strangers, at most.
const STRANGERS_TOLD_EVERY: Duration = Duration::from_secs(60 * 60);
/// Requests of strangers in [`STRANGERS_TOLD_EVERY`] that become rows: a flood of them fills no ledger.
const STRANGERS_MAX: u32 = 100;

/// Who is heard, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The people who are heard.
    pub users: Vec<String>,
    /// The groups in which they are heard, besides their own chats with the bot.
    pub chats: Vec<String>,
    /// How long a person has for a yes.
    pub confirm_within: Duration,
}

impl Guard {
    /// Whether a message is for the program at all: in a group people also talk with each other.
    fn is_meant(message: &ChatMessage) -> bool {
        message.is_private || message.text.trim_start().starts_with('/')
    }

    fn hears(&self, message: &ChatMessage) -> bool {
        self.users.contains(&message.sender) && (message.is_private || self.chats.contains(&message.chat))
    }
}

/// Where the updates of a chat arrive.
pub struct Desk<'a> {
    /// What they are written into.
    pub ledger: &'a Ledger,
    /// Who is told of strangers.
    pub routes: &'a Arc<Routes>,
    /// The channel's name in the configuration.
    pub channel: &'a str,
    /// Who is heard.
    pub guard: &'a Arc<Guard>,
    /// The session's loss at which everything is closed.
    pub loss_max: Money,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was taken before.
    Before,
    /// It is nothing that was said to the program.
    NotMeant,
    /// Nobody listens to its sender.
    Stranger,
    /// It is one of too many, and its sender was told so before.
    Crowded,
    /// It is a request, which gets an answer.
    Request {
        /// Its row.
        chat_request_id: i64,
    },
}

impl Desk<'_> {
    /// Takes an update of a service that numbers them, with everything that follows from it, unless it was taken before.
    /// What is asked for and has to be confirmed waits under `code`.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub async fn take(&self, update: ChatUpdate, code: String, now: Timestamp) -> Result<Heard, LedgerError> {
        self.in_one(move |desk| {
            let ChatUpdate { number, message } = update;
            if !requests::advance(desk.tx, desk.channel, number, now)? {
                return Ok(Heard::Before);
            }
            match message {
                Some(message) => desk.hear(number, &message, &code, now),
                None => Ok(Heard::NotMeant),
            }
        })
        .await
    }

    /// Takes a message that a service has brought by a call of its own, as [`Self::take`] does: such calls come in any
    /// order, and the number with the message's instant is that of one of them alone.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub async fn take_called(
        &self,
        number: i64,
        message: ChatMessage,
        code: String,
        now: Timestamp,
    ) -> Result<Heard, LedgerError> {
        self.in_one(move |desk| match requests::is_taken(desk.tx, desk.channel, number, message.at)? {
            true => Ok(Heard::Before),
            false => desk.hear(number, &message, &code, now),
        })
        .await
    }

    /// Does something at the desk in one transaction.
    async fn in_one<F>(&self, work: F) -> Result<Heard, LedgerError>
    where
        F: FnOnce(&Open<'_>) -> Result<Heard, LedgerError> + Send + 'static,
    {
        let (channel, guard, routes) = (self.channel.to_owned(), self.guard.clone(), self.routes.clone());
        let (account, loss_max) = (self.ledger.meta().account.clone(), self.loss_max);
        self.ledger
            .write(move |tx| {
                let (channel, account) = (channel.as_str(), account.as_str());
                let heard = work(&Open { tx, channel, guard: &guard, routes: &routes, account, loss_max })?;
                crash_point!("chat.taken");
                Ok(heard)
            })
            .await
    }
}

/// A desk whose transaction is open.
struct Open<'a> {
    tx: &'a Transaction<'a>,
    channel: &'a str,
    guard: &'a Guard,
    routes: &'a Routes,
    account: &'a str,
    loss_max: Money,
}

impl Open<'_> {
    /// Takes a message that was not taken before.
    fn hear(&self, number: i64, message: &ChatMessage, code: &str, now: Timestamp) -> Result<Heard, LedgerError> {
        let Self { tx, channel, guard, .. } = *self;
        if !Guard::is_meant(message) {
            return Ok(Heard::NotMeant);
        }
        let taken = Taken { tx, channel, number, message, guard, now };
        if !guard.hears(message) {
            taken.turn_away(self.routes)?;
            return Ok(Heard::Stranger);
        }
        let outcome = taken.outcome(self.account, self.loss_max, code)?;
        tracing::info!(channel, sender = message.sender, number, "chat.taken");
        let is_crowded = outcome == Outcome::Crowded;
        let chat_request_id = requests::record(tx, &taken.request(outcome), now)?;
        Ok(if is_crowded { Heard::Crowded } else { Heard::Request { chat_request_id } })
    }
}

/// A message whose transaction is open.
struct Taken<'a> {
    tx: &'a Transaction<'a>,
    channel: &'a str,
    number: i64,
    message: &'a ChatMessage,
    guard: &'a Guard,
    now: Timestamp,
}

impl<'a> Taken<'a> {
    fn request(&self, outcome: Outcome) -> NewRequest<'a> {
        let ChatMessage { at, chat, sender, text, .. } = self.message;
        NewRequest { channel: self.channel, number: self.number, written_at: *at, chat, sender, text, outcome }
    }

    /// Records that a stranger wrote, and tells a person now and then. The stranger gets no answer.
    fn turn_away(&self, routes: &Routes) -> Result<(), LedgerError> {
        let ChatMessage { chat, sender, .. } = self.message;
        let before = requests::count_of_strangers(self.tx, self.channel, self.now.before(STRANGERS_TOLD_EVERY))?;
        if before < STRANGERS_MAX {
            tracing::warn!(channel = self.channel, sender, chat, "chat.stranger");
            requests::record(self.tx, &self.request(Outcome::Stranger), self.now)?;
        }
        if before == 0 {
            let subject = format!("{}: somebody who is not heard has asked for something", self.channel);
            let body = format!("user {sender} in chat {chat}; what else comes within an hour is counted in the ledger");
            let told = Alert::new(AlertEvent::ChatStranger, subject).with_body(body);
            alert::raise(self.tx, None, &told, routes, self.now)?;
        }
        Ok(())
    }

    /// What becomes of a message of somebody who is heard.
    fn outcome(&self, account: &str, loss_max: Money, code: &str) -> Result<Outcome, LedgerError> {
        let wish = Wish::of(&self.message.text);
        if !matches!(wish, Wish::Halt(_))
            && let Some(turned_down) = self.turned_down()?
        {
            return Ok(turned_down);
        }
        match wish {
            Wish::Status => answer::status(self.tx, account, loss_max, self.now).map(Outcome::Answered),
            Wish::Positions => answer::positions(self.tx, account).map(Outcome::Answered),
            Wish::Halt(reason) => self.pass_on(&Command::Halt { reason: self.reason(reason) }, None),
            Wish::Resume(reason) => {
                let wanted = Command::Resume { reason: self.reason(reason) };
                self.ask(&wanted, "clear every latch and open entries again", code)
            }
            Wish::Close(symbol) => {
                let what =
                    symbol.map_or_else(|| "every position".to_owned(), |symbol| format!("the position in {symbol}"));
                self.ask(&Command::Trade(Trade::Close { symbol }), &format!("close {what} at the market"), code)
            }
            Wish::CloseNothing => {
                let prefix = &self.message.prefix;
                let told = format!("expected a symbol, such as {prefix}close AAPL, or {prefix}close all");
                Ok(Outcome::Refused(told))
            }
            Wish::Yes(code) => self.confirm(code),
            Wish::Help => Ok(Outcome::Answered(answer::help(&self.message.prefix))),
        }
    }

    /// Whether a request comes too late, or is one of too many.
    fn turned_down(&self) -> Result<Option<Outcome>, LedgerError> {
        let since = self.now.before(CROWD_WITHIN);
        let before = requests::count_of(self.tx, self.channel, &self.message.sender, since)?;
        if before >= REQUESTS_MAX {
            let prefix = &self.message.prefix;
            let told = format!("more than {REQUESTS_MAX} requests in a minute: only {prefix}halt is done now");
            return Ok(Some(if before == REQUESTS_MAX { Outcome::Refused(told) } else { Outcome::Crowded }));
        }
        let is_old = self.now.since(self.message.at) > OLD;
        Ok(is_old.then(|| Outcome::Refused("that was written too long ago: write it again".to_owned())))
    }

    fn reason(&self, given: &str) -> String {
        if given.is_empty() { format!("asked for by {}", self.channel) } else { given.to_owned() }
    }

    fn ask(&self, wanted: &Command, what: &str, code: &str) -> Result<Outcome, LedgerError> {
        let within_s = self.guard.confirm_within.as_secs();
        Ok(Outcome::Asked {
            wanted: serde_json::to_value(wanted)?,
            code: code.to_owned(),
            answer: format!("To {what}, write within {within_s} s:\n{}yes {code}", self.message.prefix),
        })
    }

    fn confirm(&self, code: &str) -> Result<Outcome, LedgerError> {
        let since = self.now.before(self.guard.confirm_within);
        let yes = self.request(Outcome::Crowded);
        match requests::waiting(self.tx, &yes, code, since)? {
            Some(waiting) => self.pass_on(&serde_json::from_value(waiting.wanted)?, Some(waiting.chat_request_id)),
            None => Ok(Outcome::Refused("nothing waits under that code: ask for it again".to_owned())),
        }
    }

    /// Has the scheduler do it at its next look, within a second.
    fn pass_on(&self, wanted: &Command, confirms: Option<i64>) -> Result<Outcome, LedgerError> {
        let asked = NewCommand {
            nonce: format!("{}-{}-{}", self.channel, self.number, self.message.at.0),
            name: wanted.name().to_owned(),
            arguments: serde_json::to_value(wanted)?,
            requested_by: format!("{}:{}", self.channel, self.message.sender),
        };
        let command_id = command::enqueue(self.tx, &asked, self.now)?.command_id;
        Ok(Outcome::PassedOn { command_id, confirms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::alert::Route;
    use crate::ledger::chat::{Reply, Unanswered};
    use crate::ledger::command::{Command as Queued, CommandEnd};
    use crate::ledger::testing::TestLedger;

    const NOON: Timestamp = Timestamp(1_794_848_400_000);
    const OWNER: &str = "42";

    /// A chat whose owner alone is heard, in private and in one group.
    struct Chat {
        day: TestLedger,
        routes: Arc<Routes>,
        guard: Arc<Guard>,
        number: i64,
    }

    impl Chat {
        fn new() -> Self {
            let users = vec![OWNER.to_owned()];
            let (chats, confirm_within) = (vec!["-100".to_owned()], Duration::from_secs(60));
            let guard = Arc::new(Guard { users, chats, confirm_within });
            Self { day: TestLedger::new(), routes: Arc::new(Routes::from([Route::every("file")])), guard, number: 0 }
        }

        fn desk(&self) -> Desk<'_> {
            let (ledger, loss_max) = (&self.day.ledger, Money::whole(2_000));
            Desk { ledger, routes: &self.routes, channel: "telegram", guard: &self.guard, loss_max }
        }

        /// Takes a message that was written at once; the code is the number.
        async fn take(&mut self, message: ChatMessage) {
            self.number += 1;
            let (number, at) = (self.number, message.at);
            let update = ChatUpdate { number, message: Some(message) };
            self.desk().take(update, number.to_string(), at).await.unwrap();
        }

        async fn owner(&mut self, text: &str, later_s: u64) {
            self.take(private(OWNER, text, later_s)).await;
        }

        /// What waits to be said.
        fn replies(&self) -> Vec<Unanswered> {
            self.day.ledger.read(|conn| requests::unanswered(conn, "telegram", Timestamp(0))).unwrap()
        }

        fn last_reply(&self) -> String {
            match self.replies().pop().map(|unanswered| unanswered.reply) {
                Some(Reply::Text(text)) => text,
                other => panic!("{other:?}"),
            }
        }

        fn commands(&self) -> Vec<Queued> {
            let mut queued = self.day.ledger.read(|conn| command::list(conn, 500)).unwrap();
            queued.reverse();
            queued
        }

        fn outcomes(&self) -> String {
            let sql = "SELECT group_concat(outcome, ' ') FROM (SELECT outcome FROM chat_request ORDER BY 1)";
            format!("{:?}", self.day.ledger.query(sql).unwrap().rows)
        }
    }

    fn private(sender: &str, text: &str, later_s: u64) -> ChatMessage {
        let at = NOON.after(Duration::from_secs(later_s));
        let [chat, sender, text, prefix] = [sender, sender, text, "/"].map(str::to_owned);
        ChatMessage { at, chat, is_private: true, sender, text, prefix }
    }

    fn in_group(chat: &str, sender: &str, text: &str) -> ChatMessage {
        ChatMessage { chat: chat.to_owned(), is_private: false, ..private(sender, text, 0) }
    }

    #[tokio::test]
    async fn a_question_is_answered() {
        let mut chat = Chat::new();
        chat.owner("/status", 0).await;
        assert_eq!(chat.last_reply(), "nothing has run yet\n0 positions held");
        chat.owner("positions", 0).await;
        assert_eq!(chat.last_reply(), "nothing is held");
        chat.owner("hello", 0).await;
        assert!(chat.last_reply().contains("/close SYMBOL or /close all"));
        assert_eq!(chat.commands(), []);
    }

    #[tokio::test]
    async fn a_stranger_is_not_heard_and_a_person_is_told_once() {
        let mut chat = Chat::new();
        for message in [
            private("7", "/halt", 0),
            in_group("-100", "7", "/close all"),
            in_group("-200", OWNER, "/positions"),
            private("", "/resume", 0),
        ] {
            chat.take(message).await;
        }
        for talk in [in_group("-100", "7", "lunch?"), in_group("-100", OWNER, "resume it"), in_group("-9", "7", "")] {
            chat.take(talk).await;
        }
        assert_eq!((chat.replies(), chat.commands()), (vec![], vec![]));
        assert!(chat.outcomes().contains("\"stranger stranger stranger stranger\""), "{}", chat.outcomes());
        let told = chat.day.ledger.query("SELECT event, body FROM alert").unwrap().rows;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(format!("{told:?}").contains("user 7 in chat 7"), "{told:?}");
        chat.take(in_group("-100", OWNER, "/positions@daybook_bot")).await;
        assert_eq!(chat.last_reply(), "nothing is held");
    }

    #[tokio::test]
    async fn a_flood_of_strangers_fills_no_ledger() {
        let mut chat = Chat::new();
        for _ in 0..STRANGERS_MAX + 20 {
            chat.take(private("7", "/start", 0)).await;
        }
        let rows = chat.day.ledger.query("SELECT count(*), count(DISTINCT channel) FROM chat_request").unwrap().rows;
        assert!(format!("{rows:?}").contains("100"), "{rows:?}");
        chat.owner("/positions", 1).await;
        assert_eq!(chat.last_reply(), "nothing is held", "it keeps nobody else away");
    }

    #[tokio::test]
    async fn a_halt_is_passed_on_at_once_and_once_and_says_who_asked() {
        let mut chat = Chat::new();
        let halt = private(OWNER, "/halt the news", 0);
        for _ in 0..2 {
            let update = ChatUpdate { number: 5, message: Some(halt.clone()) };
            chat.desk().take(update, "0005".to_owned(), NOON).await.unwrap();
        }
        let commands = chat.commands();
        assert_eq!((commands.len(), commands[0].asked.requested_by.as_str()), (1, "telegram:42"));
        assert_eq!(commands[0].asked.arguments, serde_json::json!({"halt": {"reason": "the news"}}));
        chat.number = 5;
        let old = ChatMessage { at: NOON.before(Duration::from_secs(36_000)), ..halt };
        let update = ChatUpdate { number: 6, message: Some(old) };
        chat.desk().take(update, "0006".to_owned(), NOON).await.unwrap();
        assert_eq!(chat.commands().len(), 2, "to stop is right however late");
    }

    #[tokio::test]
    async fn what_moves_money_or_loosens_is_done_after_its_yes_in_time_and_once() {
        let mut chat = Chat::new();
        chat.owner("/close aapl", 0).await;
        assert_eq!(chat.last_reply(), "To close the position in AAPL at the market, write within 60 s:\n/yes 1");
        for (text, later_s) in [("/yes 2", 1), ("/yes", 1), ("/yes 01", 1)] {
            chat.owner(text, later_s).await;
            assert!(chat.last_reply().starts_with("nothing waits"), "{text}");
        }
        chat.take(in_group("-100", OWNER, "/yes 1")).await;
        assert_eq!(chat.commands(), [], "a yes is said where it was asked for");
        chat.owner("/yes 1", 2).await;
        chat.owner("/yes 1", 3).await;
        let commands = chat.commands();
        assert_eq!(commands.len(), 1);
        assert_eq!(commands[0].asked.arguments, serde_json::json!({"trade": {"close": {"symbol": "AAPL"}}}));
        chat.owner("/resume", 10).await;
        assert!(chat.last_reply().contains("open entries again"));
        let code = chat.number;
        chat.owner(&format!("/yes {code}"), 71).await;
        assert!(chat.last_reply().starts_with("nothing waits"), "too late");
        chat.owner("/close AAPL;MSFT", 72).await;
        assert!(chat.last_reply().starts_with("expected a symbol"));
        chat.owner("/close all", 73).await;
        let code = chat.number;
        chat.owner(&format!("yes {code}"), 74).await;
        assert_eq!(chat.commands()[1].asked.arguments, serde_json::json!({"trade": {"close": {"symbol": null}}}));
    }

    #[tokio::test]
    async fn what_was_written_long_ago_is_not_done() {
        let mut chat = Chat::new();
        let update = ChatUpdate { number: 1, message: Some(private(OWNER, "/resume", 0)) };
        let late = NOON.after(OLD + Duration::from_secs(1));
        chat.desk().take(update, "0001".to_owned(), late).await.unwrap();
        assert!(chat.last_reply().contains("too long ago"));
        chat.number = 1;
        assert_eq!(chat.commands(), []);
    }

    #[tokio::test]
    async fn who_asks_too_often_is_told_once_and_may_still_halt() {
        let mut chat = Chat::new();
        for _ in 0..REQUESTS_MAX + 5 {
            chat.owner("/status", 0).await;
        }
        assert!(chat.last_reply().starts_with("more than 20 requests"));
        assert_eq!(chat.replies().len(), 21);
        chat.owner("/halt", 0).await;
        assert_eq!(chat.commands().len(), 1);
        chat.owner("/positions", 61).await;
        assert_eq!(chat.last_reply(), "nothing is held");
    }

    #[tokio::test]
    async fn the_end_of_a_command_is_its_answer() {
        let mut chat = Chat::new();
        chat.owner("/halt", 0).await;
        let command_id = chat.commands()[0].command_id;
        let answer = |at: Timestamp| {
            let request = chat.replies().pop().unwrap();
            chat.day.ledger.read(|conn| answer::of(conn, &request, at)).unwrap()
        };
        assert_eq!(answer(NOON), None);
        assert!(answer(NOON.after(Duration::from_secs(61))).unwrap().contains("under way"));
        for (end, result, told) in [
            (CommandEnd::Done, r#"{"message":"new entries are stopped"}"#, "new entries are stopped"),
            (CommandEnd::Refused, "nothing is halted", "refused: nothing is halted"),
        ] {
            chat.day
                .ledger
                .write_blocking(move |tx| {
                    tx.execute("UPDATE command SET state = 'pending', finished_at_ms = NULL, taken_at_ms = NULL, result = NULL", [])?;
                    command::take_pending(tx, NOON)?;
                    command::finish(tx, command_id, end, result, NOON)
                })
                .unwrap();
            assert_eq!(answer(NOON).as_deref(), Some(told));
        }
    }
}
