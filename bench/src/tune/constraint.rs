//! What a choice must keep to: `memory<=16M`, `latency.p99<=2ms`, `throughput>=50k`, `peak_held@libos<=1M`.
//! Read, checked, and held against values; must never measure.

use crate::Error;
use crate::metric::{Metric, show};
use bespoke_recipe::composition::Component;
use bespoke_recipe::size;
use bespoke_recipe::workload::Better;
use std::fmt;

/// A bound on a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// The metric.
    pub metric: Metric,
    /// For metrics by component.
    pub component: Option<Component>,
    /// In the metric's unit.
    pub bound: f64,
    text: String,
}

/// Names people say.
const ALSO: [(&str, &str); 2] = [("size", "image_size"), ("p99", "latency.p99")];

impl Constraint {
    /// Reads `FIGURE[@COMPONENT]<=VALUE`, or `>=` where more is better.
    ///
    /// # Errors
    ///
    /// In words, with what would be right.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Usage(format!("--within {text:?}: {why}"));
        let (head, relation, tail) = ["<=", ">=", "<", ">", "="]
            .into_iter()
            .find_map(|sign| Some((text.split_once(sign)?, sign)))
            .map(|((head, tail), sign)| (head.trim(), sign, tail.trim()))
            .ok_or_else(|| wrong("expected METRIC<=VALUE, such as memory<=16M".into()))?;
        let (name, component) = match head.split_once('@') {
            Some((name, component)) => (name, Some(Component::find(component)?)),
            None => (head, None),
        };
        let also = ALSO.iter().find(|(short, _)| *short == name);
        let name = also.map_or(name, |(_, long)| long);
        let metric = match Metric::exactly(name) {
            Some(metric) => metric,
            None => {
                let family: Vec<String> = Metric::named(name)?
                    .into_iter()
                    .map(|metric| metric.id)
                    .collect();
                return Err(wrong(format!(
                    "{name} stands for several metrics; name one of {}",
                    family.join(", ")
                )));
            }
        };
        let is_by_component = metric.title.ends_with("by component");
        match (is_by_component, component) {
            (true, None) => {
                let id = &metric.id;
                return Err(wrong(format!("{id} is by component; write {id}@app")));
            }
            (false, Some(_)) => {
                return Err(wrong(format!(
                    "{} is a metric of the whole image; leave out the component",
                    metric.id
                )));
            }
            _ => {}
        }
        let right = match metric.better {
            Better::Smaller => "<=",
            Better::Larger => ">=",
        };
        if relation != right {
            let (id, better) = (
                &metric.id,
                match metric.better {
                    Better::Smaller => "smaller",
                    Better::Larger => "larger",
                },
            );
            return Err(wrong(format!(
                "{id} is better when it is {better}; write {head}{right}{tail}"
            )));
        }
        let bound = amount(tail, &metric.unit).ok_or_else(|| {
            wrong(format!(
                "{tail:?} is not a value of {}: expected {}",
                metric.id,
                form(&metric.unit)
            ))
        })?;
        Ok(Self {
            metric,
            component,
            bound,
            text: format!("{head}{relation}{tail}"),
        })
    }

    /// Whether `value`, in the metric's unit, keeps to it.
    pub fn allows(&self, value: f64) -> bool {
        match self.metric.better {
            Better::Smaller => value <= self.bound,
            Better::Larger => value >= self.bound,
        }
    }

    /// Of two values the one that is nearer to keeping it.
    pub fn best(&self, a: f64, b: f64) -> f64 {
        match self.metric.better {
            Better::Smaller => a.min(b),
            Better::Larger => a.max(b),
        }
    }

    /// Of two values the one that is further from keeping it.
    pub fn worst(&self, a: f64, b: f64) -> f64 {
        match self.metric.better {
            Better::Smaller => a.max(b),
            Better::Larger => a.min(b),
        }
    }

    /// A value of the metric, for reading.
    pub fn show(&self, number: f64) -> String {
        show(number, &self.metric.unit)
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How values of a unit are written.
fn form(unit: &str) -> &'static str {
    match unit {
        "bytes" => "bytes, or a number with K, M or G, such as 16M",
        "s" | "ms" | "us" | "ns" => "a number with ns, us, ms or s, such as 2ms",
        _ => "a number above 0, optionally with k or M, such as 50k",
    }
}

