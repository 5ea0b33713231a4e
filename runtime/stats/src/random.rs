//! A small seeded generator (SplitMix64, Steele, Lea and Flood 2014): the same draws on every platform. Not for secrets.

/// A generator of pseudo-random numbers.
///
/// ```
/// use tidemill_stats::SplitMix64;
///
/// let (mut first, mut second) = (SplitMix64::new(7), SplitMix64::new(7));
/// assert_eq!(first.next_u64(), second.next_u64());
/// assert!(first.next_below(6) < 6 && first.next_f64() < 1.0);
/// ```
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator that starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next whole number below `bound`, or 0 if that is 0 (the multiplication's bias is under `bound` / 2⁶⁴).
    pub fn next_below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// The next number from 0 (inclusive) to 1 (exclusive).
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence() {
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(
            [random.next_u64(), random.next_u64()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
        assert_eq!(random.next_below(0), 0);
    }
}
