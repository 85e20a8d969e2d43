//! The files the C library's resolver reads, unless the image brings its own. Owns nothing.
//!
//! With DHCP the name server is known only after the network has started: whoever opens the
//! file first starts it, and waits for the answer.

use super::super::{Errno, Files, Host, Result};
use crate::files::At;
use bespoke_abi::devices::{NET_DHCP, NET_NONE};
use bespoke_net::Ipv4Address;
use core::fmt::Write;
use linux_raw_sys::general::{AT_FDCWD, O_CREAT, O_EXCL, O_TRUNC, O_WRONLY};

const HOSTS: &[u8] = b"/etc/hosts";
const RESOLVER: &[u8] = b"/etc/resolv.conf";
const HOSTS_TEXT: &[u8] = b"127.0.0.1 localhost\n::1 localhost\n";

/// A line of text on the stack.
struct Line {
    bytes: [u8; 64],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.used + text.len();
        let place = self.bytes.get_mut(self.used..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

impl<H: Host> Files<H> {
    /// Makes `/etc/hosts`, and `/etc/resolv.conf` if the image has a network.
    pub(crate) fn place_network_files(&mut self) -> Result<()> {
        let info = self.host.network();
        self.place_text(HOSTS, O_EXCL, HOSTS_TEXT).map(drop)?;
        if info.kind == NET_NONE {
            return Ok(());
        }
        if info.flags & NET_DHCP != 0 {
            self.objects.net.fills_resolver = self.place_text(RESOLVER, O_EXCL, b"")?;
            return Ok(());
        }
        match info.name_server4 {
            [0, 0, 0, 0] => Ok(()),
            octets => self.place_resolver(O_EXCL, octets.into()),
        }
    }

    fn place_resolver(&mut self, flags: u32, server: Ipv4Address) -> Result<()> {
        let mut line = Line {
            bytes: [0; 64],
            used: 0,
        };
        writeln!(line, "nameserver {server}").map_err(|_| Errno::NAMETOOLONG)?;
        self.place_text(RESOLVER, flags, &line.bytes[..line.used])
            .map(drop)
    }

    /// Writes a small file; `O_EXCL`: one that is there already stays as it is. Whether it was written.
    fn place_text(&mut self, path: &[u8], flags: u32, text: &[u8]) -> Result<bool> {
        let here = AT_FDCWD as isize as usize;
        let descriptor = match self.open(here, path, O_CREAT | O_WRONLY | flags, 0o644) {
            Err(Errno::EXIST) => return Ok(false),
            other => other?,
        };
        let written = self.write(descriptor, text, At::Position);
        self.close(descriptor)?;
        written.map(|_| true)
    }

    /// `path` is about to be opened: the resolver's file is filled in when DHCP has told the name
    /// server, unless the image brought one.
    #[inline]
    pub(crate) fn before_open(&mut self, path: &[u8]) {
        if path == RESOLVER && self.objects.net.fills_resolver {
            self.fill_resolver();
        }
    }

    #[cold]
    fn fill_resolver(&mut self) {
        // Without a network, or without an answer, the file stays empty, as on any machine.
        if self.objects.net.stack(&self.host).is_err() {
            return;
        }
        self.await_address();
        let stack = self.objects.net.stack.as_deref();
        if let Some(server) = stack.and_then(|stack| stack.name_server())
            && self.objects.net.told.replace(server) != Some(server)
        {
            // A file system that is full answers the reader with an empty file.
            let _ = self.place_resolver(O_TRUNC, server);
        }
    }
}
