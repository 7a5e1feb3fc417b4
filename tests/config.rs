//! What an operator meets at the program's door: flags, environment and file, what each overrules,
//! and what is said when something is unknown, misspelt or impossible.

#![allow(clippy::unwrap_used, reason = "what is not as it should be fails the test")]

use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mailfly");

/// A run of the program with nothing in its environment but what is set here.
struct Run {
    command: Command,
    /// Kept for as long as the program may read it.
    _file: Option<tempfile::NamedTempFile>,
}

impl Run {
    fn new(flags: &[&str]) -> Self {
        // One that serves when it should complain fails the test, rather than holding it up.
        let mut command = Command::new("timeout");
        command.env_clear().args(["30", PROGRAM]).args(flags);
        Self { command, _file: None }
    }

    /// Under limits on descriptors.
    fn limited(soft: u32, hard: u32, flags: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        command.env_clear().args(["-c", &script, PROGRAM]).args(flags);
        Self { command, _file: None }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn file(mut self, text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        self.command.arg("--config").arg(file.path());
        Self { _file: Some(file), ..self }
    }

    /// What it prints, having ended well.
    #[track_caller]
    fn prints(mut self) -> String {
        let Output { status, stdout, stderr } = self.command.output().unwrap();
        let errors = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), &*errors), (Some(0), ""));
        String::from_utf8(stdout).unwrap()
    }

    /// What it complains of, having ended with `code` and printed nothing else.
    #[track_caller]
    fn complains(mut self, code: i32) -> String {
        let Output { status, stdout, stderr } = self.command.output().unwrap();
        let errors = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), &*stdout), (Some(code), &b""[..]), "{errors}");
        errors
    }
}

