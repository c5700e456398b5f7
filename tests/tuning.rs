//! `tuning/host` on a machine made of files: what it says, what it changes, that it takes everything back, and that it owns up to what it cannot.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::place::Folder;

/// A machine with eight CPUs, two network cards, and nothing tuned. Values as the kernel prints them.
const MACHINE: &[(&str, &str)] = &[
    ("proc/cmdline", "quiet nohz_full=4-7"),
    ("proc/self/limits", "Max open files            1024                 4096                 files     \n"),
    ("proc/sys/fs/nr_open", "1048576"),
    ("proc/sys/kernel/io_uring_disabled", "2"),
    ("proc/sys/kernel/numa_balancing", "1"),
    ("proc/sys/net/core/somaxconn", "128"),
    ("proc/sys/net/core/busy_poll", "0"),
    ("proc/sys/net/core/busy_read", "0"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "16384"),
    ("proc/sys/vm/swappiness", "60"),
    ("proc/irq/7/smp_affinity_list", "0-7"),
    ("proc/irq/8/smp_affinity_list", "0-3"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always"),
    ("sys/devices/system/cpu/online", "0-7"),
    ("sys/devices/system/cpu/isolated", ""),
    ("sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "powersave"),
    ("sys/devices/system/cpu/cpu4/cpuidle/state1/latency", "2"),
    ("sys/devices/system/cpu/cpu4/cpuidle/state1/disable", "0"),
    ("sys/devices/system/cpu/cpu4/cpuidle/state2/latency", "133"),
    ("sys/devices/system/cpu/cpu4/cpuidle/state2/name", "C6"),
    ("sys/devices/system/cpu/cpu4/cpuidle/state2/disable", "0"),
    ("sys/devices/system/node/node0/cpulist", "0-3"),
    ("sys/devices/system/node/node1/cpulist", "4-7"),
    ("sys/devices/virtual/workqueue/cpumask", "ff"),
    ("sys/class/net/eth0/device/numa_node", "0"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "00"),
    ("sys/class/net/eth0/queues/tx-0/xps_cpus", "00"),
    ("sys/class/net/lo/queues/rx-0/rps_cpus", "00"),
];

/// What `apply --cpus 4-7` has to leave, where it differs.
const TUNED: &[(&str, &str)] = &[
    ("proc/sys/kernel/io_uring_disabled", "0"),
    ("proc/sys/kernel/numa_balancing", "0"),
    ("proc/sys/net/core/somaxconn", "4096"),
    ("proc/sys/vm/swappiness", "10"),
    ("proc/irq/7/smp_affinity_list", "0,1,2,3"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "madvise"),
    ("sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpu4/cpuidle/state2/disable", "1"),
    ("sys/devices/virtual/workqueue/cpumask", "f"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "f"),
];

const STATE: &str = "run/pg_dog-tuning.state";

fn machine() -> Folder {
    let folder = Folder::new("tuning", false);
    for (path, text) in MACHINE {
        let path = folder.0.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("our own folder");
        fs::write(path, format!("{text}\n")).expect("our own folder");
    }
    folder
}

/// Runs the script on the machine; (exit code, what it said).
fn host(machine: &Folder, words: &[&str]) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/host");
    let output = Command::new(script).args(words).arg("--root").arg(&machine.0).output().expect("there is a bash");
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().expect("it ends by itself"), String::from_utf8_lossy(&said).into_owned())
}

/// Every file of the machine, without the script's own.
fn contents(machine: &Folder) -> BTreeMap<String, String> {
    let read = |path: &str| fs::read_to_string(machine.0.join(path)).expect("our own folder").trim().to_string();
    MACHINE.iter().map(|(path, _)| (path.to_string(), read(path))).collect()
}

fn tuned() -> BTreeMap<String, String> {
    let all = MACHINE.iter().map(|(path, text)| (path.to_string(), text.trim().to_string()));
    all.chain(TUNED.iter().map(|(path, text)| (path.to_string(), text.to_string()))).collect()
}

