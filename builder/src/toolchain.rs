//! The compiler that an application's own configure script and makefiles see.
//!
//! A folder of commands (`cc.sh`) to be put before the machine's own in `PATH`, and plain musl of the
//! image's version for Linux: so every test of a configure script compiles, links and runs against
//! the C library that the image has. Must never serve an image itself: its musl makes system calls.

use super::cc;
use super::kernel::Kernel;
use super::key::{Key, files_below};
use super::musl;
use super::work::Work;
use super::{tool, tree};
use crate::Error;
use bespoke_recipe::{app, paths};
use bespoke_sources::Cache;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The wrapper, under every name makefiles call a compiler by. That of a C++ compiler says that there is none.
const WRAPPER: &str = include_str!("cc.sh");
const NAMES: [&str; 12] = [
    "cc",
    "gcc",
    "c89",
    "c99",
    "clang",
    "x86_64-linux-gnu-gcc",
    "x86_64-pc-linux-gnu-gcc",
    "c++",
    "g++",
    "clang++",
    "x86_64-linux-gnu-g++",
    "x86_64-linux-gnu-c++",
];
/// What the unwinder asks a C library for, and musl has not: tests of configure scripts unwind nothing.
const NO_TABLES: &str = "int _dl_find_object(void *at, void *found) { return -1; }\n";
/// Libraries that are part of musl's one archive, or that every image is linked with; `-lNAME` of these means nothing more.
pub(crate) const LIBC_PARTS: [&str; 13] = [
    "c", "crypt", "dl", "m", "pthread", "resolv", "rt", "util", "xnet", "gcc", "gcc_s", "gcc_eh",
    "atomic",
];

/// What plain musl, which has every call, does for the `bespoke_known_call` of an image.
const CALL_OF_KNOWN_NUMBER: &str = "\
\t.globl bespoke_known_call
bespoke_known_call:
\tjmp syscall
\t.section .note.GNU-stack,\"\",@progbits
";

/// See the module.
pub(crate) struct Toolchain {
    /// Stands for everything it was made from.
    pub key: String,
    /// Headers and libraries.
    musl: PathBuf,
    /// The wrappers.
    commands: PathBuf,
    kernel: Kernel,
}

/// Provides the toolchain, built if need be.
pub(crate) fn provide(
    home: &Path,
    sources: &Cache,
    kernel: Kernel,
    work: &Work,
) -> Result<Toolchain, Error> {
    let recipe = app::libc(home)?;
    let [source] = &recipe.source;
    let overlay = home.join("libc/overlay");
    let mut musl = Key::new("plain musl")
        .text(&source.sha256.to_string())
        .text(&cc::version()?)
        .text(NO_TABLES)
        .text(CALL_OF_KNOWN_NUMBER);
    for (folder, _) in musl::HEADERS {
        musl = musl.folder(&overlay.join(folder))?;
    }
    let musl = musl.finish();
    let key = Key::new("toolchain")
        .text(&musl)
        .texts(cc::IMAGE_FLAGS)
        .text(WRAPPER)
        .texts(&NAMES)
        .text(&kernel.key)
        .finish();
    let folder = |key: &str| sources.root().join("toolchains").join(key);
    let (musl, commands) = (folder(&musl), folder(&key));
    let what = "the compiler for makefiles";
    let make = || {
        work.say(&format!(
            "building plain musl {} for configure scripts",
            source.version
        ));
        whole(&musl, |part| build(&sources.tree(source)?, &overlay, part))
    };
    let lock = |folder: &Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        format!("toolchain-{name}")
    };
    work.provide(&lock(&musl), what, || musl.exists(), make)?;
    let make = || whole(&commands, write_commands);
    work.provide(&lock(&commands), what, || commands.exists(), make)?;
    Ok(Toolchain {
        key,
        musl,
        commands,
        kernel,
    })
}

/// Makes `folder` by `make`, which is given another name for it until it is complete.
fn whole(folder: &Path, make: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let part = folder.with_extension("part");
    tree::remove(&part)?;
    make(&part)?;
    fs::rename(&part, folder).map_err(Error::file("create", folder))
}

