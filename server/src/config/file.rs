//! The configuration file: TOML with the flags' names as keys, and clear words when it is wrong.

use std::fs;
use std::path::Path;

use super::ServeArguments;

/// Reads the settings of a file. The error is one sentence with the file's name in it.
pub(super) fn read(path: &Path) -> Result<ServeArguments, String> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read the configuration file {shown}: {error}"))?;
    parse(&text).map_err(|error| format!("configuration file {shown}, {error}"))
}

fn parse(text: &str) -> Result<ServeArguments, String> {
    let located = |error: &toml::de::Error| match error.span() {
        Some(span) => format!("line {}: {}", line_of(text, span.start), error.message()),
        None => error.message().to_owned(),
    };
    let table: toml::Table = text.parse().map_err(|error| located(&error))?;
    let known = ServeArguments::setting_names();
    if let Some(key) = table.keys().find(|key| !known.contains(key)) {
        return Err(unknown_key(key, &known));
    }
    toml::from_str(text).map_err(|error| located(&error))
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

fn unknown_key(key: &str, known: &[String]) -> String {
    let near = near_misses(key, known);
    let advice = if near.is_empty() {
        "the keys are the flags of 'quorate serve --help' without the dashes in front".to_owned()
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    format!("unknown key '{key}': {advice}")
}

/// Known names within a third of their length, closest first, at most three.
fn near_misses(key: &str, known: &[String]) -> Vec<String> {
    let mut near: Vec<(usize, &String)> = known
        .iter()
        .map(|name| (edit_distance(&key.replace('_', "-"), name), name))
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .collect();
    near.sort();
    near.iter()
        .take(3)
        .map(|(_, name)| format!("'{name}'"))
        .collect()
}

/// Levenshtein's distance, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_near_misses() {
        let error = parse("listen-cleint = [\"127.0.0.1:1\"]").unwrap_err();
        assert!(error.contains("'listen-cleint'"), "{error}");
        assert!(error.contains("did you mean 'listen-client'"), "{error}");
        let error = parse("data_dir = \"x\"").unwrap_err();
        assert!(error.contains("'data-dir'"), "{error}");
        let error = parse("completely-different = 1").unwrap_err();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_told_with_its_line() {
        let error = parse("name = \"a\"\nregistry-warm-up = \"soon\"").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(error.contains("'soon'"), "{error}");
        let error = parse("name = ").unwrap_err();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn the_config_flag_is_not_a_key() {
        assert!(parse("config = \"other.toml\"").is_err());
    }

    #[test]
    fn distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
