-- The event store: every record of the log is one row, and the cursor that is committed with the rows.

CREATE FUNCTION lotbook.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is not allowed', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'lotbook archive rebuild makes the archive anew from the log';
END $$;
COMMENT ON FUNCTION lotbook.append_only() IS 'Refuses what would change history.';

CREATE TABLE lotbook.event_store (
    position_key      text COLLATE "C" NOT NULL,
    event_ver         bigint NOT NULL CHECK (event_ver > 0),
    shard             smallint NOT NULL,
    sequence          bigint NOT NULL CHECK (sequence > 0),
    epoch             bigint NOT NULL,
    address           bigint NOT NULL,
    previous_address  bigint,
    log_partition     integer NOT NULL,
    group_place       smallint NOT NULL,
    durable_sequence  bigint NOT NULL,
    checksum          bigint NOT NULL,
    kind              integer NOT NULL,
    event_type        text NOT NULL,
    schema_version    smallint NOT NULL,
    account           text,
    instrument        text,
    contract_id       text,
    namespace         text,
    trade_id          text,
    trade_hash        uuid,
    correlation_id    text,
    causation         bigint,
    user_id           text,
    source            text,
    source_offset     numeric(20, 0),
    trace_id          uuid,
    raw_hash          numeric(20, 0),
    effective_date    date,
    executed_at_ns    bigint,
    received_at_ns    bigint,
    occurred_at_ns    bigint,
    occurred_at       timestamptz,
    outcome           text,
    reason            text,
    side              text,
    quantity          numeric(19, 8),
    price             numeric(19, 8),
    fees              numeric(19, 8),
    realized_pnl      numeric(39, 16),
    payload           jsonb NOT NULL,
    PRIMARY KEY (position_key, event_ver)
) PARTITION BY HASH (position_key);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE lotbook.event_store_p%s PARTITION OF lotbook.event_store FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON lotbook.event_store_p%s FOR EACH STATEMENT EXECUTE FUNCTION lotbook.append_only()', part);
        EXECUTE format('COMMENT ON TABLE lotbook.event_store_p%s IS ''Part %s of 16 of event_store, by hash of position_key.''', part, part);
    END LOOP;
END $$;

CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON lotbook.event_store
    FOR EACH ROW EXECUTE FUNCTION lotbook.append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON lotbook.event_store
    FOR EACH STATEMENT EXECUTE FUNCTION lotbook.append_only();

CREATE INDEX idx_event_replay ON lotbook.event_store (position_key, effective_date, event_ver) WHERE effective_date IS NOT NULL;
CREATE INDEX idx_contract_link ON lotbook.event_store (contract_id, position_key, event_ver) WHERE contract_id IS NOT NULL;
CREATE INDEX idx_event_correlation ON lotbook.event_store (correlation_id) WHERE correlation_id IS NOT NULL;
-- Rows come in the order of the log: so few pages of summaries find any stretch of it.
CREATE INDEX idx_event_sequence ON lotbook.event_store USING brin (shard, sequence) WITH (pages_per_range = 16);
CREATE INDEX idx_event_occurred ON lotbook.event_store USING brin (occurred_at) WITH (pages_per_range = 16);

COMMENT ON TABLE lotbook.event_store IS 'Every record of the log, one row each, in the words of `lotbook wal dump`. Append-only.';
COMMENT ON COLUMN lotbook.event_store.position_key IS 'Account, a slash, instrument (% and / in the account are written %25 and %2F), for an event that makes a version of a position; for every other record # and the log id, a dot and the record''s partition.';
COMMENT ON COLUMN lotbook.event_store.event_ver IS 'The position''s version by this event; for a record that makes none its sequence in the log.';
COMMENT ON COLUMN lotbook.event_store.shard IS 'The shard whose log it is from; archive_cursor names that log.';
COMMENT ON COLUMN lotbook.event_store.sequence IS 'Sequence of the record in its log, from 1 on without a gap.';
COMMENT ON COLUMN lotbook.event_store.epoch IS 'Opening of the log that wrote it.';
COMMENT ON COLUMN lotbook.event_store.address IS 'Place of the record in the log''s stream, in bytes.';
COMMENT ON COLUMN lotbook.event_store.previous_address IS 'Place of the event before it in the same chain: of the position, or of facts.';
COMMENT ON COLUMN lotbook.event_store.log_partition IS 'Partition in the record''s header.';
COMMENT ON COLUMN lotbook.event_store.group_place IS 'Place in a group of records that are one decision: 0 alone, 1 first, 2 between, 3 last.';
COMMENT ON COLUMN lotbook.event_store.durable_sequence IS 'What was known to be durable when the record was written.';
COMMENT ON COLUMN lotbook.event_store.checksum IS 'CRC32C of the record.';
COMMENT ON COLUMN lotbook.event_store.kind IS 'Number of the record''s kind.';
COMMENT ON COLUMN lotbook.event_store.event_type IS 'Name of the record''s kind.';
COMMENT ON COLUMN lotbook.event_store.schema_version IS 'Version of the record''s layout.';
COMMENT ON COLUMN lotbook.event_store.account IS 'Account that it is about.';
COMMENT ON COLUMN lotbook.event_store.instrument IS 'Instrument that it is about.';
COMMENT ON COLUMN lotbook.event_store.contract_id IS 'Contract that the sender named, or whose rules it sets.';
COMMENT ON COLUMN lotbook.event_store.namespace IS 'Namespace in which the id is unique.';
COMMENT ON COLUMN lotbook.event_store.trade_id IS 'Id of the trade, amendment or action.';
COMMENT ON COLUMN lotbook.event_store.trade_hash IS '128-bit hash of namespace and id; of a correction, of what caused it.';
COMMENT ON COLUMN lotbook.event_store.correlation_id IS 'Correlation id of the sender, or the one that the door made.';
COMMENT ON COLUMN lotbook.event_store.causation IS 'Sequence of the event that caused it.';
COMMENT ON COLUMN lotbook.event_store.user_id IS 'User who asked for it.';
COMMENT ON COLUMN lotbook.event_store.source IS 'Where it came from: a FIX session, a file.';
COMMENT ON COLUMN lotbook.event_store.source_offset IS 'The source''s own number of it; 64 bits without a sign.';
COMMENT ON COLUMN lotbook.event_store.trace_id IS 'Trace it belongs to.';
COMMENT ON COLUMN lotbook.event_store.raw_hash IS 'Hash of the raw bytes; 64 bits without a sign.';
COMMENT ON COLUMN lotbook.event_store.effective_date IS 'Date on which it takes effect.';
COMMENT ON COLUMN lotbook.event_store.executed_at_ns IS 'Execution time, UTC nanoseconds since 1970.';
COMMENT ON COLUMN lotbook.event_store.received_at_ns IS 'When the door received it, UTC nanoseconds since 1970.';
COMMENT ON COLUMN lotbook.event_store.occurred_at_ns IS 'When the shard decided it, UTC nanoseconds since 1970.';
COMMENT ON COLUMN lotbook.event_store.occurred_at IS 'occurred_at_ns, cut to microseconds.';
COMMENT ON COLUMN lotbook.event_store.outcome IS 'What became of a trade, amendment or action.';
COMMENT ON COLUMN lotbook.event_store.reason IS 'Why it was refused, or which rule an accepted one breaks.';
COMMENT ON COLUMN lotbook.event_store.side IS 'Side of a trade.';
COMMENT ON COLUMN lotbook.event_store.quantity IS 'Quantity of a trade, exact.';
COMMENT ON COLUMN lotbook.event_store.price IS 'Price of a trade or mark, exact; null where a consideration was given instead.';
COMMENT ON COLUMN lotbook.event_store.fees IS 'Fees of a trade, exact.';
COMMENT ON COLUMN lotbook.event_store.realized_pnl IS 'What a trade or an arrival realized when it was decided, exact.';
COMMENT ON COLUMN lotbook.event_store.payload IS 'Everything that the event says, as `lotbook wal dump` says it; decimals as strings, exact.';

