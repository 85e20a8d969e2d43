//! Reading from and writing to objects that may have to wait: the one place that decides between
//! `EAGAIN`, a short transfer and waiting. Owns nothing.

use super::unix::ROOM;
use super::vector::{Gather, Scatter};
use super::{Errno, Files, Host, Result, Waitable};
use linux_raw_sys::general::{O_NONBLOCK, POLLIN, POLLOUT};

/// How a transfer differs from `read` and `write`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Do not wait (`MSG_DONTWAIT`).
    pub no_wait: bool,
    /// No `SIGPIPE` (`MSG_NOSIGNAL`).
    pub no_signal: bool,
}

impl<H: Host> Files<H> {
    /// Reads what there is, or waits for the first byte.
    pub(crate) fn read_stream(
        &mut self,
        descriptor: usize,
        waitable: Waitable,
        to: &mut Scatter<'_>,
        manner: Manner,
    ) -> Result {
        let read = self.objects.try_read(&self.host, waitable, to);
        if self.objects.has_rights() {
            self.let_rights_go();
        }
        match read {
            Err(Errno::AGAIN) => self.wait_to_read(descriptor, waitable, manner.no_wait),
            other => other,
        }
    }

    /// There is nothing to read from `waitable` yet.
    pub(super) fn wait_to_read(
        &mut self,
        descriptor: usize,
        waitable: Waitable,
        no_wait: bool,
    ) -> Result {
        // Who would wait for what cannot come is told of the end; who would not has nothing to read.
        let is_shut = match waitable {
            Waitable::Unix(socket) => (self.objects.local_calls()?.is_shut)(&self.objects, socket),
            Waitable::Inet(socket) => self.objects.inet_is_shut(socket),
            _ => false,
        };
        if is_shut && self.may_wait(descriptor, no_wait)? {
            return Ok(0);
        }
        self.limit_wait(waitable, 0)?;
        self.would_block(descriptor, POLLIN, 0, no_wait)
    }

    /// Writes everything, waiting for room as often as need be; with `O_NONBLOCK` what fits.
    pub(crate) fn write_stream(
        &mut self,
        descriptor: usize,
        waitable: Waitable,
        from: &mut Gather<'_>,
        manner: Manner,
    ) -> Result {
        let mut done = core::mem::take(&mut self.objects.attempt.done);
        from.skip(done);
        loop {
            match self.objects.try_write(&self.host, waitable, from) {
                Ok(count) => done += count,
                Err(Errno::AGAIN) => {
                    self.limit_wait(waitable, 1)?;
                    if let Waitable::Unix(socket) = waitable
                        && !self.objects.is_stream(waitable)
                    {
                        let queue = (self.objects.local_calls()?.room)(&self.objects, socket);
                        return self.would_block_on(descriptor, queue, ROOM, 0, manner.no_wait);
                    }
                    return self.would_block(descriptor, POLLOUT, done, manner.no_wait);
                }
                Err(_) if done > 0 => return Ok(done),
                Err(Errno::PIPE) if !manner.no_signal && self.objects.is_stream(waitable) => {
                    return Err(Errno::PIPE_SIGNAL);
                }
                Err(error) => return Err(error),
            }
            let flags = self.descriptors.get(descriptor)?.flags;
            if !self.objects.is_stream(waitable)
                || from.remaining() == 0
                || manner.no_wait
                || flags & O_NONBLOCK != 0
            {
                return Ok(done);
            }
        }
    }
}
