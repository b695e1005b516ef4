//! LOGIN7: who the client is and what it wants.

use std::io::{self, ErrorKind};

use super::message::{Message, utf16};

/// The part of LOGIN7 that this server looks at.
#[derive(Debug, Clone)]
pub struct Login {
    pub tds_version: u32,
    pub packet_size: usize,
    pub user: String,
    pub password: String,
    pub application: String,
    pub database: String,
    /// The client wants to log in without a password, by Kerberos or the like.
    pub integrated: bool,
    /// `ApplicationIntent=ReadOnly`.
    pub read_only: bool,
}

pub fn read(message: &mut Message<'_>) -> io::Result<Login> {
    let body = message.rest()?;
    let wrong = || io::Error::new(ErrorKind::InvalidData, "a LOGIN7 that ends too early");
    let number = |at: usize| -> io::Result<u32> {
        let bytes = body.get(at..at + 4).ok_or_else(wrong)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let field = |at: usize| -> io::Result<&[u8]> {
        let entry = body.get(at..at + 4).ok_or_else(wrong)?;
        let offset = usize::from(u16::from_le_bytes([entry[0], entry[1]]));
        let length = usize::from(u16::from_le_bytes([entry[2], entry[3]])) * 2;
        if length == 0 {
            return Ok(&[]);
        }
        body.get(offset..offset + length).ok_or_else(wrong)
    };
    let flags = |at: usize| body.get(at).copied().ok_or_else(wrong);
    let password: Vec<u8> = field(44)?
        .iter()
        .map(|byte| (byte ^ 0xa5).rotate_left(4))
        .collect();
    Ok(Login {
        tds_version: number(4)?,
        packet_size: usize::try_from(number(8)?).map_err(|_| wrong())?,
        user: utf16(field(40)?),
        password: utf16(&password),
        application: utf16(field(48)?),
        database: utf16(field(68)?),
        integrated: flags(25)? & 0x80 != 0,
        read_only: flags(26)? & 0x20 != 0,
    })
}
