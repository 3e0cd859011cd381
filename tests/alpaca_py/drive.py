"""Drives a paper exchange with alpaca-py, the official client, unchanged.

    trade paper serve --clock stepped --start 2026-11-16T10:00 --key ONE:secret
    python drive.py http://127.0.0.1:8790 ONE secret

The exchange has to be new: what is checked depends on what was traded before.
"""

import json
import sys
import threading
import urllib.request
from datetime import date, datetime, timezone

from alpaca.common.exceptions import APIError
from alpaca.data.historical.news import NewsClient
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.data.live.stock import StockDataStream
from alpaca.data.requests import (
    NewsRequest, StockBarsRequest, StockLatestBarRequest, StockLatestQuoteRequest, StockLatestTradeRequest,
    StockQuotesRequest, StockSnapshotRequest, StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest, GetAssetsRequest, GetCalendarRequest, GetOrderByIdRequest, GetOrdersRequest,
    GetPortfolioHistoryRequest, LimitOrderRequest, MarketOrderRequest, ReplaceOrderRequest, StopLimitOrderRequest,
    StopLossRequest, StopOrderRequest, TakeProfitRequest, TrailingStopOrderRequest,
)
from alpaca.trading.stream import TradingStream

URL, KEY, SECRET = sys.argv[1:4]
WS = URL.replace("http://", "ws://")
SYMBOL = "AAPL"
BUY, SELL, DAY, GTC = OrderSide.BUY, OrderSide.SELL, TimeInForce.DAY, TimeInForce.GTC

trading = TradingClient(KEY, SECRET, paper=True, url_override=URL)
data = StockHistoricalDataClient(KEY, SECRET, url_override=URL)


def admin(what, **body):
    request = urllib.request.Request(f"{URL}/admin/{what}", json.dumps(body).encode(), method="POST")
    return json.load(urllib.request.urlopen(request))


def price(dollars):
    admin("price", symbol=SYMBOL, price=dollars)


def refused(status, code, call):
    try:
        call()
    except APIError as error:
        assert (error.status_code, error.code) == (status, code), (error.status_code, error.code, error.message)
    else:
        raise AssertionError(f"expected {status} {code}")


def market(side, **fields):
    return MarketOrderRequest(symbol=SYMBOL, side=side, time_in_force=DAY, **fields)


def limit(side, qty, limit_price, **fields):
    return LimitOrderRequest(**{"symbol": SYMBOL, "side": side, "qty": qty, "limit_price": limit_price, "time_in_force": GTC, **fields})


def by_id(order):
    return trading.get_order_by_id(order.id, GetOrderByIdRequest(nested=True))


def account_and_calendar():
    account = trading.get_account()
    assert account.status.value == "ACTIVE" and float(account.equity) == 100_000
    configuration = trading.get_account_configurations()
    configuration.no_shorting = True
    assert trading.set_account_configurations(configuration).no_shorting
    assert trading.get_clock().is_open
    half_day = trading.get_calendar(GetCalendarRequest(start=date(2026, 11, 27), end=date(2026, 11, 27)))[0]
    assert half_day.close.hour == 13
    assert len(trading.get_all_assets(GetAssetsRequest())) > 100
    asset = trading.get_asset(SYMBOL)
    assert asset.tradable and trading.get_asset(asset.id).symbol == SYMBOL


def orders():
    order = trading.submit_order(market(BUY, qty=10, client_order_id="first"))
    assert order.status == OrderStatus.FILLED and float(order.filled_avg_price) == 200, order
    refused(422, 40010001, lambda: trading.submit_order(market(BUY, qty=10, client_order_id="first")))
    refused(422, 42210000, lambda: trading.submit_order(limit(BUY, 1, 150.123)))
    assert trading.get_order_by_client_id("first").id == order.id
    assert float(trading.submit_order(market(BUY, notional=100.5)).filled_qty) == 0.5025
    # Types
    stop = trading.submit_order(StopOrderRequest(symbol=SYMBOL, qty=1, side=BUY, time_in_force=DAY, stop_price=230))
    stop_limit = trading.submit_order(
        StopLimitOrderRequest(symbol=SYMBOL, qty=1, side=BUY, time_in_force=GTC, stop_price=231, limit_price=232))
    assert stop_limit.stop_price is not None
    refused(403, 40310000, lambda: trading.submit_order(limit(SELL, 1, 229)))  # a wash trade
    trading.cancel_order_by_id(stop.id)
    trading.cancel_order_by_id(stop_limit.id)
    trailing = trading.submit_order(
        TrailingStopOrderRequest(symbol=SYMBOL, qty=1, side=SELL, time_in_force=GTC, trail_percent=5.0))
    assert float(trailing.stop_price) == 190
    ioc = trading.submit_order(limit(BUY, 1, 150, time_in_force=TimeInForce.IOC))
    assert ioc.status == OrderStatus.CANCELED
    extended = trading.submit_order(limit(BUY, 1, 150, time_in_force=DAY, extended_hours=True))
    assert extended.extended_hours
    # Replacing and canceling
    replaced = trading.replace_order_by_id(extended.id, ReplaceOrderRequest(qty=2, limit_price=151))
    assert replaced.replaces == extended.id and by_id(extended).status == OrderStatus.REPLACED
    assert {response.status for response in trading.cancel_orders()} == {200}
    assert trading.get_orders() == []
    refused(404, 40410000, lambda: trading.cancel_order_by_id("00000001-0de0-4000-8000-00000000ffff"))


