//! The prefixes of the store and which program writes each.

/// A top-level prefix of the store.
///
/// ```
/// use tidemill_core::layout::Prefix;
///
/// assert_eq!(Prefix::of_key("raw/flights/2013-05.csv"), Some(Prefix::Raw));
/// assert_eq!(Prefix::Windows.under("late"), "windows/late/");
/// assert_eq!(Prefix::Windows.objects("late"), "windows/late/*");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// Uploads, by dataset: CSV, JSON lines, Parquet.
    Raw,
    /// Scheduled events, by stage and resource.
    Schedules,
    /// Rejected rows with the reason of each, by dataset and run.
    Quarantine,
    /// Validated data files and their profiles, by dataset and run.
    Datasets,
    /// Training requests, by model.
    Requests,
    /// Feature sets and their transforms, by model and run.
    Features,
    /// Models from elsewhere, by model and digest.
    Imports,
    /// Trained models that are not registered yet, by model and run.
    Candidates,
    /// Evaluations of candidates, by model and run.
    Evaluations,
    /// Versions and aliases, by model.
    Models,
    /// Segments of the prediction log, by model and window.
    Predictions,
    /// Closed monitoring windows, by model.
    Windows,
    /// The segments of each closed window, by model.
    Logs,
    /// True labels by prediction, by model.
    Labels,
    /// Monitoring reports, by model and window.
    Reports,
    /// Decisions of `retrain`, by model.
    Decisions,
    /// The ledger: one outcome for each trigger, by stage and resource.
    Outcomes,
    /// How each run went, by stage and resource.
    Runs,
    /// Dead letters, by stage and resource.
    Dead,
    /// Components by digest.
    Components,
    /// Resolved configurations by digest.
    Configs,
    /// Changes made by people.
    Audit,
}

/// The program that writes under a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Anything outside Tidemill, and the HTTP API on its behalf.
    User,
    /// This stage.
    Stage(&'static str),
    /// Tidemill itself. Reserved: a stage that could write here would forge the ledger, the log or the audit trail.
    Host,
}

/// The local store's own folder: locks and temporary files. It is not part of any key.
pub const STORE_PRIVATE: &str = ".tidemill";

impl Prefix {
    /// Every prefix.
    pub const ALL: [Self; 22] = [
        Self::Raw,
        Self::Schedules,
        Self::Quarantine,
        Self::Datasets,
        Self::Requests,
        Self::Features,
        Self::Imports,
        Self::Candidates,
        Self::Evaluations,
        Self::Models,
        Self::Predictions,
        Self::Windows,
        Self::Logs,
        Self::Labels,
        Self::Reports,
        Self::Decisions,
        Self::Outcomes,
        Self::Runs,
        Self::Dead,
        Self::Components,
        Self::Configs,
        Self::Audit,
    ];

    /// The first segment of its keys: `outcomes`.
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    /// The program that writes under it.
    pub const fn writer(self) -> Writer {
        self.entry().1
    }

    const fn entry(self) -> (&'static str, Writer) {
        match self {
            Self::Raw => ("raw", Writer::User),
            Self::Schedules => ("schedules", Writer::User),
            Self::Quarantine => ("quarantine", Writer::Stage("validate")),
            Self::Datasets => ("datasets", Writer::Stage("validate")),
            Self::Requests => ("requests", Writer::Stage("retrain")),
            Self::Features => ("features", Writer::Stage("featurize")),
            Self::Imports => ("imports", Writer::User),
            Self::Candidates => ("candidates", Writer::Stage("train")),
            Self::Evaluations => ("evaluations", Writer::Stage("evaluate")),
            Self::Models => ("models", Writer::Stage("register")),
            Self::Predictions => ("predictions", Writer::Host),
            Self::Windows => ("windows", Writer::Host),
            Self::Logs => ("logs", Writer::Host),
            Self::Labels => ("labels", Writer::User),
            Self::Reports => ("reports", Writer::Stage("monitor")),
            Self::Decisions => ("decisions", Writer::Stage("retrain")),
            Self::Outcomes => ("outcomes", Writer::Host),
            Self::Runs => ("runs", Writer::Host),
            Self::Dead => ("dead", Writer::Host),
            Self::Components => ("components", Writer::Host),
            Self::Configs => ("configs", Writer::Host),
            Self::Audit => ("audit", Writer::Host),
        }
    }

