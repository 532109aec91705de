//! Searching the inventory: which index is walked.
//!
//! Every column that is searched by has an index with the end of validity behind it. A search by one of them, sorted by
//! it or by the end, is a walk of that index and costs what it answers. Sorted by something else it is either few rows to
//! sort, or so many that a walk in the wanted order soon meets enough of them; a bounded count tells which.

use super::by_id;
use crate::{
    backend::{
        microseconds,
        sqlite::{limit, signed, unsigned},
    },
    inventory::{Certificate, CertificateFilter, CertificateOrder, CertificateQuery, CertificateState},
};
use rusqlite::{Connection, params_from_iter, types::Value};

/// Up to so many rows are sorted.
const FEW: i64 = 10_000;

/// A condition that an index answers.
struct Indexed {
    index: &'static str,
    /// The order that walking the index gives, besides that of the end of validity.
    order: CertificateOrder,
    condition: &'static str,
    value: Option<Value>,
}

/// All conditions of a filter and their values.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn require(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { "WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        self.require(condition);
        self.values.push(value.into());
    }

    fn of(filter: &CertificateFilter) -> Self {
        let mut conditions = Self::default();
        conditions.add("mount = ?", filter.mount.clone());
        let texts = [
            ("issuer = ?", &filter.issuer),
            ("role = ?", &filter.role),
            ("requester = ?", &filter.requester),
            ("common_name = ?", &filter.common_name),
            ("key_type = ?", &filter.key_type),
            ("id IN (SELECT certificate FROM certificate_names WHERE name = ?)", &filter.name),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                conditions.add(condition, value.clone());
            }
        }
        let times = [
            ("not_after >= ?", filter.expires_from),
            ("not_after < ?", filter.expires_before),
            ("created_at < ?", filter.created_before),
        ];
        for (condition, at) in times {
            if let Some(at) = at {
                conditions.add(condition, microseconds(at));
            }
        }
        if let Some(state) = filter.state {
            conditions.require(state_is(state));
        }
        conditions
    }
}

/// Written out, not bound: only so do the partial indexes apply.
fn state_is(state: CertificateState) -> &'static str {
    match state {
        CertificateState::Intent => "state = 0",
        CertificateState::Issued => "state = 1",
        CertificateState::Revoked => "state = 2",
    }
}

/// The index that leaves the fewest rows, as far as one can know without counting; none where only the mount is given.
fn narrowest(filter: &CertificateFilter) -> Option<Indexed> {
    use CertificateOrder::{CommonName, Issuer, KeyType, Requester, Role, State};
    let by_text = |index, order, condition, value: &Option<String>| {
        value.clone().map(|value| Indexed { index, order, condition, value: Some(value.into()) })
    };
    let by_state = |wanted: CertificateState| {
        let (index, condition) = ("certificates_by_state", state_is(wanted));
        (filter.state == Some(wanted)).then_some(Indexed { index, order: State, condition, value: None })
    };
    by_text("certificates_by_common_name", CommonName, "common_name = ?", &filter.common_name)
        .or_else(|| by_state(CertificateState::Intent))
        .or_else(|| by_text("certificates_by_requester", Requester, "requester = ?", &filter.requester))
        .or_else(|| by_text("certificates_by_role", Role, "role = ?", &filter.role))
        .or_else(|| by_state(CertificateState::Revoked))
        .or_else(|| by_text("certificates_by_issuer", Issuer, "issuer = ?", &filter.issuer))
        .or_else(|| by_text("certificates_by_key_type", KeyType, "key_type = ?", &filter.key_type))
        .or_else(|| by_state(CertificateState::Issued))
}

/// The index whose walk gives the order.
fn walk_of(order: CertificateOrder) -> &'static str {
    match order {
        CertificateOrder::Created => "certificates_by_mount",
        CertificateOrder::Expiry => "certificates_by_expiry",
        CertificateOrder::CommonName => "certificates_by_common_name",
        CertificateOrder::Issuer => "certificates_by_issuer",
        CertificateOrder::Role => "certificates_by_role",
        CertificateOrder::Requester => "certificates_by_requester",
        CertificateOrder::KeyType => "certificates_by_key_type",
        CertificateOrder::State => "certificates_by_state",
    }
}

