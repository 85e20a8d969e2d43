//! Archives that come through a registry's client: `cargo`, and apt. The clients are scripts of these tests, on the path of a
//! process of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[expect(dead_code, reason = "every test file uses its part")]
mod support;

use bespoke_sources::{Cache, cache_root};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use support::{archive, source};
use tempfile::TempDir;

/// What the process of a test is to do: `crate`, `debian` or `root`.
const WAY: &str = "BESPOKE_TEST_WAY";
const ROOT: &str = "BESPOKE_TEST_ROOT";

/// The body of such a process; alone it has nothing to do.
#[test]
fn child_process() {
    let Ok(way) = std::env::var(WAY) else {
        return;
    };
    if way == "root" {
        match cache_root() {
            Ok(root) => println!("root: {}", root.display()),
            Err(error) => println!("failed: {error}"),
        }
        return;
    }
    let mut source = source(&archive(), None);
    match way.as_str() {
        "crate" => source.crate_ = Some("demo=1.0".into()),
        _ => source.debian = Some("demo-source".into()),
    }
    let root = std::env::var_os(ROOT).expect("a folder");
    match Cache::at(root.into(), None).archive(&source) {
        Ok(path) => println!("got: {}", fs::read(path).unwrap() == archive()),
        Err(error) => println!("failed: {error}"),
    }
}

