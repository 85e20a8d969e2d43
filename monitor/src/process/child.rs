//! The child's way from the fork to the image's first instruction. Owns the child; must never return
//! to the caller's code, whatever fails.

use super::control::Control;
use super::{ANSWER, NET, NOTICE, Plan, handler};
use crate::clock;
use crate::image::Access;
use crate::memory::{self, PAGE_BYTES};
use crate::net::Link;
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::hypercall::EXPORT_DESCRIPTOR;
use bespoke_abi::note::TAKES_SIGNALS;
use bespoke_abi::stats::{BootPoint, StatsPage};
use std::arch::asm;
use std::io;
use std::sync::atomic::Ordering::SeqCst;

/// A step of [`super::control::STEPS`], by its index, and what the system said.
type Failed = (u32, io::Error);

/// Exit code of a child that did not get as far as the image.
const NOT_STARTED: i32 = 125;

fn check(step: u32, result: i32) -> Result<(), Failed> {
    if result == 0 {
        Ok(())
    } else {
        Err((step, io::Error::last_os_error()))
    }
}

/// Becomes the guest.
pub(super) fn become_guest(plan: &Plan, control: &Control) -> ! {
    let Err((step, error)) = prepare(plan, control).map(|never| match never {});
    control
        .errno
        .store(error.raw_os_error().unwrap_or(libc::EIO) as u32, SeqCst);
    control.failed_step.store(step + 1, SeqCst);
    // SAFETY: ends the child without running the caller's exit code.
    unsafe { libc::_exit(NOT_STARTED) }
}

fn prepare(plan: &Plan, control: &Control) -> Result<std::convert::Infallible, Failed> {
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
    // Closes the image, too.
    descriptors(plan).map_err(|error| (1, error))?;
    // SAFETY: `base` is the zeroed memory of this layout, and nothing runs in it yet.
    unsafe {
        plan.prepared
            .boot
            .write(plan.prepared.config, &plan.layout, &plan.machine, base)
    };
    protect(plan)?;
    let stats = share_stats(plan).map_err(|error| (5, error))?;
    share_ring(plan).map_err(|error| (5, error))?;
    let has_fsgsbase = !plan.machine.no_fsgsbase;
    handler::install(control, note.rescue_entry, note.rescue_stack, has_fsgsbase)
        .map_err(|error| (6, error))?;
    stats.stamp(BootPoint::MachineReady, clock::tsc());
    seccompiler::apply_filter(&plan.filter)
        .map_err(|error| (7, io::Error::other(error.to_string())))?;
    stats.stamp(BootPoint::Enter, clock::tsc());
    // SAFETY: the entry state that the interface promises; the image brings its own stack, and
    // nothing of this frame is used again.
    unsafe {
        asm!(
            "mov rsp, {stack}", "xor ebp, ebp", "cld", "jmp {entry}",
            stack = const 0, entry = in(reg) plan.prepared.image.entry, in("rdi") plan.layout.boot.start,
            options(noreturn)
        )
    }
}

/// Moves the descriptors to their numbers and closes all others. Closing is tidiness: the filter
/// allows no other descriptor anyway.
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
        // Kernels before 4.17 take the address as a hint.
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    for (range, huge) in plan.layout.advice(plan.prepared.image.is_huge()) {
        let bytes = (range.end - range.start) as usize;
        memory::advise(range.start as *mut u8, bytes, huge);
    }
    Ok(memory.cast())
}

/// Maps the ring of the link, where it has one. Nothing but the image looks at it: it may write there what it likes.
fn map_packet_ring(plan: &Plan) -> io::Result<()> {
    let ring = &plan.machine.ring;
    let link = plan.prepared.link.as_ref().and_then(Link::descriptor);
    let (Some(link), 1..) = (link, ring.address) else {
        return Ok(());
    };
    let wanted = ring.address as *mut libc::c_void;
    let bytes = ring.slots as usize * ring.slot_bytes as usize;
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

/// Gives segments their rights and closes what is between them.
fn protect(plan: &Plan) -> Result<(), Failed> {
    for segment in &plan.prepared.image.segments {
        let rights = match segment.access {
            Access::Read => libc::PROT_READ,
            Access::Execute => libc::PROT_READ | libc::PROT_EXEC,
            Access::Write => continue,
        };
        let bytes = (segment.pages.end - segment.pages.start) as usize;
        // SAFETY: pages of the image, which nothing else uses.
        check(4, unsafe {
            libc::mprotect(segment.pages.start as *mut _, bytes, rights)
        })?;
    }
    for closed in plan.layout.closed(&plan.prepared.image.segments) {
        let bytes = (closed.end - closed.start) as usize;
        // SAFETY: a gap, which nothing uses.
        check(4, unsafe {
            libc::mprotect(closed.start as *mut _, bytes, libc::PROT_NONE)
        })?;
    }
    Ok(())
}

/// Moves the page shared with the parent over the image's statistics page, contents first.
fn share_stats(plan: &Plan) -> io::Result<&'static StatsPage> {
    let address = plan.prepared.image.note.stats as *mut u8;
    let shared = plan.stats.at(0);
    // The parent has stamped its start already.
    let start = stamp_of(shared);
    // SAFETY: both are whole pages; the image's own page is in its data and nothing runs yet. After the
    // move the page at `address` is the shared one, for ever.
    unsafe {
        shared.copy_from_nonoverlapping(address, PAGE_BYTES as usize);
        move_over(shared, PAGE_BYTES as usize, address)?;
        let page = &*address.cast::<StatsPage>();
        page.stamp(BootPoint::MonitorStart, start);
        Ok(page)
    }
}

/// Moves the ring shared with the parent, who has set it up, over the image's, which is zero.
fn share_ring(plan: &Plan) -> io::Result<()> {
    match (&plan.ring, plan.prepared.image.trace_ring) {
        // SAFETY: whole pages in the image's data (checked when it was opened), where nothing runs yet.
        (Some(shared), Some(address)) => unsafe {
            move_over(shared.at(0), shared.bytes(), address as *mut u8)
        },
        _ => Ok(()),
    }
}

/// # Safety
///
/// `address` is whole pages of the image that nothing uses yet; `shared` is not used afterwards.
unsafe fn move_over(shared: *mut u8, bytes: usize, address: *mut u8) -> io::Result<()> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the caller's promise.
    let moved = unsafe { libc::mremap(shared.cast(), bytes, bytes, flags, address) };
    if moved == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn stamp_of(shared: *mut u8) -> u64 {
    // SAFETY: the shared page is zero or stamped by the parent; a StatsPage in any case.
    unsafe { (*shared.cast::<StatsPage>()).boot[BootPoint::MonitorStart as usize].get() }
}
