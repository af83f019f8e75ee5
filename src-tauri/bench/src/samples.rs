//! Durations of the same thing, measured again and again.

use std::time::{Duration, Instant};

#[derive(Debug, Default, Clone)]
pub(crate) struct Samples {
    durations: Vec<Duration>,
}

impl Samples {
    pub(crate) fn push(&mut self, duration: Duration) {
        self.durations.push(duration);
    }

    /// Does `work` and keeps how long it took.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        self.push(start.elapsed());
        value
    }

    pub(crate) fn p50(&self) -> Duration {
        self.at(50)
    }

    /// Returns the 99th percentile: the largest one where there are fewer than 100.
    pub(crate) fn p99(&self) -> Duration {
        self.at(99)
    }

    fn at(&self, percent: usize) -> Duration {
        let mut sorted = self.durations.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let mut samples = Samples::default();
        assert_eq!(samples.p50(), Duration::ZERO);
        for n in (1..=200).rev() {
            samples.push(Duration::from_millis(n));
        }
        assert_eq!(samples.p50(), Duration::from_millis(101));
        assert_eq!(samples.p99(), Duration::from_millis(199));
    }
}
