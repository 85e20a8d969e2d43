//! The program break: a run of pages that grows in place, for programs that still use it.
//! Owns that run; must never move it.

use crate::calls::{Outcome, errno};
use crate::single::Single;
use crate::{component_pages, components};
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Run};

struct Break {
    run: Option<Run>,
    end: usize,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static BREAK: Single<Break> = unsafe { Single::new(Break { run: None, end: 0 }) };

/// Bytes below the break.
pub fn bytes() -> usize {
    BREAK.with(|state| {
        let start = state.run.map_or(state.end, |run| run.start.addr().get());
        state.end - start
    })
}

/// `brk`: returns the break after the call, which is the old one when it cannot move.
pub fn brk(wanted: usize) -> Outcome {
    let account = component_pages(components::MMAP);
    let (start, end) = BREAK.with(|state| {
        let start = state.run.map_or(state.end, |run| run.start.addr().get());
        (start, state.end)
    });
    if wanted > end && super::limits::allow((wanted - end).div_ceil(PAGE_BYTES), true).is_err() {
        return Ok(end);
    }
    if (start..end).contains(&wanted) {
        // Linux gives zeroed memory, open, when the break grows again.
        let pages_end = end.next_multiple_of(PAGE_BYTES);
        super::access::open(wanted / PAGE_BYTES * PAGE_BYTES, pages_end);
    }
    if let Some(run) = BREAK.with(|state| state.run) {
        // What it gave up before.
        let pages_end = start + run.pages * PAGE_BYTES;
        super::retired::release_in(pages_end, wanted);
    }
    let (end, given_up) = BREAK.with(|state| -> Result<_, isize> {
        let mut run = match state.run {
            Some(run) => run,
            None => {
                let run = account
                    .allocate(1, 1, Contents::Zero)
                    .ok_or(errno::ENOMEM)?;
                state.end = run.start.addr().get();
                state.run = Some(run);
                run
            }
        };
        let start = run.start.addr().get();
        if wanted < start {
            return Ok((state.end, None));
        }
        let mut given_up = None;
        let pages = (wanted - start).div_ceil(PAGE_BYTES).max(1);
        if pages > run.pages {
            // SAFETY: the run is ours alone and ends at its length.
            if !unsafe { account.extend(run, pages - run.pages, Contents::Zero) } {
                return Ok((state.end, None));
            }
        } else if wanted < state.end {
            // SAFETY: the bytes lie in the run, behind the new break.
            unsafe { (wanted as *mut u8).write_bytes(0, state.end - wanted) };
            if pages < run.pages {
                given_up = Some((start + pages * PAGE_BYTES, start + run.pages * PAGE_BYTES));
            }
        }
        run.pages = pages;
        state.run = Some(run);
        state.end = wanted;
        Ok((wanted, given_up))
    })?;
    if let Some((start, end)) = given_up {
        super::retired::retire(start, end);
    }
    Ok(end)
}
