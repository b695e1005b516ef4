//! Command line and environment become one value per flag, not looked into yet.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use lexopt::Arg;

use super::flags::{self, Flag};
use super::settings::Mode;
use crate::error::{Error, Result};

/// Characters of an unknown flag that are repeated in the message; the longest known flag has 13.
const MAX_NAME_SHOWN: usize = 16;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    CommandLine,
    /// The environment variable of that name.
    Environment(String),
    /// The table of flags.
    Default,
}

/// The value of one flag.
#[derive(Clone)]
pub struct Value {
    /// Its flag.
    pub flag: &'static Flag,
    /// The value as given; `true` or `false` for a switch.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl Value {
    /// How the user wrote the flag: `--w`, or `--w (from DBSYNC_W)`.
    pub fn name(&self) -> String {
        match &self.origin {
            Origin::Environment(variable) => format!("--{} (from {variable})", self.flag.name),
            Origin::CommandLine | Origin::Default => format!("--{}", self.flag.name),
        }
    }

    /// The error for a value that can't be used; `expected` is the end of its sentence. Secrets aren't repeated.
    pub fn wrong(&self, expected: &str) -> Error {
        if self.flag.is_secret() {
            Error::usage(format!("{}: {expected}", self.name()))
        } else {
            Error::usage(format!("{} {:?}: {expected}", self.name(), self.text))
        }
    }
}

/// What the user asks for.
pub enum Request {
    /// Work, with these values.
    Work(Values),
    /// The help text of one screen.
    ShortHelp,
    /// The whole help text.
    Help,
    /// The version.
    Version,
    /// The manual page.
    Manual,
    /// The completions for the shell of this name.
    Completions(Value),
    /// The licenses.
    Licenses,
}

/// The values given, by the name of their flag.
pub struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// The value of a flag: given, or else the table's default.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned().or_else(|| {
            let flag = flags::find(name)?;
            Some(Value {
                flag,
                text: flag.default?.to_owned(),
                origin: Origin::Default,
            })
        })
    }
}

/// Reads the arguments (without the program's name) and looks up the environment for what they don't say.
///
/// Accepted are `--name value`, `--name=value` and, as for the vendor's first client, both with one dash.
/// The last of several wins, except where a flag may be repeated. A value that begins with `-` needs the `=`, so that a
/// forgotten value is noticed. The words `help` and `version` alone are taken for the flags.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) for unknown flags, missing values and arguments without a flag.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Request> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let [word] = arguments.as_slice() {
        match word.to_str() {
            Some("help") => return Ok(Request::Help),
            Some("version") => return Ok(Request::Version),
            _ => {}
        }
    }
    let mut given = BTreeMap::new();
    let mut parser = lexopt::Parser::from_args(arguments.into_iter().map(double_dash));
    let mut previous: Option<&'static Flag> = None;
    loop {
        let flag = match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Long("h"))) => return Ok(Request::ShortHelp),
            Ok(Some(Arg::Long(name))) => flags::find(name).ok_or_else(|| unknown(name))?,
            Ok(Some(Arg::Value(value))) => return Err(stray(previous, value.to_str())),
            Ok(Some(Arg::Short(_))) | Err(_) => return Err(stray(previous, None)),
        };
        match flag.name {
            "h" => return Ok(Request::Help),
            "V" => return Ok(Request::Version),
            "man" => return Ok(Request::Manual),
            "licenses" => return Ok(Request::Licenses),
            _ => {}
        }
        let text = match (parser.optional_value(), flag.value) {
            (Some(attached), _) => attached,
            (None, None) => OsString::from("true"),
            (None, Some(_)) => parser
                .try_raw_args()
                .and_then(|mut rest| rest.next_if(|next| !begins_with_dash(next)))
                .ok_or_else(|| missing_value(flag))?,
        };
        let mut new = value(flag, text, Origin::CommandLine)?;
        if flag.name == "completions" {
            return Ok(Request::Completions(new));
        }
        if let Some(before) = given.get(flag.name).filter(|_| flag.is_repeatable()) {
            let before: &Value = before;
            new.text = format!("{}\n{}", before.text, new.text);
        }
        given.insert(flag.name, new);
        previous = Some(flag);
    }
    for flag in flags::all().filter(|flag| !flag.environment().is_empty()) {
        if !given.contains_key(flag.name)
            && let Some(found) = from_environment(flag, environment)?
        {
            given.insert(flag.name, found);
        }
    }
    Ok(Request::Work(Values(given)))
}

