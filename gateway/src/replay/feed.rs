//! Feeds lines to the shard through a door, which is kept full.

mod answers;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lotbook_core::amount::ONE_E8;
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::date::Date;
use lotbook_core::event::Reason;
use lotbook_core::id::{NO_NAME, NameId, TradeHash};
use lotbook_core::limits::NAME_BYTES_MAX;
use lotbook_core::rules::{ContractTerms, Rules};
use lotbook_engine::{Door, Host, HostError, NameError, Request};
use parking_lot::Mutex;

use super::fix_lines::NO_DATE;
use super::ledger::{KnownLog, Ledger};
use super::{Defaults, ReplayError};
use crate::input::{FxLine, Line, Located, TradeLine};
use crate::output::{ActionRow, E8, E16, LockRow, Outcome, TradeRow};
use crate::rates::Rates;
use crate::resolver::{Resolver, Stamps};

/// Namespace of trade ids in files. It is the same in every run, so that feeding a file again gives duplicates.
pub(super) const NAMESPACE: &str = "FILE";
/// Id of the contract that `--allow-short` and `--lot-method` stand for.
const DEFAULT_CONTRACT: &str = "default";
/// Bits of the line number in a source order; the file's number stands above.
const LINE_BITS: u32 = 40;
/// How long due trades may make no progress before they are left waiting.
const MATURITY_STALLED: Duration = Duration::from_secs(2);

/// What is kept of a trade until the document is made, beside its row.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowKey {
    pub(super) hash: TradeHash,
    pub(super) executed_at_ns: i64,
    /// Price and quantity, where a price was given.
    pub(super) priced: Option<(i64, i64)>,
}

/// An action's row, and what is kept of it until the document is made.
#[derive(Debug)]
pub(super) struct FedAction {
    pub(super) hash: TradeHash,
    /// Date of its place in history.
    pub(super) date: Date,
    pub(super) row: ActionRow,
}

/// The result of feeding.
#[derive(Debug)]
pub(super) struct Fed {
    pub(super) rows: Vec<TradeRow>,
    pub(super) keys: Vec<RowKey>,
    /// Actions and resets.
    pub(super) actions: Vec<FedAction>,
    pub(super) locks: Vec<LockRow>,
    /// Time of the newest mark, UTC nanoseconds.
    pub(super) newest_mark_ns: i64,
    pub(super) warnings: Vec<String>,
    pub(super) refused_commands: u64,
}

/// A request whose answer has not come.
pub(super) enum Pending {
    Trade(usize),
    Action(usize),
    Lock(usize),
    Command { place: String, command: Box<Command> },
}

pub(super) struct Feeder<'h> {
    pub(super) host: &'h Host,
    door: Door,
    pub(super) resolver: Resolver,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    defaults: Rules,
    known: KnownLog,
    rates: Rates,
    pending: VecDeque<Pending>,
    /// The file that was read last, and its interned name.
    source: Option<(Arc<str>, NameId)>,
    today: Option<Date>,
    /// The same for the decoder of FIX files, which runs inside the reader.
    today_of_fix: Arc<AtomicI32>,
    /// Dates of accepted forward-dated trades that may still wait.
    pub(super) forward_dates: BTreeSet<Date>,
    /// There were amendments: what they do to trades that wait is known after a replay only.
    pub(super) amended: bool,
    pub(super) last_sequence: u64,
    pub(super) fed: Fed,
}

impl<'h> Feeder<'h> {
    pub(super) fn new(
        host: &'h Host,
        door: Door,
        ledger: Arc<Mutex<Ledger>>,
        defaults: Rules,
        known: KnownLog,
    ) -> Self {
        let mut rates = Rates::default();
        for terms in &known.instruments {
            rates.set_instrument(terms);
        }
        let today = host.model().business_date();
        let forward_dates = ledger.lock().waiting_dates().collect();
        Self {
            host,
            door,
            resolver: Resolver::new(host.directory().clone(), "lotbook"),
            ledger,
            defaults,
            known,
            rates,
            pending: VecDeque::new(),
            source: None,
            today,
            today_of_fix: Arc::new(AtomicI32::new(today.map_or(NO_DATE, |date| date.0))),
            forward_dates,
            amended: false,
            last_sequence: 0,
            fed: Fed {
                rows: Vec::new(),
                keys: Vec::new(),
                actions: Vec::new(),
                locks: Vec::new(),
                newest_mark_ns: i64::MIN,
                warnings: Vec::new(),
                refused_commands: 0,
            },
        }
    }

