//! The entropy device (virtio 1.2, section 5.4): the host's random bytes.

use super::Device;
use super::transport::Transport;
use super::view::View;
use crate::kvm::memory::GuestMemory;
use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use virtio_queue::{Error, Queue, QueueOwnedT, QueueT};
use vm_memory::Bytes;

/// Most bytes per request: a driver that needs more asks again.
const CHUNK_BYTES: usize = 256;

/// See the module.
pub(super) struct Entropy;

impl Entropy {
    /// Makes its registers.
    pub(super) fn transport() -> Transport {
        Transport::new(VIRTIO_ID_RNG, 0, Vec::new(), 1)
    }
}

impl Device for Entropy {
    fn start(&mut self, _accepted: u64) {}

    fn serve(&mut self, queues: &mut [Queue], memory: &GuestMemory) -> Result<(), Error> {
        let (view, queue) = (&View(memory), &mut queues[0]);
        while let Some(chain) = queue.iter(view)?.next() {
            let head = chain.head_index();
            let mut given = 0;
            if let Some(target) = chain.writable().next() {
                let mut chunk = [0u8; CHUNK_BYTES];
                let wanted = CHUNK_BYTES.min(target.len() as usize);
                // SAFETY: fills at most `wanted` bytes of the array; up to 256 bytes never fall short.
                let got = unsafe { libc::getrandom(chunk.as_mut_ptr().cast(), wanted, 0) };
                let bytes = &chunk[..got.max(0) as usize];
                given = view
                    .write_slice(bytes, target.addr())
                    .map_or(0, |()| bytes.len());
            }
            queue.add_used(view, head, given as u32)?;
        }
        if queue.event_idx_enabled() {
            queue.enable_notification(view)?;
        }
        Ok(())
    }
}
