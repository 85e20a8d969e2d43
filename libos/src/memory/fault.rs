//! What a fault at an address means to the application, in Linux's numbers. Owns nothing.

use super::access::{self, Reason};
use super::regions::Backing;
use super::{REGIONS, check};
use crate::filesystem;
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::{SIGBUS, SIGSEGV};

/// `si_code`: nothing is mapped there.
pub const SEGV_MAPERR: i32 = 1;
/// `si_code`: it is mapped, and not to be used so.
pub const SEGV_ACCERR: i32 = 2;
/// `si_code`: past the end of what is mapped.
pub const BUS_ADRERR: i32 = 2;

/// The signal and its `si_code` for a page fault at `address`.
pub fn fault_signal(address: usize) -> (u32, i32) {
    let Some(region) = REGIONS.with(|regions| regions.first(address, address.saturating_add(1)))
    else {
        let is_mapped = match access::reason(address) {
            Some(reason) => reason == Reason::Protected,
            None => check::allows(address, 1, super::Rights::Read),
        };
        let code = if is_mapped { SEGV_ACCERR } else { SEGV_MAPERR };
        return (SIGSEGV, code);
    };
    let is_past_end = match region.backing {
        Backing::Anonymous | Backing::Shared | Backing::Copy => false,
        Backing::PastEnd => true,
        Backing::File(file) => {
            let page = file.page + (address - region.start) / PAGE_BYTES;
            filesystem::with(|root| root.file_pages(file.inode)) <= page
        }
    };
    match is_past_end {
        true => (SIGBUS, BUS_ADRERR),
        false => (SIGSEGV, SEGV_ACCERR),
    }
}
