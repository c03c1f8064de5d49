//! Wash sales of a host's book: the log is read, every position of an instrument replayed, and the walk made.
//!
//! For whoever makes a report, on the caller's own thread: the hot thread and the coldpath know nothing of it. It holds
//! the history of all positions that it looks at in memory. Where no contract washes anything, nothing is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lotbook_core::Scratch;
use lotbook_core::apply::Place;
use lotbook_core::codec::{CodecError, Decoder};
use lotbook_core::command::NameClass;
use lotbook_core::history::{Addition, History};
use lotbook_core::id::{ChronoKey, NO_NAME, NameId};
use lotbook_core::outcome::Outcome;
use lotbook_core::replay::ReplayError;
use lotbook_core::rules::{ContractBook, WashSale};
use lotbook_core::wash::history::{Ground, splits, tell};
use lotbook_core::wash::{Step, View, WashError, walk};
use lotbook_wal::{From, Limit, ReadError};

use crate::host::Host;
use crate::read_model::PositionView;
use crate::recovery::is_log_record;

/// A position as the walk sees it.
#[derive(Clone, Debug)]
pub struct Washed {
    /// Account.
    pub account: Arc<str>,
    /// Its plain book, replayed.
    pub outcome: Outcome,
}

/// What is found of one instrument.
#[derive(Clone, Debug)]
pub struct Found {
    /// Instrument.
    pub instrument: Arc<str>,
    /// Its wash sales.
    pub wash: Result<InstrumentWash, NoView>,
}

/// The wash sales of one instrument.
#[derive(Clone, Debug)]
pub struct InstrumentWash {
    /// Its positions, by account; the view names them by their place here.
    pub positions: Vec<Washed>,
    /// What was found.
    pub view: View,
}

/// Why an instrument has no view. The plain book is untouched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoView {
    /// The history of an account's position cannot be replayed.
    #[error("replay of the position of {account}: {error:?}")]
    Replay {
        /// Account.
        account: Arc<str>,
        /// What is wrong.
        error: ReplayError,
    },
    /// An account's history does not give the position as it is: it is still PROVISIONAL, or the log no longer holds all.
    #[error("the history of the position of {account} does not give the position as it stands")]
    Differs {
        /// Account.
        account: Arc<str>,
    },
    /// The walk has no result.
    #[error(transparent)]
    Walk(WashError),
}

/// Why nothing can be said of wash sales.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log cannot be read from its beginning.
    #[error("reading the log: {0}")]
    Read(#[from] ReadError),
    /// A record that is none.
    #[error("record {sequence}: {error}")]
    Codec {
        /// Its sequence.
        sequence: u64,
        /// What is wrong.
        error: CodecError,
    },
}

/// The wash sales of a book that nobody changes meanwhile, by instrument: of those that a contract with wash sales covers.
///
/// Blocks for as long as the log is read and the positions are replayed. Not durable; nothing is written.
///
/// # Errors
/// [`HistoryError`]; for a single instrument [`NoView`].
pub fn wash_sales(host: &Host) -> Result<Vec<Found>, HistoryError> {
    let changes = &host.coldpath().changes;
    let covered = covered(changes.of(NO_NAME).contracts());
    if covered.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(Vec::new());
    }
    let mut histories = histories(host, covered.as_ref())?;
    let mut by_instrument: BTreeMap<Arc<str>, Vec<Arc<PositionView>>> = BTreeMap::new();
    for view in host.model().positions() {
        by_instrument.entry(view.instrument.clone()).or_default().push(view);
    }
    let mut found = Vec::new();
    for (instrument, mut views) in by_instrument {
        views.sort_by(|a, b| a.account.cmp(&b.account));
        let account_of = |view: &PositionView| host.directory().find(NameClass::Account, &view.account);
        let mut positions = Vec::new();
        for view in views {
            let key = account_of(&view).map(|account| (account, view.instrument_id));
            if let Some(history) = key.and_then(|key| histories.remove(&key)) {
                positions.push((view, history));
            }
        }
        if positions.is_empty() {
            continue;
        }
        found.push(Found { instrument, wash: of_instrument(host, positions) });
    }
    Ok(found)
}

