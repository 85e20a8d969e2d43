//! `bespoke run`: starts an image and ends as the application ends.
//!
//! The path from `run IMAGE` to the monitor reads no file but the image; `run APP` first asks whether the
//! image in the cache is still that of its inputs.

use super::run_line::{Arguments, Wanted};
use super::{builder_beside, complain, heaps_of, outputs};
use crate::error::Error;
use crate::instances::detach::{self, Goal, Side};
use crate::instances::log::DEFAULT_BYTES;
use crate::instances::restart::Policy;
use crate::instances::state::{Phase, State, now_ms};
use crate::instances::supervise::{Report, Role, supervise};
use crate::instances::{self, Plan, Registration};
use crate::print::stats;
use bespoke_abi::stats::BootPoint;
use bespoke_builder::Builder;
use bespoke_monitor::{
    Accelerator, Archive, Exit, ExportFile, ImportFile, Monitor, Network, Outcome, Protocol, Qemu,
    RunConfig,
};
use bespoke_recipe::app::{self, App};
use bespoke_recipe::composition::Composition;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory of an image that does not say how it is run, in bytes.
const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;

/// Seconds that an image in the background may take to be up.
const UP_LIMIT_S: u32 = 10;

/// What is to be run, wherever it came from.
pub(super) struct Target {
    pub image: PathBuf,
    /// Named by its app, not by its file.
    is_app: bool,
    pub memory_bytes: u64,
    pub name: OsString,
    pub arguments: Vec<OsString>,
    /// What its user is to know where nothing is taken from it.
    notice: Option<String>,
}

/// Runs what the line names; returns the exit status.
pub(super) fn run(arguments: &Arguments, started: u64) -> Result<u8, Error> {
    let target = target(arguments)?;
    // Looking after an app's image, perhaps building it, is not the start of the monitor.
    let started = if target.is_app {
        bespoke_monitor::tsc()
    } else {
        started
    };
    if arguments.detach || arguments.name.is_some() {
        return managed(arguments, &target, started);
    }
    tell(arguments, &target);
    let outcome = start(arguments.monitor, |monitor| {
        Ok(config(arguments, &target, monitor, started))
    })?;
    Ok(finish(arguments, &outcome).status)
}

/// Whether `file` is not there yet and is what `--out` will make: the first of several runs that hand a file on.
fn is_to_come(arguments: &Arguments, file: &ImportFile) -> bool {
    let is_written = |out: &ExportFile| out.host == file.host && out.guest == file.guest;
    let found = file.host.symlink_metadata();
    let is_missing = found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    !file.folder && is_missing && arguments.outputs.iter().any(is_written)
}

/// Says what the image does not get yet; and what is lost with it, where nothing is taken from it.
fn tell(arguments: &Arguments, target: &Target) {
    for file in &arguments.files {
        if is_to_come(arguments, file) && !arguments.json {
            complain(format_args!(
                "{} does not exist yet; the image starts without it, and --out writes it at the end",
                file.host.display()
            ));
        }
    }
    if let Some(notice) = &target.notice
        && arguments.outputs.is_empty()
        && !arguments.json
    {
        complain(notice);
    }
}

/// As a run that can be found: in the background, or here under a name.
fn managed(arguments: &Arguments, target: &Target, started: u64) -> Result<u8, Error> {
    let launcher = if arguments.detach {
        match detach::split()? {
            Side::Launcher(launcher) => {
                let status = wait(arguments, launcher)?;
                if status == 0 {
                    tell(arguments, target);
                }
                return Ok(status);
            }
            Side::Run(pipe) => Some(pipe),
        }
    } else {
        None
    };
    let registration = Registration::register(plan(arguments, target)?, launcher)?;
    tell(arguments, target);
    if arguments.restart != Policy::No {
        return supervised(arguments, target, started, registration);
    }
    let result = start(arguments.monitor, |monitor| {
        let mut config = config(arguments, target, monitor, started);
        config.on_start = Some(registration.on_start(monitor));
        Ok(config)
    });
    let ended = match result {
        Ok(outcome) => finish(arguments, &outcome),
        Err(error) => Ended::without(&error),
    };
    let status = ended.status;
    if let Err(error) = registration.ended(status, ended.unwritten) {
        complain(format_args!(
            "cannot record for `bespoke ps` how the run ended: {error}"
        ));
    }
    Ok(status)
}

