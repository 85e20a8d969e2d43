//! `--env-file`: environment variables from a file, a line `NAME=VALUE` each. Values are taken literally, quotes included.

use bespoke_monitor::read_regular;
use std::path::Path;

/// The variables of the file at `path`, as `NAME=VALUE`.
///
/// # Errors
///
/// In words: it cannot be read, or a line of it is none of those.
pub(super) fn read(path: &str) -> Result<Vec<String>, String> {
    let bytes =
        read_regular(Path::new(path)).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| Err(format!("line {}, {line:?}: {why}", index + 1));
        match line.split_once('=') {
            None => return wrong("expected NAME=VALUE"),
            Some(("", _)) => return wrong("the name before the = is missing"),
            Some((name, _)) if name.contains(char::is_whitespace) => {
                return wrong("the name contains a space");
            }
            Some(_) if line.contains('\0') => return wrong("it contains a NUL byte"),
            Some(_) => variables.push(line.to_string()),
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_variables_comments_or_named_in_the_error() {
        let text = "\u{feff}# a comment\r\n\nA=1\r\n  B = 2 # kept\nC=\"q\"\nD=\n  # too\nE=a=b";
        let error = parse(text).unwrap_err();
        assert_eq!(error, "line 4, \"B = 2 # kept\": the name contains a space");
        let text = text.replace("B = 2", "B= 2");
        let read = parse(&text).unwrap();
        assert_eq!(read, ["A=1", "B= 2 # kept", "C=\"q\"", "D=", "E=a=b"]);
        for (text, line) in [
            ("A=1\nB", "line 2"),
            ("=1", "line 1"),
            ("\n\nA=\0", "line 3"),
        ] {
            assert!(parse(text).unwrap_err().starts_with(line), "{text:?}");
        }
    }
}
