#!/usr/bin/env python3
"""What TA-Lib says about a few hundred bars, for daybook-core's tests.

usage: talib_golden.py [indicators|patterns]...       (default: both)

Needs numpy and TA-Lib (0.8), which are tools of the tests alone. Writes beside itself
  talib_indicators.csv   series,open,high,low,close,volume,COLUMN...   an empty cell is undefined;
                         a row with no cells after the volume is only fed, not compared
  talib_patterns.csv     see write_patterns()
Deterministic: run again, it writes the same files.
"""
import os
import sys

import numpy as np
import talib

HERE = os.path.dirname(os.path.abspath(__file__))
BARS = 420


def bars_of(name, opens, closes, wick, volume, rng):
    """Whole-cent bars about the given opens and closes."""
    n = len(closes)
    o, c = np.maximum(np.rint(opens * 100), 1), np.maximum(np.rint(closes * 100), 1)
    h = np.maximum(o, c) + np.rint(wick * 100 * np.abs(rng.standard_normal(n)))
    l = np.maximum(np.minimum(o, c) - np.rint(wick * 100 * np.abs(rng.standard_normal(n))), 1)
    return name, o / 100, h / 100, l / 100, c / 100, volume.astype(float)


def still_bars(name, price, tick, seed):
    """Bars in whole ticks that move, stand still until nothing of the movement is left but its rounding, and move again."""
    rng = np.random.Generator(np.random.PCG64(seed))
    moves = rng.integers(-4, 5, 180)
    c = np.maximum(np.round(price / tick) + np.cumsum(moves), 1)
    o = np.roll(c, 1)
    o[0] = c[0]
    h = np.maximum(o, c) + rng.integers(0, 4, 180)
    l = np.maximum(np.minimum(o, c) - rng.integers(0, 4, 180), 1)
    v = rng.integers(0, 50, 180) * 100.0
    flat = np.full(480, c[119]), np.full(480, 100.0)
    bars = [np.concatenate([x[:120], flat[0], x[120:]]) for x in (o, h, l, c)]
    return (name, *(np.round(x * tick, 8) for x in bars), np.concatenate([v[:120], flat[1], v[120:]]))


def indicator_series():
    """An ordinary walk; a wild one; one that stands still for long; one of gaps and minutes without volume.

    Then three that stand still for longer: at a usual price, at one of ten-thousandths, and at half a million.
    """
    rng = np.random.Generator(np.random.PCG64(5))
    step = np.cumsum(rng.normal(0, 0.004, BARS))
    close = 80 * np.exp(step)
    yield bars_of("walk", np.roll(close, 1) * 1.0003, close, 0.15, rng.integers(100, 90_000, BARS), rng)

    close = 30 * np.exp(np.cumsum(rng.standard_t(2, BARS) * 0.08))
    close = np.clip(close, 0.05, 40_000)
    yield bars_of("wild", close * np.exp(rng.normal(0, 0.05, BARS)), close, 1.0, rng.integers(0, 10**9, BARS), rng)

    moves = rng.random(BARS) < 0.06
    close = 100.01 + np.cumsum(moves * rng.integers(-3, 4, BARS)) / 100
    close[150:260] = close[150]
    name, o, h, l, c, v = bars_of("flat", close, close, 0.0, rng.integers(0, 3, BARS) * 100, rng)
    yield name, o, h, l, c, v

    gap = (np.arange(BARS) % 39 == 0) * rng.normal(0, 0.06, BARS)
    close = 12 * np.exp(np.cumsum(rng.normal(0, 0.002, BARS) + gap))
    opened = np.roll(close, 1) * np.exp(gap)
    yield bars_of("gaps", opened, close, 0.02, rng.integers(0, 5000, BARS) * (rng.random(BARS) < 0.7), rng)

    yield still_bars("still", 100.0, 0.01, 7)
    yield still_bars("penny", 0.0050, 0.0001, 8)
    yield still_bars("dear", 500_000.0, 0.01, 9)


