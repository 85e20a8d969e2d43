//! The `process` monitor: runs the image as a Linux process with minimal rights.
//!
//! The child loads the image at its link address, unmaps everything else but a few resident
//! pages, installs the filter, and jumps.
//! The parent keeps the terminal and waits.
//! The child is killed when the parent dies. The parent uses the child's data only
//! to read its memory, after checks.

mod bpf;
mod child;
mod control;
mod filter;
mod handler;
mod leave;
mod resident;
mod script;

use crate::boot::{Machine, fsgsbase_in_processes};
use crate::exports::Exports;
use crate::image::{Access, Segment};
use crate::layout::Layout;
use crate::memory::{Mapping, PAGE_BYTES};
use crate::net::Link;
use crate::outcome::{Exit, Outcome};
use crate::report::{
    CrashReport, Fatal, Fault, FaultAccess, RESCUE_LIMIT, Rescue, Subject, vector,
};
use crate::signals::HostSignals;
use crate::stats::StatsView;
use crate::ticker::{Guest, KICK, Ticker};
use crate::trace::{Drain, RING_BYTES, Ring};
use crate::{MonitorError, Prepared, clock};
use bespoke_abi::boot::PLATFORM_PROCESS;
use bespoke_abi::devices::{NetInfo, PacketRing};
use bespoke_abi::hypercall::{FAR_END, NOTICE_DESCRIPTOR, TICK_NOTICE};
use bespoke_abi::stats::{BootPoint, StatsPage};
use control::{Control, STEPS, Snapshot};
use resident::{Entry, Resident};
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Descriptor in the child: a byte reports that it faulted.
const NOTICE: i32 = NOTICE_DESCRIPTOR as i32;
/// Descriptor in the child: a byte tells it how to continue.
const ANSWER: i32 = 51;
/// Descriptor in the child: the link to the network, if there is one.
const NET: i32 = 52;
const WAKE_AGAIN_MS: u32 = 20;
/// The answer that sends the child to the rescue entry. Any other answer ends it.
const RESCUE: u8 = b'R';
const GIVE_UP: u8 = b'X';

/// Data for the child, prepared before the fork.
struct Plan<'a> {
    prepared: Prepared<'a>,
    layout: Layout,
    machine: Machine,
    resident: Resident,
    stats: StatsView,
    shared: Shared,
    notice: i32,
    answer: i32,
    parent: i32,
}

/// Memory shared by parent and image.
struct Shared {
    /// The statistics page.
    stats: Arc<Mapping>,
    /// Mapped over the image's trace ring, if a trace is recorded.
    ring: Option<Arc<Mapping>>,
}

/// The child, from its parent's side; killed and reaped when dropped.
struct Child {
    pid: i32,
    reaped: bool,
    notice: OwnedFd,
    answer: OwnedFd,
    signals: Option<HostSignals>,
    stats: StatsView,
    /// Interrupts the guest, once that is requested.
    ticker: Option<Ticker>,
}

/// The child's next event.
enum Event {
    Faulted,
    Ended,
    TimedOut,
}

