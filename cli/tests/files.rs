//! Folders of the host in an image's file system: given at the start, or built in.

mod common;

use common::{bespoke, monitors, scratch, text};
use std::fs;

#[test]
fn a_folder_is_there_given_at_the_start_or_built_in_and_the_start_wins() {
    let folder = scratch("root");
    let (site, newer, image) = (
        folder.join("site"),
        folder.join("newer"),
        folder.join("image"),
    );
    fs::create_dir_all(site.join("sub/empty")).expect("folders");
    fs::create_dir_all(newer.join("sub")).expect("folders");
    fs::write(site.join("sub/a.sql"), "select 'built ' || 'in';").expect("file");
    fs::write(newer.join("sub/a.sql"), "select 'given';").expect("file");
    let (site, newer) = (
        format!("{}:/x", text(&site)),
        format!("{}:/x", text(&newer)),
    );
    bespoke(&["build", "sqlite", "--root", &site, "-o", text(&image)]).success();
    let query = [":memory:", ".read /x/sub/a.sql"];
    for monitor in monitors() {
        let run = |before: &[&str]| {
            let line = [&["run", "--monitor", monitor], before, &["--"], &query].concat();
            bespoke(&line).success()
        };
        assert_eq!(run(&["sqlite", "--root", &site]), "built in\n");
        assert_eq!(run(&[text(&image)]), "built in\n");
        assert_eq!(run(&[text(&image), "--root", &newer]), "given\n");
    }
}

#[test]
fn what_is_no_folder_or_has_no_place_is_refused() {
    let folder = scratch("root-bad");
    let file = folder.join("file");
    fs::write(&file, "").expect("file");
    let run = |root: String| bespoke(&["run", "hello", "--root", &root]);
    let error = run(format!("{}:/x", text(&file))).failure(125);
    assert!(error.contains("not a folder"), "{error}");
    let error = run(format!("{}/none:/x", text(&folder))).failure(125);
    assert!(error.contains("none"), "{error}");
    let error = run(format!("{}:x", text(&folder))).failure(2);
    assert!(error.contains("DIR:GUEST"), "{error}");
    let error = bespoke(&["build", "hello", "--root", "/etc:/etc"]).failure(2);
    assert!(error.contains("--output"), "{error}");
}
