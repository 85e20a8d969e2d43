//! The end of an image in which no thread can ever run again: who waits for what, and where.
//! Owns nothing; must never allocate.

use super::SCHEDULER;
use crate::report;

/// Names every thread and what it waits for, and ends the image.
#[cold]
pub fn report() -> ! {
    let count = super::count();
    report::console(format_args!(
        "bespoke: deadlock: {count} thread{} and nothing that could wake any",
        if count == 1 { " waits" } else { "s wait" }
    ));
    SCHEDULER.with(|scheduler| {
        for id in scheduler.table.living() {
            let thread = scheduler.table.get(id);
            let name = thread.name.split(|&byte| byte == 0).next().unwrap_or(b"");
            let name = core::str::from_utf8(name).unwrap_or("?");
            report::console(format_args!(
                "bespoke: thread {}{}{name}{} waits for {}",
                thread.tid,
                if name.is_empty() { "" } else { " (" },
                if name.is_empty() { "" } else { ")" },
                thread.reason,
            ));
        }
    });
    report::deadlock(count)
}
