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

/// Statements that build, join, sort and throw away strings of one byte to tens of kilobytes, most
/// of them grown step by step: half a million reallocations, many sizes live at once. Ends with
/// the number of rows of its last query, [`VARIED_ROWS`].
pub const VARIED_SCRIPT: &str = "\
CREATE TABLE v(id INTEGER PRIMARY KEY, body TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
  INSERT INTO v SELECT i, printf('%.*c', 1 + (i * 7919) % 3001, 'y') FROM n;
COMMIT;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
  SELECT sum(length(replace(printf('%.*c', 1 + (i * 104729) % 9001, 'ab'), 'a', 'xyz'))
    + length(hex(zeroblob((i * 7919) % 2003)))
    + length(upper(printf('%d-%s', i, printf('%.*c', i % 97, 'q'))))) FROM n;
SELECT sum(length(s)) FROM (SELECT group_concat(body, ',') AS s FROM v GROUP BY id % 611);
SELECT sum(length(b)) FROM (SELECT body || id AS b FROM v ORDER BY substr(body, -7) || id % 1009, id);
SELECT count(DISTINCT substr(body, 1, id % 701) || id % 1511) FROM v;
SELECT count(*) FROM v AS a JOIN v AS b ON length(a.body) = b.id WHERE length(a.body || b.body) > 100;
";

/// What [`VARIED_SCRIPT`] prints last.
pub const VARIED_ROWS: u64 = 3999;

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
    use super::insert_script;

    #[test]
    fn the_script_has_an_insert_for_each_row() {
        assert_eq!(insert_script(10).lines().count(), 12);
    }
}
