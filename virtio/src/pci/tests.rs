use super::*;
use crate::{DeviceMemory, Queue, Registers, feature};
use core::ptr::NonNull;
use proptest::prelude::*;
use std::boxed::Box;
use std::vec::Vec;

/// A configuration space whose base address registers keep `kept` of what is written to them.
struct Space {
    words: [u32; 64],
    kept: [u32; BAR_COUNT as usize],
    reads: usize,
}

impl Configuration for Space {
    fn read(&mut self, offset: u8) -> u32 {
        assert!(offset.is_multiple_of(4));
        self.reads += 1;
        self.words[usize::from(offset / 4)]
    }

    fn write(&mut self, offset: u8, value: u32) {
        let index = usize::from(offset / 4);
        if offset == COMMAND {
            assert_eq!(value >> 16, 0, "status is cleared by ones");
        }
        if value == !0 {
            assert_eq!(
                self.words[1] & 2,
                0,
                "nothing answers while its length is asked for"
            );
        }
        self.words[index] = match offset {
            BARS..SUBSYSTEM if offset < BARS + BAR_COUNT * 4 => {
                value & self.kept[index - usize::from(BARS / 4)] | self.words[index] & 15
            }
            _ => value,
        };
    }
}

/// A network device as QEMU 7.2 shows it on q35.
fn of_qemu() -> Space {
    let mut words = [0; 64];
    words[0] = 0x1000_1af4;
    words[1] = 0x0010_0000;
    words[4 + 1] = 0xfebd_1000;
    words[4 + 4] = 0xfe00_000c;
    words[0x2c / 4] = 0x0001_1af4;
    words[0x34 / 4] = 0x98;
    // MSI-X, then virtio's in the order of their kinds 5, 2, 4, 3, 1.
    words[0x98 / 4..][..3].copy_from_slice(&[0x0003_8411, 1, 0x801]);
    words[0x84 / 4..][..5].copy_from_slice(&[0x0514_7009, 0, 0, 0, 0]);
    words[0x70 / 4..][..5].copy_from_slice(&[0x0214_6009, 4, 0x3000, 0x1000, 4]);
    words[0x60 / 4..][..4].copy_from_slice(&[0x0410_5009, 4, 0x2000, 0x1000]);
    words[0x50 / 4..][..4].copy_from_slice(&[0x0310_4009, 4, 0x1000, 0x1000]);
    words[0x40 / 4..][..4].copy_from_slice(&[0x0110_0009, 4, 0, 0x1000]);
    Space {
        words,
        kept: [0, !0xfff, 0, 0, !0x3fff, !0],
        reads: 0,
    }
}

const fn of_bar_4(offset: u32) -> Place {
    let (bar, bytes) = (4, 0x1000);
    Place { bar, offset, bytes }
}

#[test]
fn the_structures_are_where_the_device_says() {
    let mut space = of_qemu();
    assert!(is_present(&mut space));
    assert_eq!(kind(&mut space), Some(1));
    assert_eq!(topology(&mut space), (false, None));
    let found = structures(&mut space).unwrap();
    assert_eq!(found.common, of_bar_4(0));
    assert_eq!(
        (found.notify, found.notify_multiplier),
        (of_bar_4(0x3000), 4)
    );
    assert_eq!(found.device, Some(of_bar_4(0x2000)));
    assert_eq!((found.interrupts.bar, found.interrupts.offset), (1, 0));
    let mut addresses = Addresses::new(0, 0);
    assert_eq!(address(&mut space, 4, &mut addresses), Ok(0xfe00_0000));
    assert_eq!(address(&mut space, 1, &mut addresses), Ok(0xfebd_1000));
    switch_on(&mut space, &found);
    // Memory, master, no line interrupt: bits 1, 2, 10 (PCI 3.0, section 6.2.2).
    assert_eq!(space.words[1], 0x0406);
    assert_eq!(space.words[0x98 / 4], 0x8003_8411);
}

#[test]
fn registers_without_an_address_are_given_one() {
    let mut space = of_qemu();
    (space.words[4 + 1], space.words[4 + 4]) = (0, 12);
    let mut addresses = Addresses::new(0xfd00_1000, 0xfd01_0000);
    assert_eq!(address(&mut space, 1, &mut addresses), Ok(0xfd00_1000));
    assert_eq!(address(&mut space, 4, &mut addresses), Ok(0xfd00_4000));
    assert_eq!(space.words[4 + 4], 0xfd00_400c);
    space.words[4 + 4] = 12;
    (space.kept[4], space.kept[3]) = (!0xf_ffff, 0);
    for bar in [3, 4, 6, 255] {
        assert_eq!(
            address(&mut space, bar, &mut addresses),
            Err(Unfit::Bar(bar))
        );
    }
    space.words[4] = 0xc001;
    assert_eq!(address(&mut space, 0, &mut addresses), Err(Unfit::Bar(0)));
}

