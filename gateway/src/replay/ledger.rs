//! The ledger: each trade's figures, as the follower's events tell them.
//!
//! Lots know their trades by hash only, so the ledger keeps every id; a correction replaces the
//! figures of all trades that it decided again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lotbook_core::Book;
use lotbook_core::amend_event::AmendEvent;
use lotbook_core::amount::Money;
use lotbook_core::arrival::ArrivedEvent;
use lotbook_core::closed::PeriodFigures;
use lotbook_core::codec::Decoder;
use lotbook_core::command::{InstrumentTerms, NameClass};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, CorrectedEvent, Event, Reason, TradeEvent};
use lotbook_core::history::Standing;
use lotbook_core::id::{NameId, TradeHash};
use lotbook_core::lot_changes::LotChange;
use lotbook_core::outcome::{Allocation, Outcome};
use lotbook_core::replay::allocations;
use lotbook_core::rules::{ContractTerms, Rules};
use lotbook_core::values::market_part;
use lotbook_core::wide_event::{ActionEvent, TakenEvent};
use lotbook_engine::follower::Observer;
use lotbook_engine::recovery::is_log_record;
use lotbook_engine::{Host, StartError, side_log};
use lotbook_wal::{From, Limit, ReadError, RecordHeader};
use parking_lot::Mutex;

use crate::output::{
    AdjustedRow, AdjustmentRow, Amended, CorrectionRow, Day, E8, E16, FiguresRow, LotChangeRow, LotStateRow,
};

/// What a trade realized, and on which lots.
#[derive(Clone, Debug, Default)]
pub(super) struct TradeFigures {
    pub(super) realized_e16: Money,
    pub(super) realized_long_e16: Money,
    pub(super) realized_base_e16: Money,
    pub(super) realized_market_e16: Money,
    pub(super) allocations: Box<[Allocation]>,
}

/// How an amendment stands.
#[derive(Clone, Debug)]
pub(super) enum Amendment {
    /// It waits for its target.
    Held,
    /// It is part of the history of an action.
    OfAction,
    /// Its time is over, or its target was none for it.
    Lapsed(Reason),
    /// It is part of this position's history.
    Accepted {
        /// Account.
        account: Box<str>,
        /// Instrument.
        instrument: Box<str>,
    },
}

/// What an action did to one position.
#[derive(Clone, Copy, Debug)]
struct Acted {
    action: TradeHash,
    realized_e16: Money,
    dividends_e16: Money,
}

/// What is known of all trades of the log.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    ids: HashMap<TradeHash, Box<str>>,
    /// Of the trades that realized something.
    figures: HashMap<TradeHash, TradeFigures>,
    /// Accepted forward-dated trades that wait, with their dates.
    waiting: HashMap<TradeHash, Date>,
    matured: HashSet<TradeHash>,
    /// Trades that are out of the history or count with other fields.
    amended: HashMap<TradeHash, Amended>,
    /// Amendments that were accepted or held, and how they stand.
    amendments: HashMap<TradeHash, Amendment>,
    /// What actions did to each position.
    acted: HashMap<(NameId, NameId), Vec<Acted>>,
    adjustments: Vec<AdjustmentRow>,
    /// Trades that corrects have moved to another position.
    moved: HashSet<TradeHash>,
    corrections: Vec<CorrectionRow>,
}

impl Ledger {
    pub(super) fn figures(&self, hash: TradeHash) -> Option<&TradeFigures> {
        self.figures.get(&hash)
    }

    pub(super) fn has_matured(&self, hash: TradeHash) -> bool {
        self.matured.contains(&hash)
    }

    /// Forward-dated trades of this date or before that are not booked yet.
    pub(super) fn due(&self, today: Date) -> usize {
        self.waiting.values().filter(|date| **date <= today).count()
    }

