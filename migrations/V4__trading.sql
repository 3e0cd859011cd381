-- From what was looked at to what was earned: scans, signals, verdicts, intents, orders, fills, positions,
-- the account's figures, and the latches that stop it all.

-- A scan of the market; a session's candidates are those of its last scan.
CREATE TABLE scan (
  scan_id INTEGER PRIMARY KEY,
  run_id  INTEGER NOT NULL UNIQUE REFERENCES run,
  session TEXT,
  at_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX scan_session ON scan (session, scan_id);

CREATE TABLE candidate (
  scan_id INTEGER NOT NULL REFERENCES scan,
  rank    INTEGER NOT NULL CHECK (rank >= 1),
  symbol  TEXT NOT NULL,
  score   INTEGER NOT NULL, -- comparable within one scan only
  factors TEXT NOT NULL CHECK (json_valid(factors)),
  PRIMARY KEY (scan_id, symbol)
) STRICT, WITHOUT ROWID;
CREATE INDEX candidate_symbol ON candidate (symbol, scan_id);

-- What a strategy proposed.
CREATE TABLE signal (
  signal_id      INTEGER PRIMARY KEY,
  run_id         INTEGER NOT NULL REFERENCES run,
  ordinal        INTEGER NOT NULL, -- its place in the run's decision
  session        TEXT,
  at_ms          INTEGER NOT NULL,
  symbol         TEXT NOT NULL,
  strategy       TEXT NOT NULL,
  direction      TEXT NOT NULL CHECK (direction IN ('long', 'short')),
  entry_e8       INTEGER NOT NULL,
  stop_e8        INTEGER NOT NULL,
  target_e8      INTEGER NOT NULL,
  confidence_bps INTEGER NOT NULL,
  reasons        TEXT NOT NULL CHECK (json_valid(reasons)),
  valid_until_ms INTEGER NOT NULL,
  UNIQUE (run_id, ordinal)
) STRICT;
CREATE INDEX signal_session ON signal (session, symbol);
CREATE INDEX signal_symbol ON signal (symbol, at_ms);

-- Risk's answer to a signal: a size, or the check that refused it; and every check with its numbers.
CREATE TABLE verdict (
  signal_id   INTEGER PRIMARY KEY REFERENCES signal,
  quantity_e9 INTEGER CHECK (quantity_e9 > 0),
  refused_by  TEXT,
  checks      TEXT NOT NULL CHECK (json_valid(checks)),
  leg         INTEGER, -- of the intent that came of it
  CHECK ((quantity_e9 IS NULL) = (refused_by IS NOT NULL)),
  CHECK (leg IS NULL OR refused_by IS NULL)
) STRICT;

-- What a decision wants done at the broker, committed before it is tried.
CREATE TABLE intent (
  intent_id       INTEGER PRIMARY KEY,
  run_id          INTEGER NOT NULL REFERENCES run,
  leg             INTEGER NOT NULL,
  purpose         TEXT NOT NULL CHECK (purpose IN ('exit', 'protect', 'cancel_entry', 'adjust', 'enter')),
  action          TEXT NOT NULL CHECK (action IN ('submit', 'cancel', 'replace_stop', 'close')),
  client_order_id TEXT UNIQUE, -- the key under which the broker takes it once
  broker_order_id TEXT,        -- the order that is canceled or moved
  symbol          TEXT NOT NULL,
  side            TEXT CHECK (side IN ('buy', 'sell')),
  quantity_e9     INTEGER CHECK (quantity_e9 > 0),
  terms           TEXT NOT NULL CHECK (json_valid(terms)), -- the whole action
  reason          TEXT NOT NULL,
  signal_id       INTEGER UNIQUE REFERENCES signal,
  decided_at_ms   INTEGER NOT NULL,
  valid_until_ms  INTEGER,
  state           TEXT NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'submitting', 'unknown', 'acked', 'terminal', 'abandoned', 'conflict')),
  attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0), -- how often it was sent
  submitted_at_ms INTEGER, -- when it was sent first
  settled_at_ms   INTEGER, -- when nothing was left to do for the dispatcher
  outcome         TEXT,    -- what the broker or the dispatcher said
  UNIQUE (run_id, leg),
  CHECK ((client_order_id IS NOT NULL) = (action IN ('submit', 'close'))),
  CHECK ((broker_order_id IS NOT NULL) = (action IN ('cancel', 'replace_stop'))),
  CHECK ((side IS NOT NULL) = (action = 'submit') AND (quantity_e9 IS NOT NULL) = (action = 'submit')),
  CHECK ((settled_at_ms IS NOT NULL) = (state IN ('acked', 'terminal', 'abandoned', 'conflict'))),
  CHECK (submitted_at_ms IS NOT NULL OR state IN ('pending', 'abandoned'))
) STRICT;
CREATE INDEX intent_open ON intent (intent_id) WHERE state IN ('pending', 'submitting', 'unknown', 'acked');
CREATE INDEX intent_symbol ON intent (symbol, decided_at_ms);

