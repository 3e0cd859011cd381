//! The websockets: `/stream` tells of an account's orders, `/v2/{feed}` of the market, `/v1beta1/news` of news.
//!
//! Both speak JSON, or MessagePack to a client that says so in its `Content-Type` when it connects.

mod market_data;
mod trade_updates;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::msgpack;
use super::problem::Problem;
use super::server::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/stream", get(trade_updates))
        .route("/v2/sip", get(market_data))
        .route("/v2/iex", get(market_data))
        .route("/v2/delayed_sip", get(market_data))
        .route("/v2/test", get(market_data))
        .route("/v1beta1/{kind}", get(news))
}

async fn trade_updates(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    upgrade(request, move |socket| trade_updates::serve(app, socket))
}

async fn market_data(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    upgrade(request, move |socket| market_data::serve(app, socket))
}

async fn news(state: State<App>, Path(kind): Path<String>, request: Request) -> Result<Response, Problem> {
    let websocket = request.headers().contains_key(header::SEC_WEBSOCKET_KEY);
    match kind.as_str() {
        "news" if websocket => market_data(state, request).await,
        "news" => super::data::news(state, request).await.map(IntoResponse::into_response),
        _ => Err(Problem::not_found("endpoint not found")),
    }
}

/// How messages are written on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    MessagePack,
}

/// The server's end of a websocket.
struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    form: Form,
}

/// What a client sent.
enum Heard {
    Message(Value),
    /// Something that is no message of the form that was agreed.
    Garbage,
    Gone,
}

impl Socket {
    /// The next thing that the client sends; pings are answered on the way.
    async fn hear(&mut self) -> Heard {
        loop {
            let value = match self.stream.next().await {
                Some(Ok(Message::Text(text))) => serde_json::from_str(&text).ok(),
                Some(Ok(Message::Binary(bytes))) => match self.form {
                    Form::Json => serde_json::from_slice(&bytes).ok(),
                    Form::MessagePack => msgpack::decode(&bytes),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Heard::Gone,
            };
            return value.map_or(Heard::Garbage, Heard::Message);
        }
    }

    /// Sends a message, JSON as text; `false` if the client is gone.
    async fn say(&mut self, value: &Value) -> bool {
        let message = match self.form {
            Form::Json => Message::text(value.to_string()),
            Form::MessagePack => Message::binary(msgpack::encode(value)),
        };
        self.stream.send(message).await.is_ok()
    }

    /// Puts a message, JSON in a binary frame, behind those that are to be sent; `false` if the client is gone.
    async fn feed(&mut self, message: &impl Serialize) -> bool {
        let bytes = match self.form {
            Form::Json => serde_json::to_vec(message),
            Form::MessagePack => serde_json::to_value(message).map(|value| msgpack::encode(&value)),
        };
        match bytes {
            Ok(bytes) => self.stream.feed(Message::binary(bytes)).await.is_ok(),
            // Every message has text as its keys, so this does not happen; a listener that missed one has to connect again.
            Err(_) => false,
        }
    }

    /// Sends what was put behind; `false` if the client is gone.
    async fn flush(&mut self) -> bool {
        self.stream.flush().await.is_ok()
    }
}

/// Answers the handshake (RFC 6455, 4.2.2) and lets `talk` have the socket.
fn upgrade<T>(mut request: Request, talk: impl FnOnce(Socket) -> T + Send + 'static) -> Result<Response, Problem>
where
    T: Future<Output = ()> + Send,
{
    let headers = request.headers();
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| Problem::malformed("this is a websocket"))?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|error| Problem::internal(error.to_string()))?;
    let packed = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/msgpack");
    let form = if packed { Form::MessagePack } else { Form::Json };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // A client that goes away in between was never there.
        if let Ok(upgraded) = upgraded.await {
            let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            talk(Socket { stream, form }).await;
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}