def columns(o, h, l, c, v):
    macd, signal, hist = talib.MACD(c, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(c, 20, 2.0, 2.0, 0)
    k, d = talib.STOCH(h, l, c, 14, 3, 0, 3, 0)
    fast_k, fast_d = talib.STOCHF(h, l, c, 14, 3, 0)
    rsi_k, rsi_d = talib.STOCHRSI(c, 14, 5, 3, 0)
    down, up = talib.AROON(h, l, 14)
    value, shares = (h + l + c) / 3 * v, v
    with np.errstate(invalid="ignore"):
        vwap = np.cumsum(value) / np.cumsum(shares)
    return {
        "SMA_20": talib.SMA(c, 20), "SMA_3": talib.SMA(c, 3), "EMA_12": talib.EMA(c, 12), "WMA_20": talib.WMA(c, 20),
        "WMA_5": talib.WMA(c, 5), "DEMA_20": talib.DEMA(c, 20), "TEMA_20": talib.TEMA(c, 20),
        "KAMA_30": talib.KAMA(c, 30), "KAMA_10": talib.KAMA(c, 10),
        "MACD_12_26_9": macd, "MACDSIGNAL_12_26_9": signal, "MACDHIST_12_26_9": hist,
        "RSI_14": talib.RSI(c, 14), "RSI_2": talib.RSI(c, 2), "TRANGE": talib.TRANGE(h, l, c),
        "ATR_14": talib.ATR(h, l, c, 14), "ATR_1": talib.ATR(h, l, c, 1), "NATR_14": talib.NATR(h, l, c, 14),
        "ADX_14": talib.ADX(h, l, c, 14), "ADX_5": talib.ADX(h, l, c, 5), "ADXR_14": talib.ADXR(h, l, c, 14),
        "DX_14": talib.DX(h, l, c, 14), "PLUS_DI_14": talib.PLUS_DI(h, l, c, 14),
        "MINUS_DI_14": talib.MINUS_DI(h, l, c, 14),
        "BB_UPPER_20_2": upper, "BB_MIDDLE_20_2": middle, "BB_LOWER_20_2": lower,
        "STDDEV_20": talib.STDDEV(c, 20, 1.0), "STOCH_K_14_3_3": k, "STOCH_D_14_3_3": d,
        "STOCHF_K_14_3": fast_k, "STOCHF_D_14_3": fast_d, "STOCHRSI_K_14_5_3": rsi_k, "STOCHRSI_D_14_5_3": rsi_d,
        "CCI_20": talib.CCI(h, l, c, 20), "MFI_14": talib.MFI(h, l, c, v, 14), "OBV": talib.OBV(c, v),
        "AD": talib.AD(h, l, c, v), "ADOSC_3_10": talib.ADOSC(h, l, c, v, 3, 10), "ROC_10": talib.ROC(c, 10),
        "ROCP_1": talib.ROCP(c, 1), "MOM_10": talib.MOM(c, 10), "WILLR_14": talib.WILLR(h, l, c, 14),
        "SAR_002_02": talib.SAR(h, l, 0.02, 0.2), "AROON_UP_14": up, "AROON_DOWN_14": down,
        "TRIX_30": talib.TRIX(c, 30), "TRIX_5": talib.TRIX(c, 5), "ULTOSC_7_14_28": talib.ULTOSC(h, l, c, 7, 14, 28),
        "LINEARREG_SLOPE_14": talib.LINEARREG_SLOPE(c, 14), "VWAP_CUM": vwap,
    }


def cell(value):
    return "" if np.isnan(value) else f"{value:.11g}"


def price(value):
    """Cents, or ten-thousandths where there are any."""
    return f"{value:.4f}" if round(value * 1e4) % 100 else f"{value:.2f}"


def write_indicators():
    with open(os.path.join(HERE, "talib_indicators.csv"), "w") as out:
        names = None
        for name, o, h, l, c, v in indicator_series():
            table = columns(o, h, l, c, v)
            if names is None:
                names = list(table)
                out.write(",".join(["series", "open", "high", "low", "close", "volume"] + names) + "\n")
            for i in range(len(c)):
                row = [name] + [price(x) for x in (o[i], h[i], l[i], c[i])] + [f"{v[i]:.0f}"]
                if i < 100 or i % 9 == 0:       # every warm-up, then a sample
                    row += [cell(table[k][i]) for k in names]
                out.write(",".join(row) + "\n")


CANDLES = 20_000
STEPS = (1, 2, 3, 5, 8, 20)          # cents; small steps make prices equal and bodies average


def generated(seed, step):
    """Bars in whole cents from SplitMix64; the test has the same lines in Rust."""
    mask = (1 << 64) - 1
    state = seed

    def draw(below):
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) % below

    close, bars = 5000, []
    for _ in range(CANDLES):
        opened = close + (draw(2 * step + 1) - step if draw(2) == 0 else 0)
        reach = 4 * step if draw(5) == 0 else step
        close = opened + draw(2 * reach + 1) - reach
        if not 1000 < close < 50000:
            close = 5000
        high = max(opened, close) + (draw(step + 1) if draw(5) < 3 else 0)
        low = min(opened, close) - (draw(step + 1) if draw(5) < 3 else 0)
        bars.append((opened, high, low, close))
    return bars


