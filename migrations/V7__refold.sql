-- A fill that arrives late changes what the fills after it did: positions are folded again. What the broker
-- said of an execution still never changes; what the fold made of it may.

DROP TRIGGER fill_is_immutable;
CREATE TRIGGER fill_is_immutable BEFORE UPDATE OF account, execution_id, broker_order_id, client_order_id, symbol, side,
  quantity_e9, price_e8, fee_e8, session, at_ms, recorded_at_ms ON fill
BEGIN
  SELECT raise(ABORT, 'a fill never changes: a correction is another one');
END;
