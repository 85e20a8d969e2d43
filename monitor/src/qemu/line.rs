//! The QEMU command line for an image. It gives the same machine for every caller.
//!
//! The devices are those that the image drives (`libos/src/platform/pvh/devices.rs`):
//! virtio consoles, entropy and network, and `isa-debug-exit`, which turns an exit code
//! into QEMU's own status `2 * code + 1`.

use crate::config::{Accelerator, Machine};
use crate::stock::{quoted, words};
use bespoke_abi::devices::NetInfo;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

/// The emulator.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// Device that receives the image's exit code (`libos/src/platform/pvh/power.rs`).
const DEBUG_EXIT: &str = "isa-debug-exit,iobase=0xf4,iosize=4";
const ETHERNET_MTU: u16 = 1500;
/// QEMU counts memory in pages of 8 KiB.
pub(super) const MEMORY_STEP_BYTES: u64 = 8 << 10;

/// The accelerator.
pub(super) enum Cpu {
    /// Only this one.
    One(Accelerator),
    /// KVM if it works, else TCG.
    Best,
}

/// Backing of the machine's memory.
pub(super) enum Memory {
    /// QEMU's own memory.
    Own,
    /// The file behind this descriptor.
    File(RawFd),
}

/// Destination of the console.
pub(super) enum Console {
    /// Terminal for all streams.
    Terminal,
    /// The image's standard error goes to this descriptor, the rest to standard input and output.
    Pipes(RawFd),
    /// Standard output for all streams, over the serial port.
    Serial,
}

/// Type of network.
pub(super) enum Net<'a> {
    /// No network.
    None,
    /// A TAP device that is open on this descriptor.
    Tap(RawFd, &'a NetInfo),
    /// A stream of frames in the relay's format.
    Stream(RawFd, &'a NetInfo),
    /// QEMU's user network, which answers DHCP and forwards this port of the
    /// loopback address to the image's port.
    User(u16, u16),
}

/// The inputs of the command line.
pub(super) struct Line<'a> {
    pub machine: Machine,
    pub cpu: Cpu,
    pub memory_bytes: u64,
    pub memory: Memory,
    pub console: Console,
    pub net: Net<'a>,
    pub image: &'a Path,
    /// The archive of files, as a path.
    pub archive: Option<String>,
    /// The image's own command line.
    pub words: Vec<String>,
}

impl Line<'_> {
    /// Returns the words after the program's name.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: &str| line.extend([name, value].map(OsString::from));
        let backend = match self.memory {
            Memory::Own => "",
            Memory::File(_) => ",memory-backend=ram",
        };
        match self.machine {
            // Without ACPI it lists its devices on the command line, as Firecracker does.
            Machine::Microvm => option("-M", &format!("microvm,acpi=off{backend}")),
            Machine::Q35 => {
                option("-M", &format!("q35{backend}"));
                // The firmware of microvm, too: SeaBIOS first probes every device of a PC.
                option("-bios", "qboot.rom");
            }
        }
        match self.cpu {
            Cpu::One(Accelerator::Kvm) => option("-accel", "kvm"),
            Cpu::One(Accelerator::Tcg) => option("-accel", "tcg"),
            Cpu::Best => {
                option("-accel", "kvm");
                option("-accel", "tcg");
            }
        }
        // All host features. KVM in a virtual machine cannot provide the
        // capabilities of its host's CPU.
        option("-cpu", "max,-arch-capabilities");
        let kibibytes = (self.memory_bytes / MEMORY_STEP_BYTES * MEMORY_STEP_BYTES) >> 10;
        option("-m", &format!("{kibibytes}K"));
        if let Memory::File(descriptor) = self.memory {
            option(
                "-object",
                &format!(
                    "memory-backend-file,id=ram,share=on,size={kibibytes}K,mem-path={}",
                    descriptor_path(descriptor)
                ),
            );
        }
        line.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
        let mut option = |name: &str, value: &str| line.extend([name, value].map(OsString::from));
        option("-display", "none");
        let kind = match self.machine {
            Machine::Microvm => {
                option("-global", "virtio-mmio.force-legacy=false");
                if matches!(self.net, Net::None) {
                    // A console and an entropy source rarely get notifications. Closing
                    // the file descriptors with which KVM would deliver them takes 13 ms
                    // at the end of a 40 ms run.
                    option("-global", "virtio-mmio.ioeventfd=off");
                }
                "device"
            }
            Machine::Q35 => "pci",
        };
        let modern = match self.machine {
            Machine::Microvm => "",
            Machine::Q35 => ",disable-legacy=on",
        };
        let mut console = |name: &str, backend: &str| {
            option("-chardev", &format!("{backend},id={name}"));
            option(
                "-device",
                &format!("virtio-serial-{kind},id=port-{name}{modern}"),
            );
            option(
                "-device",
                &format!("virtconsole,bus=port-{name}.0,chardev={name}"),
            );
        };
        match self.console {
            Console::Terminal => console("console", "stdio"),
            Console::Pipes(error) => {
                console("output", "stdio,signal=off");
                console("error", &format!("file,path={}", descriptor_path(error)));
            }
            Console::Serial => {
                option("-chardev", "stdio,signal=off,id=output");
                option("-serial", "chardev:output");
            }
        }
        option("-device", &format!("virtio-rng-{kind}{}", modern));
        let net = match &self.net {
            Net::None => None,
            Net::Tap(descriptor, info) => {
                Some((format!("tap,id=net,fd={descriptor}"), Some(*info)))
            }
            Net::Stream(descriptor, info) => Some((
                format!("stream,id=net,server=off,addr.type=fd,addr.str={descriptor}"),
                Some(*info),
            )),
            Net::User(host, guest) => Some((
                format!("user,id=net,hostfwd=tcp:127.0.0.1:{host}-:{guest}"),
                None,
            )),
        };
        if let Some((backend, info)) = net {
            option("-netdev", &backend);
            let device = format!("virtio-net-{kind},netdev=net{modern}");
            option(
                "-device",
                &(device + &info.map_or_else(String::new, settings)),
            );
        }
        option("-device", DEBUG_EXIT);
        if let Some(archive) = &self.archive {
            option("-initrd", archive);
        }
        line.extend(["-kernel".into(), self.image.as_os_str().to_os_string()]);
        line.extend(["-append".into(), self.words.join(" ").into()]);
        line
    }
}

