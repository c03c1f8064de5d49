-- The regulatory trades: each execution with every version of it, enriched from effective-dated reference data.

-- Where a stretch of the log lies is asked all the time now, and pages of summaries that nobody has made yet are read whole.
DROP INDEX lotbook.idx_event_sequence;
CREATE INDEX idx_event_sequence ON lotbook.event_store (shard, sequence);

-- Reference data: a row counts from its date on, until the next of its key.

CREATE TABLE lotbook.ref_traders (
    trader_id  text COLLATE "C" NOT NULL CHECK (trader_id <> ''),
    valid_from date NOT NULL,
    name       text NOT NULL,
    mpid       text,
    ended      boolean NOT NULL DEFAULT false,
    loaded_at  timestamptz NOT NULL DEFAULT now(),
    loaded_by  text NOT NULL DEFAULT current_user,
    PRIMARY KEY (trader_id, valid_from)
);
COMMENT ON TABLE lotbook.ref_traders IS 'Traders, by `lotbook archive reference load traders`. A row counts from valid_from until the next row of its trader.';
COMMENT ON COLUMN lotbook.ref_traders.trader_id IS 'The trader.';
COMMENT ON COLUMN lotbook.ref_traders.valid_from IS 'First date on which it counts.';
COMMENT ON COLUMN lotbook.ref_traders.name IS 'Name in reports.';
COMMENT ON COLUMN lotbook.ref_traders.mpid IS 'Market participant id, four letters.';
COMMENT ON COLUMN lotbook.ref_traders.ended IS 'From valid_from on there is no such trader.';
COMMENT ON COLUMN lotbook.ref_traders.loaded_at IS 'When this row was loaded last.';
COMMENT ON COLUMN lotbook.ref_traders.loaded_by IS 'By which role.';

CREATE TABLE lotbook.ref_strategies (
    strategy_id text COLLATE "C" NOT NULL CHECK (strategy_id <> ''),
    valid_from  date NOT NULL,
    name        text NOT NULL,
    desk        text,
    ended       boolean NOT NULL DEFAULT false,
    loaded_at   timestamptz NOT NULL DEFAULT now(),
    loaded_by   text NOT NULL DEFAULT current_user,
    PRIMARY KEY (strategy_id, valid_from)
);
COMMENT ON TABLE lotbook.ref_strategies IS 'Strategies, by `lotbook archive reference load strategies`. A row counts from valid_from until the next row of its strategy.';
COMMENT ON COLUMN lotbook.ref_strategies.strategy_id IS 'The strategy.';
COMMENT ON COLUMN lotbook.ref_strategies.valid_from IS 'First date on which it counts.';
COMMENT ON COLUMN lotbook.ref_strategies.name IS 'Name in reports.';
COMMENT ON COLUMN lotbook.ref_strategies.desk IS 'Desk that runs it.';
COMMENT ON COLUMN lotbook.ref_strategies.ended IS 'From valid_from on there is no such strategy.';
COMMENT ON COLUMN lotbook.ref_strategies.loaded_at IS 'When this row was loaded last.';
COMMENT ON COLUMN lotbook.ref_strategies.loaded_by IS 'By which role.';

CREATE TABLE lotbook.ref_accounts (
    account     text COLLATE "C" NOT NULL CHECK (account <> ''),
    valid_from  date NOT NULL,
    trader_id   text COLLATE "C",
    strategy_id text COLLATE "C",
    ended       boolean NOT NULL DEFAULT false,
    loaded_at   timestamptz NOT NULL DEFAULT now(),
    loaded_by   text NOT NULL DEFAULT current_user,
    PRIMARY KEY (account, valid_from)
);
COMMENT ON TABLE lotbook.ref_accounts IS 'Who trades for an account, and by which strategy, by `lotbook archive reference load accounts`. A row counts from valid_from until the next row of its account.';
COMMENT ON COLUMN lotbook.ref_accounts.account IS 'The account, as trades name it.';
COMMENT ON COLUMN lotbook.ref_accounts.valid_from IS 'First date on which it counts.';
COMMENT ON COLUMN lotbook.ref_accounts.trader_id IS 'Trader, one of ref_traders.';
COMMENT ON COLUMN lotbook.ref_accounts.strategy_id IS 'Strategy of trades that name no sub-account; one of ref_strategies.';
COMMENT ON COLUMN lotbook.ref_accounts.ended IS 'From valid_from on the account is nobody''s.';
COMMENT ON COLUMN lotbook.ref_accounts.loaded_at IS 'When this row was loaded last.';
COMMENT ON COLUMN lotbook.ref_accounts.loaded_by IS 'By which role.';

