//! Control messages of `sendmsg` and `recvmsg` (cmsg(3)): their layout, and nothing of what they say.
//! Owns nothing. Must never read or write beyond the room that the caller gave.

use super::{Errno, Guest, Result};
use linux_raw_sys::net::{MSG_CTRUNC, cmsghdr, msghdr};

/// Bytes before the data of a message.
const HEADER_BYTES: usize = size_of::<cmsghdr>();
/// Messages begin at multiples of this.
const ALIGNMENT: usize = size_of::<usize>();

/// A message that the program sends.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// `SOL_*`.
    pub level: u32,
    /// Which of that level.
    pub kind: u32,
    /// What it says.
    pub data: &'a [u8],
}

/// Calls `each` for the messages that come with `message`.
///
/// # Errors
///
/// `EINVAL` for a message that is longer than the room or shorter than its header; `EFAULT`; what `each` answers.
pub(crate) fn for_each(
    guest: Guest,
    message: &msghdr,
    mut each: impl FnMut(Message<'_>) -> Result<()>,
) -> Result<()> {
    let mut rest = guest.bytes(message.msg_control as usize, message.msg_controllen)?;
    while rest.len() >= HEADER_BYTES {
        let (length, others) = rest.split_at(size_of::<usize>());
        let length = usize::from_ne_bytes(length.try_into().map_err(|_| Errno::INVAL)?);
        if !(HEADER_BYTES..=rest.len()).contains(&length) {
            return Err(Errno::INVAL);
        }
        let word = |at: usize| {
            let bytes = others
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_ne_bytes).ok_or(Errno::INVAL)
        };
        each(Message {
            level: word(0)?,
            kind: word(4)?,
            data: &rest[HEADER_BYTES..length],
        })?;
        let next = length.next_multiple_of(ALIGNMENT).min(rest.len());
        rest = &rest[next..];
    }
    Ok(())
}

/// The room for messages that the program receives.
pub(crate) struct Room {
    at: usize,
    bytes: usize,
    used: usize,
    /// `MSG_CTRUNC` once something did not fit.
    pub flags: u32,
}

impl Room {
    /// The room of `message`.
    pub fn new(message: &msghdr) -> Self {
        let none = message.msg_control.is_null();
        Self {
            at: message.msg_control as usize,
            bytes: if none { 0 } else { message.msg_controllen },
            used: 0,
            flags: 0,
        }
    }

    /// Bytes of it that hold messages (`msg_controllen` afterwards).
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether the caller asks for no messages at all.
    pub fn is_missing(&self) -> bool {
        self.at == 0
    }

    /// How many values of `bytes` bytes the next message has room for.
    pub fn fitting(&self, bytes: usize) -> usize {
        (self.bytes - self.used).saturating_sub(HEADER_BYTES) / bytes
    }

    /// Writes a message, cut short where there is no more room.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub fn put(&mut self, guest: Guest, level: u32, kind: u32, data: &[u8]) -> Result<()> {
        let left = self.bytes - self.used;
        if left < HEADER_BYTES {
            self.flags |= MSG_CTRUNC;
            return Ok(());
        }
        let whole = HEADER_BYTES + data.len();
        let length = whole.min(left);
        if length < whole {
            self.flags |= MSG_CTRUNC;
        }
        let target = guest.bytes_mut(self.at + self.used, length)?;
        target[..8].copy_from_slice(&length.to_ne_bytes());
        target[8..12].copy_from_slice(&level.to_ne_bytes());
        target[12..HEADER_BYTES].copy_from_slice(&kind.to_ne_bytes());
        target[HEADER_BYTES..].copy_from_slice(&data[..length - HEADER_BYTES]);
        self.used += whole.next_multiple_of(ALIGNMENT).min(left);
        Ok(())
    }
}
