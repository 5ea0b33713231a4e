//! What to type in a new project, from its README: its blocks `sh next`, or else `sh once` and `sh build`.

use crate::RenderedFile;

/// Runs the project.
const UP: &str = "tidemill up";

/// Two commands that bring a new project to life, in order, each in the project's folder. Where data comes with the template, the first one
/// runs the project and the second one, in another shell, puts the data in; where there is something to build, it is built first.
///
/// ```
/// use tidemill_templates::{RenderedFile, next_commands};
///
/// let readme = b"Put the first file in:\n\n```sh next\ntidemill put readings day-1.csv\n```\n";
/// let files = [RenderedFile { path: "README.md".into(), bytes: readme.to_vec() }];
/// assert_eq!(next_commands(&files), ["tidemill up", "tidemill put readings day-1.csv"]);
/// ```
pub fn next_commands(files: &[RenderedFile]) -> [String; 2] {
    let readme = files.iter().find(|file| file.path == "README.md");
    let text = readme.map(|file| String::from_utf8_lossy(&file.bytes)).unwrap_or_default();
    let next = commands(&text, &["next"]);
    match next.is_empty() {
        true => [commands(&text, &["once", "build"]), UP.to_owned()],
        false => [UP.to_owned(), next],
    }
}

/// The commands of these kinds of blocks, each only if the one before succeeded.
fn commands(text: &str, kinds: &[&str]) -> String {
    let blocks = kinds.iter().flat_map(|kind| {
        let fence = format!("```sh {kind}\n");
        let parts: Vec<&str> = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect();
        parts
    });
    let lines: Vec<&str> = blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect();
    lines.join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::all;

    #[test]
    fn each_template_says_what_to_type() {
        for template in all().unwrap() {
            let files = template.render("mine", &template.resolve_values(&[]).unwrap()).unwrap();
            let commands = next_commands(&files);
            assert!(commands.contains(&UP.to_owned()), "{}: {commands:?}", template.id);
            assert!(
                commands.iter().all(|command| !command.is_empty()),
                "{}: its README has neither `sh next` nor `sh build`: {commands:?}",
                template.id
            );
        }
    }
}
