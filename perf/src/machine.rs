//! What machine a figure was measured on. Figures from different machines are not compared.

use serde::Serialize;
use std::fs;

/// The fingerprint; what a system does not tell is empty or zero.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Machine {
    /// CPU model.
    pub cpu: String,
    /// Logical CPUs that this process may use.
    pub cores: usize,
    /// Logical CPUs of the machine.
    pub cores_online: usize,
    /// Kernel release.
    pub kernel: String,
    /// Architecture.
    pub arch: String,
    /// Memory.
    pub memory_bytes: u64,
    /// Frequency governor of the first CPU.
    pub governor: String,
    /// Whether the CPUs are of a virtual machine.
    pub virtualized: bool,
    /// Clock source of the kernel.
    pub clock_source: String,
    /// `release` or `debug`: a debug build's figures mean nothing.
    pub build: String,
}

impl Machine {
    /// The machine this runs on.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        Self {
            cpu: cpu_model(&cpuinfo),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cores_online: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim().to_owned(),
            virtualized: cpuinfo
                .lines()
                .any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor")),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource").trim().to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        }
    }

    /// One line for a terminal or a page.
    pub fn line(&self) -> String {
        let mut words = vec![
            if self.cpu.is_empty() { "unknown CPU".to_owned() } else { self.cpu.clone() },
            format!("{} of {} cores", self.cores, self.cores_online),
            format!("{:.1} GiB", self.memory_bytes as f64 / f64::from(1 << 30)),
            format!("Linux {}", self.kernel),
            self.arch.clone(),
        ];
        if self.virtualized {
            words.push("virtual".to_owned());
        }
        if !self.governor.is_empty() {
            words.push(format!("governor {}", self.governor));
        }
        words.push(format!("{} build", self.build));
        words.join(", ")
    }
}

fn value<'a>(text: &'a str, names: &[&str]) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        names.contains(&name.trim()).then(|| value.trim())
    })
}

fn cpu_model(cpuinfo: &str) -> String {
    // Arm kernels name no model, only an implementer and a part.
    value(cpuinfo, &["model name", "Model"]).or_else(|| value(cpuinfo, &["CPU part"])).unwrap_or_default().to_owned()
}

fn memory_bytes(meminfo: &str) -> u64 {
    let kibibytes = value(meminfo, &["MemTotal"]).and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Big CPU @ 3 GHz\n"), "Big CPU @ 3 GHz");
        assert_eq!(cpu_model("processor : 0\nCPU part : 0xd0c\n"), "0xd0c");
        assert_eq!(memory_bytes("MemTotal:       16384 kB\nMemFree: 1 kB\n"), 16_384 * 1024);
        assert_eq!((cpu_model(""), memory_bytes("")), (String::new(), 0));
        let here = Machine::here();
        assert!(here.cores > 0);
        assert!(here.line().contains("Linux"));
    }
}
