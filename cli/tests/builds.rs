//! Builds beside each other, builds that are killed, and what a build says meanwhile.

mod common;

use common::{Ended, command, feed, scratch};
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// A build may have to make the C library first, on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// A folder with an app `slow-NAME`, whose makefile says `started` and goes on when there is a file `go`, and an app `quick-NAME`.
struct Apps {
    folder: PathBuf,
    slow: String,
    quick: String,
}

impl Apps {
    fn new(name: &str) -> Self {
        let folder = scratch(&format!("builds-{name}"));
        let apps = Self {
            slow: format!("slow-{name}"),
            quick: format!("quick-{name}"),
            folder,
        };
        let main = format!(
            "#include <stdio.h>\n/* {:?} */\nint main(void) {{ puts(\"done\"); return 0; }}\n",
            Instant::now()
        );
        let wait = format!(
            "program: main.c\n\ttouch {0}/started; while ! test -e {0}/go; do sleep 0.05; done; touch {0}/went\n\tcc -c main.c\n\tcc -o program main.o\n",
            apps.folder.display()
        );
        let recipe = "description = \"x\"\n[build]\nfolder = \"src\"\nmake = [[\"make\"]]\nprogram = \"program\"\n[run]\nstack = \"64K\"\n";
        apps.write(&format!("{}/recipe.toml", apps.slow), recipe);
        apps.write(&format!("{}/src/Makefile", apps.slow), &wait);
        apps.write(&format!("{}/src/main.c", apps.slow), &main);
        let recipe =
            "description = \"x\"\n[build]\nown_files = [\"main.c\"]\n[run]\nstack = \"64K\"\n";
        apps.write(&format!("{}/recipe.toml", apps.quick), recipe);
        apps.write(&format!("{}/main.c", apps.quick), &main);
        apps
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("BESPOKE_APPS", &self.folder);
        command
    }

    fn bespoke(&self, arguments: &[&str]) -> Ended {
        feed(&mut self.command(arguments), "")
    }

    /// Begins a build of the slow app and waits until its makefile waits; the lines that it says come out.
    fn begin(&self) -> (Build, Receiver<String>) {
        let (child, said) = self.spawn(&["build", &self.slow]);
        wait_for(|| self.folder.join("started").exists());
        (child, said)
    }

    fn spawn(&self, arguments: &[&str]) -> (Build, Receiver<String>) {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (say, said) = mpsc::channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        (Build(child), said)
    }

    fn go(&self) {
        fs::write(self.folder.join("go"), "").expect("a file");
    }
}

/// A build that ends with its test, whatever becomes of that: others would wait for it.
struct Build(Child);

impl Deref for Build {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Build {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LIMIT, "it takes too long");
        thread::sleep(Duration::from_millis(20));
    }
}

fn hears(said: &Receiver<String>, words: &str) -> String {
    loop {
        let line = said.recv_timeout(LIMIT).expect("a line");
        if line.contains(words) {
            return line;
        }
    }
}

#[test]
fn builds_of_different_apps_go_on_side_by_side() {
    let apps = Apps::new("beside");
    let (mut slow, _said) = apps.begin();
    apps.bespoke(&["build", &apps.quick]).success();
    let ended = apps.bespoke(&["run", &apps.quick, "--monitor", "process"]);
    assert_eq!(ended.success(), "done\n");
    assert!(
        slow.try_wait().expect("a child").is_none(),
        "it did not wait"
    );
    apps.go();
    assert!(slow.wait().expect("a child").success());
}

#[test]
fn who_waits_for_a_build_says_for_which() {
    let apps = Apps::new("same");
    let (mut slow, _said) = apps.begin();
    // Another image of the same app: the tree is the same.
    let (mut second, said) = apps.spawn(&["build", &apps.slow, "--heap", "region"]);
    let line = hears(&said, "waiting for");
    assert!(line.contains(&slow.id().to_string()), "{line}");
    assert!(
        line.contains(&format!("the makefiles of {}", apps.slow)),
        "{line}"
    );
    // The same image.
    let (mut third, said) = apps.spawn(&["run", &apps.slow, "--monitor", "process"]);
    let line = hears(&said, "waiting for");
    assert!(
        line.contains(&format!("this image of {}", apps.slow)),
        "{line}"
    );
    apps.go();
    for child in [&mut slow, &mut second, &mut third] {
        assert!(child.wait().expect("a child").success());
    }
}

#[test]
fn a_run_says_what_it_builds_where_there_is_no_terminal() {
    let apps = Apps::new("says");
    let ended = apps.bespoke(&["run", &apps.quick, "--monitor", "process"]);
    assert!(
        ended
            .err
            .contains("bespoke: compiling quick-says (1 C files)"),
        "{ended:?}"
    );
    assert!(
        ended
            .err
            .contains("bespoke: building the library OS and the heaps"),
        "{ended:?}"
    );
    let again = apps.bespoke(&["run", &apps.quick, "--monitor", "process"]);
    assert_eq!((again.err.as_str(), again.out.as_str()), ("", "done\n"));
}

#[test]
fn a_killed_build_leaves_nothing_half_made() {
    let apps = Apps::new("killed");
    let (mut slow, _said) = apps.begin();
    slow.kill().expect("it lives");
    slow.wait().expect("a child");
    let output = apps.folder.join("image");
    let (mut next, _said) = {
        fs::remove_file(apps.folder.join("started")).expect("it is there");
        let path = output.to_str().expect("a plain name");
        apps.spawn(&["build", &apps.slow, "-o", path])
    };
    // The first build's makefile has ended with it, so the next one begins anew.
    wait_for(|| apps.folder.join("started").exists());
    assert!(!apps.folder.join("went").exists());
    apps.go();
    assert!(next.wait().expect("a child").success());
    assert!(ran(&output));
    let beside = fs::read_dir(&apps.folder).expect("a folder").flatten();
    let beside: Vec<String> = beside
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        !beside
            .iter()
            .any(|name| name.ends_with("part") || name.ends_with("whole")),
        "{beside:?}"
    );
}

fn ran(image: &Path) -> bool {
    let path = image.to_str().expect("a plain name");
    let ended = feed(&mut command(&["run", path, "--monitor", "process"]), "");
    ended.success() == "done\n"
}
