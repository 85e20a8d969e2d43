//! What a terminal answers, number by number (`<asm-generic/termbits.h>`).

use super::{Console, Machine};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{TCGETS, TIOCGWINSZ};

#[test]
fn a_terminal_is_in_its_usual_state() {
    let console = Console {
        terminal: true,
        ..Console::default()
    };
    let mut machine = Machine::with_console(16, console);
    for descriptor in 0..3 {
        let mut settings = [0xee_u8; 64];
        let at = settings.as_mut_ptr() as usize;
        assert_eq!(
            machine.call(__NR_ioctl, &[descriptor, TCGETS as usize, at]),
            0
        );
        let words: [u32; 4] = core::array::from_fn(|index| {
            u32::from_ne_bytes(settings[index * 4..][..4].try_into().unwrap())
        });
        // ICRNL, IXON, IUTF8; OPOST, ONLCR; CS8, CREAD, 38400; ISIG, ICANON, ECHO and its kinds, IEXTEN.
        assert_eq!(words, [0x4500, 0x5, 0xbf, 0x8a3b]);
        let letters = [
            3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0,
        ];
        assert_eq!((settings[16], &settings[17..36]), (0, &letters[..]));
        assert!(settings[36..].iter().all(|byte| *byte == 0xee));
        let mut window = [0xee_u8; 10];
        let at = window.as_mut_ptr() as usize;
        assert_eq!(
            machine.call(__NR_ioctl, &[descriptor, TIOCGWINSZ as usize, at]),
            0
        );
        assert_eq!(window, [24, 0, 80, 0, 0, 0, 0, 0, 0xee, 0xee]);
    }
    let mut plain = Machine::new(16);
    for request in [TCGETS, TIOCGWINSZ] {
        let mut room = [0u8; 64];
        let answer = plain.call(
            __NR_ioctl,
            &[1, request as usize, room.as_mut_ptr() as usize],
        );
        assert_eq!(answer, -25);
    }
}