/// A folder of scripts that stand for clients, and of what they work with.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for folder in ["bin", "home", "root", "parts"] {
            fs::create_dir(place.path(folder)).unwrap();
        }
        fs::write(place.path("demo"), archive()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A client; `$PLACE` is the folder, and what it is called with is kept.
    fn script(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        let place = self.0.path().display();
        let text = format!("#!/bin/sh\nPLACE={place}\necho \"$0 $*\" >>$PLACE/calls\n{text}\n");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> String {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        calls.replace(&format!("{}/", self.path("bin").display()), "")
    }

    fn command(&self, way: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command
            .args(["--exact", "child_process", "--nocapture"])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("CARGO", self.path("bin").join("cargo"))
            .env(WAY, way)
            .env(ROOT, self.path("root"));
        command
    }

    /// What the process says.
    fn run(&self, way: &str) -> String {
        said(self.command(way).output().unwrap())
    }
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let from = text.find("root: ").or(text.find("got: "));
    let from = from.or(text.find("failed: ")).expect("an answer");
    let end = text.rfind("test child_process").filter(|end| *end > from);
    let end = end.unwrap_or(text.len());
    text[from..end].trim_end_matches(".").to_owned()
}

const DOWNLOAD: &str = "mkdir -p $HOME/.cargo/registry/cache/index.x \
                        && cp $PLACE/demo $HOME/.cargo/registry/cache/index.x/demo-1.0.crate";

#[test]
fn a_crate_is_fetched_by_cargo_once() {
    let place = Place::new();
    place.script(
        "cargo",
        &format!("cp Cargo.toml $PLACE/manifest\n{DOWNLOAD}"),
    );
    assert!(place.run("crate").starts_with("got: true"));
    assert_eq!(place.calls(), "cargo fetch --quiet\n");
    let manifest = fs::read_to_string(place.path("manifest")).unwrap();
    assert!(manifest.contains("\"demo\" = \"=1.0\""), "{manifest}");
    // It is in cargo's cache: nobody is asked.
    fs::remove_dir_all(place.path("root/sources")).unwrap();
    assert!(place.run("crate").starts_with("got: true"));
    assert_eq!(place.calls(), "");
}

#[test]
fn cargo_that_fails_is_told_with_what_it_said() {
    let place = Place::new();
    place.script("cargo", "echo no such crate >&2\nexit 101");
    let said = place.run("crate");
    for part in ["failed:", "cargo", "101", "no such crate"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    // It succeeds and has nothing.
    place.script("cargo", "exit 0");
    let said = place.run("crate");
    assert!(said.contains("vendored sources"), "{said}");
    let mut command = place.command("crate");
    let said = self::said(command.env("CARGO", "/no/cargo").output().unwrap());
    assert!(said.contains("/no/cargo is not installed"), "{said}");
}

#[test]
fn cargo_s_home_is_where_it_says() {
    let place = Place::new();
    let home = place.path("elsewhere");
    let cache = home.join("registry/cache/index.x");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("demo-1.0.crate"), archive()).unwrap();
    let mut command = place.command("crate");
    let said = self::said(command.env("CARGO_HOME", &home).output().unwrap());
    assert!(said.starts_with("got: true"), "{said}");
    fs::remove_dir_all(place.path("root/sources")).unwrap();
    // An empty variable says nothing; without any, nothing is known.
    let mut command = place.command("crate");
    let command = command.env("CARGO_HOME", "").env_remove("HOME");
    let said = self::said(command.output().unwrap());
    assert!(said.contains("set HOME or CARGO_HOME"), "{said}");
}

/// apt with an archive of each form of list, and with these versions of the package and hashes of their files.
fn apt(versions: &[(&str, &str)]) -> Place {
    let place = Place::new();
    let mut listing = String::new();
    for (version, hash) in versions {
        listing += &format!(
            "Package: demo-source\nVersion: {version}\nChecksums-Sha256:\n {hash} 10 demo_{version}.orig.tar.gz\n\n"
        );
    }
    fs::write(place.path("listing"), listing).unwrap();
    let codename = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = codename
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("stable");
    let list = format!("deb http://one/debian {codename} main\n");
    fs::write(place.path("sources.list"), list).unwrap();
    let stanza =
        format!("Types: deb\nURIs: http://two/debian\nSuites: {codename}\nComponents: main\n");
    fs::write(place.path("parts/two.sources"), stanza).unwrap();
    fs::write(
        place.path("parts/three.list"),
        "deb http://three/ foreign main\n",
    )
    .unwrap();
    fs::write(
        place.path("parts/old.sources.save"),
        "Types: deb\nSuites: sid\n",
    )
    .unwrap();
    place.script(
        "apt-config",
        "echo \"LIST='$PLACE/sources.list'\"\necho \"PARTS='$PLACE/parts/'\"",
    );
    place.script("apt-cache", "cat $PLACE/listing");
    place.script(
        "apt-get",
        "case \"$*\" in *update*) exit 0;; *=1.0-2) exit 1;; esac\nfor last in \"$@\"; do :; done\ncp $PLACE/demo demo_${last#*=}.orig.tar.gz",
    );
    place
}

fn hash() -> String {
    source(&archive(), None).sha256.to_string()
}

#[test]
fn a_debian_source_comes_through_a_private_apt() {
    let other = "b".repeat(64);
    let place = apt(&[("0.9-1", &other), ("1.0-1", &hash())]);
    assert!(place.run("debian").starts_with("got: true"));
    let configuration = place.path("root/apt/apt.conf");
    let calls = place.calls();
    for call in [
        "apt-config shell LIST Dir::Etc::sourcelist/f PARTS Dir::Etc::sourceparts/d\n".to_owned(),
        format!("apt-get -q -c {} update\n", configuration.display()),
        format!(
            "apt-cache -q -c {} showsrc --only-source demo-source\n",
            configuration.display()
        ),
        format!(
            "apt-get -q -c {} source --download-only --only-source demo-source=1.0-1\n",
            configuration.display()
        ),
    ] {
        assert!(calls.contains(&call), "{call} is missing in {calls}");
    }
    // Everything of it lies in the cache, and nothing of the system's is written.
    let text = fs::read_to_string(&configuration).unwrap();
    let apt = place.path("root/apt");
    for (name, folder) in [
        ("Dir::Etc::sourceparts", "parts"),
        ("Dir::State::lists", "lists"),
        ("Dir::Cache", "cache"),
    ] {
        let line = format!("{name} \"{}\"", apt.join(folder).display());
        assert!(text.contains(&line), "{line} is missing in {text}");
    }
    let lists = fs::read_to_string(apt.join("parts/system.list")).unwrap();
    assert!(
        lists.starts_with("deb-src http://one/debian ") && !lists.contains("three"),
        "{lists}"
    );
    let stanzas = fs::read_to_string(apt.join("parts/system.sources")).unwrap();
    assert!(
        stanzas.starts_with("Types: deb-src\nURIs: http://two/debian\n"),
        "{stanzas}"
    );
    assert!(!stanzas.contains("sid"), "{stanzas}");
    for folder in ["lists/partial", "cache/archives/partial"] {
        assert!(apt.join(folder).is_dir());
    }
    assert!(!apt.join("download").exists());
}

#[test]
fn every_version_with_the_hash_is_tried() {
    // The first cannot be had; its revision is apt's affair.
    let place = apt(&[("1.0-2", &hash()), ("1.0-1", &hash())]);
    assert!(place.run("debian").starts_with("got: true"));
    let calls = place.calls();
    assert!(calls.contains("demo-source=1.0-2") && calls.contains("demo-source=1.0-1"));
    let place = apt(&[("1.0-2", &hash())]);
    let said = place.run("debian");
    assert!(
        said.contains("apt-get") && said.contains("failed"),
        "{said}"
    );
}

#[test]
fn lists_that_cannot_be_refreshed_may_still_serve() {
    let place = apt(&[("1.0-1", &hash())]);
    place.script(
        "apt-get",
        "case \"$*\" in *update*) echo no network >&2; exit 100;; esac\ncp $PLACE/demo demo_1.0-1.orig.tar.gz",
    );
    let output = place.command("debian").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(output).starts_with("got: true"));
    assert!(
        told.contains("package lists not refreshed") && told.contains("no network"),
        "{told}"
    );
}

