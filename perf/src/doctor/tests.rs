//! Made-up machines before the checks.

use std::fs;
use std::path::Path;

use super::tree::parse_list;
use super::*;

const TMPFS: i64 = 0x0102_1994;

/// A machine on which nothing is to be changed.
fn good() -> (tempfile::TempDir, Probed, Places) {
    let root = tempfile::tempdir().expect("a directory");
    for (path, text) in [
        ("proc/cpuinfo", "processor: 0\nflags: fpu sse4_2 pclmulqdq avx2\n"),
        ("proc/swaps", "Filename Type Size Used Priority\n"),
        (
            "proc/self/mountinfo",
            "1 0 8:0 / / rw - ext4 /dev/sda rw\n2 1 259:1 / /data rw,noatime - xfs /dev/nvme0n1 rw\n",
        ),
        ("proc/sys/vm/overcommit_memory", "0\n"),
        ("proc/sys/kernel/numa_balancing", "0\n"),
        ("sys/devices/system/cpu/online", "0-3\n"),
        ("sys/devices/system/cpu/isolated", "3\n"),
        ("sys/devices/system/cpu/nohz_full", "2-3\n"),
        ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state1/latency", "2\n"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "0\n"),
        ("sys/devices/system/node/online", "0\n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ("sys/dev/block/259:1/queue/write_cache", "write back\n"),
        ("sys/dev/block/259:1/queue/rotational", "0\n"),
    ] {
        put(root.path(), path, text);
    }
    let probed = Probed {
        allowed_cores: vec![0, 1, 2, 3],
        memlock_bytes: u64::MAX,
        files_max: 65_536,
        ring: Ok(()),
        tail: Some((TMPFS, 1 << 30)),
        direct: Ok(()),
        sync: Some(SyncCost { p50_ns: 40_000, p99_ns: 90_000, max_ns: 200_000 }),
        free_bytes: Some(1 << 40),
        clock: Some((true, 500)),
        steal_permille: Some(0),
    };
    let places = Places { data_dir: "/data/book".into(), tail_dir: "/dev/shm".into(), shard_core: Some(3) };
    (root, probed, places)
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
    fs::write(path, text).expect("a file");
}

fn found(root: &Path, probed: &Probed, places: &Places) -> Vec<(&'static str, Verdict)> {
    findings(&Tree::below(root), probed, places).into_iter().map(|finding| (finding.check, finding.verdict)).collect()
}

#[test]
fn a_good_machine_is_left_alone() {
    let (root, probed, places) = good();
    let all = findings(&Tree::below(root.path()), &probed, &places);
    let wrong: Vec<_> = all.iter().filter(|finding| finding.verdict != Verdict::Good).collect();
    assert_eq!(wrong, Vec::<&Finding>::new());
    assert!(all.len() >= 22, "{} checks", all.len());
    let machine = Machine::here();
    let script = fix_script(&Report { machine, findings: all });
    assert!(script.lines().filter(|line| !line.starts_with('#')).eq(["set -eu"]), "{script}");
}

#[test]
fn each_thing_that_is_wrong_is_found_and_nothing_else() {
    use Verdict::{Advice, Bad};
    let files: [(&str, Verdict, &str, &str); 19] = [
        ("cpu_quota", Bad, "sys/fs/cgroup/cpu.max", "200000 100000\n"),
        ("isolation", Advice, "sys/devices/system/cpu/isolated", "\n"),
        ("isolation", Advice, "sys/devices/system/cpu/nohz_full", "(null)\n"),
        ("smt", Advice, "sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n"),
        ("governor", Advice, "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
        ("idle_states", Advice, "sys/devices/system/cpu/cpu3/cpuidle/state1/latency", "133\n"),
        ("instructions", Bad, "proc/cpuinfo", "flags: fpu sse4_2\n"),
        ("clock_source", Bad, "sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
        ("huge_pages", Advice, "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        ("swap", Advice, "proc/swaps", "Filename Type\n/dev/sdb partition 8 0 -2\n"),
        ("overcommit", Advice, "proc/sys/vm/overcommit_memory", "2\n"),
        ("numa_balancing", Advice, "proc/sys/kernel/numa_balancing", "1\n"),
        ("file_system", Bad, "proc/self/mountinfo", "2 1 259:1 / /data rw - ext4 /dev/x rw,nobarrier\n"),
        ("file_system", Bad, "proc/self/mountinfo", "2 1 259:1 / /data rw - tmpfs none rw\n"),
        ("file_system", Advice, "proc/self/mountinfo", "2 1 259:1 / /data rw - overlay overlay rw\n"),
        ("file_system", Advice, "proc/self/mountinfo", "2 1 259:1 / /data rw - ext4 /dev/x rw,data=journal\n"),
        ("file_system", Verdict::Unknown, "proc/self/mountinfo", "2 1 259:1 / /data rw - btrfs /dev/x rw\n"),
        ("drive_cache", Advice, "sys/dev/block/259:1/queue/write_cache", "write through\n"),
        ("drive_cache", Advice, "sys/dev/block/259:1/queue/rotational", "1\n"),
    ];
    for (check, verdict, path, text) in files {
        let (root, probed, places) = good();
        put(root.path(), path, text);
        let wrong: Vec<_> =
            found(root.path(), &probed, &places).into_iter().filter(|(_, v)| *v != Verdict::Good).collect();
        assert_eq!(wrong, [(check, verdict)], "{path}: {text}");
    }
    type Break = fn(&mut Probed);
    let probes: [(&str, Verdict, Break); 15] = [
        ("cores", Advice, |p| p.allowed_cores = vec![2, 3]),
        ("shard_core", Bad, |p| p.allowed_cores = vec![0, 1, 2, 4]),
        ("steal", Bad, |p| p.steal_permille = Some(40)),
        ("steal", Verdict::Unknown, |p| p.steal_permille = None),
        ("clock_sync", Advice, |p| p.clock = Some((false, 0))),
        ("clock_sync", Advice, |p| p.clock = Some((true, 16_000_000))),
        ("tail", Bad, |p| p.tail = Some((0xEF53, 1 << 40))),
        ("tail", Bad, |p| p.tail = Some((TMPFS, 1 << 20))),
        ("files", Advice, |p| p.files_max = 1_024),
        ("io_uring", Advice, |p| p.ring = Err("refused".into())),
        ("o_direct", Advice, |p| p.direct = Err("refused".into())),
        ("sync", Bad, |p| p.sync = Some(SyncCost { p50_ns: 900, p99_ns: 2_000, max_ns: 3_000 })),
        ("sync", Advice, |p| p.sync = Some(SyncCost { p50_ns: 9_000_000, p99_ns: 20_000_000, max_ns: 30_000_000 })),
        ("sync", Bad, |p| p.sync = None),
        ("room", Advice, |p| p.free_bytes = Some(1 << 30)),
    ];
    for (check, verdict, break_it) in probes {
        let (root, mut probed, places) = good();
        break_it(&mut probed);
        let wrong: Vec<_> =
            found(root.path(), &probed, &places).into_iter().filter(|(_, v)| *v != Verdict::Good).collect();
        assert_eq!(wrong, [(check, verdict)], "{probed:?}");
    }
}

/// A ring that is refused is worse where little memory may be locked, and the script says what can be said in commands.
#[test]
fn the_script_holds_commands_and_reasons() {
    let (root, mut probed, places) = good();
    probed.ring = Err("Operation not permitted".into());
    probed.memlock_bytes = 64 << 10;
    put(root.path(), "proc/sys/kernel/io_uring_disabled", "2\n");
    put(root.path(), "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n");
    let findings = findings(&Tree::below(root.path()), &probed, &places);
    let report = Report { machine: Machine::here(), findings };
    assert_eq!(report.worst(), Verdict::Advice);
    let script = fix_script(&report);
    assert!(script.contains("\nsysctl -w kernel.io_uring_disabled=0\n"), "{script}");
    assert!(
        script.contains("\necho performance > /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor\n"),
        "{script}"
    );
    assert!(script.contains("# By hand: LimitMEMLOCK=infinity"), "{script}");
}

#[test]
fn a_machine_that_tells_nothing_is_not_judged_by_it() {
    let root = tempfile::tempdir().expect("a directory");
    let (_, probed, places) = good();
    let bad: Vec<_> = found(root.path(), &probed, &places).into_iter().filter(|(_, v)| *v == Verdict::Bad).collect();
    assert_eq!(bad, []);
}

#[test]
fn lists_are_read() {
    for (text, want) in
        [("0-3,8", vec![0, 1, 2, 3, 8]), ("", vec![]), ("(null)", vec![]), ("5", vec![5]), ("3-1", vec![])]
    {
        assert_eq!(parse_list(text), want, "{text}");
    }
    assert_eq!(parse_list("0-18446744073709551615").len(), 65_536);
}

/// This machine, whatever it is: nothing is left behind, and everything is said.
#[test]
fn here_it_measures_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let places = Places { data_dir: dir.path().join("not/made/yet"), tail_dir: dir.path().into(), shard_core: None };
    let report = examine(&places);
    let sync = report.findings.iter().find(|finding| finding.check == "sync").expect("the check");
    assert!(sync.found.contains("p50"), "{sync:?}");
    assert!(report.findings.iter().all(|finding| !finding.found.is_empty() && !finding.why.is_empty()));
    let advised = report.findings.iter().filter(|finding| finding.verdict >= Verdict::Advice);
    assert!(advised.clone().all(|finding| !finding.change.is_empty()), "{:?}", advised.collect::<Vec<_>>());
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 0);
}