    /// The business date as days since 1970, or `NO_DATE`.
    pub(super) fn business_date_of_fix(&self) -> Arc<AtomicI32> {
        self.today_of_fix.clone()
    }

    /// The rules of `--allow-short` and `--lot-method`, as a contract for everything from the first date on.
    pub(super) fn default_contract(&mut self, defaults_as: Defaults) -> Result<(), ReplayError> {
        let held = match self.host.directory().find(NameClass::Contract, DEFAULT_CONTRACT) {
            Some(id) => {
                let scope = (id, NO_NAME, NO_NAME);
                self.known.contracts.iter().rfind(|t| (t.contract, t.account, t.instrument) == scope).map(|t| t.rules)
            }
            None => None,
        };
        let held = held.unwrap_or(Rules::DEFAULT);
        if defaults_as == Defaults::AsHeld {
            self.defaults = Rules { allow_short: held.allow_short || self.defaults.allow_short, ..held };
        }
        if held == self.defaults {
            return Ok(());
        }
        let place = "--allow-short and --lot-method".to_owned();
        let contract = match self.resolver.name(NameClass::Contract, DEFAULT_CONTRACT) {
            Ok(contract) => contract,
            Err(error) => return self.name_refused(place, error),
        };
        let effective_date = Date::from_ymd(1, 1, 1).unwrap_or(Date::NONE);
        let (account, instrument) = (NO_NAME, NO_NAME);
        let terms = ContractTerms { contract, account, instrument, rules: self.defaults, effective_date };
        self.command(place, Origin::INTERNAL, Command::Contract(terms))
    }

    /// Trades that bring no rate are stamped with the last one against this currency.
    pub(super) fn base_currency(&mut self, base: Option<&str>) -> Result<(), ReplayError> {
        let Some(base) = base else { return Ok(()) };
        match self.resolver.name(NameClass::Currency, base) {
            Ok(base) => {
                let mut rates = Rates::new(Some(base));
                self.known.instruments.iter().for_each(|terms| rates.set_instrument(terms));
                self.rates = rates;
                Ok(())
            }
            Err(error) => self.name_refused("--base-currency".to_owned(), error),
        }
    }

    /// A rate is the door's own: no command. One against another currency than the base is never asked for.
    fn fx(&mut self, located: &Located, line: &FxLine) -> Result<(), ReplayError> {
        if line.rate_e8 <= 0 {
            self.fed.refused_commands += 1;
            self.fed.warnings.push(format!("{}: rate refused: {}", located.place(), Reason::BadRate.code()));
            return Ok(());
        }
        let base = self.host.directory().find(NameClass::Currency, &line.pair.base);
        if base.is_none() || base != self.rates.base() {
            return Ok(());
        }
        match self.resolver.name(NameClass::Currency, &line.pair.currency) {
            Ok(currency) => {
                self.rates.set(currency, line.at_ns, line.rate_e8);
                Ok(())
            }
            Err(error) => self.name_refused(located.place(), error),
        }
    }

    /// Feeds one readable line. May wait for answers, for room in the door.
    pub(super) fn line(&mut self, located: &Located) -> Result<(), ReplayError> {
        let Ok(line) = &located.line_result else {
            return Err(ReplayError::Internal("an unreadable line was fed"));
        };
        match line {
            Line::Trade(trade) => return self.trade(located, trade),
            Line::Amend(amend) => return self.amend(located, amend),
            Line::Resolve(resolve) => return self.resolve(located, resolve),
            Line::BusinessDate(_) if self.amended => self.settle()?,
            _ => {}
        }
        match line {
            Line::Fx(rate) => return self.fx(located, rate),
            Line::Action(action) => return self.action(located, action),
            Line::PeriodLock(lock) => return self.period_lock(located, lock),
            _ => {}
        }
        let place = located.place();
        let origin = match self.origin(located) {
            Ok(origin) => origin,
            Err(error) => return self.name_refused(place, error),
        };
        let command = match line {
            Line::Contract(line) => self.resolver.contract_line(line, &self.defaults).map(Command::Contract),
            Line::Instrument(line) => self.resolver.instrument_line(line).map(Command::Instrument),
            Line::Mark(line) => self.resolver.mark_line(line).map(Command::Mark),
            Line::BusinessDate(date) => Ok(Command::BusinessDate(*date)),
            Line::Trade(_)
            | Line::Fx(_)
            | Line::Amend(_)
            | Line::Resolve(_)
            | Line::Action(_)
            | Line::PeriodLock(_) => {
                return Err(ReplayError::Internal("no command among the commands"));
            }
        };
        match command {
            Ok(command) => self.command(place, origin, command),
            Err(error) => self.name_refused(place, error),
        }
    }

