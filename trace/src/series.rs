//! A curve of unknown length in bounded memory.
//! It keeps the maximum of each interval. All intervals have one width, which
//! doubles when there are too many.

/// Largest number of intervals. There are at least half as many once there were that many points.
const MOST: usize = 128;

/// The curve.
#[derive(Debug)]
pub struct Series {
    width: u64,
    most: Vec<u64>,
    last: u64,
}

impl Series {
    /// Makes a curve that begins at 0.
    pub fn new() -> Self {
        Self {
            width: 1,
            most: Vec::new(),
            last: 0,
        }
    }

    /// Sets the value from `time` on. `time` is not before the last one.
    pub fn set(&mut self, time: u64, value: u64) {
        while time / self.width >= MOST as u64 {
            self.width *= 2;
            self.most = self
                .most
                .chunks(2)
                .map(|pair| pair.iter().copied().max().unwrap_or(0))
                .collect();
        }
        let index = (time / self.width) as usize;
        while self.most.len() <= index {
            self.most.push(self.last);
        }
        self.most[index] = self.most[index].max(value);
        self.last = value;
    }

    /// Returns the width of an interval and the maximum of each.
    pub fn points(&self) -> (u64, &[u64]) {
        (self.width, &self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_stays_where_it_was_however_long_the_curve_becomes() {
        let mut series = Series::new();
        for time in 0..10_000 {
            series.set(time, if time == 5_000 { 99 } else { 1 });
        }
        let (width, points) = series.points();
        assert!(
            points.len() <= MOST && points.len() >= MOST / 2,
            "{}",
            points.len()
        );
        let at = points.iter().position(|&value| value == 99).unwrap() as u64;
        assert_eq!(at, 5_000 / width);
        assert_eq!(points.iter().filter(|&&value| value == 99).count(), 1);
    }

    #[test]
    fn a_value_lasts_until_the_next() {
        let mut series = Series::new();
        series.set(0, 7);
        series.set(3, 2);
        assert_eq!(series.points().1, [7, 7, 7, 7]);
        series.set(5, 3);
        assert_eq!(series.points().1, [7, 7, 7, 7, 2, 3]);
    }
}
