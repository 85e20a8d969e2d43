//! The command line of QEMU for an image: the same machine, whoever starts it. Plain words; owns nothing.
//!
//! Devices are those the image drives (`libos/src/platform/pvh/devices.rs`): virtio consoles, entropy and network, and
//! `isa-debug-exit`, by which an exit code becomes QEMU's own status `2 * code + 1`.

use crate::config::{Accelerator, Machine};
use crate::stock::{quoted, words};
use bespoke_abi::devices::NetInfo;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

/// The emulator.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// Where the image leaves its exit code (`libos/src/platform/pvh/power.rs`).
const DEBUG_EXIT: &str = "isa-debug-exit,iobase=0xf4,iosize=4";
const ETHERNET_MTU: u16 = 1500;
/// QEMU counts memory in pages of 8 KiB.
pub(super) const MEMORY_STEP_BYTES: u64 = 8 << 10;

/// Who runs the CPU.
pub(super) enum Cpu {
    /// This, and nothing else.
    One(Accelerator),
    /// KVM where it works.
    Best,
}

/// Where the machine's memory is.
pub(super) enum Memory {
    /// QEMU's own.
    Own,
    /// The file behind this descriptor.
    File(RawFd),
}

/// Where the console leads.
pub(super) enum Console {
    /// Everything to the terminal.
    Terminal,
    /// Standard error of the image to this descriptor, the rest to standard input and output.
    Pipes(RawFd),
    /// Everything to standard output, over the serial port.
    Serial,
}

/// Where the network leads.
pub(super) enum Net<'a> {
    /// Nowhere.
    None,
    /// A TAP device that this descriptor has open.
    Tap(RawFd, &'a NetInfo),
    /// A stream of frames, as the relay speaks it.
    Stream(RawFd, &'a NetInfo),
    /// QEMU's own, which answers DHCP, with this port of the loopback address led to that of the image.
    User(u16, u16),
}

/// All that decides the command line.
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
    /// The words after the program's name.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: &str| line.extend([name, value].map(OsString::from));
        let backend = match self.memory {
            Memory::Own => "",
            Memory::File(_) => ",memory-backend=ram",
        };
        match self.machine {
            // Without ACPI it names its devices on the command line, as Firecracker does.
            Machine::Microvm => option("-M", &format!("microvm,acpi=off{backend}")),
            Machine::Q35 => {
                option("-M", &format!("q35{backend}"));
                // What microvm starts with, too: SeaBIOS looks at every device of a PC first.
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
        // All that the host has. KVM in a virtual machine cannot give the capabilities of its host's CPU.
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
                    // A console and a source of randomness are seldom told anything, and taking down the file
                    // descriptors by which KVM would tell them takes 13 ms at the end of a 40 ms run.
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

/// The one line by which a shell starts `image` with the QEMU that is installed: `memory_bytes` of memory, `arguments`
/// of which the first is the program's name, and TCP port `port` of the image on the host's loopback address, where it
/// serves one: the same number, or 8,000 more where that takes a right.
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

/// The path by which a process opens its own `descriptor`.
pub(super) fn descriptor_path(descriptor: RawFd) -> String {
    format!("/proc/self/fd/{descriptor}")
}

/// What the network device says of itself.
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
