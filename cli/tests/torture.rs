//! SQLite images that complete, fail, fill up, are terminated and are killed, at random times: the host's database is
//! whole after each, and holds what was there before or what the run's committed transactions explain.
//!
//! `make torture` does 200 runs; without BESPOKE_TORTURE_RUNS there are 10. BESPOKE_TORTURE_SEED repeats the choices of an
//! earlier test, though not the moments of its signals.

mod common;

use common::sqlite::{ROWS, advance, ask, companion, create, files, generation};
use common::{command, monitors, scratch, text};
use std::env;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

const SHORT_RUNS: u64 = 10;
/// Transactions of a run that completes.
const TRANSACTIONS: usize = 30;
const JOURNAL_MODES: [&str; 6] = ["delete", "truncate", "persist", "wal", "memory", "off"];

/// How a run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Completes,
    /// A statement fails within a transaction.
    Fails,
    /// The image has no memory for the next transaction.
    Fills,
    /// SIGTERM.
    Terminated,
    /// SIGKILL of the monitor.
    Killed,
}

const FATES: [Fate; 5] = [
    Fate::Completes,
    Fate::Fails,
    Fate::Fills,
    Fate::Terminated,
    Fate::Killed,
];

/// `pragma mmap_size`: off, and more than a database has.
const MMAP_BYTES: [u64; 2] = [0, 64 << 20];

/// What a run is.
#[derive(Clone, Copy, Debug)]
struct Plan {
    monitor: &'static str,
    journal: &'static str,
    mmap_bytes: u64,
    /// Each transaction changes a second database as well.
    attached: bool,
    always: bool,
    fate: Fate,
    /// When the signal comes, after the first transaction.
    delay: Duration,
}

/// xorshift64*, after Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

