//! `bespoke fetch`: downloads everything that builds will ask for.

use crate::build::Builder;
use crate::error::Error;

/// Download and verify all third-party sources
#[derive(clap::Args)]
pub struct Arguments {}

/// See [`Arguments`].
pub fn run(_: &Arguments) -> Result<(), Error> {
    let count = Builder::new(true)?.fetch()?;
    println!(
        "{count} sources are in {}",
        crate::place::cache()?.display()
    );
    Ok(())
}
