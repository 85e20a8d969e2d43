//! The same program for the machine itself: what images are compared with.

use super::work::Work;
use super::{cc, compile, link, tool};
use crate::Error;
use bespoke_recipe::app::App;
use bespoke_recipe::paths;
use bespoke_sources::Cache;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Builds `app` as an ordinary dynamically linked program with the recipe's own flags and
/// definitions; returns its path.
pub(crate) fn build_native(app: &App, sources: &Cache, work: &Work) -> Result<PathBuf, Error> {
    let objects = compile::native_objects(app, sources, work)?;
    let folder = sources.root().join("native");
    paths::create(&folder)?;
    let program = folder.join(&app.name);
    let _lock = work.alone(
        &format!("native-{}", app.name),
        &format!("the native {}", app.name),
    )?;
    let part = link::beside(&program, "part");
    let libraries = app
        .build
        .native_libraries
        .iter()
        .map(|name| format!("-l{name}"));
    let mut link = Command::new(cc::COMPILER);
    link.arg("-o").arg(&part).args(objects).args(libraries);
    tool::run(&format!("link {} natively", app.name), &mut link)?;
    fs::rename(&part, &program).map_err(Error::file("create", &program))?;
    Ok(program)
}