/// Runs the image as a process.
pub(crate) fn run(mut prepared: Prepared) -> Result<Outcome, MonitorError> {
    let layout = Layout::new(
        &prepared.image.segments,
        prepared.image.note.stack_bytes,
        prepared.boot.bytes(),
        prepared.config.memory_bytes,
        false,
        false,
    )?;
    let no_fsgsbase = !fsgsbase_in_processes();
    prepared.exports.make_pipes()?;
    let exports = prepared.exports.descriptors().len();
    let filter = filter::compile(&layout, exports, prepared.link.is_some(), no_fsgsbase)?;
    let tsc_khz = clock::tsc_khz();
    let machine = Machine {
        platform: PLATFORM_PROCESS,
        tsc_khz,
        tsc_offset: 0,
        physical_offset: 0,
        no_fsgsbase,
        faults_end: false,
        net: prepared
            .link
            .as_ref()
            .map_or_else(NetInfo::default, |link| link.info(NET)),
        devices: Default::default(),
        ring: prepared
            .link
            .as_ref()
            .map_or_else(PacketRing::default, Link::ring),
    };
    let stats_page = Arc::new(Mapping::shared(PAGE_BYTES as usize)?);
    let stats = StatsView::new(stats_page.clone(), 0);
    stats
        .page()
        .stamp(BootPoint::MonitorStart, prepared.monitor_start_tsc);
    let trace = match prepared.trace.take() {
        Some(request) => {
            let memory = Arc::new(Mapping::shared(RING_BYTES as usize)?);
            Some((memory.clone(), Ring::new(memory, 0, &request), request.sink))
        }
        None => None,
    };
    let (notice, child_notice) = pipe()?;
    let (child_answer, answer) = pipe()?;
    let hook = prepared.on_start.take();
    let shared = Shared {
        stats: stats_page,
        ring: trace.as_ref().map(|(memory, ..)| memory.clone()),
    };
    let script = child::last_calls(&prepared, &layout, &machine, &shared, &filter)?;
    let note = &prepared.image.note;
    let enter_at = offset_of!(StatsPage, boot) + BootPoint::Enter as usize * size_of::<u64>();
    let is_text = |segment: &&Segment| segment.access == Access::Execute;
    let text = prepared.image.segments.iter().find(is_text);
    let entry = Entry {
        entry: prepared.image.entry,
        boot: layout.boot.start,
        rescue_entry: note.rescue_entry,
        rescue_stack: note.rescue_stack,
        stats: note.stats,
        interrupt_entry: note.interrupt_entry,
        interruptible: note.interruptible_start..note.interruptible_end,
        shared: note.shared_start..note.shared_end,
        text: text.map_or(0..0, |segment| segment.pages.clone()),
        enter_stamp: note.stats + enter_at as u64,
        has_fsgsbase: !no_fsgsbase,
    };
    let resident = Resident::prepare(&entry, script)?;
    let mut plan = Plan {
        prepared,
        layout,
        machine,
        resident,
        stats: stats.clone(),
        shared,
        notice: child_notice.as_raw_fd(),
        answer: child_answer.as_raw_fd(),
        // SAFETY: asks for a number.
        parent: unsafe { libc::getpid() },
    };
    leave::restartable_sequences().map_err(|source| MonitorError::Host {
        step: STEPS[10],
        source,
    })?;
    // Before the image runs, because a script may send a signal as
    // soon as it sees the image's output.
    let signals = HostSignals::pass_on(&plan.prepared.image.note, &stats)?;
    // SAFETY: the caller has one thread (documented at `crate::run`), so the child may allocate.
    let pid = match unsafe { libc::fork() } {
        0 => child::become_guest(&plan),
        pid if pid < 0 => return Err(MonitorError::host("start a process")),
        pid => pid,
    };
    // With the parent's copies closed, the notice pipe ends when the child does.
    drop((child_notice, child_answer));
    plan.prepared.exports.close_writers();
    // Only the child holds the link: it closes when the child ends.
    if let Some(link) = &mut plan.prepared.link {
        link.close();
    }
    let mut child = Child {
        pid,
        reaped: false,
        notice,
        answer,
        signals,
        stats: stats.clone(),
        ticker: None,
    };
    // Not before the fork: a child has one thread.
    if let Some(link) = &mut plan.prepared.link {
        link.serve()?;
    }
    if let Some(hook) = hook {
        hook(stats.clone());
    }
    // Not before the fork: a child has one thread.
    let drain = trace.map(|(_, ring, sink)| Drain::start(ring, sink));
    let exit = attend(&plan, &mut child, plan.resident.control());
    let trace = drain.map(Drain::finish);
    let exit = exit?;
    // After this, everything that it has written is in the pipes.
    drop(child);
    plan.prepared.exports.take_rest();
    let stats = stats.snapshot();
    let whole = stats.as_ref().map_or(0, |page| page.exported.get());
    let has_succeeded = matches!(exit, Exit::Code(0));
    Ok(Outcome {
        exit,
        stats,
        tsc_khz,
        exports: plan.prepared.exports.finish(whole, has_succeeded),
        trace,
    })
}

