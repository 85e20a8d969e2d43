//! Files of `/proc` that programs read about themselves, made when they are opened: only what is
//! true of an image. They have no inode of their own and appear in no listing, so that they cost
//! nothing until somebody asks.
//! Owns nothing; a snapshot belongs to its description. Must never name what an image has not.

use super::descriptors::Object;
use super::inode::{InodeId, Kind};
use super::{Errno, Files, Host, Result};
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;
use core::fmt::{self, Write};
use linux_raw_sys::general::{
    O_ACCMODE, O_CLOEXEC, O_DIRECTORY, O_LARGEFILE, O_PATH, O_RDONLY, S_IFREG,
};

/// Connections that wait to be accepted, at most.
const MAX_BACKLOG: usize = 4096;

/// What the program is, as `/proc/self` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Name of the running thread, zero padded.
    pub name: [u8; 16],
    /// Threads that have not ended.
    pub threads: usize,
}

/// A text that grows, or fails for want of memory.
struct Text(Vec<u8>);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_reserve(text.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<H: Host> Files<H> {
    /// Opens the generated file at `path`, if it is one: `None` otherwise.
    pub(super) fn open_generated(&mut self, path: &[u8], flags: u32) -> Option<Result> {
        let path = core::str::from_utf8(path.strip_prefix(b"/proc/")?).ok()?;
        let mut text = Text(Vec::new());
        let written = match path
            .strip_prefix("self/")
            .or_else(|| path.strip_prefix("1/"))
        {
            Some("stat") => self.process_stat(&mut text),
            Some("statm") => self.process_memory(&mut text),
            Some("status") => self.process_status(&mut text),
            _ => match path {
                "meminfo" => self.memory_info(&mut text),
                "uptime" => self.uptime(&mut text),
                "sys/net/core/somaxconn" => writeln!(text, "{MAX_BACKLOG}"),
                _ => return None,
            },
        };
        if written.is_err() {
            return Some(Err(Errno::NOMEM));
        }
        if flags & O_ACCMODE != O_RDONLY {
            return Some(Err(Errno::ACCES));
        }
        if flags & O_DIRECTORY != 0 {
            return Some(Err(Errno::NOTDIR));
        }
        Some(self.open_snapshot(text.0, flags))
    }

    fn open_snapshot(&mut self, text: Vec<u8>, flags: u32) -> Result {
        let now = self.now();
        let descriptor = self.descriptors.lowest_closed(0)?;
        self.descriptors.reserve()?;
        let kind = Kind::Anonymous(S_IFREG);
        let inode: InodeId = self
            .inodes
            .create(kind, 0o444, now)
            .map_err(|_| Errno::NOMEM)?;
        self.inodes[inode].references += 1;
        let (object, kept) = if flags & O_PATH == 0 {
            (Object::Snapshot(text), flags & !O_CLOEXEC | O_LARGEFILE)
        } else {
            (Object::Path, flags & !O_CLOEXEC)
        };
        self.descriptors
            .open(descriptor, object, inode, kept, flags & O_CLOEXEC != 0);
        Ok(descriptor)
    }

    /// Bytes of all pages, and of those nobody holds.
    fn memory_bytes(&self) -> (u64, u64) {
        let memory = self.host.memory();
        let bytes = |pages: u64| pages * PAGE_BYTES as u64;
        (bytes(memory.total_pages), bytes(memory.free_pages))
    }

    /// See proc(5): of its fields the ones an image knows are filled, others are 0.
    fn process_stat(&self, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        let process = self.host.process();
        let name = process.name.split(|&byte| byte == 0).next().unwrap_or(b"");
        let name = core::str::from_utf8(name).unwrap_or("?");
        let ticks = self.host.monotonic_ns() / 10_000_000;
        let (threads, resident) = (process.threads, (total - free) / PAGE_BYTES as u64);
        writeln!(
            text,
            "1 ({name}) R 0 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 0 {total} {resident} \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
        )
    }

    fn process_memory(&self, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        let pages = |bytes: u64| bytes / PAGE_BYTES as u64;
        let resident = pages(total - free);
        writeln!(text, "{} {resident} 0 0 0 {resident} 0", pages(total))
    }

    fn process_status(&self, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        let process = self.host.process();
        let name = process.name.split(|&byte| byte == 0).next().unwrap_or(b"");
        let name = core::str::from_utf8(name).unwrap_or("?");
        let (size, resident) = (total >> 10, (total - free) >> 10);
        writeln!(
            text,
            "Name:\t{name}\nState:\tR (running)\nTgid:\t1\nPid:\t1\nPPid:\t0"
        )?;
        writeln!(text, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0")?;
        writeln!(text, "VmSize:\t{size:8} kB\nVmRSS:\t{resident:8} kB")?;
        writeln!(text, "Threads:\t{}", process.threads)
    }

    fn memory_info(&self, text: &mut Text) -> fmt::Result {
        let (total, free) = self.memory_bytes();
        for (name, bytes) in [
            ("MemTotal:", total),
            ("MemFree:", free),
            ("MemAvailable:", free),
            ("SwapTotal:", 0),
            ("SwapFree:", 0),
        ] {
            writeln!(text, "{name:15} {:8} kB", bytes >> 10)?;
        }
        Ok(())
    }

    fn uptime(&self, text: &mut Text) -> fmt::Result {
        let hundredths = self.host.monotonic_ns() / 10_000_000;
        writeln!(text, "{}.{:02} 0.00", hundredths / 100, hundredths % 100)
    }
}
