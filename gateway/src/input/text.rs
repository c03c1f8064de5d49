//! Rules of names and ids, shared by every door.
//!
//! A name is 1 to 64 bytes of printable ASCII (0x20 to 0x7e), without a space at either end. So it
//! is one FIX field without escapes, one terminal cell without surprises, and equal names are equal
//! bytes: no Unicode normal form can make two accounts of one.

use lotbook_core::limits::{NAME_BYTES_MAX, TRADE_ID_BYTES_MAX};

use super::error::{Code, LineError, quoted};

// One rule for names and ids holds only while both have one width.
const _: () = assert!(NAME_BYTES_MAX == TRADE_ID_BYTES_MAX);

/// "All accounts" or "all instruments" in a contract; no account or instrument may have this name.
pub const WILDCARD: &str = "*";

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// No characters.
    Empty,
    /// More than 64 bytes.
    TooLong {
        /// Bytes that it has.
        bytes: usize,
    },
    /// A byte outside printable ASCII.
    BadByte {
        /// The byte.
        byte: u8,
        /// Where, from 0.
        at: usize,
    },
    /// A space at the start or the end.
    OuterSpace,
    /// The name `*`, which means "all".
    Wildcard,
}

impl TextError {
    /// The code of a line error.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Empty => Code::MissingField,
            Self::TooLong { .. } => Code::TooLong,
            Self::BadByte { .. } | Self::OuterSpace | Self::Wildcard => Code::BadText,
        }
    }
}

impl std::fmt::Display for TextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty"),
            Self::TooLong { bytes } => write!(f, "has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed"),
            Self::BadByte { byte, at } => {
                write!(f, "holds byte 0x{byte:02x} at position {at}; only printable ASCII is allowed")
            }
            Self::OuterSpace => write!(f, "starts or ends with a space"),
            Self::Wildcard => write!(f, "is \"*\", which means all and can be no name"),
        }
    }
}

impl std::error::Error for TextError {}

/// Checks an id: of a trade, contract, correlation or user.
///
/// # Errors
/// See [`TextError`].
pub fn check_id(text: &[u8]) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(TextError::TooLong { bytes: text.len() });
    }
    if let Some(at) = text.iter().position(|b| !(0x20..=0x7e).contains(b)) {
        return Err(TextError::BadByte { byte: text[at], at });
    }
    if text[0] == b' ' || text[text.len() - 1] == b' ' {
        return Err(TextError::OuterSpace);
    }
    Ok(())
}

/// Checks the name of an account or instrument: an id other than `*`.
///
/// # Errors
/// See [`TextError`].
pub fn check_name(text: &[u8]) -> Result<(), TextError> {
    check_id(text)?;
    if text == WILDCARD.as_bytes() {
        return Err(TextError::Wildcard);
    }
    Ok(())
}

/// Checks an ISIN's form (ISO 6166): two letters, nine letters or digits, a check digit.
///
/// Upper case only. The check digit's value is not judged: test data and internal codes often have none.
#[must_use]
pub fn isin(text: &str) -> Option<[u8; 12]> {
    let bytes: [u8; 12] = text.as_bytes().try_into().ok()?;
    let is_form = bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..11].iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && bytes[11].is_ascii_digit();
    is_form.then_some(bytes)
}

/// Checks a CUSIP's form: eight letters, digits, `*`, `@` or `#`, and a check digit; its value is not judged.
#[must_use]
pub fn cusip(text: &str) -> Option<[u8; 9]> {
    let bytes: [u8; 9] = text.as_bytes().try_into().ok()?;
    let is_form = bytes[..8].iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"*@#".contains(b))
        && bytes[8].is_ascii_digit();
    is_form.then_some(bytes)
}

/// Checks a field of a line and owns it.
pub(super) fn owned(
    field: &'static str,
    text: &str,
    check: fn(&[u8]) -> Result<(), TextError>,
) -> Result<String, LineError> {
    match check(text.as_bytes()) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(LineError::of(field, error.code(), format!("{} {error}", quoted(text)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(65);
        for (text, want) in [
            ("A", Ok(())),
            ("BRK B", Ok(())),
            ("EUR/USD", Ok(())),
            (&long[..64], Ok(())),
            ("~!@#", Ok(())),
            ("", Err(TextError::Empty)),
            (&long, Err(TextError::TooLong { bytes: 65 })),
            (" A", Err(TextError::OuterSpace)),
            ("A ", Err(TextError::OuterSpace)),
            (" ", Err(TextError::OuterSpace)),
            ("A\tB", Err(TextError::BadByte { byte: 9, at: 1 })),
            ("A\0", Err(TextError::BadByte { byte: 0, at: 1 })),
            ("\u{1}", Err(TextError::BadByte { byte: 1, at: 0 })),
            ("a\u{7f}", Err(TextError::BadByte { byte: 0x7f, at: 1 })),
            ("é", Err(TextError::BadByte { byte: 0xc3, at: 0 })),
            ("*", Err(TextError::Wildcard)),
        ] {
            assert_eq!(check_name(text.as_bytes()), want, "{text:?}");
        }
        assert_eq!(check_id(b"*"), Ok(()));
    }

    #[test]
    fn security_ids() {
        for (text, want) in [
            ("US0378331005", true),
            ("DE000BAY0017", true),
            ("us0378331005", false),
            ("US037833100", false),
            ("US03783310055", false),
            ("1S0378331005", false),
            ("US037833100X", false),
        ] {
            assert_eq!(isin(text).is_some(), want, "{text}");
        }
        for (text, want) in [("037833100", true), ("38259P508", true), ("03783310", false), ("03783310X", false)] {
            assert_eq!(cusip(text).is_some(), want, "{text}");
        }
    }
}
