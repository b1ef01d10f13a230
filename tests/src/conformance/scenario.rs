//! The scenario files, read and checked as far as a step can be checked without playing it. The
//! schema (`tests/conformance/schema`) says the same to editors, and is tested against every file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::simple_client::SimpleCall;

/// How long a step may take that says nothing else.
const STEP: Duration = Duration::from_secs(20);
/// The program that is always there.
pub const MAIN: &str = "main";

/// A story told once, that must come out the same in every language.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `FILE/NAME`.
    pub name: String,
    /// What it shows, in one sentence.
    pub says: String,
    /// Needs the machine for itself.
    pub alone: bool,
    /// Servers of its own, by name, with their flags; without any it shares one.
    pub servers: BTreeMap<String, Vec<String>>,
    /// Networks in front of servers: name and server.
    pub proxies: BTreeMap<String, String>,
    /// Programs beside the main one; of the same language if they name none.
    pub programs: BTreeMap<String, Option<String>>,
    /// Languages that cannot play it, and why.
    pub except: BTreeMap<String, String>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One step, and how long it may take.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// At the latest.
    pub within: Duration,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Action {
    /// A program is told something, and its answer looked at.
    Call(Call),
    /// The answer of a call in the background is looked at.
    Await(String, Expected),
    /// A call in the background is withdrawn.
    Cancel(String),
    /// A variable is looked at.
    Check(Value, Value),
    /// Steps, several times; `$round` counts from 0.
    Repeat(u64, Vec<Step>),
    /// Something is done to a server, a proxy or a program.
    Control(Control, String),
    /// Something is done by a client without the SDK.
    Simple(SimpleCall),
}

/// What can be done to servers, proxies and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A server or program is ended with SIGKILL.
    Kill,
    /// A server is ended with SIGTERM.
    Terminate,
    /// A server starts again, on the same data and ports.
    Restart,
    /// A server gets SIGSTOP.
    Pause,
    /// A server gets SIGCONT.
    Resume,
    /// A proxy closes its connections and takes no more.
    Cut,
    /// A proxy closes its connections; new ones are taken.
    Break,
    /// A proxy takes connections again.
    Heal,
    /// A program's stdin is closed, and it must end with 0.
    Exit,
}

const CONTROLS: [(&str, Control); 9] = [
    ("kill", Control::Kill),
    ("terminate", Control::Terminate),
    ("restart", Control::Restart),
    ("pause", Control::Pause),
    ("resume", Control::Resume),
    ("cut", Control::Cut),
    ("break", Control::Break),
    ("heal", Control::Heal),
    ("exit", Control::Exit),
];

/// A command for a program.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which program.
    pub program: String,
    /// Which command.
    pub op: String,
    /// Its keys, as the file has them.
    pub arguments: Map<String, Value>,
    /// It goes on in the background under this name.
    pub background: Option<String>,
    /// It is repeated until the answer is as expected.
    pub until: bool,
    /// What it must answer.
    pub expected: Expected,
}

/// What an answer must be.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Error codes allowed (`ok` and `host` among them); none means it must succeed.
    pub errors: Vec<String>,
    /// What the fields must be.
    pub fields: Map<String, Value>,
    /// Whether there may be no other fields.
    pub exactly: bool,
}

/// Reads all scenarios of a folder, in the order of files and within them.
///
/// # Errors
/// Naming the file and the place in it.
pub fn read_all(folder: &Path) -> Result<Vec<Scenario>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    let mut scenarios = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let read = read_file(&stem, &text).with_context(|| path.display().to_string())?;
        scenarios.extend(read);
    }
    let mut names = BTreeSet::new();
    for scenario in &scenarios {
        if !names.insert(&scenario.name) {
            bail!("two scenarios are named {}", scenario.name);
        }
    }
    Ok(scenarios)
}

fn read_file(stem: &str, text: &str) -> Result<Vec<Scenario>> {
    let mut file = object(serde_json::from_str(text)?)?;
    for ignored in ["$schema", "about"] {
        file.remove(ignored);
    }
    let scenarios = array(&mut file, "scenarios")?;
    nothing_left(&file)?;
    let read = scenarios.into_iter().enumerate();
    read.map(|(index, value)| {
        let name = value["name"].as_str().unwrap_or_default().to_owned();
        read_scenario(stem, value).with_context(|| format!("scenario {index} {name:?}"))
    })
    .collect()
}

