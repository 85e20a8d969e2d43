//! The one file system of the image, its console, and what is written out at exit.
//! Owns the instance, which lives in memory of the boot component from start to end.

use crate::calls::{Arguments, errno, groups};
use crate::files::{Attempt, Errno, Files, Guest, Host, Memory, Process, Sink, Sources, Window};
use crate::platform::{self, boot_info, for_each_string};
use crate::single::Single;
use crate::threads::{self, ThreadId};
use crate::time::monotonic_ns;
use crate::{alarm, component_pages, components, memory, random, report, signals, stats, time};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::{BootInfo, Span};
use bespoke_abi::devices::{NET_NONE, NetInfo};
use bespoke_abi::export::MAX_EXPORTS;
use bespoke_abi::hypercall::{EXPORT_DESCRIPTOR, MAX_SPANS, WAIT_CONSOLE, WAIT_NET};
use core::alloc::Layout;
use core::ptr::NonNull;

/// The world outside of the file system: the monitor.
#[derive(Debug)]
pub struct Monitor;

/// The file system of an image.
pub type Root = Files<Monitor>;

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static ROOT: Single<Option<NonNull<Root>>> = unsafe { Single::new(None) };

unsafe extern "Rust" {
    safe fn bespoke_boot_allocate(layout: Layout) -> Option<NonNull<u8>>;
}

impl Host for Monitor {
    fn write(&self, descriptor: u32, spans: &[Span]) -> isize {
        platform::write(descriptor.into(), spans) as isize
    }

    fn read(&self, _descriptor: u32, buffer: &mut [u8]) -> isize {
        platform::read(buffer) as isize
    }

    fn read_ahead_bytes(&self) -> usize {
        if platform::asking_is_an_exit() {
            READ_AHEAD_BYTES
        } else {
            0
        }
    }

    fn console_is_ready(&self) -> bool {
        platform::wait(0, WAIT_CONSOLE) & WAIT_CONSOLE != 0
    }

    fn is_alone(&self) -> bool {
        // Signals and timers end waits, too, but a read of the console goes on after them.
        threads::count() == 1 && boot_info().net.kind == NET_NONE
    }

    fn now_ns(&self) -> u64 {
        time::wall_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn thread(&self) -> ThreadId {
        threads::current()
    }

    fn wake(&self, thread: ThreadId) {
        threads::wake(thread);
    }

    fn random(&self, buffer: &mut [u8]) {
        random::fill(buffer);
    }

    fn terminal(&self, descriptor: u32) -> Option<Window> {
        let info = boot_info();
        let window = Window {
            rows: info.terminal_rows,
            columns: info.terminal_columns,
        };
        (info.terminals >> descriptor & 1 == 1).then_some(window)
    }

    fn process(&self) -> Process {
        Process {
            threads: threads::count(),
        }
    }

    fn thread_exists(&self, tid: u32) -> bool {
        threads::exists(tid)
    }

    fn tid(&self) -> u32 {
        threads::tid()
    }

    fn thread_name(&self, tid: u32) -> [u8; 16] {
        threads::name_of(tid)
    }

    fn cpu_time_ns(&self, tid: u32) -> u64 {
        match tid {
            0 | 1 => threads::process_time_ns(),
            _ => threads::thread_time_ns(Some(tid)).unwrap_or(0),
        }
    }

    fn strings(&self, environment: bool, visit: &mut dyn FnMut(&'static [u8])) {
        let info = boot_info();
        let (span, count) = match environment {
            false => (info.arguments, info.argument_count),
            true => (info.environment, info.environment_count),
        };
        for_each_string(span, count, |_, string| visit(string.to_bytes_with_nul()));
    }

    fn limit(&self, resource: usize) -> (u64, u64) {
        crate::limits::get(resource).map_or((u64::MAX, u64::MAX), |limit| (limit.soft, limit.hard))
    }

    fn boot_id(&self) -> [u8; 16] {
        // SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
        static ID: Single<Option<[u8; 16]>> = unsafe { Single::new(None) };
        ID.with(|id| {
            *id.get_or_insert_with(|| {
                let mut bytes = [0; 16];
                random::fill(&mut bytes);
                bytes
            })
        })
    }

    fn network(&self) -> NetInfo {
        boot_info().net
    }

    fn spare_bytes(&self) -> (u64, u64) {
        let components = stats().used_components().iter();
        let live = components.map(|component| component.live_bytes.get()).sum();
        let total = stats().pages.total.get() * PAGE_BYTES as u64;
        (total.saturating_sub(live), total)
    }

    fn mappings(&self, each: &mut dyn FnMut(memory::Shown) -> bool) {
        memory::visit(each);
    }

    fn sizes(&self) -> (u64, u64, u64) {
        memory::sizes()
    }

    fn memory(&self) -> Memory {
        let total_pages = stats().pages.total.get();
        Memory {
            total_pages,
            free_pages: total_pages.saturating_sub(stats().pages.held.get()),
        }
    }
}

/// Makes the file system and unpacks the image's own files, then those the monitor gave; ends the
/// image with a report when there is not enough memory or an archive is damaged.
///
/// Without any such files, and none to write out, [`start_late`] makes it when it is needed: many a program only writes
/// to the console.
#[cfg_attr(
    test,
    expect(dead_code, reason = "the entry is not part of host tests")
)]
pub fn start(info: &'static BootInfo) {
    // SAFETY: the linker script puts the archive of the image's own files, or nothing, between
    // these symbols, in memory that may be written and that nothing else names.
    let own = unsafe {
        let start = &raw mut bespoke_files_start;
        let bytes = (&raw mut bespoke_files_end) as usize - start as usize;
        core::slice::from_raw_parts_mut(start, bytes)
    };
    if own.is_empty() && info.archive.bytes == 0 && info.export_count == 0 {
        return;
    }
    if !make().is_some_and(install) {
        report::too_little_memory("the file system does not fit", size_of::<Root>());
    }
    unpack(own);
    if info.archive.bytes > 0 {
        // SAFETY: the monitor gave this memory to the image, and nobody else looks at it.
        unpack(unsafe {
            core::slice::from_raw_parts_mut(
                info.archive.start as *mut u8,
                info.archive.bytes as usize,
            )
        });
    }
    if with(|root| root.place_network_files()).is_err() {
        report::too_little_memory("the files of the network do not fit", PAGE_BYTES);
    }
}

