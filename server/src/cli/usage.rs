//! A wrong command line, told in one line: what is wrong, what was probably meant, where to read.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Exit, Failure};

/// Prints what clap has to say: help and version on stdout, a mistake as one line on stderr.
pub(super) fn report(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is the reader's choice.
            drop(error.print());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            drop(error.print());
            ExitCode::from(Exit::Usage as u8)
        }
        _ => Failure::new(Exit::Usage, one_line(error)).report(),
    }
}

fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    // The first paragraph says what is wrong; usage and tips follow.
    let paragraph: Vec<&str> = rendered
        .lines()
        .take_while(|line| !line.is_empty())
        .collect();
    let mut line = paragraph.join(" ");
    if let Some(bare) = line.strip_prefix("error: ") {
        line = bare.to_owned();
    }
    let suggested = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ]
    .into_iter()
    .find_map(|kind| suggestion(error.get(kind)?));
    if let Some(name) = suggested {
        line.push_str(&format!("; did you mean '{name}'?"));
    }
    line.push_str(" (see 'quorate --help')");
    line
}

fn suggestion(value: &ContextValue) -> Option<&str> {
    match value {
        ContextValue::String(name) => Some(name),
        // The likeliest comes last.
        ContextValue::Strings(names) => names.last().map(String::as_str),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::CommandLine;
    use super::*;

    fn told(line: &[&str]) -> String {
        one_line(&CommandLine::try_parse_from(line).unwrap_err())
    }

    #[test]
    fn a_mistyped_flag_is_one_line_with_a_suggestion() {
        let line = told(&["quorate", "serve", "--lisen-client", "x"]);
        assert!(line.contains("'--lisen-client'"), "{line}");
        assert!(line.contains("did you mean '--listen-client'"), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }

    #[test]
    fn a_wrong_value_names_the_flag_and_what_is_expected() {
        let line = told(&["quorate", "serve", "--listen-client", "2379"]);
        assert!(line.contains("--listen-client"), "{line}");
        assert!(line.contains("HOST:PORT"), "{line}");
    }

    #[test]
    fn a_mistyped_command_gets_a_suggestion() {
        let line = told(&["quorate", "serv"]);
        assert!(line.contains("did you mean 'serve'"), "{line}");
    }
}
