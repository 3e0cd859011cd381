//! The market as it goes by: quotes, trades and minute bars of the symbols that a client subscribes to, and news.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daybook_core::market::{Bar, MINUTE, Quote, Symbol};
use daybook_core::money::{Bps, Price};
use daybook_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{Heard, Socket};
use crate::paper_exchange::data;
use crate::paper_exchange::problem::Problem;
use crate::paper_exchange::server::App;

/// How often the market is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The most that goes out in one frame.
const FRAME_MAX: usize = 500;

/// How far back the mean price of the limit-up limit-down bands goes.
const BANDS_OVER: Duration = Duration::from_secs(5 * 60);

/// The bands' distance from it.
const BAND: Bps = Bps(500);

/// What there is to subscribe to.
const CHANNELS: [&str; 8] = ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "news"];

/// A client: who it is, what it wants, and what it was told.
struct Client {
    authorized: bool,
    /// Symbols by channel; `*` is all.
    wanted: BTreeMap<&'static str, BTreeSet<String>>,
    quotes: BTreeMap<Symbol, Quote>,
    /// The symbols of which it was told that they are halted.
    halted: BTreeSet<Symbol>,
    told_until: Timestamp,
}

pub(super) async fn serve(app: App, mut socket: Socket) {
    let (mut cut, mut moved) = (app.cut.subscribe(), app.moved.subscribe());
    let mut interval = tokio::time::interval(LOOK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut client = Client {
        authorized: false,
        wanted: BTreeMap::new(),
        quotes: BTreeMap::new(),
        halted: BTreeSet::new(),
        told_until: app.clock.now().floor_to(MINUTE),
    };
    if !socket.say(&json!([{ "T": "success", "msg": "connected" }])).await {
        return;
    }
    loop {
        let goes_on = tokio::select! {
            () = app.stop.cancelled() => false,
            _ = cut.changed() => false,
            heard = socket.hear() => match heard {
                Heard::Message(message) => {
                    let answer = client.obey(&app, &message);
                    socket.say(&json!([answer])).await
                }
                Heard::Garbage => socket.say(&json!([error(400, "invalid syntax")])).await,
                Heard::Gone => false,
            },
            changed = moved.changed() => changed.is_ok() && client.tell(&app, &mut socket).await,
            _ = interval.tick() => client.tell(&app, &mut socket).await,
        };
        if !goes_on {
            return;
        }
    }
}

fn error(code: u32, message: &str) -> Value {
    json!({ "T": "error", "code": code, "msg": message })
}

impl Client {
    fn obey(&mut self, app: &App, message: &Value) -> Value {
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("action") {
            "auth" if self.authorized => error(403, "already authenticated"),
            "auth" => {
                self.authorized = app.account(text("key"), text("secret")).is_some();
                if self.authorized {
                    json!({ "T": "success", "msg": "authenticated" })
                } else {
                    error(402, "auth failed")
                }
            }
            "subscribe" | "unsubscribe" if !self.authorized => error(401, "not authenticated"),
            action @ ("subscribe" | "unsubscribe") => {
                for channel in CHANNELS {
                    let symbols = message.get(channel).and_then(Value::as_array).into_iter().flatten();
                    let symbols: Vec<String> = symbols.filter_map(Value::as_str).map(str::to_owned).collect();
                    let wanted = self.wanted.entry(channel).or_default();
                    if action == "subscribe" {
                        wanted.extend(symbols);
                    } else {
                        wanted.retain(|symbol| !symbols.contains(symbol));
                    }
                }
                self.subscriptions()
            }
            _ => error(400, "invalid syntax"),
        }
    }

    fn subscriptions(&self) -> Value {
        let mut all = Map::new();
        all.insert("T".to_owned(), "subscription".into());
        for (channel, symbols) in &self.wanted {
            all.insert((*channel).to_owned(), json!(symbols));
        }
        for automatic in ["corrections", "cancelErrors"] {
            all.insert(automatic.to_owned(), json!(self.wanted.get("trades")));
        }
        Value::Object(all)
    }

    /// The symbols of some channels; all of them, where one was subscribed to with `*`.
    fn symbols(&self, channels: &[&str], listed: &[Symbol]) -> BTreeSet<Symbol> {
        let wanted = channels.iter().filter_map(|channel| self.wanted.get(channel)).flatten();
        let mut symbols = BTreeSet::new();
        for symbol in wanted {
            if symbol == "*" {
                symbols.extend(listed);
            } else {
                symbols.extend(symbol.parse::<Symbol>());
            }
        }
        symbols
    }

    /// Tells what is new; `false` if the client is gone.
    async fn tell(&mut self, app: &App, socket: &mut Socket) -> bool {
        if self.wanted.values().all(BTreeSet::is_empty) {
            return true;
        }
        match self.news(app).await {
            Ok(messages) => {
                for frame in messages.chunks(FRAME_MAX) {
                    if !socket.say(&json!(frame)).await {
                        return false;
                    }
                }
                true
            }
            Err(problem) => {
                tracing::error!(problem = %problem.into_body(), "exchange.stream_failed");
                socket.say(&json!([error(500, "internal error")])).await;
                false
            }
        }
    }

    /// What is new since it was told last.
    async fn news(&mut self, app: &App) -> Result<Vec<Value>, Problem> {
        let venue = app.venue().await?;
        let (now, market) = (venue.advanced_to, &venue.market);
        let listed: Vec<Symbol> = market.symbols().collect();
        let mut messages = Vec::new();
        let (quotes, trades) = (self.symbols(&["quotes"], &listed), self.symbols(&["trades"], &listed));
        for symbol in quotes.union(&trades).copied() {
            let Some(quote) = market.quote(symbol, now).await? else { continue };
            let before = self.quotes.insert(symbol, quote);
            // A price that was set is always of now.
            let same = |before: Quote| Quote { at: quote.at, ..before } == quote;
            if before.is_some_and(same) {
                continue;
            }
            if quotes.contains(&symbol) {
                messages.push(tagged("q", symbol, data::quote(&quote)));
            }
            if trades.contains(&symbol) {
                messages.push(tagged("t", symbol, data::trade(&quote)));
            }
        }
        for symbol in self.symbols(&["statuses"], &listed) {
            let halted = venue.halted.contains(&symbol);
            let changed = if halted { self.halted.insert(symbol) } else { self.halted.remove(&symbol) };
            if changed {
                messages.push(tagged("s", symbol, status(halted, now)));
            }
        }
        let minute = now.floor_to(MINUTE);
        if minute > self.told_until {
            let (bars, daily) = (self.symbols(&["bars"], &listed), self.symbols(&["dailyBars"], &listed));
            let news = self.symbols(&["news"], &listed);
            for symbol in self.symbols(&["lulds"], &listed) {
                let bars = market.minute_bars(symbol, minute.before(BANDS_OVER), minute).await?;
                messages.extend(bands(&bars, minute).map(|bands| tagged("l", symbol, bands)));
            }
            for symbol in bars.union(&daily).copied() {
                for bar in market.minute_bars(symbol, self.told_until, minute).await? {
                    if bars.contains(&symbol) {
                        messages.push(tagged("b", symbol, data::bar(&bar, bar.start)));
                    }
                }
                if daily.contains(&symbol)
                    && let Some((bar, at)) = data::running_day(&venue, symbol).await?
                {
                    messages.push(tagged("d", symbol, data::bar(&bar, at)));
                }
            }
            for symbol in news {
                for item in market.news(symbol, self.told_until, minute).await? {
                    let mut item = data::news_item(symbol, &item);
                    item["T"] = "n".into();
                    messages.push(item);
                }
            }
            self.told_until = minute;
        }
        Ok(messages)
    }
}

/// A trading status of tape C: halted for news that are pending, or going on.
fn status(halted: bool, now: Timestamp) -> Value {
    let (code, message, reason) = if halted { ("H", "Trading Halt", "T1") } else { ("T", "Trading Resumption", "") };
    json!({ "sc": code, "sm": message, "rc": reason, "rm": "", "t": now.to_string(), "z": "C" })
}

/// The prices between which a share trades: five parts in a hundred around its mean price of five minutes, as the
/// limit-up limit-down plan has it for large companies. `None` where nothing has traded.
fn bands(bars: &[Bar], at: Timestamp) -> Option<Value> {
    let count = i64::try_from(bars.len()).ok().filter(|count| *count > 0)?;
    let mean = Price(bars.iter().map(|bar| bar.close.0).fold(0, i64::saturating_add) / count);
    let up = mean.moved_by(BAND).ok()?.round_to_tick_down();
    let down = mean.moved_by(Bps(-BAND.0)).ok()?.round_to_tick_up();
    Some(json!({ "u": up.to_f64(), "d": down.to_f64(), "i": "B", "t": at.to_string(), "z": "C" }))
}

fn tagged(kind: &str, symbol: Symbol, mut fields: Value) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("T".to_owned(), kind.into());
        fields.insert("S".to_owned(), symbol.as_str().into());
    }
    fields
}
