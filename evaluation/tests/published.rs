//! `docs/results.md` is what this program writes from the published raw data.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_published_page_is_of_this_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("results.md");
    let status = Command::new(env!("CARGO_BIN_EXE_bespoke-evaluation"))
        .arg("page")
        .arg(root.join("docs/results/data"))
        .arg("-o")
        .arg(&page)
        .status()
        .expect("the program starts");
    assert!(status.success(), "{status}");
    let written = fs::read_to_string(&page).expect("the page");
    let published = fs::read_to_string(root.join("docs/results.md")).expect("the published page");
    let differs = written
        .lines()
        .zip(published.lines())
        .find(|(written, published)| written != published);
    assert!(
        written == published,
        "docs/results.md is of other code: run `bespoke-evaluation page docs/results/data`; {differs:?}"
    );
}
