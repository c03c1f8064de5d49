//! The command line against its own help and against `docs/cli.md`.

use super::*;
use clap::CommandFactory as _;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn defaults_of_burst() {
    let Ok(Cli { command: Command::Burst(args) }) = parse("lotbook burst") else { panic!("burst parses") };
    assert_eq!((args.rate, args.burst_multiplier, args.seconds), (10_000, 10, 30));
    assert_eq!((args.positions, args.seed, args.ack), (20_000, 1, Ack::Durable));
    assert_eq!((args.accounts, args.instruments), (500, 300));
    assert_eq!((args.backdated, args.duplicates, args.invalid), (Ppm(20_000), Ppm(10_000), Ppm(5_000)));
    assert_eq!(args.plant, None);
}

#[test]
fn lines() {
    use ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, InvalidValue, MissingRequiredArgument,
        UnknownArgument, ValueValidation,
    };
    for (line, want) in [
        ("lotbook", Some(DisplayHelpOnMissingArgumentOrSubcommand)),
        ("lotbook --help", Some(DisplayHelp)),
        ("lotbook --version", Some(DisplayVersion)),
        ("lotbook serve --http-listen localhost:0", None),
        ("lotbook serve --http-listen 10.0.0.1", Some(ValueValidation)),
        ("lotbook serve --fix-listen 9878", Some(ValueValidation)),
        ("lotbook burst --plant wrong-lot", None),
        ("lotbook burst --plant ack-before-log", None),
        ("lotbook burst --rate 0", Some(ValueValidation)),
        ("lotbook burst --ack never", Some(InvalidValue)),
        ("lotbook burst --invalid 100.00001", Some(ValueValidation)),
        ("lotbook burst --invalid -1", Some(UnknownArgument)),
        ("lotbook replay", Some(MissingRequiredArgument)),
        ("lotbook replay -", None),
        ("lotbook replay --lot-method lifo f", None),
        ("lotbook replay --lot-method RANDOM f", Some(InvalidValue)),
        ("lotbook replay --input-format fix f", None),
        ("lotbook replay --where CORR f", Some(ValueValidation)),
        ("lotbook replay --follow f", Some(UnknownArgument)),
        ("lotbook wal dump d --position EUR/USD/X", None),
        ("lotbook wal dump d --position A1", Some(ValueValidation)),
        ("lotbook wal dump d --kind trades", Some(InvalidValue)),
        ("lotbook wal dump d --json --kind trade --kind mark", None),
        ("lotbook wal inspect", Some(MissingRequiredArgument)),
        ("lotbook wal", Some(DisplayHelpOnMissingArgumentOrSubcommand)),
        ("lotbook config check --config f --ack durable", None),
        ("lotbook config check --effective", Some(UnknownArgument)),
        ("lotbook config", Some(DisplayHelpOnMissingArgumentOrSubcommand)),
    ] {
        assert_eq!(parse(line).err().map(|e| e.kind()), want, "{line}");
    }
}

