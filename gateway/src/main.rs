//! The `lotbook` binary.

use clap::Parser as _;
use lotbook_gateway::cli::{Cli, Command, ExitCode};

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let code = match &cli.command {
        Command::Burst(args) => match lotbook_gateway::burst::run(args, &mut std::io::stdout()) {
            Ok(true) => ExitCode::Ok,
            Ok(false) => ExitCode::Broken,
            Err(error) => {
                eprintln!("lotbook: {error}");
                ExitCode::Internal
            }
        },
        _ => ExitCode::Internal,
    };
    code.into()
}
