//! The registry of drift methods, which compare a window's distribution with the reference. `monitor.method` in `tidemill.toml` names one,
//! `tidemill_stats` implements its arithmetic, and reports carry its name.

use serde::{Deserialize, Serialize};

/// A measure of the difference between two distributions. All methods compare counts over the bins of the training profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftMethod {
    /// The Jensen-Shannon distance in base 2.
    #[default]
    JensenShannon,
    /// The population stability index.
    Psi,
    /// The greatest difference of the distribution functions (numbers) or of the shares (categories).
    LInfinity,
    /// The Hellinger distance.
    Hellinger,
    /// The Kullback-Leibler divergence of the reference from the window.
    KullbackLeibler,
    /// The symmetric chi-square distance.
    ChiSquare,
    /// The first Wasserstein distance on the reference's rank scale (numbers), or the total variation (categories).
    Wasserstein,
}

/// The description of a drift method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftMethodInfo {
    /// Name in `tidemill.toml` and in reports.
    pub name: &'static str,
    /// The bins that the method compares.
    pub binning: &'static str,
    /// The formula over shares p of the reference and q of the window.
    pub statistic: &'static str,
    /// The default of `minimum-effect`: the smallest distance that counts as drift, in the method's unit.
    pub threshold: f64,
    /// The tool or convention whose definition and threshold the method uses.
    pub dialect: &'static str,
}

const ANY_BINS: &str = "the profile's bins or categories, and missing values";
const ORDERED_BINS: &str = "the profile's bins in order of value, or categories without order; missing values apart";

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

    /// The method's name in `tidemill.toml`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The method's entry in the registry.
    ///
    /// ```
    /// use tidemill_core::spec::DriftMethod;
    ///
    /// let info = DriftMethod::Psi.info();
    /// assert_eq!((info.name, info.threshold), ("psi", 0.1));
    /// ```
    pub fn info(self) -> DriftMethodInfo {
        let (name, binning, statistic, threshold, dialect) = match self {
            Self::JensenShannon => (
                "jensen-shannon",
                ANY_BINS,
                "√(½ Σ p·log₂(p/m) + q·log₂(q/m)), m = (p + q)/2",
                0.1,
                "NannyML `jensen_shannon`",
            ),
            Self::Psi => (
                "psi",
                ANY_BINS,
                "Σ (p − q)·ln(p/q), empty bins as 1e-4",
                0.1,
                "credit scoring: 0.1 to watch, 0.2 to act",
            ),
            Self::LInfinity => (
                "l-infinity",
                ORDERED_BINS,
                "max |P − Q| or max |p − q|",
                0.1,
                "Kolmogorov-Smirnov's D, NannyML `l_infinity`, Deequ `simple`",
            ),
            Self::Hellinger => ("hellinger", ANY_BINS, "√(1 − Σ √(p·q))", 0.1, "Evidently and NannyML `hellinger`"),
            Self::KullbackLeibler => (
                "kullback-leibler",
                ANY_BINS,
                "Σ p·ln(p/q), empty bins filled",
                0.1,
                "Evidently `kl_div`",
            ),
            Self::ChiSquare => (
                "chi-square",
                ANY_BINS,
                "√(½ Σ (p − q)²/(p + q))",
                0.1,
                "Cramér's V at equal sizes; 0.1 is small by Cohen",
            ),
            Self::Wasserstein => (
                "wasserstein",
                ORDERED_BINS,
                "Σ |P − Q|·p or ½ Σ |p − q|",
                0.05,
                "SciPy `wasserstein_distance` of the reference's ranks",
            ),
        };
        DriftMethodInfo {
            name,
            binning,
            statistic,
            threshold,
            dialect,
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
