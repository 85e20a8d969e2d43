//! A call that may have to wait: what survives from one attempt to the next.
//! Owns the wait queue nodes of the call; must never be left behind when a call ends
//! (`Files::finish_attempt`).

use super::waiters::{NONE, Queue};
use super::{Errno, Files, Host, Object, Result, Waitable};
use crate::threads::Reason;
use linux_raw_sys::general::O_NONBLOCK;

/// See the module. A call that begins finds a new one.
pub(crate) struct Attempt {
    /// When the call gives up, on the monotonic clock.
    pub deadline_ns: Option<u64>,
    /// That time has come: answer what there is.
    pub expired: bool,
    /// Bytes transferred by earlier attempts.
    pub done: usize,
    /// Messages transferred by earlier attempts, of calls that transfer several.
    pub messages: usize,
    /// When such a call takes no more of them.
    pub until_ns: Option<u64>,
    /// Whether a handler with `SA_RESTART` lets the call begin again, as for transfers.
    pub restarts: bool,
    /// For the deadlock report.
    pub reason: Reason,
    /// The descriptor waited on and the serial number of its description: another one behind the
    /// same number means that it was closed meanwhile.
    watched: Option<(usize, u64)>,
    /// What an open that waits has made so far.
    pub(super) opened: Option<u32>,
    /// First node of the call.
    pub(super) nodes: u32,
}

impl Attempt {
    /// The first attempt of a call.
    pub const fn new() -> Self {
        Self {
            deadline_ns: None,
            expired: false,
            done: 0,
            messages: 0,
            until_ns: None,
            restarts: true,
            reason: Reason::Nothing,
            watched: None,
            opened: None,
            nodes: NONE,
        }
    }
}

impl<H: Host> Files<H> {
    /// The object behind `descriptor` cannot go on before one of `events`: answers the error for
    /// the caller, `EAGAIN` or [`Errno::RESTART`]. `done` bytes were transferred so far; with
    /// `O_NONBLOCK` or an expired deadline they are the answer if there are any.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn would_block(
        &mut self,
        descriptor: usize,
        events: u32,
        done: usize,
        no_wait: bool,
    ) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let Object::Waitable(waitable) = description.object else {
            return Err(Errno::AGAIN);
        };
        let queue = self.objects.queue(waitable);
        self.would_block_on(descriptor, queue, events, done, no_wait)
    }

    /// Whether a call on `descriptor` that cannot go on waits.
    pub(super) fn may_wait(&self, descriptor: usize, no_wait: bool) -> Result<bool> {
        Ok(!no_wait && self.descriptors.get(descriptor)?.flags & O_NONBLOCK == 0)
    }

    /// As [`Files::would_block`], for something that another object's `queue` tells of.
    pub(super) fn would_block_on(
        &mut self,
        descriptor: usize,
        queue: Queue,
        events: u32,
        done: usize,
        no_wait: bool,
    ) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let kind = match description.object {
            Object::Waitable(Waitable::Other(object)) => self.objects.other_kind(object),
            Object::Waitable(waitable) => waitable.kind(),
            Object::Console { .. } => "console",
            _ => return Err(Errno::AGAIN),
        };
        let (flags, serial) = (description.flags, description.serial);
        let objects = &mut self.objects;
        if no_wait || flags & O_NONBLOCK != 0 || objects.attempt.expired {
            // A time limit that was not waited for is not the next call's.
            objects.attempt.deadline_ns = None;
            return if done > 0 {
                Ok(done)
            } else {
                Err(Errno::AGAIN)
            };
        }
        objects.attempt.done = done;
        let reason = Reason::Descriptor {
            descriptor: descriptor as u32,
            kind,
        };
        self.wait_on(queue, events, (descriptor, serial), reason)
    }

    /// The call goes on when `queue` tells of one of `events`, if the descriptor of `watched` still has the description of
    /// that serial number: answers [`Errno::RESTART`].
    pub(super) fn wait_on(
        &mut self,
        queue: Queue,
        events: u32,
        watched: (usize, u64),
        reason: Reason,
    ) -> Result {
        let objects = &mut self.objects;
        let nodes = &mut objects.attempt.nodes;
        objects
            .waiters
            .add_thread(queue, self.host.thread(), events, nodes)?;
        objects.attempt.watched = Some(watched);
        objects.attempt.reason = reason;
        Err(Errno::RESTART)
    }

    /// Puts the running thread on the queue of one more descriptor, for calls that wait on several.
    /// Descriptors that are always ready have none.
    pub(super) fn watch(&mut self, descriptor: usize, events: u32) -> Result<()> {
        let queue = match self.descriptors.get(descriptor)?.object {
            Object::Waitable(waitable) => self.objects.queue(waitable),
            Object::Console { .. } => self.objects.console_queue()?,
            _ => return Ok(()),
        };
        let objects = &mut self.objects;
        let nodes = &mut objects.attempt.nodes;
        objects
            .waiters
            .add_thread(queue, self.host.thread(), events, nodes)
    }

    /// Takes the running thread off all queues of this call.
    pub(super) fn unwatch(&mut self) {
        let objects = &mut self.objects;
        objects.waiters.remove_siblings(&mut objects.attempt.nodes);
    }

    /// After [`Errno::RESTART`]: what the thread waits for. The next call finds a new attempt.
    pub(crate) fn take_attempt(&mut self) -> Attempt {
        core::mem::replace(&mut self.objects.attempt, Attempt::new())
    }

    /// When the call under way gives up.
    pub(crate) fn attempt_deadline_ns(&self) -> Option<u64> {
        self.objects.attempt.deadline_ns
    }

    /// The monotonic clock.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        self.host.monotonic_ns()
    }

    /// The wait is over.
    pub(crate) fn end_wait(&mut self, attempt: &mut Attempt) {
        self.objects.waiters.remove_siblings(&mut attempt.nodes);
    }

    /// Goes on with a call whose wait is over; [`Files::system_call`] with the same arguments
    /// comes next.
    ///
    /// # Errors
    ///
    /// `EBADF` when the descriptor was closed meanwhile. (Linux lets such calls wait on.)
    pub(crate) fn resume(&mut self, attempt: Attempt) -> Result<()> {
        if let Some((descriptor, serial)) = attempt.watched
            && self.descriptors.get(descriptor)?.serial != serial
        {
            return Err(Errno::BADF);
        }
        self.objects.attempt = attempt;
        Ok(())
    }

    /// A signal ended the wait of a call, which does not go on.
    pub(crate) fn abandon(&mut self, attempt: &mut Attempt) {
        self.objects.attempt.opened = attempt.opened.take();
        self.abandon_opening();
    }

    /// A call that was resumed has ended.
    pub(crate) fn finish_attempt(&mut self) {
        self.unwatch();
        self.abandon_opening();
        self.objects.attempt = Attempt::new();
    }
}
