//! What a figure depends on besides the server: told with every result, because without it nobody can repeat one.

use std::fs;

use serde::{Deserialize, Serialize};

/// The share of all processors' time that others may use before figures suffer.
pub const OTHERS_MAX: f64 = 0.05;

/// What was found of the machine, and how busy others kept it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: Vec<usize>,
    /// What cores do while they have nothing to do, and who decides it.
    pub idle: String,
    /// The frequency governor, where there is one.
    pub governor: Option<String>,
    /// Whether this is a virtual machine.
    pub virtual_machine: bool,
    /// The clock that the kernel reads.
    pub clock: String,
    /// What TCP does about congestion.
    pub congestion_control: String,
    /// Whether small TCP segments wait: they do not.
    pub nodelay: bool,
    /// The system's load over the last minute, before it began.
    pub load: f64,
    /// How much of all processors' time others used while it was measured, from 0 to 1.
    pub others: f64,
    /// How much of all processors' time the hypervisor gave to other machines meanwhile, from 0 to 1.
    pub steal: f64,
}

/// A look at what processors have done so far, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    all: u64,
    busy: u64,
    steal: u64,
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

impl Environment {
    /// Finds out what can be known before anything is measured.
    pub fn look() -> Environment {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let driver = read("/sys/devices/system/cpu/cpuidle/current_driver");
        let idle_governor = read("/sys/devices/system/cpu/cpuidle/current_governor");
        let idle = match (driver, idle_governor) {
            (Some(driver), Some(governor)) => format!("{driver}, {governor}"),
            (Some(driver), None) => driver,
            _ => "unknown".into(),
        };
        Environment {
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            processor: field("model name").unwrap_or_default(),
            cores: super::place::cores(),
            idle,
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            virtual_machine: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            clock: read("/sys/devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default(),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default(),
            nodelay: true,
            load: read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or_default(),
            others: 0.0,
            steal: 0.0,
        }
    }

    /// Fills in what others did between two looks, of which `own` ticks were this measurement's.
    pub fn meanwhile(&mut self, before: Ticks, after: Ticks, own: u64) {
        let all = after.all.saturating_sub(before.all).max(1) as f64;
        let busy = after.busy.saturating_sub(before.busy).saturating_sub(own) as f64;
        self.others = busy / all;
        self.steal = after.steal.saturating_sub(before.steal) as f64 / all;
    }
}

impl Ticks {
    /// What all processors have done so far.
    pub fn look() -> Ticks {
        let stat = read("/proc/stat").unwrap_or_default();
        let numbers: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|number| number.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal ..; the guests' are in the user's already.
        let at = |number: usize| numbers.get(number).copied().unwrap_or_default();
        let steal = at(7);
        let all = numbers.iter().take(8).sum();
        Ticks { all, busy: all - at(3) - at(4) - steal, steal }
    }

    /// What a process has used so far, with all its threads.
    pub fn of_process(pid: u32) -> u64 {
        let stat = read(&format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name in parentheses may hold anything.
        let Some((_, rest)) = stat.rsplit_once(')') else { return 0 };
        let number = |at: usize| rest.split_whitespace().nth(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        number(11) + number(12)
    }
}