-- Orders as the broker showed them last, ours and strangers'.
CREATE TABLE broker_order (
  account                TEXT NOT NULL,
  broker_order_id        TEXT NOT NULL,
  client_order_id        TEXT NOT NULL,
  parent_client_order_id TEXT, -- for a leg
  intent_id              INTEGER REFERENCES intent, -- NULL: not decided in this ledger
  role                   TEXT NOT NULL CHECK (role IN ('parent', 'take_profit', 'stop_loss')),
  symbol                 TEXT NOT NULL,
  side                   TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
  order_type             TEXT NOT NULL CHECK (order_type IN ('market', 'limit', 'stop', 'stop_limit', 'trailing_stop')),
  limit_e8               INTEGER,
  stop_e8                INTEGER,
  trail_e8               INTEGER,
  trail_bps              INTEGER,
  class                  TEXT NOT NULL CHECK (class IN ('simple', 'bracket', 'oco')),
  take_profit_e8         INTEGER,
  stop_loss_e8           INTEGER,
  time_in_force          TEXT NOT NULL CHECK (time_in_force IN ('day', 'gtc')),
  quantity_e9            INTEGER NOT NULL CHECK (quantity_e9 > 0),
  filled_e9              INTEGER NOT NULL CHECK (filled_e9 >= 0),
  average_price_e8       INTEGER,
  status                 TEXT NOT NULL CHECK (status IN ('accepted', 'held', 'new', 'partially_filled', 'pending_cancel',
                                                         'filled', 'canceled', 'expired', 'rejected', 'replaced')),
  reason                 TEXT,
  submitted_at_ms        INTEGER NOT NULL,
  updated_at_ms          INTEGER NOT NULL,
  first_seen_at_ms       INTEGER NOT NULL, -- when the ledger wrote it first
  PRIMARY KEY (account, broker_order_id),
  CHECK ((limit_e8 IS NOT NULL) = (order_type IN ('limit', 'stop_limit'))),
  CHECK ((stop_e8 IS NOT NULL) = (order_type IN ('stop', 'stop_limit'))),
  CHECK ((trail_e8 IS NOT NULL) + (trail_bps IS NOT NULL) = (order_type = 'trailing_stop')),
  CHECK ((take_profit_e8 IS NOT NULL) = (class = 'bracket')),
  CHECK ((stop_loss_e8 IS NOT NULL) = (class IN ('bracket', 'oco')))
) STRICT, WITHOUT ROWID;
CREATE INDEX broker_order_client ON broker_order (client_order_id);
CREATE INDEX broker_order_intent ON broker_order (intent_id) WHERE intent_id IS NOT NULL;
CREATE INDEX broker_order_submitted ON broker_order (submitted_at_ms);
CREATE INDEX broker_order_open ON broker_order (account, symbol)
  WHERE status IN ('accepted', 'held', 'new', 'partially_filled', 'pending_cancel');

