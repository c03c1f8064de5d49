//! The statements of the projection: where versions of trades come from, and how they are enriched and written.
//!
//! One text enriches and writes, whatever the versions are of: new trades of a stretch of the log, an amended trade, trades that lacked
//! reference data. Each pair of account and date, and of instrument and date, is looked up once a batch.

/// Kinds of records that accept a trade. One that comes to be booked later was accepted before.
pub(super) const ACCEPTED: &str = "('TradeApplied', 'ProvisionalTradeApplied', 'ForwardTradeAccepted')";
/// The kind of record that accepts a cancel or a correct.
pub(super) const AMENDED: &str = "ProvisionalAmendmentApplied";

/// The stretch of a batch: behind `$2`, up to `$3`.
pub(super) const STRETCH: &str = "e.shard = $1 AND e.sequence > $2 AND e.sequence <= $3";

/// What a record that accepts a trade says of it. Parameters: [`STRETCH`].
pub(super) fn new_trades() -> String {
    format!(
        "SELECT e.effective_date AS business_date, COALESCE(e.namespace, '') AS namespace, e.trade_id AS exec_id, 1 AS version, \
         'NEW' AS change, 'LIVE' AS status, e.trade_hash, e.shard, e.sequence, e.account, e.instrument, e.contract_id, \
         e.payload ->> 'sub_account' AS sub_account, e.payload ->> 'trade_type' AS trade_type, e.side, e.quantity, e.price, \
         (e.payload ->> 'consideration')::numeric AS consideration, e.fees, e.payload ->> 'currency' AS currency, \
         (e.payload ->> 'fx_to_base')::numeric AS fx_to_base, e.executed_at_ns, e.user_id, e.source, e.correlation_id, e.outcome, \
         NULL::text[] AS lacked \
         FROM lotbook.event_store e WHERE {STRETCH} AND e.event_type IN {ACCEPTED} AND e.payload ->> 'type' = 'trade'"
    )
}

/// One amended trade, as a JSON document in `$1`.
pub(super) fn amended_trade() -> String {
    "SELECT r.*, NULL::text[] AS lacked FROM jsonb_to_record($1::text::jsonb) AS r(business_date date, namespace text, exec_id text, \
     version integer, change text, status text, trade_hash uuid, shard smallint, sequence bigint, account text, instrument text, \
     contract_id text, sub_account text, trade_type text, side text, quantity numeric, price numeric, consideration numeric, fees numeric, \
     currency text, fx_to_base numeric, executed_at_ns bigint, user_id text, source text, correlation_id text, outcome text)"
        .to_owned()
}

/// Trades that lack reference data, first accepted behind `$1` and up to `$2`.
pub(super) fn unenriched_trades() -> String {
    "SELECT t.business_date, t.namespace, t.exec_id, t.version + 1 AS version, 'ENRICHED' AS change, t.status, t.trade_hash, t.shard, \
     t.sequence, t.account, t.instrument, t.contract_id, t.sub_account, t.trade_type, t.side, t.quantity, t.price, t.consideration, t.fees, \
     t.currency, t.fx_to_base, t.executed_at_ns, t.user_id, t.source, t.correlation_id, t.outcome, t.missing AS lacked \
     FROM lotbook.executions x JOIN lotbook.trades t ON t.business_date = x.business_date AND t.namespace = x.namespace \
     AND t.exec_id = x.exec_id AND t.version = x.version \
     WHERE x.enrichment = 'UNENRICHED' AND x.shard = $1 AND x.first_sequence > $2 AND x.first_sequence <= $3"
        .to_owned()
}

/// A row of reference data in force on a date, or nulls.
fn in_force(table: &str, key: &str, of: &str) -> String {
    format!(
        "LEFT JOIN LATERAL (SELECT * FROM lotbook.{table} r WHERE r.{key} = {of} AND r.valid_from <= k.business_date \
         ORDER BY r.valid_from DESC LIMIT 1) {table} ON NOT {table}.ended"
    )
}

/// Which version a statement writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// The first: an id that is there already is refused.
    First,
    /// The next one of a trade that is there.
    Next,
}

