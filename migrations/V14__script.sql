-- Strategies that are scripts: their texts, by which runs are decided again, and the faults that have stopped them.

-- Each text once, by its hash; a version of the settings names it by that.
CREATE TABLE script (
  sha256         TEXT PRIMARY KEY CHECK (length(sha256) = 64),
  text           TEXT NOT NULL,
  recorded_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A script that has failed proposes nothing more under the same text and the same parameters.
CREATE TABLE script_fault (
  script_fault_id INTEGER PRIMARY KEY,
  strategy        TEXT NOT NULL,        -- its name in the configuration
  sha256          TEXT NOT NULL,
  params          TEXT NOT NULL CHECK (json_valid(params)),
  symbol          TEXT NOT NULL,        -- that it was asked about
  message         TEXT NOT NULL,        -- what went wrong, with the place in the file
  run_id          INTEGER NOT NULL REFERENCES run,
  at_ms           INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX script_fault_of ON script_fault (strategy, sha256, params);