# The last candles of patterns that chance brings too rarely: open, high, low, close, in cents from the close before.
RARE = {
    "CDL2CROWS": [(0, 102, -2, 100), (140, 142, 118, 120), (130, 132, 48, 50)],
    "CDL3STARSINSOUTH": [(0, 2, -400, -100), (-60, -50, -200, -120), (-110, -110, -130, -130)],
    "CDLABANDONEDBABY": [(0, 1, -101, -100), (-120, -119, -121, -120), (-110, 1, -111, 0)],
    "CDLBREAKAWAY": [(0, 1, -101, -100), (-120, -119, -141, -140), (-140, -130, -160, -150), (-150, -140, -175, -170),
                     (-170, -105, -172, -110)],
    "CDLCONCEALBABYSWALL": [(0, 0, -100, -100), (-100, -100, -200, -200), (-220, -180, -300, -280),
                            (-170, -170, -310, -310)],
    "CDLMATHOLD": [(0, 101, -1, 100), (125, 127, 112, 115), (112, 116, 96, 98), (105, 107, 88, 90),
                   (95, 150, 94, 148)],
    "CDLRISEFALL3METHODS": [(0, 101, -1, 100), (95, 96, 84, 85), (85, 86, 74, 75), (75, 76, 64, 65),
                            (66, 170, 65, 168)],
    "CDLUPSIDEGAP2CROWS": [(0, 101, -1, 100), (125, 127, 118, 120), (140, 142, 108, 110)],
    "CDLKICKING": [(0, 0, -100, -100), (20, 120, 20, 120)],
    "CDLUNIQUE3RIVER": [(0, 2, -102, -100), (-20, -18, -140, -60), (-130, -118, -132, -122)],
    "CDL3BLACKCROWS": [(0, 120, -1, 100), (90, 91, 0, 0), (60, 61, -50, -50), (20, 21, -100, -100)],
}


def planted():
    """Each rare pattern after quiet candles, as it is and turned upside down."""
    bars, last = [], 20_000
    for shape in RARE.values():
        for sign in (1, -1):
            for i in range(16):
                step = 10 if i % 2 else -10
                bars.append((last, last + max(step, 0) + 6, last + min(step, 0) - 6, last + step))
                last += step
            base = last
            for o, h, l, c in shape:
                edges = (base + sign * h, base + sign * l)
                bars.append((base + sign * o, max(edges), min(edges), base + sign * c))
                last = base + sign * c
    return bars


def fnv1a(hits):
    value = 0xCBF29CE484222325
    for index, hit in hits:
        for byte in int(index).to_bytes(4, "little") + int(hit).to_bytes(2, "little", signed=True):
            value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return value


def pattern_hits(bars):
    """-> {name: [(index, value)...]} of the values that are not zero."""
    columns = [np.array(column) / 100.0 for column in zip(*bars)]
    for name in sorted(talib.get_function_groups()["Pattern Recognition"]):
        values = getattr(talib, name)(*columns)
        at = np.nonzero(values)[0]
        yield name, list(zip(at, values[at]))


def write_patterns():
    """Generated series as counts and hashes of their hits; the planted one in full.

    generated,SEED,STEP,CANDLES | hits,NAME,COUNT,FNV1A of (index: u32, value: i16) in order
    candle,OPEN,HIGH,LOW,CLOSE in cents | hit,NAME,INDEX,VALUE
    """
    total = {}
    with open(os.path.join(HERE, "talib_patterns.csv"), "w") as out:
        for seed, step in enumerate(STEPS, 1):
            out.write(f"generated,{seed},{step},{CANDLES}\n")
            for name, hits in pattern_hits(generated(seed, step)):
                total[name] = total.get(name, 0) + len(hits)
                out.write(f"hits,{name},{len(hits)},{fnv1a(hits):016x}\n")
        bars = planted()
        for bar in bars:
            out.write("candle," + ",".join(map(str, bar)) + "\n")
        for name, hits in pattern_hits(bars):
            total[name] = total.get(name, 0) + len(hits)
            for index, value in hits:
                out.write(f"hit,{name},{index},{value}\n")
    missing = [name for name, count in total.items() if count == 0]
    if missing:
        sys.exit("no hit at all: " + ", ".join(missing))


def main():
    wanted = sys.argv[1:] or ["indicators", "patterns"]
    if "indicators" in wanted:
        write_indicators()
    if "patterns" in wanted:
        write_patterns()


if __name__ == "__main__":
    main()
