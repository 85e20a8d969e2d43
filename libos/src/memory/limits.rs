//! `RLIMIT_AS` and `RLIMIT_DATA`, for what the application maps. Memory of `malloc` comes from the page source and is
//! bounded by the image's memory alone. The limits themselves are kept in `crate::limits`.

use super::REGIONS;
use crate::calls::errno;
use crate::limits::{self, UNLIMITED};
use crate::linux_stack;
use crate::platform::boot_info;
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::{RLIMIT_AS, RLIMIT_DATA};

/// Whether the limits allow `pages` more, of which `is_data` says that they are writable and of the application alone.
///
/// # Errors
///
/// `ENOMEM`.
pub fn allow(pages: usize, is_data: bool) -> Result<(), isize> {
    let soft = |resource: u32| limits::get(resource as usize).map(|limit| limit.soft);
    let (address_space, data) = (soft(RLIMIT_AS)?, soft(RLIMIT_DATA)?);
    if address_space == UNLIMITED && data == UNLIMITED {
        return Ok(());
    }
    let more = (pages as u64).saturating_mul(PAGE_BYTES as u64);
    let (mapped, mapped_data) =
        REGIONS.with(|regions| (regions.bytes() as u64, regions.data_bytes() as u64));
    let broken = super::brk::bytes() as u64;
    let segments = || linux_stack::segments();
    let image: u64 = segments().map(|(range, ..)| range.len() as u64).sum();
    let writable = segments().filter(|(_, is_writable, _)| *is_writable);
    let image_data: u64 = writable.map(|(range, ..)| range.len() as u64).sum();
    let total = image + boot_info().stack.bytes + mapped + broken;
    let total_data = image_data + mapped_data + broken;
    let fits = |limit: u64, used: u64| used.saturating_add(more) <= limit;
    if fits(address_space, total) && (!is_data || fits(data, total_data)) {
        Ok(())
    } else {
        Err(errno::ENOMEM)
    }
}
