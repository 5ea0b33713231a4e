//! Debian's Rust compiler and WASI library, fetched and unpacked without root, for machines that cannot reach rustup's server.
//!
//! Nothing is installed: `dpkg -x` unpacks, and the standard library is compiled from its source. Only `wasi-libc` comes from Debian's sid (it
//! is text and bitcode, for all machines); everything that runs here is of this machine's release.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    apt::{self, Apt},
    machine::{Machine, capture},
    step::note,
    wasm::TARGET,
};

const PACKAGES: [&str; 6] = [
    "rustc-web",
    "libstd-rust-web-dev",
    "cargo-web",
    "rust-web-src",
    "lld-19",
    "wasi-libc",
];

/// The unpacked packages, and the one tool that they lack.
pub(crate) struct Debian {
    root: PathBuf,
    component_linker: PathBuf,
}

impl Debian {
    /// The packages, if they were unpacked before.
    pub(crate) fn find(machine: &Machine) -> Option<Self> {
        let root = machine.target.join("debian/root");
        let component_linker = component_linker(machine).ok()?;
        root.join("usr/lib")
            .join(TARGET)
            .is_dir()
            .then_some(Self { root, component_linker })
    }

    /// The packages, fetched where they are missing.
    pub(crate) fn prepare(machine: &Machine) -> Result<Self> {
        if let Some(found) = Self::find(machine) {
            return Ok(found);
        }
        component_linker(machine)?; // before anything large is fetched
        note("fetching Debian's compiler (about 175 MB, 1 GB unpacked)");
        let home = machine.folder("debian")?;
        let apt = apt(&home)?;
        capture(apt.command(machine, "apt-get").arg("update")).context("Debian's package lists cannot be had")?;
        let install = ["install", "--yes", "--download-only", "--no-install-recommends", "--reinstall"];
        capture(apt.command(machine, "apt-get").args(install).args(PACKAGES)).with_context(|| {
            format!(
                "Debian's packages {} cannot be had; they are in bookworm-security and later",
                PACKAGES.join(", ")
            )
        })?;
        // Renamed last: a folder of that name is complete.
        let (fresh, root) = (home.join("unpacking"), home.join("root"));
        fs::remove_dir_all(&fresh).ok();
        fs::create_dir_all(&fresh)?;
        for archive in files(&home.join("cache/archives"), "deb")? {
            capture(machine.command("dpkg").arg("-x").arg(archive).arg(&fresh))?;
        }
        fs::rename(&fresh, &root)?;
        fs::remove_dir_all(home.join("cache")).ok();
        Self::find(machine)
            .with_context(|| format!("Debian's `wasi-libc` holds no usr/lib/{TARGET}; it is needed from 0.0~git20260423 on, which sid has"))
    }

    /// `rustc 1.96.0 …`
    pub(crate) fn version(&self) -> Result<String> {
        let mut command = Command::new(self.root.join("usr/bin/rustc"));
        let said = capture(command.env("LD_LIBRARY_PATH", self.libraries()).arg("--version"))?;
        Ok(said.split('(').next().unwrap_or(&said).trim().to_owned())
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH))
    }

    /// Debian's cargo, told to build the standard library too. `RUSTC_BOOTSTRAP` is what lets a stable compiler do that.
    pub(crate) fn cargo(&self, machine: &Machine) -> Result<Command> {
        let (usr, wasm) = (self.root.join("usr"), self.root.join("usr/lib").join(TARGET));
        let linker = usr.join("bin/wasm-ld-19");
        ensure!(
            linker.is_file(),
            "{} is not there: remove {} and run set-up again",
            linker.display(),
            self.root.display()
        );
        let mut command = machine.command(usr.join("bin/cargo"));
        command
            .env("LD_LIBRARY_PATH", self.libraries())
            .env("RUSTC", usr.join("bin/rustc"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .env("CARGO_TARGET_WASM32_WASIP2_LINKER", &self.component_linker)
            .env(
                "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
                format!(
                    "-Clink-self-contained=no -Lnative={} -Clink-arg=--wasm-ld-path={} {}",
                    wasm.display(),
                    linker.display(),
                    machine.remapped_paths().join(" ")
                ),
            )
            .args(["build", "-Zbuild-std=std,panic_abort", "--target", TARGET]);
        Ok(command)
    }
}

/// Every rustup toolchain ships the tool that turns a core module into a component; Debian does not.
fn component_linker(machine: &Machine) -> Result<PathBuf> {
    let sysroot = capture(machine.command("rustc").args(["--print", "sysroot"]))?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
    let found = fs::read_dir(&libraries)?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/wasm-component-ld")))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "no `wasm-component-ld` under {}\nhint: toolchains of rustup have it; or `cargo install wasm-component-ld` and link it to \
             {}/<host>/bin/",
            libraries.display(),
            libraries.display()
        )
    })
}

/// apt with the machine's own sources, and sid for `wasi-libc` alone.
fn apt(home: &Path) -> Result<Apt> {
    let mut sources = apt::machine_sources();
    let sid = format!("deb [signed-by={}] {} sid main\n", apt::keys()?, apt::mirror_of(&sources, "debian"));
    sources.push(("sid.list".into(), sid));
    let pins = "Package: *\nPin: release n=sid\nPin-Priority: 50\n\nPackage: wasi-libc\nPin: release n=sid\nPin-Priority: 990\n";
    Apt::new(home, &sources, pins)
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    Ok(found)
}
