//! FIFOs (fifo(7)): pipes with a name. Everybody who has opened one has an end of his own; what they share is a
//! [`Core`], which is there while the FIFO is open.
//! Owns the state of both; the data lies in a `Flow`, as that of pipes does.

use super::pipe::Flow;
use super::{Errno, Files, Gather, Host, Node, Opening, Other, Result, Scatter, World, boxed};
use crate::files::data::Data;
use crate::files::inode::{Device, Kind};
use alloc::vec::Vec;
use bespoke_heap::Pages;
use linux_raw_sys::general::{
    O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, POLLERR, POLLHUP, POLLIN, POLLOUT,
    POLLRDNORM, POLLWRNORM, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK,
};

const READABLE: u32 = POLLIN | POLLRDNORM;
const WRITABLE: u32 = POLLOUT | POLLWRNORM;
const ALL: u32 = READABLE | WRITABLE | POLLERR | POLLHUP;

/// A FIFO, as its inode keeps it: the number of its core, which may have ended since.
struct Fifo(Option<u32>);

/// What all ends of a FIFO share.
struct Core {
    /// Of the FIFO, so that a core that took the number of another one is not mistaken for it.
    inode: u32,
    flow: Flow,
    state: State,
    ends: Vec<u32>,
}

/// How things stand, as far as the ends need to know.
#[derive(Clone, Copy, Default)]
struct State {
    readers: u32,
    writers: u32,
    /// Ends for reading and for writing that were ever opened.
    opened: [u64; 2],
    bytes: usize,
    is_full: bool,
}

/// An end that somebody has opened.
struct End {
    number: u32,
    core: u32,
    reads: bool,
    writes: bool,
    /// [`State::opened`] when this end was made.
    opened: [u64; 2],
    state: State,
}

impl Other for Core {
    fn kind(&self) -> &'static str {
        "fifo"
    }

    fn readiness(&mut self) -> u32 {
        0
    }
}

/// Works on a core; answers what that did, which events it brought, and how things stand.
fn work<R>(
    world: &mut World<'_>,
    core: u32,
    work: impl FnOnce(&mut Core, &Pages) -> (R, u32),
) -> Result<(R, u32, State)> {
    let pages = world.pages();
    let core = world.other::<Core>(core).ok_or(Errno::PIPE)?;
    let (answer, events) = work(core, &pages);
    core.state.bytes = core.flow.data.bytes();
    core.state.is_full = core.flow.is_full();
    Ok((answer, events, core.state))
}

/// Lets all ends of a core know how things stand, and tells those who wait for `events`.
fn tell(world: &mut World<'_>, core: u32, events: u32) {
    let mut index = 0;
    while let Some((end, state)) = world
        .other::<Core>(core)
        .and_then(|core| Some((*core.ends.get(index)?, core.state)))
    {
        index += 1;
        // The end that is at work is not found, and knows already.
        if let Some(end) = world.other::<End>(end) {
            end.state = state;
        }
        world.tell(end, events);
    }
}

impl End {
    fn work<R>(
        &mut self,
        world: &mut World<'_>,
        on_core: impl FnOnce(&mut Core, &Pages) -> (R, u32),
    ) -> Result<R> {
        let (answer, events, state) = work(world, self.core, on_core)?;
        self.state = state;
        tell(world, self.core, events);
        Ok(answer)
    }
}

impl Other for End {
    fn kind(&self) -> &'static str {
        "fifo"
    }

    fn file_type(&self) -> u32 {
        S_IFIFO
    }

    fn readiness(&mut self) -> u32 {
        let (state, mut ready) = (self.state, 0);
        if self.reads {
            if state.bytes > 0 {
                ready |= READABLE;
            }
            // Nobody has hung up before the first writer came.
            if state.writers == 0 && state.opened[1] != self.opened[1] {
                ready |= POLLHUP;
            }
        }
        if self.writes {
            if !state.is_full {
                ready |= WRITABLE;
            }
            if state.readers == 0 {
                ready |= POLLERR;
            }
        }
        ready
    }

    fn readable_bytes(&mut self) -> Result {
        Ok(self.state.bytes)
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn read(&mut self, world: &mut World<'_>, to: &mut Scatter<'_>) -> Result {
        if to.remaining() == 0 {
            return Ok(0);
        }
        self.work(world, |core, pages| {
            let was_full = core.flow.is_full();
            let done = core.flow.data.read(pages, to, usize::MAX);
            let answer = match done {
                0 if core.state.writers > 0 => Err(Errno::AGAIN),
                _ => Ok(done),
            };
            (answer, if was_full && done > 0 { WRITABLE } else { 0 })
        })?
    }

    fn peek(&mut self, world: &mut World<'_>, to: &mut Scatter<'_>) -> Result {
        self.work(world, |core, _| {
            let answer = match core.flow.data.peek(to, usize::MAX) {
                0 if core.state.writers > 0 => Err(Errno::AGAIN),
                done => Ok(done),
            };
            (answer, 0)
        })?
    }

    fn pipe(&self) -> Option<u32> {
        Some(self.core)
    }

    fn write(&mut self, world: &mut World<'_>, from: &mut Gather<'_>) -> Result {
        if from.remaining() == 0 {
            return Ok(0);
        }
        self.work(world, |core, pages| {
            if core.state.readers == 0 {
                return (Err(Errno::PIPE), 0);
            }
            match core.flow.write(pages, from, false) {
                Ok(0) => (Err(Errno::AGAIN), 0),
                Ok(done) => (Ok(done), READABLE),
                Err(error) => (Err(error), 0),
            }
        })?
    }

    fn capacity(&mut self, world: &mut World<'_>, bytes: Option<usize>) -> Result {
        self.work(world, |core, _| match bytes {
            None => (Ok(core.flow.capacity()), 0),
            Some(bytes) => (core.flow.set_capacity(bytes), WRITABLE),
        })?
    }

    fn close(&mut self, world: &mut World<'_>) {
        let (number, reads, writes) = (self.number, self.reads, self.writes);
        let left = self.work(world, |core, pages| {
            core.state.readers -= u32::from(reads);
            core.state.writers -= u32::from(writes);
            core.ends.retain(|&end| end != number);
            if core.ends.is_empty() {
                core.flow.data.release(pages);
            }
            (core.ends.len(), ALL)
        });
        if left == Ok(0) {
            world.remove(self.core);
        }
    }
}

