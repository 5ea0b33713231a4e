//! What is rendered for AWS.

mod functions;
mod golden;
mod rights;
mod validators;

use tidemill_core::Result;
use tidemill_deploy::sam::{Options, Sam, render};

use crate::projects::Project;

impl Project {
    fn sam(&self) -> Sam {
        self.sam_with("")
    }

    /// With more in its `tidemill.toml`.
    fn sam_with(&self, more: &str) -> Sam {
        self.try_sam(more).unwrap()
    }

    fn try_sam(&self, more: &str) -> Result<Sam> {
        render(&self.pipeline(more)?, &Options::default())
    }
}
