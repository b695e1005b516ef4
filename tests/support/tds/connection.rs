//! One client from its first byte to its last: PRELOGIN, TLS, LOGIN7, then requests.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use super::ServerState;
use super::engine::functions::lock;
use super::engine::session::{Flow, Session};
use super::error::SqlError;
use super::options::SERVER_NAME;
use super::requests;
use super::wire::answer::{Answer, finish_after_attention};
use super::wire::login::{self, Login};
use super::wire::message::{
    ATTENTION, BULK_LOAD, LOGIN7, Message, PRELOGIN, RPC, Response, SQL_BATCH, TRANSACTION_MANAGER,
};
use super::wire::prelogin::{self, Agreed};
use super::wire::tokens::{self, Change, Done, Notice};
use super::wire::transport::Transport;

/// The size of packets until the log-in agrees upon another.
const FIRST_PACKET_SIZE: usize = 4096;

pub fn serve(tcp: TcpStream, state: &Arc<ServerState>) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut transport = Transport::new(tcp);
    let strict = transport.begins_with_tls()?;
    if strict {
        transport.accept_strict(&state.strict_tls)?;
    }
    let Some(agreed) = prelogin(&mut transport, state, strict)? else {
        return Ok(());
    };
    match agreed {
        Agreed::LoginOnly | Agreed::Everything if !strict => {
            transport.accept_in_packets(&state.tls)?;
        }
        Agreed::Impossible => return Ok(()),
        _ => {}
    }
    let login = {
        let Some(mut message) = Message::receive(&mut transport, usize::from(u16::MAX))? else {
            return Ok(());
        };
        if message.kind != LOGIN7 {
            return Ok(());
        }
        login::read(&mut message)?
    };
    if agreed == Agreed::LoginOnly {
        transport.drop_tls();
    }
    thread::sleep(state.options.login_delay);
    state.logins.lock().expect("no panics").push((
        login.user.clone(),
        login.application.clone(),
        transport.is_encrypted(),
    ));
    let Some((session, packet_size)) = log_in(&mut transport, state, &login)? else {
        return Ok(());
    };
    serve_requests(&mut transport, session, packet_size)
}

fn prelogin(
    transport: &mut Transport,
    state: &ServerState,
    strict: bool,
) -> io::Result<Option<Agreed>> {
    let (client, instance) = {
        let Some(mut message) = Message::receive(transport, FIRST_PACKET_SIZE)? else {
            return Ok(None);
        };
        if message.kind != PRELOGIN {
            return Ok(None);
        }
        prelogin::read(&mut message)?
    };
    let (option, agreed) = prelogin::agree(state.options.encryption, client);
    let own = state.options.instance.as_deref().unwrap_or("MSSQLSERVER");
    let wrong = !instance.is_empty() && !instance.eq_ignore_ascii_case(own);
    transport.write_all(&prelogin::answer(
        state.options.version.numbers(),
        option,
        wrong,
    ))?;
    transport.flush()?;
    Ok(Some(if strict { Agreed::Everything } else { agreed }))
}

/// Checks user and database, and greets.
fn log_in(
    transport: &mut Transport,
    state: &Arc<ServerState>,
    login: &Login,
) -> io::Result<Option<(Session, usize)>> {
    let options = &state.options;
    let refused = || {
        SqlError::new(
            18_456,
            14,
            format!("Login failed for user '{}'.", login.user),
        )
    };
    let user = options.users.iter().find(|user| {
        user.name.eq_ignore_ascii_case(&login.user)
            && user.password == login.password
            && !login.integrated
    });
    let wanted = if login.database.is_empty() {
        &options.databases[0]
    } else {
        &login.database
    };
    let opened = match (user, state.store.database(wanted)) {
        (None, _) => Err(vec![refused()]),
        (Some(_), None) => Err(vec![
            SqlError::new(
                4060,
                11,
                format!(
                    "Cannot open database \"{wanted}\" requested by the login. The login failed."
                ),
            ),
            refused(),
        ]),
        (Some(user), Some(database)) => Ok((user, database)),
    };
    let mut response = Response::new(FIRST_PACKET_SIZE);
    let put = |out: &mut Vec<u8>, error: &SqlError| {
        tokens::notice(
            out,
            &Notice {
                number: error.number,
                state: error.state,
                class: error.class,
                message: &error.message,
                server: SERVER_NAME,
                line: 1,
            },
        );
    };
    let (user, database) = match opened {
        Ok(opened) => opened,
        Err(errors) => {
            for error in &errors {
                put(response.buffer(), error);
            }
            tokens::done(response.buffer(), Done::Batch, tokens::ERROR, 0, 0);
            response.finish(transport)?;
            return Ok(None);
        }
    };
    let session = Session::open(
        &state.store,
        &state.controls,
        &state.options,
        database,
        &user.name,
        &login.application,
        user.rights,
    )
    .map_err(io::Error::other)?;
    let packet_size = if (512..=options.largest_packet).contains(&login.packet_size) {
        login.packet_size
    } else {
        FIRST_PACKET_SIZE.min(options.largest_packet)
    };
    let out = response.buffer();
    tokens::change(
        out,
        &Change::Database {
            new: database,
            old: "master",
        },
    );
    let context = format!("Changed database context to '{database}'.");
    put(
        out,
        &SqlError {
            number: 5701,
            class: 0,
            state: 2,
            message: context,
        },
    );
    tokens::change(out, &Change::Collation);
    let language = "Changed language setting to us_english.".to_owned();
    put(
        out,
        &SqlError {
            number: 5703,
            class: 0,
            state: 1,
            message: language,
        },
    );
    for _ in 0..options.greetings {
        put(out, &SqlError::new(0, 0, "x".repeat(1000)));
    }
    tokens::login_acknowledgement(
        out,
        options.version.tds().min(login.tds_version),
        options.version.numbers(),
    );
    tokens::change(
        out,
        &Change::PacketSize {
            new: packet_size,
            old: FIRST_PACKET_SIZE,
        },
    );
    tokens::done(out, Done::Batch, 0, 0, 0);
    response.finish(transport)?;
    Ok(Some((session, packet_size)))
}

