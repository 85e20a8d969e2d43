//! Folders of a guest that means well, and lists of one that does not.

use super::*;
use bespoke_abi::export::{FOLDER, LEAVE, LINK};

#[test]
fn a_folder_becomes_a_folder_without_rights_of_others() {
    let folder = scratch("tree");
    fs::create_dir(folder.join("b")).expect("an empty folder");
    let tree = list(&[
        (FOLDER, "", b""),
        (FILE, "x", b"first"),
        (FOLDER, "sub", b""),
        (FILE, "y", b"second"),
        (LEAVE, "", b""),
        (LINK, "l", b"x"),
        (LEAVE, "", b""),
    ]);
    let exports = exports(&folder, &["a", "b"]);
    for number in 0..2 {
        write(&exports, number, &tree);
    }
    let results = exports.finish(LIST | LIST << 1, true);
    for (result, name) in results.into_iter().zip(["a", "b"]) {
        assert!(
            matches!(result.state, ExportState::Written),
            "{:?}",
            result.state
        );
        let top = folder.join(name);
        assert_eq!(names(&top), ["l", "sub", "x"]);
        assert_eq!(fs::read(top.join("sub/y")).expect("y"), b"second");
        assert_eq!(
            fs::read_link(top.join("l")).expect("a link"),
            Path::new("x")
        );
        let mode = fs::metadata(top.join("x")).expect("x").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7000, 0);
    }
    fs::remove_dir_all(folder).expect("clean");
}

#[test]
fn lists_that_are_none_or_lead_out_are_refused() {
    let outside = std::env::temp_dir().join(format!("bespoke-outside-{}", std::process::id()));
    let outside_bytes = outside.to_str().expect("UTF-8").as_bytes();
    let folder_of = |entries: &[(u32, &str, &[u8])]| {
        list(&[&[(FOLDER, "", &b""[..])], entries, &[(LEAVE, "", b"")]].concat())
    };
    let whole = folder_of(&[(FILE, "x", b"first")]);
    let mut cases = vec![
        folder_of(&[(FILE, "..", b"x")]),
        folder_of(&[(FILE, "", b"x")]),
        folder_of(&[(FILE, "/etc/x", b"x")]),
        folder_of(&[(FILE, "sub/x", b"x")]),
        folder_of(&[(FILE, "x", b"x"), (FILE, "x", b"y")]),
        folder_of(&[(LINK, "l", outside_bytes), (FILE, "l", b"x")]),
        folder_of(&[
            (LINK, "l", outside_bytes),
            (FOLDER, "l", b""),
            (LEAVE, "", b""),
        ]),
        folder_of(&[(99, "x", b"")]),
        folder_of(&[(LINK, "l", &[b'x'; 5000])]),
        [whole.clone(), whole.clone()].concat(),
        list(&[(FILE, "a", b"named")]),
        list(&[(FILE, "", b"x"), (FILE, "-shm", b"x")]),
        list(&[(FILE, "", b"x"), (FILE, "-wal", b"x"), (FILE, "-wal", b"x")]),
        list(&[(LEAVE, "", b"")]),
        list(&[(FILE, "", b"x"), (FOLDER, "-wal", b"")]),
    ];
    cases.extend((0..whole.len()).map(|end| whole[..end].to_vec()));
    for (number, bytes) in cases.into_iter().enumerate() {
        let (state, found) = run("hostile", &[("a", b"old")], &bytes, LIST, |_| ());
        assert!(
            matches!(state, ExportState::Failed(_)),
            "case {number}: {state:?}"
        );
        assert_eq!(found, files(&[("a", b"old")]), "case {number}");
    }
    assert!(!outside.exists());
    // Each takes an inode.
    let many: Vec<_> = (0..3000).map(|n| format!("{n}")).collect();
    let many: Vec<(u32, &str, &[u8])> = many.iter().map(|n| (FILE, n.as_str(), &b""[..])).collect();
    let (state, found) = run("many", &[], &folder_of(&many), LIST, |_| ());
    assert!(matches!(state, ExportState::OverLimit { .. }), "{state:?}");
    assert_eq!(found, []);
}
