//! Lists `templates/*/metadata` and `templates/*/content`, so that they are in the program: `tidemill new` needs no download.
//!
//! What else lies beside them (the flights' data) is not listed.

use std::{
    env, fs,
    io::Result,
    path::{Path, PathBuf},
};

fn main() -> Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?).join("../../templates");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut text = String::from("[\n");
    for folder in sorted(&root)?
        .into_iter()
        .filter(|path| path.join("metadata/spin-template.toml").is_file())
    {
        let manifest = folder.join("metadata/spin-template.toml").canonicalize()?;
        let content = folder.join("content");
        text += &format!(
            "    Source {{ manifest: include_str!({:?}), files: &[\n",
            manifest.display().to_string()
        );
        for file in files(&content)? {
            let name = file
                .strip_prefix(&content)
                .map_err(std::io::Error::other)?
                .display()
                .to_string()
                .replace('\\', "/");
            text += &format!(
                "        ({name:?}, include_bytes!({:?})),\n",
                file.canonicalize()?.display().to_string()
            );
        }
        text += "    ] },\n";
    }
    text += "]\n";
    let to = PathBuf::from(env::var("OUT_DIR").map_err(std::io::Error::other)?).join("templates.rs");
    fs::write(to, text)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in sorted(folder)? {
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}