/// Makes a file system without files of the image's own; whether there was memory for it. If not, nothing is left of it.
pub fn start_late() -> bool {
    make().is_some_and(|mut root| root.place_network_files().is_ok() && install(root))
}

fn make() -> Option<Root> {
    Root::new(component_pages(components::FILES), Monitor).ok()
}

/// Gives `root` its place, from which on it is the image's; whether there was memory for it.
fn install(root: Root) -> bool {
    let place = bespoke_boot_allocate(Layout::new::<Root>()).map(NonNull::cast::<Root>);
    if let Some(place) = place {
        // SAFETY: the boot component granted this memory, with this layout, for ever.
        unsafe { place.write(root) };
        ROOT.with(|slot| *slot = Some(place));
    }
    place.is_some()
}

/// The spans of `writev`, of a program that has not used its files yet.
pub fn vector<'a>(guest: Guest, address: usize, count: usize) -> Result<&'a [Span], Errno> {
    Root::vector(guest, address, count)
}

/// Whether there is a file system by now.
#[inline(always)]
pub fn is_started() -> bool {
    ROOT.with(|slot| slot.is_some())
}

unsafe extern "C" {
    static mut bespoke_files_start: u8;
    static mut bespoke_files_end: u8;
}

/// Files given at the start replace those built in, because they come second.
fn unpack(archive: &'static mut [u8]) {
    if let Err(error) = with(|root| root.unpack(archive)) {
        report::console(format_args!(
            "bespoke: cannot unpack the files given to the image: {error}"
        ));
        platform::exit(BESPOKE_FAILED);
    }
}

/// Bytes of standard input that one exit brings: C libraries ask for 1 KiB, and an exit costs as much as copying far more.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// Exit code when the image itself could not do its part.
pub const BESPOKE_FAILED: u8 = 125;

/// Works on the file system; `work` must not come back here, nor let another thread run.
pub fn with<R>(work: impl FnOnce(&mut Root) -> R) -> R {
    let place = ROOT.with(|slot| *slot);
    let Some(mut place) = place else {
        panic!("a system call came before the file system was started");
    };
    // SAFETY: `start` put a file system there; system calls do not nest (see `Single::with`).
    work(unsafe { place.as_mut() })
}

/// Answers the file system calls that never wait and are made often; `None` for others.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
#[inline(always)]
pub unsafe fn prompt_call(number: usize, a: usize, b: usize, c: usize, d: usize) -> Option<isize> {
    // SAFETY: the caller's promise.
    with(|root| unsafe { root.prompt_call(number, a, b, c, d) })
}

/// Answers all other file system calls; `None` for others.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
#[inline]
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<isize> {
    // SAFETY: the caller's promise.
    with(|root| unsafe { file_call(root, number, arguments) })
}

/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
#[inline]
unsafe fn file_call(root: &mut Root, number: usize, arguments: Arguments) -> Option<isize> {
    // SAFETY: the caller's promise.
    unsafe {
        root.system_call(number, arguments)
            .or_else(|| groups::file_call(root, number, arguments))
    }
}

