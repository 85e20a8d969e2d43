//! What the evaluation measures, in the order in which it does: the most important first, for what the budget leaves out.
//! Data only.

use bespoke_recipe::registry::HEAPS;

/// How much is measured.
pub(crate) struct Extent {
    /// Rounds of what is short.
    pub rounds: u32,
    /// Rounds of what takes long.
    pub fewer: u32,
    /// Seconds of a load on a server.
    pub seconds: u32,
    /// Rounds of a replay, and events that are replayed.
    pub replays: u32,
    /// See `replays`.
    pub events: u64,
    /// Minutes of a search; `None`: there is no time for an answer.
    pub search_minutes: Option<u32>,
    /// Heaps of servers.
    pub servers: Vec<&'static str>,
    /// Heaps whose smallest memory is looked for.
    pub searched: Vec<&'static str>,
}

impl Extent {
    /// The whole evaluation: two hours.
    pub(crate) fn whole() -> Self {
        Self {
            rounds: 10,
            fewer: 8,
            seconds: 2,
            replays: 8,
            events: 3_000_000,
            search_minutes: Some(4),
            servers: heaps(),
            searched: heaps(),
        }
    }

    /// Some minutes: two rounds, short loads, few heaps for what takes long.
    pub(crate) fn quick() -> Self {
        Self {
            rounds: 2,
            fewer: 2,
            seconds: 1,
            replays: 2,
            events: 300_000,
            search_minutes: None,
            servers: vec!["buddy", "tlsf", "mimalloc"],
            searched: vec!["buddy", "tlsf"],
        }
    }
}

/// Every heap there is.
pub(crate) fn heaps() -> Vec<&'static str> {
    HEAPS.iter().map(|entry| entry.info.name).collect()
}

/// Apps that are measured.
pub(crate) const APPS: [&str; 5] = ["hello", "sqlite", "speedtest1", "nginx", "redis"];

/// One step; its raw data have a file or a folder of its name.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// Its name.
    pub name: String,
    /// Minutes that it takes.
    pub minutes: u32,
    /// What is done.
    pub work: Work,
}

/// What a step does.
#[derive(Debug, PartialEq)]
pub(crate) enum Work {
    /// One run of `bespoke bench`, with these arguments.
    Measure(Vec<String>),
    /// One of `bespoke replay`: the trace that the step `traces-APP` kept of a workload.
    Replay {
        /// The app.
        app: &'static str,
        /// Its workload.
        workload: &'static str,
    },
    /// What `bespoke tune` chooses.
    Choose {
        /// The app.
        app: &'static str,
        /// What is to be better.
        goal: &'static str,
        /// The workload.
        workload: &'static str,
        /// Components whose heap is chosen.
        components: &'static str,
    },
    /// The choice of the step named, or the default where that stays, beside each heap in all components.
    Everywhere {
        /// The step that chose.
        choice: String,
        /// The app.
        app: &'static str,
        /// Further arguments of `bespoke bench`.
        arguments: Vec<String>,
    },
}