#[test]
fn devices_that_cannot_be_driven_say_why() {
    let fails = |change: &dyn Fn(&mut Space)| {
        let mut space = of_qemu();
        change(&mut space);
        structures(&mut space).unwrap_err()
    };
    assert_eq!(fails(&|space| space.words[1] = 0), Unfit::Old);
    assert_eq!(fails(&|space| space.words[0x34 / 4] = 0), Unfit::Old);
    assert_eq!(
        fails(&|space| space.words[0x34 / 4] = 0x84),
        Unfit::NoMessages
    );
    assert_eq!(fails(&|space| space.words[0x40 / 4] |= 0x9800), Unfit::List);
    assert_eq!(fails(&|space| space.words[0x40 / 4] |= 0x0400), Unfit::List);
    assert_eq!(fails(&|space| space.words[0x4c / 4] = 8), Unfit::List);
    assert_eq!(fails(&|space| space.words[0x48 / 4] = 2), Unfit::List);
    let mut space = of_qemu();
    space.words[0] = 0x1041_8086;
    assert_eq!(kind(&mut space), None);
    space.words[0] = 0x1044_1af4;
    assert_eq!(kind(&mut space), Some(4));
}

proptest! {
    /// Whatever stands in the space, the search ends, reads words alone, and answers places of registers that are.
    #[test]
    fn no_space_leads_astray(
        changes in prop::collection::vec((0..64_usize, any::<u32>()), 0..40),
        links in prop::collection::vec((16..64_usize, any::<u8>()), 0..20),
        kept in any::<[u32; 6]>(),
    ) {
        let mut space = of_qemu();
        space.kept = kept;
        changes.into_iter().for_each(|(at, word)| space.words[at] = word);
        for (at, next) in links {
            space.words[at] = space.words[at] & !0xff00 | u32::from(next) << 8;
        }
        kind(&mut space);
        topology(&mut space);
        space.reads = 0;
        let found = structures(&mut space);
        prop_assert!(space.reads < 400);
        if let Ok(found) = found {
            let mut addresses = Addresses::new(0xfd00_0000, 0xfe00_0000);
            for place in [Some(found.common), Some(found.notify), found.device].into_iter().flatten() {
                prop_assert!(place.bar < BAR_COUNT);
                prop_assert!(address(&mut space, place.bar, &mut addresses) != Ok(0));
            }
            prop_assert!(found.common.offset % 4 == 0 && found.common.bytes >= PciRegisters::COMMON_BYTES);
            prop_assert!(address(&mut space, found.interrupts.bar, &mut addresses) != Ok(0));
            switch_on(&mut space, &found);
        }
    }
}

/// Registers that keep what is written to them, as those of a device that agrees to everything.
#[test]
fn a_device_is_set_up_and_notified_in_its_registers() {
    const NOTIFY: usize = 0x40;
    let block: &'static mut [u32; 32] = Box::leak(Box::new([0; 32]));
    let common = block.as_mut_ptr() as usize;
    // The queues' notifications: offset 3 of 4 bytes each.
    block[0x1c / 4] = 3 << 16;
    // SAFETY: leaked, large enough, and nobody else's.
    let registers = unsafe { PciRegisters::new(common, common + NOTIFY, 16, 4) };
    let memory = Vec::leak(std::vec![0_u64; 512]);
    // SAFETY: as above.
    let mut memory = unsafe { DeviceMemory::new(NonNull::from(memory).cast(), 4096, 0) };
    let queue = Queue::new(8, 0, &mut memory).unwrap();
    let mut registers = Registers::over_pci(registers);
    assert_eq!(registers.start(feature::EVENT_INDEX, &[&queue]), Ok(()));
    // SAFETY: the block, which lives for ever.
    let word = |offset: usize| unsafe { ((common + offset) as *const u32).read_volatile() };
    assert_eq!(word(0x14), 0x000f, "status, queue 0");
    assert_eq!(word(0x18), 8, "entries, interrupt 0");
    assert_eq!(word(0x10), 0xffff, "no interrupt for changes");
    let [descriptors, ..] = queue.addresses();
    assert_eq!(
        u64::from(word(0x20)) | u64::from(word(0x24)) << 32,
        descriptors
    );
    registers.notify(1);
    assert_eq!(word(NOTIFY + 12), 1);
    // SAFETY: as above; notifications that lie beyond their part go nowhere, and the device is refused.
    let beyond = unsafe { PciRegisters::new(common, common + NOTIFY, 12, 4) };
    let mut beyond = Registers::over_pci(beyond);
    beyond.notify(0);
    assert!(beyond.start(0, &[&queue]).is_err());
}

#[test]
fn a_bridge_says_which_bus_is_behind_it() {
    let mut space = of_qemu();
    // Primary, secondary and last bus behind.
    space.words[0x18 / 4] = 0x0007_0305;
    for (header, expected) in [
        (0x00, (false, None)),
        (0x80, (true, None)),
        (0x01, (false, Some(3))),
        (0x81, (true, Some(3))),
        (0x02, (false, None)),
    ] {
        space.words[0x0c / 4] = header << 16 | 0xff00_ffff;
        assert_eq!(topology(&mut space), expected, "{header:#x}");
    }
}

