//! What the documentation says and a test can check cheaply: links, paths, options, JSON keys, and the form of pages.

mod common;

use common::bespoke;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Options in the pages that are those of other programs.
const FOREIGN_OPTIONS: &[&str] = &[
    "--add-module",
    "--config-file",
    "--disable-docs",
    "--disable-shared",
    "--features",
    "--latency-history",
    "--lib",
    "--no-api",
    "--port",
    "--prefix",
    "--tls-auth-clients",
    "--tls-cert-file",
    "--tls-key-file",
    "--tls-port",
    "--with-libevent",
];
/// Options that are gone, which a page names for those who knew them.
const FORMER_OPTIONS: &[&str] = &["--figures", "--only"];
/// What a path in a page may begin with.
const TOP: &[&str] = &[
    "abi/",
    "apps/",
    "cli/",
    "heap/",
    "heaps/",
    "libc/",
    "libos/",
    "monitor/",
    "net/",
    "scripts/",
    "sources/",
    "stub/",
    "trace/",
    "virtio/",
    "docs/",
    ".cargo/",
    "recipe/",
    "builder/",
    "bench/",
    "report/",
    "evaluation/",
];
/// Written by `bespoke-evaluation` and by `make reference`, whose texts have long lines.
const GENERATED: &[&str] = &["docs/results.md", "docs/reference/system-calls.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page of the repository, by its path from the root.
fn pages() -> BTreeMap<String, String> {
    let root = root();
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_ours =
                !name.starts_with('.') && !["target", "results", "node_modules"].contains(&&*name);
            if path.is_dir() && is_ours && !path.is_symlink() {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).expect("a page");
                let path = path.strip_prefix(&root).expect("below the root");
                found.insert(path.display().to_string(), text);
            }
        }
    }
    assert!(found.len() > 30, "{found:?}");
    found
}

/// The lines of a page with their numbers, and whether each is code.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut is_fenced = false;
    let mut was_blank = true;
    let mut is_indented = false;
    text.lines().enumerate().map(move |(i, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        is_indented = line.starts_with("    ") && (was_blank || is_indented);
        was_blank = line.trim().is_empty();
        (i + 1, line, is_fenced || is_fence || is_indented)
    })
}

/// The anchor by which GitHub knows a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().chars();
    let kept = letters.filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn headings(text: &str) -> Vec<&str> {
    lines(text)
        .filter(|(_, line, is_code)| line.starts_with('#') && !is_code)
        .map(|(_, line, _)| line)
        .collect()
}

/// The targets of links in a line.
fn links(line: &str) -> Vec<&str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// The code spans of a line.
fn spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

fn complain(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_relative_link_leads_somewhere() {
    let pages = pages();
    let mut faults = Vec::new();
    let mut count = 0;
    for (page, text) in &pages {
        for (number, line, is_code) in lines(text) {
            let targets = links(line).into_iter().filter(|_| !is_code);
            for target in targets.filter(|target| !target.contains("://")) {
                count += 1;
                let (file, place) = target.split_once('#').unwrap_or((target, ""));
                let folder = Path::new(page).parent().expect("a folder");
                let path = match file {
                    "" => PathBuf::from(page),
                    file => folder.join(file),
                };
                let path = root().join(path);
                if !path.exists() {
                    faults.push(format!("{page}:{number}: {target} is not there"));
                } else if !place.is_empty() {
                    let text = fs::read_to_string(&path).expect("a page");
                    if !headings(&text)
                        .iter()
                        .any(|heading| anchor(heading) == place)
                    {
                        faults.push(format!("{page}:{number}: {target} has no such heading"));
                    }
                }
            }
        }
    }
    assert!(count > 50, "{count}");
    complain(&faults);
}

#[test]
fn every_path_in_a_page_is_there() {
    let mut faults = Vec::new();
    let mut count = 0;
    for (page, text) in &pages() {
        for (number, line, is_code) in lines(text) {
            for span in spans(line).into_iter().filter(|_| !is_code) {
                let is_path = TOP.iter().any(|top| span.starts_with(top))
                    && !span.contains(['*', '<', '{', ' '])
                    && !span.contains("NAME");
                if is_path {
                    count += 1;
                    if !root().join(span).exists() {
                        faults.push(format!("{page}:{number}: there is no {span}"));
                    }
                }
            }
        }
    }
    assert!(count > 50, "{count}");
    complain(&faults);
}

#[test]
fn the_crate_graph_is_of_the_manifests() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    let (_, graph) = page.split_once("```mermaid").expect("a graph");
    let (graph, _) = graph.split_once("```").expect("its end");
    let folder = |node: &str| match graph.split_once(&format!("\n    {node}[\"")) {
        Some((_, rest)) => rest
            .split([':', ' '])
            .next()
            .expect(node)
            .replace('*', "tlsf"),
        None => panic!("the graph has no node {node}"),
    };
    let package = |folder: &str| match folder.strip_prefix("heaps/") {
        Some(heap) => format!("heap-{heap}"),
        None => format!(
            "bespoke-{}",
            folder.replace("heap/replay", "replay").replace("/", "-")
        ),
    };
    let mut count = 0;
    for edge in graph
        .lines()
        .filter_map(|line| line.trim().split_once(" --> "))
    {
        let (from, to) = (folder(edge.0), package(&folder(edge.1)));
        let Ok(manifest) = fs::read_to_string(root().join(&from).join("Cargo.toml")) else {
            panic!("the graph has {from}, which is no crate");
        };
        let manifest = manifest.split("[dev-dependencies]").next().expect("a part");
        let names = |line: &str| line.split(['.', ' ']).next() == Some(&*to);
        assert!(
            manifest.lines().any(names),
            "{from} does not depend on {to}"
        );
        count += 1;
    }
    assert!(count > 15, "{count}");
}

