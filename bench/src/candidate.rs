//! What is measured and compared: an image with a composition, or the native program.
//! Data only; building and running it is another's.

use bespoke_recipe::composition::Composition;
use bespoke_recipe::heap_spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Label of the program built with the system's C library, run by the system.
pub(crate) const NATIVE: &str = "native";

/// One candidate: `label` names it in tables and files and is unique within a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Name for people: `tlsf`, or what tells it from the others.
    pub label: String,
    /// What it is.
    pub kind: Kind,
}

/// What a candidate is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The app's image with these heaps, by component.
    Image(Box<Composition>),
    /// The same program, natively.
    Native,
}

impl Candidate {
    /// The app's image with `composition`.
    pub fn image(label: impl Into<String>, composition: Composition) -> Self {
        Self {
            label: label.into(),
            kind: Kind::Image(Box::new(composition)),
        }
    }

    /// The native program.
    pub fn native() -> Self {
        Self {
            label: NATIVE.into(),
            kind: Kind::Native,
        }
    }

    /// As it is written to files; `image`: SHA-256 and bytes of the image file.
    pub fn record(&self, image: Option<(String, u64)>) -> CandidateRecord {
        let components = match &self.kind {
            Kind::Native => BTreeMap::new(),
            Kind::Image(composition) => composition
                .components()
                .map(|(component, heap)| {
                    let slot = Slot {
                        heap: heap.name().to_string(),
                        parameters: heap
                            .changed()
                            .map(|(one, value)| (one.name.into(), heap_spec::show(one, value)))
                            .collect(),
                    };
                    (component.name().to_string(), slot)
                })
                .collect(),
        };
        let (image_sha256, image_bytes) = image.unzip();
        CandidateRecord {
            label: self.label.clone(),
            native: self.kind == Kind::Native,
            components,
            image_sha256,
            image_bytes,
        }
    }
}

/// A candidate in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord {
    /// Name, unique within the file.
    pub label: String,
    /// The native program: no heap of ours, shown beside the candidates and never a winner.
    pub native: bool,
    /// Heaps by component; empty for the native program.
    pub components: BTreeMap<String, Slot>,
    /// SHA-256 of the image file, in hexadecimal digits.
    pub image_sha256: Option<String>,
    /// Size of the image file.
    pub image_bytes: Option<u64>,
}

/// What stands in one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// The heap's name.
    pub heap: String,
    /// Its parameters that differ from the defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}
