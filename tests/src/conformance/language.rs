//! Which performers there are, and whether they are built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The order in tables; others follow by name.
const ORDER: [&str; 5] = ["rust", "python", "python-asyncio", "node", "c"];

/// Where things are, for the placeholders in a `performer.json`.
#[derive(Clone, Debug)]
pub struct Places {
    /// The repository.
    pub root: PathBuf,
    /// The folder of the debug build.
    pub target: PathBuf,
    /// The Python interpreter that has the binding.
    pub python: PathBuf,
}

/// One language's performer.
#[derive(Clone, Debug)]
pub struct Language {
    /// The folder's name.
    pub name: String,
    /// How it is started.
    pub command: Vec<String>,
    /// The file that is absent, and what builds it, if it is not built.
    pub not_built: Option<(PathBuf, String)>,
    /// Why it lacks what it lacks.
    pub reasons: BTreeMap<String, String>,
}

impl Places {
    /// All languages with a folder, in the order of tables.
    ///
    /// # Errors
    /// When a `performer.json` cannot be read.
    pub fn languages(&self) -> Result<Vec<Language>> {
        let folder = self.root.join("tests/conformance/performers");
        let mut languages = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let here = entry?.path();
            let description = here.join("performer.json");
            if description.is_file() {
                let read = self.language(&here, &description);
                languages.push(read.with_context(|| description.display().to_string())?);
            }
        }
        let place = |name: &str| ORDER.iter().position(|one| *one == name);
        languages.sort_by_key(|one: &Language| {
            (place(&one.name).unwrap_or(ORDER.len()), one.name.clone())
        });
        Ok(languages)
    }

    fn language(&self, here: &Path, description: &Path) -> Result<Language> {
        let value: Value = serde_json::from_str(&std::fs::read_to_string(description)?)?;
        let put_in = |text: &str| {
            [
                ("{here}", here),
                ("{root}", self.root.as_path()),
                ("{target}", self.target.as_path()),
                ("{python}", self.python.as_path()),
            ]
            .iter()
            .fold(text.to_owned(), |text, (name, path)| {
                text.replace(name, &path.to_string_lossy())
            })
        };
        let texts = |key: &str| -> Result<Vec<String>> {
            let list = value[key].as_array().with_context(|| key.to_owned())?;
            let texts = list.iter().map(|one| one.as_str().map(put_in));
            texts.collect::<Option<_>>().with_context(|| key.to_owned())
        };
        let command = texts("command")?;
        if command.is_empty() {
            bail!("the command is empty");
        }
        let mut needs = texts("needs")?.into_iter().map(PathBuf::from);
        let absent = needs.find(|path| !path.exists());
        let build = value["build"].as_str().context("build")?.to_owned();
        let mut reasons = BTreeMap::new();
        for (name, reason) in value["lacks"].as_object().into_iter().flatten() {
            let reason = reason.as_str().with_context(|| name.clone())?;
            reasons.insert(name.clone(), reason.to_owned());
        }
        Ok(Language {
            name: here
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            command,
            not_built: absent.map(|path| (path, build)),
            reasons,
        })
    }
}
