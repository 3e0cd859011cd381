//! The whole way: files, environment and options in, a configuration or all its problems out.

use std::path::{Path, PathBuf};

use daybook_core::money::Money;
use secrecy::ExposeSecret;

use super::*;

/// A folder with a configuration file, and an environment of its own.
struct Case {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn new(file: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daybook.yaml");
        std::fs::write(&path, file).unwrap();
        let sources = Sources::new(Some(path), Environment::default());
        Self { folder, sources }
    }

    fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.sources = Sources::new(Some(self.path("daybook.yaml")), variables.iter().copied().collect());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Configuration {
        load(&self.sources).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The problems, a line each, with the folder left out.
    fn problems(&self) -> Vec<String> {
        let text = load(&self.sources).expect_err("it is wrong").to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "").lines().map(str::to_owned).collect()
    }
}

#[test]
fn without_a_file_the_defaults_stand() {
    let configuration = load(&Sources::default()).unwrap();
    assert_eq!(configuration.settings.risk.max_daily_loss, Money::whole(2_000));
    assert_eq!(configuration.settings.calendar().name(), "XNYS");
}

#[test]
fn what_can_be_used_of_a_configuration_is_there_for_who_has_to_look_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.yaml");
    let of = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let (configuration, unusable) = load_usable(&Sources::new(Some(file.clone()), Environment::default())).unwrap();
        let settings = configuration.settings;
        (settings.ledger.path, settings.risk.max_daily_loss, unusable.map(|error| error.to_string()))
    };
    let sound = "ledger: {path: mine.db}\nrisk: {max_daily_loss: 1500}\n";
    assert_eq!(of(sound), ("mine.db".into(), Money::whole(1_500), None));
    let (path, loss, unusable) = of(&format!("{sound}alpaca: {{secret_key: {{credential: alpaca}}}}\n"));
    assert_eq!((path, loss), ("mine.db".into(), Money::whole(1_500)));
    assert!(unusable.is_some_and(|error| error.contains("alpaca.secret_key")));
    let (path, loss, unusable) = of(&format!("{sound}risk: {{max_positions: 3\n"));
    assert_eq!((path, loss), ("data/ledger.db".into(), Money::whole(2_000)));
    assert!(unusable.is_some_and(|error| error.contains("not YAML")));
    let nowhere = Sources::new(Some("no/such/file.yaml".into()), Environment::default());
    assert!(matches!(load_usable(&nowhere), Err(ConfigError::Missing { .. })));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let named = Sources::new(Some("no/such/file.yaml".into()), Environment::default());
    assert_eq!(
        load(&named).unwrap_err().to_string(),
        "no/such/file.yaml: there is no such file; name another, or write one with `trade init`"
    );
    // To open what is no regular file may wait for ever, as a pipe does.
    for strange in [std::env::temp_dir(), "/dev/null".into()] {
        let strange = Sources::new(Some(strange), Environment::default());
        assert!(matches!(load(&strange), Err(ConfigError::Unreadable { .. })));
    }
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let mut case = Case::new("ledger: {path: from-file.db}\nmarket: {simulated: {seed: 2}}\naccount: {name: filed}\n")
        .with_environment(&[
            ("DAYBOOK__LEDGER__PATH", "from-environment.db"),
            ("DAYBOOK__MARKET__SIMULATED__SEED", "3"),
            ("DAYBOOK__MARKET__FILES__BARS", "[a.csv, b.csv]"),
            ("DAYBOOKS", "of another program"),
        ]);
    case.sources = case.sources.with_option("--ledger", "ledger.path", "from-option.db");
    let configuration = case.load();
    let settings = &configuration.settings;
    assert_eq!(settings.ledger.path, Path::new("from-option.db"));
    assert_eq!(settings.market.simulated.seed, 3);
    assert_eq!(settings.market.files.bars, [Path::new("a.csv"), Path::new("b.csv")]);
    assert_eq!(settings.account.name, "filed");

    let origin = |key| configuration.origin(key).to_string().replace(&format!("{}/", case.folder.path().display()), "");
    assert_eq!(origin("ledger.path"), "option --ledger");
    assert_eq!(origin("market.simulated.seed"), "environment variable DAYBOOK__MARKET__SIMULATED__SEED");
    assert_eq!(origin("market.files.bars"), "environment variable DAYBOOK__MARKET__FILES__BARS");
    assert_eq!(origin("account.name"), "daybook.yaml:3:17");
    assert_eq!(origin("risk.max_daily_loss"), "built-in default");
    let rows = configuration.rows();
    assert!(rows.iter().any(|(key, value, _)| key == "risk.max_daily_loss" && value == "2000.00"), "{rows:?}");
}

