//! `sigaltstack`: a stack of a thread on which those of its handlers run that ask for it (`SA_ONSTACK`).

use crate::calls::{Outcome, errno};
use crate::threads;
use linux_raw_sys::general::{MINSIGSTKSZ, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, stack_t};

/// The alternate stack of a thread; of no bytes: none.
#[derive(Clone, Copy)]
pub struct Alternate {
    start: usize,
    bytes: usize,
    /// `SS_AUTODISARM` or 0.
    flags: u32,
}

impl Alternate {
    /// No such stack.
    pub const NONE: Self = Self {
        start: 0,
        bytes: 0,
        flags: 0,
    };

    /// Whether `stack_pointer` lies on it, as Linux tells. Never for one that disarms itself.
    pub fn holds(&self, stack_pointer: usize) -> bool {
        self.flags & SS_AUTODISARM == 0
            && stack_pointer > self.start
            && stack_pointer - self.start <= self.bytes
    }

    /// Where a handler's frame begins that is to run on this stack while the stack pointer is `stack_pointer`; `None`: where
    /// it is.
    pub fn top(&self, stack_pointer: usize) -> Option<usize> {
        (self.bytes > 0 && !self.holds(stack_pointer)).then_some(self.start + self.bytes)
    }

    /// What `uc_stack` and `sigaltstack` say of it.
    pub fn words(&self, stack_pointer: usize) -> [u64; 3] {
        let state = match (self.bytes, self.holds(stack_pointer)) {
            (0, _) => SS_DISABLE,
            (_, true) => SS_ONSTACK,
            (_, false) => 0,
        };
        let flags = state | self.flags;
        [self.start as u64, flags.into(), self.bytes as u64]
    }

    /// A handler starts on it: what holds while it runs.
    pub fn entered(self) -> Self {
        match self.flags & SS_AUTODISARM {
            0 => self,
            _ => Self::NONE,
        }
    }
}

/// `sigaltstack`, called while the stack pointer is `stack_pointer`.
///
/// # Safety
///
/// Pointers are null or valid for a `stack_t`.
pub unsafe fn set(new: *const stack_t, old: *mut stack_t, stack_pointer: usize) -> Outcome {
    let before = threads::with_running(|thread| thread.alternate);
    // SAFETY: the caller's promise.
    let new = (!new.is_null()).then(|| unsafe { new.read() });
    if let Some(new) = new {
        if before.holds(stack_pointer) {
            return Err(errno::EPERM);
        }
        let (mode, flags) = (
            new.ss_flags as u32 & !SS_AUTODISARM,
            new.ss_flags as u32 & SS_AUTODISARM,
        );
        let alternate = match mode {
            SS_DISABLE => Alternate::NONE,
            0 | SS_ONSTACK if new.ss_size < MINSIGSTKSZ as _ => return Err(errno::ENOMEM),
            0 | SS_ONSTACK => Alternate {
                start: new.ss_sp as usize,
                bytes: new.ss_size as usize,
                flags,
            },
            _ => return Err(errno::EINVAL),
        };
        threads::with_running(|thread| thread.alternate = alternate);
    }
    if !old.is_null() {
        let words = before.words(stack_pointer);
        // SAFETY: the caller's promise; the flags' word holds padding besides.
        unsafe { old.cast::<[u64; 3]>().write(words) };
    }
    Ok(0)
}
