//! The `firecracker` monitor: writes Firecracker's configuration for the image, and starts it.
//!
//! Firecracker does not share its machine's memory. So the image makes its own reports, and its
//! last line contains its exit code.
//! The process never outlives us. Firecracker opens the TAP device itself, so we must not hold it.

mod config;
mod status;

pub(crate) use status::Status;

use crate::archive;
use crate::boot;
use crate::config::RunConfig;
use crate::exports::Exports;
use crate::image::Image;
use crate::layout;
use crate::memory::PAGE_BYTES;
use crate::net::{Network, existing_tap};
use crate::outcome::{Exit, Outcome};
use crate::program::{self, Version};
use crate::stock::{Relay, archive_file, memory_file, pipe, quoted, set_nonblocking, words};
use crate::{MonitorError, clock};
use bespoke_abi::IMAGE_BASE;
use config::{Configuration, Interface};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "firecracker";
/// The oldest version that starts kernels by their PVH note. Older ones enter an image
/// where it expects another monitor.
const STOCK: program::Stock = program::Stock {
    program: PROGRAM,
    oldest: Version(1, 12),
    advice: GET,
};
const GET: &str =
    "get 1.12 or newer from https://github.com/firecracker-microvm/firecracker/releases";

/// Returns the version of the installed Firecracker; `None` if it is missing or reports none.
///
/// # Errors
///
/// When it is too old to start images.
pub fn version() -> Option<Result<String, MonitorError>> {
    STOCK.installed()
}

/// Returns the configuration with which Firecracker starts `image`, with `memory_bytes` of memory.
/// The first of `arguments` is the program's name. If the image `serves`, it gets the TAP
/// device `tap0` and an address by DHCP.
///
/// # Errors
///
/// [`MonitorError::LineTooLong`].
pub fn by_hand(
    image: &Path,
    memory_bytes: u64,
    arguments: &[OsString],
    serves: bool,
) -> Result<String, MonitorError> {
    let mut words: Vec<String> = words::arguments(arguments).collect();
    words.push("status".into());
    check_line(&words)?;
    let configuration = Configuration {
        image,
        memory_mib: memory_bytes >> 20,
        words: &words,
        archive: None,
        interface: serves.then_some(Interface {
            tap: "tap0",
            mac: [0x02, 0x62, 0x65, 0x73, 0x70, 0x6b],
        }),
    };
    Ok(configuration.json())
}

/// Returns the shell command that starts `configuration`.
pub fn line(configuration: &Path) -> String {
    let path = configuration.to_string_lossy();
    format!("{PROGRAM} --no-api --config-file {}", quoted(&path))
}

fn check_line(words: &[String]) -> Result<(), MonitorError> {
    let bytes = words.iter().map(|word| word.len() + 1).sum::<usize>();
    let limit_bytes = config::MOST_LINE_BYTES;
    if bytes > limit_bytes {
        return Err(MonitorError::LineTooLong { bytes, limit_bytes });
    }
    Ok(())
}