#[test]
fn a_profile_is_laid_over_the_file_and_under_the_rest() {
    let mut case = Case::new("risk: {max_positions: 4, max_hold: 2h}\naccount: {name: filed}\n")
        .with_environment(&[("DAYBOOK_PROFILE", "calm"), ("DAYBOOK__RISK__MAX_HOLD", "1h")]);
    std::fs::create_dir(case.path("profiles")).unwrap();
    std::fs::write(case.path("profiles/calm.yaml"), "risk:\n  max_positions: 2\n  max_hold: 30m\nscan:\n").unwrap();
    let configuration = case.load();
    assert_eq!(configuration.settings.risk.max_positions, 2);
    assert_eq!(configuration.settings.risk.max_hold.to_string(), "1h");
    assert_eq!(configuration.settings.account.name, "filed");
    assert_eq!(configuration.profile, Some(case.path("profiles/calm.yaml")));
    let told = configuration.origin("risk.max_positions").to_string();
    assert!(told.ends_with("profiles/calm.yaml:2:18"), "{told}");

    std::fs::write(case.path("profiles/calm.yaml"), "risk: {max_position: 2}\nlogging: {level: inof}\n").unwrap();
    std::fs::write(case.path("daybook.yaml"), "risk: {max_hold: long}\n").unwrap();
    assert_eq!(
        case.problems(),
        [
            "profiles/calm.yaml:1:8: risk.max_position: unknown key; did you mean \"max_positions\"?",
            "profiles/calm.yaml:2:18: logging.level: is \"inof\"; expected off, error, warn, info, debug or trace, or \
             levels by module: warn,daybook=debug",
        ],
        "the environment has mended the file's own mistake"
    );
    case.sources = case.sources.with_profile(Some("clam".to_owned()));
    assert_eq!(case.problems(), ["there is no profile \"clam\" in profiles; expected calm; did you mean \"calm\"?"]);
    case.sources = case.sources.with_profile(Some("../daybook".to_owned()));
    assert!(case.problems()[0].starts_with("there is no profile \"../daybook\""));
}

#[test]
fn the_command_line_sets_any_key_and_no_secret() {
    let settings = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Setting>>();
    let mut case = Case::new("strategies: {opening_range_breakout: {stop: {atr: 1}}}")
        .with_environment(&[("DAYBOOK__RISK__MAX_POSITIONS", "4")]);
    let plain = case.sources.clone();
    case.sources = plain.clone().with_settings(&settings(&[
        "risk.max_positions=3",
        "alpaca.symbols=[AAPL, TRUE]",
        "strategies.opening_range_breakout.stop.percent=1%",
    ]));
    let configuration = case.load();
    assert_eq!(configuration.settings.risk.max_positions, 3);
    assert_eq!(configuration.settings.alpaca.symbols.len(), 2);
    assert_eq!(configuration.origin("risk.max_positions").to_string(), "option --setting risk.max_positions");

    case.sources = plain.with_settings(&settings(&["risk.max_positon=3", "alpaca.key_id=PK123", "alpaca.symbols=[A"]));
    let problems = case.problems();
    assert!(problems[0].starts_with("option --setting alpaca.symbols: alpaca.symbols: not YAML: unclosed bracket"));
    assert!(
        problems[1]
            .starts_with("option --setting alpaca.key_id: alpaca.key_id: a secret does not stand on the command line")
    );
    assert_eq!(
        problems[2],
        "option --setting risk.max_positon: risk.max_positon: unknown key; did you mean \"max_positions\"?"
    );
    assert!("max_positions".parse::<Setting>().is_err() && "risk..x=1".parse::<Setting>().is_err());
}

#[test]
fn a_content_is_checked_before_it_is_written() {
    let case = Case::new("");
    let sources = |content: &str| case.sources.clone().with_content("new.yaml", content);
    assert_eq!(load(&sources("account: {name: new}")).unwrap().settings.account.name, "new");
    let told = load(&sources("account: {name: ''}")).unwrap_err().to_string();
    assert!(told.starts_with("new.yaml:1:17: account.name: is \"\""), "{told}");
}

#[test]
fn what_cannot_be_read_hides_nothing_but_what_speaks_of_it() {
    let case = Case::new(
        "risk:\n  max_daily_loss: abc\n  warning_at: 120%\n  max_positions: 0\n  max_position_value: 90000\n  max_exposur: 100000\n",
    );
    let problems = case.problems();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.split(": ").nth(1).unwrap()).collect();
    // The exposure stands at its default, and is less than the new value of one position: that comes of the slip.
    assert_eq!(keys, ["risk.max_daily_loss", "risk.warning_at", "risk.max_positions", "risk.max_exposur"]);
}

