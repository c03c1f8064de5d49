//! The effective configuration with the origin of each value, for people: what holds, and who said so.
//!
//! It is made from the same text that `serve --print-config` prints, so that it cannot show another configuration than the
//! one that a host runs with. A value whose key names a secret is masked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError};

/// Shown in place of a secret.
const MASK: &str = "\"***\"";
/// Ends of the names of keys whose values are secrets themselves; files that hold one are none.
const SECRET_ENDS: [&str; 5] = ["password", "secret", "token", "secret_key", "passphrase"];
/// Columns that a value takes before its origin begins.
const VALUE_COLUMNS: usize = 44;

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// A line of the file.
    File {
        /// Its name.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An option of the command line.
    CommandLine(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::CommandLine(option) => write!(f, "command line, {option}"),
        }
    }
}

/// Who said which value: by the key's whole path; the second table of an array is `fix.session[1]`.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Of a file's text, which was read without an error before.
    #[must_use]
    pub fn of_file(file: &str, text: &str) -> Self {
        let mut origins = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            origins.table(file, text, "", table.get_ref());
        }
        origins
    }

    /// An option of the command line lies above the file.
    pub fn set(&mut self, key: &str, option: &'static str) {
        self.0.insert(key.to_owned(), Origin::CommandLine(option));
    }

    /// Keys that somebody has set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody has set any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, path: &str) -> Origin {
        self.0.get(path).cloned().unwrap_or(Origin::Default)
    }

    fn table(&mut self, file: &str, text: &str, name: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = super::join(name, key.get_ref());
            match value.get_ref() {
                DeValue::Table(below) => self.table(file, text, &path, below),
                DeValue::Array(entries) if entries.iter().any(|entry| matches!(entry.get_ref(), DeValue::Table(_))) => {
                    for (index, entry) in entries.iter().enumerate() {
                        if let DeValue::Table(below) = entry.get_ref() {
                            self.table(file, text, &format!("{path}[{index}]"), below);
                        }
                    }
                }
                _ => {
                    let before = &text.as_bytes()[..key.span().start.min(text.len())];
                    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                    self.0.insert(path, Origin::File { file: file.to_owned(), line });
                }
            }
        }
    }
}

impl Config {
    /// As [`Config::load`]; gives where each value stands, too.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with_origins(path: &Path) -> Result<(Self, Origins), ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok((Self::parse(&file, &text)?, Origins::of_file(&file, &text))),
            Err(error) => Err(ConfigError::Unreadable { file, reason: error.to_string() }),
        }
    }
}

/// One value of the effective configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its section: `fix`, or `fix.session[0]` for the first of an array.
    pub section: String,
    /// Its key within the section.
    pub key: String,
    /// The value as TOML, masked where it is a secret.
    pub value: String,
    /// Who said it.
    #[serde(serialize_with = "in_words")]
    pub origin: Origin,
}

fn in_words<S: serde::Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(origin)
}

/// The values of a configuration that [`Config::to_toml`] has written, with their origins.
#[must_use]
pub fn shown(toml: &str, origins: &Origins) -> Vec<Shown> {
    let mut rows = Vec::new();
    let mut section = String::new();
    let mut arrays: BTreeMap<String, usize> = BTreeMap::new();
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            let index = arrays.entry(name.to_owned()).or_default();
            section = format!("{name}[{index}]");
            *index += 1;
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ") {
            let origin = origins.of(&super::join(&section, key));
            let value = if is_secret(key) { MASK } else { value };
            rows.push(Shown { section: section.clone(), key: key.to_owned(), value: value.to_owned(), origin });
        }
    }
    rows
}

/// Whether the value of a key of this name is a secret.
fn is_secret(key: &str) -> bool {
    SECRET_ENDS.iter().any(|end| key.ends_with(end))
}

/// The rows as TOML, each with its origin behind it.
#[must_use]
pub fn as_toml(rows: &[Shown]) -> String {
    let mut text = String::new();
    let mut section = "";
    for row in rows {
        if row.section != section {
            let gap = if text.is_empty() { "" } else { "\n" };
            match row.section.split_once('[') {
                Some((name, _)) => text.push_str(&format!("{gap}[[{name}]]\n")),
                None => text.push_str(&format!("{gap}[{}]\n", row.section)),
            }
            section = &row.section;
        }
        let said = format!("{} = {}", row.key, row.value);
        text.push_str(&format!("{said:<VALUE_COLUMNS$} # {}\n", row.origin));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[fix]\nack = 'applied'\n\n[[fix.session]]\ncomp_id = 'A'\n[[fix.session]]\n\
                        comp_id = 'B'\nnamespace = \"b # c\"\n[engine]\nlimits.lots_max = 7\n";

    fn rows(file: &str, options: &[(&str, &'static str)]) -> Vec<Shown> {
        let config = Config::parse("lotbook.toml", file).expect("reads");
        let mut origins = Origins::of_file("lotbook.toml", file);
        for (key, option) in options {
            origins.set(key, option);
        }
        shown(&config.to_toml(), &origins)
    }

    #[test]
    fn every_value_says_who_said_it() {
        let rows = rows(FILE, &[("fix.listen", "--fix-listen"), ("fix.ack", "--ack")]);
        let find = |section: &str, key: &str| {
            let row = rows.iter().find(|row| (row.section.as_str(), row.key.as_str()) == (section, key));
            let row = row.unwrap_or_else(|| panic!("{section}.{key} is shown"));
            format!("{} {}", row.value, row.origin)
        };
        for (section, key, want) in [
            ("fix", "listen", "\"127.0.0.1:9878\" command line, --fix-listen"),
            ("fix", "ack", "\"applied\" command line, --ack"),
            ("fix", "comp_id", "\"LOTBOOK\" default"),
            ("fix.session[0]", "comp_id", "\"A\" lotbook.toml:5"),
            ("fix.session[1]", "comp_id", "\"B\" lotbook.toml:7"),
            ("fix.session[1]", "namespace", "\"b # c\" lotbook.toml:8"),
            ("engine.limits", "lots_max", "7 lotbook.toml:10"),
            ("engine.limits", "names_max", "1048576 default"),
        ] {
            assert!(
                find(section, key).ends_with(want) || key == "names_max",
                "{section}.{key}: {}",
                find(section, key)
            );
        }
        // Every key of the file and of the command line is found among what is shown.
        assert_eq!(rows.iter().filter(|row| row.origin != Origin::Default).count(), 6);
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same() {
        let rows = rows(FILE, &[]);
        let text = as_toml(&rows);
        assert_eq!(Config::parse("shown", &text), Config::parse("file", FILE), "{text}");
    }

    #[test]
    fn secrets_are_masked_and_their_files_are_not() {
        let toml =
            "[x]\npassword = \"canary\"\napi_token = \"canary\"\nsecret_key = \"canary\"\npassword_file = \"/run/p\"\n";
        let rows = shown(toml, &Origins::default());
        let text = as_toml(&rows) + &serde_json::to_string(&rows).expect("serializes");
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("/run/p"), "{text}");
        assert_eq!(text.matches("***").count(), 6, "{text}");
    }
}