/// Waits for the child's end and reports its fault, if any.
fn attend(plan: &Plan, child: &mut Child, control: &Control) -> Result<Exit, MonitorError> {
    match child.next_event(&plan.prepared.exports, None)? {
        Event::TimedOut => unreachable!("no limit was given"),
        Event::Faulted => crash(plan, child, &control.snapshot()),
        Event::Ended => {
            let status = child.reap()?;
            if libc::WIFSIGNALED(status) {
                return Ok(Exit::Crash(killed(plan, libc::WTERMSIG(status))));
            }
            let failed = control.failed_step.load(SeqCst) as usize;
            if let Some(step) = failed.checked_sub(1).and_then(|step| STEPS.get(step)) {
                let source = io::Error::from_raw_os_error(control.errno.load(SeqCst) as i32);
                return Err(MonitorError::Host { step, source });
            }
            Ok(Exit::Code(libc::WEXITSTATUS(status) as u8))
        }
    }
}

/// Makes the report of a child that a signal ended before its handler could report.
fn killed(plan: &Plan, signal: i32) -> Box<CrashReport> {
    let detail = format!("the process was ended by signal {signal} and could not report");
    let fault = Fault {
        signal: Some(signal as u8),
        detail: Some(detail),
        ..Fault::default()
    };
    let subject = Subject {
        image: &plan.prepared.image,
        layout: &plan.layout,
        read: &|_, _| false,
    };
    Box::new(CrashReport::fault(&subject, fault))
}

fn crash(plan: &Plan, child: &mut Child, seen: &Snapshot) -> Result<Exit, MonitorError> {
    let read = |address: u64, bytes: &mut [u8]| child.read(plan, address, bytes);
    let subject = Subject {
        image: &plan.prepared.image,
        layout: &plan.layout,
        read: &read,
    };
    let registers = seen.registers();
    let mut report = match seen.fatal_request() {
        Some(request) => {
            let mut words = [0; 40];
            if read(request, &mut words) {
                let (words, _) = words.as_chunks::<8>();
                let fatal = Fatal::read(
                    read,
                    std::array::from_fn(|index| u64::from_le_bytes(words[index + 1])),
                );
                if let Some(needed_bytes) = fatal.needed_bytes() {
                    return Err(MonitorError::TooLittleMemory {
                        needed_bytes,
                        given_bytes: plan.prepared.config.memory_bytes,
                    });
                }
                CrashReport::fatal(&subject, fatal, Some(registers))
            } else {
                let reason = format!("request at {request:#x} is not in the image's memory");
                CrashReport::malformed(&subject, reason, Some(registers))
            }
        }
        None => {
            let declined = child.stats.page().declined.get();
            CrashReport::fault(&subject, fault(seen).explained(declined))
        }
    };
    if plan.prepared.exports.survive_failure() {
        report.rescue = rescue(plan, child)?;
    }
    Ok(Exit::Crash(Box::new(report)))
}

fn fault(seen: &Snapshot) -> Fault {
    let registers = Some(seen.registers());
    if seen.signal == libc::SIGSYS as u32 {
        return Fault {
            refused_call: Some(u64::from(seen.refused_call)),
            registers,
            ..Fault::default()
        };
    }
    let page = seen.vector() == vector::PAGE;
    let access = page.then(|| FaultAccess::from_error_code(seen.error_code()));
    let address = page.then(|| seen.address());
    Fault {
        vector: Some(seen.vector()),
        address,
        access,
        registers,
        signal: Some(seen.signal as u8),
        ..Fault::default()
    }
}

fn rescue(plan: &Plan, child: &mut Child) -> Result<Rescue, MonitorError> {
    if plan.prepared.image.note.rescue_entry == 0 {
        return Ok(Rescue::NoEntry);
    }
    child.answer(RESCUE);
    Ok(
        match child.next_event(&plan.prepared.exports, Some(Instant::now() + RESCUE_LIMIT))? {
            Event::Ended if libc::WIFEXITED(child.reap()?) => Rescue::Done,
            Event::Ended | Event::Faulted => Rescue::Failed,
            Event::TimedOut => Rescue::TimedOut,
        },
    )
}

