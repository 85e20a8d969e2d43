//! The command line of `bespoke run`, read word by word.
//!
//! Not with clap, as the other commands are: setting up its parser takes 150 us, a fifth of what a guest
//! takes from start to end. What must stay as it is elsewhere: options may be written `-m64M`, `-m 64M`,
//! `--memory=64M`; everything after `--` is the application's; a wrong line is [`Error::Usage`].

use super::env_file;
use crate::error::Error;
use crate::instances;
use crate::instances::restart::Policy;
use bespoke_abi::trace::{CAPACITY_BYTES, MOST_EVENT_BYTES};
use bespoke_bench::cores::bind_to_core;
use bespoke_monitor::{
    Accelerator, ExportFile, ImportFile, Machine, Monitor, Network, PortForward,
};
use bespoke_recipe::composition::{Component, HeapArgument};
use bespoke_recipe::size;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// Least `--log-limit`: below it, a log would be dropped line by line.
const LEAST_LOG_BYTES: u64 = 64 << 10;

/// What `bespoke run --help` prints.
pub(super) const HELP: &str = "\
Run an app (its image is built if needed) or an image file

Usage: bespoke run [OPTIONS] <APP|IMAGE> [-- ARGS...]

Arguments:
  <APP|IMAGE>  An app, see `bespoke apps`, or the path of an image
  [ARGS]...    Arguments of the application [default: the app's]

Options:
  -m, --memory <SIZE>             Memory of the whole image: bytes, or a number with K, M or G
                                  (KiB, MiB, GiB) [default: the app's]
      --monitor <MONITOR>         kvm: a virtual machine on /dev/kvm
                                  kvm-virtio: the same, with virtio console and entropy devices
                                  process: a Linux process under seccomp
                                  qemu-kvm, qemu-tcg: the installed QEMU, with KVM or translation
                                  qemu: the first of these two that works
                                  firecracker: only writes its configuration if it is not installed
                                  [default: kvm where it works, else process]
      --machine <TYPE>            QEMU's machine: microvm or q35 [default: microvm]
      --heap <[COMPONENT=]NAME[:PARAMETER=VALUE]>
                                  The heap of malloc, or of one component (app, libos, net, stack,
                                  boot), with parameters; see `bespoke heaps --parameters`
      --file <HOST=GUEST>         Add a host file to the image's file system
      --root <DIR:GUEST>          Add a host folder with all its contents, such as ./site:/srv/www
      --out <GUEST=HOST>          Write a file or a folder of the image to the host at the end, after
                                  exit status 0 only. A database comes with its -journal and -wal.
                                  If the host's file changed meanwhile, it is kept, and the image's
                                  file is put beside it
      --out-always                Write the files of --out after any other end, too
      --out-limit <SIZE>          Limit for all files of --out together [default: twice the memory]
  -e, --env <NAME=VALUE>          Set an environment variable of the application
      --env-file <FILE>           Set the variables of a file: a line NAME=VALUE each, taken literally.
                                  Empty lines and lines that begin with # are skipped. --env overrides
  -p, --port <[ADDRESS:]HOST:GUEST[/udp]>
                                  Forward a port of the host to the image; may be repeated. Listens on
                                  127.0.0.1 and ::1 unless an address is given: 0.0.0.0:8080:80 opens
                                  the port to the whole network
      --net outbound              Let the image open connections, look up names and send datagrams
                                  with the rights of the host's user, to the host's loopback too (at
                                  10.0.2.2). Nobody can connect to the image. -p includes this. The
                                  default is no network
      --net tap:<NAME>[,KEY=VALUE...]
                                  Connect a TAP device, made for the run (as root) or made by you
                                  (ip tuntap add NAME mode tap user $USER). Keys: address=10.0.0.2/24
                                  (else DHCP), gateway, dns, mac; address and gateway again for IPv6.
                                  A device made for the run gets the gateway's address
      --net veth:<NAME>[,KEY=VALUE...]
                                  Connect one end of a veth pair that you made and that has no address
                                  (ip link add NAME type veth peer name HOST), with the same keys:
                                  faster than a TAP device, and slower to open. Only on the process
                                  monitor, with CAP_NET_RAW (root)
  -d, --detach                    Run in the background: print the image's name once it is up, and
                                  with -p once it listens; see `bespoke ps`, `logs`, `stats`, `stop`
      --name <NAME>               Name for the other commands [default with -d: the app's]
      --restart <POLICY>          With -d: restart the image when it has ended: no, on-failure (after a
                                  status other than 0), on-failure:TIMES (at most TIMES in a row) or
                                  always. Waits 1 s, then twice as long each time, up to 60 s.
                                  `bespoke stop` ends the policy [default: no]
      --log-limit <SIZE>          With -d: size limit of the log; older output is dropped
                                  [default: 16M]
      --wait <SECONDS>            With -d: time to wait for the image to listen
                                  [default: 10 with -p TCP ports]
      --boot-time                 Print the boot timeline to standard error at the end
      --stats                     Print heap and page statistics to standard error at the end
      --json                      With --boot-time or --stats: print JSON
      --trace-calls               Print each system call of the application to standard error
  -h, --help                      Print help
";

/// What `bespoke trace --help` prints.
pub(super) const TRACE_HELP: &str = "\
Record an app's allocations into a file for `trace show` and `replay`

Usage: bespoke trace <APP> -o <FILE> [OPTIONS] [-- ARGS...]
       bespoke trace show <FILE> [--json]

Arguments:
  <APP>        An app, see `bespoke apps`; a variant of its image that can record is built
  [ARGS]...    Arguments of the application [default: the app's]

Options:
  -o, --output <FILE>             File for the trace
      --component <LIST>          Components to record, separated by commas: app, libos, net, stack,
                                  boot [default: app]
      --ring <SIZE>               Size of the event ring in the memory shared with the image, 64 bytes
                                  or more; the image waits while the ring is full [default: 256K]
      --writer-core <CORE>        Core of the thread that writes the file, if the command is bound to
                                  another [default: any that this command may use]

All options of `bespoke run` work too, except -d, --name, --restart, --log-limit and --wait.
";

/// What `bespoke trace` records, and where.
#[derive(Debug, Default)]
pub(super) struct TraceArguments {
    /// `-o`.
    pub output: PathBuf,
    /// `--component`.
    pub components: Vec<Component>,
    /// `--ring`.
    pub ring_bytes: Option<usize>,
    /// `--writer-core`.
    pub writer_core: Option<usize>,
}

/// A monitor as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This one.
    One(Monitor),
    /// QEMU: which machine, and who runs its CPU, where that is said.
    Qemu(Machine, Option<Accelerator>),
}

/// See [`HELP`].
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// An app or the path of an image.
    pub target: OsString,
    /// `-m` in bytes.
    pub memory: Option<u64>,
    /// `--monitor`, with `--machine`.
    pub monitor: Option<Wanted>,
    /// `--heap`.
    pub heaps: Vec<HeapArgument>,
    /// `--file` and `--root`.
    pub files: Vec<ImportFile>,
    /// `--out`.
    pub outputs: Vec<ExportFile>,
    /// `--out-always`.
    pub out_always: bool,
    /// `--out-limit` in bytes.
    pub out_limit: Option<u64>,
    /// `--env-file`, then `--env`.
    pub env: Vec<String>,
    /// `--net`, or the ports of `-p`.
    pub net: Network,
    /// `-d`.
    pub detach: bool,
    /// `--name`.
    pub name: Option<String>,
    /// `--restart`.
    pub restart: Policy,
    /// `--log-limit` in bytes.
    pub log_limit: Option<u64>,
    /// `--wait` in seconds.
    pub wait: Option<u32>,
    /// `--boot-time`.
    pub boot_time: bool,
    /// `--stats`.
    pub stats: bool,
    /// `--json`.
    pub json: bool,
    /// `--trace-calls`.
    pub trace_calls: bool,
    /// What follows `--`.
    pub arguments: Vec<OsString>,
}

/// Reads the words after `bespoke run`; `None` when they ask for help.
///
/// # Errors
///
/// [`Error::Usage`].
pub(super) fn parse(words: Vec<OsString>) -> Result<Option<Arguments>, Error> {
    read(words, &mut None)
}

/// Reads the words after `bespoke trace`, as [`parse`] those after `bespoke run`.
///
/// # Errors
///
/// As [`parse`], or an error that names an unknown component.
pub(super) fn parse_trace(
    words: Vec<OsString>,
) -> Result<Option<(Arguments, TraceArguments)>, Error> {
    let mut trace = Some(TraceArguments::default());
    let Some(line) = read(words, &mut trace).map_err(of_trace)? else {
        return Ok(None);
    };
    let mut trace = trace.unwrap_or_default();
    if trace.output.as_os_str().is_empty() {
        return Err(of_trace(usage("missing output file; give -o FILE")));
    }
    if trace.components.is_empty() {
        trace.components.push(Component::App);
    }
    Ok(Some((line, trace)))
}

fn of_trace(error: Error) -> Error {
    match error {
        Error::Usage(reason) => {
            Error::Usage(reason.replace("bespoke run --help", "bespoke trace --help"))
        }
        other => other,
    }
}

fn read(
    mut words: Vec<OsString>,
    trace: &mut Option<TraceArguments>,
) -> Result<Option<Arguments>, Error> {
    let mut line = Arguments::default();
    if let Some(end) = words.iter().position(|word| word == "--") {
        line.arguments = words.split_off(end).split_off(1);
    }
    let (mut ports, mut from_files) = (Vec::new(), Vec::new());
    let mut has_policy = false;
    let mut machine_type = None;
    let mut has_target = false;
    let mut parser = Parser::from_args(words);
    while let Some(word) = parser.next().map_err(usage)? {
        if let Some(trace) = trace {
            match word {
                Arg::Short('o') | Arg::Long("output") => {
                    trace.output = parser.value().map_err(usage)?.into();
                    continue;
                }
                Arg::Long("component") => {
                    let list = value(&mut parser, "--component", |text| Ok(text.to_string()))?;
                    for name in list.split(',') {
                        trace.components.push(Component::find(name)?);
                    }
                    continue;
                }
                Arg::Long("ring") => {
                    trace.ring_bytes = Some(value(&mut parser, "--ring", ring)?);
                    continue;
                }
                Arg::Long("writer-core") => {
                    trace.writer_core = Some(value(&mut parser, "--writer-core", core)?);
                    continue;
                }
                _ => {}
            }
        }
        match word {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Short('m') | Arg::Long("memory") => {
                line.memory = Some(value(&mut parser, "-m", size::parse)?)
            }
            Arg::Long("monitor") => line.monitor = Some(value(&mut parser, "--monitor", monitor)?),
            Arg::Long("machine") => {
                machine_type = Some(value(&mut parser, "--machine", machine)?);
            }
            Arg::Long("heap") => line
                .heaps
                .push(value(&mut parser, "--heap", |text| Ok(text.into()))?),
            Arg::Long("file") => line.files.push(value(&mut parser, "--file", import)?),
            Arg::Long("root") => line.files.push(value(&mut parser, "--root", root)?),
            Arg::Long("out") => line.outputs.push(value(&mut parser, "--out", export)?),
            Arg::Long("out-always") => line.out_always = true,
            Arg::Long("out-limit") => {
                line.out_limit = Some(value(&mut parser, "--out-limit", size::parse)?);
            }
            Arg::Short('e') | Arg::Long("env") => {
                line.env.push(value(&mut parser, "--env", variable)?);
            }
            Arg::Long("env-file") => {
                let variables = value(&mut parser, "--env-file", env_file::read)?;
                from_files.extend(variables);
            }
            Arg::Short('p') | Arg::Long("port") => {
                ports.push(value(&mut parser, "-p", str::parse::<PortForward>)?)
            }
            Arg::Long("net") => line.net = value(&mut parser, "--net", network)?,
            Arg::Short('d') | Arg::Long("detach") => line.detach = true,
            Arg::Long("name") => line.name = Some(value(&mut parser, "--name", name)?),
            Arg::Long("restart") => {
                line.restart = value(&mut parser, "--restart", str::parse)?;
                has_policy = true;
            }
            Arg::Long("log-limit") => {
                line.log_limit = Some(value(&mut parser, "--log-limit", log_limit)?);
            }
            Arg::Long("wait") => line.wait = Some(value(&mut parser, "--wait", seconds)?),
            Arg::Long("boot-time") => line.boot_time = true,
            Arg::Long("stats") => line.stats = true,
            Arg::Long("json") => line.json = true,
            Arg::Long("trace-calls") => line.trace_calls = true,
            Arg::Value(target) if !has_target => {
                line.target = target;
                has_target = true;
            }
            Arg::Value(extra) => {
                let extra = extra.to_string_lossy().into_owned();
                return Err(usage(format!(
                    "unexpected argument {extra:?}; put application arguments after `--`"
                )));
            }
            option => return Err(usage(option.unexpected())),
        }
    }
    // What is said on the line itself comes last, and counts.
    from_files.append(&mut line.env);
    line.env = from_files;
    if !ports.is_empty() {
        if !matches!(line.net, Network::None | Network::Ports(_)) {
            return Err(usage(
                "-p cannot be combined with --net; with --net the image has its own address, so connect to that address",
            ));
        }
        line.net = Network::Ports(ports);
    }
    match (&mut line.monitor, machine_type) {
        (_, None) => {}
        (Some(Wanted::Qemu(machine, _)), Some(wanted)) => *machine = wanted,
        _ => return Err(usage("--machine requires --monitor qemu")),
    }
    let is_watched = line.detach || line.name.is_some() || line.boot_time || line.stats;
    if line.monitor == Some(Wanted::One(Monitor::Firecracker)) && is_watched {
        return Err(usage(
            "-d, --name, --boot-time and --stats do not work with Firecracker, which gives no access to the machine's memory; docs/guide/deploy.md shows how a service manager runs it",
        ));
    }
    if line.outputs.is_empty() && (line.out_always || line.out_limit.is_some()) {
        return Err(usage("--out-always and --out-limit require --out"));
    }
    if line.log_limit.is_some() && !line.detach {
        return Err(usage("--log-limit requires -d; without -d there is no log"));
    }
    if has_policy && !line.detach {
        return Err(usage(
            "--restart requires -d; in the foreground, use a service manager to restart the image",
        ));
    }
    if line.wait.is_some() && !line.detach {
        return Err(usage("--wait requires -d; it sets how long -d waits"));
    }
    if has_target {
        Ok(Some(line))
    } else {
        Err(usage("missing app or image; `bespoke apps` lists the apps"))
    }
}

fn usage(reason: impl std::fmt::Display) -> Error {
    Error::Usage(format!("{reason}; see `bespoke run --help`"))
}

/// The value of `option`, read by `read`.
fn value<T>(
    parser: &mut Parser,
    option: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Error> {
    let text = parser.value().map_err(usage)?;
    let text = text
        .to_str()
        .ok_or_else(|| usage(format!("{option} {text:?} is not UTF-8")))?;
    read(text).map_err(|reason| usage(format!("{option} {text}: {reason}")))
}

fn ring(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(size::parse(text)?).unwrap_or(usize::MAX);
    match bytes {
        MOST_EVENT_BYTES..=CAPACITY_BYTES => Ok(bytes),
        _ => Err(format!(
            "expected a size from {MOST_EVENT_BYTES} to {}K",
            CAPACITY_BYTES >> 10
        )),
    }
}

fn core(text: &str) -> Result<usize, String> {
    let core = text.parse().map_err(|_| "expected the number of a core")?;
    match std::thread::spawn(move || bind_to_core(core)).join() {
        Ok(Ok(())) => Ok(core),
        Ok(Err(error)) => Err(format!(
            "cannot bind a thread to that core: {error}; cores are numbered from 0, and `nproc --all` prints how many there are"
        )),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn monitor(text: &str) -> Result<Wanted, String> {
    match text {
        "kvm" => Ok(Wanted::One(Monitor::Kvm)),
        "kvm-virtio" => Ok(Wanted::One(Monitor::KvmVirtio)),
        "process" => Ok(Wanted::One(Monitor::Process)),
        "qemu" => Ok(Wanted::Qemu(Machine::default(), None)),
        "qemu-kvm" => Ok(Wanted::Qemu(Machine::default(), Some(Accelerator::Kvm))),
        "qemu-tcg" => Ok(Wanted::Qemu(Machine::default(), Some(Accelerator::Tcg))),
        "firecracker" => Ok(Wanted::One(Monitor::Firecracker)),
        _ => {
            Err("expected kvm, kvm-virtio, process, qemu, qemu-kvm, qemu-tcg or firecracker".into())
        }
    }
}

fn machine(text: &str) -> Result<Machine, String> {
    match text {
        "microvm" => Ok(Machine::Microvm),
        "q35" => Ok(Machine::Q35),
        _ => Err("expected microvm or q35".into()),
    }
}

fn halves<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok((left, right)),
        _ => Err(format!("expected {form}")),
    }
}

/// `HOST=GUEST` of `--file`, for `build` too.
pub(super) fn import(text: &str) -> Result<ImportFile, String> {
    let (host, guest) = halves(text, "HOST=GUEST, such as ./data.db=/data.db")?;
    Ok(ImportFile {
        host: host.into(),
        guest: guest.into(),
        folder: false,
        canonical: false,
    })
}

/// `DIR:GUEST` of `--root`, for `build` too; the guest's path is absolute.
pub(super) fn root(text: &str) -> Result<ImportFile, String> {
    match text.rfind(":/") {
        Some(colon) if colon > 0 => Ok(ImportFile {
            host: text[..colon].into(),
            guest: text[colon + 1..].into(),
            folder: true,
            canonical: false,
        }),
        _ => Err("expected DIR:GUEST, such as ./site:/srv/www".into()),
    }
}

fn export(text: &str) -> Result<ExportFile, String> {
    let (guest, host) = halves(text, "GUEST=HOST, such as /data.db=./data.db")?;
    Ok(ExportFile {
        guest: guest.into(),
        host: host.into(),
    })
}

fn network(text: &str) -> Result<Network, String> {
    if text == "outbound" {
        return Ok(Network::Ports(Vec::new()));
    }
    match text.split_once(':') {
        Some(("tap", rest)) => rest.parse().map(Network::Tap),
        Some(("veth", rest)) => rest.parse().map(Network::Veth),
        _ => Err(
            "expected outbound, tap:NAME,address=ADDRESS/LENGTH,gateway=ADDRESS, or veth:NAME with the same keys"
                .into(),
        ),
    }
}

fn name(text: &str) -> Result<String, String> {
    instances::check(text).map(|()| text.into())
}

fn log_limit(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        small @ ..LEAST_LOG_BYTES => Err(format!("{small} bytes is below the minimum of 64K")),
        bytes => Ok(bytes),
    }
}

fn seconds(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "expected a whole number of seconds, such as 30".into())
}

/// `NAME=VALUE` of `--env`.
fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.into()),
        _ => Err("expected NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_tap_device_or_an_end_of_a_veth_pair() {
        let named = |name: &str| bespoke_monitor::InterfaceNetwork {
            name: name.into(),
            address4: Some(([10, 0, 0, 2].into(), 24)),
            ..Default::default()
        };
        let read = |text| network(text).unwrap();
        assert_eq!(read("tap:a,address=10.0.0.2/24"), Network::Tap(named("a")));
        assert_eq!(
            read("veth:b,address=10.0.0.2/24"),
            Network::Veth(named("b"))
        );
        assert_eq!(read("outbound"), Network::Ports(Vec::new()));
    }

    #[test]
    fn ports_may_be_led_in_beside_the_way_out() {
        let words = ["hello", "--net", "outbound", "-p", "8080:80"];
        let read = line(&words).unwrap().unwrap();
        assert_eq!(read.net, Network::Ports(vec!["8080:80".parse().unwrap()]));
    }

    fn line(words: &[&str]) -> Result<Option<Arguments>, Error> {
        parse(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn everything_after_the_dashes_is_the_applications() {
        let line = line(&[
            "sqlite", "-m", "64M", "--", ":memory:", "-m", "--", "--stats",
        ])
        .unwrap()
        .unwrap();
        assert_eq!(line.memory, Some(64 << 20));
        assert!(!line.stats);
        assert_eq!(line.arguments, [":memory:", "-m", "--", "--stats"]);
    }

    #[test]
    fn options_may_stand_on_either_side_and_in_every_usual_form() {
        for words in [
            &["-m64M", "hello", "--stats"],
            &["hello", "--memory=64M", "--stats"],
        ] {
            let line = line(words).unwrap().unwrap();
            assert_eq!(
                (line.target.to_str(), line.memory, line.stats),
                (Some("hello"), Some(64 << 20), true)
            );
        }
        assert!(line(&["hello", "--help"]).unwrap().is_none());
    }

    #[test]
    fn a_machine_of_qemu_is_named_wherever_it_stands() {
        let line = line(&["--machine", "q35", "hello", "--monitor=qemu-tcg"]).unwrap();
        let expected = Wanted::Qemu(Machine::Q35, Some(Accelerator::Tcg));
        assert_eq!(line.unwrap().monitor, Some(expected));
    }

    #[test]
    fn a_trace_takes_what_a_run_takes_and_its_own() {
        let words = [
            "redis",
            "--component",
            "app,net",
            "-o",
            "f",
            "-m64M",
            "--ring",
            "9K",
            "--writer-core",
            "0",
            "--",
            "-o",
        ];
        let words = words.iter().map(OsString::from).collect();
        let (line, trace) = parse_trace(words).unwrap().unwrap();
        assert_eq!(
            (line.memory, trace.ring_bytes),
            (Some(64 << 20), Some(9 << 10))
        );
        assert_eq!(trace.components, [Component::App, Component::Net]);
        assert_eq!(trace.writer_core, Some(0));
        assert_eq!(
            (line.arguments.len(), trace.output.to_str()),
            (1, Some("f"))
        );
        for words in [
            &["redis"][..],
            &["redis", "-o"],
            &["redis", "-o", "f", "--ring", "63"],
            &["redis", "-o", "f", "--ring", "257K"],
            &["redis", "-o", "f", "--ring", "9q"],
            &["redis", "-o", "f", "--writer-core", "1023"],
            &["redis", "-o", "f", "--writer-core", "1024"],
            &["redis", "-o", "f", "--component", "heap"],
            &["redis", "-o", "f", "--stat"],
        ] {
            let error = parse_trace(words.iter().map(OsString::from).collect()).unwrap_err();
            assert!(
                error.is_usage() && !error.to_string().contains("run --help"),
                "{words:?}: {error}"
            );
        }
        assert!(line_of_run_refuses_output());
    }

    fn line_of_run_refuses_output() -> bool {
        line(&["redis", "-o", "f"]).is_err()
    }

    #[test]
    fn refuses_what_is_half_written() {
        for words in [
            &["hello", "-m", "0"][..],
            &["hello", "-m", "lots"],
            &["hello", "-m"],
            &["hello", "world"],
            &["hello", "--file", "only-host"],
            &["hello", "--file", "=/x"],
            &["hello", "--out", "/x="],
            &["hello", "--root", "./site"],
            &["hello", "--root", "./site:www"],
            &["hello", "--root", ":/www"],
            &["hello", "--env", "=1"],
            &["hello", "--monitor", "xen"],
            &["hello", "--monitor", "qemu", "--machine", "pc"],
            &["hello", "--monitor", "qemu-hax"],
            &["hello", "--monitor", "kvm", "--machine", "q35"],
            &["hello", "--machine", "q35"],
            &["hello", "-d", "--monitor", "firecracker"],
            &["hello", "--monitor", "firecracker", "--stats"],
            &["hello", "--stats=yes"],
            &["hello", "--net", "tap"],
            &["hello", "-p", "80"],
            &["hello", "-p80:80", "--net=tap:tap0"],
            &["hello", "-p80:80", "--net=veth:veth0"],
            &["hello", "--net", "tap:"],
            &["hello", "--net", "veth:"],
            &["hello", "--net", "veth"],
            &["hello", "--net", "outbound:x"],
            &["hello", "--net", "veth:veth0,peer=host0"],
            &["hello", "--net", "bridge:br0"],
            &["hello", "--name", "../x"],
            &["hello", "--wait", "5"],
            &["hello", "--out-always"],
            &["hello", "--out-limit", "1M"],
            &["hello", "--out", "/a=a", "--out-limit", "much"],
            &["hello", "--log-limit", "1M"],
            &["hello", "-d", "--log-limit", "1K"],
            &["hello", "--restart", "always"],
            &["hello", "-d", "--restart", "sometimes"],
            &["hello", "-d", "--restart", "on-failure:0"],
            &["hello", "--env-file", "/none/such"],
            &["hello", "-d", "--wait", "-1"],
            &["hello", "-d", "--wait", "soon"],
            &["hello", "--stat"],
            &["--", "hello"],
            &[],
        ] {
            assert!(matches!(line(words), Err(Error::Usage(_))), "{words:?}");
        }
    }
}