/// A value in `unit`.
fn amount(text: &str, unit: &str) -> Option<f64> {
    let number = |text: &str| {
        let number: f64 = text.trim().parse().ok()?;
        (number.is_finite() && number > 0.0).then_some(number)
    };
    const TIMES: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];
    let nanoseconds = |unit: &str| {
        TIMES
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, s)| *s)
    };
    if unit == "bytes" {
        return size::parse(text).ok().map(|bytes| bytes as f64);
    }
    if let Some(own) = nanoseconds(unit) {
        // `s` ends every other unit too, so it comes last.
        let (digits, given) = TIMES
            .iter()
            .find_map(|(name, each)| Some((text.strip_suffix(name)?, *each)))
            // Without a unit nobody knows which one is meant.
            ?;
        return Some(number(digits)? * given / own);
    }
    let text = text.strip_suffix("/s").unwrap_or(text);
    match text.char_indices().last()? {
        (at, 'k' | 'K') => Some(number(&text[..at])? * 1e3),
        (at, 'M') => Some(number(&text[..at])? * 1e6),
        _ => number(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> f64 {
        Constraint::parse(text).unwrap().bound
    }

    fn error(text: &str) -> String {
        let error = Constraint::parse(text).unwrap_err();
        assert!(error.is_usage(), "{text}");
        error.to_string()
    }

    #[test]
    fn bounds_are_in_the_metric_s_unit() {
        assert_eq!(bound("memory<=16M"), 16_777_216.0);
        assert_eq!(bound("size <= 1536K"), 1_572_864.0);
        assert_eq!(bound("latency.p99<=2ms"), 2.0);
        assert_eq!(bound("p99<=500us"), 0.5);
        assert_eq!(bound("boot<=1ms"), 1000.0);
        assert_eq!(bound("time<=1.5s"), 1.5);
        assert_eq!(bound("throughput>=50k"), 50_000.0);
        assert_eq!(bound("throughput>=1.2M/s"), 1_200_000.0);
        assert_eq!(bound("creep<=1.5"), 1.5);
        assert_eq!(bound("peak_held@libos<=1M"), 1_048_576.0);
    }

    #[test]
    fn a_bound_allows_what_is_on_its_good_side() {
        let memory = Constraint::parse("memory<=16M").unwrap();
        assert!(memory.allows(16_777_216.0) && !memory.allows(16_777_217.0));
        assert_eq!((memory.best(1.0, 2.0), memory.worst(1.0, 2.0)), (1.0, 2.0));
        let rate = Constraint::parse("throughput>=10").unwrap();
        assert!(rate.allows(10.0) && !rate.allows(9.9));
        assert_eq!((rate.best(1.0, 2.0), rate.worst(1.0, 2.0)), (2.0, 1.0));
        assert_eq!(rate.to_string(), "throughput>=10");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        assert!(error("memory").contains("as memory<=16M"));
        assert!(error("memry<=16M").contains("did you mean \"memory\"?"));
        assert!(error("memory>=16M").contains("write memory<=16M"));
        assert!(error("memory<16M").contains("write memory<=16M"));
        assert!(error("throughput<=5").contains("write throughput>=5"));
        assert!(error("memory<=16X").contains("16M"));
        assert!(error("memory<=").contains("16M"));
        assert!(error("boot<=1").contains("as 2ms"));
        assert!(error("boot<=-1ms").contains("as 2ms"));
        assert!(error("throughput>=0").contains("above 0"));
        assert!(error("latency<=1ms").contains("latency.p99"));
        assert!(error("peak_held<=1M").contains("peak_held@app"));
        assert!(error("memory@app<=1M").contains("whole image"));
        assert!(error("peak_held@ap<=1M").contains("did you mean \"app\"?"));
    }
}
