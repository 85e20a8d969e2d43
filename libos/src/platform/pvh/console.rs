//! The console of an image on a stock monitor: virtio consoles where there are any (the second one is standard
//! error), else the first serial port.
//!
//! Input is a line discipline of two characters, as on a terminal: ^D (4) ends it, and ^V (22) makes the next byte an
//! ordinary one. Owns the devices; must never drop output but on a device that broke its own rules.

use super::{devices, port, sleep_for};
use bespoke_abi::boot::Span;
use bespoke_virtio::{Broken, Console};
use core::hint::spin_loop;

const END_OF_INPUT: u8 = 4;
const LITERAL_NEXT: u8 = 22;

const SERIAL: u16 = 0x3f8;
const INTERRUPT_ENABLE: u16 = SERIAL + 1;
const FIFO_CONTROL: u16 = SERIAL + 2;
const ENABLE_FIFO: u8 = 1;
const MODEM_CONTROL: u16 = SERIAL + 4;
const LOOP: u8 = 1 << 4;
const LINE_STATUS: u16 = SERIAL + 5;
const RECEIVED: u8 = 1;
const ROOM: u8 = 1 << 5;
/// No device reads as ones.
const ABSENT: u8 = 0xff;
const FIFO_BYTES: usize = 16;
/// The serial port's input of the interrupt controller.
pub const SERIAL_INTERRUPT: u32 = 4;

/// A device that takes no bytes is looked at this often before we sleep between looks.
const SPINS: u32 = 10_000;
const NAP_NS: u64 = 1_000_000;

/// See the module.
pub struct Consoles {
    /// Standard input and output.
    pub first: Option<&'static mut Console>,
    /// Standard error.
    pub second: Option<&'static mut Console>,
    /// Bytes that came before the serial port's FIFO was on; 0: none.
    early: [u8; 2],
    literal: bool,
    ended: bool,
}

impl Consoles {
    /// The serial port alone.
    pub const fn new() -> Self {
        Self {
            first: None,
            second: None,
            early: [0; 2],
            literal: false,
            ended: false,
        }
    }

    /// Makes the serial port tell of input, where it is the console.
    ///
    /// Switching the FIFO on drops what has come, and QEMU then sends no more until a byte is read. Turned on itself,
    /// the port sends nothing meanwhile, so that only the byte it holds is to be saved.
    pub fn start_serial(&mut self) {
        let control = port::read8(MODEM_CONTROL);
        if serial_has_byte() {
            port::write8(MODEM_CONTROL, control | LOOP);
            self.early[0] = port::read8(SERIAL);
            port::write8(FIFO_CONTROL, ENABLE_FIFO);
            port::write8(MODEM_CONTROL, control & !LOOP);
            // Asks for more; an empty FIFO reads as 0.
            self.early[1] = port::read8(SERIAL);
        } else {
            port::write8(FIFO_CONTROL, ENABLE_FIFO);
        }
        port::write8(INTERRUPT_ENABLE, RECEIVED);
    }

    /// The next byte of the serial port, if one has come.
    fn read_serial(&mut self) -> Option<u8> {
        if let Some(early) = self.early.iter_mut().find(|byte| **byte != 0) {
            return Some(core::mem::take(early));
        }
        serial_has_byte().then(|| port::read8(SERIAL))
    }

    fn output(&mut self, descriptor: u64) -> Option<&mut Console> {
        if descriptor == 2 && self.second.is_some() {
            return self.second.as_deref_mut();
        }
        self.first.as_deref_mut()
    }

    /// Writes all of `spans`; the bytes.
    pub fn write(&mut self, descriptor: u64, spans: &[Span]) -> i64 {
        let mut written = 0;
        for span in spans.iter().filter(|span| span.bytes > 0) {
            // SAFETY: callers pass spans of memory they may read.
            let bytes = unsafe {
                core::slice::from_raw_parts(span.start as *const u8, span.bytes as usize)
            };
            match self.output(descriptor) {
                Some(console) => {
                    if write_all(console, bytes).is_err() {
                        return -i64::from(linux_raw_sys::errno::EIO);
                    }
                }
                None => write_serial(bytes),
            }
            written += bytes.len() as i64;
        }
        written
    }

    /// Waits until everything written is on the other side.
    pub fn flush(&mut self) {
        for console in [&mut self.first, &mut self.second].into_iter().flatten() {
            until(|| console.is_flushed().unwrap_or(true));
        }
    }

    /// Whether a read would not wait; if it would, the next byte ends a wait.
    pub fn is_ready(&mut self) -> bool {
        self.ended
            || match &mut self.first {
                Some(console) => console.wake_me(),
                None => self.early != [0; 2] || serial_has_byte(),
            }
    }

    /// Reads what has come; `None` when nothing has, 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Option<i64> {
        let mut used = 0;
        while used < buffer.len() && !self.ended {
            let byte = match &mut self.first {
                Some(console) => {
                    let mut byte = [0];
                    let came = console.read(&mut byte).unwrap_or(0) == 1;
                    came.then_some(byte[0])
                }
                None => self.read_serial(),
            };
            let Some(byte) = byte else {
                break;
            };
            match (byte, core::mem::take(&mut self.literal)) {
                (LITERAL_NEXT, false) => self.literal = true,
                (END_OF_INPUT, false) => self.ended = true,
                (byte, _) => {
                    buffer[used] = byte;
                    used += 1;
                }
            }
        }
        (used > 0 || self.ended || buffer.is_empty()).then_some(used as i64)
    }
}

fn serial_has_byte() -> bool {
    let status = port::read8(LINE_STATUS);
    status != ABSENT && status & RECEIVED != 0
}

fn write_all(console: &mut Console, mut bytes: &[u8]) -> Result<(), Broken> {
    while !bytes.is_empty() {
        let mut taken = console.write(bytes)?;
        if taken == 0 {
            until(|| {
                let done = console.write(bytes);
                taken = done.unwrap_or(0);
                taken > 0 || done.is_err()
            });
        }
        bytes = &bytes[taken..];
    }
    Ok(())
}

/// Looks until `done`, at first awake.
fn until(mut done: impl FnMut() -> bool) {
    let mut looks = 0;
    while !done() {
        looks += 1;
        if looks < SPINS {
            spin_loop();
        } else if devices::are_up() {
            sleep_for(NAP_NS);
        }
    }
}

/// A FIFO at a time: an exit a byte is what a serial port costs at worst.
pub fn write_serial(bytes: &[u8]) {
    if port::read8(LINE_STATUS) == ABSENT {
        return;
    }
    for part in bytes.chunks(FIFO_BYTES) {
        while port::read8(LINE_STATUS) & ROOM == 0 {
            spin_loop();
        }
        port::write_all(SERIAL, part);
    }
}

/// Writes the last bytes of an image that cannot start.
pub fn write_serial_early(bytes: &[u8]) {
    port::write8(FIFO_CONTROL, ENABLE_FIFO);
    write_serial(bytes);
}
