//! strace, which looks on at what the program asks of the kernel, or has the kernel say no. Not here:
//! what is asserted.

use std::path::PathBuf;
use std::process::Command;

use super::skipped;

/// Where strace is; `None`, which has been said, if it cannot be used and that is all right.
pub(crate) fn usable(test: &str) -> Option<PathBuf> {
    match find() {
        Ok(strace) => Some(strace),
        Err(why) if std::env::var_os("MAILFLY_WITHOUT_STRACE").is_some() => {
            skipped(test, &why);
            None
        }
        Err(why) => panic!(
            "{why}; scripts/set-up installs strace, and MAILFLY_WITHOUT_STRACE=1 leaves this out"
        ),
    }
}

fn find() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("strace"));
    let strace = found.into_iter().find(|file| file.is_file()).ok_or("strace is missing")?;
    let tried = Command::new(&strace).args(["-D", "-q", "-o", "/dev/null", "true"]).output();
    let tried = tried.map_err(|error| format!("strace does not start: {error}"))?;
    match tried.status.success() {
        true => Ok(strace),
        false => {
            let said = String::from_utf8_lossy(&tried.stderr);
            Err(format!("strace may not trace here: {}", said.trim()))
        }
    }
}

/// One system call, as strace writes it: `name(arguments) = result …`.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) result: i64,
}

impl Call {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(" = "))?;
        let result = result.split(' ').next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), arguments: arguments.trim().to_owned(), result })
    }

    /// Whether a read returned as many bytes as it had room for: as long as its third argument.
    pub(crate) fn filled_its_buffer(&self) -> bool {
        let after_bytes = self.arguments.rsplit_once('"').map_or("", |(_, rest)| rest);
        let room = after_bytes.split([',', ')']).find_map(|word| word.trim().parse::<i64>().ok());
        room.is_none_or(|room| self.result >= room)
    }
}
