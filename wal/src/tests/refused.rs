//! A system that refuses io_uring, `O_DIRECT` and shared memory: found out at start, said once each, and the log works.

use super::*;

/// One instruction of the system-call filter.
const fn filter(code: u32, jump_true: u8, jump_false: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
}

/// From here on this thread and its children get an error for io_uring, for opening with `O_DIRECT`, and for asking what file system a
/// path is on. False where the system allows no filter.
fn refuse_here() -> bool {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let error = |errno: i32| libc::SECCOMP_RET_ERRNO | errno as u32;
    // `struct seccomp_data`: the call's number at 0, its arguments from 16 on; the flags of `openat` are the third.
    let mut program = [
        filter(LOAD, 0, 0, 0),
        filter(EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        filter(RETURN, 0, 0, error(libc::EPERM)),
        filter(EQUAL, 0, 1, libc::SYS_statfs as u32),
        filter(RETURN, 0, 0, error(libc::ENOSYS)),
        filter(EQUAL, 0, 3, libc::SYS_openat as u32),
        filter(LOAD, 0, 0, 16 + 2 * 8),
        filter(ANY_BIT, 0, 1, libc::O_DIRECT as u32),
        filter(RETURN, 0, 0, error(libc::EINVAL)),
        filter(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the calls, which change what this thread may do and nothing else.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}

#[test]
fn what_the_system_refuses_is_found_out_and_said_once() {
    let bench = Bench::new();
    let mut config = bench.config();
    config.tail_dir = None;
    // On a thread of its own: the filter cannot be taken away again.
    let opened = std::thread::spawn({
        let config = config.clone();
        move || refuse_here().then(|| open(config).unwrap())
    });
    let Some(mut opened) = opened.join().unwrap() else {
        println!("passed over: no system-call filter can be set here");
        return;
    };
    let notes = &opened.report.notes;
    for said in ["io_uring is refused here", "O_DIRECT is refused on", "/dev/shm is not tmpfs"] {
        assert_eq!(notes.iter().filter(|n| n.contains(said)).count(), 1, "{said}: {notes:?}");
    }
    assert!(opened.log.tail_path().starts_with(bench.dir()), "without shared memory the tail lies beside the log");
    append_many(&mut opened.appender, 2_000);
    settle(&opened.log);
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 2_000);
    opened.appender.abandon();
    // A start on a system that refuses nothing goes on with it, and finds the tail where it was left.
    let opened = open(config).unwrap();
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 2_000);
    assert_eq!(opened.report.lost_from_sequence, None);
    opened.appender.close().unwrap();
}
