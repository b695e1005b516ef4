//! Parses, runs, and ends with the exit code; nothing else.

#[cfg(any(target_os = "linux", windows))]
mod heap;

use std::io::Write;
use std::process::ExitCode;

use dbsync2::cli::{self, Parsed};
use dbsync2::error::{Error, ErrorKind};
use dbsync2::{logging, shutdown::Shutdown, sync};
use time::OffsetDateTime;

// Few megabytes that do not grow, whatever the C library: see Cargo.toml.
#[cfg(any(target_os = "linux", windows))]
#[global_allocator]
static ALLOCATOR: heap::Heap = heap::Heap::new();
// The locks of other systems may themselves need memory.
#[cfg(not(any(target_os = "linux", windows)))]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let parsed = cli::parse(std::env::args_os().skip(1), &|name| std::env::var_os(name));
    match parsed {
        Ok(Parsed::ShortHelp) => print(&cli::help::short()),
        Ok(Parsed::Help) => print(&cli::help::help()),
        Ok(Parsed::Version) => print(&cli::help::version()),
        Ok(Parsed::Manual) => print(&cli::man::manual()),
        Ok(Parsed::Completions(shell)) => print(&cli::completions::completions(shell)),
        Ok(Parsed::Licenses) => print(&cli::licenses::licenses()),
        Ok(Parsed::Run(mut settings)) => {
            settings.warnings.extend(warn_of_variables());
            match sync::validate(&settings) {
                Ok(()) => match run(*settings) {
                    Ok(code) => {
                        log::logger().flush();
                        ExitCode::from(code)
                    }
                    Err(error) => ended_by(&error),
                },
                Err(error) => refused(&error),
            }
        }
        Err(error) => {
            warn_of_variables();
            refused(&error)
        }
    }
}

/// A command line or environment that can't be used: nothing was touched, not even a log.
fn refused(error: &Error) -> ExitCode {
    say(error);
    ExitCode::from(error.exit_code())
}

/// Warns at once of variables that are misspelt; returns all that have no effect, one sentence each, for the log.
fn warn_of_variables() -> Vec<String> {
    let unknown = cli::variables::unknown(std::env::vars_os().map(|(name, _)| name));
    for variable in unknown.iter().filter(|variable| variable.is_misspelt()) {
        say(&variable.message());
    }
    unknown
        .iter()
        .map(cli::variables::Unknown::message)
        .collect()
}

fn say(message: &dyn std::fmt::Display) {
    // Not eprintln!, which panics when nobody listens.
    let _ = writeln!(std::io::stderr(), "dbsync2: {message}");
}

fn run(settings: cli::Settings) -> Result<u8, Error> {
    let shutdown = Shutdown::install(settings.ends_by_itself().then(|| settings.mode.name()))?;
    let log =
        logging::init(&settings, OffsetDateTime::now_utc()).inspect_err(|error| say(error))?;
    std::panic::set_hook(Box::new(|panic| {
        // The place only: a panic message may hold values.
        let place = panic
            .location()
            .map_or_else(String::new, ToString::to_string);
        log::error!("{}", panicked(&place));
    }));
    sync::run(settings, &log, shutdown)
}

/// What to say of a panic at this place: whose it is.
fn panicked(place: &str) -> String {
    let place = place.replace('\\', "/");
    // The sources of a library lie in a directory of its name and version, ours are named from `src` on.
    let library = place
        .rsplit_once("/src/")
        .and_then(|(before, file)| Some((before.rsplit('/').next()?.rsplit_once('-')?, file)))
        .filter(|((_, version), _)| version.starts_with(|c: char| c.is_ascii_digit()));
    match library {
        Some(((name, version), file)) => format!(
            "the library {name} {version} failed at src/{file}: what was done with it counts as failed"
        ),
        None => format!("internal error at {place}; please report it"),
    }
}

fn ended_by(error: &Error) -> ExitCode {
    if error.kind() == ErrorKind::Stopped {
        log::info!("stopped by signal");
    } else {
        log::error!("{error}");
    }
    log::logger().flush();
    ExitCode::from(error.exit_code())
}

fn print(text: &str) -> ExitCode {
    // Not println!, which panics when nobody listens.
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_named_after_whose_it_is() {
        for place in [
            "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/mysql_common-0.37.3/src/crypto/der.rs:12:5",
            "C:\\cargo\\registry\\src\\index\\mysql_common-0.37.3\\src\\crypto\\der.rs:12:5",
        ] {
            assert_eq!(
                panicked(place),
                "the library mysql_common 0.37.3 failed at src/crypto/der.rs:12:5: what was done with it counts as failed"
            );
        }
        for place in [
            "src/sync/round.rs:1:2",
            "/rustc/0a1b2c/library/core/src/str/mod.rs:3:4",
        ] {
            assert_eq!(
                panicked(place),
                format!("internal error at {place}; please report it")
            );
        }
    }
}
