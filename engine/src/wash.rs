//! Wash sales of a host's book: the log is read, every position of an instrument replayed, and the walk made.
//! Instruments between which lots may have moved are walked together.
//!
//! For whoever makes a report, on the caller's own thread: the hot thread and the coldpath know nothing of it. It holds
//! the history of all positions that it looks at in memory. Where no contract washes anything, nothing is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lotbook_core::Scratch;
use lotbook_core::action_input::ActionKind;
use lotbook_core::apply::Place;
use lotbook_core::codec::{CodecError, Decoder};
use lotbook_core::history::{Addition, History};
use lotbook_core::id::{NO_NAME, NameId};
use lotbook_core::outcome::Outcome;
use lotbook_core::position::Reconciliation;
use lotbook_core::replay::ReplayError;
use lotbook_core::rules::{ContractBook, WashSale};
use lotbook_core::wash::history::{Ground, splits, tell};
use lotbook_core::wash::merge::{Told, merge};
use lotbook_core::wash::{Home, View, WashError, walk};
use lotbook_wal::{From, Limit, ReadError};

use crate::changes::Changes;
use crate::host::Host;
use crate::read_model::PositionView;
use crate::recovery::is_log_record;

/// A position as the walk sees it.
#[derive(Clone, Debug)]
pub struct Washed {
    /// Account.
    pub account: Arc<str>,
    /// Instrument.
    pub instrument: Arc<str>,
    /// Its plain book, replayed.
    pub outcome: Outcome,
}

/// What is found of instruments that are linked by moves, mostly of one.
#[derive(Clone, Debug)]
pub struct Found {
    /// Instruments of which there is a position, by name.
    pub instruments: Vec<Arc<str>>,
    /// Their wash sales.
    pub wash: Result<LinkedWash, NoView>,
}

/// The wash sales of instruments that are linked.
#[derive(Clone, Debug)]
pub struct LinkedWash {
    /// Their positions, by account and instrument; the view names them by their place here.
    pub positions: Vec<Washed>,
    /// What was found.
    pub view: View,
}

/// Why an instrument has no view. The plain book is untouched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoView {
    /// The history of an account's position cannot be replayed.
    #[error("replay of the position of {account} in {instrument}: {error:?}")]
    Replay {
        /// Account.
        account: Arc<str>,
        /// Instrument.
        instrument: Arc<str>,
        /// What is wrong.
        error: ReplayError,
    },
    /// An account's history does not give the position as it is: it is still PROVISIONAL, or the log no longer holds all.
    #[error("the history of the position of {account} in {instrument} does not give the position as it stands")]
    Differs {
        /// Account.
        account: Arc<str>,
        /// Instrument.
        instrument: Arc<str>,
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

/// The wash sales of a book that nobody changes meanwhile, of instruments that a contract with wash sales covers and
/// those linked to them.
///
/// Blocks for as long as the log is read and the positions are replayed. Not durable; nothing is written.
///
/// # Errors
/// [`HistoryError`]; for linked instruments [`NoView`].
pub fn wash_sales(host: &Host) -> Result<Vec<Found>, HistoryError> {
    let changes = &host.coldpath().changes;
    let links = Links::of(changes);
    let covered = covered(changes.of(NO_NAME).contracts());
    if covered.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(Vec::new());
    }
    let covered: Option<BTreeSet<NameId>> =
        covered.map(|covered| covered.into_iter().map(|instrument| links.linked.root(instrument)).collect());
    let mut histories = histories(host, |instrument| {
        covered.as_ref().is_none_or(|covered| covered.contains(&links.linked.root(instrument)))
    })?;
    let mut by_link: BTreeMap<NameId, Vec<Member>> = BTreeMap::new();
    for view in host.model().positions() {
        let Some((account, instrument)) = host.directory().key_of(&view) else { continue };
        let Some(history) = histories.remove(&(account, instrument)) else { continue };
        let security = links.securities.root(instrument);
        let member = Member { home: Home { account, security }, view, history };
        by_link.entry(links.linked.root(instrument)).or_default().push(member);
    }
    let mut found = Vec::with_capacity(by_link.len());
    for mut members in by_link.into_values() {
        members.sort_by(|a, b| (&a.view.account, &a.view.instrument).cmp(&(&b.view.account, &b.view.instrument)));
        let names: BTreeSet<Arc<str>> = members.iter().map(|member| member.view.instrument.clone()).collect();
        let instruments = names.into_iter().collect();
        found.push(Found { instruments, wash: of_linked(changes, &links, members) });
    }
    found.sort_by(|a, b| a.instruments.cmp(&b.instruments));
    Ok(found)
}

