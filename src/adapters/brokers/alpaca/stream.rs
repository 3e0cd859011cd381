//! Alpaca's stream of order updates, taken for what it is good for: a hint that something has happened.
//!
//! The stream has no memory and repeats nothing after a break. So no fact is taken from it: who hears the hint reads
//! the account's own record, by the same way as ever. Each connection begins with a hint, for what
//! happened while there was none.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::adapters::alpaca::AlpacaSettings;
use crate::ports::BrokerError;

use super::{NAME, rejected};

/// How often the other end is asked whether it is there, as Alpaca's own clients do.
const PING: Duration = Duration::from_secs(10);

/// Pings without any answer after which the connection counts as dead.
const SILENT_PINGS_MAX: u32 = 3;

/// How long the connection and each step of signing in may take.
const STEP: Duration = Duration::from_secs(10);

/// The stream that is listened to.
const UPDATES: &str = "trade_updates";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A frame; what it is about stands in `stream`, but for faults.
#[derive(Debug, Deserialize)]
struct Frame {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    data: Value,
}

/// Listens until the connection ends, which is an error in every case.
pub(super) async fn listen(settings: &AlpacaSettings, happened: &Notify) -> Result<(), BrokerError> {
    // An error means that the process has a provider already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut socket = sign_in(settings).await?;
    tracing::info!(host = settings.trading_host_told(), "stream.opened");
    happened.notify_one();
    let mut pings = pings();
    let mut unanswered = 0;
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = pings.tick() => {
                if unanswered == SILENT_PINGS_MAX {
                    return Err(down("it has fallen silent"));
                }
                unanswered += 1;
                socket.send(Message::Ping(Vec::new().into())).await.map_err(|error| broken(&error))?;
                continue;
            }
        };
        unanswered = 0;
        let Some(frame) = frame(message)? else { continue };
        if frame.stream == UPDATES {
            let event = frame.data.get("event").and_then(Value::as_str).unwrap_or("unnamed");
            tracing::debug!(event, "stream.event");
            happened.notify_one();
        } else if frame.stream.is_empty() {
            return Err(down(&format!("it reports a fault: {}", frame.data)));
        }
    }
}

fn pings() -> Interval {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pings
}

/// Connects, gives the key, and asks for the updates.
async fn sign_in(settings: &AlpacaSettings) -> Result<Socket, BrokerError> {
    let host = settings.trading_host().trim_end_matches('/');
    // `http` becomes `ws`, and `https` becomes `wss`.
    let address = format!("{}/stream", host.replacen("http", "ws", 1));
    let connected = timeout(STEP, connect_async(&address)).await.map_err(|_| down("no connection in time"))?;
    let (mut socket, _) = connected.map_err(|error| broken(&error))?;
    let secret = |half: &Option<secrecy::SecretString>| {
        half.as_ref().map(|half| half.expose_secret().to_owned()).unwrap_or_default()
    };
    let key = json!({"action": "auth", "key": secret(&settings.key_id), "secret": secret(&settings.secret_key)});
    let signed_in = ask(&mut socket, &key, "authorization").await?;
    if signed_in.get("status").and_then(Value::as_str) != Some("authorized") {
        return Err(rejected("the stream of order updates refuses the key".to_owned()));
    }
    let wish = json!({"action": "listen", "data": {"streams": [UPDATES]}});
    let granted = ask(&mut socket, &wish, "listening").await?;
    let streams = granted.get("streams").and_then(Value::as_array);
    if !streams.is_some_and(|streams| streams.iter().any(|stream| stream == UPDATES)) {
        return Err(rejected("the key has no right to the stream of order updates".to_owned()));
    }
    Ok(socket)
}

/// Sends a wish and waits for the frame of that name.
async fn ask(socket: &mut Socket, wish: &Value, answer: &str) -> Result<Value, BrokerError> {
    let exchange = async {
        socket.send(Message::text(wish.to_string())).await.map_err(|error| broken(&error))?;
        loop {
            let Some(frame) = frame(socket.next().await)? else { continue };
            if frame.stream == answer {
                return Ok(frame.data);
            }
        }
    };
    timeout(STEP, exchange).await.map_err(|_| down("no answer to signing in"))?
}