fn build(source: &Path, overlay: &Path, part: &Path) -> Result<(), Error> {
    let work = part.join("work");
    tree::copy(source, &work)?;
    // Only tests of configure scripts run on it: compiled quickly rather than well.
    let mut configure = Command::new("./configure");
    configure
        .current_dir(&work)
        .args([
            "--disable-shared",
            "--disable-gcc-wrapper",
            "--disable-optimize",
        ])
        .arg(format!("--prefix={}", part.display()))
        .env("CFLAGS", "-O0 -w");
    tool::run("configure plain musl", &mut configure)?;
    let mut make = Command::new("make");
    make.current_dir(&work)
        .arg(format!("-j{}", cc::jobs()))
        .args(["install-libs", "install-headers"]);
    tool::run("compile plain musl", &mut make)?;
    let (source, object) = (work.join("eh.c"), work.join("eh.o"));
    fs::write(&source, NO_TABLES).map_err(Error::file("write", &source))?;
    let mut gcc = Command::new(cc::COMPILER);
    gcc.arg("-c").arg("-o").args([&object, &source]);
    tool::run("compile what the unwinder asks for", &mut gcc)?;
    let mut ar = Command::new("ar");
    ar.arg("rc")
        .arg(part.join("lib/libbespoke_eh.a"))
        .arg(&object);
    tool::run("archive what the unwinder asks for", &mut ar)?;
    tree::remove(&work)?;
    lay_over(overlay, part)
}

fn write_commands(bin: &Path) -> Result<(), Error> {
    paths::create(bin)?;
    for name in NAMES {
        let file = bin.join(name);
        fs::write(&file, WRAPPER).map_err(Error::file("write", &file))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
            .map_err(Error::file("write", &file))?;
    }
    Ok(())
}

/// Gives applications the headers that they have in an image, and plain musl the function that these name instead of
/// `syscall`.
fn lay_over(overlay: &Path, part: &Path) -> Result<(), Error> {
    for (folder, place) in musl::HEADERS {
        let from = overlay.join(folder);
        for file in files_below(&from)? {
            let below = file.strip_prefix(&from).unwrap_or(&file);
            let to = part.join("include").join(place).join(below);
            fs::copy(&file, &to).map_err(Error::file("replace", &to))?;
        }
    }
    let (assembly, object) = (part.join("known_call.s"), part.join("known_call.o"));
    fs::write(&assembly, CALL_OF_KNOWN_NUMBER).map_err(Error::file("write", &assembly))?;
    let mut compile = Command::new(cc::COMPILER);
    compile.args(["-c", "-o"]).args([&object, &assembly]);
    tool::run("compile a function for plain musl", &mut compile)?;
    let mut archive = Command::new("ar");
    archive.arg("rcs").args([&part.join("lib/libc.a"), &object]);
    tool::run("add a function to plain musl", &mut archive)?;
    for file in [assembly, object] {
        fs::remove_file(&file).map_err(Error::file("remove", &file))?;
    }
    Ok(())
}

impl Toolchain {
    /// Environment variables under which a command in `tree` builds `app` for an image.
    pub(crate) fn environment(
        &self,
        app: &str,
        tree: &Path,
    ) -> Result<Vec<(&'static str, OsString)>, Error> {
        let path = env::var_os("PATH").unwrap_or_default();
        let compiler = env::split_paths(&path)
            .map(|folder| folder.join(cc::COMPILER))
            .find(|file| file.is_file())
            .unwrap_or_else(|| cc::COMPILER.into());
        let mut search = self.commands.clone().into_os_string();
        search.push(":");
        search.push(path);
        Ok(vec![
            ("PATH", search),
            ("BESPOKE_GCC", compiler.into()),
            ("BESPOKE_FLAGS", cc::IMAGE_FLAGS.join(" ").into()),
            ("BESPOKE_TOOLCHAIN", self.musl.clone().into()),
            ("BESPOKE_OWN", cc::compiler_headers()?.into()),
            (
                "BESPOKE_KERNEL",
                self.kernel.folder.clone().unwrap_or_default().into(),
            ),
            ("BESPOKE_TREE", tree.into()),
            ("BESPOKE_APP", app.into()),
        ])
    }
}
