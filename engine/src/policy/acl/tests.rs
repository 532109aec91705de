use super::*;
use crate::identity::TokenType;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn acl_of(sources: &[&str]) -> Acl {
    let policies: Vec<_> = sources
        .iter()
        .enumerate()
        .map(|(number, source)| Arc::new(Policy::parse(&format!("p{number}"), source).unwrap()))
        .collect();
    Acl::compile(&policies)
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        token_key: String::new(),
        accessor: String::new(),
        display_name: String::new(),
        policies: Vec::new().into(),
        metadata: BTreeMap::new(),
        path: String::new(),
        entity_id: String::new(),
        token_type: TokenType::Service,
        token_ttl: 0,
        issue_time: Timestamp::UNIX_EPOCH,
        remaining_uses: 0,
        acl: Arc::default(),
    })
}

fn ask(acl: &Acl, operation: Operation, path: &str) -> Result<Permit, Fault> {
    let body = Body::default();
    let request = AccessRequest { path, operation, body: &body, needs_sudo: false, wrap_ttl: None };
    acl.authorize(&identity(), &request)
}

fn may(acl: &Acl, operation: Operation, path: &str) -> bool {
    ask(acl, operation, path).is_ok()
}

#[test]
fn nothing_is_granted_by_default() {
    let acl = acl_of(&[]);
    assert!(!may(&acl, Operation::Read, "a"));
    assert_eq!(acl.capabilities("a"), ["deny"]);
    assert!(!acl.reaches_into("a/"));
}

#[test]
fn root_may_everything() {
    let acl = Acl::compile(&[Arc::new(Policy { name: "root".to_owned(), ..Policy::default() })]);
    assert!(may(&acl, Operation::Delete, "anything"));
    assert_eq!(acl.capabilities("a"), ["root"]);
    assert!(ask(&acl, Operation::Read, "a").unwrap().is_sudo());
}

#[test]
fn the_most_specific_rule_decides_alone() {
    let acl = acl_of(&["path \"a/*\" { capabilities=[\"read\",\"update\"] }
        path \"a/b*\" { capabilities=[\"list\"] }
        path \"a/b\" { capabilities=[\"delete\"] }
        path \"a/+/c\" { capabilities=[\"create\"] }"]);
    assert!(may(&acl, Operation::Read, "a/x"));
    assert!(!may(&acl, Operation::Read, "a/b"));
    assert!(may(&acl, Operation::Delete, "a/b"));
    assert!(!may(&acl, Operation::Create, "a/b/c"));
    assert!(may(&acl, Operation::Create, "a/x/c"));
    assert!(!may(&acl, Operation::Read, "a/x/c"));
}

#[test]
fn policies_on_one_path_unite_and_deny_wins() {
    let read = "path \"a\" { capabilities=[\"read\"] }";
    let update = "path \"a\" { capabilities=[\"update\",\"sudo\"] }";
    let deny = "path \"a\" { capabilities=[\"deny\",\"read\"] }";
    let both = acl_of(&[read, update]);
    assert_eq!(both.capabilities("a"), ["read", "sudo", "update"]);
    assert_eq!(ask(&both, Operation::Update, "a").unwrap().granting_policies(), ["p1"]);
    for order in [[read, deny, update], [deny, read, update], [read, update, deny]] {
        assert_eq!(acl_of(&order).capabilities("a"), ["deny"]);
    }
}

#[test]
fn ghsa_xp3c_3jw3_4vcr_deny_below_a_folder_stops_listing_it() {
    let acl = acl_of(&["path \"a/*\" { capabilities=[\"list\",\"scan\",\"read\"] }
        path \"a/private/*\" { capabilities=[\"deny\"] }"]);
    for path in ["a/private", "a/private/"] {
        assert!(!may(&acl, Operation::List, path), "{path}");
        assert!(!may(&acl, Operation::Scan, path), "{path}");
    }
    assert!(may(&acl, Operation::List, "a"));
    assert!(may(&acl, Operation::List, "a/public"));
}

