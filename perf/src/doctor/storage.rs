//! Storage: what a sync costs, and whether it can be believed.

use std::path::Path;

use super::tree::Tree;
use super::{Finding, Places, Probed, Verdict};

/// Faster than any medium that holds its bytes without power.
const TOO_FAST_NS: u64 = 8_000;
/// Slower than this, and an answer that is durable takes longer than a person waits between two keys.
const SLOW_NS: u64 = 5_000_000;
/// Room below which a host begins to make room.
const FREE_BYTES_WANTED: u64 = 20 << 30;

pub(super) fn checks(tree: &Tree, probed: &Probed, places: &Places) -> Vec<Finding> {
    let mount = Mount::of(tree, &places.data_dir);
    [
        Some(ring(tree, probed)),
        mount.as_ref().map(file_system),
        Some(direct(probed)),
        Some(cost(probed)),
        mount.as_ref().and_then(|mount| cache(tree, mount)),
        Some(room(probed)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ring(tree: &Tree, probed: &Probed) -> Finding {
    let why = "several writes of one flush go out at once; without it the log uses plain writes, one after the other";
    match &probed.ring {
        Ok(()) => Finding::new("io_uring", why, Verdict::Good, "granted"),
        Err(error) => {
            let found = Finding::new("io_uring", why, Verdict::Advice, error.clone());
            match tree.number("proc/sys/kernel/io_uring_disabled") {
                Some(1 | 2) => found.change("allow it").commands(["sysctl -w kernel.io_uring_disabled=0".to_owned()]),
                _ => found.change("a container's profile of system calls forbids it: allow io_uring_setup, io_uring_enter, io_uring_register"),
            }
        }
    }
}

/// A line of `mountinfo`.
struct Mount {
    device: String,
    kind: String,
    options: String,
    source: String,
}

impl Mount {
    /// The mount that a path lies on: the longest mount point above it, the last one where several are on top of each other.
    fn of(tree: &Tree, path: &Path) -> Option<Self> {
        let absolute = std::path::absolute(path).ok()?;
        let text = tree.text("proc/self/mountinfo")?;
        let lines = text.lines().filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let fields: Vec<&str> = before.split(' ').collect();
            let rest: Vec<&str> = after.split(' ').collect();
            let point = fields.get(4)?.replace("\\040", " ");
            let mount = Self {
                device: (*fields.get(2)?).to_owned(),
                kind: (*rest.first()?).to_owned(),
                options: format!("{},{}", fields.get(5)?, rest.get(2).unwrap_or(&"")),
                source: (*rest.get(1)?).to_owned(),
            };
            absolute.starts_with(&point).then_some((point.len(), mount))
        });
        lines.max_by_key(|(length, _)| *length).map(|(_, mount)| mount)
    }

    fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|given| given == option)
    }
}

fn file_system(mount: &Mount) -> Finding {
    let why = "the log writes whole blocks past the page cache and trusts a sync; a file system without barriers, on a network or in memory cannot keep that";
    let found = format!("{} on {}", mount.kind, mount.source);
    let is_off = mount.has("nobarrier") || mount.has("barrier=0");
    match mount.kind.as_str() {
        _ if is_off => Finding::new("file_system", why, Verdict::Bad, format!("{found}, barriers off"))
            .change("mount it with barriers: a sync does not reach the medium without"),
        "ext4" | "xfs" if mount.has("data=journal") => {
            Finding::new("file_system", why, Verdict::Advice, format!("{found}, data=journal"))
                .change("mount it without data=journal: every byte is written twice")
        }
        "ext4" | "xfs" => Finding::new("file_system", why, Verdict::Good, found),
        "tmpfs" | "ramfs" => Finding::new("file_system", why, Verdict::Bad, found)
            .change("put data.dir on a disk: what is answered as durable would be gone with the power"),
        "overlay" | "nfs" | "nfs4" | "cifs" | "fuse" | "9p" | "virtiofs" => {
            Finding::new("file_system", why, Verdict::Advice, found)
                .change("put data.dir on a local ext4 or xfs (in a container: on a volume)")
        }
        _ => Finding::new("file_system", why, Verdict::Unknown, format!("{found}: not tried by us"))
            .change("ext4 and xfs are what the log is tested on"),
    }
}

