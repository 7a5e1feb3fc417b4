//! How often each value came, in memory of a fixed size that is taken when it is made: an HDR
//! histogram that never grows, and the exact sum. Not here: what is measured (`phases`).

use hdrhistogram::{CreationError, Histogram};

use crate::limits::DISTRIBUTION_DIGITS;

/// Values are told apart to two decimal digits; counts and the sum are exact.
///
/// ```text
/// |  256 bins of the grain  |  128 bins of twice the grain  |  128 of four times  | …
/// 0                  256 grains                        512 grains           1024 grains
/// ```
#[derive(Debug)]
pub struct Distribution {
    bins: Histogram<u64>,
    sum: u64,
}

impl Distribution {
    /// Takes the memory for values up to `most`; greater ones count as that. `grain` is a power of
    /// two, and smaller differences than it are not told apart.
    ///
    /// # Errors
    /// The bounds make no sense.
    pub fn new(grain: u64, most: u64) -> Result<Self, CreationError> {
        Ok(Self { bins: Histogram::new_with_bounds(grain, most, DISTRIBUTION_DIGITS)?, sum: 0 })
    }

    /// The memory that [`new`](Self::new) takes, in bytes.
    #[must_use]
    pub const fn heap_bytes(grain: u64, most: u64) -> usize {
        // Bins of one size, and how far the first of them reach: two digits need 200 of them.
        const HALF: usize = 128;
        let mut reach = 2 * HALF as u64 * grain;
        let mut halves = 2;
        while reach <= most {
            reach *= 2;
            halves += 1;
        }
        halves * HALF * size_of::<u64>()
    }

