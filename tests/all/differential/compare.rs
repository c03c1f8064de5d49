//! Holds two books of one ledger against each other, to the last unit wherever both are exact, and shrinks a ledger on which they differ.

use lotbook_perf::rng::Rng;

use super::books::{Booked, Left, Part, both};
use super::ledger::{Fees, Ledger, lines};

/// Whether the books agree on a ledger; else what they differ in.
///
/// Costs are exact where a part of a lot's cost is a whole number of units. Else each reduction rounds by half a unit, and so
/// does the other book: after n reductions they may be n + 1 units of 10^-16 apart, never more.
pub(crate) fn agree(ledger: &Ledger, ours: &Booked, theirs: &Booked) -> Result<(), String> {
    let exact =
        matches!(ledger.kind.fees, Fees::None | Fees::SameRate | Fees::OwnRate) && ledger.kind.method != "AVERAGE";
    let mut reductions = 0;
    if ours.trades.len() != theirs.trades.len() {
        return Err(format!("{} closing trades, theirs {}", ours.trades.len(), theirs.trades.len()));
    }
    for trade in &ledger.trades {
        let (mine, their) = match (ours.trades.get(&trade.id), theirs.trades.get(&trade.id)) {
            (None, None) => continue,
            (Some(mine), Some(their)) => (mine, their),
            (mine, their) => return Err(format!("{}: {mine:?}, theirs {their:?}", trade.id)),
        };
        reductions += 1;
        let apart_max = if exact { 0 } else { reductions + 1 };
        let fail = |what: &str| Err(format!("{}: {what}: {mine:?}, theirs {their:?}", trade.id));
        let (mine, their) = if their.iter().all(|part| part.lot.is_none()) {
            // The average cost of a pool: no lot is told.
            (vec![merged(mine)], vec![merged(their)])
        } else {
            (sorted(ledger, mine), sorted(ledger, their))
        };
        if mine.len() != their.len() {
            return fail("other lots");
        }
        for (one, other) in mine.iter().zip(&their) {
            if place(ledger, one) != place(ledger, other) || one.quantity_e8 != other.quantity_e8 {
                return fail("other lots");
            }
            if (one.cost_e16 - other.cost_e16).abs() > apart_max {
                return fail("cost");
            }
            if other.long.is_some() && one.long != other.long {
                return fail("term");
            }
            let told = one.realized_e16.zip(other.realized_e16);
            // A sale's own fees are shared out in another way; sums are compared below.
            if trade.fees_e8 == 0
                && ledger.kind.timed
                && told.is_some_and(|(one, other)| (one - other).abs() > apart_max)
            {
                return fail("realized");
            }
        }
        let sum = |parts: &[Part]| parts.iter().filter_map(|part| part.realized_e16).sum::<i128>();
        if (sum(&mine) - sum(&their)).abs() > apart_max * mine.len() as i128 {
            return fail("realized in all");
        }
    }
    let (Some(mine), Some(their)) = (&ours.lots, &theirs.lots) else { return Ok(()) };
    open_lots(mine, their, if exact { 0 } else { reductions + 1 })
}

fn open_lots(mine: &[Left], their: &[Left], apart_max: i128) -> Result<(), String> {
    let fail = || Err(format!("open lots: {mine:?}, theirs {their:?}"));
    // A pool is one holding. Otherwise they are the same lots in the same order, by name where names are told.
    if mine.len() != their.len() && their.iter().any(|lot| lot.lot.is_some()) {
        return fail();
    }
    let whole = |lots: &[Left]| Left {
        lot: None,
        quantity_e8: lots.iter().map(|lot| lot.quantity_e8).sum(),
        cost_e16: lots.iter().map(|lot| lot.cost_e16).sum(),
    };
    let one_by_one = mine.len() == their.len();
    let pairs = if one_by_one {
        mine.iter().cloned().zip(their.iter().cloned()).collect()
    } else {
        vec![(whole(mine), whole(their))]
    };
    for (one, other) in pairs {
        let named_apart = other.lot.is_some() && one.lot != other.lot;
        let apart = (one.cost_e16 - other.cost_e16).abs() > apart_max * mine.len().max(1) as i128;
        if named_apart || one.quantity_e8 != other.quantity_e8 || apart {
            return fail();
        }
    }
    Ok(())
}

/// Where a part's lot stands in the ledger; lots of one instant share a place.
fn place(ledger: &Ledger, part: &Part) -> Option<usize> {
    let name = part.lot.as_ref()?;
    let trade = ledger.trades.iter().position(|trade| trade.id == *name || trade.at().as_ref() == Some(name))?;
    let same = |trade: &super::ledger::Trade| (trade.day, trade.second);
    let at = &ledger.trades[trade];
    if !ledger.kind.timed {
        return Some(trade);
    }
    ledger.trades.iter().position(|other| other.buys && same(other) == same(at))
}

/// Parts in lot order, whatever order they were taken in.
fn sorted(ledger: &Ledger, parts: &[Part]) -> Vec<Part> {
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| (place(ledger, part), part.quantity_e8, part.cost_e16));
    sorted
}

fn merged(parts: &[Part]) -> Part {
    Part {
        lot: None,
        quantity_e8: parts.iter().map(|part| part.quantity_e8).sum(),
        cost_e16: parts.iter().map(|part| part.cost_e16).sum(),
        realized_e16: Some(parts.iter().filter_map(|part| part.realized_e16).sum()),
        long: None,
    }
}

/// Books ledgers both ways and gives the first that differs, with what it differs in. `None` where the peer is missing.
pub(crate) fn first_apart(ledgers: &[Ledger], script: &str) -> Option<Option<(usize, String)>> {
    let text = lines(ledgers, &mut Rng::new(1, ledgers.len() as u64));
    let (ours, theirs) = both(&text, script, &[])?;
    for (index, ledger) in ledgers.iter().enumerate() {
        let said = match (&ours[&ledger.account], &theirs[&ledger.account]) {
            (Ok(mine), Ok(their)) => agree(ledger, mine, their),
            (mine, their) => Err(format!("refused: {:?}, theirs {:?}", mine.as_ref().err(), their.as_ref().err())),
        };
        if let Err(what) = said {
            return Some(Some((index, what)));
        }
    }
    Some(None)
}

/// Leaves out trades as long as the books still differ, then fails with what is left.
pub(crate) fn shrink_and_fail(name: &str, mut ledger: Ledger, mut what: String, script: &str) -> ! {
    loop {
        // Every way to leave out one trade, all of them booked in one run.
        let fewer: Vec<Ledger> = (0..ledger.trades.len())
            .map(|left_out| {
                let mut fewer = ledger.clone();
                fewer.account = format!("{}x{left_out}", ledger.account);
                fewer.trades.remove(left_out);
                fewer
            })
            .filter(Ledger::allowed)
            .map(renamed)
            .collect();
        match first_apart(&fewer, script) {
            Some(Some((index, still))) => (ledger, what) = (fewer[index].clone(), still),
            _ => break,
        }
    }
    panic!("{name}: {what}\nshortest ledger:\n{}", lines(&[ledger], &mut Rng::new(0, 0)));
}

/// Ids are unique over all ledgers of a run.
fn renamed(mut ledger: Ledger) -> Ledger {
    let new = |id: &str| format!("{}-{}", ledger.account, id.rsplit('-').next().unwrap_or(id));
    for index in 0..ledger.trades.len() {
        let (id, lot) = (new(&ledger.trades[index].id), ledger.trades[index].lot.as_deref().map(new));
        (ledger.trades[index].id, ledger.trades[index].lot) = (id, lot);
    }
    ledger
}
