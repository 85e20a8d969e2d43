//! Apps of one's own: what a recipe may say, what is wrong with one, and what the makefiles of a small project may do.

mod common;

use common::{Ended, command, feed, scratch, text};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of apps of one's own.
struct Apps(PathBuf);

impl Apps {
    fn new(name: &str) -> Self {
        Self(scratch(&format!("apps-{name}")))
    }

    /// Adds an app: its recipe, and files beside it.
    fn add(&self, app: &str, recipe: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.0.join(app);
        for (name, content) in files.iter().chain(&[("recipe.toml", recipe)]) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        folder
    }

    fn bespoke(&self, arguments: &[&str]) -> Ended {
        feed(command(arguments).env("BESPOKE_APPS", &self.0), "")
    }

    /// What the app prints.
    fn says(&self, app: &str) -> String {
        self.bespoke(&["run", app, "--monitor", "process"])
            .success()
    }
}

/// The recipe of a program that the makefile in the folder `src` beside it builds.
const MAKE: &str = "description = \"test\"\n[build]\nfolder = \"src\"\nmake = [[\"make\"]]\nprogram = \"program\"\n[run]\nstack = \"64K\"\n";
/// The recipe of a program of one file.
const ONE_FILE: &str =
    "description = \"test\"\n[build]\nown_files = [\"main.c\"]\n[run]\nstack = \"64K\"\n";
const HELLO: &str = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n";

#[test]
fn a_broken_recipe_hides_no_other() {
    let apps = Apps::new("broken");
    apps.add("fine-one", ONE_FILE, &[("main.c", HELLO)]);
    apps.add("broken-toml", "description = ", &[]);
    apps.add("broken-build", "description = \"x\"\n[build]\n", &[]);
    let ended = apps.bespoke(&["apps"]);
    for name in ["fine-one", "broken-toml", "broken-build", "sqlite"] {
        assert!(ended.out.contains(name), "{ended:?}");
    }
    let error = ended.failure(1);
    assert!(error.contains("broken-toml/recipe.toml"), "{error}");
    assert!(
        error.contains("[build] names no C file and no program"),
        "{error}"
    );
    assert!(
        error
            .lines()
            .last()
            .expect("a line")
            .contains("broken-build, broken-toml"),
        "{error}"
    );
    let ended = apps.bespoke(&["apps", "--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&ended.out).expect("JSON");
    let broken = listed.iter().filter(|app| app["error"].is_string());
    assert_eq!(broken.count(), 2, "{listed:?}");
    ended.failure(1);
    let error = apps.bespoke(&["build", "broken-build"]).failure(1);
    assert!(error.contains("names no C file"), "{error}");
}

#[test]
fn own_files_are_optimised_unless_the_recipe_says_otherwise() {
    let apps = Apps::new("optimised");
    let main = "#include <stdio.h>\nint main(void) {\n#ifdef __OPTIMIZE__\nputs(\"optimised\");\n#else\nputs(\"plain\");\n#endif\nreturn 0; }\n";
    apps.add("with-default", ONE_FILE, &[("main.c", main)]);
    let plain = ONE_FILE.replace("[run]", "flags = [\"-O0\"]\n[run]");
    apps.add("with-o0", &plain, &[("main.c", main)]);
    assert_eq!(apps.says("with-default"), "optimised\n");
    assert_eq!(apps.says("with-o0"), "plain\n");
}

#[test]
fn a_folder_of_ones_own_needs_no_hash_and_is_known_by_its_contents() {
    let apps = Apps::new("folder");
    let makefile = "program: main.o part.o\n\tcc -o $@ $^\n";
    let part = |answer: u32| format!("int part(void) {{ return {answer}; }}\n");
    let main = "#include <stdio.h>\nint part(void);\nint main(void) { printf(\"%d\\n\", part()); return 0; }\n";
    let folder = apps.add(
        "of-a-folder",
        MAKE,
        &[
            ("src/Makefile", makefile),
            ("src/main.c", main),
            ("src/part.c", &part(1)),
        ],
    );
    assert_eq!(apps.says("of-a-folder"), "1\n");
    // What the user's own make left is not taken for the image's.
    let made = std::process::Command::new("make")
        .current_dir(folder.join("src"))
        .output();
    assert!(made.expect("make is there").status.success());
    fs::write(folder.join("src/part.c"), part(2)).expect("a file");
    let old = std::time::SystemTime::UNIX_EPOCH;
    let file = fs::File::open(folder.join("src/part.c")).expect("it is there");
    file.set_modified(old).expect("its time can be set");
    assert_eq!(apps.says("of-a-folder"), "2\n");
    let missing = MAKE.replace("\"src\"", "\"absent\"");
    apps.add("of-nothing", &missing, &[]);
    let error = apps.bespoke(&["build", "of-nothing"]).failure(1);
    assert!(error.contains("[build] folder"), "{error}");
    assert!(Path::new(text(&folder)).exists());
}