def classes():
    take_profit, stop_loss = TakeProfitRequest(limit_price=240.0), StopLossRequest(stop_price=190.0, limit_price=189.0)
    bracket = trading.submit_order(
        market(BUY, qty=2, order_class=OrderClass.BRACKET, take_profit=take_profit, stop_loss=stop_loss))
    assert bracket.order_class == OrderClass.BRACKET and len(bracket.legs) == 2
    assert all(leg.status == OrderStatus.NEW for leg in bracket.legs), bracket.legs
    moved = trading.replace_order_by_id(bracket.legs[1].id, ReplaceOrderRequest(stop_price=191))
    assert float(moved.stop_price) == 191
    oco = trading.submit_order(LimitOrderRequest(
        symbol=SYMBOL, qty=3, side=SELL, time_in_force=GTC, order_class=OrderClass.OCO,
        take_profit=take_profit, stop_loss=stop_loss))
    assert float(oco.limit_price) == 240 and len(oco.legs) == 1
    oto = trading.submit_order(limit(BUY, 1, 195, order_class=OrderClass.OTO, take_profit=take_profit))
    nested = trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, nested=True, symbols=[SYMBOL]))
    assert {order.id for order in nested} == {bracket.id, oco.id, oto.id}, nested
    price(240)
    assert by_id(oco).status == OrderStatus.FILLED and by_id(oco).legs[0].status == OrderStatus.CANCELED
    trading.cancel_orders()
    page = trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=3))
    assert len(page) == 3
    price(200)


def positions():
    held = trading.get_open_position(SYMBOL)
    assert held.side.value == "long" and float(held.qty) == 7.5025, held.qty
    trading.close_position(SYMBOL, ClosePositionRequest(qty="2"))
    trading.close_position(SYMBOL, ClosePositionRequest(percentage="50"))
    assert float(trading.get_all_positions()[0].qty) == 2.75125
    trading.submit_order(limit(SELL, 2, 250))
    refused(403, 40310000, lambda: trading.close_position(SYMBOL))
    closed = trading.close_all_positions(cancel_orders=True)
    assert [response.status for response in closed] == [200]
    refused(404, 40410000, lambda: trading.get_open_position(SYMBOL))
    fills = trading.get("/account/activities/FILL", {"direction": "asc", "page_size": 2})
    more = trading.get("/account/activities", {"direction": "asc", "page_token": fills[-1]["id"]})
    assert len(fills) == 2 and more and fills[0]["id"] < more[0]["id"]
    history = trading.get_portfolio_history(GetPortfolioHistoryRequest(period="1D"))
    assert len(history.equity) == len(history.timestamp)


def market_data():
    # A symbol that nobody steers.
    symbol = next(asset.symbol for asset in trading.get_all_assets() if asset.symbol != SYMBOL)
    start, end = datetime(2026, 11, 9, tzinfo=timezone.utc), datetime(2026, 11, 14, tzinfo=timezone.utc)
    frame = {"symbol_or_symbols": symbol, "start": start, "end": end}
    assert len(data.get_stock_bars(StockBarsRequest(timeframe=TimeFrame.Day, **frame))[symbol]) == 5
    minutes = data.get_stock_bars(StockBarsRequest(timeframe=TimeFrame(5, TimeFrameUnit.Minute), **frame))[symbol]
    assert minutes[0].timestamp < minutes[-1].timestamp
    at = datetime(2026, 11, 13, 15, tzinfo=timezone.utc)
    until = datetime(2026, 11, 13, 15, 0, 20, tzinfo=timezone.utc)
    assert data.get_stock_quotes(StockQuotesRequest(symbol_or_symbols=symbol, start=at, end=until))[symbol]
    assert data.get_stock_trades(StockTradesRequest(symbol_or_symbols=symbol, start=at, end=until))[symbol]
    assert data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbol))[symbol].ask_price > 0
    assert data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=symbol))[symbol].price > 0
    assert data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=symbol))[symbol].close > 0
    assert data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=symbol))[symbol].previous_daily_bar.close > 0
    news = NewsClient(KEY, SECRET, url_override=URL).get_news(NewsRequest(limit=5))
    assert "news" in news.data


def in_the_background(stream):
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    return thread


def streams():
    told, ready = [], threading.Event()

    async def on_update(update):
        told.append(update.event.value if hasattr(update.event, "value") else update.event)
        # The first may be of an order that was sent before anybody listened.
        if {"new", "canceled"} <= set(told):
            ready.set()

    updates = TradingStream(KEY, SECRET, paper=True, url_override=f"{WS}/stream")
    updates.subscribe_trade_updates(on_update)
    in_the_background(updates)
    # The client tells nobody when it has begun to listen: an order at a time until one is told.
    for _ in range(100):
        trading.cancel_order_by_id(trading.submit_order(limit(BUY, 1, 100)).id)
        if ready.wait(0.1):
            break
    assert "new" in told and "canceled" in told, told
    updates.stop()

    seen, quoted = [], threading.Event()

    async def on_quote(quote):
        seen.append(quote)
        quoted.set()

    market_stream = StockDataStream(KEY, SECRET, url_override=f"{WS}/v2/iex")
    market_stream.subscribe_quotes(on_quote, SYMBOL)
    in_the_background(market_stream)
    assert quoted.wait(10)
    assert seen[0].symbol == SYMBOL and seen[0].ask_price == 200.0 and seen[0].timestamp.year == 2026, seen
    market_stream.stop()


price(200)
for step in [account_and_calendar, orders, classes, positions, market_data, streams]:
    step()
    print(step.__name__, "ok")
