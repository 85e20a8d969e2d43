//! `bespoke report` as its readers meet it: in a browser, by day and by night, on a phone and on paper.

mod common;

use common::{bespoke, command, feed, scratch, text};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What looks at a page from within the browser.
const LOOK: &str = include_str!("report/look.html");
/// Raw data of the published results that have what a quick run has not: sizes, servers, failures, replays.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results/data");
const SQL: &str = "\
create table t(id integer primary key, name text);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 300)
  insert into t select x, 'name ' || (x * 7919 % 2000) from c;
";

/// Measures hello, traces sqlite, and makes a page of both and of what was published.
fn report(folder: &Path) -> String {
    let (results, trace) = (folder.join("results"), folder.join("sqlite.trace"));
    let bench = ["bench", "hello", "--monitor", "process", "--rounds", "2"];
    let what = ["--heaps", "tlsf,region", "--metrics", "boot,time,memory"];
    bespoke(&[&bench[..], &what, &["--results", text(&results)]].concat()).success();
    let line = ["trace", "sqlite", "-o", text(&trace), "--monitor"];
    let line = [&line[..], &["process", "--", "/t.db"]].concat();
    feed(&mut command(&line), SQL).success();
    let measured = fs::read_dir(&results).expect("results").flatten();
    let measured = measured.map(|entry| entry.path()).next().expect("a run");
    let published = |name: &str| format!("{PUBLISHED}/{name}.json");
    let page = folder.join("report.html");
    bespoke(&[
        "report",
        text(&measured),
        &published("curve-sqlite"),
        &published("load-redis"),
        "--trace",
        text(&trace),
        "--replay",
        &published("replay-redis"),
        "-o",
        text(&page),
    ])
    .success();
    fs::read_to_string(page).expect("the page")
}

/// Whether pages can be looked at here.
fn has_browser() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok();
    if !found {
        eprintln!("not tested: chromium is missing (apt-get install chromium)");
    }
    found
}

/// A headless browser with `arguments`; what it prints.
fn browse(folder: &Path, arguments: &[&str]) -> String {
    let mut browser = Command::new("timeout");
    browser
        .args(["60", "chromium", "--headless", "--no-sandbox"])
        .args([
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-background-networking",
        ])
        .arg(format!("--user-data-dir={}", text(&folder.join("browser"))))
        .args(arguments);
    feed(&mut browser, "").success()
}

/// What the browser finds wrong with report.html in `folder`, and at last how much it looked at.
fn found(folder: &Path, is_dark: bool) -> String {
    let look = folder.join("look.html");
    fs::write(&look, LOOK).expect("a file");
    let scheme = format!(
        "--blink-settings=preferredColorScheme={}",
        i32::from(!is_dark)
    );
    let address = format!("file://{}", text(&look));
    // Else no page may look into a file's frame.
    let access = "--allow-file-access-from-files";
    let seen = browse(folder, &[access, &scheme, "--dump-dom", &address]);
    let found = seen.split_once("<pre id=\"found\">");
    let found = found.and_then(|(_, rest)| rest.split_once("</pre>"));
    found.unwrap_or_else(|| panic!("{seen}")).0.to_string()
}

#[test]
fn a_report_can_be_read_on_a_phone_on_a_screen_at_night_and_on_paper() {
    let folder = scratch("report");
    let page = report(&folder);
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for sign in ["http", "src=", "@import", "url(", "<script", "<link"] {
        assert!(!outside.contains(sign), "the page has {sign}");
    }
    if !has_browser() {
        return;
    }
    let figures = page.matches("<figure>").count();
    assert!(figures > 40, "{figures}");
    for (is_dark, scheme) in [(true, "dark"), (false, "light")] {
        let looked =
            format!("looked at {figures}, {figures}, {figures}, {figures} figures, {scheme}");
        assert_eq!(found(&folder, is_dark), looked);
    }
    let (html, pdf) = (folder.join("report.html"), folder.join("report.pdf"));
    let print = format!("--print-to-pdf={}", text(&pdf));
    browse(&folder, &[&print, &format!("file://{}", text(&html))]);
    let printed = fs::read(pdf).expect("a PDF");
    assert!(printed.starts_with(b"%PDF-"));
    let sheets = printed
        .windows(12)
        .filter(|bytes| bytes == b"/Type /Page\n");
    assert!(sheets.count() > 1);
}

#[test]
fn a_page_with_faults_is_not_taken_for_a_good_one() {
    let folder = scratch("report-faults");
    if !has_browser() {
        return;
    }
    let page = "<!DOCTYPE html><title>Faults</title><style>body{margin:0}</style><p style='width:1200px'>broad</p>\
        <p style='color:#ccc'>pale</p><p style='font-size:6px'>small</p><figure style='height:0'></figure>\
        <svg width='200' height='20'><text x='190' y='10'>outside</text></svg><details><table><td>closed</table></details>";
    fs::write(folder.join("report.html"), page).expect("a file");
    let found = found(&folder, true);
    for fault in [
        "390 px: 1200 px wide: HTML",
        "1100 px: contrast of 1.6: P pale",
        "1400 px: letters of 6.0 px: P small",
        "1400 px: not seen: FIGURE",
        "1400 px: cut off: text outside",
        "paper of 718 px: not seen: TABLE closed",
    ] {
        assert!(found.contains(fault), "{fault}: {found}");
    }
    assert!(
        !found.contains("screen of 390 px: not seen: TABLE"),
        "{found}"
    );
}
