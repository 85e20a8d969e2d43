//! POSIX message queues.
//!
//! A queue lives while it has a name or a descriptor. Waiting for one is done here, not by `crate::calls::blocking`: a
//! message may send a signal, which cannot be while the file system is at work.
//! Owns the queues and who waits for them.

use super::call_group;
use crate::calls::time::load;
use crate::calls::{Arguments, Outcome, checked, checked_or_null, errno, target};
use crate::files::{Errno, Guest, Other, World, boxed};
use crate::filesystem;
use crate::limits;
use crate::memory::Rights;
use crate::signals::{self, Delivery, Info};
use crate::single::Single;
use crate::threads::{self, Cause, Reason, ThreadId};
use crate::time::{monotonic_ns, wall_ns};
use alloc::vec::Vec;
use linux_raw_sys::general::{
    __NR_mq_getsetattr, __NR_mq_notify, __NR_mq_open, __NR_mq_timedreceive, __NR_mq_timedsend,
    __NR_mq_unlink, O_ACCMODE, O_CLOEXEC, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY,
    POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, RLIMIT_MSGQUEUE, S_IFREG, SIGEV_NONE, SIGEV_SIGNAL,
};

/// Messages and bytes of each, where a program does not say, and at most (`/proc/sys/fs/mqueue`).
const MESSAGES: i64 = 10;
const BYTES: i64 = 8192;
/// Most queues.
const QUEUES: usize = 256;
/// What Linux counts for each message besides its bytes.
const OVERHEAD: u64 = 96;
/// Priorities are lower.
const RANKS: u32 = 32_768;
const NAME_BYTES: usize = 255;

/// `struct mq_attr`.
type Attributes = [i64; 8];

struct Message {
    rank: u32,
    bytes: Vec<u8>,
}

/// Who is told of a message that comes when there was none, once.
#[derive(Clone, Copy)]
struct Note {
    /// Number of the object through which it was asked for.
    number: u32,
    /// `None`: nobody is told, but nobody else can ask.
    signal: Option<(u32, u64)>,
}

struct Queue {
    id: u32,
    /// Empty: it has none any more.
    name: Vec<u8>,
    most: usize,
    bytes: usize,
    /// The next one first.
    messages: Vec<Message>,
    /// Numbers of the objects behind descriptors.
    objects: Vec<u32>,
    note: Option<Note>,
    receivers: Vec<ThreadId>,
    senders: Vec<ThreadId>,
}

impl Queue {
    /// What it counts of `RLIMIT_MSGQUEUE`.
    fn counted(&self) -> u64 {
        counted(self.most, self.bytes)
    }
}

fn counted(most: usize, bytes: usize) -> u64 {
    (most as u64).saturating_mul(OVERHEAD + bytes as u64)
}

struct State {
    queues: Vec<Queue>,
    next: u32,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STATE: Single<State> = unsafe {
    Single::new(State {
        queues: Vec::new(),
        next: 0,
    })
};

/// The object behind a descriptor.
struct QueueFile {
    queue: u32,
    number: u32,
}

impl Other for QueueFile {
    fn kind(&self) -> &'static str {
        "message queue"
    }

    fn file_type(&self) -> u32 {
        S_IFREG
    }

    fn readiness(&mut self) -> u32 {
        let ready = with(self.queue, |queue| {
            let reads = match queue.messages.len() {
                0 => 0,
                _ => POLLIN | POLLRDNORM,
            };
            match queue.messages.len() < queue.most {
                true => reads | POLLOUT | POLLWRNORM,
                false => reads,
            }
        });
        ready.unwrap_or(0)
    }

    fn close(&mut self, _world: &mut World<'_>) {
        let number = self.number;
        // A queue that is gone has nothing to forget.
        let _ = with(self.queue, |queue| {
            queue.objects.retain(|&other| other != number);
            if queue.note.is_some_and(|note| note.number == number) {
                queue.note = None;
            }
        });
        forget();
    }
}

/// Works on a queue.
fn with<R>(id: u32, work: impl FnOnce(&mut Queue) -> R) -> Result<R, isize> {
    STATE.with(|state| {
        let queue = state.queues.iter_mut().find(|queue| queue.id == id);
        queue.map(work).ok_or(errno::EBADF)
    })
}

/// Ends queues that nobody can reach any more.
fn forget() {
    STATE.with(|state| {
        let stays = |queue: &Queue| !queue.name.is_empty() || !queue.objects.is_empty();
        state.queues.retain(stays);
    });
}

