-- What is looked for in every turn is found without reading the runs that are over.

-- The runs without an end, in the order in which they came due. Their states change often, their place here never.
DROP INDEX run_open;
CREATE INDEX run_open ON run (slot_at_ms) WHERE finished_at_ms IS NULL;

DROP INDEX run_session;
CREATE INDEX run_session ON run (session, kind) WHERE session IS NOT NULL;

-- Heartbeats tell of the last five minutes.
CREATE INDEX run_finished ON run (finished_at_ms) WHERE finished_at_ms IS NOT NULL;
