//! Text for people out of the server's JSON: lists as tables, objects as lines. Pure.

use serde_json::Value;

/// A value in one word or line; what is not there is `-`.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// The objects of `list` as a table of `columns`, each a heading and a key; `empty` if there are none.
pub(crate) fn table(columns: &[(&str, &str)], list: &Value, empty: &str) -> String {
    let objects = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if objects.is_empty() {
        return format!("{empty}\n");
    }
    let mut rows = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<_>>()];
    rows.extend(objects.iter().map(|object| columns.iter().map(|(_, key)| text(&object[*key])).collect()));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// One labelled line each.
pub(crate) fn lines(labelled: &[(&str, String)]) -> String {
    let width = labelled.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    labelled.iter().map(|(label, value)| format!("  {label:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let list = json!([{"id": 12, "renditions": ["v", "a"]}, {"id": 1234567, "renditions": null}]);
        let drawn = table(&[("ID", "id"), ("RENDITIONS", "renditions")], &list, "none");
        assert_eq!(drawn, "ID       RENDITIONS\n12       v a\n1234567  -\n");
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(table(&[("ID", "id")], &json!([]), "no masks"), "no masks\n");
    }

    #[test]
    fn labels_are_aligned() {
        assert_eq!(lines(&[("a", "1".into()), ("long", "2".into())]), "  a     1\n  long  2\n");
    }
}
