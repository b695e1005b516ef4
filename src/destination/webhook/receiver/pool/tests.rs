#![allow(clippy::unwrap_used)]
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use ureq::{Agent, Proxy};

use super::*;
use crate::net::http;
use crate::net::tls::Roots;

const REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn limits() -> Limits {
    Limits {
        total: Duration::from_secs(20),
        connections: 2,
        ..Limits::default()
    }
}

fn config(proxy: Option<Proxy>) -> Config {
    http::config(&Roots::load(None).unwrap(), proxy, limits())
}

fn pool(address: &str, config: Config) -> Pool {
    Pool::new(address.parse().unwrap(), config, limits())
}

/// Answers so many requests on each of the connections in turn, then closes it. Returns what it was asked.
fn server(requests: &'static [usize]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let mut asked = Vec::new();
        for count in requests {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..*count {
                asked.push(head(&mut stream));
                stream.write_all(ANSWER.as_bytes()).unwrap();
            }
        }
        asked
    });
    (address, thread)
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0].into());
    }
    head
}

/// One request; the connection is kept.
fn ask(pool: &Pool) {
    let mut connection = pool.take(&Deadline::new(limits())).unwrap();
    let output = connection.buffers().output();
    output
        .split_at_mut(REQUEST.len())
        .0
        .copy_from_slice(REQUEST.as_bytes());
    let time = NextTimeout::default();
    connection.transmit_output(REQUEST.len(), time).unwrap();
    while connection.buffers().input().len() < ANSWER.len() {
        assert!(connection.await_input(time).unwrap());
    }
    connection.buffers().input_consume(ANSWER.len());
    pool.keep(connection);
}

/// Waits until the other side has closed the connection that is kept.
fn await_close(pool: &Pool) {
    let (mut connection, since) = pool.open().idle.pop().unwrap();
    while connection.is_open() {
        thread::yield_now();
    }
    pool.open().idle.push((connection, since));
}

#[test]
fn a_connection_serves_until_the_other_side_closes_it() {
    let (address, server) = server(&[3, 1]);
    let pool = pool(&format!("http://{address}/"), config(None));
    for _ in 0..3 {
        ask(&pool);
    }
    await_close(&pool);
    ask(&pool);
    assert_eq!(server.join().unwrap().len(), 4);
}

#[test]
fn a_connection_that_was_idle_for_long_is_not_used() {
    let (address, server) = server(&[1, 1, 1]);
    let config = Agent::config_builder().max_idle_age(Duration::ZERO).build();
    let pool = pool(&format!("http://{address}/"), config);
    for _ in 0..3 {
        ask(&pool);
    }
    assert_eq!(server.join().unwrap().len(), 3);
}

#[test]
fn a_proxy_is_asked_for_the_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let behind = head(&mut stream);
        stream.write_all(ANSWER.as_bytes()).unwrap();
        (asked, behind)
    });
    let proxy_of_ours = Proxy::new(&format!("http://me:secret@{address}")).unwrap();
    // A name that nobody can look up here.
    let pool = pool("http://behind.invalid:8080/", config(Some(proxy_of_ours)));
    ask(&pool);
    let (asked, behind) = proxy.join().unwrap();
    assert!(
        asked.starts_with("CONNECT behind.invalid:8080 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
    assert_eq!(behind, REQUEST);
}

#[test]
fn no_more_connections_are_kept_than_there_are_lanes() {
    let (address, server) = server(&[0, 0, 0]);
    let pool = pool(&format!("http://{address}/"), config(None));
    let deadline = Deadline::new(limits());
    let connections = [(); 3].map(|()| pool.take(&deadline).unwrap());
    for connection in connections {
        pool.keep(connection);
    }
    assert_eq!(pool.open().idle.len(), 2);
    server.join().unwrap();
}

#[test]
fn shutting_down_breaks_off_what_waits_and_lets_nothing_begin() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pool = pool(
        &format!("http://{}/", listener.local_addr().unwrap()),
        config(None),
    );
    let deadline = Deadline::new(limits());
    let mut waiting = pool.take(&deadline).unwrap();
    let waiter = thread::spawn(move || waiting.await_input(NextTimeout::default()));
    pool.keep(pool.take(&deadline).unwrap());
    pool.shut_down();
    assert!(!waiter.join().unwrap().unwrap_or(false));
    assert!(pool.open().idle.is_empty());
    assert!(pool.take(&deadline).is_err());
    assert!(matches!(pool.connect(&deadline), Err(Error::Io(_))));
}

#[test]
fn time_that_is_over_is_said_to_be() {
    let nothing_left = Limits {
        total: Duration::ZERO,
        ..limits()
    };
    let error = Deadline::new(nothing_left).left().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Global)));
    let deadline = Deadline::new(limits());
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let connect = deadline.at_most(second, Timeout::Connect).unwrap();
    assert_eq!((*connect.after, connect.reason), (second, Timeout::Connect));
    let whole = deadline.at_most(day, Timeout::Connect).unwrap();
    assert_eq!(
        (*whole.after, whole.reason),
        (limits().total, Timeout::Global)
    );
}
