//! The conditions of a search and their values.

use super::entries::limit;
use tokio_postgres::types::ToSql;

/// What the rows of a search must fulfil, all of it.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Bound>,
}

/// A value of a condition.
pub(super) type Bound = Box<dyn ToSql + Sync + Send>;

impl Conditions {
    /// A condition without a value.
    pub(super) fn require(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    /// Every `?` of the condition is this value.
    pub(super) fn add(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.require(&condition.replace('?', &format!("${}", self.values.len())));
    }

    /// The same where there is a value.
    pub(super) fn add_some(&mut self, condition: &str, value: Option<impl ToSql + Sync + Send + 'static>) {
        if let Some(value) = value {
            self.add(condition, value);
        }
    }

    /// A comparison such as `(a, b) >` with a row of these values.
    pub(super) fn add_row(&mut self, comparison: &str, values: Vec<Bound>) {
        let first = self.values.len() + 1;
        self.values.extend(values);
        let marks: Vec<String> = (first..=self.values.len()).map(|number| format!("${number}")).collect();
        self.require(&format!("{comparison} ({})", marks.join(", ")));
    }

    /// The text of the search.
    pub(super) fn select(&mut self, columns: &str, order: &str, most: Option<usize>) -> String {
        let sql = format!("{columns}{} {order} LIMIT ${}", self.sql, self.values.len() + 1);
        self.values.push(Box::new(limit(most)));
        sql
    }

    /// The text of a count of the rows of a table.
    pub(super) fn count(&self, table: &str) -> String {
        format!("SELECT count(*) FROM {table}{}", self.sql)
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}
