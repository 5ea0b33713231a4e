//! A short time slice for the writer's thread. The thread sleeps in fsync most of the time, and all requests wait for it: on a machine
//! whose cores are all busy, a thread with the usual slice runs again only at the scheduler's next tick, up to four milliseconds after
//! the disk is done. Linux lets a thread ask for a shorter slice (since 6.12), which runs sooner and gets no more time in all.

/// A tenth of a millisecond: the shortest that Linux grants.
#[cfg(target_os = "linux")]
const TIMESLICE_NS: u64 = 100_000;

/// Asks for the calling thread. Nothing changes where the kernel refuses or does not know the request.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the C library has no function for these two calls")]
pub(super) fn request_short_timeslice() {
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: all fields are integers.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes, which is the size of `attributes`. 0 is the calling thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    // Another policy was set on purpose.
    if got != 0 || attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return;
    }
    attributes.size = size;
    attributes.sched_runtime = TIMESLICE_NS;
    // SAFETY: the kernel reads `size` bytes of `attributes`.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    tracing::debug!("the prediction log's thread asked for a short time slice: {}", set == 0);
}

/// Other systems have no such request.
#[cfg(not(target_os = "linux"))]
pub(super) fn request_short_timeslice() {}
