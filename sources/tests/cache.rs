//! What a user meets: downloads that go right, go wrong, stop half way, or run twice at once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use bespoke_sources::{Cache, Error, Source, read_sources};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use support::{Server, TEXT, archive, source};
use tempfile::TempDir;

fn cache() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"), None);
    (folder, cache)
}

fn slot(cache: &Cache, source: &Source) -> PathBuf {
    let hash = &source.sha256.to_string()[..16];
    cache
        .root()
        .join("sources")
        .join(format!("{}-{}-{hash}", source.name, source.version))
}

#[track_caller]
fn only_attempt(error: Error) -> Error {
    match error {
        Error::Unobtainable { mut tried, .. } if tried.len() == 1 => *tried.remove(0).why,
        other => panic!("expected one failed attempt, got {other:?}"),
    }
}

#[test]
fn a_download_is_unpacked_and_fetched_once() {
    let (_folder, cache) = cache();
    let server = Server::whole(archive());
    let source = source(&archive(), Some(server.url.clone()));
    let tree = cache.tree(&source).unwrap();
    assert_eq!(fs::read_to_string(tree.join("main.c")).unwrap(), TEXT);
    assert_eq!(cache.tree(&source).unwrap(), tree);
    assert_eq!(
        fs::read(cache.archive(&source).unwrap()).unwrap(),
        archive()
    );
    assert_eq!(server.requests.load(SeqCst), 1);
}

#[test]
fn wrong_bytes_are_named_and_not_kept() {
    let (_folder, cache) = cache();
    let server = Server::whole(
        b"something else entirely, of another length than the archive's, so that both show. "
            .repeat(9),
    );
    let source = source(&archive(), Some(server.url.clone()));
    let error = only_attempt(cache.archive(&source).unwrap_err());
    let text = error.to_string();
    let Error::WrongHash {
        found, expected, ..
    } = error
    else {
        panic!("{text}")
    };
    assert_eq!(expected, source.sha256);
    assert!(
        text.contains(&found.to_string()) && text.contains(&server.url),
        "{text}"
    );
    assert!(!slot(&cache, &source).join(&source.file).exists());
}

/// An archive of the right length with one bit changed, wherever it comes from.
#[test]
fn bytes_of_the_right_length_are_wrong_too() {
    for at in [0, archive().len() / 2, archive().len() - 1] {
        let mut changed = archive();
        changed[at] ^= 1;
        let folder = tempfile::tempdir().unwrap();
        let local = folder.path().join("local");
        fs::create_dir(&local).unwrap();
        let downloads = Cache::at(folder.path().join("downloads"), None);
        let copies = Cache::at(folder.path().join("copies"), Some(local.clone()));
        let server = Server::whole(changed.clone());
        let source = source(&archive(), Some(server.url.clone()));
        fs::write(local.join(&source.file), &changed).unwrap();
        let errors = [
            only_attempt(downloads.archive(&source).unwrap_err()),
            copies.archive(&source).unwrap_err(),
        ];
        for error in errors {
            let Error::WrongHash { found_bytes, .. } = error else {
                panic!("byte {at}: {error}");
            };
            assert_eq!(found_bytes, source.bytes);
        }
        for cache in [&downloads, &copies] {
            assert!(!slot(cache, &source).join(&source.file).exists());
        }
        // Neither is it used where it lies in the cache already.
        fs::write(slot(&copies, &source).join(&source.file), &changed).unwrap();
        fs::write(local.join(&source.file), archive()).unwrap();
        assert_eq!(
            fs::read(copies.archive(&source).unwrap()).unwrap(),
            archive()
        );
    }
}

#[test]
fn a_longer_answer_than_the_recipe_says_is_cut_and_refused() {
    let (_folder, cache) = cache();
    let mut long = archive();
    long.extend(vec![0; 1 << 20]);
    let source = source(&archive(), Some(Server::whole(long).url));
    let Error::WrongHash { found_bytes, .. } = only_attempt(cache.archive(&source).unwrap_err())
    else {
        panic!("a longer file must be a wrong file");
    };
    assert_eq!(found_bytes, source.bytes + 1);
}

#[test]
fn a_truncated_download_is_reported_and_tried_again_next_time() {
    let (_folder, cache) = cache();
    let whole = archive();
    let half = whole[..whole.len() / 2].to_vec();
    let broken = Server::start(half, whole.len(), Duration::ZERO);
    let failed = cache.tree(&source(&whole, Some(broken.url))).unwrap_err();
    assert!(matches!(only_attempt(failed), Error::Download { .. }));
    let server = Server::whole(whole.clone());
    let tree = cache.tree(&source(&whole, Some(server.url))).unwrap();
    assert_eq!(fs::read_to_string(tree.join("main.c")).unwrap(), TEXT);
}

