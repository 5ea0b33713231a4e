//! The registry of drift methods, which compare a window's distribution with the reference. `monitor.method` in `tidemill.toml` names one,
//! `tidemill_stats` implements its arithmetic, and reports carry its name.

use serde::{Deserialize, Serialize};

/// A measure of the difference between two distributions: p are the shares of the reference and q those of the window, over the bins of the
/// training profile. `tidemill_stats::statistic` says whose definitions they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftMethod {
    /// The Jensen-Shannon distance in base 2: √(½ Σ p·log₂(p/m) + q·log₂(q/m)), m = (p + q)/2.
    #[default]
    JensenShannon,
    /// The population stability index: Σ (p − q)·ln(p/q), empty bins as 1e-4.
    Psi,
    /// The greatest difference of the distribution functions (numbers) or of the shares (categories).
    LInfinity,
    /// The Hellinger distance: √(1 − Σ √(p·q)).
    Hellinger,
    /// The Kullback-Leibler divergence of the reference from the window: Σ p·ln(p/q), empty bins filled.
    KullbackLeibler,
    /// The symmetric chi-square distance: √(½ Σ (p − q)²/(p + q)).
    ChiSquare,
    /// The first Wasserstein distance on the reference's rank scale (numbers), or the total variation (categories).
    Wasserstein,
}

impl DriftMethod {
    /// All methods; the default is first.
    pub const ALL: [Self; 7] = [
        Self::JensenShannon,
        Self::Psi,
        Self::LInfinity,
        Self::Hellinger,
        Self::KullbackLeibler,
        Self::ChiSquare,
        Self::Wasserstein,
    ];

    /// The method's name in `tidemill.toml` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::JensenShannon => "jensen-shannon",
            Self::Psi => "psi",
            Self::LInfinity => "l-infinity",
            Self::Hellinger => "hellinger",
            Self::KullbackLeibler => "kullback-leibler",
            Self::ChiSquare => "chi-square",
            Self::Wasserstein => "wasserstein",
        }
    }

    /// The default of `minimum-effect`: the smallest distance that counts as drift, in the method's unit.
    ///
    /// ```
    /// use tidemill_core::spec::DriftMethod;
    ///
    /// assert_eq!((DriftMethod::Psi.name(), DriftMethod::Psi.threshold()), ("psi", 0.1));
    /// ```
    pub fn threshold(self) -> f64 {
        match self {
            Self::Wasserstein => 0.05,
            _ => 0.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Monitor;

    #[test]
    fn the_registry_names_methods_as_the_configuration_does() {
        for method in DriftMethod::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
        }
    }

    #[test]
    fn a_missing_minimum_effect_is_the_methods_threshold() {
        let monitor = |value: serde_json::Value| serde_json::from_value::<Monitor>(value);
        assert_eq!(monitor(serde_json::json!({})).unwrap(), Monitor::default());
        let wasserstein = monitor(serde_json::json!({ "method": "wasserstein" })).unwrap();
        assert_eq!((Monitor::default().minimum_effect, wasserstein.minimum_effect), (0.1, 0.05));
        let set = monitor(serde_json::json!({ "method": "wasserstein", "minimum-effect": 0.2 })).unwrap();
        assert_eq!(set.minimum_effect, 0.2);
    }

    #[test]
    fn an_unknown_method_is_answered_with_the_registry() {
        let error = serde_json::from_str::<DriftMethod>("\"ks\"").unwrap_err().to_string();
        for method in DriftMethod::ALL {
            assert!(error.contains(&format!("`{}`", method.name())), "{error}");
        }
    }
}
