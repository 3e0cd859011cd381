#!/usr/bin/env python3
"""Compares `trade report stats` on a file with quantstats and empyrical, figure by figure.

usage: check_stats.py FILE.csv [--trade PATH]     (date,return or date,equity; needs pandas, and quantstats or empyrical-reloaded)

Prints one line a figure, and ends with 1 if one is off by more than 1e-9 of its value. Of the two libraries one that is
not installed is passed over, and said so; with neither it ends with 2.
"""
import argparse
import json
import subprocess
import sys

try:
    import numpy as np
    import pandas as pd
except ImportError as missing:
    print(f"{missing.name} is not installed: pip install pandas quantstats empyrical-reloaded", file=sys.stderr)
    sys.exit(2)

from stats_golden import MISSING, SOURCES

TOLERANCE = 1e-9


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--trade", default="trade")
    options = parser.parse_args()
    for source, package in MISSING.items():
        print(f"{source} is not installed, its figures are not compared: pip install {package}")
    if not SOURCES.keys() - MISSING:
        print("there is nothing to compare with", file=sys.stderr)
        sys.exit(2)

    table = pd.read_csv(options.file, index_col="date", parse_dates=True)
    returns = table["return"] if "return" in table else table["equity"].pct_change()
    returns = returns.dropna()
    command = [options.trade, "report", "stats", options.file, "--json"]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    wrong = 0
    for source, ask in SOURCES.items():
        if source in MISSING:
            continue
        for figure, theirs in ask(returns):
            mine = ours[figure]
            if not np.isfinite(theirs):
                print(f"{figure:20} {source:12} {'-':>24} ours {mine}")
                continue
            off = np.inf if mine is None else abs(mine - theirs)
            far = off > TOLERANCE * max(1.0, abs(theirs))
            wrong += far
            print(f"{figure:20} {source:12} {theirs:24.15g} off by {off:.1e}" + (" WRONG" if far else ""))
    print(f"{len(returns)} days, {wrong} figures differ")
    sys.exit(1 if wrong else 0)


main()
