//! How much memory the process could still take: what the system has left, and what the control
//! groups that it is in leave it, whichever is less. So that a plan that cannot be had is a
//! message before anything listens, not a kill from the kernel when the memory is touched.
//!
//! Everything here is a reading of text files; what cannot be read limits nothing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Memory that could still be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    /// How much, in bytes.
    pub bytes: usize,
    /// What it is bounded by.
    pub bound: Bound,
}

/// What bounds the memory that is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The system's own memory.
    System,
    /// The limit of a control group: a container's, or a service's.
    ControlGroup,
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::System => "MemAvailable in /proc/meminfo",
            Self::ControlGroup => "the memory limit of its control group",
        })
    }
}

/// Looks; `None` where the system does not say.
#[must_use]
pub fn look() -> Option<Available> {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_available(&text));
    let system = system.map(|bytes| Available { bytes, bound: Bound::System });
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups
        .lines()
        .flat_map(Group::of_line)
        .filter_map(|group| group.available())
        .map(|bytes| Available { bytes, bound: Bound::ControlGroup })
        .chain(system)
        .min_by_key(|available| available.bytes)
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn mem_available(meminfo: &str) -> Option<usize> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// A control group that may limit memory, by the directory of its files.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    directory: PathBuf,
    files: &'static Files,
}

/// What the two versions of control groups call the same things.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// File pages, which the kernel takes back before it kills anybody.
    reclaimable: [&'static str; 2],
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: ["total_active_file", "total_inactive_file"],
};
const VERSION_2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: ["active_file", "inactive_file"],
};

impl Group {
    /// The groups that a line of `/proc/self/cgroup` (`number:controllers:path`) names: the
    /// innermost and all around it, since each may have a limit of its own.
    fn of_line(line: &str) -> Vec<Self> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            return Vec::new();
        };
        let (root, files) = if controllers.is_empty() {
            (Path::new("/sys/fs/cgroup"), &VERSION_2)
        } else if controllers.split(',').any(|name| name == "memory") {
            (Path::new("/sys/fs/cgroup/memory"), &VERSION_1)
        } else {
            return Vec::new();
        };
        Path::new(path.trim_start_matches('/'))
            .ancestors()
            .map(|path| Self { directory: root.join(path), files })
            .collect()
    }

    fn available(&self) -> Option<usize> {
        let read = |name| fs::read_to_string(self.directory.join(name)).ok();
        let stat = read("memory.stat").unwrap_or_default();
        room(&read(self.files.limit)?, &read(self.files.usage)?, &stat, self.files)
    }
}

/// What a limit leaves beside what is used and cannot be taken back.
fn room(limit: &str, usage: &str, stat: &str, files: &Files) -> Option<usize> {
    // A version 2 group without a limit says `max`, which is no number.
    let limit: usize = limit.trim().parse().ok()?;
    let usage: usize = usage.trim().parse().ok()?;
    let reclaimable = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| files.reclaimable.contains(name))
        .filter_map(|(_, value)| value.trim().parse::<usize>().ok())
        .fold(0, usize::saturating_add);
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_is_available() {
        let meminfo = "MemTotal:  100 kB\nMemFree: 7 kB\nMemAvailable:      42 kB\nBuffers: 1 kB\n";
        assert_eq!(mem_available(meminfo), Some(42 * 1024));
        assert_eq!(mem_available("MemTotal: 100 kB\n"), None);
        assert_eq!(mem_available("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn a_group_and_all_groups_around_it_are_asked() {
        let directories = |line| {
            Group::of_line(line).into_iter().map(|group| group.directory).collect::<Vec<_>>()
        };
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            directories("0::/a/b"),
            paths(&["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup/"])
        );
        assert_eq!(directories("0::/"), paths(&["/sys/fs/cgroup/"]));
        assert_eq!(
            directories("4:cpu,memory:/x:y"),
            paths(&["/sys/fs/cgroup/memory/x:y", "/sys/fs/cgroup/memory/"])
        );
        assert_eq!(directories("3:cpuset:/a"), paths(&[]));
        assert_eq!(directories("nonsense"), paths(&[]));
    }

    #[test]
    fn file_pages_count_as_available_and_no_limit_as_none() {
        let stat = "anon 500\nactive_file 20\ninactive_file 30\nslab 9\n";
        assert_eq!(room("1000\n", "600\n", stat, &VERSION_2), Some(450));
        assert_eq!(room("100\n", "600\n", stat, &VERSION_2), Some(0));
        assert_eq!(room("max\n", "600\n", stat, &VERSION_2), None);
        assert_eq!(room("1000\n", "600\n", stat, &VERSION_1), Some(400));
    }

    #[test]
    fn this_machine_has_some_memory_left() {
        assert!(look().is_some_and(|available| available.bytes > 0));
    }
}