    /// Waits for all answers and for forward-dated trades whose date has come.
    pub(super) fn finish(&mut self) -> Result<(), ReplayError> {
        self.drain()?;
        self.await_matured()
    }

    pub(super) fn into_fed(self) -> Fed {
        self.fed
    }

    pub(super) fn origin(&mut self, located: &Located) -> Result<Origin, NameError> {
        let source = match &self.source {
            Some((file, id)) if Arc::ptr_eq(file, &located.file) => *id,
            _ => {
                let id = self.resolver.name(NameClass::Source, source_name(&located.file))?;
                self.source = Some((located.file.clone(), id));
                id
            }
        };
        Ok(Origin {
            source,
            source_offset: located.line,
            received_at_ns: now_ns(),
            raw_hash: located.raw_hash,
            ..Origin::INTERNAL
        })
    }

    fn trade(&mut self, located: &Located, line: &TradeLine) -> Result<(), ReplayError> {
        let executed_at_ns = line.executed_at_ns.unwrap_or_else(|| Resolver::stamp(line.effective_date, None, 0));
        let namespace = line.namespace.as_deref().unwrap_or(NAMESPACE);
        let hash = TradeHash::new(namespace.as_bytes(), line.trade_id.as_bytes());
        let row = self.fed.rows.len();
        let priced = line.price_e8.map(|price_e8| (price_e8, line.quantity_e8));
        self.fed.keys.push(RowKey { hash, executed_at_ns, priced });
        self.fed.rows.push(TradeRow {
            trade_id: line.trade_id.clone(),
            kind: line.kind.as_str(),
            amends: None,
            amended: None,
            outcome: Outcome::Rejected,
            reason: None,
            realized_pnl: E16(0),
            realized_long_term: E16(0),
            realized_short_term: E16(0),
            realized_base: E16(0),
            realized_market: E16(0),
            realized_fx: E16(0),
            allocations: Vec::new(),
            account: line.account.clone(),
            instrument: line.instrument.clone(),
            fees: E8(line.fees_e8),
            consideration: line.consideration_e8.map(E8),
            consideration_difference: None,
            currency: line.currency.clone(),
            fx_to_base: Some(E8(line.fx_to_base_e8.unwrap_or(ONE_E8))),
            sub_account: line.sub_account.clone(),
            correlation_id: String::new(),
            file: located.file.clone(),
            line: located.line,
        });
        let resolved = self
            .origin(located)
            .and_then(|origin| Ok((origin, self.resolver.trade_line(line, &stamps(located, executed_at_ns))?)));
        let (origin, mut input) = match resolved {
            Ok(resolved) => resolved,
            Err(error) => {
                self.fed.rows[row].correlation_id = line.correlation_id.clone().unwrap_or_default();
                self.fed.rows[row].reason = Some(self.name_code(error)?);
                return Ok(());
            }
        };
        self.fed.rows[row].correlation_id = input.correlation.as_str().to_owned();
        if line.fx_to_base_e8.is_none() {
            input.fx_to_base_e8 = self.rates.of_trade(&input);
        }
        self.fed.rows[row].fx_to_base = Some(E8(input.fx_to_base_e8));
        self.submit(Pending::Trade(row), origin, Command::Trade(input))
    }

    pub(super) fn command(&mut self, place: String, origin: Origin, command: Command) -> Result<(), ReplayError> {
        self.submit(Pending::Command { place, command: Box::new(command) }, origin, command)?;
        match command {
            // Rates must know the terms before the next trade.
            Command::Instrument(_) => self.drain(),
            Command::BusinessDate(_) => {
                self.drain()?;
                self.await_matured()?;
                self.await_settled()
            }
            // Rules of days that hold trades: positions are replayed for them.
            Command::Contract(_) if !self.fed.rows.is_empty() || !self.host.model().is_empty() => self.await_settled(),
            _ => Ok(()),
        }
    }

