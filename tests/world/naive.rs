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

use lotbook_core::command::{Command, InstrumentTerms};
use lotbook_core::date::Date;
use lotbook_core::rules::ContractTerms;

use steps::Step;
use translate::{action_input, amend_input, e8, input, name, rules};

/// A step as a command; `None` for those that no client sends here.
pub(crate) fn command(step: &Step) -> Option<Command> {
    Some(match step {
        Step::Contract(contract) => Command::Contract(ContractTerms {
            contract: contract.id,
            account: name(contract.account),
            instrument: name(contract.instrument),
            rules: rules(&contract.rules),
            effective_date: Date(contract.from),
        }),
        Step::Instrument(number, terms) => Command::Instrument(InstrumentTerms {
            instrument: *number,
            currency: name(terms.currency),
            multiplier_e8: e8(terms.multiplier),
            tick_e8: 0,
            price_min_e8: 0,
            price_max_e8: 0,
            isin: [0; 12],
            cusip: [0; 9],
        }),
        Step::Today(day) => Command::BusinessDate(Date(*day)),
        Step::Trade(trade) => Command::Trade(input(trade)),
        Step::Amend(amendment) => Command::Amend(amend_input(amendment)),
        Step::Action(action) => Command::Action(action_input(action)),
        Step::Lock(..) | Step::Resolve(..) | Step::Replay(..) => return None,
    })
}
