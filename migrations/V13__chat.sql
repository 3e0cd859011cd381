-- What people ask for in a chat: how far a service was read, and each request with its answer.

CREATE TABLE chat_cursor (
  channel     TEXT PRIMARY KEY,
  number      INTEGER NOT NULL, -- the service's own, of the last update that was taken
  moved_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE chat_request (
  chat_request_id INTEGER PRIMARY KEY,
  channel         TEXT NOT NULL,
  number          INTEGER NOT NULL,
  written_at_ms   INTEGER NOT NULL,
  taken_at_ms     INTEGER NOT NULL,
  chat            TEXT NOT NULL,
  sender          TEXT NOT NULL,
  text            TEXT NOT NULL, -- its beginning; of a stranger nothing
  outcome         TEXT NOT NULL CHECK (outcome IN ('stranger', 'crowded', 'answered', 'refused', 'asked', 'passed_on')),
  wanted          TEXT CHECK (json_valid(wanted)),                   -- the command that waits for a yes
  code            TEXT,                                              -- what the yes must name
  confirms        INTEGER UNIQUE REFERENCES chat_request,            -- the request that this one says yes to
  command_id      INTEGER UNIQUE REFERENCES command,
  answer          TEXT,                                              -- of a command once it has ended
  answered_at_ms  INTEGER,                                           -- when the service took the answer, or refused it
  answer_error    TEXT,                                              -- why it refused it
  UNIQUE (channel, number, written_at_ms),
  CHECK ((outcome = 'asked') = (wanted IS NOT NULL)),
  CHECK ((wanted IS NOT NULL) = (code IS NOT NULL)),
  CHECK ((outcome = 'passed_on') = (command_id IS NOT NULL)),
  CHECK (confirms IS NULL OR outcome = 'passed_on'),
  CHECK (outcome NOT IN ('stranger', 'crowded') OR answer IS NULL),
  CHECK (answered_at_ms IS NULL OR answer IS NOT NULL),
  CHECK (answer_error IS NULL OR answered_at_ms IS NOT NULL)
) STRICT;
CREATE INDEX chat_request_taken ON chat_request (channel, taken_at_ms);
CREATE INDEX chat_request_unanswered ON chat_request (channel, taken_at_ms)
  WHERE answered_at_ms IS NULL AND outcome NOT IN ('stranger', 'crowded');
