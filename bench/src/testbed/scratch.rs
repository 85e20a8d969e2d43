//! The folder that workloads' inputs, native databases and native servers' files lie in.
//! Owns it, in memory (tmpfs), so that both sides have their files there, and removes it at the end.

use crate::Error;
use bespoke_builder::ToolFailure;
use bespoke_recipe::paths;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Where native runs keep their files, as images do: in memory.
const MEMORY_FILE_SYSTEM: &str = "/dev/shm";

/// A folder in memory for the time of the measurements.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder.
    pub fn new() -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let name = format!("bespoke-measure-{}-{number}", std::process::id());
        let path = Path::new(MEMORY_FILE_SYSTEM).join(name);
        fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        Ok(Self(path))
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder `name` in it, empty.
    pub fn empty(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(Error::file("empty", &path))?;
        }
        paths::create(&path)?;
        Ok(path)
    }

    /// The file `name` in it: what `command`, run in `folder`, prints. Made once.
    pub fn generated(
        &self,
        name: &str,
        command: &[String],
        folder: &Path,
    ) -> Result<PathBuf, Error> {
        let path = self.path(name);
        if path.exists() {
            return Ok(path);
        }
        let Some((program, arguments)) = command.split_first() else {
            return Err(bespoke_recipe::Error::invalid(
                folder,
                format!("the command that makes {name} is empty"),
            )
            .into());
        };
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .output()
            .map_err(|source| bespoke_builder::Error::NoTool {
                tool: program.clone(),
                source,
            })?;
        if !output.status.success() {
            return Err(bespoke_builder::Error::from(ToolFailure {
                purpose: "making the input of a workload".into(),
                status: output.status.to_string(),
                command: command.join(" "),
                output: String::from_utf8_lossy(&output.stderr).into_owned(),
                log: None,
            })
            .into());
        }
        fs::write(&path, output.stdout).map_err(Error::file("write", &path))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Memory of a finished benchmark; nothing to be done where it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes of all files below `folder`.
pub(crate) fn bytes_below(folder: &Path) -> Result<u64, Error> {
    let mut total = 0;
    for entry in fs::read_dir(folder).map_err(Error::file("read", folder))? {
        let entry = entry.map_err(Error::file("read", folder))?;
        let data = entry
            .metadata()
            .map_err(Error::file("look at", entry.path()))?;
        total += match data.is_dir() {
            true => bytes_below(&entry.path())?,
            false => data.len(),
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_what_its_command_prints_and_a_failing_one_is_told() {
        let folder = Scratch::new().unwrap();
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| word.to_string())
                .collect::<Vec<_>>()
        };
        let made = folder.generated("a", &words(&["echo", "hello"]), Path::new("/"));
        assert_eq!(fs::read_to_string(made.unwrap()).unwrap(), "hello\n");
        assert_eq!(bytes_below(&folder.path("")).unwrap(), 6);
        let error = folder.generated(
            "b",
            &words(&["sh", "-c", "echo no >&2; false"]),
            Path::new("/"),
        );
        assert!(error.unwrap_err().to_string().contains("no"));
        assert!(!folder.path("b").exists());
    }
}
