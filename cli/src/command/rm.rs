//! `bespoke rm`: forgets images that have ended, and their logs.

use crate::error::Error;
use crate::instances;

/// Forget images that have ended, with their logs
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Their names, or the beginnings of them
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// All that have ended
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let runs = if arguments.all {
        let ended = instances::all()?.into_iter().filter(|run| !run.lives());
        ended.collect()
    } else {
        instances::find_each(&arguments.names)?
    };
    let removed = runs.into_iter().map(|run| {
        let name = run.name.clone();
        run.remove().map(|()| println!("{name}: removed"))
    });
    Error::all(removed.filter_map(Result::err).collect())
}
