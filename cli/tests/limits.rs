//! `docs/reference/limits.md` says what the code does: each figure is that of the constant named beside it.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Nanoseconds in a unit of time, by its name in the page, in the name of a constant, and as of `Duration::from_`.
const TIMES: &[(&str, &str, &str, u64)] = &[
    ("s", "_S", "secs", 1_000_000_000),
    ("ms", "_MS", "millis", 1_000_000),
    ("us", "_US", "micros", 1_000),
    ("ns", "_NS", "nanos", 1),
];

/// The value of a constant expression of integers, `*` and `<<`; of a `Duration`, its nanoseconds.
fn value(expression: &str) -> Option<u64> {
    let text = expression.trim();
    for (_, _, unit, ns) in TIMES {
        if let Some(number) = text.strip_prefix(&format!("Duration::from_{unit}(")) {
            return value(number.trim_end_matches(')'))?.checked_mul(*ns);
        }
    }
    if let Some((left, right)) = text.split_once("<<") {
        return value(left)?.checked_shl(value(right)?.try_into().ok()?);
    }
    if let Some((left, right)) = text.split_once('*') {
        return value(left)?.checked_mul(value(right)?);
    }
    text.trim().replace('_', "").parse().ok()
}

/// The value of `const NAME: ... = VALUE;` in the file `path`; a time in nanoseconds.
fn constant(path: &str, name: &str) -> u64 {
    let source = read(path);
    let line = source.lines().find_map(|line| {
        let (_, rest) = line.split_once("const ")?;
        let (found, rest) = rest.split_once(':')?;
        (found == name).then(|| rest.split_once('=').map(|(_, value)| value))?
    });
    let text = line.unwrap_or_else(|| panic!("{path} has no constant {name}"));
    let text = text.trim().trim_end_matches(';');
    let value = value(text).unwrap_or_else(|| panic!("{path}: {name} = {text} is not understood"));
    let unit = TIMES.iter().find(|(_, end, _, _)| name.ends_with(end));
    value * unit.map_or(1, |(_, _, _, ns)| *ns)
}

/// A value as it is written: a number with commas, and a unit; a time in nanoseconds.
fn figure(text: &str) -> u64 {
    let mut words = text.split(' ');
    let number = words.next().unwrap_or_default().replace(',', "");
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{text:?}"));
    let unit = words.next().unwrap_or("bytes");
    let time = TIMES.iter().find(|(name, _, _, _)| *name == unit);
    let factor = match (unit, time) {
        (_, Some((_, _, _, ns))) => *ns,
        ("KiB", _) => 1 << 10,
        ("MiB", _) => 1 << 20,
        ("GiB", _) => 1 << 30,
        ("bytes" | "times", _) => 1,
        _ => panic!("{text:?} has the unit {unit}"),
    };
    number * factor
}

#[test]
fn each_figure_is_that_of_its_constant() {
    let page = read("docs/reference/limits.md");
    let (_, table) = page.split_once("## How large").expect("the table");
    let mut count = 0;
    let rows = table.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|row| !row.starts_with("| |")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [what, most, place] = cells[..] else {
            panic!("{row}");
        };
        let mut names = place.split('`').skip(1).step_by(2);
        let (path, name) = (names.next().expect(row), names.next().expect(row));
        assert_eq!(figure(most), constant(path, name), "{what}: {path} {name}");
        count += 1;
    }
    assert!(count > 40, "{count}");
    assert!(read("README.md").contains("docs/reference/limits.md"));
}
