//! The boot archive: unpacked in place, grown out of place, and never trusted.

use super::Machine;
use crate::files::{ArchiveError, ArchiveFault};
use linux_raw_sys::general::*;
use proptest::prelude::*;
use std::vec::Vec;

/// One entry as POSIX ustar has it.
fn entry(kind: u8, name: &str, target: &str, contents: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let (prefix, name) = if name.len() > 100 {
        name.split_at(name.rfind('/').expect("a slash"))
    } else {
        ("", name)
    };
    let name = if prefix.is_empty() { name } else { &name[1..] };
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
    header[157..157 + target.len()].copy_from_slice(target.as_bytes());
    let octal = |value: usize| std::format!("{value:011o}\0");
    header[100..108].copy_from_slice(b"0000640\0");
    header[108..116].copy_from_slice(b"0000007\0");
    header[116..124].copy_from_slice(b"0000010\0");
    header[124..136].copy_from_slice(octal(contents.len()).as_bytes());
    header[136..148].copy_from_slice(octal(1_600_000_000).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut header);
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0x5a);
    bytes
}

fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(std::format!("{sum:06o}\0").as_bytes());
}

fn unpack(machine: &mut Machine, mut bytes: Vec<u8>) -> Result<(), ArchiveError> {
    bytes.extend_from_slice(&[0; 1024]);
    machine.files.unpack(Vec::leak(bytes))
}

fn contents(machine: &mut Machine, path: &str) -> Vec<u8> {
    let file = machine.open(path, O_RDONLY);
    let size = machine.fstat(file).st_size as usize;
    let bytes = machine.pread(file, size + 10, 0);
    machine.close(file);
    bytes
}

#[test]
fn files_links_and_directories_are_unpacked_without_a_page() {
    let mut machine = Machine::new(16);
    let long = std::format!("{}/{}", "p".repeat(120), "n".repeat(90));
    let archive = [
        entry(b'5', "./", "", b""),
        entry(b'5', "data/", "", b""),
        entry(b'0', "data/a.db", "", &[7; 10_000]),
        entry(b'0', "made/on/the/way", "", b""),
        entry(b'2', "link", "data/a.db", b""),
        entry(b'1', "hard", "data/a.db", b""),
        entry(b'0', &long, "", b"long"),
        entry(b'5', "tmp/", "", b""),
    ];
    assert_eq!(unpack(&mut machine, archive.concat()), Ok(()));
    assert_eq!(machine.held(), 0);
    assert_eq!(contents(&mut machine, "/link"), [7; 10_000]);
    assert_eq!(contents(&mut machine, "/hard"), [7; 10_000]);
    assert_eq!(contents(&mut machine, &std::format!("/{long}")), b"long");
    assert_eq!(contents(&mut machine, "/made/on/the/way"), b"");
    let file = machine.open("/data/a.db", O_RDONLY);
    let answer = machine.fstat(file);
    assert_eq!(
        (
            answer.st_mode,
            answer.st_nlink,
            answer.st_uid,
            answer.st_gid
        ),
        (S_IFREG | 0o640, 2, 7, 8)
    );
    assert_eq!((answer.st_mtime, answer.st_blocks), (1_600_000_000, 24));
}

#[test]
fn names_and_targets_that_do_not_fit_a_header_come_before_it() {
    let mut machine = Machine::new(16);
    let name = std::format!("{}/{}", "d".repeat(200), "n".repeat(200));
    let archive = [
        entry(b'L', "long", "", name.as_bytes()),
        entry(b'0', "cut", "", b"far"),
        entry(b'K', "long", "", std::format!("{name}\0").as_bytes()),
        entry(b'2', "link", "cut", b""),
        entry(b'0', "near", "", b"near"),
    ];
    unpack(&mut machine, archive.concat()).unwrap();
    for path in [&*name, "link"] {
        assert_eq!(contents(&mut machine, path), b"far");
    }
    assert_eq!(contents(&mut machine, "near"), b"near");
}

