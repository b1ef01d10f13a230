//! Stands in for `protoc` where a foreign crate's build script insists on it: answers
//! `--version`, and writes a descriptor set for the files named, as `prost-build` asks.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use prost::Message;

fn main() -> Result<()> {
    let mut includes: Vec<PathBuf> = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    let mut output: Option<PathBuf> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--version" => {
                println!("libprotoc 31.0");
                return Ok(());
            }
            "--include_imports" | "--include_source_info" => {}
            "--experimental_allow_proto3_optional" => {}
            "-o" => output = arguments.next().map(PathBuf::from),
            "-I" => includes.extend(arguments.next().map(PathBuf::from)),
            other => {
                if let Some(path) = other.strip_prefix("--descriptor_set_out=") {
                    output = Some(path.into());
                } else if let Some(path) = other.strip_prefix("-I") {
                    includes.push(path.into());
                } else if other.starts_with('-') {
                    bail!("unknown option {other}");
                } else {
                    files.push(other.into());
                }
            }
        }
    }
    let output = output.context("no output: give -o FILE")?;
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files)?;
    let set = compiler.file_descriptor_set();
    std::fs::write(&output, set.encode_to_vec())
        .with_context(|| format!("cannot write {}", output.display()))
}
