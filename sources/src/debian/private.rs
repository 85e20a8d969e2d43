//! A private apt configuration: the system's own archives, as source packages, with
//! lists and caches in a folder of ours.
//! The system's files are read but never written.

use super::GET_APT;
use crate::{Error, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Suites that do not carry the release's code name.
const CLASSES: [&str; 5] = ["stable", "oldstable", "testing", "unstable", "sid"];

/// apt's programs with the private configuration.
pub(super) struct Apt {
    config: PathBuf,
}

impl Apt {
    /// Writes the configuration below `folder`.
    pub(super) fn prepare(folder: &Path) -> Result<Self, Error> {
        let write = |path: PathBuf, text: &str| {
            fs::write(&path, text).map_err(|error| Error::Write { path, error })
        };
        let (parts, lists, cache) = (
            folder.join("parts"),
            folder.join("lists"),
            folder.join("cache"),
        );
        for needed in [
            &parts,
            &lists.join("partial"),
            &cache.join("archives/partial"),
        ] {
            fs::create_dir_all(needed).map_err(|error| Error::Write {
                path: needed.clone(),
                error,
            })?;
        }
        let (stanzas, lines) = system_archives(folder)?;
        write(parts.join("system.sources"), &stanzas)?;
        write(parts.join("system.list"), &lines)?;
        let config = folder.join("apt.conf");
        write(config.clone(), &configuration(&parts, &lists, &cache))?;
        Ok(Self { config })
    }

    /// Returns `program` with the private configuration, in the
    /// language that its output is parsed in.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("LC_ALL", "C")
            .arg("-q")
            .arg("-c")
            .arg(&self.config);
        command
    }
}

/// The rest of the system's configuration (proxies, credentials) stays in force.
/// Its hooks do not run, because they may change the system.
fn configuration(parts: &Path, lists: &Path, cache: &Path) -> String {
    format!(
        "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n\
         Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{}\";\n\
         Dir::State::lists \"{}\";\nDir::Cache \"{}\";\n\
         APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
         Acquire::http::Timeout \"20\";\nAcquire::https::Timeout \"20\";\nAcquire::Retries \"1\";\n",
        parts.display(),
        lists.display(),
        cache.display()
    )
}

/// Returns the system's archives as `.sources` stanzas and `.list` lines for source packages.
fn system_archives(folder: &Path) -> Result<(String, String), Error> {
    let answer = tool::run(
        Command::new("apt-config").args([
            "shell",
            "LIST",
            "Dir::Etc::sourcelist/f",
            "PARTS",
            "Dir::Etc::sourceparts/d",
        ]),
        folder,
        GET_APT,
    )?;
    let variable = |name: &str| {
        let value = answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| PathBuf::from(value.trim_matches('\'')))
    };
    let mut files: Vec<PathBuf> = variable("LIST").into_iter().collect();
    if let Some(entries) = variable("PARTS").and_then(|parts| fs::read_dir(parts).ok()) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let codename = codename(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let (mut stanzas, mut lines) = (String::new(), String::new());
    for file in files {
        // A missing or unreadable file lists no archives.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        if file
            .extension()
            .is_some_and(|extension| extension == "sources")
        {
            stanzas.push_str(&deb822(&text, codename.as_deref()));
        } else if file
            .extension()
            .is_some_and(|extension| extension == "list")
        {
            lines.push_str(&one_line(&text, codename.as_deref()));
        }
    }
    if stanzas.is_empty() && lines.is_empty() {
        return Err(Error::Elsewhere(
            "apt is set up with no archive of this Debian release".to_owned(),
        ));
    }
    Ok((stanzas, lines))
}

fn codename(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// Whether a suite belongs to the release itself. Other archives do not have what we need, and an
/// unreachable one would only cost time.
fn of_release(suite: &str, codename: Option<&str>) -> bool {
    let stem = suite.split(['-', '/']).next().unwrap_or(suite);
    CLASSES.contains(&stem) || codename.is_none_or(|codename| codename == stem)
}

/// Returns deb822 stanzas with `Types: deb-src`, without disabled or foreign ones.
fn deb822(text: &str, codename: Option<&str>) -> String {
    let mut out = String::new();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in kept.split(|line| line.trim().is_empty()) {
        let value = |name: &str| {
            stanza.iter().find_map(|line| {
                let (field, value) = line.split_once(':')?;
                field.eq_ignore_ascii_case(name).then_some(value.trim())
            })
        };
        let off = value("Enabled").is_some_and(|v| ["no", "false", "0"].contains(&v));
        let ours = value("Suites").is_some_and(|suites| {
            suites
                .split_whitespace()
                .any(|suite| of_release(suite, codename))
        });
        if off || !ours {
            continue;
        }
        for line in stanza {
            let types = line
                .split_once(':')
                .is_some_and(|(field, _)| field.eq_ignore_ascii_case("Types"));
            out.push_str(if types { "Types: deb-src" } else { line });
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

/// Converts one-line entries to `deb-src`, each once.
fn one_line(text: &str, codename: Option<&str>) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((kind, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        if kind != "deb" && kind != "deb-src" {
            continue;
        }
        let rest = rest.trim();
        let after_options = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let mut words = after_options
            .map_or(rest, |(_, after)| after)
            .split_whitespace();
        let (uri, suite) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let entry = format!("deb-src {rest}\n");
        if !uri.starts_with("cdrom:") && of_release(suite, codename) && !out.contains(&entry) {
            out.push(entry);
        }
    }
    out.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deb822_stanzas_become_source_stanzas() {
        let system = "Types: deb\n# a comment\nURIs: http://one/debian\nSuites: bookworm bookworm-updates\n\
                      Components: main\nSigned-By:\n -----BEGIN\n .\n -----END\n\n\
                      Types: deb\nURIs: http://foreign/\nSuites: nodistro\nComponents: main\n\n\
                      Enabled: no\nTypes: deb\nURIs: http://off/debian\nSuites: bookworm\nComponents: main\n";
        let expected = "Types: deb-src\nURIs: http://one/debian\nSuites: bookworm bookworm-updates\n\
                        Components: main\nSigned-By:\n -----BEGIN\n .\n -----END\n\n";
        assert_eq!(deb822(system, Some("bookworm")), expected);
    }

    #[test]
    fn one_line_entries_become_source_entries_once() {
        let system = "# deb http://off/debian bookworm main\n\
                      deb [arch=amd64 signed-by=/k.gpg] http://one/debian bookworm main # ours\n\
                      deb-src [arch=amd64 signed-by=/k.gpg] http://one/debian bookworm main\n\
                      deb http://foreign/ cloud-sdk-bookworm main\n\
                      deb http://two/security bookworm-security main\ndeb cdrom:[x]/ bookworm main\n";
        let expected = "deb-src [arch=amd64 signed-by=/k.gpg] http://one/debian bookworm main\n\
                        deb-src http://two/security bookworm-security main\n";
        assert_eq!(one_line(system, Some("bookworm")), expected);
    }

    #[test]
    fn the_code_name_is_read_with_and_without_quotes() {
        assert_eq!(
            codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(
            codename("VERSION_CODENAME=\"noble\"\n").as_deref(),
            Some("noble")
        );
        assert_eq!(codename("ID=x\n"), None);
    }
}