fn direct(probed: &Probed) -> Finding {
    let why = "writes past the page cache leave the memory to the book and cost no copy";
    match &probed.direct {
        Ok(()) => Finding::new("o_direct", why, Verdict::Good, "granted"),
        Err(error) => Finding::new("o_direct", why, Verdict::Advice, error.clone())
            .change("a local ext4 or xfs grants it; without, the log writes through the page cache"),
    }
}

fn cost(probed: &Probed) -> Finding {
    let why = "nobody gets a durable answer sooner than one sync; group commit shares it, it does not shorten it";
    let Some(cost) = &probed.sync else {
        return Finding::new("sync", why, Verdict::Bad, "nothing could be written and synced in the data directory")
            .change("make the data directory writable for the host's user");
    };
    let us = |ns: u64| ns as f64 / 1_000.0;
    let found = format!(
        "4 KiB and fdatasync: p50 {:.0} us, p99 {:.0} us, longest {:.0} us",
        us(cost.p50_ns),
        us(cost.p99_ns),
        us(cost.max_ns)
    );
    match cost.p50_ns {
        ..TOO_FAST_NS => Finding::new("sync", why, Verdict::Bad, found)
            .change("faster than a medium can be: find out whether this disk, or the hypervisor's cache, keeps what it promised when the power goes"),
        SLOW_NS.. => Finding::new("sync", why, Verdict::Advice, found)
            .change("take a solid-state disk with power-loss protection; or answer as applied where a sender can resend"),
        _ => Finding::new("sync", why, Verdict::Good, found),
    }
}

/// A cache in the drive that is not protected makes each sync a flush; one that is hidden makes it a lie.
fn cache(tree: &Tree, mount: &Mount) -> Option<Finding> {
    let why = "a drive that says \"write back\" is flushed by each sync; one that says \"write through\" is believed without, so it must be protected against power loss";
    let device = format!("sys/dev/block/{}", mount.device);
    // A partition's queue is its disk's.
    let queue = [format!("{device}/queue"), format!("{device}/../queue")]
        .into_iter()
        .find(|path| tree.resolved(path).is_some())?;
    let cache = tree.text(&format!("{queue}/write_cache"))?;
    let is_spinning = tree.number(&format!("{queue}/rotational")) == Some(1);
    let kind = if is_spinning { "a spinning disk, or one that says so" } else { "a solid-state disk" };
    let found = format!("{cache}; {kind}");
    match (cache.as_str(), is_spinning) {
        ("write through", _) => Some(
            Finding::new("drive_cache", why, Verdict::Advice, found)
                .change("see that the drive or controller is protected against power loss; if not: echo \"write back\" into the queue's write_cache"),
        ),
        (_, true) => Some(Finding::new("drive_cache", why, Verdict::Advice, found).change("put data.dir on a solid-state disk")),
        _ => Some(Finding::new("drive_cache", why, Verdict::Good, found)),
    }
}

fn room(probed: &Probed) -> Finding {
    let why = "when the disk runs full the host closes its doors before anything is lost, and senders are told";
    match probed.free_bytes {
        None => Finding::new("room", why, Verdict::Unknown, "the system does not say"),
        Some(free) if free >= FREE_BYTES_WANTED => Finding::new("room", why, Verdict::Good, format!("{} GiB free", free >> 30)),
        Some(free) => Finding::new("room", why, Verdict::Advice, format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64))
            .change("give it room, or an archive directory (retention.archive_dir); `lotbook wal inspect` says how long it lasts"),
    }
}