#[test]
fn what_a_crash_left_is_never_used() {
    let (_folder, cache) = cache();
    let server = Server::whole(archive());
    let source = source(&archive(), Some(server.url.clone()));
    let slot = slot(&cache, &source);
    fs::create_dir_all(slot.join("tree.part/demo-1.0")).unwrap();
    fs::write(slot.join("tree.part/demo-1.0/stale.c"), "half").unwrap();
    fs::write(slot.join("demo-1.0.tar.gz.part"), &archive()[..20]).unwrap();
    let tree = cache.tree(&source).unwrap();
    assert!(!tree.join("stale.c").exists());
    assert_eq!(fs::read_to_string(tree.join("main.c")).unwrap(), TEXT);
    assert!(!slot.join("tree.part").exists() && !slot.join("demo-1.0.tar.gz.part").exists());
}

#[test]
fn a_damaged_cached_copy_is_fetched_again() {
    let (_folder, cache) = cache();
    let server = Server::whole(archive());
    let source = source(&archive(), Some(server.url.clone()));
    fs::write(cache.archive(&source).unwrap(), "bit rot").unwrap();
    assert_eq!(
        fs::read(cache.archive(&source).unwrap()).unwrap(),
        archive()
    );
    assert_eq!(server.requests.load(SeqCst), 2);
}

#[test]
fn a_local_folder_serves_without_network_and_is_verified_too() {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    fs::create_dir(&local).unwrap();
    let cache = Cache::at(folder.path().join("cache"), Some(local.clone()));
    let source = source(&archive(), None);
    fs::write(local.join(&source.file), "not it").unwrap();
    let error = cache.archive(&source).unwrap_err();
    assert!(
        matches!(error, Error::WrongHash { found_bytes: 6, .. }),
        "{error}"
    );
    fs::write(local.join(&source.file), archive()).unwrap();
    assert_eq!(
        fs::read(cache.archive(&source).unwrap()).unwrap(),
        archive()
    );
}

#[test]
fn every_way_that_was_tried_is_named() {
    let (_folder, cache) = cache();
    // Port 9 of loopback: nothing listens there.
    let mut source = source(
        &archive(),
        Some("http://127.0.0.1:9/demo-1.0.tar.gz".into()),
    );
    source.crate_ = Some("no-version-here".into());
    let text = cache.archive(&source).unwrap_err().to_string();
    for part in [
        "demo 1.0",
        "crate:",
        "no-version-here",
        "upstream:",
        "127.0.0.1:9",
        "BESPOKE_SOURCES",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn a_file_that_is_no_archive_is_an_error_and_leaves_no_tree() {
    let (_folder, cache) = cache();
    let bytes = b"the recipe's hash is of this".to_vec();
    let server = Server::whole(bytes.clone());
    let source = source(&bytes, Some(server.url));
    assert!(matches!(
        cache.tree(&source).unwrap_err(),
        Error::Unpack { .. }
    ));
    assert!(!slot(&cache, &source).join("tree").exists());
}

#[test]
fn a_recipe_cannot_reach_out_of_the_cache() {
    let (_folder, cache) = cache();
    let mut source = source(&archive(), None);
    source.file = "../../escape.tar.gz".into();
    assert!(matches!(
        cache.archive(&source).unwrap_err(),
        Error::Recipe { .. }
    ));
}

#[test]
fn a_source_file_is_read_and_misspelt_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.toml");
    let good = format!(
        "[[source]]\nname = 'demo'\nversion = '1.0'\nfile = 'demo-1.0.crate'\nsha256 = '{}'\nbytes = 7\ncrate = 'demo=1.0'\n",
        "a".repeat(64)
    );
    fs::write(&path, &good).unwrap();
    assert_eq!(
        read_sources(&path).unwrap()[0].crate_.as_deref(),
        Some("demo=1.0")
    );
    fs::write(&path, good.replace("crate =", "crates =")).unwrap();
    assert!(matches!(
        read_sources(&path).unwrap_err(),
        Error::Toml { .. }
    ));
}

const CHILD_URL: &str = "BESPOKE_TEST_CHILD_URL";
const CHILD_ROOT: &str = "BESPOKE_TEST_CHILD_ROOT";

/// The body of one process of the test below; alone it has nothing to do.
#[test]
fn child_process() {
    let (Ok(url), Ok(root)) = (std::env::var(CHILD_URL), std::env::var(CHILD_ROOT)) else {
        return;
    };
    let tree = Cache::at(root.into(), None)
        .tree(&source(&archive(), Some(url)))
        .unwrap();
    assert_eq!(fs::read_to_string(tree.join("main.c")).unwrap(), TEXT);
}

#[test]
fn processes_at_once_download_once() {
    let (_folder, cache) = cache();
    let body = archive();
    let announced = body.len();
    let server = Server::start(body, announced, Duration::from_millis(200));
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child_process"])
                .env(CHILD_URL, &server.url)
                .env(CHILD_ROOT, cache.root())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.requests.load(SeqCst), 1);
}