#[test]
fn list_falls_back_to_the_path_without_slash() {
    let exact =
        acl_of(&["path \"a/private\" { capabilities=[\"list\"] } path \"a/private/*\" { capabilities=[\"deny\"] }"]);
    assert!(may(&exact, Operation::List, "a/private/"));
    let segment = acl_of(&["path \"a/+\" { capabilities=[\"list\"] }"]);
    assert!(may(&segment, Operation::List, "a/private/"));
    assert!(!may(&segment, Operation::Read, "a/private/x"));
    let shadowed = acl_of(&["path \"a/+\" { capabilities=[\"list\"] } path \"a/*\" { capabilities=[\"deny\"] }"]);
    assert!(!may(&shadowed, Operation::List, "a/private/"));
}

#[test]
fn sudo_routes_need_sudo() {
    let body = Body::default();
    let request =
        AccessRequest { path: "sys/raw", operation: Operation::Read, body: &body, needs_sudo: true, wrap_ttl: None };
    let without = acl_of(&["path \"sys/*\" { capabilities=[\"read\"] }"]);
    assert!(without.authorize(&identity(), &request).is_err());
    let with = acl_of(&["path \"sys/*\" { capabilities=[\"read\",\"sudo\"] }"]);
    assert!(with.authorize(&identity(), &request).unwrap().is_sudo());
}

#[test]
fn wrapping_bounds_are_enforced_and_the_lesser_holds() {
    let acl = acl_of(&[
        "path \"a\" { capabilities=[\"read\"] min_wrapping_ttl=\"10s\" max_wrapping_ttl=\"40s\" }",
        "path \"a\" { capabilities=[\"read\"] max_wrapping_ttl=20 }",
    ]);
    let body = Body::default();
    for (wrap_ttl, granted) in [(None, false), (Some(5), false), (Some(15), true), (Some(25), false)] {
        let request = AccessRequest { path: "a", operation: Operation::Read, body: &body, needs_sudo: false, wrap_ttl };
        let permit = acl.authorize(&identity(), &request);
        assert_eq!(permit.is_ok(), granted, "{wrap_ttl:?}");
        if let Ok(permit) = permit {
            assert_eq!(permit.wrapping().maximum, Some(Duration::from_secs(20)));
        }
    }
}

#[test]
fn parameter_rules_bind_writes_but_not_deletes() {
    let acl = acl_of(&["path \"a\" { capabilities=[\"update\",\"delete\"] allowed_parameters={ x=[\"1\"] } }"]);
    let ask = |operation, json: &str| {
        let body = Body::from_json(json.as_bytes().to_vec());
        let request = AccessRequest { path: "a", operation, body: &body, needs_sudo: false, wrap_ttl: None };
        acl.authorize(&identity(), &request).is_ok()
    };
    assert!(ask(Operation::Update, "{\"x\":1}"));
    assert!(!ask(Operation::Update, "{\"y\":1}"));
    assert!(ask(Operation::Delete, "{\"y\":1}"));
}

