use crate::market::{Bar, Quote, Symbol};
use crate::money::{MoneyError, Price, Quantity};
use crate::order::{OrderStatus, OrderType, Side};
use crate::time::Timestamp;

use super::pricing::{Effect, Working, favourable, reaches, slipped};
use super::state::LastPrice;
use super::{BookOrder, Exchange, OrderNumber, Timing};

/// The shares that may still be taken; `None` without a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget(pub Option<Quantity>);

impl Budget {
    /// Takes as much of `wanted` as is left.
    fn take(&mut self, wanted: Quantity) -> Quantity {
        match &mut self.0 {
            None => wanted,
            Some(left) => {
                let taken = wanted.min(*left).max(Quantity::ZERO);
                *left = Quantity(left.0 - taken.0); // 0 <= taken <= left
                taken
            }
        }
    }
}

/// How much of a bar an order has before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// All of it.
    Whole,
    /// Its last part: it began to work inside.
    Rest,
    /// None of it.
    Nothing,
}

/// A bar while it is matched.
#[derive(Debug, Clone, Copy)]
struct Span<'a> {
    symbol: Symbol,
    bar: &'a Bar,
    end: Timestamp,
}

impl Span<'_> {
    /// When something inside the bar has certainly happened: its last millisecond.
    fn inside(&self) -> Timestamp {
        Timestamp(self.end.0.saturating_sub(1)).max(self.bar.start)
    }

    fn seen_by(&self, book: &BookOrder) -> View {
        match book.working_since {
            Some(since) if since <= self.bar.start => View::Whole,
            Some(since) if since < self.end => View::Rest,
            Some(_) | None => View::Nothing,
        }
    }
}

impl Exchange {
    /// Fills what a bar's first price fills.
    ///
    /// With a participation bound it waits for the bar's volume.
    pub(super) fn match_open(&mut self, symbol: Symbol, at: Timestamp, open: Price) -> Result<(), MoneyError> {
        if self.is_trading() && !self.settings.bounds_participation() {
            self.match_single(symbol, at, open, &mut Budget(None))?;
            self.opened.insert(symbol, at);
        }
        self.mark(symbol, open, at);
        Ok(())
    }

    /// Fills what a complete bar fills: at its open first, unless that was told before; then in its
    /// range, stops first.
    pub(super) fn match_bar(&mut self, symbol: Symbol, bar: &Bar, end: Timestamp) -> Result<(), MoneyError> {
        let opened = self.opened.remove(&symbol);
        if self.state.orders.iter().any(|book| book.order.symbol == symbol && self.trades_now(book)) {
            let mut budget = Budget(self.settings.share_of(bar.volume)?);
            if opened != Some(bar.start) {
                self.match_single(symbol, bar.start, bar.open, &mut budget)?;
            }
            let span = Span { symbol, bar, end };
            self.match_trailing(span, &mut budget)?;
            // An entry that fills makes its legs work: look again until nothing happens any more.
            while self.match_stops(span, &mut budget)? || self.match_limits(span, &mut budget)? {}
        }
        self.mark(symbol, bar.close, end);
        self.end_at_open(symbol, bar.start, end);
        Ok(())
    }

    /// Whether there is any trading now.
    const fn is_trading(&self) -> bool {
        self.state.session_open || self.state.extended_open
    }

    /// Whether a price can hit the order in the hours that it is now.
    pub(super) const fn trades_now(&self, book: &BookOrder) -> bool {
        book.is_working() && (self.state.session_open || (self.state.extended_open && book.terms.extended_hours))
    }

    /// Ends what was for the open only, once the first price after it has been there.
    fn end_at_open(&mut self, symbol: Symbol, seen: Timestamp, at: Timestamp) {
        if !self.state.session_open {
            return;
        }
        for number in self.working(symbol, |book| {
            book.terms.timing == Timing::AtOpen && book.working_since.is_some_and(|since| since <= seen)
        }) {
            self.end(number, at, OrderStatus::Canceled, "did not fill at the open");
        }
    }

    /// Fills what a quote fills: where there is a participation bound, that part of what it offers.
    pub(super) fn match_quote(&mut self, symbol: Symbol, quote: &Quote) -> Result<(), MoneyError> {
        if self.is_trading() {
            for side in [Side::Buy, Side::Sell] {
                let mut budget = self.offered(side, quote)?;
                for number in self.working(symbol, |book| book.order.side == side) {
                    self.meet(number, other_side(side, quote), quote.at, &mut budget)?;
                }
            }
        }
        if let Ok(midpoint) = quote.midpoint() {
            self.mark(symbol, midpoint, quote.at);
        }
        self.end_at_open(symbol, quote.at, quote.at);
        Ok(())
    }

    /// The shares that an order of this side may take of what a quote has.
    pub(super) fn offered(&self, side: Side, quote: &Quote) -> Result<Budget, MoneyError> {
        let size = match side {
            Side::Buy => quote.ask_size,
            Side::Sell => quote.bid_size,
        };
        self.settings.share_of(size).map(Budget)
    }

    /// Holds one order against one price; whether anything happened.
    pub(super) fn meet(
        &mut self,
        number: OrderNumber,
        price: Price,
        at: Timestamp,
        budget: &mut Budget,
    ) -> Result<bool, MoneyError> {
        let Some(book) = self.state.orders.get(number).filter(|book| book.is_working()) else { return Ok(false) };
        let effect = book.waits_for()?.at_price(book.order.side, price, self.settings.slippage)?;
        let happened = self.carry_out(number, effect, at, budget)?;
        self.follow(number, price);
        Ok(happened)
    }

