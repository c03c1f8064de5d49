//! `cargo run --release -p lotbook-benches --bin instructions -- [--accept | --self-test] [--budget FILE] [NAME]`: counts the instructions of all
//! stages, or of those whose name contains NAME, and fails where one executes more than its budget.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lotbook_benches::instructions::{self, Budget, CHILD, CountError};

const USAGE: &str = "usage: instructions [--accept | --self-test] [--budget FILE] [NAME]";

/// A stage exceeded its budget.
const EXCEEDED: u8 = 1;
/// Wrong arguments.
const WRONG: u8 = 2;
/// Nothing could be counted here.
const UNAVAILABLE: u8 = 3;
/// A budget could not be read or written.
const NO_FILE: u8 = 5;

struct Args {
    accept: bool,
    self_test: bool,
    budget: PathBuf,
    filter: String,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let default = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../perf/instructions.toml"));
    let mut read = Args { accept: false, self_test: false, budget: default, filter: String::new() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            CHILD => {
                let is_known = instructions::run_here(&args.next().unwrap_or_default());
                return if is_known { ExitCode::SUCCESS } else { ExitCode::from(WRONG) };
            }
            "--accept" => read.accept = true,
            "--self-test" => read.self_test = true,
            "--budget" => read.budget = PathBuf::from(args.next().unwrap_or_default()),
            word if !word.starts_with('-') => read.filter = word.to_owned(),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(WRONG);
            }
        }
    }
    if !cfg!(target_arch = "x86_64") || cfg!(debug_assertions) {
        eprintln!("the figures are of release builds for x86-64: nothing is judged here");
        return ExitCode::from(UNAVAILABLE);
    }
    let Ok(program) = std::env::current_exe() else { return ExitCode::from(UNAVAILABLE) };
    match read.self_test {
        true => self_test(&program),
        false => measure(&program, &read),
    }
}

fn measure(program: &Path, args: &Args) -> ExitCode {
    let text = std::fs::read_to_string(&args.budget).map_err(|error| error.to_string());
    let mut budget = match text.and_then(|text| Budget::read(&text)) {
        Ok(budget) => budget,
        Err(error) => {
            eprintln!("{}: {error}", args.budget.display());
            return ExitCode::from(NO_FILE);
        }
    };
    println!("{:<36} {:>12} {:>12} {:>7}", "instructions", "counted", "budget", "ratio");
    let (mut failures, mut gains, mut counts) = (0, 0, 0);
    for (name, unit) in instructions::known().filter(|(name, _)| name.contains(&args.filter)) {
        let count = match instructions::count(program, name) {
            Ok(count) => count,
            Err(error @ CountError::NoValgrind(_)) => {
                eprintln!("{error}");
                return ExitCode::from(UNAVAILABLE);
            }
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(EXCEEDED);
            }
        };
        let judged = budget.judge(name, count);
        counts += 1;
        failures += usize::from(judged.verdict.is_failure());
        gains += usize::from(judged.verdict == instructions::Verdict::Better);
        let (figure, ratio, word) = (judged.figure, judged.ratio, judged.verdict.word());
        println!("{name:<36} {count:>12.1} {figure:>12.1} {ratio:>7.3} {word} ({unit})");
        if args.accept {
            budget.accept(name, unit, count);
        }
    }
    println!("{counts} stages counted, {failures} above the budget by more than {:.0} %", budget.tolerance * 100.0);
    if args.accept {
        if let Err(error) = std::fs::write(&args.budget, budget.text()) {
            eprintln!("{}: {error}", args.budget.display());
            return ExitCode::from(NO_FILE);
        }
        println!("accepted into {}: commit it and say what the change is worth", args.budget.display());
        return ExitCode::SUCCESS;
    }
    if gains > 0 {
        println!("{gains} better by more than that: `--accept` keeps them so");
    }
    match (counts, failures) {
        (0, _) => {
            eprintln!("no stage has that name");
            ExitCode::from(WRONG)
        }
        (_, 0) => ExitCode::SUCCESS,
        _ => {
            println!("A stage executes more than it did. Where that is worth it, accept it by");
            println!("    cargo run --release -p lotbook-benches --features fix --bin instructions -- --accept");
            println!("and commit perf/instructions.toml with the reason.");
            ExitCode::from(EXCEEDED)
        }
    }
}

/// Shows that the gate can shut: one stage against its own count, and against a budget a quarter below it.
fn self_test(program: &Path) -> ExitCode {
    let Some((name, unit)) = instructions::known().next() else { return ExitCode::from(UNAVAILABLE) };
    let (count, dir) = match (instructions::count(program, name), tempfile::tempdir()) {
        (Ok(count), Ok(dir)) => (count, dir),
        (Err(error), _) => {
            eprintln!("{error}");
            return ExitCode::from(if matches!(error, CountError::NoValgrind(_)) { UNAVAILABLE } else { EXCEEDED });
        }
        (_, Err(error)) => {
            eprintln!("{error}");
            return ExitCode::from(NO_FILE);
        }
    };
    for (share, wanted) in [(1.0, 0), (0.75, EXCEEDED)] {
        let path = dir.path().join("budget.toml");
        let mut budget = Budget { tolerance: 0.1, stage: Vec::new() };
        budget.accept(name, unit, count * share);
        if let Err(error) = std::fs::write(&path, budget.text()) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(NO_FILE);
        }
        let ran = Command::new(program).arg("--budget").arg(&path).arg(name).output();
        let code = ran.ok().and_then(|ran| ran.status.code());
        println!("{name}, a budget of {share} of its count: exit code {code:?}, {wanted} is right");
        if code != Some(i32::from(wanted)) {
            return ExitCode::from(EXCEEDED);
        }
    }
    ExitCode::SUCCESS
}