/// Returns the shell command that starts `image` with the installed
/// QEMU, with `memory_bytes` of memory.
/// The first of `arguments` is the program's name.
/// If the image serves TCP port `port`, it is forwarded from the host's loopback address: from the
/// same number, or from 8,000 more if the number is privileged.
pub fn by_hand(
    image: &Path,
    memory_bytes: u64,
    arguments: &[OsString],
    port: Option<u16>,
) -> String {
    const FIRST_FREE_PORT: u16 = 1024;
    const BEYOND: u16 = 8000;
    let line = Line {
        machine: Machine::Microvm,
        cpu: Cpu::Best,
        memory_bytes,
        memory: Memory::Own,
        console: Console::Terminal,
        net: match port {
            None => Net::None,
            Some(port) if port < FIRST_FREE_PORT => Net::User(port + BEYOND, port),
            Some(port) => Net::User(port, port),
        },
        image,
        archive: None,
        words: words::arguments(arguments).collect(),
    };
    let mut text = PROGRAM.to_string();
    for word in line.arguments() {
        text.push(' ');
        text += &quoted(&word.to_string_lossy());
    }
    text
}

/// Returns the path by which a process opens its own `descriptor`.
pub(super) fn descriptor_path(descriptor: RawFd) -> String {
    format!("/proc/self/fd/{descriptor}")
}

/// Returns the settings of the network device.
fn settings(info: &NetInfo) -> String {
    let [a, b, c, d, e, f] = info.mac;
    let mtu = match info.mtu {
        ETHERNET_MTU => String::new(),
        mtu => format!(",host_mtu={mtu}"),
    };
    format!(",mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}{mtu}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_by_hand_is_one_that_a_shell_reads() {
        let arguments = ["nginx", "-g", "daemon off;"].map(OsString::from);
        let line = by_hand(Path::new("/my images/it's"), 64 << 20, &arguments, Some(80));
        for part in [
            "qemu-system-x86_64 -M microvm,acpi=off -accel kvm -accel tcg ",
            " -m 65536K ",
            " -netdev user,id=net,hostfwd=tcp:127.0.0.1:8080-:80 ",
            " -kernel '/my images/it'\\''s' ",
            " -append 'arg=nginx arg=-g arg=daemon%20off;'",
        ] {
            assert!(line.contains(part), "{line} lacks {part}");
        }
        let line = by_hand(Path::new("/hello"), 1 << 20, &arguments[..1], None);
        assert!(!line.contains("net"), "{line}");
    }
}
