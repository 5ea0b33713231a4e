//! What the flow, the workers and the renderers must know about a stage beside its triggers and grants. These decisions follow from the
//! stage's name and are made here only; other code asks the policy, never the name.

/// The nine stages, in the order in which a model passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageKind {
    /// Fetches data.
    Collect,
    /// Checks data against its contract.
    Validate,
    /// Makes a feature set for a training request.
    Featurize,
    /// Trains a candidate.
    Train,
    /// Compares a candidate with its gates and the champion.
    Evaluate,
    /// Makes a candidate that passed a version.
    Register,
    /// Serves predictions over HTTP. It is not triggered.
    Predict,
    /// Measures drift and accuracy of a window.
    Monitor,
    /// Decides whether to train again.
    Retrain,
}

impl StageKind {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::Collect,
        Self::Validate,
        Self::Featurize,
        Self::Train,
        Self::Evaluate,
        Self::Register,
        Self::Predict,
        Self::Monitor,
        Self::Retrain,
    ];

    /// The stages that a training request passes, in order.
    pub const TRAINING: [Self; 4] = [Self::Featurize, Self::Train, Self::Evaluate, Self::Register];

    /// The name in `tidemill.toml` and in keys: `validate`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Validate => "validate",
            Self::Featurize => "featurize",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Register => "register",
            Self::Predict => "predict",
            Self::Monitor => "monitor",
            Self::Retrain => "retrain",
        }
    }

    /// The stage of this name; `None` for one that a project adds.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The part of a run in a training. Trainings of one model run one after the other, in the order of their requests, so that each candidate
/// is compared with the champion that the one before it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingStep {
    /// The run begins a training: it waits until the one before has finished.
    First,
    /// The run continues a training.
    Later,
}

/// How the runs of a stage are scheduled and where they may run.
///
/// ```
/// use tidemill_core::pipeline::{StagePolicy, TrainingStep};
///
/// let policy = StagePolicy::for_stage("featurize");
/// assert_eq!(policy.training, Some(TrainingStep::First));
/// assert!(policy.counts_against_budget);
/// assert_eq!(StagePolicy::for_stage("geocode"), StagePolicy::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StagePolicy {
    /// The step of a training that it is.
    pub training: Option<TrainingStep>,
    /// Whether a run counts against the model's `retrain.daily-budget`.
    pub counts_against_budget: bool,
    /// Whether its outcomes add data files to a dataset, which may close windows.
    pub advances_watermark: bool,
    /// Whether it may write keys that trigger itself: it writes them only under names that it has not seen.
    pub may_trigger_itself: bool,
    /// Whether a cycle of triggers may pass through it: it decides once a window, so that the cycle ends.
    pub may_close_cycle: bool,
    /// Whether it runs as a component even where stages run natively: its arithmetic must not depend on the processor (another libm, an
    /// ONNX model from elsewhere), so that a model and its gates are the same on every machine.
    pub requires_component: bool,
    /// Whether it reads and writes a few records and no data: it needs neither SQL nor room for files, and its runs are made one by one.
    pub handles_records_only: bool,
}

impl StagePolicy {
    /// The policy of a stage; the default for a stage that a project adds.
    pub fn for_stage(name: &str) -> Self {
        let policy = Self::default();
        match StageKind::from_name(name) {
            Some(StageKind::Collect) => Self {
                may_trigger_itself: true,
                ..policy
            },
            Some(StageKind::Validate) => Self {
                advances_watermark: true,
                ..policy
            },
            Some(StageKind::Featurize) => Self {
                training: Some(TrainingStep::First),
                counts_against_budget: true,
                ..policy
            },
            Some(StageKind::Train | StageKind::Evaluate) => Self {
                training: Some(TrainingStep::Later),
                requires_component: true,
                ..policy
            },
            Some(StageKind::Register) => Self {
                training: Some(TrainingStep::Later),
                handles_records_only: true,
                ..policy
            },
            Some(StageKind::Retrain) => Self {
                may_close_cycle: true,
                handles_records_only: true,
                ..policy
            },
            Some(StageKind::Predict | StageKind::Monitor) | None => policy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for kind in StageKind::ALL {
            assert_eq!(StageKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(StageKind::from_name("geocode"), None);
    }

    #[test]
    fn the_steps_of_a_training_are_those_with_a_training_policy() {
        let steps = StageKind::ALL
            .into_iter()
            .filter(|kind| StagePolicy::for_stage(kind.name()).training.is_some());
        assert!(steps.eq(StageKind::TRAINING));
    }
}