/// Enriches and writes what `source` gives, and notes the executions. Of trades that lacked something only those are written that lack
/// something else now.
pub(super) fn write(source: &str, writes: Writes) -> String {
    let noted = match writes {
        Writes::First => {
            "INSERT INTO lotbook.executions (namespace, exec_id, trade_hash, shard, first_sequence, first_date, business_date, version, enrichment) \
             SELECT namespace, exec_id, trade_hash, shard, sequence, business_date, business_date, version, enrichment FROM enriched"
        }
        Writes::Next => {
            "UPDATE lotbook.executions x SET business_date = n.business_date, version = n.version, enrichment = n.enrichment \
             FROM enriched n WHERE x.namespace = n.namespace AND x.exec_id = n.exec_id"
        }
    };
    let accounts = in_force("ref_accounts", "account", "k.account");
    let traders = in_force("ref_traders", "trader_id", "ref_accounts.trader_id");
    let strategies = in_force("ref_strategies", "strategy_id", "COALESCE(k.sub_account, ref_accounts.strategy_id)");
    let securities = in_force("ref_securities", "instrument", "k.instrument");
    format!(
        "WITH source AS MATERIALIZED ({source}), \
         people AS MATERIALIZED ( \
           SELECT k.*, ref_accounts.account IS NOT NULL AS has_account, ref_accounts.trader_id, ref_traders.name AS trader_name, \
             ref_traders.mpid AS trader_mpid, COALESCE(k.sub_account, ref_accounts.strategy_id) AS strategy_id, \
             ref_strategies.name AS strategy_name, ref_strategies.desk \
           FROM (SELECT DISTINCT account, COALESCE(sub_account, '') AS sub_key, sub_account, business_date FROM source) k \
           {accounts} {traders} {strategies}), \
         securities AS MATERIALIZED ( \
           SELECT k.*, ref_securities.name AS security_name, ref_securities.cusip, ref_securities.isin \
           FROM (SELECT DISTINCT instrument, business_date FROM source) k {securities}), \
         found AS MATERIALIZED ( \
           SELECT s.*, p.trader_id, p.trader_name, p.trader_mpid, p.strategy_id, p.strategy_name, p.desk, c.security_name, c.cusip, c.isin, \
             array_remove(ARRAY[ \
               CASE WHEN NOT p.has_account THEN 'account' END, \
               CASE WHEN p.has_account AND p.trader_name IS NULL THEN 'trader' END, \
               CASE WHEN p.strategy_id IS NOT NULL AND p.strategy_name IS NULL THEN 'strategy' END, \
               CASE WHEN c.security_name IS NULL THEN 'security' END], NULL) AS missing \
           FROM source s \
           JOIN people p ON p.account = s.account AND p.business_date = s.business_date AND p.sub_key = COALESCE(s.sub_account, '') \
           JOIN securities c ON c.instrument = s.instrument AND c.business_date = s.business_date), \
         enriched AS MATERIALIZED ( \
           SELECT f.*, CASE WHEN cardinality(f.missing) = 0 THEN 'ENRICHED' ELSE 'UNENRICHED' END AS enrichment \
           FROM found f WHERE f.missing IS DISTINCT FROM f.lacked), \
         noted AS ({noted}) \
         INSERT INTO lotbook.trades (business_date, namespace, exec_id, version, change, status, trade_hash, shard, sequence, account, \
           instrument, contract_id, sub_account, trade_type, side, quantity, price, consideration, fees, currency, fx_to_base, \
           executed_at_ns, user_id, source, correlation_id, outcome, enrichment, missing, trader_id, trader_name, trader_mpid, strategy_id, \
           strategy_name, desk, security_name, cusip, isin) \
         SELECT business_date, namespace, exec_id, version, change, status, trade_hash, shard, sequence, account, instrument, contract_id, \
           sub_account, trade_type, side, quantity, price, consideration, fees, currency, fx_to_base, executed_at_ns, user_id, source, \
           correlation_id, outcome, enrichment, missing, trader_id, trader_name, trader_mpid, strategy_id, strategy_name, desk, \
           security_name, cusip, isin \
         FROM enriched ORDER BY shard, sequence"
    )
}

/// Makes the parts of `trades` that new trades of a stretch want. Parameters: [`STRETCH`].
pub(super) fn make_parts() -> String {
    format!(
        "SELECT lotbook.make_trade_partition(month) FROM (SELECT DISTINCT date_trunc('month', e.effective_date)::date AS month \
         FROM lotbook.event_store e WHERE {STRETCH} AND e.event_type IN {ACCEPTED}) months"
    )
}

/// Notes the accepted amendments of a stretch; which trades they are of, in the order of the log. Parameters: [`STRETCH`].
pub(super) fn note_amendments() -> String {
    format!(
        "WITH stretch AS MATERIALIZED ( \
           SELECT (e.payload -> 'amended' ->> 'hash')::uuid AS trade_hash, e.shard, e.sequence, e.trade_hash AS amend_hash, \
             (e.payload ->> 'target')::uuid AS target_hash \
           FROM lotbook.event_store e WHERE {STRETCH} AND e.event_type = '{AMENDED}'), \
         noted AS ( \
           INSERT INTO lotbook.trade_amendments (trade_hash, shard, sequence, amend_hash, target_hash) \
           SELECT * FROM stretch ON CONFLICT DO NOTHING) \
         SELECT trade_hash, sequence FROM stretch ORDER BY sequence"
    )
}

