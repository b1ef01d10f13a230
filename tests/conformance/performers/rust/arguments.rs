//! A command's fields, taken out one by one, as the types a Rust program has.

use std::str::FromStr;
use std::time::Duration;

use quorate_tests::conformance::line::{Answer, Fields};

pub(crate) struct Arguments {
    fields: Fields,
}

impl Arguments {
    pub(crate) fn new(fields: Fields) -> Self {
        Self { fields }
    }

    /// What must be there.
    pub(crate) fn needed<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self, &str) -> Result<Option<T>, Answer>,
    ) -> Result<T, Answer> {
        let value = read(self, key)?;
        value.ok_or_else(|| Answer::refused("performer:missing_key", key))
    }

    pub(crate) fn bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Answer> {
        Ok(self.fields.remove(key))
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Answer> {
        self.fields.remove(key).map(utf8).transpose()
    }

    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Answer> {
        let list = self.fields.remove_list(key);
        list.map(|list| list.into_iter().map(utf8).collect())
            .transpose()
    }

    /// A number the parameter's type can hold.
    pub(crate) fn number<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, Answer> {
        let text = self.text(key)?;
        text.map(|text| {
            let message = || Answer::refused("host:range", format!("{key}={text}"));
            text.parse().map_err(|_| message())
        })
        .transpose()
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<bool, Answer> {
        match self.text(key)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Answer::refused("performer:malformed", key)),
        }
    }

    pub(crate) fn millis(&mut self, key: &str) -> Result<Option<Duration>, Answer> {
        Ok(self.number(key)?.map(Duration::from_millis))
    }

    /// Everything under a prefix: what the user chose, and the value.
    pub(crate) fn chosen(&mut self, prefix: &str) -> Result<Vec<(String, String)>, Answer> {
        let under = self.fields.remove_under(prefix);
        let pairs = under.keys().map(|key| {
            let value = under.get(key).unwrap_or_default();
            Ok((key.to_owned(), utf8(value)?))
        });
        pairs.collect()
    }

    /// `PREFIX0.…`, `PREFIX1.…`, in order.
    pub(crate) fn numbered(&mut self, prefix: &str) -> Vec<Self> {
        let numbered = (0..).map(|number| {
            let fields = self.fields.remove_under(&format!("{prefix}{number}."));
            Self::new(fields)
        });
        numbered.take_while(|one| !one.fields.is_empty()).collect()
    }

    /// Everything was taken.
    pub(crate) fn end(&self) -> Result<(), Answer> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(key) => Err(Answer::refused("performer:unknown_key", key)),
        }
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, Answer> {
    String::from_utf8(bytes).map_err(|error| Answer::refused("host:utf8", error.to_string()))
}
