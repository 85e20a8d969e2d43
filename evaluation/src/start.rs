//! nginx's start by heap and phase.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::page::failures;
use crate::page::lacking;
use crate::page::medians;
use crate::published::{BASELINE, NGINX_BOOT_US, NGINX_BUDDY_HEAP_US, SEED_BOOT_US};
use crate::say::{self, median};
use bespoke_bench::Column;
use bespoke_report as report;

const APP: &str = "nginx";
const WORKLOAD: &str = "small";

/// Adds the section.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "nginx: the start");
    page.paragraph(
        "The time from the first guest instruction to `listen()`, with 1 GiB of memory.",
    );
    let Some(boot) = evaluation.column(APP, WORKLOAD, "boot") else {
        return lacking(page, "nginx's start");
    };
    let mut columns = vec![("start".to_string(), boot)];
    for (name, metric) in [
        ("heaps", "boot.heaps"),
        ("files", "boot.files"),
        ("C library", "boot.libc"),
        ("main() to listen()", "boot.app"),
    ] {
        let found = evaluation.column(APP, WORKLOAD, metric);
        columns.extend(found.map(|column| (name.to_string(), column)));
    }
    medians(
        page,
        &columns,
        &[("EuroSys'21 [us]".into(), NGINX_BOOT_US.to_vec())],
    );
    let of_run = evaluation.of_app(APP).find(|each| {
        each.columns
            .iter()
            .any(|column| column.metric.id == "boot.app")
    });
    if let Some(each) = of_run {
        let of_workload: Vec<&Column> = each
            .columns
            .iter()
            .filter(|column| column.workload == WORKLOAD)
            .collect();
        if let Some(plot) = report::phases(WORKLOAD, &of_workload) {
            page.plot("nginx-start", &plot);
        }
    }
    page.list(&failures(&columns[..1]));
    page.list(&sentences(evaluation, boot));
}

fn sentences(evaluation: &Evaluation, boot: &Column) -> Vec<String> {
    let mut found = vec![format!("Fastest: {}.", say::winners(boot))];
    let Some(best) = say::best(boot) else {
        return found;
    };
    if let Some(us) = median(boot, best) {
        let side = if us < SEED_BOOT_US { "below" } else { "above" };
        found.push(format!(
            "With {best} nginx listens after {us:.0} us, {side} the {SEED_BOOT_US:.0} us of the seed.",
        ));
    }
    found.push(format!(
        "{}.",
        say::versus(
            boot,
            say::best_besides(boot, BASELINE).unwrap_or(best),
            BASELINE
        )
    ));
    let heap = evaluation.of_component(APP, WORKLOAD, "heap_start", "app");
    if let (Some(own), Some(whole)) = (
        heap.and_then(|heap| median(heap, BASELINE)),
        median(boot, BASELINE),
    ) {
        let published = NGINX_BOOT_US[NGINX_BOOT_US.len() - 1].1;
        found.push(format!(
            "The start of the {BASELINE} heap itself, which writes a header of each chunk over all memory, takes {own:.0} of \
             {whole:.0} us, {:.0} % (EuroSys'21: {NGINX_BUDDY_HEAP_US:.0} of {published:.0}, {:.0} %).",
            own / whole * 100.0,
            NGINX_BUDDY_HEAP_US / published * 100.0
        ));
    }
    found.extend(say::order(boot, &NGINX_BOOT_US));
    found
}
