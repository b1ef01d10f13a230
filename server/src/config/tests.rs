use clap::{CommandFactory, Parser};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: ServeArguments,
}

fn arguments(line: &[&str]) -> ServeArguments {
    let line = std::iter::once("serve").chain(line.iter().copied());
    Line::try_parse_from(line).unwrap().arguments
}

fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

#[test]
fn nothing_said_gives_the_defaults() {
    let config = Config::resolve(ServeArguments::default()).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("./quorate.data"));
    assert_eq!(config.listen_client[0].as_str(), "127.0.0.1:2379");
    assert_eq!(config.listen_peer.as_str(), "127.0.0.1:2380");
    assert_eq!(config.max_request_bytes, 1_572_864);
    assert!(config.client_threads >= 1);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let (_file, path) = file(
        "name = \"from-file\"\nlisten-client = [\"127.0.0.1:1\", \"[::1]:2\"]\n\
         registry-warm-up = \"2s\"\nmax-connections = 7\nlog-format = \"json\"",
    );
    let config = Config::resolve(arguments(&["--config", &path, "--name", "from-flag"])).unwrap();
    assert_eq!(config.name, "from-flag");
    assert_eq!(config.listen_client.len(), 2);
    assert_eq!(config.registry_warm_up, Duration::from_secs(2));
    assert_eq!(config.max_connections, 7);
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.drain_timeout, Duration::from_secs(5));
}

#[test]
fn several_addresses_are_separated_by_commas() {
    let config =
        Config::resolve(arguments(&["--listen-client", "127.0.0.1:1,127.0.0.1:2"])).unwrap();
    assert_eq!(config.listen_client.len(), 2);
}

#[test]
fn a_missing_file_is_a_usage_failure_that_names_it() {
    let failure = Config::resolve(arguments(&["--config", "/nowhere/q.toml"])).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(failure.to_string().contains("/nowhere/q.toml"), "{failure}");
}

#[test]
fn values_that_cannot_work_are_refused() {
    for line in [
        ["--client-threads", "0"],
        ["--max-connections", "0"],
        ["--max-request-size", "1KiB"],
        ["--max-request-size", "1GiB"],
        ["--max-answer-size", "1KiB"],
        ["--max-answer-size", "2GiB"],
    ] {
        let failure = Config::resolve(arguments(&line)).unwrap_err();
        assert!(failure.to_string().contains(&line[0][2..]), "{failure}");
    }
}

#[test]
fn every_flag_has_an_environment_variable_named_after_it() {
    for argument in Line::command().get_arguments() {
        let Some(long) = argument.get_long().filter(|long| *long != "help") else {
            continue;
        };
        let expected = format!("QUORATE_{}", long.to_uppercase().replace('-', "_"));
        let env = argument.get_env().and_then(|env| env.to_str());
        assert_eq!(env, Some(expected.as_str()));
    }
}

#[test]
fn the_help_tells_the_defaults_as_they_are() {
    let config = Config::resolve(ServeArguments::default()).unwrap();
    let help = Line::command().render_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for value in [
        config.data_dir.display().to_string(),
        config.name,
        config.listen_client[0].as_str().to_owned(),
        config.listen_peer.as_str().to_owned(),
        format!("{:?}", config.registry_warm_up),
        format!("{:?}", config.drain_timeout),
        format!("{}KiB", config.max_request_bytes >> 10),
        format!("{}MiB", config.max_answer_bytes >> 20),
        config.max_connections.to_string(),
        config.log_level.to_string(),
        config.initial_cluster_token,
        "new".to_owned(),
    ] {
        assert!(help.contains(&format!("[default: {value}]")), "{value}");
    }
}