    pub(super) fn waiting_dates(&self) -> impl Iterator<Item = Date> + '_ {
        self.waiting.values().copied()
    }

    /// What amendments have made of a trade.
    pub(super) fn amended(&self, hash: TradeHash) -> Option<Amended> {
        self.amended.get(&hash).copied()
    }

    /// How an amendment stands that was accepted or held.
    pub(super) fn amendment(&self, hash: TradeHash) -> Option<&Amendment> {
        self.amendments.get(&hash)
    }

    /// What each action did to all positions together: how many, realized, dividends.
    pub(super) fn acted(&self) -> HashMap<TradeHash, (u64, Money, Money)> {
        let mut sums: HashMap<TradeHash, (u64, Money, Money)> = HashMap::new();
        for acted in self.acted.values().flatten() {
            let sum = sums.entry(acted.action).or_default();
            // Sums over positions are for reading: at the edge of the range they stop there.
            *sum = (sum.0 + 1, sum.1.saturating_add(acted.realized_e16), sum.2.saturating_add(acted.dividends_e16));
        }
        sums
    }

    pub(super) fn adjustments(&self) -> &[AdjustmentRow] {
        &self.adjustments
    }

    pub(super) fn corrections(&self) -> &[CorrectionRow] {
        &self.corrections
    }

    /// The trade id behind a hash. Every lot's trade is in the log, so it is known; if it were not, the
    /// hash itself still tells lots apart.
    pub(super) fn id(&self, hash: TradeHash) -> String {
        self.ids.get(&hash).map_or_else(|| format!("#{:032x}", hash.0), |id| id.as_ref().to_owned())
    }

    /// What sent a lot here stands for it where something is said about the arrival itself.
    fn note_arrived(&mut self, event: &ArrivedEvent<'_>) {
        let key = &event.due.leg.key;
        self.ids.insert(key.hash, key.trade_id.as_str().into());
    }

    /// What a trade's event says beside its figures.
    fn note_trade(&mut self, event: &TradeEvent<'_>) {
        let input = &event.input;
        match event.class {
            Class::Applied | Class::Provisional | Class::Rebooked => {}
            Class::Forward => {
                self.waiting.insert(input.hash, input.effective_date);
            }
            Class::Matured => {
                self.waiting.remove(&input.hash);
                self.matured.insert(input.hash);
            }
            Class::Rejected | Class::Duplicate | Class::Held | Class::Lapsed => return,
        }
        self.ids.entry(input.hash).or_insert_with(|| input.trade_id.as_str().into());
    }

    /// What an amendment's event says.
    fn note_amendment(&mut self, event: &AmendEvent<'_>, position: Option<(&str, &str)>) {
        let input = &event.input;
        let stands = match event.class {
            Class::Held => Amendment::Held,
            Class::Lapsed => Amendment::Lapsed(event.reason),
            Class::Applied => Amendment::OfAction,
            Class::Provisional => {
                let (account, instrument) = position.unwrap_or_default();
                Amendment::Accepted { account: account.into(), instrument: instrument.into() }
            }
            _ => return,
        };
        self.amendments.insert(input.hash, stands);
        self.ids.entry(input.hash).or_insert_with(|| input.amend_id.as_str().into());
    }

    /// What an amendment makes of an action.
    fn note_amended_action(&mut self, before: &Book, event: &AmendEvent<'_>) {
        let actions = before.actions();
        let Some(entry) = actions.root_of(event.input.target) else { return };
        let (counts, after) = actions.effective(entry, Some(&event.input));
        let original = actions.entries()[entry as usize].original;
        if !counts {
            self.amended.insert(original.hash, Amended::Cancelled);
        } else if after == original {
            self.amended.remove(&original.hash);
        } else {
            self.amended.insert(original.hash, Amended::Corrected);
        }
    }

    /// What a replay made of amended trades.
    fn note_outcome(&mut self, outcome: &Outcome) {
        for (trade, standing) in &outcome.amended {
            let is_moved =
                outcome.leaving.iter().any(|leaving| leaving.trade.is_some_and(|input| input.hash == *trade));
            if !is_moved {
                self.moved.remove(trade);
            } else if self.moved.insert(*trade) {
                // The position that it goes to says what it does there.
                self.figures.remove(trade);
            }
            // Booked or out: in both cases it does not wait, until the next lines say so.
            if self.waiting.remove(trade).is_some() && *standing != Standing::Cancelled {
                self.matured.insert(*trade);
            }
            match standing {
                Standing::AsAccepted => self.amended.remove(trade),
                Standing::Corrected => self.amended.insert(*trade, Amended::Corrected),
                Standing::Cancelled => {
                    self.figures.remove(trade);
                    self.amended.insert(*trade, Amended::Cancelled)
                }
            };
        }
        for waiting in &outcome.waiting {
            self.figures.remove(&waiting.input.hash);
            self.matured.remove(&waiting.input.hash);
            self.waiting.insert(waiting.input.hash, waiting.input.effective_date);
        }
    }

    /// What an action's event says beside what it did.
    fn note_action(&mut self, event: &ActionEvent) {
        if matches!(event.class, Class::Applied | Class::Forward) {
            self.ids.entry(event.input.hash).or_insert_with(|| event.input.action_id.as_str().into());
        }
    }

    fn note_taken(&mut self, event: &TakenEvent<'_>) {
        if !event.cause_id.is_empty() {
            self.ids.entry(event.cause).or_insert_with(|| event.cause_id.as_str().into());
        }
        if event.books {
            // An event that was decided has sums within their range.
            let gains = event.took.realized().unwrap_or_default();
            self.acted.entry((event.account, event.instrument)).or_default().push(Acted {
                action: event.cause,
                realized_e16: gains.realized_e16,
                dividends_e16: event.took.dividends_e16,
            });
        }
    }

    /// A change of closed days: it is dated on the first open one.
    fn adjust(
        &mut self,
        book: &Book,
        (account, instrument): (NameId, NameId),
        cause: TradeHash,
        version: u64,
        figures: &PeriodFigures,
    ) {
        if figures.are_zero() {
            return;
        }
        self.adjustments.push(AdjustmentRow {
            account: book.names().str(NameClass::Account, account).to_owned(),
            instrument: book.names().str(NameClass::Instrument, instrument).to_owned(),
            trade_id: self.id(cause),
            date: Day(Date(book.locks().through(account).0 + 1)),
            figures: figures.into(),
            version,
        });
    }

    fn set_figures(&mut self, hash: TradeHash, figures: TradeFigures) {
        if figures.allocations.is_empty() && figures.realized_e16 == 0 {
            self.figures.remove(&hash);
        } else {
            self.figures.insert(hash, figures);
        }
    }
}

