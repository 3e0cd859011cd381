use daybook_core::time::Span;
use serde::{Deserialize, Serialize};

use crate::adapters::Environment;

/// Ids below this are for programs; 0 would also take over the orders that its owner places by hand.
const CLIENT_ID_MIN: i32 = 1;

/// The highest id that leaves room for the one beside it, which `trade doctor` looks under.
const CLIENT_ID_MAX: i32 = 999_999;

/// Messages a second that a gateway takes before it hangs up.
const MESSAGES_MAX: u32 = 50;

/// What the accounts of Interactive Brokers' own simulation begin with.
const PAPER_PREFIX: &str = "D";

/// An account at Interactive Brokers, and the gateway that leads to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IbkrSettings {
    /// Whether the gateway is logged in to a paper account or to a live one.
    pub environment: Environment,
    /// The live account's number again: orders of real money are sent to this one alone.
    pub live_account: String,
    /// The account's number; empty: the only one of the login.
    pub account: String,
    /// Where the gateway runs.
    pub host: String,
    /// The gateway's port; `None`: the gateway's own for the environment.
    pub port: Option<u16>,
    /// The number under which orders belong to this program; no other may use it.
    pub client_id: i32,
    /// Messages a second to the gateway; its own limit holds for all its programs together.
    pub messages_per_second: u32,
    /// How long one answer may take.
    pub timeout: Span,
}

/// The environment of an account, by its number: those of the simulation begin with a D (`DU1234567`).
#[must_use]
pub fn environment_of(account: &str) -> Environment {
    if account.starts_with(PAPER_PREFIX) { Environment::Paper } else { Environment::Live }
}

/// The port at which a gateway answers unless it was set to another.
const fn gateway_port(environment: Environment) -> u16 {
    match environment {
        Environment::Paper => 4002,
        Environment::Live => 4001,
    }
}

impl Default for IbkrSettings {
    fn default() -> Self {
        Self {
            environment: Environment::default(),
            live_account: String::new(),
            account: String::new(),
            host: "127.0.0.1".to_owned(),
            port: None,
            client_id: 17,
            messages_per_second: 45,
            timeout: Span::seconds(10),
        }
    }
}

impl IbkrSettings {
    /// The gateway's address: `127.0.0.1:4002`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port.unwrap_or(gateway_port(self.environment)))
    }

    /// The same under the id next to it, for a look that must not disturb a process that holds the id.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { client_id: self.client_id + 1, ..self.clone() }
    }

    /// Which of a login's accounts is traded in.
    ///
    /// # Errors
    /// Why none of them may be, in words for a person.
    pub fn choose(&self, accounts: &[String]) -> Result<String, String> {
        let all = accounts.join(", ");
        let account = match accounts {
            _ if !self.account.is_empty() => &self.account,
            [only] => only,
            _ => return Err(format!("the login has the accounts {all}: name one of them in ibkr.account")),
        };
        if !accounts.contains(account) {
            return Err(format!(
                "the gateway is logged in to {all}, and ibkr.account names {account}: no order is sent"
            ));
        }
        let found = environment_of(account);
        if found != self.environment {
            let (found, set) = (found.as_str(), self.environment.as_str());
            return Err(format!("{account} is a {found} account, and ibkr.environment is {set}: no order is sent"));
        }
        if found == Environment::Live && self.live_account != *account {
            let confirmed = &self.live_account;
            return Err(format!("{account} is live, and ibkr.live_account names \"{confirmed}\": no order is sent"));
        }
        Ok(account.clone())
    }

    /// Everything that is wrong where Interactive Brokers holds the account.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !cfg!(feature = "ibkr") {
            let message = "is set, and this program was built without the feature ibkr; expected a build that has it";
            problems.push(("environment", message.to_owned()));
        }
        if self.environment == Environment::Live && self.live_account.is_empty() {
            let message = "is empty, and environment is live; expected the number of the account whose real money is \
                           traded, such as U1234567";
            problems.push(("live_account", message.to_owned()));
        }
        if self.host.is_empty() {
            problems.push(("host", "is empty; expected where the gateway runs, such as 127.0.0.1".to_owned()));
        }
        if self.port == Some(0) {
            problems.push(("port", "is 0; expected the gateway's, such as 4002".to_owned()));
        }
        if !(CLIENT_ID_MIN..=CLIENT_ID_MAX).contains(&self.client_id) {
            let message = format!("is {}; expected {CLIENT_ID_MIN} to {CLIENT_ID_MAX}", self.client_id);
            problems.push(("client_id", message));
        }
        if !(1..=MESSAGES_MAX).contains(&self.messages_per_second) {
            let message = format!("is {}; expected 1 to {MESSAGES_MAX}", self.messages_per_second);
            problems.push(("messages_per_second", message));
        }
        if self.timeout.is_zero() {
            problems.push(("timeout", "is 0; expected how long one answer may take, such as 10s".to_owned()));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_mistake_names_its_key() {
        let keys = |settings: IbkrSettings| -> Vec<&str> {
            settings.problems().into_iter().map(|(key, _)| key).filter(|key| *key != "environment").collect()
        };
        let good = IbkrSettings::default();
        assert_eq!(keys(good.clone()), [""; 0]);
        assert_eq!(keys(IbkrSettings { environment: Environment::Live, ..good.clone() }), ["live_account"]);
        assert_eq!(keys(IbkrSettings { client_id: 0, ..good.clone() }), ["client_id"]);
        let strange = IbkrSettings { host: String::new(), port: Some(0), timeout: Span::seconds(0), ..good.clone() };
        assert_eq!(keys(strange), ["host", "port", "timeout"]);
        assert_eq!(keys(IbkrSettings { messages_per_second: 51, ..good }), ["messages_per_second"]);
    }

    #[test]
    fn the_environment_chooses_the_port() {
        let paper = IbkrSettings::default();
        assert_eq!(paper.address(), "127.0.0.1:4002");
        assert_eq!(IbkrSettings { environment: Environment::Live, ..paper.clone() }.address(), "127.0.0.1:4001");
        assert_eq!(IbkrSettings { port: Some(7497), ..paper }.address(), "127.0.0.1:7497");
    }

    #[test]
    fn the_account_is_the_one_that_was_meant() {
        let paper = IbkrSettings::default();
        assert_eq!(paper.choose(&accounts(&["DU1"])).unwrap(), "DU1");
        let two = paper.choose(&accounts(&["DU1", "DU2"])).unwrap_err();
        assert!(two.contains("name one of them"), "{two}");
        let named = IbkrSettings { account: "DU2".to_owned(), ..paper.clone() };
        assert_eq!(named.choose(&accounts(&["DU1", "DU2"])).unwrap(), "DU2");
        let other = named.choose(&accounts(&["DU1"])).unwrap_err();
        assert!(other.contains("names DU2"), "{other}");
        let live = paper.choose(&accounts(&["U1"])).unwrap_err();
        assert!(live.contains("U1 is a live account"), "{live}");
    }

    #[test]
    fn real_money_has_to_be_confirmed_by_the_accounts_number() {
        let live = IbkrSettings { environment: Environment::Live, live_account: "U1".to_owned(), ..Default::default() };
        assert_eq!(live.choose(&accounts(&["U1"])).unwrap(), "U1");
        let other = live.choose(&accounts(&["U2"])).unwrap_err();
        assert!(other.contains("names \"U1\""), "{other}");
        let paper = live.choose(&accounts(&["DU1"])).unwrap_err();
        assert!(paper.contains("is a paper account"), "{paper}");
    }
}
