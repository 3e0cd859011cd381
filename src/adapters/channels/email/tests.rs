use daybook_core::alert::AlertLevel;
use daybook_core::time::Span;

use super::*;
use crate::adapters::channels::fake_smtp::{AfterData, FakeSmtp, Script};

fn settings(server: &FakeSmtp, security: Security) -> EmailSettings {
    EmailSettings {
        host: "localhost".to_owned(),
        port: Some(server.port),
        security,
        from: "Daybook <daybook@example.com>".to_owned(),
        to: vec!["owner@example.com".to_owned()],
        root_ca: Some(server.root_ca.clone()),
        ..EmailSettings::default()
    }
}

fn note() -> Message {
    Message {
        key: "dbk-1f3a9c2e-7-email".to_owned(),
        name: "2026-11-16-114205-risk-breached-7".to_owned(),
        thread: "2026-11-16".to_owned(),
        attempt: 1,
        level: AlertLevel::Warning,
        event: "risk.breached".to_owned(),
        symbol: None,
        summary: String::new(),
        subject: "Stop filled: AAPL".to_owned(),
        text: "One line.\n.\n..and dots.\n".to_owned(),
        html: None,
        pictures: vec![],
        settled: vec![],
        at: "2026-11-16T16:42:05Z".parse().unwrap(),
    }
}

async fn send(settings: &EmailSettings) -> Result<String, ChannelError> {
    EmailChannel::new(settings).unwrap().deliver(&note()).await
}

fn reason(error: &ChannelError) -> &str {
    match error {
        ChannelError::Transient { reason, .. } | ChannelError::Permanent { reason, .. } => reason,
    }
}

fn assert_transient(outcome: Result<String, ChannelError>, expected: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, ChannelError::Transient { .. }) && reason(&error).contains(expected), "{error:?}");
}

fn assert_permanent(outcome: Result<String, ChannelError>, expected: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, ChannelError::Permanent { .. }) && reason(&error).contains(expected), "{error:?}");
}

#[tokio::test]
async fn a_letter_arrives_as_it_was_written() {
    let server = FakeSmtp::start(Script::default()).await;
    let receipt = send(&settings(&server, Security::None)).await.unwrap();
    assert_eq!(receipt, "250 2.0.0 queued as 7F3A");
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].contains("Message-ID: <dbk-1f3a9c2e-7-email@example.com>"), "{}", letters[0]);
    assert!(letters[0].contains("\n\nOne line.\n.\n..and dots.\n"), "{}", letters[0]);
}

#[tokio::test]
async fn starttls_comes_before_everything_else_and_the_password_after_it() {
    for security in [Security::Starttls, Security::ImplicitTls] {
        let script = Script { security, account: Some(("me", "s3cret")), ..Script::default() };
        let server = FakeSmtp::start(script).await;
        let settings = EmailSettings {
            username: Some("me".to_owned()),
            password: Some("s3cret".into()),
            ..settings(&server, security)
        };
        send(&settings).await.unwrap();
        assert_eq!(server.letters().len(), 1);
        let clear = server.said_in_the_clear();
        assert!(clear.iter().all(|line| line.starts_with("EHLO") || line == "STARTTLS"), "{clear:?}");
        assert!(server.commands().iter().any(|line| line.starts_with("AUTH PLAIN")));
    }
}

