//! Answers compared with what a scenario expects of them.
//!
//! A field's expectation is a value (equal), a list (equal, in order) or an object of conditions
//! that must all hold:
//!
//! | condition | holds if the value |
//! |---|---|
//! | `equals`, `not` | is the same, is not |
//! | `greater` `at_least` `less` `at_most` | is a number so |
//! | `near` and `tolerance` | is a number no further away |
//! | `any_of` | is one of these |
//! | `starts_with`, `contains` | is a text so |
//! | `set` | is a list of these, in any order |
//! | `includes` | is a list with these, among others |
//! | `length` | is a list so long (a number, or conditions) |
//! | `each` | is a list whose every element is so |
//! | `absent` | is not there (`true`), is there (`false`) |
//! | `as` | always: it is kept under this name |
//!
//! `*` in a field's name stands for every number there (`instance.*.id`), or at the end for every
//! name; the values, in order, are a list. `took_ms` is how long the answer took.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use quorate::ErrorCode;
use serde_json::{Map, Value};

use super::line::{Answer, Fields};
use super::scenario::Expected;
use super::values::Variables;

/// Compares; captured variables are kept only if all is as expected.
///
/// # Errors
/// Saying what is otherwise.
pub fn compare(
    expected: &Expected,
    answer: &Answer,
    took: Duration,
    variables: &mut Variables,
) -> Result<()> {
    let fields = match answer {
        Answer::Ok(fields) => {
            if !expected.errors.is_empty() && !expected.errors.iter().any(|code| code == "ok") {
                bail!(
                    "it succeeded, but should fail: {}",
                    expected.errors.join(" or ")
                );
            }
            fields.clone()
        }
        Answer::Error {
            code,
            retryable,
            message,
        } => {
            check_code(code, *retryable, message)?;
            let host = code.starts_with("host:");
            let allowed = |one: &String| one == code || (host && one == "host");
            if !expected.errors.iter().any(allowed) {
                let wanted = match expected.errors.as_slice() {
                    [] => "it should succeed".to_owned(),
                    codes => format!("expected is {}", codes.join(" or ")),
                };
                bail!("it failed with {code}: {message}; {wanted}");
            }
            let mut fields = Fields::new();
            fields.set("message", message);
            fields
        }
    };
    let mut captured = variables.clone();
    for (key, wanted) in &expected.fields {
        let key = variables.key(key)?;
        let value = Found::of(&key, &fields, took);
        holds(&value, wanted, &mut captured).with_context(|| key.clone())?;
    }
    if expected.exactly {
        only_expected(expected, &fields, variables)?;
    }
    *variables = captured;
    Ok(())
}

/// Compares a value of the scenario's own.
///
/// # Errors
/// Saying what is otherwise.
pub fn check(value: &Value, wanted: &Value, variables: &mut Variables) -> Result<()> {
    let found = Found::Raw(Some(variables.bytes(value)?));
    let mut captured = variables.clone();
    holds(&found, wanted, &mut captured)?;
    *variables = captured;
    Ok(())
}

/// What is the same for every error, whatever a scenario expects.
fn check_code(code: &str, retryable: bool, message: &str) -> Result<()> {
    if message.is_empty() {
        bail!("the error {code} has no message");
    }
    if code.starts_with("host:") {
        return Ok(());
    }
    let known = ErrorCode::ALL.iter().find(|known| known.name() == code);
    let Some(known) = known else {
        bail!("{code:?} is no stable code: {message}");
    };
    if known.is_retryable() != retryable {
        bail!("{code} with retryable={retryable}: {message}");
    }
    Ok(())
}

fn only_expected(expected: &Expected, fields: &Fields, variables: &Variables) -> Result<()> {
    for key in fields.keys() {
        let mut known = false;
        for pattern in expected.fields.keys() {
            let pattern = variables.key(pattern)?;
            known |= pattern == key || matches(&pattern, key);
        }
        if !known {
            bail!("{key} is there, and was not expected");
        }
    }
    Ok(())
}

/// What an expectation looks at.
enum Found {
    Raw(Option<Vec<u8>>),
    /// A single value that may be a list.
    Field(Option<Vec<u8>>, Vec<Vec<u8>>),
    List(Vec<Vec<u8>>),
}

impl Found {
    fn of(key: &str, fields: &Fields, took: Duration) -> Self {
        if key == "took_ms" {
            return Self::Raw(Some(took.as_millis().to_string().into_bytes()));
        }
        if !key.contains('*') {
            let list = fields.get_list(key).unwrap_or_default();
            return Self::Field(fields.get(key), list);
        }
        let mut found: Vec<_> = fields.keys().filter(|name| matches(key, name)).collect();
        found.sort_by_key(|name| numbers(name));
        let values = found.into_iter().filter_map(|name| fields.get(name));
        Self::List(values.collect())
    }

    fn single(&self) -> Result<&[u8]> {
        match self {
            Self::Raw(Some(value)) | Self::Field(Some(value), _) => Ok(value),
            Self::Raw(None) | Self::Field(None, _) => bail!("is not there"),
            Self::List(_) => bail!("is a list"),
        }
    }