impl Child {
    /// Blocks until the child faults or ends, or `limit` passes. Reads its exports meanwhile.
    fn next_event(
        &mut self,
        exports: &Exports,
        limit: Option<Instant>,
    ) -> Result<Event, MonitorError> {
        loop {
            let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Event::TimedOut);
            }
            let entry = |fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            let signal = self.signals.as_ref().map_or(-1, HostSignals::descriptor);
            let readers = exports.readers();
            let mut polled = vec![entry(self.notice.as_raw_fd()), entry(signal)];
            polled.extend(readers.iter().map(|(_, fd)| entry(*fd)));
            let mut timeout = left.map_or(-1, |left| left.as_millis() as i32 + 1);
            if self.signals.as_ref().is_some_and(HostSignals::is_pending) {
                // Repeatedly: a single signal could come just before the guest sleeps.
                // SAFETY: our own child, not reaped yet.
                unsafe { libc::kill(self.pid, KICK) };
                timeout = WAKE_AGAIN_MS.min(timeout as u32) as i32;
            }
            let mut byte = 0u8;
            let count = polled.len() as libc::nfds_t;
            // SAFETY: as many structures as the count says.
            let mut got = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout) } as isize;
            if let Some(signals) = self.signals.as_ref().filter(|_| polled[1].revents != 0) {
                signals.was_woken();
            }
            for ((export, _), polled) in readers.iter().zip(&polled[2..]) {
                if got > 0 && polled.revents != 0 {
                    exports.take(*export);
                }
            }
            if got >= 0 && polled[0].revents == 0 {
                continue;
            }
            if got > 0 {
                // SAFETY: one byte into this frame.
                got = unsafe { libc::read(polled[0].fd, (&raw mut byte).cast(), 1) };
            }
            match got {
                1 if byte == TICK_NOTICE => self.begin_ticks()?,
                1 => return Ok(Event::Faulted),
                0 => return Ok(Event::Ended),
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => return Err(MonitorError::host("wait for the guest process")),
            }
        }
    }

    fn begin_ticks(&mut self) -> Result<(), MonitorError> {
        if self.ticker.is_none() {
            self.ticker = Some(Ticker::start(Guest::Process(self.pid), self.stats.clone())?);
        }
        Ok(())
    }

    /// Sends an answer to the handler. If the child died meanwhile, the next event shows it.
    fn answer(&self, answer: u8) {
        // SAFETY: one byte of this frame, into our own pipe.
        unsafe { libc::write(self.answer.as_raw_fd(), (&raw const answer).cast(), 1) };
    }

    fn reap(&mut self) -> Result<i32, MonitorError> {
        // Its process number may be reused afterwards.
        self.ticker = None;
        let mut status = 0;
        // SAFETY: our own child, reaped once.
        while unsafe { libc::waitpid(self.pid, &mut status, 0) } < 0 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return Err(MonitorError::host("wait for the guest process"));
            }
        }
        self.reaped = true;
        Ok(status)
    }

    /// Copies guest memory for reports; only addresses in the guest's own layout.
    fn read(&self, plan: &Plan, address: u64, bytes: &mut [u8]) -> bool {
        let inside = address
            .checked_add(bytes.len() as u64)
            .is_some_and(|end| end <= FAR_END);
        if !inside || address < plan.layout.all.start {
            return false;
        }
        let local = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: address as *mut _,
            iov_len: bytes.len(),
        };
        // SAFETY: fills `bytes` and nothing else; the kernel checks the remote address.
        let got = unsafe { libc::process_vm_readv(self.pid, &local, 1, &remote, 1, 0) };
        got == bytes.len() as isize
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.answer(GIVE_UP);
            // SAFETY: our own child, not reaped yet, so the number is still its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            // An error here leaves a dead child to the system; there is no caller to report it to.
            let _ = self.reap();
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), MonitorError> {
    let mut ends = [0; 2];
    // SAFETY: fills two descriptors, owned from here on.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(MonitorError::host("create a pipe"));
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}
