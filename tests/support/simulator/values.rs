//! Values of custom fields and times, plain and odd.

use super::config::Config;
use super::document::Value;
use super::fields::Field;
use super::instant::{DAY, Instant, date, local, zulu};
use super::random::Dice;

const WORDS: [&str; 24] = [
    "Beispiel GmbH",
    "Muster AG",
    "Erika",
    "Jürgen",
    "Özlem",
    "Łukasz",
    "Nordwind KG",
    "Süßwaren Groß & Söhne",
    "Musterstadt",
    "Tarif A",
    "Tarif B",
    "Bestandskunde",
    "Neukunde",
    "Zentrale",
    "Frau",
    "Herr",
    "kein Interesse",
    "Rückruf gewünscht",
    "Musterstraße 12a",
    "info@beispiel.invalid",
    "Vertrag läuft bis Jahresende",
    "ja",
    "nein",
    "Terminvorschlag am Dienstagvormittag, bitte vorher per E-Mail bestätigen",
];

/// Texts that have broken programs before.
const ODD_TEXTS: [&str; 26] = [
    "Zeile eins\nZeile zwei – äöü 🙂",
    "Windows\r\nZeile",
    "Tab\tgetrennt\t",
    "Rückwärts\\Schrägstrich \\n \\\\server\\pfad",
    "\"in Anführungszeichen\"",
    "O'Reilly's; DROP TABLE contacts;--",
    "am Ende Leerzeichen   ",
    "   vorn",
    " ",
    "null",
    "NULL",
    "\\N",
    "\\.",
    "{\"kein\": \"JSON\"}",
    "{1,2,NULL}",
    "a,b;c|d",
    "👩‍👩‍👧‍👦 Familie",
    "שלום עולם",
    "日本語テキスト",
    "\u{feff}BOM",
    "Zeilentrenner\u{2028}hier",
    "Steuerzeichen \u{1}\u{1f}\u{7f}",
    "e\u{301} zerlegt",
    "%s %d {} $1 ? :name @p1",
    "</script><b>",
    "0",
];

const ODD_VALUES: [Value; 12] = [
    Value::Null,
    Value::Bool(true),
    Value::Bool(false),
    Value::token("5"),
    Value::token("1e5"),
    Value::token("2.50"),
    Value::token("-0"),
    Value::token("12345678901234567890"),
    Value::Json(std::borrow::Cow::Borrowed(
        "{\"a\":[1,2.50,\"ä\\\"b\"],\"b\":null}",
    )),
    Value::Json(std::borrow::Cow::Borrowed("[\"eins\",\"zwei\",[]]")),
    Value::Json(std::borrow::Cow::Borrowed("[]")),
    Value::Json(std::borrow::Cow::Borrowed("{}")),
];

const ODD_NUMBERS: [Value; 27] = [
    Value::token("1249.95"),
    Value::token("1e5"),
    Value::token("2.50"),
    Value::token("1E-3"),
    Value::token("-17.250"),
    Value::token("-0"),
    Value::token("-0.0"),
    Value::token("0.10"),
    Value::token("12345678901234567890"),
    Value::token("98765432109876543210.123456789"),
    Value::token("1.5e+2"),
    Value::token("100"),
    Value::fixed("12"),
    Value::fixed(" 12 "),
    Value::fixed("12.50"),
    Value::fixed("2e3"),
    Value::fixed("-4"),
    Value::fixed("12345678901234567890"),
    Value::fixed("abc"),
    Value::fixed("1,5"),
    Value::fixed("12 Stück"),
    Value::fixed("  "),
    Value::Null,
    Value::Bool(true),
    Value::Json(std::borrow::Cow::Borrowed("[1]")),
    Value::Json(std::borrow::Cow::Borrowed("{}")),
    Value::token("0"),
];

/// The value of a custom field.
pub fn custom(config: &Config, field: &Field, dice: &mut Dice, at: Instant) -> Value {
    if dice.one_in(7) {
        return Value::Empty;
    }
    let odd = config.oddities;
    match field.kind.as_deref() {
        Some("number") if odd && dice.one_in(2) => odd_one(&ODD_NUMBERS, dice),
        Some("number") if dice.one_in(3) => Value::Number(
            format!("{}.{:02}", dice.below(5000), dice.below(99) + 1)
                .trim_end_matches('0')
                .to_owned()
                .into(),
        ),
        Some("number") => Value::number(dice.below(100_000)),
        Some("date") => Value::text(date(at + dice.below(30) as i64 * DAY)),
        Some("calendar") => Value::text(zulu(at + dice.below(30 * DAY as u64) as i64)),
        Some("phone") => Value::text(phone(dice)),
        Some("checkbox") => Value::fixed(dice.pick(&["true", "false", "ja", ""])),
        _ if odd && dice.one_in(25) => odd_one(&ODD_VALUES, dice),
        _ => text(config, dice),
    }
}

/// A text, now and then an odd one.
pub fn text(config: &Config, dice: &mut Dice) -> Value {
    if config.oddities && dice.one_in(8) {
        if config.nul_characters && dice.one_in(10) {
            return Value::fixed("vor\0nach");
        }
        return Value::fixed(dice.pick(&ODD_TEXTS));
    }
    Value::fixed(dice.pick(&WORDS))
}

/// A text of 100 to 300 KB.
pub fn long_text(dice: &mut Dice) -> Value {
    let size = 100_000 + dice.below(200_000) as usize;
    let mut text = String::with_capacity(size + 100);
    while text.len() < size {
        text.push_str(dice.pick(&WORDS));
        text.push_str(dice.pick(&[" ", ", ", ".\n", " – 🙂 "]));
    }
    Value::text(text)
}

fn odd_one(from: &[Value], dice: &mut Dice) -> Value {
    from[dice.below(from.len() as u64) as usize].clone()
}

/// An invented phone number.
pub fn phone(dice: &mut Dice) -> String {
    format!("+4930{:08}", dice.below(100_000_000))
}

/// A time of a connection or recording: mostly with `Z`, with oddities also without and sometimes no time at all.
pub fn time(config: &Config, dice: &mut Dice, at: Instant) -> Value {
    if config.oddities {
        match dice.below(40) {
            0..=5 => return Value::text(local(at)),
            6 => return Value::fixed("unbekannt"),
            7 => return Value::fixed("0000-00-00T00:00:00"),
            _ => {}
        }
    }
    Value::text(zulu(at))
}

/// A number of seconds.
pub fn seconds(config: &Config, dice: &mut Dice, most: u64) -> Value {
    if config.oddities && dice.one_in(12) {
        return match dice.below(7) {
            0 => Value::fixed("n/a"),
            1 => Value::text(format!("{}", dice.below(most))),
            2 => Value::Null,
            3 => Value::Empty,
            4 => Value::token("1e1"),
            5 => Value::token("2.50"),
            _ => Value::Missing,
        };
    }
    if dice.one_in(4) {
        Value::Number(format!("{}.{}", dice.below(most), 1 + dice.below(9)).into())
    } else {
        Value::number(dice.below(most))
    }
}

/// A time that differs from any other one: with or without `Z`.
pub fn unique_time(config: &Config, dice: &mut Dice, at: Instant) -> Value {
    if config.oddities && dice.one_in(6) {
        Value::text(local(at))
    } else {
        Value::text(zulu(at))
    }
}
