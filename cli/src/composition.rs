//! Which heap stands in which component of an image.

use crate::error::Error;
use crate::heaps;
use serde::Deserialize;
use std::fmt;

/// A component of an image that has a heap of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// `malloc` and its family.
    App,
    /// Rust allocations of the library OS.
    Libos,
    /// Thread stacks.
    Stack,
    /// What is allocated once, at boot.
    Boot,
}

impl Component {
    /// All of them, in the order of the image's note.
    pub const ALL: [Self; 4] = [Self::App, Self::Libos, Self::Stack, Self::Boot];

    /// Name on the command line, in recipes and in the image's note.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Libos => "libos",
            Self::Stack => "stack",
            Self::Boot => "boot",
        }
    }

    fn find(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|component| component.name() == name)
            .ok_or_else(|| {
                Error::unknown(
                    "component",
                    name,
                    Self::ALL.map(Self::name),
                    "there are app, libos, stack and boot",
                )
            })
    }
}

/// `--heap NAME` (component `app`) or `--heap COMPONENT=NAME`, not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapArgument(pub String);

impl From<&str> for HeapArgument {
    fn from(text: &str) -> Self {
        Self(text.to_string())
    }
}

/// Heaps by component as a recipe names them; absent: the default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preference {
    app: Option<String>,
    libos: Option<String>,
    stack: Option<String>,
    boot: Option<String>,
}

/// A heap for every component. All names are in [`heaps::HEAPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Composition {
    heaps: [&'static str; 4],
}

impl Composition {
    /// The default composition, changed by `preference`, changed by `arguments` in order.
    pub fn choose(preference: &Preference, arguments: &[HeapArgument]) -> Result<Self, Error> {
        let mut chosen = Self { heaps: DEFAULTS };
        let Preference {
            app,
            libos,
            stack,
            boot,
        } = preference;
        for (component, name) in Component::ALL.into_iter().zip([app, libos, stack, boot]) {
            if let Some(name) = name {
                chosen.heaps[component as usize] = heaps::find(name)?.info.name;
            }
        }
        for HeapArgument(argument) in arguments {
            let (component, name) = match argument.split_once('=') {
                Some((component, name)) => (Component::find(component)?, name),
                None => (Component::App, argument.as_str()),
            };
            chosen.heaps[component as usize] = heaps::find(name)?.info.name;
        }
        Ok(chosen)
    }

    /// The heap of `component`.
    pub fn heap(&self, component: Component) -> &'static str {
        self.heaps[component as usize]
    }

    /// Every heap named, once.
    pub fn distinct(&self) -> Vec<&'static str> {
        let mut names = self.heaps.to_vec();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A name for files: `tlsf-talc-region-region`, in the order of [`Component::ALL`].
    pub fn slug(&self) -> String {
        self.heaps.join("-")
    }
}

impl fmt::Display for Composition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, component) in Component::ALL.into_iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}={}", component.name(), self.heap(component))?;
        }
        Ok(())
    }
}

/// What stands in a component that neither the recipe nor the user speaks of.
const DEFAULTS: [&str; 4] = ["tlsf", "tlsf", "region", "region"];

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