fn read_scenario(stem: &str, value: Value) -> Result<Scenario> {
    let mut map = object(value)?;
    let name = text(&mut map, "name")?.context("no name")?;
    let says = text(&mut map, "says")?.context("it does not say what it shows")?;
    let strings = |map: &mut Map<String, Value>, key: &str| -> Result<BTreeMap<String, String>> {
        let object = optional_object(map, key)?;
        let pairs = object.into_iter().map(|(name, value)| {
            let value = value.as_str().with_context(|| format!("{key}: {name}"))?;
            Ok((name, value.to_owned()))
        });
        pairs.collect()
    };
    let mut servers = BTreeMap::new();
    for (name, flags) in optional_object(&mut map, "servers")? {
        let flags = flags.as_array().context("flags of a server")?;
        let flags = flags.iter().map(|flag| flag.as_str().map(str::to_owned));
        let flags = flags.collect::<Option<_>>().context("a flag is text")?;
        servers.insert(name, flags);
    }
    let programs = optional_object(&mut map, "programs")?.into_iter();
    let programs = programs.map(|(name, program)| {
        let mut program = object(program)?;
        let language = text(&mut program, "language")?;
        nothing_left(&program)?;
        Ok((name, language))
    });
    let programs = programs.collect::<Result<_>>()?;
    let mut steps = Vec::new();
    for (name, options) in optional_object(&mut map, "clients")? {
        steps.push(opened(name, object(options)?)?);
    }
    for (index, step) in array(&mut map, "steps")?.into_iter().enumerate() {
        steps.push(read_step(step).with_context(|| format!("step {index}"))?);
    }
    let scenario = Scenario {
        name: format!("{stem}/{name}"),
        says,
        alone: map.remove("alone") == Some(Value::Bool(true)),
        servers,
        proxies: strings(&mut map, "proxies")?,
        programs,
        except: strings(&mut map, "except")?,
        steps,
    };
    nothing_left(&map)?;
    scenario.check()?;
    Ok(scenario)
}

/// The `open` that an entry of `clients` stands for.
fn opened(name: String, mut options: Map<String, Value>) -> Result<Step> {
    options.insert("as".to_owned(), name.into());
    options
        .entry("endpoints")
        .or_insert_with(|| vec!["$server"].into());
    options.insert("call".to_owned(), "open".into());
    read_step(Value::Object(options))
}

fn read_step(value: Value) -> Result<Step> {
    let mut map = object(value)?;
    map.remove("note");
    let within = match map.remove("within_ms") {
        None => STEP,
        Some(value) => Duration::from_millis(value.as_u64().context("within_ms")?),
    };
    let control = CONTROLS.iter().find(|(name, _)| map.contains_key(*name));
    let action = if let Some((key, control)) = control {
        Action::Control(*control, text(&mut map, key)?.context("a name")?)
    } else if let Some(op) = text(&mut map, "call")? {
        let expected = expected(&mut map)?;
        let program = text(&mut map, "program")?;
        let background = text(&mut map, "background")?;
        let until = map.remove("until") == Some(Value::Bool(true));
        let arguments = std::mem::take(&mut map);
        Action::Call(Call {
            program: program.unwrap_or_else(|| MAIN.to_owned()),
            op,
            arguments,
            background,
            until,
            expected,
        })
    } else if let Some(name) = text(&mut map, "await")? {
        Action::Await(name, expected(&mut map)?)
    } else if let Some(name) = text(&mut map, "cancel")? {
        Action::Cancel(name)
    } else if let Some(value) = map.remove("check") {
        Action::Check(value, map.remove("is").context("no 'is' to check")?)
    } else if let Some(keys) = map.remove("simple_register") {
        Action::Simple(SimpleCall::Register(object(keys)?))
    } else if let Some(keys) = map.remove("simple_deregister") {
        Action::Simple(SimpleCall::Deregister(object(keys)?))
    } else if let Some(times) = map.remove("repeat") {
        let steps = array(&mut map, "steps")?.into_iter().map(read_step);
        let times = times.as_u64().context("repeat")?;
        Action::Repeat(times, steps.collect::<Result<_>>()?)
    } else {
        bail!("it does nothing this version knows");
    };
    nothing_left(&map)?;
    Ok(Step { action, within })
}

fn expected(map: &mut Map<String, Value>) -> Result<Expected> {
    let errors = match map.remove("error") {
        None => Vec::new(),
        Some(Value::String(code)) => vec![code],
        Some(Value::Array(codes)) => {
            let codes = codes.into_iter().map(|code| match code {
                Value::String(code) => Ok(code),
                other => bail!("{other} is no error code"),
            });
            codes.collect::<Result<_>>()?
        }
        Some(other) => bail!("{other} is no error code"),
    };
    Ok(Expected {
        errors,
        fields: optional_object(map, "expect")?,
        exactly: map.remove("exactly") == Some(Value::Bool(true)),
    })
}

