//! An account and its positions in the API's words.

use std::collections::BTreeMap;

use daybook_core::calendar::Session;
use daybook_core::exchange::{Holding, OrderNumber};
use daybook_core::market::Symbol;
use daybook_core::money::{Money, MoneyError, Price, Quantity};
use daybook_core::order::Side;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::desk::Desk;
use super::problem::Problem;
use super::request::Query;
use super::store::Record;
use super::wire::{self, OrderDocument};

/// What an account's owner may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Configuration {
    pub fractional_trading: bool,
    pub max_margin_multiplier: String,
    pub no_shorting: bool,
    pub suspend_trade: bool,
    pub trade_confirm_email: String,
    pub ptp_no_exception_entry: bool,
    pub max_options_trading_level: Option<u8>,
    pub disable_overnight_trading: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            fractional_trading: true,
            max_margin_multiplier: "4".to_owned(),
            no_shorting: false,
            suspend_trade: false,
            trade_confirm_email: "all".to_owned(),
            ptp_no_exception_entry: false,
            max_options_trading_level: None,
            disable_overnight_trading: false,
        }
    }
}

impl Configuration {
    /// The configuration with the fields of a `PATCH`; fields that it does not know are passed over.
    pub(super) fn patched(&self, patch: &Value) -> Result<Self, Problem> {
        let mut document = serde_json::to_value(self).map_err(|error| Problem::internal(error.to_string()))?;
        let patch = patch.as_object().ok_or_else(|| Problem::malformed("request body must be an object"))?;
        if let Some(fields) = document.as_object_mut() {
            for (name, value) in patch.iter().filter(|(_, value)| !value.is_null()) {
                if let Some(field) = fields.get_mut(name) {
                    *field = value.clone();
                }
            }
        }
        let patched: Self = serde_json::from_value(document).map_err(|error| Problem::invalid(error.to_string()))?;
        if !["1", "2", "4"].contains(&patched.max_margin_multiplier.as_str()) {
            return Err(Problem::invalid("max_margin_multiplier must be 1, 2 or 4"));
        }
        if !["all", "none"].contains(&patched.trade_confirm_email.as_str()) {
            return Err(Problem::invalid("trade_confirm_email must be all or none"));
        }
        Ok(patched)
    }
}

/// What a position's shares are valued by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prices {
    /// By a quote that is later than what traded last.
    pub now: Option<Price>,
    /// The close of the session before.
    pub last_close: Option<Price>,
}

/// Money as the API has it: at least two decimals.
fn cents(amount: Money) -> String {
    amount.to_string()
}

impl Desk {
    pub(super) fn account(&self, prices: &BTreeMap<Symbol, Price>) -> Result<Value, Problem> {
        let figures = self.exchange.figures(prices)?;
        let position = figures.long_value.minus(figures.short_value)?;
        let margin = |value: Money, percent: i64| Money(value.0 / 100 * percent);
        let held = figures.long_value.plus(figures.short_value)?;
        Ok(json!({
            "id": wire::account_id(self.number),
            "account_number": format!("PA{:08}", self.number),
            "status": "ACTIVE",
            "crypto_status": "INACTIVE",
            "currency": "USD",
            "cash": cents(figures.cash),
            "equity": cents(figures.equity),
            "last_equity": cents(figures.last_equity),
            "portfolio_value": cents(figures.equity),
            "buying_power": cents(figures.buying_power),
            "effective_buying_power": cents(figures.buying_power),
            "regt_buying_power": cents(figures.buying_power),
            "non_marginable_buying_power": cents(figures.cash.max(Money::ZERO)),
            "options_buying_power": "0.00",
            "initial_margin": cents(margin(held, 50)),
            "maintenance_margin": cents(margin(held, 30)),
            "last_maintenance_margin": cents(margin(held, 30)),
            "long_market_value": cents(figures.long_value),
            "short_market_value": cents(figures.short_value.negated()),
            "position_market_value": cents(position),
            "multiplier": self.configuration.max_margin_multiplier,
            "sma": "0.00",
            "accrued_fees": "0.00",
            "pending_transfer_in": "0.00",
            "pending_transfer_out": "0.00",
            "pending_reg_taf_fees": "0.00",
            "intraday_adjustments": "0.00",
            "balance_asof": self.created_at.date_in(chrono_tz::America::New_York).to_string(),
            "trading_blocked": false,
            "transfers_blocked": false,
            "account_blocked": false,
            "trade_suspended_by_user": self.configuration.suspend_trade,
            "shorting_enabled": !self.configuration.no_shorting,
            "created_at": self.created_at.to_string(),
        }))
    }

