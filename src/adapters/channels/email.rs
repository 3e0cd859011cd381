use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::response::Response;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::letter::{LetterError, Letterhead};
use super::secrets::Secrets;
use super::settings::{EmailSettings, Security, mailbox};
use super::text::one_line;
use super::tls::wrong_certificate;
use crate::ports::{Channel, ChannelError, Message, with_causes};

/// Deliveries to one receiver that are remembered, so that another receiver's failure does not repeat
/// them while the process lives.
const ACCEPTED_KEPT_MAX: usize = 256;

/// How long a server that has not answered has to greet, once more.
const GREETING_MAX: Duration = Duration::from_secs(2);

/// Replies that refuse one receiver, not the sender (RFC 5321, 4.2.3): no such mailbox, refused by
/// policy, not local, mailbox full for good, name not allowed, relaying or content refused.
const RECEIVER_REFUSED: [u16; 5] = [550, 551, 552, 553, 554];

/// Sends messages through a mail server.
///
/// TLS is never optional: a server that should offer it and does not is an error, with nothing said in
/// the clear. Delivery is at least once: where the server's last word is lost, the same letter is sent
/// again under the same id, and says so.
pub struct EmailChannel {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    letterhead: Letterhead,
    timeout: Duration,
    server: Server,
    /// What no answer of the server is told with.
    secrets: Secrets,
    /// Messages' keys with the receivers whose server has taken them.
    accepted: Mutex<VecDeque<(String, Mailbox)>>,
}

/// The letterhead of these settings. Without a mail server the letters in the folder go from and to this
/// machine.
///
/// # Errors
/// [`EmailError::Settings`] for an address that is none.
pub fn letterhead(settings: &EmailSettings) -> Result<Letterhead, EmailError> {
    let parsed = |key, text: &str| mailbox(text).map_err(|problem| EmailError::Settings { key, problem });
    let from = if settings.from.is_empty() { "Daybook <daybook@localhost>" } else { &settings.from };
    let to: Vec<&str> = match settings.to.as_slice() {
        [] => vec!["owner@localhost"],
        to => to.iter().map(String::as_str).collect(),
    };
    Ok(Letterhead {
        from: parsed("from", from)?,
        to: to.into_iter().map(|to| parsed("to", to)).collect::<Result<_, _>>()?,
    })
}

impl std::fmt::Debug for EmailChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The transport holds the password.
        f.debug_struct("EmailChannel").field("letterhead", &self.letterhead).finish_non_exhaustive()
    }
}

