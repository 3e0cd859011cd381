-- The paper broker's own record. Money and prices are 10^-8 of a dollar (_e8), shares 10^-9 (_e9),
-- instants milliseconds UTC (_at_ms).

CREATE TABLE account (
    id                INTEGER PRIMARY KEY CHECK (id = 1),
    account_id        TEXT    NOT NULL,
    created_at_ms     INTEGER NOT NULL,
    starting_cash_e8  INTEGER NOT NULL,
    cash_e8           INTEGER NOT NULL,
    last_equity_e8    INTEGER NOT NULL,                                 -- at the previous close
    session_open      INTEGER NOT NULL CHECK (session_open IN (0, 1)),
    orders_issued     INTEGER NOT NULL CHECK (orders_issued >= 0),
    executions_issued INTEGER NOT NULL CHECK (executions_issued >= 0),
    advanced_at_ms    INTEGER NOT NULL                                  -- all that was known by then has happened
) STRICT;

CREATE TABLE position (
    symbol           TEXT    PRIMARY KEY,
    quantity_e9      INTEGER NOT NULL CHECK (quantity_e9 <> 0),         -- negative: short
    average_price_e8 INTEGER NOT NULL CHECK (average_price_e8 > 0)
) STRICT;

-- How far each symbol's bars were followed, and its last price.
CREATE TABLE tape (
    symbol         TEXT    PRIMARY KEY,
    bars_from_at_ms INTEGER NOT NULL,
    price_e8       INTEGER CHECK (price_e8 > 0),
    price_at_ms    INTEGER,
    CHECK ((price_e8 IS NULL) = (price_at_ms IS NULL))
) STRICT;

CREATE TABLE book_order (
    number              INTEGER PRIMARY KEY CHECK (number > 0),
    group_number        INTEGER NOT NULL REFERENCES book_order (number),
    client_order_id     TEXT    NOT NULL UNIQUE,                        -- for ever: an id is never free again
    parent              TEXT,                                           -- client order id of the group's first order
    role                TEXT    NOT NULL CHECK (role IN ('parent', 'take_profit', 'stop_loss')),
    symbol              TEXT    NOT NULL,
    side                TEXT    NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity_e9         INTEGER NOT NULL CHECK (quantity_e9 > 0),
    type                TEXT    NOT NULL CHECK (type IN ('market', 'limit', 'stop', 'stop_limit', 'trailing_stop')),
    limit_e8            INTEGER CHECK (limit_e8 > 0),
    stop_e8             INTEGER CHECK (stop_e8 > 0),
    trail_e8            INTEGER CHECK (trail_e8 > 0),
    trail_bps           INTEGER CHECK (trail_bps > 0),
    time_in_force       TEXT    NOT NULL CHECK (time_in_force IN ('day', 'gtc')),
    class               TEXT    NOT NULL CHECK (class IN ('simple', 'bracket', 'oco')),
    take_profit_e8      INTEGER,
    stop_loss_e8        INTEGER,
    status              TEXT    NOT NULL CHECK (status IN ('accepted', 'held', 'new', 'partially_filled', 'pending_cancel',
                                                           'filled', 'canceled', 'expired', 'rejected', 'replaced')),
    filled_e9           INTEGER NOT NULL,
    filled_value_e8     INTEGER NOT NULL,
    fees_e8             INTEGER NOT NULL,
    average_price_e8    INTEGER,
    reason              TEXT,
    opens               INTEGER NOT NULL CHECK (opens IN (0, 1)),       -- adds to a position; else leaves one
    working_since_at_ms INTEGER,                                        -- prices before do not count
    triggered           INTEGER NOT NULL CHECK (triggered IN (0, 1)),   -- its stop was hit
    best_price_e8       INTEGER,                                        -- the best that a trailing stop has seen
    reserve_price_e8    INTEGER NOT NULL,                               -- at which buying power is set aside
    submitted_at_ms     INTEGER NOT NULL,
    updated_at_ms       INTEGER NOT NULL,
    CHECK (filled_e9 BETWEEN 0 AND quantity_e9),
    CHECK ((filled_e9 = 0) = (average_price_e8 IS NULL)),
    CHECK ((type IN ('limit', 'stop_limit')) = (limit_e8 IS NOT NULL)),
    CHECK ((type IN ('stop', 'stop_limit')) = (stop_e8 IS NOT NULL)),
    CHECK ((type = 'trailing_stop') = ((trail_e8 IS NULL) <> (trail_bps IS NULL))),
    CHECK ((class = 'bracket') = (take_profit_e8 IS NOT NULL)),
    CHECK ((class = 'simple') = (stop_loss_e8 IS NULL))
) STRICT;

CREATE INDEX book_order_by_group ON book_order (group_number);
CREATE INDEX book_order_open ON book_order (group_number)
    WHERE status IN ('accepted', 'held', 'new', 'partially_filled', 'pending_cancel');

CREATE TABLE execution (
    number       INTEGER PRIMARY KEY CHECK (number > 0),
    order_number INTEGER NOT NULL REFERENCES book_order (number),
    quantity_e9  INTEGER NOT NULL CHECK (quantity_e9 > 0),
    price_e8     INTEGER NOT NULL CHECK (price_e8 > 0),
    fee_e8       INTEGER NOT NULL CHECK (fee_e8 >= 0),
    at_ms        INTEGER NOT NULL
) STRICT;
