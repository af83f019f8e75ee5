//! `nod doctor`: whether everything is as it should be, and mending it.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nod_client::{ClientError, Connection, find_paths, find_socket};
use nod_core::paths::Paths;
use nod_core::protocol::{Call, Check, Health, Reply};

use crate::failure::Failure;
use crate::text::{neutralised, padded};
use crate::{exit, output};

/// How long a host may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a host may be there before it can be reached, or after.
const STARTING: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// How wide the names of checks are.
const NAMES: usize = 14;

/// Look over the host, the history, the disk and the running tasks
///
/// Exits with 1 where something is wrong.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Mend what can be mended; nothing is deleted
    #[arg(long)]
    repair: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let paths = find_paths()?;
    let mut checks = of_the_host(&paths);
    // Not through the host, which may be what is wrong.
    checks.extend(nod_engine::examine(&paths, arguments.repair));
    if arguments.json {
        output::json(&checks)?;
    } else {
        output::text(&checks.iter().map(line).collect::<String>())?;
    }
    let is_bad = checks.iter().any(|check| check.health == Health::Bad);
    Ok(if is_bad { exit::FAILED } else { exit::OK })
}

fn of_the_host(paths: &Paths) -> Vec<Check> {
    let check = |name: &str, health, said| Check { name: name.to_owned(), health, said };
    let until = Instant::now() + STARTING;
    let (socket, asked) = loop {
        let socket = find_socket(paths);
        let asked = Connection::open(&socket, None)
            .and_then(|mut connection| connection.call_within(PATIENCE, &Call::Diagnose));
        let waits = matches!(asked, Err(ClientError::NoHost { .. })) && nod_engine::has_host(paths);
        if !waits || Instant::now() >= until {
            break (socket, asked);
        }
        thread::sleep(BETWEEN_LOOKS);
    };
    match asked {
        Ok(Reply::Diagnosis { checks }) => {
            let said = format!("{} answers", socket.display());
            [vec![check("socket", Health::Good, said)], checks].concat()
        }
        Ok(reply) => vec![check("socket", Health::Bad, Failure::unexpected(&reply).to_string())],
        Err(ClientError::NoHost { .. }) if nod_engine::has_host(paths) => {
            let said = format!("a host runs, and cannot be reached at {}", socket.display());
            vec![check("socket", Health::Bad, said)]
        }
        Err(ClientError::NoHost { .. }) => {
            let said = "no host runs; the next command starts one".to_owned();
            vec![check("socket", Health::Note, said)]
        }
        Err(error) => vec![check("socket", Health::Bad, error.to_string())],
    }
}

fn line(check: &Check) -> String {
    let health = match check.health {
        Health::Good => "ok      ",
        Health::Note => "note    ",
        Health::Bad => "WRONG   ",
        Health::Repaired => "mended  ",
    };
    // A line that follows begins where none of another check does.
    let indent = " ".repeat(health.len() + NAMES + 2);
    let said: Vec<String> = check.said.lines().map(neutralised).collect();
    format!("{health}{}  {}\n", padded(&check.name, NAMES), said.join(&format!("\n{indent}")))
}
