//! `include/quorate.h` is what cbindgen makes of the sources, and `quorate.symbols` what it names.
//! `QUORATE_WRITE=1 cargo test -p quorate-c --test header` writes both anew.

use std::fs;
use std::path::{Path, PathBuf};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(here(path)).unwrap_or_default()
}

/// Compares a committed file with what it should be, or writes it.
fn committed(path: &str, expected: &str) {
    if std::env::var_os("QUORATE_WRITE").is_some() {
        fs::write(here(path), expected).expect("it can be written");
    }
    let found = read(path);
    if found == expected {
        return;
    }
    let first = found
        .lines()
        .zip(expected.lines())
        .position(|(a, b)| a != b)
        .unwrap_or(0);
    panic!(
        "{path} is not what the sources say, from line {} on: {:?} should be {:?}.\n\
         Run: QUORATE_WRITE=1 cargo test -p quorate-c --test header",
        first + 1,
        found.lines().nth(first),
        expected.lines().nth(first),
    );
}

fn header() -> String {
    let mut config =
        cbindgen::Config::from_file(here("cbindgen.toml")).expect("cbindgen.toml is right");
    config.header = Some(read("include/preamble.txt").trim_end().to_owned());
    let version = env!("CARGO_PKG_VERSION");
    let mut parts = version.split('.');
    let mut part = || parts.next().expect("a version has three parts");
    config.after_includes = Some(format!(
        "\n/* The version of this header; that of the library is quorate_version(). */\n\
         #define QUORATE_VERSION \"{version}\"\n\
         #define QUORATE_VERSION_MAJOR {}\n\
         #define QUORATE_VERSION_MINOR {}\n\
         #define QUORATE_VERSION_PATCH {}\n",
        part(),
        part(),
        part()
    ));
    let mut text = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_crate(env!("CARGO_MANIFEST_DIR"))
        .generate()
        .expect("cbindgen understands the sources")
        .write(&mut text);
    String::from_utf8(text).expect("a header is text")
}

/// The names of the functions a header declares, sorted.
fn functions(header: &str) -> Vec<String> {
    let code = header.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with('*') && !line.starts_with("/*")
    });
    let mut names: Vec<String> = code
        .flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '(')))
        .filter_map(|word| word.split_once('(').map(|(name, _)| name.to_owned()))
        .filter(|name| name.starts_with("quorate_"))
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_header_is_what_the_sources_say() {
    let header = header();
    committed("include/quorate.h", &header);
    let mut list = functions(&header).join("\n");
    list.push('\n');
    committed("quorate.symbols", &list);
}
