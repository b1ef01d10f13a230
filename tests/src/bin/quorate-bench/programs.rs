//! The clients of other languages measure themselves: a program per language and figure, which
//! prints its numbers in one line. A language more is an entry more in [`Programs::of`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// How the programs of a language are started.
pub(crate) struct Programs {
    /// For the rows.
    pub(crate) language: &'static str,
    start: Start,
}

enum Start {
    /// `tests/bench/FIGURE.EXTENSION`, with an interpreter.
    Script {
        interpreter: PathBuf,
        extension: &'static str,
    },
    /// `FIGURE` in a directory, built from `tests/bench/FIGURE.c`.
    Built { directory: PathBuf },
}

impl Programs {
    /// The languages there is something to run for: interpreters, and where the C programs are.
    pub(crate) fn of(python: Option<&Path>, node: Option<&Path>, c: Option<&Path>) -> Vec<Self> {
        let script = |language, interpreter: Option<&Path>, extension| {
            interpreter.map(|interpreter| Self {
                language,
                start: Start::Script {
                    interpreter: interpreter.to_owned(),
                    extension,
                },
            })
        };
        let c = c.map(|directory| Self {
            language: "C",
            start: Start::Built {
                directory: directory.to_owned(),
            },
        });
        [
            script("Python", python, "py"),
            script("Node.js", node, "mjs"),
            c,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Runs the program for a figure and reads `N` numbers.
    pub(crate) fn numbers<const N: usize>(
        &self,
        figure: &str,
        arguments: &[&str],
    ) -> Result<[f64; N]> {
        let mut command = match &self.start {
            Start::Script {
                interpreter,
                extension,
            } => {
                let file = format!("bench/{figure}.{extension}");
                let mut command = Command::new(interpreter);
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
                command
            }
            Start::Built { directory } => Command::new(directory.join(figure)),
        };
        numbers(command.args(arguments))
    }
}

/// Runs a program that prints `N` numbers.
pub(crate) fn numbers<const N: usize>(command: &mut Command) -> Result<[f64; N]> {
    let name = || {
        let arguments: Vec<OsString> = command.get_args().map(Into::into).collect();
        format!("{} {arguments:?}", command.get_program().display())
    };
    let name = name();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{name} printed {text:?}"))?;
    let count = numbers.len();
    numbers
        .try_into()
        .ok()
        .with_context(|| format!("{name} printed {count} numbers instead of {N}"))
}