impl Scenario {
    /// What a program must be able to do: `OP` and `OP.KEY`, of programs in the language played.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<String> {
        let mut needs = BTreeSet::new();
        self.needs_of(&self.steps, &mut needs);
        needs
    }

    fn needs_of(&self, steps: &[Step], needs: &mut BTreeSet<String>) {
        for step in steps {
            match &step.action {
                Action::Call(call) => {
                    let other = self.programs.get(&call.program);
                    if other.is_some_and(Option::is_some) {
                        continue;
                    }
                    needs.insert(call.op.clone());
                    for key in call.arguments.keys() {
                        let first = key.split('.').next().unwrap_or(key);
                        needs.insert(format!("{}.{first}", call.op));
                    }
                }
                Action::Cancel(_) => {
                    needs.insert("cancel".to_owned());
                }
                Action::Repeat(_, steps) => self.needs_of(steps, needs),
                _ => {}
            }
        }
    }

    /// Names that are used are there.
    fn check(&self) -> Result<()> {
        for server in self.proxies.values() {
            if server != "server" && !self.servers.contains_key(server) {
                bail!("a proxy in front of {server:?}, which is no server");
            }
        }
        self.check_steps(&self.steps)
    }

    fn check_steps(&self, steps: &[Step]) -> Result<()> {
        for (index, step) in steps.iter().enumerate() {
            self.check_step(step)
                .with_context(|| format!("step {index}"))?;
        }
        Ok(())
    }

    fn check_step(&self, step: &Step) -> Result<()> {
        let program = |name: &str| name == MAIN || self.programs.contains_key(name);
        match &step.action {
            Action::Call(call) if !program(&call.program) => {
                bail!("no program {:?}", call.program)
            }
            Action::Call(call) if call.until && call.background.is_some() => {
                bail!("either until or in the background")
            }
            Action::Repeat(_, steps) => self.check_steps(steps),
            Action::Control(control, name) => {
                let known = match control {
                    Control::Cut | Control::Break | Control::Heal => {
                        self.proxies.contains_key(name)
                    }
                    Control::Exit => program(name),
                    Control::Kill => self.servers.contains_key(name) || program(name),
                    _ => self.servers.contains_key(name),
                };
                if !known {
                    bail!("{control:?}: {name:?} is none of this scenario's own");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        other => bail!("{other} is no object"),
    }
}

fn optional_object(map: &mut Map<String, Value>, key: &str) -> Result<Map<String, Value>> {
    map.remove(key).map_or_else(|| Ok(Map::new()), object)
}

fn array(map: &mut Map<String, Value>, key: &str) -> Result<Vec<Value>> {
    match map.remove(key) {
        Some(Value::Array(values)) => Ok(values),
        _ => bail!("{key:?} must be a list"),
    }
}

fn text(map: &mut Map<String, Value>, key: &str) -> Result<Option<String>> {
    match map.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => bail!("{key}: {other} is no text"),
    }
}

fn nothing_left(map: &Map<String, Value>) -> Result<()> {
    match map.keys().next() {
        None => Ok(()),
        Some(key) => bail!("nobody knows what {key:?} is for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Scenario> {
        let file = format!(r#"{{"scenarios": [{text}]}}"#);
        Ok(read_file("topic", &file)?.remove(0))
    }

    #[test]
    fn every_scenario_of_the_repository_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
        let scenarios = read_all(&folder).unwrap();
        assert!(scenarios.len() >= 40, "{}", scenarios.len());
        assert!(scenarios.iter().all(|scenario| !scenario.steps.is_empty()));
    }

    #[test]
    fn clients_are_opened_first_and_needs_are_counted() {
        let scenario = one(r#"{
            "name": "a", "says": "b", "clients": {"c": {"algorithm": "maglev"}},
            "programs": {"other": {"language": "rust"}},
            "steps": [
                {"call": "put", "client": "c", "key": "k", "value": "v"},
                {"call": "range", "program": "other", "client": "c", "prefix": ""},
                {"repeat": 2, "steps": [{"cancel": "x"}]}
            ]}"#)
        .unwrap();
        assert_eq!(scenario.name, "topic/a");
        let Action::Call(open) = &scenario.steps[0].action else {
            panic!("{:?}", scenario.steps[0]);
        };
        assert_eq!(open.op, "open");
        assert_eq!(open.arguments["endpoints"], serde_json::json!(["$server"]));
        let needs = scenario.needs();
        for need in ["open.algorithm", "put.key", "cancel"] {
            assert!(needs.contains(need), "{need}");
        }
        assert!(!needs.contains("range"));
    }

    #[test]
    fn what_can_only_be_a_mistake_is_refused() {
        for (wrong, why) in [
            (r#"{"name": "a", "steps": []}"#, "say"),
            (
                r#"{"name": "a", "says": "b", "steps": [{}]}"#,
                "does nothing",
            ),
            (
                r#"{"name": "a", "says": "b", "steps": [], "x": 1}"#,
                "\"x\"",
            ),
            (
                r#"{"name": "a", "says": "b", "steps": [{"kill": "server"}]}"#,
                "own",
            ),
            (
                r#"{"name": "a", "says": "b", "steps": [{"await": "a", "call": 1}]}"#,
                "no text",
            ),
            (
                r#"{"name": "a", "says": "b", "steps": [{"call": "x", "program": "p"}]}"#,
                "no program",
            ),
        ] {
            let error = format!("{:#}", one(wrong).unwrap_err());
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