#[tokio::test]
async fn a_server_that_does_not_offer_starttls_hears_nothing() {
    let script = Script {
        security: Security::Starttls,
        offers_starttls: false,
        account: Some(("me", "s3cret")),
        ..Script::default()
    };
    let server = FakeSmtp::start(script).await;
    let settings = EmailSettings {
        username: Some("me".to_owned()),
        password: Some("s3cret".into()),
        ..settings(&server, Security::Starttls)
    };
    assert_permanent(send(&settings).await, "STARTTLS is not supported");
    assert!(server.commands().iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{:?}", server.commands());
    assert!(server.letters().is_empty());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_that_has_expired_needs_a_person() {
    let server = FakeSmtp::start(Script { security: Security::ImplicitTls, ..Script::default() }).await;
    let other = FakeSmtp::start(Script::default()).await;
    let stranger = EmailSettings { root_ca: Some(other.root_ca.clone()), ..settings(&server, Security::ImplicitTls) };
    assert_permanent(send(&stranger).await, "the server's certificate is not valid");
    assert!(server.commands().is_empty());
    let late = FakeSmtp::start(Script { security: Security::ImplicitTls, is_expired: true, ..Script::default() }).await;
    assert_permanent(send(&settings(&late, Security::ImplicitTls)).await, "expired");
}

#[tokio::test]
async fn a_wrong_password_needs_a_person() {
    let server = FakeSmtp::start(Script { account: Some(("me", "s3cret")), ..Script::default() }).await;
    let settings = EmailSettings {
        username: Some("me".to_owned()),
        password: Some("wrong".into()),
        ..settings(&server, Security::None)
    };
    assert_permanent(send(&settings).await, "bad credentials");
}

#[tokio::test]
async fn what_a_server_repeats_of_the_password_is_told_to_nobody() {
    for said in
        ["502 5.5.1 Unrecognized command: {}", "535 5.7.8 wrong password for hunter2-of-mine", "421 what is {}?"]
    {
        let script = Script { account: Some(("me", "hunter2-of-mine")), on_auth: Some(said), ..Script::default() };
        let server = FakeSmtp::start(script).await;
        let settings = EmailSettings {
            username: Some("me".to_owned()),
            password: Some("hunter2-of-mine".into()),
            ..settings(&server, Security::None)
        };
        let told = send(&settings).await.unwrap_err().to_string();
        let plain = server.commands().into_iter().find_map(|line| Some(line.strip_prefix("AUTH PLAIN ")?.to_owned()));
        assert!(told.contains("***") && !told.contains("hunter2"), "{told}");
        assert!(!told.contains(plain.unwrap().trim_end_matches('=')), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_waits_for_tls_is_named_as_one() {
    let server = FakeSmtp::start(Script { security: Security::ImplicitTls, ..Script::default() }).await;
    let settings = EmailSettings { timeout: Span::millis(200), ..settings(&server, Security::Starttls) };
    assert_transient(send(&settings).await, "is port ");
}

#[tokio::test]
async fn a_receiver_who_is_refused_does_not_keep_the_mail_from_the_others() {
    let script = Script { receivers: vec![("gone@example.com", "550 5.1.1 no such user")], ..Script::default() };
    let server = FakeSmtp::start(script).await;
    let two = EmailSettings {
        to: vec!["gone@example.com".to_owned(), "owner@example.com".to_owned()],
        ..settings(&server, Security::None)
    };
    let receipt = send(&two).await.unwrap();
    assert!(receipt.contains("queued as 7F3A") && receipt.contains("gone@example.com was refused"), "{receipt}");
    assert_eq!(server.letters().len(), 1);
    let gone = EmailSettings { to: vec!["gone@example.com".to_owned()], ..two };
    assert_permanent(send(&gone).await, "no such user");
}

#[tokio::test]
async fn a_receiver_who_has_it_does_not_get_it_again_when_another_was_busy() {
    let script = Script { receivers: vec![("busy@example.com", "451 4.7.1 greylisted")], ..Script::default() };
    let server = FakeSmtp::start(script).await;
    let settings = EmailSettings {
        to: vec!["busy@example.com".to_owned(), "owner@example.com".to_owned()],
        ..settings(&server, Security::None)
    };
    let channel = EmailChannel::new(&settings).unwrap();
    assert_transient(channel.deliver(&note()).await, "greylisted");
    assert_transient(channel.deliver(&Message { attempt: 2, ..note() }).await, "greylisted");
    assert_eq!(server.letters().len(), 1, "the owner has one letter");
}

#[tokio::test]
async fn a_lost_last_word_is_tried_again_under_the_same_id() {
    let server = FakeSmtp::start(Script { after_data: AfterData::HangUp, ..Script::default() }).await;
    let channel = EmailChannel::new(&settings(&server, Security::None)).unwrap();
    assert_transient(channel.deliver(&note()).await, "");
    assert_transient(channel.deliver(&Message { attempt: 2, ..note() }).await, "");
    let letters = server.letters();
    let id = "Message-ID: <dbk-1f3a9c2e-7-email@example.com>";
    assert!(letters.iter().all(|letter| letter.contains(id)));
    assert!(letters[1].contains("X-Daybook-Attempt: 2"));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_after_the_timeout() {
    let server = FakeSmtp::start(Script { after_data: AfterData::Silence, ..Script::default() }).await;
    let settings = EmailSettings { timeout: Span::millis(300), ..settings(&server, Security::None) };
    assert_transient(send(&settings).await, "may have taken the mail");
}

#[tokio::test]
async fn nobody_at_home_is_tried_again_later() {
    let server = FakeSmtp::start(Script::default()).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let settings = EmailSettings { port: Some(port), ..settings(&server, Security::None) };
    assert_transient(send(&settings).await, "onnection");
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_key() {
    let open = EmailSettings {
        host: "smtp.example.com".to_owned(),
        security: Security::None,
        from: "daybook@example.com".to_owned(),
        to: vec!["owner@example.com".to_owned()],
        ..EmailSettings::default()
    };
    assert!(EmailChannel::new(&open).unwrap_err().to_string().starts_with("security is none"));
    let missing = EmailSettings { security: Security::Starttls, root_ca: Some("/no/such/ca.pem".into()), ..open };
    assert_eq!(EmailChannel::new(&missing).unwrap_err().to_string(), "root_ca: /no/such/ca.pem cannot be read");
}

#[test]
fn a_channel_does_not_show_its_password() {
    let settings = EmailSettings {
        host: "localhost".to_owned(),
        security: Security::None,
        username: Some("me".to_owned()),
        password: Some("s3cret".into()),
        from: "daybook@example.com".to_owned(),
        to: vec!["owner@example.com".to_owned()],
        ..EmailSettings::default()
    };
    let shown = format!("{:?} {:?}", settings, EmailChannel::new(&settings).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(!serde_json::to_string(&settings).unwrap().contains("s3cret"));
}