/// A position of linked instruments.
struct Member {
    home: Home,
    view: Arc<PositionView>,
    history: History,
}

/// What belongs together, by its least member.
#[derive(Debug, Default)]
struct Union(BTreeMap<NameId, NameId>);

impl Union {
    fn root(&self, mut of: NameId) -> NameId {
        while let Some(&to) = self.0.get(&of) {
            of = to;
        }
        of
    }

    fn join(&mut self, a: NameId, b: NameId) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.0.insert(a.max(b), a.min(b));
        }
    }
}

/// Which instruments actions in history lead between.
#[derive(Debug, Default)]
struct Links {
    /// By any action: lots may have moved.
    linked: Union,
    /// By symbol changes: they are one security.
    securities: Union,
    /// All instruments that had an action.
    acted_on: BTreeSet<NameId>,
}

impl Links {
    fn of(changes: &Changes) -> Self {
        let mut links = Self { acted_on: changes.acted_on().into_iter().collect(), ..Self::default() };
        for &instrument in &links.acted_on {
            for action in changes.of(instrument).actions().iter().filter(|action| action.leads_on()) {
                links.linked.join(instrument, action.to_instrument);
                if action.kind == ActionKind::SymbolChange {
                    links.securities.join(instrument, action.to_instrument);
                }
            }
        }
        links
    }
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
    is_wanted: impl Fn(NameId) -> bool,
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
        let key = match &addition {
            Addition::Trade { input, .. } => Some((input.account, input.instrument)),
            Addition::Arrived { due, .. } => Some((due.leg.account, due.leg.instrument)),
            _ => None,
        };
        if let Some(key) = key {
            if !is_wanted(key.1) {
                continue;
            }
            numbers.insert(key, number);
            by_number.entry(number).or_default().add(&addition);
        } else if let Some(history) = by_number.get_mut(&number) {
            history.add(&addition);
        }
    }
    let of = |(key, number): ((NameId, NameId), u32)| by_number.remove(&number).map(|history| (key, history));
    Ok(numbers.into_iter().filter_map(of).collect())
}

fn of_linked(changes: &Changes, links: &Links, members: Vec<Member>) -> Result<LinkedWash, NoView> {
    let mut scratch = Scratch::unbounded();
    let mut told = Vec::with_capacity(members.len());
    let mut positions = Vec::with_capacity(members.len());
    let homes: Vec<Home> = members.iter().map(|member| member.home).collect();
    for (number, Member { view, history, .. }) in (0..).zip(members) {
        let (account, instrument) = (view.account.clone(), view.instrument.clone());
        let differs = || NoView::Differs { account: account.clone(), instrument: instrument.clone() };
        if view.reconciliation == Reconciliation::Provisional {
            return Err(differs());
        }
        let rules = changes.of(view.instrument_id);
        let ground = Ground {
            today: rules.business_date(),
            actions: rules.actions(),
            contracts: rules.contracts(),
            multiplier_e8: view.multiplier_e8,
            names: (&account, &instrument),
        };
        let (outcome, steps) = tell(number, &history, &ground, &mut scratch).map_err(|error| NoView::Replay {
            account: account.clone(),
            instrument: instrument.clone(),
            error,
        })?;
        let after = &outcome.after;
        let replayed = (after.quantity_e8, after.realized_e16, after.cost_e16);
        if replayed != (view.quantity_e8, view.realized_e16, view.cost_e16) {
            return Err(differs());
        }
        told.push(steps);
        positions.push(Washed { account, instrument, outcome });
    }
    let securities: BTreeSet<u32> = homes.iter().map(|home| home.security).collect();
    let of_instrument = |&instrument: &NameId| -> Option<Told> {
        let security = links.securities.root(instrument);
        let is_here = securities.contains(&security);
        is_here.then(|| splits(security, changes.of(instrument).actions()).collect())
    };
    let splits = links.acted_on.iter().filter_map(of_instrument).collect();
    let steps = merge(splits, told).map_err(NoView::Walk)?;
    let view = walk(&steps, |position| homes[position as usize]).map_err(NoView::Walk)?;
    Ok(LinkedWash { positions, view })
}
