//! Lists of the checkpoint file, of which no more is read than is ever written.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{MAX_ABSENT, MAX_KEEPERS, MAX_RECENT, MAX_RETRIES, MAX_WITNESSES, Unmatched, Witness};
use crate::source::pages::MAX_ID;
use crate::tables::schema::Table;

/// The longest that is remembered for another try: an event of three parts and a pointer.
const MAX_RETRY: usize = 4 * MAX_ID;

/// Reads [`MAX_RETRIES`] ids, without those that are too long for one.
pub(super) fn retries<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    let mut read: Vec<String> = deserializer.deserialize_seq(First::new(MAX_RETRIES))?;
    read.retain(|name| name.len() <= MAX_RETRY);
    Ok(read)
}

/// Reads [`MAX_RETRIES`] events that wait, and as many that are given up.
pub(super) fn unmatched<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<Unmatched>, D::Error> {
    let mut read: Vec<Unmatched> = deserializer.deserialize_seq(First::new(2 * MAX_RETRIES))?;
    read.retain(|unmatched| unmatched.event.len() <= MAX_RETRY);
    Ok(read)
}

/// Reads [`MAX_WITNESSES`] and [`MAX_KEEPERS`] of each table.
pub(super) fn witnesses<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<Witness>, D::Error> {
    deserializer.deserialize_seq(First::new((MAX_WITNESSES + MAX_KEEPERS) * Table::ALL.len()))
}

/// Reads [`MAX_RECENT`] contacts, without those whose ids are too long for one.
pub(super) fn recent<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<(String, i64)>, D::Error> {
    times(deserializer, MAX_RECENT)
}

/// Reads [`MAX_ABSENT`] contacts, without those whose ids are too long for one.
pub(super) fn absent_since<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<(String, i64)>, D::Error> {
    times(deserializer, MAX_ABSENT)
}

fn times<'de, D: Deserializer<'de>>(
    deserializer: D,
    most: usize,
) -> std::result::Result<Vec<(String, i64)>, D::Error> {
    let mut read: Vec<(String, i64)> = deserializer.deserialize_seq(First::new(most))?;
    read.retain(|(contact, _)| contact.len() <= MAX_ID);
    Ok(read)
}

/// Reads the first so many of a list: a file that holds more was not written by this program.
struct First<T> {
    most: usize,
    of: PhantomData<T>,
}

impl<T> First<T> {
    fn new(most: usize) -> Self {
        First {
            most,
            of: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for First<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of contacts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Vec<T>, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = seq.next_element()? {
            if read.len() < self.most {
                read.push(item);
            }
        }
        Ok(read)
    }
}
