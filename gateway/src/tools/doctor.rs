//! `lotbook doctor`: the findings of `lotbook_perf::doctor`, for people, as JSON, or as a script.

use std::io::{self, IsTerminal as _, Write};

use lotbook_perf::doctor::{Places, Report, Verdict, examine, fix_script};

use crate::cli::{DoctorArgs, ExitCode};
use crate::output::Colours;

/// Examines this machine and prints what it found. Blocks for about two seconds.
///
/// # Errors
/// Those of the output.
pub fn run(args: &DoctorArgs, out: &mut dyn Write) -> io::Result<ExitCode> {
    let places =
        Places { data_dir: args.data_dir.clone(), tail_dir: args.tail_dir.clone(), shard_core: args.shard_core };
    let report = examine(&places);
    let text = match (args.json, args.fix_script) {
        (true, _) => format!("{}\n", serde_json::to_string_pretty(&report)?),
        (_, true) => fix_script(&report),
        _ => describe(&report, Colours::for_output(&io::stdout())),
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads a pipe to its head has what was wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    Ok(if report.worst() == Verdict::Bad { ExitCode::Broken } else { ExitCode::Ok })
}

fn describe(report: &Report, colours: Colours) -> String {
    let mut out = format!("{}\n\n", report.machine.line());
    let width = report.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for finding in &report.findings {
        let (word, colour) = match finding.verdict {
            Verdict::Good => ("good   ", "32"),
            Verdict::Unknown => ("unknown", "2"),
            Verdict::Advice => ("advice ", "33"),
            Verdict::Bad => ("BAD    ", "31"),
        };
        let word = if colours == Colours::On { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() };
        out.push_str(&format!("{word}  {:width$}  {}\n", finding.check, finding.found));
        if finding.verdict >= Verdict::Advice {
            out.push_str(&format!("{:9}{:width$}  why: {}\n", "", "", finding.why));
            out.push_str(&format!("{:9}{:width$}  do:  {}\n", "", "", finding.change));
        }
    }
    let count = |verdict| report.findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (bad, advice) = (count(Verdict::Bad), count(Verdict::Advice));
    out.push_str(&format!("\n{bad} bad, {advice} to be considered, of {} checks\n", report.findings.len()));
    if bad + advice > 0 && std::io::stdout().is_terminal() {
        out.push_str("`lotbook doctor --fix-script` prints what commands can change\n");
    }
    out
}