#[test]
fn a_function_is_there_if_it_has_a_vendor() {
    let mut space = of_qemu();
    for (word, is_there) in [
        (0x1000_1af4, true),
        (0xffff_ffff, false),
        (0x1234_ffff, false),
        (0x1234_0000, false),
        (0xffff_0001, true),
    ] {
        space.words[0] = word;
        assert_eq!(is_present(&mut space), is_there, "{word:#x}");
    }
    // Of before virtio 1.0, the first and the last; of since.
    space.words[0x2c / 4] = 0x0007_0000;
    for (device, expected) in [
        (0x0fff, None),
        (0x1000, Some(7)),
        (0x103f, Some(7)),
        (0x1040, Some(0)),
        (0x107f, Some(0x3f)),
        (0x1080, None),
    ] {
        space.words[0] = device << 16 | 0x1af4;
        assert_eq!(kind(&mut space), expected, "{device:#x}");
    }
}

#[test]
fn structures_of_reserved_registers_are_passed_over() {
    let mut space = of_qemu();
    // The common structure's register: the last there is, and the first reserved.
    space.words[0x40 / 4 + 1] = 5;
    assert_eq!(structures(&mut space).map(|found| found.common.bar), Ok(5));
    space.words[0x40 / 4 + 1] = 6;
    assert_eq!(structures(&mut space), Err(Unfit::Old));
    // Too short by a byte.
    space.words[0x40 / 4 + 1] = 4;
    for (bytes, is_fit) in [
        (PciRegisters::COMMON_BYTES, true),
        (PciRegisters::COMMON_BYTES - 1, false),
    ] {
        space.words[0x40 / 4 + 3] = bytes;
        assert_eq!(structures(&mut space).is_ok(), is_fit);
    }
}

#[test]
fn an_address_has_its_length_s_multiple_and_ends_in_time() {
    let mut addresses = Addresses::new(0x1_2000, 0x2_0000);
    let given =
        [0x1000, 0x4000, 0x1000, 0x1_0000, 0x8000, 0x7000].map(|bytes| addresses.take(bytes));
    let (a, b, c) = (Some(0x1_2000), Some(0x1_4000), Some(0x1_8000));
    assert_eq!(given, [a, b, c, None, None, None]);
    assert_eq!(addresses.take(0x4000), Some(0x1_c000));
    assert_eq!(addresses.take(1), None);
    assert_eq!(Addresses::new(!0, !0).take(2), None);
    // A wide register holds an address above 4 GiB; the last register cannot be wide.
    let mut space = of_qemu();
    (space.words[4 + 4], space.words[4 + 5]) = (0xfe00_000c, 3);
    let mut none = Addresses::new(0, 0);
    assert_eq!(address(&mut space, 4, &mut none), Ok(0x3_fe00_0000));
    space.words[4 + 5] = 0xfe00_0004;
    assert_eq!(address(&mut space, 5, &mut none), Err(Unfit::Bar(5)));
}

#[test]
fn reasons_name_what_is_wrong() {
    for (unfit, part) in [
        (Unfit::List, "capabilities"),
        (Unfit::Old, "disable-modern"),
        (Unfit::NoMessages, "MSI-X"),
        (Unfit::Bar(3), "register 3"),
    ] {
        let text = std::format!("{unfit}");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn features_and_entries_are_read_where_they_are() {
    let block: &'static mut [u32; 32] = Box::leak(Box::new([0; 32]));
    let common = block.as_mut_ptr() as usize;
    block[1] = 0x8000_0003;
    block[0x18 / 4] = 64;
    // SAFETY: leaked, large enough, and nobody else's.
    let mut registers =
        Registers::over_pci(unsafe { PciRegisters::new(common, common + 64, 2, 0) });
    assert_eq!(registers.offered(), 0x8000_0003_8000_0003);
    assert_eq!(registers.queue_entries(1), 64);
    // SAFETY: the block, which lives for ever.
    let word = |offset: usize| unsafe { ((common + offset) as *const u32).read_volatile() };
    assert_eq!(
        (word(0), word(0x14) >> 16),
        (1, 1),
        "the high half, queue 1"
    );
    registers.notify(0);
    registers.notify(1);
    assert_eq!(word(64), 1);
}

#[test]
fn of_several_structures_of_a_kind_the_first_counts() {
    let mut space = of_qemu();
    let before = structures(&mut space);
    // One more of each, in registers of their own.
    space.words[0x40 / 4] |= 0xa8 << 8;
    space.words[0xa8 / 4..][..4].copy_from_slice(&[0x0110_b809, 2, 0x100, 0x2000]);
    space.words[0xb8 / 4..][..5].copy_from_slice(&[0x0214_cc09, 2, 0x200, 0x2000, 8]);
    space.words[0xcc / 4..][..4].copy_from_slice(&[0x0410_dc09, 2, 0x300, 0x2000]);
    space.words[0xdc / 4..][..3].copy_from_slice(&[0x0003_0011, 2, 0]);
    assert!(before.is_ok());
    assert_eq!(structures(&mut space), before);
}
