//! What a run shows: a table of scenario × language, and everything about what failed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How one scenario came out in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Ok(Duration),
    /// Not so: everything about it.
    Failed(String),
    /// The language cannot play it: why.
    Lacking(String),
    /// Not begun, because something had failed before.
    NotPlayed,
}

/// All verdicts.
#[derive(Clone, Debug, Default)]
pub struct Report {
    languages: Vec<String>,
    scenarios: Vec<String>,
    verdicts: BTreeMap<(String, String), Verdict>,
    /// Languages that could not be played at all, and why.
    pub absent: BTreeMap<String, String>,
}

impl Report {
    /// An empty table.
    #[must_use]
    pub fn new(languages: Vec<String>, scenarios: Vec<String>) -> Self {
        Self {
            languages,
            scenarios,
            ..Self::default()
        }
    }

    /// Writes a verdict down. One that failed stays so, however often it is played again.
    pub fn set(&mut self, scenario: &str, language: &str, verdict: Verdict) {
        let key = (scenario.to_owned(), language.to_owned());
        let kept = self.verdicts.entry(key).or_insert(Verdict::NotPlayed);
        if !matches!(kept, Verdict::Failed(_)) {
            *kept = verdict;
        }
    }

    /// How many verdicts there are of a kind.
    pub fn count(&self, of: impl Fn(&Verdict) -> bool) -> usize {
        self.verdicts.values().filter(|verdict| of(verdict)).count()
    }

    /// How many failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    /// The table, the reasons, and what failed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let names = self.scenarios.iter().map(String::len);
        let width = names.max().unwrap_or(0).max("scenario".len());
        let mut row = |name: &str, cells: Vec<String>| {
            let mut line = format!("{name:width$}");
            for (language, cell) in self.languages.iter().zip(cells) {
                let width = language.len().max("FAILED".len());
                // Writing to a text cannot fail.
                let _ = write!(line, "  {cell:width$}");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        };
        row("scenario", self.languages.clone());
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for scenario in &self.scenarios {
            let cell = |language: &String| {
                let absent = self.absent.contains_key(language);
                match self.verdicts.get(&(scenario.clone(), language.clone())) {
                    _ if absent => "–",
                    Some(Verdict::Ok(_)) => "ok",
                    Some(Verdict::Failed(_)) => "FAILED",
                    Some(Verdict::Lacking(_)) => "–",
                    Some(Verdict::NotPlayed) | None => "not played",
                }
                .to_owned()
            };
            row(scenario, self.languages.iter().map(cell).collect());
            for language in &self.languages {
                let key = (scenario.clone(), language.clone());
                if let Some(Verdict::Lacking(why)) = self.verdicts.get(&key) {
                    let reason = format!("{language}: {why}");
                    reasons.entry(reason).or_default().push(scenario.clone());
                }
            }
        }
        for (language, why) in &self.absent {
            let _ = writeln!(text, "– {language}: {why}");
        }
        for (reason, scenarios) in reasons {
            let _ = writeln!(text, "– {reason} ({})", scenarios.join(", "));
        }
        for scenario in &self.scenarios {
            for language in &self.languages {
                let key = (scenario.clone(), language.clone());
                if let Some(Verdict::Failed(why)) = self.verdicts.get(&key) {
                    let _ = writeln!(text, "\n==== {scenario} in {language}\n{why}");
                }
            }
        }
        text
    }

    /// The slowest scenarios, for who wants the run shorter.
    #[must_use]
    pub fn slowest(&self, count: usize) -> String {
        let taken = self.verdicts.iter().filter_map(|(key, verdict)| {
            let Verdict::Ok(took) = verdict else {
                return None;
            };
            Some((*took, key))
        });
        let mut taken: Vec<_> = taken.collect();
        taken.sort();
        let lines = taken.iter().rev().take(count).map(|(took, key)| {
            let seconds = took.as_secs_f64();
            format!("{seconds:6.1} s  {} in {}\n", key.0, key.1)
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_everything() {
        let languages = ["rust", "c", "node"].map(str::to_owned).to_vec();
        let scenarios = ["a/one", "a/two"].map(str::to_owned).to_vec();
        let mut report = Report::new(languages, scenarios);
        let second = Duration::from_secs(1);
        report.set("a/one", "rust", Verdict::Ok(second));
        report.set("a/two", "rust", Verdict::Failed("because".into()));
        report.set("a/one", "c", Verdict::Lacking("cancel".into()));
        report.set("a/two", "c", Verdict::Ok(second * 2));
        let absent = "not built: run `make node`".to_owned();
        report.absent.insert("node".into(), absent);
        assert_eq!(report.failed(), 1);
        let expected = "\
scenario  rust    c       node
a/one     ok      –       –
a/two     FAILED  ok      –
– node: not built: run `make node`
– c: cancel (a/one)

==== a/two in rust
because
";
        assert_eq!(report.text(), expected);
        assert!(report.slowest(1).contains("a/two in c"));
    }
}