/// The `FROM` clause of a search.
fn source(connection: &Connection, query: &CertificateQuery) -> rusqlite::Result<String> {
    if query.filter.name.is_some() {
        // Few certificates share a name: find those, then look at them.
        return Ok("certificates NOT INDEXED".to_owned());
    }
    let walk = walk_of(query.order);
    let index = match narrowest(&query.filter) {
        None => walk,
        Some(found) if query.order == CertificateOrder::Expiry || found.order == query.order => found.index,
        Some(found) if is_few(connection, &query.filter, &found)? => found.index,
        Some(_) => walk,
    };
    Ok(format!("certificates INDEXED BY {index}"))
}

fn is_few(connection: &Connection, filter: &CertificateFilter, found: &Indexed) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM certificates INDEXED BY {} WHERE mount = ? AND {} LIMIT {FEW})",
        found.index, found.condition
    );
    let values = [Some(Value::from(filter.mount.clone())), found.value.clone()];
    let mut statement = connection.prepare_cached(&sql)?;
    let count: i64 = statement.query_row(params_from_iter(values.into_iter().flatten()), |row| row.get(0))?;
    Ok(count < FEW)
}

/// The columns a search is sorted by; with the value of each behind which it starts.
fn places(query: &CertificateQuery) -> Vec<(&'static str, Option<Value>)> {
    let after = query.after.as_ref();
    let text = |column| (column, after.map(|after| Value::from(after.key.clone())));
    let first = match query.order {
        CertificateOrder::Created | CertificateOrder::Expiry => None,
        CertificateOrder::CommonName => Some(text("common_name")),
        CertificateOrder::Issuer => Some(text("issuer")),
        CertificateOrder::Role => Some(text("role")),
        CertificateOrder::Requester => Some(text("requester")),
        CertificateOrder::KeyType => Some(text("key_type")),
        CertificateOrder::State => {
            Some(("state", after.map(|after| Value::from(after.key.parse::<i64>().unwrap_or(0)))))
        }
    };
    let end = ("not_after", after.map(|after| Value::from(microseconds(after.not_after))));
    let id = ("id", after.map(|after| Value::from(signed(after.id))));
    let end = (query.order != CertificateOrder::Created).then_some(end);
    first.into_iter().chain(end).chain([id]).collect()
}

/// The statement that answers ids, and its values.
fn statement(query: &CertificateQuery, source: &str) -> (String, Vec<Value>) {
    let mut conditions = Conditions::of(&query.filter);
    let places = places(query);
    let columns: Vec<&str> = places.iter().map(|(column, _)| *column).collect();
    let (sign, direction) = if query.descending { ("<", " DESC") } else { (">", "") };
    if query.after.is_some() {
        let marks = vec!["?"; columns.len()].join(", ");
        conditions.require(&format!("({}) {sign} ({marks})", columns.join(", ")));
        conditions.values.extend(places.into_iter().filter_map(|(_, value)| value));
    }
    conditions.values.push(limit(query.limit).into());
    let order: Vec<String> = columns.iter().map(|column| format!("{column}{direction}")).collect();
    let sql = format!("SELECT id FROM {source} {} ORDER BY {} LIMIT ?", conditions.sql, order.join(", "));
    (sql, conditions.values)
}