    /// A position.
    pub(super) fn position(&self, symbol: Symbol, prices: Prices) -> Result<Value, Problem> {
        let holding = self.holding(symbol)?;
        let state = self.exchange.state();
        let marked = || state.marks.get(&symbol).map(|mark| mark.price);
        let price = prices.now.or_else(marked).unwrap_or(holding.average_price);
        let value = price.times(holding.quantity)?;
        let cost = holding.average_price.times(holding.quantity)?;
        let result = value.minus(cost)?;
        let side = if holding.quantity.is_negative() { Side::Buy } else { Side::Sell };
        let available = holding.quantity.abs().minus(state.held_for_orders(symbol, side)?)?.max(Quantity::ZERO);
        let last_close = prices.last_close.unwrap_or(price);
        let ratio = result.to_f64() / cost.abs().to_f64();
        Ok(json!({
            "asset_id": wire::asset_id(symbol),
            "symbol": symbol.as_str(),
            "exchange": EXCHANGE,
            "asset_class": "us_equity",
            "asset_marginable": true,
            "qty": holding.quantity.to_string(),
            "qty_available": if side == Side::Buy { available.negated() } else { available }.to_string(),
            "avg_entry_price": holding.average_price.to_string(),
            "side": if holding.quantity.is_negative() { "short" } else { "long" },
            "market_value": value.to_string(),
            "cost_basis": cost.to_string(),
            "unrealized_pl": result.to_string(),
            "unrealized_plpc": format!("{ratio:.8}"),
            "unrealized_intraday_pl": result.to_string(),
            "unrealized_intraday_plpc": format!("{ratio:.8}"),
            "current_price": price.to_string(),
            "lastday_price": last_close.to_string(),
            "change_today": format!("{:.8}", price.to_f64() / last_close.to_f64() - 1.0),
        }))
    }

    pub(super) fn holding(&self, symbol: Symbol) -> Result<Holding, Problem> {
        let holding = self.exchange.state().holdings.get(&symbol).copied();
        holding.ok_or_else(|| Problem::not_found("position does not exist"))
    }

    pub(super) fn record(&self, number: OrderNumber) -> Result<&Record, Problem> {
        self.records.get(&number).ok_or_else(|| Problem::not_found("order not found"))
    }

    /// An order; the first of a group with its legs, where they are asked for.
    pub(super) fn order(&self, record: &Record, nested: bool) -> OrderDocument {
        let leads = !wire::is_leg(record) && record.note.class != "simple";
        let legs = (nested && leads).then(|| {
            let legs = self.group(record).filter(|leg| wire::is_leg(leg));
            legs.map(|leg| OrderDocument::of(self.number, leg, None)).collect()
        });
        OrderDocument::of(self.number, record, legs)
    }

