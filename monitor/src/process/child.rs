//! The child's path from the fork to the image's first instruction. It never returns to
//! the caller's code, whatever fails.

use super::bpf::Instruction;
use super::control::STEPS;
use super::script::Script;
use super::{ANSWER, NET, NOTICE, Plan, Shared, handler, leave, resident};
use crate::boot::Machine;
use crate::clock;
use crate::image::Access;
use crate::layout::Layout;
use crate::memory::{self, Mapping, PAGE_BYTES};
use crate::net::Link;
use crate::{MonitorError, Prepared};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::hypercall::EXPORT_DESCRIPTOR;
use bespoke_abi::note::TAKES_SIGNALS;
use bespoke_abi::stats::BootPoint;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;

/// A step of [`super::control::STEPS`], by its index, and the system's error.
type Failed = (u32, io::Error);

const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
/// Data of a child besides its memory and the mappings behind it.
const FAR_SPARE_BYTES: u64 = 4 << 20;
/// Exit code of a child that did not reach the image.
pub(super) const NOT_STARTED: i32 = 125;

fn check(step: u32, result: i32) -> Result<(), Failed> {
    if result == 0 {
        Ok(())
    } else {
        Err((step, io::Error::last_os_error()))
    }
}

/// Turns this process into the guest.
pub(super) fn become_guest(plan: &Plan) -> ! {
    let control = plan.resident.control();
    let Err((step, error)) = prepare(plan).map(|never| match never {});
    control
        .errno
        .store(error.raw_os_error().unwrap_or(libc::EIO) as u32, SeqCst);
    control.failed_step.store(step + 1, SeqCst);
    // SAFETY: ends the child without running the caller's exit code.
    unsafe { libc::_exit(NOT_STARTED) }
}

fn prepare(plan: &Plan) -> Result<std::convert::Infallible, Failed> {
    // SAFETY: plain system calls on this process.
    unsafe {
        check(0, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if libc::getppid() != plan.parent {
            return Err((0, io::Error::from_raw_os_error(libc::ESRCH)));
        }
    }
    let note = &plan.prepared.image.note;
    if note.flags & TAKES_SIGNALS != 0 {
        handler::leave_signals().map_err(|error| (6, error))?;
    }
    let base = map(plan).map_err(|error| (2, error))?;
    for segment in &plan.prepared.image.segments {
        // SAFETY: just mapped, and the layout holds every segment.
        let loaded = unsafe {
            plan.prepared
                .image
                .load(segment, segment.address as *mut u8)
        };
        loaded.map_err(|error| (3, io::Error::other(error.to_string())))?;
    }
    map_packet_ring(plan).map_err(|error| (9, error))?;
    // Also closes the image.
    descriptors(plan).map_err(|error| (1, error))?;
    // SAFETY: `base` is the zeroed memory of this layout, and nothing runs in it yet.
    unsafe {
        plan.prepared
            .boot
            .write(plan.prepared.config, &plan.layout, &plan.machine, base)
    };
    copy_stats(plan);
    plan.stats
        .page()
        .stamp(BootPoint::MachineReady, clock::tsc());
    plan.resident.enter().map_err(|error| (8, error))
}

/// Prepares the child's last calls, in the resident code: rights,
/// handlers, and unmapping the monitor.
pub(super) fn last_calls(
    prepared: &Prepared,
    layout: &Layout,
    machine: &Machine,
    shared: &Shared,
    filter: &[Instruction],
) -> Result<Script, MonitorError> {
    let image = &prepared.image;
    let mut script = Script::new(resident::script_at());
    let mut protect = |step, range: Range<u64>, rights: i32| {
        let arguments = [range.start, range.end - range.start, rights as u64];
        script.call(step, libc::SYS_mprotect, arguments);
    };
    for segment in &image.segments {
        let rights = match segment.access {
            Access::Read => libc::PROT_READ,
            Access::Execute => libc::PROT_READ | libc::PROT_EXEC,
            Access::Write => continue,
        };
        protect(4, segment.pages.clone(), rights);
    }
    for closed in layout.closed(&image.segments) {
        protect(4, closed, libc::PROT_NONE);
    }
    for (pages, rights) in resident::PROTECTIONS {
        protect(4, pages, rights);
    }
    // The pages shared with the parent are mapped over the image's own.
    let mut share = |memory: &Mapping, address: u64| {
        let bytes = memory.bytes() as u64;
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        let arguments = [memory.at(0) as u64, bytes, bytes, flags, address];
        script.call(5, libc::SYS_mremap, arguments);
    };
    share(&shared.stats, image.note.stats);
    if let (Some(ring), Some(address)) = (&shared.ring, image.trace_ring) {
        share(ring, address);
    }
    handler::install(&mut script, 6);
    let mut kept = leave::sealed().map_err(|source| MonitorError::Host {
        step: STEPS[10],
        source,
    })?;
    kept.extend([resident::PAGES, layout.all.clone(), packet_ring(machine)]);
    script.unmap_all_but(10, kept);
    for segment in [ARCH_SET_FS, ARCH_SET_GS] {
        script.call(11, libc::SYS_arch_prctl, [segment, 0]);
    }
    // Mappings behind the image's memory use up memory that the image then leaves unused.
    let most = 2 * (layout.all.end - layout.all.start) + FAR_SPARE_BYTES;
    let most = most.min(hard_limit(libc::RLIMIT_DATA));
    let limit = script.data([most, most]);
    script.call(
        7,
        libc::SYS_setrlimit,
        [u64::from(libc::RLIMIT_DATA), limit],
    );
    let no_privileges = [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0];
    script.call(7, libc::SYS_prctl, no_privileges);
    // SAFETY: an instruction is eight bytes of plain integers.
    let words = |&instruction: &Instruction| unsafe {
        std::mem::transmute::<Instruction, u64>(instruction)
    };
    let instructions = script.data(filter.iter().map(words));
    let program = script.data([filter.len() as u64, instructions]);
    let mode = u64::from(libc::SECCOMP_SET_MODE_FILTER);
    script.call(7, libc::SYS_seccomp, [mode, 0, program]);
    Ok(script)
}

/// Returns the hard limit of a resource of this process.
fn hard_limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: u64::MAX,
    };
    // SAFETY: fills this structure.
    unsafe { libc::getrlimit(resource, &mut limit) };
    limit.rlim_max
}

