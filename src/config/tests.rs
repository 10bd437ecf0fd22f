//! The configuration as a whole: which layer wins, what is refused and in which words.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

/// What one test gives: flags, variables, the text of the file.
#[derive(Default)]
struct Given {
    flags: Vec<(&'static str, String)>,
    variables: HashMap<&'static str, String>,
    file: Option<String>,
}

impl Given {
    fn flag(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((name, value.into()));
        self
    }

    fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self
    }

    fn layers(&self, dir: &Path) -> Result<Layers, LayersError> {
        let mut flags: Flags = self
            .flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        if let Some(text) = &self.file {
            let path = dir.join("gaggle.toml");
            fs::write(&path, text).unwrap();
            flags.insert("config".to_owned(), path.display().to_string());
        }
        Layers::new(flags, &|name| self.variables.get(name).map(OsString::from))
    }

    fn member(&self) -> (Config, Vec<InForce>) {
        let dir = tempfile::tempdir().unwrap();
        Config::check(&self.layers(dir.path()).unwrap()).unwrap()
    }

    fn client(&self) -> ClientConfig {
        let dir = tempfile::tempdir().unwrap();
        ClientConfig::check(&self.layers(dir.path()).unwrap())
            .unwrap()
            .0
    }

    /// The refusals of a member's and a client's configuration, as text.
    fn refusal(&self) -> String {
        let dir = tempfile::tempdir().unwrap();
        let layers = self.layers(dir.path()).unwrap();
        let member = Config::check(&layers).err().map(|why| why.to_string());
        let client = ClientConfig::check(&layers)
            .err()
            .map(|why| why.to_string());
        [member, client].into_iter().flatten().collect()
    }
}

fn source_of(in_force: &[InForce], name: &str) -> String {
    let found = in_force.iter().find(|item| item.setting.name == name);
    found.unwrap().source.to_string()
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let given = Given::default();
    let (config, in_force) = given.member();
    assert_eq!(config.fanout, 8);
    assert_eq!(source_of(&in_force, "fanout"), "default");

    let given = given.file("fanout = 2\nname = 'from-file'");
    let (config, in_force) = given.member();
    assert_eq!((config.fanout, config.name.as_str()), (2, "from-file"));
    assert!(source_of(&in_force, "fanout").ends_with("gaggle.toml"));

    let given = given.variable("GAGGLE_FANOUT", "3");
    let (config, in_force) = given.member();
    assert_eq!(config.fanout, 3);
    assert_eq!(source_of(&in_force, "fanout"), "variable GAGGLE_FANOUT");

    let (config, in_force) = given.flag("fanout", "4").member();
    assert_eq!((config.fanout, config.name.as_str()), (4, "from-file"));
    assert_eq!(source_of(&in_force, "fanout"), "flag --fanout");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let (config, _) = Given::default()
        .variable("GAGGLE_SECRET", "")
        .variable("GAGGLE_FANOUT", "")
        .member();
    assert!(config.secret.is_none());
    assert_eq!(config.fanout, 8);
}

#[test]
fn every_default_is_a_value_that_would_be_taken() {
    let (config, in_force) = Given::default().member();
    assert_eq!(config.cluster.as_str(), "gaggle");
    assert_eq!(config.data.path(), Path::new("./gaggle-data"));
    assert_eq!(config.listen.to_string(), "[::]:8000");
    assert_eq!(config.discover.to_string(), "multicast");
    assert_eq!(config.discovery_port, 2900);
    assert_eq!(config.limits.value_bytes, 1 << 20);
    assert_eq!(config.limits.body_bytes, 16 << 20);
    assert_eq!(config.limits.keys, 10_000_000);
    assert_eq!(config.max_clock_skew, Duration::from_secs(10));
    assert_eq!(config.stop_timeout, Duration::from_secs(10));
    assert_eq!(config.log_format, LogFormat::Text);
    assert!(!config.name.is_empty());
    assert!(config.secret.is_none() && config.password.is_none());
    let sources: Vec<_> = in_force.iter().map(|item| &item.source).collect();
    assert!(sources.iter().all(|source| **source == Source::Default));
}

#[test]
fn a_setting_of_the_member_is_in_force_and_each_example_would_be_taken() {
    for setting in settings::SETTINGS {
        if !setting.is_of_member() || matches!(setting.name, "config" | "tls-cert" | "tls-key") {
            continue;
        }
        let (_, in_force) = Given::default()
            .flag(setting.name, setting.example)
            .member();
        let source = source_of(&in_force, setting.name);
        assert_eq!(source, format!("flag --{}", setting.name));
    }
    for setting in settings::SETTINGS {
        if setting.is_of_client() && setting.name != "config" {
            Given::default()
                .flag(setting.name, setting.example)
                .client();
        }
    }
}