    fn list(&self) -> Result<&[Vec<u8>]> {
        match self {
            Self::List(list) | Self::Field(Some(_), list) => Ok(list),
            Self::Field(None, _) => bail!("is not there"),
            Self::Raw(_) => bail!("is no list"),
        }
    }

    fn number(&self) -> Result<f64> {
        number(self.single()?)
    }
}

/// `*` between dots is a number, at the end anything.
fn matches(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        Some((before, "")) => key.starts_with(before),
        Some((before, after)) => key.strip_prefix(before).is_some_and(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
            digits > 0 && matches(after, &rest[digits..])
        }),
    }
}

/// Orders `a.2` before `a.10`.
fn numbers(key: &str) -> Vec<(u64, String)> {
    let part = |part: &str| (part.parse().unwrap_or(0), part.to_owned());
    key.split('.').map(part).collect()
}

fn holds(found: &Found, wanted: &Value, variables: &mut Variables) -> Result<()> {
    match wanted {
        Value::Object(conditions) if !is_value(conditions) => {
            for (name, argument) in conditions {
                condition(found, name, argument, conditions, variables)?;
            }
            Ok(())
        }
        Value::Array(list) => {
            let wanted = all(list, variables)?;
            if found.list()? != wanted {
                bail!("is {}, not {}", shown(found.list()?), shown(&wanted));
            }
            Ok(())
        }
        single => {
            let wanted = variables.bytes(single)?;
            let value = found.single()?;
            if value != wanted {
                bail!("is {}, not {}", show(value), show(&wanted));
            }
            Ok(())
        }
    }
}

fn is_value(map: &Map<String, Value>) -> bool {
    map.contains_key("hex") || map.contains_key("times")
}

fn condition(
    found: &Found,
    name: &str,
    argument: &Value,
    all_conditions: &Map<String, Value>,
    variables: &mut Variables,
) -> Result<()> {
    match name {
        "equals" => holds(found, argument, variables),
        "not" => match holds(found, argument, &mut variables.clone()) {
            Ok(()) => bail!("is {}", show(found.single().unwrap_or_default())),
            Err(_) => Ok(()),
        },
        "absent" => {
            let absent = match found {
                Found::List(list) => list.is_empty(),
                other => other.single().is_err(),
            };
            match argument {
                Value::Bool(wanted) if *wanted == absent => Ok(()),
                _ if absent => bail!("is not there"),
                _ => bail!("is there"),
            }
        }
        "as" => {
            let name = argument.as_str().context("a variable's name")?;
            variables.set(name, found.single()?);
            Ok(())
        }
        "greater" | "at_least" | "less" | "at_most" => {
            let (value, bound) = (found.number()?, number(&variables.bytes(argument)?)?);
            let good = match name {
                "greater" => value > bound,
                "at_least" => value >= bound,
                "less" => value < bound,
                _ => value <= bound,
            };
            if !good {
                bail!("is {value}, and should be {name} {bound}");
            }
            Ok(())
        }
        "near" => {
            let tolerance = all_conditions.get("tolerance").context("no tolerance")?;
            let tolerance = number(&variables.bytes(tolerance)?)?;
            let (value, near) = (found.number()?, number(&variables.bytes(argument)?)?);
            if (value - near).abs() > tolerance {
                bail!("is {value}, further than {tolerance} from {near}");
            }
            Ok(())
        }
        "tolerance" => Ok(()),
        "any_of" => {
            let list = argument.as_array().context("any_of is a list")?;
            let mut tried = list.iter();
            if tried.any(|one| holds(found, one, &mut variables.clone()).is_ok()) {
                return Ok(());
            }
            bail!("is {}, none of {argument}", show(found.single()?))
        }
        "starts_with" | "contains" => {
            let (value, part) = (found.single()?, variables.bytes(argument)?);
            let good = match name {
                "starts_with" => value.starts_with(&part),
                _ => value.windows(part.len().max(1)).any(|w| w == part),
            };
            if !good {
                bail!("is {}, which should {name} {}", show(value), show(&part));
            }
            Ok(())
        }
        "set" | "includes" => {
            let list = argument.as_array().context("a list")?;
            let (mut wanted, mut value) = (all(list, variables)?, found.list()?.to_vec());
            wanted.sort();
            value.sort();
            let good = match name {
                "set" => value == wanted,
                _ => wanted.iter().all(|one| value.contains(one)),
            };
            if !good {
                bail!(
                    "is {}, which should be {name} {}",
                    shown(&value),
                    shown(&wanted)
                );
            }
            Ok(())
        }
        "length" => {
            let length = found.list()?.len().to_string().into_bytes();
            holds(&Found::Raw(Some(length)), argument, variables).context("its length")
        }
        "each" => {
            for value in found.list()? {
                let value = Found::Raw(Some(value.clone()));
                holds(&value, argument, variables)?;
            }
            Ok(())
        }
        other => bail!("there is no condition {other:?}"),
    }
}

fn all(list: &[Value], variables: &Variables) -> Result<Vec<Vec<u8>>> {
    list.iter().map(|one| variables.bytes(one)).collect()
}

