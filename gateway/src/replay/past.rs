//! `--as-of` and `--known-at`: the positions of the past instead of those of the end.

use lotbook_core::command::NameClass;
use lotbook_engine::Host;
use lotbook_engine::past::{Moment, PastError, Question};

use super::{ReplayError, STALLED};
use crate::cli::PastArgs;
use crate::output::PositionRow;
use crate::view::past_row;

/// The positions that were asked for; `None`: those of the end. What had no event by then is left out.
pub(super) fn rows(host: &Host, args: &PastArgs) -> Result<Option<Vec<PositionRow>>, ReplayError> {
    if !args.is_past() {
        return Ok(None);
    }
    let (model, directory) = (host.model(), host.directory());
    // Only what is durable is told of the past.
    match host.log().wait_durable(model.published_sequence(), STALLED) {
        Ok(true) => {}
        Ok(false) => return Err(ReplayError::Internal("the log does not become durable")),
        Err(latched) => return Err(PastError::Read(latched.into()).into()),
    }
    let mut rows = Vec::new();
    for view in model.positions() {
        let Some(account) = directory.find(NameClass::Account, &view.account) else { continue };
        let known_at = args.known_at.unwrap_or(Moment::Now);
        let question = Question { account, instrument: view.instrument_id, as_of: args.as_of, known_at, since: None };
        match host.past().ask(&question) {
            Ok(answer) => rows.push(past_row(&answer.view, model)),
            Err(PastError::Unknown { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(rows))
}
