//! Builds `tegata-wasm` for the browser and writes its bindings to `wallet-web/src/wasm/`.
//!
//! `cargo run -p tegata-wasm-bindgen` does everything. The standard library for `wasm32-unknown-unknown` comes from
//! the first of these that is there:
//! 1. the target installed beside the compiler in use;
//! 2. Debian's `rustc-web` with `rust-web-src` and `lld-22`, from whose source cargo builds it (a minute, once).
//!
//! The result is the same bytes on every machine with the same compiler: paths of the machine are mapped away.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
const CRATE: &str = "tegata-wasm";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-22";
const DEBIAN_STD_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// Why the bindings could not be made, and what to do.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error(
        "no standard library for {TARGET}: install it beside your compiler, or on Debian run \
         `apt-get install --no-install-recommends rustc-web rust-web-src lld-22`"
    )]
    NoStandardLibrary,
    #[error("cannot start {program}: {source}")]
    Start {
        program: String,
        source: std::io::Error,
    },
    #[error("cargo could not build {CRATE} for {TARGET}; its messages are above")]
    Cargo,
    #[error("wasm-bindgen refused {path}: {reason}")]
    Bindgen { path: PathBuf, reason: String },
    #[error("cannot determine {0}")]
    Unknown(&'static str),
}

/// Where the standard library for the browser comes from.
#[derive(Debug, PartialEq, Eq)]
enum StandardLibrary {
    BesideCompiler,
    DebianSource,
}

fn main() -> ExitCode {
    match run() {
        Ok(out_dir) => {
            println!("bindings written to {}", out_dir.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tegata-wasm-bindgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<PathBuf, BuildError> {
    let root = workspace_root()?;
    let target_dir =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    build(&root, &target_dir, standard_library()?)?;

    let wasm = target_dir.join(TARGET).join("wallet/tegata_wasm.wasm");
    let out_dir = root.join("wallet-web/src/wasm");
    let refused = |error: &dyn std::fmt::Display| BuildError::Bindgen {
        path: wasm.clone(),
        reason: error.to_string(),
    };
    Bindgen::new()
        .input_path(&wasm)
        .out_name("tegata")
        .web(true)
        .map_err(|error| refused(&format!("{error:#}")))?
        .typescript(true)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&out_dir)
        .map_err(|error| refused(&format!("{error:#}")))?;
    Ok(out_dir)
}

fn workspace_root() -> Result<PathBuf, BuildError> {
    // `cargo run` says it now: checkouts that share a target directory share this program, built in one of them.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here)
        .ancestors()
        .nth(3)
        .map(Path::to_path_buf)
        .ok_or(BuildError::Unknown("the workspace folder"))
}

fn standard_library() -> Result<StandardLibrary, BuildError> {
    let libdir =
        stdout_of(Command::new(rustc()).args(["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(libdir.trim()).is_dir() {
        return Ok(StandardLibrary::BesideCompiler);
    }
    let debian = [DEBIAN_RUSTC, DEBIAN_LINKER, DEBIAN_STD_SOURCE];
    if debian.iter().all(|path| Path::new(path).exists()) {
        return Ok(StandardLibrary::DebianSource);
    }
    Err(BuildError::NoStandardLibrary)
}

fn build(root: &Path, target_dir: &Path, library: StandardLibrary) -> Result<(), BuildError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .current_dir(root)
        .args(["build", "-p", CRATE, "--lib", "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        // A profile of its own, so that it disturbs nobody's cache: small code, no unwinding.
        .args(["--profile", "wallet"])
        .args(["--config", "profile.wallet.inherits='release'"])
        .args(["--config", "profile.wallet.opt-level='s'"])
        .args(["--config", "profile.wallet.lto='fat'"])
        .args(["--config", "profile.wallet.codegen-units=1"])
        .args(["--config", "profile.wallet.panic='abort'"])
        .args(["--config", "profile.wallet.strip='debuginfo'"])
        .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(root))
        .env_remove("RUSTFLAGS");
    if library == StandardLibrary::DebianSource {
        command
            .env("RUSTC", DEBIAN_RUSTC)
            // Cargo builds a standard library from source only with unstable features; Debian's compiler is a stable one.
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort")
            .arg("--config")
            .arg(format!("target.{TARGET}.linker='{DEBIAN_LINKER}'"));
    }
    let status = command.status().map_err(|source| BuildError::Start {
        program: cargo.to_string_lossy().into_owned(),
        source,
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(BuildError::Cargo)
    }
}

/// Compiler flags that replace this machine's folders in panic messages, so that builds elsewhere are the same bytes.
fn remapped_paths(root: &Path) -> String {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=/tegata", root.display())];
    if let Some(home) = cargo_home {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.join("\u{1f}")
}

fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

fn stdout_of(command: &mut Command) -> Result<String, BuildError> {
    let output = command.output().map_err(|source| BuildError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
