//! The lines runner and performers exchange: fields, percent-encoded.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// The fields of a line, by key, values as they are on the wire. Which values are lists only the
/// reader knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    raw: BTreeMap<String, String>,
}

impl Fields {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub fn set(&mut self, key: impl Into<String>, value: impl AsRef<[u8]>) {
        self.raw.insert(key.into(), encode(value.as_ref(), b","));
    }

    /// Adds what is shown as text: a number, a truth.
    pub fn show(&mut self, key: impl Into<String>, value: impl ToString) {
        self.set(key, value.to_string());
    }

    /// Adds a list.
    pub fn set_list<T: AsRef<[u8]>>(
        &mut self,
        key: impl Into<String>,
        elements: impl IntoIterator<Item = T>,
    ) {
        let elements = elements.into_iter().map(|one| encode(one.as_ref(), b""));
        let joined = elements.collect::<Vec<_>>().join(",");
        self.raw.insert(key.into(), joined);
    }

    /// A value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.raw.get(key).map(|raw| decode(raw))
    }

    /// A value, read as a list.
    #[must_use]
    pub fn get_list(&self, key: &str) -> Option<Vec<Vec<u8>>> {
        self.raw.get(key).map(|raw| match raw.as_str() {
            "" => Vec::new(),
            raw => raw.split(',').map(decode).collect(),
        })
    }

    /// Takes a field out, as it is on the wire.
    pub fn remove(&mut self, key: &str) -> Option<Vec<u8>> {
        self.raw.remove(key).map(|raw| decode(&raw))
    }

    /// Takes a field out, read as a list.
    pub fn remove_list(&mut self, key: &str) -> Option<Vec<Vec<u8>>> {
        let list = self.get_list(key);
        self.raw.remove(key);
        list
    }

    /// Takes all fields out whose key begins with `prefix`, which is cut off.
    #[must_use]
    pub fn remove_under(&mut self, prefix: &str) -> Self {
        let mut under = Self::default();
        self.raw.retain(|key, value| {
            let Some(rest) = key.strip_prefix(prefix) else {
                return true;
            };
            under.raw.insert(rest.to_owned(), std::mem::take(value));
            false
        });
        under
    }

    /// Puts all of `other` under `prefix`.
    pub fn put_under(&mut self, prefix: &str, other: Self) {
        for (key, value) in other.raw {
            self.raw.insert(format!("{prefix}{key}"), value);
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.raw.keys().map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Reads `KEY=VALUE KEY=VALUE…`.
    ///
    /// # Errors
    /// When it is not that.
    pub fn read(text: &str) -> Result<Self> {
        let mut fields = Self::default();
        for field in text.split(' ').filter(|field| !field.is_empty()) {
            let (key, value) = field
                .split_once('=')
                .with_context(|| format!("no '=' in {field:?}"))?;
            let key = String::from_utf8(decode(key)).context("a key that is not UTF-8")?;
            if fields.raw.insert(key, value.to_owned()).is_some() {
                bail!("twice the same key in {field:?}");
            }
        }
        Ok(fields)
    }

    /// Appends the fields to a line.
    pub fn write(&self, line: &mut String) {
        for (key, value) in &self.raw {
            line.push(' ');
            line.push_str(&encode(key.as_bytes(), b","));
            line.push('=');
            line.push_str(value);
        }
    }
}

/// What a performer answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Ok(Fields),
    /// It failed.
    Error {
        /// A stable code, `host:…` or `performer:…`.
        code: String,
        /// What the binding says of trying again.
        retryable: bool,
        /// For people.
        message: String,
    },
}

impl Answer {
    /// An error of the host language or of the performer itself.
    pub fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Error {
            code: code.into(),
            retryable: false,
            message: message.into(),
        }
    }

    /// Reads an answer: its ID and the rest.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(line: &str) -> Result<(u64, Self)> {
        let mut parts = line.splitn(3, ' ');
        let id = parts.next().unwrap_or_default();
        let id = id.parse().with_context(|| format!("no ID in {line:?}"))?;
        let kind = parts.next().unwrap_or_default();
        let fields = Fields::read(parts.next().unwrap_or_default())?;
        let text = |key: &str| {
            let bytes = fields.get(key).with_context(|| format!("no {key}"))?;
            anyhow::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(match kind {
            "ok" => (id, Self::Ok(fields)),
            "error" => {
                let retryable = match text("retryable")?.as_str() {
                    "true" => true,
                    "false" => false,
                    other => bail!("retryable={other}"),
                };
                let error = Self::Error {
                    code: text("code")?,
                    retryable,
                    message: text("message")?,
                };
                (id, error)
            }
            other => bail!("{other:?} is neither ok nor error"),
        })
    }

    /// The line of an answer, without its end.
    #[must_use]
    pub fn line(&self, id: u64) -> String {
        let mut line = id.to_string();
        match self {
            Self::Ok(fields) => {
                line.push_str(" ok");
                fields.write(&mut line);
            }
            Self::Error {
                code,
                retryable,
                message,
            } => {
                line.push_str(" error");
                let mut fields = Fields::new();
                fields.set("code", code);
                fields.show("retryable", retryable);
                fields.set("message", message);
                fields.write(&mut line);
            }
        }
        line
    }
}

impl From<quorate::Error> for Answer {
    fn from(error: quorate::Error) -> Self {
        Self::Error {
            code: error.code().name().to_owned(),
            retryable: error.is_retryable(),
            message: error.message().to_owned(),
        }
    }
}

/// `safe` bytes stay as they are beside those that always do.
fn encode(bytes: &[u8], safe: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte) || safe.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    text
}

/// What is no escape stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |index: usize| after.get(index).and_then(|&d| char::from(d).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_travel() {
        let all: Vec<u8> = (0..=255).collect();
        let mut fields = Fields::new();
        fields.set("all", &all);
        fields.set("odd key=%", "");
        fields.set_list("list", [&all[..], b",", b"a,b"]);
        let mut line = String::from("7 ok");
        fields.write(&mut line);
        assert!(line.is_ascii() && !line.contains('\n'));
        let (id, answer) = Answer::read(&line).unwrap();
        assert_eq!((id, &answer), (7, &Answer::Ok(fields.clone())));
        assert_eq!(answer.line(7), line);
        assert_eq!(fields.get("all").unwrap(), all);
        assert_eq!(fields.get("odd key=%").unwrap(), b"");
        let list = fields.get_list("list").unwrap();
        assert_eq!(list, [&all[..], b",", b"a,b"]);
    }

    #[test]
    fn an_empty_value_is_an_empty_list() {
        let fields = Fields::read("a= b=x").unwrap();
        assert_eq!(fields.get_list("a").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(fields.get_list("b").unwrap(), [b"x"]);
        assert_eq!(fields.get_list("c"), None);
    }

    #[test]
    fn errors_read_back() {
        let error = Answer::Error {
            code: "no_endpoints".into(),
            retryable: true,
            message: "nothing there: \"a\"".into(),
        };
        assert_eq!(Answer::read(&error.line(3)).unwrap(), (3, error));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for line in [
            "",
            "x ok",
            "1 maybe",
            "1 ok a",
            "1 ok a=1 a=2",
            "1 error code=x",
        ] {
            assert!(Answer::read(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn what_is_under_a_prefix_is_taken_out() {
        let mut fields = Fields::read("when.0.key=a when.0.kind=exists whenever=1").unwrap();
        let mut when = fields.remove_under("when.0.");
        assert_eq!(when.remove("kind").unwrap(), b"exists");
        assert_eq!(when.keys().collect::<Vec<_>>(), ["key"]);
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["whenever"]);
    }
}
