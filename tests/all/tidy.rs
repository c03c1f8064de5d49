//! House rules that a compiler does not check: documents that stay true, calls that stay out, files that stay small.
//!
//! Everything here reads the sources as text. `LOTBOOK_BLESS=1 cargo test -p lotbook-tests tidy` writes the code map of
//! `docs/architecture.md` from the first sentence of each module.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Lines of a Rust file beyond which it should be two.
const LINES_MAX: usize = 600;

/// Words that the pure core never says outside its tests. `forbid(unsafe_code)` and `no_std` are checked apart.
const BANNED_IN_CORE: &[&str] = &[
    "std",
    "SystemTime",
    "Instant",
    "f32",
    "f64",
    "println",
    "eprintln",
    "thread",
    "rand",
    "unsafe",
    "HashMap",
    "HashSet",
];

/// Files of the hot path: what runs for every trade on the shard's thread.
const HOT_FILES: &[&str] = &["engine/src/shard.rs", "engine/src/wait.rs", "wal/src/appender.rs"];

/// What would allocate, lock, format or call the system there. `Vec::with_capacity` at the start is fine and not here.
const BANNED_WHEN_HOT: &[&str] = &[
    "println!",
    "eprintln!",
    "format!",
    "vec!",
    "Vec::new",
    "String::",
    "Box::new",
    ".to_string(",
    ".to_owned(",
    ".collect(",
    "Mutex",
    "RwLock",
    "Condvar",
    "HashMap",
    "BTreeMap",
    "tracing::",
    "std::fs",
    "std::env",
    "std::io",
    "Instant::now",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Every file below the root with one of these endings, relative, sorted; build output and hidden folders left out.
fn files(endings: &[&str]) -> Vec<String> {
    let root = root();
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
            if path.is_dir() {
                let skip = name == "target" || (name.starts_with('.') && name != ".ci");
                if !skip {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let relative = path.strip_prefix(&root).expect("below the root");
                found.push(relative.to_str().expect("a path in UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(relative: &str) -> String {
    fs::read_to_string(root().join(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Whether a file holds tests only.
fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

/// The lines of a file that are compiled into the product, with their numbers: no comments, nothing after the inline test module.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// Whether `word` stands in `line` as a whole identifier.
fn says(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part) && !line[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[track_caller]
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n  {}\n", problems.join("\n  "));
}

#[test]
fn every_module_says_what_it_is() {
    let problems: Vec<_> = files(&[".rs"])
        .into_iter()
        .filter(|path| first_sentence(&read(path)).is_none())
        .map(|path| format!("{path}: begins without a `//!` text"))
        .collect();
    none(&problems);
}

#[test]
fn files_stay_small() {
    let mut problems = Vec::new();
    for path in files(&[".rs"]) {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{path}: {lines} lines; one concept a file, think again at {LINES_MAX}"));
        }
    }
    none(&problems);
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("#[ig", "nore"),
        concat!("Under ", "construction"),
    ];
    let mut problems = Vec::new();
    for path in files(&[".rs", ".toml", ".md", ".service", ".conf"]) {
        for (index, line) in read(&path).lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                problems.push(format!("{path}:{}: {word}", index + 1));
            }
        }
    }
    none(&problems);
}

#[test]
fn the_core_asks_nobody() {
    let lib = read("engine/core/src/lib.rs");
    assert!(lib.contains("#![no_std]"), "the core is no_std");
    assert!(lib.contains("#![forbid(unsafe_code)]"), "the core has no unsafe");
    let mut problems = Vec::new();
    for path in files(&[".rs"]).into_iter().filter(|path| path.starts_with("engine/core/src/") && !is_test_file(path)) {
        let text = read(&path);
        for (number, line) in product_lines(&text) {
            let line = line.replace("no_std", "").replace("unsafe_code", "");
            for word in BANNED_IN_CORE.iter().filter(|word| says(&line, word)) {
                problems.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    none(&problems);
}

#[test]
fn the_hot_path_neither_allocates_nor_waits() {
    let mut problems = Vec::new();
    for path in HOT_FILES {
        let text = read(path);
        for (number, line) in product_lines(&text) {
            for call in BANNED_WHEN_HOT.iter().filter(|call| line.contains(**call)) {
                problems.push(format!("{path}:{number}: {call}"));
            }
        }
    }
    none(&problems);
}

#[test]
fn arrows_point_one_way() {
    // Which of our crates each crate may name as a dependency of the product (tests may name more).
    let allowed: &[(&str, &[&str])] = &[
        ("engine/core", &[]),
        ("wal", &[]),
        ("engine", &["lotbook-core", "lotbook-wal"]),
        ("archiver", &["lotbook-core", "lotbook-wal"]),
        ("perf", &[]),
        ("gateway", &["lotbook-archiver", "lotbook-core", "lotbook-engine", "lotbook-perf", "lotbook-wal"]),
    ];
    let mut problems = Vec::new();
    for (krate, allowed) in allowed {
        let manifest = read(&format!("{krate}/Cargo.toml"));
        let product = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let product = product.split("\n[").next().unwrap_or_default();
        for line in product.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if name.starts_with("lotbook") && !allowed.contains(&name) {
                problems.push(format!("{krate} depends on {name}"));
            }
        }
    }
    none(&problems);
}

#[test]
fn every_dependency_comes_from_one_registry() {
    let lock = read("Cargo.lock");
    let sources: BTreeSet<_> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("\"registry+")), "{sources:?}");
}

#[test]
fn the_log_format_is_drawn_twice() {
    // That both drawings are equal is tested beside the code, in `wal`.
    for (path, must) in [("docs/wal-format.md", "record.rs"), ("wal/src/record.rs", "docs/wal-format.md")] {
        assert!(read(path).contains(must), "{path} does not mention {must}");
    }
}

#[test]
fn documents_do_not_know_a_machine() {
    // In two parts, as above.
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/tar", "get"), concat!("/ho", "me/")];
    let mut problems = Vec::new();
    for path in files(&[".md", ".rs", ".toml", ".json", ".service", ".conf", "scripts/test", "scripts/deny", ".ci/run"])
    {
        let text = read(&path);
        for (index, line) in text.lines().enumerate() {
            if let Some(place) = places.iter().find(|place| line.contains(**place)) {
                problems.push(format!("{path}:{}: {place}", index + 1));
            }
        }
    }
    none(&problems);
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for path in files(&[".md"]) {
        for (number, target) in links(&read(&path)) {
            if let Err(what) = resolve(&path, &target) {
                problems.push(format!("{path}:{number}: ({target}) {what}"));
            }
        }
    }
    none(&problems);
}

/// Targets of the Markdown links of a text, with their line numbers; code blocks and code spans are passed over.
fn links(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in plain.split("](").skip(1) {
            if let Some(end) = part.find(')') {
                found.push((index + 1, part[..end].to_owned()));
            }
        }
    }
    found
}

/// Whether a relative link leads to a file and, where it names one, to a heading in it.
fn resolve(from: &str, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { from.to_owned() } else { join(from, file).ok_or("leaves the repository")? };
    let full = root().join(&path);
    if !full.exists() {
        return Err("leads nowhere".into());
    }
    match anchor {
        Some(anchor) if path.ends_with(".md") && !headings(&read(&path)).contains(anchor) => {
            Err(format!("no such heading in {path}"))
        }
        _ => Ok(()),
    }
}

/// A path relative to the folder of `from`, without dots; `None` when it climbs out of the repository.
fn join(from: &str, file: &str) -> Option<String> {
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

/// Anchors of a page's headings, as the usual renderers make them.
fn headings(text: &str) -> BTreeSet<String> {
    let (mut found, mut fenced) = (BTreeSet::new(), false);
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if fenced || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    found
}

#[test]
fn the_code_map_is_the_tree() {
    const PAGE: &str = "docs/architecture.md";
    const BEGIN: &str = "<!-- begin code map -->\n";
    const END: &str = "<!-- end code map -->";
    let page = read(PAGE);
    let begin = page.find(BEGIN).expect("the code map's begin mark") + BEGIN.len();
    let end = page.find(END).expect("the code map's end mark");
    let map = code_map();
    if page[begin..end] == map {
        return;
    }
    if std::env::var_os("LOTBOOK_BLESS").is_some() {
        fs::write(root().join(PAGE), format!("{}{map}{}", &page[..begin], &page[end..])).expect("a writable page");
        return;
    }
    let (have, want): (BTreeSet<_>, BTreeSet<_>) = (page[begin..end].lines().collect(), map.lines().collect());
    let gone = have.difference(&want).map(|line| format!("- {line}"));
    let new = want.difference(&have).map(|line| format!("+ {line}"));
    let mut problems = vec![format!("{PAGE}: the code map differs from the tree; LOTBOOK_BLESS=1 writes it")];
    problems.extend(gone.chain(new));
    none(&problems);
}

/// A table a crate, a line a file: what its own first sentence says. Unit tests are left out.
fn code_map() -> String {
    let sources = files(&[".rs"]);
    let unit_tests = |path: &str| path.contains("/src/") && (path.ends_with("tests.rs") || path.contains("/tests/"));
    let mut map = String::new();
    for krate in ["engine/core", "engine", "wal", "gateway", "archiver", "perf", "benches", "tests"] {
        let inside = |path: &&String| {
            let below = path.strip_prefix(krate).and_then(|rest| rest.strip_prefix('/'));
            below.is_some_and(|rest| krate != "engine" || !rest.starts_with("core/"))
        };
        let mut mine: Vec<_> = sources.iter().filter(inside).filter(|path| !unit_tests(path)).collect();
        // The crate's own text first, then its sources, then what uses them; each in the order of the tree.
        mine.sort_by_key(|path| match path.strip_prefix(krate).unwrap_or_default() {
            "/src/lib.rs" => 0,
            path if path.starts_with("/src/") => 1,
            _ => 2,
        });
        map.push_str(&format!("### `{krate}/`\n\n| file | what it is |\n|---|---|\n"));
        for path in mine {
            let short = path.strip_prefix(krate).unwrap_or(path).trim_start_matches('/');
            let short = short.strip_prefix("src/").unwrap_or(short);
            let says = first_sentence(&read(path)).unwrap_or_default().replace('|', "\\|");
            map.push_str(&format!("| `{short}` | {says} |\n"));
        }
        map.push('\n');
    }
    map
}

/// A sentence shorter than this takes the next one along.
const SENTENCE_BYTES_MIN: usize = 24;

/// The first sentence of a file's `//!` text, as plain Markdown.
fn first_sentence(text: &str) -> Option<String> {
    let lines = text.lines().skip_while(|line| line.is_empty());
    let paragraph: Vec<_> = lines
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty() && !line.starts_with("```"))
        .collect();
    let paragraph = paragraph.join(" ");
    // A headline of a few words says too little alone.
    let long_enough = |(at, _): &(usize, &str)| *at + 1 >= SENTENCE_BYTES_MIN;
    let end = paragraph.match_indices(". ").find(long_enough).map_or(paragraph.len(), |(at, _)| at + 1);
    let sentence = paragraph[..end].replace("[`", "`").replace("`]", "`");
    let sentence = sentence.trim_end_matches(':');
    (!sentence.is_empty()).then(|| sentence.to_owned())
}

#[test]
fn the_rules_see_what_they_should() {
    assert!(says("use std::fs;", "std") && !says("stdout()", "std") && !says("a_std", "std"));
    assert_eq!(links("a [b](c.md) `[d](e)` [f](g.md#h)"), [(1, "c.md".to_owned()), (1, "g.md#h".to_owned())]);
    assert_eq!(join("docs/a.md", "../b/c.md").as_deref(), Some("b/c.md"));
    assert_eq!(join("a.md", "../b.md"), None);
    assert!(headings("## What `applied` survives\n").contains("what-applied-survives"));
    assert_eq!(
        first_sentence("//! One.\n//! Two is longer than that. Three.\n").as_deref(),
        Some("One. Two is longer than that.")
    );
    assert_eq!(
        first_sentence("//! See [`x`]: it\n//! goes on:\n//!\n//! not this").as_deref(),
        Some("See `x`: it goes on")
    );
    assert_eq!(first_sentence("use x;\n//! late"), None);
    let text = "let a = 1; // Mutex\n#[cfg(test)]\nmod tests {\nMutex";
    assert!(product_lines(text).all(|(_, line)| !line.contains("Mutex")));
}
