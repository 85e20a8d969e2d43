//! Firecracker's configuration file for an image, with the field names of Firecracker's `VmmConfig`
//! (<https://github.com/firecracker-microvm/firecracker>, src/vmm/src/resources.rs).

use std::path::Path;

/// Firecracker's limit for a command line is 2,048 bytes with its NUL; it adds a word
/// of up to 40 bytes for each device.
pub(super) const MOST_LINE_BYTES: usize = 2048 - 1 - 3 * 40;

/// A network of the machine.
pub(super) struct Interface<'a> {
    /// The TAP device, which Firecracker opens itself.
    pub tap: &'a str,
    /// The image's hardware address.
    pub mac: [u8; 6],
}

/// The inputs of the file.
pub(super) struct Configuration<'a> {
    pub image: &'a Path,
    pub memory_mib: u64,
    /// The image's own command line.
    pub words: &'a [String],
    /// The archive of files.
    pub archive: Option<&'a str>,
    pub interface: Option<Interface<'a>>,
}

impl Configuration<'_> {
    /// Formats the file.
    pub(super) fn json(&self) -> String {
        let archive = self.archive.map_or_else(String::new, |path| {
            format!(",\n    \"initrd_path\": {}", quoted(path))
        });
        let interface = self
            .interface
            .as_ref()
            .map_or_else(String::new, |interface| {
                let [a, b, c, d, e, f] = interface.mac;
                format!(
                    "{{\n    \"iface_id\": \"net\",\n    \"host_dev_name\": {},\n    \
                 \"guest_mac\": \"{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}\"\n  }}",
                    quoted(interface.tap)
                )
            });
        format!(
            "{{\n  \"boot-source\": {{\n    \"kernel_image_path\": {},\n    \"boot_args\": {}{archive}\n  }},\n  \
             \"drives\": [],\n  \
             \"machine-config\": {{\n    \"vcpu_count\": 1,\n    \"mem_size_mib\": {}\n  }},\n  \
             \"network-interfaces\": [{interface}],\n  \
             \"entropy\": {{}}\n}}\n",
            quoted(&self.image.to_string_lossy()),
            quoted(&self.words.join(" ")),
            self.memory_mib,
        )
    }
}

/// Quotes `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => quoted += &format!("\\u{:04x}", control as u32),
            plain => quoted.push(plain),
        }
    }
    quoted + "\""
}
