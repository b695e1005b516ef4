//! Windows-1252, the code page of varchar.

/// Windows-1252 from 0x80 to 0x9f; undefined ones stand for themselves.
const CP1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

pub fn from_cp1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => CP1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// `None` for what a varchar column can't hold.
pub fn to_cp1252(c: char) -> Option<u8> {
    match u8::try_from(c) {
        Ok(byte) if !(0x80..=0x9f).contains(&byte) => Some(byte),
        _ => CP1252
            .iter()
            .position(|known| *known == c)
            .and_then(|at| u8::try_from(at + 0x80).ok()),
    }
}
