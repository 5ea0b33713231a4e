//! Compiles components, and keeps the machine code on disk, named by the component's digest and by all that changes the code.
//!
//! What is read back runs as native code: the folder must be the user's own, and the digest beside a file detects damage, not an attacker.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::Write as _,
    path::{Path, PathBuf},
};

use tidemill_core::{Digest, Result};
use wasmtime::{Engine, component::Component};

use crate::error;

/// Compiles components for one wasmtime engine. Cheap to clone.
#[derive(Clone)]
pub struct Compiler {
    engine: Engine,
    /// `None`: nothing is cached.
    folder: Option<PathBuf>,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Compiler {
    /// A compiler with its cache in `folder`; an empty path caches nothing.
    pub fn new(engine: Engine, folder: PathBuf) -> Self {
        let folder = (!folder.as_os_str().is_empty()).then_some(folder);
        Self { engine, folder }
    }

    /// The engine that runs what is compiled.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A component, from the cache or compiled. A cache that cannot be written is logged, and slows the next start.
    ///
    /// # Errors
    /// `Config` if the bytes are not a component.
    pub fn compile(&self, bytes: &[u8], digest: &Digest) -> Result<Component> {
        let Some(folder) = &self.folder else {
            return compile(&self.engine, bytes);
        };
        let path = self.path(folder, digest);
        if let Some(found) = load(&self.engine, &path) {
            return Ok(found);
        }
        let component = compile(&self.engine, bytes)?;
        let stored = component.serialize().map_err(std::io::Error::other);
        if let Err(error) = stored.and_then(|code| store(folder, &path, &code)) {
            tracing::warn!("`{}` cannot be written: {error}", path.display());
        }
        Ok(component)
    }

    fn path(&self, folder: &Path, digest: &Digest) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        folder.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component> {
    error::check_is_component(bytes)?;
    Component::from_binary(engine, bytes).map_err(|error| error::invalid_component(&format!("it is damaged: {error:#}")))
}

fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let code = std::fs::read(path).ok()?;
    let digest = std::fs::read_to_string(digest_path(path)).ok()?;
    if Digest::sha256(&code).as_str() != digest {
        tracing::warn!("`{}` is damaged and is compiled again", path.display());
        return None;
    }
    // SAFETY: the bytes are those that `store` wrote into the user's own folder, by an engine of the same compatibility hash.
    #[allow(unsafe_code, reason = "deserialising our own compiled component")]
    unsafe { Component::deserialize(engine, &code) }.ok()
}

fn store(folder: &Path, path: &Path, code: &[u8]) -> std::io::Result<()> {
    create_private(folder)?;
    // The digest last: without it the code is not used.
    replace(path, code)?;
    replace(&digest_path(path), Digest::sha256(code).as_str().as_bytes())
}

fn digest_path(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let fresh = path.with_extension(format!("{}-{count}.new", std::process::id()));
    let written = std::fs::File::create(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&fresh, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&fresh);
    })
}
