//! Archives from Debian source packages, through a private apt. It works for any user and does not
//! change the system. Its folder is `<root>/apt`.
//!
//! The package is requested by name. Of the versions that apt offers, those that list our hash are
//! tried in turn, whatever their Debian revision.

mod offer;
#[cfg(feature = "http")]
mod pool;
mod private;

#[cfg(feature = "http")]
pub(crate) use pool::fetch as fetch_from_pool;

use crate::cache::{copy, lock_folder, remove_tree, say};
use crate::{Error, Source, tool};
use private::Apt;
use std::fs;
use std::path::Path;

/// Advice when apt-get is missing.
const GET_APT: &str = "this works only on Debian and its derivatives";

/// Downloads the file of source package `package` whose hash is the one `source` names.
pub(crate) fn fetch(
    root: &Path,
    source: &Source,
    package: &str,
    part: &Path,
) -> Result<String, Error> {
    let folder = root.join("apt");
    let _lock = lock_folder(&folder)?;
    let (apt, offers) = ask(&folder, package)?;
    let candidates = offer::find(&offers, &source.sha256);
    if candidates.is_empty() {
        return Err(none_matches(source, package, &offers));
    }
    download(&apt, &folder, package, &candidates, part)?
        .ok_or_else(|| none_matches(source, package, &offers))
}

/// Queries apt for fresh data on source package `package`. The caller holds the lock of `folder`.
fn ask(folder: &Path, package: &str) -> Result<(Apt, Vec<offer::Offer>), Error> {
    let apt = Apt::prepare(folder)?;
    let updated = tool::run(apt.command("apt-get").arg("update"), folder, GET_APT);
    match updated {
        Err(error @ (Error::MissingTool { .. } | Error::Full { .. })) => return Err(error),
        // Lists that could not be refreshed may still have the package, so this is only a message.
        Err(error) => say(&format!("package lists not refreshed: {error}")),
        Ok(_) => {}
    }
    let listing = tool::run(
        apt.command("apt-cache")
            .args(["showsrc", "--only-source", package]),
        folder,
        GET_APT,
    )?;
    Ok((apt, offer::parse(&listing)))
}

/// Returns the upstream archives of source package `package` as `[[source]]`
/// tables of a recipe, newest first.
/// The system needs no `deb-src` line for it.
///
/// # Errors
///
/// When apt is missing or does not know the package.
pub(crate) fn tables(root: &Path, package: &str) -> Result<String, Error> {
    let folder = root.join("apt");
    let _lock = lock_folder(&folder)?;
    let (_, offers) = ask(&folder, package)?;
    let tables = offer::tables(package, &offers);
    match tables.is_empty() {
        true => Err(Error::Elsewhere(format!(
            "apt knows no source package {package} (no network, another name, or not a Debian release that has it); \
             `apt-cache show` of a binary package names its source"
        ))),
        false => Ok(tables),
    }
}

/// Downloads to `part` the first of `candidates` (version, file) that is
/// available, and returns its description.
fn download(
    apt: &Apt,
    folder: &Path,
    package: &str,
    candidates: &[(&str, &str)],
    part: &Path,
) -> Result<Option<String>, Error> {
    let download = folder.join("download");
    let mut failure = None;
    for &(version, file) in candidates {
        remove_tree(&download)?;
        fs::create_dir_all(&download).map_err(|error| Error::Write {
            path: download.clone(),
            error,
        })?;
        let request = format!("{package}={version}");
        let ran = tool::run(
            apt.command("apt-get").current_dir(&download).args([
                "source",
                "--download-only",
                "--only-source",
                &request,
            ]),
            folder,
            GET_APT,
        );
        // A mirror may have the archive but lack Debian's own part, which is not needed.
        let file = download.join(file);
        if file.exists() {
            copy(&file, part)?;
            remove_tree(&download)?;
            return Ok(Some(format!("Debian source package {request}")));
        }
        match ran {
            Err(error @ Error::Full { .. }) => return Err(error),
            ran => failure = ran.err().or(failure),
        }
    }
    failure.map_or(Ok(None), Err)
}

fn none_matches(source: &Source, package: &str, offers: &[offer::Offer]) -> Error {
    let versions: Vec<&str> = offers.iter().map(|offer| offer.version.as_str()).collect();
    Error::Elsewhere(if versions.is_empty() {
        format!(
            "apt knows no source package {package} (no network, or not a Debian release that has it)"
        )
    } else {
        format!(
            "apt offers {package} {}, none with the archive of {} {} asked for",
            versions.join(", "),
            source.name,
            source.version
        )
    })
}