/// Runs `image` in Firecracker according to `config`.
pub(crate) fn run(
    config: &RunConfig,
    image: &Image,
    exports: &Exports,
    is_traced: bool,
) -> Result<Outcome, MonitorError> {
    check_request(config, exports, is_traced)?;
    let mut words = words::program(config);
    words.push("status".into());
    words.extend(words::terminals(boot::terminals()));
    let tap = match &config.net {
        Network::Tap(tap) => Some((&*tap.name, existing_tap(tap)?)),
        _ => None,
    };
    words.extend(tap.as_ref().and_then(|(_, info)| words::network(info)));
    check_line(&words)?;
    let memory_mib = config.memory_bytes >> 20;
    check_memory(image, memory_mib << 20)?;
    let path = std::path::absolute(&image.path).map_err(|source| MonitorError::File {
        purpose: "find",
        path: image.path.clone(),
        source,
    })?;
    let configuration = |archive: Option<&str>| {
        let interface = tap.as_ref().map(|(name, info)| Interface {
            tap: name,
            mac: info.mac,
        });
        Configuration {
            image: &path,
            memory_mib,
            words: &words,
            archive,
            interface,
        }
        .json()
    };
    let files = archive::bytes(&config.archive, config.memory_bytes)?;
    let Some(program) = program::find(PROGRAM) else {
        return Err(leave(&path, &files, configuration));
    };
    STOCK.check(&program).transpose()?;
    let archive = archive_file(&files)?;
    let seen = |file: &std::os::fd::OwnedFd| format!("/proc/self/fd/{}", file.as_raw_fd());
    let json = configuration(archive.as_ref().map(seen).as_deref());
    let file = memory_file(c"bespoke-firecracker", json.as_bytes())?;
    let (input, output, messages) = (pipe()?, pipe()?, pipe()?);
    let mut command = Command::new(&program);
    command.args(["--no-api", "--config-file", &seen(&file)]);
    // Otherwise it logs between the image's lines.
    command.args(["--level", "Error", "--log-path", "/proc/self/fd/2"]);
    command.stdin(input.0).stdout(output.1).stderr(messages.1);
    let inherited = [Some(&file), archive.as_ref()];
    let inherited = inherited.into_iter().flatten().map(AsRawFd::as_raw_fd);
    program::tie(&mut command, inherited.collect());
    let child = command.spawn().map_err(|source| MonitorError::File {
        purpose: "run",
        path: program.clone(),
        source,
    })?;
    let mut running = program::Running(child);
    drop((command, file, archive));
    set_nonblocking(&input.1)?;
    let outputs = [Some(output.0), None];
    let mut relay = Relay::new(input.1, outputs, messages.0).with_status(Status::new());
    while let Some(ready) = relay.wait(None)? {
        relay.turn(ready);
    }
    let ended = running.wait()?;
    match relay.status() {
        Some(code) => Ok(Outcome {
            exit: Exit::Code(code),
            stats: None,
            tsc_khz: clock::tsc_khz(),
            exports: Vec::new(),
            trace: None,
        }),
        None => Err(MonitorError::Stock {
            program: PROGRAM,
            reason: match relay.said() {
                said if said.is_empty() => {
                    format!("it ended without any message from the image ({ended})")
                }
                said => format!("{said} ({ended})"),
            },
        }),
    }
}

/// Rejects requests that this monitor does not support.
fn check_request(
    config: &RunConfig,
    exports: &Exports,
    is_traced: bool,
) -> Result<(), MonitorError> {
    let (what, instead) = if !exports.is_empty() {
        ("--out", "--monitor kvm or --monitor process")
    } else if is_traced {
        ("a trace", "--monitor kvm or --monitor process")
    } else if matches!(config.net, Network::Ports(_)) {
        ("-p", "a TAP device: --net tap:NAME")
    } else {
        return Ok(());
    };
    Err(MonitorError::Unsupported {
        what,
        monitor: PROGRAM,
        instead,
    })
}

fn check_memory(image: &Image, given_bytes: u64) -> Result<(), MonitorError> {
    layout::fits_host(given_bytes)?;
    let end = image
        .segments
        .last()
        .map_or(IMAGE_BASE, |last| last.pages.end);
    let needed_bytes = end + image.note.stack_bytes + 2 * PAGE_BYTES;
    if needed_bytes > given_bytes {
        return Err(MonitorError::TooLittleMemory {
            needed_bytes,
            given_bytes,
        });
    }
    Ok(())
}

/// Writes Firecracker's input to the current folder, for use on another machine.
fn leave(
    image: &Path,
    files: &[u8],
    configuration: impl Fn(Option<&str>) -> String,
) -> MonitorError {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let path = PathBuf::from(format!("{name}.firecracker.json"));
    let archive = std::path::absolute(format!("{name}.firecracker.tar"));
    let write = || {
        let archive = match files.is_empty() {
            true => None,
            false => {
                let archive = archive?;
                fs::File::create(&archive)?.write_all(files)?;
                Some(archive.to_string_lossy().into_owned())
            }
        };
        fs::write(&path, configuration(archive.as_deref()))
    };
    match write() {
        Ok(()) => MonitorError::StockMissing {
            program: PROGRAM,
            advice: format!("{GET}; it starts this image by: {}", line(&path)),
        },
        Err(source) => MonitorError::File {
            purpose: "write Firecracker's configuration",
            path,
            source,
        },
    }
}