impl Fifo {
    /// The number of the core, made if it is not there.
    fn core(&mut self, world: &mut World<'_>, inode: u32) -> Result<u32> {
        if let Some(number) = self.0
            && world
                .other::<Core>(number)
                .is_some_and(|core| core.inode == inode)
        {
            return Ok(number);
        }
        let number = world.insert(boxed(Core {
            inode,
            flow: Flow::new(),
            state: State::default(),
            ends: Vec::new(),
        })?)?;
        self.0 = Some(number);
        Ok(number)
    }
}

impl Node for Fifo {
    fn file_type(&self) -> u32 {
        S_IFIFO
    }

    fn open(
        &mut self,
        world: &mut World<'_>,
        inode: u32,
        flags: u32,
        earlier: Option<u32>,
    ) -> Result<Opening> {
        let access = flags & O_ACCMODE;
        let (reads, writes) = match access {
            O_RDONLY => (true, false),
            O_WRONLY => (false, true),
            O_RDWR => (true, true),
            _ => return Err(Errno::INVAL),
        };
        let core = self.core(world, inode)?;
        if let Some(number) = earlier {
            let end = world.other::<End>(number).ok_or(Errno::NXIO)?;
            // Whoever came is enough, also when he has left again.
            let other = usize::from(reads);
            return Ok(if end.state.opened[other] != end.opened[other] {
                Opening::Open(number)
            } else {
                Opening::Waits(number, ALL)
            });
        }
        let state = world.other::<Core>(core).ok_or(Errno::NXIO)?.state;
        if access == O_WRONLY && flags & O_NONBLOCK != 0 && state.readers == 0 {
            if state.writers == 0 {
                world.remove(core);
            }
            return Err(Errno::NXIO);
        }
        let number = match boxed(End {
            number: 0,
            core,
            reads,
            writes,
            opened: state.opened,
            state,
        }) {
            Ok(end) => world.insert(end)?,
            Err(error) => return Err(error),
        };
        if let Some(end) = world.other::<End>(number) {
            end.number = number;
        }
        let (reserved, ..) = work(world, core, |core, _| {
            let reserved = core.ends.try_reserve(1);
            if reserved.is_ok() {
                core.ends.push(number);
                core.state.readers += u32::from(reads);
                core.state.writers += u32::from(writes);
                core.state.opened[0] += u64::from(reads);
                core.state.opened[1] += u64::from(writes);
            }
            (reserved, 0)
        })?;
        if reserved.is_err() {
            world.remove(number);
            return Err(Errno::NOMEM);
        }
        tell(world, core, ALL);
        let waits = match access {
            O_RDONLY => state.writers == 0 && flags & O_NONBLOCK == 0,
            O_WRONLY => state.readers == 0,
            _ => false,
        };
        Ok(if waits {
            Opening::Waits(number, ALL)
        } else {
            Opening::Open(number)
        })
    }
}

impl<H: Host> Files<H> {
    /// `mknod`, `mknodat`
    ///
    /// # Errors
    ///
    /// `EPERM` for devices that an image does not have.
    pub(crate) fn make_node(
        &mut self,
        base: usize,
        path: &[u8],
        mode: u32,
        device: usize,
    ) -> Result {
        let kind = mode & S_IFMT;
        match kind {
            0 | S_IFREG | S_IFIFO | S_IFSOCK | S_IFCHR | S_IFBLK => {}
            S_IFDIR => return Err(Errno::PERM),
            _ => return Err(Errno::INVAL),
        }
        let (parent, name) = self.vacant(base, path, false)?;
        let kind = match (kind, device) {
            (0 | S_IFREG, _) => Kind::Regular(Data::new()),
            (S_IFIFO, _) => Kind::Node(boxed(Fifo(None))?),
            (S_IFSOCK, _) => Kind::Socket(None),
            (S_IFCHR, 0x103) => Kind::Device(Device::Null),
            (S_IFCHR, 0x105) => Kind::Device(Device::Zero),
            (S_IFCHR, 0x107) => Kind::Device(Device::Full),
            (S_IFCHR, 0x108) => Kind::Device(Device::Random { urandom: false }),
            (S_IFCHR, 0x109) => Kind::Device(Device::Random { urandom: true }),
            _ => return Err(Errno::PERM),
        };
        self.place(parent, name, kind, mode & !self.umask)?;
        Ok(0)
    }
}
