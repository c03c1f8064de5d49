//! Words of the command line about the file of credentials.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::access::Role;

/// `lotbook token`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Keep the file of credentials (auth.credentials): tokens and passwords as hashes, certificates by name, each with \
                  a user and a role. A running host reads the file again when it changes, within a second; so a revoked token \
                  ends at once.\n\n\
                  new prints the token, once: the file has only its hash. password reads the password from standard input.",
    after_help = "Examples:\n  \
                  lotbook token new --file credentials.toml --user ann --role trader --days 90\n  \
                  lotbook token list --file credentials.toml\n  \
                  lotbook token revoke --file credentials.toml 4f2a9c01d3b7\n  \
                  lotbook token password --file credentials.toml --user DESK1 --role trader\n  \
                  lotbook token certificate --file credentials.toml --name ann.desk.example --user ann --role trader"
)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
    /// The file of credentials; made where missing, readable by its owner alone
    #[arg(long, value_name = "FILE", default_value = "credentials.toml", global = true)]
    pub file: PathBuf,
}

/// What `lotbook token` does.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it
    New {
        /// Whose it is
        #[arg(long, value_name = "USER", value_parser = super::parse_id)]
        user: String,
        /// What the user may do
        #[arg(long, value_enum)]
        role: Role,
        /// Days until it ends [default: it ends by revocation only]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// Show everything in the file but the hashes
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token, a password or a certificate out of the file
    Revoke {
        /// A token's id, a password's user, or a certificate's name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Keep the hash of the password that standard input has, in place of an older one
    Password {
        /// Who says it
        #[arg(long, value_name = "USER", value_parser = super::parse_id)]
        user: String,
        /// What the user may do
        #[arg(long, value_enum)]
        role: Role,
    },
    /// Say whose certificate has a name: a DNS name, a URI or the common name
    Certificate {
        /// A name in the certificate
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Whose it is
        #[arg(long, value_name = "USER", value_parser = super::parse_id)]
        user: String,
        /// What the user may do
        #[arg(long, value_enum)]
        role: Role,
    },
}
