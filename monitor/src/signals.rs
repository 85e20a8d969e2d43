//! Forwards the host signals with which a user ends a run to an image that takes them.
//!
//! This module sets the dispositions of these signals for one run. The handler stores the signal in
//! the image's statistics page and wakes the sleeper.
//! If a terminating signal arrives again before the image took it, the monitor ends as if it had no
//! handler, and the whole run with it.
//! For an image that takes no signals, the first one ends the run.

use crate::MonitorError;
use crate::stats::StatsView;
use bespoke_abi::note::{ImageNote, TAKES_SIGNALS};
use bespoke_abi::stats::{MISSED_INTERRUPT, USER_SIGNALS};
use kvm_ioctls::VcpuFd;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering::SeqCst};

/// Returns the forwarded signals.
pub(crate) fn passed_on() -> impl Iterator<Item = libc::c_int> {
    USER_SIGNALS.into_iter().map(libc::c_int::from)
}

/// Terminating signals: the second one is for an image that does not respond. All others
/// are delivered once, as on Linux.
const INSISTENT: [libc::c_int; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// `immediate_exit` of the running CPU, if there is one. Set between a check and the
/// run that follows, it ends that run.
static RUN: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// Forwards signals until dropped.
pub(crate) struct HostSignals {
    stats: StatsView,
    wake: OwnedFd,
    previous: Vec<(libc::c_int, libc::sigaction)>,
}

impl HostSignals {
    /// Starts to forward signals to the image of this page; `None` for an image that takes none.
    pub(crate) fn pass_on(
        note: &ImageNote,
        stats: &StatsView,
    ) -> Result<Option<Self>, MonitorError> {
        if note.flags & TAKES_SIGNALS == 0 {
            return Ok(None);
        }
        // SAFETY: a new descriptor, owned from here on.
        let wake = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 {
                return Err(MonitorError::host("make an event for signals"));
            }
            OwnedFd::from_raw_fd(fd)
        };
        let mut signals = Self {
            stats: stats.clone(),
            wake,
            previous: Vec::new(),
        };
        WAKE.store(signals.wake.as_raw_fd(), SeqCst);
        WORD.store(
            (&raw const signals.stats.page().host_signals).cast_mut(),
            SeqCst,
        );
        for signal in passed_on() {
            // SAFETY: zero is a valid start; the handler has the signature of one without information.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let mut previous: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handle as *const () as usize;
                libc::sigaction(signal, std::ptr::null(), &mut previous);
                // A parent that started us with a signal ignored, as nohup does, wants it ignored.
                if previous.sa_sigaction != libc::SIG_IGN
                    && libc::sigaction(signal, &action, std::ptr::null_mut()) == 0
                {
                    signals.previous.push((signal, previous));
                }
            }
        }
        Ok(Some(signals))
    }

    /// Readable when a signal has arrived since [`HostSignals::was_woken`].
    pub(crate) fn descriptor(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// Acknowledges the wake-up: sleep again until the next signal.
    pub(crate) fn was_woken(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes into this frame; nothing there is no matter.
        unsafe { libc::read(self.wake.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// Whether the image has not taken a signal yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.stats.page().host_signals.load(SeqCst) & !MISSED_INTERRUPT != 0
    }
}

/// Makes `signal` end a run of the CPU of [`end_runs_of`], without any other effect.
pub(crate) fn end_runs_on(signal: libc::c_int) -> Result<(), MonitorError> {
    extern "C" fn end_run(_signal: libc::c_int) {
        end_this_run();
    }
    // SAFETY: zero is a valid start; the handler has the signature of one without information.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = end_run as *const () as usize;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    match result {
        0 => Ok(()),
        _ => Err(MonitorError::host(
            "handle the signal that interrupts the image",
        )),
    }
}

/// From now on every handled signal ends the run of this CPU, even one that has not begun.
pub(crate) fn end_runs_of(vcpu: &mut VcpuFd) {
    RUN.store(&raw mut vcpu.get_kvm_run().immediate_exit, SeqCst);
}

/// Called before the CPU is dropped.
pub(crate) fn end_no_runs() {
    RUN.store(std::ptr::null_mut(), SeqCst);
}

fn end_this_run() {
    let flag = RUN.load(SeqCst);
    if !flag.is_null() {
        // SAFETY: a byte of the page that KVM shares with us, mapped as long as the pointer is set.
        unsafe { flag.write_volatile(1) };
    }
}

impl Drop for HostSignals {
    fn drop(&mut self) {
        for (signal, previous) in &self.previous {
            // SAFETY: puts back what was there.
            unsafe { libc::sigaction(*signal, previous, std::ptr::null_mut()) };
        }
        WORD.store(std::ptr::null_mut(), SeqCst);
        WAKE.store(-1, SeqCst);
    }
}

extern "C" fn handle(signal: libc::c_int) {
    // SAFETY: the page is mapped as long as the pointer is set: `Drop` puts the dispositions back first.
    let Some(word) = (unsafe { WORD.load(SeqCst).as_ref() }) else {
        return;
    };
    end_this_run();
    let bit = 1u64 << (signal - 1);
    let one = 1u64;
    // SAFETY: both calls, and what follows, are allowed in handlers (signal-safety(7)).
    unsafe {
        if word.fetch_or(bit, SeqCst) & bit != 0 && INSISTENT.contains(&signal) {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        libc::write(WAKE.load(SeqCst), (&raw const one).cast(), 8);
    }
}
