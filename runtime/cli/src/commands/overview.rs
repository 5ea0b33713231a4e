//! `tidemill` alone: where one is, and what to type next.

use jiff::Timestamp;
use serde::Serialize;
use tidemill_app::{PROJECT_FILE, serving_address};
use tidemill_catalog::{Catalog, RunEntry, RunQuery};
use tidemill_core::Decision;
use tidemill_registry::CHAMPION;

use super::{ProjectPlace, runs::decision_name};
use crate::{
    output::{Output, fields},
    project::Project,
};

/// What Tidemill is.
const ABOUT: &str = "Tidemill runs the whole life of a machine learning model, from data to predictions and back, as small functions that \
                     events of an object store chain together.";

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Overview {
    /// `None` outside of a project.
    project: Option<ProjectState>,
    /// What to type next.
    next: Vec<Step>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ProjectState {
    name: String,
    folder: String,
    store: String,
    /// Where it is served; `None` if it is not.
    address: Option<String>,
    models: Vec<ModelState>,
    last_run: Option<LastRun>,
    dead_letters: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ModelState {
    model: String,
    /// The champion's version.
    champion: Option<u32>,
    as_of: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LastRun {
    id: String,
    stage: String,
    resource: String,
    decision: Decision,
    reason: String,
    started: Option<Timestamp>,
}

#[derive(Serialize)]
struct Step {
    command: String,
    why: String,
}

fn step(command: impl Into<String>, why: impl Into<String>) -> Step {
    Step {
        command: command.into(),
        why: why.into(),
    }
}

/// Describes the project of `dir`. Outside of a project that is no mistake, unless a folder was named.
pub(super) async fn run(place: ProjectPlace<'_>, output: Output) -> anyhow::Result<()> {
    let overview = match place.dir.is_none() && !is_in_project() {
        true => Overview::outside(),
        false => Overview::of_project(&place.find()?).await?,
    };
    output.print(&overview, Overview::render_text)
}

fn is_in_project() -> bool {
    std::env::current_dir().is_ok_and(|here| here.ancestors().any(|folder| folder.join(PROJECT_FILE).is_file()))
}

impl Overview {
    fn outside() -> Self {
        let next = vec![
            step("tidemill demo", "play a year of flights: a model is trained and retrained"),
            step("tidemill new <folder>", "make a project; `tidemill new --list` lists the templates"),
            step("tidemill --help", "list all commands"),
        ];
        Self { project: None, next }
    }

    async fn of_project(project: &Project) -> anyhow::Result<Self> {
        let catalog = Catalog::new(project.open_store()?);
        let mut models = Vec::new();
        for model in project.pipeline.models.keys() {
            let champion = catalog.alias(model, CHAMPION).await?;
            models.push(ModelState {
                model: model.clone(),
                as_of: champion.as_ref().map(|alias| alias.as_of),
                champion: champion.map(|alias| alias.version),
            });
        }
        let newest = RunQuery {
            limit: Some(1),
            ..RunQuery::default()
        };
        let last_run = catalog.runs(&newest).await?.pop().map(LastRun::from);
        let state = ProjectState {
            name: project.pipeline.project.clone(),
            folder: project.root.display().to_string(),
            store: project.location.clone(),
            address: serving_address(project),
            models,
            last_run,
            dead_letters: catalog.dead_letters().await?.iter().filter(|letter| !letter.dropped).count(),
        };
        let next = state.next_steps(project.pipeline.datasets.keys().next());
        Ok(Self {
            project: Some(state),
            next,
        })
    }

    fn render_text(&self) -> String {
        let about = self.project.as_ref().map_or_else(|| ABOUT.to_owned(), ProjectState::render_text);
        let next: Vec<(&str, String)> = self.next.iter().map(|step| (step.command.as_str(), step.why.clone())).collect();
        format!("{about}\n\n{}", fields(&next))
    }
}

impl ProjectState {
    fn next_steps(&self, dataset: Option<&String>) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.dead_letters > 0 {
            steps.push(step(
                "tidemill events",
                "see why events failed; `tidemill events retry` runs them again",
            ));
        }
        if self.address.is_none() {
            steps.push(step("tidemill up", "run the project: stages, predictions, data over HTTP"));
        }
        match (&self.last_run, dataset) {
            (None, Some(dataset)) => steps.push(step(
                format!("tidemill put {dataset} <file>"),
                match self.address {
                    Some(_) => "store data: each file starts the pipeline",
                    // `tidemill up`, the step before, runs on.
                    None => "in another shell: each file starts the pipeline",
                },
            )),
            (None, None) => (),
            (Some(_), _) => steps.push(step("tidemill runs", "list what ran, and what runs now")),
        }
        if let Some(model) = self.models.iter().find(|model| model.champion.is_some()) {
            steps.push(step(
                format!("tidemill models show {}", model.model),
                "see where the champion comes from",
            ));
        }
        steps.push(step("tidemill check --graph", "draw the pipeline"));
        steps.push(step("tidemill --help", "list all commands"));
        steps
    }

    fn render_text(&self) -> String {
        let champions: Vec<String> = self.models.iter().map(ModelState::render_text).collect();
        fields(&[
            ("project", format!("{} in {}", self.name, self.folder)),
            ("store", self.store.clone()),
            ("serving", self.address.clone().unwrap_or_else(|| "no".to_owned())),
            ("champion", champions.join("\n")),
            (
                "last run",
                self.last_run.as_ref().map_or_else(|| "none".to_owned(), LastRun::render_text),
            ),
            ("dead letters", self.dead_letters.to_string()),
        ])
    }
}

impl ModelState {
    fn render_text(&self) -> String {
        match (self.champion, self.as_of) {
            (Some(version), Some(as_of)) => format!("{}@{version}, data until {}", self.model, as_of.strftime("%F %R")),
            _ => format!("none yet for `{}`", self.model),
        }
    }
}

impl LastRun {
    fn render_text(&self) -> String {
        let started = self
            .started
            .map(|at| format!(" at {}", at.strftime("%F %T UTC")))
            .unwrap_or_default();
        let Self {
            stage, resource, reason, ..
        } = self;
        format!("{stage} of `{resource}`{started}: {}, {reason}", decision_name(self.decision))
    }
}

impl From<RunEntry> for LastRun {
    fn from(entry: RunEntry) -> Self {
        Self {
            started: entry.start_time(),
            id: entry.id,
            stage: entry.outcome.stage,
            resource: entry.outcome.resource,
            decision: entry.outcome.decision,
            reason: entry.outcome.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ProjectState {
        ProjectState {
            name: "small".into(),
            folder: "/small".into(),
            store: "/small/.tidemill/store".into(),
            address: None,
            models: Vec::new(),
            last_run: None,
            dead_letters: 0,
        }
    }

    fn commands(state: &ProjectState) -> Vec<String> {
        let steps = state.next_steps(Some(&"readings".to_owned()));
        steps.into_iter().map(|step| step.command).collect()
    }

    #[test]
    fn the_next_step_follows_from_the_state() {
        assert_eq!(commands(&state())[..2], ["tidemill up", "tidemill put readings <file>"]);
        let failed = ProjectState {
            dead_letters: 2,
            address: Some("http://127.0.0.1:8080".into()),
            ..state()
        };
        assert_eq!(commands(&failed)[..2], ["tidemill events", "tidemill put readings <file>"]);
    }
}
