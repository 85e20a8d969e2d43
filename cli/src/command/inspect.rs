//! `bespoke inspect`: what an image is made of, from its file alone.

use super::{builder, heaps_of, print_json};
use crate::error::Error;
use crate::instances;
use crate::print::table::{Align, Table};
use bespoke_builder::cache::images::ImageFacts;
use bespoke_recipe::size;
use std::path::{Path, PathBuf};

/// Show an image's heaps, source versions, and section sizes
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// An image file, an app whose image is built, or the name of a run
    image: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let facts = ImageFacts::by(&file(&arguments.image)?)?;
    if arguments.json {
        print_json(&facts);
    } else {
        print(&facts);
    }
    Ok(())
}

/// The file that is meant: as `run` takes it, or that of a run.
fn file(given: &Path) -> Result<PathBuf, Error> {
    if given.as_os_str().as_encoded_bytes().contains(&b'/') {
        return Ok(given.into());
    }
    let name = given.to_string_lossy();
    let run = instances::find(&name);
    if let Ok(Ok(state)) = run.map(|run| run.state) {
        return Ok(state.image);
    }
    let builder = builder()?;
    let app = match builder.app(&name) {
        Err(error) if error.is_unknown_name() && given.exists() => {
            return Ok(given.into());
        }
        app => app?,
    };
    let image = builder.place(&app, &heaps_of(&app, &[])?.composition);
    match image.exists() {
        true => Ok(image),
        false => Err(Error::Usage(format!(
            "no image of {name} with the heaps of its recipe was built; `bespoke build {name}` makes one, `bespoke images` lists what there is"
        ))),
    }
}

fn print(facts: &ImageFacts) {
    let yes = |is: bool| if is { "yes" } else { "no" };
    println!("{}", facts.path.display());
    let mut rows: Vec<(&str, String)> = vec![("heaps", facts.composition.clone())];
    for (key, name) in [
        ("app", "app"),
        ("made_for", "made from"),
        ("libc", "C library"),
        ("bespoke", "bespoke"),
    ] {
        rows.extend(facts.origin.get(key).map(|value| (name, value.clone())));
    }
    for (key, value) in &facts.origin {
        if key.starts_with("heap ") {
            rows.push((key, value.clone()));
        }
    }
    rows.push(("interface version", facts.interface_version.to_string()));
    rows.push(("network", yes(facts.network).into()));
    rows.push(("RAM on huge pages", yes(facts.huge_pages).into()));
    rows.push(("records", yes(facts.records).into()));
    rows.push(("stack", size::show(facts.stack_bytes)));
    rows.extend(
        facts
            .memory_bytes
            .map(|bytes| ("memory", size::show(bytes))),
    );
    if !facts.arguments.is_empty() {
        rows.push(("arguments", facts.arguments.join(" ")));
    }
    rows.extend(facts.build_id.iter().map(|id| ("build id", id.clone())));
    let debug = facts.debug_file.as_ref();
    rows.push((
        "debug file",
        debug.map_or("not beside it".into(), |path| path.display().to_string()),
    ));
    let mut table = Table::new(&[("what", Align::Left), ("value", Align::Left)]);
    for (name, value) in rows {
        table.row([name.to_string(), value]);
    }
    table.print();
    println!();
    let mut table = Table::new(&[
        ("section", Align::Left),
        ("address", Align::Right),
        ("memory", Align::Right),
        ("file", Align::Right),
    ]);
    let mut row = |name: &str, address: String, memory: u64, file: u64| {
        table.row([name.into(), address, size::show(memory), size::show(file)]);
    };
    for section in &facts.sections {
        row(
            &section.name,
            format!("{:#x}", section.address),
            section.bytes,
            section.file_bytes,
        );
    }
    let memory = facts.sections.iter().map(|section| section.bytes).sum();
    row("image", String::new(), memory, facts.bytes);
    table.print();
}
