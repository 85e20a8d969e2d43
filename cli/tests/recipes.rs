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

#[test]
fn makefiles_may_compile_and_link_in_one_step_and_use_the_usual_tools() {
    let apps = Apps::new("tools");
    let main = "#include <stdio.h>\nint one(void), two(void), three(void), four(void);\nint main(void) { printf(\"%d%d%d%d\\n\", one(), two(), three(), four()); return WITH; }\n";
    // Archives, an object of objects, a shared library, and a link that compiles; what is linked is moved and stripped.
    let makefile = "\
all:\n\
\tgcc -c one.c -o one.o\n\
\tar cr libone.a one.o\n\
\tranlib libone.a\n\
\tcc -fPIC -shared -o libtwo.so two.c -lm\n\
\tcc -c three.c && ld -r -o all.o three.o\n\
\tgcc -DWITH=0 '-DTEXT=\"a b\"' -o program.tmp main.c sub/main.c all.o -L. -lone -L . -ltwo -lm -lpthread\n\
\t./program.tmp >said\n\
\tmkdir -p bin && mv program.tmp bin/program && strip bin/program\n";
    let number = |name: &str, value: u32| format!("int {name}(void) {{ return {value}; }}\n");
    let four = "#include <string.h>\nint four(void) { return (int)strlen(TEXT) + 1; }\n";
    let (one, two, three) = (number("one", 1), number("two", 2), number("three", 3));
    let files = [
        ("src/Makefile", makefile),
        ("src/main.c", main),
        ("src/one.c", &one),
        ("src/two.c", &two),
        ("src/three.c", &three),
        ("src/sub/main.c", four),
    ];
    let recipe = MAKE.replace("\"program\"", "\"program.tmp\"");
    apps.add("with-tools", &recipe, &files);
    assert_eq!(apps.says("with-tools"), "1234\n");
}

#[test]
fn a_program_that_cannot_be_linked_says_why() {
    let apps = Apps::new("unlinked");
    let add = |name: &str, makefile: &str| {
        let makefile = format!("all:\n{makefile}");
        let files = [
            ("src/Makefile", &*makefile),
            ("src/main.c", HELLO),
            ("src/part.cc", "int part;\n"),
        ];
        apps.add(name, MAKE, &files);
        apps.bespoke(&["build", name]).failure(1)
    };
    let error = add(
        "with-cxx",
        "\tcc -c main.c\n\tg++ -c part.cc\n\tg++ -o program main.o part.o\n",
    );
    assert!(error.contains("C++ is not supported"), "{error}");
    let error = add(
        "with-cc-cxx",
        "\tcc -c main.c\n\tcc -c part.cc\n\tcc -o program main.o part.o\n",
    );
    assert!(
        error.contains("C++ is not supported") && error.contains("part.cc"),
        "{error}"
    );
    let error = add("with-other-name", "\tcc -o prog main.c\n");
    assert!(
        error.contains("was not made") && error.contains("what was linked: prog;"),
        "{error}"
    );
    let error = add("with-whole-path", "\t/usr/bin/gcc -o program main.c\n");
    assert!(error.contains("not linked by `cc`"), "{error}");
    let error = add("with-machine-library", "\tcc -o program main.c -lanl\n");
    assert!(error.contains("cannot find -lanl"), "{error}");
}

#[test]
fn configure_checks_that_run_programs_are_answered_by_the_images_c_library() {
    let apps = Apps::new("configure");
    // As autoconf does: compile and link, then run; the machine's own libraries are not there.
    let configure = "#!/bin/sh\nset -e\necho 'int main(void) { return sizeof (long) - 8; }' >conftest.c\n\
        ${CC:-gcc} -o conftest conftest.c && ./conftest && rm -f conftest*\n\
        printf '#include <features.h>\\n#ifdef __GLIBC__\\n#error glibc\\n#endif\\nint main(void) { return 0; }\\n' >conftest.c\n\
        cc conftest.c -o conftest && echo '#define IS_MUSL 1' >config.h\n\
        if cc conftest.c -lanl 2>/dev/null; then echo '#define HAS_ANL 1' >>config.h; fi\n\
        if c++ --version >/dev/null 2>&1; then echo '#define HAS_CXX 1' >>config.h; fi\n\
        rm -f conftest*\n";
    let main = "#include <stdio.h>\n#include \"config.h\"\nint main(void) {\n#ifdef IS_MUSL\nputs(\"musl\");\n#endif\n\
        #ifdef HAS_ANL\nputs(\"anl\");\n#endif\n#ifdef HAS_CXX\nputs(\"c++\");\n#endif\nreturn 0; }\n";
    let recipe = MAKE.replace("[\"make\"]", "[\"sh\", \"configure\"], [\"make\"]");
    let files = [
        ("src/configure", configure),
        ("src/main.c", main),
        ("src/Makefile", "program: main.c\n\t$(CC) -o $@ $<\n"),
    ];
    apps.add("with-configure", &recipe, &files);
    assert_eq!(apps.says("with-configure"), "musl\n");
}

