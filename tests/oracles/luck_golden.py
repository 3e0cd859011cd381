#!/usr/bin/env python3
"""How much of a result is luck, worked out by other means than daybook-core's, for its tests.

usage: luck_golden.py

Needs Python alone. Writes beside itself
  luck_returns.csv   series,return           daily returns: ten trials of a search, and a few short series
  luck_figures.csv   series,figure,value     what they come to; the series `search` is all trials together
Deterministic: run again, it writes the same files.

Where daybook-core has its own normal distribution, this one has Python's (Wichura's AS 241); where it adds up powers of
floating-point numbers, this one has fractions; where it draws signs at random, this one goes through all of them.
"""
import fractions
import itertools
import math
import os
import statistics

HERE = os.path.dirname(os.path.abspath(__file__))
NORMAL = statistics.NormalDist()
GAMMA = 0.57721566490153286


def draws(seed):
    """Numbers from -1 to 1 that look drawn: a linear congruential generator (Knuth's MMIX)."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield (seed >> 11) / 2**52 - 1


def series():
    for trial in range(10):
        draw = draws(trial + 1)
        # Three draws added are about normal; every tenth day has a fall, so that there is skew.
        day = [0.004 * sum(next(draw) for _ in range(3)) + 0.0011 + 0.0002 * trial for _ in range(120)]
        yield f"trial_{trial}", [round(r - (0.012 if place % 10 == 9 else 0), 9) for place, r in enumerate(day)]
    yield "few_good", [0.02, -0.01, 0.015, 0.012, -0.003, 0.0, 0.009, 0.011]
    yield "few_even", [0.01, -0.01, 0.005, -0.005, 0.002, -0.002]
    draw = draws(99)
    yield "few_drawn", [round(0.01 * next(draw) + 0.002, 6) for _ in range(14)]
    yield "few_bad", [-0.02, 0.004, -0.011, 0.001, -0.007]


class Shape:
    """Mean, deviation, skewness G1 and kurtosis G2 + 3 (Joanes and Gill 1998) by exact sums."""

    def __init__(self, returns):
        exact = [fractions.Fraction(r) for r in returns]
        self.n = n = len(exact)
        mean = sum(exact) / n
        m2, m3, m4 = (float(sum((r - mean) ** k for r in exact) / n) for k in (2, 3, 4))
        self.sharpe = float(mean) / math.sqrt(m2 * n / (n - 1))
        g1, g2 = m3 / m2**1.5, m4 / m2**2 - 3
        self.skew = math.sqrt(n * (n - 1)) / (n - 2) * g1
        self.kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * g2 + 6) + 3

    def probabilistic(self, benchmark):
        """Bailey and López de Prado (2012), equation 11."""
        spread = math.sqrt(1 - self.skew * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2)
        return NORMAL.cdf((self.sharpe - benchmark) * math.sqrt(self.n - 1) / spread)


def expected_best(sharpes):
    """Bailey and López de Prado (2014), equation 1."""
    n, deviation = len(sharpes), statistics.stdev(sharpes)
    best, beyond = NORMAL.inv_cdf(1 - 1 / n), NORMAL.inv_cdf(1 - 1 / (n * math.e))
    return deviation * ((1 - GAMMA) * best + GAMMA * beyond)


def sign_test(returns):
    """The part of all assignments of signs whose sum is as high, in exact numbers."""
    exact = [fractions.Fraction(str(r)) for r in returns if r != 0]
    reached, sizes = sum(exact), [abs(r) for r in exact]
    outcomes = [sum(size * sign for size, sign in zip(sizes, signs))
                for signs in itertools.product((1, -1), repeat=len(sizes))]
    return sum(outcome >= reached for outcome in outcomes) / len(outcomes)


def main():
    every = dict(series())
    trials = {name: Shape(returns) for name, returns in every.items() if name.startswith("trial")}
    threshold = expected_best([shape.sharpe for shape in trials.values()])
    figures = [("search", "expected_best", threshold)]
    for name, shape in trials.items():
        figures.append((name, "daily_sharpe", shape.sharpe))
        figures.append((name, "probabilistic_sharpe", shape.probabilistic(0)))
        figures.append((name, "deflated_sharpe", shape.probabilistic(threshold)))
    figures.extend((name, "sign_test", sign_test(returns)) for name, returns in every.items() if name not in trials)
    with open(os.path.join(HERE, "luck_returns.csv"), "w") as out:
        out.write("series,return\n")
        out.writelines(f"{name},{r!r}\n" for name, returns in every.items() for r in returns)
    with open(os.path.join(HERE, "luck_figures.csv"), "w") as out:
        out.write("series,figure,value\n")
        out.writelines(f"{name},{figure},{value!r}\n" for name, figure, value in figures)


if __name__ == "__main__":
    main()
