//! The one table of flags: the parser, `--help`, the manual page, the completions and the README's table are all made from it.

mod table;

use std::iter;

pub use table::GROUPS;

/// One flag.
///
/// `name` is what the vendor's client calls it, so that its command lines go on working; flags that are new
/// have only the readable name.
#[derive(Debug)]
pub struct Flag {
    /// The name behind `--`, and the key by which the parser asks for it.
    pub name: &'static str,
    /// A readable second name.
    pub long: Option<&'static str>,
    /// What stands for the value in `--help`; `None` where the flag is a switch.
    pub value: Option<&'static str>,
    /// The value that counts where none is given.
    pub default: Option<&'static str>,
    /// What it does, in a sentence or two.
    pub help: &'static str,
}

/// Flags that belong together, under one heading of `--help`.
#[derive(Debug)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// Its flags, in the order of `--help`.
    pub flags: &'static [Flag],
}

impl Flag {
    /// The name, then the readable name where there is one.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        iter::once(self.name).chain(self.long)
    }

    /// The beginning of the explanation, up to the details.
    pub fn summary(&self) -> &'static str {
        let end = [". ", ": ", " ("]
            .iter()
            .filter_map(|mark| self.help.find(mark))
            .min()
            .unwrap_or(self.help.len());
        let beginning = self.help.get(..end).unwrap_or_default();
        beginning.strip_suffix('.').unwrap_or(beginning)
    }

    /// Whether the value must never be shown again.
    pub fn is_secret(&self) -> bool {
        matches!(self.name, "ct" | "url" | "webhook-secret" | "header")
    }

    /// Whether it may be given several times, each time for one more line of its value.
    pub fn is_repeatable(&self) -> bool {
        self.name == "header"
    }

    /// Whether it only prints a text about the program, whatever else is given.
    pub fn prints(&self) -> bool {
        matches!(self.name, "h" | "V" | "man" | "completions" | "licenses")
    }

    /// Names of its environment variables, the strongest first.
    ///
    /// The vendor's client documents `DBSYNC_CT`, but reads `DBSYNCCT`; both count here. `--help`,
    /// `--version` and the like have none: container images like to set a `DBSYNC_VERSION` of their own.
    pub fn environment(&self) -> Vec<String> {
        if self.prints() {
            return Vec::new();
        }
        ["DBSYNC_", "DBSYNC"]
            .iter()
            .flat_map(|prefix| {
                self.names()
                    .map(move |name| format!("{prefix}{}", name.to_uppercase().replace('-', "_")))
            })
            .collect()
    }
}

/// All flags in the order of `--help`.
pub fn all() -> impl Iterator<Item = &'static Flag> {
    GROUPS.iter().flat_map(|group| group.flags)
}

/// The flag of that name, short or readable, without dashes.
pub fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.names().any(|known| known == name))
}

const fn flag(
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        long: None,
        value: Some(value),
        default,
        help,
    }
}

const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        long: None,
        value: None,
        default: None,
        help,
    }
}

const fn also(long: &'static str, flag: Flag) -> Flag {
    Flag {
        long: Some(long),
        ..flag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_variables_are_unique() {
        let mut names = HashSet::new();
        let mut variables = HashSet::new();
        for flag in all() {
            for name in flag.names() {
                assert!(names.insert(name), "{name}");
                assert_eq!(find(name).map(|found| found.name), Some(flag.name));
            }
            for variable in flag.environment() {
                assert!(variables.insert(variable.clone()), "{variable}");
            }
        }
    }

    #[test]
    fn the_names_of_the_vendors_clients_are_there() {
        for name in [
            "c", "ct", "a", "url", "s", "fm", "fp", "tp", "w", "d", "l", "v", "p", "wr", "wb",
        ] {
            assert_eq!(find(name).map(|found| found.name), Some(name));
        }
    }

    #[test]
    fn variables_have_both_spellings() {
        let variables = |name| find(name).map(Flag::environment).unwrap_or_default();
        assert_eq!(
            variables("ct"),
            ["DBSYNC_CT", "DBSYNC_TOKEN", "DBSYNCCT", "DBSYNCTOKEN"]
        );
        assert_eq!(
            variables("retry-wait"),
            ["DBSYNC_RETRY_WAIT", "DBSYNCRETRY_WAIT"]
        );
        assert_eq!(variables("version"), [""; 0]);
    }
}
