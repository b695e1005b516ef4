//! The custom fields of the campaign: those at the start, and those that the admin adds later.

use super::config::{Config, FieldEnd};
use super::document::{Fields, Value};
use super::instant::{Instant, from_datetime};

/// A field of the campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The key in the documents.
    pub name: String,
    /// `fieldType`; `None` where the list doesn't say it.
    pub kind: Option<String>,
    /// Whether the admin deleted it; documents may still carry values.
    pub deleted: bool,
    /// From when on it exists.
    pub since: Instant,
    /// When it ends, and how.
    pub end: Option<(Instant, FieldEnd)>,
}

impl Field {
    fn new(name: &str, kind: &str) -> Self {
        Field {
            name: name.to_owned(),
            kind: (kind != "?").then(|| kind.to_owned()),
            deleted: false,
            since: Instant::MIN,
            end: None,
        }
    }

    /// How it has ended by now.
    pub fn ended(&self, now: Instant) -> Option<FieldEnd> {
        self.end.filter(|(at, _)| *at <= now).map(|(_, how)| how)
    }

    /// Whether its column is a number.
    pub fn is_number(&self) -> bool {
        self.kind.as_deref() == Some("number")
    }
}

/// Fields with names that need no care.
const PLAIN: [(&str, &str); 14] = [
    ("Firma", "text"),
    ("Vorname", "text"),
    ("Nachname", "text"),
    ("Strasse", "text"),
    ("PLZ", "text"),
    ("Ort", "text"),
    ("Telefon_2", "phone"),
    ("EMail", "text"),
    ("Anzahl", "number"),
    ("Betrag", "number"),
    ("Rueckruf_Datum", "date"),
    ("Interesse", "checkbox"),
    ("Produkt", "dropdown"),
    ("Bemerkung", "textarea"),
];

/// Fields as they occur in production, and worse.
const ODD: [(&str, &str); 37] = [
    ("Firma", "text"),
    ("Vorname", "text"),
    ("Nachname", "text"),
    ("Titel", "text"),
    ("titel", "dropdown"),
    ("Zähler Nr", "number"),
    ("id", "text"),
    ("status", "text"),
    ("order", "text"),
    ("a\"b", "text"),
    ("a`b", "text"),
    ("x'); DROP TABLE y;--", "text"),
    ("Ärger", "text"),
    ("ärger", "number"),
    ("Geprüfte_Anrede", "radiogroup"),
    ("2_Telefon", "phone"),
    ("_intern", "text"),
    ("Anzahl", "number"),
    ("Betrag", "number"),
    ("Menge_als_Text", "number"),
    ("Rueckruf_Datum", "date"),
    ("Kalender", "calendar"),
    ("Interesse", "checkbox"),
    ("Produkt", "autocomplete"),
    ("Bemerkung_intern", "textarea"),
    ("Unbekannt", "hologram"),
    ("Ohne Typ", "?"),
    ("Leer", "text"),
    ("Ort", "text"),
    ("ID", "number"),
    ("name", "text"),
    ("a]b", "text"),
    ("back\\slash", "text"),
    ("?", "text"),
    ("%s;:name", "text"),
    ("Name 🙂", "text"),
    ("SELECT", "number"),
];

/// All fields the campaign ever has, in the order of its list.
pub fn all(config: &Config) -> Vec<Field> {
    let named: &[(&str, &str)] = if config.oddities { &ODD } else { &PLAIN };
    let mut fields: Vec<Field> = named
        .iter()
        .take(config.custom_fields)
        .map(|(name, kind)| Field::new(name, kind))
        .collect();
    while fields.len() < config.custom_fields {
        let nth = fields.len() + 1;
        let kind = if nth.is_multiple_of(10) {
            "number"
        } else {
            "text"
        };
        fields.push(Field::new(&format!("Feld {nth:03}"), kind));
    }
    if config.long_field_names {
        for end in ["Anfang", "Mitte", "Ende"] {
            let name = format!(
                "Bemerkungen zur Prüfung der Unterlagen durch die zuständige Abteilung {end}"
            );
            fields.push(Field::new(&name, "text"));
        }
    }
    if config.oddities {
        let deleted = |name| Field {
            deleted: true,
            ..Field::new(name, "text")
        };
        fields.insert(1.min(fields.len()), deleted("Altfeld"));
        // Deleted and made again under the same name.
        fields.insert(3.min(fields.len()), deleted("Ort"));
    }
    let start = from_datetime(config.start);
    fields.extend(config.added_fields.iter().map(|added| {
        Field {
            since: start + added.after.as_millis() as i64,
            end: added
                .end
                .map(|(after, how)| (start + after.as_millis() as i64, how)),
            ..Field::new(&added.name, &added.kind)
        }
    }));
    fields
}

/// The fields that the list shows at an instant, in its order, deleted ones included.
pub fn listed(config: &Config, now: Instant) -> Vec<Field> {
    let mut fields = all(config);
    fields.retain(|field| {
        field.since <= now && matches!(field.ended(now), None | Some(FieldEnd::Deleted))
    });
    for field in &mut fields {
        field.deleted |= field.ended(now).is_some();
    }
    fields
}

/// The elements of `fields/list`: the fields as they are at an instant, with layout elements between them.
pub fn elements(config: &Config, now: Instant) -> Vec<Fields> {
    let mut elements = Vec::new();
    for (nth, field) in listed(config, now).into_iter().enumerate() {
        if config.oddities && nth % 9 == 2 {
            let mut layout = Fields::default();
            layout.push("type", Value::fixed(["label", "group", "script"][nth % 3]));
            layout.push("name", Value::text(format!("Abschnitt {nth}")));
            layout.push("elements", Value::Json("[]".into()));
            elements.push(layout);
        }
        let mut element = Fields::default();
        element.push("type", Value::fixed("field"));
        if let Some(kind) = field.kind {
            element.push("fieldType", Value::text(kind));
        }
        element.push("label", Value::text(format!("{}:", field.name)));
        element.push("name", Value::text(field.name));
        if nth % 5 == 3 {
            element.push("state", Value::fixed("hidden"));
        }
        if field.deleted {
            element.push("deleted", Value::Bool(true));
        } else if nth % 2 == 0 {
            element.push("deleted", Value::Bool(false));
        }
        elements.push(element);
    }
    elements
}