-- Every change of an order that was seen.
CREATE TABLE broker_order_event (
  broker_order_event_id INTEGER PRIMARY KEY,
  account               TEXT NOT NULL,
  broker_order_id       TEXT NOT NULL,
  status                TEXT NOT NULL,
  filled_e9             INTEGER NOT NULL,
  average_price_e8      INTEGER,
  stop_e8               INTEGER,
  reason                TEXT,
  at_ms                 INTEGER NOT NULL, -- the broker's word
  recorded_at_ms        INTEGER NOT NULL,
  FOREIGN KEY (account, broker_order_id) REFERENCES broker_order
) STRICT;
CREATE INDEX broker_order_event_order ON broker_order_event (account, broker_order_id);

-- A position from its opening fill to its last: the fold of its fills, and what was decided about it.
CREATE TABLE position (
  position_id     INTEGER PRIMARY KEY,
  account         TEXT NOT NULL,
  session         TEXT NOT NULL, -- the date in New York on which it was opened
  symbol          TEXT NOT NULL,
  direction       TEXT NOT NULL CHECK (direction IN ('long', 'short')),
  state           TEXT NOT NULL CHECK (state IN ('open', 'monitoring', 'adjusting', 'closing', 'closed')),
  strategy        TEXT, -- NULL: not opened by a decision
  quantity_e9     INTEGER NOT NULL CHECK (quantity_e9 >= 0),
  quantity_max_e9 INTEGER NOT NULL,
  entered_e9      INTEGER NOT NULL,
  entry_value_e8  INTEGER NOT NULL,
  exit_value_e8   INTEGER NOT NULL,
  cost_e8         INTEGER NOT NULL,
  entry_price_e8  INTEGER NOT NULL,
  exit_price_e8   INTEGER,
  initial_stop_e8 INTEGER,
  stop_e8         INTEGER,
  target_e8       INTEGER,
  adjustments     INTEGER NOT NULL CHECK (adjustments >= 0),
  best_price_e8   INTEGER NOT NULL,
  opened_at_ms    INTEGER NOT NULL,
  closed_at_ms    INTEGER,
  realised_e8     INTEGER NOT NULL,
  fees_e8         INTEGER NOT NULL,
  exit_reason     TEXT,
  CHECK ((closed_at_ms IS NOT NULL) = (state = 'closed')),
  CHECK ((quantity_e9 = 0) = (state = 'closed')),
  CHECK (quantity_max_e9 >= quantity_e9 AND entered_e9 >= quantity_max_e9)
) STRICT;
CREATE UNIQUE INDEX position_one_open ON position (account, symbol) WHERE closed_at_ms IS NULL;
CREATE INDEX position_session ON position (session, symbol);
CREATE INDEX position_closed ON position (closed_at_ms) WHERE closed_at_ms IS NOT NULL;

-- Executions. A correction is another execution.
CREATE TABLE fill (
  fill_id         INTEGER PRIMARY KEY,
  account         TEXT NOT NULL,
  execution_id    TEXT NOT NULL,
  broker_order_id TEXT NOT NULL,
  client_order_id TEXT NOT NULL,
  symbol          TEXT NOT NULL,
  side            TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
  quantity_e9     INTEGER NOT NULL CHECK (quantity_e9 > 0),
  price_e8        INTEGER NOT NULL CHECK (price_e8 >= 0),
  fee_e8          INTEGER NOT NULL, -- positive is a cost
  realised_e8     INTEGER NOT NULL, -- by this execution, before its fee
  session         TEXT NOT NULL,    -- the date in New York on which it traded
  at_ms           INTEGER NOT NULL,
  recorded_at_ms  INTEGER NOT NULL,
  position_id     INTEGER NOT NULL REFERENCES position, -- which it opened, added to or reduced last
  UNIQUE (account, execution_id)
) STRICT;
CREATE INDEX fill_session ON fill (session, account);
CREATE INDEX fill_symbol ON fill (symbol, at_ms);
CREATE INDEX fill_position ON fill (position_id);

CREATE TRIGGER fill_is_immutable BEFORE UPDATE ON fill
BEGIN
  SELECT raise(ABORT, 'a fill never changes: a correction is another one');