/// Settings that make no channel.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// A key's value is not usable.
    #[error("{key} {problem}")]
    Settings {
        /// The key.
        key: &'static str,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The file of the private authority cannot be read.
    #[error("root_ca: {} cannot be read", path.display())]
    RootCa {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// TLS cannot be set up: no trusted authorities, or a certificate that is none.
    #[error("TLS cannot be set up for {host}; install the package ca-certificates, or name a PEM file as root_ca")]
    Tls {
        /// The server.
        host: String,
        /// What went wrong.
        source: lettre::transport::smtp::Error,
    },
}

/// What a failed attempt means for the message, the receivers after this one, and the next attempt.
enum Failure {
    /// This receiver will never take it; the others may.
    ReceiverRefused(String),
    /// This receiver may take it later; the others may now.
    ReceiverBusy(String),
    /// The server cannot be used now.
    Transient(String),
    /// The server cannot be used as it is configured.
    Permanent(String),
}

impl EmailChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "email";

    /// Makes a channel; nothing is connected yet.
    ///
    /// # Errors
    /// [`EmailError`] names the setting that is not usable.
    pub fn new(settings: &EmailSettings) -> Result<Self, EmailError> {
        if let Some((key, problem)) = settings.problems().into_iter().next() {
            return Err(EmailError::Settings { key, problem });
        }
        let letterhead = letterhead(settings)?;
        let tls = match settings.security {
            Security::Starttls => Tls::Required(tls_parameters(settings)?),
            Security::ImplicitTls => Tls::Wrapper(tls_parameters(settings)?),
            Security::None => Tls::None,
        };
        let timeout = settings.timeout.as_duration();
        // "Dangerous" is its default of no TLS, which the line after it replaces.
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .tls(tls)
            .port(settings.port())
            .timeout(Some(timeout));
        if let (Some(name), Some(password)) = (&settings.username, &settings.password) {
            builder = builder
                .credentials(Credentials::new(name.clone(), password.expose_secret().to_owned()))
                .authentication(vec![Mechanism::Plain, Mechanism::Login]);
        }
        let secrets = match (&settings.username, &settings.password) {
            (Some(name), Some(password)) => Secrets::of_password(name, password),
            (_, _) => Secrets::default(),
        };
        let server = Server { host: settings.host.clone(), port: settings.port(), security: settings.security };
        let accepted = Mutex::new(VecDeque::new());
        Ok(Self { transport: builder.build(), letterhead, timeout, server, secrets, accepted })
    }

    /// What the letters are written on; the file channel writes the same.
    #[must_use]
    pub const fn letterhead(&self) -> &Letterhead {
        &self.letterhead
    }

    /// Connects as for a letter, signs in, and takes leave; nobody is sent anything.
    ///
    /// # Errors
    /// Why no letter could be sent, in words for a person.
    pub async fn try_out(settings: &EmailSettings, within: Duration) -> Result<(), String> {
        let channel = Self::new(settings).map_err(|error| with_causes(&error))?;
        let (port, implicit) = (settings.port(), settings.security == Security::ImplicitTls);
        let tried = tokio::time::timeout(within, channel.transport.test_connection()).await;
        match tried {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("it took the sign-in and then hung up".to_owned()),
            Ok(Err(error)) => Err(match channel.classed(&error) {
                Failure::ReceiverRefused(why)
                | Failure::ReceiverBusy(why)
                | Failure::Transient(why)
                | Failure::Permanent(why) => {
                    let speaks_plain = implicit && speaks_in_the_clear(&error);
                    let meant = format!("; it speaks in the clear at port {port}: expected security: starttls");
                    format!("{why}{}", if speaks_plain { meant.as_str() } else { "" })
                }
            }),
            Err(_) if settings.security == Security::Starttls => Err(format!(
                "no greeting within {within:?}; a server that waits for TLS at port {port} wants security: implicit_tls"
            )),
            Err(_) => Err(format!("no answer within {within:?}")),
        }
    }

    async fn deliver_to(&self, receiver: &Mailbox, message: &Message) -> Result<String, Failure> {
        let letter = self
            .letterhead
            .letter_to(std::slice::from_ref(receiver), message)
            .map_err(|error: LetterError| Failure::Permanent(with_causes(&error)))?;
        match tokio::time::timeout(self.timeout, self.transport.send(letter)).await {
            Ok(Ok(response)) => Ok(self.told(&receipt(&response))),
            Ok(Err(error)) => Err(self.classed(&error)),
            Err(_) if !self.server.greets(self.timeout).await => Err(Failure::Transient(format!(
                "no greeting within {:?}; is port {} one for TLS from the first byte (security: implicit_tls)?",
                self.timeout, self.server.port
            ))),
            Err(_) => Err(Failure::Transient(format!(
                "no answer within {:?}; the server may have taken the mail",
                self.timeout
            ))),
        }
    }

    fn classed(&self, error: &lettre::transport::smtp::Error) -> Failure {
        if let Some(wrong) = wrong_certificate(error) {
            return Failure::Permanent(wrong);
        }
        let reason = self.told(&error.to_string());
        match error.status().map(u16::from) {
            Some(code) if RECEIVER_REFUSED.contains(&code) => Failure::ReceiverRefused(reason),
            Some(450..=452) => Failure::ReceiverBusy(reason),
            Some(_) if error.is_permanent() => Failure::Permanent(reason),
            // The client's own refusals: no STARTTLS, no way to sign in that both sides know.
            None if error.is_client() => Failure::Permanent(reason),
            Some(_) | None => Failure::Transient(reason),
        }
    }

    /// What the server says, in one line and without the password: it may repeat a command that it does not know.
    fn told(&self, text: &str) -> String {
        self.secrets.masked(&one_line(text))
    }

    fn has_accepted(&self, message: &Message, receiver: &Mailbox) -> bool {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.iter().any(|(key, mailbox)| key == &message.key && mailbox == receiver)
    }

    fn remember(&self, message: &Message, receiver: &Mailbox) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.len() >= ACCEPTED_KEPT_MAX {
            accepted.pop_front();
        }
        accepted.push_back((message.key.clone(), receiver.clone()));
    }
}

