-- What the market was like at each look of an analysis: the history that thresholds may be percentiles of, and why a
-- pace was chosen. A job that is backed off from the market's pace is so until its session's close.

ALTER TABLE job ADD COLUMN backed_off_until_ms INTEGER;

CREATE TABLE regime (
  run_id            INTEGER PRIMARY KEY REFERENCES run,
  session           TEXT NOT NULL CHECK (session GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  at_ms             INTEGER NOT NULL,
  regime            TEXT NOT NULL CHECK (regime IN ('volatile', 'normal', 'quiet')),
  pace              TEXT NOT NULL CHECK (pace IN ('fast', 'normal', 'slow')), -- of the job from then on
  measure           TEXT NOT NULL CHECK (measure IN ('close', 'parkinson', 'garman_klass')),
  volatility_bps    INTEGER CHECK (volatility_bps >= 0),  -- the symbols' median, a year; null where none was measured
  symbols           INTEGER NOT NULL CHECK (symbols >= 0),
  volatile_from_bps INTEGER NOT NULL,
  quiet_to_bps      INTEGER NOT NULL,
  observations      INTEGER CHECK (observations >= 1),    -- that the thresholds are percentiles of; null: levels
  unchanged         INTEGER NOT NULL CHECK (unchanged >= 0), -- looks in a row that had seen nothing new
  CHECK ((volatility_bps IS NULL) = (symbols = 0))
) STRICT;
CREATE INDEX regime_history ON regime (measure, session, volatility_bps);

CREATE VIEW v_regime AS SELECT
  regime.run_id,
  job,
  regime.session,
  strftime('%Y-%m-%dT%H:%M:%SZ', at_ms / 1000, 'unixepoch') AS at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS at_ny,
  regime,
  pace,
  measure,
  volatility_bps / 100.0 AS volatility_pct,
  symbols,
  volatile_from_bps / 100.0 AS volatile_from_pct,
  quiet_to_bps / 100.0 AS quiet_to_pct,
  observations,
  unchanged AS unchanged_looks
FROM regime JOIN run USING (run_id) ORDER BY at_ms, regime.run_id;
