//! What a process takes, as Linux says it.

use std::fs;

/// Processor time that all threads of a process have had so far, in seconds.
pub(crate) fn cpu_s(pid: u32) -> Result<f64, String> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let nanoseconds = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    let all = tasks.flatten().filter_map(nanoseconds); // a thread may have ended meanwhile
    Ok(all.sum::<f64>() / 1e9)
}

/// Processor time that this thread has had so far, in seconds.
pub(crate) fn own_cpu_s() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

/// Memory of a process in MiB: `VmRSS` now, `VmHWM` at most.
pub(crate) fn memory_mib(pid: u32, what: &str) -> Result<f64, String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find(|line| line.starts_with(what));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| format!("{path} does not say {what}"))
}
