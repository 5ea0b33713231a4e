//! Secrets that a target has no place for: what is deployed must not hold them, and a request without them is refused by its source.

use tidemill_core::{
    Error, Result,
    pipeline::Pipeline,
    text::{plural, quoted_list},
};

/// Refuses a project whose stages send secrets.
///
/// # Errors
/// `Config`, with the stages and what to do.
pub(crate) fn refuse_secrets(pipeline: &Pipeline, target: &str) -> Result<()> {
    for node in &pipeline.nodes {
        let secrets = node.secrets();
        if !secrets.is_empty() {
            return Err(Error::config(format!(
                "`{}` sends {} ({}), which {target} has no place for yet: let `tidemill up` over the same bucket collect it, and leave `collect` out \
                 of the project that is deployed",
                node.id(),
                plural(secrets.len(), "secret"),
                quoted_list(&secrets),
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidemill_core::project::Project;

    use super::*;

    #[test]
    fn the_secret_is_named_by_its_place() {
        let project = |header: &str| {
            let toml = format!(
                "[project]\nname = \"mill\"\n[dataset.d]\ncontract = \"d.toml\"\ntime = \"at\"\nkey = [\"id\"]\n\
                 collect = {{ url = \"https://example.org/d.csv\", every = \"1 hour\"{header} }}\n"
            );
            let contract = "[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\n";
            Project::parse(&toml, &|_| Ok(contract.to_owned())).unwrap().pipeline
        };
        refuse_secrets(&project(""), "Spin").unwrap();
        let error = refuse_secrets(&project(", header = { authorization = \"env:TOKEN\" }"), "Spin").unwrap_err();
        assert!(
            error
                .message
                .starts_with("`collect:d` sends 1 secret (`env:TOKEN`), which Spin has no place for"),
            "{error}"
        );
    }
}