fn number(bytes: &[u8]) -> Result<f64> {
    let text = String::from_utf8_lossy(bytes);
    let number = text.parse();
    number.with_context(|| format!("{text:?} is no number"))
}

fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn shown(list: &[Vec<u8>]) -> String {
    let all: Vec<_> = list.iter().map(|one| show(one)).collect();
    format!("[{}]", all.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Answer {
        let mut fields = Fields::read("count=12 state=live ids=b,a,c").unwrap();
        for number in (0..12).rev() {
            fields.show(format!("kv.{number}.key"), format!("k{number}"));
        }
        Answer::Ok(fields)
    }

    fn compared(expected: Value) -> Result<Variables> {
        let expected = Expected {
            fields: expected.as_object().unwrap().clone(),
            ..Expected::default()
        };
        let mut variables = Variables::default();
        variables.set("ten", "10");
        let took = Duration::from_millis(5);
        compare(&expected, &answer(), took, &mut variables).map(|()| variables)
    }

    #[test]
    fn what_holds() {
        for good in [
            json!({"count": 12, "state": "live", "took_ms": {"at_most": 5}}),
            json!({"count": {"greater": "$ten", "at_most": 12, "not": 11}}),
            json!({"count": {"near": 10, "tolerance": 2}}),
            json!({"count": {"any_of": [1, 12]}}),
            json!({"ids": ["b", "a", "c"]}),
            json!({"ids": {"set": ["a", "b", "c"], "includes": ["c"], "length": 3}}),
            json!({"state": {"starts_with": "li", "contains": "iv"}}),
            json!({"kv.*.key": {"length": {"at_least": 12}, "each": {"starts_with": "k"}}}),
            json!({"nothing": {"absent": true}, "no.*.such": {"absent": true}}),
        ] {
            compared(good.clone()).unwrap_or_else(|error| panic!("{good}: {error:#}"));
        }
        let keys = json!({"kv.*.key": (0..12).map(|n| format!("k{n}")).collect::<Vec<_>>()});
        compared(keys).expect("in the order of the numbers");
    }

    #[test]
    fn what_does_not_hold_is_said() {
        for (bad, why) in [
            (json!({"count": 1}), "count"),
            (json!({"count": {"greater": 12}}), "greater"),
            (json!({"count": {"near": 1, "tolerance": 2}}), "further"),
            (json!({"ids": ["a", "b", "c"]}), "not"),
            (json!({"ids": {"set": ["a", "b"]}}), "set"),
            (json!({"ids": {"includes": ["z"]}}), "includes"),
            (json!({"state": {"not": "live"}}), "live"),
            (json!({"state": {"absent": true}}), "is there"),
            (json!({"nothing": "x"}), "not there"),
            (json!({"nothing": []}), "not there"),
            (json!({"count": {"unheard_of": 1}}), "unheard_of"),
            (json!({"kv.*.key": {"each": "k1"}}), "k0"),
        ] {
            let error = format!("{:#}", compared(bad.clone()).unwrap_err());
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn captured_variables_are_there_afterwards() {
        let variables = compared(json!({"count": {"as": "n", "at_least": 1}})).unwrap();
        assert_eq!(variables.put_in("$n").unwrap(), b"12");
    }

    #[test]
    fn errors_must_be_expected_and_well_formed() {
        let error = |code: &str, retryable| Answer::Error {
            code: code.into(),
            retryable,
            message: "why".into(),
        };
        let compared = |codes: &[&str], answer: &Answer| {
            let expected = Expected {
                errors: codes.iter().map(|&code| code.to_owned()).collect(),
                ..Expected::default()
            };
            let took = Duration::ZERO;
            compare(&expected, answer, took, &mut Variables::default()).is_ok()
        };
        assert!(compared(&["timeout"], &error("timeout", true)));
        assert!(compared(
            &["conflict", "host"],
            &error("host:TypeError", false)
        ));
        assert!(compared(&["ok", "conflict"], &answer()));
        assert!(!compared(&[], &error("timeout", true)));
        assert!(!compared(&["timeout"], &error("timeout", false)));
        assert!(!compared(&["conflict"], &error("host:TypeError", false)));
        assert!(!compared(&["conflict"], &answer()));
        assert!(!compared(&["invented"], &error("invented", false)));
        assert!(!compared(&["performer:x"], &error("performer:x", false)));
    }

    #[test]
    fn exactly_means_nothing_else() {
        let mut expected = Expected {
            fields: json!({"count": 12, "kv.*.key": {"length": 12}})
                .as_object()
                .unwrap()
                .clone(),
            exactly: true,
            ..Expected::default()
        };
        let compared = |expected: &Expected| {
            let mut variables = Variables::default();
            compare(expected, &answer(), Duration::ZERO, &mut variables)
        };
        let error = format!("{:#}", compared(&expected).unwrap_err());
        assert!(error.contains("ids is there"), "{error}");
        expected.fields.insert("ids".into(), json!({"length": 3}));
        expected.fields.insert("state".into(), "live".into());
        compared(&expected).unwrap();
    }
}
