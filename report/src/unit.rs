//! How values are read: bytes as KiB or MiB, everything else in its own unit.

use super::chart::number;
use bespoke_bench::Column;

/// A unit for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many of the measured unit it is.
    pub size: f64,
}

impl Unit<'_> {
    /// A measured value in this unit.
    pub fn convert(&self, value: f64) -> f64 {
        value / self.size
    }

    /// A measured value with three digits, without the unit's name.
    pub fn show(&self, value: f64) -> String {
        number(self.convert(value))
    }
}

/// The unit in which all values of a column are read.
pub fn unit(column: &Column) -> Unit<'_> {
    let medians = column.rows.iter().filter_map(|row| row.summary);
    let largest = medians.map(|summary| summary.median).fold(0.0, f64::max);
    of(&column.metric.unit, largest)
}

fn of(name: &str, largest: f64) -> Unit<'_> {
    const KIB: f64 = 1024.0;
    match name {
        "bytes" if largest >= KIB * KIB => Unit {
            name: "MiB",
            size: KIB * KIB,
        },
        "bytes" if largest >= KIB => Unit {
            name: "KiB",
            size: KIB,
        },
        _ => Unit { name, size: 1.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn bytes_are_read_by_their_size_and_nothing_else_changes() {
        assert_eq!(of("bytes", 3e6).show(3.0 * 1024.0 * 1024.0), "3");
        assert_eq!(of("bytes", 2048.0).name, "KiB");
        assert_eq!((of("us", 3e6).name, of("us", 3e6).size), ("us", 1.0));
    }
}
