//! Compiled components on disk, named by the component's digest and by all that changes machine code. What is read back
//! is run as native code: the folder must be the user's own, and the digest beside a file only tells damage, not an attacker.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::Write as _,
    path::{Path, PathBuf},
};

use tidemill_core::{Digest, Result};
use wasmtime::{Engine, component::Component};

use crate::error;

#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// From the cache, else compiled and kept. A cache that cannot be written slows the next start and fails nothing.
    pub(crate) fn component(&self, engine: &Engine, bytes: &[u8], digest: &Digest) -> Result<Component> {
        let path = self.path(engine, digest);
        if let Some(found) = load(engine, &path) {
            return Ok(found);
        }
        let component = compile(engine, bytes)?;
        if let Err(error) = component
            .serialize()
            .map_err(std::io::Error::other)
            .and_then(|code| self.keep(&path, &code))
        {
            tracing::warn!("`{}` cannot be kept: {error}", path.display());
        }
        Ok(component)
    }

    fn path(&self, engine: &Engine, digest: &Digest) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }

    fn keep(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        make_private(&self.folder)?;
        // The digest last: without it the code is not used.
        replace(path, code)?;
        replace(&beside(path), Digest::sha256(code).as_str().as_bytes())
    }
}

/// Compiles a component.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component> {
    error::check_is_component(bytes)?;
    Component::from_binary(engine, bytes).map_err(|error| error::invalid_component(&format!("it is damaged: {error:#}")))
}

fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let code = std::fs::read(path).ok()?;
    let digest = std::fs::read_to_string(beside(path)).ok()?;
    if Digest::sha256(&code).as_str() != digest {
        tracing::warn!("`{}` is damaged and is compiled again", path.display());
        return None;
    }
    // SAFETY: the bytes are those that `keep` wrote into the user's own folder, by an engine of the same compatibility hash.
    #[allow(unsafe_code, reason = "deserialising our own compiled component")]
    unsafe { Component::deserialize(engine, &code) }.ok()
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

fn make_private(folder: &Path) -> std::io::Result<()> {
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
