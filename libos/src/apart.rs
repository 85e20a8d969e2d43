//! Tests that need a process of their own: for what there is one of in a process, or because a process that another test
//! starts at the same time would have their descriptors, too, and keep pipes and sockets open.

extern crate std;

/// Said in the environment of a test's own process.
const OWN: &str = "BESPOKE_TEST_OWN_PROCESS";

/// Runs what the test that calls this consists of in a process of its own.
///
/// # Panics
///
/// If the test fails there.
pub fn apart(test: impl FnOnce()) {
    if std::env::var_os(OWN).is_some() {
        test();
        std::println!("done");
        return;
    }
    let thread = std::thread::current();
    let name = thread.name().expect("the name of a test");
    let child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(OWN, "1")
        .output()
        .expect("it starts");
    let said = std::string::String::from_utf8_lossy(&child.stdout);
    let why = std::string::String::from_utf8_lossy(&child.stderr);
    assert!(
        said.contains("done") && child.status.success(),
        "{said}{why}"
    );
}
