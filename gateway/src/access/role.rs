//! Roles and privileges: who may do what, as one table.
//!
//! A privilege is what something asks for, a role is what a user has. Roles are not a ladder: an auditor sees who did what and
//! moves nothing, an operator moves much and cannot hand out access.

use std::fmt;

use crate::input::Line;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at positions and events.
    Viewer,
    /// Sends trades, their amendments, marks and rates.
    Trader,
    /// Keeps the host going: contracts, corporate actions, breaks, the coldpath.
    Operator,
    /// Sees who did what, and does nothing.
    Auditor,
    /// Everything.
    Admin,
}

/// What something asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// Anybody, without a credential.
    Open,
    /// To look at positions, events, metrics.
    Read,
    /// To send trades and what belongs to them.
    Trade,
    /// To change how the book or the host works.
    Operate,
    /// To see who did what.
    Audit,
}

impl Role {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Trader, Self::Operator, Self::Auditor, Self::Admin];

    /// The table.
    #[must_use]
    pub fn may(self, privilege: Privilege) -> bool {
        use Privilege::{Audit, Open, Operate, Read, Trade};
        match self {
            Self::Viewer => matches!(privilege, Open | Read),
            Self::Trader => matches!(privilege, Open | Read | Trade),
            Self::Operator => matches!(privilege, Open | Read | Trade | Operate),
            Self::Auditor => matches!(privilege, Open | Read | Audit),
            Self::Admin => true,
        }
    }

    /// The name in files and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Trader => "trader",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Privilege {
    /// All that a credential is asked for.
    pub const ALL: [Self; 5] = [Self::Open, Self::Read, Self::Trade, Self::Operate, Self::Audit];

    /// The name in documents and problems.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Operate => "operate",
            Self::Audit => "audit",
        }
    }

    /// What a line of commands asks for: flow is a trader's, what changes rules or many positions is an operator's.
    #[must_use]
    pub fn of_line(line: &Line) -> Self {
        match line {
            Line::Trade(_) | Line::Amend(_) | Line::Mark(_) | Line::Fx(_) => Self::Trade,
            Line::Action(_)
            | Line::Resolve(_)
            | Line::Contract(_)
            | Line::Instrument(_)
            | Line::BusinessDate(_)
            | Line::PeriodLock(_) => Self::Operate,
        }
    }
}

/// Roles by privileges, as a table for the documentation.
#[must_use]
pub fn roles_as_markdown() -> String {
    let mut text = String::from("| role | read | trade | operate | audit |\n|---|---|---|---|---|\n");
    for role in Role::ALL {
        let has = |privilege| if role.may(privilege) { "yes" } else { "" };
        let cells = Privilege::ALL[1..].iter().map(|privilege| has(*privilege)).collect::<Vec<_>>();
        text.push_str(&format!("| {role} | {} |\n", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_what_needs_no_credential_and_only_some_may_change() {
        for role in Role::ALL {
            assert!(role.may(Privilege::Open) && role.may(Privilege::Read), "{role}");
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        let who = |privilege| Role::ALL.into_iter().filter(|role| role.may(privilege)).collect::<Vec<_>>();
        assert_eq!(who(Privilege::Trade), [Role::Trader, Role::Operator, Role::Admin]);
        assert_eq!(who(Privilege::Operate), [Role::Operator, Role::Admin]);
        assert_eq!(who(Privilege::Audit), [Role::Auditor, Role::Admin]);
        assert_eq!(Role::parse("root"), None);
    }
}
