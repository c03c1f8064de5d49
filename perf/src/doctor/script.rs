//! The fix script: what the findings say, as commands that a person reads and runs.

use std::fmt::Write as _;

use super::{Report, Verdict};

/// A shell script that makes the changes that last until the next start of the machine, and names the others in comments. Nothing runs it
/// but a person.
#[must_use]
pub fn fix_script(report: &Report) -> String {
    let mut out = String::from(
        "#!/bin/sh\n# What `lotbook doctor` would change on this machine. Read it before you run it, as root.\n\
         # The changes last until the next start of the machine.\nset -eu\n",
    );
    let wanted = report.findings.iter().filter(|finding| finding.verdict >= Verdict::Advice);
    for finding in wanted {
        let _ = write!(out, "\n# {}: {}\n# {}\n", finding.check, finding.found, finding.why);
        if finding.commands.is_empty() {
            let _ = writeln!(out, "# By hand: {}", finding.change);
        }
        for command in &finding.commands {
            let _ = writeln!(out, "{command}");
        }
    }
    out
}
