//! Programs of the host that runs start: finds them in `PATH`, queries their
//! version, and ties them to our lifetime.

use crate::MonitorError;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Finds `name` in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// The significant part of a version: major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    /// Returns the output of `program --version` as a version; `None` if it has none.
    pub(crate) fn of(program: &Path) -> Option<Self> {
        let output = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        Self::read(&String::from_utf8_lossy(&output.stdout))
    }

    /// Returns the first word that is a version, such as `7.2.22` or `v1.12.0`.
    fn read(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.trim_start_matches('v').split('.');
            let major = numbers.next()?.parse().ok()?;
            Some(Self(major, numbers.next()?.parse().ok()?))
        })
    }
}

/// A stock monitor and its oldest supported version.
pub(crate) struct Stock {
    pub program: &'static str,
    /// The oldest version that starts images.
    pub oldest: Version,
    /// How to get a newer one.
    pub advice: &'static str,
}

impl Stock {
    /// Returns the version of the program at `path`, or an error if it is too
    /// old; `None` if it reports none.
    pub(crate) fn check(&self, path: &Path) -> Option<Result<Version, MonitorError>> {
        let version = Version::of(path)?;
        if version < self.oldest {
            return Some(Err(MonitorError::StockTooOld {
                program: self.program,
                found: version.to_string(),
                oldest: self.oldest.to_string(),
                advice: self.advice,
            }));
        }
        Some(Ok(version))
    }

    /// Finds the installed program and returns its path with its version; see [`Self::check`].
    pub(crate) fn installed(&self) -> Option<Result<String, MonitorError>> {
        let path = find(self.program)?;
        let version = self.check(&path)?;
        Some(version.map(|version| format!("{} {version}", path.display())))
    }
}

/// A running program, which is killed and reaped when dropped.
pub(crate) struct Running(pub Child);

impl Running {
    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, MonitorError> {
        self.0.wait().map_err(|source| MonitorError::Host {
            step: "wait for the monitor's end",
            source,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended and was reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ties the process of `command` to this one: it ends when we end, for whatever reason, and
/// receives no signal of our terminal.
/// It gets the descriptors in `inherited` under the same numbers.
pub(crate) fn tie(command: &mut Command, inherited: Vec<RawFd>) {
    // SAFETY: asks for a number.
    let parent = unsafe { libc::getpid() };
    command.process_group(0);
    // SAFETY: system calls that are allowed between fork and exec; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            for fd in &inherited {
                if libc::fcntl(*fd, libc::F_SETFD, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have ended before the line above.
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, version) in [
            (
                "QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright 2003",
                Some(Version(7, 2)),
            ),
            ("Firecracker v1.12.0\n\nSupported", Some(Version(1, 12))),
            ("Firecracker v1.13.0-dev", Some(Version(1, 13))),
            ("usage: firecracker", None),
            ("", None),
        ] {
            assert_eq!(Version::read(text), version, "{text}");
        }
        assert!(Version(10, 0) > Version(7, 2) && Version(1, 9) < Version(1, 12));
    }
}
