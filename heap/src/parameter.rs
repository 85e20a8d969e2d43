//! The tunable parameters of a heap, as data: the command line, recipes
//! and searches need no code per heap.
//! This module holds descriptions only, never a chosen value.
//!
//! A heap lists its parameters in [`Info::parameters`](crate::Info::parameters).
//! Its type takes them as `const` generics of type `usize`, in the same order and with the same
//! defaults: `Heap<59, 16>`.
//! So a set of values is a type and is compiled in like any other code.
//! A heap that is named without values behaves as it did before it had parameters.

/// One parameter of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name on the command line and in recipes.
    pub name: &'static str,
    /// Unit of the value.
    pub unit: Unit,
    /// Value used when none is given.
    pub default: usize,
    /// Smallest value.
    pub least: usize,
    /// Largest value.
    pub most: usize,
    /// Only powers of two are allowed.
    pub power_of_two: bool,
    /// A word for a special value that is outside the range: above `most`, or 0.
    pub word: Option<(&'static str, usize)>,
    /// Values that a search tries besides the default.
    pub tries: &'static [usize],
    /// One line: benefit and cost of a larger value.
    pub trades: &'static str,
    /// C code needs it too: the build script defines the preprocessor
    /// macro `HEAP_NAME` (in capitals).
    pub defined_in_c: bool,
}

/// Unit of a parameter's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of items.
    Count,
    /// Bytes; may be written with a suffix K, M or G.
    Bytes,
    /// Hundredths.
    Percent,
    /// Thousandths of a second.
    Milliseconds,
    /// On (1) or off (0).
    Switch,
}

impl Parameter {
    /// Makes a parameter with the usual fields. Set others by name: `Parameter { tries: &[..],
    /// ..Parameter::new(..) }`.
    ///
    /// # Panics
    ///
    /// At compile time, when the default is not an allowed value.
    pub const fn new(
        name: &'static str,
        unit: Unit,
        default: usize,
        range: (usize, usize),
        trades: &'static str,
    ) -> Self {
        let (least, most) = range;
        let power_of_two = matches!(unit, Unit::Bytes);
        assert!(least <= default && default <= most);
        Self {
            name,
            unit,
            default,
            least,
            most,
            power_of_two,
            word: None,
            tries: &[],
            trades,
            defined_in_c: false,
        }
    }

    /// The step, in bytes, in which a heap takes pages ahead of need. See
    /// [`Pages::allocate_ahead`](crate::Pages::allocate_ahead).
    pub const RUN: Self = Self {
        tries: &[4096, 64 << 10, 16 << 20],
        ..Self::new(
            "run",
            Unit::Bytes,
            1 << 20,
            (4096, 64 << 20),
            "most memory taken ahead of need at once (an eighth of what is held, up to this): larger asks the page source less often, smaller holds less",
        )
    };

    /// Whether `value` is allowed.
    pub const fn allows(&self, value: usize) -> bool {
        if let Some((_, word)) = self.word
            && value == word
        {
            return true;
        }
        self.least <= value && value <= self.most && (!self.power_of_two || value.is_power_of_two())
    }
}
