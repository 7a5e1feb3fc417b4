//! How much of something that has an end is used.

/// How many are used, of how many there are. A load of nothing is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many are used.
    pub used: u64,
    /// How many there are.
    pub most: u64,
}

impl Load {
    /// Whether at least this share is used.
    #[must_use]
    pub fn reaches(self, percent: u32) -> bool {
        u128::from(self.used) * 100 >= u128::from(self.most) * u128::from(percent)
    }
}
