//! What the machine must grant before anything starts: descriptors, locked memory, io_uring. What is missing is said with what to change.

use std::io;

use io_uring::IoUring;

use super::ring;

/// An executor of glommio refuses to start below this, per thread.
const MEMLOCK_PER_CORE: u64 = 512 << 10;
/// Fewer descriptors than this make no pooler.
const FILES_MIN: u64 = 256;

/// Raises the soft limit of open files to the hard one; returns what there is.
pub fn open_files() -> Result<u64, String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(format!("the limit of open files cannot be read: {}", io::Error::last_os_error()));
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: reads `limit` only. A refusal leaves the soft limit as it was, which is checked below.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        // SAFETY: as above.
        unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    }
    if limit.rlim_cur < FILES_MIN {
        return Err(format!(
            "only {} open files are allowed and pg_dog needs at least {FILES_MIN}: raise the hard limit (`ulimit -Hn`, systemd LimitNOFILE=)",
            limit.rlim_cur
        ));
    }
    Ok(limit.rlim_cur)
}

/// Locked memory for `threads` executors.
pub fn locked_memory(threads: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit to write to.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: reads `limit` only; a refusal shows below.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
    }
    if limit.rlim_cur < MEMLOCK_PER_CORE {
        return Err(format!(
            "only {} KiB of memory may be locked and each of the {threads} executors needs {} KiB: raise the limit \
             (`ulimit -l`, systemd LimitMEMLOCK=infinity)",
            limit.rlim_cur >> 10,
            MEMLOCK_PER_CORE >> 10
        ));
    }
    Ok(())
}

/// Bytes of memory that this process may use: the machine's, or its control group's if that has less.
pub fn memory() -> u64 {
    // SAFETY: takes no memory of ours.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let machine = u64::try_from(pages).unwrap_or(0).saturating_mul(u64::try_from(size).unwrap_or(0));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    // A machine that does not say how much it has is not limited here.
    let machine = if machine == 0 { u64::MAX } else { machine };
    group.unwrap_or(u64::MAX).min(machine)
}

/// Whether io_uring works here, with the flags that data cores use.
pub fn io_uring() -> Result<(), String> {
    let made = IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_submit_all().build(8);
    let made: io::Result<IoUring> = made;
    made.map(drop).map_err(|error| ring::explain(&error))
}

/// Registers for membarrier before there are threads: done later, as glommio would, it makes the first sleep of the process 30 to 80 ms long.
pub fn membarrier() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_long = 16;
    // SAFETY: takes no memory of ours. A kernel without it costs that first sleep, no more.
    unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) };
}
