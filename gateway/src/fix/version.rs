//! The versions of FIX that the door speaks, and what differs between them.
//!
//! What a version does not know is not sent to it; what it calls otherwise is read by its name. The dictionaries that QuickFIX ships are what
//! is held to; why the answers of 4.2 are what they are is decision 0026.

use super::message::{Fault, RejectReason, Tag};

/// A version, as a session speaks it from its Logon on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// FIX 4.2.
    Fix42,
    /// FIX 4.4.
    #[default]
    Fix44,
    /// FIX 5.0 SP2 over FIXT 1.1.
    Fix50Sp2,
}

/// ApplVerID (1128) and DefaultApplVerID (1137) of FIX 5.0 SP2.
pub const APPL_VER_ID: &str = "9";

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Version; 3] = [Version::Fix42, Version::Fix44, Version::Fix50Sp2];

    /// The version that a BeginString (8) begins; `None` for one that is not spoken.
    #[inline]
    pub fn of(begin_string: &[u8]) -> Option<Version> {
        match begin_string {
            b"FIX.4.4" => Some(Version::Fix44),
            b"FIX.4.2" => Some(Version::Fix42),
            b"FIXT.1.1" => Some(Version::Fix50Sp2),
            _ => None,
        }
    }

    /// The version of that name in the configuration.
    pub fn named(name: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.name() == name)
    }

    /// As in the configuration and in names of sessions.
    pub const fn name(self) -> &'static str {
        match self {
            Version::Fix42 => "4.2",
            Version::Fix44 => "4.4",
            Version::Fix50Sp2 => "5.0SP2",
        }
    }

    /// BeginString (8).
    pub const fn begin_string(self) -> &'static str {
        match self {
            Version::Fix42 => "FIX.4.2",
            Version::Fix44 => "FIX.4.4",
            Version::Fix50Sp2 => "FIXT.1.1",
        }
    }

    /// The name in the journal of the session between two CompIDs: numbers belong to both and to the version, as other engines have it.
    pub fn session_name(self, ours: &str, theirs: &str) -> String {
        match self {
            Version::Fix44 => format!("{ours}:{theirs}"),
            _ => format!("{}:{ours}:{theirs}", self.name()),
        }
    }

    /// The greatest SessionRejectReason (373) that it defines, 99 aside.
    const fn reject_reason_max(self) -> u8 {
        match self {
            Version::Fix42 => 11,
            Version::Fix44 => 17,
            Version::Fix50Sp2 => 18,
        }
    }

    /// SessionRejectReason (373) for a reason; `None` where this version has none for it: the field is optional, and Text says it.
    pub fn reject_reason(self, reason: RejectReason) -> Option<u8> {
        Some(reason as u8).filter(|reason| *reason <= self.reject_reason_max())
    }

    /// Whether the version defines a type of message of more than one character other than `U..`. A later version's type is no type to it.
    pub fn has_long_types(self) -> bool {
        self != Version::Fix42
    }

    /// ApplVerID (1128) and DefaultApplVerID (1137): a message of another application version is not read.
    ///
    /// # Errors
    /// SessionRejectReason 18.
    pub(super) fn check_appl_ver_id(self, tag: Tag, value: Option<&[u8]>) -> Result<(), Fault> {
        match (self, value) {
            (Version::Fix50Sp2, Some(value)) if value != APPL_VER_ID.as_bytes() => {
                Err(Fault { tag: tag.number(), reason: RejectReason::ApplVersion })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_their_begin_string_and_by_their_name() {
        for version in Version::ALL {
            assert_eq!(Version::of(version.begin_string().as_bytes()), Some(version));
            assert_eq!(Version::named(version.name()), Some(version));
        }
        for other in ["FIX.4.0", "FIX.4.1", "FIX.4.3", "FIX.5.0", "FIX.4.4.", "FIXT.1.2", ""] {
            assert_eq!(Version::of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_version_is_told_no_reason_that_it_does_not_know() {
        use RejectReason::*;
        let table = [
            (InvalidTagNumber, [Some(0), Some(0), Some(0)]),
            (InvalidMsgType, [Some(11), Some(11), Some(11)]),
            (TagRepeated, [None, Some(13), Some(13)]),
            (TagOutOfOrder, [None, Some(14), Some(14)]),
            (ApplVersion, [None, None, Some(18)]),
        ];
        for (reason, told) in table {
            assert_eq!(Version::ALL.map(|version| version.reject_reason(reason)), told, "{reason:?}");
        }
    }

    #[test]
    fn sessions_of_two_versions_are_two() {
        let names = Version::ALL.map(|version| version.session_name("LOTBOOK", "BUY1"));
        assert_eq!(names, ["4.2:LOTBOOK:BUY1", "LOTBOOK:BUY1", "5.0SP2:LOTBOOK:BUY1"]);
    }
}
