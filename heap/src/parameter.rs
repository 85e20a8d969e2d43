//! What of a heap can be set: data, so that the command line, recipes and searches need no code per heap.
//! Owns the description alone; must never hold a chosen value.
//!
//! A heap lists its parameters in [`Info::parameters`](crate::Info::parameters), and its type takes them as `const`
//! generics of type `usize` in the same order, with the same defaults: `Heap<59, 16>`. So a choice is a type, compiled in
//! as everything else, and a heap that is named without parameters is what it was before it had any.

/// One parameter of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name on the command line and in recipes.
    pub name: &'static str,
    /// What its number counts.
    pub unit: Unit,
    /// Value of a heap that is named without it.
    pub default: usize,
    /// Smallest value.
    pub least: usize,
    /// Largest value.
    pub most: usize,
    /// Only powers of two are allowed.
    pub power_of_two: bool,
    /// A word for a value that is no number: beyond `most`, or 0.
    pub word: Option<(&'static str, usize)>,
    /// What a search tries besides the default.
    pub tries: &'static [usize],
    /// One line: what a larger value buys and costs.
    pub trades: &'static str,
    /// A heap in C needs it as a preprocessor definition `HEAP_NAME` too (in capitals); its build script gets it so.
    pub defined_in_c: bool,
}

/// Unit of a parameter's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes; may be written with K, M or G.
    Bytes,
    /// Hundredths.
    Percent,
    /// Thousandths of a second.
    Milliseconds,
    /// On (1) or off (0).
    Switch,
}

impl Parameter {
    /// A parameter with what most have; the rest is named: `Parameter { tries: &[..], ..Parameter::new(..) }`.
    ///
    /// # Panics
    ///
    /// At compile time, when the default is no value it may have.
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

    /// The step in which a heap takes pages ahead of need, as [`Pages::allocate_ahead`](crate::Pages::allocate_ahead)
    /// means it; in bytes.
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

    /// Whether `value` may be set.
    pub const fn allows(&self, value: usize) -> bool {
        if let Some((_, word)) = self.word
            && value == word
        {
            return true;
        }
        self.least <= value && value <= self.most && (!self.power_of_two || value.is_power_of_two())
    }
}
