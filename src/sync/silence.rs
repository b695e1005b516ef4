//! Lists without any entry where it is known that there are some. A wrong answer is like that; so is the list of a campaign
//! whose contacts were all deleted. Nothing of it counts as read for a day, then it is believed until something is listed
//! again.

use time::{Date, Duration, OffsetDateTime};

use crate::moment;
use crate::source::client::EventQuery;
use crate::source::event::Event;
use crate::state::{Checkpoint, Recent};
use crate::tables::schema::Table;

/// How long they are doubted: a little less than a day, so that what runs once a day believes them at its second run.
const PATIENCE: Duration = Duration::hours(23);

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
    if lists.contacts != Some(0) || is_empty_list_believed(checkpoint, since) {
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

/// What is wrong at `now` with lists, if it is not believed by now. The contacts were those changed since a day (all if
/// `None`).
pub fn not_for_a_day(
    checkpoint: &mut Checkpoint,
    wrong: Option<String>,
    (lists, since): (Lists, Option<Date>),
    now: OffsetDateTime,
) -> Option<String> {
    let recent = &mut checkpoint.recent;
    if lists.contacts.is_some_and(|count| count > 0) {
        recent.empty_since = None;
    }
    let Some(wrong) = wrong else {
        recent.silent_since = None;
        return None;
    };
    // A clock that was ahead for a while must not have it doubted any longer.
    let silent = recent.silent_since.unwrap_or(now).min(now);
    if now - silent < PATIENCE {
        recent.silent_since = Some(silent);
        return Some(wrong);
    }
    log::error!("{wrong}: this is so for a day, and is believed now");
    let first = first_time(since);
    let empty_since = match lists.contacts {
        Some(0) => Some(recent.empty_since.map_or(first, |empty| empty.min(first))),
        _ => recent.empty_since,
    };
    *recent = Recent {
        empty_since,
        ..Recent::default()
    };
    None
}

/// Whether it is believed by now that no contact was changed since a day (ever if `None`).
pub fn is_empty_list_believed(checkpoint: &Checkpoint, since: Option<Date>) -> bool {
    (checkpoint.recent.empty_since).is_some_and(|empty| empty <= first_time(since))
}

/// From when on a list of contacts since a day lists them.
fn first_time(since: Option<Date>) -> OffsetDateTime {
    since.map_or(OffsetDateTime::UNIX_EPOCH, |day| {
        day.midnight().assume_utc()
    })
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
            let asked = (lists(Some(0), None), None);
            not_for_a_day(&mut checkpoint, wrong, asked, NOW + Duration::hours(hours)).is_some()
        };
        assert!(at(0, true) && at(22, true) && !at(23, true));
        assert!(at(24, true) && !at(25, false) && at(48, true) && at(70, true));
    }

    #[test]
    fn an_empty_list_of_contacts_stays_believed_until_one_is_listed() {
        let mut checkpoint = Checkpoint {
            witnesses: vec![Witness::default()],
            ..Checkpoint::default()
        };
        let today = Some(date!(2024 - 03 - 05));
        let mut at = |hours, contacts, since| {
            let lists = lists(None, Some(contacts));
            let wrong = contradiction(&checkpoint, lists, None, since);
            let now = NOW + Duration::hours(hours);
            not_for_a_day(&mut checkpoint, wrong, (lists, since), now).is_some()
        };
        assert!(at(0, 0, None) && !at(23, 0, None));
        assert!(!at(24, 0, None) && !at(25, 0, today) && !at(99, 0, None));
        assert!(!at(100, 1, today) && at(101, 0, None));
    }

    #[test]
    fn what_is_believed_of_a_day_is_not_believed_of_the_time_before() {
        let mut checkpoint = Checkpoint::default();
        let (today, lists) = (Some(date!(2024 - 03 - 05)), lists(None, Some(0)));
        for hours in [0, 23] {
            let (wrong, now) = (Some("wrong".to_owned()), NOW + Duration::hours(hours));
            not_for_a_day(&mut checkpoint, wrong, (lists, today), now);
        }
        assert!(is_empty_list_believed(&checkpoint, today));
        assert!(is_empty_list_believed(
            &checkpoint,
            today.and_then(Date::next_day)
        ));
        assert!(!is_empty_list_believed(&checkpoint, None));
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
