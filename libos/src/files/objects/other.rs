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
use alloc::boxed::Box;
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

    /// Writes what fits now.
    fn write(&mut self, _world: &mut World<'_>, _from: &mut Gather<'_>) -> Result {
        Err(Errno::INVAL)
    }

    /// Bytes there are to read (`FIONREAD`).
    fn readable_bytes(&mut self) -> Result {
        Err(Errno::NOTTY)
    }

    /// The last descriptor is closed; the object goes away afterwards.
    fn close(&mut self, _world: &mut World<'_>) {}
}

/// What an operation of an [`Other`] reaches besides the object itself.
pub(crate) struct World<'a> {
    objects: &'a mut Objects,
    /// The clocks and the rest of the world outside.
    pub host: &'a dyn Host,
}

impl World<'_> {
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
        let queue = self.objects.waiters.queue()?;
        let slot = Slot {
            queue,
            object: Some(object),
        };
        let number = match self.objects.others.insert(slot) {
            Ok(number) => number,
            Err(error) => {
                self.objects.waiters.remove_queue(queue);
                return Err(error);
            }
        };
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
        let slot = self.objects.others.get_mut(number)?;
        let object: &mut dyn Any = slot.object.as_deref_mut()?;
        object.downcast_mut()
    }

    /// An object changed: tells everybody who waits for one of `events`.
    pub(crate) fn tell_other(&mut self, number: u32, events: u32) {
        let queue = self.objects.other_queue(number);
        self.objects.notify(&self.host, queue, events);
    }
}
