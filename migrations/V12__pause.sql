-- Pauses of entries: latches that the record of trades sets and that end by themselves.

CREATE TABLE pause (
  pause_id      INTEGER PRIMARY KEY,
  kind          TEXT NOT NULL CHECK (kind IN ('stop_loss_guard', 'loss_cooldown', 'trade_drawdown', 'low_profit',
                                              'loss_streak')),
  symbol        TEXT,                   -- NULL: no symbol is entered
  numbers       TEXT NOT NULL CHECK (json_valid(numbers)),
  set_at_ms     INTEGER NOT NULL,
  set_by_run    INTEGER NOT NULL REFERENCES run,
  until_ms      INTEGER NOT NULL,
  cleared_at_ms INTEGER,                -- a person has ended it before its time
  cleared_by    TEXT,
  clear_reason  TEXT,
  CHECK (set_at_ms < until_ms),
  CHECK ((cleared_at_ms IS NULL) = (cleared_by IS NULL)),
  CHECK (clear_reason IS NULL OR cleared_at_ms IS NOT NULL)
) STRICT;
CREATE INDEX pause_by_end ON pause (until_ms);
CREATE INDEX pause_by_begin ON pause (set_at_ms);
