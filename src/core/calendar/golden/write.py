"""Writes the golden files of the XNYS calendar from the package exchange_calendars."""

import csv
from datetime import timedelta
from pathlib import Path

import exchange_calendars
import pandas

FIRST, LAST = "1990-01-01", "2030-12-31"
HERE = Path(__file__).parent

calendar = exchange_calendars.get_calendar("XNYS", start=FIRST, end=LAST)
sessions = calendar.schedule[["open", "close"]]
early_file, closed_file = HERE / "xnys_early.csv", HERE / "xnys_closed.csv"

with early_file.open("w", newline="") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["date", "open_utc", "close_utc"])
    for date, session in sessions.iterrows():
        wall = [session[at].tz_convert("America/New_York").strftime("%H:%M") for at in ("open", "close")]
        if wall != ["09:30", "16:00"]:
            rows.writerow([date.date(), *(session[at].strftime("%Y-%m-%dT%H:%M:%SZ") for at in ("open", "close"))])

names = {}
if closed_file.exists():
    with closed_file.open(newline="") as file:
        names = {row["date"]: row["name"] for row in csv.DictReader(file)}

with closed_file.open("w", newline="") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["date", "name"])
    date, last = pandas.Timestamp(FIRST), pandas.Timestamp(LAST)
    open_days = set(sessions.index)
    while date <= last:
        if date.weekday() < 5 and date not in open_days:
            rows.writerow([date.date(), names.get(str(date.date()), "")])
        date += timedelta(1)
