-- Jobs, the slots at which they were due, and what came of each.

CREATE TABLE job (
  name          TEXT PRIMARY KEY,
  kind          TEXT NOT NULL,
  definition    TEXT NOT NULL CHECK (json_valid(definition)),
  paused        INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  horizon_at_ms INTEGER NOT NULL, -- every slot up to here is accounted for; never goes back
  pace          TEXT NOT NULL DEFAULT 'normal' CHECK (pace IN ('fast', 'normal', 'slow')),
  pace_since_ms INTEGER,
  updated_at_ms INTEGER NOT NULL
) STRICT;

-- A clock that was set back must not replay a slot.
CREATE TRIGGER job_horizon_never_goes_back BEFORE UPDATE OF horizon_at_ms ON job
WHEN new.horizon_at_ms < old.horizon_at_ms
BEGIN
  SELECT raise(ABORT, 'the horizon of a job never goes back');
END;

-- One row for each slot that came due. (job, slot) is unique: a second decision for a slot has no place to be.
CREATE TABLE run (
  run_id         INTEGER PRIMARY KEY,
  job            TEXT NOT NULL,
  kind           TEXT NOT NULL,
  slot_at_ms     INTEGER NOT NULL,
  session        TEXT CHECK (session GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  trigger        TEXT NOT NULL CHECK (trigger IN ('schedule', 'boot', 'manual')),
  state          TEXT NOT NULL CHECK (state IN ('due', 'claimed', 'decided', 'done', 'failed', 'dead', 'skipped', 'expired', 'canceled')),
  attempt        INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  crash_attempts INTEGER NOT NULL DEFAULT 0 CHECK (crash_attempts >= 0), -- claims that never came back
  not_before_ms  INTEGER NOT NULL,
  expires_at_ms  INTEGER,
  epoch          INTEGER,          -- the lease under which it was claimed last
  config_hash    TEXT,             -- the settings under which it was claimed last
  due_at_ms      INTEGER NOT NULL, -- when the row was written
  started_at_ms  INTEGER,
  lateness_us    INTEGER,          -- the start of the last attempt against the slot's instant
  decided_at_ms  INTEGER,
  finished_at_ms INTEGER,
  reason         TEXT,             -- why it ended as it did, or why its last attempt failed
  summary        TEXT,             -- what it decided, in one line
  arguments      TEXT CHECK (arguments IS NULL OR json_valid(arguments)), -- what a person asked for, for a manual run
  UNIQUE (job, slot_at_ms),
  CHECK ((finished_at_ms IS NOT NULL) = (state IN ('done', 'dead', 'skipped', 'expired', 'canceled'))),
  CHECK (state NOT IN ('decided', 'done') OR decided_at_ms IS NOT NULL)
) STRICT;
CREATE INDEX run_open ON run (state, not_before_ms) WHERE state IN ('due', 'claimed', 'decided', 'failed');
CREATE INDEX run_kind ON run (kind, slot_at_ms);
CREATE INDEX run_session ON run (session, job) WHERE session IS NOT NULL;

-- The facts and the decision of a run, from which it can be decided again and compared.
CREATE TABLE run_record (
  run_id          INTEGER PRIMARY KEY REFERENCES run,
  parameters      TEXT NOT NULL CHECK (json_valid(parameters)), -- of its job, or of the person who asked for it
  facts           TEXT NOT NULL,
  decision        TEXT NOT NULL,
  settings_hash   TEXT NOT NULL,
  decision_sha256 TEXT NOT NULL
) STRICT;

-- The bars among a run's facts, by reference: they are immutable rows of their own.
CREATE TABLE run_bar (
  run_id        INTEGER NOT NULL REFERENCES run,
  symbol        TEXT NOT NULL,
  from_at_ms    INTEGER NOT NULL,
  through_at_ms INTEGER NOT NULL,
  bars          INTEGER NOT NULL CHECK (bars >= 0),
  PRIMARY KEY (run_id, symbol)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_attempt (
  run_id        INTEGER NOT NULL REFERENCES run,
  attempt       INTEGER NOT NULL,
  started_at_ms INTEGER NOT NULL,
  ended_at_ms   INTEGER,
  error         TEXT,
  PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;

-- Slots that nobody was there for: one row an outage, however long it was.
CREATE TABLE missed_range (
  missed_range_id INTEGER PRIMARY KEY,
  job             TEXT NOT NULL,
  from_at_ms      INTEGER NOT NULL,
  to_at_ms        INTEGER NOT NULL CHECK (to_at_ms >= from_at_ms),
  slots           INTEGER NOT NULL CHECK (slots >= 1),
  reason          TEXT NOT NULL,
  recorded_at_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX missed_range_job ON missed_range (job, from_at_ms);