#[test]
fn values_that_do_not_go_together_are_told() {
    let case = Case::new(
        "strategies:\n  opening_range_breakout:\n    stop: {atr: 4}\n    latest_entry: 7h\n    direction: both\n\
         risk:\n  min_session_left: 6h30m\nanalysis:\n  regime: {volatile_above: 5%}\n",
    );
    assert_eq!(
        case.problems(),
        [
            "daybook.yaml:3:11: strategies.opening_range_breakout.stop: is {atr: 4}: expected at most target ({atr: 3}): less can be earned than lost",
            "daybook.yaml:4:19: strategies.opening_range_breakout.latest_entry: is 7h: expected less than the session of XNYS, 6h30m",
            "daybook.yaml:5:16: strategies.opening_range_breakout.direction: is both, and execution.paper.allow_short is false: its shorts would be refused; expected long, or allow_short: true",
            "daybook.yaml:7:21: risk.min_session_left: is 6h30m: expected less than the session of XNYS, 6h30m",
            "daybook.yaml:9:28: analysis.regime.volatile_above: is 5%: expected more than quiet_below, 10%",
        ]
    );
    let round_the_clock =
        format!("exchange_calendar: 24/7\n{}", "strategies: {opening_range_breakout: {latest_entry: 7h}}");
    assert_eq!(Case::new(round_the_clock).load().settings.calendar().name(), "24/7");
}

#[test]
fn a_service_that_calls_needs_somebody_who_takes_the_call() {
    let slack = "notifications: {slack: {control: {enabled: true, users: [U1], signing_secret: '${SECRET}'}}}\n";
    let secret = [("SECRET", "8f742231b10e8888abcd99yyyzzz85a5")];
    let case = |api: &str| Case::new(format!("{slack}{api}")).with_environment(&secret);
    assert_eq!(
        case("").problems(),
        [
            "daybook.yaml:1:44: notifications.slack.control.enabled: is true, and api.listen is missing; expected an address that the service's calls are passed on to, such as api.listen: 127.0.0.1:8420"
        ]
    );
    let remote = case("api: {listen: '0.0.0.0:8420'}").problems();
    assert!(
        remote[0].starts_with("daybook.yaml:2:15: api.listen: is 0.0.0.0:8420, which other machines reach"),
        "{remote:?}"
    );
    let loaded = case("api: {listen: 127.0.0.1:8420}").load();
    assert_eq!(loaded.settings.api.address(), "127.0.0.1:8420".parse().ok());
    assert!(!format!("{:?} {:?}", loaded.settings, loaded.version).contains("8f742231"), "a secret");
}

#[test]
fn the_committed_schema_is_the_program_s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA_FILE);
    let printed = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &printed).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == printed, "{SCHEMA_FILE} is not what `trade config schema` prints: write it anew");
}

#[test]
fn an_option_may_set_a_list() {
    let mut case = Case::new("");
    case.sources = case.sources.with_option("--bars", "market.feed", "files").with_list_option(
        "--bars",
        "market.files.bars",
        vec!["one.csv".to_owned()],
    );
    assert_eq!(case.load().settings.market.files.bars, [Path::new("one.csv")]);
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let case = Case::new(
        "account:\n  name: My Account\nmarket:\n  feed: simulatd\nrisk:\n  max_dayly_loss: 5\n  max_positions: many\n\
         ledger:\n  backup: {keep: 0}\nscheduler:\n  heartbeat: 300\n  health_check: 0s\nlogging:\n  level: inof\n\
         max_positions: 3\n",
    )
    .with_environment(&[
        ("DAYBOOK__LEDGR__PATH", "x.db"),
        ("DAYBOOK__RISK__MAX_HOLDD", "3h"),
        ("DAYBOOK__RISK__MAX_EXPOSURE", "a lot"),
        ("DAYBOOK__", "x"),
    ]);
    insta::assert_snapshot!(case.problems().join("\n"));
}

#[test]
fn values_that_make_no_sense_are_told_where_they_stand() {
    let case = Case::new(
        "risk:\n  max_daily_loss: -5\n  max_position_value: 90000\nexchange_calendar: XLON\nmarket: {feed: files}\njobs_dir: nowhere\n",
    )
    .with_environment(&[("DAYBOOK__RISK__STOP_LOSS", "-2%")]);
    insta::assert_snapshot!(case.problems().join("\n"));
}

