//! Which file names which, by `use` or by a path, and the circles in that.

use super::Source;
use std::collections::{BTreeMap, BTreeSet};

pub type Arrows<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// What `mod.rs` re-exports is its own: whoever names it there names `mod.rs`.
pub fn arrows(sources: &[Source]) -> Arrows<'_> {
    let modules = sources.iter().map(|s| (module(&s.path), &*s.path)).collect::<BTreeMap<_, _>>();
    let to = |s: &Source| {
        let paths = paths(&s.code).into_iter();
        paths.filter_map(|path| found(&modules, &module(&s.path), &path)).filter(|file| *file != s.path).collect()
    };
    sources.iter().map(|source| (&*source.path, to(source))).collect()
}

/// The sets of files in which each imports each other, by whatever way.
pub fn circles<'a>(arrows: &Arrows<'a>) -> BTreeSet<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|from| (*from, reach(arrows, from))).collect();
    let among = |from: &str| reached[from].iter().copied().filter(|to| reached[to].contains(from)).collect();
    arrows.keys().map(|file| among(file)).filter(|circle: &BTreeSet<&str>| !circle.is_empty()).collect()
}

fn reach<'a>(arrows: &Arrows<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = arrows[from].clone();
    let mut next: Vec<&str> = reached.iter().copied().collect();
    while let Some(file) = next.pop() {
        next.extend(arrows[file].iter().filter(|to| reached.insert(to)));
    }
    reached
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`.
fn module(path: &str) -> Vec<String> {
    let names = path["src/".len()..].trim_end_matches(".rs").split('/').map(str::to_owned);
    names.filter(|name| !["mod", "lib", "main"].contains(&name.as_str())).collect()
}

/// The file of the longest part of a path that is a module.
fn found<'a>(modules: &BTreeMap<Vec<String>, &'a str>, own: &[String], path: &[&str]) -> Option<&'a str> {
    let supers = path.iter().take_while(|name| **name == "super").count();
    let mut at = match path[0] {
        "crate" => Vec::new(),
        _ => own[..own.len().checked_sub(supers)?].to_vec(),
    };
    let rest = path.iter().skip_while(|name| ["crate", "self", "super"].contains(*name));
    let begins = at.len();
    for name in rest {
        at.push((*name).to_owned());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    let is_ours = ["crate", "self", "super"].contains(&path[0]) || at.len() > begins;
    modules.get(&at).copied().filter(|_| is_ours)
}

/// All that is written with `::`, trees of imports laid out.
fn paths(code: &str) -> Vec<Vec<&str>> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        rest = &rest[start..];
        // `super::*` stands only in modules within a file.
        rest = rest.strip_prefix("use super::*").unwrap_or(rest);
        let tree = rest.strip_prefix("use ");
        let end = match tree {
            Some(_) => rest.find(';').unwrap_or(rest.len()),
            None => rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len()),
        };
        match tree {
            Some(_) => lay_out(&rest["use ".len()..end], &[], &mut paths),
            None if rest[..end].contains("::") => paths.push(rest[..end].split("::").collect()),
            None => {}
        }
        rest = &rest[end..];
        // The second word of `pub(in crate::a)` imports nothing.
        if let Some(scope) = rest.strip_prefix("(in ") {
            rest = scope.split_once(')').map_or("", |(_, after)| after);
        }
    }
    paths
}

fn lay_out<'a>(tree: &'a str, before: &[&'a str], paths: &mut Vec<Vec<&'a str>>) {
    let (stem, group) = tree.split_once('{').unwrap_or((tree, ""));
    let stem = stem.split(" as ").next().unwrap_or("").trim();
    let path = [before, &stem.split("::").filter(|name| !name.is_empty()).collect::<Vec<_>>()].concat();
    if group.is_empty() {
        return paths.extend((!path.is_empty()).then_some(path));
    }
    let (mut depth, mut begin) = (0, 0);
    let group = &group[..group.rfind('}').unwrap_or(0)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                lay_out(&group[begin..at], &path, paths);
                begin = at + 1;
            }
            _ => {}
        }
    }
    lay_out(&group[begin..], &path, paths);
}
