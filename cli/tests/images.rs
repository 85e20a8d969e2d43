//! Images from end to end: built, run on every monitor of this machine, with every heap.

mod common;

use common::{
    all_monitors, bespoke, command, feed, heaps, monitors, scratch, stock_monitors, text,
};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Varied sizes, sorting, text and blobs, freed and allocated again; prints one line.
const SQL: &str = "\
create table t(id integer primary key, name text, body blob);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 2000)
  insert into t select x, 'name ' || (x * 7919 % 2000), zeroblob(x % 700) from c;
create index by_name on t(name);
delete from t where id % 3 = 0;
update t set body = zeroblob(1500) where id % 5 = 0;
select count(*), sum(length(body)), min(name) from (select * from t order by name, random());
";
const ANSWER: &str = "1334|758032|name 0\n";

#[test]
fn hello_prints_and_ends_on_every_monitor() {
    for monitor in all_monitors() {
        let ended = bespoke(&["run", "hello", "--monitor", monitor]);
        assert_eq!(
            ended.success(),
            "Hello from a Bespoke image.\n",
            "{monitor}"
        );
    }
}

#[test]
fn sqlite_answers_from_arguments_and_from_a_script() {
    for monitor in all_monitors() {
        let run = |rest: &[&str]| {
            bespoke(&[&["run", "sqlite", "--monitor", monitor, "--"], rest].concat())
        };
        assert_eq!(
            run(&[":memory:", "select sqlite_version()"]).success(),
            "3.40.1\n"
        );
        let wrong = run(&[":memory:", "select nothing"]);
        assert_eq!(
            wrong.status,
            Some(1),
            "the exit status is the application's: {wrong:?}"
        );
        let script = feed(
            &mut command(&["run", "sqlite", "--monitor", monitor, "--", "/t.db"]),
            SQL,
        );
        assert_eq!(script.success(), ANSWER, "{monitor}");
    }
}

#[test]
fn every_heap_serves_sqlite() {
    for heap in heaps() {
        for monitor in all_monitors() {
            let line = [
                "run",
                "sqlite",
                "--heap",
                &heap,
                "--monitor",
                monitor,
                "--",
                ":memory:",
            ];
            assert_eq!(
                feed(&mut command(&line), SQL).success(),
                ANSWER,
                "{heap} on {monitor}"
            );
        }
    }
}

#[test]
fn a_parameter_is_another_image_that_does_what_it_says() {
    let most_held = |heap: &str| {
        let line = ["run", "sqlite", "--heap", heap, "--monitor", "process"];
        let ended = bespoke(&[&line[..], &["--stats", "--json", "--", ":memory:", SQL]].concat());
        assert_eq!(ended.out, ANSWER, "{heap}: {ended:?}");
        let told: serde_json::Value = serde_json::from_str(&ended.err).expect("statistics");
        let app = &told["stats"]["components"][0];
        app["peak_pages"].as_u64().expect("pages held")
    };
    // A share of memory; segments, of which there is one at least, compiled into the C.
    let (half, tenth) = (
        most_held("tinyalloc:blocks=8192"),
        most_held("tinyalloc:blocks=8192:share=10"),
    );
    assert!(4 * tenth < half, "{tenth}, {half}");
    let (small, large) = (
        most_held("mimalloc:segment=256K"),
        most_held("mimalloc:segment=4M"),
    );
    assert!(small < large && large % 1024 < 64, "{small}, {large}");
}

/// Pages that the kernel had to find for a run, and for what it started.
fn faults(line: &[&str]) -> i64 {
    let mut command = command(line);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null());
    let id = child.spawn().expect("the command starts").id();
    // SAFETY: plain numbers, all of which may be 0.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: our own child, which nobody else waits for; both places outlive the call.
    let ended = unsafe { libc::wait4(id as i32, &raw mut status, 0, &raw mut used) };
    assert_eq!((ended, status), (id as i32, 0), "{line:?}");
    used.ru_minflt
}

#[test]
fn huge_pages_can_be_refused() {
    let kind = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if kind.as_ref().map_or(true, |kind| kind.contains("[never]")) {
        eprintln!("skipped: this kernel gives no huge pages ({kind:?})");
        return;
    }
    for monitor in monitors() {
        let [on, off] = ["tlsf", "tlsf:huge=off"].map(|heap| {
            let line = ["run", "sqlite", "--heap", heap, "--monitor", monitor];
            let rest = [
                "-m",
                "128M",
                "--",
                ":memory:",
                "select length(randomblob(40000000))",
            ];
            faults(&[&line[..], &rest].concat())
        });
        // 40 MB are 9,766 pages.
        assert!(off > 9_700 && on < off / 2, "{monitor}: {on}, {off}");
    }
}