CREATE TABLE lotbook.archive_cursor (
    shard          smallint PRIMARY KEY,
    log_id         text NOT NULL CHECK (log_id ~ '^[0-9a-f]{16}$'),
    epoch          bigint NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence >= 0),
    checksum       bigint NOT NULL,
    occurred_at_ns bigint,
    committed_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE lotbook.archive_cursor IS 'How far each shard''s log is in event_store; committed with the rows, so that none is there twice and none is missing.';
COMMENT ON COLUMN lotbook.archive_cursor.shard IS 'The shard.';
COMMENT ON COLUMN lotbook.archive_cursor.log_id IS 'Its log, 16 hexadecimal digits.';
COMMENT ON COLUMN lotbook.archive_cursor.epoch IS 'Opening of the log that wrote the last record taken.';
COMMENT ON COLUMN lotbook.archive_cursor.sequence IS 'Sequence of the last record taken; 0 for none.';
COMMENT ON COLUMN lotbook.archive_cursor.checksum IS 'Checksum of the last record taken: a log that was cut and went on otherwise is told apart by it.';
COMMENT ON COLUMN lotbook.archive_cursor.occurred_at_ns IS 'When the shard decided the last one that says so, UTC nanoseconds since 1970.';
COMMENT ON COLUMN lotbook.archive_cursor.committed_at IS 'When the last batch was committed, by the server''s clock.';

CREATE VIEW lotbook.events_by_correlation AS
    SELECT correlation_id, occurred_at, shard, sequence, causation, event_type, account, instrument, trade_id, outcome, reason,
           quantity, price, realized_pnl
    FROM lotbook.event_store
    WHERE correlation_id IS NOT NULL;
COMMENT ON VIEW lotbook.events_by_correlation IS 'What came of one request: ask it by correlation_id, order it by shard and sequence.';

CREATE VIEW lotbook.corrections AS
    SELECT account, instrument, event_ver, occurred_at, shard, sequence,
           (payload ->> 'base_version')::bigint AS base_version,
           (payload ->> 'late_trades')::bigint AS late_trades,
           (payload ->> 'breaks')::bigint AS breaks,
           (payload -> 'before' ->> 'quantity')::numeric AS quantity_before,
           (payload -> 'after' ->> 'quantity')::numeric AS quantity_after,
           (payload -> 'before' ->> 'realized_pnl')::numeric AS realized_pnl_before,
           (payload -> 'after' ->> 'realized_pnl')::numeric AS realized_pnl_after,
           (payload -> 'before' ->> 'cost')::numeric AS cost_before,
           (payload -> 'after' ->> 'cost')::numeric AS cost_after,
           (payload -> 'before' ->> 'exposure')::numeric AS exposure_before,
           (payload -> 'after' ->> 'exposure')::numeric AS exposure_after
    FROM lotbook.event_store
    WHERE event_type = 'HistoricalPositionCorrected';
COMMENT ON VIEW lotbook.corrections IS 'What replays changed: figures of the position before and after, exposure at the mark when it was accepted.';

REVOKE ALL ON ALL TABLES IN SCHEMA lotbook FROM PUBLIC;
GRANT USAGE ON SCHEMA lotbook TO lotbook_reader, lotbook_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA lotbook TO lotbook_reader, lotbook_writer;
GRANT INSERT ON lotbook.event_store, lotbook.archive_cursor TO lotbook_writer;
GRANT UPDATE ON lotbook.archive_cursor TO lotbook_writer;
