//! Locks are read as they are written; what is damaged, foreign or of another version is refused by name.

use super::*;
use crate::measure::Machine;

fn lock() -> Lock {
    let why = Account {
        goal: "memory".into(),
        within: vec!["size<=2M".into()],
        components: vec!["app".into()],
        workloads: vec!["inserts-1000".into()],
        passed_only: Vec::new(),
        monitor: "process".into(),
        started: "2026-11-25 20:00:00".into(),
        budget_s: 300.0,
        took_s: 12.0,
        raw: "sqlite-20261125-200000-1".into(),
        default: "app=tlsf libos=tlsf stack=region boot=region".into(),
        chosen: Some("app=tlsf:sl=4 libos=tlsf stack=region boot=region".into()),
        label: Some("app=tlsf:sl=4".into()),
        note: String::new(),
        doubts: Vec::new(),
        proof: None,
        machine: Machine::here().unwrap(),
        beside: Vec::new(),
        candidates: Vec::new(),
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
    place::create(&folder).unwrap();
    folder
}

#[test]
fn a_lock_is_read_as_it_is_written_and_leaves_nothing_beside_it() {
    let folder = folder("round-trip");
    let path = folder.join("heaps.lock");
    assert_eq!(Lock::read(&path).unwrap(), None);
    check_place(&path).unwrap();
    lock().write(&path).unwrap();
    assert_eq!(Lock::read(&path).unwrap(), Some(lock()));
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
            assert!(Lock::parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }
}

#[test]
fn what_no_lock_says_is_refused_by_name() {
    let with = |from: &str, to: &str| {
        let text = lock().text();
        assert!(text.contains(from), "{text}");
        Lock::parse(&text.replacen(from, to, 1)).unwrap_err()
    };
    let error = with("version = 1", "version = 2");
    assert!(error.contains("version 2"), "{error}");
    assert!(with("app = \"sqlite\"", "apq = \"sqlite\"").contains("apq"));
    assert!(with("app = \"tlsf:sl=4\"", "").contains("names no heap"));
    assert!(with("budget_s = 300.0", "budget_s = \"five\"").contains("budget_s"));
    assert!(Lock::parse("").is_err() && Lock::parse("\u{0}\u{1}").is_err());
}

#[test]
fn a_recipe_s_fingerprint_knows_builds_and_runs_only() {
    let folder = folder("fingerprint");
    let write = |text: &str| {
        place::create(&folder.join("apps/x")).unwrap();
        fs::write(folder.join("apps/x/recipe.toml"), text).unwrap();
        crate::recipe::app(&folder, "x")
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
