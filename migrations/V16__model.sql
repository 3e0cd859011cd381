-- Models that are asked what they make of a symbol: the calls so far, and who gave no score. What they answered stands
-- among the facts of the run that asked.

-- Calls are counted before they are made, and those that were not made are taken off again: who dies in between has
-- spent them.
CREATE TABLE model_call (
  session    TEXT NOT NULL,
  job        TEXT NOT NULL,
  slot_at_ms INTEGER NOT NULL,
  calls      INTEGER NOT NULL CHECK (calls >= 0),
  PRIMARY KEY (session, job, slot_at_ms)
) STRICT, WITHOUT ROWID;

-- The first fault of each model in a session: a person was told of it.
CREATE TABLE model_fault (
  session TEXT NOT NULL,
  model   TEXT NOT NULL,              -- its name in the configuration
  reason  TEXT NOT NULL,
  run_id  INTEGER NOT NULL REFERENCES run,
  at_ms   INTEGER NOT NULL,
  PRIMARY KEY (session, model)
) STRICT, WITHOUT ROWID;
