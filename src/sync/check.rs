//! `--a check`: tries everything, changes nothing, prints a table.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::Settings;
use crate::dialfire::retry::Pause;
use crate::error::{Error, ErrorKind, Result};
use crate::logging::LogFile;
use crate::sink::{CheckLine, Target};
use crate::state::none_of;
use crate::tables::fields::{CustomField, Layout};
use crate::text;
use crate::webhook::receiver::Receiver;

/// Where things are to go.
pub enum Place {
    /// An SQL database.
    Database(Box<Target>),
    /// A web service.
    WebService(Box<Receiver>),
}

/// Looks at the API, the place where things are to go, the state directory and the log directory.
///
/// # Errors
/// [`ErrorKind::Refused`] where Dialfire refuses the token, [`ErrorKind::Setup`] where anything else is wrong.
pub fn run(
    settings: &Settings,
    place: &Place,
    places: &[PathBuf],
    log: &LogFile,
    pause: &Pause,
) -> Result<()> {
    let mut lines = Vec::new();
    let api = super::client(settings, 2, pause.clone()).and_then(|client| client.fields());
    let refused = api
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::Refused);
    let fields = match &api {
        Ok(fields) => super::engine::custom_fields(fields),
        Err(_) => Vec::new(),
    };
    lines.push(CheckLine {
        subject: format!("Dialfire at {}", settings.api_url),
        outcome: api
            .map(|fields| {
                format!(
                    "token accepted, campaign {} has {} fields",
                    settings.campaign,
                    fields.len()
                )
            })
            .map_err(|error| error.to_string()),
    });
    match place {
        Place::Database(target) => lines.extend(database(settings, target, &fields)),
        Place::WebService(receiver) => lines.push(CheckLine {
            subject: receiver.display().to_owned(),
            outcome: receiver.check(),
        }),
    }
    let wanted = settings
        .state_dir
        .as_ref()
        .map_or_else(|| places.to_vec(), |wanted| vec![wanted.clone()]);
    lines.push(CheckLine {
        subject: "state directory".to_owned(),
        outcome: state_directory(&wanted),
    });
    lines.push(CheckLine {
        subject: "log directory".to_owned(),
        outcome: match log.path.as_deref().and_then(Path::parent) {
            Some(directory) => Ok(format!("{} can be written to", directory.display())),
            None => Err(
                "no directory can be written to, the log goes to standard output (see --log-dir)"
                    .to_owned(),
            ),
        },
    });
    let _ = write!(std::io::stdout(), "{}", table(&lines));
    let wrong = lines.iter().filter(|line| line.outcome.is_err()).count();
    match wrong {
        0 => Ok(()),
        _ if refused => Err(Error::new(
            ErrorKind::Refused,
            format!(
                "{wrong} of {} checks failed: Dialfire refuses the token",
                lines.len()
            ),
        )),
        _ => Err(Error::setup(format!(
            "{wrong} of {} checks failed: see the table",
            lines.len()
        ))),
    }
}

fn database(settings: &Settings, target: &Target, fields: &[CustomField]) -> Vec<CheckLine> {
    let mut layout = Layout::new(
        &settings.table_prefix,
        target.naming(),
        settings.fields,
        &[],
    );
    layout.add_fields(fields, &[]);
    match target
        .open()
        .and_then(|mut sink| sink.check(layout.schema()))
    {
        Ok(lines) => lines,
        Err(error) => vec![CheckLine {
            subject: target.display(),
            outcome: Err(error.to_string()),
        }],
    }
}

/// The first directory that can be written to or be made. Nothing is made, except a file that is removed at once.
fn state_directory(places: &[PathBuf]) -> std::result::Result<String, String> {
    let mut reasons = Vec::new();
    for place in places {
        // A relative path has no parent that exists by its name.
        let place = &std::path::absolute(place).unwrap_or_else(|_| place.clone());
        let existing = place
            .ancestors()
            .find(|path| path.exists())
            .unwrap_or(place);
        let probe = existing.join(format!(".dbsync2-check-{}", std::process::id()));
        match std::fs::File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe)) {
            Ok(()) if existing == place => {
                return Ok(format!("{} can be written to", place.display()));
            }
            Ok(()) => return Ok(format!("{} can be made", place.display())),
            Err(error) => reasons.push(format!("{}: {error}", existing.display())),
        }
    }
    Err(format!("{} (check --state-dir)", none_of(&reasons)))
}

/// One line each, whatever a server said.
fn table(lines: &[CheckLine]) -> String {
    let width = lines
        .iter()
        .map(|line| text::line(&line.subject).chars().count())
        .max()
        .unwrap_or(0);
    lines
        .iter()
        .map(|line| {
            let (mark, text) = match &line.outcome {
                Ok(text) => ("ok   ", text),
                Err(text) => ("WRONG", text),
            };
            let (subject, text) = (text::line(&line.subject), text::line(text));
            let gap = " ".repeat(width - subject.chars().count().min(width));
            format!("{mark}  {subject}{gap}  {text}\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_state_directory_that_is_missing_can_be_made_also_by_a_relative_path() {
        for place in ["not-there/by-far", "/tmp/not-there-either"] {
            let found = state_directory(&[PathBuf::from(place)]).unwrap();
            assert!(found.ends_with(&format!("{place} can be made")), "{found}");
        }
        let refused = state_directory(&[PathBuf::from("/proc/none")]).unwrap_err();
        assert!(refused.starts_with("/proc: "), "{refused}");
    }

    #[test]
    fn the_table_is_aligned_and_marks_what_is_wrong() {
        let line = |subject: &str, outcome: std::result::Result<&str, &str>| CheckLine {
            subject: subject.to_owned(),
            outcome: outcome.map(str::to_owned).map_err(str::to_owned),
        };
        let text = table(&[line("Zähler", Ok("fine")), line("a", Err("no"))]);
        assert_eq!(text, "ok     Zähler  fine\nWRONG  a       no\n");
        let forged = table(&[line("a\nb", Err("no\nok     c  \u{1b}[32mfine"))]);
        assert_eq!(forged, "WRONG  a b  no ok     c  \\u{1b}[32mfine\n");
    }
}
