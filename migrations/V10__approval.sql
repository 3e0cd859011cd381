-- Entries that wait for a person, and what the person said. An entry without a row here waits for nobody; what
-- protects, adjusts or leaves a position never has one.

CREATE TABLE approval (
  intent_id      INTEGER PRIMARY KEY REFERENCES intent,
  reason         TEXT NOT NULL, -- why it waits
  asked_at_ms    INTEGER NOT NULL,
  answer         TEXT CHECK (answer IN ('approved', 'rejected')), -- NULL: none yet, or none before it expired
  answered_at_ms INTEGER,
  answered_by    TEXT,
  note           TEXT,          -- in the person's words
  CHECK ((answered_at_ms IS NOT NULL) = (answer IS NOT NULL)),
  CHECK ((answered_by IS NOT NULL) = (answer IS NOT NULL)),
  CHECK (note IS NULL OR answer IS NOT NULL)
) STRICT;
CREATE INDEX approval_open ON approval (intent_id) WHERE answer IS NULL;

CREATE TRIGGER approval_is_of_an_entry BEFORE INSERT ON approval
WHEN (SELECT purpose FROM intent WHERE intent_id = new.intent_id) IS NOT 'enter'
BEGIN
  SELECT raise(ABORT, 'only an entry waits for a person');
END;

-- The answer is given once.
CREATE TRIGGER approval_is_final BEFORE UPDATE ON approval
WHEN old.answer IS NOT NULL
BEGIN
  SELECT raise(ABORT, 'an answer never changes');
END;

-- The second witness: whatever the program believes, an entry is not sent before a person has said yes.
CREATE TRIGGER intent_waits_for_its_approval BEFORE UPDATE OF state ON intent
WHEN new.state = 'submitting'
  AND EXISTS (SELECT 1 FROM approval WHERE intent_id = new.intent_id AND answer IS NOT 'approved')
BEGIN
  SELECT raise(ABORT, 'an entry that waits for a person is not sent');
END;
