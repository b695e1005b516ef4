//! Memory where somebody answers in the database's place: it stays below the number that the README names.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::hostile::{api, promised};
use super::*;
use crate::support::impostor::Impostor;
use crate::support::tds::TdsServer;
use crate::support::tds::options::Options;

/// Bytes of stored rows: what is just taken, and more.
const SIZES: [usize; 2] = [31 << 20, 124 << 20];

/// An address with this port in place of its own, without encryption; and its own port.
fn through(url: &str, port: u16) -> (String, u16) {
    let (before, behind) = url.split_once('@').unwrap();
    let (server, name) = behind.split_once('/').unwrap();
    let (host, own) = server.rsplit_once(':').unwrap();
    let option = match before.split_once(':').unwrap().0 {
        "postgres" => "?sslmode=disable",
        "mysql" => "?ssl-mode=DISABLED",
        _ => "",
    };
    assert_eq!(host, "127.0.0.1", "{url}");
    let url = format!("{before}@{host}:{port}/{name}{option}");
    (url, own.parse().unwrap())
}

/// The peak, in MB, of a first copy from a hostile API whose database is answered for at this statement. With `refuses`, the
/// table takes no contact.
fn peak_with(
    database: &Database,
    refuses: bool,
    statement: &[u8],
    answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> u64 {
    let sim = Simulator::start(Config {
        contacts: 5,
        ..Config::default()
    });
    if refuses {
        Program::new(&sim, &database.url).succeed("db_init");
        database.execute("DELETE FROM dfire_contacts");
        database.execute(match database.kind {
            Kind::Mysql => {
                "CREATE TRIGGER nobody BEFORE INSERT ON dfire_contacts FOR EACH ROW SIGNAL SQLSTATE '45000'"
            }
            Kind::SqlServer => {
                "ALTER TABLE dfire_contacts WITH NOCHECK ADD CONSTRAINT throw_50001 CHECK ([$id] = 'nobody')"
            }
            Kind::Postgres | Kind::Sqlite => panic!("no refusal for {:?}", database.kind),
        });
    }
    let (_, own) = through(&database.url, 0);
    let impostor = Impostor::start(own, statement.to_vec(), answer);
    let (url, _) = through(&database.url, impostor.port());
    let mut program = Program::new(&sim, &url);
    // The test server repeats a refused row in its message, which holds no such texts.
    if !refuses || database.kind != Kind::SqlServer {
        program.set("--api-url", &api("texts").url());
    }
    let mut running = program.start("db_init");
    let begin = Instant::now();
    let mut peak = 0;
    while impostor.answered() < 2 && !running.has_ended() && peak / 1024 < 2 * promised() {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "{}",
            program.log()
        );
        peak = peak.max(high_water_mark(running.pid()));
        std::thread::sleep(Duration::from_millis(2));
    }
    if !running.has_ended() {
        running.kill();
    }
    assert!(
        impostor.answered() > 0 || peak / 1024 > promised(),
        "nobody asked\n{}",
        program.log()
    );
    peak / 1024
}

fn assert_promised(what: &str, peak: u64) {
    let promised = promised();
    println!("{what}: {peak} MB of {promised} MB");
    assert!(peak < promised, "{what}: {peak} MB");
}

/// Rows of PostgreSQL with as many columns as one can have, all of them NULL.
#[test]
fn a_hostile_postgresql_takes_no_more_memory_than_is_promised() {
    let message = |tag: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    };
    let begin = [
        message(b'1', b""),
        message(b'2', b""),
        message(
            b'T',
            b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
        ),
    ]
    .concat();
    let nulls = [&0xffff_u16.to_be_bytes()[..], &[0xff; 4 * 0xffff]].concat();
    let small = [0, 1, 0xff, 0xff, 0xff, 0xff];
    let error = [
        &b"SERROR\0VERROR\0C22000\0M"[..],
        &vec![b'x'; 15 << 20],
        b"\0\0",
    ]
    .concat();
    for (what, begin, row) in [
        ("rows of NULLs", begin.clone(), message(b'D', &nulls)),
        ("small rows", begin.clone(), message(b'D', &small)),
        ("a long error", Vec::new(), message(b'E', &error)),
    ] {
        let database = fresh_database(Kind::Postgres);
        let answer = move |client: &mut TcpStream| {
            client.write_all(&begin)?;
            let rows = row.repeat((1 << 18) / row.len() + 1);
            loop {
                client.write_all(&rows)?;
            }
        };
        let peak = peak_with(&database, false, b"pg_catalog.pg_class c", answer);
        assert_promised(&format!("PostgreSQL, {what}"), peak);
    }
}

