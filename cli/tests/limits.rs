//! `docs/reference/limits.md` says what the code does: each figure is that of the constant named beside it.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The value of a constant expression of integers, `*`, `<<` and `-`; of a `Duration::from_secs`, its seconds.
fn value(expression: &str) -> Option<u64> {
    let text = expression.trim();
    let text = text.strip_prefix("Duration::from_secs(").unwrap_or(text);
    let text = text.trim_end_matches(')');
    if let Some((left, right)) = text.split_once("<<") {
        return value(left)?.checked_shl(value(right)?.try_into().ok()?);
    }
    if let Some((left, right)) = text.split_once('*') {
        return value(left)?.checked_mul(value(right)?);
    }
    text.trim().replace('_', "").parse().ok()
}

/// The value of `const NAME: ... = VALUE;` in the file `path`.
fn constant(path: &str, name: &str) -> u64 {
    let source = read(path);
    let line = source.lines().find_map(|line| {
        let (_, rest) = line.split_once("const ")?;
        let (found, rest) = rest.split_once(':')?;
        (found == name).then(|| rest.split_once('=').map(|(_, value)| value))?
    });
    let text = line.unwrap_or_else(|| panic!("{path} has no constant {name}"));
    let text = text.trim().trim_end_matches(';');
    value(text).unwrap_or_else(|| panic!("{path}: {name} = {text} is not understood"))
}

/// A figure as it is written: a number with commas, and a unit.
fn figure(text: &str) -> u64 {
    let mut words = text.split(' ');
    let number = words.next().unwrap_or_default().replace(',', "");
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{text:?}"));
    let shift = match words.next() {
        Some("KiB") => 10,
        Some("MiB") => 20,
        Some("GiB") => 30,
        None | Some("bytes" | "s" | "times") => 0,
        Some(unit) => panic!("{text:?} has the unit {unit}"),
    };
    number << shift
}

#[test]
fn each_figure_is_that_of_its_constant() {
    let page = read("docs/reference/limits.md");
    let (_, table) = page.split_once("## How large").expect("the table");
    let mut count = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [what, most, place] = cells[..] else {
            panic!("{row}");
        };
        let mut names = place.split('`').skip(1).step_by(2);
        let (path, name) = (names.next().expect(row), names.next().expect(row));
        assert_eq!(figure(most), constant(path, name), "{what}: {path} {name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
    assert!(read("README.md").contains("docs/reference/limits.md"));
}