pub(in crate::backend::sqlite) fn search(
    connection: &Connection,
    query: &CertificateQuery,
) -> rusqlite::Result<Vec<Certificate>> {
    let (sql, values) = statement(query, &source(connection, query)?);
    let mut statement = connection.prepare_cached(&sql)?;
    let ids: Vec<i64> = statement.query_map(params_from_iter(values), |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.into_iter().filter_map(|id| by_id(connection, id).transpose()).collect()
}

pub(in crate::backend::sqlite) fn count(connection: &Connection, filter: &CertificateFilter) -> rusqlite::Result<u64> {
    let conditions = Conditions::of(filter);
    let source = match narrowest(filter) {
        _ if filter.name.is_some() => "certificates NOT INDEXED".to_owned(),
        Some(found) => format!("certificates INDEXED BY {}", found.index),
        None => format!("certificates INDEXED BY {}", walk_of(CertificateOrder::Expiry)),
    };
    let sql = format!("SELECT count(*) FROM {source} {}", conditions.sql);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(params_from_iter(conditions.values), |row| unsigned(0, row.get(0)?))
}

#[cfg(test)]
mod tests {
    use super::{source, statement};
    use crate::{
        backend::sqlite::tests::{migrated, plan},
        inventory::{CertificateCursor, CertificateFilter, CertificateOrder, CertificateQuery, CertificateState},
    };
    use jiff::Timestamp;

    const ORDERS: [CertificateOrder; 8] = [
        CertificateOrder::Created,
        CertificateOrder::Expiry,
        CertificateOrder::CommonName,
        CertificateOrder::Issuer,
        CertificateOrder::Role,
        CertificateOrder::Requester,
        CertificateOrder::KeyType,
        CertificateOrder::State,
    ];

    fn steps(database: &rusqlite::Connection, query: &CertificateQuery) -> Vec<String> {
        let (sql, _) = statement(query, &source(database, query).unwrap());
        plan(database, &sql)
    }

    #[test]
    fn a_page_of_a_mount_in_any_order_and_direction_is_a_walk() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        let place = CertificateCursor { key: "1".to_owned(), not_after: Timestamp::UNIX_EPOCH, id: 1 };
        for order in ORDERS {
            for (descending, after) in [(false, None), (true, None), (false, Some(&place)), (true, Some(&place))] {
                let after = after.cloned();
                let query = CertificateQuery { order, descending, after, ..CertificateQuery::default() };
                let steps = steps(&database, &query);
                assert!(steps.len() == 1 && steps[0].starts_with("SEARCH"), "{order:?}: {steps:?}");
            }
        }
    }

    #[test]
    fn a_search_by_one_column_in_order_of_expiry_is_a_walk() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        let (none, text, at) = (CertificateFilter::default, Some("x".to_owned()), Some(Timestamp::UNIX_EPOCH));
        let in_state = |state| CertificateFilter { state: Some(state), ..none() };
        let cases = [
            (CertificateFilter { issuer: text.clone(), ..none() }, "certificates_by_issuer"),
            (CertificateFilter { role: text.clone(), ..none() }, "certificates_by_role"),
            (CertificateFilter { requester: text.clone(), ..none() }, "certificates_by_requester"),
            (CertificateFilter { common_name: text.clone(), ..none() }, "certificates_by_common_name"),
            (CertificateFilter { key_type: text.clone(), ..none() }, "certificates_by_key_type"),
            (in_state(CertificateState::Intent), "certificates_by_state"),
            (in_state(CertificateState::Revoked), "certificates_by_state"),
            (CertificateFilter { expires_from: at, expires_before: at, ..none() }, "certificates_by_expiry"),
        ];
        for (filter, index) in cases {
            let filter = CertificateFilter { expires_before: at, ..filter };
            let query = CertificateQuery { filter, order: CertificateOrder::Expiry, ..CertificateQuery::default() };
            let steps = steps(&database, &query);
            assert!(steps.len() == 1 && steps[0].contains(index) && steps[0].contains("not_after<?"), "{steps:?}");
        }
    }

    #[test]
    fn a_search_by_name_looks_only_at_the_certificates_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        let filter = CertificateFilter { name: Some("x".to_owned()), ..CertificateFilter::default() };
        let steps = steps(&database, &CertificateQuery { filter, ..CertificateQuery::default() });
        assert!(steps.iter().any(|step| step.contains("certificate_names_by_name")), "{steps:?}");
        assert!(steps.iter().any(|step| step.contains("USING INTEGER PRIMARY KEY")), "{steps:?}");
    }
}
