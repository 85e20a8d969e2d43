//! A search for people, in five lines. Owns nothing; claims what the outcome claims.

use super::goal::Goal;
use super::outcome::{Became, Beside, SearchOutcome};
use super::search::DEFAULT;
use super::summary::span;
use crate::metric::show;

/// Candidates that are named as close.
const MOST_CLOSE: usize = 4;

/// What won, by how much, how sure, at what cost, what was close.
pub fn lines(account: &SearchOutcome) -> Vec<String> {
    let mut lines = vec![
        format!("{:<12}{}", "won", won(account)),
        format!("{:<12}{}", "by", by(account)),
        format!("{:<12}{}", "sure", sure(account)),
        format!("{:<12}{}", "costs", costs(account)),
        format!("{:<12}{}", "close", close(account)),
    ];
    if !account.note.is_empty() {
        lines.push(format!("{:<12}{}", "note", account.note));
    }
    let doubts = account.doubts.iter();
    lines.extend(doubts.map(|doubt| format!("{:<12}{doubt}", "caveat")));
    lines
}

fn won(account: &SearchOutcome) -> String {
    match (&account.chosen, &account.label) {
        (Some(chosen), Some(label)) => format!("{label}, so that the image is {chosen}"),
        _ => format!("nothing: the default stays, {}", account.default),
    }
}

fn by(account: &SearchOutcome) -> String {
    let subject = Goal::named(&account.goal).map_or("", Goal::subject);
    let workloads = account.workloads.join(", ");
    match &account.proof {
        Some(proof) => format!(
            "{:.2}x better {subject} than the default on {workloads} ({:.2}x to {:.2}x between quartiles)",
            proof.ratio, proof.low, proof.high
        ),
        None if account.chosen.is_some() => {
            format!("no comparison in {subject}: the default cannot be chosen")
        }
        None => format!("no candidate had a better {subject} on {workloads} by the test"),
    }
}

fn sure(account: &SearchOutcome) -> String {
    match &account.proof {
        Some(proof) if proof.level == 0.0 => "exactly: the metric does not vary".into(),
        Some(proof) => format!(
            "{}: p = {:.4} (limit {:.4}), in {} rounds that played no part in the choice",
            if proof.holds { "yes" } else { "no" },
            proof.p,
            proof.level,
            proof.rounds
        ),
        None if account.chosen.is_some() => {
            "it passed every workload within the constraints when it was measured again".into()
        }
        None => "a recommendation where nothing differs comes in at most 1 of 100 searches".into(),
    }
}

fn costs(account: &SearchOutcome) -> String {
    let differing = |better: bool| {
        let told = account.beside.iter().filter(move |each| {
            each.different && (each.ratio > 1.0) == better && !is_goal(account, each)
        });
        told.map(|each| beside(each, &account.workloads))
            .collect::<Vec<_>>()
    };
    let (worse, better) = (differing(false), differing(true));
    let mut parts = Vec::new();
    if account.beside.is_empty() {
        return "none".into();
    }
    parts.push(match worse.is_empty() {
        true => "no other metric is worse by the test".into(),
        false => worse.join(", "),
    });
    if !better.is_empty() {
        parts.push(format!("better: {}", better.join(", ")));
    }
    parts.join("; ")
}

/// The goal's own metrics are told in the line above.
fn is_goal(account: &SearchOutcome, beside: &Beside) -> bool {
    let own = match &account.goal[..] {
        "throughput" => &["throughput", "value"][..],
        "latency" => &["latency.p99", "value"],
        "memory" => &["memory"],
        "boot" => &["boot"],
        "size" => &["image_size"],
        _ => &[],
    };
    own.contains(&&beside.metric[..])
}

fn beside(each: &Beside, workloads: &[String]) -> String {
    let on = match workloads.len() {
        1 => String::new(),
        _ => format!(" on {}", each.workload),
    };
    let (before, after) = (
        show(each.default, &each.unit),
        show(each.chosen, &each.unit),
    );
    format!("{}{on} {before} -> {after}", each.metric)
}

fn close(account: &SearchOutcome) -> String {
    let winner = account.label.as_deref().unwrap_or("default");
    let mut labels: Vec<&str> = Vec::new();
    for tried in &account.candidates {
        let is_other = tried.label != winner && tried.label != DEFAULT;
        let is_close = tried.became == Became::Close && is_other;
        if is_close && tried.rounds > 1 && !labels.contains(&&tried.label[..]) {
            labels.push(&tried.label);
        }
    }
    let more = labels.len().saturating_sub(MOST_CLOSE);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    labels.truncate(MOST_CLOSE);
    match labels.is_empty() {
        true => "nothing".into(),
        false => format!(
            "{}{more}: not told from the best by the test",
            labels.join(", ")
        ),
    }
}

/// What was measured, where, when.
pub fn head(app: &str, account: &SearchOutcome) -> String {
    let within = match account.within.is_empty() {
        true => String::new(),
        false => format!(" within {}", account.within.join(", ")),
    };
    format!(
        "{app} for {}{within}, on {} ({}), {} UTC, {} of measuring",
        account.goal,
        account.monitor,
        account.machine.cpu,
        account.started,
        span(account.took_s)
    )
}
