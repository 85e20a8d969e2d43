//! The platform of an image on a stock virtual machine: QEMU, Firecracker, whatever boots PVH kernels.
//!
//! ```text
//! bespoke_pvh_entry   the ring-0 stub (stub/stub.s)
//! bespoke_pvh_user_entry  start: tables, clock, devices, boot information
//! bespoke_entry       as on every other monitor
//! ```
//! What hypercalls are elsewhere is done here, at CPL 3: output through devices, waits through the stub, pages
//! closed in tables of our own. Owns the machine's devices but for the network's queues; must never need a heap:
//! it starts before them, and ends images without memory.

mod announced;
mod calendar;
mod clock;
mod command_line;
mod console;
mod devices;
mod interrupts;
mod memory;
#[cfg(feature = "net")]
mod network;
#[cfg(feature = "net")]
mod pci;
mod physical;
mod port;
mod power;
mod random;
mod start_info;
mod stub;
mod tables;

pub use announced::start as start_announced;
#[cfg(not(test))]
pub use power::fault;
pub use power::{exit, fatal};
pub use random::stir;

use crate::single::Single;
use crate::{linux_stack, platform, time};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::{
    BOOT_MAGIC, BootInfo, FLAG_TRACE_CALLS, FLAG_USED_RAM, PLATFORM_PVH, Span,
};
use bespoke_abi::hypercall::{FOREVER, WAIT_CONSOLE, WAIT_NET};
use bespoke_virtio::DeviceMemory;
#[cfg(feature = "net")]
use bespoke_virtio::Registers;
pub use clock::Clock;
use console::Consoles;
use core::arch::x86_64::__cpuid_count;
use core::fmt::Display;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::{NonNull, with_exposed_provenance};
use devices::Acknowledge;
use memory::Plan;
use physical::Physical;
use power::give_up;
use start_info::StartInfo;
pub use tables::FAR;
use tables::{Rights, Tables};

/// How often a watched image looks for signals of the host, which can end no wait of a stock monitor.
const SIGNALS_NS: u64 = 250_000_000;
/// The boot tables map whole 2 MiB.
const HUGE_BYTES: usize = 2 << 20;

struct State {
    tables: Option<Tables>,
    consoles: Consoles,
    net_acknowledge: Option<Acknowledge>,
    /// Until the network's driver takes them.
    #[cfg(feature = "net")]
    net_registers: Option<Registers>,
    console_acknowledge: Option<Acknowledge>,
    /// Whoever started the machine reads its memory.
    is_watched: bool,
    /// The exit code is to be told on the console.
    tells_status: bool,
}

impl State {
    fn flush(&mut self) {
        self.consoles.flush();
    }
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STATE: Single<State> = unsafe {
    Single::new(State {
        tables: None,
        consoles: Consoles::new(),
        net_acknowledge: None,
        #[cfg(feature = "net")]
        net_registers: None,
        console_acknowledge: None,
        is_watched: false,
        tells_status: false,
    })
};

/// All zero until it is filled in, so that only the rest need be.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static INFO: Single<MaybeUninit<BootInfo>> = unsafe { Single::new(MaybeUninit::zeroed()) };

unsafe extern "C" {
    /// From the linker script and the composition: addresses are values.
    static bespoke_image_end: u8;
    static bespoke_stack_bytes: u8;
}

/// The program's name where the command line gives no argument.
const NAME: &[u8] = b"image";

/// Top of the stack of [`check`]: memory that every machine has, where tables come to lie later.
#[cfg(not(test))]
pub const LOW_STACK_TOP: usize = stub::TABLES.end;

/// Ends the image if the machine has not the memory for it; touches none that may be missing.
#[cfg_attr(
    test,
    expect(dead_code, reason = "the entry is not part of host tests")
)]
pub unsafe extern "C" fn check(start_info: usize) {
    understand(start_info);
}

