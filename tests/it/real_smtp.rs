//! Mail through a mail server that is not ours: aiosmtpd, where Python has it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use daybook::adapters::channels::{EmailChannel, EmailSettings, Security};
use daybook::ports::{Channel, ChannelError, Message};
use daybook_core::alert::AlertLevel;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::repository;

/// A running server; it ends with its standard input.
struct Server {
    port: u16,
    child: Child,
    said: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Server {
    /// `None` where Python or aiosmtpd is not installed.
    fn start(security: &str) -> Option<Self> {
        let python = std::env::var("AIOSMTPD_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let started = Command::new(&python)
            .arg(repository::root().join("tests/smtp/serve.py"))
            .arg(security)
            .args([folder.path().join("server.pem"), folder.path().join("server.key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = started.ok()?;
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let Ok(port) = line.trim().parse() else {
            child.wait().unwrap();
            eprintln!("skipped: {python} has no aiosmtpd; name one that has it in AIOSMTPD_PYTHON");
            return None;
        };
        Some(Self { port, child, said, folder })
    }

    fn settings(&self, security: Security, password: &str) -> EmailSettings {
        EmailSettings {
            host: "localhost".to_owned(),
            port: Some(self.port),
            security,
            username: Some("me".to_owned()),
            password: Some(password.into()),
            from: "Daybook <daybook@example.com>".to_owned(),
            to: vec!["owner@example.com".to_owned()],
            root_ca: Some(self.folder.path().join("ca.pem")),
            ..EmailSettings::default()
        }
    }

    fn letter(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// An authority, and the certificate of `localhost` that it signed.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

fn note() -> Message {
    Message {
        key: "dbk-1f3a9c2e-7-email".to_owned(),
        name: "2026-11-16-114205-risk-breached-7".to_owned(),
        thread: "2026-11-16".to_owned(),
        attempt: 1,
        level: AlertLevel::Critical,
        event: "risk.breached".to_owned(),
        symbol: None,
        subject: "The day is down: naïve & <b>".to_owned(),
        summary: String::new(),
        text: "One line.\n.\nA dot alone.\n".to_owned(),
        html: Some("<p>One line.</p>".to_owned()),
        pictures: vec![("equity".to_owned(), vec![137, 80, 78, 71])],
        settled: vec![],
        at: "2026-11-16T16:42:05Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn a_mail_server_of_others_takes_the_mail_and_refuses_a_wrong_password() {
    for (name, security) in [("starttls", Security::Starttls), ("implicit_tls", Security::ImplicitTls)] {
        let Some(mut server) = Server::start(name) else { return };
        let wrong = EmailChannel::new(&server.settings(security, "wrong")).unwrap().deliver(&note()).await;
        assert!(matches!(&wrong, Err(ChannelError::Permanent { reason, .. }) if reason.contains("535")), "{wrong:?}");
        let receipt = EmailChannel::new(&server.settings(security, "s3cret")).unwrap().deliver(&note()).await.unwrap();
        assert_eq!(receipt, "250 OK queued", "{name}");
        let letter = server.letter();
        assert_eq!(
            (&letter["login"], &letter["from"], &letter["to"]),
            (&json!(true), &json!("daybook@example.com"), &json!(["owner@example.com"])),
            "{name}"
        );
        let text = letter["text"].as_str().unwrap();
        assert!(text.contains("Message-ID: <dbk-1f3a9c2e-7-email@example.com>"), "{text}");
        assert!(text.contains("A dot alone.") && text.contains("Content-Type: image/png"), "{text}");
    }
}
