//! The console device (virtio 1.2, section 5.3), port 0: standard output, and standard input where it can be read
//! without blocking. For drivers that know no hypercalls; our own images write by hypercall.

use super::Device;
use super::transport::Transport;
use super::view::View;
use crate::kvm::memory::GuestMemory;
use std::io::{Read, Write};
use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use virtio_queue::{Error, Queue, QueueOwnedT, QueueT};
use vm_memory::Bytes;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Bytes moved at a time.
const CHUNK_BYTES: usize = 4096;

/// See the module.
pub(super) struct Console;

impl Console {
    /// Its registers.
    pub(super) fn transport() -> Transport {
        Transport::new(VIRTIO_ID_CONSOLE, 0, Vec::new(), 2)
    }
}

impl Device for Console {
    fn start(&mut self, _accepted: u64) {}

    fn serve(&mut self, queues: &mut [Queue], memory: &GuestMemory) -> Result<(), Error> {
        print(&mut queues[TRANSMIT], memory)?;
        type_in(&mut queues[RECEIVE], memory)
    }
}

fn print(queue: &mut Queue, memory: &GuestMemory) -> Result<(), Error> {
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
                // A closed output is the reader's choice; there is nobody here to tell.
                let _ = std::io::stdout().write_all(part);
                left -= part.len();
                at.0 += part.len() as u64;
            }
        }
        queue.add_used(view, head, 0)?;
    }
    // As above.
    let _ = std::io::stdout().flush();
    if queue.event_idx_enabled() {
        queue.enable_notification(view)?;
    }
    Ok(())
}

fn type_in(queue: &mut Queue, memory: &GuestMemory) -> Result<(), Error> {
    let view = &View(memory);
    let mut poll = libc::pollfd {
        fd: 0,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, as the count says.
    if unsafe { libc::poll(&mut poll, 1, 0) } != 1 {
        return Ok(());
    }
    let Some(chain) = queue.iter(view)?.next() else {
        return Ok(());
    };
    let head = chain.head_index();
    let Some(target) = chain.writable().next() else {
        return queue.add_used(view, head, 0);
    };
    let mut chunk = [0; CHUNK_BYTES];
    let wanted = CHUNK_BYTES.min(target.len() as usize);
    // An error reads as the end of the input, which port 0 cannot tell from silence.
    let got = std::io::stdin().read(&mut chunk[..wanted]).unwrap_or(0);
    let given = view
        .write_slice(&chunk[..got], target.addr())
        .map_or(0, |()| got);
    queue.add_used(view, head, given as u32)
}
