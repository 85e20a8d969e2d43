//! Where things are: Bespoke's own sources, and the cache of everything downloaded or built.

use crate::Error;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder with `libos/`, `heaps/`, `libc/` and `apps/`: `$BESPOKE_HOME`, or where this
/// command was compiled; from the root, for builds stand in other folders. Not checked; see [`checked_home`].
pub fn home() -> PathBuf {
    env::var_os("BESPOKE_HOME").map_or_else(compiled_home, |home| {
        // Without a working directory nothing is there to be found, which is said of the path as it was given.
        std::path::absolute(&home).unwrap_or_else(|_| home.into())
    })
}

fn compiled_home() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.parent().unwrap_or(cli).to_path_buf()
}

/// [`home`], once it is known to hold what a build needs.
pub fn checked_home() -> Result<PathBuf, Error> {
    let home = home();
    for missing in ["libos/image.ld", "libc/recipe.toml", "apps", "Cargo.lock"] {
        if !home.join(missing).exists() {
            return Err(Error::NoHome { home, missing });
        }
    }
    Ok(home)
}

/// See [`bespoke_sources::cache_root`].
pub fn cache() -> Result<PathBuf, Error> {
    Ok(bespoke_sources::cache_root()?)
}

/// Creates `folder` and its parents.
pub fn create(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::file("create", folder))
}
