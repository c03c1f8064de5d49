//! Memory: pages, limits, and the shared memory that the tail lies in.

use super::tree::Tree;
use super::{Finding, Places, Probed, Verdict};

const TMPFS_MAGIC: i64 = 0x0102_1994;
/// The default tails of the three logs, and as much again.
const TAIL_BYTES_WANTED: u64 = 64 << 20;
/// Sessions, segments, archives.
const FILES_WANTED: u64 = 4_096;

pub(super) fn checks(tree: &Tree, probed: &Probed, places: &Places) -> Vec<Finding> {
    [
        Some(tail(probed, places)),
        huge_pages(tree),
        swap(tree),
        overcommit(tree),
        balancing(tree),
        Some(locked(probed)),
        Some(files(probed)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn tail(probed: &Probed, places: &Places) -> Finding {
    let why = "what is answered as applied lies in the tail: on tmpfs it outlives a killed process, and no page of it is ever written back under the shard";
    let dir = places.tail_dir.display();
    match probed.tail {
        None => Finding::new("tail", why, Verdict::Bad, format!("{dir} cannot be looked at"))
            .change("make it, or set data.tail_dir to a directory on tmpfs"),
        Some((kind, _)) if kind != TMPFS_MAGIC => {
            Finding::new("tail", why, Verdict::Bad, format!("{dir} is not on tmpfs"))
                .change("set data.tail_dir to a directory on tmpfs that outlives the process, such as /dev/shm")
        }
        Some((_, free)) if free < TAIL_BYTES_WANTED => {
            Finding::new("tail", why, Verdict::Bad, format!("{dir}: {} MiB are free", free >> 20))
                .change(format!("make at least {} MiB free, or mount it larger", TAIL_BYTES_WANTED >> 20))
        }
        Some((_, free)) => Finding::new("tail", why, Verdict::Good, format!("{dir}: tmpfs, {} MiB free", free >> 20)),
    }
}

fn huge_pages(tree: &Tree) -> Option<Finding> {
    let why = "a book of a million positions touches more pages than the processor keeps in mind; large ones are fewer. `always` makes them behind everybody's back, and stalls";
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    let chosen = tree.chosen(path)?;
    let found = Finding::new(
        "huge_pages",
        why,
        if chosen == "madvise" { Verdict::Good } else { Verdict::Advice },
        chosen.clone(),
    );
    Some(match chosen.as_str() {
        "madvise" => found,
        _ => found.change("let programs ask for large pages").commands([format!("echo madvise > /{path}")]),
    })
}

fn swap(tree: &Tree) -> Option<Finding> {
    let why = "a page of the book that was swapped out is read from the disk when a trade needs it";
    let swaps = tree.text("proc/swaps")?;
    let areas = swaps.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
    if areas == 0 {
        return Some(Finding::new("swap", why, Verdict::Good, "none"));
    }
    let swappiness = tree.number("proc/sys/vm/swappiness").unwrap_or(60);
    let found = Finding::new("swap", why, Verdict::Advice, format!("{areas} areas, swappiness {swappiness}"));
    Some(
        found
            .change("switch swap off on a machine of its own, or lower swappiness")
            .commands(["sysctl -w vm.swappiness=1".to_owned()]),
    )
}

fn overcommit(tree: &Tree) -> Option<Finding> {
    let why = "a host reserves address space for its largest book at the start and touches it as it grows";
    let mode = tree.number("proc/sys/vm/overcommit_memory")?;
    if mode != 2 {
        return Some(Finding::new("overcommit", why, Verdict::Good, format!("mode {mode}")));
    }
    let found = Finding::new("overcommit", why, Verdict::Advice, "mode 2: what is reserved counts as used");
    Some(
        found
            .change("set engine.limits to the book that is wanted, or")
            .commands(["sysctl -w vm.overcommit_memory=0".to_owned()]),
    )
}

fn balancing(tree: &Tree) -> Option<Finding> {
    let why = "to find out who uses a page, the kernel takes it away for a moment; the shard then faults";
    match tree.number("proc/sys/kernel/numa_balancing")? {
        0 => Some(Finding::new("numa_balancing", why, Verdict::Good, "off")),
        _ => Some(
            Finding::new("numa_balancing", why, Verdict::Advice, "on")
                .change("switch it off")
                .commands(["sysctl -w kernel.numa_balancing=0".to_owned()]),
        ),
    }
}

fn locked(probed: &Probed) -> Finding {
    let why = "rings and pinned memory of older kernels count against it; below 64 MiB a ring can be refused, and the log falls back to plain writes";
    let bytes = probed.memlock_bytes;
    if bytes >= 64 << 20 {
        let text = if bytes == u64::MAX { "unlimited".to_owned() } else { format!("{} MiB", bytes >> 20) };
        return Finding::new("memlock", why, Verdict::Good, text);
    }
    Finding::new(
        "memlock",
        why,
        if probed.ring.is_ok() { Verdict::Good } else { Verdict::Advice },
        format!("{} KiB", bytes >> 10),
    )
    .change("LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited")
}

fn files(probed: &Probed) -> Finding {
    let why = "each session is a socket, and each segment that somebody reads is a file";
    let found = format!("{} open files", probed.files_max);
    if probed.files_max >= FILES_WANTED {
        return Finding::new("files", why, Verdict::Good, found);
    }
    Finding::new("files", why, Verdict::Advice, found)
        .change(format!("LimitNOFILE={FILES_WANTED} in the unit, or ulimit -n"))
}
