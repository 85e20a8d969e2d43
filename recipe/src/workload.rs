//! What is done with a candidate: workloads as recipes declare them. The kinds are a small closed set;
//! another workload of a kind is a few lines of a recipe. Data and its checks only.
//!
//! ```toml
//! [[workload]]
//! name = "inserts-{n}"                # `{n}` anywhere: one workload for each of the numbers
//! n = [10, 1000]
//! kind = "run"                        # runs to its end; its last line of output must be `expect`
//! generate = ["sh", "inserts", "{n}"] # run beside the recipe; what it prints is the file `{input}`
//! arguments = ["{scratch}/bench.db", ".read {input}"]  # `{scratch}`: an empty folder in memory
//! again = [".read {input}"]           # further arguments that repeat the work, for the figure creep
//! expect = "{n}"
//! operations = "{n}"                  # in one run, for throughput [1]
//! app = "speedtest1"                  # the image of another app [the recipe's own]
//!
//! [[workload]]
//! name = "get"
//! kind = "server"                     # loads the recipe's server with a client
//! client = "redis-benchmark"          # or wrk
//! arguments = ["-t", "get"]           # of the client
//! connections = 30
//! seconds = 3
//! path = "/large.html"                # what wrk gets ["/"]
//! files = { "/srv/www/large.html" = ["sh", "large"] }  # generated as above
//!
//! [[workload]]
//! name = "mine"
//! kind = "command"                    # `sh -c`; the last word it prints is the figure `value`
//! command = "..."                     # see docs/read-a-benchmark.md for what it finds
//! unit = "ms"
//! better = "smaller"
//! ```
//! All may have `title`, `operation` (what throughput counts), `memory` (of the image), and `optional = true`
//! (only when asked for by name). A name also stands for those that continue it after a dash.

use crate::Error;
use crate::app::Size;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// RAM of runs in which memory is not the question, as in the published figures.
const AMPLE_BYTES: u64 = 1 << 30;

/// A workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Name, unique within the app.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// What throughput counts.
    pub operation: String,
    /// Memory of images.
    pub memory_bytes: u64,
    /// Only when named.
    pub optional: bool,
    /// What is done.
    pub kind: Kind,
}

/// What is done.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// A run to its end.
    Run(Run),
    /// Load on the recipe's server.
    Server(Load),
    /// A shell command.
    Command(Shell),
}

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Another app whose image it is.
    pub app: Option<String>,
    /// What prints the input.
    pub generate: Option<Vec<String>>,
    /// Arguments of the application.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Arguments that make it do the same once more.
    #[serde(default)]
    pub again: Vec<String>,
    /// Its last line of output.
    pub expect: Option<String>,
    /// Operations of one run.
    #[serde(default = "one")]
    pub operations: Count,
}

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// What makes the load.
    pub client: Client,
    /// Its further arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Connections at once.
    #[serde(default = "few_connections")]
    pub connections: u32,
    /// How long.
    #[serde(default = "few_seconds")]
    pub seconds: u32,
    /// What is asked for over HTTP.
    #[serde(default = "root")]
    pub path: String,
    /// Files the server gets besides its own: guest path, and what prints the content.
    #[serde(default)]
    pub files: BTreeMap<String, Vec<String>>,
}

/// Clients everybody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Comes with the server's own sources.
    RedisBenchmark,
    /// Debian package wrk.
    Wrk,
}

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shell {
    /// For `sh -c`.
    pub command: String,
    /// Unit and direction of what it prints.
    #[serde(flatten)]
    pub value: ValueUnit,
}

/// What the number that a command prints is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueUnit {
    /// Its unit.
    pub unit: String,
    /// Its direction.
    pub better: Better,
}

/// Which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Times, bytes.
    Smaller,
    /// Rates.
    Larger,
}

/// A number that may have been written as `"{n}"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Count(pub u64);

impl TryFrom<String> for Count {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if count > 0 => Ok(Self(count)),
            _ => Err(format!("{text:?} is not a number of operations")),
        }
    }
}

fn one() -> Count {
    Count(1)
}

fn few_connections() -> u32 {
    30
}

fn few_seconds() -> u32 {
    3
}

fn root() -> String {
    "/".into()
}

/// The fields every kind has.
#[derive(Deserialize)]
struct Common {
    name: String,
    title: Option<String>,
    operation: Option<String>,
    memory: Option<Size>,
    #[serde(default)]
    optional: bool,
}

const COMMON: [&str; 5] = ["name", "title", "operation", "memory", "optional"];

impl Workload {
    /// Loads a server for `seconds`; a workload of another kind has none.
    pub fn set_seconds(&mut self, seconds: u32) {
        if let Kind::Server(load) = &mut self.kind {
            load.seconds = seconds;
        }
    }

    /// The workloads of a recipe's `[[workload]]` tables.
    ///
    /// # Errors
    ///
    /// In words, when one of them is not what it must be.
    pub fn from_tables(tables: Vec<Table>) -> Result<Vec<Self>, String> {
        let mut found: Vec<Self> = Vec::new();
        for table in tables {
            for table in spread(table)? {
                let workload = Self::from_table(table)?;
                if found.iter().any(|other| other.name == workload.name) {
                    return Err(format!("two workloads are named {:?}", workload.name));
                }
                found.push(workload);
            }
        }
        Ok(found)
    }