fn untouched() -> BTreeMap<String, String> {
    MACHINE.iter().map(|(path, text)| (path.to_string(), text.trim().to_string())).collect()
}

/// The line of the report about an item.
fn about<'a>(said: &'a str, item: &str) -> &'a str {
    said.lines().find(|line| line.contains(item)).unwrap_or_else(|| panic!("nothing about {item}:\n{said}"))
}

#[test]
fn check_names_every_item_and_changes_nothing() {
    let machine = machine();
    let (code, said) = host(&machine, &["check", "--cpus", "4-7"]);
    assert_eq!(code, 1, "io_uring is switched off, which pg_dog cannot do without:\n{said}");
    for (item, verdict, better) in [
        ("kernel.io_uring_disabled", "better", "-> 0"),
        ("nofile", "better", "-> 11000"),
        ("memlock", "absent", ""),
        ("net.core.somaxconn", "better", "-> 4096"),
        ("net.ipv4.tcp_max_syn_backlog", "ok", "16384"),
        ("transparent_hugepage", "better", "-> madvise"),
        ("kernel.numa_balancing", "better", "-> 0"),
        ("NUMA of eth0", "better", "CPUs of node 0"),
        ("kernel command line", "boot", "isolcpus=managed_irq,domain,4,5,6,7 rcu_nocbs=4,5,6,7"),
        ("interrupt 7", "better", "-> 0,1,2,3"),
        ("RPS of eth0", "better", "-> f"),
        ("governor of CPU 4", "better", "-> performance"),
        ("governor of CPU 5", "absent", ""),
        ("idle state C6 of CPU 4", "better", "-> 1"),
    ] {
        let line = about(&said, item);
        assert!(line.starts_with(verdict) && line.contains(better), "{line}");
    }
    assert!(!said.contains("interrupt 8") && !said.contains("RPS of lo") && !said.contains("state1"), "{said}");
    assert_eq!(contents(&machine), untouched());
    assert!(!machine.0.join(STATE).exists());
}

#[test]
fn apply_changes_what_it_said_and_undo_restores_it_exactly() {
    let machine = machine();
    let (code, said) = host(&machine, &["apply", "--cpus", "4-7", "--dry-run"]);
    assert_eq!((code, said.lines().filter(|line| line.starts_with("would")).count()), (0, TUNED.len()), "{said}");
    assert_eq!(contents(&machine), untouched());
    assert!(!machine.0.join(STATE).exists());

    assert_eq!(host(&machine, &["apply", "--cpus", "4-7"]).0, 0);
    assert_eq!(contents(&machine), tuned());
    let state = fs::read_to_string(machine.0.join(STATE)).expect("it was written");

    // Again: nothing is left to do, and the first old values stay. Another value on top keeps the oldest one too.
    let (code, said) = host(&machine, &["apply", "--cpus", "4-7"]);
    assert!(code == 0 && said.starts_with("0 changed"), "{said}");
    assert_eq!(fs::read_to_string(machine.0.join(STATE)).expect("it was written"), state);
    fs::write(machine.0.join("proc/sys/vm/swappiness"), "99\n").expect("our own folder");
    assert_eq!(host(&machine, &["apply", "--cpus", "4-7", "--busy-poll", "50"]).0, 0);
    assert_eq!(contents(&machine)["proc/sys/net/core/busy_read"], "50");

    let (code, said) = host(&machine, &["undo", "--dry-run"]);
    assert!(code == 0 && said.contains("would"), "{said}");
    assert_eq!(host(&machine, &["undo"]).0, 0);
    assert_eq!(contents(&machine), untouched());
    assert!(!machine.0.join(STATE).exists());
    let (code, said) = host(&machine, &["undo"]);
    assert!(code == 0 && said.contains("nothing to undo"), "{said}");
}

