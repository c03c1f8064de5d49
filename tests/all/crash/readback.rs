//! What a host shows from outside: its log read back from disk and tail, its positions over HTTP.

use std::collections::HashSet;
use std::path::Path;

use lotbook_core::apply::Place;
use lotbook_core::codec::Decoder;
use lotbook_core::command::NameClass;
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Event};
use lotbook_core::id::{NameId, TradeId};
use lotbook_core::{Book, Limits};
use lotbook_engine::recovery::is_log_record;
use lotbook_perf::ledger::Ledger;
use lotbook_perf::oracle::{LotSide, SeenLot, SeenPosition};
use lotbook_perf::verdict::{Integrity, LogCheck, LoggedOutcome};
use lotbook_tests::server::Served;
use serde_json::Value;

/// A trade event of the log, small: a campaign keeps all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    trade_id: TradeId,
    account: NameId,
    instrument: NameId,
    pub(crate) sequence: u64,
    outcome: LoggedOutcome,
}

impl Logged {
    pub(crate) fn accepted(&self) -> bool {
        matches!(self.outcome, LoggedOutcome::Applied | LoggedOutcome::Provisional | LoggedOutcome::Forward)
    }
}

/// The trades of a log, read by and by: each call goes on behind what is known. What was in the log once must stay in it, so reading it
/// from the start must give the same again; the campaign's end does that.
pub(crate) struct LogImage {
    names: Book,
    decoder: Decoder,
    seen: u64,
    pub(crate) trades: Vec<Logged>,
    positions: HashSet<u32>,
    provisional: HashSet<u32>,
    pub(crate) corrections: u64,
}

impl LogImage {
    pub(crate) fn new() -> Self {
        Self {
            names: Book::new(Limits { positions_max: 1, lots_max: 8, ..Limits::HOST }),
            decoder: Decoder::new(),
            seen: 0,
            trades: Vec::new(),
            positions: HashSet::new(),
            provisional: HashSet::new(),
            corrections: 0,
        }
    }

    /// Reads on: disk first, then what only the tail holds.
    pub(crate) fn read_on(&mut self, data_dir: &Path, tail_dir: &Path) {
        let log = lotbook_wal::open_read_only(&data_dir.join("log"));
        let mut log = log.unwrap_or_else(|error| panic!("opening the log: {error}")).with_tail_dir(tail_dir);
        while let Some(record) = log.next().unwrap_or_else(|error| panic!("after {}: {error}", self.seen)) {
            let header = record.header;
            if header.sequence <= self.seen {
                continue;
            }
            assert_eq!(header.sequence, self.seen + 1, "the log goes on without a gap");
            self.seen = header.sequence;
            if is_log_record(&header) {
                continue;
            }
            let event = self.decoder.decode(header.kind, header.version, record.payload);
            match event.unwrap_or_else(|error| panic!("event {}: {error}", header.sequence)) {
                event @ Event::Defined { .. } => {
                    let place = Place { sequence: header.sequence, address: header.address };
                    self.names.apply(&event, place, None).unwrap_or_else(|misfit| panic!("{misfit}"));
                }
                Event::Trade(trade) => {
                    let outcome = match trade.class {
                        Class::Applied => LoggedOutcome::Applied,
                        Class::Provisional => LoggedOutcome::Provisional,
                        Class::Forward => LoggedOutcome::Forward,
                        Class::Duplicate => LoggedOutcome::Duplicate,
                        Class::Rejected => LoggedOutcome::Rejected,
                        Class::Matured | Class::Rebooked | Class::Held | Class::Lapsed => continue,
                    };
                    let logged = Logged {
                        trade_id: trade.input.trade_id,
                        account: trade.input.account,
                        instrument: trade.input.instrument,
                        sequence: header.sequence,
                        outcome,
                    };
                    if logged.accepted() {
                        self.positions.insert(trade.position);
                    }
                    if outcome == LoggedOutcome::Provisional {
                        self.provisional.insert(trade.position);
                    }
                    self.trades.push(logged);
                }
                Event::Corrected(corrected) => {
                    self.corrections += 1;
                    self.provisional.remove(&corrected.position);
                }
                _ => {}
            }
        }
    }