/// The words of `text` that are long options, without their values.
fn options(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split([' ', ',', '[', ']', '(', ')', '|', '"', '\'', ';', '/']);
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(|word| word.split('=').next().unwrap_or(word))
        .map(|word| word.trim_end_matches(['.', ':', '`']))
}

/// What `--help` of each command says.
fn help() -> BTreeMap<String, String> {
    let all = bespoke(&["--help"]).success();
    let (_, commands) = all.split_once("Commands:").expect("commands");
    let (commands, _) = commands.split_once("Options:").expect("options");
    let names = commands.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?;
        let name = name.split(' ').next()?;
        (!name.is_empty()).then(|| name.to_string())
    });
    let of = |name: &str| bespoke(&[name, "--help"]).success();
    let mut help: BTreeMap<String, String> = names.map(|name| (name.clone(), of(&name))).collect();
    let show = bespoke(&["trace", "show", "--help"]).success();
    let run = help["run"].clone();
    let trace = help.get_mut("trace").expect("trace");
    trace.push_str(&show);
    trace.push_str(&run);
    assert!(help.len() > 15, "{help:?}");
    help
}

fn has_option(help: &str, option: &str) -> bool {
    let ends =
        |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-');
    help.match_indices(option)
        .any(|(at, _)| ends(&help[at + option.len()..]))
}

/// Options that a shell command gives to `bespoke`, by the name of the command.
fn given(command: &str) -> Option<(&str, Vec<&str>)> {
    let (before, rest) = command.split_once("bespoke ")?;
    if !before.is_empty() && !before.ends_with([' ', '/']) {
        return None;
    }
    let rest = rest.split(" -- ").next()?.split(" #").next()?;
    let rest = rest.split(" --command").next()?;
    let name = rest.split(' ').next()?;
    Some((name, options(rest).collect()))
}

#[test]
fn every_option_in_a_page_exists() {
    let help = help();
    let everything: String = help.values().map(String::as_str).collect();
    let mut faults = Vec::new();
    let mut count = 0;
    // A change log names what is gone.
    let pages = pages()
        .into_iter()
        .filter(|(page, _)| page != "CHANGELOG.md");
    for (page, text) in pages {
        for (number, line, is_code) in lines(&text) {
            let mut fault = |what: String| faults.push(format!("{page}:{number}: {what}"));
            let spans = if is_code { vec![line] } else { spans(line) };
            for span in spans {
                if let Some((name, given)) = given(span) {
                    match help.get(name) {
                        Some(help) => {
                            for option in given {
                                count += 1;
                                if !has_option(help, option) {
                                    fault(format!("`bespoke {name}` has no {option}"));
                                }
                            }
                        }
                        None if name.chars().all(|letter| letter.is_ascii_lowercase())
                            && !is_code =>
                        {
                            fault(format!("there is no command `bespoke {name}`"));
                        }
                        None => {}
                    }
                } else if !is_code && span.starts_with("--") {
                    for option in options(span).take(1) {
                        count += 1;
                        let is_known = has_option(&everything, option)
                            || FOREIGN_OPTIONS.contains(&option)
                            || FORMER_OPTIONS.contains(&option);
                        if !is_known {
                            fault(format!("no command has {option}"));
                        }
                    }
                }
            }
        }
    }
    assert!(count > 100, "{count}");
    complain(&faults);
}

/// The names of our variables in `text`, of those that begin after `mark`.
fn variables<'a>(text: &'a str, mark: &str) -> BTreeSet<&'a str> {
    let mark = format!("{mark}BESPOKE_");
    let ends = |letter: char| !letter.is_ascii_uppercase() && letter != '_';
    let found = text.match_indices(&*mark).map(|(at, _)| {
        let start = at + mark.len() - "BESPOKE_".len();
        let name = &text[start..];
        &name[..name.find(ends).unwrap_or(name.len())]
    });
    found.collect()
}

/// The sources of all crates, without their tests.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_ours = !name.starts_with('.')
                && !["target", "results", "tests", "fuzz", "docs"].contains(&&*name);
            if path.is_dir() && is_ours && !path.is_symlink() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    assert!(found.len() > 200, "{}", found.len());
    found
}

