-- What people are told. An alert is committed with the decision that raised it; each channel's delivery is
-- a row of its own, so that a channel that is down delays nobody else's.

CREATE TABLE alert (
  alert_id INTEGER PRIMARY KEY,
  run_id   INTEGER REFERENCES run, -- NULL: raised by the program itself
  at_ms    INTEGER NOT NULL,
  level    TEXT NOT NULL CHECK (level IN ('info', 'warning', 'critical')),
  event    TEXT NOT NULL CHECK (event GLOB '?*.?*'), -- noun.verb
  symbol   TEXT,
  subject  TEXT NOT NULL,
  body     TEXT NOT NULL
) STRICT;
CREATE INDEX alert_at ON alert (at_ms);
CREATE INDEX alert_run ON alert (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE delivery (
  delivery_id   INTEGER PRIMARY KEY,
  alert_id      INTEGER NOT NULL REFERENCES alert,
  channel       TEXT NOT NULL,
  state         TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'sent', 'failed', 'dead')),
  attempts      INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  not_before_ms INTEGER NOT NULL,
  message_id    TEXT NOT NULL UNIQUE, -- the same for every attempt: what a receiver may deduplicate by
  last_error    TEXT,
  sent_at_ms    INTEGER,
  receipt       TEXT, -- the service's own word
  UNIQUE (alert_id, channel),
  CHECK ((sent_at_ms IS NOT NULL) = (state = 'sent')),
  CHECK (state NOT IN ('failed', 'dead') OR last_error IS NOT NULL)
) STRICT;
CREATE INDEX delivery_open ON delivery (not_before_ms) WHERE state IN ('pending', 'sending', 'failed');
