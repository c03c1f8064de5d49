//! `lotbook audit`: asks a running host what it has recorded, page by page, and writes it as it comes.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::cli::{AuditArgs, AuditFormat, ExitCode};
use crate::client::{Client, ClientError};
use crate::exit;

/// Events that are asked for at a time: as many as a host gives.
const PAGE: u64 = 1_000;
/// Columns of a comma-separated event, before the event itself.
const COLUMNS: [&str; 9] =
    ["sequence", "kind", "occurred_at", "account", "instrument", "trade_id", "user_id", "correlation_id", "causation"];

/// Why not all was shown.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The host does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

impl AuditError {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Output(error) => exit::of_io(error),
        }
    }
}

/// Asks and writes: events to `out`, up to where they are complete to `told`. Blocks until all is written.
///
/// # Errors
/// [`AuditError`]; what was written until then is whole lines.
pub fn run(args: &AuditArgs, out: &mut dyn Write, told: &mut dyn Write) -> Result<(), AuditError> {
    let written = match args.chain {
        Some(sequence) => chain(args, sequence, out, told),
        None => pages(args, out, told),
    };
    match written {
        // Who reads a pipe to its head has what was wanted.
        Err(AuditError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn chain(args: &AuditArgs, sequence: u64, out: &mut dyn Write, told: &mut dyn Write) -> Result<(), AuditError> {
    let client = Client::new(&args.url);
    let found = client.get(&["v1", "audit", "chain"], &[("sequence", sequence.to_string())])?;
    writeln!(out, "{:#}", found["chain"])?;
    out.flush()?;
    complete(&found, told);
    Ok(())
}

fn pages(args: &AuditArgs, out: &mut dyn Write, told: &mut dyn Write) -> Result<(), AuditError> {
    let (client, bar) = (Client::new(&args.url), bar());
    let mut after = args.after;
    if args.format == AuditFormat::Csv {
        writeln!(out, "{},event", COLUMNS.join(","))?;
    }
    loop {
        let page = client.get(&["v1", "audit"], &parameters(args, after))?;
        for event in page["events"].as_array().map_or(&[][..], Vec::as_slice) {
            match args.format {
                AuditFormat::Lines => writeln!(out, "{event}")?,
                AuditFormat::Csv => writeln!(out, "{}", comma_separated(event))?,
            }
        }
        bar.set_length(page["durable_sequence"].as_u64().unwrap_or(0));
        bar.set_position(page["complete_through"].as_u64().unwrap_or(0));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => {
                out.flush()?;
                bar.finish_and_clear();
                complete(&page, told);
                return Ok(());
            }
        }
    }
}

fn complete(document: &Value, told: &mut dyn Write) {
    // A standard error that nobody reads any more changes nothing about the answer.
    let _ = writeln!(told, "complete through sequence {}", document["complete_through"]);
}

/// Says how far it has read, where somebody watches and the events themselves go elsewhere.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("reading {bar:30} {human_pos} of {human_len} records, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn parameters(args: &AuditArgs, after: u64) -> Vec<(&'static str, String)> {
    let given = [
        ("account", args.account.clone()),
        ("instrument", args.instrument.clone()),
        ("trade_id", args.trade.clone()),
        ("correlation_id", args.correlation.clone()),
        ("user_id", args.user.clone()),
        ("kind", args.kind.clone()),
        ("causation", args.causation.map(|sequence| sequence.to_string())),
        ("from", args.from.clone()),
        ("to", args.to.clone()),
        ("after", Some(after.to_string())),
        ("limit", Some(PAGE.to_string())),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// One event as a line of its own (RFC 4180).
fn comma_separated(event: &Value) -> String {
    let trade = ["trade_id", "amend_id", "action_id"].iter().map(|name| &event[*name]).find(|id| id.is_string());
    let value = |column: &str| match column {
        "occurred_at" | "causation" => &event["origin"][column],
        "trade_id" => trade.unwrap_or(&Value::Null),
        column => &event[column],
    };
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    };
    let mut line: Vec<String> = COLUMNS.iter().map(|column| text(value(column))).collect();
    line.push(quoted(&event.to_string()));
    line.join(",")
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_of_nine_columns_and_the_event() {
        let event = json!({"sequence": 7, "kind": "TradeApplied", "trade_id": "t,1", "account": "A \"1\"", "instrument": "X",
            "origin": {"occurred_at": "2026-03-05T14:30:00Z", "causation": null}, "user_id": null, "correlation_id": "c"});
        let line = comma_separated(&event);
        let front = "7,TradeApplied,2026-03-05T14:30:00Z,\"A \"\"1\"\"\",X,\"t,1\",,c,,\"";
        assert!(line.starts_with(front), "{line}");
        let whole = line[front.len()..].trim_end_matches('"').replace("\"\"", "\"");
        assert_eq!(serde_json::from_str::<Value>(&whole).expect("the event"), event);
    }
}