    /// Forgets everything: the next read starts at the beginning.
    pub(crate) fn restart(&mut self) {
        *self = Self::new();
    }

    /// PROVISIONAL positions and all positions.
    pub(crate) fn provisional(&self) -> (usize, usize) {
        (self.provisional.len(), self.positions.len())
    }

    /// Events of one ledger index: how many accepted, and the sequence of the last.
    pub(crate) fn by_index(&self, ledger: &Ledger) -> Vec<(u32, u64)> {
        let mut found = vec![(0, 0); ledger.entries.len()];
        for trade in self.trades.iter().filter(|trade| trade.accepted()) {
            let index = ledger.index_of(trade.trade_id.as_str().as_bytes());
            let index = index.unwrap_or_else(|| panic!("{} was never sent", trade.trade_id.as_str()));
            let slot: &mut (u32, u64) = &mut found[index as usize];
            *slot = (slot.0 + 1, trade.sequence);
        }
        found
    }

    /// The load generator's verdict over the whole log.
    pub(crate) fn verdict(&self, ledger: &Ledger, positions: &[SeenPosition]) -> Integrity {
        let mut check = LogCheck::new(ledger);
        for trade in &self.trades {
            let account = self.names.names().str(NameClass::Account, trade.account);
            let instrument = self.names.names().str(NameClass::Instrument, trade.instrument);
            check.saw(trade.trade_id.as_str(), account, instrument, trade.sequence, trade.outcome);
        }
        check.finish(positions)
    }
}

/// All positions with their lots, page by page.
pub(crate) fn positions(host: &Served) -> Vec<SeenPosition> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = host.json(&format!("/v1/positions?limit=1000&lots=true{after}"));
        let rows = page["positions"].as_array().expect("positions");
        all.extend(rows.iter().map(position));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn position(row: &Value) -> SeenPosition {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_else(|| panic!("{key} in {row}")).to_owned();
    let e8 = |row: &Value, key: &str| i64::try_from(scaled(&text(row, key), 8)).expect("64 bits");
    assert_eq!(text(row, "reconciliation_status"), "RECONCILED", "{row}");
    let lots = row["lots"].as_array().unwrap_or_else(|| panic!("lots in {row}"));
    let lot = |lot: &Value| SeenLot {
        trade_id: text(lot, "trade_id"),
        side: if text(lot, "side") == "long" { LotSide::Long } else { LotSide::Short },
        quantity_e8: e8(lot, "quantity"),
        price_e8: e8(lot, "price"),
        cost_e16: scaled(&text(lot, "cost"), 16),
        acquired_days: Date::parse(&text(lot, "acquired")).expect("a date").0,
    };
    SeenPosition {
        account: text(row, "account"),
        instrument: text(row, "instrument"),
        quantity_e8: e8(row, "quantity"),
        realized_e16: scaled(&text(row, "realized_pnl"), 16),
        lots: lots.iter().map(lot).collect(),
    }
}

/// An exact decimal as an integer at 10^-digits.
fn scaled(text: &str, digits: usize) -> i128 {
    let (sign, number) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    assert!(fraction.len() <= digits, "{text} has more than {digits} decimals");
    let joined = format!("{whole}{fraction}{}", "0".repeat(digits - fraction.len()));
    sign * joined.parse::<i128>().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn decimals_are_read_exactly() {
    for (text, digits, value) in
        [("0", 8, 0), ("-1.5", 8, -150_000_000), ("0.0000000000000001", 16, 1), ("12.34", 2, 1234)]
    {
        assert_eq!(scaled(text, digits), value, "{text}");
    }
}
