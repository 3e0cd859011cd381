//! What happens to an account's orders, as it is on the disk.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{Heard, Socket};
use crate::paper_exchange::faults::EventFault;
use crate::paper_exchange::server::App;
use crate::paper_exchange::venue::{Update, UpdateDocument};

/// The one stream there is.
const STREAM: &str = "trade_updates";

/// A message of the stream.
#[derive(Serialize)]
struct Told {
    stream: &'static str,
    data: UpdateDocument,
}

/// A listener.
struct Listener {
    account: Option<usize>,
    listens: bool,
    /// An event that is told after the next one.
    late: Option<Arc<Update>>,
}

pub(super) async fn serve(app: App, mut socket: Socket) {
    let mut cut = app.cut.subscribe();
    let mut updates = app.venue().await.map(|venue| venue.subscribe());
    let Ok(updates) = &mut updates else { return };
    let mut listener = Listener { account: None, listens: false, late: None };
    loop {
        let goes_on = tokio::select! {
            () = app.stop.cancelled() => false,
            _ = cut.changed() => false,
            heard = socket.hear() => match heard {
                Heard::Message(message) => listener.obey(&app, &mut socket, &message).await,
                Heard::Garbage => refuse(&mut socket, "invalid syntax").await,
                Heard::Gone => false,
            },
            update = updates.recv() => match update {
                Ok(update) => {
                    let mut told = listener.tell(&app, &mut socket, update).await;
                    // What came in the meantime goes out with it.
                    while let Ok(update) = updates.try_recv() {
                        told = told && listener.tell(&app, &mut socket, update).await;
                    }
                    told && socket.flush().await
                }
                // It missed events: it has to connect again and read what happened.
                Err(RecvError::Lagged(_) | RecvError::Closed) => false,
            },
        };
        if !goes_on {
            return;
        }
    }
}

async fn refuse(socket: &mut Socket, message: &str) -> bool {
    socket.feed(&json!({ "action": "error", "data": { "error_message": message } })).await;
    socket.flush().await;
    false
}

impl Listener {
    async fn obey(&mut self, app: &App, socket: &mut Socket, message: &Value) -> bool {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let data = message.get("data").unwrap_or(&Value::Null);
        let answer = match text(message, "action").as_str() {
            "auth" => self.authorize(app, &text(message, "key"), &text(message, "secret"), "authenticate"),
            "authenticate" => self.authorize(app, &text(data, "key_id"), &text(data, "secret_key"), "authenticate"),
            "listen" if self.account.is_none() => unauthorized("listen"),
            "listen" => {
                let streams = data.get("streams").and_then(Value::as_array);
                self.listens = streams.is_some_and(|streams| streams.iter().any(|stream| stream == STREAM));
                let streams: &[&str] = if self.listens { &[STREAM] } else { &[] };
                json!({ "stream": "listening", "data": { "streams": streams } })
            }
            _ => return refuse(socket, "unknown action").await,
        };
        socket.feed(&answer).await && socket.flush().await
    }

    fn authorize(&mut self, app: &App, key: &str, secret: &str, action: &str) -> Value {
        self.account = app.account(key, secret);
        match self.account {
            Some(_) => json!({ "stream": "authorization", "data": { "status": "authorized", "action": action } }),
            None => unauthorized(action),
        }
    }

    async fn tell(&mut self, app: &App, socket: &mut Socket, update: Arc<Update>) -> bool {
        if !self.listens || self.account != Some(update.account) {
            return true;
        }
        let fault = app.faults.of_event();
        if fault == Some(EventFault::AfterTheNext) && self.late.is_none() {
            self.late = Some(update);
            return true;
        }
        let times = if fault == Some(EventFault::Twice) { 2 } else { 1 };
        let late = self.late.take();
        for update in std::iter::repeat_n(&update, times).chain(late.as_ref()) {
            if !socket.feed(&Told { stream: STREAM, data: update.document() }).await {
                return false;
            }
        }
        true
    }
}

fn unauthorized(action: &str) -> Value {
    json!({ "stream": "authorization", "data": { "status": "unauthorized", "action": action } })
}
