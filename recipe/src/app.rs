//! What `apps/NAME/recipe.toml` and `libc/recipe.toml` say.
//! Data and its checks only; must never start a tool or reach for the network.

use crate::Error;
use crate::composition::Preference;
use crate::serve::Serve;
use crate::size;
use crate::workload::Workload;
use bespoke_sources::{Source, hex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// An application: one folder under `apps/`, or in `$BESPOKE_APPS`.
///
/// ```toml
/// base = "nginx"                        # a variant of another app: what is not said here is as there
/// description = "SQLite's shell"
/// [[source]]                            # none: every file is ours
/// # ... see bespoke_sources::Source; every further one lies in the tree of the first, under its name
/// [build]                               # by upstream's own makefiles ...
/// folder = "server"                     # a tree of yours instead of the first source: path from the recipe
/// make = [["./configure"], ["make"]]    # run in a copy of the tree, for images and natively
/// program = "src/server"                # what they link
/// add = ["module"]                      # folders next to the recipe, put into the tree beforehand
/// [build]                               # ... or file by file
/// prepare = [["make", "sqlite3.c"]]     # run in a copy of the first source's tree
/// files = ["sqlite3.c"]                 # C files of that tree
/// own_files = ["main.c"]                # C files next to the recipe
/// flags = ["-O3"]                       # without any -O...: -O2
/// defines = ["NDEBUG", "NAME=1"]
/// native_libraries = ["m"]              # what the same program needs besides glibc
/// [files]                               # in the image: next to the recipe, or in the source tree
/// "/etc/server.conf" = "server.conf"
/// "/etc/mime.types" = "tree:conf/mime.types"
/// [run]
/// memory = "64M"
/// stack = "1M"
/// arguments = ["--max", "{60% of memory}"]  # when the user gives none
/// heaps = { app = "mimalloc:segment=1M" }    # with parameters: `bespoke heaps --parameters`
/// [serve]                               # a server, for measuring it; see crate::serve
/// protocol = "http"
/// port = 80
/// page = "www/index.html"
/// native = ["-c", "{root}/etc/server.conf"]
/// [[workload]]                          # what is measured; see crate::workload
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Folder name; set when read.
    #[serde(skip)]
    pub name: String,
    /// The recipe's folder; set when read.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The folder of the app that this one is a variant of; set when read.
    #[serde(skip)]
    base_folder: Option<PathBuf>,
    #[serde(skip)]
    fingerprint: String,
    /// One line for `bespoke apps`.
    pub description: String,
    /// Where the code comes from.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// How it is built.
    pub build: Build,
    /// Files and folders it brings: path in the image, path from the recipe or, after `tree:`, in the
    /// source tree.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// How it is run unless the user says otherwise.
    #[serde(default)]
    pub run: Run,
    /// How it serves, if it does.
    pub serve: Option<Serve>,
    /// What is measured.
    #[serde(default, rename = "workload", deserialize_with = "workloads")]
    pub workloads: Vec<Workload>,
}

fn workloads<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Workload>, D::Error> {
    let tables = Vec::<toml::Table>::deserialize(from)?;
    Workload::from_tables(tables).map_err(serde::de::Error::custom)
}

/// See [`App`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// A source tree of the user's own: its path, from the recipe. Known by its contents, so it needs no hash.
    pub folder: Option<PathBuf>,
    /// Folders next to the recipe that are put into the tree before anything is run there, for what upstream's
    /// build takes from its user, such as modules.
    pub add: Vec<String>,
    /// Commands run in a copy of the source tree, one argument list each.
    pub prepare: Vec<Vec<String>>,
    /// Commands that build the whole program in that tree: upstream's configure script and makefiles.
    pub make: Vec<Vec<String>>,
    /// The program they link.
    pub program: Option<String>,
    /// C files in that tree.
    pub files: Vec<String>,
    /// C files next to the recipe.
    pub own_files: Vec<String>,
    /// Compiler flags.
    pub flags: Vec<String>,
    /// Preprocessor definitions.
    pub defines: Vec<String>,
    /// Libraries of the native build (`-lNAME`); musl is one library.
    pub native_libraries: Vec<String>,
}

/// See [`App`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Memory of the image.
    pub memory: Size,
    /// Stack of the main thread.
    pub stack: Size,
    /// Arguments when the user gives none; see [`Run::arguments`].
    arguments: Vec<String>,
    /// Heaps by component.
    pub heaps: Preference,
    /// What is said at the start of a run without `--out`: what its user would lose without having been told.
    pub notice: Option<String>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            memory: Size(256 << 20),
            stack: Size(256 << 10),
            arguments: Vec::new(),
            heaps: Preference::default(),
            notice: None,
        }
    }
}

impl App {
    /// The source tree of the user's own, if it builds one.
    pub fn tree_folder(&self) -> Option<PathBuf> {
        Some(self.beside(self.build.folder.as_ref()?))
    }

