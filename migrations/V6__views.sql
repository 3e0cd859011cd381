-- What people and scripts ask: dollars, shares, and time as text in UTC and on New York's clocks.
--
-- They are written for SQLite 3.38 and later, so that the `sqlite3` of the last years opens a ledger too.
-- The columns of these views are a promise. A view may gain columns; it loses none, and none changes its meaning.

-- New York's offset from UTC, from each change on: SQLite knows no time zones. The rules are those of the
-- Uniform Time Act and its amendments: last Sunday of April to last Sunday of October (1970-1986, but from
-- January 6th in 1974 and February 23rd in 1975), first Sunday of April to last Sunday of October (1987-2006),
-- second Sunday of March to first Sunday of November (since 2007); at two in the morning.
CREATE TABLE new_york_offset (
  from_at_ms INTEGER PRIMARY KEY,
  offset_ms  INTEGER NOT NULL CHECK (offset_ms IN (-18000000, -14400000))
) STRICT;

INSERT INTO new_york_offset (from_at_ms, offset_ms)
WITH RECURSIVE year (y) AS (SELECT 1970 UNION ALL SELECT y + 1 FROM year WHERE y < 2099)
SELECT 0, -18000000
UNION ALL
SELECT 1000 * unixepoch(CASE
    WHEN y >= 2007 THEN date(y || '-03-01', 'weekday 0', '+7 days')
    WHEN y >= 1987 THEN date(y || '-04-01', 'weekday 0')
    WHEN y = 1974 THEN '1974-01-06'
    WHEN y = 1975 THEN '1975-02-23'
    ELSE date(y || '-05-01', '-7 days', 'weekday 0')
  END || ' 07:00:00'), -14400000 FROM year
UNION ALL
SELECT 1000 * unixepoch(CASE
    WHEN y >= 2007 THEN date(y || '-11-01', 'weekday 0')
    ELSE date(y || '-11-01', '-7 days', 'weekday 0')
  END || ' 06:00:00'), -18000000 FROM year;

