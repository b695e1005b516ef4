//! What reading documents brings besides rows, without any of their values.

/// What [`Oddity`]s repeat of an id.
const LONGEST_ID_SHOWN: usize = 100;

/// The most oddities that are kept of one answer.
const MOST_ODDITIES: usize = 1000;

/// What a document held that no row could take as it is. Never contains the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// Id of the contact or inbound call.
    pub id: String,
    /// What was odd, such as `field "Anzahl": no number, stored as NULL`.
    pub what: String,
}

/// What reading one document brought besides its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Keys of the contact that the layout doesn't know.
    pub unknown_keys: Vec<String>,
    /// What was odd.
    pub oddities: Vec<Oddity>,
}

impl Remarks {
    pub(super) fn note(&mut self, id: &str, field: &str, what: &str) {
        let what = match self.oddities.len() {
            MOST_ODDITIES => "more was odd than is listed".to_owned(),
            listed if listed > MOST_ODDITIES => return,
            _ => format!("field \"{field}\": {what}"),
        };
        self.oddities.push(Oddity {
            id: id.chars().take(LONGEST_ID_SHOWN).collect(),
            what,
        });
    }
}
