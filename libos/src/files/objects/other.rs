//! Objects of kinds that few programs make: inotify, signalfd, message queues and the like.
//!
//! Common code reaches them through the trait [`Other`] alone and names none of them. So the code of a kind is linked
//! only into images that can make one: through the table of methods that comes with the first `Box<dyn Other>`.
//!
//! # How to add such a kind
//!
//! 1. A type that implements [`Other`], in the file of the call group that makes it.
//! 2. `boxed(value)?`, then [`Files::open_other`]: answers the descriptor.
//! 3. Calls that take such a descriptor: [`Files::other`] answers its number and the value behind it, `EINVAL` for a
//!    descriptor of another kind. A call that would wait answers `Err(files.would_block(descriptor, events, 0, false)?)`.
//! 4. What changes an object from elsewhere calls [`Files::tell_other`] with its number afterwards.

use super::waiters::Queue;
use super::{Errno, Files, Gather, Host, Objects, Result, Scatter, Waitable};
use crate::files::descriptors::Object;
use crate::files::inode::{InodeId, Kind};
use crate::threads::Reason;
use alloc::boxed::Box;
use bespoke_heap::Pages;
use core::alloc::Layout;
use core::any::Any;

/// An object of a rare kind. Operations neither look at `O_NONBLOCK` nor wait: they answer `EAGAIN` when they cannot
/// go on.
pub(crate) trait Other: Any {
    /// Its name: of the link in `/proc/self/fd` (`anon_inode:NAME`), and in reports.
    fn kind(&self) -> &'static str;

    /// File type bits of its inode.
    fn file_type(&self) -> u32 {
        0
    }

    /// What poll(2) says of it now.
    fn readiness(&mut self) -> u32;

    /// Reads what there is now. Also asked to read no bytes at all.
    fn read(&mut self, _world: &mut World<'_>, _to: &mut Scatter<'_>) -> Result {
        Err(Errno::INVAL)
    }

    /// For what is a pipe: reads what there is now and leaves it there.
    fn peek(&mut self, _world: &mut World<'_>, _to: &mut Scatter<'_>) -> Result {
        Err(Errno::INVAL)
    }

    /// For what is a pipe: a number that all its ends have in common.
    fn pipe(&self) -> Option<u32> {
        None
    }

    /// Writes what fits now.
    fn write(&mut self, _world: &mut World<'_>, _from: &mut Gather<'_>) -> Result {
        Err(Errno::INVAL)
    }

    /// Bytes there are to read (`FIONREAD`).
    fn readable_bytes(&mut self) -> Result {
        Err(Errno::NOTTY)
    }

    /// Whether bytes flow: a write that stopped goes on when there is room.
    fn is_stream(&self) -> bool {
        false
    }

    /// `F_GETPIPE_SZ` and, with `bytes`, `F_SETPIPE_SZ`.
    fn capacity(&mut self, _world: &mut World<'_>, _bytes: Option<usize>) -> Result {
        Err(Errno::BADF)
    }

    /// Two directories change their inodes' numbers.
    fn renumber(&mut self, _one: InodeId, _other: InodeId) {}

    /// The last descriptor is closed; the object goes away afterwards.
    fn close(&mut self, _world: &mut World<'_>) {}
}

/// A file of a rare kind, as its inode keeps it.
pub(crate) trait Node {
    /// File type bits.
    fn file_type(&self) -> u32;

    /// Opens it. `earlier`: what an attempt of the same call made, which had to wait.
    fn open(
        &mut self,
        world: &mut World<'_>,
        inode: u32,
        flags: u32,
        earlier: Option<u32>,
    ) -> Result<Opening>;
}

/// What [`Node::open`] comes to.
pub(crate) enum Opening {
    /// This object is open.
    Open(u32),
    /// This object will be, when it is told of one of these events.
    Waits(u32, u32),
}

/// What an operation of an [`Other`] reaches besides the object itself.
pub(crate) struct World<'a> {
    objects: &'a mut Objects,
    /// The clocks and the rest of the world outside.
    pub host: &'a dyn Host,
}