#[test]
fn an_image_holds_the_heaps_it_names_and_no_other() {
    let folder = scratch("symbols");
    let all = heaps();
    for heap in &all {
        let image = folder.join(heap);
        let one = |component: &str| format!("{component}={heap}");
        let line = [
            "build",
            "hello",
            "-o",
            text(&image),
            "--heap",
            heap,
            "--heap",
            &one("libos"),
            "--heap",
            &one("stack"),
            "--heap",
            &one("boot"),
        ];
        let told = bespoke(&line).success();
        assert!(
            told.contains(&format!("app={heap} libos={heap} stack={heap} boot={heap}")),
            "{told}"
        );
        let symbols = Command::new("nm")
            .arg(folder.join(format!("{heap}.debug")))
            .output()
            .unwrap();
        let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
        assert!(
            symbols.contains("bespoke_syscall"),
            "the debug file names the functions of {heap}'s image"
        );
        for other in all.iter().filter(|other| *other != heap) {
            assert!(
                !symbols.contains(&format!("heap_{other}")),
                "{heap}'s image holds code of {other}"
            );
        }
        assert!(
            symbols.contains(&format!("heap_{heap}")),
            "{heap}'s image holds its code"
        );
    }
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let folder = scratch("repeatable");
    let build = |name: &str| {
        // Another path of the same length: the name of the debug file is in the image.
        let place = folder.join(name);
        fs::create_dir_all(&place).unwrap();
        let image = place.join("image");
        bespoke(&["build", "hello", "--heap", "tlsf", "-o", text(&image)]).success();
        fs::read(image).unwrap()
    };
    let first = build("a");
    // In between, the shared folders are used for something else.
    bespoke(&["build", "hello", "--heap", "talc"]).success();
    assert!(first == build("b"));
}

#[test]
fn an_image_is_run_by_its_path_and_keeps_its_heaps() {
    let folder = scratch("by-path");
    let image = folder.join("hello.img");
    bespoke(&["build", "hello", "-o", text(&image)]).success();
    assert_eq!(
        bespoke(&["run", text(&image)]).success(),
        "Hello from a Bespoke image.\n"
    );
    let error = bespoke(&["run", text(&image), "--heap", "talc"]).failure(2);
    assert!(error.contains("build it again"), "{error}");
}

#[test]
fn files_go_in_and_come_out() {
    let folder = scratch("files");
    let (input, output) = (folder.join("in.sql"), folder.join("out.db"));
    fs::write(&input, SQL).unwrap();
    for monitor in monitors() {
        let _ = fs::remove_file(&output);
        let (file, out) = (
            format!("{}=/in.sql", text(&input)),
            format!("/out.db={}", text(&output)),
        );
        let line = [
            "run",
            "sqlite",
            "--monitor",
            monitor,
            "--file",
            &file,
            "--out",
            &out,
            "--",
            "/out.db",
            ".read /in.sql",
        ];
        assert_eq!(bespoke(&line).success(), ANSWER, "{monitor}");
        assert!(fs::read(&output).unwrap().starts_with(b"SQLite format 3\0"));
        // The database that came out goes back in.
        let file = format!("{}=/again.db", text(&output));
        let line = [
            "run",
            "sqlite",
            "--monitor",
            monitor,
            "--file",
            &file,
            "--",
            "/again.db",
            "select count(*) from t; pragma integrity_check",
        ];
        assert_eq!(bespoke(&line).success(), "1334\nok\n", "{monitor}");
    }
}

#[test]
fn the_time_line_and_the_statistics_are_told_on_every_monitor() {
    for monitor in all_monitors() {
        let line = [
            "run",
            "sqlite",
            "--monitor",
            monitor,
            "--boot-time",
            "--stats",
            "--json",
            "--",
            ":memory:",
            "select 1",
        ];
        let ended = bespoke(&line);
        let value: serde_json::Value = serde_json::from_str(&ended.err).expect(&ended.err);
        let at = |name: &str| {
            value["boot_us"][name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {value:#}"))
        };
        // When a stock monitor enters the image, it keeps for itself.
        let entered = if stock_monitors().contains(&monitor) {
            "first_instruction"
        } else {
            "enter"
        };
        assert!(
            0.0 < at(entered) && at(entered) <= at("main") && at("main") < at("exit"),
            "{value:#}"
        );
        let app = &value["stats"]["components"][0];
        assert_eq!(app["name"], "app");
        assert!(app["allocations"].as_u64() > Some(100), "{value:#}");
        assert!(
            app["peak_bytes"].as_u64() >= app["live_bytes"].as_u64(),
            "{value:#}"
        );
        ended.success();
    }
}

#[test]
fn the_native_program_is_the_same_program() {
    let program = bespoke(&["build", "sqlite", "--native"]).success();
    let native = feed(Command::new(program.trim()).arg(":memory:"), SQL);
    assert_eq!(native.success(), ANSWER);
    let options = "select group_concat(compile_options, ' ') from pragma_compile_options where compile_options not like 'COMPILER%'";
    let native = feed(Command::new(program.trim()).args([":memory:", options]), "").success();
    assert_eq!(
        native,
        bespoke(&["run", "sqlite", "--", ":memory:", options]).success()
    );
}

/// As shells that stand in the folder have them.
#[test]
fn folders_of_the_environment_may_be_relative() {
    let output = scratch("relative").join("hello");
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let home = home.canonicalize().expect("the sources");
    let cache = bespoke_sources::cache_root().expect("a cache");
    let name = Path::new(cache.file_name().expect("a folder"));
    for (folder, variable, value) in [
        (&*home, "BESPOKE_HOME", Path::new(".")),
        (cache.parent().expect("a folder"), "BESPOKE_CACHE", name),
    ] {
        let mut build = command(&["build", "hello", "-o", text(&output)]);
        build.current_dir(folder).env(variable, value);
        feed(&mut build, "").success();
        let said = bespoke(&["run", text(&output), "--monitor", "process"]).success();
        assert_eq!(said, "Hello from a Bespoke image.\n", "{variable}");
    }
}
