//! Makes a failing history short and plain, and prints it as lines that `lotbook replay` takes at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lotbook_tests::naive::numbers::ONE;
use lotbook_tests::naive::words::{Trade, TradeType};

use super::steps::Step;

/// Why a history fails, if it does; a panic is a failure.
fn failure<T>(history: &[Step], check: &impl Fn(&[Step]) -> Result<T, String>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| check(history))) {
        Ok(result) => result.err(),
        Err(panic) => Some(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "panic".into())),
    }
}

/// What a trade may look like if one thing about it is made plain.
fn plainer(trade: &Trade) -> Vec<Trade> {
    let changes: [&dyn Fn(&mut Trade); 12] = [
        &|t| t.fees = 0,
        &|t| t.fx_to_base = ONE,
        &|t| t.contract = None,
        &|t| t.currency = None,
        &|t| t.sub_account = None,
        &|t| t.lot = None,
        &|t| t.trade_type = TradeType::Any,
        &|t| t.source_order = 0,
        &|t| t.consideration = t.price.and(None),
        &|t| t.quantity = ONE,
        &|t| t.price = t.price.map(|_| ONE),
        &|t| t.consideration = t.consideration.map(|_| ONE),
    ];
    let plain = changes.iter().map(|change| {
        let mut plain = trade.clone();
        change(&mut plain);
        plain
    });
    plain.filter(|plain| plain != trade).collect()
}

/// Runs `check`. Where it fails, drops ever smaller stretches and then makes trades plainer as long as it goes on
/// failing, and panics with what is left.
pub(crate) fn hold<T>(name: &str, history: &[Step], check: impl Fn(&[Step]) -> Result<T, String>) -> T {
    let first = match catch_unwind(AssertUnwindSafe(|| check(history))) {
        Ok(Ok(found)) => return found,
        Ok(Err(what)) => what,
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "panic".into()),
    };
    // Threads are in it: what fails only sometimes is told as it was, and not made shorter.
    let mut what = failure(history, &check).unwrap_or_else(|| panic!("{name} failed, and not again: {first}"));
    let mut left = history.to_vec();
    let mut stretch = left.len() / 2;
    while stretch > 0 {
        let mut at = 0;
        while at < left.len() {
            let mut fewer = left.clone();
            fewer.drain(at..(at + stretch).min(fewer.len()));
            match failure(&fewer, &check) {
                Some(still) => (left, what) = (fewer, still),
                None => at += stretch,
            }
        }
        stretch /= 2;
    }
    for at in 0..left.len() {
        while let Step::Trade(trade) = left[at].clone() {
            let found = plainer(&trade).into_iter().find_map(|plain| {
                let mut simpler = left.clone();
                simpler[at] = Step::Trade(plain);
                failure(&simpler, &check).map(|still| (simpler, still))
            });
            match found {
                Some(simpler) => (left, what) = simpler,
                None => break,
            }
        }
    }
    let lines: Vec<String> = left.iter().map(|step| step.line().unwrap_or_else(|| format!("# {step:?}"))).collect();
    panic!("{name}: {what}\n{} of {} steps:\n{}\n", left.len(), history.len(), lines.join("\n"));
}
