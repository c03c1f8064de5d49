//! Power cuts on a real file system: ext4 on a loop device whose backing file is cloned while the log writes.
//!
//! The backing file lies on XFS, where a clone (`FICLONE`) holds the file still for its moment: the clone is what the device had been
//! given so far, no more and no less, in one instant. What only the page cache of the inner file system held is lost, as in a power cut.
//! The file system is never frozen, for that would flush it, and the image is never copied piece by piece, for that would mix moments.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use lotbook_wal::{Limit, open};

use crate::support::victim::{Orders, Victim};
use crate::support::{Place, Random, count, read_back, until};

/// Sparse: little of it is ever written. The smallest that mkfs.xfs makes is 300 MiB.
const OUTER_BYTES: u64 = 1 << 30;
const INNER_BYTES: u64 = 96 << 20;
/// More than any round comes to.
const ENDLESS: u64 = u64::MAX / 2;

fn tool(program: &str, arguments: &[&Path], options: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(options).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn sparse(path: &Path, bytes: u64) {
    std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

fn mounted(image: &Path, at: &Path) -> Result<(), String> {
    std::fs::create_dir_all(at).unwrap();
    tool("mount", &[image, at], &["-o", "loop"])
}

/// The kernel takes an io_uring apart after its process or its owner is gone, and holds the files meanwhile.
fn unmounted(at: &Path) {
    until("a file system that nobody uses", || tool("umount", &[at], &[]).is_ok());
}

/// XFS at `outer`, an image on it with ext4 inside, all in a mount namespace of this thread's own; the reason when it may not be had.
fn disks(place: &Place) -> Result<PathBuf, String> {
    let root = CString::new("/").unwrap();
    let none = std::ptr::null();
    // SAFETY: plain system calls. The namespace is this thread's alone, and ends with it and with the processes it has started.
    let own = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, root.as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
    };
    if !own {
        return Err(format!("no mount namespace: {}", std::io::Error::last_os_error()));
    }
    let (image, outer) = (place.root().join("outer.image"), place.root().join("outer"));
    sparse(&image, OUTER_BYTES);
    tool("mkfs.xfs", &[&image], &["-q", "-m", "reflink=1"])?;
    mounted(&image, &outer)?;
    let inner = outer.join("inner.image");
    sparse(&inner, INNER_BYTES);
    tool("mkfs.ext4", &[&inner], &["-q", "-F"])?;
    Ok(inner)
}

fn cloned(from: &Path, to: &Path) {
    let (source, target) = (std::fs::File::open(from).unwrap(), std::fs::File::create(to).unwrap());
    // SAFETY: plain system call on open descriptors.
    let code = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE, source.as_raw_fd()) };
    assert_eq!(code, 0, "FICLONE: {}", std::io::Error::last_os_error());
}

#[test]
fn no_record_answered_as_durable_is_lost_to_a_power_cut_of_a_real_file_system() {
    let place = Place::on_disk();
    let inner = match disks(&place) {
        Ok(inner) => inner,
        Err(reason) => {
            println!("passed over: no ext4 on XFS on loop devices can be had here: {reason}");
            return;
        }
    };
    let seeded = Random::seeded("power cuts of ext4", 61);
    let rounds = count(4, 200) as u64;
    let (live, cut) = (place.root().join("live"), place.root().join("cut"));
    let blank = inner.with_file_name("blank.image");
    cloned(&inner, &blank);
    let (mut rows, mut promised, mut beyond) = (BTreeMap::new(), 0, 0);
    let mut victim: Option<Victim> = None;
    for round in 0..rounds {
        let mut random = seeded.round(round);
        // A new file system every four rounds: the image is small.
        if round % 4 == 0 {
            if let Some(victim) = victim.take() {
                victim.kill();
                unmounted(&live);
            }
            cloned(&blank, &inner);
            mounted(&inner, &live).unwrap();
            let orders = Orders { plain: false, paced: round % 8 == 0, ..Orders::burst(&live, ENDLESS) };
            victim = Some(Victim::start(&orders));
        }
        let running = victim.as_mut().unwrap();
        let more = 300 + random.below(2_500);
        let mut from = None;
        let heard =
            running.listen(|said| said.opened.is_some() && said.durable >= *from.get_or_insert(said.durable) + more);
        assert!(heard, "round {round}: {:?}", running.said());
        let image = inner.with_file_name("cut.image");
        // What was heard before the cut is what the cut must keep.
        let durable = running.said().durable;
        cloned(&inner, &image);
        mounted(&image, &cut).unwrap();
        // The tail's directory went with the power.
        let _ = std::fs::remove_dir_all(cut.join("tail"));
        let config = Orders { plain: false, ..Orders::burst(&cut, 0) }.config();
        let opened = open(config).unwrap_or_else(|e| panic!("round {round}, answered up to {durable}: {e}"));
        let last = opened.report.next_sequence - 2;
        assert!(last >= durable, "round {round}: answered up to {durable}, found up to {last}: {:?}", opened.report);
        assert_eq!(opened.report.lost_from_sequence, Some(last + 1), "{:?}", opened.report);
        read_back(&opened.log, Limit::Durable);
        *rows.entry(opened.report.row).or_insert(0) += 1;
        promised += durable;
        beyond += last - durable;
        opened.appender.abandon();
        drop(opened.log);
        unmounted(&cut);
    }
    if let Some(victim) = victim {
        victim.kill();
        unmounted(&live);
    }
    // Else its place could not be taken away.
    unmounted(&place.root().join("outer"));
    println!(
        "{rounds} power cuts of ext4 in a burst: {promised} records answered as durable, all found, {beyond} more; rows {rows:?}"
    );
}
