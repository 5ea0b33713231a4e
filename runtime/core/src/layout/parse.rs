//! Keys read back.

use jiff::Timestamp;

use super::Prefix;
use crate::{Digest, time::parse_key_time};

/// A key whose parts carry meaning. Other keys, such as the files of a feature set, are named by records and never parsed.
///
/// ```
/// use tidemill_core::layout::{self, Key};
///
/// let key = layout::version("late", 12);
/// assert_eq!(Key::parse(&key), Some(Key::Version { model: "late", number: 12 }));
/// assert_eq!(Key::parse("models/late/versions/latest.json"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// An upload.
    Raw {
        /// The dataset.
        dataset: &'a str,
        /// The rest of the key.
        name: &'a str,
    },
    /// A scheduled event.
    Schedule {
        /// The stage that it triggers.
        stage: &'a str,
        /// The dataset, model or added stage.
        resource: &'a str,
        /// The time that it is for.
        time: Timestamp,
    },
    /// An outcome.
    Outcome {
        /// The stage that ran.
        stage: &'a str,
        /// The dataset, model or added stage.
        resource: &'a str,
        /// The trigger's id.
        id: &'a str,
    },
    /// A run record.
    Run {
        /// The stage that ran.
        stage: &'a str,
        /// The dataset, model or added stage.
        resource: &'a str,
        /// The trigger's id.
        id: &'a str,
    },
    /// A dead letter.
    DeadLetter {
        /// The stage that failed.
        stage: &'a str,
        /// The dataset, model or added stage.
        resource: &'a str,
        /// The trigger's id.
        id: &'a str,
    },
    /// A component.
    Component(Digest),
    /// A resolved configuration.
    Config(Digest),
    /// A version of a model.
    Version {
        /// The model.
        model: &'a str,
        /// The version's number.
        number: u32,
    },
    /// An alias, as it is now.
    Alias {
        /// The model.
        model: &'a str,
        /// The alias.
        alias: &'a str,
    },
    /// One entry of an alias's history.
    AliasMove {
        /// The model.
        model: &'a str,
        /// The alias.
        alias: &'a str,
        /// How often the alias had moved before.
        moves: u32,
    },
    /// A training request.
    Request {
        /// The model.
        model: &'a str,
        /// The window that it follows, or the time of a scheduled one.
        time: Timestamp,
    },
    /// The decision on a window.
    Decision {
        /// The model.
        model: &'a str,
        /// First instant of the window.
        window: Timestamp,
    },
    /// The decision on a schedule's or a person's event.
    ScheduledDecision {
        /// The model.
        model: &'a str,
        /// The event's time.
        time: Timestamp,
    },
    /// A closed window.
    Window {
        /// The model.
        model: &'a str,
        /// First instant of the window.
        start: Timestamp,
    },
    /// True labels.
    Labels {
        /// The model.
        model: &'a str,
        /// The rest of the key.
        name: &'a str,
    },
}

impl<'a> Key<'a> {
    /// Reads a key; `None` if it is of another kind or malformed.
    pub fn parse(key: &'a str) -> Option<Self> {
        let (_, rest) = key.split_once('/')?;
        let prefix = Prefix::of_key(key)?;
        if let Prefix::Components | Prefix::Configs = prefix {
            let digest = Digest::parse(rest)?;
            return Some(if prefix == Prefix::Components {
                Self::Component(digest)
            } else {
                Self::Config(digest)
            });
        }
        let (first, rest) = rest.split_once('/').filter(|(first, rest)| !first.is_empty() && !rest.is_empty())?;
        Some(match prefix {
            Prefix::Raw => Self::Raw {
                dataset: first,
                name: rest,
            },
            Prefix::Labels => Self::Labels { model: first, name: rest },
            Prefix::Windows => Self::Window {
                model: first,
                start: parse_key_time(rest.strip_suffix(".json")?)?,
            },
            Prefix::Requests => Self::Request {
                model: first,
                time: {
                    let name = rest.strip_suffix(".json")?;
                    parse_key_time(name.strip_suffix("-scheduled").unwrap_or(name))?
                },
            },
            Prefix::Decisions => match rest.strip_prefix("schedules/") {
                Some(name) => Self::ScheduledDecision {
                    model: first,
                    time: parse_key_time(name.strip_suffix(".json")?)?,
                },
                None => Self::Decision {
                    model: first,
                    window: parse_key_time(rest.strip_suffix(".json")?)?,
                },
            },
            Prefix::Models => return Self::parse_model(first, rest),
            _ => return Self::parse_record(prefix, first, rest),
        })
    }

