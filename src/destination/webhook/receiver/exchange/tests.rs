#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::VecDeque;

use ureq::Timeout;
use ureq::unversioned::transport::{Buffers, LazyBuffers};

use super::*;

/// The other side: its answer comes in these pieces, then it closes the connection.
#[derive(Debug)]
struct Scripted {
    buffers: LazyBuffers,
    sent: Vec<Vec<u8>>,
    answer: VecDeque<Vec<u8>>,
}

impl Scripted {
    fn new(answer: impl IntoIterator<Item = Vec<u8>>) -> Scripted {
        Scripted {
            buffers: LazyBuffers::new(32 << 10, 1000),
            sent: Vec::new(),
            answer: answer.into_iter().collect(),
        }
    }
}

impl Transport for Scripted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }
    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.sent.push(self.buffers.output()[..amount].to_vec());
        Ok(())
    }
    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let Some(piece) = self.answer.pop_front() else {
            return Ok(false);
        };
        let room = self.buffers.input_append_buf();
        let amount = room.len().min(piece.len());
        room[..amount].copy_from_slice(&piece[..amount]);
        self.buffers.input_appended(amount);
        if amount < piece.len() {
            self.answer.push_front(piece[amount..].to_vec());
        }
        Ok(amount > 0)
    }
    fn is_open(&mut self) -> bool {
        true
    }
}

fn ask(connection: &mut Scripted, is_head: bool) -> Result<Answer, Error> {
    ask_at_most(connection, is_head, 64 << 10)
}

fn ask_at_most(connection: &mut Scripted, is_head: bool, longest: usize) -> Result<Answer, Error> {
    let left = || Ok(NextTimeout::default());
    exchange(connection, (b"HEAD\r\n\r\n", b"{}"), is_head, longest, left)
}

/// The answer is the same in whatever pieces it comes.
fn answer(text: &str) -> Result<Answer, String> {
    let whole = ask(&mut Scripted::new([text.into()]), false);
    let bytes = text.bytes().map(|byte| vec![byte]);
    let whole = whole.map_err(|error| error.to_string());
    let in_bytes = ask(&mut Scripted::new(bytes), false).map_err(|error| error.to_string());
    // Whether something follows can be seen only when it is there.
    if let (Ok(whole), Ok(in_bytes)) = (&whole, &in_bytes) {
        assert_eq!(
            (whole.status, &whole.body),
            (in_bytes.status, &in_bytes.body)
        );
    } else {
        assert_eq!(whole, in_bytes, "{text}");
    }
    whole
}

/// Status, body and whether the connection can be used again.
fn seen(text: &str) -> (u16, String, bool) {
    let answer = answer(text).unwrap();
    let body = String::from_utf8(answer.body).unwrap();
    (answer.status, body, answer.reusable)
}

#[test]
fn the_body_ends_where_its_head_says() {
    for (head, body, wanted, reusable) in [
        ("Content-Length: 2", "ok", "ok", true),
        ("content-length:0", "", "", true),
        ("Content-Length: 2\r\ncontent-length: 2", "ok", "ok", true),
        (
            "Transfer-Encoding: chunked",
            "2\r\nok\r\n0\r\n\r\n",
            "ok",
            true,
        ),
        (
            "transfer-encoding: gzip, Chunked",
            "1;a=b\r\no\r\n01\r\nk\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
            "ok",
            true,
        ),
        (
            "Content-Length: 9\r\nTransfer-Encoding: chunked",
            "2\r\nok\r\n0\r\n\r\n",
            "ok",
            true,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 9",
            "2\r\nok\r\n0\r\n\r\n",
            "ok",
            true,
        ),
        // No end is named: that of the connection.
        ("X: y", "ok", "ok", false),
        ("Transfer-Encoding: gzip", "ok", "ok", false),
        // It ends too early, or not where it should.
        ("Content-Length: 3", "ok", "ok", false),
        ("Content-Length: 1", "ok", "o", false),
        ("Content-Length: 2\r\nContent-Length: 1", "ok", "ok", false),
        ("Content-Length: two", "ok", "ok", false),
        ("Content-Length: -2", "ok", "ok", false),
        (
            "Transfer-Encoding: chunked",
            "2\r\nok\r\n0\r\n",
            "ok",
            false,
        ),
        (
            "Transfer-Encoding: chunked",
            "2\r\nokk\r\n0\r\n\r\n",
            "ok",
            false,
        ),
        ("Transfer-Encoding: chunked", "ok", "", false),
        (
            "Transfer-Encoding: chunked",
            "ffffffffffffffffff\r\nok",
            "",
            false,
        ),
        // The other side won't take another request.
        ("Content-Length: 2\r\nConnection: close", "ok", "ok", false),
        (
            "Content-Length: 2\r\nconnection: x, CLOSE",
            "ok",
            "ok",
            false,
        ),
        (
            "Content-Length: 2\r\nConnection: keep-alive",
            "ok",
            "ok",
            true,
        ),
    ] {
        let text = format!("HTTP/1.1 500 No\r\n{head}\r\n\r\n{body}");
        assert_eq!(seen(&text), (500, wanted.to_owned(), reusable), "{text:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(seen(old), (200, "ok".to_owned(), false));
}

#[test]
fn no_more_of_a_body_is_read_than_the_limit() {
    let long = "x".repeat(41);
    for (head, body) in [
        ("Content-Length: 41", long.clone()),
        ("X: y", long.clone()),
        ("Content-Length: 18446744073709551615", long.clone()),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
        let mut connection = Scripted::new([text.clone().into()]);
        let answer = ask_at_most(&mut connection, false, text.len() - 1).unwrap();
        let seen = (answer.status, answer.body.len(), answer.reusable);
        assert_eq!(seen, (200, 40, false), "{head}");
    }
}

/// Each part of an answer counts: with one byte more than the limit the connection is not used again, or, in the head,
/// there is no answer at all.
#[test]
fn heads_informational_answers_chunk_sizes_and_trailers_count_as_well() {
    let early = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n".repeat(50);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n".to_owned() + &"x".repeat(40),
        early.clone() + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        format!("{chunked}1\r\nx\r\n0\r\n\r\n"),
        format!("{chunked}{}0\r\n\r\n", "1;name=value\r\nx\r\n".repeat(500)),
        format!("{chunked}0\r\n{}\r\n", "X-Trailer: y\r\n".repeat(500)),
    ] {
        for pieces in [1, 7, text.len()] {
            let pieces = || text.as_bytes().chunks(pieces).map(<[u8]>::to_vec);
            let answer = |longest| ask_at_most(&mut Scripted::new(pieces()), false, longest);
            assert!(answer(text.len()).unwrap().reusable, "{text}");
            assert!(!answer(text.len() - 1).unwrap().reusable, "{text}");
        }
    }
    let endless = || std::iter::repeat_n(early.clone().into_bytes(), 1000);
    let mut connection = Scripted::new(endless());
    let error = ask_at_most(&mut connection, false, 64 << 10).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    // What was taken from the other side is the limit, and what the connection's buffer holds.
    let read = early.len() * (1000 - connection.answer.len());
    assert!(read <= (64 << 10) + (32 << 10) + early.len(), "{read}");
}

#[test]
fn some_answers_have_no_body() {
    for status in [204, 304] {
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n");
        assert_eq!(seen(&text), (status, String::new(), true));
    }
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let to_head = ask(&mut Scripted::new([text.into()]), true).unwrap();
    assert!(to_head.reusable && to_head.body.is_empty(), "{to_head:?}");
}

#[test]
fn what_is_said_on_the_way_is_not_the_answer() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLocation: /a\r\n\r\n\
                HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(seen(text), (202, String::new(), true));
    assert_eq!(answer(text).unwrap().location, None);
    let other = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n";
    assert_eq!(answer(other).unwrap().status, 101);
}

