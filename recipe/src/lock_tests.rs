//! Locks are read as they are written; what is damaged, foreign or of another version is refused by name.

use super::*;

/// What a search could keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    goal: String,
    budget_s: f64,
    tried: Vec<Tried>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tried {
    label: String,
    rounds: u32,
}

impl Search for Memory {
    fn goal(&self) -> &str {
        &self.goal
    }
}

fn lock() -> Lock<Memory> {
    let why = Memory {
        goal: "memory".into(),
        budget_s: 300.0,
        tried: vec![Tried {
            label: "app=tlsf:sl=4".into(),
            rounds: 3,
        }],
    };
    Lock {
        version: VERSION,
        app: "sqlite".into(),
        made_for: "sqlite3 3.40.1 (00000000)".into(),
        heaps: [("app".to_string(), "tlsf:sl=4".to_string())].into(),
        why,
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bespoke-lock-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    paths::create(&folder).unwrap();
    folder
}

#[test]
fn a_lock_is_read_as_it_is_written_and_leaves_nothing_beside_it() {
    let folder = folder("round-trip");
    let path = folder.join("heaps.lock");
    assert_eq!(Lock::<Memory>::read(&path).unwrap(), None);
    check_place(&path).unwrap();
    lock().write(&path).unwrap();
    assert_eq!(Lock::<Memory>::read(&path).unwrap(), Some(lock()));
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("# The heaps of sqlite")
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn every_cut_of_a_lock_is_refused() {
    let text = lock().text();
    // What is cut off behind the last heap, or in the comment before the first field, could look whole.
    for end in 0..text.len() {
        if text.is_char_boundary(end) && text[end..].trim().len() > 1 {
            assert!(
                Lock::<Memory>::parse(&text[..end]).is_err(),
                "{}",
                &text[..end]
            );
        }
    }
}

#[test]
fn what_no_lock_says_is_refused_by_name() {
    let with = |from: &str, to: &str| {
        let text = lock().text();
        assert!(text.contains(from), "{text}");
        Lock::<Memory>::parse(&text.replacen(from, to, 1)).unwrap_err()
    };
    let error = with("version = 1", "version = 2");
    assert!(error.contains("version 2"), "{error}");
    assert!(with("app = \"sqlite\"", "apq = \"sqlite\"").contains("apq"));
    assert!(with("app = \"tlsf:sl=4\"", "").contains("names no heap"));
    assert!(with("budget_s = 300.0", "budget_s = \"five\"").contains("budget_s"));
    assert!(Lock::<Memory>::parse("").is_err() && Lock::<Memory>::parse("\u{0}\u{1}").is_err());
}

#[test]
fn a_recipe_s_fingerprint_knows_builds_and_runs_only() {
    let folder = folder("fingerprint");
    let write = |text: &str| {
        paths::create(&folder.join("apps/x")).unwrap();
        fs::write(folder.join("apps/x/recipe.toml"), text).unwrap();
        crate::app::find(&folder, "x")
            .unwrap()
            .fingerprint()
            .to_string()
    };
    let text = "description = \"x\"\n[build]\nown_files = [\"x.c\"]\n[run]\nmemory = \"64M\"\n";
    let first = write(text);
    assert_eq!(first, write(&text.replace("\"x\"", "\"y\"")));
    let more = "[[workload]]\nname = \"w\"\nkind = \"run\"\n";
    assert_eq!(first, write(&format!("{text}{more}")));
    assert_ne!(first, write(&text.replace("64M", "65M")));
    assert_ne!(first, write(&text.replace("x.c", "y.c")));
}
