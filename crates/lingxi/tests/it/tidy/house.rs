//! The workspace as the rules see it: every source with its code laid bare, every manifest, every page.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::code;

/// A Rust file.
pub struct Source {
    /// Path from the workspace root, with `/`.
    pub path: String,
    /// Name of the crate's folder, empty outside `crates/`.
    pub krate: String,
    /// As written.
    pub text: String,
    /// Without comments, the contents of strings, and tests; same lines.
    pub code: String,
}

/// A crate's `Cargo.toml`.
pub struct Manifest {
    /// Path from the workspace root, with `/`.
    pub path: String,
    /// Name of the crate's folder.
    pub krate: String,
    /// As written.
    pub text: String,
    /// As parsed.
    pub toml: toml::Table,
}

/// Any other text file: a page, a recipe, a script.
pub struct Page {
    /// Path from the workspace root, with `/`.
    pub path: String,
    /// As written.
    pub text: String,
}

/// Everything the rules look at.
#[derive(Default)]
pub struct House {
    pub sources: Vec<Source>,
    pub manifests: Vec<Manifest>,
    pub pages: Vec<Page>,
}

/// A breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl House {
    /// Reads the workspace that this test was built in.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut house = Self::default();
        for path in files(&root) {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            if let Ok(text) = fs::read_to_string(&path) {
                house.add(&name, text);
            }
        }
        assert!(house.sources.len() > 50 && house.manifests.len() >= 8, "the workspace was not found at {root:?}");
        house
    }

    /// Adds one file; rules' own tests build small houses with it.
    pub fn add(&mut self, path: &str, text: String) {
        let krate = path.strip_prefix("crates/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let (path, krate) = (path.to_owned(), krate.to_owned());
        if path.ends_with(".rs") {
            let code = code::without_tests(&code::bare(&text));
            self.sources.push(Source { path, krate, text, code });
        } else if path == format!("crates/{krate}/Cargo.toml") {
            let toml = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
            self.manifests.push(Manifest { path, krate, text, toml });
        } else {
            self.pages.push(Page { path, text });
        }
    }

    /// Sources that run in production: no tests, benches or fuzz targets.
    pub fn shipped(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.is_shipped())
    }
}

impl Source {
    /// Whether it runs in production. A file of unit tests beside its code (`tests.rs`) does not.
    fn is_shipped(&self) -> bool {
        let apart = ["/tests/", "/benches/", "/fuzz/"].iter().any(|folder| self.path.contains(folder));
        !apart && !self.path.ends_with("/tests.rs")
    }
}

/// Text files below `root`, without what git and cargo make, in stable order.
fn files(root: &Path) -> Vec<PathBuf> {
    const SKIP: [&str; 4] = ["target", "Cargo.lock", "node_modules", "__pycache__"];
    const TEXT: [&str; 9] = ["rs", "toml", "md", "py", "sh", "yml", "yaml", "html", "js"];
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if SKIP.contains(&name.as_str()) || (name.starts_with('.') && name != ".ci") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if name == "run" || TEXT.iter().any(|end| name.ends_with(&format!(".{end}"))) {
            found.push(path);
        }
    }
    found
}
