//! Columns for people, in the shape of Vault's own command line, which scripts have learned to cut.

use serde_json::{Map, Value};
use std::iter;

/// Two columns, `Key` and `Value`.
pub(crate) fn pairs(pairs: &[(String, String)]) -> String {
    let rows: Vec<Vec<String>> = pairs.iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect();
    rows_with_gap(&["Key", "Value"], &rows)
}

/// One column.
pub(crate) fn column(heading: &str, cells: &[String]) -> String {
    let rows: Vec<Vec<String>> = cells.iter().map(|cell| vec![cell.clone()]).collect();
    rows_with_gap(&[heading], &rows)
}

/// Rows under headings.
pub(crate) fn rows(headings: &[&str], rows: &[Vec<String>]) -> String {
    rows_with_gap(headings, rows)
}

/// Members of an object by name, as cells.
pub(crate) fn sorted(object: &Map<String, Value>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = object.iter().map(|(key, value)| (key.clone(), labelled(key, value))).collect();
    pairs.sort();
    pairs
}

/// A value as a cell; seconds are shown as a duration where the name says that they are one.
pub(crate) fn labelled(name: &str, value: &Value) -> String {
    let is_duration = ["ttl", "lease_duration", "period"].iter().any(|suffix| name.ends_with(suffix));
    match value.as_u64() {
        Some(seconds) if is_duration => duration(seconds),
        _ => cell(value),
    }
}

/// A value as a cell.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) if text.is_empty() => "n/a".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Seconds as `1h30m`.
pub(crate) fn duration(seconds: u64) -> String {
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn rows_with_gap(headings: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let rules: Vec<String> = headings.iter().map(|heading| "-".repeat(heading.len())).collect();
    let lines: Vec<&Vec<String>> = iter::once(&titles).chain(iter::once(&rules)).chain(rows).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| first_line_width(cell)).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut rendered = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            rendered.push_str(cell);
            rendered.extend(iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 4));
        }
        text.push_str(rendered.trim_end());
        text.push('\n');
    }
    text
}

/// A PEM block in the last column must not widen the table.
fn first_line_width(cell: &str) -> usize {
    cell.lines().next().unwrap_or_default().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_padded_to_the_widest_cell() {
        let text = pairs(&[("a".to_owned(), "1".to_owned()), ("longer".to_owned(), "2".to_owned())]);
        assert_eq!(text, "Key       Value\n---       -----\na         1\nlonger    2\n");
    }

    #[test]
    fn durations_are_readable_where_the_name_says_so() {
        assert_eq!(labelled("max_ttl", &json!(5400)), "1h30m");
        assert_eq!(labelled("version", &json!(5400)), "5400");
        assert_eq!(labelled("ttl", &json!(0)), "0s");
    }

    #[test]
    fn nothing_and_empty_are_told_apart() {
        assert_eq!((cell(&Value::Null).as_str(), cell(&json!("")).as_str()), ("<nil>", "n/a"));
        assert_eq!(cell(&json!(["a", "b"])), r#"["a","b"]"#);
    }
}
