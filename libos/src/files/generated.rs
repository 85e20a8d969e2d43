//! Files of `/proc` that programs read about themselves, made when they are opened: only what is
//! true of an image. They have no inode of their own and appear in no listing, so that they cost
//! nothing until somebody asks.
//! Owns nothing; a snapshot belongs to its description. Must never name what an image has not.

use super::descriptors::Object;
use super::inode::{Inode, InodeId, Kind};
use super::{Errno, Files, Host, Result};
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;
use core::fmt::{self, Write};
use linux_raw_sys::general::{
    O_ACCMODE, O_CLOEXEC, O_DIRECTORY, O_LARGEFILE, O_PATH, O_RDONLY, PATH_MAX, S_IFDIR, S_IFIFO,
    S_IFLNK, S_IFREG, S_IFSOCK,
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

/// What opening a generated file gives.
pub(super) enum Opened {
    /// A descriptor of a text.
    Descriptor(usize),
    /// Another file, which is to be opened instead.
    Link(InodeId),
}

/// What a path of `/proc` is.
enum Found {
    /// A text, as it is now.
    Text(Vec<u8>),
    /// A directory, of which nobody can ask for a list.
    Directory,
    /// A link to a file.
    Link(InodeId),
    /// A link of which only the text matters.
    Name(&'static [u8]),
}

/// Directories above the files there are.
const DIRECTORIES: [&str; 7] = [
    "/proc",
    "/proc/1",
    "/proc/1/fd",
    "/proc/self/fd",
    "/proc/sys",
    "/proc/sys/net",
    "/proc/sys/net/core",
];

impl<H: Host> Files<H> {
    /// What is generated at `path`, if anything is.
    #[inline]
    fn find_generated(&self, path: &[u8]) -> Result<Option<Found>> {
        // Asked of every path: nearly all are others.
        if !path.starts_with(b"/proc") {
            return Ok(None);
        }
        self.find_in_proc(path)
    }

    #[cold]
    fn find_in_proc(&self, path: &[u8]) -> Result<Option<Found>> {
        let Ok(path) = core::str::from_utf8(path) else {
            return Ok(None);
        };
        let Some(name) = path.strip_prefix("/proc") else {
            return Ok(None);
        };
        let whole = path.trim_end_matches('/');
        if whole == "/proc/self" {
            // With a slash behind it, what it leads to.
            let link = Found::Name(b"1");
            return Ok(Some(if whole == path {
                link
            } else {
                Found::Directory
            }));
        }
        if DIRECTORIES.contains(&whole) {
            return Ok(Some(Found::Directory));
        }
        let Some(name) = name.strip_prefix('/') else {
            return Ok(None);
        };
        let own = name
            .strip_prefix("self/")
            .or_else(|| name.strip_prefix("1/"));
        let mut text = Text(Vec::new());
        let written = match own {
            Some("cwd") => return Ok(Some(Found::Link(self.working_directory))),
            Some("root") => return Ok(Some(Found::Link(InodeId::ROOT))),
            Some("stat") => self.process_stat(&mut text),
            Some("maps") => self.memory_map(&mut text),
            Some("statm") => self.process_memory(&mut text),
            Some("status") => self.process_status(&mut text),
            Some(own) => {
                let number = own.strip_prefix("fd/").and_then(|fd| fd.parse().ok());
                let description = number.and_then(|fd| self.descriptors.get(fd).ok());
                return Ok(description.map(|description| Found::Link(description.inode)));
            }
            None => match name {
                "meminfo" => self.memory_info(&mut text),
                "uptime" => self.uptime(&mut text),
                "sys/net/core/somaxconn" => writeln!(text, "{MAX_BACKLOG}"),
                _ => return Ok(None),
            },
        };
        written.map_err(|_| Errno::NOMEM)?;
        Ok(Some(Found::Text(text.0)))
    }

    /// Opens the generated file at `path`, if it is one: `None` otherwise.
    pub(super) fn open_generated(&mut self, path: &[u8], flags: u32) -> Option<Result<Opened>> {
        let text = match self.find_generated(path).transpose()? {
            Ok(Found::Text(text)) => text,
            Ok(Found::Link(inode)) => return Some(Ok(Opened::Link(inode))),
            Ok(Found::Directory | Found::Name(_)) => return Some(Err(Errno::ACCES)),
            Err(error) => return Some(Err(error)),
        };
        if flags & O_ACCMODE != O_RDONLY {
            return Some(Err(Errno::ACCES));
        }
        if flags & O_DIRECTORY != 0 {
            return Some(Err(Errno::NOTDIR));
        }
        Some(self.open_snapshot(text, flags).map(Opened::Descriptor))
    }

    /// The file that a generated link at `path` leads to.
    pub(super) fn generated_target(&self, path: &[u8]) -> Option<InodeId> {
        match self.find_generated(path) {
            Ok(Some(Found::Link(inode))) => Some(inode),
            _ => None,
        }
    }

    /// What `stat` tells of a generated file at `path`, links followed or not: a file of no size, as in Linux.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none.
    pub(crate) fn generated_inode(&self, path: &[u8], follows: bool) -> Result<Inode> {
        let (kind, mode) = match self.find_generated(path)?.ok_or(Errno::NOENT)? {
            Found::Text(_) => (S_IFREG, 0o444),
            Found::Directory => (S_IFDIR, 0o555),
            Found::Name(_) if follows => (S_IFDIR, 0o555),
            Found::Name(_) | Found::Link(_) => (S_IFLNK, 0o777),
        };
        let now = self.now();
        Ok(Inode {
            kind: Kind::Anonymous(kind),
            mode,
            uid: 0,
            gid: 0,
            links: 1,
            references: 0,
            accessed: now,
            modified: now,
            changed: now,
        })
    }

    /// `readlink` of a generated link at `path`.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none, or when what it leads to has no name; `EINVAL` for what is no link.
    pub(super) fn read_generated_link(&self, path: &[u8], buffer: &mut [u8]) -> Result {
        let mut room = [0; PATH_MAX as usize];
        let mut text = Text(Vec::new());
        let target = match self.find_generated(path)?.ok_or(Errno::NOENT)? {
            Found::Name(name) => name,
            Found::Link(inode) => match self.inodes[inode].kind {
                Kind::Anonymous(kind) => {
                    let name = match kind {
                        S_IFIFO => "pipe",
                        S_IFSOCK => "socket",
                        _ => "anon_inode",
                    };
                    write!(text, "{name}:[{}]", inode.0 + 1).map_err(|_| Errno::NOMEM)?;
                    &text.0[..]
                }
                _ => {
                    let path = self.path_of(inode, &mut room)?;
                    &path[..path.len() - 1]
                }
            },
            Found::Text(_) | Found::Directory => return Err(Errno::INVAL),
        };
        let count = target.len().min(buffer.len());
        buffer[..count].copy_from_slice(&target[..count]);
        Ok(count)
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
            let device = shown.file.map_or(0, |_| super::attributes::DEVICE);
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
