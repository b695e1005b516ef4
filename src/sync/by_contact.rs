//! What belongs to contacts, contact by contact: each is fetched once, however much names it.

use std::collections::HashMap;
use std::sync::Arc;

/// Contact ids with all that belongs to them, in the order in which either came first.
pub fn by_contact<T>(
    things: impl Iterator<Item = T>,
    id: impl Fn(&T) -> &str,
) -> Vec<(Arc<str>, Vec<T>)> {
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    let mut contacts: Vec<(Arc<str>, Vec<T>)> = Vec::new();
    for thing in things {
        let place = places.get(id(&thing)).copied();
        match place.and_then(|place| contacts.get_mut(place)) {
            Some((_, known)) => known.push(thing),
            None => {
                let id: Arc<str> = id(&thing).into();
                places.insert(Arc::clone(&id), contacts.len());
                contacts.push((id, vec![thing]));
            }
        }
    }
    contacts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_and_what_is_theirs_stay_in_order() {
        let things = [("B", 1), ("A", 2), ("B", 3), ("C", 4), ("A", 5)];
        let grouped = by_contact(things.into_iter(), |(id, _)| id);
        let numbers: Vec<(&str, Vec<i32>)> = grouped
            .iter()
            .map(|(id, things)| (&**id, things.iter().map(|(_, number)| *number).collect()))
            .collect();
        assert_eq!(
            numbers,
            [("B", vec![1, 3]), ("A", vec![2, 5]), ("C", vec![4])]
        );
    }
}
