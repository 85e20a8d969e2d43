//! A heap with its parameters, as users write it: `tlsf`, `tlsf:sl=4`, `mimalloc:purge_delay=0:reserve=8M`. Colons
//! and not commas between parameters, because commas separate heaps where several are named (`bench --heaps`).
//! Checks every name and number against what the heap declares; must never know a heap's parameters itself.

use crate::registry::{self, Entry};
use crate::size;
use crate::{Error, nearest};
use bespoke_heap::{Parameter, Unit};
use std::ffi::OsString;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Parameters a spec may have at most: a heap's three, and [`HUGE`].
const MOST: usize = 4;

/// The parameter of every heap of the component `app`, for RAM is the whole image's.
pub static HUGE: Parameter = Parameter {
    tries: &[0, 1],
    ..Parameter::new(
        "huge",
        Unit::Switch,
        1,
        (0, 1),
        "huge pages behind the image's RAM: first touches are cheap; the host sees memory taken and given back in steps of 2 MiB",
    )
};

/// A heap with a value for each of its parameters.
#[derive(Clone, Copy)]
pub struct HeapSpec {
    entry: &'static Entry,
    /// In the order of [`HeapSpec::parameters`]; 0 behind the last.
    values: [usize; MOST],
}

impl HeapSpec {
    /// The heap without parameters: all have their default.
    pub fn plain(entry: &'static Entry) -> Self {
        let mut spec = Self {
            entry,
            values: [0; MOST],
        };
        for (value, parameter) in spec.values.iter_mut().zip(parameters(entry)) {
            *value = parameter.default;
        }
        spec
    }

    /// Reads `NAME[:PARAMETER=VALUE]...`.
    ///
    /// # Errors
    ///
    /// When there is no such heap, parameter, or value of it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, list) = text.split_once(':').unwrap_or((text, ""));
        let mut spec = Self::plain(registry::find(name)?);
        if list.is_empty() {
            return match text.ends_with(':') {
                true => Err(Error::Usage(format!(
                    "{text}: missing parameter after the colon"
                ))),
                false => Ok(spec),
            };
        }
        let mut seen = Vec::new();
        for pair in list.split(':') {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                let form = "write NAME:PARAMETER=VALUE:PARAMETER=VALUE";
                Error::Usage(format!("{text}: {pair:?} is not a parameter; {form}"))
            })?;
            let index = spec.index(name)?;
            if seen.contains(&index) {
                return Err(Error::Usage(format!("{text} sets {name} twice")));
            }
            seen.push(index);
            spec.values[index] = value_of(spec.name(), spec.parameter(index), value)?;
        }
        Ok(spec)
    }

    fn index(&self, name: &str) -> Result<usize, Error> {
        let names = || self.parameters().map(|parameter| parameter.name);
        if let Some(index) = names().position(|known| known == name) {
            return Ok(index);
        }
        let has = names().collect::<Vec<_>>().join(", ");
        Err(Error::NoParameter {
            heap: self.name(),
            name: name.to_string(),
            nearest: nearest(name, names()),
            has,
        })
    }

    /// The same with the parameter at `index` set to `value`, one of its `tries`.
    pub fn with(mut self, index: usize, value: usize) -> Self {
        debug_assert!(self.parameter(index).allows(value));
        self.values[index] = value;
        self
    }

    /// The heap's name.
    pub fn name(&self) -> &'static str {
        self.entry.info.name
    }

    /// What the heap says of itself.
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// What can be set: the heap's own parameters, and [`HUGE`].
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        parameters(self.entry)
    }

    fn parameter(&self, index: usize) -> &'static Parameter {
        self.entry.info.parameters.get(index).unwrap_or(&HUGE)
    }

    /// The values of the heap's own parameters.
    fn own(&self) -> &[usize] {
        &self.values[..self.entry.info.parameters.len()]
    }

    /// Whether the image's RAM may lie on huge pages.
    pub fn is_huge(&self) -> bool {
        self.values[self.own().len()] != 0
    }

    /// Whether `other` is this heap with the same parameters of its own.
    pub fn is_same_heap(&self, other: &Self) -> bool {
        self.name() == other.name() && self.own() == other.own()
    }

    /// Every parameter with its value.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static Parameter, usize)> {
        self.parameters().zip(self.values)
    }

    /// Parameters that do not have their default.
    pub fn changed(&self) -> impl Iterator<Item = (&'static Parameter, usize)> {
        self.pairs()
            .filter(|(parameter, value)| *value != parameter.default)
    }

    /// Whether any parameter is not its default.
    pub fn is_plain(&self) -> bool {
        self.changed().next().is_none()
    }

    /// For names of files and crates: `tlsf`, `tlsf_sl_4`.
    pub fn slug(&self) -> String {
        let mut text = self.name().to_string();
        for (parameter, value) in self.changed() {
            text += &format!("_{}_{value}", parameter.name);
        }
        text
    }

    /// The Rust type: `heap_tlsf::AppHeap`, `heap_tlsf::AppHeap<59, 4, 1048576>`.
    pub fn rust_type(&self, adapter: &str) -> String {
        let path = format!("heap_{}::{adapter}", self.name().replace('-', "_"));
        let parameters = self.entry.info.parameters.iter();
        if parameters
            .map(|one| one.default)
            .eq(self.own().iter().copied())
        {
            return path;
        }
        let values: Vec<String> = self.own().iter().map(usize::to_string).collect();
        format!("{path}<{}>", values.join(", "))
    }

    /// What the build script of a heap in C is told; `None`: nothing.
    pub fn definitions(&self) -> Option<(String, OsString)> {
        let defined: Vec<String> = self
            .pairs()
            .filter(|(parameter, _)| parameter.defined_in_c)
            .map(|(parameter, value)| format!("{}={value}", parameter.name))
            .collect();
        let variable = format!("BESPOKE_PARAMETERS_{}", self.name().to_uppercase());
        (!defined.is_empty()).then(|| (variable, defined.join(" ").into()))
    }
}

