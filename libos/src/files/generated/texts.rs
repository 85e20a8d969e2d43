//! The texts of generated files that are made when they are read: only what is true of an image. Owns nothing.

use super::super::attributes::DEVICE;
use super::super::inode::InodeId;
use super::super::{Files, Host};
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;
use core::arch::x86_64::__cpuid_count;
use core::fmt::{self, Write};
use linux_raw_sys::general::PATH_MAX;

/// A text that grows, or fails for want of memory.
pub struct Text(pub Vec<u8>);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes())
    }
}

impl Text {
    fn bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        self.0.try_reserve(bytes.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Names of limits and their units, by number.
const LIMITS: &str = "\
cpu time:seconds|file size:bytes|data size:bytes|stack size:bytes|core file size:bytes|resident set:bytes|\
processes:processes|open files:files|locked memory:bytes|address space:bytes|file locks:locks|\
pending signals:signals|msgqueue size:bytes|nice priority:|realtime priority:|realtime timeout:us";

impl<H: Host> Files<H> {
    /// Writes the text with this letter, for thread `tid`.
    pub(super) fn write_text(&self, letter: u8, tid: u32, text: &mut Text) -> fmt::Result {
        match letter {
            b'a' | b'e' => {
                let mut answer = Ok(());
                self.host.strings(letter == b'e', &mut |string| {
                    answer = answer.and_then(|()| text.bytes(string));
                });
                answer
            }
            b'n' => writeln!(text, "{}", self.name_of(tid)),
            b'L' => self.limits(text),
            b'p' => self.memory_map(text),
            b'S' => self.process_stat(tid, text),
            b'M' => self.process_memory(text),
            b'T' => self.process_status(tid, text),
            b'c' => self.cpu_info(text),
            b'l' => {
                let threads = self.host.process().threads;
                writeln!(text, "0.00 0.00 0.00 1/{threads} {threads}")
            }
            b'm' => self.memory_info(text),
            b's' => self.machine_stat(text),
            b'u' => self.uptime(text),
            b'v' => writeln!(
                text,
                "Linux version 5.10.0-bespoke (bespoke) #{}",
                env!("CARGO_PKG_VERSION")
            ),
            b'V' => writeln!(text, "#{}", env!("CARGO_PKG_VERSION")),
            b'b' => uuid(text, self.host.boot_id()),
            b'r' => {
                let mut random = [0; 16];
                self.host.random(&mut random);
                uuid(text, random)
            }
            _ => Ok(()),
        }
    }

    fn name_of(&self, tid: u32) -> impl fmt::Display {
        Name(self.host.thread_name(tid))
    }

    /// Bytes of all pages, and of those nobody holds.
    fn memory_bytes(&self) -> (u64, u64) {
        let memory = self.host.memory();
        let bytes = |pages: u64| pages * PAGE_BYTES as u64;
        (bytes(memory.total_pages), bytes(memory.free_pages))
    }

    fn limits(&self, text: &mut Text) -> fmt::Result {
        writeln!(
            text,
            "{:26}{:21}{:21}{:10}",
            "Limit", "Soft Limit", "Hard Limit", "Units"
        )?;
        for (number, line) in LIMITS.split('|').enumerate() {
            let (name, unit) = line.split_once(':').unwrap_or((line, ""));
            let (soft, hard) = self.host.limit(number);
            write!(text, "Max {name:22}{:21}{:21}", Amount(soft), Amount(hard))?;
            writeln!(text, "{unit:10}")?;
        }
        Ok(())
    }

    /// See proc(5): of its fields the ones an image knows are filled, others are 0.
    fn process_stat(&self, tid: u32, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        let threads = self.host.process().threads;
        let ticks = self.host.cpu_time_ns(tid) / 10_000_000;
        let resident = (total - free) / PAGE_BYTES as u64;
        writeln!(
            text,
            "{tid} ({}) R 0 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 0 {total} {resident} \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
            self.name_of(tid)
        )
    }

    fn process_memory(&self, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        let pages = |bytes: u64| bytes / PAGE_BYTES as u64;
        let resident = pages(total - free);
        let (code, data, more) = self.host.sizes();
        let (all, data) = (pages(total) + more, resident + data);
        writeln!(text, "{all} {resident} 0 {code} 0 {data} 0")
    }

    /// As Linux writes it; names begin in column 74.
    fn memory_map(&self, text: &mut Text) -> fmt::Result {
        const NAME_COLUMN: usize = 73;
        let mut room = [0; PATH_MAX as usize];
        let mut result = Ok(());
        self.host.mappings(&mut |shown| {
            let (inode, offset) = match shown.file {
                Some((inode, offset)) => (inode + 1, offset),
                None => (0, 0),
            };
            let name = match shown
                .file
                .map(|(inode, _)| self.path_of(InodeId(inode), &mut room))
            {
                None => shown.name.as_bytes(),
                Some(Ok(path)) => &path[..path.len() - 1],
                Some(Err(_)) => b" (deleted)",
            };
            let [r, w, x, p] = shown.rights.map(char::from);
            let (start, end) = (shown.range.start, shown.range.end);
            let begin = text.0.len();
            let device = shown.file.map_or(0, |_| DEVICE);
            result = write!(
                text,
                "{start:08x}-{end:08x} {r}{w}{x}{p} {offset:08x} 00:{device:02x} {inode} "
            );
            let missing = match name {
                [] => 0,
                _ => (begin + NAME_COLUMN).saturating_sub(text.0.len()),
            };
            if result.is_ok() {
                result = text
                    .0
                    .try_reserve(missing + name.len() + 1)
                    .map_err(|_| fmt::Error);
            }
            if result.is_ok() {
                text.0.extend(core::iter::repeat_n(b' ', missing));
                text.0.extend_from_slice(name);
                text.0.push(b'\n');
            }
            result.is_ok()
        });
        result
    }

    fn process_status(&self, tid: u32, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        let (size, resident) = (total >> 10, (total - free) >> 10);
        let table = self.descriptors.len().next_power_of_two().max(64);
        writeln!(
            text,
            "Name:\t{}\nUmask:\t{:04o}\nState:\tR (running)\nTgid:\t1\nNgid:\t0\nPid:\t{tid}\nPPid:\t0\nTracerPid:\t0",
            self.name_of(tid),
            self.umask
        )?;
        let [uid, gid] = self.host.ids();
        writeln!(
            text,
            "Uid:\t{0}\t{1}\t{2}\t{3}",
            uid[0], uid[1], uid[2], uid[3]
        )?;
        writeln!(
            text,
            "Gid:\t{0}\t{1}\t{2}\t{3}",
            gid[0], gid[1], gid[2], gid[3]
        )?;
        writeln!(text, "FDSize:\t{table}")?;
        for (name, kib) in [
            ("Peak", size),
            ("Size", size),
            ("HWM", resident),
            ("RSS", resident),
        ] {
            writeln!(text, "Vm{name}:\t{kib:8} kB")?;
        }
        writeln!(
            text,
            "VmSwap:\t       0 kB\nThreads:\t{}\nCpus_allowed:\t1\nCpus_allowed_list:\t0",
            self.host.process().threads
        )
    }

    fn memory_info(&self, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        let files = self.inodes.held_pages() as u64 * PAGE_BYTES as u64;
        for (name, bytes) in [
            ("MemTotal", total),
            ("MemFree", free),
            ("MemAvailable", free),
            ("Buffers", 0),
            ("Cached", files),
            ("SwapCached", 0),
            ("SwapTotal", 0),
            ("SwapFree", 0),
            ("Shmem", files),
        ] {
            writeln!(text, "{name}:{:1$} kB", bytes >> 10, 23 - name.len())?;
        }
        Ok(())
    }

    fn uptime(&self, text: &mut Text) -> fmt::Result {
        let hundredths = self.host.monotonic_ns() / 10_000_000;
        let used = self.host.cpu_time_ns(0) / 10_000_000;
        let idle = hundredths.saturating_sub(used);
        writeln!(
            text,
            "{}.{:02} {}.{:02}",
            hundredths / 100,
            hundredths % 100,
            idle / 100,
            idle % 100
        )
    }

    fn machine_stat(&self, text: &mut Text) -> fmt::Result {
        let now = self.host.monotonic_ns();
        let used = self.host.cpu_time_ns(0);
        let ticks = |ns: u64| ns / 10_000_000;
        let idle = ticks(now.saturating_sub(used));
        for name in ["cpu ", "cpu0"] {
            writeln!(text, "{name} {} 0 0 {idle} 0 0 0 0 0 0", ticks(used))?;
        }
        let started = self.host.now_ns().saturating_sub(now) / 1_000_000_000;
        let threads = self.host.process().threads;
        writeln!(
            text,
            "intr 0\nctxt 0\nbtime {started}\nprocesses {threads}\nprocs_running 1\nprocs_blocked 0"
        )
    }

    fn cpu_info(&self, text: &mut Text) -> fmt::Result {
        let leaf = |number| __cpuid_count(number, 0);
        let first = leaf(0);
        let vendor: [u8; 12] = {
            let mut bytes = [0; 12];
            for (part, word) in bytes.chunks_mut(4).zip([first.ebx, first.edx, first.ecx]) {
                part.copy_from_slice(&word.to_le_bytes());
            }
            bytes
        };
        let version = leaf(1).eax;
        let base = version >> 8 & 15;
        let family = if base == 15 {
            base + (version >> 20 & 255)
        } else {
            base
        };
        let model = version >> 4 & 15 | version >> 12 & 0xf0;
        writeln!(
            text,
            "processor\t: 0\nvendor_id\t: {}\ncpu family\t: {family}\nmodel\t\t: {model}",
            core::str::from_utf8(&vendor).unwrap_or("")
        )?;
        let mut name = [0; 48];
        if leaf(0x8000_0000).eax >= 0x8000_0004 {
            for index in 0..3 {
                let part = leaf(0x8000_0002 + index);
                let words = [part.eax, part.ebx, part.ecx, part.edx];
                let places = name[16 * index as usize..].chunks_mut(4);
                for (place, word) in places.zip(words) {
                    place.copy_from_slice(&word.to_le_bytes());
                }
            }
        }
        let name = name.split(|&byte| byte == 0).next().unwrap_or(b"");
        writeln!(
            text,
            "model name\t: {}\nstepping\t: {}\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1",
            core::str::from_utf8(name).unwrap_or("").trim(),
            version & 15
        )?;
        write!(text, "flags\t\t:")?;
        let (one, seven) = (leaf(1), leaf(7));
        for (word, names) in [
            (one.edx, EDX_1),
            (one.ecx, ECX_1),
            (if first.eax >= 7 { seven.ebx } else { 0 }, EBX_7),
        ] {
            for name in names.split(' ') {
                let digits = name.bytes().take_while(u8::is_ascii_digit).count().min(2);
                let bit: u32 = name[..digits].parse().unwrap_or(0);
                if word >> bit & 1 == 1 {
                    write!(text, " {}", &name[digits..])?;
                }
            }
        }
        writeln!(text, "\naddress sizes\t: 48 bits virtual\n")
    }
}

/// Features by their bits, which have two digits.
const EDX_1: &str = "00fpu 04tsc 08cx8 15cmov 23mmx 24fxsr 25sse 26sse2";
const ECX_1: &str = "00pni 01pclmulqdq 09ssse3 12fma 13cx16 19sse4_1 20sse4_2 22movbe 23popcnt 25aes 26xsave 28avx 29f16c \
                     30rdrand";
const EBX_7: &str = "00fsgsbase 03bmi1 05avx2 08bmi2 09erms 16avx512f 18rdseed 19adx 29sha_ni";

struct Name([u8; 16]);

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.split(|&byte| byte == 0).next().unwrap_or(b"");
        out.write_str(core::str::from_utf8(name).unwrap_or("?"))
    }
}

struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => out.pad("unlimited"),
            amount => {
                let mut text = Text(Vec::new());
                write!(text, "{amount}")?;
                out.pad(core::str::from_utf8(&text.0).unwrap_or(""))
            }
        }
    }
}

fn uuid(text: &mut Text, mut bytes: [u8; 16]) -> fmt::Result {
    // Version 4, of this variant (RFC 9562).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.write_str("-")?;
        }
        write!(text, "{byte:02x}")?;
    }
    writeln!(text)
}