impl World<'_> {
    /// Gives an object its place; answers its number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn insert(&mut self, object: Box<dyn Other>) -> Result<u32> {
        self.objects.insert_other(object)
    }

    /// Ends an object that has no descriptor.
    pub fn remove(&mut self, number: u32) {
        if let Some(slot) = self.objects.others.remove(number) {
            self.objects.waiters.remove_queue(slot.queue);
        }
    }

    /// Another object, if it is there, of kind `T`, and not at work.
    pub fn other<T: Other>(&mut self, number: u32) -> Option<&mut T> {
        self.objects.other_numbered(number)
    }

    /// Where data of objects lies.
    pub fn pages(&self) -> Pages {
        self.objects.pages
    }

    /// An object changed, maybe the one at work: tells everybody who waits for one of `events`.
    pub fn tell(&mut self, number: u32, events: u32) {
        let queue = self.objects.other_queue(number);
        self.objects.notify(self.host, queue, events);
    }
}

/// An object in its place.
pub(crate) struct Slot {
    queue: Queue,
    /// Absent while one of its operations is at work.
    object: Option<Box<dyn Other>>,
}

/// A value in memory of its own.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn boxed<T>(value: T) -> Result<Box<T>> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Ok(Box::new(value));
    }
    // SAFETY: the layout is not empty.
    let place = unsafe { alloc::alloc::alloc(layout) }.cast::<T>();
    if place.is_null() {
        return Err(Errno::NOMEM);
    }
    // SAFETY: the allocator granted the place for this very type, and nobody else has it.
    unsafe {
        place.write(value);
        Ok(Box::from_raw(place))
    }
}

impl Objects {
    /// Who waits for an object.
    pub fn other_queue(&self, number: u32) -> Queue {
        self.others[number].queue
    }

