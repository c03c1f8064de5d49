//! Who may send which lines, in whose name, and what of them is written down.

use serde_json::{Value, json};

use super::{Given, kind};
use crate::access::Privilege;
use crate::http::guard::Caller;
use crate::http::problem::Problem;
use crate::input::Line;

/// The user of each line is who sends it; a role that may not send one of them sends none.
pub(super) fn sign(lines: &mut [Given], caller: &Caller) -> Result<(), Problem> {
    for Given { line, .. } in lines {
        let privilege = Privilege::of_line(line);
        if !caller.may(privilege) {
            let words = format!("a line of type {} wants the privilege {}", kind(line), privilege.as_str());
            return Err(Problem::forbidden(words, Some("type".into())));
        }
        let user = match line {
            Line::Trade(line) => &mut line.user_id,
            Line::Amend(line) => &mut line.user_id,
            Line::Action(line) => &mut line.user_id,
            _ => continue,
        };
        *user = caller.user(user.as_deref())?;
    }
    Ok(())
}

/// What of a body goes to the trail: the types of lines that only an operator may send. Those that carry a user have it in the log, too.
pub(super) fn deed(lines: &[Given]) -> Option<Value> {
    let privileged =
        lines.iter().map(|given| &given.line).filter(|line| Privilege::of_line(line) == Privilege::Operate);
    let mut counts = std::collections::BTreeMap::new();
    for line in privileged {
        *counts.entry(kind(line)).or_insert(0) += 1;
    }
    (!counts.is_empty()).then(|| json!(counts))
}