/// Answers calls on message queues.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, e, _] = arguments;
    // SAFETY: pointers are the program's own, checked in each.
    unsafe {
        Some(match number as u32 {
            __NR_mq_open => open(a, b as u32, d),
            __NR_mq_unlink => unlink(a),
            __NR_mq_timedsend => send(a, b, c, d as u32, e),
            __NR_mq_timedreceive => receive(a, b, c, d, e),
            __NR_mq_notify => notify(a, b),
            __NR_mq_getsetattr => attributes(a, b, c),
            _ => return None,
        })
    }
}

fn negative<T>(result: Result<T, Errno>) -> Result<T, isize> {
    result.map_err(Errno::answer)
}

/// A queue's name: one of a file without folders.
unsafe fn name<'a>(address: usize) -> Result<&'a [u8], isize> {
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { Guest::new() };
    let name = negative(guest.path(address))?;
    match name {
        b"" => Err(errno::ENOENT),
        b"." | b".." => Err(errno::EACCES),
        name if name.contains(&b'/') => Err(errno::EACCES),
        name if name.len() > NAME_BYTES => Err(errno::ENAMETOOLONG),
        name => Ok(name),
    }
}

unsafe fn open(address: usize, flags: u32, wanted: usize) -> Outcome {
    let wanted = match (flags & O_CREAT, wanted) {
        (0, _) | (_, 0) => None,
        // SAFETY: the program's own structure.
        (_, wanted) => Some(unsafe { checked::<Attributes>(wanted, 64, Rights::Read)?.read() }),
    };
    // SAFETY: the program's own text.
    let name = unsafe { name(address)? };
    let found = STATE.with(|state| {
        let found = state.queues.iter().find(|queue| queue.name == name);
        found.map(|queue| queue.id)
    });
    let id = match found {
        Some(_) if flags & O_CREAT != 0 && flags & O_EXCL != 0 => return Err(errno::EEXIST),
        Some(id) => id,
        None if flags & O_CREAT == 0 => return Err(errno::ENOENT),
        None => make(name, wanted)?,
    };
    if flags & O_ACCMODE == O_ACCMODE {
        forget_new(found, id);
        return Err(errno::EINVAL);
    }
    let opened = filesystem::with(|root| {
        let room = with(id, |queue| queue.objects.try_reserve(1).is_ok());
        if room != Ok(true) {
            return Err(Errno::NOMEM);
        }
        let object = boxed(QueueFile {
            queue: id,
            number: 0,
        })?;
        let kept = flags & (O_ACCMODE | O_NONBLOCK) | O_CLOEXEC;
        let descriptor = root.open_other(object, kept)?;
        let (number, file) = root.other::<QueueFile>(descriptor)?;
        file.number = number;
        Ok((descriptor, number))
    });
    match opened {
        Ok((descriptor, number)) => {
            with(id, |queue| queue.objects.push(number))?;
            Ok(descriptor)
        }
        Err(error) => {
            forget_new(found, id);
            Err(error.answer())
        }
    }
}

/// Takes the name of a queue that was made for an open that failed.
fn forget_new(found: Option<u32>, id: u32) {
    if found.is_none() && with(id, |queue| queue.name.clear()).is_ok() {
        forget();
    }
}

/// A new queue; answers its number.
fn make(name: &[u8], wanted: Option<Attributes>) -> Result<u32, isize> {
    let (most, bytes) = match wanted {
        None => (MESSAGES, BYTES),
        Some([_, most, bytes, ..]) => (most, bytes),
    };
    if !(1..=MESSAGES).contains(&most) || !(1..=BYTES).contains(&bytes) {
        return Err(errno::EINVAL);
    }
    let (most, bytes) = (most as usize, bytes as usize);
    let limit = limits::get(RLIMIT_MSGQUEUE as usize).map_or(0, |limit| limit.soft);
    STATE.with(|state| {
        if state.queues.len() >= QUEUES {
            return Err(errno::ENOSPC);
        }
        let used: u64 = state.queues.iter().map(Queue::counted).sum();
        if used.saturating_add(counted(most, bytes)) > limit {
            return Err(errno::EMFILE);
        }
        let (mut own, mut messages) = (Vec::new(), Vec::new());
        let reserved = own
            .try_reserve_exact(name.len())
            .and_then(|()| messages.try_reserve_exact(most))
            .and_then(|()| state.queues.try_reserve(1));
        reserved.map_err(|_| errno::ENOMEM)?;
        own.extend_from_slice(name);
        let id = state.next;
        state.next += 1;
        state.queues.push(Queue {
            id,
            name: own,
            most,
            bytes,
            messages,
            objects: Vec::new(),
            note: None,
            receivers: Vec::new(),
            senders: Vec::new(),
        });
        Ok(id)
    })
}