    /// Every order of the group that an order is of.
    fn group<'a>(&'a self, of: &Record) -> impl Iterator<Item = &'a Record> {
        let group = of.book.group;
        self.records.range(group..).map(|(_, record)| record).filter(move |record| record.book.group == group)
    }

    /// The orders that a query asks for.
    pub(super) fn orders(&self, query: &Query) -> Result<Vec<OrderDocument>, Problem> {
        let status = query.text("status").unwrap_or("open");
        if !["open", "closed", "all"].contains(&status) {
            return Err(Problem::invalid(format!("invalid status \"{status}\"")));
        }
        let limit = query.count("limit", 50, 500)?;
        let nested = query.flag("nested");
        let (after, until) = (query.instant("after")?, query.instant("until")?);
        let (symbols, side) = (query.symbols("symbols")?, query.text("side"));
        let place = |name| match query.text(name) {
            None => Ok(None),
            Some(id) => {
                wire::order_number(self.number, id).map(Some).ok_or_else(|| Problem::invalid(format!("invalid {name}")))
            }
        };
        let (before_id, after_id) = (place("before_order_id")?, place("after_order_id")?);
        let is_open = |record: &Record| !record.book.order.status.is_terminal();
        let wanted = |record: &&Record| {
            let (number, order) = (record.book.number, &record.book.order);
            let open = if nested && status != "all" && record.note.class != "simple" {
                self.group(record).any(is_open)
            } else {
                is_open(record)
            };
            (status == "all" || open == (status == "open"))
                && !(nested && wire::is_leg(record))
                && after.is_none_or(|after| order.submitted_at > after)
                && until.is_none_or(|until| order.submitted_at <= until)
                && before_id.is_none_or(|before| number < before)
                && after_id.is_none_or(|after| number > after)
                && (symbols.is_empty() || symbols.contains(&order.symbol))
                && side.is_none_or(|side| side == order.side.as_str())
        };
        let records = self.records.values();
        let chosen: Vec<&Record> = if query.text("direction") == Some("asc") {
            records.filter(wanted).take(limit).collect()
        } else {
            records.rev().filter(wanted).take(limit).collect()
        };
        Ok(chosen.into_iter().map(|record| self.order(record, nested)).collect())
    }

    /// The executions that a query asks for, newest first unless it says otherwise.
    pub(super) fn activities(&self, query: &Query) -> Result<Vec<Value>, Problem> {
        let size = query.count("page_size", 100, 100)?;
        let (after, until, date) = (query.instant("after")?, query.instant("until")?, query.date("date")?);
        let token = match query.text("page_token") {
            None => None,
            Some(token) => {
                let number = token.split("::").nth(1).and_then(|id| wire::execution_number(self.number, id));
                Some(number.ok_or_else(|| Problem::invalid("invalid page_token"))?)
            }
        };
        let ascending = query.text("direction") == Some("asc");
        let mut filled: BTreeMap<OrderNumber, Quantity> = BTreeMap::new();
        let mut rows = Vec::new();
        for execution in &self.executions {
            let so_far = filled.entry(execution.order).or_default();
            *so_far = so_far.plus(execution.fill.quantity)?;
            let at = execution.fill.at;
            let past = match token {
                None => true,
                Some(token) if ascending => execution.number > token,
                Some(token) => execution.number < token,
            };
            let wanted = past
                && after.is_none_or(|after| at > after)
                && until.is_none_or(|until| at <= until)
                && date.is_none_or(|date| at.date_in(chrono_tz::America::New_York) == date);
            if wanted {
                let ordered = self.records.get(&execution.order).map_or(*so_far, |record| record.book.order.quantity);
                let left = ordered.minus(*so_far)?.max(Quantity::ZERO);
                rows.push((execution, wire::CumulativeFill { filled: *so_far, left }));
            }
        }
        if !ascending {
            rows.reverse();
        }
        rows.truncate(size);
        Ok(rows.into_iter().map(|(execution, fill)| wire::activity(self.number, execution, fill)).collect())
    }

    /// The equity at each close and now, as parallel arrays of numbers.
    pub(super) fn history(
        &self,
        query: &Query,
        now: daybook_core::time::Timestamp,
        prices: &BTreeMap<Symbol, Price>,
    ) -> Result<Value, Problem> {
        let equity = self.exchange.figures(prices)?.equity;
        let (start, end) = (query.instant("start")?, query.instant("end")?);
        let mut points = self.equity.clone();
        points.push((now, equity));
        points.retain(|(at, _)| start.is_none_or(|start| *at >= start) && end.is_none_or(|end| *at <= end));
        let base = self.starting_cash;
        let differences: Vec<Money> =
            points.iter().map(|(_, equity)| equity.minus(base)).collect::<Result<_, MoneyError>>()?;
        Ok(json!({
            "timestamp": points.iter().map(|(at, _)| at.0 / 1_000).collect::<Vec<_>>(),
            "equity": points.iter().map(|(_, equity)| equity.to_f64()).collect::<Vec<_>>(),
            "profit_loss": differences.iter().map(|difference| difference.to_f64()).collect::<Vec<_>>(),
            "profit_loss_pct": differences.iter().map(|difference| difference.to_f64() / base.to_f64()).collect::<Vec<_>>(),
            "base_value": base.to_f64(),
            "timeframe": "1D",
        }))
    }
}

/// Where every symbol is listed, as far as the API's clients are told.
pub(super) const EXCHANGE: &str = "NASDAQ";

pub(super) fn asset(symbol: Symbol) -> Value {
    json!({
        "id": wire::asset_id(symbol),
        "class": "us_equity",
        "exchange": EXCHANGE,
        "symbol": symbol.as_str(),
        "name": format!("{symbol} (paper exchange)"),
        "status": "active",
        "tradable": true,
        "marginable": true,
        "shortable": true,
        "easy_to_borrow": true,
        "fractionable": true,
        "maintenance_margin_requirement": 30,
        "attributes": [],
    })
}

/// A day of the calendar, in its two formats of New York time.
pub(super) fn session(session: &Session, settled: Option<Session>) -> Value {
    let wall = |at: daybook_core::time::Timestamp, form: &str| {
        at.in_zone(chrono_tz::America::New_York).format(form).to_string()
    };
    json!({
        "date": session.date.to_string(),
        "open": wall(session.open, "%H:%M"),
        "close": wall(session.close, "%H:%M"),
        "session_open": wall(session.pre_open, "%H%M"),
        "session_close": wall(session.post_close, "%H%M"),
        "settlement_date": settled.map(|settled| settled.date.to_string()),
    })
}
