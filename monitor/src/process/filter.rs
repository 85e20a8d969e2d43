//! The system call filter of a guest process: the list of the allowed Linux calls.
//! No allowed call opens, signals or executes anything, or maps anything but empty memory.
//!
//! | call | arguments allowed | for |
//! |---|---|---|
//! | read | descriptor 0; the answer pipe | READ; the fault handler |
//! | write, writev | descriptors 1, 2, exports; the notice pipe | WRITE; the fault handler |
//! | read, readv, write, writev | the link to the network, where there is one | frames |
//! | mprotect | guest memory and behind, no access, reading, or both | PROTECT |
//! | madvise | guest memory and behind, DONTNEED | GIVE_BACK |
//! | mmap | guest memory and behind, anonymous, at that address, no execution | MAP |
//! | mremap | another mapping of shared guest memory, behind it | MAP |
//! | munmap | behind guest memory | UNMAP |
//! | ppoll | at most 2 entries, no signal mask | WAIT |
//! | clock_nanosleep, restart_syscall | any | WAIT |
//! | exit_group | any | EXIT |
//! | rt_sigreturn | any | leaving the fault handler into the rescue entry |
//! | arch_prctl | ARCH_SET_FS, where `wrfsbase` faults | the thread pointer |
//!
//! Every other call raises SIGSYS, which ends in a crash report.
//!
//! If a pointer of an allowed call leads neither into the image nor to the resident pages, the call
//! returns `EFAULT`, as if nothing were mapped there.
//! Nothing is mapped there, so this is a second barrier. A filter cannot
//! check the pointers inside an `iovec`.
//!
//! `RLIMIT_DATA` limits the memory behind guest memory ([`super::child`]).
//!
//! `ppoll` only returns whether a descriptor is ready, so its descriptors are not restricted.

use super::bpf::{Instruction, Label, Program};
use super::{ANSWER, NET, NOTICE, resident};
use crate::MonitorError;
use crate::layout::Layout;
use bespoke_abi::hypercall::{EXPORT_DESCRIPTOR, FAR_END};
use std::ops::Range;

const ARCH_SET_FS: u64 = 0x1002;
/// The network and the console.
const MAX_POLLED: u64 = 2;
const BAD_POINTER: u32 = libc::SECCOMP_RET_ERRNO | libc::EFAULT as u32;
const NONE: u64 = libc::PROT_NONE as u64;
const READ: u64 = libc::PROT_READ as u64;
const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
/// Flags for a mapping of empty memory.
const EMPTY: u64 =
    (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE) as u64;
const EMPTY_SHARED: u64 = EMPTY & !(libc::MAP_PRIVATE as u64) | libc::MAP_SHARED as u64;
const SECOND: u64 = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
const DONTNEED: u64 = libc::MADV_DONTNEED as u64;

/// A condition on a call's argument.
enum Condition {
    Is(u8, u64),
    AtMost(u8, u64),
    Within(u8, Range<u64>),
    /// The first argument is a descriptor, of which the kernel uses 32 bits.
    Descriptor(Range<u32>),
}
use Condition::{AtMost, Descriptor, Is, Within};

/// A call that is allowed if all conditions hold and, if there are alternatives, one of them.
struct Rule {
    call: i64,
    /// Arguments that are pointers, or null.
    pointers: &'static [u8],
    all: Vec<Condition>,
    one_of: Vec<Condition>,
}

/// Compiles the filter for a guest with `exports` exports, and the link to a network if `has_net`.
pub(super) fn compile(
    layout: &Layout,
    exports: usize,
    has_net: bool,
    no_fsgsbase: bool,
) -> Result<Vec<Instruction>, MonitorError> {
    let rules = rules(&layout.all, exports as u32, has_net, no_fsgsbase);
    let own = resident::PAGES.start..FAR_END;
    assemble(&rules, &own).ok_or_else(|| MonitorError::Host {
        step: "compile the system call filter",
        source: std::io::Error::other("it is too long"),
    })
}