#[test]
fn a_file_in_place_is_written_in_place_and_grows_into_pages() {
    let mut machine = Machine::new(16);
    assert_eq!(
        unpack(
            &mut machine,
            [
                entry(b'0', "a", "", &[7; 5000]),
                entry(b'0', "b", "", b"next")
            ]
            .concat()
        ),
        Ok(())
    );
    let file = machine.open("/a", O_RDWR);
    assert_eq!(machine.pwrite(file, &[8; 4500], 100), 4500);
    assert_eq!(machine.held(), 0);
    assert_eq!(machine.pwrite(file, &[9; 200], 4900), 200);
    assert_eq!(machine.held(), 1);
    let expected = [&[7; 100][..], &[8; 4500], &[7; 300], &[9; 200]].concat();
    assert_eq!(machine.pread(file, 9999, 0), expected);
    assert_eq!(machine.pwrite(file, b"far", 20_000), 3);
    assert_eq!(machine.held(), 2);
    assert!(
        machine
            .pread(file, 14_900, 5100)
            .iter()
            .all(|&byte| byte == 0)
    );
    // Cut into the part in place and grown again: the cut bytes are gone.
    assert_eq!(machine.call(__NR_ftruncate, &[file as usize, 50]), 0);
    assert_eq!(machine.held(), 0);
    assert_eq!(machine.call(__NR_ftruncate, &[file as usize, 6000]), 0);
    assert_eq!(
        machine.pread(file, 9999, 0),
        [&[7; 50][..], &[0; 5950]].concat()
    );
    assert_eq!(contents(&mut machine, "/b"), b"next");
}

#[test]
fn a_file_that_grows_by_a_hole_keeps_its_neighbour_out() {
    let mut machine = Machine::new(16);
    assert_eq!(
        unpack(
            &mut machine,
            [
                entry(b'0', "a", "", &[7; 700]),
                entry(b'0', "b", "", b"next")
            ]
            .concat()
        ),
        Ok(())
    );
    let file = machine.open("/a", O_RDWR);
    assert_eq!(machine.call(__NR_ftruncate, &[file as usize, 3000]), 0);
    assert_eq!(machine.held(), 0);
    assert_eq!(
        machine.pread(file, 9999, 0),
        [&[7; 700][..], &[0; 2300]].concat()
    );
    let exported = machine.exported("/a");
    assert_eq!(exported, [&[7; 700][..], &[0; 2300]].concat());
}

#[test]
fn damage_is_named_with_its_offset() {
    let good = entry(b'0', "good", "", &[1; 600]);
    let offset = good.len();
    let fault = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut machine = Machine::new(16);
        let mut archive = [good.clone(), entry(b'0', "bad", "", &[2; 600])].concat();
        damage(&mut archive);
        let error = machine
            .files
            .unpack(Vec::leak(archive))
            .expect_err("it is damaged");
        assert_eq!(error.offset, offset);
        assert_eq!(contents(&mut machine, "/good"), [1; 600]);
        error.fault
    };
    assert!(matches!(
        fault(&|archive| archive[offset] ^= 1),
        ArchiveFault::Checksum { .. }
    ));
    assert_eq!(
        fault(&|archive| archive.truncate(offset + 300)),
        ArchiveFault::Truncated { needed: 512 }
    );
    assert_eq!(
        fault(&|archive| archive.truncate(offset + 1000)),
        ArchiveFault::Truncated { needed: 1536 }
    );
    let resealed = |at: usize, bytes: &'static [u8]| {
        move |archive: &mut Vec<u8>| {
            archive[offset + at..offset + at + bytes.len()].copy_from_slice(bytes);
            seal(&mut archive[offset..]);
        }
    };
    assert_eq!(fault(&resealed(124, b"00000zz")), ArchiveFault::Number(124));
    assert_eq!(
        fault(&resealed(124, b"77777777777")),
        ArchiveFault::Truncated {
            needed: (0o77777777777usize).next_multiple_of(512) + 512
        }
    );
    assert_eq!(fault(&resealed(156, b"6")), ArchiveFault::Type(b'6'));
    assert_eq!(fault(&resealed(0, b"../x")), ArchiveFault::Path);
    assert_eq!(fault(&resealed(0, b"\0\0\0")), ArchiveFault::Path);
    assert!(matches!(
        fault(&resealed(0, b"good/x")),
        ArchiveFault::Refused(_)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::cases(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_goes_beyond_an_error(at in 0..2048usize, value: u8, sealed: bool, cut in 0..2600usize) {
        let mut machine = Machine::new(16);
        let mut archive = [entry(b'0', "d/a", "", &[1; 600]), entry(b'2', "l", "d/a", b"")].concat();
        archive[at] = value;
        if sealed {
            seal(&mut archive[..512]);
        }
        archive.truncate(cut);
        // Whatever the answer is, the file system works on.
        let _ = machine.files.unpack(Vec::leak(archive));
        let file = machine.open("/still", O_RDWR | O_CREAT);
        prop_assert_eq!(machine.write(file, b"here"), 4);
        prop_assert_eq!(machine.pread(file, 10, 0), b"here");
    }
}