/// What the monitor passed: the command line, whether there is firmware, and who gets which memory.
#[inline(never)]
fn understand(start_info: usize) -> (&'static [u8], bool, Plan) {
    let (image_end, stack_bytes) = (
        &raw const bespoke_image_end as usize,
        &raw const bespoke_stack_bytes as usize,
    );
    // The stub maps the image's last 2 MiB and as much again.
    let mapped_end = image_end.next_multiple_of(HUGE_BYTES) + HUGE_BYTES;
    // SAFETY: what the boot tables map, from the first page's second byte: nothing lies at 0. Nobody writes there now.
    let memory = unsafe { Physical::new(1..mapped_end as u64, with_exposed_provenance(1)) };
    let information = or_give_up(StartInfo::read(memory, start_info as u64));
    let line = or_give_up(information.command_line());
    let plan = or_give_up(memory::plan(
        or_give_up(information.memory_map()),
        or_give_up(information.modules()),
        image_end,
        [stack_bytes, string_bytes(line), devices::NEEDED_BYTES],
    ));
    (line, information.has_firmware(), plan)
}

/// Room for the line itself, and for its words decoded.
fn string_bytes(line: &[u8]) -> usize {
    let bytes = 2 * line.len() + NAME.len() + 1;
    if bytes > HUGE_BYTES {
        give_up(format_args!("the command line is longer than 1 MiB"));
    }
    bytes
}

/// Makes the boot information from what the monitor passed; called by the entry, on the boot stack.
#[cfg_attr(
    test,
    expect(dead_code, reason = "the entry is not part of host tests")
)]
pub unsafe extern "C" fn start(start_info: usize) -> *const BootInfo {
    check_cpu();
    let (line, has_firmware, plan) = understand(start_info);
    let string_bytes = string_bytes(line);
    // SAFETY: the plan gives this memory to strings alone, for ever, and the boot tables map it.
    let strings =
        unsafe { core::slice::from_raw_parts_mut(plan.strings.start as *mut u8, string_bytes) };
    let (copy, decoded) = strings.split_at_mut(line.len());
    copy.copy_from_slice(line);
    let clock = clock::of_kvm();
    let mut tables = seal(&plan, &raw const bespoke_image_end as usize, copy);
    // From here on neither what the monitor passed nor the stub's memory is mapped.
    // SAFETY: the plan gives this memory to devices alone; RAM has values, whatever they are.
    let mut memory = unsafe {
        DeviceMemory::new(
            NonNull::new_unchecked(plan.devices.start as *mut u8),
            plan.devices.len(),
            0,
        )
    };
    interrupts::start();
    let is_watched = command_line::has(copy, b"watched");
    if clock.is_none() {
        clock::begin(if is_watched {
            interrupts::WATCH_NS
        } else {
            clock::LONGEST_NS
        });
    }
    let mut found = devices::find(copy, has_firmware, &mut tables, &mut memory);
    STATE.with(|state| {
        [state.consoles.first, state.consoles.second] = core::mem::take(&mut found.consoles);
        state.net_acknowledge = found.net_acknowledge;
        #[cfg(feature = "net")]
        {
            state.net_registers = found.net_registers.take();
        }
        state.console_acknowledge = found.console_acknowledge;
        state.is_watched = is_watched;
        state.tells_status = command_line::has(copy, b"status");
        state.tables = Some(tables);
        if state.consoles.first.is_none() {
            interrupts::route(console::SERIAL_INTERRUPT);
            state.consoles.start_serial();
        }
    });
    if is_watched {
        // Signals of the user may come while code runs that makes no call. The timer is set already where it measures.
        if interrupts::left() == 0 {
            interrupts::arm_tick();
        }
        TICKS.with(|ticks| *ticks = true);
        stub::open_interrupts();
    }
    let ram = if has_firmware { FLAG_USED_RAM } else { 0 };
    let clock = clock.unwrap_or_default();
    let seed = random::seed(found.entropy.take(), memory);
    INFO.with(|place| {
        // SAFETY: numbers alone, of which zeros are some.
        let info = unsafe { place.assume_init_mut() };
        fill(info, copy, decoded, &plan);
        info.flags |= ram;
        (info.tsc_khz, info.tsc_base, info.wall_ns) =
            (clock.tsc_khz, clock.tsc_base, clock.wall_ns);
        info.seed = seed;
        #[cfg(feature = "net")]
        {
            (info.net, info.devices) = (found.net, found.list);
        }
        &raw const *info
    })
}