#[test]
fn every_variable_is_documented() {
    let page = fs::read_to_string(root().join("docs/reference/environment.md")).expect("the page");
    let documented = variables(&page, "`");
    let sources = sources();
    let used: BTreeSet<&str> = sources
        .iter()
        .flat_map(|text| variables(text, "\""))
        .collect();
    // What the builder tells its compiler driver, which lists them, and what tests tell their own processes.
    let is_internal = |name: &str| {
        let of_driver = ["GCC", "FLAGS", "TOOLCHAIN", "OWN", "KERNEL", "TREE", "APP"];
        let name = &name["BESPOKE_".len()..];
        of_driver.contains(&name.trim_end_matches('_'))
            || name.starts_with("TEST_")
            || name == "PARAMETERS_"
    };
    let missing: Vec<_> = used
        .difference(&documented)
        .filter(|name| !is_internal(name))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/reference/environment.md: {missing:?}"
    );
    let all: String = sources.concat();
    let unknown: Vec<_> = documented
        .iter()
        .filter(|name| {
            !all.contains(**name)
                && ![
                    "BESPOKE_TORTURE_RUNS",
                    "BESPOKE_TORTURE_SEED",
                    "BESPOKE_FORWARD_REQUESTS",
                ]
                .contains(name)
        })
        .collect();
    assert!(
        unknown.is_empty(),
        "documented, and used nowhere: {unknown:?}"
    );
}

/// The keys that a section of the page on JSON documents, and those of them that may be missing.
fn documented(page: &str, command: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let heading = format!("\n## {command}\n");
    let (_, section) = page
        .split_once(&*heading)
        .unwrap_or_else(|| panic!("{command}"));
    let section = section.split("\n## ").next().expect("a section");
    let table = section
        .split("\n\n")
        .find(|part| part.trim_start().starts_with("| key"));
    let rows = table
        .expect(command)
        .lines()
        .filter(|line| line.starts_with("| `"));
    let (mut all, mut optional) = (BTreeSet::new(), BTreeSet::new());
    for row in rows {
        let (keys, meaning) = row.trim_matches('|').split_once('|').expect(row);
        for key in spans(keys) {
            all.insert(key.to_string());
            if meaning.trim_start().starts_with("optional") {
                optional.insert(key.to_string());
            }
        }
    }
    (all, optional)
}

/// The keys of an object, or of the first one of an array.
fn keys(value: &Value) -> BTreeSet<String> {
    let object = match value {
        Value::Array(values) => values.first().and_then(Value::as_object),
        value => value.as_object(),
    };
    object
        .map(|object| object.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn json_has_the_documented_keys() {
    let page = fs::read_to_string(root().join("docs/reference/json.md")).expect("the page");
    for (command, arguments) in [
        ("bespoke apps", &["apps", "--json"][..]),
        ("bespoke doctor", &["doctor", "--json"]),
        ("bespoke heaps", &["heaps", "--json"]),
        ("bespoke prune", &["prune", "--dry-run", "--json"]),
    ] {
        let told: Value = serde_json::from_str(&bespoke(arguments).success()).expect("JSON");
        let found = keys(&told);
        let (all, optional) = documented(&page, command);
        let unknown: Vec<_> = found.difference(&all).collect();
        assert!(
            unknown.is_empty(),
            "{command}: not in docs/reference/json.md: {unknown:?}"
        );
        let missing: Vec<_> = all
            .difference(&found)
            .filter(|key| !optional.contains(*key))
            .collect();
        assert!(
            missing.is_empty(),
            "{command}: documented, and not there: {missing:?}"
        );
    }
}

#[test]
fn published_files_have_the_documented_keys() {
    for (page, section, file) in [
        ("results-file.md", "The run", "start-nginx.json"),
        ("json.md", "bespoke replay", "replay-sqlite.json"),
    ] {
        let read = |path: &str| fs::read_to_string(root().join(path)).expect(path);
        let (all, _) = documented(&read(&format!("docs/reference/{page}")), section);
        let file = read(&format!("docs/results/data/{file}"));
        let value: Value = serde_json::from_str(&file).expect("JSON");
        assert_eq!(all, keys(&value), "docs/reference/{page}, {section}");
    }
}

#[test]
fn pages_keep_their_form() {
    let mut faults = Vec::new();
    for (page, text) in pages() {
        if GENERATED.contains(&&*page) {
            continue;
        }
        for (number, line, is_code) in lines(&text) {
            let mut fault = |what: &str| faults.push(format!("{page}:{number}: {what}: {line}"));
            let words = line.split(' ').skip(1).filter(|word| !word.is_empty());
            if line.starts_with('#') && !is_code && words.count() > 6 {
                fault("more than six words");
            }
            let is_free =
                is_code || line.starts_with('|') || line.contains("](") || line.starts_with('<');
            if !is_free && line.chars().count() > 100 {
                fault("more than 100 columns");
            }
        }
    }
    complain(&faults);
}
