//! Converts the state of a stopped machine to a fault. What the
//! state does not contain stays unknown.

use super::{Vm, operand, refused, vcpu};
use crate::MonitorError;
use crate::report::{Fault, FaultAccess, vector};
use bespoke_abi::IMAGE_BASE;

/// Why the guest cannot continue.
pub(super) enum Cause {
    /// An unhandled fault.
    Shutdown,
    /// The host refuses a page that the guest's tables allow.
    Memory { physical: u64, write: Option<bool> },
    /// The same, from a kernel that does not report the page: it is derived from the instruction.
    Closed,
    /// Any other reason, in KVM's words.
    Stopped(String),
}

/// Protection enable: clear only when KVM has reset the CPU (AMD hardware, on shutdown).
const CR0_PROTECTION: u64 = 1;

pub(super) fn read(vm: &Vm, cause: &Cause) -> Result<Fault, MonitorError> {
    let sregs = vm
        .vcpu
        .get_sregs()
        .map_err(refused("read the CPU's state"))?;
    if sregs.cr0 & CR0_PROTECTION == 0 {
        return Ok(Fault {
            detail: Some("this KVM resets the CPU on a fault and keeps no details".into()),
            ..Fault::default()
        });
    }
    let registers =
        vcpu::registers(&vm.vcpu, &sregs).map_err(refused("read the CPU's registers"))?;
    let fault = Fault {
        registers: Some(registers.clone()),
        ..Fault::default()
    };
    Ok(match cause {
        &Cause::Memory { physical, write } => {
            let access = write.map(|write| {
                if write {
                    FaultAccess::Write
                } else {
                    FaultAccess::Read
                }
            });
            Fault {
                vector: Some(vector::PAGE),
                address: Some(physical + IMAGE_BASE),
                access,
                closed: true,
                ..fault
            }
        }
        Cause::Closed => {
            let mut code = [0; 15];
            let have = vm.memory.read_bytes(registers.rip, &mut code);
            let reached = match have {
                true => operand::addresses(&code, &registers),
                false => Vec::new(),
            };
            let closed = |&start: &u64| vm.memory.first_closed(start, operand::LONGEST_BYTES);
            let address = reached
                .iter()
                .find_map(closed)
                .or_else(|| vm.memory.closed_near(registers.stack()));
            Fault {
                vector: Some(vector::PAGE),
                address,
                closed: true,
                ..fault
            }
        }
        Cause::Stopped(detail) => Fault {
            detail: Some(detail.clone()),
            ..fault
        },
        Cause::Shutdown => {
            let events = vm
                .vcpu
                .get_vcpu_events()
                .map_err(refused("read the CPU's events"))?;
            let exception = events.exception;
            let known = exception.injected != 0 || exception.pending != 0 || exception.nr != 0;
            if known && exception.nr != vector::DOUBLE {
                let page = exception.nr == vector::PAGE;
                let error =
                    Some(u64::from(exception.error_code)).filter(|_| exception.has_error_code != 0);
                let access = error.filter(|_| page).map(FaultAccess::from_error_code);
                Fault {
                    vector: Some(exception.nr),
                    address: page.then_some(sregs.cr2),
                    access,
                    ..fault
                }
            } else if sregs.cr2 != vcpu::CR2_UNTOUCHED {
                // Page faults have no handler, so the first one is the last.
                Fault {
                    vector: Some(vector::PAGE),
                    address: Some(sregs.cr2),
                    ..fault
                }
            } else {
                let mut code = [0; 16];
                let have = vm.memory.read_bytes(registers.rip, &mut code);
                Fault {
                    vector: have.then(|| vector::from_instruction(&code)).flatten(),
                    ..fault
                }
            }
        }
    })
}
