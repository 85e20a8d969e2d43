//! Parses `apt-cache showsrc`: versions of a source package and the hashes of their files.

use crate::Digest;

/// One version of a source package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// With its Debian revision.
    pub version: String,
    /// Hash, bytes and name of each file.
    pub files: Vec<(Digest, u64, String)>,
}

/// Parses stanzas, separated by empty lines. A field continues on lines that start with a space.
pub(super) fn parse(listing: &str) -> Vec<Offer> {
    let mut offers = Vec::new();
    for stanza in listing.split("\n\n") {
        let mut version = None;
        let mut files = Vec::new();
        let mut field = "";
        for line in stanza.lines() {
            if line.starts_with(' ') {
                if field == "Checksums-Sha256" {
                    files.extend(file(line));
                }
            } else if let Some((name, value)) = line.split_once(':') {
                field = name;
                if name == "Version" {
                    version = Some(value.trim().to_owned());
                }
            }
        }
        offers.extend(version.map(|version| Offer { version, files }));
    }
    offers
}

fn file(line: &str) -> Option<(Digest, u64, String)> {
    let mut words = line.split_whitespace();
    let digest = words.next()?.parse().ok()?;
    let bytes = words.next()?.parse().ok()?;
    Some((digest, bytes, words.next()?.to_owned()))
}

/// Returns the versions that contain `sha256`, and the file name in each.
pub(super) fn find<'a>(offers: &'a [Offer], sha256: &Digest) -> Vec<(&'a str, &'a str)> {
    let carries = |offer: &'a Offer| {
        let (_, _, name) = offer.files.iter().find(|(digest, ..)| digest == sha256)?;
        Some((offer.version.as_str(), name.as_str()))
    };
    offers.iter().filter_map(carries).collect()
}

/// Formats the upstream archives as `[[source]]` tables, each once.
pub(super) fn tables(package: &str, offers: &[Offer]) -> String {
    let mut named = Vec::new();
    let mut text = String::new();
    for offer in offers.iter().rev() {
        // Without epoch and Debian revision.
        let version = offer
            .version
            .split_once(':')
            .map_or(&*offer.version, |(_, rest)| rest);
        let version = version
            .rsplit_once('-')
            .map_or(version, |(upstream, _)| upstream);
        for (digest, bytes, file) in &offer.files {
            let is_upstream =
                file.contains(".orig") && file.contains(".tar") && !file.ends_with(".asc");
            if !is_upstream || named.contains(&digest) {
                continue;
            }
            named.push(digest);
            text += &format!(
                "[[source]]\nname = \"{package}\"\nversion = \"{version}\"\nfile = \"{file}\"\nsha256 = \"{digest}\"\nbytes = {bytes}\ndebian = \"{package}\"\n\n"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_that_list_the_hash_are_found() {
        let (old, new) = ("a".repeat(64), "b".repeat(64));
        let listing = format!(
            "Package: x\nBinary: x\n y\nVersion: 1.2-3\nChecksums-Sha256:\n {old} 10 x_1.2.orig.tar.gz\n \
             {new} 20 x_1.2-3.dsc\nFiles:\n 0123 10 x_1.2.orig.tar.gz\n\n\
             Package: x\nVersion: 1.3-1\nChecksums-Sha256:\n {new} 11 x_1.3.orig.tar.gz\n"
        );
        let offers = parse(&listing);
        assert_eq!(offers.len(), 2);
        assert_eq!(offers[0].files.len(), 2);
        assert_eq!(
            find(&offers, &old.parse().unwrap()),
            [("1.2-3", "x_1.2.orig.tar.gz")]
        );
        assert!(find(&offers, &"c".repeat(64).parse().unwrap()).is_empty());
        let tables = tables("x", &offers);
        let first = tables.find("version = \"1.3\"").expect("the newest");
        assert!(first < tables.find("version = \"1.2\"").expect("the oldest"));
        assert!(
            tables.contains("bytes = 10") && !tables.contains(".dsc"),
            "{tables}"
        );
    }
}