#[test]
fn a_secret_may_be_in_a_file_and_a_flag_wins_over_a_variable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "from a file\r\n").unwrap();
    let path = path.display().to_string();
    let revealed = |given: Given| given.member().0.secret.unwrap().reveal().to_owned();

    let by_variable = Given::default().variable("GAGGLE_SECRET_FILE", path.clone());
    assert_eq!(revealed(by_variable), "from a file");
    let by_flag = Given::default()
        .flag("secret-file", path.clone())
        .variable("GAGGLE_SECRET", "from a variable");
    assert_eq!(revealed(by_flag), "from a file");
    let by_text = Given::default()
        .flag("secret", "from a flag")
        .variable("GAGGLE_SECRET_FILE", path.clone());
    assert_eq!(revealed(by_text), "from a flag");
    let in_file = Given::default().file(&format!("secret-file = '{path}'"));
    assert_eq!(revealed(in_file), "from a file");
}

#[test]
fn no_secret_is_shown_by_what_is_in_force_nor_by_a_refusal() {
    let marker = "marker-5a7c9e";
    let given = Given::default()
        .variable("GAGGLE_SECRET", format!("{marker} is long enough"))
        .flag("password", marker);
    let (config, in_force) = given.member();
    let shown = format!("{config:?} {in_force:?}");
    assert!(!shown.contains(marker), "{shown}");
    assert!(shown.contains("(hidden)"));
    let layers = format!("{:?}", given.layers(Path::new("")).unwrap());
    assert!(!layers.contains(marker), "{layers}");
    let refused = Given::default()
        .flag("password", format!("{marker}\n"))
        .refusal();
    assert!(refused.contains("--password: there is a control character"));
    assert!(!refused.contains(marker), "{refused}");
}

/// Each is refused, and the refusal holds the text.
fn refused_with<const N: usize>(cases: [(Given, &str); N]) {
    for (given, part) in cases {
        let refused = given.refusal();
        assert!(refused.contains(part), "{part}\n{refused}");
    }
}

#[test]
fn what_is_refused_is_said_with_place_reason_range_and_example() {
    refused_with([
        (
            Given::default().flag("fanout", "many"),
            "--fanout is \"many\": not a whole number; allowed: a whole number from 1 to 64; \
             example: --fanout 8",
        ),
        (
            Given::default().variable("GAGGLE_FANOUT", "65"),
            "GAGGLE_FANOUT is \"65\": too large; allowed: a whole number from 1 to 64; \
             example: GAGGLE_FANOUT=8",
        ),
        (
            Given::default().flag("stop-timeout", "10"),
            "--stop-timeout is \"10\": a unit is missing (ms, s, m, h, d); allowed: a time span \
             from 100ms to 10m; example: --stop-timeout 10s",
        ),
        (
            Given::default().flag("max-value-bytes", "65MiB"),
            "--max-value-bytes is \"65MiB\": too large; allowed: a size from 1B to 64MiB; \
             example: --max-value-bytes 64k",
        ),
        (
            Given::default().flag("log-format", "xml"),
            "--log-format is \"xml\": no such choice; allowed: one of text, json; \
             example: --log-format json",
        ),
    ]);
    let in_file = Given::default().file("fanout = 0").refusal();
    assert!(in_file.contains("fanout in /"), "{in_file}");
    assert!(in_file.ends_with("example: fanout = \"8\""), "{in_file}");
}

#[test]
fn a_members_values_have_their_own_reasons() {
    let flag = |name, value: &str| Given::default().flag(name, value);
    refused_with([
        (flag("cluster", "a b"), "no cluster id"),
        (flag("name", ""), "there is nothing in it"),
        (flag("name", "a\nb"), "control character"),
        (flag("user", "a:b"), "a colon ends the name"),
        (flag("listen", "localhost"), "no address with a port"),
        (flag("advertise", "a:0"), "the port is no number"),
        (
            flag("interface", "eth0,,lo"),
            "\"\" is no name or address of an interface",
        ),
        (flag("discover", "dns:10.0.0.1"), "use static:"),
        (flag("discover", "broadcast"), "no way to find members"),
        (flag("log", "gaggle=loud"), "--log is \"gaggle=loud\""),
        (flag("tls-key", "x"), "it goes only together with tls-cert"),
        (flag("tls-cert", "x"), "it goes only together with tls-key"),
        (
            flag("max-body-bytes", "1k"),
            "a body must hold at least one value",
        ),
    ]);
}

