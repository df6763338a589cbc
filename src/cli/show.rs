//! Answers as people like to read them.

use serde_json::Value;

/// Rows in aligned columns, the first row the heads.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Any JSON as indented `name: value` lines.
pub fn outline(value: &Value) -> String {
    let mut out = String::new();
    write_outline(value, 0, &mut out);
    out
}

fn write_outline(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| entry(name, value, depth, out)),
        Value::Array(items) => items.iter().for_each(|item| entry("-", item, depth, out)),
        scalar => push_line(&text(scalar), depth, out),
    }
}

fn entry(name: &str, value: &Value, depth: usize, out: &mut String) {
    let label = if name == "-" { name.to_owned() } else { format!("{name}:") };
    match value {
        Value::Array(items) if items.iter().all(|i| !i.is_object() && !i.is_array()) => {
            let items: Vec<String> = items.iter().map(text).collect();
            push_line(&format!("{label} {}", items.join(", ")), depth, out);
        }
        Value::Object(_) | Value::Array(_) => {
            push_line(&label, depth, out);
            write_outline(value, depth + 1, out);
        }
        scalar => push_line(&format!("{label} {}", text(scalar)), depth, out),
    }
}

fn push_line(line: &str, depth: usize, out: &mut String) {
    out.push_str(&"  ".repeat(depth));
    out.push_str(line.trim_end());
    out.push('\n');
}

/// A scalar without quotes; what a terminal would obey is made visible.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.chars().flat_map(visible).collect(),
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

fn visible(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// A share of 1 as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["ID".into(), "UP".into()], vec!["rack2".into(), "yes".into()]];
        assert_eq!(table(&rows), "ID     UP\nrack2  yes\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn any_answer_becomes_lines() {
        let value = json!({"owner": "n1", "next": ["n2", "n3"], "entries": [{"status": 200}], "up": true});
        let mut lines: Vec<String> = outline(&value).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["    status: 200", "  -", "entries:", "next: n2, n3", "owner: n1", "up: yes"]);
    }

    #[test]
    fn an_answer_cannot_steer_the_terminal() {
        assert_eq!(text(&json!("a\u{1b}[2Jb")), "a\\u{1b}[2Jb");
    }
}
