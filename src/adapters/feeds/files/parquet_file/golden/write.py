#!/usr/bin/env python3
"""Writes the files beside it: two minutes of SPY as pyarrow has them by default, with decimals, and with gzip.

Needs pyarrow, which is a tool of the tests alone; the files are kept, so that the tests need no Python.
"""
import datetime
import decimal
import os

import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.dirname(os.path.abspath(__file__))
STARTS = [datetime.datetime(2013, 10, 4, 13, minute, tzinfo=datetime.timezone.utc) for minute in (30, 31)]
PRICES = {"open": ["117.44", "117.5"], "high": ["117.67", "117.5"], "low": ["117.41", "117.5"],
          "close": ["117.61", "117.5"]}


def table(number):
    columns = {"symbol": pa.array(["SPY", "SPY"]), "ts_utc": pa.array(STARTS, pa.timestamp("ns", tz="America/New_York"))}
    columns |= {name: number(prices) for name, prices in PRICES.items()}
    return pa.table(columns | {"volume": pa.array([96071, 0], pa.uint64())})


doubles = table(lambda prices: pa.array([float(price) for price in prices]))
decimals = table(lambda prices: pa.array([decimal.Decimal(price) for price in prices], pa.decimal128(20, 4)))
pq.write_table(doubles, os.path.join(HERE, "pyarrow.parquet"))
pq.write_table(decimals, os.path.join(HERE, "decimals.parquet"), compression="zstd")
pq.write_table(doubles, os.path.join(HERE, "gzip.parquet"), compression="gzip")
