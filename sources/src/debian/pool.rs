//! Gets an archive by name from the pool of a Debian mirror, if apt is missing or
//! its release has another version.
//! The pool holds the files of all releases. The caller verifies the hash.

use crate::{Error, Source, http};
use std::env;
use std::path::Path;

/// Redirects to a mirror nearby.
const MIRROR: &str = "http://deb.debian.org/debian";

/// Downloads the archive of `source` to `part`; `$BESPOKE_POOL` names another mirror.
pub(crate) fn fetch(source: &Source, package: &str, part: &Path) -> Result<String, Error> {
    let mirror = env::var("BESPOKE_POOL").unwrap_or_else(|_| MIRROR.to_owned());
    let mut failure = None;
    for address in addresses(&mirror, source, package) {
        match http::fetch(&address, source.bytes, part) {
            Err(error) if !error.is_full() => failure = failure.or(Some(error)),
            ended => return ended,
        }
    }
    Err(failure.unwrap_or_else(|| Error::Elsewhere(format!("{package} is not a package name"))))
}

/// Candidate addresses: under the recipe's file name and under Debian's.
fn addresses(mirror: &str, source: &Source, package: &str) -> Vec<String> {
    let Some(first) = package.get(..1) else {
        return Vec::new();
    };
    let section = match package.starts_with("lib") {
        true => package.get(..4).unwrap_or(package),
        false => first,
    };
    let ending = source
        .file
        .rsplit_once(".tar.")
        .map_or("gz", |(_, ending)| ending);
    let debian = format!("{package}_{}.orig.tar.{ending}", source.version);
    let mut names = vec![source.file.clone(), debian];
    names.dedup();
    let mirror = mirror.trim_end_matches('/');
    let address = |name| format!("{mirror}/pool/main/{section}/{package}/{name}");
    names.into_iter().map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_has_a_folder_for_each_first_letter_and_for_libraries() {
        let source = |name: &str, file: &str| Source {
            name: name.into(),
            version: "1.2".into(),
            file: file.into(),
            sha256: "a".repeat(64).parse().unwrap(),
            bytes: 1,
            upstream: None,
            debian: Some(name.into()),
            crate_: None,
        };
        let musl = addresses(
            "http://m/debian/",
            &source("musl", "musl-1.2.tar.gz"),
            "musl",
        );
        let base = "http://m/debian/pool/main/m/musl/";
        assert_eq!(
            musl,
            [
                format!("{base}musl-1.2.tar.gz"),
                format!("{base}musl_1.2.orig.tar.gz")
            ]
        );
        let event = source("libevent", "libevent_1.2.orig.tar.xz");
        let event = addresses("http://m", &event, "libevent");
        assert_eq!(
            event,
            ["http://m/pool/main/libe/libevent/libevent_1.2.orig.tar.xz"]
        );
    }
}
