-- The configuration changes while the program runs: what of it waits, since when a job is planned as it is, and the
-- version that an order was decided under.

-- The configuration that was read last, where it loosens limits while the market is open: without these it is in
-- force, with them it waits. At most one.
CREATE TABLE config_waiting (
  one            INTEGER PRIMARY KEY CHECK (one = 1),
  hash           TEXT NOT NULL,
  limits         TEXT NOT NULL CHECK (json_valid(limits)), -- the keys that wait
  session        TEXT NOT NULL CHECK (session GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'), -- that it was read in
  confirmed_by   TEXT, -- the person who wants it at once
  recorded_at_ms INTEGER NOT NULL
) STRICT;

-- Since when a job's slots follow from its definition; NULL: since its first.
ALTER TABLE job ADD COLUMN defined_at_ms INTEGER;

-- Orders as the broker showed them last, ours and strangers', by the session in which they were sent.
DROP VIEW v_order;
CREATE VIEW v_order AS SELECT
  strftime('%Y-%m-%d', (broker_order.submitted_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= broker_order.submitted_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS session,
  broker_order.account AS account,
  broker_order.broker_order_id AS broker_order_id,
  broker_order.client_order_id AS client_order_id,
  parent_client_order_id,
  role,
  broker_order.symbol AS symbol,
  broker_order.side AS side,
  order_type,
  broker_order.quantity_e9 / 1e9 AS quantity,
  limit_e8 / 1e8 AS limit_price,
  stop_e8 / 1e8 AS stop_price,
  trail_e8 / 1e8 AS trail,
  trail_bps / 100.0 AS trail_pct,
  class,
  take_profit_e8 / 1e8 AS take_profit,
  stop_loss_e8 / 1e8 AS stop_loss,
  time_in_force,
  status,
  filled_e9 / 1e9 AS filled,
  average_price_e8 / 1e8 AS average_price,
  broker_order.reason AS reason,
  strftime('%Y-%m-%dT%H:%M:%SZ', broker_order.submitted_at_ms / 1000, 'unixepoch') AS submitted_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (broker_order.submitted_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= broker_order.submitted_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS submitted_at_ny,
  strftime('%Y-%m-%dT%H:%M:%SZ', updated_at_ms / 1000, 'unixepoch') AS updated_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (updated_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= updated_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS updated_at_ny,
  broker_order.intent_id AS intent_id,
  purpose,
  intent.reason AS decided_by,
  intent.run_id AS run_id,
  -- A version may be in force more than once: the last time before the decision counts.
  (SELECT max(config_version_id) FROM config_version JOIN run ON config_version.hash = run.config_hash
    WHERE run.run_id = intent.run_id AND recorded_at_ms <= decided_at_ms) AS config_version
FROM broker_order LEFT JOIN intent USING (intent_id) ORDER BY broker_order.submitted_at_ms, broker_order.broker_order_id;
