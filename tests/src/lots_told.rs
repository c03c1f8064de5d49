//! What corrections say lot by lot, held against the log: applied event by event, before and after each of them.

use std::collections::{HashMap, VecDeque};

use lotbook_core::Book;
use lotbook_core::apply::Place;
use lotbook_core::codec::Decoder;
use lotbook_core::event::{CorrectedEvent, Event};
use lotbook_core::history::Addition;
use lotbook_core::id::{TradeHash, TradeId};
use lotbook_core::lot_changes::lot_changes;
use lotbook_core::lots::Lot;
use lotbook_core::outcome::Outcome;
use lotbook_engine::limits::CATCH_UP_MOST;
use lotbook_engine::recovery::is_log_record;
use lotbook_engine::{Host, side_log};
use lotbook_wal::{From, Limit};

use crate::rig;

/// The lots of a position at its last versions.
type Lately = VecDeque<(u64, Vec<Lot>)>;

/// Reads the whole log of a host of one shard, from its first record, and compares the changes of lots that each correction's body
/// names with the book before and after. Says how many lots were told changed.
///
/// # Panics
/// Where a correction tells something else than the book shows, or the log is damaged.
pub fn lots_are_told(host: &Host) -> usize {
    let mut book = Book::new(rig::limits());
    let mut lately: HashMap<u32, Lately> = HashMap::new();
    let mut reader = host.log().reader(From::Sequence(1)).expect("a log that nothing was dropped from");
    let mut decoder = Decoder::new();
    let mut told = 0;
    let mut ids: HashMap<TradeHash, (TradeId, u32)> = HashMap::new();
    while let Some(record) = reader.next(Limit::Applied).expect("a sound log") {
        let header = record.header;
        if is_log_record(&header) {
            continue;
        }
        let event = decoder.decode(header.kind, header.version, record.payload).expect("an event");
        let body = match &event {
            Event::Corrected(corrected) => {
                let body = side_log::read(host.side_log(), corrected).expect("a body");
                told += check(corrected, &body, &lately[&corrected.position]);
                named(corrected, &body, &ids);
                Some(body)
            }
            Event::Trade(trade) => {
                ids.insert(trade.input.hash, (trade.input.trade_id, trade.position));
                None
            }
            // The estimate of an amendment may open a lot, which bears its name.
            Event::Amended(amend) => {
                ids.insert(amend.input.hash, (amend.input.amend_id, amend.position));
                None
            }
            _ => None,
        };
        let place = Place { sequence: header.sequence, address: header.address };
        let found = Addition::of(&event, place).map(|(number, version, _)| (number, version));
        book.apply(&event, place, body.as_ref()).expect("an event of this book");
        if let Some((number, version)) = found {
            let position = &book.positions()[number as usize];
            let versions = lately.entry(number).or_default();
            versions.push_back((version, book.lots().iter(&position.block).collect()));
            // A correction speaks of a version that is at most so far behind.
            if versions.len() > CATCH_UP_MOST + 2 {
                versions.pop_front();
            }
        }
    }
    told
}

/// Each lot is named by the trade that opened it, or the amendment whose estimate did; only one of another position may be without a name.
fn named(event: &CorrectedEvent, body: &Outcome, ids: &HashMap<TradeHash, (TradeId, u32)>) {
    assert_eq!(body.changed_ids.len(), body.changed.len());
    for (change, id) in body.changed.iter().zip(&body.changed_ids) {
        let lot = change.before.as_ref().or(change.after(&body.lots)).expect("one of the two");
        let (named, position) = ids.get(&lot.origin).unwrap_or_else(|| panic!("nothing opened {lot:?}"));
        assert!(
            id == named || (*id == TradeId::EMPTY && *position != event.position),
            "{id} opened {lot:?}, not {named}"
        );
    }
}

fn check(event: &CorrectedEvent, body: &Outcome, lately: &Lately) -> usize {
    let (_, before) = lately
        .iter()
        .find(|(version, _)| *version == event.base_version)
        .unwrap_or_else(|| panic!("position {} was at version {}", event.position, event.base_version));
    let what = format!("position {}, correction {} of {}", event.position, event.version, event.base_version);
    assert_eq!(body.changed, lot_changes(before, &body.lots), "{what}");
    // What is changed makes one of the other, and the figures of the event differ by just that.
    let mut lots = before.clone();
    for change in &body.changed {
        let at = change.before.map(|lot| lots.iter().position(|held| *held == lot).expect("a lot that was there"));
        match (at, change.after(&body.lots)) {
            (Some(at), Some(after)) => lots[at] = *after,
            (Some(at), None) => drop(lots.remove(at)),
            (None, Some(after)) => lots.push(*after),
            (None, None) => panic!("{what}: a change of nothing"),
        }
    }
    let (mut made, mut wanted) = (lots, body.lots.clone());
    let order = |lot: &Lot| (lot.origin.0, lot.quantity_e8, lot.cost_e16, lot.base_cost_e16);
    made.sort_unstable_by_key(order);
    wanted.sort_unstable_by_key(order);
    assert_eq!(made, wanted, "{what}");
    let cost = |lots: &[Lot]| lots.iter().map(|lot| lot.cost_e16).sum::<i128>();
    assert_eq!(cost(before), event.before.cost_e16, "{what}");
    assert_eq!(cost(&body.lots), event.after.cost_e16, "{what}");
    body.changed.len()
}
