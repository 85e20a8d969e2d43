//! Crashes and disturbances at every step of an exchange.

use super::*;
use std::io::Write;

fn read(target: &Path, suffix: &str) -> Option<Vec<u8>> {
    fs::read(with_suffix(target, suffix)).ok()
}

fn temporary(target: &Path, contents: &[u8]) -> Temporary {
    let mut temporary = Temporary::beside(target).expect("a file");
    temporary.file.write_all(contents).expect("written");
    temporary
}

/// Every state in which a crash may leave the folder.
#[test]
fn a_crash_at_any_moment_leaves_a_whole_database() {
    let folder = std::env::temp_dir().join(format!("bespoke-place-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let target = folder.join("a");
    let before = with_suffix(&target, BEFORE);
    for (old, new) in [(true, true), (true, false), (false, true)] {
        let replaced: &[&str] = if old { &["-journal"] } else { &[] };
        let set = |part: &[u8], has: bool| [Some(part.to_vec()), has.then(|| part.to_vec())];
        let (old_set, new_set) = (set(b"old", old), set(b"new", new));
        fs::write(&target, "old").expect("a file");
        if old {
            fs::write(with_suffix(&target, "-journal"), "old").expect("a file");
        }
        let mut companions = Companions::new();
        if new {
            companions.push(("-journal", temporary(&target, b"new")));
        }
        let mut main = temporary(&target, b"new");
        let mut steps = 0;
        let mut step = || {
            steps += 1;
            let of = |name: &Path| ["", "-journal"].map(|suffix| read(name, suffix));
            let (now, second) = (of(&target), of(&before));
            assert!(
                [&now, &second].contains(&&old_set) || now == new_set,
                "after step {steps} neither is whole: {now:?}, {second:?}"
            );
            if now[0].is_some() {
                assert!(
                    now == old_set || now == new_set,
                    "after step {steps} files that do not belong together: {now:?}"
                );
            }
        };
        exchange(&target, &mut main, &mut companions, replaced, &mut step).expect("exchanged");
        assert!(steps >= 5, "{steps}");
        let after = ["", "-journal"].map(|suffix| read(&target, suffix));
        assert_eq!(after, new_set);
        assert_eq!(read(&before, ""), None);
        let _ = fs::remove_file(with_suffix(&target, "-journal"));
    }
    fs::remove_dir_all(folder).expect("clean");
}

/// Exchanges a database and its journal, which `disturb` keeps from being finished at the step with its number.
fn disturbed(number: u32, disturb: impl Fn(&Path)) -> (String, [Option<Vec<u8>>; 4]) {
    let folder = std::env::temp_dir().join(format!("bespoke-undo-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let target = folder.join("a");
    fs::write(&target, "old").expect("a file");
    fs::write(with_suffix(&target, "-journal"), "old").expect("a file");
    let mut companions = Companions::from([("-journal", temporary(&target, b"new"))]);
    let mut main = temporary(&target, b"new");
    let mut steps = 0;
    let mut step = || {
        steps += 1;
        if steps == number {
            disturb(&target);
        }
    };
    let names = &["-journal"];
    let result = exchange(&target, &mut main, &mut companions, names, &mut step);
    let error = result.expect_err("the name is taken").to_string();
    let before = with_suffix(&target, BEFORE);
    let files = [&target, &before].map(|path| ["", "-journal"].map(|s| read(path, s)));
    // Nothing of the image's is lost.
    let kept = keep(&target, &mut main, &mut companions).expect("kept");
    assert_eq!(read(&kept, "").as_deref(), Some(&b"new"[..]));
    assert_eq!(read(&kept, "-journal").as_deref(), Some(&b"new"[..]));
    fs::remove_dir_all(folder).expect("clean");
    let [[a, b], [c, d]] = files;
    (error, [a, b, c, d])
}

#[test]
fn what_cannot_be_finished_is_undone_or_is_where_the_message_says() {
    let some = |text: &str| Some(text.as_bytes().to_vec());
    // Another process makes a database when the names are free: both stay, and no journal is beside it.
    let make = |path: PathBuf| fs::write(path, "other").expect("a file");
    let (error, files) = disturbed(5, |target| make(target.into()));
    assert!(error.contains(BEFORE), "{error}");
    assert_eq!(files, [some("other"), None, some("old"), some("old")]);
    // The same with a journal.
    let (error, files) = disturbed(4, |target| make(with_suffix(target, "-journal")));
    assert!(error.contains(BEFORE), "{error}");
    assert_eq!(files, [None, some("other"), some("old"), some("old")]);
    // A name that cannot be removed: the rest is as it was.
    let (_, files) = disturbed(3, |target| {
        fs::remove_file(with_suffix(target, "-journal")).expect("it is there");
    });
    assert_eq!(files, [some("old"), some("old"), None, None]);
}
