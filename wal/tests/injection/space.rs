//! A full disk of 64 MiB, in a real process: no SIGBUS, a clear error, and it resumes by itself once there is room.
//!
//! The file systems are mounted in a namespace of the test's own thread, so nothing is left behind whatever happens.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;

use lotbook_wal::{HEAD_BYTES, VerifyOutcome, open_read_only};

use crate::support::victim::{Orders, Victim};
use crate::support::{Place, SEGMENT_BYTES, until};

const DISK_BYTES: u64 = 64 << 20;
/// What is made free again.
const BALLAST_BYTES: u64 = 16 << 20;
const RECORD_BYTES: usize = 30_000;
/// Two fit into a chunk, eight into a segment.
const BYTES_A_RECORD: u64 = (SEGMENT_BYTES + HEAD_BYTES as u64) / 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Memory: a store into a page that cannot be had would raise SIGBUS.
    Tmpfs,
    /// A real file system on a loop device.
    Ext4,
}

/// A file system of 64 MiB at `place/disk`, seen by this thread and what it starts. The reason when it may not be had.
fn small_disk(place: &Place, kind: Kind) -> Result<PathBuf, String> {
    let at = place.root().join("disk");
    std::fs::create_dir_all(&at).unwrap();
    let root = CString::new("/").unwrap();
    // SAFETY: plain system calls. The namespace is this thread's alone, and ends with it and with the processes it has started.
    let own = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                root.as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
    };
    if !own {
        return Err(format!("no mount namespace: {}", std::io::Error::last_os_error()));
    }
    match kind {
        Kind::Tmpfs => {
            tool("mount", &["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "none", at.to_str().unwrap()])?
        }
        Kind::Ext4 => {
            let image = place.root().join("image");
            std::fs::File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
            tool("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()])?;
            tool("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()])?;
        }
    }
    Ok(at)
}

fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn free_bytes(dir: &Path) -> u64 {
    use lotbook_wal::Disk;
    lotbook_wal::RealDisk::read_only().free_bytes(dir).unwrap()
}

/// Takes so many bytes away from the disk.
fn ballast(at: &Path, bytes: u64) -> PathBuf {
    use std::os::fd::AsRawFd;
    let path = at.join("ballast");
    let file = std::fs::File::create(&path).unwrap();
    // SAFETY: plain system call on an open descriptor.
    assert_eq!(unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) }, 0);
    path
}

/// The first start on a full disk, then a burst into what is left of it, then room.
fn fills_up_and_goes_on(kind: Kind) {
    let place = Place::on_disk();
    let at = match small_disk(&place, kind) {
        Ok(at) => at,
        Err(reason) => {
            println!("passed over: no {kind:?} of 64 MiB can be had here: {reason}");
            return;
        }
    };
    // Tail and log on the same small disk.
    let orders =
        |records| Orders { filler_bytes: RECORD_BYTES, plain: kind == Kind::Tmpfs, ..Orders::burst(&at, records) };
    let all = ballast(&at, free_bytes(&at) - 100_000);
    let (said, status) = Victim::start(&orders(1)).end();
    assert_eq!(status.code(), Some(5), "{status}: {said:?}");
    assert!(said.line("no-room").is_some(), "{said:?}");
    std::fs::remove_file(all).unwrap();

    let small = ballast(&at, BALLAST_BYTES);
    // Half of the ballast's room will be needed as well.
    let records = (free_bytes(&at) + BALLAST_BYTES / 2) / BYTES_A_RECORD;
    let mut victim = Victim::start(&orders(records));
    assert!(victim.listen(|said| said.line("full").is_some()), "{:?}", victim.said());
    assert!(victim.said().line("latched").is_none(), "{:?}", victim.said());
    let full_at = victim.said().applied;
    std::fs::remove_file(small).unwrap();
    assert!(victim.listen(|said| said.line("room").is_some()), "{:?}", victim.said());
    let (said, status) = victim.end();
    assert_eq!(status.code(), Some(0), "{status}: {said:?}");
    assert!(said.applied > full_at);
    let report = open_read_only(&at.join("log")).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.outcome, VerifyOutcome::Whole);
    // The log's own: an epoch start and a close record.
    assert_eq!(report.records, records + 2);
    println!(
        "{kind:?} of 64 MiB: refused an opening, full at {full_at} of {records} records, went on by itself, all there"
    );
    // Else its place could not be taken away; an io_uring outlives its process a little.
    until("a disk that nobody uses", || tool("umount", &[at.to_str().unwrap()]).is_ok());
}

#[test]
fn a_small_file_system_fills_up_and_goes_on() {
    fills_up_and_goes_on(Kind::Ext4);
}

#[test]
fn a_small_memory_fills_up_and_goes_on() {
    fills_up_and_goes_on(Kind::Tmpfs);
}
