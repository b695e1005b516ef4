//! `--a check`: tries everything, changes nothing, prints a table.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::closing::Closing;
use crate::cli::Settings;
use crate::destination::sql::{CheckLine, Target};
use crate::destination::webhook::receiver::Receiver;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::logging::LogFile;
use crate::net::retry::Pause;
use crate::state::{lock_holder, none_of, stem};
use crate::tables::fields::{CustomField, Layout};
use crate::text;

/// Where things are to go.
pub enum Place {
    /// An SQL database.
    Database(Box<Target>),
    /// A web service.
    WebService(Box<Receiver>),
}

/// Looks at the API, the place where things are to go, the state directory and the log directory; returns the exit code: 3
/// where Dialfire refuses the token, 1 where anything else is wrong.
///
/// # Errors
/// Those of the command line.
pub fn run(
    settings: &Settings,
    place: &Place,
    places: &[PathBuf],
    log: &LogFile,
    pause: &Pause,
) -> Result<u8> {
    let begin = Instant::now();
    let mut lines = Vec::new();
    let client = super::client(settings, 2, pause.clone())?;
    let api = client.fields();
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
    if let Some(problem) = super::future_start(settings.start, client.clock().last_answer_time()) {
        lines.push(CheckLine {
            subject: "start date".to_owned(),
            outcome: Err(problem),
        });
    }
    let identity = match place {
        Place::Database(target) => {
            lines.extend(database(settings, target, &fields));
            super::identity(settings, target)
        }
        Place::WebService(receiver) => {
            lines.push(CheckLine {
                subject: receiver.display().to_owned(),
                outcome: receiver.check(),
            });
            super::receiver_identity(receiver)
        }
    };
    let wanted = settings
        .state_dir
        .as_ref()
        .map_or_else(|| places.to_vec(), |wanted| vec![wanted.clone()]);
    let mut state = state_directory(&wanted);
    if let Ok((directory, _)) = &state {
        let stem = stem(&settings.campaign, &identity);
        lines.push(CheckLine {
            subject: "lock".to_owned(),
            outcome: lock(directory, &stem),
        });
        if let Err(error) = files::inspect(directory, &format!("{stem}.")) {
            state = Err(format!("{error} (check --state-dir)"));
        }
    }
    lines.push(CheckLine {
        subject: "state directory".to_owned(),
        outcome: state.map(|(_, text)| text),
    });
    if let Some(path) = &settings.status_file {
        lines.push(CheckLine {
            subject: "status file".to_owned(),
            outcome: status_file(path),
        });
    }
    lines.push(CheckLine {
        subject: "log directory".to_owned(),
        outcome: match log.path.as_deref().and_then(Path::parent) {
            Some(directory) => log_directory(directory),
            None => Err(log.problem.clone().unwrap_or_else(|| {
                "no directory can be written to, the log goes to standard output (see --log-dir)"
                    .to_owned()
            })),
        },
    });
    let _ = write!(std::io::stdout(), "{}", table(&lines));
    let wrong = lines.iter().filter(|line| line.outcome.is_err()).count();
    let missing = match wrong {
        0 => Vec::new(),
        _ => vec![format!("{wrong} of them failed")],
    };
    let done = match wrong {
        0 => Ok(()),
        _ if refused => Err(Error::new(ErrorKind::Refused, "Dialfire refuses the token")),
        _ => Err(Error::setup("something has to be mended")),
    };
    let closing = Closing {
        mode: "check",
        counts: format!("{} checks", lines.len()),
        missing,
        time: begin.elapsed(),
        ..Closing::default()
    };
    Ok(closing.end(done, None))
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

/// Whether the process that this command line starts would get the lock. Another one may hold it: it works as it should.
fn lock(directory: &Path, stem: &str) -> std::result::Result<String, String> {
    match lock_holder(directory, stem) {
        Ok(None) => Ok("free: no other process copies this campaign into this target".to_owned()),
        Ok(Some(holder)) => Ok(format!(
            "{holder} is copying this campaign into this target; a second one would end with exit code 4"
        )),
        Err(error) => Err(format!(
            "{}: {error} (check its owner)",
            directory.join(format!("{stem}.lock")).display()
        )),
    }
}

/// Whether a status file can be replaced, by making another file beside it and removing that.
fn status_file(path: &Path) -> std::result::Result<String, String> {
    match files::try_publishing(path) {
        Ok(()) => Ok(format!("{} can be written", path.display())),
        Err(error) => Err(format!(
            "cannot write {}: {error} ({})",
            path.display(),
            remedy(&error, "--status-file")
        )),
    }
}

/// Whether the log that was opened there can grow.
fn log_directory(directory: &Path) -> std::result::Result<String, String> {
    match files::try_room(directory) {
        Ok(()) => Ok(format!("{} can be written to", directory.display())),
        Err(error) => Err(format!(
            "{}: {error} ({})",
            directory.display(),
            remedy(&error, "--log-dir")
        )),
    }
}

/// What to do about a file that can't be written.
fn remedy(error: &std::io::Error, flag: &str) -> String {
    if files::is_full(error) {
        format!("make room on the disk, or check {flag}")
    } else {
        format!("check {flag}")
    }
}

/// The first directory that can be written to or be made. Nothing is made, except a file that is removed at once.
fn state_directory(places: &[PathBuf]) -> std::result::Result<(PathBuf, String), String> {
    let mut reasons = Vec::new();
    for place in places {
        let place = &std::path::absolute(place).unwrap_or_else(|_| place.clone());
        let can = match files::try_directory(place) {
            Ok(true) => "can be written to",
            Ok(false) => "can be made",
            Err(error) => {
                reasons.push(format!("{}: {error}", place.display()));
                // A run would use this one as well.
                if files::is_full(&error) {
                    let remedy = remedy(&error, "--state-dir");
                    return Err(format!("{} ({remedy})", none_of(&reasons)));
                }
                if files::is_refusal(&error) && files::is_writable(place) {
                    break;
                }
                continue;
            }
        };
        return Ok((place.clone(), format!("{} {can}", place.display())));
    }
    Err(format!("{} (check --state-dir)", none_of(&reasons)))
}

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
    use crate::scratch::Scratch;
    use crate::state::StateFiles;

    #[test]
    fn a_state_directory_that_is_missing_can_be_made_also_by_a_relative_path() {
        for place in ["not-there/by-far", "/tmp/not-there-either"] {
            let (_, found) = state_directory(&[PathBuf::from(place)]).unwrap();
            assert!(found.ends_with(&format!("{place} can be made")), "{found}");
        }
        let refused = state_directory(&[PathBuf::from("/proc/none")]).unwrap_err();
        assert!(refused.starts_with("/proc/none: "), "{refused}");
    }

    #[test]
    fn a_status_file_must_be_replaceable() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("status.json");
        for _ in 0..2 {
            let found = status_file(&path).unwrap();
            assert_eq!(found, format!("{} can be written", path.display()));
            std::fs::write(&path, "old").unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
        for (path, problem) in [
            (
                scratch.path().to_owned(),
                "it is a directory, not a regular file: remove it",
            ),
            (
                PathBuf::from("/dev/null"),
                "it is a device, not a regular file: remove it",
            ),
            (PathBuf::from("/"), "that is not a file name"),
            (path.join("below"), "Not a directory (os error 20)"),
            (
                scratch.path().join("no/status.json"),
                "its directory is missing",
            ),
        ] {
            let wanted = format!(
                "cannot write {}: {problem} (check --status-file)",
                path.display()
            );
            assert_eq!(status_file(&path), Err(wanted));
        }
    }

    #[test]
    fn the_lock_is_looked_at_and_left_as_it_is() {
        let scratch = Scratch::new().unwrap();
        let free = "free: no other process copies this campaign into this target";
        let look = || lock(scratch.path(), &stem("C", "target"));
        assert_eq!(look().unwrap(), free);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        let files = StateFiles::locate(Some(scratch.path()), &[], "C", "target").unwrap();
        assert_eq!(look().unwrap(), free);
        let held = files.lock().unwrap();
        let pid = std::process::id();
        for _ in 0..2 {
            assert_eq!(
                look().unwrap(),
                format!(
                    "process {pid} is copying this campaign into this target; a second one would end with exit code 4"
                )
            );
        }
        drop(held);
        assert_eq!(look().unwrap(), free);
        files.lock().unwrap();
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
