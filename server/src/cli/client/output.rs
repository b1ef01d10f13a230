//! What a command prints: a table for people, JSON for programs.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::{Map, Value};

use crate::failure::{Exit, Failure};

/// The shape of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns with a heading.
    Table,
    /// One JSON document; for what goes on, one per line.
    Json,
}

/// Prints rows in the format asked for.
pub(crate) struct Printer {
    format: Format,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// A list: a table with these columns, or an array of objects with these keys. The rows hold
    /// one value per column.
    pub(crate) fn rows(&self, columns: &[&str], rows: Vec<Vec<Value>>) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&table(columns, &rows)),
            Format::Json => {
                let objects = rows.into_iter().map(|row| object(columns, row)).collect();
                self.json(&Value::Array(objects))
            }
        }
    }

    /// One step of something that goes on: a line of text, or an object on a line.
    pub(crate) fn step(&self, text: &str, value: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(text),
            Format::Json => self.json(value),
        }
    }

    /// Bytes exactly as they are, with a line break behind: for the value of one key.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .map_err(|error| cannot_print(&error))
    }

    pub(crate) fn json(&self, value: &Value) -> Result<(), Failure> {
        print(&value.to_string())
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| cannot_print(&error))
}

fn cannot_print(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write the output: {error}"))
}

fn table(columns: &[&str], rows: &[Vec<Value>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(
        columns
            .iter()
            .map(|column| column.to_uppercase().replace('_', " ")),
    );
    for row in rows {
        table.add_row(row.iter().map(cell));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table.trim_fmt()
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Object(map) if map.is_empty() => "-".to_owned(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{key}={}", cell(value)))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    }
}

fn object(columns: &[&str], row: Vec<Value>) -> Value {
    let keys = columns.iter().map(|column| (*column).to_owned());
    Value::Object(keys.zip(row).collect::<Map<_, _>>())
}

/// Bytes as JSON has them: text if it is UTF-8, else `{"hex": …}`.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({ "hex": hex })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_heading_and_aligned_columns() {
        let rows = vec![
            vec![json!("web"), json!(3), json!({"a": "b"})],
            vec![json!("payments"), json!(12), json!({})],
        ];
        let text = table(&["service", "up", "metadata"], &rows);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        assert!(lines[0].starts_with("SERVICE"), "{text}");
        assert_eq!(lines.len(), 3);
        let column = lines[0].find("UP").unwrap();
        assert_eq!(&lines[1][column..=column], "3");
        assert!(lines[1].ends_with("a=b") && lines[2].ends_with('-'));
    }

    #[test]
    fn objects_have_the_columns_as_keys() {
        let value = object(&["key", "revision"], vec![json!("a"), json!(7)]);
        assert_eq!(value, json!({"key": "a", "revision": 7}));
    }

    #[test]
    fn bytes_that_are_no_text_are_hexadecimal() {
        assert_eq!(bytes(b"abc"), json!("abc"));
        assert_eq!(bytes(&[0xff, 0x00]), json!({"hex": "ff00"}));
    }
}