unsafe fn unlink(address: usize) -> Outcome {
    // SAFETY: the program's own text.
    let name = unsafe { name(address)? };
    STATE.with(|state| {
        let queue = state.queues.iter_mut().find(|queue| queue.name == name);
        queue.map(|queue| queue.name.clear()).ok_or(errno::ENOENT)
    })?;
    forget();
    Ok(0)
}

/// The queue behind a descriptor, its flags, and the number of its object.
fn behind(descriptor: usize) -> Result<(u32, u32, u32), isize> {
    filesystem::with(|root| {
        let flags = negative(root.flags_of(descriptor))?;
        let file = root.other::<QueueFile>(descriptor);
        let (number, file) = file.map_err(|_| errno::EBADF)?;
        Ok((file.queue, flags, number))
    })
}

/// Tells those who wait on descriptors of a queue, and the first of its own waiters.
fn tell(id: u32, events: u32, first: Option<ThreadId>) {
    if let Some(thread) = first {
        threads::wake(thread);
    }
    let mut place = 0;
    // One after the other: nothing may be borrowed while threads are told.
    while let Ok(Some(number)) = with(id, |queue| queue.objects.get(place).copied()) {
        filesystem::with(|root| root.tell_other(number, events));
        place += 1;
    }
}

/// The monotonic time until which a call waits.
unsafe fn deadline(address: usize) -> Result<Option<u64>, isize> {
    if address == 0 {
        return Ok(None);
    }
    // SAFETY: the program's own structure.
    let until = unsafe { load(address)? };
    Ok(Some(
        monotonic_ns().saturating_add(until.saturating_sub(wall_ns())),
    ))
}

/// Waits until a queue has changed, as one of the threads that `list` finds.
fn wait(
    id: u32,
    descriptor: usize,
    deadline_ns: Option<u64>,
    list: fn(&mut Queue) -> &mut Vec<ThreadId>,
) -> Result<(), isize> {
    let own = threads::current();
    with(id, |queue| {
        let list = list(queue);
        list.try_reserve(1).map_err(|_| errno::ENOMEM)?;
        list.push(own);
        Ok::<_, isize>(())
    })??;
    let reason = Reason::Descriptor {
        descriptor: descriptor as u32,
        kind: "message queue",
    };
    let cause = threads::park(reason, deadline_ns, true);
    with(id, |queue| list(queue).retain(|&other| other != own))?;
    match cause {
        Cause::Woken => Ok(()),
        Cause::Expired => Err(errno::ETIMEDOUT),
        Cause::Interrupted if signals::deliver_pending() == Delivery::Interrupt => {
            Err(errno::EINTR)
        }
        Cause::Interrupted => Ok(()),
    }
}

/// The longest waiting of a list.
fn first(list: &mut Vec<ThreadId>) -> Option<ThreadId> {
    (!list.is_empty()).then(|| list.remove(0))
}

unsafe fn send(
    descriptor: usize,
    address: usize,
    bytes: usize,
    rank: u32,
    limit: usize,
) -> Outcome {
    // SAFETY: the program's own structure.
    let deadline_ns = unsafe { deadline(limit)? };
    if rank >= RANKS {
        return Err(errno::EINVAL);
    }
    let (id, flags, _) = behind(descriptor)?;
    if !matches!(flags & O_ACCMODE, O_WRONLY | O_RDWR) {
        return Err(errno::EBADF);
    }
    if with(id, |queue| bytes > queue.bytes)? {
        return Err(errno::EMSGSIZE);
    }
    let mut own = Vec::new();
    own.try_reserve_exact(bytes).map_err(|_| errno::ENOMEM)?;
    if bytes > 0 {
        let source: *const u8 = checked(address, bytes, Rights::Read)?;
        // SAFETY: checked memory of the program's.
        own.extend_from_slice(unsafe { core::slice::from_raw_parts(source, bytes) });
    }
    while with(id, |queue| queue.messages.len() >= queue.most)? {
        if flags & O_NONBLOCK != 0 {
            return Err(errno::EAGAIN);
        }
        wait(id, descriptor, deadline_ns, |queue| &mut queue.senders)?;
    }
    let (receiver, note) = with(id, |queue| {
        let was_empty = queue.messages.is_empty();
        let place = queue
            .messages
            .partition_point(|message| message.rank >= rank);
        // There is room for as many as a queue holds.
        queue.messages.insert(place, Message { rank, bytes: own });
        let receiver = first(&mut queue.receivers);
        let is_told = was_empty && receiver.is_none();
        let note = if is_told { queue.note.take() } else { None };
        (receiver, note)
    })?;
    tell(id, POLLIN | POLLRDNORM, receiver);
    if let Some((signal, value)) = note.and_then(|note| note.signal) {
        signals::post_of_queue(Info::of_queue(signal, threads::MAIN_TID, value));
        signals::deliver_pending();
    }
    Ok(0)
}