fn serve_requests(
    transport: &mut Transport,
    mut session: Session,
    packet_size: usize,
) -> io::Result<()> {
    // The rest of an answer that the client has interrupted.
    let mut unfinished: Option<Response> = None;
    // What a merely compatible system answers to the next request instead of to that one.
    let mut stale: Option<SqlError> = None;
    loop {
        // The request is read to its end before it is answered, but for a bulk load, which may be long.
        let Some(mut message) = Message::receive(transport, packet_size)? else {
            return Ok(());
        };
        let kind = message.kind;
        if kind != ATTENTION && unfinished.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a request before the answer to the last one has ended",
            ));
        }
        let flow = match kind {
            ATTENTION => {
                message.finish()?;
                let response = unfinished.take();
                let response = response.unwrap_or_else(|| Response::new(packet_size));
                finish_after_attention(response, transport)?;
                continue;
            }
            SQL_BATCH => {
                message.skip_headers()?;
                let text = super::wire::message::utf16(&message.rest()?);
                let wanted = message.finish()?;
                let mut answer = Answer::new(transport, packet_size, false);
                let flow = if let Some(error) = stale.take() {
                    session.fail(error, 1, &mut answer)
                } else if wanted {
                    session.run(&text, std::collections::HashMap::new(), &mut answer)
                } else {
                    Flow::End
                };
                end(answer, flow, &mut unfinished)?
            }
            RPC => {
                message.skip_headers()?;
                let call = requests::read_call(&mut message)?;
                message.finish()?;
                let mut answer = Answer::new(transport, packet_size, true);
                let flow = requests::call(&mut session, call, &mut answer);
                end(answer, flow, &mut unfinished)?
            }
            TRANSACTION_MANAGER => {
                message.skip_headers()?;
                let request = requests::read_transaction_request(&mut message)?;
                message.finish()?;
                let mut answer = Answer::new(transport, packet_size, false);
                let flow = requests::transaction(&mut session, request, &mut answer);
                end(answer, flow, &mut unfinished)?
            }
            BULK_LOAD => {
                let Some(loaded) = requests::bulk_load(&mut session, message)? else {
                    transport.close();
                    return Ok(());
                };
                let mut answer = Answer::new(transport, packet_size, false);
                let flow = match loaded {
                    Ok(rows) => {
                        session.counted(tokens::command::BULK, rows, &mut answer);
                        Flow::Next
                    }
                    Err(error) if error.is_interruption() => Flow::Next,
                    Err(error) => {
                        stale = session.options.compatible.then(|| error.clone());
                        session.fail(error, 1, &mut answer)
                    }
                };
                end(answer, flow, &mut unfinished)?
            }
            other => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a request of kind {other}"),
                ));
            }
        };
        lock(&session.shared).clear();
        if flow == Flow::Close {
            transport.close();
            return Ok(());
        }
    }
}

/// Sends the rest of an answer, unless an attention signal has come, whose answer it becomes a part of.
fn end(answer: Answer<'_>, flow: Flow, unfinished: &mut Option<Response>) -> io::Result<Flow> {
    if answer.was_interrupted() {
        *unfinished = Some(answer.into_response());
    } else {
        answer.finish()?;
    }
    Ok(flow)
}
