//! Where the program under torture writes to, and what can happen there.

use std::time::Duration;

use super::Target;
use super::disk::Disk;
use super::faults::Fault;
use crate::support::database::Database;
use crate::support::locked::Locked;
use crate::support::receiver::{Receiver, Reply};
use crate::support::servers::{Kind, PrivateServer, private_server_prepared};
use crate::support::simulator::random::{Dice, pair};
use crate::support::sqlserver::PrivateSqlServer;
use crate::support::temp::TempDir;

/// Room for a database with its logs.
const SERVER_MEGABYTES: u32 = 600;
const SQLITE_MEGABYTES: u32 = 100;

/// A database or web service, which outlives the campaigns that are copied into it.
pub enum Destination {
    Sqlite {
        // Unmounted before its directory goes.
        disk: Disk,
        database: Database,
        _directory: TempDir,
    },
    Server {
        server: PrivateServer,
        disk: Disk,
        database: Database,
    },
    SqlServer(Box<PrivateSqlServer>),
    Receiver(Box<Receiver>),
}

/// What a fault has taken away for as long as it lasts.
pub enum Held {
    Nothing,
    Lock(Locked),
}

impl Destination {
    /// Starts it.
    pub fn start(target: Target) -> Destination {
        match target {
            Target::Webhook => {
                let receiver = Receiver::start();
                receiver.keep_transactions_only();
                Destination::Receiver(Box::new(receiver))
            }
            Target::Database(Kind::Sqlite) => {
                let directory = TempDir::new();
                let url = format!("sqlite:{}/test.db", directory.path().display());
                Destination::Sqlite {
                    disk: Disk::mount(directory.path(), SQLITE_MEGABYTES),
                    database: Database::at(Kind::Sqlite, url),
                    _directory: directory,
                }
            }
            Target::Database(Kind::SqlServer) => {
                Destination::SqlServer(Box::new(PrivateSqlServer::new()))
            }
            Target::Database(kind) => {
                let mut disk = None;
                let server = private_server_prepared(kind, "server", &mut |directory| {
                    disk = Some(Disk::mount(directory, SERVER_MEGABYTES));
                });
                Destination::Server {
                    database: server.database(),
                    server,
                    disk: disk.unwrap(),
                }
            }
        }
    }

    pub fn url(&self) -> String {
        match self {
            Destination::Receiver(receiver) => receiver.url(),
            _ => self.database().unwrap().url.clone(),
        }
    }

    pub fn database(&self) -> Option<&Database> {
        match self {
            Destination::Sqlite { database, .. } | Destination::Server { database, .. } => {
                Some(database)
            }
            Destination::SqlServer(server) => Some(&server.database),
            Destination::Receiver(_) => None,
        }
    }

    pub fn receiver(&self) -> Option<&Receiver> {
        match self {
            Destination::Receiver(receiver) => Some(receiver),
            _ => None,
        }
    }

    /// Lets a fault begin; false where it can't be done here.
    pub fn begin(&mut self, fault: Fault, seed: u64) -> Option<Held> {
        match (fault, self) {
            (Fault::DatabaseKilled, Destination::Server { server, .. }) => server.kill(),
            (Fault::DatabaseStopped, Destination::Server { server, .. }) => server.stop(),
            (Fault::DatabaseHalted, Destination::Server { server, .. }) => server.halt(),
            (Fault::DatabaseKilled | Fault::DatabaseStopped, Destination::SqlServer(server)) => {
                server.stop()
            }
            (Fault::ConnectionsDropped, Destination::Server { database, .. }) => {
                drop_connections(database);
            }
            (Fault::ConnectionsDropped, Destination::SqlServer(server)) => {
                server.drop_connections();
            }
            (
                Fault::DatabaseFull,
                Destination::Server { disk, .. } | Destination::Sqlite { disk, .. },
            ) => return disk.fill().then_some(Held::Nothing),
            (Fault::TableLocked, destination) => {
                // Not where the program itself holds it for long, nor before there is a table.
                return Locked::new(destination.database()?).ok().map(Held::Lock);
            }
            (fault, Destination::Receiver(receiver)) => misbehave(receiver, fault, seed),
            _ => return None,
        }
        Some(Held::Nothing)
    }

    /// Ends it.
    pub fn end(&mut self, fault: Fault) {
        match (fault, self) {
            (
                Fault::DatabaseKilled | Fault::DatabaseStopped,
                Destination::Server { server, .. },
            ) => server.start(),
            (Fault::DatabaseKilled | Fault::DatabaseStopped, Destination::SqlServer(server)) => {
                server.start()
            }
            (Fault::DatabaseHalted, Destination::Server { server, .. }) => server.resume(),
            (Fault::DatabaseFull, Destination::Sqlite { disk, .. }) => disk.free(),
            (Fault::DatabaseFull, Destination::Server { disk, server, .. }) => {
                disk.free();
                // A server that can't write its log gives up, as its admin would see.
                if !server.runs() {
                    server.start();
                }
            }
            (Fault::ReceiverDown, Destination::Receiver(receiver)) => receiver.come_back(),
            (_, Destination::Receiver(receiver)) => receiver.mend(),
            _ => {}
        }
    }

    /// Empties it for the next campaign.
    pub fn clear(&mut self) {
        match self {
            Destination::Receiver(_) => *self = Destination::start(Target::Webhook),
            Destination::SqlServer(_) => {
                *self = Destination::start(Target::Database(Kind::SqlServer));
            }
            Destination::Sqlite { database, .. } | Destination::Server { database, .. } => {
                for table in [
                    "contacts",
                    "transactions",
                    "connections",
                    "recordings",
                    "inbound_calls",
                ] {
                    database.execute(&format!("DROP TABLE IF EXISTS dfire_{table}"));
                }
            }
        }
    }
}

fn drop_connections(database: &Database) {
    match database.kind {
        Kind::Postgres => database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'dbsync2' AND pid <> pg_backend_pid()",
        ),
        _ => {
            let others = database.query(
                "SELECT id FROM information_schema.processlist \
                 WHERE db = DATABASE() AND id <> CONNECTION_ID()",
            );
            for id in others.into_iter().flatten().flatten() {
                // It may have ended meanwhile.
                database.execute(&format!(
                    "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @gone = 1; KILL {id}; END"
                ));
            }
        }
    }
}

fn misbehave(receiver: &mut Receiver, fault: Fault, seed: u64) {
    match fault {
        Fault::ReceiverDown => receiver.go_down(),
        Fault::ReceiverFaulty(share) => receiver.fail_at_rate(
            seed,
            share,
            vec![
                Reply::status(500),
                Reply::status(404),
                Reply::status(503),
                Reply::Reset,
                Reply::OkThenClose,
                Reply::Silence(Duration::from_millis(1500)),
                Reply::DrippingHead,
                Reply::DrippingBody,
                Reply::Endless,
            ],
        ),
        Fault::ReceiverRefuses(one_in) => receiver.behave(move |arrival| {
            let hash = arrival
                .contact_id
                .bytes()
                .fold(seed, |hash, byte| pair(hash, u64::from(byte)));
            Reply::status(if hash.is_multiple_of(one_in) {
                422
            } else {
                200
            })
        }),
        Fault::ReceiverBusy => {
            let mut dice = Dice::new(seed);
            receiver.behave(move |_| {
                let status = dice.pick(&[429, 503]);
                Reply::Status(status, vec![("Retry-After", "1".to_owned())])
            });
        }
        _ => receiver.behave(|_| Reply::status(401)),
    }
}
