//! `lotbook dlq`: asks a running host about its dead letters, and tells it what to do with them.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::{DlqArgs, DlqCommand, ExitCode};
use crate::client::{Client, ClientError};
use crate::exit;

/// Why nothing was shown or done.
#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    /// The host does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The corrected line cannot be read.
    #[error("{}: {source}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

impl DlqError {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Line { .. } => ExitCode::Unreadable,
            Self::Output(error) => exit::of_io(error),
        }
    }
}

/// Asks and prints. Blocks until the answer is there.
///
/// # Errors
/// [`DlqError`]; what the host was told may have been done then.
pub fn run(args: &DlqArgs, out: &mut dyn Write) -> Result<(), DlqError> {
    let client = Client::new(&args.url);
    let path = ["v1", "dead-letters"];
    let document = match &args.command {
        DlqCommand::List { state, class, code, source, after, limit } => {
            let mut wanted = vec![("state", state.clone()), ("after", after.to_string()), ("limit", limit.to_string())];
            for (key, value) in [("class", class), ("code", code), ("source", source)] {
                wanted.extend(value.clone().map(|value| (key, value)));
            }
            client.get(&path, &wanted)?
        }
        DlqCommand::Show { letter } => client.get(&[path[0], path[1], &letter.to_string()], &[])?,
        DlqCommand::Resubmit { by, line } => {
            let mut said = json!({"user_id": by.user, "reason": by.reason});
            if let Some(file) = line {
                said["line"] = read_line(file)?;
            }
            client.post(&[path[0], path[1], &by.letter.to_string(), "resubmit"], &said)?
        }
        DlqCommand::Discard { by } => {
            let said = json!({"user_id": by.user, "reason": by.reason});
            client.post(&[path[0], path[1], &by.letter.to_string(), "discard"], &said)?
        }
    };
    let text = match (&args.command, args.json) {
        (_, true) => format!("{document:#}\n"),
        (DlqCommand::List { .. }, false) => describe_list(&document),
        (_, false) => describe(&document),
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads a pipe to its head has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn read_line(file: &PathBuf) -> Result<Value, DlqError> {
    let failed = |source| DlqError::Line { file: file.clone(), source };
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(failed)?;
        text
    } else {
        std::fs::read_to_string(file).map_err(failed)?
    };
    serde_json::from_str(&text).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

fn word<'a>(document: &'a Value, field: &str) -> &'a str {
    document[field].as_str().unwrap_or("-")
}

fn describe_list(document: &Value) -> String {
    let mut text = String::new();
    let letters = document["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
    // Writing to a String cannot fail.
    for letter in letters {
        let _ = writeln!(
            text,
            "{:>8}  {}  {:<11}  {:<15}  {:<20}  {:<14}  {}  {}/{}",
            letter["dead_letter"].as_u64().unwrap_or(0),
            word(letter, "at"),
            word(letter, "state"),
            word(letter, "class"),
            word(letter, "code"),
            word(letter, "source"),
            word(letter, "trade_id"),
            word(letter, "account"),
            word(letter, "instrument"),
        );
    }
    let alert = if document["alert"] == true { ", which is an alarm" } else { "" };
    let _ = writeln!(text, "{} shown, {} open{alert}", letters.len(), document["open"].as_u64().unwrap_or(0));
    if let Some(next) = document["next"].as_u64() {
        let _ = writeln!(text, "more: --after {next}");
    }
    text
}

fn describe(letter: &Value) -> String {
    let mut text = String::new();
    let number = |field: &str| letter[field].as_u64().unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "dead letter  {}, {}, tried {} times",
        number("dead_letter"),
        word(letter, "state"),
        number("tries")
    );
    let _ =
        writeln!(text, "reason       {} {}: {}", word(letter, "class"), word(letter, "code"), word(letter, "error"));
    let _ = writeln!(
        text,
        "came         {} from {}, {}",
        word(letter, "at"),
        word(letter, "source"),
        number("source_offset")
    );
    let _ = writeln!(text, "id           {} in {}", word(letter, "trade_id"), word(letter, "namespace"));
    let _ = writeln!(text, "correlation  {}", word(letter, "correlation_id"));
    let shown = letter["raw"].as_str().or_else(|| letter["raw_hex"].as_str()).unwrap_or("");
    let _ = writeln!(text, "bytes        {}", shown.escape_debug());
    for deed in letter["deeds"].as_array().map_or(&[][..], Vec::as_slice) {
        let _ = writeln!(text, "  {deed}");
    }
    if let Some(result) = letter.get("result") {
        let _ = writeln!(text, "result       {result}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_words() {
        let letter = json!({
            "dead_letter": 7, "state": "open", "tries": 2, "class": "Validation", "code": "BAD_QUANTITY",
            "error": "no", "at": "2020-01-02T00:00:00Z", "source": "http", "source_offset": 3, "trade_id": "t1",
            "namespace": "HTTP", "account": "A", "instrument": "X", "correlation_id": "c", "raw": "8=FIX\u{1}",
            "deeds": [{"what": "repeated", "at_ns": 1}],
        });
        let text = describe(&letter);
        assert!(
            text.starts_with("dead letter  7, open, tried 2 times\nreason       Validation BAD_QUANTITY: no\n"),
            "{text}"
        );
        assert!(text.contains("bytes        8=FIX\\u{1}\n  {\"what\":\"repeated\""), "{text}");
        let list = json!({"dead_letters": [letter], "next": 7, "open": 120, "alert": true});
        let text = describe_list(&list);
        assert!(text.ends_with("t1  A/X\n1 shown, 120 open, which is an alarm\nmore: --after 7\n"), "{text}");
    }
}
