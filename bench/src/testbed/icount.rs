//! Instructions of a run, counted by QEMU: it translates the image's code and lets one tick of the time stamp counter
//! pass for each instruction (`-icount shift=0`), so the image's own time line counts instructions. Repeatable,
//! whatever else the machine does, and without /dev/kvm.
//!
//! The input is built into the image, for the loader's part is not counted. The machine's memory is a file, in which the statistics page is found afterwards.

use crate::Error;
use crate::testbed::process::{die_with_us, last_words, readers, texts};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::{BootPoint, STATS_MAGIC};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";
/// Where the time line begins in a statistics page: after magic, version and the number of components.
const BOOT_OFFSET: usize = 16;

/// One run to be counted.
pub(crate) struct Counted<'a> {
    /// The image, with its files in it.
    pub image: &'a Path,
    /// Its arguments, without its name.
    pub arguments: &'a [OsString],
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// An empty folder.
    pub scratch: &'a Path,
}

impl Counted<'_> {
    /// Instructions from `main()` to the end, and what was printed.
    ///
    /// # Errors
    ///
    /// [`Error::Workload`] when the image does not end well.
    pub(crate) fn run(&self) -> Result<(f64, String), Error> {
        let memory = self.scratch.join("memory");
        let mut words = vec!["arg=app".to_string(), "watched".to_string()];
        for argument in self.arguments {
            words.push(format!(
                "arg={}",
                bespoke_monitor::encode(argument.as_encoded_bytes())
            ));
        }
        let mut command = Command::new(QEMU);
        command
            .args([
                "-M",
                "microvm,acpi=off,pit=off,pic=off,rtc=on,isa-serial=on,memory-backend=ram",
            ])
            .args([
                "-cpu",
                "max",
                "-accel",
                "tcg",
                "-icount",
                "shift=0,sleep=off",
            ])
            // What differs from run to run: the clock and the random generator.
            .args(["-rtc", "base=2026-01-01T00:00:00,clock=vm", "-seed", "1"])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=ram,size={},share=on,mem-path={}",
                self.memory_bytes,
                memory.display()
            ))
            .args(["-m", &format!("{}M", self.memory_bytes >> 20)])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args([
                "-serial",
                "stdio",
                "-device",
                "isa-debug-exit,iobase=0x501,iosize=2",
            ])
            .arg("-kernel")
            .arg(self.image)
            .args(["-append", &words.join(" ")]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_us(&mut command);
        let mut child = command
            .spawn()
            .map_err(|source| bespoke_builder::Error::NoTool {
                tool: format!("{QEMU} (Debian package qemu-system-x86)"),
                source,
            })?;
        let readers = readers(&mut child);
        let ended = child.wait().map_err(Error::file("wait for", QEMU))?;
        let [output, messages] = texts(readers);
        let counted = time_line(&memory)?;
        fs::remove_file(&memory).map_err(Error::file("remove", &memory))?;
        counted.map(|count| (count, output.clone())).ok_or_else(|| {
            let words = last_words(&output, &messages);
            Error::Workload(format!(
                "under QEMU it did not end by itself ({ended}): {words}"
            ))
        })
    }
}

/// Ticks from `main()` to the end in the statistics page that lies in `memory`.
fn time_line(memory: &Path) -> Result<Option<f64>, Error> {
    let mut file = File::open(memory).map_err(Error::file("open", memory))?;
    let mut page = vec![0; PAGE_BYTES];
    while file.read_exact(&mut page).is_ok() {
        let word = |offset: usize| {
            let bytes = page[offset..offset + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight bytes"))
        };
        let point = |point: BootPoint| word(BOOT_OFFSET + 8 * point as usize);
        let (main, exit) = (point(BootPoint::Main), point(BootPoint::Exit));
        if word(0) == STATS_MAGIC && main != 0 && exit > main {
            return Ok(Some((exit - main) as f64));
        }
    }
    Ok(None)
}