    pub(super) fn submit(&mut self, pending: Pending, origin: Origin, command: Command) -> Result<(), ReplayError> {
        while !self.door.has_room() {
            self.collect()?;
        }
        self.pending.push_back(pending);
        let token = self.pending.len() as u64;
        match self.door.submit(Request { token, origin, command }) {
            Ok(()) => Ok(()),
            Err(_) => Err(ReplayError::Internal("the door had room and took nothing")),
        }
    }

    pub(super) fn drain(&mut self) -> Result<(), ReplayError> {
        while !self.pending.is_empty() {
            self.collect()?;
        }
        Ok(())
    }

    pub(super) fn name_refused(&mut self, place: String, error: NameError) -> Result<(), ReplayError> {
        let code = self.name_code(error)?;
        self.fed.refused_commands += 1;
        self.fed.warnings.push(format!("{place}: refused: {code}"));
        Ok(())
    }

    /// The stable code for a name that has no number, or the end of the run.
    pub(super) fn name_code(&self, error: NameError) -> Result<&'static str, ReplayError> {
        match error {
            NameError::Length => Ok(Reason::UnknownName.code()),
            NameError::Full => Ok(Reason::NameCapacity.code()),
            NameError::Unavailable => {
                let error = self.host.error().unwrap_or(HostError::Latched("it takes no new names".to_owned()));
                Err(error.into())
            }
        }
    }

    /// Waits until the forward-dated trades whose date has come are booked, so that what follows does not
    /// depend on timing. Those that cannot be booked exactly go on waiting.
    pub(super) fn await_matured(&mut self) -> Result<(), ReplayError> {
        let Some(today) = self.today else { return Ok(()) };
        if self.forward_dates.first().is_none_or(|first| *first > today) {
            return Ok(());
        }
        let mut last = (0, usize::MAX);
        let mut since = Instant::now();
        loop {
            let sequence = self.host.model().sequence();
            let due = self.ledger.lock().due(today);
            let is_followed = sequence >= self.last_sequence;
            if is_followed && due == 0 {
                break;
            }
            if last != (sequence, due) {
                (last, since) = ((sequence, due), Instant::now());
            } else if is_followed && since.elapsed() > MATURITY_STALLED {
                let warning = format!("{due} forward-dated trades cannot be booked exactly and go on waiting");
                self.fed.warnings.push(warning);
                break;
            }
            match self.host.error() {
                None | Some(HostError::Checkpoint(_)) => std::thread::sleep(Duration::from_micros(100)),
                Some(error) => return Err(error.into()),
            }
        }
        self.forward_dates = self.forward_dates.split_off(&Date(today.0.saturating_add(1)));
        Ok(())
    }
}

/// What a line of a file gets that does not say it.
pub(super) fn stamps(located: &Located, executed_at_ns: i64) -> Stamps<'static> {
    Stamps { namespace: NAMESPACE, executed_at_ns, source_order: source_order(located), now_ns: now_ns() }
}

/// The line number, below the number of the file: line numbers begin again in every file.
fn source_order(located: &Located) -> u64 {
    u64::from(located.file_index) << LINE_BITS | located.line
}

/// The file's name where it fits a name, else as much of its end as does.
fn source_name(file: &str) -> &str {
    let from = file.len().saturating_sub(NAME_BYTES_MAX);
    (from..file.len()).find(|&at| file.is_char_boundary(at)).map_or("-", |at| &file[at..])
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_names_fit() {
        assert_eq!(source_name("-"), "-");
        assert_eq!(source_name("trades.jsonl"), "trades.jsonl");
        let long = format!("/srv/{}/trades.jsonl", "x".repeat(100));
        assert!(source_name(&long).ends_with("/trades.jsonl"));
        assert_eq!(source_name(&long).len(), NAME_BYTES_MAX);
        let wide = "\u{20ac}".repeat(50);
        assert!(source_name(&wide).len() <= NAME_BYTES_MAX);
    }
}
