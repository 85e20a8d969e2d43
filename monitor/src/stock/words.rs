//! Writes the command line of an image on a stock monitor, as
//! `libos/src/platform/pvh/command_line.rs` reads it.
//! No word contains a byte that would end it early.

use crate::RunConfig;
use bespoke_abi::devices::{NET_DHCP, NET_RELAYED, NetInfo};
use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;

/// Encodes `bytes` as part of a word: special bytes become `%XX`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        // A quote would end the line in a shell or in a configuration file,
        // and a comma an option of QEMU.
        if byte.is_ascii_graphic() && !b"%,'\"\\".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

/// Formats the program's arguments, the first of which is its name.
pub(crate) fn arguments<'a>(
    arguments: impl IntoIterator<Item = &'a OsString>,
) -> impl Iterator<Item = String> {
    let word = |text: &OsString| format!("arg={}", encode(text.as_bytes()));
    arguments.into_iter().map(word)
}

/// Formats arguments and environment of `config`, and whether calls are traced.
pub(crate) fn program(config: &RunConfig) -> Vec<String> {
    let word =
        |name: &str, text: &std::ffi::OsString| format!("{name}={}", encode(text.as_bytes()));
    let arguments = config.arguments.iter().map(|text| word("arg", text));
    let environment = config.environment.iter().map(|text| word("env", text));
    let trace = config.trace_calls.then(|| "trace".to_string());
    arguments.chain(environment).chain(trace).collect()
}

/// Formats which of descriptors 0, 1, 2 are terminals, and their size; `None` when none is.
pub(crate) fn terminals((bits, rows, columns): (u32, u16, u16)) -> Option<String> {
    (bits != 0).then(|| format!("tty={bits},{rows},{columns}"))
}

/// Formats the image's addresses, and whether a relay serves it;
/// `None` when it requests them by DHCP.
pub(crate) fn network(info: &NetInfo) -> Option<String> {
    let mut parts = Vec::new();
    if info.flags & NET_RELAYED != 0 {
        parts.push("relayed".to_string());
    }
    if info.flags & NET_DHCP == 0 {
        let v4 = |bytes: [u8; 4]| Some(Ipv4Addr::from(bytes)).filter(|at| !at.is_unspecified());
        if let Some(address) = v4(info.address4) {
            parts.push(format!("address={address}/{}", info.prefix4));
        }
        parts.extend(v4(info.gateway4).map(|at| format!("gateway={at}")));
        parts.extend(v4(info.name_server4).map(|at| format!("dns={at}")));
    }
    let v6 = |bytes: [u8; 16]| Some(Ipv6Addr::from(bytes)).filter(|at| !at.is_unspecified());
    if let Some(address) = v6(info.address6) {
        parts.push(format!("address={address}/{}", info.prefix6));
    }
    parts.extend(v6(info.gateway6).map(|at| format!("gateway={at}")));
    (!parts.is_empty()).then(|| format!("net={}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Monitor;

    #[test]
    fn what_would_end_a_word_is_encoded() {
        assert_eq!(
            encode(b".read /in put%,\n'\"\\"),
            ".read%20/in%20put%25%2C%0A%27%22%5C"
        );
        assert_eq!(encode("ö".as_bytes()), "%C3%B6");
    }

    #[test]
    fn a_program_is_its_words_in_order() {
        let mut config = RunConfig::new("image", Monitor::Kvm);
        config.arguments = ["app", "a b"].map(Into::into).into();
        config.environment = vec!["A=1".into()];
        config.trace_calls = true;
        assert_eq!(
            program(&config),
            ["arg=app", "arg=a%20b", "env=A=1", "trace"]
        );
    }

    #[test]
    fn a_network_without_an_address_is_none() {
        assert_eq!(network(&NetInfo::default()), None);
        let info = NetInfo {
            flags: NET_DHCP,
            ..Default::default()
        };
        assert_eq!(network(&info), None);
        let info = NetInfo {
            address4: [10, 0, 2, 15],
            prefix4: 24,
            gateway4: [10, 0, 2, 2],
            ..Default::default()
        };
        let expected = "net=address=10.0.2.15/24,gateway=10.0.2.2";
        assert_eq!(network(&info).as_deref(), Some(expected));
        let info = NetInfo {
            flags: NET_RELAYED,
            ..info
        };
        let expected = "net=relayed,address=10.0.2.15/24,gateway=10.0.2.2";
        assert_eq!(network(&info).as_deref(), Some(expected));
    }
}