    fn parse_model(model: &'a str, rest: &'a str) -> Option<Self> {
        let segments: Vec<&str> = rest.strip_suffix(".json")?.split('/').collect();
        Some(match segments.as_slice() {
            ["versions", number] => Self::Version {
                model,
                number: number.parse().ok()?,
            },
            ["aliases", alias] => Self::Alias { model, alias },
            ["aliases", alias, moves] => Self::AliasMove {
                model,
                alias,
                moves: moves.parse().ok()?,
            },
            _ => return None,
        })
    }

    fn parse_record(prefix: Prefix, stage: &'a str, rest: &'a str) -> Option<Self> {
        let (resource, id) = rest.strip_suffix(".json")?.split_once('/')?;
        let is_whole = !resource.is_empty() && !id.is_empty() && !id.contains('/');
        Some(match prefix {
            _ if !is_whole => return None,
            Prefix::Outcomes => Self::Outcome { stage, resource, id },
            Prefix::Runs => Self::Run { stage, resource, id },
            Prefix::Dead => Self::DeadLetter { stage, resource, id },
            Prefix::Schedules => Self::Schedule {
                stage,
                resource,
                time: parse_key_time(id)?,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;

    #[test]
    fn keys_come_back() {
        let (digest, time) = (Digest::sha256(b"x"), Timestamp::UNIX_EPOCH);
        let (stage, resource, id) = ("train", "late", "0f");
        for (key, expected) in [
            (layout::outcome(stage, resource, id), Key::Outcome { stage, resource, id }),
            (layout::run(stage, resource, id), Key::Run { stage, resource, id }),
            (layout::dead_letter(stage, resource, id), Key::DeadLetter { stage, resource, id }),
            (layout::schedule(stage, resource, time), Key::Schedule { stage, resource, time }),
            (layout::component(&digest), Key::Component(digest.clone())),
            (layout::config(&digest), Key::Config(digest.clone())),
            (layout::version("m", 3), Key::Version { model: "m", number: 3 }),
            (
                layout::alias("m", "champion"),
                Key::Alias {
                    model: "m",
                    alias: "champion",
                },
            ),
            (
                layout::alias_move("m", "champion", 2),
                Key::AliasMove {
                    model: "m",
                    alias: "champion",
                    moves: 2,
                },
            ),
            (layout::window("m", time), Key::Window { model: "m", start: time }),
            (layout::request("m", time), Key::Request { model: "m", time }),
            (layout::scheduled_request("m", time), Key::Request { model: "m", time }),
            (layout::decision("m", time), Key::Decision { model: "m", window: time }),
            (layout::scheduled_decision("m", time), Key::ScheduledDecision { model: "m", time }),
            (
                layout::raw("d", "a/b.csv"),
                Key::Raw {
                    dataset: "d",
                    name: "a/b.csv",
                },
            ),
        ] {
            assert_eq!(Key::parse(&key), Some(expected), "{key}");
        }
    }

    #[test]
    fn malformed_keys_are_none() {
        for key in [
            "",
            "raw",
            "raw/",
            "raw/d",
            "raw//x",
            "windows/m/x.json",
            "decisions/m/.DS_Store",
            "decisions/m/not-judged/1970-01-01T00-00-00Z.json",
            "requests/m/notes.txt",
            "models/m/versions/x.json",
            "models/m/other/1.json",
            "outcomes/a/b",
            "outcomes/a/b/c/d.json",
            "components/x",
            "elsewhere/a/b.json",
        ] {
            assert_eq!(Key::parse(key), None, "{key}");
        }
    }
}
