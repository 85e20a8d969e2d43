//! Calls that have to wait: lets other threads run and makes the call again.
//!
//! The file system never waits; it answers `RESTART` and remembers what for
//! (`files::objects::Attempt`). Waiting happens here, where nothing is borrowed.
//! Owns nothing; must never be on the path of a call that succeeds at once.

use super::{Arguments, errno};
use crate::files::Errno;
use crate::filesystem;
use crate::signals::{self, Delivery};
use crate::threads::{self, Cause};
use linux_raw_sys::general::{SIGPIPE, SIGXFSZ};

/// The answer of a call that has to wait.
pub const RESTART: isize = Errno::RESTART.answer();
const PIPE_SIGNAL: isize = Errno::PIPE_SIGNAL.answer();
const SIZE_SIGNAL: isize = Errno::SIZE_SIGNAL.answer();

/// What the program gets for a call that answered the negative `answer`.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`], for the call that answered so.
#[cold]
pub unsafe fn settle(number: usize, arguments: Arguments, answer: isize) -> isize {
    let answer = match answer {
        // SAFETY: the caller's promise.
        RESTART => unsafe { wait(number, arguments) },
        other => other,
    };
    if answer == PIPE_SIGNAL {
        signals::raise(SIGPIPE);
        return errno::EPIPE;
    }
    if answer == SIZE_SIGNAL {
        signals::raise(SIGXFSZ);
        return errno::EFBIG;
    }
    answer
}

unsafe fn wait(number: usize, arguments: Arguments) -> isize {
    loop {
        let mut attempt = filesystem::with(|root| root.take_attempt());
        let cause = threads::park(attempt.reason, attempt.deadline_ns, true);
        filesystem::with(|root| root.end_wait(&mut attempt));
        match cause {
            Cause::Woken => {}
            Cause::Expired => attempt.expired = true,
            Cause::Interrupted => {
                let delivery = signals::deliver_pending();
                // Messages that are through count, not the bytes of the one under way.
                let done = match attempt.messages {
                    0 => attempt.done,
                    messages => messages,
                };
                let ends = match delivery {
                    Delivery::Nothing => false,
                    Delivery::Restart => !attempt.restarts || done > 0,
                    Delivery::Interrupt => true,
                };
                if ends && done > 0 {
                    return done as isize;
                }
                if ends {
                    filesystem::with(|root| root.abandon(&mut attempt));
                    let deadline_ns = attempt.deadline_ns;
                    // SAFETY: the caller's promise.
                    filesystem::with(|root| unsafe {
                        root.interrupted(number, arguments, deadline_ns)
                    });
                    return errno::EINTR;
                }
            }
        }
        // SAFETY: the caller's promise: the same call.
        let answer = unsafe { filesystem::call_again(number, arguments, attempt) };
        if answer != RESTART {
            return answer;
        }
    }
}