#[test]
fn the_command_line_lies_above_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("lotbook.toml");
    std::fs::write(&path, "[data]\ndir = 'a'\n[fix]\nlisten = 'off'\nack = 'applied'\n").expect("writes");
    let line = format!("lotbook serve --config {} --data-dir b --fix-listen 127.0.0.1:1", path.display());
    let Ok(Cli { command: Command::Serve(args) }) = parse(&line) else { panic!("{line}") };
    let config = args.told.effective_config().expect("reads");
    assert_eq!(config.data.dir, PathBuf::from("b"));
    assert_eq!(config.fix.listen.to_string(), "127.0.0.1:1");
    assert_eq!(config.fix.ack, Ack::Applied);
    let missing = Told { config: Some(dir.path().join("none.toml")), ..args.told };
    assert!(matches!(missing.effective_config(), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn maps_are_usage() {
    let Ok(Cli { command: Command::Replay(args) }) = parse("lotbook replay --map side=sgin:amount f") else {
        panic!("parses")
    };
    let message = args.input_options().expect_err("no such form").to_string();
    assert!(message.contains("sign:NAME"), "{message}");
}

/// Every command with its path: `lotbook`, `lotbook serve`, ...
fn commands() -> Vec<(String, clap::Command)> {
    let mut found = vec![("lotbook".to_owned(), Cli::command())];
    let mut at = 0;
    while at < found.len() {
        let (path, command) = found[at].clone();
        for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
            found.push((format!("{path} {}", below.get_name()), below.clone()));
        }
        at += 1;
    }
    found
}

/// Whoever copies an example from the help or the documentation gets no usage error.
#[test]
fn examples_parse() {
    let mut examples: Vec<String> = Vec::new();
    for (_, mut command) in commands() {
        examples.extend(command.render_long_help().to_string().lines().map(str::to_owned));
    }
    for page in ["cli.md", "replay.md"] {
        examples.extend(docs(page).lines().map(str::to_owned));
    }
    let mut count = 0;
    for line in &examples {
        let Some(line) = line.trim().strip_prefix("lotbook ").filter(|rest| !rest.starts_with('[')) else { continue };
        let line = line.split("  ").next().unwrap_or(line);
        let line = line.split(" | ").next().unwrap_or(line).split(" > ").next().unwrap_or(line);
        let words = line.split_whitespace().map(|word| word.trim_matches('\''));
        let parsed = Cli::try_parse_from(std::iter::once("lotbook").chain(words));
        match parsed {
            Ok(Cli { command: Command::Replay(args) }) => {
                args.input_options().unwrap_or_else(|error| panic!("{line}: {error}"));
            }
            Ok(_) => {}
            Err(error) => panic!("{line}: {error}"),
        }
        count += 1;
    }
    assert!(count >= 15, "{count} examples");
}

fn docs(page: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
    std::fs::read_to_string(format!("{path}{page}")).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Compares a generated part of a page; with LOTBOOK_BLESS set, writes it.
fn check_generated(page: &str, name: &str, want: &str) {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let text = docs(page);
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} has no {end}"));
    if found == want {
        return;
    }
    if std::env::var_os("LOTBOOK_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
        std::fs::write(format!("{path}{page}"), format!("{before}{begin}{want}{end}{after}")).expect("writes");
        return;
    }
    panic!("docs/{page}: {name} differs from the code; run the tests with LOTBOOK_BLESS=1\n{want}");
}

// One test for the whole page: two would write over each other when blessing.
#[test]
fn documentation_is_generated_from_the_code() {
    let mut codes = String::from("| code | meaning |\n|---|---|\n");
    for code in ExitCode::ALL {
        codes.push_str(&format!("| {} | {} |\n", *code as u8, code.meaning()));
    }
    check_generated("cli.md", "exit codes", &codes);
    check_generated("cli.md", "configuration", &crate::config::keys_as_markdown());
    let mut options = String::new();
    for (path, command) in commands() {
        let rows: Vec<String> = command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
            .map(option_row)
            .collect();
        if !rows.is_empty() {
            options.push_str(&format!("### {path}\n\n| option | meaning | default |\n|---|---|---|\n"));
            options.push_str(&rows.concat());
            options.push('\n');
        }
    }
    check_generated("cli.md", "options", &options);
    check_generated("security.md", "roles", &crate::access::role::roles_as_markdown());
    check_generated("security.md", "endpoints", &crate::http::endpoints::endpoints_as_markdown());
    let mut codes = String::from("| code | meaning |\n|---|---|\n");
    for code in crate::input::Code::ALL {
        codes.push_str(&format!("| `{code}` | {} |\n", code.meaning()));
    }
    check_generated("replay.md", "codes", &codes);
    check_generated("gate.md", "gate", &crate::gate::rules_as_markdown());
    let mut forms = String::from("| form | value |\n|---|---|\n");
    for (form, meaning) in crate::input::FORMS {
        forms.push_str(&format!("| `{}` | {meaning} |\n", form.replace('|', "\\|")));
    }
    check_generated("replay.md", "forms", &forms);
    let mut presets = String::new();
    for (name, options) in crate::input::PRESETS {
        presets.push_str(&format!("```text\npreset:{name}\n  --map {}\n```\n\n", options.join("\n  --map ")));
    }
    check_generated("replay.md", "presets", &presets);
}

fn option_row(arg: &clap::Arg) -> String {
    let mut name = arg.get_long().map_or_else(String::new, |long| format!("--{long}"));
    if arg.get_num_args().is_none_or(|n| n.takes_values()) && arg.get_action().takes_values() {
        let values: Vec<String> = arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
        let value = if values.is_empty() {
            arg.get_value_names().and_then(|names| names.first()).map_or_else(String::new, ToString::to_string)
        } else {
            values.join("\\|")
        };
        name = format!("{name} {value}").trim().to_owned();
    }
    let help = arg.get_help().map_or_else(String::new, ToString::to_string);
    let (help, stated) = match help.split_once(" [default: ") {
        Some((help, default)) => (help.to_owned(), default.trim_end_matches(']').to_owned()),
        None => (help, String::new()),
    };
    let takes_values = arg.get_action().takes_values();
    let default = match arg.get_default_values().first().filter(|_| takes_values) {
        Some(value) => format!("`{}`", value.to_string_lossy()),
        None => stated,
    };
    format!("| `{name}` | {help} | {default} |\n")
}

#[test]
fn exit_codes_ascend() {
    for (index, code) in ExitCode::ALL.iter().enumerate() {
        assert_eq!(*code as usize, index);
    }
    assert!(Cli::command().render_long_help().to_string().contains(" 7  Out of disk space."));
}