/// Moves the descriptors to their numbers and closes all others. Closing is only for tidiness: the
/// filter allows no other descriptor.
fn descriptors(plan: &Plan) -> io::Result<()> {
    let exports = plan.prepared.exports.descriptors();
    let end_of_exports = EXPORT_DESCRIPTOR as i32 + exports.len() as i32;
    let link = plan.prepared.link.as_ref().and_then(Link::descriptor);
    let wanted: Vec<(i32, i32)> = [(plan.notice, NOTICE), (plan.answer, ANSWER)]
        .into_iter()
        .chain(link.map(|link| (link, NET)))
        .chain(exports.into_iter().zip(EXPORT_DESCRIPTOR as i32..))
        .collect();
    let above = EXPORT_DESCRIPTOR as i32 + wanted.len() as i32;
    let moved = |result: i32| {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(result)
        }
    };
    let mut parked = Vec::with_capacity(wanted.len());
    for &(source, number) in &wanted {
        // SAFETY: duplicates a descriptor above all numbers wanted.
        parked.push((
            moved(unsafe { libc::fcntl(source, libc::F_DUPFD, above) })?,
            number,
        ));
    }
    for (source, number) in parked {
        // SAFETY: this child's own table.
        moved(unsafe { libc::dup2(source, number) })?;
    }
    let last_of_ours = if link.is_some() { NET } else { ANSWER };
    for (first, last) in [
        (3, NOTICE - 1),
        (last_of_ours + 1, EXPORT_DESCRIPTOR as i32 - 1),
        (end_of_exports, i32::MAX),
    ] {
        // SAFETY: this child's own table; nothing here is used again.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
    Ok(())
}

fn map(plan: &Plan) -> io::Result<*mut u8> {
    let bytes = (plan.layout.all.end - plan.layout.all.start) as usize;
    let wanted = IMAGE_BASE as *mut libc::c_void;
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: never replaces a mapping.
    let memory = unsafe {
        libc::mmap(
            wanted,
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    if memory != wanted {
        // Kernels before 4.17 treat the address as a hint.
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    for (range, huge) in plan.layout.advice(plan.prepared.image.is_huge()) {
        let bytes = (range.end - range.start) as usize;
        memory::advise(range.start as *mut u8, bytes, huge);
    }
    Ok(memory.cast())
}

/// Returns where the ring of the link lies; empty without one.
fn packet_ring(machine: &Machine) -> Range<u64> {
    let ring = &machine.ring;
    ring.address..ring.address + u64::from(ring.slots) * u64::from(ring.slot_bytes)
}

/// Maps the ring of the link, if it has one. Only the image reads
/// it, so it may write anything there.
fn map_packet_ring(plan: &Plan) -> io::Result<()> {
    let ring = packet_ring(&plan.machine);
    let link = plan.prepared.link.as_ref().and_then(Link::descriptor);
    let (Some(link), false) = (link, ring.is_empty()) else {
        return Ok(());
    };
    let wanted = ring.start as *mut libc::c_void;
    let bytes = (ring.end - ring.start) as usize;
    // SAFETY: never replaces a mapping.
    let memory = unsafe {
        libc::mmap(
            wanted,
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE,
            link,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    if memory != wanted {
        // As for the image.
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    Ok(())
}

/// Copies the image's statistics page, from its data, to the page that is mapped over it.
fn copy_stats(plan: &Plan) {
    let stats = &plan.stats;
    // The parent has already stamped its start.
    let start = stats.page().boot[BootPoint::MonitorStart as usize].get();
    let own = plan.prepared.image.note.stats as *const u8;
    // SAFETY: both are whole pages, and nothing runs in the image yet.
    unsafe { own.copy_to_nonoverlapping(plan.shared.stats.at(0), PAGE_BYTES as usize) };
    stats.page().stamp(BootPoint::MonitorStart, start);
}
