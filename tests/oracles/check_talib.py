#!/usr/bin/env python3
"""Compares `trade indicators` and `trade patterns` on a file of bars with TA-Lib, value by value.

usage: check_talib.py FILE.csv [--symbol SYMBOL] [--trade PATH]     (needs numpy and TA-Lib 0.8)

Prints one line a column: how many values, and how far the farthest is off relative to TA-Lib's. Ends with 1 if one is
off by more than 1e-7 of its value (or 1e-10 of the price; of the volume for ADOSC), or if a pattern differs anywhere.
"""
import argparse
import csv
import io
import subprocess
import sys

import numpy as np
import talib

from talib_golden import columns


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--symbol")
    parser.add_argument("--trade", default="trade")
    options = parser.parse_args()
    series = ["--symbol", options.symbol] if options.symbol else []

    with open(options.file) as file:
        bars = [bar for bar in csv.DictReader(file) if not options.symbol or bar.get("symbol") == options.symbol]
    o, h, l, c, v = (np.array([float(bar[name]) for bar in bars]) for name in ("open", "high", "low", "close", "volume"))
    wrong = 0

    def trade(*arguments):
        command = [options.trade, *arguments, options.file, *series, "--format", "csv"]
        return rows(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    expected = columns(o, h, l, c, v)
    ours = trade("indicators", "--columns", ",".join(expected))
    for name, theirs in expected.items():
        mine = np.array([float(row[name]) if row[name] else np.nan for row in ours])
        undefined = np.count_nonzero(np.isnan(mine) != np.isnan(theirs))
        off = np.abs(mine - theirs)
        size = np.maximum(c, v) if name.startswith("ADOSC") else c
        far = off > 1e-7 * np.abs(theirs) + 1e-10 * size
        relative = np.nanmax(off / np.maximum(np.abs(theirs), 1e-10 * size), initial=0.0)
        wrong += undefined + np.count_nonzero(far)
        print(f"{name:22} {np.count_nonzero(~np.isnan(theirs)):8} values, off by at most {relative:.1e}"
              + (f", {undefined} defined differently" if undefined else "") + (" WRONG" if far.any() else ""))

    ours, hits = trade("patterns"), 0
    for name in sorted(talib.get_function_groups()["Pattern Recognition"]):
        theirs = getattr(talib, name)(o, h, l, c)
        mine = np.array([int(row[name]) for row in ours])
        hits += np.count_nonzero(theirs)
        differ = np.count_nonzero(mine != theirs)
        wrong += differ
        if differ:
            print(f"{name:22} differs on {differ} bars WRONG")
    print(f"61 patterns on {len(bars)} bars: {hits} hits compared")
    sys.exit(1 if wrong else 0)


main()
