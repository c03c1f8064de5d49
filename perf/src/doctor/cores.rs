//! Cores: how many, whose, how fast they run, and who else runs on them.

use super::tree::Tree;
use super::{Finding, Places, Probed, Verdict};

/// Shard, log thread, a FIX thread, and one for the rest.
const CORES_WANTED: usize = 4;

pub(super) fn checks(tree: &Tree, probed: &Probed, places: &Places) -> Vec<Finding> {
    let online = tree.cores("sys/devices/system/cpu/online").unwrap_or_else(|| probed.allowed_cores.clone());
    let shard = places.shard_core.or(probed.allowed_cores.last().copied()).or(online.last().copied()).unwrap_or(0);
    [
        Some(count(probed)),
        quota(tree),
        Some(shard_core(probed, shard)),
        Some(isolation(tree, shard)),
        smt(tree, shard),
        governor(tree, &online),
        idle(tree, shard),
        numa(tree, probed),
        Some(steal(probed)),
        instructions(tree),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn count(probed: &Probed) -> Finding {
    let cores = probed.allowed_cores.len();
    let verdict = if cores >= CORES_WANTED { Verdict::Good } else { Verdict::Advice };
    let why =
        "the shard, the log thread, the FIX thread and the rest each want a core; on fewer, latency is the scheduler's";
    let found = Finding::new("cores", why, verdict, format!("{cores} cores may be used"));
    if verdict == Verdict::Good {
        return found;
    }
    found.change(format!(
        "give the host at least {CORES_WANTED} cores; below that, leave engine.wait at auto, which does not spin"
    ))
}

/// The time that a control group may use: version 2, then version 1.
fn quota(tree: &Tree) -> Option<Finding> {
    let why = "a host that has used its share is stopped for the rest of the period, a tenth of a second by default";
    let of_v1 = || {
        let quota = tree.number("sys/fs/cgroup/cpu/cpu.cfs_quota_us")?;
        let period = tree.number("sys/fs/cgroup/cpu/cpu.cfs_period_us")?;
        Some(if quota < 0 { "max".to_owned() } else { format!("{quota} {period}") })
    };
    let text = tree.text("sys/fs/cgroup/cpu.max").or_else(of_v1)?;
    let mut words = text.split_whitespace();
    let (limit, period) = (words.next()?, words.next().unwrap_or("100000"));
    if limit == "max" {
        return Some(Finding::new("cpu_quota", why, Verdict::Good, "no limit"));
    }
    let found = Finding::new("cpu_quota", why, Verdict::Bad, format!("{limit} of every {period} us"));
    Some(
        found.change(
            "run the host without a CPU limit (cpu.max, docker --cpus, resources.limits.cpu); pin cores instead",
        ),
    )
}

fn shard_core(probed: &Probed, shard: usize) -> Finding {
    let why =
        "the shard's thread is pinned at the start; a core that may not be used leaves it where the scheduler puts it";
    if probed.allowed_cores.contains(&shard) {
        return Finding::new("shard_core", why, Verdict::Good, format!("core {shard}"));
    }
    let found = format!("core {shard} is not among those that may be used: {:?}", probed.allowed_cores);
    Finding::new("shard_core", why, Verdict::Bad, found)
        .change("set engine.shard_core to one of them, or widen the CPU set")
}

fn isolation(tree: &Tree, shard: usize) -> Finding {
    let why = "whatever else the kernel runs on the shard's core (other programs, its own timers, callbacks) is in the tail of every percentile";
    let isolated = tree.cores("sys/devices/system/cpu/isolated").unwrap_or_default();
    let tickless = tree.cores("sys/devices/system/cpu/nohz_full").unwrap_or_default();
    let (is_isolated, is_tickless) = (isolated.contains(&shard), tickless.contains(&shard));
    let says = |is: bool, what: &str| format!("{}{what}", if is { "" } else { "not " });
    let found = format!("core {shard} is {} and {}", says(is_isolated, "isolated"), says(is_tickless, "tickless"));
    if is_isolated && is_tickless {
        return Finding::new("isolation", why, Verdict::Good, found);
    }
    let kernel = format!("isolcpus=managed_irq,domain,{shard} nohz_full={shard} rcu_nocbs={shard}");
    Finding::new("isolation", why, Verdict::Advice, found)
        .change(format!("add to the kernel's command line, and start the machine anew: {kernel}"))
}

fn smt(tree: &Tree, shard: usize) -> Option<Finding> {
    let why = "two threads of one core share its caches and units: a busy sibling takes a good part of both";
    let siblings = tree.cores(&format!("sys/devices/system/cpu/cpu{shard}/topology/thread_siblings_list"))?;
    let others: Vec<usize> = siblings.into_iter().filter(|core| *core != shard).collect();
    if others.is_empty() {
        return Some(Finding::new("smt", why, Verdict::Good, format!("core {shard} has no sibling that is on")));
    }
    let isolated = tree.cores("sys/devices/system/cpu/isolated").unwrap_or_default();
    let verdict = if others.iter().all(|core| isolated.contains(core)) { Verdict::Good } else { Verdict::Advice };
    let found = Finding::new("smt", why, verdict, format!("core {shard} shares its units with {others:?}"));
    if verdict == Verdict::Good {
        return Some(found);
    }
    let commands = others.iter().map(|core| format!("echo 0 > /sys/devices/system/cpu/cpu{core}/online"));
    Some(
        found
            .change("take the siblings of the shard's core off, or isolate and leave them idle")
            .commands(commands.collect::<Vec<_>>()),
    )
}

fn governor(tree: &Tree, online: &[usize]) -> Option<Finding> {
    let why = "a core that clocks down between bursts is slow for the first of them";
    let path = |core: usize| format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
    let slow: Vec<(usize, String)> = online
        .iter()
        .filter_map(|core| Some((*core, tree.text(&path(*core))?)))
        .filter(|(_, governor)| governor != "performance")
        .collect();
    if online.iter().all(|core| tree.text(&path(*core)).is_none()) {
        return Some(Finding::new(
            "governor",
            why,
            Verdict::Unknown,
            "the system does not say: a virtual machine's is its host's",
        ));
    }
    let Some((_, governor)) = slow.first() else {
        return Some(Finding::new("governor", why, Verdict::Good, "performance"));
    };
    let commands = slow.iter().map(|(core, _)| format!("echo performance > /{}", path(*core)));
    let found = Finding::new("governor", why, Verdict::Advice, format!("{governor} on {} cores", slow.len()));
    Some(found.change("set the governor to performance").commands(commands.collect::<Vec<_>>()))
}

/// Sleep states deeper than a few microseconds.
fn idle(tree: &Tree, shard: usize) -> Option<Finding> {
    const LATENCY_US_MAX: i64 = 10;
    let why = "a core that sleeps deeply needs longer to wake than a trade takes; it matters where engine.wait parks";
    let dir = format!("sys/devices/system/cpu/cpu{shard}/cpuidle");
    let states = tree.names(&dir);
    let deep: Vec<(String, i64)> = states
        .into_iter()
        .filter(|state| tree.number(&format!("{dir}/{state}/disable")) == Some(0))
        .filter_map(|state| Some((state.clone(), tree.number(&format!("{dir}/{state}/latency"))?)))
        .filter(|(_, latency_us)| *latency_us > LATENCY_US_MAX)
        .collect();
    let Some((_, worst)) = deep.iter().max_by_key(|(_, latency_us)| *latency_us) else {
        return Some(Finding::new("idle_states", why, Verdict::Good, "none that takes longer than 10 us to wake from"));
    };
    let commands = deep.iter().map(|(state, _)| format!("echo 1 > /{dir}/{state}/disable"));
    let found = Finding::new("idle_states", why, Verdict::Advice, format!("up to {worst} us to wake"));
    Some(found.change("switch the deep states of the shard's core off").commands(commands.collect::<Vec<_>>()))
}

fn numa(tree: &Tree, probed: &Probed) -> Option<Finding> {
    let why = "memory of another node is farther away, and a ring between two nodes slower than one within";
    let nodes = tree.cores("sys/devices/system/node/online")?;
    if nodes.len() < 2 {
        return Some(Finding::new("numa", why, Verdict::Good, "one node"));
    }
    let of = |node: &usize| tree.cores(&format!("sys/devices/system/node/node{node}/cpulist")).unwrap_or_default();
    let used = nodes.iter().filter(|node| of(node).iter().any(|core| probed.allowed_cores.contains(core))).count();
    if used < 2 {
        return Some(Finding::new(
            "numa",
            why,
            Verdict::Good,
            format!("{} nodes, and the host may use one", nodes.len()),
        ));
    }
    let found = Finding::new("numa", why, Verdict::Advice, format!("the host may use cores of {used} nodes"));
    Some(found.change("bind the host to one node: numactl --cpunodebind=0 --membind=0 lotbook serve"))
}

fn steal(probed: &Probed) -> Finding {
    let why = "time that another virtual machine had on our cores is time in which nothing of ours ran";
    match probed.steal_permille {
        None => Finding::new("steal", why, Verdict::Unknown, "the system does not say"),
        Some(permille) if permille < 5 => {
            Finding::new("steal", why, Verdict::Good, format!("{permille} in a thousand"))
        }
        Some(permille) => {
            Finding::new("steal", why, Verdict::Bad, format!("{permille} in a thousand while it was measured"))
                .change("move to dedicated cores; no setting of the guest helps")
        }
    }
}

fn instructions(tree: &Tree) -> Option<Finding> {
    let why = "the checksum of every record is computed by these";
    let cpuinfo = tree.text("proc/cpuinfo")?;
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    let has = |name: &str| flags.split_whitespace().any(|flag| flag == name);
    let missing: Vec<&str> = ["sse4_2", "pclmulqdq"].into_iter().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Some(Finding::new("instructions", why, Verdict::Good, "sse4_2 and pclmulqdq"));
    }
    let found = Finding::new("instructions", why, Verdict::Bad, format!("no {}", missing.join(", no ")));
    Some(found.change("in a virtual machine, give the guest the processor of the host; else take another machine"))
}