#[test]
fn what_apt_does_not_have_is_told() {
    let said = apt(&[]).run("debian");
    assert!(
        said.contains("apt knows no source package demo-source"),
        "{said}"
    );
    let said = apt(&[("0.9-1", &"b".repeat(64))]).run("debian");
    assert!(
        said.contains("apt offers demo-source 0.9-1, none with the archive of demo 1.0"),
        "{said}"
    );
    let place = apt(&[]);
    for list in ["sources.list", "parts/two.sources"] {
        fs::remove_file(place.path(list)).unwrap();
    }
    let said = place.run("debian");
    assert!(said.contains("no archive of this Debian release"), "{said}");
    let place = apt(&[("1.0-1", &hash())]);
    for name in ["apt-config", "apt-get", "apt-cache"] {
        let text = fs::read(place.path("bin").join(name)).unwrap();
        fs::remove_file(place.path("bin").join(name)).unwrap();
        let mut command = place.command("debian");
        command.env("PATH", place.path("bin"));
        let said = self::said(command.output().unwrap());
        assert!(said.contains(&format!("{name} is not installed")), "{said}");
        fs::write(place.path("bin").join(name), text).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(place.path("bin").join(name), mode).unwrap();
    }
}

#[test]
fn the_cache_is_where_the_first_variable_says() {
    let place = Place::new();
    let root = |variables: &[(&str, &str)]| {
        let mut command = place.command("root");
        command.env_remove("HOME").envs(variables.iter().copied());
        said(command.output().unwrap())
    };
    let (own, xdg, home) = (
        ("BESPOKE_CACHE", "/a"),
        ("XDG_CACHE_HOME", "/b"),
        ("HOME", "/c"),
    );
    assert!(root(&[own, xdg, home]).starts_with("root: /a\n"));
    assert!(root(&[xdg, home]).starts_with("root: /b/bespoke\n"));
    assert!(root(&[home]).starts_with("root: /c/.cache/bespoke\n"));
    assert!(root(&[("BESPOKE_CACHE", ""), ("XDG_CACHE_HOME", ""), home]).starts_with("root: /c/"));
    assert!(root(&[]).contains("set BESPOKE_CACHE"));
    let relative = root(&[("BESPOKE_CACHE", "here")]);
    let expected = std::env::current_dir().unwrap().join("here");
    assert!(
        relative.starts_with(&format!("root: {}\n", expected.display())),
        "{relative}"
    );
}
