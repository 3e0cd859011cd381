use std::net::IpAddr;

use daybook_core::market::Symbol;
use daybook_core::time::Span;
use reqwest::Url;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::adapters::{Environment, Veiled};

/// The least that a budget can be: a look at the account takes six requests, and one is due every minute.
const REQUESTS_MIN: u32 = 20;

/// Most symbols that are watched: the scan reads each one's minutes by a request of its own.
const SYMBOLS_MAX: usize = 1_000;

/// An account at Alpaca, and its market data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlpacaSettings {
    /// Whether the key is of a paper account or of a live one.
    pub environment: Environment,
    /// The number of the live account: orders of real money are sent to this one alone.
    pub live_account: String,
    /// The public half of the key.
    #[serde(skip_serializing)]
    pub key_id: Option<SecretString>,
    /// The secret half of the key.
    #[serde(skip_serializing)]
    pub secret_key: Option<SecretString>,
    /// The host of account and orders, where it is not Alpaca's own.
    pub trading_url: Veiled,
    /// The host of the market data, where it is not Alpaca's own.
    pub data_url: Veiled,
    /// Requests a minute that the account may send.
    pub requests_per_minute: u32,
    /// Requests a minute that the market data may take.
    pub data_requests_per_minute: u32,
    /// How long one call may take.
    pub timeout: Span,
    /// Which trades and quotes the market data is made of.
    pub data_feed: DataFeed,
    /// The symbols that the scan ranks.
    pub symbols: Vec<Symbol>,
}

/// Where the accounts of an environment are asked for.
const fn trading_host(environment: Environment) -> &'static str {
    match environment {
        Environment::Paper => "https://paper-api.alpaca.markets",
        Environment::Live => "https://api.alpaca.markets",
    }
}

/// Where market data is asked for.
const DATA_HOST: &str = "https://data.alpaca.markets";

/// Which trades and quotes market data is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFeed {
    /// The exchange IEX alone, some three of a hundred shares traded: free.
    #[default]
    Iex,
    /// All exchanges: a paid subscription.
    Sip,
}

impl DataFeed {
    /// The word in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iex => "iex",
            Self::Sip => "sip",
        }
    }
}

impl Default for AlpacaSettings {
    fn default() -> Self {
        Self {
            environment: Environment::default(),
            live_account: String::new(),
            key_id: None,
            secret_key: None,
            trading_url: Veiled::default(),
            data_url: Veiled::default(),
            // Alpaca's limit for an account, and for the free market data.
            requests_per_minute: 200,
            data_requests_per_minute: 200,
            timeout: Span::seconds(10),
            data_feed: DataFeed::default(),
            symbols: Vec::new(),
        }
    }
}

impl AlpacaSettings {
    /// The address of account and orders.
    #[must_use]
    pub fn trading_host(&self) -> &str {
        Self::host(&self.trading_url, trading_host(self.environment), Veiled::value)
    }

    /// The address of account and orders, as it may be told.
    #[must_use]
    pub fn trading_host_told(&self) -> &str {
        Self::host(&self.trading_url, trading_host(self.environment), Veiled::told)
    }

    /// The address of the market data, as it may be told.
    #[must_use]
    pub fn data_host_told(&self) -> &str {
        Self::host(&self.data_url, DATA_HOST, Veiled::told)
    }

