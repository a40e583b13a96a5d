use super::*;

fn load(toml: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = toml.map(|text| {
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Config::from_sources(None, environment, file).map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_defaults() {
    let config = load(Some("registry = 'http://localhost:1'\nregistry_port = 1\nagent_ports = 9000"), &[("GANTRY_REGISTRY_PORT", "2")]);
    let config = config.unwrap();
    assert_eq!(config.registry.as_deref(), Some("http://localhost:1"));
    assert_eq!(config.registry_port, 2);
    assert_eq!(config.agent_ports, AgentPorts([9000, 9001, 9002, 9003, 9004, 9005]));
    assert_eq!(config.host, Config::default().host);
}

#[test]
fn how_agents_are_called() {
    let toml = "agent_choice = 'round_robin'\nagent_failover = false\ncalls_per_agent_max = 7\n[breaker]\nfailures = 2\npause = '500ms'";
    let environment = [("GANTRY_CALLS_MAX", "9"), ("GANTRY_CALLS_PER_AGENT_MAX", "8"), ("GANTRY_AGENT_CHOICE", "least_busy")];
    let config = load(Some(toml), &environment).unwrap();
    assert_eq!((config.agent_choice, config.agent_failover), (Choice::LeastBusy, false));
    assert_eq!((config.calls_per_agent_max.get(), config.calls_max.map(NonZeroUsize::get)), (8, Some(9)));
    assert_eq!((config.breaker.failures.get(), config.breaker.pause), (2, Duration::from_millis(500)));
    let defaults = Config::default();
    assert_eq!((defaults.agent_choice, defaults.agent_failover, defaults.calls_max), (Choice::First, true, None));
    assert_eq!(defaults.calls_per_agent_max.get(), limits::CALLS_PER_AGENT_MAX);
    assert_eq!((defaults.keep_runs_for, defaults.keep_runs_max), (limits::RUN_AGE_MAX, limits::RUNS_KEPT_MAX));
    for (toml, environment, expected) in [
        (Some("calls_max = 0"), ("", ""), "DIR/config.toml: calls_max: expected a number of at least 1"),
        (None, ("GANTRY_CALLS_PER_AGENT_MAX", "0"), "environment variable GANTRY_CALLS_PER_AGENT_MAX: expected a number of at least 1"),
        (None, ("GANTRY_AGENT_CHOICE", "best"), "environment variable GANTRY_AGENT_CHOICE: "),
        (None, ("GANTRY_AGENT_FAILOVER", "maybe"), "environment variable GANTRY_AGENT_FAILOVER: expected true or false"),
        (Some("[breaker]\nfailure_rate = 2.0"), ("", ""), "DIR/config.toml: breaker.failure_rate: expected a share of more than 0"),
        (Some("[breaker]\npause = 0"), ("", ""), "DIR/config.toml: breaker.pause: expected a duration that is not 0"),
        (Some("[breaker]\nfailure = 2"), ("", ""), "DIR/config.toml: there is no setting `failure`; did you mean `failures`?"),
    ] {
        let error = load(toml, &[environment]).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn text_in_the_environment_stays_text() {
    let environment = [("GANTRY_MODEL_API_KEY", "007"), ("GANTRY_DATA_DIR", "12"), ("GANTRY_AGENT_PORTS", "0")];
    let config = load(None, &environment).unwrap();
    assert_eq!(config.model_api_key, Some(Secret::new("007")));
    assert_eq!(config.data_dir, Some(PathBuf::from("12")));
    assert_eq!(config.agent_ports, AgentPorts([0; 6]));
}

#[test]
fn a_providers_own_variable_gives_the_key() {
    let keys = [("OPENAI_API_KEY", "o"), ("ANTHROPIC_API_KEY", "a")];
    for (model, expected) in [("openai:m", Some("o")), ("anthropic:m", Some("a")), ("ollama:m", None), ("command:x", None)] {
        let environment: Vec<_> = keys.into_iter().chain([("GANTRY_MODEL", model)]).collect();
        assert_eq!(load(None, &environment).unwrap().model_api_key, expected.map(Secret::new), "{model}");
    }
    let both = [("GANTRY_MODEL", "openai:m"), ("OPENAI_API_KEY", "o"), ("GANTRY_MODEL_API_KEY", "g")];
    assert_eq!(load(None, &both).unwrap().model_api_key, Some(Secret::new("g")));
}

#[test]
fn errors_name_file_or_variable_and_the_key() {
    for (toml, environment, expected) in [
        (Some("registry_port = 'x'"), ("", ""), "DIR/config.toml: registry_port: expected a number from 0 to 65535"),
        (Some("registri = 'x'"), ("", ""), "DIR/config.toml: there is no setting `registri`; did you mean `registry`?"),
        (Some("registry-prot = 1"), ("", ""), "DIR/config.toml: there is no setting `registry-prot`; did you mean `registry_port`?"),
        // Nothing is like it, though it begins as some do: all there are is told.
        (Some("registrations = 1"), ("", ""), "DIR/config.toml: there is no setting `registrations`; the settings are registry"),
        (Some("model_api_key = 12345"), ("", ""), "DIR/config.toml: model_api_key: expected a string"),
        (Some("allow_networks = ['10.0.0.0/99']"), ("", ""), "DIR/config.toml: allow_networks: `10.0.0.0/99` is not a network"),
        (None, ("GANTRY_ALLOW_NETWORKS", "10.0.0.0/8, x"), "environment variable GANTRY_ALLOW_NETWORKS: `x` is not a network"),
        (Some("[agent_credentials]\n'a:1' = 12345"), ("", ""), "DIR/config.toml: agent_credentials.a:1: expected a string"),
        (Some("agent_ports = [1, 2]"), ("", ""), "DIR/config.toml: agent_ports: expected one port, six ports, or 0"),
        (None, ("GANTRY_REGISTRY_PORT", "70000"), "environment variable GANTRY_REGISTRY_PORT: expected a number from 0 to 65535"),
        (None, ("GANTRY_REGISTRI", "x"), "environment variable GANTRY_REGISTRI: there is no setting `registri`; did you mean `registry`?"),
        (None, ("GANTRY_LOG_FORMAT", "xml"), "environment variable GANTRY_LOG_FORMAT: expected text or json"),
        (Some("agent_choice = 'best'"), ("", ""), "DIR/config.toml: agent_choice: expected first, round_robin or least_busy"),
        (Some("data_dir = 3"), ("", ""), "DIR/config.toml: data_dir: expected a path"),
        (Some("server = 3"), ("", ""), "DIR/config.toml: server: expected a table of settings"),
        (Some("agent_credentials = 3"), ("", ""), "DIR/config.toml: agent_credentials: expected a table of settings"),
        (Some("allow_networks = 3"), ("", ""), "DIR/config.toml: allow_networks: expected networks"),
    ] {
        let error = load(toml, &[environment]).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("``"), "quotes in quotes: {error}");
    }
    let error = load(Some("registry = 'a\nx"), &[]).unwrap_err();
    assert!(error.contains("DIR/config.toml"), "{error}");
    let missing = Config::from_sources(Some(Path::new("/nonexistent/gantry.toml")), std::iter::empty(), None).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/gantry.toml"), "{missing}");
}

#[test]
fn runs_are_kept_with_the_state_of_programs_unless_an_earlier_gantry_has_begun_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let (state, data) = (home.path().join("state"), home.path().join("data"));
    let chosen = || default_data_dir(Some(state.clone()), &data);
    assert_eq!(chosen(), state.join("gantry"));
    std::fs::create_dir_all(data.join("gantry")).unwrap();
    assert_eq!(chosen(), data.join("gantry"));
    std::fs::create_dir_all(state.join("gantry")).unwrap();
    assert_eq!(chosen(), state.join("gantry"), "once something is there, it stays there");
    assert_eq!(default_data_dir(None, &data), data.join("gantry"), "a platform without such a place");
    let config = Config { data_dir: Some(PathBuf::from("mine")), ..Config::default() };
    assert_eq!(config.data_dir(), Some(PathBuf::from("mine")));
}

#[test]
fn secrets_do_not_show() {
    let config = load(None, &[("GANTRY_MODEL_API_KEY", "sk-canary")]).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    for toml in ["registry_port = 'sk-canary'", "log_format = 'sk-canary'", "agent_choice = 'sk-canary'"] {
        let error = load(Some(toml), &[]).unwrap_err();
        assert!(!error.contains("canary"), "{error}");
    }
}
