//! Gives the code a version: a hash over every source that can change an artefact. It is part of each artefact's
//! fingerprint, so a changed model never reads what an older one wrote.

use std::path::{Path, PathBuf};

fn main() {
    let crates = Path::new("..");
    let mut files = Vec::new();
    for name in ["data", "kernels", "train", "content", "behaviour", "decide", "eval"] {
        collect(&crates.join(format!("lingxi-{name}")).join("src"), &mut files);
    }
    collect(Path::new("src/stages"), &mut files);
    for name in ["pipeline.rs", "shelf.rs"] {
        files.push(Path::new("src").join(name));
    }
    files.sort();
    // FNV-1a: stable across machines and needs no dependency.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.file_name().map(|n| n.as_encoded_bytes().to_vec()).unwrap_or_default();
        for byte in name.into_iter().chain(std::fs::read(file).unwrap_or_default()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    println!("cargo::rustc-env=LINGXI_CODE_VERSION={hash:016x}");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