#[test]
fn references_to_the_environment_are_filled_in() {
    let case = Case::new(
        "account: {name: \"acct-${ACCOUNT}\"}\nmarket:\n  simulated:\n    seed: ${SEED}\nledger: {path: '$${x}'}\n",
    )
    .with_environment(&[("ACCOUNT", "7"), ("SEED", "42")]);
    let settings = case.load().settings;
    assert_eq!(settings.account.name, "acct-7");
    assert_eq!(settings.market.simulated.seed, 42);
    assert_eq!(settings.ledger.path, Path::new("${x}"));

    let case = Case::new("account: {name: '${ACCOUNT}'}\nledger: {path: '${'}\n");
    assert_eq!(
        case.problems(),
        [
            "daybook.yaml:1:17: account.name: the environment variable ACCOUNT is not set; set it, or remove the reference to it",
            "daybook.yaml:2:16: ledger.path: `${` begins no reference; expected ${NAME} with a name of A-Z, 0-9 and '_', or $${ for the two characters",
        ]
    );
}

#[test]
fn a_value_that_may_hold_a_secret_is_told_by_its_reference() {
    let file = "notifications:\n  webhook:\n    url: ${WHU}\n    headers: {X-Api-Key: \"Bearer ${KEY}\"}\n  \
                command: {run: [echo, -H, \"X-Key: ${KEY}\"]}\n  ntfy: {topic: \"${TOPIC}\", server: \"https://ntfy.example/${KEY}\"}\n\
                models: {chain: [{name: mine, command: [score, \"--key=${KEY}\"]}]}\nrisk:\n  max_positions: ${N}\n";
    let loaded = |key: &str, file: &str| {
        let variables = [("WHU", "https://h.example/hook"), ("KEY", key), ("TOPIC", "dbk-topic"), ("N", "3")];
        Case::new(file).with_environment(&variables).load()
    };
    let configuration = loaded("hunter2", file);
    let told = &configuration.settings.notifications;
    assert_eq!(told.webhook.headers["X-Api-Key"].value(), "Bearer hunter2");
    assert_eq!(told.command.run[2].value(), "X-Key: hunter2");
    assert_eq!(told.ntfy.server.value(), "https://ntfy.example/hunter2");
    assert_eq!(configuration.settings.models.chain[0].command[1].value(), "--key=hunter2");
    let everything_told = format!("{configuration:?}{:?}{}", configuration.rows(), configuration.version.body);
    assert!(!everything_told.contains("hunter2"), "{everything_told}");
    let row = |key: &str| configuration.rows().into_iter().find(|(of, _, _)| of == key).map(|(_, value, _)| value);
    assert_eq!(row("notifications.webhook.headers.X-Api-Key").as_deref(), Some("Bearer ${KEY}"));
    assert_eq!(row("notifications.command.run").as_deref(), Some(r#"["echo","-H","X-Key: ${KEY}"]"#));
    // A number decides: its value is kept.
    assert_eq!(row("risk.max_positions").as_deref(), Some("3"));

    assert_eq!(loaded("hunter3", file).version, configuration.version, "the told configuration is the same");
    let other = loaded("hunter2", &file.replace("X-Key: ${KEY}", "X-Other: ${KEY}"));
    assert_ne!(other.version.hash, configuration.version.hash);
    let told: Vec<String> =
        changes(&configuration.version.body, &other.version.body).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(told, [r#"notifications.command.run ["echo","-H","X-Key: ${KEY}"] -> ["echo","-H","X-Other: ${KEY}"]"#]);
    let again = Settings::from_version(&configuration.version.body).unwrap();
    assert_eq!(again.version().unwrap(), configuration.version, "it can be restored");
}

#[test]
fn a_header_is_given_by_reference() {
    let case = Case::new(
        "notifications:\n  webhook:\n    headers:\n      X-Api-Key: hunter2\n      X-Team: ${TEAM}\n      Content-Type: ${KEY}\n      \
         X Y: ${KEY}\n    url: ${WHU}\n",
    )
    .with_environment(&[("TEAM", "desk"), ("KEY", "hunter2"), ("WHU", "https://h.example/hook")]);
    let problems = case.problems().join("\n");
    assert!(!problems.contains("hunter2"), "{problems}");
    for told in [
        "daybook.yaml:4:18: notifications.webhook.headers.X-Api-Key: a header's value may be a secret, and does not stand in the file",
        "has \"Content-Type\", which is set by Daybook",
        "\"X Y\" and its value are no header",
    ] {
        assert!(problems.contains(told), "{told} in {problems}");
    }
    let mut case = Case::new("notifications: {webhook: {url: '${WHU}'}}").with_environment(&[
        ("WHU", "https://h.example/x"),
        ("DAYBOOK__NOTIFICATIONS__WEBHOOK__HEADERS", "{X-A: hunter2}"),
    ]);
    let configuration = case.load();
    assert_eq!(configuration.settings.notifications.webhook.headers["X-A"].value(), "hunter2");
    assert!(configuration.version.body.contains("${DAYBOOK__NOTIFICATIONS__WEBHOOK__HEADERS}"));
    case.sources = case.sources.with_settings(&["notifications.webhook.headers={X-A: hunter2}".parse().unwrap()]);
    assert!(case.problems()[0].contains("does not stand on the command line"));
}

#[test]
fn a_mistake_in_a_value_that_came_by_reference_does_not_repeat_it() {
    let case = Case::new(
        "account: {name: \"x ${KEY}\"}\nrisk: {max_positions: '${KEY}', stop_loss: '${KEY}', max_hold: '${SHORT}'}\n\
         market: {feed: '${KEY}'}\nalpaca: {symbols: ['${LONG}']}\nnotifications: {ntfy: {topic: '${KEY}', server: 'https://u:${KEY}@x'}}\n",
    )
    .with_environment(&[("KEY", "hunter2-hunter2"), ("SHORT", "3"), ("LONG", &"hunter2".repeat(20))]);
    let problems = case.problems();
    let told = problems.join("\n");
    assert!(problems.len() >= 6 && !told.contains("hunter2"), "{told}");
    assert!(
        told.contains("found \"${KEY}\"; expected a whole number") && told.contains("\"3\" is not a length of time"),
        "{told}"
    );
    assert!(told.contains("notifications.ntfy.server: has a name or a password before its host"), "{told}");
}

#[test]
fn files_that_are_named_are_looked_at_before_they_are_used() {
    let email =
        "notifications:\n  email: {host: h, from: a@b.example, to: [c@d.example], root_ca: CA}\n  templates: DIR\n";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let problems = |ca: &str, templates: &str| {
        let file = email.replace("CA", &path(ca)).replace("DIR", &path(templates));
        Case::new(file).problems().join("\n").replace(&format!("{}/", folder.path().display()), "")
    };
    std::fs::write(path("text.pem"), "no certificate").unwrap();
    std::fs::write(path("broken.pem"), "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n").unwrap();
    std::fs::create_dir(path("words")).unwrap();
    std::fs::write(path("words/order.fileld.txt"), "x").unwrap();
    let gone = problems("none.pem", "nowhere");
    assert!(gone.contains("daybook.yaml:2:67: notifications.email.root_ca: none.pem: cannot be read"), "{gone}");
    assert!(!gone.contains("templates"), "{gone}");
    let remarks = Case::new("notifications: {templates: nowhere}").load().remarks;
    assert!(remarks.len() == 1 && remarks[0].message.contains("there is no folder \"nowhere\""), "{remarks:?}");
    assert!(problems("text.pem", "words").ends_with("-----BEGIN CERTIFICATE-----"));
    assert!(problems("broken.pem", "words").contains("holds what is no certificate"));
    let remarks = Case::new(format!("notifications: {{templates: {}}}", path("words"))).load().remarks;
    assert!(remarks.len() == 1 && remarks[0].message.contains("did you mean \"order.filled\"?"), "{remarks:?}");
}

#[test]
fn a_variable_that_nothing_reads_is_remarked_upon() {
    let case = Case::new("").with_environment(&[
        ("DAYBOOK_RISK__MAX_POSITIONS", "1"),
        ("DAYBOOK_PROFIL", "calm"),
        ("DAYBOOK_SERVICE_HOST", "of Kubernetes"),
        ("DAYBOOK_WHATEVER", "1"),
    ]);
    let told: Vec<String> = case.load().remarks.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "environment variable DAYBOOK_PROFIL: nothing reads this variable; did you mean \"DAYBOOK_PROFILE\"?",
            "environment variable DAYBOOK_RISK__MAX_POSITIONS: nothing reads this variable; did you mean \"DAYBOOK__RISK__MAX_POSITIONS\"?",
            "environment variable DAYBOOK_WHATEVER: nothing reads this variable; expected DAYBOOK__SECTION__KEY, with two underscores",
        ]
    );
}

#[test]
fn what_was_meant_is_told_in_our_words() {
    let case = Case::new(
        "risk: {entry_order: limit, max_positions: !!int \"3\"}\nnotifications:\n  quiet_hours: {from: zzz, until: '07:00', zone: Mars/Base}\n\
         scheduler: {heartbeat_url: {file: URL}}\nbacktest: {flatten: 7h}\nexecution: {broker: alpaca}\n"
            .replace("URL", "/dev/null"),
    );
    let problems = case.problems();
    for told in [
        "daybook.yaml:1:21: risk.entry_order: found limit; expected market, or {limit: {offset: 0.1%}}",
        "daybook.yaml:3:23: notifications.quiet_hours.from: found zzz; expected a wall time such as 22:00, or null",
        "daybook.yaml:3:50: notifications.quiet_hours.zone: found Mars/Base; expected a time zone such as America/New_York or UTC",
        "daybook.yaml:5:21: backtest.flatten: is 7h: expected less than the session of XNYS, 6h30m",
        "daybook.yaml:6:21: alpaca.key_id: is missing; expected a reference such as ${ALPACA_KEY_ID}",
    ] {
        assert!(problems.iter().any(|problem| problem == told), "{told} in {problems:#?}");
    }
    let elsewhere = Case::new("schedule: {}\nbroker: x\nsession: y\n").problems();
    let all = || problems.iter().chain(&elsewhere);
    let of = |key: &str| all().find(|problem| problem.contains(&format!(": {key}: "))).unwrap();
    assert!(of("schedule").contains("the files of the jobs") && !of("schedule").contains("scheduler\""));
    assert!(of("broker").contains("execution.broker") && !of("session").contains("did you mean"));
    assert!(of("scheduler.heartbeat_url").contains("is no regular file"));
    let wrong =
        Case::new("scheduler: {heartbeat_url: '${PING}'}").with_environment(&[("PING", "http://ping.example/hunter2")]);
    let told = wrong.problems().concat();
    assert!(
        told.contains("scheduler.heartbeat_url: begins with http:// and leaves this machine")
            && !told.contains("hunter2")
    );
}

#[test]
fn a_secret_comes_by_reference_and_is_never_shown() {
    let hidden = "https://ping.example/hunter2";
    let file = Case::new("");
    std::fs::write(file.path("secret"), format!("{hidden}\n")).unwrap();
    let path = file.path("secret").display().to_string();
    let folder = file.folder.path().display().to_string();
    for (text, variables) in [
        ("scheduler: {heartbeat_url: '${PING}'}".to_owned(), vec![("PING", hidden)]),
        (format!("scheduler: {{heartbeat_url_file: {path}}}"), vec![]),
        (format!("scheduler: {{heartbeat_url: {{file: {path}}}}}"), vec![]),
        (
            "scheduler: {heartbeat_url: {credential: secret}}".to_owned(),
            vec![("CREDENTIALS_DIRECTORY", folder.as_str())],
        ),
        (String::new(), vec![("DAYBOOK__SCHEDULER__HEARTBEAT_URL", hidden)]),
        (String::new(), vec![("DAYBOOK__SCHEDULER__HEARTBEAT_URL_FILE", path.as_str())]),
    ] {
        let case = Case::new(&text).with_environment(&variables);
        let configuration = case.load();
        let secret = configuration.settings.scheduler.heartbeat_url.as_ref().map(|url| url.expose_secret().to_owned());
        assert_eq!(secret.as_deref(), Some(hidden), "{text}");
        let everything_shown = format!("{configuration:?}{:?}", configuration.rows());
        assert!(!everything_shown.contains("hunter2"), "{text}");
        assert!(
            configuration.rows().iter().any(|(key, value, _)| key == "scheduler.heartbeat_url" && value == "(secret)")
        );
        assert_eq!(configuration.version, Case::new("").load().version, "a secret is no part of the version");
    }
}

#[test]
fn a_secret_that_stands_in_the_file_or_is_not_there_is_refused_without_repeating_it() {
    let reference = "expected a reference such as ${SMTP_PASSWORD}, {file: /run/secrets/smtp} or {credential: smtp}";
    for (text, message) in [
        ("hunter2", format!("1:28: scheduler.heartbeat_url: a secret does not stand in the file; {reference}; if this one was real, replace it where it is used")),
        ("'${A}hunter2'", format!("1:28: scheduler.heartbeat_url: a secret does not stand in the file; {reference}; if this one was real, replace it where it is used")),
        ("'${PING}'", "1:28: scheduler.heartbeat_url: the environment variable PING is not set; set it, or remove the reference to it".to_owned()),
        ("{file: /no/such}", "1:28: scheduler.heartbeat_url: /no/such: cannot be read (No such file or directory (os error 2)); check the path and that this user may read it".to_owned()),
        ("{vault: x}", format!("1:28: scheduler.heartbeat_url: \"vault\" is no kind of reference; {reference}")),
        ("{credential: ../x}", "1:28: scheduler.heartbeat_url: expected the name of a credential, such as smtp, without '/'".to_owned()),
        ("{credential: x}", "1:28: scheduler.heartbeat_url: there are no credentials here; expected a systemd service with `LoadCredential=x:/path/of/the/file`".to_owned()),
        ("[hunter2]", format!("1:28: scheduler.heartbeat_url: found a list; {reference}")),
    ] {
        let case = Case::new(format!("scheduler: {{heartbeat_url: {text}}}"));
        assert_eq!(case.problems(), [format!("daybook.yaml:{message}")], "{text}");
    }
    let both = Case::new("scheduler: {heartbeat_url: '${A}', heartbeat_url_file: x}");
    assert_eq!(
        both.problems(),
        [
            "daybook.yaml:1:56: scheduler.heartbeat_url_file: the secret is given by this key and by the one without `_file`; keep one of the two"
        ]
    );
}

#[test]
fn the_password_of_the_mail_server_is_a_secret() {
    let case = Case::new(
        "notifications:\n  email:\n    host: smtp.example.com\n    username: me\n    password: ${SMTP_PASSWORD}\n    \
         from: Daybook <daybook@example.com>\n    to: [me@example.com]\n",
    )
    .with_environment(&[("SMTP_PASSWORD", "hunter2 # ${not} a reference")]);
    let configuration = case.load();
    let password = configuration.settings.notifications.email.password.as_ref().map(ExposeSecret::expose_secret);
    assert_eq!(password, Some("hunter2 # ${not} a reference"));
    assert!(!format!("{configuration:?}{:?}", configuration.rows()).contains("hunter2"));
    assert!(!configuration.version.body.contains("password"));
    assert_eq!(
        Case::new("notifications: {email: {host: smtp.example.com, username: me, to: [me]}}").problems(),
        [
            "daybook.yaml:1:24: notifications.email.password: is missing, and username is set; expected a reference such as ${SMTP_PASSWORD}",
            "daybook.yaml:1:24: notifications.email.from: is \"\"; expected an address, such as Daybook <daybook@example.com>",
            "daybook.yaml:1:67: notifications.email.to: is \"me\"; expected an address, such as Daybook <daybook@example.com>",
        ]
    );
}

#[test]
fn the_version_follows_the_content_alone() {
    let plain = Case::new("risk: {max_positions: 4}\naccount: {name: a}").load();
    let spelled = Case::new("# a comment\r\naccount:\r\n  name: \"a\"\r\nrisk: {\"max_positions\": 4}\r\n").load();
    let other = Case::new("risk: {max_positions: 3}\naccount: {name: a}").load();
    assert_eq!(plain.version, spelled.version);
    assert_ne!(plain.version.hash, other.version.hash);
    assert_eq!(plain.version.hash.len(), 64);
    let again = Settings::from_version(&plain.version.body).unwrap();
    assert_eq!(again.version().unwrap(), plain.version);
}

#[test]
fn files_that_are_no_configuration_are_refused_with_a_reason() {
    for (bytes, problem) in [
        (
            b"account:\n  name: caf\xe9\n".to_vec(),
            "daybook.yaml:2:12: is not UTF-8 from here on; save the file as UTF-8",
        ),
        (
            vec![b' '; 2_000_000],
            "daybook.yaml:1:1: is larger than 1048576 bytes; expected a configuration: is this the right file?",
        ),
        (
            "risk: {max_positions: 3}".encode_utf16().fold(vec![0xff, 0xfe], |mut bytes, unit| {
                bytes.extend(unit.to_le_bytes());
                bytes
            }),
            "daybook.yaml:1:1: is UTF-16; save the file as UTF-8",
        ),
        (b"SQLite format 3\0\x10\0".to_vec(), "daybook.yaml:1:"),
        (b"just text".to_vec(), "daybook.yaml:1:1: found just text; expected a mapping of keys to values"),
        (b"{\"account\": {\"name\": \"json\"}".to_vec(), "daybook.yaml:1:"),
    ] {
        let problems = Case::new(bytes).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(problem), "{problems:?}");
    }
    assert_eq!(Case::new("{\"account\": {\"name\": \"json\"}}").load().settings.account.name, "json");
}

/// The documented file, line by line: its keys with their paths, and whether the line has a comment.
fn documented_keys() -> Vec<(String, bool)> {
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut keys = Vec::new();
    for line in DOCUMENTED.lines() {
        let text = line.trim_start();
        let (Some((key, rest)), false) = (text.split_once(':'), text.starts_with('#')) else { continue };
        let indent = line.len() - text.len();
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key.to_owned()));
        let full: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
        keys.push((full.join("."), rest.contains(" # ")));
    }
    keys
}