CREATE TABLE lotbook.ref_securities (
    instrument text COLLATE "C" NOT NULL CHECK (instrument <> ''),
    valid_from date NOT NULL,
    name       text NOT NULL,
    cusip      text,
    isin       text,
    ended      boolean NOT NULL DEFAULT false,
    loaded_at  timestamptz NOT NULL DEFAULT now(),
    loaded_by  text NOT NULL DEFAULT current_user,
    PRIMARY KEY (instrument, valid_from)
);
COMMENT ON TABLE lotbook.ref_securities IS 'The security master, by `lotbook archive reference load securities`. A row counts from valid_from until the next row of its instrument.';
COMMENT ON COLUMN lotbook.ref_securities.instrument IS 'The instrument, as trades name it.';
COMMENT ON COLUMN lotbook.ref_securities.valid_from IS 'First date on which it counts.';
COMMENT ON COLUMN lotbook.ref_securities.name IS 'Name in reports.';
COMMENT ON COLUMN lotbook.ref_securities.cusip IS 'CUSIP, nine characters with its check digit.';
COMMENT ON COLUMN lotbook.ref_securities.isin IS 'ISIN, twelve characters with its check digit.';
COMMENT ON COLUMN lotbook.ref_securities.ended IS 'From valid_from on there is no such security.';
COMMENT ON COLUMN lotbook.ref_securities.loaded_at IS 'When this row was loaded last.';
COMMENT ON COLUMN lotbook.ref_securities.loaded_by IS 'By which role.';

CREATE TABLE lotbook.ref_loads (
    load       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what       text NOT NULL,
    row_count  bigint NOT NULL,
    loaded_at  timestamptz NOT NULL DEFAULT now(),
    loaded_by  text NOT NULL DEFAULT current_user
);
COMMENT ON TABLE lotbook.ref_loads IS 'Loads of reference data: after each of them what is UNENRICHED is looked at again.';
COMMENT ON COLUMN lotbook.ref_loads.load IS 'Number of the load.';
COMMENT ON COLUMN lotbook.ref_loads.what IS 'traders, strategies, accounts or securities.';
COMMENT ON COLUMN lotbook.ref_loads.row_count IS 'Rows of it.';
COMMENT ON COLUMN lotbook.ref_loads.loaded_at IS 'When.';
COMMENT ON COLUMN lotbook.ref_loads.loaded_by IS 'By which role.';

-- The trades.

CREATE TABLE lotbook.trades (
    business_date     date NOT NULL,
    namespace         text COLLATE "C" NOT NULL,
    exec_id           text COLLATE "C" NOT NULL,
    version           integer NOT NULL CHECK (version > 0),
    change            text NOT NULL CHECK (change IN ('NEW', 'AMENDED', 'CANCELLED', 'REINSTATED', 'ENRICHED')),
    status            text NOT NULL CHECK (status IN ('LIVE', 'CANCELLED')),
    trade_hash        uuid NOT NULL,
    shard             smallint NOT NULL,
    sequence          bigint NOT NULL,
    account           text NOT NULL,
    instrument        text NOT NULL,
    contract_id       text,
    sub_account       text,
    trade_type        text,
    side              text NOT NULL,
    quantity          numeric(19, 8) NOT NULL,
    price             numeric(19, 8),
    consideration     numeric(19, 8),
    fees              numeric(19, 8) NOT NULL,
    currency          text,
    fx_to_base        numeric(19, 8) NOT NULL,
    executed_at_ns    bigint NOT NULL,
    user_id           text,
    source            text,
    correlation_id    text,
    outcome           text NOT NULL,
    enrichment        text NOT NULL CHECK (enrichment IN ('ENRICHED', 'UNENRICHED')),
    missing           text[] NOT NULL CHECK ((enrichment = 'UNENRICHED') = (cardinality(missing) > 0)),
    trader_id         text,
    trader_name       text,
    trader_mpid       text,
    strategy_id       text,
    strategy_name     text,
    desk              text,
    security_name     text,
    cusip             text,
    isin              text,
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_date, namespace, exec_id, version)
) PARTITION BY RANGE (business_date);

CREATE INDEX idx_trades_instrument ON lotbook.trades (instrument, business_date);
CREATE INDEX idx_trades_account ON lotbook.trades (account, business_date);

CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON lotbook.trades
    FOR EACH ROW EXECUTE FUNCTION lotbook.append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON lotbook.trades
    FOR EACH STATEMENT EXECUTE FUNCTION lotbook.append_only();