/// The ledger as an observer of the follower.
pub(super) struct Listener(pub(super) Arc<Mutex<Ledger>>);

impl Observer for Listener {
    fn trade(&mut self, before: &Book, _: &RecordHeader, event: &TradeEvent<'_>) {
        let mut ledger = self.0.lock();
        ledger.note_trade(event);
        if event.adjusts {
            let position = (event.input.account, event.input.instrument);
            ledger.adjust(before, position, event.input.hash, event.version, &PeriodFigures::of_trade(event));
        }
        let books = matches!(event.class, Class::Applied | Class::Provisional | Class::Matured | Class::Rebooked);
        if !books || event.runs.is_empty() {
            return;
        }
        // Runs name lots, so the position is there.
        let Some(position) = before.positions().get(event.position as usize) else { return };
        let multiplier_e8 = before.instrument(event.input.instrument).map_or(0, |i| i.terms.multiplier_e8);
        // An event that was decided has figures within their range.
        let input = &event.input;
        let rules = before
            .contracts()
            .in_force(input.account, input.instrument, input.contract, input.effective_date)
            .unwrap_or(&Rules::DEFAULT);
        let found = allocations(before.lots(), position, event, rules, multiplier_e8).unwrap_or_default();
        let figures = TradeFigures {
            realized_e16: event.realized_e16,
            realized_long_e16: event.realized_long_e16,
            realized_base_e16: event.realized_base_e16,
            realized_market_e16: market_part(event.realized_e16, input.fx_to_base_e8).unwrap_or_default(),
            allocations: found.into(),
        };
        ledger.set_figures(input.hash, figures);
    }

    fn amended(&mut self, before: &Book, _: &RecordHeader, event: &AmendEvent<'_>) {
        let names = before.names();
        let of = before.positions().get(event.position as usize);
        let texts = of.map(|position| {
            (names.str(NameClass::Account, position.account), names.str(NameClass::Instrument, position.instrument))
        });
        let mut ledger = self.0.lock();
        ledger.note_amendment(event, texts);
        if event.class == Class::Applied {
            ledger.note_amended_action(before, event);
        }
    }

    fn action(&mut self, _: &RecordHeader, event: &ActionEvent) {
        self.0.lock().note_action(event);
    }

    fn arrived(&mut self, before: &Book, _: &RecordHeader, event: &ArrivedEvent<'_>) {
        let mut ledger = self.0.lock();
        ledger.note_arrived(event);
        let leg = &event.due.leg;
        let waits = before.positions().get(event.position as usize).is_some_and(|held| held.provisional > 0);
        if !event.late && !waits && leg.key.date <= before.locks().through(leg.account) {
            let position = (leg.account, leg.instrument);
            ledger.adjust(before, position, leg.key.hash, event.version, &event.figures());
        }
    }

    fn taken(&mut self, before: &Book, _: &RecordHeader, event: &TakenEvent<'_>) {
        let mut ledger = self.0.lock();
        ledger.note_taken(event);
        if event.adjusts && event.books {
            let position = (event.account, event.instrument);
            ledger.adjust(before, position, event.cause, event.version, &PeriodFigures::of_taken(&event.took));
        }
    }

    fn corrected(&mut self, before: &Book, _: &RecordHeader, event: &CorrectedEvent, outcome: &Outcome) {
        let mut ledger = self.0.lock();
        for trade in &outcome.trades {
            let figures = TradeFigures {
                realized_e16: trade.realized_e16,
                realized_long_e16: trade.realized_long_e16,
                realized_base_e16: trade.realized_base_e16,
                realized_market_e16: trade.realized_market_e16,
                allocations: trade.allocations.as_slice().into(),
            };
            ledger.set_figures(trade.hash, figures);
        }
        ledger.note_outcome(outcome);
        let acted = outcome.actions.iter().map(|action| Acted {
            action: action.hash,
            realized_e16: action.gains.realized_e16,
            dividends_e16: action.dividends_e16,
        });
        ledger.acted.insert((event.account, event.instrument), acted.collect());
        let lots = lot_changes(&ledger, event, outcome);
        let row = correction(before, event, ledger.id(event.cause), lots);
        ledger.corrections.push(row);
        let position = (event.account, event.instrument);
        ledger.adjust(before, position, event.cause, event.version, &event.adjusted.figures);
    }
}

