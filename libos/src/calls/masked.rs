//! Calls that wait under a signal mask of their own: `ppoll`, `pselect6`, `epoll_pwait`.
//! Owns nothing: sets the mask, makes the plain call, sets the mask back.

use super::{Arguments, Outcome, blocking, errno, pointer};
use crate::{filesystem, signals};
use linux_raw_sys::general::{__NR_epoll_pwait, __NR_epoll_pwait2, __NR_ppoll, __NR_pselect6};

/// Answers such calls.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    // Which argument leads to the mask; the plain call has 0 there.
    let place = match number as u32 {
        __NR_ppoll => 3,
        __NR_epoll_pwait | __NR_epoll_pwait2 => 4,
        __NR_pselect6 => 5,
        _ => return None,
    };
    let mut plain = arguments;
    plain[place] = 0;
    // Its size follows it, but for `pselect6`, which has no further argument.
    let bytes = arguments.get(place + 1).copied().unwrap_or(0);
    let mask = mask_at(number, arguments[place], bytes);
    Some(mask.map(|mask| {
        let answer = signals::with_mask(mask, || {
            // SAFETY: the caller's promise.
            let answer = unsafe { filesystem::call(number, plain) }.unwrap_or(errno::ENOSYS);
            // SAFETY: as above.
            unsafe { blocking::settle(number, plain, answer) }
        });
        answer as usize
    }))
}

fn mask_at(number: usize, address: usize, bytes: usize) -> Result<u64, isize> {
    let [address, bytes] = if number as u32 == __NR_pselect6 {
        // SAFETY: the program's own structure; null was refused.
        unsafe { pointer::<[usize; 2]>(address)?.read() }
    } else {
        [address, bytes]
    };
    if bytes != size_of::<u64>() {
        return Err(errno::EINVAL);
    }
    // SAFETY: the program's own set; null was refused.
    Ok(unsafe { pointer::<u64>(address)?.read() })
}
