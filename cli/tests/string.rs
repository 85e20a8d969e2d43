//! The memory functions that the overlay of the C library brings, checked on the host: compiled as
//! in the library, under other names, and driven by `libc/tests/string.c`.

use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 5] = ["memmove", "memset", "memcmp", "strlen", "strcasecmp"];
const FUNCTIONS: [&str; 7] = [
    "memmove",
    "memcpy",
    "memset",
    "memcmp",
    "strlen",
    "strcasecmp",
    "strcasecmp_l",
];

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}{errors}");
    text
}

#[test]
fn memory_functions_are_right_for_every_size_alignment_and_overlap() {
    let libc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../libc");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut objects = Vec::new();
    for file in FILES {
        let object = folder.join(format!("{file}.o"));
        let source = libc.join(format!("overlay/src/string/x86_64/{file}.c"));
        // The flags of libc/overlay/config.mak that change code, and what the library asks of its own headers.
        run(Command::new("gcc")
            .args(["-std=c99", "-D_XOPEN_SOURCE=700", "-ffreestanding", "-O2"])
            .arg("-fno-pic")
            .args(["-fno-tree-loop-distribute-patterns", "-c"])
            .arg(source)
            .arg("-o")
            .arg(&object));
        let renames = FUNCTIONS.map(|name| format!("--redefine-sym={name}=ours_{name}"));
        run(Command::new("objcopy").args(renames).arg(&object));
        objects.push(object);
    }
    let program = folder.join("string");
    run(Command::new("gcc")
        .args(["-O1", "-no-pie"])
        .arg(libc.join("tests/string.c"))
        .args(objects)
        .arg("-o")
        .arg(&program));
    let said = run(&mut Command::new(program));
    assert_eq!(
        said,
        "memmove, memcpy, memset, memcmp, strlen, strcasecmp: right\n"
    );
}