-- Closed positions, by the session in which they were closed.
CREATE VIEW v_trade AS SELECT
  position_id AS trade_id,
  strftime('%Y-%m-%d', (closed_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= closed_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS session,
  account,
  symbol,
  direction,
  strategy,
  quantity_max_e9 / 1e9 AS quantity,
  strftime('%Y-%m-%dT%H:%M:%SZ', opened_at_ms / 1000, 'unixepoch') AS entry_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (opened_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= opened_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS entry_at_ny,
  entry_price_e8 / 1e8 AS entry_price,
  strftime('%Y-%m-%dT%H:%M:%SZ', closed_at_ms / 1000, 'unixepoch') AS exit_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (closed_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= closed_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS exit_at_ny,
  exit_price_e8 / 1e8 AS exit_price,
  realised_e8 / 1e8 AS gross_pnl,
  fees_e8 / 1e8 AS fees,
  (realised_e8 - fees_e8) / 1e8 AS pnl,
  round(100.0 * (realised_e8 - fees_e8) / entry_value_e8, 4) AS pnl_pct,
  round((realised_e8 - fees_e8) / (abs(entry_price_e8 - initial_stop_e8) * (quantity_max_e9 / 1e9)), 4) AS r_multiple,
  (closed_at_ms - opened_at_ms) / 60000.0 AS minutes_held,
  adjustments,
  exit_reason
FROM position WHERE closed_at_ms IS NOT NULL ORDER BY closed_at_ms, position_id;

-- All positions; `state = 'closed'` are the trades.
CREATE VIEW v_position AS SELECT
  position_id,
  session,
  account,
  symbol,
  direction,
  state,
  strategy,
  quantity_e9 / 1e9 AS quantity,
  quantity_max_e9 / 1e9 AS quantity_max,
  entry_price_e8 / 1e8 AS entry_price,
  cost_e8 / 1e8 AS cost,
  stop_e8 / 1e8 AS stop,
  target_e8 / 1e8 AS target,
  best_price_e8 / 1e8 AS best_price,
  exit_price_e8 / 1e8 AS exit_price,
  realised_e8 / 1e8 AS realised,
  fees_e8 / 1e8 AS fees,
  adjustments,
  strftime('%Y-%m-%dT%H:%M:%SZ', opened_at_ms / 1000, 'unixepoch') AS opened_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (opened_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= opened_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS opened_at_ny,
  strftime('%Y-%m-%dT%H:%M:%SZ', closed_at_ms / 1000, 'unixepoch') AS closed_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (closed_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= closed_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS closed_at_ny,
  exit_reason
FROM position ORDER BY opened_at_ms, position_id;

-- Orders as the broker showed them last, ours and strangers', by the session in which they were sent.
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
  intent.run_id AS run_id
FROM broker_order LEFT JOIN intent USING (intent_id) ORDER BY broker_order.submitted_at_ms, broker_order.broker_order_id;

-- Executions.
CREATE VIEW v_fill AS SELECT
  fill_id,
  fill.session AS session,
  fill.account AS account,
  execution_id,
  fill.symbol AS symbol,
  fill.side AS side,
  fill.quantity_e9 / 1e9 AS quantity,
  price_e8 / 1e8 AS price,
  round(fill.quantity_e9 / 1e9 * (price_e8 / 1e8), 8) AS value,
  fee_e8 / 1e8 AS fee,
  realised_e8 / 1e8 AS realised,
  strftime('%Y-%m-%dT%H:%M:%SZ', at_ms / 1000, 'unixepoch') AS at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS at_ny,
  role AS order_role,
  fill.broker_order_id AS broker_order_id,
  fill.client_order_id AS client_order_id,
  position_id
FROM fill LEFT JOIN broker_order ON broker_order.account = fill.account AND broker_order.broker_order_id = fill.broker_order_id
ORDER BY at_ms, fill_id;

-- What strategies proposed and what risk said; a refusal with the numbers of the check that refused.
CREATE VIEW v_signal AS SELECT
  signal.signal_id AS signal_id,
  signal.session AS session,
  strftime('%Y-%m-%dT%H:%M:%SZ', signal.at_ms / 1000, 'unixepoch') AS at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (signal.at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= signal.at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS at_ny,
  run.job AS job,
  signal.symbol AS symbol,
  strategy,
  direction,
  entry_e8 / 1e8 AS entry,
  stop_e8 / 1e8 AS stop,
  target_e8 / 1e8 AS target,
  confidence_bps / 100.0 AS confidence_pct,
  strftime('%Y-%m-%dT%H:%M:%SZ', signal.valid_until_ms / 1000, 'unixepoch') AS valid_until_utc,
  strftime('%Y-%m-%d %H:%M:%S', (signal.valid_until_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= signal.valid_until_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS valid_until_ny,
  refused_by IS NULL AS approved,
  verdict.quantity_e9 / 1e9 AS quantity,
  refused_by,
  (SELECT value ->> 'value' FROM json_each(checks) WHERE value ->> 'name' = refused_by AND NOT value ->> 'passed') AS refused_value,
  (SELECT value ->> 'limit' FROM json_each(checks) WHERE value ->> 'name' = refused_by AND NOT value ->> 'passed') AS refused_limit,
  reasons,
  checks,
  signal.run_id AS run_id,
  intent.intent_id AS intent_id,
  intent.state AS intent_state,
  intent.client_order_id AS client_order_id
FROM signal JOIN run ON run.run_id = signal.run_id LEFT JOIN verdict ON verdict.signal_id = signal.signal_id
  LEFT JOIN intent ON intent.signal_id = signal.signal_id
ORDER BY signal.signal_id;

-- Slots of jobs and what came of each.
CREATE VIEW v_run AS SELECT
  run_id,
  job,
  kind,
  strftime('%Y-%m-%dT%H:%M:%SZ', slot_at_ms / 1000, 'unixepoch') AS slot_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (slot_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= slot_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS slot_at_ny,
  session,
  trigger,
  state,
  attempt AS attempts,
  crash_attempts,
  lateness_us / 1000.0 AS lateness_ms,
  strftime('%Y-%m-%dT%H:%M:%SZ', started_at_ms / 1000, 'unixepoch') AS started_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (started_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= started_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS started_at_ny,
  strftime('%Y-%m-%dT%H:%M:%SZ', decided_at_ms / 1000, 'unixepoch') AS decided_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (decided_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= decided_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS decided_at_ny,
  strftime('%Y-%m-%dT%H:%M:%SZ', finished_at_ms / 1000, 'unixepoch') AS finished_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (finished_at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= finished_at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS finished_at_ny,
  finished_at_ms - started_at_ms AS duration_ms,
  summary,
  reason,
  config_hash
FROM run ORDER BY slot_at_ms, run_id;

-- What people were told, and on which channels it arrived.
CREATE VIEW v_alert AS SELECT
  alert.alert_id AS alert_id,
  strftime('%Y-%m-%dT%H:%M:%SZ', alert.at_ms / 1000, 'unixepoch') AS at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (alert.at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= alert.at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS at_ny,
  level,
  event,
  symbol,
  subject,
  body,
  run_id,
  (SELECT group_concat(channel, ' ') FROM (SELECT channel FROM delivery WHERE delivery.alert_id = alert.alert_id AND state = 'sent'
    ORDER BY channel)) AS sent_on,
  (SELECT group_concat(channel, ' ') FROM (SELECT channel FROM delivery WHERE delivery.alert_id = alert.alert_id
    AND state IN ('pending', 'sending', 'failed')
    ORDER BY channel)) AS waiting_on,
  (SELECT group_concat(channel, ' ') FROM (SELECT channel FROM delivery WHERE delivery.alert_id = alert.alert_id AND state = 'dead'
    ORDER BY channel)) AS dead_on
FROM alert ORDER BY alert.alert_id;

-- The account through its sessions.
CREATE VIEW v_equity AS SELECT
  session,
  strftime('%Y-%m-%dT%H:%M:%SZ', at_ms / 1000, 'unixepoch') AS at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (at_ms + (SELECT offset_ms FROM new_york_offset WHERE from_at_ms <= at_ms
    ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS at_ny,
  equity_e8 / 1e8 AS equity,
  opening_equity_e8 / 1e8 AS opening_equity,
  exposure_e8 / 1e8 AS exposure,
  realised_e8 / 1e8 AS realised,
  unrealised_e8 / 1e8 AS unrealised,
  fees_e8 / 1e8 AS fees,
  (realised_e8 + unrealised_e8 - fees_e8) / 1e8 AS day_pnl,
  run_id
FROM equity ORDER BY session, at_ms, run_id;

-- One row a session: the report's figures once it has ended, the last figures while it lasts.
CREATE VIEW v_day AS
WITH day (session) AS (SELECT session FROM session_equity UNION SELECT session FROM day_report),
last AS (
  SELECT session, equity_e8, realised_e8, unrealised_e8, fees_e8, max(at_ms) FROM equity GROUP BY session
),
trade AS (
  SELECT session, count(*) AS trades, sum(pnl > 0) AS wins, sum(pnl < 0) AS losses FROM v_trade GROUP BY session
),
execution AS (SELECT session, count(*) AS fills FROM fill GROUP BY session),
proposal AS (
  SELECT session, count(*) AS signals, count(refused_by) AS refused FROM signal JOIN verdict USING (signal_id) GROUP BY session
)
SELECT
  day.session AS session,
  day_report.session IS NOT NULL AS ended,
  coalesce(day_report.opening_equity_e8, session_equity.opening_equity_e8) / 1e8 AS opening_equity,
  coalesce(day_report.closing_equity_e8, last.equity_e8) / 1e8 AS closing_equity,
  coalesce(day_report.realised_e8, last.realised_e8) / 1e8 AS realised,
  coalesce(day_report.unrealised_e8, last.unrealised_e8) / 1e8 AS unrealised,
  coalesce(day_report.fees_e8, last.fees_e8) / 1e8 AS fees,
  coalesce(day_report.pnl_e8, last.realised_e8 + last.unrealised_e8 - last.fees_e8) / 1e8 AS pnl,
  round(100.0 * coalesce(day_report.pnl_e8, last.realised_e8 + last.unrealised_e8 - last.fees_e8)
    / coalesce(day_report.opening_equity_e8, session_equity.opening_equity_e8), 4) AS pnl_pct,
  day_report.max_drawdown_e8 / 1e8 AS max_drawdown,
  coalesce(trades, 0) AS trades,
  coalesce(wins, 0) AS wins,
  coalesce(losses, 0) AS losses,
  coalesce(fills, 0) AS fills,
  coalesce(signals, 0) AS signals,
  coalesce(refused, 0) AS refused
FROM day LEFT JOIN session_equity USING (session) LEFT JOIN day_report USING (session) LEFT JOIN last USING (session)
  LEFT JOIN trade USING (session) LEFT JOIN execution USING (session) LEFT JOIN proposal USING (session)
ORDER BY day.session;