/// A packet of MySQL, or several.
fn send_mysql(client: &mut TcpStream, sequence: &mut u8, body: &[u8]) -> io::Result<()> {
    for piece in body.chunks(0xff_ffff) {
        let length = u32::try_from(piece.len()).unwrap().to_le_bytes();
        client.write_all(&[&length[..3], &[*sequence], piece].concat())?;
        *sequence = sequence.wrapping_add(1);
    }
    Ok(())
}

/// The beginning of an answer of MySQL with this many columns, and then the same row without end.
fn rows_of_mysql(client: &mut TcpStream, columns: u16, row: &[u8]) -> io::Result<()> {
    let sequence = &mut 1;
    let [low, high] = columns.to_le_bytes();
    send_mysql(client, sequence, &[0xfc, low, high])?;
    for _ in 0..columns {
        let definition = b"\x03def\0\0\0\x01a\0\x0c\x21\0\0\0\0\0\xfd\0\0\0\0\0";
        send_mysql(client, sequence, definition)?;
    }
    send_mysql(client, sequence, b"\xfe\0\0\x02\0")?;
    loop {
        send_mysql(client, sequence, row)?;
    }
}

#[test]
fn a_hostile_mysql_takes_no_more_memory_than_is_promised() {
    let database = fresh_database(Kind::Mysql);
    let nulls = |client: &mut TcpStream| rows_of_mysql(client, 4096, &[0xfb; 4096]);
    let peak = peak_with(&database, false, b"SHOW", nulls);
    assert_promised("MySQL, rows of NULLs", peak);
    let short = |client: &mut TcpStream| rows_of_mysql(client, 4096, &b"\x01a".repeat(4096));
    let peak = peak_with(&database, false, b"SHOW", short);
    assert_promised("MySQL, rows of short values", peak);
    // What is not UTF-8, in few values or in many.
    for size in SIZES.into_iter().chain([3 << 20]) {
        let database = fresh_database(Kind::Mysql);
        let length = u64::try_from(size).unwrap().to_le_bytes();
        let row = [&[0xfe][..], &length, &vec![0xff; size]].concat();
        let answer = move |client: &mut TcpStream| rows_of_mysql(client, 1, &row);
        let peak = peak_with(&database, true, b" LIMIT 21", answer);
        assert_promised(&format!("MySQL, stored rows of {size} bytes"), peak);
    }
}

/// Sends an answer of SQL Server, in packets, whose last one is still to come.
fn send_tds(client: &mut TcpStream, tokens: &[u8]) -> io::Result<()> {
    for piece in tokens.chunks(4088) {
        let [high, low] = u16::try_from(piece.len() + 8).unwrap().to_be_bytes();
        client.write_all(&[&[4, 0, high, low, 0, 0, 1, 0], piece].concat())?;
    }
    Ok(())
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_hostile_sql_server_takes_no_more_memory_than_is_promised() {
    let fresh = || {
        let server = TdsServer::start(Options::default());
        let url = format!("{}?encrypt=false", server.url());
        (server, Database::at(Kind::SqlServer, url))
    };
    // Rows of integers that are NULL: a bit of each is sent.
    let columns: u16 = 0xfffe;
    let (_server, database) = fresh();
    let column = [0, 0, 0, 0, 1, 0, 0x38, 0];
    let begin = [
        &[0x81][..],
        &columns.to_le_bytes(),
        &column.repeat(columns.into()),
    ]
    .concat();
    let row = [&[0xd2][..], &vec![0xff; usize::from(columns).div_ceil(8)]].concat();
    let nulls = move |client: &mut TcpStream| {
        send_tds(client, &begin)?;
        loop {
            send_tds(client, &row)?;
        }
    };
    let peak = peak_with(&database, false, &utf16("sys.columns"), nulls);
    assert_promised("SQL Server, rows of NULLs", peak);
    // Texts in a code page that has one byte where UTF-8 has three.
    for size in SIZES.into_iter().chain([3 << 20]) {
        let (_server, database) = fresh();
        let begin = b"\x81\x01\0\0\0\0\0\x09\0\xa7\xff\xff\x09\x04\xd0\0\x34\0";
        let length = u32::try_from(size).unwrap();
        let row = [
            &[0xd1][..],
            &u64::from(length).to_le_bytes(),
            &length.to_le_bytes(),
            &vec![0x80; size],
            &[0; 4],
        ]
        .concat();
        let answer = move |client: &mut TcpStream| {
            send_tds(client, begin)?;
            loop {
                send_tds(client, &row)?;
            }
        };
        let peak = peak_with(&database, true, &utf16("SELECT TOP (21)"), answer);
        assert_promised(&format!("SQL Server, stored rows of {size} bytes"), peak);
    }
}
