//! What a scenario writes down, with its variables put in: bytes for the wire.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::line::Fields;

/// What is known by a name: addresses, and what was captured from answers.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    values: BTreeMap<String, Vec<u8>>,
}

impl Variables {
    /// Gives a name a value, instead of the one it had.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.values.insert(name.into(), value.into());
    }

    /// Puts variables into a text: `$name` or `${name}`; `$$` is a dollar.
    ///
    /// # Errors
    /// For a variable nobody set.
    pub fn put_in(&self, text: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            bytes.extend_from_slice(before.as_bytes());
            if let Some(after) = after.strip_prefix('$') {
                bytes.push(b'$');
                rest = after;
                continue;
            }
            let (name, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').context("'${' without '}'")?,
                None => {
                    let end = after
                        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                        .unwrap_or(after.len());
                    after.split_at(end)
                }
            };
            let value = self.values.get(name);
            bytes.extend_from_slice(value.with_context(|| format!("no variable ${name}"))?);
            rest = after;
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(bytes)
    }

    /// A key, with its variables; always text.
    ///
    /// # Errors
    /// As [`Variables::put_in`].
    pub fn key(&self, text: &str) -> Result<String> {
        Ok(String::from_utf8(self.put_in(text)?)?)
    }

    /// The bytes of a single value: text, number, truth, `{"hex": …}` or
    /// `{"text": …, "times": …}`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn bytes(&self, value: &Value) -> Result<Vec<u8>> {
        match value {
            Value::String(text) => self.put_in(text),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string().into_bytes()),
            Value::Object(map) if map.contains_key("hex") => {
                let text = map["hex"].as_str().context("hex is text")?;
                hex(text).with_context(|| format!("{text:?} is no hexadecimal number"))
            }
            Value::Object(map) if map.contains_key("times") => {
                let text = map.get("text").context("times what?")?;
                let times = map["times"].as_u64().context("times is a number")?;
                Ok(self.bytes(text)?.repeat(usize::try_from(times)?))
            }
            other => bail!("{other} is no single value"),
        }
    }

    /// The fields of a command: objects and lists of objects are flattened, lists of single values
    /// become lists.
    ///
    /// # Errors
    /// For a value nobody can send.
    pub fn fields(&self, arguments: &Map<String, Value>) -> Result<Fields> {
        let mut fields = Fields::new();
        self.flatten("", arguments, &mut fields)?;
        Ok(fields)
    }

    fn flatten(&self, prefix: &str, map: &Map<String, Value>, fields: &mut Fields) -> Result<()> {
        for (key, value) in map {
            let key = format!("{prefix}{}", self.key(key)?);
            self.add(&key, value, fields).with_context(|| key.clone())?;
        }
        Ok(())
    }

    fn add(&self, key: &str, value: &Value, fields: &mut Fields) -> Result<()> {
        match value {
            Value::Object(map) if !(map.contains_key("hex") || map.contains_key("times")) => {
                self.flatten(&format!("{key}."), map, fields)
            }
            Value::Array(values) if values.iter().any(Value::is_object) => {
                for (index, value) in values.iter().enumerate() {
                    self.add(&format!("{key}.{index}"), value, fields)?;
                }
                Ok(())
            }
            Value::Array(values) => {
                let list = values.iter().map(|value| self.bytes(value));
                fields.set_list(key, list.collect::<Result<Vec<_>>>()?);
                Ok(())
            }
            single => {
                fields.set(key, self.bytes(single)?);
                Ok(())
            }
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16));
    let digits = digits.collect::<Option<Vec<u32>>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        let mut variables = Variables::default();
        variables.set("name", "n-1");
        variables.set("raw", [0xff]);
        variables
    }

    #[test]
    fn variables_are_put_in() {
        let variables = variables();
        let put_in = |text| variables.put_in(text);
        assert_eq!(put_in("$name/a").unwrap(), b"n-1/a");
        assert_eq!(put_in("x${name}y$$").unwrap(), b"xn-1y$");
        assert_eq!(put_in("$raw").unwrap(), [0xff]);
        assert!(put_in("$nobody").is_err());
        assert!(put_in("${name").is_err());
    }

    #[test]
    fn arguments_become_fields() {
        let arguments = json!({
            "key": "$name/k", "prefix": true, "limit": 3,
            "endpoints": ["a:1", "b,2"],
            "metadata": {"a.b": "c"},
            "then": [{"op": "put", "value": {"hex": "00ff"}}, {"op": "get"}],
            "long": {"text": "ab", "times": 2},
        });
        let fields = variables().fields(arguments.as_object().unwrap()).unwrap();
        let mut line = String::new();
        fields.write(&mut line);
        assert_eq!(
            line,
            " endpoints=a:1,b%2C2 key=n-1/k limit=3 long=abab metadata.a.b=c prefix=true \
             then.0.op=put then.0.value=%00%FF then.1.op=get"
        );
    }

    #[test]
    fn hexadecimal_numbers() {
        assert_eq!(hex("00fF").unwrap(), [0, 255]);
        assert_eq!(hex("0"), None);
        assert_eq!(hex("zz"), None);
    }
}
