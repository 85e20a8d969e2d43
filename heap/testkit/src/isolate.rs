//! Runs a test body in a forked child, so that a crash, a hang or corrupted global state of one
//! case cannot hide or harm another.
//! The child reports its progress on a shared page.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Longest message that reaches the parent, in bytes.
const MESSAGE_BYTES: usize = 4000;
/// Time after which a case counts as hung, in seconds.
const TIMEOUT_SECONDS: u32 = 120;
/// Most numbers a child can return.
pub const VALUES: usize = 4;
/// Exit code of a child that panicked.
const PANICKED: i32 = 101;

/// Shared between parent and child.
#[repr(C)]
struct Report {
    step: AtomicU64,
    values: [AtomicU64; VALUES],
    message_bytes: AtomicUsize,
    message: [Cell<u8>; MESSAGE_BYTES],
}

/// The report of this process, if it is a child.
static REPORT: AtomicPtr<Report> = AtomicPtr::new(std::ptr::null_mut());

/// Why a body did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step it was at.
    pub step: u64,
    /// What was wrong.
    pub message: String,
}

/// Records the progress of the script, for the report.
pub fn at_step(step: u64) {
    let report = REPORT.load(SeqCst);
    if !report.is_null() {
        // SAFETY: set once in the child to a mapping that stays.
        unsafe { (*report).step.store(step, SeqCst) };
    }
}

/// Runs `body` in a child; `Err` when it panicked, crashed or hung.
///
/// # Errors
///
/// [`Failure`] says which, with the panic's message or the signal's name.
pub fn in_child(body: impl FnOnce()) -> Result<(), Failure> {
    values_from_child(|| {
        body();
        [0; VALUES]
    })
    .map(|_| ())
}

/// Like [`in_child`], for a body that returns values.
///
/// # Errors
///
/// As for [`in_child`].
pub fn values_from_child(body: impl FnOnce() -> [u64; VALUES]) -> Result<[u64; VALUES], Failure> {
    install_hook();
    let report = map_report();
    // SAFETY: the child runs `body` and leaves by `_exit`; it takes no lock that a thread of the
    // parent may have held, except malloc's, which the C library resets after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        REPORT.store(report, SeqCst);
        // SAFETY: `alarm` and `_exit` have no preconditions.
        unsafe { libc::alarm(TIMEOUT_SECONDS) };
        for (index, value) in body().into_iter().enumerate() {
            // SAFETY: mapped, and the parent reads when the child is gone.
            unsafe { (*report).values[index].store(value, SeqCst) };
        }
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    let status = wait_for(child);
    // SAFETY: as below.
    let values = unsafe { std::array::from_fn(|index| (*report).values[index].load(SeqCst)) };
    // SAFETY: the child is gone; the mapping is ours alone.
    let (step, message) = unsafe { ((*report).step.load(SeqCst), read_message(&*report)) };
    // SAFETY: mapped by `map_report`, not used below.
    unsafe { libc::munmap(report.cast(), size_of::<Report>()) };
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        return Ok(values);
    }
    Err(Failure {
        step,
        message: message.unwrap_or_else(|| describe(status)),
    })
}

fn map_report() -> *mut Report {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let report = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<Report>(),
            protection,
            flags,
            -1,
            0,
        )
    };
    assert_ne!(
        report,
        libc::MAP_FAILED,
        "mmap: {}",
        std::io::Error::last_os_error()
    );
    report.cast()
}

fn wait_for(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `child` is our child and `status` a place for its status.
    while unsafe { libc::waitpid(child, &mut status, 0) } != child {
        let error = std::io::Error::last_os_error();
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::Interrupted,
            "waitpid: {error}"
        );
    }
    status
}

fn describe(status: i32) -> String {
    if libc::WIFEXITED(status) {
        return format!("the child exited with {}", libc::WEXITSTATUS(status));
    }
    match libc::WTERMSIG(status) {
        libc::SIGALRM => format!("hangs: not done after {TIMEOUT_SECONDS} s"),
        libc::SIGSEGV => "crashed: SIGSEGV".into(),
        libc::SIGBUS => "crashed: SIGBUS".into(),
        libc::SIGABRT => "crashed: SIGABRT".into(),
        libc::SIGILL => "crashed: SIGILL".into(),
        signal => format!("crashed: signal {signal}"),
    }
}

fn read_message(report: &Report) -> Option<String> {
    let bytes: Vec<u8> = report.message[..report.message_bytes.load(SeqCst)]
        .iter()
        .map(Cell::get)
        .collect();
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// In a child, a panic writes its message to the report and ends the process there: no
/// unwinding through a heap's C code, no lock of the parent's output streams.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let report = REPORT.load(SeqCst);
            if report.is_null() {
                return previous(panic);
            }
            let payload = panic.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text
                .or(payload.downcast_ref::<&str>().copied())
                .unwrap_or("panic without a message");
            let place = panic.location().map_or(String::new(), |at| {
                format!(" [{}:{}]", at.file(), at.line())
            });
            let message = format!("{text}{place}");
            let length = message.len().min(MESSAGE_BYTES);
            // SAFETY: set once in the child to a mapping that stays; only this thread writes.
            let report = unsafe { &*report };
            for (cell, byte) in report.message.iter().zip(&message.as_bytes()[..length]) {
                cell.set(*byte);
            }
            report.message_bytes.store(length, SeqCst);
            // SAFETY: no preconditions.
            unsafe { libc::_exit(PANICKED) };
        }));
    });
}
