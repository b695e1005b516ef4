//! What a web service answers to a delivery, and what a database says while somebody logs in: over real sockets, read by the
//! code that the program reads it with.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dbsync2::destination::sql::Target;
use dbsync2::destination::webhook::receiver::{Address, Options, Receiver};
use dbsync2::destination::webhook::signature::Signer;
use dbsync2::net::secret::Secret;
use dbsync2::net::tls::{self, Roots};

use super::memory::bounded_by;
use super::peer::Peer;

/// An answer takes its own length (of which 64 KB are read) and the buffers of a connection.
const ANSWER_MEMORY: usize = 1_000_000;

/// A log-in takes the buffers of a driver, and what it keeps of the other side's words: one answer of 16 MiB to what a
/// session is set up with.
const LOG_IN_MEMORY: usize = 18_000_000;

/// Whoever has heard everything and waits for more finds out at once that there is no more.
const TIME: Duration = Duration::from_secs(8);

fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    assert!(begin.elapsed() < TIME, "it took {:?}", begin.elapsed());
    result
}

/// Posts to a web service that answers the input.
pub fn web_service(data: &[u8]) {
    static SIDES: OnceLock<(Peer, Receiver)> = OnceLock::new();
    let (peer, receiver) = SIDES.get_or_init(|| {
        tls::install_provider();
        let peer = Peer::start();
        let receiver = Receiver::new(Options {
            address: Address::read(&format!("http://{}/in", peer.address)).unwrap(),
            signer: Signer::default(),
            headers: vec![("X-Key".to_owned(), Secret::new("SECRET"))],
            roots: Roots::load(None).unwrap(),
            timeout: Duration::from_secs(4),
            connections: 0,
        })
        .unwrap();
        (peer, receiver)
    });
    peer.says(data);
    let outcome = bounded_by(ANSWER_MEMORY, || in_time(|| receiver.post("id", 0, "{}")));
    let shown = format!("{:?}", outcome.verdict);
    assert!(shown.chars().count() < 1000, "{shown}");
    assert!(!shown.contains("SECRET") && !outcome.said.contains("SECRET"));
    assert!(
        !outcome.said.contains(char::is_control),
        "{:?}",
        outcome.said
    );
}

/// Logs in to a database that says the input.
fn log_in(sides: &OnceLock<(Peer, Target)>, url: impl FnOnce(&Peer) -> String, data: &[u8]) {
    let (peer, target) = sides.get_or_init(|| {
        tls::install_provider();
        let peer = Peer::start();
        let target = Target::new(&url(&peer), None).unwrap();
        (peer, target)
    });
    peer.says(data);
    let error = bounded_by(LOG_IN_MEMORY, || in_time(|| target.open().err()));
    if let Some(error) = error {
        let text = error.to_string();
        assert!(text.chars().count() < 6000, "{text}");
        assert!(!text.contains("S3CRET"), "{text}");
        assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    }
}

/// PostgreSQL.
pub fn postgres_log_in(data: &[u8]) {
    static SIDES: OnceLock<(Peer, Target)> = OnceLock::new();
    let url = |peer: &Peer| {
        format!(
            "postgres://u:S3CRET@{}/d?sslmode=disable&connect_timeout=2",
            peer.address
        )
    };
    log_in(&SIDES, url, data);
}

/// MySQL and MariaDB.
pub fn mysql_log_in(data: &[u8]) {
    static SIDES: OnceLock<(Peer, Target)> = OnceLock::new();
    let url = |peer: &Peer| {
        format!(
            "mysql://u:S3CRET@{}/d?ssl-mode=DISABLED&connect_timeout=2",
            peer.address
        )
    };
    log_in(&SIDES, url, data);
}

/// SQL Server.
pub fn sqlserver_log_in(data: &[u8]) {
    static SIDES: OnceLock<(Peer, Target)> = OnceLock::new();
    let url = |peer: &Peer| {
        format!(
            "sqlserver://u:S3CRET@{}/d?encrypt=disable&connectTimeout=2",
            peer.address
        )
    };
    log_in(&SIDES, url, data);
}