/// All steps.
pub(crate) fn steps(extent: &Extent) -> Vec<Step> {
    let rounds = format!("--rounds {}", extent.rounds);
    let fewer = format!("--rounds {}", extent.fewer);
    let seconds = format!("--seconds {}", extent.seconds);
    let servers = format!("--heaps {}", extent.servers.join(","));
    let searched = format!("--heaps {}", extent.searched.join(","));
    // A heap that never frees takes four times as long there, and 1.6 GiB.
    let varied: Vec<_> = heaps()
        .into_iter()
        .filter(|heap| *heap != "region")
        .collect();
    let varied = format!("--heaps {}", varied.join(","));
    let some = "--heaps buddy,tlsf,mimalloc --no-native";
    let load = "--metrics throughput,latency.p99,memory,peak_held,resident.peak";
    let all = "--metrics throughput,time,memory,peak_held";
    let traced = "--heaps tlsf --no-native --metrics trace_cost --traces TRACES";
    let measured = |name: &str, minutes, arguments: &[&str]| Step {
        name: name.into(),
        minutes,
        work: Work::Measure(words(arguments)),
    };
    let mut steps = vec![
        measured(
            "start-nginx",
            1,
            &[
                "nginx --workloads small --metrics boot,heap_start --no-native",
                &rounds,
            ],
        ),
        measured(
            "start-hello",
            1,
            &["hello --metrics life,minimum_memory --no-native", &rounds],
        ),
        measured(
            "curve-sqlite",
            2,
            &["sqlite --workloads inserts", all, &rounds],
        ),
        measured(
            "load-redis",
            10,
            &[
                "redis --workloads get,set,mixed",
                &servers,
                &seconds,
                &fewer,
                load,
            ],
        ),
        measured(
            "load-nginx",
            6,
            &[
                "nginx --workloads small,new",
                &servers,
                &seconds,
                &fewer,
                load,
            ],
        ),
        measured(
            "speed-sqlite",
            1,
            &[
                "sqlite --workloads speedtest1 --metrics throughput,time,memory",
                &fewer,
            ],
        ),
        measured(
            "traces-sqlite",
            1,
            &["sqlite --workloads inserts-60000", traced, &fewer],
        ),
        measured(
            "traces-redis",
            3,
            &["redis --workloads set,mixed,get", traced, &seconds, &fewer],
        ),
        measured(
            "traces-nginx",
            1,
            &["nginx --workloads small", traced, &seconds, &fewer],
        ),
        replayed("sqlite", "inserts-60000", 1),
        replayed("redis", "mixed", 2),
        replayed("nginx", "small", 1),
        measured(
            "smallest-sqlite",
            1,
            &[
                "sqlite --workloads inserts-1000,inserts-60000 --metrics minimum_memory",
                &searched,
            ],
        ),
        measured(
            "smallest-nginx",
            3,
            &[
                "nginx --workloads small --metrics minimum_memory",
                &searched,
            ],
        ),
        measured(
            "smallest-redis",
            4,
            &["redis --workloads get --metrics minimum_memory", &searched],
        ),
        measured(
            "varied-sqlite",
            3,
            &["sqlite --workloads varied", &varied, all, &fewer],
        ),
        measured(
            "counts-sqlite",
            1,
            &["sqlite --workloads inserts-1000 --no-native --metrics instructions"],
        ),
        measured(
            "repeat-redis",
            1,
            &[
                "redis --workloads set --seconds 1 --metrics repeat --rounds 1",
                some,
            ],
        ),
        measured(
            "repeat-nginx",
            1,
            &[
                "nginx --workloads small --seconds 1 --metrics repeat --rounds 1",
                some,
            ],
        ),
    ];
    let long = extent.search_minutes.unwrap_or(0) + 1;
    let mut chosen = |app, goal, workload, components, then: Option<(u32, &[&str])>| {
        let choice = format!("tune-{app}-{goal}");
        steps.push(Step {
            name: choice.clone(),
            minutes: long,
            work: Work::Choose {
                app,
                goal,
                workload,
                components,
            },
        });
        if let Some((minutes, arguments)) = then {
            let mut arguments = words(arguments);
            arguments.extend(["--workloads".into(), workload.into()]);
            steps.push(Step {
                name: format!("everywhere-{app}-{goal}"),
                minutes,
                work: Work::Everywhere {
                    choice,
                    app,
                    arguments,
                },
            });
        }
    };
    let short = "--seconds 1";
    let (rate, memory) = ("--metrics throughput", "--metrics memory");
    let boot = "--metrics boot";
    chosen("nginx", "boot", "small", "app", Some((1, &[boot, &rounds])));
    chosen(
        "redis",
        "throughput",
        "set",
        "app",
        Some((4, &[rate, &seconds, &fewer])),
    );
    chosen(
        "sqlite",
        "throughput",
        "inserts-60000",
        "app,libos",
        Some((1, &[rate, &fewer])),
    );
    chosen(
        "redis",
        "memory",
        "set",
        "app",
        Some((3, &[memory, short, &fewer])),
    );
    chosen(
        "sqlite",
        "memory",
        "inserts-60000",
        "app,libos",
        Some((1, &[memory, &fewer])),
    );
    chosen("nginx", "memory", "small", "app", None);
    // The other goals, for the answers alone; those that are there by now are not chosen twice.
    let mut more = Vec::new();
    for goal in ["size", "boot", "latency", "throughput", "balanced"] {
        more.push(("sqlite", goal, "inserts-60000"));
        more.push(("nginx", goal, "small"));
        more.push(("redis", goal, "set"));
    }
    more.retain(|each| {
        ![
            ("sqlite", "throughput"),
            ("nginx", "boot"),
            ("redis", "throughput"),
        ]
        .contains(&(each.0, each.1))
    });
    for (app, goal, workload) in more {
        chosen(app, goal, workload, "app", None);
    }
    steps
}

fn replayed(app: &'static str, workload: &'static str, minutes: u32) -> Step {
    Step {
        name: format!("replay-{app}"),
        minutes,
        work: Work::Replay { app, workload },
    }
}

fn words(texts: &[&str]) -> Vec<String> {
    let words = texts.iter().flat_map(|text| text.split(' '));
    words.map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_step_keeps_its_data_in_a_place_of_its_own() {
        for extent in [Extent::whole(), Extent::quick()] {
            let steps = steps(&extent);
            let names: BTreeSet<&str> = steps.iter().map(|step| &step.name[..]).collect();
            assert_eq!(names.len(), steps.len());
            assert!(steps.iter().all(|step| step.minutes > 0));
        }
    }

    #[test]
    fn what_takes_a_choice_stands_behind_it() {
        let steps = steps(&Extent::whole());
        let place = |name: &str| steps.iter().position(|step| step.name == name);
        let mut compared = 0;
        for (at, step) in steps.iter().enumerate() {
            if let Work::Everywhere { choice, .. } = &step.work {
                compared += 1;
                assert!(
                    place(choice).is_some_and(|chosen| chosen < at),
                    "{}",
                    step.name
                );
            }
        }
        assert_eq!(compared, 5);
    }

    #[test]
    fn a_step_is_the_command_line_that_it_says() {
        let steps = steps(&Extent::quick());
        let Work::Measure(arguments) = &steps[3].work else {
            panic!("{:?}", steps[3]);
        };
        assert_eq!(
            arguments.join(" "),
            "redis --workloads get,set,mixed --heaps buddy,tlsf,mimalloc --seconds 1 --rounds 2 --metrics \
             throughput,latency.p99,memory,peak_held,resident.peak"
        );
    }
}
