//! `bespoke build`: an image, and what takes how much room in it.

use super::{builder, complain, heaps_of, print_json, run_line};
use crate::error::Error;
use crate::print::table::{Align, Table};
use bespoke_builder::sizes::Part;
use bespoke_monitor::ImportFile;
use bespoke_recipe::composition::HeapArgument;
use bespoke_recipe::size;
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Build an image of an app
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The app, see `bespoke apps`
    app: String,
    /// The heap of malloc, or of one component (app, libos, net, stack, boot); see `bespoke heaps --parameters`
    #[arg(long = "heap", value_name = "[COMPONENT=]NAME[:PARAMETER=VALUE]")]
    heaps: Vec<HeapArgument>,
    /// Add a host folder with all its contents to the image, such as ./site:/srv/www
    #[arg(long = "root", value_name = "DIR:GUEST", value_parser = run_line::root, requires = "output")]
    roots: Vec<ImportFile>,
    /// Add a host file to the image
    #[arg(long = "file", value_name = "HOST=GUEST", value_parser = run_line::import, requires = "output")]
    files: Vec<ImportFile>,
    /// Write the image to this file and its symbols to FILE.debug [default: the cache]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Build the native program instead, for comparison
    #[arg(long, conflicts_with_all = ["heaps", "output", "roots", "files"])]
    native: bool,
    /// Print the sizes as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    image: String,
    composition: String,
    /// The lock file that says so.
    lock: Option<String>,
    file_bytes: u64,
    parts: &'a [Part],
    /// How a shell starts the image with the QEMU that is installed.
    qemu: String,
    /// How a shell starts it with Firecracker.
    firecracker: String,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let builder = builder()?;
    let app = builder.app(&arguments.app)?;
    if arguments.native {
        println!("{}", builder.build_native(&app)?.display());
        return Ok(());
    }
    let chosen = heaps_of(&app, &arguments.heaps)?;
    let composition = chosen.composition;
    if let Some((path, lock)) = &chosen.lock {
        complain(format_args!(
            "using the heaps of {}, chosen for {} on {}",
            path.display(),
            lock.why.goal,
            lock.why.started
        ));
    }
    let files = [&arguments.roots[..], &arguments.files].concat();
    let image = builder.build(&app, &composition, &files, arguments.output.as_deref())?;
    let memory_bytes = app.run.memory.0;
    let mut words = vec![OsString::from(&app.name)];
    words.extend(app.run.arguments(memory_bytes));
    let port = app.serve.as_ref().map(|serve| serve.port);
    let path = std::path::absolute(&image.path).map_err(Error::file("find", &image.path))?;
    let configuration =
        bespoke_monitor::firecracker_by_hand(&path, memory_bytes, &words, port.is_some())?;
    let mut beside = path.clone().into_os_string();
    beside.push(".firecracker.json");
    fs::write(&beside, configuration).map_err(Error::file("write", &beside))?;
    let report = Report {
        firecracker: bespoke_monitor::firecracker_line(Path::new(&beside)),
        qemu: bespoke_monitor::qemu_by_hand(&path, memory_bytes, &words, port),
        image: image.path.display().to_string(),
        composition: image.composition.to_string(),
        lock: chosen.lock.map(|(path, _)| path.display().to_string()),
        file_bytes: image.parts.iter().map(|part| part.file_bytes).sum(),
        parts: &image.parts,
    };
    if arguments.json {
        print_json(&report);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Report<'_>) {
    println!("{}\n{}\n", report.image, report.composition);
    let mut table = Table::new(&[
        ("part", Align::Left),
        ("file", Align::Right),
        ("zero memory", Align::Right),
    ]);
    for part in report.parts {
        table.row([
            part.name.clone(),
            size::show(part.file_bytes),
            size::show(part.zero_bytes),
        ]);
    }
    let zero = report.parts.iter().map(|part| part.zero_bytes).sum();
    table.row([
        "image".into(),
        size::show(report.file_bytes),
        size::show(zero),
    ]);
    table.print();
    println!(
        "\nto start it without Bespoke (docs/guide/deploy.md):\n  {}\n  {}",
        report.qemu, report.firecracker
    );
}