unsafe fn receive(
    descriptor: usize,
    address: usize,
    bytes: usize,
    rank: usize,
    limit: usize,
) -> Outcome {
    // SAFETY: the program's own structure.
    let deadline_ns = unsafe { deadline(limit)? };
    let (id, flags, _) = behind(descriptor)?;
    if !matches!(flags & O_ACCMODE, O_RDONLY | O_RDWR) {
        return Err(errno::EBADF);
    }
    if with(id, |queue| bytes < queue.bytes)? {
        return Err(errno::EMSGSIZE);
    }
    while with(id, |queue| queue.messages.is_empty())? {
        if flags & O_NONBLOCK != 0 {
            return Err(errno::EAGAIN);
        }
        wait(id, descriptor, deadline_ns, |queue| &mut queue.receivers)?;
    }
    let (message, sender) = with(id, |queue| {
        (queue.messages.remove(0), first(&mut queue.senders))
    })?;
    tell(id, POLLOUT | POLLWRNORM, sender);
    // As on Linux, a message that cannot be handed over is lost.
    if rank != 0 {
        // SAFETY: checked.
        unsafe { target::<u32>(rank)?.write(message.rank) };
    }
    let length = message.bytes.len();
    if length > 0 {
        let place: *mut u8 = checked(address, length, Rights::Write)?;
        // SAFETY: checked memory of the program's.
        unsafe { place.copy_from_nonoverlapping(message.bytes.as_ptr(), length) };
    }
    Ok(length)
}

unsafe fn notify(descriptor: usize, address: usize) -> Outcome {
    let wanted = match address {
        0 => None,
        _ => {
            let place: *const [u64; 2] = checked(address, 64, Rights::Read)?;
            // SAFETY: checked; the value, then the signal and the way.
            let [value, signal] = unsafe { place.read_unaligned() };
            let (signal, notify) = (signal as u32, (signal >> 32) as u32);
            match notify {
                SIGEV_NONE => Some(None),
                SIGEV_SIGNAL if signal <= 64 => Some(Some((signal, value))),
                // A thread would be told through a socket of a kind that an image has not.
                _ => return Err(errno::EINVAL),
            }
        }
    };
    let (id, _, number) = behind(descriptor)?;
    with(id, |queue| match wanted {
        None => {
            queue.note = None;
            Ok(0)
        }
        Some(_) if queue.note.is_some() => Err(errno::EBUSY),
        Some(signal) => {
            // Signal 0 is nobody's.
            let signal = signal.filter(|&(signal, _)| signal != 0);
            queue.note = Some(Note { number, signal });
            Ok(0)
        }
    })?
}

unsafe fn attributes(descriptor: usize, new: usize, old: usize) -> Outcome {
    let new = checked_or_null::<Attributes>(new, Rights::Read)?;
    // SAFETY: null or checked.
    let wanted = (!new.is_null()).then(|| unsafe { new.read()[0] });
    if wanted.is_some_and(|flags| flags & !i64::from(O_NONBLOCK) != 0) {
        return Err(errno::EINVAL);
    }
    let (id, flags, _) = behind(descriptor)?;
    let (most, bytes, now) = with(id, |queue| (queue.most, queue.bytes, queue.messages.len()))?;
    if let Some(wanted) = wanted {
        negative(filesystem::with(|root| {
            root.set_waiting(descriptor, wanted == 0)
        }))?;
    }
    if old != 0 {
        let mut told: Attributes = [0; 8];
        told[0] = (flags & O_NONBLOCK).into();
        told[1..4].copy_from_slice(&[most as i64, bytes as i64, now as i64]);
        // SAFETY: checked.
        unsafe { target::<Attributes>(old)?.write(told) };
    }
    Ok(0)
}

call_group!(bespoke_calls_queues, plain: Some(call), files: None);
