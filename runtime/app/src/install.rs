//! What is installed beside the program: components, the demo's data, the SDK, the package for Lambda. ONNX Runtime's library is found where it
//! is opened: see `tidemill_nn::find_onnxruntime`.
//!
//! A package has the program at `<prefix>/bin/tidemill` and its files under `<prefix>/share/tidemill` and `<prefix>/lib/tidemill`. Environment
//! variables go first: a build in a checkout has no such folders and is told where its files are.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What is installed beside the program.
#[derive(Debug, Clone, Default)]
pub struct Installation {
    /// The folder of the program, links resolved.
    folder: Option<PathBuf>,
    components: Option<PathBuf>,
    lambda: Option<PathBuf>,
    sdk: Option<PathBuf>,
}

impl Installation {
    /// Of the running program: `share/tidemill` beside the folder of its file (links resolved), or what the environment names.
    pub fn of_this_program() -> Self {
        let program = std::env::current_exe().and_then(std::fs::canonicalize).ok();
        Self::new(program.as_deref(), |name| std::env::var_os(name))
    }

    /// Of a program in this file, with these environment variables.
    fn new(program: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            folder: program.and_then(Path::parent).map(Path::to_owned),
            components: path("TIDEMILL_COMPONENTS"),
            lambda: path("TIDEMILL_LAMBDA"),
            sdk: path("TIDEMILL_SDK"),
        }
    }

    /// Whether the program was installed from a package: there is a `share/tidemill`.
    pub fn is_package(&self) -> bool {
        self.share().is_some()
    }

    /// Where Tidemill's own components may be, in the order of search: `TIDEMILL_COMPONENTS`, the package's, `components` beside the program.
    pub fn component_dirs(&self) -> Vec<PathBuf> {
        let beside = self.folder.as_ref().map(|folder| folder.join("components"));
        let installed = self.share().map(|share| share.join("components"));
        self.components.iter().cloned().chain(installed).chain(beside).collect()
    }

    /// The folder of the demo's flights: a Parquet file for each month.
    pub fn demo_data(&self) -> Option<PathBuf> {
        self.shared("data/flights")
    }

    /// The programs and libraries for Lambda's `x86_64` or `arm64`: `TIDEMILL_LAMBDA`, or what the package `tidemill-lambda` installed.
    pub fn lambda_package(&self, arch: &str) -> Option<PathBuf> {
        let named = self
            .lambda
            .as_ref()
            .map(|folder| folder.join(arch))
            .filter(|folder| folder.is_dir());
        named.or_else(|| self.shared(&format!("lambda/{arch}")))
    }

    /// The crates that a Rust stage depends on: `TIDEMILL_SDK`, or the package's.
    pub fn sdk(&self) -> Option<PathBuf> {
        let named = self.sdk.clone().filter(|folder| folder.is_dir());
        named.or_else(|| self.shared("sdk"))
    }

    /// What to do where one of the package's own files is missing.
    pub fn advice(&self) -> &'static str {
        match self.is_package() {
            true => {
                "the installed package is incomplete: install it again (`pip install --force-reinstall <wheel>`, or unpack the archive)"
            }
            false => "set TIDEMILL_COMPONENTS to the folder that holds it (in a checkout, `cargo xtask guests` builds it)",
        }
    }

    fn share(&self) -> Option<PathBuf> {
        let share = self.folder.as_ref()?.parent()?.join("share/tidemill");
        share.is_dir().then_some(share)
    }

    fn shared(&self, name: &str) -> Option<PathBuf> {
        self.share().map(|share| share.join(name)).filter(|path| path.exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install() -> (tempfile::TempDir, PathBuf) {
        let prefix = tempfile::tempdir().unwrap();
        for folder in [
            "bin",
            "lib/tidemill",
            "share/tidemill/components",
            "share/tidemill/data/flights",
            "share/tidemill/lambda/arm64",
        ] {
            std::fs::create_dir_all(prefix.path().join(folder)).unwrap();
        }
        let program = prefix.path().join("bin/tidemill");
        (prefix, program)
    }

    #[test]
    fn a_package_is_found_beside_the_program() {
        let (prefix, program) = install();
        let at = |path: &str| prefix.path().join(path);
        let installed = Installation::new(Some(&program), |_| None);
        assert!(installed.is_package());
        assert_eq!(installed.component_dirs(), [at("share/tidemill/components"), at("bin/components")]);
        assert_eq!(installed.demo_data(), Some(at("share/tidemill/data/flights")));
        assert_eq!(installed.lambda_package("arm64"), Some(at("share/tidemill/lambda/arm64")));
        assert_eq!(installed.lambda_package("x86_64"), None);
        assert_eq!(installed.sdk(), None);
        assert!(installed.advice().contains("install it again"));
    }

    #[test]
    fn what_the_environment_names_goes_first() {
        let (prefix, program) = install();
        let named = tempfile::tempdir().unwrap();
        std::fs::create_dir(named.path().join("arm64")).unwrap();
        let installed = Installation::new(Some(&program), |_| Some(named.path().into()));
        assert_eq!(installed.component_dirs()[0], named.path());
        assert_eq!(installed.lambda_package("arm64"), Some(named.path().join("arm64")));
        // No such folder is named: the package's would do, and has none either.
        assert_eq!(installed.lambda_package("x86_64"), None);
        assert_eq!(installed.sdk().as_deref(), Some(named.path()));
        drop(prefix);
    }

    #[test]
    fn a_build_in_a_checkout_is_no_package() {
        let folder = tempfile::tempdir().unwrap();
        let built = Installation::new(Some(&folder.path().join("debug/tidemill")), |_| Some("".into()));
        assert!(!built.is_package());
        assert_eq!(built.component_dirs(), [folder.path().join("debug/components")]);
        assert_eq!(built.demo_data(), None);
        assert!(built.advice().contains("TIDEMILL_COMPONENTS"));
        assert!(Installation::new(None, |_| None).component_dirs().is_empty());
    }
}