/// Returns the rules, frequent calls first: they are checked in this order.
fn rules(memory: &Range<u64>, exports: u32, has_net: bool, no_fsgsbase: bool) -> Vec<Rule> {
    let one = |number: i32| Descriptor(number as u32..number as u32 + 1);
    let net = || has_net.then(|| one(NET)).into_iter();
    let exports = EXPORT_DESCRIPTOR as u32..EXPORT_DESCRIPTOR as u32 + exports;
    let outputs = || {
        let exports = (!exports.is_empty()).then(|| Descriptor(exports.clone()));
        net().chain([Descriptor(1..3)]).chain(exports)
    };
    let pages = |start| vec![Within(0, start..FAR_END), AtMost(1, FAR_END)];
    let rule = |call, pointers, all, one_of| Rule {
        call,
        pointers,
        all,
        one_of,
    };
    let any = |call| rule(call, &[], vec![], vec![]);
    let reads = net().chain([one(0), one(ANSWER)]).collect();
    let writes = outputs().chain([one(NOTICE)]).collect();
    let polls = vec![AtMost(1, MAX_POLLED), Is(3, 0)];
    let protections = || vec![Is(2, NONE), Is(2, READ), Is(2, READ_WRITE)];
    let mut empty = pages(memory.start);
    empty.push(AtMost(2, READ_WRITE));
    let kinds = vec![Is(3, EMPTY), Is(3, EMPTY_SHARED)];
    let second = vec![
        Within(0, memory.clone()),
        Is(1, 0),
        AtMost(2, FAR_END),
        Is(3, SECOND),
        Within(4, memory.end..FAR_END),
    ];
    let mut rules = vec![
        rule(libc::SYS_read, &[1], vec![], reads),
        rule(libc::SYS_write, &[1], vec![], writes),
        rule(libc::SYS_writev, &[1], vec![], outputs().collect()),
        rule(libc::SYS_ppoll, &[0, 2], polls, vec![]),
        rule(libc::SYS_clock_nanosleep, &[2, 3], vec![], vec![]),
        rule(
            libc::SYS_madvise,
            &[],
            pages(memory.start),
            vec![Is(2, DONTNEED)],
        ),
        rule(libc::SYS_mprotect, &[], pages(memory.start), protections()),
        rule(libc::SYS_mmap, &[], empty, kinds),
        rule(libc::SYS_mremap, &[], second, vec![]),
        rule(libc::SYS_munmap, &[], pages(memory.end), vec![]),
        any(libc::SYS_restart_syscall),
        any(libc::SYS_rt_sigreturn),
        any(libc::SYS_exit_group),
    ];
    if has_net {
        rules.push(rule(libc::SYS_readv, &[1], vec![one(NET)], vec![]));
    }
    if no_fsgsbase {
        let sets_fs = vec![Is(0, ARCH_SET_FS)];
        rules.push(rule(libc::SYS_arch_prctl, &[], sets_fs, vec![]));
    }
    rules
}

fn assemble(rules: &[Rule], own: &Range<u64>) -> Option<Vec<Instruction>> {
    let mut program = Program::default();
    let native = program.label();
    program.if_x86_64(native);
    program.answer(libc::SECCOMP_RET_TRAP);
    program.place(native);
    program.load_call();
    for rule in rules {
        let (next, bad_pointer) = (program.label(), program.label());
        let refused = program.label();
        program.unless_call(rule.call, next);
        for &pointer in rule.pointers {
            program.unless_within(pointer, own.clone(), true, bad_pointer);
        }
        for condition in &rule.all {
            demand(&mut program, condition, refused);
        }
        for condition in &rule.one_of {
            let other = program.label();
            demand(&mut program, condition, other);
            program.answer(libc::SECCOMP_RET_ALLOW);
            program.place(other);
        }
        if rule.one_of.is_empty() {
            program.answer(libc::SECCOMP_RET_ALLOW);
        }
        program.place(refused);
        program.answer(libc::SECCOMP_RET_TRAP);
        program.place(bad_pointer);
        if !rule.pointers.is_empty() {
            program.answer(BAD_POINTER);
        }
        program.place(next);
    }
    program.answer(libc::SECCOMP_RET_TRAP);
    program.finish()
}