/// The trade with this hash: its last version, and the record that accepted it.
pub(super) const EXECUTION: &str = "SELECT x.namespace, x.exec_id, x.version, t.status, e.account, e.instrument, e.payload::text \
    FROM lotbook.executions x \
    JOIN lotbook.trades t ON t.business_date = x.business_date AND t.namespace = x.namespace AND t.exec_id = x.exec_id AND t.version = x.version \
    JOIN lotbook.event_store e ON e.shard = x.shard AND e.sequence = x.first_sequence \
    WHERE x.trade_hash = $1::text::uuid";

/// Amendments of a trade up to a record, in the order of the log.
pub(super) const AMENDMENTS: &str = "SELECT e.trade_id, a.amend_hash::text, a.target_hash::text, e.payload::text, e.user_id, e.source, e.correlation_id, e.outcome, e.sequence \
    FROM lotbook.trade_amendments a JOIN lotbook.event_store e ON e.shard = a.shard AND e.sequence = a.sequence \
    WHERE a.trade_hash = $1::text::uuid AND a.shard = $2 AND a.sequence <= $3 ORDER BY a.sequence";

/// Columns of a version that come from the log, in `found` and in `trades`.
const FROM_LOG: [&str; 21] = [
    "business_date",
    "trade_hash",
    "shard",
    "account",
    "instrument",
    "contract_id",
    "sub_account",
    "trade_type",
    "side",
    "quantity",
    "price",
    "consideration",
    "fees",
    "currency",
    "fx_to_base",
    "executed_at_ns",
    "user_id",
    "source",
    "correlation_id",
    "outcome",
    "status",
];

fn same(left: &str, right: &str) -> String {
    let row = |of: &str| FROM_LOG.map(|column| format!("{of}.{column}")).join(", ");
    format!("ROW({}) IS NOT DISTINCT FROM ROW({})", row(left), row(right))
}

/// Accepted trades of a stretch whose first version is missing or another, but for parked ones: sequence, and whether it is there.
pub(super) fn wrong_first_versions() -> String {
    let (source, same) = (new_trades(), same("s", "t"));
    format!(
        "SELECT s.sequence, t.exec_id IS NOT NULL FROM ({source}) s \
         LEFT JOIN lotbook.executions x ON x.namespace = s.namespace AND x.exec_id = s.exec_id AND x.first_sequence = s.sequence \
         LEFT JOIN lotbook.trades t ON t.business_date = x.first_date AND t.namespace = s.namespace AND t.exec_id = s.exec_id AND t.version = 1 \
         WHERE NOT ({same} AND t.sequence = s.sequence AND t.exec_id IS NOT NULL) \
         AND NOT EXISTS (SELECT FROM lotbook.trade_dead_letters d WHERE d.shard = s.shard AND d.sequence = s.sequence AND d.resolved_at IS NULL) \
         ORDER BY s.sequence"
    )
}

/// Accepted trades of a stretch, without those that are parked.
pub(super) fn count_of_trades() -> String {
    let source = new_trades();
    format!(
        "SELECT count(*) FROM ({source}) s WHERE NOT EXISTS (SELECT FROM lotbook.trade_dead_letters d \
         WHERE d.shard = s.shard AND d.sequence = s.sequence AND d.resolved_at IS NULL)"
    )
}

/// Executions whose versions are not 1 to the last one, each once.
pub(super) const WRONG_VERSIONS: &str = "SELECT COALESCE(x.first_sequence, v.sequence) \
    FROM (SELECT namespace, exec_id, min(sequence) AS sequence, count(*) AS count, max(version) AS last FROM lotbook.trades GROUP BY namespace, exec_id) v \
    FULL JOIN lotbook.executions x ON x.namespace = v.namespace AND x.exec_id = v.exec_id \
    WHERE v.count IS DISTINCT FROM x.version OR v.last IS DISTINCT FROM x.version ORDER BY 1";

/// Whether the last version of the amended trade in `$1` is what its amendments make of it.
pub(super) fn amended_as_it_should() -> String {
    let (source, same) = (amended_trade(), same("s", "t"));
    format!(
        "SELECT {same} FROM ({source}) s JOIN lotbook.executions x ON x.namespace = s.namespace AND x.exec_id = s.exec_id \
         JOIN lotbook.trades t ON t.business_date = x.business_date AND t.namespace = s.namespace AND t.exec_id = s.exec_id \
         AND t.version = x.version"
    )
}
