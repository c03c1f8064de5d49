//! The gate's table: every rule that an input must keep, with its stable codes and the class of what breaks it.
//!
//! Form is judged by the readers, which every door has in common, before anything is sent; the rest by the shard, behind the
//! lookup of ids (`engine/core/src/gate.rs`), where terms, contracts and the business date hold at that place of
//! the log and no door can go around. This table says it once: `docs/gate.md` and the tests through each door are made from it.

use serde::{Deserialize, Serialize};

use crate::input::Code;

/// Why an input did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// It cannot be read: a field is missing or has no value of its type.
    Deserialization,
    /// It breaks a rule of the gate.
    Validation,
    /// It is a trade, and the book cannot book it.
    Processing,
    /// Nothing answered in time.
    Timeout,
    /// What is behind the door took nothing: no space, a log that has stopped.
    Downstream,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Deserialization, Self::Validation, Self::Processing, Self::Timeout, Self::Downstream];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deserialization => "Deserialization",
            Self::Validation => "Validation",
            Self::Processing => "Processing",
            Self::Timeout => "Timeout",
            Self::Downstream => "Downstream",
        }
    }

    /// The class of a refusal's code, whichever door says it.
    #[must_use]
    pub fn of(code: &str) -> Self {
        if let Some(rule) = RULES.iter().find(|rule| rule.codes.contains(&code)) {
            return rule.class;
        }
        match code {
            TIMEOUT => Self::Timeout,
            OUT_OF_SPACE | UNKNOWN_FATE | NOT_AVAILABLE | "HALTED" | "READ_ONLY" | "DRAINING" => Self::Downstream,
            _ if Code::ALL.iter().any(|form| form.as_str() == code) => Self::Deserialization,
            _ => Self::Processing,
        }
    }

    /// Whether the same input may come in later without a change of it.
    #[must_use]
    pub fn is_recoverable(self) -> bool {
        matches!(self, Self::Timeout | Self::Downstream)
    }
}

/// No answer came in time.
pub const TIMEOUT: &str = "TIMEOUT";
/// The log has no room.
pub const OUT_OF_SPACE: &str = "OUT_OF_SPACE";
/// Whether it was recorded is not known.
pub const UNKNOWN_FATE: &str = "UNKNOWN_RESEND";
/// The host takes nothing.
pub const NOT_AVAILABLE: &str = "NOT_AVAILABLE";

/// Who judges a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The readers that the doors have in common.
    Reader,
    /// The shard, before the book decides.
    Shard,
}

/// A rule of the gate.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What must hold, in one sentence.
    pub holds: &'static str,
    /// The codes of what breaks it.
    pub codes: &'static [&'static str],
    /// Their class.
    pub class: Class,
    /// Who judges.
    pub judge: Judge,
}

/// The rules, in the order in which an input meets them.
pub const RULES: &[Rule] = &[
    Rule {
        holds: "Every required field is there and not empty.",
        codes: &["MISSING_FIELD"],
        class: Class::Deserialization,
        judge: Judge::Reader,
    },
    Rule {
        holds: "Every value is of its field's type, exact and within what is held exactly.",
        codes: &[
            "WRONG_TYPE",
            "BAD_DECIMAL",
            "TOO_MANY_DECIMALS",
            "OUT_OF_RANGE",
            "BAD_INTEGER",
            "BAD_BOOLEAN",
            "BAD_TIMESTAMP",
            "BAD_ENUM",
        ],
        class: Class::Deserialization,
        judge: Judge::Reader,
    },
    Rule {
        holds: "Ids and the names of a position's key, account and instrument, are 1 to 64 bytes of printable ASCII without a space at either end; no account or instrument is `*`.",
        codes: &["TOO_LONG", "BAD_TEXT"],
        class: Class::Deserialization,
        judge: Judge::Reader,
    },
    Rule {
        holds: "The id is new in its namespace. With the same content it is a duplicate, and gets the first result; times of sending, sequence numbers and PossDup are no content.",
        codes: &["ID_CONFLICT"],
        class: Class::Validation,
        judge: Judge::Shard,
    },
    Rule {
        holds: "The effective date is a day, and within the window around the business date (`gate.days_ahead_max`, `gate.days_back_max`); an opening lot was acquired by then.",
        codes: &["BAD_DATE", "DATE_TOO_FAR_AHEAD", "DATE_TOO_FAR_BACK"],
        class: Class::Validation,
        judge: Judge::Shard,
    },
    Rule {
        holds: "The price is zero or more, within the instrument's bounds and on its tick.",
        codes: &["BAD_PRICE", "PRICE_OUT_OF_BOUNDS", "PRICE_OFF_TICK"],
        class: Class::Validation,
        judge: Judge::Shard,
    },
    Rule {
        holds: "The quantity is above zero.",
        codes: &["BAD_QUANTITY"],
        class: Class::Validation,
        judge: Judge::Shard,
    },
    Rule {
        holds: "Fees and consideration are zero or more, a rate is above zero, the currency is the instrument's.",
        codes: &["BAD_FEES", "BAD_CONSIDERATION", "BAD_RATE", "CURRENCY_MISMATCH"],
        class: Class::Validation,
        judge: Judge::Shard,
    },
    Rule {
        holds: "A contract that is named is known and covers the trade on its date.",
        codes: &["UNKNOWN_CONTRACT", "CONTRACT_NOT_IN_FORCE"],
        class: Class::Validation,
        judge: Judge::Shard,
    },
];

/// The table for the documentation.
#[must_use]
pub fn rules_as_markdown() -> String {
    let mut text = String::from("| rule | codes | class | judged by |\n|---|---|---|---|\n");
    for rule in RULES {
        let codes: Vec<String> = rule.codes.iter().map(|code| format!("`{code}`")).collect();
        let judge = if rule.judge == Judge::Reader { "the readers" } else { "the shard" };
        text.push_str(&format!("| {} | {} | {} | {judge} |\n", rule.holds, codes.join(", "), rule.class.as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use lotbook_core::event::Reason;

    use super::*;

    #[test]
    fn every_code_is_one_of_its_judges_and_stands_once() {
        let mut seen = HashSet::new();
        for rule in RULES {
            assert!(rule.holds.ends_with('.'), "{}", rule.holds);
            for code in rule.codes {
                assert!(seen.insert(*code), "{code} twice");
                let is_known = match rule.judge {
                    Judge::Reader => Code::ALL.iter().any(|known| known.as_str() == *code),
                    Judge::Shard => Reason::ALL.iter().any(|known| known.code() == *code),
                };
                assert!(is_known, "{code}");
            }
        }
    }

    #[test]
    fn every_code_has_a_class() {
        for (code, want) in [
            ("MISSING_FIELD", Class::Deserialization),
            ("MALFORMED_JSON", Class::Deserialization),
            ("ID_CONFLICT", Class::Validation),
            ("PRICE_OFF_TICK", Class::Validation),
            ("OVERSELL", Class::Processing),
            ("UNKNOWN_LOT", Class::Processing),
            ("TIMEOUT", Class::Timeout),
            ("OUT_OF_SPACE", Class::Downstream),
            ("UNKNOWN_RESEND", Class::Downstream),
        ] {
            assert_eq!(Class::of(code), want, "{code}");
        }
        for class in Class::ALL {
            assert_eq!(class.is_recoverable(), matches!(class.as_str(), "Timeout" | "Downstream"));
        }
    }
}
