//! `cargo run --release -p lotbook-benches --bin ratios -- [--json FILE] [NAME]`: the table of all ratios, or of those whose name contains NAME.

use std::process::ExitCode;

use lotbook_benches::ratios::{self, Row};
use lotbook_engine::memory::{Guard, Memory};

/// Both sides of a ratio lie on huge pages, touched when they are made: neither is timed by the kernel.
#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> ExitCode {
    let _huge = Guard::new();
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
    println!("{:<40} {:>10} {:>10} {:>7} {:>12}  beside", "stage", "ours", "limit", "ratio", "budget");
    let table = match ratios::run(&filter, &mut print) {
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

fn print(row: &Row) {
    let budget = &row.budget;
    let bound = match (budget.at_least, budget.at_most) {
        (Some(bound), _) => format!(">= {bound}"),
        (None, bound) => format!("<= {}", bound.unwrap_or(0.0)),
    };
    let word = if row.met { "met" } else { "MISSED" };
    println!(
        "{:<40} {:>10.1} {:>10.1} {:>7.2} {bound:>8} {word:<6} {} ({})",
        budget.stage, row.ours, row.limit, row.ratio, budget.beside, budget.unit
    );
}
