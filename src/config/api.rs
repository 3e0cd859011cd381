//! Where the running scheduler takes calls over HTTP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::checks::Problems;

/// What the running scheduler is asked over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSettings {
    /// Where it listens; none: no socket is opened.
    pub listen: Option<String>,
    /// Whether other machines may reach it.
    pub allow_remote: bool,
}

impl ApiSettings {
    /// Where it listens, if it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.as_ref().and_then(|listen| listen.parse().ok())
    }

    pub(super) fn problems(&self) -> Problems {
        let Some(listen) = &self.listen else { return Problems::new() };
        let expected = "expected an address of this machine and a port, such as 127.0.0.1:8420";
        let problem = match self.address() {
            None => Some(format!("is \"{listen}\"; {expected}")),
            Some(address) if !self.allow_remote && !address.ip().is_loopback() => Some(format!(
                "is {address}, which other machines reach, and what is said there is not encrypted; {expected}, behind a proxy \
                 or a tunnel that is, or allow_remote: true"
            )),
            Some(_) => None,
        };
        problem.map(|problem| ("listen", problem)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_let_in_by_an_explicit_word() {
        let of = |listen: &str, allow_remote| ApiSettings { listen: Some(listen.to_owned()), allow_remote };
        assert!(ApiSettings::default().problems().is_empty() && ApiSettings::default().address().is_none());
        for good in ["127.0.0.1:8420", "[::1]:8420", "127.8.8.8:0"] {
            assert!(of(good, false).problems().is_empty(), "{good}");
        }
        for remote in ["0.0.0.0:8420", "[::]:8420", "192.168.1.5:8420", "[::ffff:127.0.0.1]:8420"] {
            let problems = of(remote, false).problems();
            assert!(
                matches!(&problems[..], [("listen", told)] if told.contains("allow_remote")),
                "{remote}: {problems:?}"
            );
            assert!(of(remote, true).problems().is_empty(), "{remote}");
        }
        for none in ["", "8420", "localhost:8420", "127.0.0.1", "127.0.0.1:84200", "http://127.0.0.1:8420"] {
            assert_eq!(of(none, true).problems().len(), 1, "{none}");
        }
    }
}
