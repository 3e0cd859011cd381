//! What clients send, read: numbers may come as strings or as numbers, booleans in any case.

use std::collections::BTreeMap;
use std::str::FromStr;

use daybook_core::exchange::{Amendment, Terms, Timing};
use daybook_core::market::Symbol;
use daybook_core::money::{Bps, Money, Price, Quantity};
use daybook_core::order::{ClientOrderId, OrderClass, OrderType, Side, TimeInForce, Trail};
use daybook_core::time::{SessionDate, Timestamp};
use serde_json::Value;

use super::problem::Problem;

/// How much is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Shares(Quantity),
    Worth(Money),
}

/// An order as it was sent, in the engine's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderRequest {
    pub client_order_id: Option<ClientOrderId>,
    pub symbol: Symbol,
    pub side: Side,
    pub amount: Amount,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub class: OrderClass,
    pub terms: Terms,
    /// `simple`, `bracket`, `oco` or `oto`.
    pub class_word: &'static str,
    pub position_intent: Option<String>,
}

impl OrderRequest {
    pub(super) fn read(body: &Value) -> Result<Self, Problem> {
        let symbol = word(body, "symbol").ok_or_else(|| Problem::invalid("symbol is required"))?;
        let symbol = symbol.parse().map_err(|_| Problem::invalid(format!("asset \"{symbol}\" not found")))?;
        let side = match required(body, "side")?.as_str() {
            "buy" => Side::Buy,
            "sell" => Side::Sell,
            other => return Err(Problem::invalid(format!("invalid side \"{other}\""))),
        };
        let amount = match (decimal::<Quantity>(body, "qty")?, decimal::<Money>(body, "notional")?) {
            (Some(quantity), None) if quantity.is_positive() => Amount::Shares(quantity),
            (None, Some(worth)) if worth.is_positive() => Amount::Worth(worth),
            (Some(_), Some(_)) => return Err(Problem::invalid("only one of qty or notional is accepted")),
            (None, None) => return Err(Problem::invalid("qty or notional is required")),
            (Some(_), None) => return Err(Problem::invalid("qty must be > 0")),
            (None, Some(_)) => return Err(Problem::invalid("notional must be > 0")),
        };
        let type_word = required(body, "type")?;
        let (time_in_force, timing) = time_in_force(&required(body, "time_in_force")?)?;
        let extended_hours = flag(body.get("extended_hours"));
        let take_profit = leg(body, "take_profit")?;
        let stop_loss = leg(body, "stop_loss")?;
        let class_word = match word(body, "order_class").unwrap_or_default().as_str() {
            "" | "simple" => "simple",
            "bracket" => "bracket",
            "oco" => "oco",
            "oto" => "oto",
            "mleg" => return Err(Problem::invalid("options are not traded here: order_class mleg is not supported")),
            other => return Err(Problem::invalid(format!("invalid order_class \"{other}\""))),
        };
        let target = match &take_profit {
            Some(leg) => decimal::<Price>(leg, "limit_price")?,
            None => None,
        };
        let (stop, stop_limit) = match &stop_loss {
            Some(leg) => (decimal::<Price>(leg, "stop_price")?, decimal::<Price>(leg, "limit_price")?),
            None => (None, None),
        };
        let missing = |what: &str| Problem::invalid(format!("{class_word} orders require {what}"));
        let order_type = match class_word {
            // The client library leaves the price to the leg.
            "oco" => {
                if type_word != "limit" {
                    return Err(Problem::invalid("oco orders must be limit orders"));
                }
                let own = decimal::<Price>(body, "limit_price")?;
                OrderType::Limit { limit: target.or(own).ok_or_else(|| missing("take_profit.limit_price"))? }
            }
            _ => order_type(&type_word, body)?,
        };
        let mut terms = Terms { timing, extended_hours, stop_loss_limit: None, then: None };
        let class = match class_word {
            "bracket" => {
                terms.stop_loss_limit = stop_limit;
                OrderClass::Bracket {
                    take_profit: target.ok_or_else(|| missing("take_profit.limit_price"))?,
                    stop_loss: stop.ok_or_else(|| missing("stop_loss.stop_price"))?,
                }
            }
            "oco" => {
                terms.stop_loss_limit = stop_limit;
                OrderClass::Oco { stop_loss: stop.ok_or_else(|| missing("stop_loss.stop_price"))? }
            }
            "oto" => {
                terms.then = Some(match (target, stop, stop_limit) {
                    (Some(limit), None, _) => OrderType::Limit { limit },
                    (None, Some(stop), None) => OrderType::Stop { stop },
                    (None, Some(stop), Some(limit)) => OrderType::StopLimit { stop, limit },
                    (Some(_), Some(_), _) => {
                        return Err(Problem::invalid("oto orders take one of take_profit and stop_loss"));
                    }
                    (None, None, _) => return Err(missing("take_profit.limit_price or stop_loss.stop_price")),
                });
                OrderClass::Simple
            }
            _ if take_profit.is_some() || stop_loss.is_some() => {
                return Err(Problem::invalid("take_profit and stop_loss require order_class bracket, oco or oto"));
            }
            _ => OrderClass::Simple,
        };
        let client_order_id = match word(body, "client_order_id").filter(|id| !id.is_empty()) {
            None => None,
            Some(id) => Some(client_order_id(&id)?),
        };
        let request = Self {
            client_order_id,
            symbol,
            side,
            amount,
            order_type,
            time_in_force,
            class,
            terms,
            class_word,
            position_intent: word(body, "position_intent"),
        };
        request.check()?;
        Ok(request)
    }

