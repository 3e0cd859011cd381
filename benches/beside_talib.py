#!/usr/bin/env python3
"""The benchmark's scan of a universe: Daybook beside TA-Lib's C functions, on the same bars, one after the other.

usage: beside_talib.py --bench DIR --data DIR [--trade PATH] [SET...]     SET: b_minute | b_daily (default: both)

  --bench  the folder with make_data.py, b_scan_talib.py, b_scan_c.c and expected/
  --data   where make_data.py has written its sets; what is missing is made

Needs gcc, numpy, pyarrow and TA-Lib 0.8, which are tools of this comparison alone. Both run on CSV and doubles made of
the same bars. TA-Lib's figure is the CPU time inside its functions, on every bar; `trade scan` asks for the patterns of
the last bar alone, so `cargo bench -p daybook-core` is the figure to compare bar by bar. Ends with 1 if the ranking, a
score to six decimals, or the number of patterns differs from what TA-Lib gives.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

import talib

SHAPES = {"b_minute": (5000, 390), "b_daily": (10000, 250)}


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def talib_library():
    beside = os.path.join(os.path.dirname(talib.__file__), "..", "ta_lib.libs", "libta-lib*.so*")
    found = glob.glob(beside)
    return found[0] if found else "libta-lib.so"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--trade", default="trade")
    parser.add_argument("sets", nargs="*")
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    environment = dict(os.environ, PERF_DATA=options.data)

    print(f"{'set':10} {'measured by':28} {'CPU s':>7} {'patterns':>9}")
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        program = os.path.join(scratch, "b_scan_c")
        run("gcc", "-O2", "-o", program, os.path.join(options.bench, "b_scan_c.c"), "-ldl", "-lm")
        for name in options.sets or SHAPES:
            symbols, bars = SHAPES[name]
            path = os.path.join(options.data, name)
            if not os.path.exists(path + ".csv"):
                run(sys.executable, os.path.join(options.bench, "make_data.py"), "--out", options.data, name)
            if not os.path.exists(path + ".f64"):
                run(sys.executable, os.path.join(options.bench, "b_scan_talib.py"), name, "--dump", env=environment)
            theirs = run(program, talib_library(), path + ".f64", str(symbols), str(bars), "5")
            seconds, patterns = re.search(r"batch total +([\d.]+) s.*last bar (\d+)", theirs).groups()
            print(f"{name:10} {'TA-Lib, inside its functions':28} {seconds:>7} {patterns:>9}")

            config = os.path.join(here, "scan.yaml")
            ours = json.loads(run(options.trade, "scan", "--config", config, "--bars", path + ".csv", "--json"))
            figures = f"{ours['scan_cpu_s']:7.3f} {ours['patterns_on_last_bar']:9}"
            print(f"{name:10} {'trade scan, measuring':28} {figures}")
            print(f"{name:10} {'trade scan, reading the CSV':28} {ours['load_cpu_s']:7.3f}")

            with open(os.path.join(options.bench, "expected", f"scan_{name}.json")) as file:
                expected = json.load(file)
            ranking = [[ranked["symbol"], round(ranked["score"], 6)] for ranked in ours["ranking"]]
            if ranking != expected["top10"] or ours["patterns_on_last_bar"] != int(patterns):
                wrong.append(name)
    if wrong:
        sys.exit(f"not what TA-Lib gives: {', '.join(wrong)}")
    print("rankings, scores and patterns are those of TA-Lib")


main()