    /// Counts a value `times` times.
    pub fn record(&mut self, value: u64, times: u64) {
        self.bins.saturating_record_n(value, times);
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.len()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The greatest of them; 0 if there is none. As with the quantiles, this is the last value that
    /// is not told apart from it.
    #[must_use]
    pub fn max(&self) -> u64 {
        if self.bins.is_empty() { 0 } else { self.bins.highest_equivalent(self.bins.max()) }
    }

    /// The values that these shares of all values do not exceed; shares are ascending. One look at
    /// every bin.
    #[must_use]
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [u64; N] {
        let mut values = [0; N];
        for (value, found) in values.iter_mut().zip(self.bins.value_at_quantiles(shares)) {
            *value = found;
        }
        values
    }

    /// How many values lie between each of the ascending `bounds` and the one before, itself
    /// included, and behind the last how many lie beyond. A value counts as within a bound from
    /// which it is not told apart. One look at every bin.
    #[must_use]
    pub fn buckets(&self, bounds: &[u64]) -> Vec<u64> {
        let mut buckets = vec![0; bounds.len() + 1];
        let mut bucket = 0;
        for bin in self.bins.iter_recorded() {
            let lowest = self.bins.lowest_equivalent(bin.value_iterated_to());
            while bounds.get(bucket).is_some_and(|bound| *bound < lowest) {
                bucket += 1;
            }
            if let Some(count) = buckets.get_mut(bucket) {
                *count += bin.count_since_last_iteration();
            }
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of all sizes, and how often each came.
    fn values() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let value = (0_u32..42, any::<u64>()).prop_map(|(bits, value)| value & ((1 << bits) - 1));
        proptest::collection::vec((value, 1_u64..5), 0..200)
    }

    /// Far from the most, as which all greater values count.
    fn bounds() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::btree_set(1_u64..MOST / 2, 1..20)
            .prop_map(|set| set.into_iter().collect())
    }

    const GRAIN: u64 = 64;
    const MOST: u64 = (1 << 36) - 1;

    fn distribution(values: &[(u64, u64)]) -> Distribution {
        let mut distribution = Distribution::new(GRAIN, MOST).unwrap();
        for (value, times) in values {
            distribution.record(*value, *times);
        }
        distribution
    }

    /// The naive twin: how many values are no greater.
    fn up_to(values: &[(u64, u64)], bound: u64) -> u64 {
        values.iter().filter(|(value, _)| *value <= bound).map(|(_, times)| times).sum()
    }

    #[test]
    fn of_nothing_but_zeros_the_greatest_is_what_the_quantiles_say() {
        let distribution = distribution(&[(0, 3)]);
        assert_eq!(distribution.quantiles([0.5, 1.0]), [distribution.max(); 2]);
    }

    proptest! {
        #[test]
        fn law_the_buckets_hold_every_value_once(values in values(), bounds in bounds()) {
            let distribution = distribution(&values);
            let buckets = distribution.buckets(&bounds);
            let count: u64 = values.iter().map(|(_, times)| times).sum();
            let sum: u64 = values.iter().map(|(value, times)| value * times).sum();
            prop_assert_eq!(buckets.len(), bounds.len() + 1);
            prop_assert_eq!(buckets.iter().sum::<u64>(), count);
            prop_assert_eq!((distribution.count(), distribution.sum()), (count, sum));
        }

        #[test]
        fn law_a_value_is_within_a_bound_as_the_naive_twin_says_to_two_digits(
            values in values(), bounds in bounds(),
        ) {
            let mut within = 0;
            for (bound, count) in bounds.iter().zip(distribution(&values).buckets(&bounds)) {
                within += count;
                prop_assert!(within >= up_to(&values, *bound));
                prop_assert!(within <= up_to(&values, bound + bound / 100 + GRAIN));
            }
        }

        #[test]
        fn law_quantiles_are_the_naive_twins_to_two_digits(values in values()) {
            let shares = [0.5, 0.9, 0.99, 0.999, 1.0];
            let distribution = distribution(&values);
            let told = distribution.quantiles(shares);
            let mut sorted: Vec<u64> = values.iter()
                .flat_map(|(value, times)| vec![(*value).min(MOST); *times as usize]).collect();
            sorted.sort_unstable();
            for (share, told) in shares.into_iter().zip(told) {
                let rank = (share * sorted.len() as f64).ceil() as usize;
                let value = sorted.get(rank.max(1) - 1).copied().unwrap_or(0);
                let known = if sorted.is_empty() { 0 } else { value + value / 100 + GRAIN };
                prop_assert!(value <= told && told <= known, "{share}: {value}, told {told}");
                prop_assert!(told <= distribution.max());
            }
        }

        #[test]
        fn law_the_memory_is_what_was_said_and_does_not_grow(
            grain in 0_u32..10, most in 10_u32..45, values in values(),
        ) {
            let (grain, most) = (1 << grain, (1 << most) - u64::from(most % 2));
            let mut distribution = Distribution::new(grain, most.max(2 * grain)).unwrap();
            let bytes = |of: &Distribution| of.bins.distinct_values() * size_of::<u64>();
            let before = bytes(&distribution);
            prop_assert_eq!(before, Distribution::heap_bytes(grain, most.max(2 * grain)));
            for (value, times) in values {
                distribution.record(value, times);
            }
            distribution.record(u64::MAX, 1);
            prop_assert_eq!(bytes(&distribution), before);
        }
    }

    #[test]
    fn a_bound_is_within_itself() {
        let mut distribution = Distribution::new(1, MOST).unwrap();
        distribution.record(4, 1);
        assert_eq!(distribution.buckets(&[2, 4, 8]), [0, 1, 0, 0]);
        assert_eq!(distribution.buckets(&[3, 5]), [0, 1, 0]);
    }

    #[test]
    fn what_is_beyond_the_last_bound_is_counted_there_however_far() {
        let mut distribution = Distribution::new(GRAIN, MOST).unwrap();
        for value in [1000, 1_000_000, MOST, u64::MAX] {
            distribution.record(value, 1);
        }
        assert_eq!(distribution.buckets(&[1000, 2000]), [1, 0, 3]);
        assert_eq!(distribution.sum(), u64::MAX, "and not around the corner");
    }
}