#[test]
fn expired_rules_grant_nothing() {
    let policy = Arc::new(
        Policy::parse("p", "path \"a\" { capabilities=[\"read\"] expiration=\"2030-01-01T00:00:00Z\" }").unwrap(),
    );
    let at = |second| Compilation { now: Timestamp::from_second(second).unwrap(), value_of: &|_| None };
    let before = Acl::compile_for(&[Arc::clone(&policy)], at(0));
    assert_eq!(before.valid_until(), Some("2030-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(before.capabilities("a"), ["read"]);
    assert_eq!(Acl::compile_for(&[policy], at(1_900_000_000)).capabilities("a"), ["deny"]);
}

#[test]
fn unknown_templates_void_their_rule_only() {
    let acl = acl_of(&["path \"a/{{foo}}\" { capabilities=[\"read\"] } path \"b\" { capabilities=[\"read\"] }"]);
    assert_eq!(acl.capabilities("a/x"), ["deny"]);
    assert_eq!(acl.capabilities("b"), ["read"]);
}

#[test]
fn a_mount_shows_when_something_in_it_is_granted() {
    let acl = acl_of(&["path \"secret/data/x\" { capabilities=[\"read\"] } path \"+/y/*\" { capabilities=[\"list\"] }
        path \"no/*\" { capabilities=[\"deny\"] }"]);
    assert!(acl.reaches_into("secret/"));
    assert!(acl.reaches_into("other/"));
    assert!(!acl_of(&["path \"no/*\" { capabilities=[\"deny\"] }"]).reaches_into("no/"));
}

/// The order of vault-api §4.3 once more, written as plainly as can be: collect, sort, take the best.
mod model {
    pub(super) fn decide(rules: &[(String, u16)], path: &str, lists: bool) -> u16 {
        let merged = |pattern: &str| {
            let all: Vec<u16> = rules.iter().filter(|(known, _)| known == pattern).map(|(_, bits)| *bits).collect();
            let denied = all.iter().any(|bits| bits & 1 != 0);
            if denied { 1 } else { all.iter().fold(0, |sum, bits| sum | bits) }
        };
        let bare = path.strip_suffix('/').filter(|_| lists);
        for candidate in [Some(path), bare].into_iter().flatten() {
            if rules.iter().any(|(pattern, _)| pattern == candidate && is_exact(pattern)) {
                return merged(candidate);
            }
        }
        for candidate in [Some(path), bare].into_iter().flatten() {
            let best = rules
                .iter()
                .map(|(pattern, _)| pattern)
                .filter(|pattern| !is_exact(pattern) && matches(pattern, candidate))
                .max_by_key(|pattern| rank(pattern));
            if let Some(pattern) = best {
                return merged(pattern);
            }
        }
        0
    }

    fn is_exact(pattern: &str) -> bool {
        !pattern.ends_with('*') && !pattern.split('/').any(|segment| segment == "+")
    }

    fn rank(pattern: &str) -> (usize, bool, isize, usize, String) {
        let body = pattern.trim_end_matches('*');
        let plus = body.split('/').filter(|segment| *segment == "+").count();
        let first = if plus > 0 { pattern.find('+').unwrap() } else { body.len() };
        (first, !pattern.ends_with('*'), -isize::try_from(plus).unwrap(), body.len(), body.to_owned())
    }

    fn matches(pattern: &str, path: &str) -> bool {
        match (pattern.is_empty(), path.is_empty()) {
            (true, _) => path.is_empty(),
            (false, _) if pattern == "*" => true,
            (false, true) => pattern == "+",
            (false, false) => {
                if let Some(rest) = pattern.strip_prefix('+') {
                    let end = path.find('/').unwrap_or(path.len());
                    matches_rest(rest, &path[end..])
                } else {
                    pattern[..1] == path[..1] && matches_rest(&pattern[1..], &path[1..])
                }
            }
        }
    }

    fn matches_rest(pattern: &str, path: &str) -> bool {
        if pattern.is_empty() || path.is_empty() {
            return (pattern.is_empty() && path.is_empty()) || pattern == "*";
        }
        if pattern == "/+" && path == "/" {
            return true;
        }
        matches(pattern, path)
    }
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("ab")]
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![3 => segment(), 2 => Just("+")];
    (proptest::collection::vec(part, 1..4), 0..4_u8).prop_map(|(parts, tail)| {
        let text = parts.join("/");
        match tail {
            0 => format!("{text}/*"),
            1 if !text.ends_with('+') => format!("{text}*"),
            2 => format!("{text}/"),
            _ => text,
        }
    })
}

fn path() -> impl Strategy<Value = String> {
    (proptest::collection::vec(segment(), 1..5), any::<bool>())
        .prop_map(|(parts, slash)| format!("{}{}", parts.join("/"), if slash { "/" } else { "" }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_plain_model(
        rules in proptest::collection::vec((pattern(), 0_u16..512), 0..8),
        path in path(),
        lists in any::<bool>(),
    ) {
        let policies: Vec<_> = rules
            .iter()
            .map(|(path, bits)| {
                use Capability::{Create, Delete, Deny, List, Patch, Read, Scan, Sudo, Update};
                let all = [Deny, Create, Read, Update, Delete, List, Sudo, Patch, Scan];
                let capabilities = all.into_iter().filter(|one| bits & CapabilitySet::bit(*one) != 0).collect();
                let rule = Rule { path: path.clone(), capabilities, ..Rule::default() };
                Arc::new(Policy { name: "p".to_owned(), rules: vec![rule], ..Policy::default() })
            })
            .collect();
        let acl = Acl::compile(&policies);
        let found = acl.find(&path, lists).map_or(0, |grant| grant.capabilities.0);
        let expected = model::decide(&rules, &path, lists);
        prop_assert_eq!(found & 1 != 0, expected & 1 != 0);
        if found & 1 == 0 {
            prop_assert_eq!(found, expected);
        }
    }
}
