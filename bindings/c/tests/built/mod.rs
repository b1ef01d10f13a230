//! Installing the library once, building C programs against it, and running them with a limit.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use quorate_tests::process::OwnedChild;

/// How a program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// As anybody would.
    Plain,
    /// With the address and undefined-behaviour sanitizers.
    Sanitized,
    /// With the static library.
    Static,
}

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// Every warning there is, each an error.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

/// Where the library is installed, as `install.py` does it.
pub(crate) fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prefix");
        finish(
            Command::new("python3")
                .arg(Path::new(HERE).join("install.py"))
                .args(["--profile", "debug", "--prefix"])
                .arg(&prefix),
        );
        prefix
    })
}

/// A path below the binding.
pub(crate) fn here(path: &str) -> String {
    format!("{HERE}/{path}")
}

/// Whether a tool is installed.
pub(crate) fn is_there(tool: &str) -> bool {
    output_of(tool, &["--version"]).is_some()
}

/// What a tool prints; `None` if it fails or is not there.
pub(crate) fn output_of(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// Builds `programs/NAME.c` and answers where it is.
pub(crate) fn compile(name: &str, build: Build) -> PathBuf {
    let source = here(&format!("tests/programs/{name}.c"));
    build_with("gcc", &source, name, build, &["-std=c11"])
}

/// As a program is tested: as it is, and with the sanitizers where they work.
pub(crate) fn builds() -> &'static [Build] {
    static BUILDS: OnceLock<&[Build]> = OnceLock::new();
    BUILDS.get_or_init(|| {
        let trial = prefix().join("trial");
        let built = Command::new("gcc")
            .args(["-xc", "-", "-fsanitize=address,undefined", "-o"])
            .arg(&trial)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .and_then(|mut gcc| {
                if let Some(mut source) = gcc.stdin.take() {
                    source.write_all(b"int main(void) { return 0; }")?;
                }
                gcc.wait()
            });
        let works = built.is_ok_and(|status| status.success())
            && Command::new(&trial)
                .status()
                .is_ok_and(|status| status.success());
        if works {
            &[Build::Plain, Build::Sanitized]
        } else {
            eprintln!("gcc has no working sanitizers, skipped");
            &[Build::Plain]
        }
    })
}

/// Builds a source with this compiler.
pub(crate) fn build_with(
    compiler: &str,
    source: &str,
    name: &str,
    build: Build,
    flags: &[&str],
) -> PathBuf {
    let prefix = prefix();
    let program = prefix.join(format!("{name}-{build:?}"));
    let mut command = Command::new(compiler);
    command
        .args(WARNINGS)
        .args(["-g", "-I"])
        .arg(prefix.join("include"))
        .arg(source)
        .arg("-o")
        .arg(&program);
    if build == Build::Sanitized {
        command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    }
    let library = prefix.join("lib");
    if build == Build::Static {
        command.arg(library.join("libquorate.a"));
        command.args(["-lgcc_s", "-lutil", "-lrt", "-lm", "-ldl"]);
    } else {
        let mut found = std::ffi::OsString::from("-Wl,-rpath,");
        found.push(&library);
        command.arg("-L").arg(&library).arg("-lquorate").arg(found);
    }
    finish(command.args(flags).arg("-lpthread"));
    program
}

/// Runs a program to its end, which must be success.
pub(crate) fn run(command: &mut Command, at_most: Duration) {
    let what = format!("{command:?}");
    let mut child = OwnedChild::spawn(command.stdin(Stdio::null()))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let status = child
        .wait(at_most)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(status.success(), "{what}: {status}");
}

/// Runs a tool and shows what it said if it failed.
fn finish(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