fn lot_changes(ledger: &Ledger, event: &CorrectedEvent, outcome: &Outcome) -> Vec<LotChangeRow> {
    let row = |change: &LotChange| {
        let after = change.after(&outcome.lots);
        let origin = change.before.as_ref().or(after).map_or(TradeHash::NONE, |lot| lot.origin);
        LotChangeRow {
            trade_id: ledger.id(origin),
            before: change.before.as_ref().map(|lot| LotStateRow::of(lot, event.before.quantity_e8)),
            after: after.map(|lot| LotStateRow::of(lot, event.after.quantity_e8)),
        }
    };
    outcome.changed.iter().map(row).collect()
}

fn correction(book: &Book, event: &CorrectedEvent, cause: String, lots: Vec<LotChangeRow>) -> CorrectionRow {
    let account = book.names().str(NameClass::Account, event.account);
    let instrument = book.names().str(NameClass::Instrument, event.instrument);
    let [exposed_before, exposed_after] = event.exposures_e16().map(|exposure| exposure.map(E16));
    let (before, after) = (FiguresRow::of(&event.before, exposed_before), FiguresRow::of(&event.after, exposed_after));
    // Quantities and sums of one book differ by less than their range.
    let delta = CorrectionRow::delta_of(&before, &after).unwrap_or(crate::output::DeltaRow {
        quantity: E8(0),
        realized_pnl: E16(0),
        realized_long_term: E16(0),
        realized_base: E16(0),
        dividends: E16(0),
        lot_count: 0,
        exposure: None,
    });
    CorrectionRow {
        position: format!("{account}/{instrument}"),
        account: account.to_owned(),
        instrument: instrument.to_owned(),
        trade_id: cause,
        version: event.version,
        base_version: event.base_version,
        late_trades: u64::from(event.late_trades),
        before,
        after,
        delta,
        lots,
        adjustment: AdjustedRow::of(&event.adjusted),
    }
}

/// What earlier runs left in a data directory and this one must know.
#[derive(Debug, Default)]
pub(super) struct KnownLog {
    /// Contract versions in the order of their events.
    pub(super) contracts: Vec<ContractTerms>,
    /// Instruments' terms in the order of their events.
    pub(super) instruments: Vec<InstrumentTerms>,
    /// Business dates that there were.
    pub(super) dates: HashSet<Date>,
}

/// Reads what is in the log before anything is fed: ids for the ledger, and what a door must know.
pub(super) fn read_log(host: &Host, ledger: &Mutex<Ledger>) -> Result<KnownLog, StartError> {
    let mut known = KnownLog::default();
    let report = host.report();
    if report.records == 0 && report.checkpoint_sequence == 0 {
        return Ok(known);
    }
    let read_error = |source: ReadError| StartError::Read { dir: host.data_dir().join("log"), source };
    let mut reader = host.log().reader(From::Start).map_err(read_error)?;
    let mut decoder = Decoder::new();
    while let Some(record) = reader.next(Limit::Applied).map_err(read_error)? {
        let header = record.header;
        if is_log_record(&header) {
            continue;
        }
        let failed = |what: String| StartError::Event { sequence: header.sequence, what };
        let event =
            decoder.decode(header.kind, header.version, record.payload).map_err(|error| failed(error.to_string()))?;
        match &event {
            Event::Trade(trade) => ledger.lock().note_trade(trade),
            Event::Amended(amend) => ledger.lock().note_amendment(amend, None),
            Event::Action(action) => ledger.lock().note_action(action),
            Event::Taken(taken) => ledger.lock().note_taken(taken),
            Event::Arrived(arrived) => ledger.lock().note_arrived(arrived),
            // Without amendments a replay says nothing about what waits.
            Event::Corrected(corrected) if !ledger.lock().amendments.is_empty() => {
                let outcome = side_log::read(host.side_log(), corrected).map_err(|error| failed(error.to_string()))?;
                ledger.lock().note_outcome(&outcome);
            }
            Event::Contract { reason: Reason::None, terms, .. } => known.contracts.push(*terms),
            Event::Instrument { reason: Reason::None, terms, .. } => known.instruments.push(*terms),
            Event::BusinessDate { reason: Reason::None, date, .. } => {
                known.dates.insert(*date);
            }
            _ => {}
        }
    }
    Ok(known)
}
