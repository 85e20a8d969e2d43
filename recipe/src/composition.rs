//! Which heap stands in which component of an image.

use crate::Error;
use crate::heap_spec::{HUGE, HeapSpec};
use serde::Deserialize;
use std::fmt;

/// A component of an image that has a heap of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// `malloc` and its family.
    App,
    /// Rust allocations of the library OS.
    Libos,
    /// Sockets and their buffers; an image without a heap for them has no network.
    Net,
    /// Thread stacks.
    Stack,
    /// What is allocated once, at boot.
    Boot,
}

impl Component {
    /// All of them, in the order of the image's note.
    pub const ALL: [Self; 5] = [Self::App, Self::Libos, Self::Net, Self::Stack, Self::Boot];

    /// Name on the command line, in recipes and in the image's note.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Libos => "libos",
            Self::Net => "net",
            Self::Stack => "stack",
            Self::Boot => "boot",
        }
    }

    /// Its slot in the image's statistics page.
    pub fn slot(self) -> u8 {
        match self {
            Self::App => 0,
            Self::Libos => 1,
            Self::Stack => 2,
            Self::Boot => 3,
            Self::Net => 6,
        }
    }

    /// The component named `name`.
    pub fn find(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|component| component.name() == name)
            .ok_or_else(|| {
                Error::unknown(
                    "component",
                    name,
                    Self::ALL.map(Self::name),
                    "the components are app, libos, net, stack and boot",
                )
            })
    }
}

/// `--heap CHOICE` (component `app`) or `--heap COMPONENT=CHOICE`, not looked up yet; see [`HeapSpec::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapArgument(pub String);

impl From<&str> for HeapArgument {
    fn from(text: &str) -> Self {
        Self(text.to_string())
    }
}

impl HeapArgument {
    /// The component, and the heap with its parameters, in words.
    fn split(&self) -> (&str, &str) {
        // The `=` of a component comes before the `:` of parameters, which have `=` of their own.
        let head = self.0.split(':').next().unwrap_or_default();
        match head.find('=') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (Component::App.name(), &self.0),
        }
    }

    /// Whether any of `arguments` names a heap for `component`.
    pub fn name(arguments: &[Self], component: Component) -> bool {
        arguments
            .iter()
            .any(|argument| argument.split().0 == component.name())
    }
}

/// Heaps by component as a recipe names them, with parameters if it likes (see [`HeapSpec::parse`]); absent: the default.
/// One for `net` gives the image a network and `none` takes it; unless either is said, the image has one if the application
/// asks for sockets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preference {
    app: Option<String>,
    libos: Option<String>,
    net: Option<String>,
    stack: Option<String>,
    boot: Option<String>,
}

/// A heap for every component but `net`, and for that if the image has a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Composition {
    heaps: [Option<HeapSpec>; 5],
    /// Nobody said whether it has a network.
    network_by_need: bool,
    records: bool,
    times: bool,
}

/// What is written in place of a heap for `net`.
const NO_NETWORK: &str = "none";

impl Composition {
    /// The default composition, changed by `preference`, changed by `arguments` in order.
    pub fn choose(preference: &Preference, arguments: &[HeapArgument]) -> Result<Self, Error> {
        let mut chosen = Self {
            heaps: [None; 5],
            network_by_need: true,
            records: false,
            times: false,
        };
        for (place, name) in chosen.heaps.iter_mut().zip(DEFAULTS) {
            *place = name.map(HeapSpec::parse).transpose()?;
        }
        let Preference {
            app,
            libos,
            net,
            stack,
            boot,
        } = preference;
        let named = [app, libos, net, stack, boot];
        for (component, name) in Component::ALL.into_iter().zip(named) {
            if let Some(name) = name {
                chosen.set(component, name)?;
            }
        }
        for argument in arguments {
            let (component, name) = argument.split();
            chosen.set(Component::find(component)?, name)?;
        }
        chosen.check()?;
        Ok(chosen)
    }

    fn set(&mut self, component: Component, name: &str) -> Result<(), Error> {
        let is_net = component == Component::Net;
        self.network_by_need &= !is_net;
        let none = is_net && name == NO_NETWORK;
        self.heaps[component as usize] = match none {
            true => None,
            false => Some(HeapSpec::parse(name)?),
        };
        Ok(())
    }