/// What can be set of a heap: its own parameters, and [`HUGE`].
pub fn parameters(entry: &'static Entry) -> impl Iterator<Item = &'static Parameter> {
    entry.info.parameters.iter().chain(std::iter::once(&HUGE))
}

impl PartialEq for HeapSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.values == other.values
    }
}

impl Eq for HeapSpec {}

impl Hash for HeapSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name(), self.values).hash(state);
    }
}

/// As it may be written; parameters that have their default are left out.
impl fmt::Display for HeapSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        for (parameter, value) in self.changed() {
            write!(f, ":{}={}", parameter.name, show(parameter, value))?;
        }
        Ok(())
    }
}

impl fmt::Debug for HeapSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The words of a [`Unit::Switch`], by its value.
const SWITCH: [&str; 2] = ["off", "on"];

/// A value as it is written.
pub fn show(parameter: &Parameter, value: usize) -> String {
    match (parameter.word, parameter.unit) {
        (Some((word, at)), _) if at == value => word.to_string(),
        (_, Unit::Switch) => SWITCH[usize::from(value != 0)].to_string(),
        (_, Unit::Bytes) if value.is_multiple_of(1 << 20) => format!("{}M", value >> 20),
        (_, Unit::Bytes) if value.is_multiple_of(1 << 10) => format!("{}K", value >> 10),
        _ => value.to_string(),
    }
}

/// The values a parameter may have, in words.
pub fn range(parameter: &Parameter) -> String {
    let (least, most) = (
        show(parameter, parameter.least),
        show(parameter, parameter.most),
    );
    let unit = match parameter.unit {
        Unit::Switch => return format!("{least} or {most}"),
        Unit::Count | Unit::Bytes => "",
        Unit::Percent => " %",
        Unit::Milliseconds => " ms",
    };
    let powers = if parameter.power_of_two {
        ", a power of two"
    } else {
        ""
    };
    let word = parameter
        .word
        .map_or(String::new(), |(word, _)| format!(", or {word}"));
    format!("{least} to {most}{unit}{powers}{word}")
}

