//! The `qemu` monitor: runs the image on a machine of the installed QEMU, through its ring-0 stub.
//!
//! The machine's memory is a file that we map, too. So the statistics page, signals and the image's
//! end are found there as with our own monitors.
//! The QEMU process never outlives us.
//! Nothing is requested from QEMU once it runs, so any version that starts the image works.

mod line;

use line::PROGRAM;
pub use line::by_hand;

use crate::config::{Accelerator, Machine, Qemu};
use crate::layout;
use crate::memory::{Mapping, PAGE_BYTES};
use crate::outcome::Outcome;
use crate::program::{self, Version};
use crate::signals::HostSignals;
use crate::stats::StatsView;
use crate::stock::{
    Ending, Relay, archive_file, ending, memory_file, pipe, set_nonblocking, words,
};
use crate::{MonitorError, Prepared, boot, clock, kvm};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::devices::NET_TAP;
use bespoke_abi::note::{NO_NETWORK, TAKES_SIGNALS};
use bespoke_abi::stats::BootPoint;
use line::{Console, Cpu, Line, Memory, Net};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Capacity of the output pipe: the default maximum for an unprivileged user.
const OUTPUT_BYTES: libc::c_int = 1 << 20;
/// The oldest version with `-netdev stream`.
const STOCK: program::Stock = program::Stock {
    program: PROGRAM,
    oldest: Version(7, 2),
    advice: "install a newer one",
};
/// Interval of checks until the image runs. It is also the accuracy of the time line.
const LOOK: Duration = Duration::from_micros(200);
/// After this time without a running image, checks are less frequent.
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_millis(5);
/// Largest size of one program argument that the kernel accepts.
const MOST_LINE_BYTES: usize = 128 << 10;

/// Finds QEMU in `PATH`.
pub(crate) fn program() -> Option<PathBuf> {
    program::find(PROGRAM)
}

/// Returns the version of the installed QEMU in its own words; `None`
/// if it is missing or reports none.
///
/// # Errors
///
/// When it is too old to start images with every network.
pub fn version() -> Option<Result<String, MonitorError>> {
    STOCK.installed()
}

/// Runs the image in QEMU.
pub(crate) fn run(mut prepared: Prepared, qemu: Qemu) -> Result<Outcome, MonitorError> {
    let started = Instant::now();
    check_request(&prepared)?;
    let path = program().ok_or(MonitorError::StockMissing {
        program: PROGRAM,
        advice: "as root: apt-get install qemu-system-x86".into(),
    })?;
    if qemu.accelerator == Accelerator::Kvm {
        kvm::probe()?;
    }
    let bytes = prepared.config.memory_bytes / line::MEMORY_STEP_BYTES * line::MEMORY_STEP_BYTES;
    check_memory(&prepared, bytes)?;
    let (file, memory) = memory(bytes)?;
    let archive = archive_file(prepared.boot.archive())?;
    let (input, output, error, messages) = (pipe()?, pipe()?, pipe()?, pipe()?);
    // QEMU's console drops what its descriptor does not accept at once, so make room for bursts.
    // SAFETY: sets the size of a pipe; one that the system refuses leaves the pipe as it is.
    unsafe { libc::fcntl(output.0.as_raw_fd(), libc::F_SETPIPE_SZ, OUTPUT_BYTES) };
    let info = prepared.link.as_ref().map(|link| link.info(0));
    let descriptor = prepared.link.as_ref().and_then(|link| link.descriptor());
    let mut words = words::program(prepared.config);
    // This monitor makes the crash reports.
    words.push("watched".into());
    words.extend(words::terminals(boot::terminals()));
    words.extend(info.as_ref().and_then(words::network));
    let length = words.iter().map(|word| word.len() + 1).sum::<usize>();
    if length > MOST_LINE_BYTES {
        return Err(MonitorError::LineTooLong {
            bytes: length,
            limit_bytes: MOST_LINE_BYTES,
        });
    }
    let line = Line {
        machine: qemu.machine,
        cpu: Cpu::One(qemu.accelerator),
        memory_bytes: bytes,
        memory: Memory::File(file.as_raw_fd()),
        console: match qemu.machine {
            // Images without a network do not scan PCI buses, and would find no console there.
            Machine::Q35 if prepared.image.note.flags & NO_NETWORK != 0 => Console::Serial,
            _ => Console::Pipes(error.1.as_raw_fd()),
        },
        net: match (descriptor, &info) {
            (Some(descriptor), Some(info)) if info.kind == NET_TAP => Net::Tap(descriptor, info),
            (Some(descriptor), Some(info)) => Net::Stream(descriptor, info),
            _ => Net::None,
        },
        image: &prepared.image.path,
        archive: archive
            .as_ref()
            .map(|file| line::descriptor_path(file.as_raw_fd())),
        words,
    };
    let mut command = Command::new(&path);
    command
        .args(line.arguments())
        .stdin(input.0)
        .stdout(output.1)
        .stderr(messages.1);
    let inherited = [Some(&file), archive.as_ref(), Some(&error.1)];
    let inherited = inherited.into_iter().flatten().map(AsRawFd::as_raw_fd);
    program::tie(&mut command, inherited.chain(descriptor).collect());
    // A terminal that belongs to another job gives no input, but is no reason to stop.
    // SAFETY: sets a disposition; no handler is involved.
    unsafe { libc::signal(libc::SIGTTIN, libc::SIG_IGN) };
    let child = command.spawn().map_err(|source| MonitorError::File {
        purpose: "run",
        path: path.clone(),
        source,
    })?;
    let mut running = program::Running(child);
    // Descriptors that only QEMU holds are closed when it ends.
    drop((command, error.1, file, archive));
    if let Some(link) = &mut prepared.link {
        link.close();
        link.serve()?;
    }
    set_nonblocking(&input.1)?;
    let mut relay = Relay::new(input.1, [Some(output.0), Some(error.0)], messages.0);
    let stats = StatsView::new(memory.clone(), prepared.image.note.stats as usize);
    let mut watch = Watch {
        prepared,
        stats: stats.clone(),
        started,
        signals: None,
        runs: false,
    };
    while let Some(ready) = relay.wait(watch.limit())? {
        // First, because a script may send a signal as soon as it sees the image's output.
        watch.look()?;
        relay.turn(ready);
        if relay.was_broken() {
            watch.break_pipe();
        }
    }
    let status = running.wait()?;
    let Watch { prepared, runs, .. } = watch;
    if !runs {
        stamp(&stats, &prepared, BootPoint::Exit);
    }
    match ending(&prepared.image, &memory) {
        Ending::Exit(exit) => Ok(Outcome {
            exit,
            stats: stats.snapshot(),
            tsc_khz: clock::tsc_khz(),
            exports: Vec::new(),
            trace: None,
        }),
        Ending::Memory(needed_bytes) => Err(MonitorError::TooLittleMemory {
            needed_bytes: needed_bytes.max(bytes + PAGE_BYTES),
            given_bytes: bytes,
        }),
        Ending::Machine(reason) => Err(MonitorError::Machine { reason }),
        Ending::Nothing => Err(failure(&path, status, relay.said())),
    }
}