COMMENT ON TABLE lotbook.trades IS 'Every execution, one row for each version of it: as it was accepted, amended, cancelled, reinstated, enriched later. Append-only; trades_enriched shows the last version.';
COMMENT ON COLUMN lotbook.trades.business_date IS 'Effective date of the trade, as this version has it; the table is split by its month.';
COMMENT ON COLUMN lotbook.trades.namespace IS 'Namespace in which exec_id is unique.';
COMMENT ON COLUMN lotbook.trades.exec_id IS 'Execution id: the trade''s own.';
COMMENT ON COLUMN lotbook.trades.version IS 'From 1 on, without a gap.';
COMMENT ON COLUMN lotbook.trades.change IS 'What this version brought: NEW, AMENDED, CANCELLED, REINSTATED by a cancel of the cancel, ENRICHED when missing reference data had come.';
COMMENT ON COLUMN lotbook.trades.status IS 'LIVE, or CANCELLED by a cancel that is live.';
COMMENT ON COLUMN lotbook.trades.trade_hash IS 'Hash of namespace and id, by which amendments name it.';
COMMENT ON COLUMN lotbook.trades.shard IS 'The shard whose log it is from.';
COMMENT ON COLUMN lotbook.trades.sequence IS 'The record that brought this version: the trade''s, the amendment''s; of an ENRICHED one that of the version before.';
COMMENT ON COLUMN lotbook.trades.account IS 'Account.';
COMMENT ON COLUMN lotbook.trades.instrument IS 'Instrument.';
COMMENT ON COLUMN lotbook.trades.contract_id IS 'Contract that the sender named.';
COMMENT ON COLUMN lotbook.trades.sub_account IS 'Sub-account that the sender named: the strategy.';
COMMENT ON COLUMN lotbook.trades.trade_type IS 'NEW_TRADE, INCREASE or DECREASE, where the sender said so.';
COMMENT ON COLUMN lotbook.trades.side IS 'Side.';
COMMENT ON COLUMN lotbook.trades.quantity IS 'Quantity, exact, positive.';
COMMENT ON COLUMN lotbook.trades.price IS 'Price, exact; null where a consideration was given instead.';
COMMENT ON COLUMN lotbook.trades.consideration IS 'Gross amount of the whole trade, exact, where one was given.';
COMMENT ON COLUMN lotbook.trades.fees IS 'Fees, exact.';
COMMENT ON COLUMN lotbook.trades.currency IS 'Currency that the sender named.';
COMMENT ON COLUMN lotbook.trades.fx_to_base IS 'Units of the base currency for one of the trade''s.';
COMMENT ON COLUMN lotbook.trades.executed_at_ns IS 'Execution time, UTC nanoseconds since 1970.';
COMMENT ON COLUMN lotbook.trades.user_id IS 'User who asked for this version.';
COMMENT ON COLUMN lotbook.trades.source IS 'Where it came from: a FIX session, a file.';
COMMENT ON COLUMN lotbook.trades.correlation_id IS 'Correlation id of the request that brought this version.';
COMMENT ON COLUMN lotbook.trades.outcome IS 'What became of the request: applied, provisional, forward.';
COMMENT ON COLUMN lotbook.trades.enrichment IS 'ENRICHED; or UNENRICHED, where reference data is missing: it is looked at again after each load.';
COMMENT ON COLUMN lotbook.trades.missing IS 'What is missing: account, trader, strategy, security.';
COMMENT ON COLUMN lotbook.trades.trader_id IS 'Trader of the account on the business date.';
COMMENT ON COLUMN lotbook.trades.trader_name IS 'The trader''s name.';
COMMENT ON COLUMN lotbook.trades.trader_mpid IS 'The trader''s market participant id.';
COMMENT ON COLUMN lotbook.trades.strategy_id IS 'The sub-account, else the strategy of the account.';
COMMENT ON COLUMN lotbook.trades.strategy_name IS 'The strategy''s name.';
COMMENT ON COLUMN lotbook.trades.desk IS 'The strategy''s desk.';
COMMENT ON COLUMN lotbook.trades.security_name IS 'The security''s name.';
COMMENT ON COLUMN lotbook.trades.cusip IS 'The security''s CUSIP.';
COMMENT ON COLUMN lotbook.trades.isin IS 'The security''s ISIN.';
COMMENT ON COLUMN lotbook.trades.recorded_at IS 'When this version was written, by the server''s clock.';

-- The partitions: one for what is before 2000, one for what is from 2100 on, one a month between, made when it is wanted or ahead of it.

