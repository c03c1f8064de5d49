//! Clocks: how one is read, and whether it is right.

use super::tree::Tree;
use super::{Finding, Probed, Verdict};

/// What an exchange's rules ask of a clock, and more than a second member's order of trades can bear.
const ERROR_US_MAX: i64 = 100_000;

pub(super) fn checks(tree: &Tree, probed: &Probed) -> Vec<Finding> {
    [source(tree), Some(sync(probed))].into_iter().flatten().collect()
}

fn source(tree: &Tree) -> Option<Finding> {
    let why = "each batch of trades reads the clock: the processor's counter without a system call, a device with one";
    let dir = "sys/devices/system/clocksource/clocksource0";
    let current = tree.text(&format!("{dir}/current_clocksource"))?;
    match current.as_str() {
        "tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page" => {
            Some(Finding::new("clock_source", why, Verdict::Good, current))
        }
        _ => {
            let available = tree.text(&format!("{dir}/available_clocksource")).unwrap_or_default();
            let found = Finding::new("clock_source", why, Verdict::Bad, current);
            Some(match available.split_whitespace().find(|name| matches!(*name, "tsc" | "kvm-clock")) {
                Some(better) => found
                    .change(format!("take {better}; where the kernel gave it up, its log says why"))
                    .commands([format!("echo {better} > /{dir}/current_clocksource")]),
                None => found.change("find out from the kernel's log why the processor's counter was given up"),
            })
        }
    }
}

fn sync(probed: &Probed) -> Finding {
    let why = "execution times order trades of one date, and regulators ask for clocks within a known distance of UTC";
    match probed.clock {
        None => Finding::new("clock_sync", why, Verdict::Unknown, "the system does not say"),
        Some((true, error_us)) if error_us <= ERROR_US_MAX => {
            Finding::new("clock_sync", why, Verdict::Good, format!("synchronized, within {error_us} us"))
        }
        Some((true, error_us)) => {
            Finding::new("clock_sync", why, Verdict::Advice, format!("synchronized, within {error_us} us only"))
                .change("give chrony better sources, or a hardware clock (PTP)")
        }
        Some((false, _)) => Finding::new("clock_sync", why, Verdict::Advice, "nothing keeps the clock")
            .change("run chrony or systemd-timesyncd here; in a guest, see that the host keeps its clock"),
    }
}
