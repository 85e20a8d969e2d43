//! What is measured: the scripts SQLite runs, and the folder they and native databases lie in.
//! Owns a folder in memory (tmpfs) and removes it at the end.

use crate::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Where native runs keep databases, so that both sides have their files in memory.
const MEMORY_FILE_SYSTEM: &str = "/dev/shm";

/// `rows` autocommit inserts into a fresh table, then the number of rows.
pub fn insert_script(rows: u64) -> String {
    let mut script =
        String::from("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value INTEGER);\n");
    for row in 0..rows {
        // Writing to a String cannot fail.
        let _ = writeln!(
            script,
            "INSERT INTO t(name, value) VALUES('name-{row:08}', {});",
            row * 7919 % 100_003
        );
    }
    script.push_str("SELECT count(*) FROM t;\n");
    script
}

/// One transaction of statements whose values vary in size from bytes to tens of kilobytes,
/// updated and deleted in mixed order: many live allocations of many sizes.
pub fn varied_script(rows: u64) -> String {
    let mut script = String::from("CREATE TABLE v(id INTEGER PRIMARY KEY, body TEXT);\nBEGIN;\n");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for row in 0..rows {
        let size = 1u64 << random(15);
        let _ = match random(4) {
            0 if row > 0 => writeln!(
                script,
                "UPDATE v SET body = body || hex(zeroblob({})) WHERE id = {};",
                size / 4,
                1 + random(row)
            ),
            1 if row > 0 => writeln!(
                script,
                "SELECT length(group_concat(body, '{}')) FROM (SELECT body FROM v WHERE id % 97 = {} LIMIT 8);",
                "x".repeat((size % 64) as usize),
                random(97)
            ),
            _ => writeln!(
                script,
                "INSERT INTO v(body) VALUES('{}');",
                "y".repeat((size % 3000) as usize + 1)
            ),
        };
    }
    script.push_str("COMMIT;\nSELECT count(*) FROM v;\n");
    script
}

/// A folder in memory for the time of the measurements.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder.
    pub fn new() -> Result<Self, Error> {
        let path =
            Path::new(MEMORY_FILE_SYSTEM).join(format!("bespoke-bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        Ok(Self(path))
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// Removes a database and what belongs to it, so that the next run starts afresh.
    pub fn remove_database(&self, name: &str) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            // It need not exist.
            let _ = fs::remove_file(self.path(&format!("{name}{suffix}")));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Memory of a finished benchmark; nothing to be done where it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{insert_script, varied_script};

    #[test]
    fn scripts_are_repeatable_and_of_the_size_asked_for() {
        assert_eq!(insert_script(10).lines().count(), 12);
        assert_eq!(varied_script(50), varied_script(50));
        assert_eq!(varied_script(50).lines().count(), 50 + 4);
    }
}
