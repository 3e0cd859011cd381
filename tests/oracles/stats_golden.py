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


# The figures of each library, by the name that they have here.
QUANTSTATS = {
    "total_return": lambda r: qs.comp(r),
    "cagr": lambda r: qs.cagr(r),
    "sharpe": lambda r: qs.sharpe(r),
    "sortino": lambda r: qs.sortino(r),
    "calmar": lambda r: qs.calmar(r),
    "max_drawdown": lambda r: qs.max_drawdown(r),
    "volatility": lambda r: qs.volatility(r),
    "win_rate": lambda r: qs.win_rate(r),
    "profit_factor": lambda r: qs.profit_factor(r),
    "var_95": lambda r: qs.value_at_risk(r),
    "cvar_95": lambda r: qs.conditional_value_at_risk(r),
    "best_day": lambda r: qs.best(r),
    "worst_day": lambda r: qs.worst(r),
    "skew": lambda r: qs.skew(r),
    "kurtosis": lambda r: qs.kurtosis(r),
    "ulcer_index": lambda r: qs.ulcer_index(r),
}
EMPYRICAL = {
    "total_return": lambda r: empyrical.cum_returns_final(r),
    "cagr": lambda r: empyrical.cagr(r),
    "sharpe": lambda r: empyrical.sharpe_ratio(r),
    "sortino": lambda r: empyrical.sortino_ratio(r),
    "calmar": lambda r: empyrical.calmar_ratio(r),
    "max_drawdown": lambda r: empyrical.max_drawdown(r),
    "volatility": lambda r: empyrical.annual_volatility(r),
    "var_95_historical": lambda r: empyrical.value_at_risk(r, cutoff=0.05),
    "cvar_95_historical": lambda r: empyrical.conditional_value_at_risk(r, cutoff=0.05),
}


def figures_of(known):
    """Answers the figures of a series; one that the library divides by zero for is none."""
    def ask(r):
        for name, figure in known.items():
            try:
                yield name, figure(r)
            except ZeroDivisionError:
                yield name, np.nan
    return ask


SOURCES = {"quantstats": figures_of(QUANTSTATS), "empyrical": figures_of(EMPYRICAL)}


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
