//! The system call filter of a guest process. Owns the list of what a guest may ask of Linux; must
//! never allow a call that opens, maps, signals or executes anything.
//!
//! | call | arguments allowed | for |
//! |---|---|---|
//! | read | descriptor 0; the answer pipe | READ; the fault handler |
//! | write, writev | descriptors 1, 2, exports; the notice pipe | WRITE; the fault handler |
//! | read, readv, write, writev | the link to the network, where there is one | frames |
//! | mprotect | guest memory, no access, reading, or both | PROTECT |
//! | madvise | guest memory, DONTNEED | GIVE_BACK |
//! | ppoll | at most 2 entries, no signal mask | WAIT |
//! | clock_nanosleep, restart_syscall | any | WAIT |
//! | exit_group | any | EXIT |
//! | rt_sigreturn | any | leaving the fault handler into the rescue entry |
//! | arch_prctl | ARCH_SET_FS, where `wrfsbase` faults | the thread pointer |
//!
//! `ppoll` tells whether a descriptor is ready, and nothing else: which ones it names is left open.
//!
//! All else raises SIGSYS, which ends in a crash report.

use super::{ANSWER, NET, NOTICE};
use crate::MonitorError;
use crate::layout::Layout;
use bespoke_abi::hypercall::EXPORT_DESCRIPTOR;
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op};
use seccompiler::{SeccompCondition, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;

const ARCH_SET_FS: u64 = 0x1002;
/// The network and the console.
const MAX_POLLED: u64 = 2;

type Failure = seccompiler::BackendError;

fn is(argument: u8, value: u64) -> Result<SeccompCondition, Failure> {
    SeccompCondition::new(argument, Len::Qword, Op::Eq, value)
}

/// Compiles the filter for a guest with `exports` exports, and the link to a network if `has_net`.
pub(super) fn compile(
    layout: &Layout,
    exports: usize,
    has_net: bool,
    no_fsgsbase: bool,
) -> Result<BpfProgram, MonitorError> {
    build(layout, exports as u64, has_net, no_fsgsbase).map_err(|error| MonitorError::Host {
        step: "compile the system call filter",
        source: std::io::Error::other(error.to_string()),
    })
}

fn build(
    layout: &Layout,
    exports: u64,
    has_net: bool,
    no_fsgsbase: bool,
) -> Result<BpfProgram, Failure> {
    let descriptor =
        |number: u64| SeccompRule::new(vec![SeccompCondition::new(0, Len::Dword, Op::Eq, number)?]);
    let export_numbers = EXPORT_DESCRIPTOR..EXPORT_DESCRIPTOR + exports;
    let outputs = [1, 2].into_iter().chain(export_numbers);
    let writes = outputs.map(descriptor).collect::<Result<Vec<_>, _>>()?;
    let memory = |last: SeccompCondition| {
        SeccompRule::new(vec![
            SeccompCondition::new(0, Len::Qword, Op::Ge, layout.all.start)?,
            SeccompCondition::new(0, Len::Qword, Op::Lt, layout.all.end)?,
            SeccompCondition::new(1, Len::Qword, Op::Le, layout.all.end - layout.all.start)?,
            last,
        ])
    };
    let read_write = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let mut rules = BTreeMap::from([
        (
            libc::SYS_read,
            vec![descriptor(0)?, descriptor(ANSWER as u64)?],
        ),
        (
            libc::SYS_write,
            writes
                .iter()
                .cloned()
                .chain([descriptor(NOTICE as u64)?])
                .collect(),
        ),
        (libc::SYS_writev, writes),
        (
            libc::SYS_mprotect,
            vec![
                memory(is(2, libc::PROT_NONE as u64)?)?,
                memory(is(2, libc::PROT_READ as u64)?)?,
                memory(is(2, read_write)?)?,
            ],
        ),
        (
            libc::SYS_madvise,
            vec![memory(is(2, libc::MADV_DONTNEED as u64)?)?],
        ),
        (
            libc::SYS_ppoll,
            vec![SeccompRule::new(vec![
                SeccompCondition::new(1, Len::Qword, Op::Le, MAX_POLLED)?,
                is(3, 0)?,
            ])?],
        ),
        (libc::SYS_clock_nanosleep, vec![]),
        (libc::SYS_restart_syscall, vec![]),
        (libc::SYS_exit_group, vec![]),
        (libc::SYS_rt_sigreturn, vec![]),
    ]);
    if has_net {
        for call in [
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_write,
            libc::SYS_writev,
        ] {
            rules.entry(call).or_default().push(descriptor(NET as u64)?);
        }
    }
    if no_fsgsbase {
        rules.insert(
            libc::SYS_arch_prctl,
            vec![SeccompRule::new(vec![is(0, ARCH_SET_FS)?])?],
        );
    }
    SeccompFilter::new(
        rules,
        SeccompAction::Trap,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?
    .try_into()
}
