//! Tables over the configuration: what is read, what is refused and in which words.

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("lotbook.toml", text)
}

#[test]
fn defaults_read_back() {
    assert_eq!(parse(""), Ok(Config::default()));
    let printed = Config::default().to_toml();
    assert_eq!(parse(&printed), Ok(Config::default()), "{printed}");
}

#[test]
fn everything_set_reads_back() {
    let text = r#"
        [data]
        dir = "/srv/book \"one\""
        tail_dir = '/dev/shm/book'
        segment_mib = 0x80
        tail_mib = 8
        [engine]
        core = 2
        log_core = "none"
        wait = "spin"
        [engine.limits]
        positions_max = 1_000
        lots_max = 4000
        names_max = 500
        forwards_max = 10
        amendments_max = 15
        held_max = 5
        contracts_max = 20
        trade_ids_max = 30
        [fix]
        listen = "[::1]:0"
        comp_id = "BOOK"
        ack = "applied"
        [[fix.session]]
        comp_id = "DESK1"
        ack = "durable"
        namespace = "desk"
        [[fix.session]]
        comp_id = "DESK2"
        [http]
        listen = "off"
        [business]
        date = 2026-03-05
        allow_short = true
        lot_method = "HIFO"
        [checkpoint]
        every_records = 5000
    "#;
    let config = parse(text).expect("reads");
    assert_eq!(config.data.dir, Path::new("/srv/book \"one\""));
    assert_eq!(config.data.tail_dir.as_deref(), Some(Path::new("/dev/shm/book")));
    assert_eq!(config.data.segment_mib, 128);
    assert_eq!((config.engine.core, config.engine.log_core), (Some(2), None));
    assert_eq!(config.engine.wait, Wait::Spin);
    assert_eq!(config.engine.limits.positions_max, 1000);
    assert_eq!(config.engine.trade_ids_max, 30);
    assert_eq!(config.http.listen, Listen(None));
    assert_eq!(config.business.date, BusinessDate::Fixed(Date::parse("2026-03-05").expect("a date")));
    assert_eq!(config.business.lot_method, LotMethod::Hifo);
    assert_eq!(config.fix.sessions.len(), 2);
    assert_eq!(config.fix.sessions[1], FixSession { comp_id: "DESK2".to_owned(), ..FixSession::default() });
    assert_eq!(parse(&config.to_toml()), Ok(config));
}

