//! What keeps the archive from being written: said clearly, mended without a restart where that can be, and trading goes on all the time.

use lotbook_tests::postgres::{Postgres, USER};
use lotbook_tests::server::Served;

use crate::drive::{DATABASE, Desk, archive, place, until, until_archived, verify};

fn server() -> Postgres {
    let server = Postgres::start();
    server.run("postgres", &format!("CREATE DATABASE {DATABASE}"));
    server
}

/// The archive waits for a person, says this of it, and trading goes on.
#[track_caller]
fn refused(host: &Served, desk: &mut Desk, words: &str) {
    desk.send(host, 50);
    let status = until(host, words, |status| status["state"] == "refused");
    let problem = status["problem"].as_str().expect("a reason");
    assert!(problem.contains(words), "{problem}");
    desk.send(host, 50);
    let health = host.json("/health");
    // Ready in any case; how the machine's disk is, is not asked.
    assert_eq!((&health["ready"], health["status"] == "ok"), (&true.into(), false), "{health:#}");
    let warned = health["warnings"].to_string();
    assert!(warned.contains("the archive in Postgres waits for a person"), "{warned}");
}

#[test]
fn a_wrong_password() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    server.run("postgres", "CREATE ROLE archivist LOGIN PASSWORD 'right' SUPERUSER");
    server.want_password("archivist");
    let secrets = tempfile::tempdir().expect("a temporary directory");
    let file = secrets.path().join("password");
    std::fs::write(&file, "wrong\n").expect("written");
    let more = format!("migrate = true\npassword_file = \"{}\"\n", file.display());
    let place = place(&server.url("archivist", DATABASE), &more);
    let host = place.start();
    let mut desk = Desk::default();
    refused(&host, &mut desk, "password authentication failed for user \"archivist\"");
    let (code, _, said) = archive(&place, &["status"]);
    assert_eq!(code, 11, "{said}");
    // It is read at the start.
    std::fs::write(&file, "right\n").expect("written");
    assert!(host.process.stop().success());
    let host = place.start();
    until_archived(&host);
    verify(&place);
}

#[test]
fn a_database_that_is_missing_and_then_there() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, "later"), "migrate = true\n");
    let host = place.start();
    refused(&host, &mut Desk::default(), "database \"later\" does not exist");
    server.run("postgres", "CREATE DATABASE later");
    until_archived(&host);
    verify(&place);
}

#[test]
fn an_old_schema_and_a_newer_one() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, DATABASE), "");
    let host = place.start();
    let mut desk = Desk::default();
    refused(&host, &mut desk, "run `lotbook archive migrate`");
    assert_eq!(archive(&place, &["status"]).0, 1);
    assert_eq!(archive(&place, &["verify"]).0, 2);
    let (code, report, said) = archive(&place, &["migrate"]);
    assert_eq!((code, report["applied"][0].as_i64()), (0, Some(1)), "{said}");
    until_archived(&host);
    verify(&place);
    assert!(host.process.stop().success());

    server.run(DATABASE, "INSERT INTO lotbook.schema_version (version, name, checksum) VALUES (999, 'to come', 0)");
    let host = place.start();
    refused(&host, &mut desk, "was brought up by a later one");
    server.run(DATABASE, "DELETE FROM lotbook.schema_version WHERE version = 999");
    until_archived(&host);
    server.run(DATABASE, "UPDATE lotbook.schema_version SET checksum = 1 WHERE version = 1");
    let (code, _, said) = archive(&place, &["migrate"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("from another text"), "{said}");
}

#[test]
fn a_dropped_partition() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, DATABASE), "");
    assert_eq!(archive(&place, &["migrate"]).0, 0);
    for part in [3, 7, 11] {
        server.run(DATABASE, &format!("DROP TABLE lotbook.event_store_p{part}"));
    }
    let host = place.start();
    refused(&host, &mut Desk::default(), "no partition of relation \"event_store\" found for row");
    for part in [3, 7, 11] {
        server.run(
            DATABASE,
            &format!(
                "CREATE TABLE lotbook.event_store_p{part} PARTITION OF lotbook.event_store FOR VALUES WITH (MODULUS 16, REMAINDER {part})"
            ),
        );
    }
    until_archived(&host);
    verify(&place);
}

#[test]
fn another_hosts_archive() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let first = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = first.start();
    Desk::default().send(&host, 200);
    until_archived(&host);
    let kept = verify(&first);
    assert!(host.process.stop().success());

    let second = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = second.start();
    refused(&host, &mut Desk::default(), "is not in the log: the cursor names log ");
    let (code, report, _) = archive(&second, &["verify"]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(verify(&first), kept, "nothing of the other was written");
}

#[test]
fn readers_read_and_history_is_append_only() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = place.start();
    Desk::default().send(&host, 100);
    until_archived(&host);
    let as_role = |role: &str, sql: &str| server.psql(DATABASE, &format!("SET ROLE {role}; {sql}"));
    let count = as_role("lotbook_reader", "SELECT count(*) > 0 FROM lotbook.event_store");
    assert_eq!(count.as_deref(), Ok("t"));
    for (role, sql, refusal) in [
        ("lotbook_reader", "DELETE FROM lotbook.event_store", "permission denied"),
        ("lotbook_reader", "UPDATE lotbook.archive_cursor SET sequence = 0", "permission denied"),
        ("lotbook_writer", "UPDATE lotbook.event_store SET price = 1", "permission denied"),
        ("lotbook_writer", "DELETE FROM lotbook.event_store_p1", "permission denied"),
        ("lotbook_writer", "DELETE FROM lotbook.archive_cursor", "permission denied"),
        (USER, "UPDATE lotbook.event_store SET price = 1", "append-only: UPDATE"),
        (USER, "DELETE FROM lotbook.event_store", "append-only: DELETE"),
        (USER, "TRUNCATE lotbook.event_store", "append-only: TRUNCATE"),
        (USER, "TRUNCATE lotbook.event_store_p0", "append-only: TRUNCATE"),
    ] {
        let answer = as_role(role, sql).expect_err(sql);
        assert!(answer.contains(refusal), "{sql}: {answer}");
    }
    let undescribed = server.run(
        DATABASE,
        "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'lotbook' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 \
         AND col_description(c.oid, a.attnum) IS NULL",
    );
    assert_eq!(undescribed, "0", "every column says what it is");
}