#[test]
fn the_kernels_headers_are_there_and_shadow_nothing() {
    let apps = Apps::new("kernel");
    let headers = [
        "linux/limits.h",
        "linux/mman.h",
        "linux/futex.h",
        "linux/if.h",
        "asm/types.h",
        "asm/ioctl.h",
        "asm/unistd.h",
        "linux/types.h",
        "linux/sockios.h",
        "linux/version.h",
        "linux/ioctl.h",
        "linux/tcp.h",
    ];
    for (i, header) in headers.iter().enumerate() {
        println!("{i} {header}");
    }
    let alone: Vec<(String, String)> = headers
        .iter()
        .enumerate()
        .map(|(i, header)| {
            (
                format!("h{i}.c"),
                format!("#include <{header}>\nint h{i};\n"),
            )
        })
        .collect();
    let main = "\
#include <net/if.h>\n#include <netinet/in.h>\n#include <sys/mman.h>\n#include <linux/if.h>\n#include <linux/in.h>\n#include <linux/futex.h>\n\
#include <linux/limits.h>\n#include <stdio.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
int main(void) {\n    struct ifreq request;\n    int word = 1;\n\
    long woken = syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);\n\
    printf(\"%d %d %ld\\n\", (int)sizeof request, PATH_MAX, woken);\n    return 0;\n}\n";
    let mut files: Vec<(&str, &str)> = vec![("main.c", main)];
    files.extend(alone.iter().map(|(name, text)| (&**name, &**text)));
    let names: Vec<String> = files.iter().map(|(name, _)| format!("{name:?}")).collect();
    let recipe = ONE_FILE.replace("\"main.c\"", &names.join(", "));
    apps.add("with-kernel", &recipe, &files);
    assert_eq!(apps.says("with-kernel"), "40 4096 0\n");
    // By the compiler that makefiles see, too.
    let makefile = "program: main.c\n\tcc -o $@ $<\n";
    apps.add(
        "with-kernel-make",
        MAKE,
        &[("src/Makefile", makefile), ("src/main.c", main)],
    );
    assert_eq!(apps.says("with-kernel-make"), "40 4096 0\n");
}

#[test]
fn an_app_that_asks_for_sockets_gets_a_network() {
    let apps = Apps::new("network");
    let main = "#include <stdio.h>\n#include <sys/socket.h>\n#include <netinet/in.h>\n\
        int main(void) {\n    int s = socket(AF_INET, SOCK_STREAM, 0);\n    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };\n\
        printf(\"%d %d\\n\", s >= 0, s >= 0 && bind(s, (struct sockaddr *)&a, sizeof a) == 0 && listen(s, 5) == 0);\n    return 0;\n}\n";
    apps.add("with-sockets", ONE_FILE, &[("main.c", main)]);
    let built = apps.bespoke(&["build", "with-sockets", "--json"]);
    assert!(
        built.err.contains("with-sockets calls socket and listen"),
        "{built:?}"
    );
    assert!(built.err.contains("net = \"none\""), "{built:?}");
    assert!(built.success().contains("net=tlsf"));
    assert_eq!(apps.says("with-sockets"), "1 1\n");
    // Whoever says otherwise is heard, beside the other image.
    let without = [
        "run",
        "with-sockets",
        "--heap",
        "net=none",
        "--monitor",
        "process",
    ];
    assert_eq!(apps.bespoke(&without).success(), "0 0\n");
    assert_eq!(apps.says("with-sockets"), "1 1\n");
    let recipe = format!("{ONE_FILE}heaps = {{ net = \"none\" }}\n");
    apps.add("with-sockets", &recipe, &[("main.c", main)]);
    assert_eq!(apps.says("with-sockets"), "0 0\n");
    apps.add("without-sockets", ONE_FILE, &[("main.c", HELLO)]);
    let built = apps
        .bespoke(&["build", "without-sockets", "--json"])
        .success();
    assert!(!built.contains("net="), "{built}");
}

/// A malloc of its own, from an array.
const OWN_MALLOC: &str = "\
#include <stddef.h>\n#include <string.h>\n\
char arena[1 << 20];\nstatic size_t used;\n\
void *malloc(size_t n) { size_t *p = (size_t *)(arena + used); used += (n + 31) & ~15UL; *p = n; return p + 2; }\n\
void *calloc(size_t n, size_t m) { return memset(malloc(n * m), 0, n * m); }\n\
void *realloc(void *p, size_t n) { void *q = malloc(n); if (p) { size_t o = ((size_t *)p)[-2]; memcpy(q, p, o < n ? o : n); } return q; }\n\
void free(void *p) { (void)p; }\n";

#[test]
fn an_app_may_bring_its_own_malloc() {
    let apps = Apps::new("malloc");
    let main = "\
#include <errno.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
extern char arena[1 << 20];\nstatic int own(void *p) { return (char *)p > arena && (char *)p < arena + sizeof arena; }\n\
int main(void) {\n    char *text = strdup(\"text\"), *line = NULL, *more = realloc(malloc(10), 1000);\n\
    FILE *file = fopen(\"/x\", \"w+\");\n    fputs(\"line\\n\", file);\n    rewind(file);\n    size_t size = 0;\n    long got = getline(&line, &size, file);\n\
    void *aligned = aligned_alloc(64, 64), *out = NULL;\n    int error = errno, answer = posix_memalign(&out, 64, 64);\n\
    printf(\"%d%d%d%d %ld %d %d %d\\n\", own(text), own(line), own(more), own(calloc(2, 3)), got, aligned == NULL, error == ENOMEM, answer == ENOMEM);\n\
    free(text); free(line); fclose(file); setenv(\"A\", \"B\", 1);\n    return 0;\n}\n";
    let recipe = ONE_FILE.replace("\"main.c\"", "\"main.c\", \"own.c\"");
    apps.add(
        "with-malloc",
        &recipe,
        &[("main.c", main), ("own.c", OWN_MALLOC)],
    );
    let built = apps.bespoke(&["build", "with-malloc"]);
    let line = "with-malloc defines its own malloc (calloc, free, malloc, realloc)";
    assert!(built.err.contains(line), "{built:?}");
    assert!(built.err.contains("does not define memalign"), "{built:?}");
    built.success();
    assert_eq!(apps.says("with-malloc"), "1111 5 1 1 1\n");
    // From a library, as most have it.
    let makefile = "program: main.o own.o\n\tar rc libown.a own.o\n\tcc -o $@ main.o -L. -lown\n";
    let files = [
        ("src/Makefile", makefile),
        ("src/main.c", main),
        ("src/own.c", OWN_MALLOC),
    ];
    apps.add("with-malloc-library", MAKE, &files);
    assert_eq!(apps.says("with-malloc-library"), "1111 5 1 1 1\n");
}

const RUST_MAIN: &str = "\
#include <stdio.h>\n#include <stdlib.h>\nchar *rust_count(const char *);\nvoid rust_free(char *);\nint rust_catch(void);\n\
int main(void) {\n    char *text = rust_count(\"one two one\");\n    puts(text);\n    rust_free(text);\n    printf(\"%d\\n\", rust_catch());\n    return 0;\n}\n";
const RUST_STD: &str = r#"
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
#[unsafe(no_mangle)]
pub extern "C" fn rust_count(text: *const c_char) -> *mut c_char {
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let mut counts = BTreeMap::new();
        for word in text.split(' ') { *counts.entry(word.to_string()).or_insert(0) += 1; }
        format!("{counts:?} {:?}", std::time::Duration::from_millis(1500))
    });
    CString::new(thread.join().unwrap()).unwrap().into_raw()
}
#[unsafe(no_mangle)]
pub extern "C" fn rust_free(text: *mut c_char) { drop(unsafe { CString::from_raw(text) }) }
#[unsafe(no_mangle)]
pub extern "C" fn rust_catch() -> i32 { std::panic::catch_unwind(|| panic!("on purpose")).is_err().into() }
"#;
const RUST_ALLOC: &str = r#"
#![no_std]
extern crate alloc;
use alloc::{collections::BTreeMap, ffi::CString, format};
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{CStr, c_char};
unsafe extern "C" { fn malloc(n: usize) -> *mut u8; fn free(p: *mut u8); fn abort() -> !; }
struct C;
unsafe impl GlobalAlloc for C {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 { unsafe { malloc(layout.size()) } }
    unsafe fn dealloc(&self, p: *mut u8, _: Layout) { unsafe { free(p) } }
}
#[global_allocator]
static HEAP: C = C;
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { unsafe { abort() } }
#[unsafe(no_mangle)]
pub extern "C" fn rust_count(text: *const c_char) -> *mut c_char {
    let mut counts = BTreeMap::new();
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap();
    for word in text.split(' ') { *counts.entry(word).or_insert(0) += 1; }
    CString::new(format!("{counts:?} {:?}", core::time::Duration::from_millis(1500))).unwrap().into_raw()
}
#[unsafe(no_mangle)]
pub extern "C" fn rust_free(text: *mut c_char) { drop(unsafe { CString::from_raw(text) }) }
#[unsafe(no_mangle)]
pub extern "C" fn rust_catch() -> i32 { 1 }
"#;

#[test]
fn a_rust_library_is_linked_into_a_c_program() {
    let apps = Apps::new("rust");
    let makefile = "program: main.o\n\tcc -o $@ main.o librust.a\n";
    // As on Linux, whoever links `alloc` without `std` brings the personality that nothing calls.
    let alone = format!("void rust_eh_personality(void) {{}}\n{RUST_MAIN}");
    let musl = "x86_64-unknown-linux-musl";
    for (app, source, target, more) in [
        ("with-rust-std", RUST_STD, musl, None),
        (
            "with-rust-alloc",
            RUST_ALLOC,
            "x86_64-unknown-linux-gnu",
            Some("-Cpanic=abort"),
        ),
    ] {
        let main = if source == RUST_STD {
            RUST_MAIN
        } else {
            &alone
        };
        let files = [("src/Makefile", makefile), ("src/main.c", main)];
        let folder = apps.add(app, MAKE, &files);
        let mut rustc = std::process::Command::new("rustc");
        rustc.args([
            "--edition=2024",
            "--crate-type=staticlib",
            "--crate-name=rust",
            "-O",
            "-",
            "--target",
            target,
        ]);
        rustc.args(more).arg("-o").arg(folder.join("src/librust.a"));
        let made = feed(&mut rustc, source);
        if target == musl && made.err.contains("can't find crate for `std`") {
            eprintln!("not tested: std for {musl} is not installed; rustup target add {musl}");
            continue;
        }
        made.success();
        assert_eq!(
            apps.says(app),
            "{\"one\": 2, \"two\": 1} 1.5s\n1\n",
            "{app}"
        );
    }
}

#[test]
fn a_program_may_use_many_entries_of_the_global_offset_table() {
    const COUNT: u64 = 2000;
    let apps = Apps::new("got");
    let mut main = String::from("#include <stdio.h>\n");
    for i in 0..COUNT {
        main += &format!("long v{i} = {i};\n");
    }
    main += "int main(void) {\n    long sum = 0, *p;\n";
    for i in 0..COUNT {
        main += &format!(
            "    __asm__(\"pushq v{i}@GOTPCREL(%%rip)\\n\\tpopq %0\" : \"=r\"(p));\n    sum += *p;\n"
        );
    }
    main += "    printf(\"%ld\\n\", sum);\n    return 0;\n}\n";
    apps.add("with-got", ONE_FILE, &[("main.c", &main)]);
    assert_eq!(
        apps.says("with-got"),
        format!("{}\n", COUNT * (COUNT - 1) / 2)
    );
}

#[test]
fn the_error_of_a_build_is_the_first_one_and_the_rest_is_in_a_file() {
    let apps = Apps::new("errors");
    let main = "int first(void) { return absent; }\nint second(void) { return missing; }\nint main(void) { return 0; }\n";
    apps.add("with-errors", ONE_FILE, &[("main.c", main)]);
    let error = apps.bespoke(&["build", "with-errors"]).failure(1);
    assert!(
        error.contains("main.c:1:27: error: 'absent' undeclared")
            || error.contains("error: ‘absent’ undeclared"),
        "{error}"
    );
    assert!(
        !error.contains("missing") && error.lines().count() < 15,
        "{error}"
    );
    let log = error.lines().find_map(|line| {
        line.trim()
            .strip_prefix("the whole command and its output: ")
    });
    let log = fs::read_to_string(log.expect("it names a file")).expect("it is there");
    assert!(log.contains("missing") && log.contains("gcc"), "{log}");
    let main = "int absent(void);\nint main(void) { return absent(); }\n";
    apps.add("with-gap", ONE_FILE, &[("main.c", main)]);
    let error = apps.bespoke(&["build", "with-gap"]).failure(1);
    assert!(
        error.contains("undefined reference to `absent'") && error.lines().count() < 12,
        "{error}"
    );
}

/// A mirror of Debian that has one file, under its Debian name.
fn mirror(file: &'static str, content: Vec<u8>) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!(
        "http://{}/debian",
        listener.local_addr().expect("an address")
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let asked = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let mut to = &stream;
            let _ = match asked.contains(file) {
                true => {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                        content.len()
                    );
                    to.write_all(head.as_bytes())
                        .and_then(|()| to.write_all(&content))
                }
                false => to.write_all(
                    b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                ),
            };
        }
    });
    address
}

