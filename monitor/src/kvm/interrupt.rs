//! Redirects the guest to its interrupt entry: to run another
//! thread, and at faults that it handles.
//!
//! The image saves every register itself. Only `rip` changes here, and only while it lies in code
//! that the image declares interruptible.
//! The machine must be between two instructions, so the caller first lets KVM finish its
//! pending operation for the guest.

use super::fault::Cause;
use super::{Vm, fault, refused};
use crate::MonitorError;
use crate::image::{Access, Segment};
use crate::report::vector;
use crate::signals;
use crate::ticker::{Guest, KICK, Ticker};
use bespoke_abi::stats::{MISSED_INTERRUPT, VECTOR_TICK};
use kvm_bindings::kvm_regs;
use kvm_ioctls::VcpuExit;
use std::sync::atomic::Ordering::SeqCst;

/// Largest number of parts into which KVM splits one access to a device's memory.
const MAX_PARTS: usize = 16;

impl Vm<'_> {
    /// Handles a signal that ended a run of the CPU: interrupts the
    /// guest if that can have an effect.
    pub(super) fn interrupted(&mut self) -> Result<(), MonitorError> {
        self.vcpu.set_kvm_immediate_exit(0);
        if self.prepared.image.note.interrupt_entry == 0 || self.deadline.is_some() {
            return Ok(());
        }
        if !self.stats.page().wants_interrupt() {
            return Ok(());
        }
        let registers = self
            .vcpu
            .get_regs()
            .map_err(refused("read the CPU's registers"))?;
        if self.may_interrupt(registers.rip, registers.rsp) && !self.holds_exception()? {
            return self.enter(registers, VECTOR_TICK, 0, 0);
        }
        self.stats
            .page()
            .host_signals
            .fetch_or(MISSED_INTERRUPT, SeqCst);
        self.begin_ticks()
    }

    /// Starts periodic interrupts of the guest.
    pub(super) fn begin_ticks(&mut self) -> Result<(), MonitorError> {
        if self.ticker.is_none() {
            ignore_kicks()?;
            self.ticker = Some(Ticker::start(Guest::this_thread(), self.stats.clone())?);
        }
        Ok(())
    }

    /// Handles a shutdown at a fault: if the machine is at the interrupt entry, puts it
    /// back where the fault happened.
    ///
    /// KVM may delay a shutdown when a signal ends a run of the CPU, and does not always report it.
    /// The guest is then interrupted at an instruction that has already faulted. It shuts down
    /// before it runs an instruction of the entry, whose first one cannot fault.
    pub(super) fn take_back(&mut self) -> Result<(), MonitorError> {
        let entry = self.prepared.image.note.interrupt_entry;
        let registers = self
            .vcpu
            .get_regs()
            .map_err(refused("read the CPU's registers"))?;
        let page = self.stats.page();
        if entry == 0 || registers.rip != entry || page.interrupt.vector.get() != VECTOR_TICK {
            return Ok(());
        }
        page.host_signals.fetch_or(MISSED_INTERRUPT, SeqCst);
        let rip = page.interrupt.rip.get();
        self.vcpu
            .set_regs(&kvm_regs { rip, ..registers })
            .map_err(refused("take back an interrupt of the CPU"))
    }

    /// Handles a fault of the guest; returns whether it continues with a handler of its own.
    pub(super) fn handles(&mut self, cause: &Cause) -> Result<bool, MonitorError> {
        const MEMORY: u64 = bit(libc::SIGSEGV) | bit(libc::SIGBUS);
        let handled = self.stats.page().handled.get();
        if handled == 0 || self.deadline.is_some() || matches!(cause, Cause::Stopped(_)) {
            return Ok(false);
        }
        let fault = fault::read(self, cause)?;
        let (Some(number), Some(registers)) = (fault.vector, &fault.registers) else {
            return Ok(false);
        };
        let signals = match number {
            0 | 16 | 19 => bit(libc::SIGFPE),
            1 | 3 => bit(libc::SIGTRAP),
            6 => bit(libc::SIGILL),
            _ => MEMORY,
        };
        if handled & signals == 0 || !self.may_handle(registers.rip, registers.general[7]) {
            return Ok(false);
        }
        let error_code = fault.access.map_or(0, |access| access.error_code());
        let address = fault.address.unwrap_or(0);
        let mut registers = self
            .vcpu
            .get_regs()
            .map_err(refused("read the CPU's registers"))?;
        self.settle(cause)?;
        if number == vector::BREAKPOINT {
            // The CPU is at the instruction, which Linux reports as completed.
            registers.rip += 1;
        }
        self.enter(registers, number.into(), error_code, address)?;
        Ok(true)
    }

    fn may_interrupt(&self, rip: u64, rsp: u64) -> bool {
        let note = &self.prepared.image.note;
        note.interrupt_entry != 0
            && note.may_interrupt(rip, || {
                let mut word = [0; 8];
                let have = self.far.read(&self.memory, rsp, &mut word);
                have.then(|| u64::from_le_bytes(word))
            })
    }

    /// Whether a fault at `rip` is the application's: in interruptible code, or in no code at all,
    /// because the library OS makes no wild jumps.
    fn may_handle(&self, rip: u64, rsp: u64) -> bool {
        let image = &self.prepared.image;
        let is_code = |segment: &Segment| segment.access == Access::Execute;
        self.may_interrupt(rip, rsp) || !image.segment_at(rip).is_some_and(is_code)
    }

    /// Whether an exception is pending, which the guest would then receive in the wrong place.
    fn holds_exception(&self) -> Result<bool, MonitorError> {
        let events = self
            .vcpu
            .get_vcpu_events()
            .map_err(refused("read the CPU's events"))?;
        Ok(events.exception.injected != 0 || events.exception.pending != 0)
    }

    /// Completes KVM's pending operation for the guest, so that it continues with
    /// registers that are set afterwards.
    fn settle(&mut self, cause: &Cause) -> Result<(), MonitorError> {
        match cause {
            Cause::Shutdown => {
                let step = refused("set the CPU's state for a handler");
                let sregs = self.vcpu.get_sregs().map_err(&step)?;
                self.vcpu
                    .set_vcpu_events(&Default::default())
                    .map_err(&step)?;
                let sregs = kvm_bindings::kvm_sregs {
                    cr2: super::vcpu::CR2_UNTOUCHED,
                    ..sregs
                };
                self.vcpu.set_sregs(&sregs).map_err(&step)
            }
            Cause::Memory { .. } | Cause::Closed | Cause::Stopped(_) => {
                self.vcpu.set_kvm_immediate_exit(1);
                for _ in 0..MAX_PARTS {
                    // KVM completes the access, which the guest may repeat, and
                    // returns before anything else.
                    match self.vcpu.run() {
                        Ok(VcpuExit::MmioRead(..) | VcpuExit::MmioWrite(..)) => {}
                        _ => break,
                    }
                }
                self.vcpu.set_kvm_immediate_exit(0);
                Ok(())
            }
        }
    }

    fn enter(
        &mut self,
        registers: kvm_regs,
        vector: u64,
        error_code: u64,
        address: u64,
    ) -> Result<(), MonitorError> {
        let record = &self.stats.page().interrupt;
        record.rip.set(registers.rip);
        record.vector.set(vector);
        record.error_code.set(error_code);
        record.address.set(address);
        let rip = self.prepared.image.note.interrupt_entry;
        self.vcpu
            .set_regs(&kvm_regs { rip, ..registers })
            .map_err(refused("interrupt the CPU"))
    }
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Makes a kick end a run of the CPU, or a sleep, without any other effect.
fn ignore_kicks() -> Result<(), MonitorError> {
    signals::end_runs_on(KICK)
}
