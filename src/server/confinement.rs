//! What the process gives up between having everything and serving: other users' rights, root's
//! powers, new privileges, files. In this order, since each step leaves no way back to the one before.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Settings, User};
use crate::limits::PASSWD_FILE_BYTES_MAX;
use crate::sys::capabilities;
use crate::sys::identity::{self, Identity};
use crate::sys::sandbox::Sandbox;

/// What will be given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    user: Option<Identity>,
    /// It is root, and stays root.
    stays_root: bool,
    /// What may still be read.
    readable: Vec<PathBuf>,
    sandbox: Sandbox,
}

/// Why it cannot be given up.
#[derive(Debug)]
pub enum ConfinementError {
    /// Only root may become another.
    NotRoot(User),
    /// There is nobody of this name.
    NoSuchUser(User),
    /// The list of users cannot be read.
    Users(io::Error),
    /// The kernel refuses.
    System(&'static str, io::Error),
}

impl fmt::Display for ConfinementError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRoot(user) => write!(
                formatter,
                "--user {user}: only root can become another user; start as root, or without --user",
            ),
            Self::NoSuchUser(user) => {
                write!(
                    formatter,
                    "--user {user}: nobody in /etc/passwd has this name; UID:GID will do"
                )
            }
            Self::Users(error) => write!(formatter, "cannot read /etc/passwd: {error}"),
            Self::System(what, error) => write!(formatter, "cannot give up {what}: {error}"),
        }
    }
}

impl std::error::Error for ConfinementError {}

impl Confinement {
    /// What these settings ask for, and this kernel can do. Changes nothing yet.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn of(settings: &Settings) -> Result<Self, ConfinementError> {
        let user = match &settings.user {
            User::Unchanged => None,
            User::Numbered(identity) => Some(*identity),
            User::Named(name) => {
                let found =
                    identity::find(name, PASSWD_FILE_BYTES_MAX).map_err(ConfinementError::Users)?;
                Some(found.ok_or_else(|| ConfinementError::NoSuchUser(settings.user.clone()))?)
            }
        };
        let readable = folders(settings.read_again());
        let stays_root = user.is_none() && identity::is_root();
        Ok(Self { user, stays_root, readable, sandbox: Sandbox::available() })
    }

    /// Whether this process may do it.
    ///
    /// # Errors
    /// It is not root, and would have to become another user.
    pub fn check(&self, settings: &Settings) -> Result<(), ConfinementError> {
        if self.user.is_some() && !identity::is_root() {
            return Err(ConfinementError::NotRoot(settings.user.clone()));
        }
        Ok(())
    }

    /// Gives it up for good, and returns what came of it.
    ///
    /// # Errors
    /// The kernel's. The process may have given up a part then: end it.
    pub fn enter(&self) -> Result<Self, ConfinementError> {
        let failed = |what| move |error| ConfinementError::System(what, error);
        capabilities::renounce_bounds().map_err(failed("capabilities"))?;
        if let Some(user) = self.user {
            identity::assume(user).map_err(failed("being root"))?;
        }
        // Binding needed some, and nothing needs any from here on.
        capabilities::renounce().map_err(failed("capabilities"))?;
        identity::renounce_new_privileges().map_err(failed("new privileges"))?;
        let sandbox = Sandbox::enter(&self.readable).map_err(failed("files"))?;
        Ok(Self { sandbox, ..self.clone() })
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Identity { uid, gid }) = self.user {
            write!(formatter, "user {uid}, group {gid}, ")?;
        }
        if self.stays_root {
            formatter.write_str("still root, for want of --user, ")?;
        }
        formatter.write_str("no capabilities, no new privileges, ")?;
        match self.sandbox {
            Sandbox::Whole => {
                formatter.write_str("no files, no new addresses, no signals to others")
            }
            Sandbox::Partial(version) => write!(
                formatter,
                "no files; as to addresses and signals, Landlock {version} of this kernel is too old \
                 for some of it",
            ),
            Sandbox::None => {
                formatter.write_str("and nothing else: this kernel has no Landlock, or not enabled")
            }
        }?;
        if !self.readable.is_empty() && self.sandbox != Sandbox::None {
            formatter.write_str(", but to read in")?;
            for folder in &self.readable {
                write!(formatter, " {}", folder.display())?;
            }
        }
        Ok(())
    }
}

/// The folders that these files are in: whoever renews a certificate puts a new file in place of the
/// old one, or, where that is a link, a new file beside the one that it leads to.
fn folders<'a>(files: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
    let folder = |file: &Path| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut folders = BTreeSet::new();
    for file in files {
        let own = folder(file);
        // What leads nowhere will not be read either, and who reads it says so.
        let target = file.canonicalize().ok().map(|target| folder(&target));
        // Where it is no link, or leads within its folder, that is all.
        let is_elsewhere =
            |target: &PathBuf| own.canonicalize().map_or(true, |own| !target.starts_with(own));
        folders.extend(target.filter(is_elsewhere));
        folders.insert(own);
    }
    folders.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_folder_of_a_link_and_that_of_what_it_leads_to_may_be_read() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for folder in ["live", "archive", "live/within"] {
            fs::create_dir(top.join(folder)).unwrap();
        }
        for file in ["archive/1", "live/plain", "live/within/1"] {
            fs::write(top.join(file), "").unwrap();
        }
        symlink("../archive/1", top.join("live/link")).unwrap();
        symlink("link", top.join("live/link-to-link")).unwrap();
        symlink("within/1", top.join("live/link-within")).unwrap();
        symlink("../nowhere/1", top.join("live/broken")).unwrap();
        let found = |file: &str| {
            let folders = folders([top.join("live").join(file).as_path()].into_iter());
            let names = folders.iter().map(|folder| folder.strip_prefix(&top).unwrap());
            names.map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("plain"), "live");
        assert_eq!(found("link"), "archive live");
        assert_eq!(found("link-to-link"), "archive live");
        assert_eq!(found("link-within"), "live");
        assert_eq!(found("broken"), "live");
        assert_eq!(found("not-there"), "live");
        assert_eq!(folders([Path::new("not-there")].into_iter()), [Path::new(".")]);
    }

    #[test]
    fn what_is_given_up_is_said_as_far_as_it_is() {
        let told = |sandbox, readable: &[&str]| {
            let user = Some(Identity { uid: 1, gid: 2 });
            let readable = readable.iter().map(PathBuf::from).collect();
            Confinement { user, stays_root: false, readable, sandbox }.to_string()
        };
        assert_eq!(
            told(Sandbox::Whole, &["/a", "/b"]),
            "user 1, group 2, no capabilities, no new privileges, no files, no new addresses, no signals to others, \
             but to read in /a /b"
        );
        let root =
            Confinement { user: None, stays_root: true, readable: vec![], sandbox: Sandbox::Whole };
        assert!(root.to_string().starts_with("still root, for want of --user, no capabilities, "));
        assert!(told(Sandbox::Partial(3), &[]).contains("Landlock 3 of this kernel is too old"));
        assert!(told(Sandbox::None, &["/a"]).ends_with("has no Landlock, or not enabled"));
    }
}
