//! `bespoke fetch`: downloads everything that builds will ask for.

use super::builder;
use crate::error::Error;

/// Download and verify all third-party sources
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Instead, print the `source` tables of a Debian package for a recipe, with versions and
    /// hashes
    #[arg(long, value_name = "PACKAGE")]
    debian: Option<String>,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    if let Some(package) = &arguments.debian {
        print!("{}", builder()?.debian_tables(package)?);
        return Ok(());
    }
    let count = builder()?.fetch()?;
    println!(
        "{count} sources are in {}",
        bespoke_recipe::paths::cache()?.display()
    );
    Ok(())
}
