//! A panic inside a driver ends one try, not the program. scripts/prove-static.sh runs this with each static binary too,
//! as the tables by which a panic is caught are made small there.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use crate::sink_mysql::greeting_and_a_key_that_is_none;
use crate::support::program::Program;
use crate::support::simulator::{Config, Simulator};

#[test]
fn a_server_that_makes_a_library_panic_is_one_failed_try() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the tests: how often the program calls is its own affair.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            client
                .write_all(&greeting_and_a_key_that_is_none())
                .unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        }
    });
    let sim = Simulator::start(Config::default());
    let url = format!("mysql://user:password@127.0.0.1:{port}/copy?useSSL=false");
    let program = Program::new(&sim, &url);
    let ended = program.run("check");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = "the server's public key is not valid";
    assert!(ended.stdout.contains(told), "{ended:?}");
    let log = program.log();
    assert!(log.contains("the library mysql_common "), "{log}");
    assert!(!log.contains("report it"), "{log}");
}
