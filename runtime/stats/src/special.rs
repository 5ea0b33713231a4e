//! Distribution functions. Upper tails are computed as such, not as 1 − p, so that tiny p-values keep their digits.

use std::f64::consts::SQRT_2;

/// The survival function of the standard normal, P(Z > z).
fn normal_sf(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// The inverse of [`normal_sf`]: the z with P(Z > z) = `share`, by bisection.
pub(crate) fn normal_isf(share: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        match normal_sf(middle) > share {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tails() {
        assert!((normal_sf(1.959_963_984_540_054) - 0.025).abs() < 1e-15);
        assert!((normal_isf(0.025) - 1.959_963_984_540_054).abs() < 1e-12);
    }
}
