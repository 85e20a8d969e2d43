//! What a hostile guest finds of its host: nothing in its registers, nothing of the monitor in its memory.

#[expect(dead_code, reason = "every test file uses its part")]
mod common;

use common::{command, compile, monitors, text};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;

const PAGE: u64 = 4096;
const MEMORY_BYTES: u64 = 4 << 20;
/// Where the image may be, and below it the monitor's code for faults.
const GUESTS: Range<u64> = 0x10_0000..0x20_0000 + MEMORY_BYTES;
const SECRET: &str = "bespoke-test-secret-4f1d8a";

fn hostile() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    let parts = ["-DKEEPS_REGISTERS", "-mgeneral-regs-only", "hostile.c"];
    GUEST.get_or_init(|| compile("hostile", &parts))
}

/// A mapping of a process, as `/proc` names it.
struct Area {
    range: Range<u64>,
    readable: bool,
    line: String,
}

fn areas(pid: u32) -> Vec<Area> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the maps of a process");
    let area = |line: &str| {
        let (start, rest) = line.split_once('-')?;
        let (end, rest) = rest.split_once(' ')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Area {
            range: number(start)?..number(end)?,
            readable: rest.starts_with('r'),
            line: line.to_string(),
        })
    };
    maps.lines().map(|line| area(line).expect(line)).collect()
}

fn only_child(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.expect("its children").trim().parse().expect("one")
}

/// A guest that has looked at its registers, and its output so far.
fn start(monitor: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut driver = command(monitor, hostile());
    driver
        .args(["-m", &MEMORY_BYTES.to_string(), "--", SECRET])
        .env(
            "BESPOKE_TEST_SECRET",
            format!("in-the-environment-{SECRET}"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = driver.spawn().expect("the driver runs");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(
        line, "ready\n",
        "{monitor}: the guest found it at its entry"
    );
    (child, output)
}

#[test]
fn registers_are_clear_and_no_address_of_the_monitor_is_there() {
    for monitor in monitors() {
        let (mut child, mut output) = start(monitor);
        let mut addresses = Vec::new();
        for area in areas(child.id()) {
            // What the two have at the same place, by chance or by the kernel's choice, tells nothing.
            if area.range.start >= 1 << 47 || GUESTS.contains(&area.range.start) {
                continue;
            }
            let pages = (area.range.end - area.range.start) / PAGE;
            for page in [0, pages / 4, pages / 2, pages - 1] {
                addresses.push(area.range.start + page * PAGE);
            }
        }
        let mut input: Vec<u8> = addresses.iter().flat_map(|at| at.to_le_bytes()).collect();
        input.extend([0; 8]);
        assert!(addresses.len() > 20 && input.len() < 60_000);
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(&input).expect("the guest reads");
        output.read_to_end(&mut Vec::new()).expect("its output");
        let ended = child.wait_with_output().expect("its end");
        let found: Vec<String> = ended
            .stderr
            .chunks(8)
            .map(|at| {
                at.try_into()
                    .map_or(text(at), |at| format!("{:#x}", u64::from_le_bytes(at)))
            })
            .collect();
        assert_eq!(ended.status.code(), Some(0), "{monitor}: {found:?}");
    }
}

#[test]
fn a_guest_process_holds_the_image_and_no_secret() {
    let (mut child, _output) = start("process");
    let guest = only_child(child.id());
    let memory = fs::File::open(format!("/proc/{guest}/mem")).expect("its memory");
    let secret = format!("in-the-environment-{SECRET}");
    let mut bytes = Vec::new();
    for area in areas(guest) {
        // The kernel's own page of constants, which no process can give up.
        if area.line.ends_with("[vsyscall]") {
            continue;
        }
        assert!(
            area.range.start >= GUESTS.start && area.range.end <= GUESTS.end,
            "{}",
            area.line
        );
        if area.readable {
            bytes.resize((area.range.end - area.range.start) as usize, 0);
            memory
                .read_exact_at(&mut bytes, area.range.start)
                .expect("readable memory");
            let is_there = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!is_there, "{}", area.line);
        }
    }
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(&[0; 8])
        .expect("the guest reads");
    assert_eq!(child.wait().expect("its end").code(), Some(0));
}