/// As one of several attempts, or as the process that makes them.
fn supervised(
    arguments: &Arguments,
    target: &Target,
    started: u64,
    registration: Registration,
) -> Result<u8, Error> {
    let attempt = match supervise(registration, arguments.restart, goal(arguments))? {
        Role::Over(status) => return Ok(status),
        Role::Attempt(attempt) => attempt,
    };
    let started = if attempt.is_again {
        bespoke_monitor::tsc()
    } else {
        started
    };
    let result = start(arguments.monitor, |monitor| {
        let mut config = config(arguments, target, monitor, started);
        config.on_start = Some(attempt.on_start(monitor));
        Ok(config)
    });
    let (ended, main, is_final) = match result {
        Ok(outcome) => {
            let stats = outcome.stats.as_ref();
            let main = stats.is_some_and(|page| page.boot[BootPoint::Main as usize].get() != 0);
            let ended = finish(arguments, &outcome);
            (ended, main, outputs::are_refused(&outcome))
        }
        Err(error) => (Ended::without(&error), false, false),
    };
    let report = Report {
        main,
        unwritten: State::fitting(ended.unwritten),
        is_final,
    };
    if let Err(error) = attempt.ended(&report) {
        complain(format_args!(
            "cannot record for `bespoke ps` how the run ended: {error}"
        ));
    }
    Ok(ended.status)
}

/// What a run in the background has to come to.
fn goal(arguments: &Arguments) -> Goal {
    // Nothing tells when an image is ready for datagrams, or whether one with a TAP device is a server.
    let listens = match &arguments.net {
        Network::Ports(ports) => ports.iter().any(|port| port.protocol == Protocol::Tcp),
        _ => false,
    };
    if arguments.wait.is_some() || listens {
        Goal::Ready
    } else {
        Goal::Main
    }
}

/// Waits for the run in the background to be up.
fn wait(arguments: &Arguments, launcher: detach::Launcher) -> Result<u8, Error> {
    let goal = goal(arguments);
    let limit = arguments.wait.unwrap_or(UP_LIMIT_S);
    let status = launcher.wait(goal, Duration::from_secs(limit.into()))?;
    // What the run itself says is in its log.
    if let (0, Network::Ports(ports)) = (status, &arguments.net) {
        bespoke_monitor::listening(ports).for_each(|line| eprintln!("bespoke: {line}"));
    }
    Ok(status)
}

fn plan(arguments: &Arguments, target: &Target) -> Result<Plan, Error> {
    let image = std::path::absolute(&target.image).map_err(Error::file("find", &target.image))?;
    let ports = match &arguments.net {
        Network::None => Vec::new(),
        Network::Tap(tap) => vec![format!("tap:{}", tap.name)],
        Network::Veth(veth) => vec![format!("veth:{}", veth.name)],
        Network::Ports(ports) if ports.is_empty() => vec!["outbound".into()],
        Network::Ports(ports) => ports.iter().map(ToString::to_string).collect(),
    };
    Ok(Plan {
        name: arguments.name.clone(),
        stem: instances::stem(&target.name.to_string_lossy()),
        state: State {
            target: arguments.target.to_string_lossy().into_owned(),
            image,
            monitor: None,
            memory_bytes: target.memory_bytes,
            ports,
            detached: arguments.detach,
            restart: arguments.restart,
            restarts: 0,
            started_ms: now_ms(),
            phase: Phase::Starting,
        },
        log_bytes: arguments.log_limit.unwrap_or(DEFAULT_BYTES),
    })
}

/// Runs what `configure` says, on `wanted` or, where KVM does not work and nothing is wanted, as a process; QEMU
/// translates where KVM does not work and nothing is said.
pub(super) fn start(
    wanted: Option<Wanted>,
    configure: impl Fn(Monitor) -> Result<RunConfig, Error>,
) -> Result<Outcome, Error> {
    let run = |monitor| Ok(bespoke_monitor::run(configure(monitor)?)?);
    match wanted {
        Some(Wanted::One(monitor)) => run(monitor),
        Some(Wanted::Qemu(machine, accelerator)) => {
            let choose = || match bespoke_monitor::probe_kvm() {
                Ok(()) => Accelerator::Kvm,
                Err(error) => {
                    complain(format_args!(
                        "{error}; using QEMU's translation instead (tcg)"
                    ));
                    Accelerator::Tcg
                }
            };
            run(Monitor::Qemu(Qemu {
                machine,
                accelerator: accelerator.unwrap_or_else(choose),
            }))
        }
        None => match run(Monitor::Kvm) {
            Err(Error::Monitor(error)) if error.is_kvm_unavailable() => {
                complain(format_args!("{error}; using the process monitor"));
                run(Monitor::Process)
            }
            other => other,
        },
    }
}

