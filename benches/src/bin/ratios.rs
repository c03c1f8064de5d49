//! `cargo run --release -p lotbook-benches --bin ratios -- [--json FILE] [NAME]`: the table of all ratios, or of those whose name contains NAME.

use std::process::ExitCode;

use lotbook_benches::ratios::{self, HEAD};
use lotbook_engine::memory::Memory;

/// Books lie on huge pages, touched when they are made: they are not timed by the kernel.
#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> ExitCode {
    let (mut json, mut filter) = (None, String::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = args.next(),
            ratios::state::CHILD => {
                ratios::state::weigh_here();
                return ExitCode::SUCCESS;
            }
            word if !word.starts_with('-') => filter = word.to_owned(),
            _ => {
                eprintln!("usage: ratios [--json FILE] [NAME]");
                return ExitCode::from(2);
            }
        }
    }
    println!("{HEAD}");
    let table = match ratios::run(&filter, &mut |row| println!("{row}")) {
        Ok(table) => table,
        Err(error) => {
            eprintln!("the budget: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{}", table.machine.line());
    println!("load {:.1} at the start, {:.1} at the end; {:.0} s", table.load[0], table.load[1], table.seconds);
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&table).unwrap_or_default();
        if let Err(error) = std::fs::write(&path, text + "\n") {
            eprintln!("{path}: {error}");
            return ExitCode::from(5);
        }
    }
    ExitCode::SUCCESS
}
