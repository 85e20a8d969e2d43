//! Whether a built image is still that of its inputs, told by a few hundred `stat` calls.
//!
//! Beside an image stands a list of every file and folder it was made from, with modification
//! time and size, after the folder of Bespoke's own sources: another copy of them shares the
//! cache, not what was built. `bespoke run APP` compares the list and goes straight to the
//! monitor; a change of compiler shows only in `bespoke build`, which compares contents.

use super::key::files_below;
use super::link::beside;
use crate::Error;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes the list of all that is below `inputs` to `stamp`, for the sources in `homes`.
pub(crate) fn write(stamp: &Path, homes: &[&Path], inputs: &[PathBuf]) -> Result<(), Error> {
    let mut paths = BTreeSet::new();
    for input in inputs {
        if input.is_dir() {
            paths.insert(input.clone());
            for file in files_below(input)? {
                let folders = file
                    .ancestors()
                    .skip(1)
                    .take_while(|folder| folder.starts_with(input));
                paths.extend(folders.map(Path::to_path_buf));
                paths.insert(file);
            }
        } else {
            paths.insert(input.clone());
        }
    }
    let mut text = first_line(homes);
    text.push('\n');
    for path in paths {
        if let Some((time, bytes)) = state(&path) {
            let _ = writeln!(text, "{time} {bytes} {}", path.display());
        }
    }
    // A list that a killed build left unfinished would say too little.
    let part = beside(stamp, "part");
    fs::write(&part, text).map_err(Error::file("write", &part))?;
    fs::rename(&part, stamp).map_err(Error::file("create", stamp))
}

fn first_line(homes: &[&Path]) -> String {
    let homes = homes.iter().map(|home| home.display().to_string());
    homes.collect::<Vec<_>>().join("\t")
}

/// Whether `stamp` exists, for the sources in `homes`, and nothing it lists has changed.
pub(crate) fn is_fresh(stamp: &Path, homes: &[&Path]) -> bool {
    let Ok(text) = fs::read_to_string(stamp) else {
        return false;
    };
    let mut lines = text.lines();
    if lines.next() != Some(&*first_line(homes)) {
        return false;
    }
    lines.all(|line| {
        let mut words = line.splitn(3, ' ');
        let mut number = || words.next()?.parse::<i128>().ok();
        let (Some(time), Some(bytes), Some(path)) = (number(), number(), words.next()) else {
            return false;
        };
        state(Path::new(path)) == Some((time, bytes))
    })
}

/// Modification time in nanoseconds, and size (0 for folders, whose size is the file system's own).
fn state(path: &Path) -> Option<(i128, i128)> {
    let metadata = fs::metadata(path).ok()?;
    let time = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Some((
        time,
        if metadata.is_dir() {
            0
        } else {
            i128::from(metadata.len())
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env::temp_dir;
    use std::process;

    #[test]
    fn what_was_built_from_one_copy_of_the_sources_is_not_that_of_another() {
        let folder = temp_dir().join(format!("bespoke-stamp-{}", process::id()));
        fs::create_dir_all(folder.join("one")).unwrap();
        let (stamp, input) = (folder.join("inputs"), folder.join("one/input"));
        fs::write(&input, "1").unwrap();
        let (one, two) = (folder.join("one"), folder.join("two"));
        write(&stamp, &[&one], std::slice::from_ref(&one)).unwrap();
        assert!(is_fresh(&stamp, &[&one]));
        assert!(!is_fresh(&stamp, &[&two]));
        assert!(!is_fresh(&stamp, &[&one, &two]));
        fs::write(&input, "12").unwrap();
        assert!(!is_fresh(&stamp, &[&one]));
        fs::remove_dir_all(folder).unwrap();
    }
}