    /// The rules that need nothing but the request.
    fn check(&self) -> Result<(), Problem> {
        let fractional = match self.amount {
            Amount::Worth(_) => true,
            Amount::Shares(quantity) => quantity.floor_to_lot(Quantity::whole(1)) != quantity,
        };
        let market = self.order_type == OrderType::Market;
        let trailing = matches!(self.order_type, OrderType::TrailingStop { .. });
        let limit = matches!(self.order_type, OrderType::Limit { .. });
        let resting = self.terms.timing == Timing::Resting;
        let day = resting && self.time_in_force == TimeInForce::Day;
        if fractional && self.class_word != "simple" {
            return Err(Problem::invalid("fractional orders must be simple orders"));
        }
        if fractional && !day {
            return Err(Problem::invalid("fractional orders must be DAY orders"));
        }
        if fractional && trailing {
            return Err(Problem::invalid("fractional orders must be market, limit, stop or stop_limit orders"));
        }
        if let Amount::Worth(worth) = self.amount {
            if !market {
                return Err(Problem::invalid("notional orders must be market orders"));
            }
            if worth < Money::whole(1) {
                return Err(Problem::invalid("notional must be >= 1.00").with("min_notional", "1"));
            }
        }
        if self.class_word != "simple" && !resting {
            return Err(Problem::invalid(format!("{} orders must be DAY or GTC orders", self.class_word)));
        }
        if trailing && self.class_word != "simple" {
            return Err(Problem::invalid("trailing stop orders must be simple orders"));
        }
        if trailing && !resting {
            return Err(Problem::invalid("trailing stop orders must be DAY or GTC orders"));
        }
        if self.terms.extended_hours {
            if !limit || !resting {
                return Err(Problem::invalid("extended hours order must be DAY or GTC limit orders"));
            }
            if self.class_word != "simple" {
                return Err(Problem::invalid("extended hours orders must be simple orders"));
            }
        }
        if matches!(self.terms.timing, Timing::AtOpen | Timing::AtClose) && !market && !limit {
            return Err(Problem::invalid("opg and cls orders must be market or limit orders"));
        }
        Ok(())
    }
}

/// What a `PATCH` asks for.
pub(super) fn amendment(body: &Value, present: OrderType) -> Result<Amendment, Problem> {
    let quantity = decimal::<Quantity>(body, "qty")?;
    if quantity.is_some_and(|quantity| quantity.floor_to_lot(Quantity::whole(1)) != quantity) {
        return Err(Problem::invalid("qty must be whole shares"));
    }
    let trail = match present {
        OrderType::TrailingStop { trail: Trail::Amount(_) } => decimal::<Price>(body, "trail")?.map(Trail::Amount),
        OrderType::TrailingStop { trail: Trail::Ratio(_) } => percent(body, "trail")?.map(Trail::Ratio),
        _ => None,
    };
    let time_in_force = match word(body, "time_in_force").filter(|word| !word.is_empty()) {
        None => None,
        Some(word) => match time_in_force(&word)? {
            (time_in_force, Timing::Resting) => Some(time_in_force),
            _ => return Err(Problem::invalid("time_in_force can be replaced by day or gtc")),
        },
    };
    let id = word(body, "client_order_id").filter(|id| !id.is_empty());
    Ok(Amendment {
        quantity,
        limit: decimal(body, "limit_price")?,
        stop: decimal(body, "stop_price")?,
        trail,
        time_in_force,
        client_order_id: id.map(|id| client_order_id(&id)).transpose()?,
    })
}