#[test]
fn the_headers_that_count_are_read() {
    let text = "HTTP/1.1 429 Slow\r\nDATE: now\r\nretry-After: 7\r\nlocation: /x?y\r\nX-Bad: \u{80}\r\n\
                content-length: 0\r\n\r\n";
    let wanted = Answer {
        status: 429,
        date: Some("now".to_owned()),
        retry_after: Some("7".to_owned()),
        location: Some("/x?y".to_owned()),
        body: Vec::new(),
        reusable: true,
    };
    assert_eq!(answer(text), Ok(wanted));
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (text, reason) in [
        ("", "unexpected end of file"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "unexpected end of file"),
        ("SSH-2.0-OpenSSH\r\n", "its answer is not HTTP: "),
        ("HTTP/1.1 2x0 OK\r\n\r\n", "its answer is not HTTP: "),
        ("HTTP/2 200\r\n\r\n", "its answer is not HTTP: "),
        (
            &format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(25 << 10)),
            "the head of its answer is too long",
        ),
        (
            &format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101)),
            "its answer is not HTTP: too many headers",
        ),
    ] {
        let error = ask(&mut Scripted::new([text.into()]), false).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_request_goes_out_in_few_packets() {
    for length in [0, 1, 990, 991, 2500] {
        let body: Vec<u8> = (0..=255).cycle().take(length).collect();
        let mut connection = Scripted::new([b"HTTP/1.1 204 X\r\n\r\n".to_vec()]);
        let left = || Ok(NextTimeout::default());
        exchange(
            &mut connection,
            (b"0123456\r\n\r\n", &body),
            false,
            100,
            left,
        )
        .unwrap();
        let packets: Vec<usize> = connection.sent.iter().map(Vec::len).collect();
        assert_eq!(packets.len(), (length + 11).div_ceil(1000), "{packets:?}");
        assert_eq!(
            connection.sent.concat(),
            [b"0123456\r\n\r\n", body.as_slice()].concat()
        );
    }
}

#[test]
fn time_that_is_over_ends_the_attempt() {
    let over = || Err(Error::Timeout(Timeout::Global));
    let mut connection = Scripted::new([b"HTTP/1.1 204 X\r\n\r\n".to_vec()]);
    let error = exchange(&mut connection, (b"x", b""), false, 0, over).unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Global)), "{error}");
    assert!(connection.sent.is_empty());
    // Once the status is there, it counts.
    let asked = std::cell::Cell::new(0);
    let at_last = || match asked.replace(asked.get() + 1) {
        0 | 1 => Ok(NextTimeout::default()),
        _ => over(),
    };
    let mut connection = Scripted::new([b"HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\n".to_vec()]);
    let answer = exchange(&mut connection, (b"x", b""), false, 99, at_last).unwrap();
    assert_eq!((answer.status, answer.reusable), (200, false));
}