#[test]
fn the_documented_file_says_what_the_defaults_say_and_explains_every_key() {
    let rows = |file: &str| Case::new(file).load().rows().into_iter().map(|(key, value, _)| (key, value)).collect();
    let (documented, built_in): (Vec<_>, Vec<_>) = (rows(DOCUMENTED), rows(""));
    let differing: Vec<_> =
        documented.iter().zip(&built_in).filter(|(documented, built_in)| documented != built_in).collect();
    assert_eq!(differing, [], "config/daybook.yaml, and what is built in");

    let keys = documented_keys();
    for (key, commented) in &keys {
        assert!(
            *commented
                || ["account", "market", "execution", "notifications", "ledger", "scheduler"].contains(&key.as_str()),
            "{key} has no comment"
        );
    }
    for key in super::load::known_keys() {
        let is_documented =
            keys.iter().any(|(documented, _)| key == *documented || key.starts_with(&format!("{documented}.")));
        let is_secret = DOCUMENTED.contains(&format!("# {}: ${{", key.rsplit('.').next().unwrap()));
        assert!(is_documented || is_secret, "{key} is not documented");
    }
}

#[test]
fn every_key_can_be_set_from_the_environment() {
    let documented = Case::new(DOCUMENTED).load();
    let variables: Vec<(String, String)> =
        documented.rows().into_iter().map(|(key, value, _)| (super::problem::variable_of(&key), value)).collect();
    assert!(variables.len() > 80);
    let case = Case::new("");
    let sources = Sources::new(Some(case.path("daybook.yaml")), variables.into_iter().collect());
    let configuration = load(&sources).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(configuration.version, documented.version);
}