    /// What lies next to the recipe under this name: of a variant without it, next to its base's.
    pub fn beside(&self, name: impl AsRef<Path>) -> PathBuf {
        let own = self.folder.join(&name);
        match &self.base_folder {
            Some(base) if !own.exists() => base.join(name),
            _ => own,
        }
    }

    /// Every folder that the recipe is made from.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let base = self.base_folder.as_deref();
        [self.folder.as_path()].into_iter().chain(base)
    }

    /// Where the commands of workloads run: next to the recipe that says them.
    pub fn workload_folder(&self) -> &Path {
        self.base_folder.as_deref().unwrap_or(&self.folder)
    }

    /// Eight hexadecimal digits of all that the recipe says of how the app is built and run. What is measured of it,
    /// and what is said about it, does not count.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// See [`App::fingerprint`].
fn fingerprint(mut table: toml::Table) -> String {
    for aside in ["description", "workload", "serve"] {
        table.remove(aside);
    }
    let text = toml::to_string(&table).expect("what was TOML becomes TOML");
    let hash = Sha256::digest(text.as_bytes());
    hex(&hash[..4])
}

impl Run {
    /// The arguments, for an image with this much memory: `{60% of memory}` stands for so many bytes,
    /// because a server that is to refuse what does not fit has to know what fits; `{1% of memory, 1M at least}`
    /// for a mebibyte where it would be less.
    pub fn arguments(&self, memory_bytes: u64) -> Vec<OsString> {
        arguments(&self.arguments, memory_bytes)
    }

    /// The same, as the recipe has them.
    pub fn written_arguments(&self) -> &[String] {
        &self.arguments
    }
}

/// See [`Run::arguments`].
pub fn arguments(written: &[String], memory_bytes: u64) -> Vec<OsString> {
    let given = written.iter();
    given
        .map(|text| match share(text) {
            Some((percent, least)) => (memory_bytes / 100 * percent).max(least).to_string().into(),
            None => text.into(),
        })
        .collect()
}

/// The percentage in `{60% of memory}`, and the bytes it is at least.
fn share(text: &str) -> Option<(u64, u64)> {
    let (percent, rest) = text
        .strip_prefix('{')?
        .strip_suffix('}')?
        .split_once("% of memory")?;
    let least = match rest.strip_prefix(", ") {
        Some(least) => size::parse(least.strip_suffix(" at least")?).ok()?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    let percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
    Some((percent, least))
}

/// Bytes, written as on the command line (`"64M"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        size::parse(&text).map(Self)
    }
}

/// `libc/recipe.toml`: the C library.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Libc {
    /// The archive.
    pub source: [Source; 1],
    /// Files of the archive that are left out.
    pub omit: Vec<String>,
}

/// Reads the recipe of the app `name`.
pub fn find(home: &Path, name: &str) -> Result<App, Error> {
    let is_name = !name.is_empty() && !name.contains(['/', '.']);
    let Some(folder) = is_name.then(|| app_folder(home, name)).flatten() else {
        let known = names(home)?;
        return Err(Error::unknown(
            "app",
            name,
            known.iter().map(String::as_str),
            "`bespoke apps` lists them",
        ));
    };
    let path = folder.join("recipe.toml");
    let invalid = |reason: String| Error::Invalid {
        path: path.clone(),
        reason,
    };
    let (table, base_folder) = table(home, &folder)?;
    let fingerprint = fingerprint(table.clone());
    let mut app = App::deserialize(table).map_err(|error| invalid(error.to_string()))?;
    app.base_folder = base_folder;
    app.fingerprint = fingerprint;
    app.name = name.to_string();
    app.folder = folder;
    let build = &app.build;
    let lists_files = !(build.files.is_empty() && build.own_files.is_empty());
    let fault = if build.program.is_some() == build.make.is_empty() {
        Some("[build] make and program require each other")
    } else if build.program.is_some() && (lists_files || !build.flags.is_empty()) {
        Some(
            "[build] has make, so upstream's makefiles decide about files and flags; remove those keys",
        )
    } else if build.program.is_none() && !lists_files {
        Some("[build] names no C file and no program")
    } else if app.tree_folder().is_some_and(|folder| !folder.is_dir()) {
        Some("[build] folder does not exist; its path is relative to the recipe")
    } else if build.folder.is_none()
        && app.sources.is_empty()
        && !(build.files.is_empty() && build.prepare.is_empty() && build.make.is_empty())
    {
        Some("[build] needs a source tree; add a [[source]] or a folder")
    } else if build.prepare.iter().chain(&build.make).any(Vec::is_empty) {
        Some("[build] contains an empty command")
    } else {
        None
    };
    match fault {
        Some(reason) => Err(invalid(reason.into())),
        None => Ok(app),
    }
}