fn number(name: &str, default: u64) -> u64 {
    let given = env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_end_of_a_run_damages_a_database() {
    let folder = scratch("torture");
    let database = folder.join("shop.db");
    let runs = number("BESPOKE_TORTURE_RUNS", SHORT_RUNS);
    let seed = number("BESPOKE_TORTURE_SEED", 1);
    let monitors = monitors();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // By fate: runs, and those of them that ended with status 0.
    let mut counts = [(0, 0); FATES.len()];
    for run in 0..runs {
        // Every fate and both kinds of --out come early, also where there are few runs.
        let plan = Plan {
            fate: FATES[run as usize % FATES.len()],
            always: run / FATES.len() as u64 % 2 == 1,
            monitor: random.of(&monitors),
            journal: random.of(&JOURNAL_MODES),
            mmap_bytes: random.of(&MMAP_BYTES),
            attached: random.below(4) == 0,
            delay: Duration::from_micros(random.below(60_000)),
        };
        let ended = torture(&database, plan);
        let has_succeeded = ended.unwrap_or_else(|what| {
            panic!("run {run} of seed {seed}: {plan:?}: {what}");
        });
        let count = &mut counts[run as usize % FATES.len()];
        *count = (count.0 + 1, count.1 + u64::from(has_succeeded));
        if matches!(plan.fate, Fate::Completes | Fate::Fails | Fate::Fills) {
            assert_eq!(has_succeeded, plan.fate == Fate::Completes, "{plan:?}");
        }
    }
    println!("seed {seed}: {FATES:?}: {counts:?} (runs, with status 0)");
}

/// The statements of a run.
fn script(plan: &Plan) -> String {
    let mut sql = format!(
        "pragma journal_mode={}; pragma cache_size=10; pragma mmap_size={};\n",
        plan.journal, plan.mmap_bytes
    );
    let (whole, end) = match plan.fate {
        Fate::Fails => (
            3,
            "begin; update t set generation=99, b=randomblob(2000); insert into none values(1);\n",
        ),
        Fate::Fills => (3, "update t set generation=99, b=zeroblob(100000);\n"),
        _ => (TRANSACTIONS, ""),
    };
    if plan.attached {
        sql += "attach '/other.db' as other; pragma other.cache_size=10;\n";
    }
    sql.extend((1..=whole).map(|generation| {
        let other = format!(
            "begin; update other.t set generation={generation}, b=randomblob(2000); \
             insert into other.log values({generation});"
        );
        let sql = advance(generation);
        match plan.attached {
            true => sql.replacen("begin;", &other, 1),
            false => sql,
        }
    }));
    sql + end
}

/// One run; whether it ended with status 0. An error says what is wrong with what it left.
fn torture(database: &Path, plan: Plan) -> Result<bool, String> {
    let other = database.with_file_name("other.db");
    let stays = if plan.journal == "wal" {
        "wal"
    } else {
        "delete"
    };
    create(database, stays);
    create(&other, stays);
    let all_files = || [files(database), files(&other)].concat();
    let before = all_files();
    let file = format!("{}=/shop.db", text(database));
    let out = format!("/shop.db={}", text(database));
    let memory = if plan.fate == Fate::Fills {
        "12M"
    } else {
        "64M"
    };
    let mut line = vec![
        "run",
        "sqlite",
        "-m",
        memory,
        "--monitor",
        plan.monitor,
        "--file",
        &file,
        "--out",
        &out,
    ];
    let second = [text(&other), "=/other.db"].concat();
    let second_out = ["/other.db=", text(&other)].concat();
    if plan.attached {
        line.extend(["--file", &second, "--out", &second_out]);
    }
    if plan.always {
        line.push("--out-always");
    }
    line.extend(["--", "-bail", "/shop.db"]);
    let mut child = command(&line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut input = child.stdin.take().expect("a pipe");
    let sql = script(&plan);
    // It may end before it has read all.
    let feeder = thread::spawn(move || drop(input.write_all(sql.as_bytes())));
    let (status, said, errors) = end(child, &plan);
    feeder.join().expect("it ends with the run");
    let told = || format!("{status:?}, said {said:?}, errors {errors:?}");
    // A signal may come when all is said, but not all is done.
    let has_said_all = said.last() == Some(&TRANSACTIONS);
    let is_signalled = matches!(plan.fate, Fate::Terminated | Fate::Killed);
    if status.success() != has_said_all && !(has_said_all && is_signalled) {
        return Err(format!("status and output disagree: {}", told()));
    }
    if !status.success() && (!plan.always || plan.fate == Fate::Killed) && all_files() == before {
        return Ok(false);
    }
    // Whoever is killed while files are written back has ended with status 0; each file is the old one or the new one.
    if plan.fate == Fate::Killed && !status.success() && has_said_all {
        let is_whole = |database: &&Path| matches!(generation(database), 0 | TRANSACTIONS);
        return match [database, &other].iter().all(is_whole) {
            true => Ok(false),
            false => Err(format!("half a file was written back: {}", told())),
        };
    }
    if !status.success() && (!plan.always || plan.fate == Fate::Killed) {
        return Err(format!("a failed run changed the files: {}", told()));
    }
    if !status.success() && matches!(plan.journal, "memory" | "off") {
        // Natively, too, such a database may be damaged; it must only be there.
        let bytes = files(database)[0].as_ref().map_or(0, Vec::len);
        return match bytes >= ROWS * 2000 {
            true => Ok(false),
            false => Err(format!("{bytes} bytes are left: {}", told())),
        };
    }
    // A transaction may have been committed that was not told of yet.
    let last = said.last().copied().unwrap_or(0);
    let databases = if plan.attached {
        &[database, &other][..]
    } else {
        &[database]
    };
    for database in databases {
        match generation(database) {
            found if found == last || found == last + 1 && !status.success() => {}
            found => return Err(format!("generation {found}: {}", told())),
        }
    }
    if status.success() && companion(database, "-wal").exists() {
        return Err(format!("a -wal is left after a clean end: {}", told()));
    }
    // It can be worked with.
    ask(database, "insert into log values(1); vacuum;");
    Ok(status.success())
}

/// Lets the run come to its end: the status, the generations that it said were committed, and its messages.
fn end(mut child: Child, plan: &Plan) -> (ExitStatus, Vec<usize>, String) {
    let mut out = child.stdout.take().expect("a pipe");
    let mut err = child.stderr.take().expect("a pipe");
    let errors = thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).map(|_| text)
    });
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    let signal = match plan.fate {
        Fate::Terminated => Some(libc::SIGTERM),
        Fate::Killed => Some(libc::SIGKILL),
        _ => None,
    };
    let mut signal = signal;
    loop {
        let count = out.read(&mut chunk).expect("output");
        if count == 0 {
            break;
        }
        said.extend_from_slice(&chunk[..count]);
        if let Some(signal) = signal.take_if(|_| said.contains(&b'c')) {
            thread::sleep(plan.delay);
            // SAFETY: our own child, not reaped yet.
            unsafe { libc::kill(child.id() as i32, signal) };
        }
    }
    let status = child.wait().expect("it ends");
    let said = String::from_utf8_lossy(&said).into_owned();
    let committed = said
        .lines()
        .filter_map(|line| line.strip_prefix("committed "));
    let committed = committed.filter_map(|text| text.parse().ok()).collect();
    let errors = errors.join().expect("it reads").expect("messages");
    (status, committed, errors)
}
