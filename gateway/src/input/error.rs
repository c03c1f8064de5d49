//! What can be wrong with a line, and what can be wrong with a whole file.

use std::borrow::Cow;
use std::fmt;

/// Declares the codes once: the enum, its wire names, and the list that the documentation is tested against.
macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a line or a file was not read. The names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl Code {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means, in one sentence; the documentation's text.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    /// The file cannot be opened or is not a file.
    CannotOpen = "CANNOT_OPEN",
    /// Reading failed half-way.
    ReadFailed = "READ_FAILED",
    /// The compressed data is damaged or cut short.
    BadGzip = "BAD_GZIP",
    /// Neither the name nor the first bytes tell the format.
    UnknownFormat = "UNKNOWN_FORMAT",
    /// A CSV file without a header row.
    NoHeader = "NO_HEADER",
    /// A CSV column that is no field of a trade, stands twice, or is named by an option and missing.
    BadColumn = "BAD_COLUMN",
    /// A line longer than 1 MiB.
    LineTooLong = "LINE_TOO_LONG",
    /// A NUL byte.
    NulByte = "NUL_BYTE",
    /// Not UTF-8.
    NotUtf8 = "NOT_UTF8",
    /// Not one JSON object.
    MalformedJson = "MALFORMED_JSON",
    /// A CSV row with more or fewer cells than the header.
    MalformedCsv = "MALFORMED_CSV",
    /// Not a whole FIX message, or its body length or checksum is wrong.
    MalformedFix = "MALFORMED_FIX",
    /// No such `type`.
    UnknownType = "UNKNOWN_TYPE",
    /// A type or field that a later version of the format defines.
    NotSupportedYet = "NOT_SUPPORTED_YET",
    /// A field that objects of this type do not have.
    UnknownField = "UNKNOWN_FIELD",
    /// A field that stands twice in one object.
    DuplicateField = "DUPLICATE_FIELD",
    /// A required field is missing, null or empty.
    MissingField = "MISSING_FIELD",
    /// Two fields that exclude each other.
    ConflictingFields = "CONFLICTING_FIELDS",
    /// A value of the wrong JSON type, such as a number where a decimal string is wanted.
    WrongType = "WRONG_TYPE",
    /// Not a decimal number.
    BadDecimal = "BAD_DECIMAL",
    /// More than eight decimals, and `--round` was not given.
    TooManyDecimals = "TOO_MANY_DECIMALS",
    /// A number beyond what is held exactly.
    OutOfRange = "OUT_OF_RANGE",
    /// Not an integer of zero or more.
    BadInteger = "BAD_INTEGER",
    /// Not `true` or `false`.
    BadBoolean = "BAD_BOOLEAN",
    /// Not a date `YYYY-MM-DD`, or no such day.
    BadDate = "BAD_DATE",
    /// Not an RFC 3339 time stamp, or outside the years 1678 to 2261.
    BadTimestamp = "BAD_TIMESTAMP",
    /// Not one of the values that the field takes.
    BadEnum = "BAD_ENUM",
    /// A name or id of more than 64 bytes.
    TooLong = "TOO_LONG",
    /// A name or id with a character that names do not have.
    BadText = "BAD_TEXT",
    /// An ISIN or CUSIP of the wrong form.
    BadSecurityId = "BAD_SECURITY_ID",
}

impl Code {
    /// Whether nothing after this can be read from the same file, so that `--skip-bad` does not help.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::CannotOpen
                | Self::ReadFailed
                | Self::BadGzip
                | Self::UnknownFormat
                | Self::NoHeader
                | Self::BadColumn
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A line that cannot be read. Nothing of it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The stable code.
    pub code: Code,
    /// The field concerned, where there is one.
    pub field: Option<Cow<'static, str>>,
    /// What is wrong and what would be right, in one sentence.
    pub message: String,
    /// The file cannot be read beyond this line.
    pub is_fatal: bool,
}

impl LineError {
    /// An error of a field.
    pub fn of(field: impl Into<Cow<'static, str>>, code: Code, message: impl Into<String>) -> Self {
        Self { code, field: Some(field.into()), message: message.into(), is_fatal: code.is_fatal() }
    }

    /// An error of a whole line.
    pub fn line(code: Code, message: impl Into<String>) -> Self {
        Self { code, field: None, message: message.into(), is_fatal: code.is_fatal() }
    }

    /// The same error, as one after which nothing more can be read from the file.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.is_fatal = true;
        self
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {field}: {}", self.code, self.message),
            None => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl std::error::Error for LineError {}

/// Text of the outside world, made safe and short enough for a message.
#[must_use]
pub fn quoted(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let mut shown = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN_CHARS_MAX {
            shown.push_str("\u{2026}\"");
            return shown;
        }
        shown.extend(character.escape_debug());
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_upper_snake_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'));
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert!(code.meaning().ends_with('.'), "{code}: {}", code.meaning());
        }
    }

    #[test]
    fn messages_are_short_and_printable() {
        assert_eq!(quoted("a\u{1b}[31m\n\"b\""), r#""a\u{1b}[31m\n\"b\"""#);
        assert_eq!(quoted(&"x".repeat(10_000)).chars().count(), 83);
        let error = LineError::of("price", Code::BadDecimal, "no");
        assert_eq!(error.to_string(), "BAD_DECIMAL: price: no");
    }
}