    fn from_table(mut table: Table) -> Result<Self, String> {
        let common: Table = COMMON
            .iter()
            .filter_map(|key| Some(((*key).to_string(), table.remove(*key)?)))
            .collect();
        let common: Common = common
            .try_into()
            .map_err(|error| format!("a workload: {error}"))?;
        let name = common.name;
        let kind: Kind = table
            .try_into()
            .map_err(|error| format!("workload {name:?}: {error}"))?;
        let operation = match &kind {
            Kind::Server(_) => "requests",
            Kind::Run(_) | Kind::Command(_) => "runs",
        };
        Ok(Self {
            title: common.title.unwrap_or_else(|| name.clone()),
            operation: common.operation.unwrap_or_else(|| operation.into()),
            memory_bytes: common.memory.map_or(AMPLE_BYTES, |size| size.0),
            optional: common.optional,
            name,
            kind,
        })
    }

    /// A workload from the command line: a shell command that prints a number.
    pub fn shell(command: String, value: ValueUnit) -> Self {
        Self {
            name: "command".into(),
            title: command.clone(),
            operation: "runs".into(),
            memory_bytes: AMPLE_BYTES,
            optional: false,
            kind: Kind::Command(Shell { command, value }),
        }
    }

    /// Those of `all` that `names` stand for, in the order of `all`; without names those that are not optional.
    ///
    /// # Errors
    ///
    /// When there is none of that name; the error has the nearest.
    pub fn choose(all: &[Self], names: &[String]) -> Result<Vec<Self>, Error> {
        if names.is_empty() {
            return Ok(all.iter().filter(|each| !each.optional).cloned().collect());
        }
        let stands_for = |name: &String, workload: &Self| {
            let rest = workload.name.strip_prefix(&name[..]);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        for name in names {
            if !all.iter().any(|workload| stands_for(name, workload)) {
                let known: Vec<&str> = all.iter().map(|workload| &workload.name[..]).collect();
                let hint = match known.is_empty() {
                    true => "the app's recipe declares none".into(),
                    false => format!("there are {}", known.join(", ")),
                };
                return Err(Error::unknown("workload", name, known, hint));
            }
        }
        let named = all
            .iter()
            .filter(|workload| names.iter().any(|name| stands_for(name, workload)));
        Ok(named.cloned().collect())
    }
}

/// One table for each number in `n`, with `{n}` replaced in every text.
fn spread(mut table: Table) -> Result<Vec<Table>, String> {
    let Some(numbers) = table.remove("n") else {
        return Ok(vec![table]);
    };
    let numbers: Vec<u64> = numbers
        .try_into()
        .map_err(|error| format!("`n` of a workload: {error}"))?;
    let replaced = |n: &u64| {
        let mut copy = Value::Table(table.clone());
        replace(&mut copy, &n.to_string());
        match copy {
            Value::Table(table) => table,
            _ => unreachable!("a table stays a table"),
        }
    };
    Ok(numbers.iter().map(replaced).collect())
}

fn replace(value: &mut Value, number: &str) {
    match value {
        Value::String(text) => *text = text.replace("{n}", number),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, number)),
        Value::Table(table) => table
            .iter_mut()
            .for_each(|(_, value)| replace(value, number)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Workload>, String> {
        #[derive(Deserialize)]
        struct Recipe {
            workload: Vec<Table>,
        }
        let recipe: Recipe = toml::from_str(text).unwrap();
        Workload::from_tables(recipe.workload)
    }

    const CURVE: &str = "[[workload]]\nname = 'inserts-{n}'\nn = [10, 200]\nkind = 'run'\n\
                         expect = '{n}'\noperations = '{n}'\nmemory = '{n}M'\n";

    #[test]
    fn a_number_spreads_a_workload_over_a_curve() {
        let all = read(CURVE).unwrap();
        let names: Vec<&str> = all.iter().map(|workload| &workload.name[..]).collect();
        assert_eq!(names, ["inserts-10", "inserts-200"]);
        assert_eq!(all[1].memory_bytes, 200 << 20);
        let Kind::Run(run) = &all[1].kind else {
            panic!("{:?}", all[1])
        };
        assert_eq!(
            (run.operations, run.expect.as_deref()),
            (Count(200), Some("200"))
        );
    }

    #[test]
    fn a_name_stands_for_its_curve_and_an_unknown_one_gets_the_nearest() {
        let all = read(CURVE).unwrap();
        let chosen = |name: &str| Workload::choose(&all, &[name.to_string()]);
        assert_eq!(chosen("inserts").unwrap().len(), 2);
        assert_eq!(chosen("inserts-10").unwrap().len(), 1);
        let error = chosen("insert-10").unwrap_err().to_string();
        assert!(error.contains("did you mean \"inserts-10\"?"), "{error}");
    }

    #[test]
    fn what_no_kind_knows_is_refused_by_name() {
        let with = |line: &str| read(&format!("[[workload]]\nname = 'x'\n{line}\n")).unwrap_err();
        for (line, word) in [
            ("kind = 'walk'", "walk"),
            ("kind = 'run'\nclient = 'wrk'", "client"),
            ("kind = 'run'\noperations = '0'", "operations"),
            (
                "kind = 'command'\ncommand = 'x'\nunit = 's'\nbetter = 'faster'",
                "faster",
            ),
        ] {
            let error = with(line);
            assert!(error.contains("\"x\"") && error.contains(word), "{error}");
        }
        let twice = format!("{CURVE}{CURVE}");
        assert!(read(&twice).unwrap_err().contains("inserts-10"));
    }
}