/// `-ct` becomes `--ct`: the vendor's first client took one dash, and there are no bundled one-letter flags.
fn double_dash(argument: OsString) -> OsString {
    let bytes = argument.as_encoded_bytes();
    if bytes.len() > 1 && bytes.starts_with(b"-") && !bytes.starts_with(b"--") {
        let mut doubled = OsString::from("-");
        doubled.push(argument);
        doubled
    } else {
        argument
    }
}

fn begins_with_dash(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().starts_with(b"-")
}

/// An empty variable counts as not set, except that an empty table prefix is one.
fn from_environment(
    flag: &'static Flag,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Value>> {
    for variable in flag.environment() {
        match environment(&variable) {
            Some(text) if !text.is_empty() || flag.name == "tp" => {
                return value(flag, text, Origin::Environment(variable)).map(Some);
            }
            _ => {}
        }
    }
    Ok(None)
}

fn value(flag: &'static Flag, text: OsString, origin: Origin) -> Result<Value> {
    let mut value = Value {
        flag,
        text: String::new(),
        origin,
    };
    match text.into_string() {
        Ok(text) => value.text = text,
        Err(_) => {
            return Err(Error::usage(format!(
                "{}: the value is not valid UTF-8",
                value.name()
            )));
        }
    }
    if flag.value.is_none() {
        let switched = match value.text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" => "true",
            "0" | "false" | "no" | "" => "false",
            _ => return Err(value.wrong("1, true or yes, 0, false or no is expected")),
        };
        switched.clone_into(&mut value.text);
    }
    Ok(value)
}

fn missing_value(flag: &Flag) -> Error {
    let (name, placeholder) = (flag.name, flag.value.unwrap_or_default());
    Error::usage(format!(
        "--{name} needs a value: --{name} {placeholder} (one that begins with a dash: --{name}={placeholder})"
    ))
}

/// The argument itself is repeated only where it is a mode: it may be a token after a slip of the fingers.
fn stray(previous: Option<&'static Flag>, argument: Option<&str>) -> Error {
    let place = match previous {
        Some(flag) => format!("unexpected argument after --{}", flag.name),
        None => "unexpected first argument".to_owned(),
    };
    let mut modes = Mode::ALL.map(Mode::name).into_iter();
    match modes.find(|mode| Some(*mode) == argument) {
        Some(mode) => Error::usage(format!("{place}: did you mean --a {mode}?")),
        None => Error::usage(format!(
            "{place}: each value follows its flag, and a value with blanks needs quotes"
        )),
    }
}

fn unknown(name: &str) -> Error {
    let length = name.chars().count();
    let nearest = flags::all()
        .flat_map(Flag::names)
        .map(|known| (edit_distance(name, known), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance < length && *distance <= 1 + known.len() / 4);
    let advice = match nearest {
        Some((_, known)) => format!("did you mean --{known}? "),
        None => String::new(),
    };
    // Shortened, as it may be a token glued to its flag.
    let shown: String = name.chars().take(MAX_NAME_SHOWN).collect();
    Error::usage(format!(
        "unknown flag --{}: {advice}--help lists all flags",
        shown.escape_debug()
    ))
}

/// How many characters must be inserted, removed or replaced to make one text of the other (Levenshtein).
pub(super) fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut costs: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.chars().enumerate() {
        let mut diagonal = row;
        let mut left = row + 1;
        if let Some(first) = costs.first_mut() {
            *first = left;
        }
        for (b, cost) in to.iter().zip(costs.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *cost;
            left = replaced.min(left + 1).min(*cost + 1);
            *cost = left;
        }
    }
    costs.last().copied().unwrap_or(0)
}
