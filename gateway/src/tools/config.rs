//! `lotbook config`: would a host take the configuration, and who said what of it.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::cli::{CONFIG_FILE, ConfigCommand, ExitCode, Told};
use crate::config::{Config, ConfigError, Origin, TargetError, as_toml, shown};
use crate::exit;
use crate::serve::{self, ServeFailure};

/// Why a configuration is not taken, or not shown.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFailure {
    /// The file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It asks for what cannot be kept here.
    #[error(transparent)]
    Serve(#[from] ServeFailure),
    /// A password is not where it says.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A password is not where it says.
    #[error("archive.redis.password_file {}: {source}", file.display())]
    Password {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

impl ConfigFailure {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Output(error) => exit::of_io(error),
            _ => ExitCode::BadConfig,
        }
    }
}

/// Checks or shows; changes nothing.
///
/// # Errors
/// [`ConfigFailure`].
pub fn run(command: &ConfigCommand, out: &mut dyn Write) -> Result<(), ConfigFailure> {
    let text = match command {
        ConfigCommand::Check { told } => check(told)?,
        ConfigCommand::Show { told, effective, json } => {
            let (config, origins) = told.with_origins()?;
            let mut rows = shown(&config.to_toml(), &origins);
            rows.retain(|row| *effective || row.origin != Origin::Default);
            // Plain fields: they always serialize.
            if *json { serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n" } else { as_toml(&rows) }
        }
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads a pipe to its head has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn check(told: &Told) -> Result<String, ConfigFailure> {
    let (config, origins) = told.with_origins()?;
    serve::check(&config)?;
    passwords(&config)?;
    let file = match &told.config {
        Some(file) => file.display().to_string(),
        None if std::path::Path::new(CONFIG_FILE).exists() => CONFIG_FILE.to_owned(),
        None => "defaults".to_owned(),
    };
    Ok(format!("{file}: a host takes this; {} keys are set\n", origins.len()))
}

/// Reads the files that hold passwords, as a start does.
fn passwords(config: &Config) -> Result<(), ConfigFailure> {
    config.postgres.target()?;
    if let (Some(_), Some(file)) = (&config.redis.address, &config.redis.password_file) {
        std::fs::read_to_string(file).map_err(|source| ConfigFailure::Password { file: file.clone(), source })?;
    }
    Ok(())
}
