//! The console device (virtio 1.2, section 5.3), port 0: standard input and output, or standard
//! error. It never blocks on standard input.
//!
//! Input is encoded as on a stock monitor, because the port itself has no end of input.

use super::transport::Transport;
use super::view::View;
use super::{Device, Reported};
use crate::kvm::memory::GuestMemory;
use crate::stock::relay::{END_OF_INPUT, code, is_passing, write_all};
use std::os::fd::RawFd;
use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use virtio_queue::{Error, Queue, QueueOwnedT, QueueT};
use vm_memory::Bytes;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Most bytes moved at once.
const CHUNK_BYTES: usize = 4096;

/// See the module.
pub(super) struct Console {
    output: RawFd,
    /// This console reads standard input, which has not ended.
    pub(super) reads: bool,
    pub(super) reported: Reported,
}

impl Console {
    /// Makes the console of standard input and output.
    pub(super) fn first() -> Self {
        Self {
            output: libc::STDOUT_FILENO,
            reads: true,
            reported: Reported::default(),
        }
    }

    /// Makes the console of standard error.
    pub(super) fn second() -> Self {
        Self {
            output: libc::STDERR_FILENO,
            reads: false,
            reported: Reported::default(),
        }
    }

    /// Makes its registers.
    pub(super) fn transport() -> Transport {
        Transport::new(VIRTIO_ID_CONSOLE, 0, Vec::new(), 2)
    }

    fn print(&self, queue: &mut Queue, memory: &GuestMemory) -> Result<(), Error> {
        let view = &View(memory);
        while let Some(chain) = queue.iter(view)?.next() {
            let head = chain.head_index();
            for descriptor in chain.readable() {
                let (mut at, mut left) = (descriptor.addr(), descriptor.len() as usize);
                let mut chunk = [0; CHUNK_BYTES];
                while left != 0 {
                    let part = &mut chunk[..left.min(CHUNK_BYTES)];
                    if view.read_slice(part, at).is_err() {
                        break;
                    }
                    // The reader may close the output; there is no caller to report it to.
                    let _ = write_all(self.output, part);
                    left -= part.len();
                    at.0 += part.len() as u64;
                }
            }
            queue.add_used(view, head, 0)?;
        }
        if queue.event_idx_enabled() {
            queue.enable_notification(view)?;
        }
        Ok(())
    }

    fn type_in(&mut self, queue: &mut Queue, memory: &GuestMemory) -> Result<(), Error> {
        let view = &View(memory);
        if !self.reads || !has_input() {
            return Ok(());
        }
        let Some(chain) = queue.iter(view)?.next() else {
            return Ok(());
        };
        let head = chain.head_index();
        let target = chain.writable().next();
        // Encoded input takes at most twice the room, so a smaller buffer is useless.
        let Some(target) = target.filter(|target| target.len() >= 2) else {
            return queue.add_used(view, head, 0);
        };
        let mut chunk = [0; CHUNK_BYTES / 2];
        let wanted = chunk.len().min(target.len() as usize / 2);
        // SAFETY: fills at most `wanted` bytes of the array. The library's buffer is not used,
        // because it cannot be inspected.
        let got = unsafe { libc::read(libc::STDIN_FILENO, chunk.as_mut_ptr().cast(), wanted) };
        let coded = match got {
            1.. => code(&chunk[..got as usize]),
            // Another process read the input first.
            -1 if is_passing(&std::io::Error::last_os_error()) => Vec::new(),
            // An error counts as the end of the input.
            _ => {
                self.reads = false;
                vec![END_OF_INPUT]
            }
        };
        let given = view
            .write_slice(&coded, target.addr())
            .map_or(0, |()| coded.len());
        queue.add_used(view, head, given as u32)
    }
}

impl Device for Console {
    fn start(&mut self, _accepted: u64) {
        self.reported = Reported::default();
    }

    fn serve(&mut self, queues: &mut [Queue], memory: &GuestMemory) -> Result<(), Error> {
        self.print(&mut queues[TRANSMIT], memory)?;
        self.type_in(&mut queues[RECEIVE], memory)
    }
}

/// Whether standard input can be read without blocking.
fn has_input() -> bool {
    let mut poll = libc::pollfd {
        fd: libc::STDIN_FILENO,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, as the count says.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}