    /// The same heaps, with the default one for the network if nobody said whether there is one and the application
    /// `needs` it.
    ///
    /// # Errors
    ///
    /// As for [`Composition::with`].
    pub fn settled(self, needs: bool) -> Result<Self, Error> {
        let settled = Self {
            network_by_need: true,
            ..self
        };
        match self.network_by_need && needs && !self.has_network() {
            true => settled.with(Component::Net, HeapSpec::parse("tlsf")?),
            false => Ok(settled),
        }
    }

    /// The same heaps in an image that can record what they do.
    pub fn recording(self) -> Self {
        Self {
            records: true,
            ..self
        }
    }

    /// Whether the image can record what its heaps do.
    pub fn records(&self) -> bool {
        self.records
    }

    /// The same heaps in an image that records how long each of their operations takes.
    pub fn timing(self) -> Self {
        Self {
            times: true,
            ..self
        }
    }

    /// Whether the image records how long operations of its heaps take.
    pub fn times(&self) -> bool {
        self.times
    }

    /// A heap that has one instance per image has one set of parameters; and RAM lies on one kind of pages.
    fn check(&self) -> Result<(), Error> {
        let mut rest = self.components().skip(1);
        if let Some((component, choice)) = rest.find(|(_, choice)| !choice.is_huge()) {
            return Err(Error::Usage(format!(
                "{}={choice}: the whole RAM of an image uses one page size; set {} with the heap of {}",
                component.name(),
                HUGE.name,
                Component::App.name(),
            )));
        }
        let mut first: Vec<(Component, HeapSpec)> = Vec::new();
        for (component, choice) in self.components() {
            if !choice.entry().info.capabilities.shared_instance {
                continue;
            }
            match first
                .iter()
                .find(|(_, other)| other.name() == choice.name())
            {
                Some((other, earlier)) if !earlier.is_same_heap(&choice) => {
                    return Err(Error::Usage(format!(
                        "{} has one instance, which all components that name it share, but {}={earlier} differs from {}={choice}; give both the same parameters",
                        choice.name(),
                        other.name(),
                        component.name(),
                    )));
                }
                _ => first.push((component, choice)),
            }
        }
        Ok(())
    }

    /// The same with another heap in a component.
    ///
    /// # Errors
    ///
    /// When the heap is one instance for all components and another one has it with other parameters; when it sets what only
    /// the heap of `app` may.
    pub fn with(mut self, component: Component, heap: HeapSpec) -> Result<Self, Error> {
        self.heaps[component as usize] = Some(heap);
        self.check()?;
        Ok(self)
    }

    /// The heap of a component; `None`: the image has no such component.
    pub fn heap(&self, component: Component) -> Option<HeapSpec> {
        self.heaps[component as usize]
    }

    /// Every component the image has, with its heap, in the order of [`Component::ALL`].
    pub fn components(&self) -> impl Iterator<Item = (Component, HeapSpec)> {
        let pairs = Component::ALL.into_iter().zip(self.heaps);
        pairs.filter_map(|(component, heap)| Some((component, heap?)))
    }

    /// Whether the image has a network.
    pub fn has_network(&self) -> bool {
        self.heaps[Component::Net as usize].is_some()
    }

    /// Whether the image's RAM may lie on huge pages.
    pub fn is_huge(&self) -> bool {
        self.components().all(|(_, heap)| heap.is_huge())
    }

    /// Every heap named, once.
    pub fn distinct(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.components().map(|(_, heap)| heap.name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A name for files: `tlsf_sl_4-talc-region-region`, in the order of [`Component::ALL`]; `-recording` or `-timing` behind it.
    pub fn slug(&self) -> String {
        let mut names: Vec<_> = self.components().map(|(_, heap)| heap.slug()).collect();
        let none = !self.network_by_need && !self.has_network();
        names.extend(none.then(|| "no_network".to_string()));
        names.extend(self.records.then(|| "recording".to_string()));
        names.extend(self.times.then(|| "timing".to_string()));
        names.join("-")
    }
}

impl fmt::Display for Composition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (component, heap)) in self.components().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}={heap}", component.name())?;
        }
        Ok(())
    }
}

