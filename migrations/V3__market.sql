-- One-minute bars as they were first seen. Runs refer to them, so they never change: a feed that corrects
-- itself later is reported, and what was decided can still be decided again.

CREATE TABLE bar (
  symbol      TEXT NOT NULL,
  start_at_ms INTEGER NOT NULL,
  open_e8     INTEGER NOT NULL CHECK (open_e8 > 0),
  high_e8     INTEGER NOT NULL,
  low_e8      INTEGER NOT NULL CHECK (low_e8 > 0),
  close_e8    INTEGER NOT NULL CHECK (close_e8 > 0),
  volume_e9   INTEGER NOT NULL CHECK (volume_e9 >= 0),
  source      TEXT NOT NULL,
  PRIMARY KEY (symbol, start_at_ms),
  CHECK (high_e8 >= max(open_e8, close_e8, low_e8)),
  CHECK (low_e8 <= min(open_e8, close_e8))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER bar_is_immutable BEFORE UPDATE ON bar
BEGIN
  SELECT raise(ABORT, 'a bar never changes');
END;