/// A key, and four values that it can have: by default, in a file, in the environment, as a flag.
struct Case {
    key: &'static str,
    /// As `--check` prints it; none where it depends on the machine.
    default: Option<&'static str>,
    /// As TOML has it.
    file: &'static str,
    variable: &'static str,
    flag: &'static str,
    /// What `--check` prints for the three of them.
    printed: [&'static str; 3],
}

const fn case(
    key: &'static str,
    default: Option<&'static str>,
    [file, variable, flag]: [&'static str; 3],
    printed: [&'static str; 3],
) -> Case {
    Case { key, default, file, variable, flag, printed }
}

const CASES: [Case; 32] = [
    case(
        "smtp",
        Some(r#"["127.0.0.1:1025"]"#),
        [r#"["127.0.0.1:1", "[::1]:2"]"#, "127.0.0.1:3,[::1]:4", "127.0.0.1:5"],
        [r#"["127.0.0.1:1", "[::1]:2"]"#, r#"["127.0.0.1:3", "[::1]:4"]"#, r#"["127.0.0.1:5"]"#],
    ),
    case(
        "http",
        Some(r#"["127.0.0.1:8025"]"#),
        [r#"["[::]:0"]"#, "127.0.0.1:3", "127.0.0.1:5,127.0.0.1:6"],
        [r#"["[::]:0"]"#, r#"["127.0.0.1:3"]"#, r#"["127.0.0.1:5", "127.0.0.1:6"]"#],
    ),
    case(
        "smtps",
        // None: an empty list, which the help calls none.
        None,
        [r#"["[::]:0"]"#, "127.0.0.1:3", "127.0.0.1:5,127.0.0.1:6"],
        [r#"["[::]:0"]"#, r#"["127.0.0.1:3"]"#, r#"["127.0.0.1:5", "127.0.0.1:6"]"#],
    ),
    case(
        "https",
        None,
        [r#"["[::]:0"]"#, "127.0.0.1:3", "127.0.0.1:5,127.0.0.1:6"],
        [r#"["[::]:0"]"#, r#"["127.0.0.1:3"]"#, r#"["127.0.0.1:5", "127.0.0.1:6"]"#],
    ),
    case(
        "tls-certificate",
        Some(r#""none""#),
        [r#""/file.pem""#, "/variable.pem", "/flag.pem"],
        [r#""/file.pem""#, r#""/variable.pem""#, r#""/flag.pem""#],
    ),
    // A key alone is an error.
    case("tls-key", Some(r#""none""#), [r#""none""#, "none", "none"], [r#""none""#; 3]),
    case("tls-connections", None, ["11", "12", "13"], ["11", "12", "13"]),
    case(
        "proxy-from",
        Some(r#"["none"]"#),
        [r#"["10.0.0.0/8"]"#, "192.0.2.1,::1", "none"],
        [r#"["10.0.0.0/8"]"#, r#"["192.0.2.1", "::1"]"#, r#"["none"]"#],
    ),
    case(
        "hostname",
        None,
        [r#""file.example""#, "variable.example", "flag.example"],
        [r#""file.example""#, r#""variable.example""#, r#""flag.example""#],
    ),
    case("connections", None, ["11", "12", "13"], ["11", "12", "13"]),
    case(
        "user",
        Some(r#""none""#),
        [r#""nobody""#, "1:2", "none"],
        [r#""nobody""#, r#""1:2""#, r#""none""#],
    ),
    case(
        "http-host",
        None,
        [r#"["a.example", "b"]"#, "c,D.example.", "*"],
        [r#"["a.example", "b"]"#, r#"["c", "d.example"]"#, r#"["*"]"#],
    ),
    case(
        "http-read-secret",
        Some(r#""none""#),
        [r#""/run/secrets/a b""#, "./none", "/c"],
        [r#""/run/secrets/a b""#, r#""./none""#, r#""/c""#],
    ),
    case(
        "http-delete-secret",
        Some(r#""none""#),
        [r#""a""#, "b", "none"],
        [r#""a""#, r#""b""#, r#""none""#],
    ),
    case(
        "policy",
        Some(r#""curt""#),
        [r#""rfc""#, "curt", "rfc"],
        [r#""rfc""#, r#""curt""#, r#""rfc""#],
    ),
    case(
        "naming",
        Some(r#""local""#),
        [r#""full""#, "local", "full"],
        [r#""full""#, r#""local""#, r#""full""#],
    ),
    case(
        "message-size",
        Some(r#""4MiB""#),
        ["65536", "66560", "3MiB"],
        [r#""64KiB""#, r#""65KiB""#, r#""3MiB""#],
    ),
    case(
        "ttl",
        Some(r#""24h""#),
        [r#""none""#, "90s", "10m"],
        [r#""none""#, r#""90s""#, r#""10m""#],
    ),
    case(
        "memory",
        Some(r#""256MiB""#),
        [r#""64MiB""#, "65MiB", "69206017"],
        [r#""64MiB""#, r#""65MiB""#, r#""69206017B""#],
    ),
    case("mailboxes", Some("65536"), ["1", "2", "3"], ["1", "2", "3"]),
    case(
        "mailbox-size",
        Some(r#""16MiB""#),
        [r#""9MiB""#, "10MiB", "11MiB"],
        [r#""9MiB""#, r#""10MiB""#, r#""11MiB""#],
    ),
    case("messages-per-mailbox", Some("1000"), ["1", "2", "3"], ["1", "2", "3"]),
    case(
        "trust",
        Some(r#"["127.0.0.0/8", "::1"]"#),
        [r#"["192.0.2.0/24", "2001:db8::/32"]"#, "none", "192.0.2.1,::1"],
        [r#"["192.0.2.0/24", "2001:db8::/32"]"#, r#"["none"]"#, r#"["192.0.2.1", "::1"]"#],
    ),
    case(
        "guard-connections-at-once",
        Some(r#""50 reject""#),
        [r#""off""#, "7", "tarpit 8"],
        [r#""off""#, r#""7 reject""#, r#""8 tarpit""#],
    ),
    case(
        "guard-connections",
        Some(r#""100/1m ban none reject""#),
        [r#""off""#, "7/1h", "ban 1m"],
        [r#""off""#, r#""7/1h ban none reject""#, r#""100/1m ban 1m reject""#],
    ),
    case(
        "guard-messages",
        Some(r#""20/2m ban 10m reject""#),
        [r#""off""#, "7/90s", "tarpit"],
        [r#""off""#, r#""7/90s ban 10m reject""#, r#""20/2m ban 10m tarpit""#],
    ),
    case(
        "guard-offences",
        Some(r#""40/10m ban 10m reject""#),
        [r#""off""#, "7/1h", "discard"],
        [r#""off""#, r#""7/1h ban 10m reject""#, r#""40/10m ban 10m discard""#],
    ),
    case(
        "guard-bounces",
        Some(r#""discard""#),
        [r#""off""#, "reject", "tarpit"],
        [r#""off""#, r#""reject""#, r#""tarpit""#],
    ),
    case(
        "guard-words",
        Some(r#""reject""#),
        [r#""off""#, "discard", "tarpit"],
        [r#""off""#, r#""discard""#, r#""tarpit""#],
    ),
    case(
        "guard-subjects",
        Some(r#""20/2m ban 1h reject""#),
        [r#""off""#, "7/1h", "ban 24h"],
        [r#""off""#, r#""7/1h ban 1h reject""#, r#""20/2m ban 24h reject""#],
    ),
    case(
        "guard-bodies",
        Some(r#""100/2m ban 10m reject""#),
        [r#""off""#, "7/1h", "ban 24h"],
        [r#""off""#, r#""7/1h ban 10m reject""#, r#""100/2m ban 24h reject""#],
    ),
    case(
        "words-file",
        Some(r#""none""#),
        [r#""/dev/null""#, "none", "/dev/null"],
        [r#""/dev/null""#, r#""none""#, r#""/dev/null""#],
    ),
];

fn variable_of(key: &str) -> String {
    format!("MAILFLY_{}", key.to_uppercase().replace('-', "_"))
}

/// The value of a key in what `--check` printed.
fn value_of<'a>(key: &str, printed: &'a str) -> &'a str {
    let mut lines = printed.lines().filter_map(|line| line.split_once(" = "));
    lines.find(|(name, _)| *name == key).map(|(_, value)| value).unwrap()
}

#[test]
fn flags_overrule_the_environment_the_environment_the_file_and_the_file_the_defaults() {
    for case in &CASES {
        for layers in 0..8 {
            let (in_file, in_variable, in_flag) =
                (layers & 1 != 0, layers & 2 != 0, layers & 4 != 0);
            let flag = format!("--{}={}", case.key, case.flag);
            let flags = ["--check", &flag];
            let mut run = Run::new(&flags[..1 + usize::from(in_flag)]);
            if in_variable {
                run = run.variable(&variable_of(case.key), case.variable);
            }
            if in_file {
                run = run.file(&format!("{} = {}\n", case.key, case.file));
            }
            let [file, variable, flag] = case.printed.map(Some);
            let expected = match (in_flag, in_variable, in_file) {
                (true, _, _) => flag,
                (_, true, _) => variable,
                (_, _, true) => file,
                _ => case.default,
            };
            let printed = run.prints();
            let value = value_of(case.key, &printed);
            assert_eq!(value, expected.unwrap_or(value), "{} {layers:03b}", case.key);
        }
    }
}

#[test]
fn the_cases_are_all_keys_there_are() {
    let printed = Run::new(&["--check"]).prints();
    let keys: Vec<_> = printed.lines().map(|line| line.split_once(" = ").unwrap().0).collect();
    assert_eq!(keys, CASES.each_ref().map(|case| case.key));
}

#[test]
fn no_name_is_listed_by_default() {
    assert_eq!(value_of("http-host", &Run::new(&["--check"]).prints()), "[]");
}

#[test]
fn a_repeated_address_is_one_more_and_not_another() {
    let flags = ["--check", "--smtp", "127.0.0.1:0", "--smtp", "[::1]:0", "--smtp=0.0.0.0:25"];
    let printed = Run::new(&flags).prints();
    assert_eq!(value_of("smtp", &printed), r#"["127.0.0.1:0", "[::1]:0", "0.0.0.0:25"]"#);
}

#[test]
fn the_file_may_be_named_in_the_environment_and_a_flag_overrules_that() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "mailboxes = 7\n").unwrap();
    let path = file.path().to_str().unwrap();
    let printed = Run::new(&["--check"]).variable("MAILFLY_CONFIG", path).prints();
    assert_eq!(value_of("mailboxes", &printed), "7");
    let run = Run::new(&["--check"]).variable("MAILFLY_CONFIG", path).file("mailboxes = 8\n");
    assert_eq!(value_of("mailboxes", &run.prints()), "8");
}

#[test]
fn what_check_prints_is_a_file_that_means_the_same() {
    let changed = ["--check", "--ttl=90s", "--naming=full", "--memory=1GiB", "--smtp=[::1]:0"];
    for flags in [&changed[..1], &changed[..]] {
        let printed = Run::new(flags).prints();
        assert_eq!(Run::new(&["--check"]).file(&printed).prints(), printed);
    }
}

#[test]
fn the_help_states_every_default_as_it_is() {
    let help = Run::new(&["--help"]).prints();
    for case in &CASES {
        let (_, told) = help.split_once(&format!("--{} <", case.key)).unwrap();
        let (_, told) = told.split_once("[default: ").unwrap();
        let (told, _) = told.split_once(']').unwrap();
        if let Some(default) = case.default {
            let default = default.trim_matches(['[', ']', '"']).replace("\", \"", ",");
            assert_eq!(told, default, "{}", case.key);
        }
    }
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest_wherever_it_stands() {
    let message = Run::new(&["--memroy", "1MiB"]).complains(2);
    assert!(message.contains("'--memory'"), "{message}");

    let message = Run::new(&[]).variable("MAILFLY_MAILBOXSIZE", "1MiB").complains(2);
    assert!(message.contains("MAILFLY_MAILBOXSIZE is no"), "{message}");
    assert!(message.contains("MAILFLY_MAILBOX_SIZE is"), "{message}");

    for (text, line, nearest) in [
        ("\nhost = \"a\"\n", "line 2", "`hostname` is"),
        ("messages_per_mailbox = 1\n", "line 1", "`messages-per-mailbox` is"),
        ("[memory-pool]\nsize = 1\n", "line 1", "`memory` is"),
        ("check = true\n", "line 1", "is no key"),
    ] {
        let message = Run::new(&[]).file(text).complains(2);
        assert!(message.contains(line) && message.contains(nearest), "{message}");
    }
}

#[test]
fn a_value_that_is_not_understood_is_named_with_where_it_stands() {
    for (key, value, reason) in [
        ("smtp", "localhost:25", "an IP address and a port"),
        ("smtp", "127.0.0.1", "an IP address and a port"),
        ("http", "", "an IP address and a port"),
        ("hostname", "a b", "no ' '"),
        ("hostname", "", "not empty"),
        ("user", "1000", "UID:GID"),
        ("user", "", "the name of a user"),
        ("http-host", "a.example:80", "without a port"),
        ("http-host", "", "a name is needed"),
        ("http-read-secret", "", "the path of a file"),
        ("connections", "-1", "a whole number"),
        ("policy", "polite", "curt, rfc"),
        ("naming", "Local", "local, full"),
        ("message-size", "64K", "write KiB"),
        ("memory", "1.5GiB", "no fraction"),
        ("mailbox-size", "", "a whole number"),
        ("mailboxes", "4294967296", "a whole number"),
        ("messages-per-mailbox", "1e3", "a whole number"),
        ("ttl", "0", "write none"),
        ("ttl", "24", "time unit"),
    ] {
        let message = Run::new(&[&format!("--{key}={value}")]).complains(2);
        assert!(message.contains(&format!("--{key} <")), "{message}");
        assert!(message.contains(reason), "{message}");

        let variable = variable_of(key);
        let message = Run::new(&[]).variable(&variable, value).complains(2);
        assert!(message.contains(&variable) && message.contains(reason), "{message}");

        let message = Run::new(&[]).file(&format!("{key} = \"{value}\"\n")).complains(2);
        assert!(message.contains("line 1") && message.contains(key), "{message}");
    }
}

#[test]
fn what_cannot_be_had_is_said_with_what_to_change() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--mailboxes=0"], &["--mailboxes has to be at least 1"]),
        (&["--memory=0"], &["--memory has to be at least 1"]),
        (&["--connections=0"], &["--connections has to be at least 1"]),
        (&["--message-size=0"], &["--message-size has to be at least 1"]),
        (&["--mailbox-size=0"], &["--mailbox-size has to be at least 1"]),
        (&["--messages-per-mailbox=0"], &["--messages-per-mailbox has to be at least 1"]),
        (
            &["--message-size=9MiB", "--mailbox-size=8MiB"],
            &["--mailbox-size 8MiB", "--mailbox-size at least 9226KiB"],
        ),
        (
            &["--message-size=1025MiB", "--mailbox-size=2GiB", "--memory=8GiB"],
            &["--message-size 1025MiB: 1GiB is the most"],
        ),
        (&["--mailboxes=1073741825"], &["--mailboxes 1073741825: 1073741824 is the most"]),
        (&["--memory=5TiB"], &["--memory 5TiB: 4TiB is the most"]),
        (
            &["--memory=30MiB", "--mailboxes=65536", "--message-size=4MiB"],
            &["--memory 30MiB is too small", "--memory at least 39686KiB"],
        ),
        (&["--mailbox-size=256MiB"], &["--mailbox-size 256MiB does not fit --memory 256MiB"]),
        (&["--mailboxes=1000000"], &["--mailboxes 1000000", "--memory at least"]),
        (&["--smtp=[::1]:25", "--http=[::1]:25"], &["[::1]:25 more than once"]),
        (&["--smtp=[::1]:25", "--smtp=[::1]:25"], &["[::1]:25 more than once"]),
        (&["--memory=4TiB"], &["this takes 4.0 TiB", "--memory smaller"]),
        (
            &["--connections=4294967295"],
            &["--connections 4294967295 needs", "--connections at most"],
        ),
        (&["--config=/does/not/exist"], &["/does/not/exist: No such file"]),
        (&["--config=/dev/zero"], &["/dev/zero: longer than 1048576 bytes"]),
    ];
    for (flags, said) in cases {
        let message = Run::new(flags).complains(1);
        for said in *said {
            assert!(message.contains(said), "{said:?} in {message}");
        }
    }
    for text in ["smtp = []\n", "http = []\n"] {
        let message = Run::new(&[]).file(text).complains(1);
        assert!(message.contains("needs at least one address"), "{message}");
    }
    let many = vec!["127.0.0.1:0"; 16].join(",");
    let message = Run::new(&["--smtp", &many]).complains(1);
    assert!(message.contains("17 addresses; 16 is the most"), "{message}");
}

#[test]
fn connections_are_as_many_as_descriptors_allow_unless_they_were_asked_for() {
    let printed = Run::limited(256, 256, &["--check"]).prints();
    assert_eq!(value_of("connections", &printed), "192");
    let printed = Run::limited(256, 256, &["--check", "--connections=192"]).prints();
    assert_eq!(value_of("connections", &printed), "192");
    let message = Run::limited(256, 256, &["--connections=193"]).complains(1);
    for said in ["--connections 193", "limit of 257", "hard limit is 256", "at most 192"] {
        assert!(message.contains(said), "{said:?} in {message}");
    }
    let message = Run::limited(40, 40, &["--check"]).complains(1);
    assert!(message.contains("one connection needs 65"), "{message}");
}

#[test]
fn a_soft_limit_is_raised_to_the_hard_one_first() {
    let printed = Run::limited(100, 300, &["--check"]).prints();
    assert_eq!(value_of("connections", &printed), "236");
}

#[test]
fn a_plan_is_printed_even_for_another_machine() {
    let printed = Run::new(&["--plan", "--memory=4TiB"]).prints();
    assert!(printed.contains("4398046511104") || printed.contains("--memory 4TiB"), "{printed}");
    assert!(printed.lines().any(|line| line.starts_with("total ")), "{printed}");
}

#[test]
fn help_and_version_are_no_faults_and_two_orders_at_once_are_one() {
    assert!(Run::new(&["--help"]).prints().contains("MAILFLY_SMTP"));
    assert!(Run::new(&["-h"]).prints().contains("--plan"));
    assert_eq!(
        Run::new(&["--version"]).prints(),
        concat!("mailfly ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert!(Run::new(&["--check", "--plan"]).complains(2).contains("cannot be used with"));
}

#[test]
fn a_rule_or_a_list_of_words_that_cannot_be_is_refused_with_the_reason() {
    let message = Run::new(&["--guard-messages", "20 per minute"]).complains(2);
    assert!(message.contains("20/2m ban 10m reject"), "{message}");
    let message = Run::new(&["--guard-bounces", "5/1m"]).complains(1);
    assert!(message.contains("--guard-bounces: "), "{message}");
    let message = Run::new(&["--trust", "none,::1"]).complains(1);
    assert!(message.contains("--trust: "), "{message}");
    let message = Run::new(&["--trust", "10.0.0.1/8"]).complains(2);
    assert!(message.contains("10.0.0.0/8?"), "{message}");
    let message = Run::new(&["--words-file", "/nowhere/words"]).complains(1);
    assert!(message.contains("/nowhere/words: "), "{message}");
    let long = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(long.path(), "good\n".to_owned() + &"w".repeat(65)).unwrap();
    let message = Run::new(&["--words-file", long.path().to_str().unwrap()]).complains(2);
    assert!(message.contains("line 2 "), "{message}");
}