fn order_type(word: &str, body: &Value) -> Result<OrderType, Problem> {
    let price = |name: &str| {
        decimal::<Price>(body, name)?.ok_or_else(|| Problem::invalid(format!("{word} orders require {name}")))
    };
    let none = |name: &str| match decimal::<Price>(body, name)? {
        Some(_) => Err(Problem::invalid(format!("{word} orders must not have {name}"))),
        None => Ok(()),
    };
    Ok(match word {
        "market" => {
            none("limit_price")?;
            none("stop_price")?;
            OrderType::Market
        }
        "limit" => {
            none("stop_price")?;
            OrderType::Limit { limit: price("limit_price")? }
        }
        "stop" => {
            none("limit_price")?;
            OrderType::Stop { stop: price("stop_price")? }
        }
        "stop_limit" => OrderType::StopLimit { stop: price("stop_price")?, limit: price("limit_price")? },
        "trailing_stop" => match (decimal::<Price>(body, "trail_price")?, percent(body, "trail_percent")?) {
            (Some(distance), None) => OrderType::TrailingStop { trail: Trail::Amount(distance) },
            (None, Some(ratio)) => OrderType::TrailingStop { trail: Trail::Ratio(ratio) },
            _ => return Err(Problem::invalid("trailing stop orders require one of trail_price and trail_percent")),
        },
        other => return Err(Problem::invalid(format!("invalid type \"{other}\""))),
    })
}

fn time_in_force(word: &str) -> Result<(TimeInForce, Timing), Problem> {
    Ok(match word {
        "day" => (TimeInForce::Day, Timing::Resting),
        "gtc" => (TimeInForce::Gtc, Timing::Resting),
        "opg" => (TimeInForce::Day, Timing::AtOpen),
        "cls" => (TimeInForce::Day, Timing::AtClose),
        "ioc" => (TimeInForce::Day, Timing::ImmediateOrCancel),
        "fok" => (TimeInForce::Day, Timing::FillOrKill),
        other => return Err(Problem::invalid(format!("invalid time_in_force \"{other}\""))),
    })
}

fn client_order_id(text: &str) -> Result<ClientOrderId, Problem> {
    text.parse().map_err(|_| Problem::invalid("client_order_id must be 1 to 128 printable characters without spaces"))
}

/// A field's text; `None` where it is absent or null.
pub(super) fn word(body: &Value, name: &str) -> Option<String> {
    body.get(name)?.as_str().map(str::to_owned)
}

fn required(body: &Value, name: &str) -> Result<String, Problem> {
    word(body, name).ok_or_else(|| Problem::invalid(format!("{name} is required")))
}

fn leg(body: &Value, name: &str) -> Result<Option<Value>, Problem> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(leg @ Value::Object(_)) => Ok(Some(leg.clone())),
        Some(_) => Err(Problem::malformed(format!("{name} must be an object"))),
    }
}

fn flag(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// A field's decimal, sent as text or as a number; `None` where it is absent or null.
pub(super) fn decimal<T: FromStr>(body: &Value, name: &str) -> Result<Option<T>, Problem> {
    let text = match body.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Problem::malformed(format!("{name} must be a decimal"))),
    };
    text.parse().map(Some).map_err(|_| Problem::invalid(format!("invalid {name} {text}")))
}

/// A field's percentage, in basis points.
fn percent(body: &Value, name: &str) -> Result<Option<Bps>, Problem> {
    let Some(percent) = decimal::<Quantity>(body, name)? else { return Ok(None) };
    format!("{percent}%").parse().map(Some).map_err(|_| Problem::invalid(format!("invalid {name} {percent}")))
}

