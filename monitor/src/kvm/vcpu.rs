//! The virtual CPU: identification, registers and counter, at CPL 3 from the first instruction.
//! Bits that this KVM does not grant are not set: the code falls back, then fails.

use super::tables::Tables;
use crate::clock;
use crate::report::Registers;
use kvm_bindings::{
    CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS,
    KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
};
use kvm_bindings::{
    Msrs, kvm_cpuid_entry2, kvm_device_attr, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs,
    kvm_xcr, kvm_xcrs,
};
use kvm_ioctls::{Cap, Kvm, SyncReg, VcpuFd};
use std::arch::x86_64::__cpuid_count;
use std::os::fd::AsRawFd;

/// Paging, write protection, native FPU errors, alignment checks if the guest enables them.
const CR0: u64 = 0x8005_0033;
const CR4_PAE: u64 = 1 << 5;
const CR4_FXSR: u64 = 1 << 9;
const CR4_XMM_EXCEPTIONS: u64 = 1 << 10;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;
/// Long mode, active, no-execute pages; no `syscall` instruction.
const EFER: u64 = 1 << 8 | 1 << 10 | 1 << 11;
/// x87, SSE, AVX, AVX-512: the states without supervisor parts or extra permission.
const XCR0_WANTED: u64 = 0xe7;
const XCR0_LEAST: u64 = 0x3;
const CODE_SELECTOR: u16 = 0x33;
const DATA_SELECTOR: u16 = 0x2b;
const TASK_SELECTOR: u16 = 0x40;
const FLAGS: u64 = 0x2;
const IA32_TSC: u32 = 0x10;

/// CR2 before any page fault: an address on which a guest cannot fault.
/// So even a KVM that keeps no exception vector on shutdown distinguishes page faults from others.
pub(super) const CR2_UNTOUCHED: u64 = 0x0000_7bad_0000_0000;

const LEAF1_XSAVE: u32 = 1 << 26;
const LEAF1_OSXSAVE: u32 = 1 << 27;
const LEAF7_FSGSBASE: u32 = 1;

/// CPU features that the set-up depends on.
pub(super) struct Features {
    pub fsgsbase: bool,
    xsave: bool,
    xcr0: u64,
}

/// Gives the vCPU the host CPU's identification, reduced to what user code needs.
///
/// Measured in a cloud machine: KVM_GET_SUPPORTED_CPUID takes 267 us, a `cpuid` instruction 4 us
/// (it traps to the cloud's monitor).
/// So only six leaves are read. KVM's own table is used only if KVM refuses ours.
pub(super) fn identify(kvm: &Kvm, vcpu: &VcpuFd) -> Result<Features, kvm_ioctls::Error> {
    let entries = host_entries();
    let table = CpuId::from_entries(&entries).map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))?;
    match vcpu.set_cpuid2(&table) {
        Ok(()) => Ok(features(&entries)),
        Err(_) => {
            let table = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
            vcpu.set_cpuid2(&table)?;
            Ok(features(table.as_slice()))
        }
    }
}

fn host_entries() -> [kvm_cpuid_entry2; 7] {
    const HIGHEST_BASIC: u32 = 0xd;
    const HIGHEST_EXTENDED: u32 = 0x8000_0008;
    let entry = |function, indexed| {
        let leaf = __cpuid_count(function, 0);
        let flags = if indexed {
            KVM_CPUID_FLAG_SIGNIFCANT_INDEX
        } else {
            0
        };
        let (eax, ebx, ecx, edx) = (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx);
        kvm_cpuid_entry2 {
            function,
            index: 0,
            flags,
            eax,
            ebx,
            ecx,
            edx,
            ..Default::default()
        }
    };
    let mut vendor = entry(0, false);
    vendor.eax = vendor.eax.min(HIGHEST_BASIC);
    let mut basic = entry(1, false);
    // One CPU, with interrupt controller number 0; OSXSAVE follows CR4.
    basic.ebx = basic.ebx & 0x0000_ffff | 1 << 16;
    basic.ecx &= !LEAF1_OSXSAVE;
    let extended = kvm_cpuid_entry2 {
        function: 0x8000_0000,
        eax: HIGHEST_EXTENDED,
        ..Default::default()
    };
    // States that need the host's permission first (AMX) make KVM refuse the whole table.
    let mut states = entry(0xd, true);
    (states.eax, states.edx) = (states.eax & XCR0_WANTED as u32, 0);
    let rest = [
        entry(7, true),
        states,
        entry(0x8000_0001, false),
        entry(HIGHEST_EXTENDED, false),
    ];
    let [features, states, more, sizes] = rest;
    [vendor, basic, features, states, extended, more, sizes]
}

fn features(entries: &[kvm_cpuid_entry2]) -> Features {
    let leaf = |function, index| {
        entries
            .iter()
            .find(|entry| entry.function == function && entry.index == index)
    };
    let xsave = leaf(1, 0).is_some_and(|entry| entry.ecx & LEAF1_XSAVE != 0);
    let fsgsbase = leaf(7, 0).is_some_and(|entry| entry.ebx & LEAF7_FSGSBASE != 0);
    let xcr0 = leaf(0xd, 0).map_or(0, |entry| u64::from(entry.eax) | u64::from(entry.edx) << 32);
    Features {
        fsgsbase,
        xsave,
        xcr0: xcr0 & XCR0_WANTED,
    }
}