fn value_of(heap: &str, parameter: &Parameter, text: &str) -> Result<usize, Error> {
    let number = match (parameter.word, parameter.unit) {
        (Some((word, value)), _) if word == text => return Ok(value),
        (_, Unit::Switch) => {
            let at = SWITCH.iter().position(|word| *word == text);
            at.map(|value| value as u64)
        }
        (_, Unit::Bytes) => size::parse(text).ok(),
        _ => text.parse().ok(),
    };
    // A number that stands for a word is written as the word.
    let is_word = |value| parameter.word.is_some_and(|(_, word)| word == value);
    number
        .and_then(|number| usize::try_from(number).ok())
        .filter(|value| parameter.allows(*value) && !is_word(*value))
        .ok_or_else(|| {
            let (name, range) = (parameter.name, range(parameter));
            Error::Usage(format!("{heap}:{name}={text}: {name} is {range}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::HEAPS;

    fn error(text: &str) -> String {
        HeapSpec::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_choice_is_written_as_it_is_read() {
        for text in [
            "tlsf",
            "tlsf:sl=4",
            "tlsf:fl=24:run=4K",
            "mimalloc:segment=1M:reserve=8M:purge_delay=0",
            "talc:trim=64K",
        ] {
            assert_eq!(HeapSpec::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn defaults_are_the_plain_heap_however_they_are_written() {
        let plain = HeapSpec::parse("tlsf").unwrap();
        let same = HeapSpec::parse("tlsf:sl=16:run=1M").unwrap();
        assert_eq!(plain, same);
        assert_eq!(
            (same.slug(), same.rust_type("Heap")),
            ("tlsf".into(), "heap_tlsf::Heap".into())
        );
        let other = HeapSpec::parse("tlsf:sl=4").unwrap();
        assert_eq!(other.slug(), "tlsf_sl_4");
        assert_eq!(
            other.rust_type("AppHeap"),
            "heap_tlsf::AppHeap<59, 4, 1048576>"
        );
        let words = HeapSpec::parse("mimalloc:reserve=none:purge_delay=never").unwrap();
        assert!(words.is_plain());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        assert_eq!(
            error("tlsf:x=4"),
            "tlsf has no parameter \"x\"; it has fl, sl, run, huge (`bespoke heaps tlsf` explains them)"
        );
        assert_eq!(
            error("mimalloc:purge_dely=4"),
            "mimalloc has no parameter \"purge_dely\" (did you mean \"purge_delay\"?); it has segment, reserve, purge_delay, huge (`bespoke heaps mimalloc` explains them)"
        );
        assert!(error("buddy:run=4K").contains("it has huge ("));
        assert_eq!(
            error("tlsf:sl=5"),
            "tlsf:sl=5: sl is 2 to 64, a power of two"
        );
        assert_eq!(
            error("tinyalloc:share=0"),
            "tinyalloc:share=0: share is 1 to 90 %"
        );
        assert!(error("mimalloc:reserve=0").contains("1M to 256M, a power of two, or none"));
        for text in [
            "tlsf:",
            "tlsf:sl",
            "tlsf:sl=",
            "tlsf:sl=4:sl=8",
            "tlsf:sl=-4",
            "tlsf:run=4MB",
            "tslf:sl=4",
        ] {
            assert!(HeapSpec::parse(text).unwrap_err().is_usage(), "{text}");
        }
    }

    #[test]
    fn every_declared_parameter_holds_its_own_default_and_tries() {
        for Entry { info, .. } in HEAPS {
            assert!(info.parameters.len() <= MOST, "{}", info.name);
            for parameter in info.parameters {
                let values = [
                    &[parameter.default, parameter.least, parameter.most],
                    parameter.tries,
                ]
                .concat();
                for value in values {
                    let text = format!(
                        "{}:{}={}",
                        info.name,
                        parameter.name,
                        show(parameter, value)
                    );
                    HeapSpec::parse(&text).unwrap();
                }
            }
        }
    }
}
