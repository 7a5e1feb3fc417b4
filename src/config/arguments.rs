//! The command line.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

use super::{Keys, Purpose};

/// What was typed on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Parser)]
#[command(
    name = "mailfly",
    version,
    about = "Takes mail for anybody at any address, keeps it for a while in memory set aside at start,\n\
             and shows it to whoever asks.",
    override_usage = "mailfly [OPTIONS]",
    after_help = "Sizes: 65536, 64KiB, 4MiB. --help also tells of the environment and the file.",
    after_long_help = AFTER_LONG_HELP,
    next_help_heading = "What to do",
    disable_help_flag = true,
    disable_version_flag = true
)]
pub struct Arguments {
    /// The keys that may also be set elsewhere.
    #[command(flatten)]
    pub keys: Keys,

    /// Read the configuration from this file first
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the effective configuration, as a file for --config, and exit
    #[arg(long, conflicts_with = "plan")]
    pub check: bool,

    /// Print the memory that it will take, term by term, and exit
    #[arg(long)]
    pub plan: bool,

    /// Print this; -h prints less of it
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

const AFTER_LONG_HELP: &str = "\
Sizes are whole numbers of bytes or of KiB, MiB, GiB or TiB: 65536, 64KiB, 4MiB.

Flags overrule the environment, which overrules the file, which overrules the defaults. What is
unknown in any of them is an error. A list of addresses or names is overruled as a whole.

In the environment, the names are MAILFLY_CONFIG, MAILFLY_MAILBOX_SIZE and so on, and addresses and
names are separated by commas:
    MAILFLY_SMTP=127.0.0.1:1025,[::1]:1025
In the file, which is TOML, the names are the flags' names:
    smtp = [\"127.0.0.1:1025\", \"[::1]:1025\"]
    mailbox-size = \"8MiB\"

Exit codes: 0 when told to stop, 1 when something cannot be had, 2 when something is not understood.";

impl Arguments {
    /// What the program was started for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match (self.check, self.plan) {
            (true, _) => Purpose::Check,
            (false, true) => Purpose::Plan,
            (false, false) => Purpose::Serve,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
