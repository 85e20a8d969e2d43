//! The contract with the smallest and the largest segments: the C is compiled anew for each, in a target folder of
//! its own that stays for the next time.

use std::process::Command;

fn passes_with_segments_of(bytes: usize) {
    let target = format!("{}/segments", env!("CARGO_TARGET_TMPDIR"));
    let output = Command::new(env!("CARGO"))
        .args([
            "test",
            "--quiet",
            "--locked",
            "--offline",
            "--package=heap-mimalloc",
            "--test=parameters",
        ])
        .args(["--target-dir", &target])
        .env("BESPOKE_PARAMETERS_MIMALLOC", format!("segment={bytes}"))
        .output()
        .expect("cargo starts, as it did for this test");
    assert!(
        output.status.success(),
        "segments of {bytes} bytes:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// One after the other: they compile the same C differently.
#[test]
fn the_contract_holds_with_the_smallest_and_the_largest_segments() {
    let parameter = heap_mimalloc::INFO.parameters[0];
    assert_eq!((parameter.name, parameter.defined_in_c), ("segment", true));
    passes_with_segments_of(parameter.least);
    passes_with_segments_of(parameter.most);
}