#[test]
fn a_value_that_the_kernel_does_not_take_is_named() {
    let machine = machine();
    // A number that can be read and not written, whoever we are.
    let file = machine.0.join("proc/sys/net/core/somaxconn");
    fs::remove_file(&file).expect("our own folder");
    std::os::unix::fs::symlink("/proc/self/oom_score", &file).expect("our own folder");
    let (code, said) = host(&machine, &["apply"]);
    assert_eq!(code, 1, "{said}");
    assert!(about(&said, "net.core.somaxconn").starts_with("refused"), "{said}");
    assert!(about(&said, "vm.swappiness").starts_with("changed"), "the others are changed nevertheless:\n{said}");
}

#[test]
fn without_reserved_cpus_nothing_of_theirs_is_touched() {
    let machine = machine();
    let (_, said) = host(&machine, &["check"]);
    assert!(about(&said, "reserved CPUs").contains("none"), "{said}");
    assert_eq!(host(&machine, &["apply"]).0, 0);
    let now = contents(&machine);
    for path in ["proc/irq/7/smp_affinity_list", "sys/class/net/eth0/queues/rx-0/rps_cpus", "sys/devices/virtual/workqueue/cpumask"] {
        assert_eq!(now[path], untouched()[path], "{path}");
    }
    assert_eq!(now["proc/sys/net/core/somaxconn"], "4096");
}

#[test]
fn a_bare_container_is_said_to_be_one() {
    let folder = Folder::new("tuning", false);
    fs::create_dir_all(folder.0.join("sys/devices/system/cpu")).expect("our own folder");
    fs::write(folder.0.join("sys/devices/system/cpu/online"), "0-3\n").expect("our own folder");
    let (code, said) = host(&folder, &["check", "--cpus", "2-3"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().filter(|line| line.starts_with("absent")).count() >= 8, "{said}");
    assert_eq!(host(&folder, &["apply", "--cpus", "2-3"]).0, 0);
}

#[test]
fn the_block_for_pg_dog_is_one_that_it_takes() {
    let machine = machine();
    let (code, said) = host(&machine, &["cores", "--cpus", "4,6-7", "--spin", "50", "--control", "1"]);
    assert_eq!(code, 0, "{said}");
    for line in ["workers = 3", "pin = [4, 6, 7]", "control = 1", "spin_us = 50"] {
        assert!(said.lines().any(|found| found == line), "{line} is not in\n{said}");
    }
    // One core only: pg_dog takes no more than this machine has.
    let (code, said) = host(&machine, &["cores", "--cpus", "4", "--spin", "50"]);
    assert_eq!(code, 0, "{said}");
    let text = format!("{said}\n[[databases]]\nname = \"app\"\nhost = \"127.0.0.1\"\n");
    let users = "[[users]]\nname = \"app\"\ndatabase = \"app\"\npassword = \"x\"\n";
    fs::write(machine.0.join("pgdog.toml"), text).expect("our own folder");
    fs::write(machine.0.join("users.toml"), users).expect("our own folder");
    let check = Command::new(env!("CARGO_BIN_EXE_pg_dog"))
        .arg("--config")
        .arg(machine.0.join("pgdog.toml"))
        .arg("--users")
        .arg(machine.0.join("users.toml"))
        .arg("configcheck")
        .output()
        .expect("the program was built");
    assert!(check.status.success(), "{}\n{said}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let machine = machine();
    for words in [
        &["check", "--cpus", "7-4"][..],
        &["check", "--cpus", "a"],
        &["check", "--cpus", "9"],
        &["apply", "--cpus", "0-7"],
        &["check", "--clients"],
        &["check", "--clients", "many"],
        &["cores"],
        &["improve"],
    ] {
        let (code, said) = host(&machine, words);
        assert!(code == 2 && said.contains("error:"), "{words:?} ends with {code}:\n{said}");
    }
    assert_eq!(contents(&machine), untouched());
}
