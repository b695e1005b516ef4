//! Lists without any entry where it is known that there are some. A wrong answer is like that; so is the list of a campaign
//! whose contacts were all deleted. Nothing of it counts as read for a day, then it is believed.

use time::{Date, OffsetDateTime};

use super::missing::PATIENCE;
use crate::dialfire::client::EventQuery;
use crate::dialfire::event::Event;
use crate::moment;
use crate::state::Checkpoint;
use crate::tables::schema::Table;

/// What a round listed, of what it asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lists {
    /// Events.
    pub events: Option<usize>,
    /// Contacts.
    pub contacts: Option<usize>,
}

impl Lists {
    /// What is said of a round for which nothing was listed.
    pub fn remark(self) -> Option<String> {
        let lists = [(self.contacts, "contacts"), (self.events, "events")];
        let asked: Vec<_> = (lists.into_iter())
            .filter_map(|(count, what)| Some((count?, what)))
            .collect();
        if asked.is_empty() || asked.iter().any(|(count, _)| *count > 0) {
            return None;
        }
        let counts: Vec<String> = asked.iter().map(|(_, what)| format!("0 {what}")).collect();
        Some(format!("Dialfire listed {}", counts.join(", ")))
    }
}

/// Takes note of events that were listed.
pub fn note(
    checkpoint: &mut Checkpoint,
    query: &EventQuery,
    events: &[Event],
    now: OffsetDateTime,
) {
    let named = (events.iter()).map(|event| (event.contact_id(), event.fired_at()));
    checkpoint.recent.note(&filter(query), named, now);
}

/// What is wrong with lists that hold nothing: of the events, and of the contacts changed since a day (of all if `None`).
pub fn contradiction(
    checkpoint: &Checkpoint,
    lists: Lists,
    query: Option<&EventQuery>,
    since: Option<Date>,
) -> Option<String> {
    if lists.events == Some(0)
        && let Some(query) = query.filter(|query| query.to.is_none())
        && checkpoint.recent.are_since(&filter(query), query.from)
    {
        return Some(format!(
            "Dialfire lists no transaction since {}, although it has listed some since then",
            moment::rfc3339(query.from)
        ));
    }
    if lists.contacts != Some(0) {
        return None;
    }
    let recent = &checkpoint.recent;
    match since {
        None if lists.events.is_some_and(|count| count > 0) => {
            Some("Dialfire lists no contact, but transactions of contacts".to_owned())
        }
        None if (checkpoint.witnesses.iter()).any(|row| row.table == Table::Contacts) => {
            Some("Dialfire lists no contact, although some were copied before".to_owned())
        }
        None => None,
        Some(day) => (recent.are_since(&recent.filter, day.midnight().assume_utc())).then(|| {
            format!(
                "Dialfire lists no contact that was changed since {day}, although it has listed transactions since then"
            )
        }),
    }
}

/// What is wrong at `now`, if it is not to be believed by now.
pub fn not_for_a_day(
    checkpoint: &mut Checkpoint,
    wrong: Option<String>,
    now: OffsetDateTime,
) -> Option<String> {
    let Some(wrong) = wrong else {
        checkpoint.recent.silent_since = None;
        return None;
    };
    // A clock that was ahead for a while must not have it doubted any longer.
    let since = checkpoint.recent.silent_since.unwrap_or(now).min(now);
    if now - since < PATIENCE {
        checkpoint.recent.silent_since = Some(since);
        return Some(wrong);
    }
    log::error!("{wrong}: this is so for a day, and is believed now");
    checkpoint.recent = Default::default();
    None
}

fn filter(query: &EventQuery) -> String {
    format!("{} {}", query.updates_only, query.tasks.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Witness;
    use time::Duration;
    use time::macros::{date, datetime};

    const NOW: OffsetDateTime = datetime!(2024-03-05 12:00 UTC);

    fn query(hours: i64) -> EventQuery {
        EventQuery {
            from: NOW - Duration::hours(hours),
            to: None,
            updates_only: false,
            tasks: Vec::new(),
        }
    }

    fn lists(events: Option<usize>, contacts: Option<usize>) -> Lists {
        Lists { events, contacts }
    }

    #[test]
    fn what_was_listed_before_has_to_be_listed_again() {
        let mut checkpoint = Checkpoint::default();
        let wrong = |checkpoint: &Checkpoint, lists, hours, since| {
            contradiction(checkpoint, lists, Some(&query(hours)), since)
        };
        let (today, nothing) = (Some(date!(2024 - 03 - 05)), lists(Some(0), Some(0)));
        for since in [None, today] {
            assert_eq!(wrong(&checkpoint, nothing, 3, since), None);
        }
        let events: Vec<Event> = (0..5)
            .filter_map(|n| Event::parse(&format!("2024-03-05T10:0{n}:00.000Z0001|m|C{n}")).ok())
            .collect();
        note(&mut checkpoint, &query(3), &events, NOW);
        assert_eq!(
            wrong(&checkpoint, nothing, 3, today).as_deref(),
            Some(
                "Dialfire lists no transaction since 2024-03-05T09:00:00.000Z, although it has listed some since then"
            )
        );
        assert_eq!(wrong(&checkpoint, lists(Some(0), None), 1, None), None);
        assert_eq!(wrong(&checkpoint, lists(Some(1), Some(1)), 3, today), None);
        let contacts = wrong(&checkpoint, lists(None, Some(0)), 3, today).unwrap_or_default();
        assert!(contacts.contains("changed since 2024-03-05"), "{contacts}");
        assert_eq!(
            wrong(
                &checkpoint,
                lists(None, Some(0)),
                3,
                today.and_then(Date::next_day)
            ),
            None
        );
        assert_eq!(wrong(&checkpoint, lists(None, Some(0)), 3, None), None);
        checkpoint.witnesses.push(Witness::default());
        assert!(wrong(&checkpoint, lists(None, Some(0)), 3, None).is_some());
    }

    #[test]
    fn it_is_believed_after_a_day() {
        let mut checkpoint = Checkpoint::default();
        let mut at = |hours, wrong: bool| {
            let wrong = wrong.then(|| "wrong".to_owned());
            not_for_a_day(&mut checkpoint, wrong, NOW + Duration::hours(hours)).is_some()
        };
        assert!(at(0, true) && at(23, true) && !at(24, true));
        assert!(at(25, true) && !at(26, false) && at(49, true) && at(72, true));
    }

    #[test]
    fn that_nothing_was_listed_is_told() {
        for (events, contacts, remark) in [
            (
                Some(0),
                Some(0),
                Some("Dialfire listed 0 contacts, 0 events"),
            ),
            (Some(0), None, Some("Dialfire listed 0 events")),
            (None, Some(0), Some("Dialfire listed 0 contacts")),
            (Some(1), Some(0), None),
            (None, None, None),
        ] {
            assert_eq!(lists(events, contacts).remark().as_deref(), remark);
        }
    }
}
