//! The end of an image in which no thread can ever run again: who waits for what, and where.
//! Owns nothing; must never allocate. The monitor adds the call frames of each thread.

use super::SCHEDULER;
use crate::report;
use bespoke_abi::hypercall::{Deadlock, DeadlockedThread, MAX_DEADLOCKED};

/// Names the threads and what they wait for, and ends the image.
#[cold]
pub fn report() -> ! {
    const NOBODY: DeadlockedThread = DeadlockedThread {
        context: 0,
        text_bytes: 0,
        text: [0; 112],
    };
    let mut deadlock = Deadlock {
        count: 0,
        threads: [NOBODY; MAX_DEADLOCKED],
    };
    SCHEDULER.with(|scheduler| {
        deadlock.count = scheduler.table.used() as u64;
        let named = scheduler.table.living().zip(&mut deadlock.threads);
        for (id, entry) in named {
            let thread = scheduler.table.get(id);
            if id != scheduler.current {
                entry.context = thread.stack_pointer as u64;
            }
            let name = thread.name.split(|&byte| byte == 0).next().unwrap_or(b"");
            let name = core::str::from_utf8(name).unwrap_or("?");
            let (open, close) = if name.is_empty() {
                ("", "")
            } else {
                (" (", ")")
            };
            let used = report::write_text(
                &mut entry.text,
                format_args!(
                    "thread {}{open}{name}{close} waits for {}",
                    thread.tid, thread.reason
                ),
            );
            entry.text_bytes = used as u64;
        }
    });
    report::deadlock(&deadlock)
}