#[test]
fn a_secrets_and_a_clients_values_have_their_own_reasons() {
    let flag = |name, value: &str| Given::default().flag(name, value);
    refused_with([
        (
            flag("secret-file", "/nowhere/at/all"),
            "--secret-file: /nowhere/at/all cannot be read",
        ),
        (
            Given::default().variable("GAGGLE_SECRET_FILE", "/nowhere"),
            "GAGGLE_SECRET_FILE: /nowhere cannot be read",
        ),
        (
            flag("secret", "x").flag("secret-file", "y"),
            "secret is given as text and as a file; give only one",
        ),
        (flag("secret", " "), "--secret: there is nothing in it"),
        (flag("server", "http://a"), "only https://"),
        (flag("server", "https://u:p@a"), "go into --user"),
        (
            flag("server", "https://a/v1"),
            "more than a host and a port",
        ),
        (flag("server", "a,,b"), "in \"\": no host name"),
        (flag("output", "xml"), "table, json, yaml, raw"),
        (flag("timeout", "1ms"), "too small"),
    ]);
}

#[test]
fn all_refusals_are_told_at_once() {
    let refused = Given::default()
        .flag("fanout", "0")
        .variable("GAGGLE_LISTEN", "x")
        .refusal();
    assert_eq!(refused.lines().count(), 2, "{refused}");
}

#[test]
fn a_configuration_file_that_is_not_there_is_an_error() {
    let flags = Flags::from([("config".to_owned(), "/nowhere/gaggle.toml".to_owned())]);
    let why = Layers::new(flags, &|_| None).unwrap_err().to_string();
    assert!(why.contains("/nowhere/gaggle.toml cannot be read"), "{why}");
    assert!(why.contains("check --config"), "{why}");
}

#[test]
fn a_client_finds_the_member_of_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::new(dir.path());
    let here = || Given::default().flag("data", dir.path().display().to_string());
    assert_eq!(here().client().servers, ["localhost:8000".parse().unwrap()]);

    data.write_password("p").unwrap();
    data.write_ca("pem").unwrap();
    let member = MemberFile {
        id: crate::model::MemberId::from_u64(1),
        name: "a".to_owned(),
        cluster: "prod".parse().unwrap(),
        pid: 1,
        listen: "127.0.0.1:4711".parse().unwrap(),
        map: None,
        discovery_port: Some(2900),
        interfaces: Vec::new(),
        own_certificate: None,
        version: "0".to_owned(),
    };
    data.write_member(&member).unwrap();
    let found = here().client();
    assert_eq!(found.servers, ["127.0.0.1:4711".parse().unwrap()]);
    assert_eq!(found.cluster.as_str(), "prod");
    assert_eq!(found.ca, Some(data.ca_file()));
    assert_eq!(found.password, Some(Hidden::new("p")));

    let told = here()
        .flag("cluster", "test")
        .flag("password", "q")
        .client();
    assert_eq!(told.cluster.as_str(), "test");
    assert_eq!(told.password, Some(Hidden::new("q")));
}

#[test]
fn the_password_of_the_member_here_is_not_sent_to_a_foreign_server() {
    let dir = tempfile::tempdir().unwrap();
    DataDir::new(dir.path()).write_password("p").unwrap();
    let here = || Given::default().flag("data", dir.path().display().to_string());
    let elsewhere = here().flag("server", "https://elsewhere.example");
    assert!(elsewhere.client().password.is_some());
    let elsewhere = here()
        .flag("server", "https://elsewhere.example")
        .flag("ca", "their-ca.pem");
    assert_eq!(elsewhere.client().password, None);
    let local = here().flag("ca", "own-ca.pem");
    assert!(local.client().password.is_some());
}

#[test]
fn servers_are_hosts_with_a_port_and_nothing_else() {
    let given = Given::default().flag("server", "a, https://b:1/,https://[::1]:2,10.0.0.1");
    let shown: Vec<_> = given
        .client()
        .servers
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "https://a:8000",
        "https://b:1",
        "https://[::1]:2",
        "https://10.0.0.1:8000",
    ];
    assert_eq!(shown, expected);
}