/// A tar archive of these files.
fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A cache that takes `bytes` from a folder as the file `file`.
fn local(bytes: &[u8], file: &str) -> (TempDir, Cache, Source) {
    let folder = tempfile::tempdir().unwrap();
    let mut source = source(bytes, None);
    source.file = file.into();
    fs::write(folder.path().join(file), bytes).unwrap();
    let cache = Cache::at(folder.path().join("cache"), Some(folder.path().into()));
    (folder, cache, source)
}

#[test]
fn the_name_s_ending_tells_the_format() {
    let plain = tar_of(&[("demo-1.0/main.c", TEXT)]);
    for (bytes, file) in [
        (plain.clone(), "demo.tar"),
        (archive(), "demo.tgz"),
        (archive(), "demo.crate"),
        (archive(), "demo.tar.gz"),
    ] {
        let (_folder, cache, source) = local(&bytes, file);
        let tree = cache.tree(&source).unwrap();
        assert!(tree.ends_with("demo-1.0"), "{file}");
        assert_eq!(fs::read_to_string(tree.join("main.c")).unwrap(), TEXT);
    }
    let (_folder, cache, source) = local(&plain, "demo.zip");
    let text = cache.tree(&source).unwrap_err().to_string();
    assert!(text.contains("no unpacker for demo.zip"), "{text}");
    let (_folder, cache, source) = local(&plain, "demo.tar.xz");
    assert!(matches!(cache.tree(&source), Err(Error::Unpack { .. })));
}

#[test]
fn a_tree_without_one_top_folder_is_the_tree() {
    for files in [
        &[("a/main.c", TEXT), ("b/main.c", TEXT)][..],
        &[("main.c", TEXT)],
    ] {
        let (_folder, cache, source) = local(&tar_of(files), "demo.tar");
        let tree = cache.tree(&source).unwrap();
        assert_eq!(tree, slot(&cache, &source).join("tree"));
        assert!(tree.join(files[0].0).is_file());
    }
}

#[test]
fn names_in_a_recipe_are_plain() {
    let (_folder, cache) = cache();
    let refused = |change: fn(&mut Source)| {
        let mut source = source(&archive(), None);
        change(&mut source);
        matches!(cache.archive(&source), Err(Error::Recipe { .. }))
    };
    assert!(refused(|source| source.name.clear()));
    assert!(refused(|source| source.name = ".hidden".into()));
    assert!(refused(|source| source.name = "-option".into()));
    assert!(refused(|source| source.version = "1 0".into()));
    assert!(refused(|source| source.version = "1/0".into()));
    assert!(refused(|source| source.file = "demo\n.tar".into()));
    // These are fine, and cannot be had.
    assert!(!refused(|source| source.version = "1.0_a+b-2".into()));
}

#[test]
fn a_full_disk_is_told_from_other_reasons() {
    use std::io::ErrorKind::{NotFound, QuotaExceeded, StorageFull};
    let write = |kind: std::io::ErrorKind| Error::Write {
        path: "/x".into(),
        error: kind.into(),
    };
    for (error, is_full) in [
        (
            Error::Full {
                folder: "/x".into(),
            },
            true,
        ),
        (write(StorageFull), true),
        (write(QuotaExceeded), true),
        (write(NotFound), false),
        (Error::NoCache, false),
    ] {
        assert_eq!(error.is_full(), is_full, "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(bespoke_sources::has_room(folder.path()));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing stays"
    );
    // Where nothing can be written, whoever writes says why.
    assert!(bespoke_sources::has_room(&folder.path().join("missing")));
}

#[test]
fn errors_show_the_beginning_of_a_long_command_and_all_attempts() {
    let tool = |command: String| {
        let (status, stderr) = ("exit status: 1".into(), "why".into());
        Error::Tool {
            command,
            status,
            stderr,
        }
        .to_string()
    };
    let short = "x".repeat(160);
    assert_eq!(
        tool(short.clone()),
        format!("`{short}` failed (exit status: 1): why")
    );
    assert_eq!(
        tool("x".repeat(161)),
        format!("`{short} ...` failed (exit status: 1): why")
    );
    let (_folder, cache) = cache();
    let text = cache
        .archive(&source(&archive(), None))
        .unwrap_err()
        .to_string();
    assert!(text.contains("nothing: the recipe names no way"), "{text}");
}

/// For every other way it would be full as well.
#[test]
fn a_full_disk_ends_the_search() {
    let (_folder, cache) = cache();
    let server = Server::whole(archive());
    let source = source(&archive(), Some(server.url.clone()));
    let slot = slot(&cache, &source);
    fs::create_dir_all(&slot).unwrap();
    // A download goes where there is never room.
    let part = slot.join(format!("{}.part", source.file));
    std::os::unix::fs::symlink("/dev/full", part).unwrap();
    let error = cache.archive(&source).unwrap_err();
    assert!(
        matches!(error, Error::Write { .. }) && error.is_full(),
        "{error}"
    );
}
