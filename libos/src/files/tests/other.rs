//! Objects of rare kinds, behind their trait.

use super::super::Result;
use super::super::objects::{Gather, Other, Scatter, World, boxed};
use super::Machine;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::FIONREAD;

/// Keeps the last byte that was written until it is read.
struct Byte {
    byte: Option<u8>,
    number: u32,
}

impl Other for Byte {
    fn kind(&self) -> &'static str {
        "byte"
    }

    fn readiness(&mut self) -> u32 {
        self.byte.map_or(POLLOUT, |_| POLLIN | POLLOUT)
    }

    fn read(&mut self, _world: &mut World<'_>, to: &mut Scatter<'_>) -> Result {
        let byte = self.byte.take().ok_or(super::super::Errno::AGAIN)?;
        Ok(to.put(&[byte]))
    }

    fn write(&mut self, world: &mut World<'_>, from: &mut Gather<'_>) -> Result {
        let mut bytes = [0];
        let count = from.take(&mut bytes);
        self.byte = Some(bytes[0]);
        world.tell(self.number, POLLIN);
        Ok(count)
    }

    fn readable_bytes(&mut self) -> Result {
        Ok(self.byte.into_iter().count())
    }
}

#[test]
fn an_object_behind_the_trait_reads_writes_waits_and_closes() {
    const EAGAIN: isize = -11;
    const RESTART: isize = -512;
    let mut machine = Machine::new(16);
    let object = boxed(Byte {
        byte: None,
        number: 0,
    });
    let object = object.expect("memory suffices");
    let opened = machine.files.open_other(object, O_RDWR | O_NONBLOCK);
    let descriptor = opened.expect("a descriptor");
    let (number, byte) = machine.files.other::<Byte>(descriptor).expect("it is one");
    byte.number = number;

    let mut buffer = [0u8; 8];
    let address = buffer.as_mut_ptr() as usize;
    assert_eq!(
        machine.call(__NR_read, &[descriptor, address, 8]),
        EAGAIN,
        "nothing was written"
    );
    let epoll = machine.call(__NR_epoll_create1, &[0]) as usize;
    let mut event = [POLLIN, 7, 0];
    let add = EPOLL_CTL_ADD as usize;
    let event_at = event.as_mut_ptr() as usize;
    assert_eq!(
        machine.call(__NR_epoll_ctl, &[epoll, add, descriptor, event_at]),
        0
    );
    assert_eq!(
        machine.call(__NR_epoll_wait, &[epoll, event_at, 1, -1isize as usize]),
        RESTART
    );
    let mut attempt = machine.files.take_attempt();

    assert_eq!(machine.write(descriptor as isize, b"x"), 1);
    assert_eq!(*machine.files.host().woken.borrow(), [0]);
    machine.files.end_wait(&mut attempt);
    let mut left = 0i32;
    let ioctl = [descriptor, FIONREAD as usize, &raw mut left as usize];
    assert_eq!(machine.call(__NR_ioctl, &ioctl), 0);
    assert_eq!(left, 1);
    assert_eq!(
        machine.call(__NR_epoll_wait, &[epoll, event_at, 1, 0]),
        1,
        "the write was told"
    );
    assert_eq!(machine.call(__NR_read, &[descriptor, address, 8]), 1);
    assert_eq!(buffer[0], b'x');
    assert_eq!(machine.close(descriptor as isize), 0);
    assert!(machine.files.other_numbered::<Byte>(number).is_none());
}