CREATE FUNCTION lotbook.make_trade_partition(wanted date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    low  date := date_trunc('month', wanted)::date;
    high date := (date_trunc('month', wanted) + interval '1 month')::date;
    part text := 'trades_' || to_char(wanted, 'YYYY_MM');
    low_words text;
    high_words text;
BEGIN
    IF wanted < DATE '2000-01-01' THEN
        part := 'trades_before_2000';
    ELSIF wanted >= DATE '2100-01-01' THEN
        part := 'trades_from_2100';
    END IF;
    IF to_regclass('lotbook.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Two who make the same one: the second finds it.
    PERFORM pg_advisory_xact_lock(7813591844636289794);
    IF to_regclass('lotbook.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    low_words := CASE WHEN wanted < DATE '2000-01-01' THEN 'MINVALUE' WHEN wanted >= DATE '2100-01-01' THEN '''2100-01-01''' ELSE quote_literal(low) END;
    high_words := CASE WHEN wanted < DATE '2000-01-01' THEN '''2000-01-01''' WHEN wanted >= DATE '2100-01-01' THEN 'MAXVALUE' ELSE quote_literal(high) END;
    -- Made beside the table and attached: so whoever reads the table meanwhile is not waited for.
    EXECUTE format('CREATE TABLE lotbook.%I (LIKE lotbook.trades INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('ALTER TABLE lotbook.trades ATTACH PARTITION lotbook.%I FOR VALUES FROM (%s) TO (%s)', part, low_words, high_words);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON lotbook.%I FOR EACH STATEMENT EXECUTE FUNCTION lotbook.append_only()', part);
    EXECUTE format('COMMENT ON TABLE lotbook.%I IS %L', part, 'Part of trades, by business_date.');
    RETURN true;
END $$;
COMMENT ON FUNCTION lotbook.make_trade_partition IS 'Makes the part of trades for the month of a date, where it is not there: true where it made it.';

DO $$
BEGIN
    PERFORM lotbook.make_trade_partition(DATE '1999-12-31');
    PERFORM lotbook.make_trade_partition(DATE '2100-01-01');
END $$;

CREATE TABLE lotbook.executions (
    namespace      text COLLATE "C" NOT NULL,
    exec_id        text COLLATE "C" NOT NULL,
    trade_hash     uuid NOT NULL,
    shard          smallint NOT NULL,
    first_sequence bigint NOT NULL,
    first_date     date NOT NULL,
    business_date  date NOT NULL,
    version        integer NOT NULL,
    enrichment     text NOT NULL,
    PRIMARY KEY (namespace, exec_id)
);
CREATE UNIQUE INDEX idx_execution_hash ON lotbook.executions (trade_hash);
CREATE INDEX idx_execution_unenriched ON lotbook.executions (first_sequence) WHERE enrichment = 'UNENRICHED';
COMMENT ON TABLE lotbook.executions IS 'Each execution once: it makes exec_id unique over all parts of trades, and says which version is the last.';
COMMENT ON COLUMN lotbook.executions.namespace IS 'Namespace in which exec_id is unique.';
COMMENT ON COLUMN lotbook.executions.exec_id IS 'Execution id.';
COMMENT ON COLUMN lotbook.executions.trade_hash IS 'Hash of both.';
COMMENT ON COLUMN lotbook.executions.shard IS 'The shard whose log it is from.';
COMMENT ON COLUMN lotbook.executions.first_sequence IS 'The record that accepted it.';
COMMENT ON COLUMN lotbook.executions.first_date IS 'business_date of version 1.';
COMMENT ON COLUMN lotbook.executions.business_date IS 'business_date of the last version.';
COMMENT ON COLUMN lotbook.executions.version IS 'The last version.';
COMMENT ON COLUMN lotbook.executions.enrichment IS 'Of the last version.';

CREATE TABLE lotbook.trade_amendments (
    trade_hash     uuid NOT NULL,
    shard          smallint NOT NULL,
    sequence       bigint NOT NULL,
    amend_hash     uuid NOT NULL,
    target_hash    uuid NOT NULL,
    PRIMARY KEY (trade_hash, sequence)
);
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON lotbook.trade_amendments
    FOR EACH ROW EXECUTE FUNCTION lotbook.append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON lotbook.trade_amendments
    FOR EACH STATEMENT EXECUTE FUNCTION lotbook.append_only();
COMMENT ON TABLE lotbook.trade_amendments IS 'Accepted cancels and corrects by the trade at the end of their chain of targets. Append-only.';
COMMENT ON COLUMN lotbook.trade_amendments.trade_hash IS 'The trade.';
COMMENT ON COLUMN lotbook.trade_amendments.shard IS 'The shard whose log it is from.';
COMMENT ON COLUMN lotbook.trade_amendments.sequence IS 'The amendment''s record.';
COMMENT ON COLUMN lotbook.trade_amendments.amend_hash IS 'Hash of the amendment''s own id.';
COMMENT ON COLUMN lotbook.trade_amendments.target_hash IS 'What it amends: the trade, or another amendment of it.';

CREATE TABLE lotbook.trade_cursor (
    shard            smallint PRIMARY KEY,
    sequence         bigint NOT NULL CHECK (sequence >= 0),
    loads_seen       bigint NOT NULL DEFAULT 0,
    committed_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE lotbook.trade_cursor IS 'How far event_store is in trades; committed with the rows.';
COMMENT ON COLUMN lotbook.trade_cursor.shard IS 'The shard.';
COMMENT ON COLUMN lotbook.trade_cursor.sequence IS 'Sequence of the last record taken or parked.';
COMMENT ON COLUMN lotbook.trade_cursor.loads_seen IS 'The last load of reference data after which what is UNENRICHED was looked at.';
COMMENT ON COLUMN lotbook.trade_cursor.committed_at IS 'When, by the server''s clock.';

CREATE TABLE lotbook.trade_dead_letters (
    shard       smallint NOT NULL,
    sequence    bigint NOT NULL,
    trade_hash  uuid,
    event_type  text NOT NULL,
    tries       integer NOT NULL,
    sqlstate    text,
    reason      text NOT NULL,
    parked_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    PRIMARY KEY (shard, sequence)
);
CREATE INDEX idx_dead_letter_trade ON lotbook.trade_dead_letters (trade_hash) WHERE resolved_at IS NULL;
COMMENT ON TABLE lotbook.trade_dead_letters IS 'Records that trades could not take; event_store has them. `lotbook archive retry` tries again.';
COMMENT ON COLUMN lotbook.trade_dead_letters.shard IS 'The shard.';
COMMENT ON COLUMN lotbook.trade_dead_letters.sequence IS 'The record.';
COMMENT ON COLUMN lotbook.trade_dead_letters.trade_hash IS 'Hash of the trade that it is about.';
COMMENT ON COLUMN lotbook.trade_dead_letters.event_type IS 'Name of its kind.';
COMMENT ON COLUMN lotbook.trade_dead_letters.tries IS 'How often it was tried.';
COMMENT ON COLUMN lotbook.trade_dead_letters.sqlstate IS 'SQLSTATE of the last refusal; null where it waits for its trade, which is parked.';
COMMENT ON COLUMN lotbook.trade_dead_letters.reason IS 'What was said.';
COMMENT ON COLUMN lotbook.trade_dead_letters.parked_at IS 'When it was given up.';
COMMENT ON COLUMN lotbook.trade_dead_letters.resolved_at IS 'When a later try took it; null while it waits.';

CREATE VIEW lotbook.trades_enriched AS
    SELECT t.*, to_timestamp(t.executed_at_ns / 1000000000) + (t.executed_at_ns % 1000000000 / 1000) * interval '1 microsecond' AS executed_at
    FROM lotbook.executions e
    JOIN lotbook.trades t ON t.business_date = e.business_date AND t.namespace = e.namespace
        AND t.exec_id = e.exec_id AND t.version = e.version;
COMMENT ON VIEW lotbook.trades_enriched IS 'The last version of every trade, with what reference data says of it.';

CREATE VIEW lotbook.trades_unenriched AS
    SELECT t.namespace, t.exec_id, t.business_date, t.account, t.instrument, t.sub_account, t.trader_id, t.strategy_id, t.missing, t.recorded_at
    FROM lotbook.executions e
    JOIN lotbook.trades t ON t.business_date = e.business_date AND t.namespace = e.namespace
        AND t.exec_id = e.exec_id AND t.version = e.version
    WHERE e.enrichment = 'UNENRICHED';
COMMENT ON VIEW lotbook.trades_unenriched IS 'Trades whose reference data is missing, and what is.';

REVOKE ALL ON ALL TABLES IN SCHEMA lotbook FROM PUBLIC;
REVOKE ALL ON FUNCTION lotbook.make_trade_partition FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA lotbook TO lotbook_reader, lotbook_writer;
GRANT EXECUTE ON FUNCTION lotbook.make_trade_partition TO lotbook_writer;
GRANT INSERT ON lotbook.trades, lotbook.trade_amendments TO lotbook_writer;
GRANT INSERT, UPDATE ON lotbook.executions, lotbook.trade_cursor, lotbook.trade_dead_letters TO lotbook_writer;
GRANT INSERT, UPDATE ON lotbook.ref_traders, lotbook.ref_strategies, lotbook.ref_accounts, lotbook.ref_securities TO lotbook_writer;
GRANT INSERT ON lotbook.ref_loads TO lotbook_writer;
