//! What a server says, in log, terminal and `check`: one short line.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// A server that answers each log-in of PostgreSQL with this error; returns its address.
fn refusing_server(message: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut body = b"SFATAL\0VFATAL\0C3D001\0M".to_vec();
        body.extend(message.as_bytes());
        body.extend(b"\0\0");
        let mut answer = vec![b'E'];
        answer.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        answer.extend(body);
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4];
            if stream.read_exact(&mut head).is_ok() {
                let length = usize::try_from(u32::from_be_bytes(head)).unwrap();
                let mut rest = vec![0; length.clamp(4, 10_000) - 4];
                let _ = stream.read_exact(&mut rest);
                let _ = stream.write_all(&answer);
            }
        }
    });
    format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable")
}

#[test]
fn what_a_server_says_is_one_short_line_in_check() {
    let sim = Simulator::start(Config::default());
    let text = "no\u{1b}[2J\nok     forged  \u{202e}\u{2028}\u{200f}";
    let shown = r"no\u{1b}[2J ok     forged  \u{202e} \u{200f}";
    for (said, wanted) in [
        (text.to_owned(), shown.to_owned()),
        ("ä".repeat(200), "ä".repeat(200)),
        ("ä".repeat(201), format!("{}…", "ä".repeat(199))),
        ("x".repeat(900_000), format!("{}…", "x".repeat(199))),
    ] {
        let program = Program::new(&sim, &refusing_server(said));
        let ended = program.run("check");
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        for text in [&ended.stdout, &ended.stderr, &program.log()] {
            for line in text.lines() {
                assert!(
                    !line.starts_with("ok     forged") && line.len() < 1000,
                    "{line}"
                );
                let hidden = |c: char| c.is_control() || "\u{202e}\u{2028}\u{200f}".contains(c);
                assert!(!line.contains(hidden), "{line}");
            }
        }
        assert!(
            ended.stdout.contains(&format!("{wanted} (3D001)")),
            "{}",
            ended.stdout
        );
    }
}

/// What is said of DDL is shown, as it says what to mend: by an event trigger here.
#[test]
fn what_is_said_of_ddl_is_shown_and_short() {
    let sim = Simulator::start(Config::default());
    let database = fresh_database(Kind::Postgres);
    database.execute(
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION E'no new tables on \\x1b[2JFridays\\n%', repeat('x', 1000000); END $$; \
         CREATE EVENT TRIGGER no ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE PROCEDURE no()",
    );
    let program = Program::new(&sim, &database.url);
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let log = program.log();
    assert!(
        log.contains(r"no new tables on \u{1b}[2JFridays xxx"),
        "{log}"
    );
    for text in [&ended.stdout, &ended.stderr, &log] {
        assert_eq!(text.lines().find(|line| line.len() > 1000), None);
    }
}
