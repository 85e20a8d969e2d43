//! What `cc.sh` wrote down of a link, read back: the objects and archives of a program.
//! Reads files of the tree; must never take one of the machine's own libraries into an image.

use super::key::files_below;
use super::toolchain::LIBC_PARTS;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Ending of a record's name, after the program's.
const ENDING: &str = ".link";
/// Options of the linker that change what a program is made of.
const KEPT: [&str; 7] = [
    "--whole-archive",
    "--no-whole-archive",
    "--start-group",
    "--end-group",
    "--undefined=",
    "--defsym=",
    "--wrap=",
];

/// The words of the link of `program`, a path in the tree `folder`: objects, archives, and options of the linker.
///
/// # Errors
///
/// In words, when its link was not recorded or names what an image cannot have.
pub(crate) fn objects(folder: &Path, program: &str) -> Result<Vec<PathBuf>, String> {
    let record = find(folder, program)?;
    let text = fs::read_to_string(&record)
        .map_err(|error| format!("cannot read {}: {error}", record.display()))?;
    words(&text)
}

/// The record of `program`, or of the one program that was linked under its name elsewhere, or that is the same file: makefiles
/// move and copy what they linked.
fn find(folder: &Path, program: &str) -> Result<PathBuf, String> {
    let record = folder.join(format!("{program}{ENDING}"));
    if record.exists() {
        return Ok(record);
    }
    let files = files_below(folder).map_err(|error| error.to_string())?;
    let linked = |record: &Path| record.with_extension("");
    let is_record = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(ENDING) && !name.contains("conftest") && !name.contains("CMakeFiles")
    };
    let records: Vec<PathBuf> = files.into_iter().filter(is_record).collect();
    let target = folder.join(program);
    if let Ok(content) = fs::read(&target) {
        let same = |record: &&PathBuf| fs::read(linked(record)).is_ok_and(|other| other == content);
        if let Some(record) = records.iter().find(same) {
            return Ok(record.clone());
        }
    }
    let mut named = records
        .iter()
        .filter(|record| linked(record).file_name() == target.file_name());
    if let (Some(record), None) = (named.next(), named.next()) {
        return Ok(record.clone());
    }
    let made = match target.exists() {
        true => {
            "was made, but not linked by `cc` or `gcc` as found in the PATH (a compiler named by its whole path, `ld`, or a C++ compiler?)"
        }
        false => "was not made",
    };
    let names: Vec<String> = records
        .iter()
        .map(|record| linked(record))
        .filter(|program| program.exists())
        .map(|program| {
            let inside = program.strip_prefix(folder).unwrap_or(&program);
            inside.display().to_string()
        })
        .collect();
    Err(match names.is_empty() {
        true => format!("it {made}, and no other program was linked"),
        false => format!(
            "it {made}; what was linked: {}; [build] program names one of these",
            names.join(", ")
        ),
    })
}

/// What a recorded link names, in its order: objects, archives, the archives that `-lNAME` finds in the folders given
/// by `-L`, and options of the linker that count.
fn words(record: &str) -> Result<Vec<PathBuf>, String> {
    let mut words = record.lines();
    let folder = Path::new(words.next().ok_or("its link was not recorded")?);
    let (mut libraries, mut found) = (Vec::new(), Vec::new());
    let library = |name: &str, libraries: &[PathBuf]| match LIBC_PARTS.contains(&name) {
        true => Ok(None),
        false => in_folders(name, libraries).map(Some),
    };
    while let Some(word) = words.next() {
        match word {
            "-o" | "-I" | "-D" | "-U" | "-x" | "-include" | "-imacros" | "-isystem"
            | "-idirafter" | "-iquote" | "-MF" | "-MT" | "-MQ" | "-z" | "-T" | "-e" => {
                words.next();
            }
            "-L" => libraries.extend(words.next().map(|path| folder.join(path))),
            "-l" => found.extend(library(words.next().unwrap_or_default(), &libraries)?),
            "-u" => found.extend(words.next().map(|name| format!("-Wl,-u,{name}").into())),
            "-Xlinker" => keep(words.next().unwrap_or_default(), folder, &mut found)?,
            _ => match (word.strip_prefix("-L"), word.strip_prefix("-l")) {
                (Some(path), _) => libraries.push(folder.join(path)),
                (_, Some(name)) => found.extend(library(name, &libraries)?),
                _ => match word.strip_prefix("-Wl,") {
                    Some(options) => {
                        let mut options = options.split(',');
                        while let Some(option) = options.next() {
                            match option {
                                "-u" | "--undefined" | "--wrap" | "--defsym" => {
                                    let value = options.next().unwrap_or_default();
                                    found.push(format!("-Wl,{option},{value}").into());
                                }
                                _ => keep(option, folder, &mut found)?,
                            }
                        }
                    }
                    None if word.starts_with('-') => {}
                    None => found.push(file(&folder.join(word), word)?),
                },
            },
        }
    }
    Ok(found)
}

