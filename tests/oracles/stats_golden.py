#!/usr/bin/env python3
"""What quantstats and empyrical say about series of daily returns, for daybook-core's tests.

usage: stats_golden.py

Needs quantstats (0.0.86) and empyrical-reloaded (0.7), which are tools of the tests alone. Writes beside itself
  stats_returns.csv   series,return      the series, day by day
  stats_figures.csv   series,figure,source,value
  stats_rolling.csv   day,sharpe         the Sharpe ratio of the last 20 days of the series `ordinary`; empty: undefined
Deterministic: run again, it writes the same files.
"""
import os
import sys
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
MISSING = {}                         # what is not installed: by its name the package that has it
try:
    import empyrical
except ImportError:
    MISSING["empyrical"] = "empyrical-reloaded"
try:
    import quantstats.stats as qs
except ImportError:
    MISSING["quantstats"] = "quantstats"

HERE = os.path.dirname(os.path.abspath(__file__))
ROLLING = 20


def series():
    """An ordinary year, four wild ones, one that mostly stands still, one that begins with a loss, and short ones."""
    rng = np.random.Generator(np.random.PCG64(17))
    yield "ordinary", rng.normal(0.0006, 0.011, 252)
    yield "wild", np.clip(rng.standard_t(3, 1008) * 0.02, -0.6, 0.8)
    still = rng.normal(0.0, 0.004, 300) * (rng.random(300) < 0.15)
    yield "still", still
    falling = rng.normal(-0.001, 0.015, 400)
    falling[0] = -0.08
    yield "falling", falling
    yield "crash", np.concatenate([rng.normal(0.002, 0.003, 60), [-0.93], rng.normal(0.004, 0.02, 60)])
    yield "week", np.array([-0.011, 0.021, 0.004, -0.002, 0.013])
    yield "three", np.array([0.02, -0.01, 0.005])
    yield "long", rng.normal(0.0004, 0.009, 5040)


def quantstats_figures(r):
    yield "total_return", qs.comp(r)
    yield "cagr", qs.cagr(r)
    yield "sharpe", qs.sharpe(r)
    yield "sortino", qs.sortino(r)
    yield "calmar", qs.calmar(r)
    yield "max_drawdown", qs.max_drawdown(r)
    yield "volatility", qs.volatility(r)
    yield "win_rate", qs.win_rate(r)
    yield "profit_factor", qs.profit_factor(r)
    yield "var_95", qs.value_at_risk(r)
    yield "cvar_95", qs.conditional_value_at_risk(r)
    yield "best_day", qs.best(r)
    yield "worst_day", qs.worst(r)
    yield "skew", qs.skew(r)
    yield "kurtosis", qs.kurtosis(r)
    yield "ulcer_index", qs.ulcer_index(r)


def empyrical_figures(r):
    yield "total_return", empyrical.cum_returns_final(r)
    yield "cagr", empyrical.cagr(r)
    yield "sharpe", empyrical.sharpe_ratio(r)
    yield "sortino", empyrical.sortino_ratio(r)
    yield "calmar", empyrical.calmar_ratio(r)
    yield "max_drawdown", empyrical.max_drawdown(r)
    yield "volatility", empyrical.annual_volatility(r)
    yield "var_95_historical", empyrical.value_at_risk(r, cutoff=0.05)
    yield "cvar_95_historical", empyrical.conditional_value_at_risk(r, cutoff=0.05)


SOURCES = {"quantstats": quantstats_figures, "empyrical": empyrical_figures}


def write(name, header, rows):
    with open(os.path.join(HERE, name), "w") as file:
        file.write(header + "\n")
        file.writelines(",".join(row) + "\n" for row in rows)


def main():
    if MISSING:
        sys.exit("not installed: pip install " + " ".join(MISSING.values()))
    returns, figures = [], []
    for name, values in series():
        r = pd.Series(values, index=pd.bdate_range("2020-01-02", periods=len(values)))
        returns += [(name, repr(float(value))) for value in values]
        for source, ask in SOURCES.items():
            figures += [(name, figure, source, repr(float(v))) for figure, v in ask(r) if np.isfinite(v)]
        if name == "ordinary":
            rolling = r.rolling(ROLLING).mean() / r.rolling(ROLLING).std() * np.sqrt(252)
    write("stats_returns.csv", "series,return", returns)
    write("stats_figures.csv", "series,figure,source,value", figures)
    write("stats_rolling.csv", "day,sharpe",
          [(str(day), "" if np.isnan(v) else repr(float(v))) for day, v in enumerate(rolling)])


if __name__ == "__main__":
    main()