    /// Whether stages must not write here.
    pub const fn is_reserved(self) -> bool {
        matches!(self.writer(), Writer::Host)
    }

    /// The names that stages must not write under, for messages: the reserved prefixes and the store's own folder.
    pub fn reserved_names() -> impl Iterator<Item = &'static str> {
        let reserved = Self::ALL.into_iter().filter(|prefix| prefix.is_reserved());
        reserved.map(Self::name).chain([STORE_PRIVATE])
    }

    /// The prefix of a key, if it is one of ours.
    pub fn of_key(key: &str) -> Option<Self> {
        let first = key.split('/').next()?;
        Self::ALL.into_iter().find(|prefix| prefix.name() == first)
    }

    /// Whether a key or a pattern is under it.
    pub fn contains(self, key: &str) -> bool {
        key.strip_prefix(self.name()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// For listings: `outcomes/`.
    pub fn root(self) -> String {
        format!("{}/", self.name())
    }

    /// For listings: `raw/flights/`.
    pub fn under(self, resource: &str) -> String {
        format!("{}/{resource}/", self.name())
    }

    /// The pattern of all keys of a resource, however deep: `raw/flights/**`.
    pub fn pattern(self, resource: &str) -> String {
        format!("{}/{resource}/**", self.name())
    }

    /// The pattern of the objects directly under a resource: `requests/late/*`.
    pub fn objects(self, resource: &str) -> String {
        format!("{}/{resource}/*", self.name())
    }

    /// The pattern of all its keys: `models/**`.
    pub fn everything(self) -> String {
        format!("{}/**", self.name())
    }
}

/// Endings of files that an editor, a browser or a copy has not finished writing.
const TEMPORARY: [&str; 6] = [".tmp", ".part", ".partial", ".crdownload", ".swp", "~"];

/// What systems leave in folders.
const LEFT_BEHIND: [&str; 2] = ["Thumbs.db", "desktop.ini"];

/// Whether an object with this key never triggers a stage: it is hidden, or has the name of a file that is not finished.
///
/// Hidden is what has a segment that starts with `.`, with `~$` (locks of office programs), or behind the resource with `_`, as jobs name
/// what is theirs: `_SUCCESS`, `_temporary/…`. A segment like `_year=2025` is a value, and not hidden.
pub fn is_ignored(key: &str) -> bool {
    let is_hidden = |(depth, segment): (usize, &str)| {
        let is_of_job = depth >= 2 && segment.starts_with('_') && !segment.contains('=');
        is_of_job || segment.starts_with('.') || segment.starts_with("~$") || LEFT_BEHIND.contains(&segment)
    };
    key.split('/').enumerate().any(is_hidden) || TEMPORARY.iter().any(|ending| key.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_has_a_name_of_its_own_and_is_found_by_it() {
        for prefix in Prefix::ALL {
            assert_eq!(Prefix::of_key(&prefix.under("x")), Some(prefix));
            assert!(prefix.contains(&prefix.pattern("x")) && !prefix.contains(prefix.name()));
        }
        assert_eq!(Prefix::of_key("raws/x"), None);
        assert!(!Prefix::Raw.contains("raws/x"));
    }

    #[test]
    fn the_ledger_and_the_log_are_reserved() {
        let reserved: Vec<&str> = Prefix::reserved_names().collect();
        for name in [
            "outcomes",
            "runs",
            "components",
            "configs",
            "dead",
            "audit",
            "windows",
            "logs",
            "predictions",
            ".tidemill",
        ] {
            assert!(reserved.contains(&name), "{name}");
        }
        assert_eq!(reserved.len(), 10);
    }

    #[test]
    fn hidden_and_temporary_names_are_ignored() {
        for (key, ignored) in [
            ("raw/a/x.csv", false),
            ("raw/a/.x.csv", true),
            ("raw/.hidden/x.csv", true),
            ("raw/a/x.csv.part", true),
            ("raw/a/x.csv~", true),
            ("raw/_a/x.csv", false),
            ("raw/a/_SUCCESS", true),
            ("raw/a/_temporary/0/part-3.parquet", true),
            ("raw/a/_year=2025/part-3.parquet", false),
            ("raw/a/x_y.csv", false),
            ("raw/a/~$may.xlsx", true),
            ("raw/a/b/Thumbs.db", true),
        ] {
            assert_eq!(is_ignored(key), ignored, "{key}");
        }
    }
}
