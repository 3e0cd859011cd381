//! What guards a service, taken out of everything that is told of it: a service repeats in its refusal what it was sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// What stands in a secret's place.
const MASK: &str = "***";
/// The shortest part of an address or a header that is taken for a secret, in characters: tokens are longer.
const PART_MIN: usize = 8;
/// The shortest piece of an encoded password that is known again, in characters: a server may cut a line.
const PIECE_MIN: usize = 8;

/// What is never told.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    /// Masked wherever they stand, the longest first.
    words: Vec<SecretString>,
    /// Masked with every word that is a piece of them, or holds them.
    encoded: Vec<SecretString>,
}

impl Secrets {
    /// Addresses, tokens and keys: each as a whole, and each of its parts that is long enough for one.
    pub(super) fn of(secrets: &[SecretString]) -> Self {
        let mut words: Vec<String> = Vec::new();
        for secret in secrets.iter().map(ExposeSecret::expose_secret) {
            let parts = secret.split(|c: char| matches!(c, '/' | '?' | '&' | '=') || c.is_whitespace());
            words.extend(parts.filter(|part| part.chars().count() >= PART_MIN).map(str::to_owned));
            words.extend(Some(secret).filter(|secret| secret.chars().count() >= PART_MIN).map(str::to_owned));
        }
        Self { words: longest_first(words), encoded: Vec::new() }
    }

    /// These, and another one.
    pub(super) fn and(&self, secret: &SecretString) -> Self {
        let more = Self::of(std::slice::from_ref(secret)).words;
        let words = self.words.iter().chain(&more).map(|word| word.expose_secret().to_owned()).collect();
        Self { words: longest_first(words), encoded: self.encoded.clone() }
    }

    /// A password as it goes over the wire, too: LOGIN sends it in base64, PLAIN together with the name.
    pub(super) fn of_password(name: &str, password: &SecretString) -> Self {
        let password = password.expose_secret();
        if password.is_empty() {
            return Self::default();
        }
        // PLAIN may name whom one acts for, and LOGIN's answer may end with a line of its own.
        let sent = [password.to_owned(), format!("\0{name}\0{password}"), format!("{name}\0{name}\0{password}")];
        Self {
            words: longest_first(vec![password.to_owned()]),
            encoded: longest_first(sent.iter().map(|sent| STANDARD_NO_PAD.encode(sent)).collect()),
        }
    }

    /// The text without them.
    pub(super) fn masked(&self, text: &str) -> String {
        let encoded = self.without_encoded(text);
        self.words.iter().fold(encoded, |told, word| told.replace(word.expose_secret(), MASK))
    }

    fn without_encoded(&self, text: &str) -> String {
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
        let mut told = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_base64) {
            let (before, from) = rest.split_at(begin);
            let (word, after) = from.split_at(from.find(|c| !is_base64(c)).unwrap_or(from.len()));
            told.push_str(before);
            let is_secret = self
                .encoded
                .iter()
                .map(ExposeSecret::expose_secret)
                .any(|secret| word.contains(secret) || word.len() >= PIECE_MIN && secret.contains(word));
            told.push_str(if is_secret { MASK } else { word });
            rest = after;
        }
        told.push_str(rest);
        told
    }
}

fn longest_first(mut words: Vec<String>) -> Vec<SecretString> {
    words.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    words.dedup();
    words.into_iter().map(SecretString::from).collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn an_address_and_a_header_are_masked_with_their_parts() {
        let secrets = Secrets::of(&["https://h/T000/hunter2hunter2".into(), "Bearer abc/def+hunter3==".into()]);
        for text in ["at /T000/hunter2hunter2", "no hunter2hunter2", "https://h/T000/hunter2hunter2"] {
            assert!(!secrets.masked(text).contains("hunter"), "{text}");
        }
        assert_eq!(secrets.masked("token def+hunter3 is unknown"), "token *** is unknown");
        assert_eq!(secrets.masked("a Bearer was sent to h"), "a Bearer was sent to h", "short parts are words");
    }

    #[test]
    fn a_password_is_masked_in_each_form_that_it_is_sent_in() {
        let secrets = Secrets::of_password("me@example.com", &"p/ss wörd".into());
        let plain = STANDARD.encode("\0me@example.com\0p/ss wörd");
        let login = STANDARD.encode("p/ss wörd");
        for (said, told) in [
            ("535 wrong password for p/ss wörd".to_owned(), "535 wrong password for ***"),
            (
                format!("502 5.5.1 Unrecognized command: AUTH PLAIN {plain}"),
                "502 5.5.1 Unrecognized command: AUTH PLAIN ***",
            ),
            (format!("500 \"{login}\"?"), "500 \"***\"?"),
            (format!("500 {}...", &plain[..20]), "500 ***..."),
            (format!("500 x{}", login.trim_end_matches('=')), "500 ***"),
            ("250 2.0.0 queued as 7F3A0001B2".to_owned(), "250 2.0.0 queued as 7F3A0001B2"),
        ] {
            assert_eq!(secrets.masked(&said).replace('=', ""), told.replace('=', ""), "{said}");
        }
        assert_eq!(Secrets::of_password("me", &"".into()).masked("535 no"), "535 no");
    }
}