pub(super) fn config(
    arguments: &Arguments,
    target: &Target,
    monitor: Monitor,
    started: u64,
) -> RunConfig {
    let mut config = RunConfig::new(target.image.clone(), monitor);
    config.memory_bytes = target.memory_bytes;
    config.arguments = std::iter::once(&target.name)
        .chain(&target.arguments)
        .cloned()
        .collect();
    config.environment = environment(&arguments.env);
    let given = arguments.files.iter();
    let given: Vec<_> = given
        .filter(|file| !is_to_come(arguments, file))
        .cloned()
        .collect();
    if !given.is_empty() {
        config.archive = Archive::Files(given);
    }
    config.exports = arguments.outputs.clone();
    config.export_always = arguments.out_always;
    config.export_limit = arguments.out_limit;
    config.net = arguments.net.clone();
    config.trace_calls = arguments.trace_calls;
    config.monitor_start_tsc = started;
    config
}

/// The application's environment: little, so that a run does not depend on the host's. Of a name that is given several
/// times the last one counts: `getenv` would find the first.
fn environment(given: &[String]) -> Vec<OsString> {
    let mut variables = vec![OsString::from("HOME=/")];
    if let Some(terminal) = env::var_os("TERM") {
        let mut variable = OsString::from("TERM=");
        variable.push(terminal);
        variables.push(variable);
    }
    for variable in given {
        let name = variable.split_inclusive('=').next().unwrap_or_default();
        variables.retain(|other| !other.as_encoded_bytes().starts_with(name.as_bytes()));
        variables.push(variable.into());
    }
    variables
}

fn target(arguments: &Arguments) -> Result<Target, Error> {
    let path = Path::new(&arguments.target);
    let has_slash = arguments.target.as_encoded_bytes().contains(&b'/');
    if has_slash {
        return image(arguments, path);
    }
    let builder = builder_beside(arguments.json)?;
    let app = match builder.app(&arguments.target.to_string_lossy()) {
        Err(error) if error.is_unknown_name() && path.exists() => {
            return image(arguments, path);
        }
        app => app?,
    };
    let composition = heaps_of(&app, &arguments.heaps)?.composition;
    of_app(&builder, &app, &composition, arguments)
}

/// An app with these heaps, built if need be.
pub(super) fn of_app(
    builder: &Builder,
    app: &App,
    composition: &Composition,
    arguments: &Arguments,
) -> Result<Target, Error> {
    let memory_bytes = arguments.memory.unwrap_or(app.run.memory.0);
    let chosen = if arguments.arguments.is_empty() {
        app.run.arguments(memory_bytes)
    } else {
        arguments.arguments.clone()
    };
    Ok(Target {
        image: builder.provide(app, composition)?,
        is_app: true,
        memory_bytes,
        name: arguments.target.clone(),
        arguments: chosen,
        notice: app.run.notice.clone(),
    })
}

fn image(arguments: &Arguments, path: &Path) -> Result<Target, Error> {
    if !arguments.heaps.is_empty() {
        let reason = "--heap works only for apps, because the heaps of a built image are fixed; build it again with `bespoke build --heap`";
        return Err(Error::Usage(reason.into()));
    }
    let (mut memory, mut chosen) = (arguments.memory, arguments.arguments.clone());
    let mut notice = None;
    // A user who says everything saves the look.
    if (memory.is_none() || chosen.is_empty())
        && let Some(defaults) = bespoke_monitor::run_defaults(path)?
    {
        let bytes = *memory.get_or_insert(defaults.memory_bytes);
        if chosen.is_empty() {
            chosen = app::arguments(&defaults.arguments, bytes);
        }
        notice = defaults.notice;
    }
    Ok(Target {
        image: path.to_path_buf(),
        is_app: false,
        memory_bytes: memory.unwrap_or(DEFAULT_MEMORY_BYTES),
        name: path.file_name().unwrap_or(path.as_os_str()).to_os_string(),
        arguments: chosen,
        notice,
    })
}

/// How a run ended, once its outcome was reported.
pub(super) struct Ended {
    /// The exit status: the application's, unless a file that it should have left was not written.
    pub status: u8,
    /// What was said about files that were not written.
    pub unwritten: Vec<String>,
}

impl Ended {
    /// The end of a run whose monitor failed, which is said.
    fn without(error: &Error) -> Self {
        complain(error);
        Self {
            status: crate::exit::RUN_FAILED,
            unwritten: Vec::new(),
        }
    }
}

/// Reports what is to be reported.
pub(super) fn finish(arguments: &Arguments, outcome: &Outcome) -> Ended {
    if let Exit::Crash(report) = &outcome.exit {
        eprint!("{report}");
    }
    let unwritten = outputs::unwritten(outcome);
    unwritten.iter().for_each(complain);
    if arguments.boot_time || arguments.stats {
        stats::print(
            outcome,
            arguments.boot_time,
            arguments.stats,
            arguments.json,
        );
    }
    let status = match outcome.status() {
        0 if !unwritten.is_empty() => crate::exit::RUN_FAILED,
        status => status,
    };
    Ended { status, unwritten }
}
