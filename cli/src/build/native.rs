//! The same program for the machine itself: what images are compared with.

use super::{app, cc, tool};
use crate::error::Error;
use crate::place;
use crate::recipe::App;
use bespoke_sources::Cache;
use std::path::PathBuf;
use std::process::Command;

/// Builds `app` as an ordinary dynamically linked program with the recipe's own flags and
/// definitions; returns its path.
pub fn build_native(app: &App, sources: &Cache, say: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let objects = app::native_objects(app, sources, say)?;
    let folder = sources.root().join("native");
    place::create(&folder)?;
    let program = folder.join(&app.name);
    let libraries = app
        .build
        .native_libraries
        .iter()
        .map(|name| format!("-l{name}"));
    let mut link = Command::new(cc::COMPILER);
    link.arg("-o").arg(&program).args(objects).args(libraries);
    tool::run(&format!("link {} natively", app.name), &mut link)?;
    Ok(program)
}
