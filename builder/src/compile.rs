//! An app's own C code, for an image or natively.

use super::cc::{self, Batch, Unit};
use super::kernel::Kernel;
use super::key::Key;
use super::musl::Libc;
use super::tree::{self, Tree};
use super::work::Work;
use crate::Error;
use bespoke_recipe::app::App;
use bespoke_sources::Cache;
use std::path::PathBuf;

/// Compiles `app` against the image's C library; returns its tree, if it has one, and its objects.
pub(crate) fn objects(
    app: &App,
    libc: &Libc,
    kernel: &Kernel,
    sources: &Cache,
    work: &Work,
) -> Result<(Option<PathBuf>, Vec<PathBuf>), Error> {
    let mut flags: Vec<String> = cc::IMAGE_FLAGS
        .iter()
        .map(|flag| (*flag).to_string())
        .collect();
    flags.push("-nostdinc".into());
    for folder in [libc.include(), cc::compiler_headers()?] {
        flags.extend(["-isystem".into(), folder.to_string_lossy().into_owned()]);
    }
    flags.extend(kernel.flags());
    compile(app, flags, libc.interface.clone(), sources, work)
}

/// Compiles `app` against the machine's own C library; returns its objects.
pub(crate) fn native_objects(
    app: &App,
    sources: &Cache,
    work: &Work,
) -> Result<Vec<PathBuf>, Error> {
    let flags = vec!["-g1".into(), "-pipe".into()];
    Ok(compile(app, flags, "native".into(), sources, work)?.1)
}

fn compile(
    app: &App,
    mut flags: Vec<String>,
    headers: String,
    sources: &Cache,
    work: &Work,
) -> Result<(Option<PathBuf>, Vec<PathBuf>), Error> {
    let tree = tree::prepare(app, sources, work)?;
    let optimises = app.build.flags.iter().any(|flag| flag.starts_with("-O"));
    // As makefiles do: nobody means to measure code that was not optimised.
    flags.extend((!optimises).then(|| "-O2".to_string()));
    flags.extend(app.build.flags.iter().cloned());
    flags.extend(app.build.defines.iter().map(|define| format!("-D{define}")));
    let units = units(app, tree.as_ref())?;
    let batch = Batch {
        name: app.name.clone(),
        units,
        flags,
        headers,
    };
    let objects = cc::compile(sources.root(), &batch, work)?;
    Ok((tree.map(|tree| tree.folder), objects))
}

fn units(app: &App, tree: Option<&Tree>) -> Result<Vec<Unit>, Error> {
    let mut units = Vec::new();
    if let Some(tree) = tree {
        let unit = |file: &String| Unit {
            file: tree.folder.join(file),
            root: tree.folder.clone(),
            inputs: tree.key.clone(),
        };
        units.extend(app.build.files.iter().map(unit));
    }
    if !app.build.own_files.is_empty() {
        let inputs = Key::new("own files").folder(&app.folder)?.finish();
        let unit = |file: &String| Unit {
            file: app.folder.join(file),
            root: app.folder.clone(),
            inputs: inputs.clone(),
        };
        units.extend(app.build.own_files.iter().map(unit));
    }
    Ok(units)
}