/// Instruments that a contract with wash sales covers; `None`: all.
fn covered(contracts: &ContractBook) -> Option<BTreeSet<NameId>> {
    let washing = contracts.versions().iter().filter(|terms| terms.rules.wash_sale != WashSale::None);
    let instruments: BTreeSet<NameId> = washing.map(|terms| terms.instrument).collect();
    (!instruments.contains(&NO_NAME)).then_some(instruments)
}

/// The history of every position of these instruments, by account and instrument.
fn histories(
    host: &Host,
    covered: Option<&BTreeSet<NameId>>,
) -> Result<BTreeMap<(NameId, NameId), History>, HistoryError> {
    let mut by_number: BTreeMap<u32, History> = BTreeMap::new();
    let mut numbers: BTreeMap<(NameId, NameId), u32> = BTreeMap::new();
    let mut decoder = Decoder::new();
    let mut reader = host.log().reader(From::Start)?;
    while let Some(record) = reader.next(Limit::Applied)? {
        let header = record.header;
        if is_log_record(&header) {
            continue;
        }
        let event = decoder
            .decode(header.kind, header.version, record.payload)
            .map_err(|error| HistoryError::Codec { sequence: header.sequence, error })?;
        let place = Place { sequence: header.sequence, address: header.address };
        let Some((number, _, addition)) = Addition::of(&event, place) else { continue };
        if let Addition::Trade { input, .. } = &addition {
            if covered.is_some_and(|covered| !covered.contains(&input.instrument)) {
                continue;
            }
            numbers.insert((input.account, input.instrument), number);
            by_number.entry(number).or_default().add(&addition);
        } else if let Some(history) = by_number.get_mut(&number) {
            history.add(&addition);
        }
    }
    let of = |(key, number): ((NameId, NameId), u32)| by_number.remove(&number).map(|history| (key, history));
    Ok(numbers.into_iter().filter_map(of).collect())
}

fn of_instrument(host: &Host, positions: Vec<(Arc<PositionView>, History)>) -> Result<InstrumentWash, NoView> {
    let mut scratch = Scratch::unbounded();
    let mut steps: Vec<(ChronoKey, u32, Step)> = Vec::new();
    let mut washed = Vec::with_capacity(positions.len());
    for (number, (view, history)) in positions.into_iter().enumerate() {
        let rules = host.coldpath().changes.of(view.instrument_id);
        let ground = Ground {
            today: rules.business_date(),
            actions: rules.actions(),
            contracts: rules.contracts(),
            multiplier_e8: view.multiplier_e8,
        };
        if number == 0 {
            steps.extend(splits(ground.actions).map(|(key, step)| (key, 0, step)));
        }
        let number = number as u32;
        let account = view.account.clone();
        let (outcome, told) = tell(number, &history, &ground, &mut scratch)
            .map_err(|error| NoView::Replay { account: account.clone(), error })?;
        let after = &outcome.after;
        let replayed = (after.quantity_e8, after.realized_e16, after.cost_e16);
        if replayed != (view.quantity_e8, view.realized_e16, view.cost_e16) {
            return Err(NoView::Differs { account });
        }
        steps.extend(told.into_iter().map(|(key, step)| (key, number + 1, step)));
        washed.push(Washed { account, outcome });
    }
    // Stable: what one position did at one place stays in its order.
    steps.sort_by_key(|(key, rank, _)| (*key, *rank));
    let steps: Vec<Step> = steps.into_iter().map(|(_, _, step)| step).collect();
    let view = walk(&steps).map_err(NoView::Walk)?;
    Ok(InstrumentWash { positions: washed, view })
}