/// A query string's fields.
#[derive(Debug, Default)]
pub(super) struct Query(pub BTreeMap<String, String>);

impl Query {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// True in any case: Python's clients write `True`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// A number within bounds.
    pub(super) fn count(&self, name: &str, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let count = text.parse().ok().filter(|count| (1..=max).contains(count));
        count.ok_or_else(|| Problem::invalid(format!("{name} must be between 1 and {max}")))
    }

    /// A decimal.
    pub(super) fn decimal<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::invalid(format!("invalid {name} {text}")))
    }

    /// An instant: RFC 3339, or a date, which is its midnight in New York.
    pub(super) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // An unescaped plus sign of an offset arrives as a space.
        let at = text.replace(' ', "+").parse::<Timestamp>().ok().or_else(|| {
            let date: SessionDate = text.parse().ok()?;
            Some(Timestamp::from_wall(date.0.and_hms_opt(0, 0, 0)?, chrono_tz::America::New_York))
        });
        at.map(Some).ok_or_else(|| {
            Problem::new(axum::http::StatusCode::BAD_REQUEST, 40_010_001, format!("invalid {name}: {text}"))
        })
    }

    /// A date, or the date of an instant.
    pub(super) fn date(&self, name: &str) -> Result<Option<SessionDate>, Problem> {
        Ok(self.instant(name)?.map(|at| at.date_in(chrono_tz::America::New_York)))
    }

    /// A comma-separated list of symbols.
    pub(super) fn symbols(&self, name: &str) -> Result<Vec<Symbol>, Problem> {
        let words = self.text(name).unwrap_or_default().split(',').filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(|_| Problem::invalid(format!("invalid symbol: {word}")))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: &Value) -> String {
        OrderRequest::read(body).unwrap_err().into_body()["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn numbers_and_strings_are_the_same() {
        let order = |qty: Value, limit: Value| {
            let body = json!({"symbol": "AAPL", "qty": qty, "side": "buy", "type": "limit", "limit_price": limit,
                "time_in_force": "gtc", "take_profit": null});
            OrderRequest::read(&body).unwrap()
        };
        assert_eq!(order(json!(10.0), json!(436.0)), order(json!("10"), json!("436.00")));
    }

    #[test]
    fn the_rules_of_the_contract_are_kept() {
        let order = |more: Value| {
            let mut body =
                json!({"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let cases = [
            (json!({"qty": null}), "qty or notional is required"),
            (json!({"notional": "5"}), "only one of qty or notional is accepted"),
            (json!({"qty": "0.5", "time_in_force": "gtc"}), "fractional orders must be DAY orders"),
            (json!({"qty": null, "notional": 0.5}), "notional must be >= 1.00"),
            (json!({"extended_hours": true}), "extended hours order must be DAY or GTC limit orders"),
            (json!({"order_class": "bracket"}), "bracket orders require take_profit.limit_price"),
            (
                json!({"qty": 1.5, "order_class": "oto", "take_profit": {"limit_price": 5}}),
                "fractional orders must be simple orders",
            ),
            (json!({"type": "trailing_stop"}), "trailing stop orders require one of trail_price and trail_percent"),
            (json!({"type": "limit"}), "limit orders require limit_price"),
            (json!({"side": "hold"}), "invalid side \"hold\""),
            (json!({"order_class": "mleg"}), "options are not traded here: order_class mleg is not supported"),
        ];
        for (more, message) in cases {
            assert_eq!(refused(&order(more.clone())), message, "{more}");
        }
    }

    #[test]
    fn an_oco_takes_its_price_from_its_leg() {
        let body = json!({"symbol": "AAPL", "qty": 1, "side": "sell", "type": "limit", "time_in_force": "gtc",
            "order_class": "oco", "take_profit": {"limit_price": 240.0}, "stop_loss": {"stop_price": 190.0, "limit_price": 189.0}});
        let request = OrderRequest::read(&body).unwrap();
        assert_eq!(request.order_type, OrderType::Limit { limit: Price::from_cents(24_000) });
        assert_eq!(request.class, OrderClass::Oco { stop_loss: Price::from_cents(19_000) });
        assert_eq!(request.terms.stop_loss_limit, Some(Price::from_cents(18_900)));
    }
}
