//! What is refused before the guest starts.

use super::*;

#[test]
fn a_missing_folder_or_a_folder_as_target_is_an_early_error() {
    for host in ["/nonexistent/x", "/tmp"] {
        let file = ExportFile {
            guest: "/x".into(),
            host: host.into(),
        };
        let error = Exports::open(&[file], false, 1 << 20)
            .err()
            .expect("cannot work")
            .to_string();
        assert!(error.contains(host), "{error}");
    }
}

#[test]
fn targets_that_cannot_all_be_written_are_refused_at_the_start() {
    let folder = scratch("clash");
    fs::write(folder.join("a"), "old").expect("old file");
    fs::create_dir(folder.join("full")).expect("a folder");
    fs::write(folder.join("full/x"), "").expect("a file");
    std::os::unix::fs::symlink("a", folder.join("link")).expect("a link");
    let fifo =
        std::ffi::CString::new(folder.join("fifo").to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: a NUL-terminated path.
    let made = unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) };
    assert_eq!(made, 0);
    let open = |names: &[&str]| {
        let files: Vec<_> = names
            .iter()
            .map(|name| ExportFile {
                guest: "/x".into(),
                host: folder.join(name),
            })
            .collect();
        Exports::open(&files, false, 1 << 20)
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(open(&["a", "b", "c"]), None);
    for (names, says) in [
        (&["a", "a"][..], "two --out"),
        (&["a", "link"], "two --out"),
        (&["new", "./new"], "two --out"),
        (&["a", "a-wal"], "comes with"),
        (&["a-journal", "a"], "comes with"),
        (&["fifo"], "neither a regular file"),
        (&["full"], "a folder that is not empty"),
    ] {
        let error = open(names).unwrap_or_else(|| panic!("{names:?}"));
        assert!(error.contains(says), "{names:?}: {error}");
    }
    fs::write(folder.join("a.bespoke-before"), "older").expect("left by a crash");
    let error = open(&["a"]).expect("refused");
    assert!(error.contains("a.bespoke-before"), "{error}");
    fs::remove_dir_all(folder).expect("clean");
}
