//! A running Tidemill as a library: what `tidemill up` starts, for programs and tests.
//!
//! [`Project::find`] reads a project, [`App::open`] opens its store and engines, [`App::serve`] starts the flow and the HTTP server, and
//! [`RunningApp::shutdown`] drains both. [`RunningApp::check`] and [`RunningApp::switch`] replace the configuration of what runs by an
//! edited one. One process at a time runs a project's stages; any number may have it open, or answer predictions beside it
//! ([`App::serve_predictions`]), each with a folder of its own ([`Project::with_state`]).
//!
//! ```
//! use tidemill_app::{App, Project};
//!
//! # #[tokio::main]
//! # async fn main() -> tidemill_core::Result<()> {
//! # let folder = tempfile::tempdir().map_err(|e| tidemill_core::Error::bug(e.to_string()))?;
//! # std::fs::write(folder.path().join("tidemill.toml"), "[project]\nname = \"mill\"\n").map_err(|e| tidemill_core::Error::bug(e.to_string()))?;
//! # let dir = Some(folder.path());
//! let project = Project::find(dir, None)?;
//! let app = App::open(project)?;
//! assert_eq!(app.project().pipeline.project, "mill");
//! # Ok(())
//! # }
//! ```

mod app;
mod champions;
mod components;
mod difference;
#[cfg(test)]
mod fixture;
mod install;
mod limits;
mod listen;
mod places;
mod prediction_server;
mod project;
mod queries;
mod reload;
mod running;
mod serving;
mod settings;
mod sources;
mod trial;
mod windows;

pub use app::App;
pub use champions::ModelState;
pub use components::ComponentRunner;
pub use install::Installation;
pub use listen::{DEFAULT_ADDRESS, ListenError, listen, serving_address};
pub use prediction_server::PredictionServer;
pub use project::{ObserveSettings, PROJECT_FILE, Project, ServerSettings, SourceFiles, StoreSettings, read_error, run_environment};
pub use reload::CheckedProject;
pub use running::RunningApp;
pub use settings::ServeSettings;
pub use sources::SourceWatch;
pub use trial::TrialServer;