END;

-- How far the broker's list of fills has been read; it moves in the transaction that stores the page.
CREATE TABLE fill_cursor (
  account       TEXT PRIMARY KEY,
  cursor        TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT;

-- What happened to a position, and because of what.
CREATE TABLE position_event (
  position_event_id INTEGER PRIMARY KEY,
  position_id       INTEGER NOT NULL REFERENCES position,
  at_ms             INTEGER NOT NULL,
  kind              TEXT NOT NULL,
  run_id            INTEGER REFERENCES run,
  fill_id           INTEGER REFERENCES fill,
  state             TEXT NOT NULL,    -- after it
  quantity_e9       INTEGER NOT NULL, -- after it
  stop_e8           INTEGER,          -- after it
  detail            TEXT,
  CHECK (run_id IS NULL OR fill_id IS NULL)
) STRICT;
CREATE INDEX position_event_position ON position_event (position_id);

-- Equity at a session's open: what the day's result is measured from.
CREATE TABLE session_equity (
  session           TEXT PRIMARY KEY,
  opening_equity_e8 INTEGER NOT NULL,
  at_ms             INTEGER NOT NULL,
  run_id            INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE equity (
  run_id            INTEGER PRIMARY KEY REFERENCES run,
  session           TEXT NOT NULL,
  at_ms             INTEGER NOT NULL,
  equity_e8         INTEGER NOT NULL,
  opening_equity_e8 INTEGER NOT NULL,
  exposure_e8       INTEGER NOT NULL CHECK (exposure_e8 >= 0),
  realised_e8       INTEGER NOT NULL,
  unrealised_e8     INTEGER NOT NULL,
  fees_e8           INTEGER NOT NULL
) STRICT;
CREATE INDEX equity_session ON equity (session, at_ms);
CREATE INDEX equity_peak ON equity (equity_e8);

-- Latches that stop new entries; one of a kind is in force at a time.
CREATE TABLE halt (
  halt_id       INTEGER PRIMARY KEY,
  kind          TEXT NOT NULL CHECK (kind IN ('emergency_stop', 'max_drawdown', 'manual', 'conflict', 'stale_marks',
                                              'clock_step', 'safe_mode')),
  reason        TEXT NOT NULL,
  numbers       TEXT NOT NULL CHECK (json_valid(numbers)),
  set_at_ms     INTEGER NOT NULL,
  set_by_run    INTEGER REFERENCES run, -- NULL: by a person
  until_ms      INTEGER,                -- NULL: until a person resumes
  cleared_at_ms INTEGER,
  cleared_by    TEXT,
  clear_reason  TEXT,
  CHECK ((cleared_at_ms IS NULL) = (cleared_by IS NULL)),
  CHECK (clear_reason IS NULL OR cleared_at_ms IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX halt_one_in_force ON halt (kind) WHERE cleared_at_ms IS NULL;

-- The session in which the day's loss went beyond its warning: told once a session.
CREATE TABLE day_warning (
  session    TEXT PRIMARY KEY,
  run_id     INTEGER NOT NULL REFERENCES run,
  at_ms      INTEGER NOT NULL,
  day_pnl_e8 INTEGER
) STRICT;

-- An ended session in figures, as the digest showed it.
CREATE TABLE day_report (
  session           TEXT PRIMARY KEY,
  run_id            INTEGER NOT NULL REFERENCES run,
  at_ms             INTEGER NOT NULL,
  opening_equity_e8 INTEGER NOT NULL,
  closing_equity_e8 INTEGER NOT NULL,
  realised_e8       INTEGER NOT NULL,
  unrealised_e8     INTEGER NOT NULL,
  fees_e8           INTEGER NOT NULL,
  pnl_e8            INTEGER NOT NULL,
  max_drawdown_e8   INTEGER NOT NULL CHECK (max_drawdown_e8 >= 0),
  report            TEXT NOT NULL CHECK (json_valid(report))
) STRICT;