/// Makes a call again whose wait is over.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call_again(number: usize, arguments: Arguments, attempt: Attempt) -> isize {
    with(|root| {
        if let Err(error) = root.resume(attempt) {
            return error.answer();
        }
        // SAFETY: the caller's promise.
        let answer = unsafe { file_call(root, number, arguments) };
        let answer = answer.unwrap_or(errno::ENOSYS);
        if answer != Errno::RESTART.answer() {
            root.finish_attempt();
        }
        answer
    })
}

/// Until when the idle loop may sleep, and what for.
pub fn sources() -> Sources {
    let mut sources = with(|root| root.sources());
    sources.deadline_ns = match (sources.deadline_ns, alarm::deadline_ns()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    sources
}

/// Says once, when an image that serves sleeps for ever because it has no network, that it needs one.
#[cold]
pub fn tell_of_missing_network() {
    if let Some(port) = with(Root::unheard_port) {
        report::console(format_args!(
            "bespoke: the application listens on port {port}, but the image has no network, so that nobody can \
             reach it: run it with -p HOST:{port} or --net tap:NAME"
        ));
    }
}

/// Lets timers and devices do what is due at `now_ns`.
pub fn poll(now_ns: u64) {
    if is_started() {
        with(|root| root.poll(now_ns));
    }
    alarm::expire();
}

/// A wait ended with these events.
pub fn arrived(events: u64) {
    with(|root| root.arrived(events));
}

/// Closes all connections and lets peers have what was written to them, as Linux does for a process that has
/// ended: until they have all of it, or take next to nothing for [`FAREWELL_NS`], or the user asks for the end
/// once more. No thread may run afterwards.
pub fn end_connections() {
    if !is_started() {
        return;
    }
    let mut left = with(Root::close_connections);
    let mut mark = left;
    let mut until = monotonic_ns() + FAREWELL_NS;
    while left > 0 && !signals::wait_from_user() {
        let sources = with(|root| root.sources());
        let now = monotonic_ns();
        if now >= until {
            return;
        }
        let due = sources.deadline_ns.map_or(until, |due| due.min(until));
        if due > now {
            platform::wait(due - now, sources.events & WAIT_NET);
        }
        with(|root| root.poll(monotonic_ns()));
        left = with(|root| root.unacknowledged());
        if left + FAREWELL_BYTES <= mark {
            mark = left;
            until = monotonic_ns() + FAREWELL_NS;
        }
    }
}

/// How long peers may take to acknowledge [`FAREWELL_BYTES`] of what they were sent last.
const FAREWELL_NS: u64 = 2_000_000_000;
/// More than the single bytes by which a full window is asked whether it has opened.
const FAREWELL_BYTES: usize = 1024;

/// Writes every file and folder named by `--out` to the monitor. What could not be written, and why, is the monitor's to
/// say.
pub fn export_all() {
    if !is_started() {
        return;
    }
    let info = boot_info();
    for_each_string(info.exports, info.export_count, |index, path| {
        let mut batch = Batch::new(EXPORT_DESCRIPTOR + u64::from(index));
        let sent = with(|root| root.export(path.to_bytes(), &mut batch));
        if let Ok(is_list) = sent
            && batch.flush()
        {
            let list = u64::from(is_list) << MAX_EXPORTS;
            stats().exported.add((1 | list) << index);
        }
    });
}

/// Collects spans for one descriptor: an exit to the monitor is dear.
struct Batch {
    descriptor: u64,
    spans: [Span; Self::SPANS],
    used: usize,
}

impl Batch {
    const SPANS: usize = MAX_SPANS as usize;

    fn new(descriptor: u64) -> Self {
        Self {
            descriptor,
            spans: [Span::default(); Self::SPANS],
            used: 0,
        }
    }

    fn flush(&mut self) -> bool {
        let used = core::mem::take(&mut self.used);
        write_all(self.descriptor, &mut self.spans[..used]).is_ok()
    }
}

impl Sink for Batch {
    fn stays(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        if self.used == Self::SPANS && !self.flush() {
            return false;
        }
        self.spans[self.used] = Span {
            start: bytes.as_ptr() as u64,
            bytes: bytes.len() as u64,
        };
        self.used += 1;
        true
    }

    fn passes(&mut self, bytes: &[u8]) -> bool {
        self.stays(bytes) && self.flush()
    }
}

/// Writes all of `spans`, which are consumed on the way.
fn write_all(descriptor: u64, mut spans: &mut [Span]) -> Result<(), i64> {
    while !spans.is_empty() {
        let mut written = match platform::write(descriptor, spans) {
            error if error < 0 => return Err(error),
            written => written as u64,
        };
        let done = spans.iter().take_while(|span| {
            let whole = written >= span.bytes;
            if whole {
                written -= span.bytes;
            }
            whole
        });
        let done = done.count();
        spans = &mut spans[done..];
        if let Some(first) = spans.first_mut() {
            first.start += written;
            first.bytes -= written;
        }
    }
    Ok(())
}
