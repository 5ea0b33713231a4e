//! Where the program looks for DuckDB's library when it is installed: `lib/tidemill` beside its folder, wherever the package was put.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let origin = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => "$ORIGIN",
        Ok("macos") => "@loader_path",
        _ => return,
    };
    println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{origin}/../lib/tidemill");
}