    /// Its name; see [`Other::kind`].
    pub fn other_kind(&self, number: u32) -> &'static str {
        let object = self.others[number].object.as_deref();
        object.map_or("object", |object| object.kind())
    }

    /// What poll(2) says of an object.
    pub fn other_readiness(&mut self, number: u32) -> u32 {
        let object = self.others[number].object.as_deref_mut();
        object.map_or(0, |object| object.readiness())
    }

    /// Bytes there are to read of an object.
    pub fn other_bytes(&mut self, number: u32) -> Result {
        let object = self.others[number].object.as_deref_mut();
        object.map_or(Err(Errno::NOTTY), |object| object.readable_bytes())
    }

    /// File type bits of an object's inode.
    pub fn other_file_type(&self, number: u32) -> u32 {
        let object = self.others[number].object.as_deref();
        object.map_or(0, |object| object.file_type())
    }

    fn pipe_number(&self, waitable: Waitable) -> Option<(bool, u32)> {
        match waitable {
            Waitable::Pipe(pipe, _) => Some((false, pipe)),
            Waitable::Other(number) => {
                let object = self.others[number].object.as_deref()?;
                object.pipe().map(|pipe| (true, pipe))
            }
            _ => None,
        }
    }

    /// Whether it is a pipe or a FIFO.
    pub fn is_pipe(&self, waitable: Waitable) -> bool {
        self.pipe_number(waitable).is_some()
    }

    /// Whether both are ends of one pipe.
    pub fn is_same_pipe(&self, one: Waitable, other: Waitable) -> bool {
        self.pipe_number(one) == self.pipe_number(other)
    }

    /// Reads what is in a pipe and leaves it there.
    pub fn peek_pipe(
        &mut self,
        host: &dyn Host,
        waitable: Waitable,
        to: &mut Scatter<'_>,
    ) -> Result {
        match waitable {
            Waitable::Pipe(pipe, _) => self.pipes[pipe].peek(to),
            Waitable::Other(number) => {
                self.with_other(host, number, |object, world| object.peek(world, to))?
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// See [`Other::is_stream`].
    pub fn is_other_stream(&self, number: u32) -> bool {
        let object = self.others[number].object.as_deref();
        object.is_some_and(|object| object.is_stream())
    }

    /// See [`Other::capacity`].
    pub fn other_capacity(&mut self, host: &dyn Host, number: u32, bytes: Option<usize>) -> Result {
        self.with_other(host, number, |object, world| object.capacity(world, bytes))?
    }

    /// Two directories change their inodes' numbers.
    pub fn renumber(&mut self, one: InodeId, other: InodeId) {
        for slot in self.others.values_mut() {
            if let Some(object) = slot.object.as_deref_mut() {
                object.renumber(one, other);
            }
        }
    }

    /// The numbers of all objects.
    pub fn other_numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.others.indices()
    }

    /// Whether an object is of kind `T`.
    pub fn is_other<T: Other>(&self, number: u32) -> bool {
        match self.others[number].object.as_deref() {
            Some(object) => (object as &dyn Any).is::<T>(),
            None => false,
        }
    }

    fn insert_other(&mut self, object: Box<dyn Other>) -> Result<u32> {
        let queue = self.waiters.queue()?;
        let slot = Slot {
            queue,
            object: Some(object),
        };
        let number = self.others.insert(slot);
        if number.is_err() {
            self.waiters.remove_queue(queue);
        }
        number
    }

    fn other_numbered<T: Other>(&mut self, number: u32) -> Option<&mut T> {
        let slot = self.others.get_mut(number)?;
        let object: &mut dyn Any = slot.object.as_deref_mut()?;
        object.downcast_mut()
    }

    /// Lets an object work while all others can be reached, too.
    fn with_other<R>(
        &mut self,
        host: &dyn Host,
        number: u32,
        work: impl FnOnce(&mut dyn Other, &mut World<'_>) -> R,
    ) -> Result<R> {
        let mut object = self.others[number].object.take().ok_or(Errno::AGAIN)?;
        let mut world = World {
            objects: self,
            host,
        };
        let answer = work(&mut *object, &mut world);
        self.others[number].object = Some(object);
        Ok(answer)
    }

    /// Reads what there is now.
    pub fn read_other(&mut self, host: &dyn Host, number: u32, to: &mut Scatter<'_>) -> Result {
        self.with_other(host, number, |object, world| object.read(world, to))?
    }

    /// Writes what fits now.
    pub fn write_other(&mut self, host: &dyn Host, number: u32, from: &mut Gather<'_>) -> Result {
        self.with_other(host, number, |object, world| object.write(world, from))?
    }

    /// The last descriptor of an object is closed.
    pub fn close_other(&mut self, host: &dyn Host, number: u32) {
        // An object that closes while it works does not: its descriptor is open then.
        let _ = self.with_other(host, number, |object, world| object.close(world));
        if let Some(slot) = self.others.remove(number) {
            self.waiters.remove_queue(slot.queue);
        }
    }
}

impl<H: Host> Files<H> {
    /// Opens the lowest closed descriptor on a new object of a rare kind. `flags`: access mode, `O_NONBLOCK`,
    /// `O_CLOEXEC`.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENOMEM`; the object is gone then.
    pub(crate) fn open_other(&mut self, object: Box<dyn Other>, flags: u32) -> Result {
        let number = self.objects.insert_other(object)?;
        self.open_waitable(Waitable::Other(number), flags)
    }

    /// The object of kind `T` behind a descriptor, and its number.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EINVAL` when it is of another kind.
    pub(crate) fn other<T: Other>(&mut self, descriptor: usize) -> Result<(u32, &mut T)> {
        match self.descriptors.get(descriptor)?.object {
            Object::Waitable(Waitable::Other(number)) => {
                let object = self.other_numbered(number).ok_or(Errno::INVAL)?;
                Ok((number, object))
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// The object with a number, if it is there and of kind `T`.
    pub(crate) fn other_numbered<T: Other>(&mut self, number: u32) -> Option<&mut T> {
        self.objects.other_numbered(number)
    }

    /// Opens a file of a rare kind.
    #[cold]
    pub(in crate::files) fn open_node(&mut self, inode: InodeId, flags: u32) -> Result<Object> {
        let earlier = self.objects.attempt.opened.take();
        let Kind::Node(node) = &mut self.inodes[inode].kind else {
            return Err(Errno::NXIO);
        };
        let mut world = World {
            objects: &mut self.objects,
            host: &self.host,
        };
        let opening = node.open(&mut world, inode.0, flags, earlier);
        match opening? {
            Opening::Open(number) => Ok(Object::Waitable(Waitable::Other(number))),
            Opening::Waits(number, events) => {
                let queue = self.objects.other_queue(number);
                let thread = self.host.thread();
                let objects = &mut self.objects;
                objects.attempt.opened = Some(number);
                objects.attempt.reason = Reason::Opening;
                let nodes = &mut objects.attempt.nodes;
                let waits = objects.waiters.add_thread(queue, thread, events, nodes);
                if let Err(error) = waits {
                    self.abandon_opening();
                    return Err(error);
                }
                Err(Errno::RESTART)
            }
        }
    }

    /// An open that waited does not go on.
    pub(crate) fn abandon_opening(&mut self) {
        if let Some(number) = self.objects.attempt.opened.take() {
            self.objects.release(&self.host, Waitable::Other(number));
        }
    }

    /// An object changed: tells everybody who waits for one of `events`.
    pub(crate) fn tell_other(&mut self, number: u32, events: u32) {
        let queue = self.objects.other_queue(number);
        self.objects.notify(&self.host, queue, events);
    }
}
