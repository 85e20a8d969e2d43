//! `bespoke rm`: forgets images that have ended, and their logs.

use crate::error::Error;
use crate::instances;

/// Remove ended images and their logs
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Names of images, or unambiguous prefixes of names
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// Remove all ended images
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