fn or_give_up<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| give_up(format_args!("{error}")))
}

/// Ends the image on a CPU that lacks what it takes for granted.
fn check_cpu() {
    const FSGSBASE: u32 = 1;
    if __cpuid_count(0, 0).eax < 7 || __cpuid_count(7, 0).ebx & FSGSBASE == 0 {
        give_up(format_args!(
            "the CPU lacks FSGSBASE; with QEMU give -cpu host or -cpu max"
        ));
    }
}

/// Makes the tables of the module's picture, with the devices of `line`, and puts them in force.
fn seal(plan: &Plan, image_end: usize, line: &[u8]) -> Tables {
    // SAFETY: the stub's tables are in force, and this runs once.
    let mut tables = unsafe { Tables::new(plan.memory_end) };
    for (range, writable, executable) in linux_stack::segments() {
        let rights = match (writable, executable) {
            (false, false) => Rights::CONSTANTS,
            (false, true) => Rights::TEXT,
            (true, _) => Rights::DATA,
        };
        tables.map(range, rights);
    }
    tables.map(image_end..plan.devices.end, Rights::DATA);
    tables.map(plan.stack.start..plan.ram.end, Rights::DATA);
    let archive = pages(&plan.archive);
    tables.map(archive.start.max(plan.ram.end)..archive.end, Rights::DATA);
    interrupts::map(&mut tables);
    devices::map(line, &mut tables);
    // SAFETY: text, data and this stack are mapped where they are.
    unsafe { tables.seal() };
    tables
}

fn pages(range: &Range<usize>) -> Range<usize> {
    range.start / PAGE_BYTES * PAGE_BYTES..range.end.next_multiple_of(PAGE_BYTES)
}

/// What the image learns of the command line, whose strings are decoded to `decoded`, and of its memory.
fn fill(info: &mut BootInfo, line: &[u8], decoded: &'static mut [u8], plan: &Plan) {
    info.magic = BOOT_MAGIC;
    info.version = bespoke_abi::VERSION;
    info.platform = PLATFORM_PVH;
    if command_line::has(line, b"trace") {
        info.flags = FLAG_TRACE_CALLS;
    }
    let terminals = command_line::values(line, b"tty=").find_map(command_line::terminals);
    if let Some(terminals) = terminals {
        (info.terminals, info.terminal_rows, info.terminal_columns) = terminals;
    }
    let mut strings = Strings { rest: decoded };
    (info.arguments, info.argument_count) = strings.push_all(command_line::values(line, b"arg="));
    if info.argument_count == 0 {
        (info.arguments, info.argument_count) = strings.push_all([NAME].into_iter());
    }
    (info.environment, info.environment_count) =
        strings.push_all(command_line::values(line, b"env="));
    let span = |range: &Range<usize>| Span {
        start: range.start as u64,
        bytes: range.len() as u64,
    };
    info.ram = span(&plan.ram);
    info.stack = span(&plan.stack);
    info.archive = span(&plan.archive);
    info.total_bytes = plan.total_bytes;
}

/// Room for strings, NUL-terminated one after the other.
struct Strings {
    rest: &'static mut [u8],
}

impl Strings {
    /// Decodes `words`: where they lie, and how many there are.
    fn push_all<'a>(&mut self, words: impl Iterator<Item = &'a [u8]>) -> (Span, u32) {
        let (start, room) = (self.rest.as_ptr() as u64, self.rest.len());
        let mut count = 0;
        for word in words {
            for byte in command_line::decode(word).chain([0]) {
                self.push(byte);
            }
            count += 1;
        }
        let bytes = (room - self.rest.len()) as u64;
        (Span { start, bytes }, count)
    }

    fn push(&mut self, byte: u8) {
        // A word is shorter than what introduces it in the line, so that there is room for all.
        if let Some((first, rest)) = core::mem::take(&mut self.rest).split_first_mut() {
            *first = byte;
            self.rest = rest;
        }
    }
}