/// Returns the state of long mode at CPL 3 in which the vCPU starts;
/// also enables the extended states.
pub(super) fn long_mode(
    vcpu: &VcpuFd,
    tables: &Tables,
    features: &mut Features,
) -> Result<kvm_sregs, kvm_ioctls::Error> {
    let mut sregs = vcpu.get_sregs()?;
    let flat = kvm_segment {
        limit: u32::MAX,
        present: 1,
        dpl: 3,
        s: 1,
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment {
        selector: DATA_SELECTOR,
        type_: 3,
        db: 1,
        ..flat
    };
    sregs.cs = kvm_segment {
        selector: CODE_SELECTOR,
        type_: 11,
        l: 1,
        ..flat
    };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    let (base, limit) = (tables.task_state, tables.task_state_limit);
    sregs.tr = kvm_segment {
        base,
        limit,
        selector: TASK_SELECTOR,
        type_: 11,
        present: 1,
        ..Default::default()
    };
    // No table at all: with a limit of 0, the attempt to deliver a fault does not overwrite CR2.
    (
        sregs.idt.base,
        sregs.idt.limit,
        sregs.gdt.base,
        sregs.gdt.limit,
    ) = (0, 0, 0, 0);
    (sregs.cr0, sregs.cr2, sregs.cr3, sregs.efer) = (CR0, CR2_UNTOUCHED, tables.cr3, EFER);
    sregs.cr4 = CR4_PAE | CR4_FXSR | CR4_XMM_EXCEPTIONS;
    sregs.cr4 |= if features.fsgsbase { CR4_FSGSBASE } else { 0 };
    sregs.cr4 |= if features.xsave { CR4_OSXSAVE } else { 0 };
    if features.xsave {
        let mut xcrs = kvm_xcrs {
            nr_xcrs: 1,
            ..Default::default()
        };
        xcrs.xcrs[0] = kvm_xcr {
            xcr: 0,
            value: features.xcr0,
            ..Default::default()
        };
        if vcpu.set_xcrs(&xcrs).is_err() {
            xcrs.xcrs[0].value = XCR0_LEAST;
            vcpu.set_xcrs(&xcrs)?;
            features.xcr0 = XCR0_LEAST;
        }
    }
    Ok(sregs)
}

/// Makes the vCPU start in `sregs` at `rip`, with the argument `rdi`.
/// If KVM supports it, the registers are passed with the first entry. This saves one call per set
/// of registers, about 10 us each in a cloud machine.
pub(super) fn start_at(
    kvm: &Kvm,
    vcpu: &mut VcpuFd,
    sregs: &kvm_sregs,
    rip: u64,
    rdi: u64,
) -> Result<(), kvm_ioctls::Error> {
    let regs = kvm_regs {
        rip,
        rdi,
        rflags: FLAGS,
        ..Default::default()
    };
    let both = (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS) as i32;
    if kvm.check_extension_int(Cap::SyncRegs) & both != both {
        vcpu.set_sregs(sregs)?;
        return vcpu.set_regs(&regs);
    }
    let taken = vcpu.sync_regs_mut();
    (taken.regs, taken.sregs) = (regs, *sregs);
    vcpu.set_sync_dirty_reg(SyncReg::Register);
    vcpu.set_sync_dirty_reg(SyncReg::SystemRegister);
    Ok(())
}

/// Synchronises the guest's counter with the host's. Returns guest
/// minus host if KVM keeps them apart.
pub(super) fn align_tsc(vcpu: &VcpuFd) -> u64 {
    // From linux/kvm.h: _IOW(KVMIO, 0xe1, struct kvm_device_attr).
    const KVM_SET_DEVICE_ATTR: libc::c_ulong = 0x4018_aee1;
    let zero = 0u64;
    let attr = kvm_device_attr {
        flags: 0,
        group: KVM_VCPU_TSC_CTRL,
        attr: u64::from(KVM_VCPU_TSC_OFFSET),
        addr: (&raw const zero) as u64,
    };
    // SAFETY: `attr` and the value it points to outlive the call.
    if unsafe { libc::ioctl(vcpu.as_raw_fd(), KVM_SET_DEVICE_ATTR, &attr) } == 0 {
        return 0;
    }
    let entry = kvm_msr_entry {
        index: IA32_TSC,
        ..Default::default()
    };
    let Ok(mut msrs) = Msrs::from_entries(&[entry]) else {
        return 0;
    };
    let before = clock::tsc();
    match vcpu.get_msrs(&mut msrs) {
        Ok(1) => msrs.as_slice()[0].data.wrapping_sub(before),
        _ => 0,
    }
}

/// Returns the guest's registers in the form of a report.
pub(super) fn registers(vcpu: &VcpuFd, sregs: &kvm_sregs) -> Result<Registers, kvm_ioctls::Error> {
    let r = vcpu.get_regs()?;
    Ok(Registers {
        general: [
            r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
            r.r12, r.r13, r.r14, r.r15,
        ],
        rip: r.rip,
        rflags: r.rflags,
        fs_base: sregs.fs.base,
    })
}