#[test]
fn without_apt_a_debian_source_comes_from_the_pool_and_is_verified() {
    let apps = Apps::new("pool");
    let folder = scratch("pool");
    fs::create_dir(folder.join("demo-1.0")).expect("a folder");
    fs::write(folder.join("demo-1.0/main.c"), HELLO).expect("a file");
    let archive = folder.join("demo.tar.gz");
    let tar = std::process::Command::new("tar")
        .current_dir(&folder)
        .args(["czf", "demo.tar.gz", "demo-1.0"])
        .status();
    assert!(tar.expect("tar is there").success());
    let content = fs::read(&archive).expect("an archive");
    let sum = std::process::Command::new("sha256sum")
        .arg(&archive)
        .output()
        .expect("it is there")
        .stdout;
    let sum = String::from_utf8_lossy(&sum[..64]).into_owned();
    let address = mirror(
        "/debian/pool/main/d/demo/demo_1.0.orig.tar.gz",
        content.clone(),
    );
    let recipe = |sum: &str| {
        format!(
            "description = \"x\"\n[[source]]\nname = \"demo\"\nversion = \"1.0\"\nfile = \"demo-1.0.tar.gz\"\nsha256 = \"{sum}\"\nbytes = {}\ndebian = \"demo\"\n[build]\nfiles = [\"main.c\"]\n",
            content.len()
        )
    };
    // All programs of this machine but apt's.
    let programs = folder.join("bin");
    fs::create_dir(&programs).expect("a folder");
    for path in ["/usr/bin", "/bin"] {
        for program in fs::read_dir(path).expect("a folder").flatten() {
            let name = program.file_name();
            if !name.to_string_lossy().starts_with("apt") {
                let _ = std::os::unix::fs::symlink(program.path(), programs.join(name));
            }
        }
    }
    let cargo = std::env::var_os("CARGO").expect("a test of cargo's");
    let cargo = Path::new(&cargo).parent().expect("a folder");
    let path = std::env::join_paths([&*programs, cargo]).expect("a path");
    let fetch = || {
        let mut fetch = command(&["build", "from-pool"]);
        fetch
            .env("BESPOKE_APPS", &apps.0)
            .env("BESPOKE_POOL", &address)
            .env("PATH", &path);
        feed(&mut fetch, "")
    };
    apps.add("from-pool", &recipe(&sum), &[]);
    let ended = fetch();
    assert!(
        ended.err.contains("apt-config is not installed"),
        "{ended:?}"
    );
    ended.success();
    assert_eq!(apps.says("from-pool"), "hello\n");
    let wrong = format!("{:0>64}", "1");
    apps.add("from-pool", &recipe(&wrong), &[]);
    let error = fetch().failure(1);
    assert!(
        error.contains("wrong content") && error.contains(&sum) && error.contains(&wrong),
        "{error}"
    );
}

#[test]
fn hashes_of_debian_sources_need_no_deb_src_line() {
    let lines = std::process::Command::new("apt-cache")
        .args(["showsrc", "musl"])
        .output();
    let Ok(lines) = lines else {
        eprintln!("not tested: there is no apt");
        return;
    };
    eprintln!("the system's own apt-cache showsrc: {}", lines.status);
    let ended = command(&["fetch", "--debian", "musl"]);
    let ended = feed(&mut { ended }, "");
    if ended.err.contains("package lists not refreshed") || ended.err.contains("no source package")
    {
        eprintln!("not tested: no network: {}", ended.err);
        return;
    }
    let tables = ended.success();
    let recipe = include_str!("../../libc/recipe.toml");
    let hash = recipe
        .lines()
        .find(|line| line.starts_with("sha256"))
        .expect("a hash");
    assert!(
        tables.contains(hash) && tables.contains("debian = \"musl\""),
        "{tables}"
    );
}
