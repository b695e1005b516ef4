//! Names, limits, types and order of columns.
#![allow(clippy::indexing_slicing, clippy::panic)]

use super::*;

const MYSQL: Naming = Naming {
    longest: 64,
    unit: NameUnit::BmpCharacters,
    ignores_case: true,
};
const POSTGRES: Naming = Naming {
    longest: 63,
    unit: NameUnit::Bytes,
    ignores_case: false,
};

fn fields(keys: &[&str]) -> Vec<CustomField> {
    keys.iter()
        .map(|key| CustomField {
            key: (*key).to_owned(),
            is_number: false,
        })
        .collect()
}

fn custom_names(layout: &Layout) -> Vec<String> {
    let contacts = layout.schema().table(Table::Contacts);
    contacts
        .columns
        .iter()
        .map(|c| c.name.clone())
        .filter(|name| !name.starts_with('$'))
        .collect()
}

fn layout(naming: Naming, limit: FieldLimit, keys: &[&str], existing: &[&str]) -> Layout {
    let existing: Vec<String> = existing.iter().map(|name| (*name).to_owned()).collect();
    let mut layout = Layout::new("dfire_", naming, limit, &existing);
    layout.add_fields(&fields(keys), &existing);
    layout
}

#[test]
fn names_that_differ_only_in_case_get_a_suffix_where_the_database_ignores_case() {
    let names = custom_names(&layout(
        MYSQL,
        FieldLimit::All,
        &["Titel", "titel", "Ärger", "ärger", "id"],
        &[],
    ));
    assert_eq!(
        names,
        ["Titel", "titel_438be0a3", "Ärger", "ärger_190e1bba", "id"]
    );
    let names = custom_names(&layout(POSTGRES, FieldLimit::All, &["Titel", "titel"], &[]));
    assert_eq!(names, ["Titel", "titel"]);
}

#[test]
fn the_suffix_does_not_move_to_the_other_field_when_their_order_changes() {
    let names = custom_names(&layout(
        MYSQL,
        FieldLimit::All,
        &["titel", "Titel"],
        &["Titel", "titel_438be0a3"],
    ));
    assert_eq!(names, ["Titel", "titel_438be0a3"]);
}

#[test]
fn names_that_do_not_fit_are_cut_with_a_suffix() {
    let long = "ä".repeat(100);
    let layout = layout(
        POSTGRES,
        FieldLimit::All,
        &[&long, "", "a\u{0}b", "blank "],
        &[],
    );
    let names = custom_names(&layout);
    assert_eq!(names.len(), 4);
    for name in &names {
        assert!(
            name.len() <= 63 && !name.contains('\u{0}') && !name.ends_with(' '),
            "{name}"
        );
    }
    assert!(names.iter().any(|name| name.starts_with("ää")));
    assert!(names.contains(&"_d41d8cd9".to_owned()));
    let emoji = custom_names(&super::tests::layout(MYSQL, FieldLimit::All, &["🙂"], &[]));
    assert!(emoji.iter().all(|name| name.starts_with("__")), "{emoji:?}");
}

#[test]
fn the_limit_counts_custom_fields_and_the_rest_is_known_but_ignored() {
    let layout = layout(POSTGRES, FieldLimit::First(2), &["a", "b", "c"], &[]);
    assert_eq!(custom_names(&layout), ["a", "b"]);
    assert_eq!(layout.slot("c"), Some(Slot::Ignored));
    assert_eq!(layout.slot("d"), None);
    assert_eq!(layout.custom_keys(), ["a", "b"]);
}

#[test]
fn later_fields_are_added_at_the_end_and_known_ones_stay() {
    let mut layout = layout(POSTGRES, FieldLimit::All, &["a"], &["$$alt_user"]);
    let before = layout.slot("a");
    assert_eq!(layout.add_fields(&fields(&["b", "a"]), &[]), 1);
    assert!(layout.add_system_key("$neu"));
    assert!(!layout.add_system_key("$neu"));
    assert_eq!(layout.slot("a"), before);
    let columns = &layout.schema().table(Table::Contacts).columns;
    let last: Vec<&str> = columns
        .iter()
        .rev()
        .take(4)
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(last, ["$neu", "b", "a", "$$alt_user"]);
}

#[test]
fn names_that_some_database_takes_for_the_same_get_a_suffix() {
    for (two, suffixed) in [
        (["ΟΔΟΣ", "οδος"], "οδος_"),
        (["οδος", "οδοσ"], "οδοσ_"),
        (["İd", "id"], "id_"),
        (["\u{212a}", "k"], "k_"),
    ] {
        let names = custom_names(&layout(MYSQL, FieldLimit::All, &two, &[]));
        assert!(
            two.iter().any(|name| names.contains(&(*name).to_owned())),
            "{names:?}"
        );
        assert!(
            names.iter().any(|name| name.starts_with(suffixed)),
            "{names:?}"
        );
    }
    let names = ["Straße", "STRASSE"];
    assert_eq!(
        custom_names(&layout(MYSQL, FieldLimit::All, &names, &[])),
        names
    );
}

#[test]
fn a_field_of_another_type_keeps_its_column() {
    let mut layout = layout(POSTGRES, FieldLimit::All, &["a", "b"], &[]);
    let Some(Slot::Column(index, ColumnKind::Text)) = layout.slot("b") else {
        panic!("{:?}", layout.slot("b"));
    };
    let number = CustomField {
        key: "b".to_owned(),
        is_number: true,
    };
    // Of two of one name the first counts, as where it is placed.
    let mut fields = vec![number];
    fields.extend(super::tests::fields(&["b", "a", "new"]));
    assert_eq!(layout.retype_fields(&fields), 1);
    assert_eq!(layout.retype_fields(&fields), 0);
    assert_eq!(
        layout.slot("b"),
        Some(Slot::Column(index, ColumnKind::Number))
    );
    let columns = &layout.schema().table(Table::Contacts).columns;
    assert_eq!(columns[index].kind, ColumnKind::Number);
    assert_eq!(layout.slot("new"), None);
}

#[test]
fn endless_new_keys_are_not_remembered_for_ever() {
    let mut layout = layout(POSTGRES, FieldLimit::First(0), &["a"], &[]);
    for n in 0..2 * MAX_KEYS {
        if layout.slot(&format!("k{n}")).is_none() {
            layout.ignore(&format!("k{n}"));
        }
    }
    assert_eq!(layout.slots.len(), MAX_KEYS);
    assert_eq!(layout.slot("never seen"), Some(Slot::Ignored));
}

#[test]
fn the_documents_own_changed_and_task_log_go_nowhere() {
    let layout = layout(POSTGRES, FieldLimit::All, &["$changed"], &["$changed"]);
    assert_eq!(layout.slot("$changed"), Some(Slot::Ignored));
    assert_eq!(layout.slot("$task_log"), Some(Slot::Ignored));
}
