//! `bespoke rm`: forgets images that have ended, and their logs.

use crate::error::Error;
use crate::running::{self, Run};

/// Forget images that have ended, with their logs
#[derive(clap::Args)]
pub struct Arguments {
    /// Their names, or the beginnings of them
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// All that have ended
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

/// See [`Arguments`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    if arguments.all {
        let mut ended = running::all()?.into_iter().filter(|run| !run.lives());
        return ended.try_for_each(Run::remove);
    }
    for name in &arguments.names {
        let run = running::find(name)?;
        run.remove()?;
    }
    Ok(())
}