/// Writes all of `spans` to standard output or standard error; the bytes, or `-errno`.
pub fn write(descriptor: u64, spans: &[Span]) -> i64 {
    STATE.with(|state| state.consoles.write(descriptor, spans))
}

/// Whether standard input and output are devices that this module drives.
pub fn has_consoles() -> bool {
    STATE.with(|state| state.consoles.first.is_some())
}

/// Whether a read of standard input would not wait; if it would, the next byte ends a wait.
pub fn console_is_ready() -> bool {
    STATE.with(|state| state.consoles.is_ready())
}

/// Reads standard input, waiting for the first byte; 0 at its end, `-EINTR` where a wait ends without any.
pub fn read(buffer: &mut [u8]) -> i64 {
    loop {
        if let Some(count) = STATE.with(|state| state.consoles.read(buffer)) {
            return count;
        }
        if platform::wait(FOREVER, WAIT_CONSOLE) == 0 {
            return -i64::from(linux_raw_sys::errno::EINTR);
        }
    }
}

/// The registers of the network device; `None` when they have been taken.
#[cfg(feature = "net")]
pub fn network_registers() -> Option<Registers> {
    STATE.with(|state| state.net_registers.take())
}

/// See [`bespoke_abi::hypercall::WAIT`].
pub fn wait(nanoseconds: u64, events: u64) -> u64 {
    STATE.with(|state| {
        if events & WAIT_CONSOLE != 0 && state.consoles.is_ready() {
            return WAIT_CONSOLE;
        }
        if nanoseconds == 0 {
            return 0;
        }
        let longest = if state.is_watched {
            SIGNALS_NS
        } else {
            FOREVER
        };
        sleep_for(nanoseconds.min(longest));
        let devices = [
            (WAIT_NET, state.net_acknowledge),
            (WAIT_CONSOLE, state.console_acknowledge),
        ];
        for (event, acknowledge) in devices {
            if let (true, Some(acknowledge)) = (events & event != 0, acknowledge) {
                acknowledge.now();
            }
        }
        events
    })
}

/// Sleeps for so long, or until a device interrupts.
fn sleep_for(nanoseconds: u64) {
    // Until the clock is known, the timer measures it.
    time::settle();
    interrupts::arm((nanoseconds != FOREVER).then_some(nanoseconds));
    stub::wait();
    interrupts::finish();
    if TICKS.with(|ticks| *ticks) {
        interrupts::arm_tick();
    }
}

/// Whether the timer interrupts code that runs.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static TICKS: Single<bool> = unsafe { Single::new(false) };

/// Has the timer interrupt code that runs, often enough for threads to share the processor.
pub fn begin_interrupts() {
    // Until the clock is known, the timer measures it.
    time::settle();
    interrupts::set_tick(interrupts::SLICE_NS);
    begin_ticks();
}

fn begin_ticks() {
    interrupts::arm_tick();
    if !TICKS.with(|ticks| core::mem::replace(ticks, true)) {
        stub::open_interrupts();
    }
}

/// See [`clock::measured`].
pub fn measured_clock() -> Option<Clock> {
    let clock = clock::measured()?;
    // Measuring has stopped the timer.
    if TICKS.with(|ticks| *ticks) {
        interrupts::arm_tick();
    }
    Some(clock)
}

/// Shows whole pages of RAM from `memory` on at `start`, too; whether that could be done.
pub fn show(start: usize, bytes: usize, memory: usize, rights: crate::memory::Rights) -> bool {
    STATE.with(|state| match &mut state.tables {
        Some(tables) => tables.show(start..start + bytes, memory, rights),
        None => false,
    })
}

/// Shows nothing at these pages beyond memory any more.
pub fn hide(start: usize, bytes: usize) {
    STATE.with(|state| {
        let tables = state.tables.iter_mut();
        tables.for_each(|tables| tables.hide(start..start + bytes));
    });
}

/// Gives whole pages these rights; whether there was room for the tables that takes.
pub fn protect(start: usize, bytes: usize, rights: crate::memory::Rights) -> bool {
    STATE.with(|state| {
        let Some(tables) = &mut state.tables else {
            return false;
        };
        tables.protect(start..start + bytes, rights)
    })
}
