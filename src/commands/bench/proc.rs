//! Readings of processes and of the machine from `/proc`. Source: proc(5).

use std::{fs, time::Duration};

use anyhow::Context;

/// Length of a clock tick of `/proc/<pid>/stat`: USER_HZ is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// User and system CPU time of a process so far, its ended threads included.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    let ticks = parse_ticks(&stat).context("/proc/<pid>/stat has utime and stime")?;
    Ok(TICK * ticks)
}

/// The same of a process, its children, and those children that have ended.
pub fn family_cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let own = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    let family = parse_family(&own).context("/proc/<pid>/stat has utime to cstime")?;
    let mut ticks = family.own + family.ended;
    for entry in fs::read_dir("/proc")?.flatten() {
        // A process that ends meanwhile counts as its parent's ended child the next time.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        ticks += parse_family(&stat).filter(|child| child.parent == pid).map_or(0, |child| child.own);
    }
    Ok(TICK * ticks)
}

/// Memory of a process that is in RAM, in bytes.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    parse_resident(&status).context("/proc/<pid>/status has VmRSS")
}

/// Files that this process may have open: the limit in force, and the one it may be raised to.
pub fn open_files_limit() -> Option<(u64, u64)> {
    parse_open_files(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// Release of the kernel.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |s| s.trim().to_owned())
}

/// Model name of the first processor.
pub fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned())
}

/// utime + stime: fields 14 and 15.
fn parse_ticks(stat: &str) -> Option<u32> {
    parse_family(stat).map(|family| family.own)
}

/// What of `/proc/<pid>/stat` is about a process and its children.
struct Family {
    parent: u32,
    /// utime + stime, in ticks.
    own: u32,
    /// cutime + cstime, in ticks.
    ended: u32,
}

/// Fields 4 and 14 to 17. The second field, the program's name in parentheses, may hold anything, so
/// fields are counted from its last parenthesis.
fn parse_family(stat: &str) -> Option<Family> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let mut ticks = fields.skip(9).map(|field| field.parse::<u32>().ok());
    let mut pair = || ticks.next()??.checked_add(ticks.next()??);
    Some(Family { parent, own: pair()?, ended: pair()? })
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn parse_open_files(limits: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line.split_ascii_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (grid (b) roker) S 1 42 42 0 -1 4194560 1000 0 0 0 250 50 3 4 20 0 5 0 100 1 2";
        assert_eq!(parse_ticks(stat), Some(300));
        assert_eq!(parse_ticks("42 (short) S 1"), None);
        let family = parse_family(stat).unwrap();
        assert_eq!((family.parent, family.own, family.ended), (1, 300, 7));
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(parse_resident("VmPeak:\t  99 kB\nVmRSS:\t   1024 kB\nThreads:\t3\n"), Some(1 << 20));
        assert_eq!(parse_resident("VmPeak:\t  99 kB\n"), None);
    }

    #[test]
    fn open_files_limit_is_soft_then_hard() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             10                   20                   processes \n\
                      Max open files            1024                 unlimited            files     \n";
        assert_eq!(parse_open_files(limits), Some((1024, u64::MAX)));
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 4096);
        let own = cpu_time(pid).unwrap();
        assert!(family_cpu_time(pid).unwrap() >= own);
        assert!(open_files_limit().is_some());
        assert!(cpu_time(u32::MAX).is_err(), "no process has this ID");
    }
}