/// Rejects requests that this monitor does not support.
fn check_request(prepared: &Prepared) -> Result<(), MonitorError> {
    let what = if !prepared.exports.is_empty() {
        "--out"
    } else if prepared.trace.is_some() {
        "a trace"
    } else {
        return Ok(());
    };
    Err(MonitorError::Unsupported {
        what,
        monitor: "qemu",
        instead: "--monitor kvm or --monitor process",
    })
}

/// Rejects memory that does not suit the image or the host.
fn check_memory(prepared: &Prepared, bytes: u64) -> Result<(), MonitorError> {
    layout::fits_host(bytes)?;
    let segments = prepared.image.segments.last();
    let end = segments.map_or(IMAGE_BASE, |last| last.pages.end);
    let needed_bytes =
        end + prepared.image.note.stack_bytes + prepared.boot.bytes() + 2 * PAGE_BYTES;
    if needed_bytes > bytes {
        return Err(MonitorError::TooLittleMemory {
            needed_bytes,
            given_bytes: bytes,
        });
    }
    Ok(())
}

/// Services for a running image.
struct Watch<'a> {
    prepared: Prepared<'a>,
    stats: StatsView,
    started: Instant,
    signals: Option<HostSignals>,
    /// The image's first instruction was seen.
    runs: bool,
}

impl Watch<'_> {
    /// Returns how long to wait for other events.
    fn limit(&self) -> Option<Duration> {
        match (self.runs, self.started.elapsed() < SOON) {
            (true, _) => None,
            (_, true) => Some(LOOK),
            (_, false) => Some(LATER),
        }
    }

    /// Starts to serve a running image. Earlier, QEMU would overwrite its statistics page.
    fn look(&mut self) -> Result<(), MonitorError> {
        let first = &self.stats.page().boot[BootPoint::FirstInstruction as usize];
        if self.runs || first.get() == 0 {
            return Ok(());
        }
        self.runs = true;
        stamp(&self.stats, &self.prepared, BootPoint::FirstInstruction);
        self.signals = HostSignals::pass_on(&self.prepared.image.note, &self.stats)?;
        if let Some(hook) = self.prepared.on_start.take() {
            hook(self.stats.clone());
        }
        Ok(())
    }

    /// Signals the image that its output has no reader, as on Linux.
    fn break_pipe(&self) {
        if self.prepared.image.note.flags & TAKES_SIGNALS != 0 {
            let bit = 1 << (libc::SIGPIPE - 1);
            self.stats.page().host_signals.fetch_or(bit, SeqCst);
        }
    }
}

/// Adds our own start to the image's time line, relative to a point that it reached just now.
fn stamp(stats: &StatsView, prepared: &Prepared, now: BootPoint) {
    let reached = stats.page().boot[now as usize].get();
    if reached == 0 {
        return;
    }
    // The counters differ in their start but not in their rate.
    let before = clock::tsc().wrapping_sub(prepared.monitor_start_tsc);
    stats
        .page()
        .stamp(BootPoint::MonitorStart, reached.wrapping_sub(before));
}

/// Returns why the image left no record.
fn failure(path: &Path, status: ExitStatus, said: String) -> MonitorError {
    // Checked only now: it would cost 20 ms at every start.
    if let Some(Err(error)) = STOCK.check(path) {
        return error;
    }
    let reason = match said.is_empty() {
        true => format!("it ended without any message from the image ({status})"),
        false => format!("{said} ({status})"),
    };
    MonitorError::Stock {
        program: PROGRAM,
        reason,
    }
}

/// Makes the machine's memory: a file for QEMU, which we map.
fn memory(bytes: u64) -> Result<(OwnedFd, Arc<Mapping>), MonitorError> {
    let file = File::from(memory_file(c"bespoke-memory", &[])?);
    file.set_len(bytes).map_err(|source| MonitorError::Host {
        step: "make room for the machine's memory",
        source,
    })?;
    let mapping = Mapping::file(file.as_raw_fd(), bytes as usize)?;
    Ok((file.into(), Arc::new(mapping)))
}
