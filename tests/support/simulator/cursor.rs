//! Cursors: opaque for the client, positions for the server.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;

use super::config::CursorLife;
use super::instant::{Instant, SECOND};

const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Why a cursor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is none of ours, or other parameters were sent with it.
    Wrong,
    /// It is too old or was used too often.
    Expired,
}

/// Gives and takes cursors.
#[derive(Debug, Default)]
pub struct Cursors {
    uses: Mutex<HashMap<String, u32>>,
}

impl Cursors {
    /// A cursor that stands for these numbers; `query` are the parameters it belongs to.
    pub fn give(query: &str, now: Instant, numbers: &[i64]) -> String {
        let mut bytes = Vec::new();
        for number in [fingerprint(query), now].iter().chain(numbers) {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        encode(&bytes)
    }

    /// The numbers that a cursor stands for.
    pub fn take<const N: usize>(
        &self,
        cursor: &str,
        query: &str,
        life: CursorLife,
        now: Instant,
    ) -> Result<[i64; N], Refusal> {
        let bytes = decode(cursor).ok_or(Refusal::Wrong)?;
        let numbers: Vec<i64> = bytes
            .chunks_exact(8)
            .map(|chunk| i64::from_be_bytes(chunk.try_into().unwrap()))
            .collect();
        if numbers.len() != N + 2 || bytes.len() != 8 * (N + 2) || numbers[0] != fingerprint(query)
        {
            return Err(Refusal::Wrong);
        }
        if life
            .seconds
            .is_some_and(|s| now - numbers[1] > i64::from(s) * SECOND)
        {
            return Err(Refusal::Expired);
        }
        if let Some(most) = life.uses {
            let mut uses = self.uses.lock().unwrap();
            let used = uses.entry(cursor.to_owned()).or_default();
            *used += 1;
            if *used > most {
                return Err(Refusal::Expired);
            }
        }
        numbers[2..].try_into().map_err(|_| Refusal::Wrong)
    }
}

fn fingerprint(query: &str) -> i64 {
    let mut hasher = DefaultHasher::new();
    query.hash(&mut hasher);
    hasher.finish() as i64
}

/// URL-safe base64 without padding.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..=chunk.len() {
            let symbol = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(SYMBOLS[symbol as usize]));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let symbol = match chunk.get(place) {
                Some(symbol) => SYMBOLS.iter().position(|s| s == symbol)? as u32,
                None => 0,
            };
            bits = (bits << 6) | symbol;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}
