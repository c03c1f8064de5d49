//! The histories of the naive comparison, and how its steps are commands of the engine.

#![allow(dead_code, reason = "not all of it is used here")]

#[path = "../all/naive/draw.rs"]
pub(crate) mod draw;
#[path = "../all/naive/draw_world.rs"]
pub(crate) mod draw_world;
#[path = "../all/naive/steps.rs"]
pub(crate) mod steps;
#[path = "../all/naive/translate.rs"]
mod translate;

use lotbook_core::amend_event::ResolveInput;
use lotbook_core::command::Command;
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, TradeId};
use lotbook_core::note::Note;
use lotbook_core::wide_event::LockInput;

use steps::Step;
pub(crate) use translate::hash;
use translate::{action_input, amend_input, contract_terms, input, instrument_terms, name};

/// A step as a command; `None` for those that no client sends here.
pub(crate) fn command(step: &Step) -> Option<Command> {
    Some(match step {
        Step::Contract(contract) => Command::Contract(contract_terms(contract)),
        Step::Instrument(number, terms) => Command::Instrument(instrument_terms(*number, terms)),
        Step::Today(day) => Command::BusinessDate(Date(*day)),
        Step::Trade(trade) => Command::Trade(input(trade)),
        Step::Amend(amendment) => Command::Amend(amend_input(amendment)),
        Step::Action(action) => Command::Action(action_input(action)),
        Step::Lock(account, through) => {
            Command::PeriodLock(LockInput { account: name(*account), through: Date(*through) })
        }
        Step::Resolve(account, instrument) => {
            let (account, instrument, note) = (*account, *instrument, Note::new(b"drawn").expect("short"));
            let (version, user, correlation) = (0, NO_NAME, TradeId::EMPTY);
            Command::Resolve(ResolveInput { account, instrument, version, user, note, correlation })
        }
        Step::Replay(..) => return None,
    })
}
