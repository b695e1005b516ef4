//! Tests of the client against a scripted server on this computer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod connection;
mod documents;
mod exchange;
mod listings;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use time::macros::{date, datetime};

use super::client::{Client, EventQuery, Fetched, Listed, Options};
use super::pages::PageError;
use super::scripted::{Server, Step, answer, ok, status};
use crate::error::{Error, ErrorKind};
use crate::net::http::Limits;
use crate::net::retry::{Pause, RetryPolicy};
use crate::net::secret::Secret;
use crate::net::tls::Roots;

const TOKEN: &str = "tok-SECRET_0123456789";
const LISTING: &str = "/api/campaigns/CAMP/contacts/list?limit=1000";

/// A client whose waits are recorded instead of waited, and as long as they can be.
struct Setup {
    options: Options,
    waits: Arc<Mutex<Vec<Duration>>>,
}

fn setup(url: &str) -> Setup {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&waits);
    let pause = Pause {
        sleep: Arc::new(move |wait| {
            record.lock().unwrap().push(wait);
            Ok(())
        }),
        random: Arc::new(|| u64::MAX),
    };
    let options = Options {
        api_url: url.to_owned(),
        campaign: "CAMP".to_owned(),
        token: Secret::new(TOKEN),
        roots: Roots::load(None).unwrap(),
        proxy: None,
        limits: Limits {
            total: Duration::from_secs(20),
            ..Limits::default()
        },
        retry: RetryPolicy {
            attempts: 4,
            ..RetryPolicy::default()
        },
        pause,
    };
    Setup { options, waits }
}

impl Setup {
    fn client(self) -> Client {
        Client::new(self.options).unwrap()
    }
}

fn client(server: &Server) -> Client {
    setup(&server.url()).client()
}

/// The text of an error of this kind, after a look for secrets in it.
fn text(error: &Error, kind: ErrorKind) -> String {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!error.to_string().contains("SECRET"), "{error}");
    error.to_string()
}

fn failed(result: Result<impl std::fmt::Debug, PageError>) -> Error {
    match result.unwrap_err() {
        PageError::Failed(error) => error,
        PageError::Expired(error) => panic!("expired: {error}"),
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ids(client: &Client) -> Vec<String> {
    client
        .contact_list(None)
        .next_page()
        .unwrap()
        .unwrap()
        .items
        .into_iter()
        .map(|listed| listed.id)
        .collect()
}

const ONE: &str = r#"{"count":1,"results":[{"id":"C1","md5":"m1"}]}"#;
