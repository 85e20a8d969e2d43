//! `bespoke doctor`: what this machine offers, what is missing, and how to get it.

use super::print_json;
use crate::error::Error;
use crate::print::table::{Align, Table};
use bespoke_recipe::paths;
use serde::Serialize;
use std::env;
use std::fs;
use std::path::Path;

/// Check what this machine offers and what is missing
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// One line of the table.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    /// Without it nothing can be built.
    required: bool,
    found: String,
    /// What to do, when it is missing.
    advice: &'static str,
}

/// Program, what it is for, how to get it. Builds cannot do without them.
const TOOLS: &[(&str, &str)] = &[
    ("gcc", "compiles C: apt-get install gcc"),
    ("ld", "links: apt-get install binutils"),
    (
        "objcopy",
        "splits image and debug file: apt-get install binutils",
    ),
    (
        "make",
        "builds the C library and SQLite: apt-get install make",
    ),
    ("tclsh", "makes SQLite's amalgamation: apt-get install tcl"),
    ("cargo", "compiles the library OS: https://rustup.rs"),
];

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let findings = findings();
    if arguments.json {
        print_json(&findings);
        return Ok(());
    }
    let mut table = Table::new(&[
        ("", Align::Left),
        ("what", Align::Left),
        ("found", Align::Left),
    ]);
    for finding in &findings {
        let mark = match (finding.ok, finding.required) {
            (true, _) => "ok",
            (false, true) => "MISSING",
            (false, false) => "absent",
        };
        let advice = if finding.ok {
            String::new()
        } else {
            format!("; {}", finding.advice)
        };
        table.row([
            mark.into(),
            finding.what.into(),
            finding.found.clone() + &advice,
        ]);
    }
    table.print();
    Ok(())
}

fn findings() -> Vec<Finding> {
    let mut findings = vec![kvm(), qemu(), firecracker(), huge_pages(), tun()];
    findings.extend(TOOLS.iter().map(|&(name, advice)| tool(name, true, advice)));
    findings.push(tool(
        "wrk",
        false,
        "loads nginx (bench nginx): apt-get install wrk",
    ));
    findings.push(tool(
        "apt-get",
        false,
        "sources then come from upstream's own addresses only",
    ));
    findings.push(match paths::checked_home() {
        Ok(home) => found("sources", true, home.display().to_string()),
        Err(error) => missing("sources", true, error.to_string(), "see above"),
    });
    findings.push(
        match paths::cache().and_then(|cache| writable(&cache).map(|()| cache)) {
            Ok(cache) => found("cache", true, cache.display().to_string()),
            Err(error) => missing(
                "cache",
                true,
                error.to_string(),
                "set BESPOKE_CACHE to a folder you can write to",
            ),
        },
    );
    findings
}

fn found(what: &'static str, required: bool, found: String) -> Finding {
    Finding {
        what,
        ok: true,
        required,
        found,
        advice: "",
    }
}

fn missing(what: &'static str, required: bool, found: String, advice: &'static str) -> Finding {
    Finding {
        what,
        ok: false,
        required,
        found,
        advice,
    }
}

fn kvm() -> Finding {
    match bespoke_monitor::probe_kvm() {
        Ok(()) => found(
            "kvm",
            false,
            format!("{} works", bespoke_monitor::kvm_device().display()),
        ),
        Err(error) => missing(
            "kvm",
            false,
            error.to_string(),
            "images run as processes; for KVM load the module, or add yourself to the group kvm",
        ),
    }
}

fn qemu() -> Finding {
    let advice =
        "runs images, also without Bespoke (run --monitor qemu): apt-get install qemu-system-x86";
    let runs = match bespoke_monitor::probe_kvm() {
        Ok(()) => "with KVM",
        Err(_) => "translates (tcg), because KVM does not work",
    };
    match bespoke_monitor::qemu_version() {
        Some(Ok(version)) => found("qemu", false, format!("{version}, {runs}")),
        Some(Err(error)) => missing("qemu", false, error.to_string(), advice),
        None => missing("qemu", false, "not found".into(), advice),
    }
}

fn firecracker() -> Finding {
    let advice = "runs images without Bespoke; `build` and `run --monitor firecracker` write its configuration even if it is missing";
    match bespoke_monitor::firecracker_version() {
        Some(Ok(version)) => found("firecracker", false, version),
        Some(Err(error)) => missing("firecracker", false, error.to_string(), advice),
        None => missing("firecracker", false, "not found".into(), advice),
    }
}

fn tun() -> Finding {
    let path = "/dev/net/tun";
    match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => found("tap", false, format!("{path} opens")),
        Err(error) => missing(
            "tap",
            false,
            format!("{path}: {error}"),
            "--net tap:NAME needs it; as root: modprobe tun, chmod 666 /dev/net/tun",
        ),
    }
}

fn huge_pages() -> Finding {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let state = fs::read_to_string(path).unwrap_or_default();
    let chosen = state.split(['[', ']']).nth(1).unwrap_or("none").to_string();
    if matches!(chosen.as_str(), "always" | "madvise") {
        found("huge pages", false, format!("transparent, {chosen}"))
    } else {
        let advice = "first touches of memory are slower; as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
        missing("huge pages", false, chosen, advice)
    }
}

fn tool(name: &'static str, required: bool, advice: &'static str) -> Finding {
    let path = env::var_os("PATH").unwrap_or_default();
    let program = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    match program {
        Some(program) => found(name, required, program.display().to_string()),
        None => missing(name, required, "not found".into(), advice),
    }
}

fn writable(cache: &Path) -> Result<(), bespoke_recipe::Error> {
    paths::create(cache)?;
    let probe = cache.join(format!("doctor-{}", std::process::id()));
    fs::write(&probe, "")
        .and_then(|()| fs::remove_file(&probe))
        .map_err(bespoke_recipe::Error::file("write", probe))
}
