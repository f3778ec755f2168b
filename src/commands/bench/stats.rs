//! What is made of the raw readings: percentiles, and medians over alternating windows.

use std::time::Duration;

/// What one crew did in one window.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Units finished: cycles or calls.
    pub units: u64,
    /// What each of them took, in no order.
    pub latencies: Vec<Duration>,
}

/// One window of one side, with what it cost.
#[derive(Clone, Debug)]
pub struct Window {
    /// Units finished.
    pub units: u64,
    /// From the start until the last unit begun in the window was finished.
    pub elapsed: Duration,
    /// CPU time of the server.
    pub cpu: Duration,
    /// CPU time of the load generator.
    pub generator_cpu: Duration,
    /// Half of the units took no longer.
    pub p50: Duration,
    /// 99 of 100 units took no longer.
    pub p99: Duration,
}

impl Window {
    /// Sums up a window.
    pub fn new(mut tally: Tally, elapsed: Duration, cpu: Duration, generator_cpu: Duration) -> Self {
        tally.latencies.sort_unstable();
        Self {
            units: tally.units,
            elapsed,
            cpu,
            generator_cpu,
            p50: percentile(&tally.latencies, 0.50),
            p99: percentile(&tally.latencies, 0.99),
        }
    }
}

/// The windows of one side.
#[derive(Clone, Debug, Default)]
pub struct Windows(pub Vec<Window>);

impl Windows {
    /// Median of the units finished per second.
    pub fn rate(&self) -> f64 {
        self.median_of(|window| window.units as f64 / window.elapsed.as_secs_f64())
    }

    /// Median of the server's CPU time per unit, in microseconds.
    pub fn cpu_micros(&self) -> f64 {
        self.median_of(|window| per_unit(window.cpu, window.units))
    }

    /// Median of the load generator's CPU time per unit, in microseconds.
    pub fn generator_cpu_micros(&self) -> f64 {
        self.median_of(|window| per_unit(window.generator_cpu, window.units))
    }

    /// Median of the windows' medians, in milliseconds.
    pub fn p50_millis(&self) -> f64 {
        self.median_of(|window| window.p50.as_secs_f64() * 1e3)
    }

    /// Median of the windows' 99th percentiles, in milliseconds.
    pub fn p99_millis(&self) -> f64 {
        self.median_of(|window| window.p99.as_secs_f64() * 1e3)
    }

    fn median_of(&self, value: impl Fn(&Window) -> f64) -> f64 {
        median(self.0.iter().map(value).collect())
    }
}

fn per_unit(cpu: Duration, units: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / units.max(1) as f64
}

/// The smallest of sorted values that at least this share of them does not exceed; zero of none.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle value, or the mean of the two in the middle; zero of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentile_is_the_smallest_value_that_covers_the_share() {
        let hundred = millis(1..=100);
        assert_eq!(percentile(&hundred, 0.50), Duration::from_millis(50));
        assert_eq!(percentile(&hundred, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&hundred, 1.0), Duration::from_millis(100));
        let three = millis([1, 2, 9]);
        assert_eq!(percentile(&three, 0.50), Duration::from_millis(2));
        assert_eq!(percentile(&three, 0.99), Duration::from_millis(9));
        assert_eq!(percentile(&[], 0.99), Duration::ZERO);
    }

    #[test]
    fn median_is_not_moved_by_one_disturbed_window() {
        assert_eq!(median(vec![7.0, 1.0, 1000.0]), 7.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 1000.0]), 3.0);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn figures_of_a_side_are_per_second_and_per_unit() {
        let window = |units, cpu| {
            let tally = Tally { units, latencies: millis([2, 1, 4]) };
            Window::new(
                tally,
                Duration::from_secs(2),
                Duration::from_millis(cpu),
                Duration::from_millis(2 * cpu),
            )
        };
        let side = Windows(vec![window(1000, 100), window(2000, 100), window(3000, 100)]);
        assert_eq!(side.rate(), 1000.0);
        assert_eq!(side.cpu_micros(), 50.0);
        assert_eq!(side.generator_cpu_micros(), 100.0);
        assert_eq!(side.p50_millis(), 2.0, "latencies are sorted first");
        assert_eq!(side.p99_millis(), 4.0);
    }
}