/// The frame in a message; `None` in one that keeps the connection alive. On paper the JSON comes in binary
/// messages, live in text.
fn frame(message: Option<Result<Message, Error>>) -> Result<Option<Frame>, BrokerError> {
    let message = message.ok_or_else(|| down("it was closed"))?.map_err(|error| broken(&error))?;
    let bytes = match &message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
        Message::Close(_) => return Err(down("it was closed")),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(None),
    };
    serde_json::from_slice(bytes).map(Some).map_err(|error| down(&format!("a frame cannot be read: {error}")))
}

fn broken(error: &Error) -> BrokerError {
    down(&error.to_string())
}

fn down(why: &str) -> BrokerError {
    BrokerError::Retryable { broker: NAME.to_owned(), reason: format!("the stream of order updates: {why}") }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    /// A server that answers signing in as told, and then says these things; what it heard, and the end of the client.
    async fn served(authorized: &str, granted: Value, said: Vec<Message>) -> (Vec<Value>, BrokerError, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = Some(SecretString::from("PK1"));
        let settings = AlpacaSettings {
            trading_url: format!("http://{}/", listener.local_addr().unwrap()).into(),
            key_id: key.clone(),
            secret_key: key,
            ..AlpacaSettings::default()
        };
        let answers = [
            json!({"stream": "authorization", "data": {"status": authorized, "action": "authenticate"}}),
            json!({"stream": "listening", "data": {"streams": granted}}),
        ];
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            let mut heard = Vec::new();
            for answer in answers {
                let Some(Ok(message)) = socket.next().await else { return heard };
                heard.push(serde_json::from_slice(&message.into_data()).unwrap());
                socket.send(Message::binary(answer.to_string())).await.unwrap();
            }
            for message in said {
                socket.send(message).await.unwrap();
            }
            socket.close(None).await.unwrap();
            heard
        });
        let happened = Notify::new();
        let error = listen(&settings, &happened).await.unwrap_err();
        let hinted = timeout(Duration::ZERO, happened.notified()).await.is_ok();
        (server.await.unwrap(), error, hinted)
    }

    fn update() -> Message {
        Message::binary(json!({"stream": "trade_updates", "data": {"event": "fill", "order": {"id": "x"}}}).to_string())
    }

    #[tokio::test]
    async fn an_update_is_a_hint_in_text_and_in_binary_and_so_is_a_connection() {
        let text = Message::text(json!({"stream": "trade_updates", "data": {"event": "a_new_event"}}).to_string());
        let (heard, error, hinted) = served("authorized", json!([UPDATES]), vec![update(), text]).await;
        assert!(
            hinted && matches!(&error, BrokerError::Retryable { reason, .. } if reason.contains("closed")),
            "{error}"
        );
        assert_eq!(heard[0], json!({"action": "auth", "key": "PK1", "secret": "PK1"}));
        assert_eq!(heard[1], json!({"action": "listen", "data": {"streams": ["trade_updates"]}}));
    }

    #[tokio::test]
    async fn a_refusal_is_told_apart_from_a_connection_that_breaks() {
        let (_, error, hinted) = served("unauthorized", json!([UPDATES]), vec![]).await;
        assert!(!hinted && matches!(error, BrokerError::Rejected { .. }), "{error}");
        assert!(!error.to_string().contains("PK1"));
        let (_, error, _) = served("authorized", json!([]), vec![]).await;
        assert!(matches!(&error, BrokerError::Rejected { reason, .. } if reason.contains("no right")), "{error}");
        let fault = json!({"action": "error", "data": {"error_message": "internal server error"}}).to_string();
        for (said, told) in
            [(Message::text(fault), "internal server error"), (Message::binary("{\"stre"), "cannot be read")]
        {
            let (_, error, _) = served("authorized", json!([UPDATES]), vec![said]).await;
            assert!(matches!(&error, BrokerError::Retryable { reason, .. } if reason.contains(told)), "{error}");
        }
    }

    #[tokio::test]
    async fn nobody_at_home_may_be_tried_again() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let settings = AlpacaSettings { trading_url: format!("http://{closed}").into(), ..AlpacaSettings::default() };
        let error = listen(&settings, &Notify::new()).await.unwrap_err();
        assert!(matches!(error, BrokerError::Retryable { .. }), "{error}");
    }
}