mod torn_files {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// One slip: bytes at a place replaced by others.
    fn slips() -> impl Strategy<Value = Vec<(Index, usize, Vec<u8>)>> {
        let typed = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..4),
            prop::sample::select(vec![
                ":", "\t", "&a ", "*a", "[", "{", "}", "- ", "\"", "'", "|", "<<: ", "!!int ", "---\n", "%", "#", "\r",
                "${", "${X}", "-1", "1e999", "~", "?"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec((any::<Index>(), 0_usize..6, typed), 1..5)
    }

    fn torn(text: &str, slips: &[(Index, usize, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for (place, removed, typed) in slips {
            let start = place.index(bytes.len() + 1).min(bytes.len());
            let end = (start + removed).min(bytes.len());
            bytes.splice(start..end, typed.iter().copied());
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn a_file_with_slips_is_read_or_refused_with_places(slips in slips()) {
            let case = Case::new(torn(DOCUMENTED, &slips));
            match load(&case.sources) {
                Ok(configuration) => prop_assert!(configuration.settings.version().is_ok()),
                Err(ConfigError::Invalid { problems }) => {
                    prop_assert!(!problems.is_empty());
                    for problem in problems {
                        let placed = matches!(problem.origin, Origin::File { line: 1.., column: 1.., .. });
                        prop_assert!(placed && !problem.message.is_empty(), "{problem}");
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        #[test]
        fn a_job_with_slips_is_read_or_refused(slips in slips(), which in any::<Index>()) {
            let (name, text) = super::super::jobs::BUILT_IN[which.index(super::super::jobs::BUILT_IN.len())];
            let case = Case::new("");
            std::fs::write(case.path(&format!("{name}.yaml")), torn(text, &slips)).unwrap();
            std::fs::rename(case.path("daybook.yaml"), case.path("settings.txt")).unwrap();
            let sources = Sources::new(Some(case.path("settings.txt")), Environment::default())
                .with_option("--jobs", "jobs_dir", case.folder.path().display().to_string());
            if let Err(error) = load(&sources) {
                prop_assert!(matches!(error, ConfigError::Invalid { .. }), "{error}");
            }
        }

        #[test]
        fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let outcome = load(&Case::new(bytes).sources);
            let told = matches!(outcome, Ok(_) | Err(ConfigError::Invalid { .. }));
            prop_assert!(told);
        }
    }
}
