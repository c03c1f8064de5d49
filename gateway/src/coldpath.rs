//! `lotbook coldpath`: asks a running host about its coldpath, and tells it.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::{ColdpathArgs, ColdpathCommand, ExitCode};
use crate::client::{Client, ClientError};
use crate::exit;

/// Why nothing was shown or done.
#[derive(Debug, thiserror::Error)]
pub enum ColdpathError {
    /// The host does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

impl ColdpathError {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Output(error) => exit::of_io(error),
        }
    }
}

/// Asks and prints. Blocks until the answer is there.
///
/// # Errors
/// [`ColdpathError`]; what the host was told may have been done then.
pub fn run(args: &ColdpathArgs, out: &mut dyn Write) -> Result<(), ColdpathError> {
    let client = Client::new(&args.url);
    let path = ["v1", "coldpath"];
    let document = match &args.command {
        ColdpathCommand::Status => client.get(&path, &[])?,
        ColdpathCommand::Retry { account, instrument } => {
            client.post(&path, &json!({"do": "retry", "account": account, "instrument": instrument}))?
        }
        ColdpathCommand::Pause => client.post(&path, &json!({"do": "pause"}))?,
        ColdpathCommand::Resume => client.post(&path, &json!({"do": "resume"}))?,
        ColdpathCommand::Resize { workers } => client.post(&path, &json!({"do": "resize", "workers": workers}))?,
    };
    let text = if args.json { format!("{document:#}\n") } else { describe(&document) };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads a pipe to its head has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// The document in words.
fn describe(document: &Value) -> String {
    let number = |field: &str| document[field].as_u64().unwrap_or(0);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let state = if document["paused"] == true { "paused" } else { "running" };
    let _ = writeln!(text, "workers       {} of {}, {state}", number("running"), number("workers"));
    let _ = writeln!(
        text,
        "queue         {} positions ({}), {} busy, {} backing off",
        number("queue"),
        document["level"].as_str().unwrap_or("?"),
        number("busy"),
        number("backing_off")
    );
    let _ = writeln!(
        text,
        "service level {} overdue now, {} breaches, oldest {} ms",
        number("overdue"),
        number("breaches"),
        number("oldest_ms")
    );
    let _ = writeln!(
        text,
        "done          {} corrections, {} proposals met a position that had moved on, {} trades booked again",
        number("corrections"),
        number("stale"),
        number("rebooked_trades")
    );
    let _ = writeln!(text, "trouble       {} panics, {} hangs", number("panics"), number("hangs"));
    if let Some(retried) = document["retried"].as_u64() {
        let _ = writeln!(text, "retried       {retried} dead letters");
    }
    let letters = document["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
    let _ = writeln!(text, "dead letters  {}", letters.len());
    for letter in letters {
        let word = |field: &str| letter[field].as_str().unwrap_or("?");
        let (account, instrument, stage) = (word("account"), word("instrument"), word("stage"));
        let _ = writeln!(text, "  {account} {instrument}: {stage}: {}", word("error"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_in_words() {
        let document = json!({
            "paused": true, "workers": 2, "running": 1, "queue": 7, "level": "calm", "busy": 1, "backing_off": 2,
            "overdue": 3, "oldest_ms": 41, "breaches": 5, "aged": 0, "corrections": 9, "stale": 4, "rebooked_trades": 11,
            "replayed_items": 0, "panics": 1, "hangs": 0, "retried": 1,
            "dead_letters": [{"account": "A1", "instrument": "AAPL", "stage": "replay", "error": "no"}],
        });
        let text = describe(&document);
        assert!(
            text.starts_with("workers       1 of 2, paused\nqueue         7 positions (calm), 1 busy, 2 backing off\n")
        );
        assert!(text.ends_with("retried       1 dead letters\ndead letters  1\n  A1 AAPL: replay: no\n"), "{text}");
    }
}
