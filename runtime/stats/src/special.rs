//! Distribution functions. Upper tails are computed as such, not as 1 − p, so that tiny p-values keep their digits.

use std::f64::consts::SQRT_2;

/// P(Z > z) of the standard normal.
pub(crate) fn normal_sf(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// The z with P(Z > z) = `share`, by bisection.
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

/// P(X > x) of chi-square with `freedom` > 0 degrees: the regularised upper incomplete gamma function Q(freedom/2, x/2)
/// (series below a + 1, Lentz's continued fraction above: Numerical Recipes, 6.2).
pub(crate) fn chi_square_sf(x: f64, freedom: f64) -> f64 {
    let (a, x) = (freedom / 2.0, x / 2.0);
    if x <= 0.0 {
        return 1.0;
    }
    if x.is_infinite() {
        return 0.0;
    }
    let scale = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (1.0 - scale * sum).max(0.0);
    }
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / b);
    let mut fraction = d;
    for i in 1..100_000 {
        let i = f64::from(i);
        let an = i * (a - i);
        b += 2.0;
        d = 1.0 / non_zero(an * d + b, TINY);
        c = non_zero(b + an / c, TINY);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    scale * fraction
}

fn non_zero(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

/// P(√n·D > √n·d) of Kolmogorov's limit for an effective sample of `rows`, with Vrbik's correction (2018) for finite n:
/// x + 1/(6√n) + (x − 1)/(4n).
pub(crate) fn kolmogorov_sf(distance: f64, rows: f64) -> f64 {
    let x = rows.sqrt() * distance;
    let x = x + 1.0 / (6.0 * rows.sqrt()) + (x - 1.0) / (4.0 * rows);
    if x < 0.3 {
        return 1.0; // the next term of the alternating series would be needed forever; here the probability is 1 to 5 digits
    }
    let mut sum = 0.0;
    for k in 1..=100 {
        let k = f64::from(k);
        let term = libm::exp(-2.0 * k * k * x * x);
        sum += if k % 2.0 == 1.0 { term } else { -term };
        if term < 1e-18 * sum {
            break;
        }
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tails() {
        assert!((normal_sf(1.959_963_984_540_054) - 0.025).abs() < 1e-15);
        assert!((normal_isf(0.025) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!((chi_square_sf(3.841_458_820_694_124, 1.0) - 0.05).abs() < 1e-14);
        assert!((chi_square_sf(10.0, 4.0) - 0.040_427_681_994_512_8).abs() < 1e-14);
        // scipy.stats.chi2.sf(371.59180056898884, 4)
        assert!((chi_square_sf(371.591_800_568_988_84, 4.0) / 3.812_703_968_755_7e-79 - 1.0).abs() < 1e-10);
        assert_eq!((chi_square_sf(0.0, 3.0), chi_square_sf(f64::INFINITY, 3.0)), (1.0, 0.0));
        assert!((kolmogorov_sf(1.358_1 / 1e4, 1e8) - 0.05).abs() < 1e-4);
    }
}