#[test]
fn errors_name_file_line_key_value_and_what_is_allowed() {
    for (text, want) in [
        ("[data]\nsegment_mib = 0", "lotbook.toml:2: data.segment_mib = 0: must be a whole number from 1 to 4096"),
        ("data.segment_mib = -1", "lotbook.toml:1: data.segment_mib = -1: must be a whole number from 1 to 4096"),
        (
            "data.segment_mib = \"64\"",
            "lotbook.toml:1: data.segment_mib = \"64\": must be a whole number from 1 to 4096",
        ),
        ("data.segment_mib = 64.0", "lotbook.toml:1: data.segment_mib = 64.0: must be a whole number from 1 to 4096"),
        (
            "data.segment_mib = 99999999999999999999",
            "lotbook.toml:1: data.segment_mib = 99999999999999999999: must be a whole number from 1 to 4096",
        ),
        ("[data]\n\ndir = \"\"", "lotbook.toml:3: data.dir = \"\": must be a path, in quotes"),
        (
            "[engine]\nwait = \"busy\"",
            "lotbook.toml:2: engine.wait = \"busy\": must be one of \"auto\", \"spin\", \"park\"",
        ),
        (
            "[engine]\ncore = 4096",
            "lotbook.toml:2: engine.core = 4096: must be \"auto\" or a core's number from 0 to 1023",
        ),
        ("[engine]\ncore = 1\nlog_core = 1", "lotbook.toml:3: engine.log_core = 1: must be another core"),
        (
            "[engine]\nspin = true",
            "lotbook.toml:2: unknown key engine.spin = true; the keys there are core, log_core, wait, huge_pages, limits",
        ),
        ("[engines]\ncore = 1", "lotbook.toml:1: unknown key engines = "),
        ("listen = 1", "the sections are data, engine, fix, http, tls, auth, business, gate, dead_letters, checkpoint"),
        ("[engine]\nlimits = 3", "lotbook.toml:2: unknown key engine.limits = 3"),
        (
            "[fix]\nlisten = \"0.0.0.0:9878\"",
            "lotbook.toml:2: fix.listen = \"0.0.0.0:9878\": must be a loopback address",
        ),
        ("[fix]\nlisten = \"0.0.0.0:9878\"", "auth.credentials are not all set"),
        (
            "[http]\nlisten = \"0.0.0.0:1\"",
            "lotbook.toml:2: http.listen = \"0.0.0.0:1\": must be a loopback address, for other machines can reach this one, and \
             tls.certificate with tls.key, and auth.credentials or auth.jwt_keys are not set",
        ),
        ("[http]\nlisten = \"[::]:1\"\n[auth]\ncredentials = 'c'", "and tls.certificate with tls.key are not set"),
        (
            "[http]\nlisten = \"0.0.0.0:1\"\n[tls]\ncertificate = 'c'\nkey = 'k'",
            "and auth.credentials or auth.jwt_keys are not set",
        ),
        (
            "[tls]\ncertificate = 'c'",
            "lotbook.toml:2: tls.certificate = \"c\": tls.certificate and tls.key are set together",
        ),
        ("[tls]\nclient_certificates = 'required'", "tls.client_ca = \"off\": must be set where"),
        (
            "[auth]\njwt_keys = 'j'",
            "lotbook.toml:2: auth.jwt_keys = \"j\": auth.jwt_issuer and auth.jwt_audience must be set",
        ),
        (
            "[http]\nlisten = \"127.0.0.1\"",
            "lotbook.toml:2: http.listen = \"127.0.0.1\": must be an address with a port",
        ),
        ("[http]\nlisten = 8787", "lotbook.toml:2: http.listen = 8787: must be an address with a port"),
        (
            "[fix]\ncomp_id = \"É\"",
            "lotbook.toml:2: fix.comp_id = \"É\": must be 1 to 64 characters of printable ASCII",
        ),
        ("[[fix.session]]\nack = \"applied\"", "fix.session.comp_id"),
        ("[[fix.session]]\ncomp_id = \"A\"\n[[fix.session]]\ncomp_id = \"A\"", "comp_id A stands in two"),
        (
            "[[fix.session]]\ncomp_id = \"A\"\nakc = 1",
            "lotbook.toml:3: unknown key fix.session.akc = 1; the keys there are comp_id, ack, namespace, version, schedule, user",
        ),
        ("[fix]\nsession = 1", "must be written as [[fix.session]]"),
        (
            "[business]\ndate = \"tomorrow\"",
            "lotbook.toml:2: business.date = \"tomorrow\": must be \"today\" or a date",
        ),
        ("[business]\nallow_short = \"yes\"", "lotbook.toml:2: business.allow_short = \"yes\": must be true or false"),
        ("[checkpoint]\nevery_records = -10", "lotbook.toml:2: checkpoint.every_records = -10: must be a whole number"),
        (
            "[retention]\nzstd_level = 0",
            "lotbook.toml:2: retention.zstd_level = 0: must be a whole number from 1 to 19",
        ),
        (
            "[retention]\nreserve_segments = 16",
            "lotbook.toml:2: retention.reserve_segments = 16: must be below retention.low_segments, which is 16",
        ),
        (
            "[data]\nsegment_mib = 2\n[retention]\nbudget_mib = 10",
            "lotbook.toml:4: retention.budget_mib = 10: must be 0 or at least 11: four segments and the reserve",
        ),
        ("[data]\ndir = 'a'\ndir = 'b'", "lotbook.toml:3: is not TOML: duplicate key"),
        ("[data\n", "lotbook.toml:1: is not TOML"),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(want), "{text:?}\n  says {error}\n  not  {want}");
        assert!(error.starts_with("lotbook.toml:"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_door_is_open_to_others_with_tls_and_logins_or_when_told_so() {
    let guarded = "[http]\nlisten = '0.0.0.0:1'\n[tls]\ncertificate = 'c'\nkey = 'k'\n[auth]\ncredentials = 'f'\n";
    let told = "[http]\nlisten = '[2001:db8::1]:1'\ninsecure = true\n";
    let health = "[http]\nhealth_listen = '0.0.0.0:2'\n";
    for text in [guarded, told, health] {
        let config = parse(text).expect(text);
        assert_eq!(parse(&config.to_toml()), Ok(config), "{text}");
    }
}

#[test]
fn files() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("lotbook.toml");
    assert!(matches!(Config::load(&path), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&path, "[http]\nlisten = \"localhost:0\"\n").expect("writes");
    let config = Config::load(&path).expect("reads");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:0");
}
