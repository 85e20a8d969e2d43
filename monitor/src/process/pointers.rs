//! The filter of pointers: a call whose pointer leads neither into the image nor to the resident pages fails with
//! `EFAULT`, as if nothing were mapped there. Must never refuse a call that [`super::filter`] allows with a good
//! pointer, and allows nothing itself: both filters are asked, and the stricter answer counts.
//!
//! Nothing else is mapped in a guest process, so this is a second wall. What lies behind the pointers
//! of `iovec`s a filter cannot see.

use super::resident;
use crate::MonitorError;
use crate::layout::Layout;
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op};
use seccompiler::{SeccompCondition, SeccompFilter, SeccompRule, TargetArch};
use std::ops::Range;

/// Calls, and which of their arguments are pointers.
const POINTERS: [(i64, &[u8]); 6] = [
    (libc::SYS_read, &[1]),
    (libc::SYS_write, &[1]),
    (libc::SYS_readv, &[1]),
    (libc::SYS_writev, &[1]),
    (libc::SYS_ppoll, &[0, 2]),
    (libc::SYS_clock_nanosleep, &[2, 3]),
];

/// Compiles the filter for a guest of this layout.
pub(super) fn compile(layout: &Layout) -> Result<BpfProgram, MonitorError> {
    build(resident::START..layout.all.end).map_err(|error| MonitorError::Host {
        step: "compile the filter of pointers",
        source: std::io::Error::other(error.to_string()),
    })
}

fn build(own: Range<u64>) -> Result<BpfProgram, seccompiler::BackendError> {
    let is = |argument, op, value| SeccompCondition::new(argument, Len::Qword, op, value);
    let bad = |&argument: &u8| {
        // Null is no pointer: a call that needs one says so itself.
        let below = vec![is(argument, Op::Ne, 0)?, is(argument, Op::Lt, own.start)?];
        let above = vec![is(argument, Op::Ge, own.end)?];
        Ok([SeccompRule::new(below)?, SeccompRule::new(above)?])
    };
    let rules = POINTERS.map(|(call, arguments)| {
        let pairs = arguments.iter().map(bad).collect::<Result<Vec<_>, _>>()?;
        Ok((call, pairs.into_iter().flatten().collect()))
    });
    let rules = rules.into_iter().collect::<Result<_, _>>()?;
    let refuse = SeccompAction::Errno(libc::EFAULT as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::x86_64)?.try_into()
}