/// Jumps if the condition does not hold.
fn demand(program: &mut Program, condition: &Condition, target: Label) {
    match condition {
        Is(argument, value) => program.unless_is(*argument, *value, target),
        AtMost(argument, most) => program.if_above(*argument, *most, target),
        Within(argument, range) => program.unless_within(*argument, range.clone(), false, target),
        Descriptor(range) if range.len() == 1 => program.unless_low_is(0, range.start, target),
        Descriptor(range) => program.unless_low_within(0, range.clone(), target),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bpf::judge;
    use super::*;

    const SMALL: Range<u64> = 0x20_0000..0x2000_0000;
    const LARGE: Range<u64> = 0x20_0000..0x5_0000_0000;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const TRAP: u32 = libc::SECCOMP_RET_TRAP;

    fn check(exports: u32, has_net: bool, cases: &[(i64, [u64; 4], u32)]) {
        for memory in [SMALL, LARGE] {
            check_in(memory, exports, has_net, cases);
        }
    }

    fn check_in(memory: Range<u64>, exports: u32, has_net: bool, cases: &[(i64, [u64; 4], u32)]) {
        let rules = rules(&memory, exports, has_net, true);
        let program = assemble(&rules, &(resident::PAGES.start..FAR_END)).expect("short enough");
        for &(call, [a, b, c, d], verdict) in cases {
            let found = judge(&program, call, [a, b, c, d, 0, 0]);
            assert_eq!(found, verdict, "call {call} of {a:#x} {b:#x} {c:#x} {d:#x}");
        }
    }

    #[test]
    fn only_the_descriptors_of_the_image_are_read_and_written() {
        let at = 0x30_0000;
        let cases = [
            (libc::SYS_read, [0, at, 1, 0], ALLOW),
            (libc::SYS_read, [1 << 32, at, 1, 0], ALLOW),
            (libc::SYS_read, [1, at, 1, 0], TRAP),
            (libc::SYS_read, [ANSWER as u64, at, 1, 0], ALLOW),
            (libc::SYS_write, [NOTICE as u64, at, 1, 0], ALLOW),
            (libc::SYS_writev, [NOTICE as u64, at, 1, 0], TRAP),
            (libc::SYS_write, [0, at, 1, 0], TRAP),
            (libc::SYS_writev, [1, at, 1, 0], ALLOW),
            (libc::SYS_writev, [2, at, 1, 0], ALLOW),
            (libc::SYS_writev, [3, at, 1, 0], TRAP),
            (libc::SYS_writev, [99, at, 1, 0], TRAP),
            (libc::SYS_writev, [100, at, 1, 0], ALLOW),
            (libc::SYS_writev, [101, at, 1, 0], ALLOW),
            (libc::SYS_writev, [102, at, 1, 0], TRAP),
            (libc::SYS_write, [u64::MAX, at, 1, 0], TRAP),
        ];
        check(2, false, &cases);
        check(2, true, &cases);
        check(0, true, &[(libc::SYS_writev, [100, at, 1, 0], TRAP)]);
        for call in [
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_write,
            libc::SYS_writev,
        ] {
            check(1, true, &[(call, [NET as u64, at, 1, 0], ALLOW)]);
            check(1, false, &[(call, [NET as u64, at, 1, 0], TRAP)]);
        }
    }

    #[test]
    fn pointers_lead_to_the_image_or_nowhere() {
        type Arguments = fn(u64) -> [u64; 4];
        const START: u64 = resident::PAGES.start;
        let calls: [(i64, Arguments); 6] = [
            (libc::SYS_read, |at| [0, at, 1, 0]),
            (libc::SYS_writev, |at| [1, at, 1, 0]),
            (libc::SYS_ppoll, |at| [at, 2, 0, 0]),
            (libc::SYS_ppoll, |at| [START, 2, at, 0]),
            (libc::SYS_clock_nanosleep, |at| [1, 0, at, 0]),
            (libc::SYS_clock_nanosleep, |at| [1, 0, START, at]),
        ];
        let high = 0x7fff_ffff_f000;
        assert_eq!(high, FAR_END);
        let addresses = [
            0,
            1,
            START - 1,
            START,
            0xffff_ffff,
            1 << 32,
            1 << 32 | 16,
            high,
            u64::MAX,
        ];
        for memory in [SMALL, LARGE] {
            let ends = [memory.end - 1, memory.end, memory.end + 1, FAR_END - 1];
            for (call, arguments) in calls {
                for at in addresses.into_iter().chain(ends) {
                    let is_good = at == 0 || (START..FAR_END).contains(&at);
                    let verdict = if is_good { ALLOW } else { BAD_POINTER };
                    let case = (call, arguments(at), verdict);
                    check_in(memory.clone(), 0, false, &[case]);
                }
            }
        }
    }

    #[test]
    fn only_memory_of_the_image_changes() {
        for memory in [SMALL, LARGE] {
            let Range { start, end } = memory;
            let all = end - start;
            let cases = [
                (libc::SYS_mprotect, [start, 4096, 0, 0], ALLOW),
                (libc::SYS_mprotect, [end - 4096, all, 3, 0], ALLOW),
                (libc::SYS_mprotect, [start, 4096, 5, 0], TRAP),
                (libc::SYS_mprotect, [start, 4096, 1 << 32, 0], TRAP),
                (libc::SYS_mprotect, [0, 4096, 0, 0], TRAP),
                (libc::SYS_mprotect, [start - 4096, 4096, 0, 0], TRAP),
                (libc::SYS_mprotect, [end, 4096, 0, 0], ALLOW),
                (libc::SYS_mprotect, [FAR_END, 4096, 0, 0], TRAP),
                (libc::SYS_mprotect, [start, u64::MAX, 0, 0], TRAP),
                (libc::SYS_madvise, [start, 4096, 4, 0], ALLOW),
                (libc::SYS_madvise, [start, 4096, 9, 0], TRAP),
                (libc::SYS_madvise, [0x7fff_0000_0000, 4096, 4, 0], ALLOW),
                (libc::SYS_madvise, [FAR_END, 4096, 4, 0], TRAP),
                (libc::SYS_mmap, [end, 4096, 3, EMPTY], ALLOW),
                (libc::SYS_mmap, [end, 4096, 7, EMPTY], TRAP),
                (libc::SYS_mmap, [end, 4096, 3, EMPTY & !0x20], TRAP),
                (libc::SYS_mmap, [end, 4096, 3, EMPTY & !0x10], TRAP),
                (libc::SYS_mmap, [end - 4096, 4096, 3, EMPTY_SHARED], ALLOW),
                (libc::SYS_mmap, [start - 4096, 4096, 3, EMPTY], TRAP),
                (libc::SYS_mremap, [start, 0, 4096, SECOND], TRAP),
                (libc::SYS_mremap, [start, 4096, 4096, SECOND], TRAP),
                (libc::SYS_mmap, [FAR_END, 4096, 3, EMPTY], TRAP),
                (libc::SYS_munmap, [end, 4096, 0, 0], ALLOW),
                (libc::SYS_munmap, [end - 4096, 8192, 0, 0], TRAP),
            ];
            check_in(start..end, 1, true, &cases);
        }
    }

    /// As compiled for a guest: the bounds are exactly those of its layout, for every size.
    #[test]
    fn the_bounds_are_those_of_the_layout() {
        for given in [16 << 20, 5 << 30] {
            let layout =
                Layout::new(&[], 64 << 10, 4096, given, false, false).expect("enough memory");
            let Range { start, end } = layout.all;
            let own = resident::PAGES.start;
            let program = compile(&layout, 2, true, false).expect("short enough");
            let last = FAR_END - 1;
            // The guest's own memory from its first page on, and what it may map behind its memory.
            for (call, argument, first) in [
                (libc::SYS_mprotect, READ, start),
                (libc::SYS_madvise, DONTNEED, start),
                (libc::SYS_mmap, READ, start),
                (libc::SYS_munmap, 0, end),
            ] {
                for (at, bytes, verdict) in [
                    (first, 1, ALLOW),
                    (first - 1, 1, TRAP),
                    (first, FAR_END, ALLOW),
                    (first, FAR_END + 1, TRAP),
                    (first, u64::MAX, TRAP),
                    (last, 1, ALLOW),
                    (FAR_END, 1, TRAP),
                    (FAR_END, 0, TRAP),
                    (0, 1, TRAP),
                    (u64::MAX, 1, TRAP),
                ] {
                    let found = judge(&program, call, [at, bytes, argument, EMPTY, 0, 0]);
                    assert_eq!(found, verdict, "call {call}: {bytes:#x} at {at:#x}");
                }
            }
            for (call, at, verdict) in [
                (libc::SYS_mmap, start - 1, TRAP),
                (libc::SYS_mmap, start, ALLOW),
                (libc::SYS_mmap, FAR_END, TRAP),
                (libc::SYS_munmap, end - 1, TRAP),
                (libc::SYS_munmap, end, ALLOW),
                (libc::SYS_munmap, FAR_END, TRAP),
            ] {
                let found = judge(&program, call, [at, 1, 3, EMPTY, 0, 0]);
                assert_eq!(found, verdict, "call {call} at {at:#x}");
            }
            for (at, verdict) in [
                (own - 1, BAD_POINTER),
                (own, ALLOW),
                (last, ALLOW),
                (FAR_END, BAD_POINTER),
            ] {
                let found = judge(&program, libc::SYS_write, [1, at, 1, 0, 0, 0]);
                assert_eq!(found, verdict, "a pointer to {at:#x}");
            }
            // Two exports, a network, and no rule for a CPU that sets its thread pointer itself.
            for (call, descriptor, verdict) in [
                (libc::SYS_write, EXPORT_DESCRIPTOR + 1, ALLOW),
                (libc::SYS_write, EXPORT_DESCRIPTOR + 2, TRAP),
                (libc::SYS_readv, NET as u64, ALLOW),
                (libc::SYS_arch_prctl, ARCH_SET_FS, TRAP),
            ] {
                let found = judge(&program, call, [descriptor, start, 1, 0, 0, 0]);
                assert_eq!(found, verdict, "call {call} of {descriptor}");
            }
        }
    }

    #[test]
    fn shared_memory_is_shown_behind_memory_alone() {
        let rules = rules(&SMALL, 0, false, false);
        let program = assemble(&rules, &(resident::PAGES.start..FAR_END)).expect("short enough");
        let Range { start, end } = SMALL;
        let asked = |old, old_bytes, flags, new| {
            judge(
                &program,
                libc::SYS_mremap,
                [old, old_bytes, 4096, flags, new, 0],
            )
        };
        assert_eq!(asked(start, 0, SECOND, end), ALLOW);
        assert_eq!(asked(start, 0, SECOND, FAR_END - 4096), ALLOW);
        assert_eq!(asked(start, 0, SECOND, FAR_END), TRAP);
        assert_eq!(asked(start, 0, SECOND, end - 4096), TRAP);
        assert_eq!(asked(start - 4096, 0, SECOND, end), TRAP);
        assert_eq!(asked(start, 4096, SECOND, end), TRAP);
        assert_eq!(
            asked(start, 0, SECOND | libc::MREMAP_DONTUNMAP as u64, end),
            TRAP
        );
    }

    #[test]
    fn other_calls_and_arguments_are_refused() {
        let at = 0x30_0000;
        let cases = [
            (libc::SYS_ppoll, [at, 3, 0, 0], TRAP),
            (libc::SYS_ppoll, [at, 1 << 40, 0, 0], TRAP),
            (libc::SYS_ppoll, [at, 2, 0, at], TRAP),
            (libc::SYS_exit_group, [0, 0, 0, 0], ALLOW),
            (libc::SYS_rt_sigreturn, [0, 0, 0, 0], ALLOW),
            (libc::SYS_restart_syscall, [0, 0, 0, 0], ALLOW),
            (libc::SYS_arch_prctl, [ARCH_SET_FS, at, 0, 0], ALLOW),
            (libc::SYS_arch_prctl, [0x1001, at, 0, 0], TRAP),
            (libc::SYS_munmap, [at, 4096, 0, 0], TRAP),
            (libc::SYS_seccomp, [1, 0, at, 0], TRAP),
            // The same number in the x32 interface.
            (0x4000_0000 | libc::SYS_exit_group, [0, 0, 0, 0], TRAP),
        ];
        check(1, true, &cases);
        for call in (0..600).filter(|call| !ALLOWED.contains(call)) {
            check(1, true, &[(call, [1, at, 1, 0], TRAP)]);
        }
    }

    const ALLOWED: [i64; 15] = [
        libc::SYS_mremap,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_ppoll,
        libc::SYS_clock_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_exit_group,
        libc::SYS_rt_sigreturn,
        libc::SYS_arch_prctl,
    ];
}
