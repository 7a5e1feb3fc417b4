//! Unequal choice in constant time: sizes of a mix, mailboxes by Zipf's law. The choice is a
//! function of a number, so that what was sent can be worked out again when it is read back.

/// Walker's alias table: each slot holds the share of its own index, and who gets the rest.
#[derive(Debug)]
pub(crate) struct Choice {
    slots: Vec<(u32, u32)>,
}

impl Choice {
    /// A choice among as many things as there are weights, none of which may be negative.
    pub(crate) fn of(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let count = weights.len() as f64;
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * count / sum).collect();
        let mut slots: Vec<(u32, u32)> = (0..weights.len() as u32).map(|i| (u32::MAX, i)).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&at| shares[at] < 1.0);
        while let (Some(low), Some(high)) = (poor.pop(), rich.pop()) {
            slots[low] = ((shares[low] * f64::from(u32::MAX)) as u32, high as u32);
            shares[high] -= 1.0 - shares[low];
            if shares[high] < 1.0 { poor.push(high) } else { rich.push(high) }
        }
        Self { slots }
    }

    /// By Zipf's law: the thing at index `i` is chosen in proportion to 1/(i+1)^exponent.
    pub(crate) fn zipf(count: u32, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect();
        Self::of(&weights)
    }

    /// The choice that belongs to this number, which should look random in all of its bits.
    pub(crate) fn pick(&self, number: u64) -> u32 {
        let at = (((number >> 32) * self.slots.len() as u64) >> 32) as usize;
        let (share, other) = self.slots[at];
        if number as u32 <= share { at as u32 } else { other }
    }
}

/// A number that looks random, from one that does not (the finalizer of SplitMix64).
pub(crate) fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(choice: &Choice, count: usize) -> Vec<f64> {
        let mut picked = vec![0u32; count];
        for number in 0..200_000 {
            picked[choice.pick(scramble(number)) as usize] += 1;
        }
        picked.into_iter().map(|times| f64::from(times) / 200_000.0).collect()
    }

    #[test]
    fn each_is_picked_as_often_as_its_weight_says() {
        let found = shares(&Choice::of(&[80.0, 15.0, 5.0, 0.0]), 4);
        for (found, weight) in found.iter().zip([0.8, 0.15, 0.05, 0.0]) {
            assert!((found - weight).abs() < 0.01, "{found} {weight}");
        }
    }

    #[test]
    fn the_second_by_zipf_is_picked_half_as_often_as_the_first() {
        let found = shares(&Choice::zipf(100, 1.0), 100);
        assert!((found[0] / found[1] - 2.0).abs() < 0.1, "{:?}", &found[..3]);
        assert!((found[0] / found[9] - 10.0).abs() < 0.8, "{:?}", &found[..10]);
    }
}
