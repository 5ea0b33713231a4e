//! Rendering of a template to files. Everything is rendered before anything is written, so that an error leaves nothing behind.

use std::collections::BTreeMap;

use heck::{ToKebabCase as _, ToSnakeCase as _, ToUpperCamelCase as _};
use liquid_core::{Display_filter, Filter, FilterReflection, ParseFilter, Runtime, Value, ValueView};
use tidemill_core::{Error, Result};

use crate::Template;

/// A file of the new project.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedFile {
    /// Path relative to the project's folder, with `/`.
    pub path: String,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Template {
    /// Renders the files of a project with this name. `values` come from [`resolve_values`](Template::resolve_values).
    ///
    /// # Errors
    /// `Bug` if a file of the template is not Liquid or uses an unknown name.
    pub fn render(&self, name: &str, values: &BTreeMap<String, String>) -> Result<Vec<RenderedFile>> {
        let parser = liquid::ParserBuilder::with_stdlib()
            .filter(KebabCase)
            .filter(SnakeCase)
            .filter(PascalCase)
            .build()
            .map_err(|e| Error::bug(format!("templates cannot be read: {e}")))?;
        let mut globals = liquid::Object::new();
        for (name, value) in values.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("project-name", name)]) {
            globals.insert(name.to_owned().into(), Value::scalar(value.to_owned()));
        }
        self.files
            .iter()
            .map(|(path, bytes)| self.render_file(&parser, &globals, path, bytes))
            .collect()
    }

    fn render_file(&self, parser: &liquid::Parser, globals: &liquid::Object, path: &str, bytes: &[u8]) -> Result<RenderedFile> {
        // Files that cargo or another tool must not pick up inside `templates/` have the additional extension `.tmpl`.
        let to = path.strip_suffix(".tmpl").unwrap_or(path).to_owned();
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Ok(RenderedFile {
                path: to,
                bytes: bytes.to_vec(),
            });
        };
        let wrong = |e: liquid::Error| Error::bug(format!("`{path}` of the template `{}` cannot be rendered: {e}", self.id));
        let text = parser.parse(text).and_then(|template| template.render(globals)).map_err(wrong)?;
        Ok(RenderedFile {
            path: to,
            bytes: text.into_bytes(),
        })
    }
}

/// A filter that Spin adds to Liquid's own: text in, text out.
macro_rules! filter {
    ($parser:ident, $filter:ident, $name:literal, $description:literal, $change:expr) => {
        #[derive(Clone, ParseFilter, FilterReflection)]
        #[filter(name = $name, description = $description, parsed($filter))]
        struct $parser;

        #[derive(Debug, Default, Display_filter)]
        #[name = $name]
        struct $filter;

        impl Filter for $filter {
            fn evaluate(&self, input: &dyn ValueView, _: &dyn Runtime) -> liquid_core::Result<Value> {
                let change: fn(&str) -> String = $change;
                Ok(Value::scalar(change(&input.to_kstr())))
            }
        }
    };
}

filter!(KebabCase, KebabCaseFilter, "kebab_case", "To kebab-case.", |text| text
    .to_kebab_case());
filter!(SnakeCase, SnakeCaseFilter, "snake_case", "To snake_case.", |text| text
    .to_snake_case());
filter!(PascalCase, PascalCaseFilter, "pascal_case", "To PascalCase.", |text| text
    .to_upper_camel_case());

#[cfg(test)]
mod tests {
    use tidemill_core::project::Project;

    use super::*;
    use crate::all;

    fn text(files: &[RenderedFile], path: &str) -> Result<String> {
        let file = files.iter().find(|file| file.path == path);
        let file = file.ok_or_else(|| Error::not_found(format!("`{path}` is not there")))?;
        String::from_utf8(file.bytes.clone()).map_err(|e| Error::input(e.to_string()))
    }

    #[test]
    fn filters_are_those_of_spin() {
        let template = |text: &'static str| Template {
            id: "t".into(),
            description: String::new(),
            tags: vec![],
            parameters: BTreeMap::new(),
            files: Box::leak(Box::new([("a.txt.tmpl", text.as_bytes())])),
        };
        let rendered = |text: &'static str| template(text).render("My first_Stage", &BTreeMap::new());
        let files =
            rendered("{{project-name}} {{ project-name | kebab_case }} {{project-name | snake_case}} {{project-name | pascal_case}}");
        let files = files.unwrap();
        assert_eq!(files[0].path, "a.txt");
        assert_eq!(
            text(&files, "a.txt").unwrap(),
            "My first_Stage my-first-stage my_first_stage MyFirstStage"
        );
        for wrong in ["{{ project-name | kebap_case }}", "{{ name }}", "{% if %}", "{{ project-name"] {
            let error = rendered(wrong).unwrap_err();
            assert!(error.message.contains("`a.txt.tmpl` of the template `t`"), "{error}");
        }
    }

    #[test]
    fn each_template_makes_a_project_that_checks() {
        let all = all().unwrap();
        assert!(all.len() >= 7, "there are {}", all.len());
        for template in all {
            let values = template.resolve_values(&[]).unwrap();
            let files = template.render("my stage", &values).unwrap();
            let pipeline = Project::parse(&text(&files, "tidemill.toml").unwrap(), &|path| text(&files, path));
            let pipeline = pipeline.unwrap_or_else(|e| panic!("{}: {e}", template.id)).pipeline;
            assert!(!pipeline.nodes.is_empty(), "{}", template.id);
            assert!(text(&files, "README.md").is_ok(), "{} does not say what it is", template.id);
            assert!(text(&files, ".gitignore").unwrap().contains(".tidemill"), "{}", template.id);
            for file in &files {
                let left = String::from_utf8_lossy(&file.bytes);
                assert!(!left.contains("{{"), "{}: `{}` is not rendered", template.id, file.path);
            }
        }
    }
}
