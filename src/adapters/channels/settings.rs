use std::net::IpAddr;
use std::path::PathBuf;

use daybook_core::time::Span;
use lettre::message::Mailbox;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// A mail server, and who is told through it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailSettings {
    /// The server; empty: no mail is sent.
    pub host: String,
    /// Its port; without one the usual port of `security`: 587, 465 or 25.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub security: Security,
    /// Who signs in; without a name nobody does.
    pub username: Option<String>,
    /// The password of `username`.
    #[serde(skip_serializing)]
    pub password: Option<SecretString>,
    /// The sender: `Daybook <daybook@example.com>`.
    pub from: String,
    /// Who is told.
    pub to: Vec<String>,
    /// A PEM file with a private authority that is trusted beside the system's.
    pub root_ca: Option<PathBuf>,
    /// How long one mail may take.
    pub timeout: Span,
    /// Whether days that are simulated or replayed send mail, too.
    pub simulated: bool,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// It begins in the clear and must change to TLS before anything is said.
    #[default]
    Starttls,
    /// It is TLS from the first byte.
    ImplicitTls,
    /// It is not: for a server on this machine only.
    None,
}

impl Security {
    const fn usual_port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::ImplicitTls => 465,
            Self::None => 25,
        }
    }
}

impl Default for EmailSettings {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: None,
            security: Security::default(),
            username: None,
            password: None,
            from: String::new(),
            to: Vec::new(),
            root_ca: None,
            // A server may take its time to look a mail over (RFC 5321 allows it ten minutes); a minute
            // is what the ones in use need at most.
            timeout: Span::seconds(60),
            simulated: false,
        }
    }
}

impl EmailSettings {
    /// Whether mail is to be sent.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.host.is_empty()
    }

    /// The port that is connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.security.usual_port())
    }

    /// Everything that is wrong: the key, and what is wrong and expected. Nothing is wrong with
    /// settings that are off.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        if self.security == Security::None && !is_loopback(&self.host) {
            let message =
                format!("is none, and \"{}\" is another machine; expected starttls or implicit_tls", self.host);
            problems.push(("security", message));
        }
        match (&self.username, &self.password) {
            (Some(_), None) => problems.push((
                "password",
                "is missing, and username is set; expected a reference such as ${SMTP_PASSWORD}".to_owned(),
            )),
            (None, Some(_)) => {
                problems.push(("username", "is missing, and password is set; expected who signs in".to_owned()));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if let Err(problem) = mailbox(&self.from) {
            problems.push(("from", problem));
        }
        if self.to.is_empty() {
            problems.push(("to", "is empty; expected at least one address, such as [me@example.com]".to_owned()));
        }
        problems.extend(self.to.iter().filter_map(|to| mailbox(to).err()).map(|problem| ("to", problem)));
        if self.timeout.is_zero() {
            problems.push(("timeout", "is 0; expected how long one mail may take, such as 60s".to_owned()));
        }
        problems
    }
}

pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| format!("is \"{text}\"; expected an address, such as Daybook <daybook@example.com>"))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> EmailSettings {
        EmailSettings {
            host: "smtp.example.com".to_owned(),
            from: "Daybook <daybook@example.com>".to_owned(),
            to: vec!["owner@example.com".to_owned()],
            ..EmailSettings::default()
        }
    }

    #[test]
    fn settings_that_are_off_or_whole_have_no_problems() {
        assert!(EmailSettings::default().problems().is_empty());
        assert!(good().problems().is_empty());
        let local = EmailSettings { host: "127.0.0.1".to_owned(), security: Security::None, ..good() };
        assert!(local.problems().is_empty());
        assert_eq!((good().port(), local.port()), (587, 25));
    }

    #[test]
    fn each_mistake_names_its_key() {
        let cases = [
            (EmailSettings { security: Security::None, ..good() }, "security"),
            (EmailSettings { username: Some("me".to_owned()), ..good() }, "password"),
            (EmailSettings { password: Some("x".into()), ..good() }, "username"),
            (EmailSettings { from: "nobody".to_owned(), ..good() }, "from"),
            (EmailSettings { to: vec![], ..good() }, "to"),
            (EmailSettings { to: vec!["a@b, c@d".to_owned()], ..good() }, "to"),
            (EmailSettings { timeout: Span::seconds(0), ..good() }, "timeout"),
        ];
        for (settings, key) in cases {
            let keys: Vec<&str> = settings.problems().iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, [key]);
        }
    }
}