    fn host<'a>(own: &'a Veiled, usual: &'static str, of: fn(&'a Veiled) -> &'a str) -> &'a str {
        if own.value().is_empty() { usual } else { of(own) }
    }

    /// Whether account and orders are at an exchange on this machine.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        Url::parse(self.trading_url.value()).is_ok_and(|url| url.host_str().is_some_and(is_this_machine))
    }

    /// The address of the market data.
    #[must_use]
    pub fn data_host(&self) -> &str {
        Self::host(&self.data_url, DATA_HOST, Veiled::value)
    }

    /// Everything that is wrong where Alpaca holds the account.
    #[must_use]
    pub fn problems_of_trading(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.problems_of_calls();
        problems.extend(problem_of_url("trading_url", &self.trading_url));
        problems.extend(problem_of_requests("requests_per_minute", self.requests_per_minute));
        if self.environment == Environment::Live && self.live_account.is_empty() {
            let message = "is empty, and environment is live; expected the number of the account whose real money is \
                           traded, as Alpaca's dashboard shows it";
            problems.push(("live_account", message.to_owned()));
        }
        problems
    }

    /// Everything that is wrong where the market data is Alpaca's.
    #[must_use]
    pub fn problems_of_data(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.problems_of_calls();
        problems.extend(problem_of_url("data_url", &self.data_url));
        problems.extend(problem_of_requests("data_requests_per_minute", self.data_requests_per_minute));
        if self.symbols.is_empty() || self.symbols.len() > SYMBOLS_MAX {
            let (count, most) = (self.symbols.len(), SYMBOLS_MAX);
            let message = format!("has {count} symbols; expected 1 to {most} to scan, such as [AAPL, MSFT, BRK.B]");
            problems.push(("symbols", message));
        }
        problems
    }

    fn problems_of_calls(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (key, value, example) in
            [("key_id", &self.key_id, "${ALPACA_KEY_ID}"), ("secret_key", &self.secret_key, "${ALPACA_SECRET_KEY}")]
        {
            if value.is_none() {
                problems.push((key, format!("is missing; expected a reference such as {example}")));
            }
        }
        if self.timeout.is_zero() {
            problems.push(("timeout", "is 0; expected how long one call may take, such as 10s".to_owned()));
        }
        problems
    }
}

fn problem_of_requests(key: &'static str, requests: u32) -> Option<(&'static str, String)> {
    (requests < REQUESTS_MIN).then(|| (key, format!("is {requests}; expected at least {REQUESTS_MIN}")))
}

/// An address must be `https`, or be on this machine: the keys go with every call.
fn problem_of_url(key: &'static str, url: &Veiled) -> Option<(&'static str, String)> {
    if url.value().is_empty() {
        return None;
    }
    let parsed = Url::parse(url.value());
    if parsed.as_ref().is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
        let message = "has a name or a password before its host; expected an address without them";
        return Some((key, message.to_owned()));
    }
    let is_safe = parsed.is_ok_and(|url| match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => true,
        ("http", Some(host)) => is_this_machine(host),
        _ => false,
    });
    let message = || format!("is \"{}\"; expected https://HOST, or http://127.0.0.1:PORT on this machine", url.told());
    (!is_safe).then(|| (key, message()))
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> AlpacaSettings {
        AlpacaSettings {
            key_id: Some("PK1".into()),
            secret_key: Some("secret".into()),
            symbols: vec!["BRK.B".parse().unwrap()],
            ..AlpacaSettings::default()
        }
    }

    fn keys(problems: Vec<(&'static str, String)>) -> Vec<&'static str> {
        problems.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn each_mistake_names_its_key() {
        assert_eq!(keys(good().problems_of_trading()), [""; 0]);
        assert_eq!(keys(good().problems_of_data()), [""; 0]);
        assert_eq!(keys(AlpacaSettings::default().problems_of_data()), ["key_id", "secret_key", "symbols"]);
        let url = |url: &str| AlpacaSettings { trading_url: url.into(), ..good() };
        for local in ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "https://api.example.com"] {
            assert_eq!(keys(url(local).problems_of_trading()), [""; 0], "{local}");
        }
        for strange in ["http://api.alpaca.markets", "api.alpaca.markets", "ftp://localhost", "https://"] {
            assert_eq!(keys(url(strange).problems_of_trading()), ["trading_url"], "{strange}");
        }
        let hasty = AlpacaSettings { requests_per_minute: 5, timeout: Span::seconds(0), ..good() };
        assert_eq!(keys(hasty.problems_of_trading()), ["timeout", "requests_per_minute"]);
    }

    #[test]
    fn real_money_has_to_be_confirmed_by_the_accounts_number() {
        let live = AlpacaSettings { environment: Environment::Live, ..good() };
        assert_eq!(keys(live.problems_of_trading()), ["live_account"]);
        assert_eq!(
            keys(AlpacaSettings { live_account: "123456789".to_owned(), ..live }.problems_of_trading()),
            [""; 0]
        );
    }

    #[test]
    fn the_environment_chooses_the_host() {
        assert_eq!(good().trading_host(), "https://paper-api.alpaca.markets");
        assert_eq!(
            AlpacaSettings { environment: Environment::Live, ..good() }.trading_host(),
            "https://api.alpaca.markets"
        );
    }
}
