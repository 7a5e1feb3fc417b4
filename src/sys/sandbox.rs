//! What the process gives up for good once it has everything it needs: to open files, to take
//! addresses and make connections, to signal others. The kernel's Landlock holds it to that, as far
//! as its age goes. Not here: who the process is (`identity`).

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};

/// The version of Landlock that knows all that is given up here.
const NEEDED: ABI = ABI::V6;

/// How much of it the kernel holds the process to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// All of it.
    Whole,
    /// Files, but not all of the rest: the kernel's Landlock has this version.
    Partial(i32),
    /// Nothing: it has no Landlock, or was started without.
    None,
}

impl Sandbox {
    /// What this kernel can do.
    #[must_use]
    pub fn available() -> Self {
        let (no_rules, no_bytes, version) = (std::ptr::null::<u8>(), 0_usize, 1_u32);
        #[allow(
            unsafe_code,
            reason = "the C library has no function for this call, nor landlock one"
        )]
        // SAFETY: with this flag the kernel reads nothing from the pointer, and returns a number.
        let version = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, no_rules, no_bytes, version)
        };
        Self::of(i32::try_from(version).unwrap_or(0))
    }

    /// Gives it up. Only files in these folders, or in folders of theirs, may be read afterwards.
    ///
    /// # Errors
    /// A folder that cannot be opened, or a kernel that refuses what it says it can do.
    pub fn enter(readable: &[PathBuf]) -> io::Result<Self> {
        let mut folders = Vec::new();
        for folder in readable {
            folders.push(PathFd::new(folder).map_err(io::Error::other)?);
        }
        let status = Self::restrict(folders).map_err(io::Error::other)?;
        Ok(match (status.ruleset, status.landlock) {
            (RulesetStatus::FullyEnforced, _) => Self::Whole,
            (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
                Self::Partial(effective_abi as i32)
            }
            _ => Self::None,
        })
    }

    fn restrict(folders: Vec<PathFd>) -> Result<RestrictionStatus, RulesetError> {
        let readable =
            folders.into_iter().map(|folder| PathBeneath::new(folder, AccessFs::ReadFile));
        Ruleset::default()
            .handle_access(AccessFs::from_all(NEEDED))?
            .handle_access(AccessNet::from_all(NEEDED))?
            .scope(BitFlags::<Scope>::all())?
            .create()?
            .add_rules(readable.map(Ok::<_, RulesetError>))?
            .restrict_self()
    }

    fn of(version: i32) -> Self {
        match version {
            ..=0 => Self::None,
            _ if version < NEEDED as i32 => Self::Partial(version),
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// A thread is confined alone, and its harness is not.
    #[test]
    fn law_what_was_given_up_cannot_be_had_again() {
        let open = tempfile::tempdir().unwrap();
        let file = open.path().join("file");
        fs::write(&file, "x").unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let readable = vec![open.path().to_owned()];
        let confined = thread::spawn(move || {
            let sandbox = Sandbox::enter(&readable).unwrap();
            assert_eq!(sandbox, Sandbox::available());
            if sandbox == Sandbox::None {
                eprintln!("SKIPPED: this kernel has no Landlock");
                return;
            }
            let denied = Some(ErrorKind::PermissionDenied);
            let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
            assert_eq!(kind(File::open(&file).map(drop)), None);
            assert_eq!(kind(fs::write(&file, "y")), denied);
            assert_eq!(kind(fs::remove_file(&file)), denied);
            assert_eq!(kind(fs::write(file.with_file_name("new"), "y")), denied);
            for path in [elsewhere.path(), "/etc/passwd".as_ref(), "/proc/self/maps".as_ref()] {
                assert_eq!(kind(File::open(path).map(drop)), denied, "{}", path.display());
            }
            assert_eq!(kind(fs::read_dir("/").map(drop)), denied);
            let program = std::process::Command::new("/bin/true").status();
            assert_eq!(kind(program.map(drop)), denied);
            if sandbox == Sandbox::Whole {
                assert_eq!(kind(TcpListener::bind("127.0.0.1:0").map(drop)), denied);
                assert_eq!(kind(TcpStream::connect(address).map(drop)), denied);
            }
        });
        confined.join().unwrap();
        // Here it still can.
        assert!(TcpStream::connect(address).is_ok());
        drop(listener);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_and_nothing_is_given_up() {
        let confined = thread::spawn(|| {
            assert!(Sandbox::enter(&["/does/not/exist".into()]).is_err());
            assert!(File::open("/etc/passwd").is_ok());
        });
        confined.join().unwrap();
    }

    #[test]
    fn a_version_says_how_much_of_it_there_is() {
        assert_eq!(Sandbox::of(0), Sandbox::None);
        assert_eq!(Sandbox::of(1), Sandbox::Partial(1));
        assert_eq!(Sandbox::of(5), Sandbox::Partial(5));
        assert_eq!(Sandbox::of(6), Sandbox::Whole);
        assert_eq!(Sandbox::of(7), Sandbox::Whole);
    }
}