/// What the recipe in `folder` says, with what its base says where it says nothing; and the folder of the base.
fn table(home: &Path, folder: &Path) -> Result<(toml::Table, Option<PathBuf>), Error> {
    let path = folder.join("recipe.toml");
    let mut own: toml::Table = read(&path)?;
    let Some(base) = own.remove("base") else {
        return Ok((own, None));
    };
    let invalid = |reason| Error::Invalid {
        path: path.clone(),
        reason,
    };
    let base = base.as_str().filter(|name| !name.contains(['/', '.']));
    let base = base.ok_or_else(|| invalid("base is not the name of an app".into()))?;
    for theirs in ["workload", "serve"] {
        if own.contains_key(theirs) {
            return Err(invalid(format!(
                "{theirs} cannot be set in a variant; it comes from the base"
            )));
        }
    }
    let base_folder = app_folder(home, base).ok_or_else(|| {
        invalid(format!(
            "no app {base} to base a variant on; `bespoke apps` lists the apps"
        ))
    })?;
    let mut whole: toml::Table = read(&base_folder.join("recipe.toml"))?;
    if whole.contains_key("base") {
        return Err(invalid(format!("{base} is itself a variant")));
    }
    overlay(&mut whole, own);
    Ok((whole, Some(base_folder)))
}

/// Puts `own` over `base`: tables key by key, sources behind those that are there, and everything else in its place.
fn overlay(base: &mut toml::Table, own: toml::Table) {
    for (key, value) in own {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(own)) => overlay(base, own),
            (Some(toml::Value::Array(base)), toml::Value::Array(own)) if key == "source" => {
                base.extend(own);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The folders that hold apps, the first one first: the user's, `$BESPOKE_APPS` (several with colons between), then
/// Bespoke's own.
fn folders(home: &Path) -> Vec<PathBuf> {
    let own = env::var_os("BESPOKE_APPS").unwrap_or_default();
    let own = env::split_paths(&own).filter(|folder| !folder.as_os_str().is_empty());
    // From the root, for builds stand in other folders.
    let own = own.map(|folder| std::path::absolute(&folder).unwrap_or(folder));
    own.chain([home.join("apps")]).collect()
}

/// The folder of the app `name`.
fn app_folder(home: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = folders(home).into_iter().map(|folder| folder.join(name));
    folders.find(|folder| folder.join("recipe.toml").exists())
}

/// Names of all apps, sorted.
pub fn names(home: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for apps in folders(home) {
        for entry in fs::read_dir(&apps).map_err(Error::file("read", &apps))? {
            let entry = entry.map_err(Error::file("read", &apps))?;
            if entry.path().join("recipe.toml").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Reads `libc/recipe.toml`.
pub fn libc(home: &Path) -> Result<Libc, Error> {
    read(&home.join("libc/recipe.toml"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    toml::from_str(&text).map_err(|error| Error::Invalid {
        path: path.into(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    #[test]
    fn every_recipe_in_the_repository_is_valid() {
        let names = names(&paths::home()).unwrap();
        assert!(names.iter().any(|name| name == "hello"));
        for name in names {
            find(&paths::home(), &name).unwrap();
        }
        libc(&paths::home()).unwrap();
    }

    #[test]
    fn an_argument_may_be_a_share_of_the_memory() {
        let run = Run {
            arguments: [
                "--max",
                "{60% of memory}",
                "{160% of memory}",
                "{1% of memory, 2K at least}",
                "{1% of memory or so}",
            ]
            .map(String::from)
            .into(),
            ..Run::default()
        };
        let of_little = run.arguments(1000);
        assert_eq!(of_little[..2], ["--max", "600"]);
        assert_eq!(of_little[2..4], ["{160% of memory}", "2048"]);
        assert_eq!(
            run.arguments(1_000_000)[3..],
            ["10000", "{1% of memory or so}"]
        );
    }

    #[test]
    fn a_variant_has_what_its_base_has_and_what_it_says_itself() {
        let read = |name| find(&paths::home(), name).unwrap();
        let (base, variant) = (read("nginx"), read("nginx-tls"));
        let names = |app: &App| -> Vec<_> { app.sources.iter().map(|s| s.name.clone()).collect() };
        assert_eq!(
            names(&variant),
            [names(&base), vec!["openssl".into()]].concat()
        );
        assert_eq!(variant.build.program, base.build.program);
        assert_ne!(variant.build.make, base.build.make);
        assert_eq!(variant.run.memory, base.run.memory);
        assert_eq!(variant.beside("www"), base.folder.join("www"));
        assert_eq!(
            variant.beside("recipe.toml"),
            variant.folder.join("recipe.toml")
        );
        assert_ne!(variant.fingerprint(), base.fingerprint());
    }

    #[test]
    fn unknown_apps_are_refused_with_the_nearest() {
        let error = find(&paths::home(), "helo").unwrap_err().to_string();
        assert!(error.contains("did you mean \"hello\"?"), "{error}");
        assert!(find(&paths::home(), "../libc").is_err());
    }
}