/// Takes over an option of the linker, or a file among them, if it counts.
fn keep(option: &str, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    if KEPT.iter().any(|kept| match kept.ends_with('=') {
        true => option.starts_with(kept),
        false => option == *kept,
    }) {
        found.push(format!("-Wl,{option}").into());
    } else if !option.starts_with('-') && (option.ends_with(".a") || option.ends_with(".o")) {
        found.push(file(&folder.join(option), option)?);
    }
    Ok(())
}

fn in_folders(name: &str, libraries: &[PathBuf]) -> Result<PathBuf, String> {
    // A shared library is one object under its name; see `cc.sh`.
    let names = [format!("lib{name}.a"), format!("lib{name}.so")];
    let candidates = names
        .iter()
        .flat_map(|file| libraries.iter().map(move |folder| folder.join(file)));
    let path = candidates.into_iter().find(|path| path.exists());
    let path =
        path.ok_or_else(|| format!("its makefile links -l{name}, but no {} was built", names[0]))?;
    file(&path, &path.to_string_lossy())
}

/// `path`, once it is known to be an object or an archive that was made for an image; `word` names it.
fn file(path: &Path, word: &str) -> Result<PathBuf, String> {
    let of_machine = ["/usr/", "/lib/", "/lib64/"];
    if of_machine.iter().any(|folder| path.starts_with(folder)) {
        return Err(format!(
            "its link names {word}, which belongs to this machine and was made for another C library; build it as a further [[source]]"
        ));
    }
    let mut head = [0; 18];
    let mut read = || File::open(path)?.read(&mut head);
    read().map_err(|error| format!("its link names {word}: {error}"))?;
    let is_object = head.starts_with(b"\x7fELF") && head[16] == 1;
    let is_archive = head.starts_with(b"!<arch>\n") || head.starts_with(b"!<thin>\n");
    match is_object || is_archive {
        true => Ok(path.to_path_buf()),
        false => Err(format!(
            "its link names {word}, which is neither an object file nor an archive"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;

    const ARCHIVE: &str = "!<arch>\n0123456789";

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("bespoke-link-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("lib")).unwrap();
        folder
    }

    #[test]
    fn a_recorded_link_names_objects_and_archives_in_order() {
        let folder = folder("order");
        for name in ["lib/libevent.a", "main.o", "x.a"] {
            fs::write(folder.join(name), ARCHIVE).unwrap();
        }
        let record = format!(
            "{}\n-O2\n-o\nserver\nmain.o\n-Llib\n-Wl,--whole-archive,x.a,--no-whole-archive,-rpath,/y\n-levent\n-lpthread\n-rdynamic\n",
            folder.display()
        );
        let found = words(&record).unwrap();
        let expected = [
            folder.join("main.o"),
            "-Wl,--whole-archive".into(),
            folder.join("x.a"),
            "-Wl,--no-whole-archive".into(),
            folder.join("lib/libevent.a"),
        ];
        assert_eq!(found, expected);
        for (from, to) in [
            ("-levent", "-lssl"),
            ("main.o", "/usr/lib/libz.a"),
            ("main.o", "absent.o"),
        ] {
            let error = words(&record.replace(from, to)).unwrap_err();
            assert!(error.contains(to), "{error}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_program_is_found_where_it_was_moved_to_and_others_are_named() {
        let folder = folder("moved");
        for (name, text) in [
            ("server.link", "/x\n"),
            ("client", "c"),
            ("client.link", "/x\n"),
            ("bin-server", "c"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let found = |program: &str| find(&folder, program);
        assert_eq!(found("lib/server"), Ok(folder.join("server.link")));
        assert_eq!(found("bin-server"), Ok(folder.join("client.link")));
        let error = found("other").unwrap_err();
        assert!(
            error.contains("was not made") && error.contains("client"),
            "{error}"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