/// What stands in a component that neither the recipe nor the user speaks of.
const DEFAULTS: [Option<&str>; 5] = [
    Some("tlsf"),
    Some("tlsf"),
    None,
    Some("region"),
    Some("region"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(arguments: &[&str]) -> Result<Composition, Error> {
        let arguments: Vec<HeapArgument> = arguments
            .iter()
            .map(|text| HeapArgument::from(*text))
            .collect();
        Composition::choose(&Preference::default(), &arguments)
    }

    #[test]
    fn a_plain_name_is_the_heap_of_the_application() {
        let plain = choose(&["region"]).unwrap();
        assert_eq!(plain, choose(&["app=region"]).unwrap());
        assert_eq!(
            plain.to_string(),
            "app=region libos=tlsf stack=region boot=region"
        );
    }

    #[test]
    fn a_heap_for_the_network_makes_one() {
        let without = choose(&[]).unwrap();
        let with = choose(&["net=region"]).unwrap();
        assert!(!without.has_network() && with.has_network());
        assert_ne!(without.slug(), with.slug());
        assert_eq!(
            with.to_string(),
            "app=tlsf libos=tlsf net=region stack=region boot=region"
        );
    }

    #[test]
    fn the_network_is_there_by_need_unless_somebody_says_otherwise() {
        let open = choose(&[]).unwrap();
        assert!(open.settled(true).unwrap().has_network());
        assert_eq!(open.settled(false).unwrap(), open);
        let none = choose(&["net=none"]).unwrap();
        assert!(!none.settled(true).unwrap().has_network());
        // Their images differ, and so do the places of these.
        assert_ne!(none.slug(), open.slug());
        assert_eq!(none.settled(true).unwrap().slug(), open.slug());
        let named = choose(&["net=region"]).unwrap();
        assert_eq!(
            named.settled(true).unwrap().heap(Component::Net),
            named.heap(Component::Net)
        );
        assert!(choose(&["app=none"]).is_err());
    }

    #[test]
    fn parameters_belong_to_a_component_and_to_the_name() {
        let plain = choose(&[]).unwrap();
        let tuned = choose(&["tlsf:sl=4", "libos=talc:trim=64K:run=4K"]).unwrap();
        assert_eq!(
            tuned.to_string(),
            "app=tlsf:sl=4 libos=talc:trim=64K:run=4K stack=region boot=region"
        );
        assert_eq!(
            tuned.slug(),
            "tlsf_sl_4-talc_trim_65536_run_4096-region-region"
        );
        assert_eq!(choose(&["app=tlsf:sl=16"]).unwrap(), plain);
        let other = choose(&["app=tlsf:sl=8"]).unwrap();
        assert!(other != tuned && other.slug() != tuned.slug());
        let preference = Preference {
            net: Some("dlmalloc:granularity=64K".into()),
            ..Preference::default()
        };
        let recipe = Composition::choose(&preference, &[]).unwrap();
        assert!(recipe.to_string().contains("net=dlmalloc:granularity=64K"));
    }

    #[test]
    fn a_shared_instance_has_one_set_of_parameters() {
        assert!(choose(&["mimalloc:reserve=8M", "libos=mimalloc:reserve=8M"]).is_ok());
        let error = choose(&["mimalloc:reserve=8M", "libos=mimalloc"]).unwrap_err();
        assert!(error.is_usage());
        assert!(
            error
                .to_string()
                .contains("app=mimalloc:reserve=8M differs from libos=mimalloc"),
            "{error}"
        );
    }

    #[test]
    fn the_kind_of_pages_is_set_with_the_heap_of_the_application() {
        let plain = choose(&["tlsf"]).unwrap();
        let small = choose(&["tlsf:huge=off"]).unwrap();
        assert!(plain.is_huge() && !small.is_huge());
        assert!(plain.slug() != small.slug());
        assert_eq!(choose(&["tlsf:huge=on"]).unwrap(), plain);
        assert!(choose(&["mimalloc:huge=off", "libos=mimalloc"]).is_ok());
        let error = choose(&["libos=tlsf:huge=off"]).unwrap_err();
        assert!(error.is_usage());
        assert!(
            error.to_string().contains("with the heap of app"),
            "{error}"
        );
        let error = choose(&["tlsf:huge=2"]).unwrap_err().to_string();
        assert!(error.contains("huge is off or on"), "{error}");
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let error = choose(&["regoin"]).unwrap_err().to_string();
        assert!(error.contains("did you mean \"region\"?"), "{error}");
        let error = choose(&["ap=region"]).unwrap_err().to_string();
        assert!(
            error.contains("component named \"ap\" (did you mean \"app\"?)"),
            "{error}"
        );
    }
}
