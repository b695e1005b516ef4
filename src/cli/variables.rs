//! Environment variables that look like ours and are read by nobody: most are misspelt.

use std::ffi::OsString;

use super::arguments::edit_distance;
use super::flags::{self, Flag};

/// Beginnings of variables that belong to the tests and the scripts.
const FOREIGN: [&str; 3] = ["DBSYNC_TEST_", "DBSYNC_TORTURE_", "DBSYNC_SERVERS_"];

/// Characters of an unknown name that are repeated in the message.
const MAX_SHOWN: usize = 40;

/// A variable that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    name: String,
    /// The variable that is probably meant.
    nearest: Option<String>,
}

impl Unknown {
    /// Whether it is near enough to a known one to be a slip.
    pub fn is_misspelt(&self) -> bool {
        self.nearest.is_some()
    }

    /// One sentence for log and terminal.
    pub fn message(&self) -> String {
        let shown: String = self.name.chars().take(MAX_SHOWN).collect();
        let shown = shown.escape_debug();
        match &self.nearest {
            Some(nearest) => {
                format!("environment variable {shown} has no effect: did you mean {nearest}?")
            }
            None => format!(
                "environment variable {shown} has no effect: no flag is called so (--help lists all flags)"
            ),
        }
    }
}

/// Those of these names that begin with `DBSYNC` and belong to no flag, in alphabetical order.
pub fn unknown(names: impl IntoIterator<Item = OsString>) -> Vec<Unknown> {
    let known: Vec<String> = flags::all().flat_map(Flag::environment).collect();
    let mut found: Vec<Unknown> = names
        .into_iter()
        .filter_map(|name| judge(&name.to_string_lossy(), &known))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn judge(name: &str, known: &[String]) -> Option<Unknown> {
    let capitals = name.to_ascii_uppercase();
    // Windows does not tell capitals from small letters.
    let is_read = |known: &String| known == name || (cfg!(windows) && *known == capitals);
    if !capitals.starts_with("DBSYNC") || known.iter().any(is_read) || is_of_a_text(&capitals) {
        return None;
    }
    let nearest = by_the_programs_name(&capitals, known).or_else(|| nearest(&capitals, known));
    let is_foreign = FOREIGN.iter().any(|prefix| name.starts_with(prefix));
    let is_ours = name.starts_with("DBSYNC_") || nearest.is_some();
    (is_ours && !is_foreign).then(|| Unknown {
        name: name.to_owned(),
        nearest,
    })
}

/// `DBSYNC2_TOKEN` for `DBSYNC_TOKEN`.
fn by_the_programs_name(name: &str, known: &[String]) -> Option<String> {
    let wanted = format!("DBSYNC_{}", name.strip_prefix("DBSYNC2_")?);
    known.contains(&wanted).then_some(wanted)
}

/// The known variable that is a slip of the fingers away; of two the documented spelling, with `_`.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|known| (edit_distance(name, known), known))
        .filter(|(distance, known)| *distance <= allowed(known))
        .min_by_key(|(distance, known)| (*distance, !known.starts_with("DBSYNC_")))
        .map(|(_, known)| known.clone())
}

/// How many letters may be wrong: none in a short name, as `DBSYNC_X` is no slip of `DBSYNC_C`.
fn allowed(known: &str) -> usize {
    let flag = known.trim_start_matches("DBSYNC").trim_start_matches('_');
    match flag.len() {
        0..=2 => 0,
        length => 1 + length / 4,
    }
}

/// `DBSYNC_VERSION` and the like: container images set them, and nobody wants a text printed by them.
fn is_of_a_text(name: &str) -> bool {
    flags::all().filter(|flag| flag.prints()).any(|flag| {
        flag.names().any(|known| {
            let known = known.to_uppercase().replace('-', "_");
            name.trim_start_matches("DBSYNC").trim_start_matches('_') == known
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(names: &[&str]) -> Vec<String> {
        let found = unknown(names.iter().map(OsString::from));
        found.iter().map(Unknown::message).collect()
    }

    #[test]
    fn misspelt_variables_are_named_with_the_one_that_is_meant() {
        for (name, meant) in [
            ("DBSYNC_WORKER", "DBSYNC_WORKERS"),
            ("DBSYNC_TOKN", "DBSYNC_TOKEN"),
            ("DBSYNC_LOGDIR", "DBSYNC_LOG_DIR"),
            ("DBSYNC_LOG-DIR", "DBSYNC_LOG_DIR"),
            ("DBSYNCC_TOKEN", "DBSYNC_TOKEN"),
            ("DBSYNCTOKE", "DBSYNCTOKEN"),
            ("DBSYNC2_TOKEN", "DBSYNC_TOKEN"),
            ("DBSYNC2_CT", "DBSYNC_CT"),
            ("DBSYNC_URLFILE", "DBSYNC_URL_FILE"),
            ("DBSYNC_INTERVALL", "DBSYNC_INTERVAL"),
        ] {
            assert_eq!(
                messages(&[name]),
                [format!(
                    "environment variable {name} has no effect: did you mean {meant}?"
                )]
            );
        }
        #[cfg(not(windows))]
        assert_eq!(
            messages(&["dbsync_ct"]),
            ["environment variable dbsync_ct has no effect: did you mean DBSYNC_CT?"]
        );
    }

    #[test]
    fn others_are_named_or_left_alone() {
        assert_eq!(
            messages(&["DBSYNC_X", "DBSYNC_DATABASE\n", "DBSYNC_"]),
            [
                "environment variable DBSYNC_ has no effect: no flag is called so (--help lists all flags)",
                "environment variable DBSYNC_DATABASE\\n has no effect: no flag is called so (--help lists all flags)",
                "environment variable DBSYNC_X has no effect: no flag is called so (--help lists all flags)",
            ]
        );
        let known: Vec<String> = flags::all().flat_map(Flag::environment).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        assert_eq!(messages(&known), [""; 0]);
        assert_eq!(
            messages(&[
                "PATH",
                "DBSYNC_VERSION",
                "DBSYNC_HELP",
                "DBSYNC_TEST_POSTGRES",
                "DBSYNC2_SERVICE",
                "DBSYNC2",
                "DBSYNC_TORTURE_KEEP",
            ]),
            [""; 0]
        );
    }
}