    /// Holds every order that was working by then against one price, until nothing happens any more.
    fn match_single(
        &mut self,
        symbol: Symbol,
        at: Timestamp,
        price: Price,
        budget: &mut Budget,
    ) -> Result<(), MoneyError> {
        loop {
            let mut happened = false;
            for number in self.working(symbol, |book| book.working_since.is_some_and(|since| since <= at)) {
                happened |= self.meet(number, price, at, budget)?;
            }
            if !happened {
                return Ok(());
            }
        }
    }

    fn match_stops(&mut self, span: Span<'_>, budget: &mut Budget) -> Result<bool, MoneyError> {
        self.match_range(span, budget, |book, view| {
            let resting = matches!(book.order.order_type, OrderType::Stop { .. } | OrderType::StopLimit { .. });
            resting && !book.triggered && (view == View::Whole || (view == View::Rest && !book.opens))
        })
    }

    fn match_limits(&mut self, span: Span<'_>, budget: &mut Budget) -> Result<bool, MoneyError> {
        self.match_range(span, budget, |book, view| {
            let limit = match book.order.order_type {
                OrderType::Limit { .. } => true,
                OrderType::StopLimit { .. } => book.triggered,
                OrderType::Market | OrderType::Stop { .. } | OrderType::TrailingStop { .. } => false,
            };
            limit && view == View::Whole
        })
    }

    /// Holds the orders that `wanted` admits against a bar's range; whether anything happened.
    fn match_range(
        &mut self,
        span: Span<'_>,
        budget: &mut Budget,
        wanted: impl Fn(&BookOrder, View) -> bool,
    ) -> Result<bool, MoneyError> {
        let mut happened = false;
        for number in self.working(span.symbol, |book| wanted(book, span.seen_by(book))) {
            // An earlier one of this round may have ended it.
            let Some(book) = self.state.orders.get(number).filter(|book| book.is_working()) else { continue };
            let effect = book.waits_for()?.in_range(book.order.side, span.bar, self.settings.slippage)?;
            happened |= self.carry_out(number, effect, span.inside(), budget)?;
        }
        Ok(happened)
    }

    /// Holds trailing stops against a bar once: the level from before it against the range, then the
    /// level after the bar's best price against its close.
    fn match_trailing(&mut self, span: Span<'_>, budget: &mut Budget) -> Result<(), MoneyError> {
        let trailing = |book: &BookOrder| matches!(book.order.order_type, OrderType::TrailingStop { .. });
        for number in self.working(span.symbol, |book| trailing(book) && !book.triggered) {
            let Some(book) = self.state.orders.get(number) else { continue };
            let (side, view) = (book.order.side, span.seen_by(book));
            if view == View::Nothing || (view == View::Rest && book.opens) {
                continue;
            }
            let slippage = self.settings.slippage;
            let effect = book.waits_for()?.in_range(side, span.bar, slippage)?;
            if self.carry_out(number, effect, span.inside(), budget)? || effect != Effect::Rests {
                continue;
            }
            // Of the rest of a bar only the close is certain to have come after the order.
            let best = if view == View::Whole { favourable(side, span.bar) } else { span.bar.close };
            self.follow(number, best);
            let Some(book) = self.state.orders.get(number) else { continue };
            if let Working::Stop(level) = book.waits_for()?
                && reaches(side, level, span.bar.close)
            {
                let effect = Effect::Trades(slipped(side, level, slippage)?);
                self.carry_out(number, effect, span.inside(), budget)?;
            }
        }
        Ok(())
    }

    /// Does to an order what a price does to it; whether anything happened.
    fn carry_out(
        &mut self,
        number: OrderNumber,
        effect: Effect,
        at: Timestamp,
        budget: &mut Budget,
    ) -> Result<bool, MoneyError> {
        let Some(book) = self.state.orders.get(number) else { return Ok(false) };
        let price = match effect {
            Effect::Rests => return Ok(false),
            Effect::Triggers => {
                self.trigger(number, at);
                return Ok(true);
            }
            Effect::Trades(price) => price,
        };
        let stops = matches!(book.waits_for()?, Working::Stop(_) | Working::StopLimit { .. });
        let quantity = budget.take(book.order.remaining());
        if stops {
            self.trigger(number, at);
        }
        if quantity.is_positive() {
            self.execute(number, quantity, price, at)?;
        }
        Ok(stops || quantity.is_positive())
    }

    fn trigger(&mut self, number: OrderNumber, at: Timestamp) {
        self.change(number, at, |book| {
            book.triggered = true;
            book.working_since = Some(at);
        });
    }

    fn follow(&mut self, number: OrderNumber, price: Price) {
        let moved = self.state.orders.get_mut(number).is_some_and(|book| book.is_working() && book.follow(price));
        if moved {
            self.changes.orders.push(number);
        }
    }

    fn working(&self, symbol: Symbol, wanted: impl Fn(&BookOrder) -> bool) -> Vec<OrderNumber> {
        self.numbers(|book| book.order.symbol == symbol && self.trades_now(book) && wanted(book))
    }

    /// Takes note of a symbol's price, unless a later one is known.
    pub(super) fn mark(&mut self, symbol: Symbol, price: Price, at: Timestamp) {
        let known = self.state.marks.entry(symbol).or_insert(LastPrice { price, at });
        if known.at <= at {
            *known = LastPrice { price, at };
        }
    }
}

/// The quote's price for an order of this side.
pub(super) const fn other_side(side: Side, quote: &Quote) -> Price {
    match side {
        Side::Buy => quote.ask,
        Side::Sell => quote.bid,
    }
}
