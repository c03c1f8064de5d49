//! `lotbook control`: tells a running host what to stop, and asks it what is stopped.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::{ControlArgs, ControlCommand, ExitCode, ScopeArgs, ScopeKind, SwitchArgs};
use crate::client::{Client, ClientError};
use crate::exit;

/// Why nothing was shown or done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The host does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A name where there is none, or none where one is wanted.
    #[error("{0}")]
    Usage(&'static str),
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

impl ControlError {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Usage(_) => ExitCode::Unreadable,
            Self::Output(error) => exit::of_io(error),
        }
    }
}

/// Asks and prints. Blocks until the answer is there.
///
/// # Errors
/// [`ControlError`]; what the host was told may hold then.
pub fn run(args: &ControlArgs, out: &mut dyn Write) -> Result<(), ControlError> {
    let client = Client::new(&args.url);
    let path = ["v1", "control"];
    let document = match &args.command {
        ControlCommand::Show => client.get(&path, &[])?,
        ControlCommand::Halt(scope) => client.post(&path, &of_scope("halt", scope)?)?,
        ControlCommand::Resume(scope) => client.post(&path, &of_scope("resume", scope)?)?,
        ControlCommand::ReadOnly(switch) => client.post(&path, &of_switch("read_only", switch))?,
        ControlCommand::Drain(switch) => client.post(&path, &of_switch("drain", switch))?,
    };
    let text = if args.json { format!("{document:#}\n") } else { describe(&document) };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads a pipe to its head has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn of_scope(what: &str, args: &ScopeArgs) -> Result<Value, ControlError> {
    let scope = match args.scope {
        ScopeKind::All => "all",
        ScopeKind::Account => "account",
        ScopeKind::Instrument => "instrument",
        ScopeKind::Session => "session",
    };
    let mut said = json!({"do": what, "scope": scope, "user_id": args.user, "reason": args.reason});
    match (&args.name, args.scope) {
        (None, ScopeKind::All) => {}
        (Some(name), ScopeKind::Account | ScopeKind::Instrument | ScopeKind::Session) => said["name"] = json!(name),
        (None, _) => return Err(ControlError::Usage("the name is missing: lotbook control halt account A1 ...")),
        (Some(_), ScopeKind::All) => return Err(ControlError::Usage("all has no name")),
    }
    Ok(said)
}

fn of_switch(what: &str, args: &SwitchArgs) -> Value {
    json!({"do": what, "on": args.switch == "on", "user_id": args.user, "reason": args.reason})
}

/// The document in words.
fn describe(document: &Value) -> String {
    let mut text = String::new();
    let word = |given: &Value, field: &str| given[field].as_str().unwrap_or("").to_owned();
    let mut line = |what: &str, given: &Value| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what}: {}, {}", word(given, "user_id"), word(given, "reason"));
    };
    for (what, field) in [("read-only", "read_only"), ("draining", "drain")] {
        if !document[field].is_null() {
            line(what, &document[field]);
        }
    }
    for halt in document["halts"].as_array().map_or(&[][..], Vec::as_slice) {
        line(format!("halted {} {}", word(halt, "scope"), word(halt, "name")).trim_end(), halt);
    }
    if text.is_empty() { "nothing is stopped\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stopped_in_words() {
        assert_eq!(describe(&json!({"halts": [], "read_only": null, "drain": null})), "nothing is stopped\n");
        let by = |more: Value| {
            let mut given = json!({"user_id": "ann", "reason": "close"});
            for (key, value) in more.as_object().expect("an object") {
                given[key] = value.clone();
            }
            given
        };
        let document = json!({
            "halts": [by(json!({"scope": "all"})), by(json!({"scope": "account", "name": "A1"}))],
            "read_only": null, "drain": by(json!({})),
        });
        assert_eq!(
            describe(&document),
            "draining: ann, close\nhalted all: ann, close\nhalted account A1: ann, close\n"
        );
    }
}