/// Where the mail server is.
struct Server {
    host: String,
    port: u16,
    security: Security,
}

impl Server {
    /// Whether it speaks first where it should. One that waits for TLS from the first byte does not.
    async fn greets(&self, timeout: Duration) -> bool {
        match self.security {
            Security::ImplicitTls => true,
            Security::Starttls | Security::None => {
                let first = async {
                    let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
                    stream.read_u8().await
                };
                tokio::time::timeout(timeout.min(GREETING_MAX), first).await.is_ok_and(|first| first.is_ok())
            }
        }
    }
}

/// The largest file of certificates, in bytes: a system's own authorities have some 200 KiB.
const CERTIFICATES_MAX: u64 = 1024 * 1024;

impl EmailSettings {
    /// What is wrong with the file of the private authority, where mail is sent and there is one.
    #[must_use]
    pub fn problem_of_root_ca(&self) -> Option<String> {
        let path = self.root_ca.as_ref().filter(|_| self.is_on())?;
        let shown = path.display();
        let read = std::fs::metadata(path).and_then(|file| match file.is_file() && file.len() <= CERTIFICATES_MAX {
            true => std::fs::read(path),
            false => Err(std::io::Error::other("it is no file, or far too large")),
        });
        let pem = match read {
            Ok(pem) => pem,
            Err(error) => {
                return Some(format!("{shown}: cannot be read ({error}); expected a PEM file of certificates"));
            }
        };
        let expected = "expected the certificates of an authority, which begin with -----BEGIN CERTIFICATE-----";
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let added = certificates.ok().map(|all| RootCertStore::empty().add_parsable_certificates(all));
        match added {
            Some((1.., 0)) => None,
            Some((0, 0)) | None => Some(format!("{shown}: is no PEM file; {expected}")),
            Some(_) => Some(format!("{shown}: holds what is no certificate; {expected}")),
        }
    }
}

fn tls_parameters(settings: &EmailSettings) -> Result<TlsParameters, EmailError> {
    let failed = |source| EmailError::Tls { host: settings.host.clone(), source };
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.root_ca {
        let pem = std::fs::read(path).map_err(|source| EmailError::RootCa { path: path.clone(), source })?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(failed)?);
    }
    builder.build().map_err(failed)
}

/// Whether the other side has answered a TLS handshake with something else.
fn speaks_in_the_clear(error: &(dyn std::error::Error + 'static)) -> bool {
    let told = with_causes(error);
    told.contains("InvalidContentType") || told.contains("InvalidMessage") || told.contains("corrupt message")
}

fn receipt(response: &Response) -> String {
    format!("{} {}", response.code(), response.first_line().unwrap_or_default())
}

#[async_trait]
impl Channel for EmailChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn is_chat(&self) -> bool {
        true
    }

    /// Each receiver gets a letter of their own: one that is refused does not keep it from the others.
    /// A receiver who is refused for good is named in the receipt, unless all are.
    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let channel = || Self::NAME.to_owned();
        let transient = |reason| ChannelError::Transient { channel: channel(), reason, after: None };
        let (mut receipts, mut refused, mut busy) = (Vec::new(), Vec::new(), Vec::new());
        for receiver in self.letterhead.to.iter().filter(|receiver| !self.has_accepted(message, receiver)) {
            match self.deliver_to(receiver, message).await {
                Ok(receipt) => {
                    self.remember(message, receiver);
                    receipts.push(receipt);
                }
                Err(Failure::ReceiverRefused(reason)) => {
                    refused.push(format!("{} was refused: {reason}", receiver.email))
                }
                Err(Failure::ReceiverBusy(reason)) => busy.push(format!("{}: {reason}", receiver.email)),
                Err(Failure::Transient(reason)) => return Err(transient(reason)),
                Err(Failure::Permanent(reason)) => return Err(ChannelError::Permanent { channel: channel(), reason }),
            }
        }
        if !busy.is_empty() {
            return Err(transient(busy.join("; ")));
        }
        let all_refused = refused.len() == self.letterhead.to.len();
        if all_refused {
            return Err(ChannelError::Permanent { channel: channel(), reason: refused.join("; ") });
        }
        receipts.extend(refused);
        Ok(receipts.join("; "))
    }
}

#[cfg(test)]
mod tests;
