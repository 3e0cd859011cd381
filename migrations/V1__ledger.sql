-- What the file is, who writes it, under which settings, and what happened to the program itself.
--
-- Conventions of every table: money and prices are `*_e8` (10^-8 of the currency), quantities `*_e9`
-- (10^-9 of a share), instants `*_at_ms` (UTC milliseconds), states are words, lists are JSON.

PRAGMA application_id = 1145195313; -- "DBK1": how `file`, and this program, tell a ledger from any other database

-- The ledger's identity. It never changes, except for the simulated clock's position.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY CHECK (key IN ('ledger_id', 'kind', 'account', 'arguments', 'created_at_ms', 'simulated_now_ms')),
  value TEXT NOT NULL,
  CHECK (key <> 'ledger_id' OR (length(value) = 8 AND value NOT GLOB '*[^0-9a-f]*')),
  CHECK (key <> 'kind' OR value IN ('live', 'simulation', 'replay'))
) STRICT, WITHOUT ROWID;

-- Who may write decisions: the holder of the highest epoch. Every transaction of a scheduler reads it again.
CREATE TABLE lease (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  epoch       INTEGER NOT NULL CHECK (epoch >= 1),
  holder      TEXT NOT NULL,
  taken_at_ms INTEGER NOT NULL
) STRICT;

-- The settings as they were, each time they changed. Runs name the one they decided under by its hash.
CREATE TABLE config_version (
  config_version_id INTEGER PRIMARY KEY,
  hash              TEXT NOT NULL,
  body              TEXT NOT NULL,
  origin            TEXT NOT NULL,
  note              TEXT,
  recorded_at_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX config_version_hash ON config_version (hash);

-- What the program itself lived through: starts, stops, clock steps, failing parts.
CREATE TABLE event (
  event_id INTEGER PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  name     TEXT NOT NULL CHECK (name GLOB '?*.?*'), -- noun.verb
  level    TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
  run_id   INTEGER REFERENCES run,
  symbol   TEXT,
  message  TEXT NOT NULL,
  data     TEXT CHECK (data IS NULL OR json_valid(data))
) STRICT;
CREATE INDEX event_at ON event (at_ms);
CREATE INDEX event_run ON event (run_id) WHERE run_id IS NOT NULL;

-- Every change of the program's phase; the last row is the phase in force.
CREATE TABLE phase_change (
  phase_change_id INTEGER PRIMARY KEY,
  at_ms           INTEGER NOT NULL,
  from_phase      TEXT CHECK (from_phase IN ('STOPPED', 'PRE_MARKET', 'TRADING', 'POST_MARKET', 'SAFE_MODE', 'ERROR')),
  to_phase        TEXT NOT NULL CHECK (to_phase IN ('STOPPED', 'PRE_MARKET', 'TRADING', 'POST_MARKET', 'SAFE_MODE', 'ERROR')),
  reason          TEXT NOT NULL,
  CHECK (from_phase IS NULL OR from_phase <> to_phase)
) STRICT;

-- What a person asked of the scheduler through `trade`. The nonce makes asking twice the same as asking once.
CREATE TABLE command (
  command_id      INTEGER PRIMARY KEY,
  nonce           TEXT NOT NULL UNIQUE,
  name            TEXT NOT NULL,
  arguments       TEXT NOT NULL CHECK (json_valid(arguments)),
  requested_by    TEXT NOT NULL,
  requested_at_ms INTEGER NOT NULL,
  state           TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'taken', 'done', 'failed', 'refused')),
  result          TEXT,
  taken_at_ms     INTEGER,
  finished_at_ms  INTEGER,
  CHECK ((taken_at_ms IS NOT NULL) = (state <> 'pending')),
  CHECK ((finished_at_ms IS NOT NULL) = (state IN ('done', 'failed', 'refused')))
) STRICT;
CREATE INDEX command_open ON command (command_id) WHERE state IN ('pending', 'taken');
