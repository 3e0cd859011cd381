-- What becomes of alerts after they were raised: who took note of what is critical, and who else is told where nobody
-- does; and deliveries that went out as one message.

CREATE TABLE acknowledgement (
  alert_id INTEGER PRIMARY KEY REFERENCES alert,
  at_ms    INTEGER NOT NULL,
  by       TEXT NOT NULL,
  note     TEXT,
  told_as  INTEGER NOT NULL REFERENCES alert -- the alert that tells of the acknowledgement
) STRICT;
CREATE INDEX acknowledgement_told ON acknowledgement (told_as);

CREATE TABLE escalation (
  alert_id  INTEGER PRIMARY KEY REFERENCES alert,
  due_at_ms INTEGER NOT NULL, -- until when somebody should have acknowledged it
  state     TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'told', 'acknowledged', 'over')),
  told_as   INTEGER REFERENCES alert, -- the alert that told others
  CHECK ((told_as IS NOT NULL) = (state = 'told'))
) STRICT;
CREATE INDEX escalation_waiting ON escalation (due_at_ms) WHERE state = 'waiting';

CREATE INDEX alert_critical ON alert (alert_id) WHERE level = 'critical';

-- It gains who acknowledged.
DROP VIEW v_alert;
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
    ORDER BY channel)) AS dead_on,
  strftime('%Y-%m-%dT%H:%M:%SZ', acknowledgement.at_ms / 1000, 'unixepoch') AS acknowledged_at_utc,
  strftime('%Y-%m-%d %H:%M:%S', (acknowledgement.at_ms + (SELECT offset_ms FROM new_york_offset
    WHERE from_at_ms <= acknowledgement.at_ms ORDER BY from_at_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS acknowledged_at_ny,
  acknowledgement.by AS acknowledged_by
FROM alert LEFT JOIN acknowledgement USING (alert_id) ORDER BY alert.alert_id;

-- Tried again, a message has the same notes and the same key.
ALTER TABLE delivery ADD COLUMN batch INTEGER; -- the first delivery of the message that it went out in; NULL: it was not tried as one
CREATE INDEX delivery_batch ON delivery (batch) WHERE batch IS NOT NULL;
CREATE INDEX delivery_sent ON delivery (channel, sent_at_ms) WHERE state = 'sent';

-- What an execution did is told of in its transaction.
CREATE INDEX position_event_fill ON position_event (fill_id) WHERE fill_id IS NOT NULL;
