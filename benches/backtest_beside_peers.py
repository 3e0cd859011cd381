#!/usr/bin/env python3
"""The benchmark's opening-range breakout: Daybook beside its peers, on the same bars, one after the other.

usage: backtest_beside_peers.py --bench DIR --data DIR [--trade PATH] [--peer NAME=PYTHON ...] [--format csv|parquet] [SET...]
  SET      a_1x252 | a_50x20 | a_500x5 (default: all)

  --bench  the folder with make_data.py, a_reference.py, check_trades.py and the peers' scripts (a_NAME.py)
  --data   where make_data.py has written its sets; what is missing is made
  --peer   a peer to run and the Python that has it: vectorbt=venv/bin/python, nautilus=..., backtesting=...

The reference list of every set and variant is computed anew by a_reference.py, so bars of another seed do as well.
Needs numpy and pyarrow, which are tools of this comparison alone. Ends with 1 if a trade differs.
"""
import argparse
import csv
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile

SETS = ["a_1x252", "a_50x20", "a_500x5"]
VARIANTS = ["market", "market_close", "bracket", "bracket_close"]
HERE = os.path.dirname(os.path.abspath(__file__))


def run(*command, **options):
    """The command's standard output, and the CPU seconds of the whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return out, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def nanoseconds(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) * 1_000_000_000


def as_reference(trades, out):
    """Writes our list of trades as the peers write theirs, in their order."""
    with open(trades) as file:
        rows = [(t["symbol"], nanoseconds(t["entry_ts_utc"]), t["entry_price"], nanoseconds(t["exit_ts_utc"]),
                 t["exit_price"], t["pnl"]) for t in csv.DictReader(file)]
    with open(out, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("symbol", "entry_ts", "entry", "exit_ts", "exit", "pnl"))
        writer.writerows(sorted(rows))


def line(name, bars, trades, engine_s, process_s, mib):
    print(f"  {name:34} {trades:6} trades  engine {engine_s:8.4f} s, {bars / max(engine_s, 1e-6) / 1e6:7.2f} M bars/s  "
          f"process {process_s:7.2f} s  {mib:6.0f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--trade", default="trade")
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--format", choices=["csv", "parquet"], default="csv")
    parser.add_argument("sets", nargs="*")
    options = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in options.peer)
    different = []
    with tempfile.TemporaryDirectory() as scratch:
        environment = dict(os.environ, PERF_DATA=options.data, PERF_RESULTS=scratch)
        for name in options.sets or SETS:
            path = os.path.join(options.data, f"{name}.{options.format}")
            if not os.path.exists(path):
                run(sys.executable, os.path.join(options.bench, "make_data.py"), "--out", options.data, name)
            print(name)
            for variant in VARIANTS:
                reference = [os.path.join(options.bench, "a_reference.py"), name, variant]
                run(sys.executable, *reference, env=environment)
                expected = os.path.join(scratch, f"trades_{name}_reference-{variant}.csv")
                trades, ours = os.path.join(scratch, "trades.csv"), os.path.join(scratch, f"trades_{name}_{variant}.csv")
                config = os.path.join(HERE, f"orb-{variant}.yaml")
                command = [options.trade, "backtest", "--config", config, "--bars", path, "--trades", trades, "--json"]
                out, process_s = run(*command)
                told = json.loads(out)
                as_reference(trades, ours)
                with open(expected) as theirs, open(ours) as mine:
                    if theirs.read() != mine.read():
                        different.append(f"{name} {variant}")
                line(f"trade backtest, {variant}", told["bars"], told["trades"], told["engine_cpu_s"], process_s,
                     told["peak_rss_mib"])
            for peer, python in peers.items():
                script = os.path.join(options.bench, f"a_{peer}.py")
                try:
                    out, process_s = run(python, script, name, env=environment)
                except subprocess.CalledProcessError as error:
                    print(f"  {peer}: failed: {error.stderr.strip().splitlines()[-1:]}")
                    continue
                for told in map(json.loads, out.strip().splitlines()):
                    line(told["engine"], told["bars"], told["trades"], told.get("engine_cpu_s", 0.0), process_s,
                         told["peak_rss_mib"])
    if different:
        sys.exit(f"trades differ from the reference: {', '.join(different)}")
    print("every trade of every variant is that of the reference")


main()
