//! All laws once more on every path that this machine has, each in a process of its own with `LINGXI_CPU` set.

use lingxi_kernels::cpu::{LEVELS, choose, highest};
use std::process::Command;

fn with_level(level: &str, arguments: &[&str]) -> std::process::Output {
    let this = std::env::current_exe().unwrap();
    Command::new(this).args(arguments).env("LINGXI_CPU", level).output().unwrap()
}

#[test]
fn every_law_holds_on_every_path_that_the_machine_has() {
    if std::env::var_os("LINGXI_CPU").is_some() {
        eprintln!("this process is one of the paths");
        return;
    }
    for (name, level) in LEVELS {
        if level > highest() {
            eprintln!("SKIPPED: this machine has no {name}");
            continue;
        }
        let out = with_level(name, &["--skip", "levels::"]);
        let told = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{name}:\n{told}{}", String::from_utf8_lossy(&out.stderr));
        let passed = told.lines().find(|line| line.starts_with("test result")).unwrap_or_default();
        eprintln!("{name}: {passed}");
        assert!(!passed.contains(" 0 passed"), "{name}: no law ran");
    }
}

#[test]
fn the_level_is_the_one_that_was_named() {
    match std::env::var("LINGXI_CPU") {
        Ok(name) => match choose() {
            Ok(level) => assert_eq!(level.name(), name),
            Err(why) => panic!("{why}"),
        },
        Err(_) => assert_eq!(choose(), Ok(highest())),
    }
}

#[test]
fn a_level_that_is_none_or_that_the_machine_has_not_is_refused_with_those_that_it_has() {
    let mut wrong = vec!["sse9"];
    wrong.extend(LEVELS.iter().filter(|(_, level)| *level > highest()).map(|(name, _)| *name));
    for name in wrong {
        let out = with_level(name, &["the_level_is_the_one_that_was_named", "--nocapture"]);
        let told = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && told.contains("LINGXI_CPU") && told.contains("portable"), "{name}: {told}");
    }
}
