use super::*;

fn error(source: &str) -> String {
    Policy::parse("p", source).unwrap_err().to_string()
}

#[test]
fn hcl_and_json_say_the_same() {
    let hcl = Policy::parse(
        "p",
        "path \"a/*\" { capabilities = [\"read\", \"list\"] allowed_parameters = { \"Foo\" = [\"x*\", 1] } }",
    )
    .unwrap();
    let json = r#"{"path":{"a/*":{"capabilities":["read","list"],"allowed_parameters":{"Foo":["x*",1]}}}}"#;
    assert_eq!(hcl.rules, Policy::parse("p", json).unwrap().rules);
    let array = r#"{"path":[{"a/*":{"capabilities":["read","list"],"allowed_parameters":{"Foo":["x*",1]}}}]}"#;
    assert_eq!(hcl.rules, Policy::parse("p", array).unwrap().rules);
    assert_eq!(hcl.rules[0].capabilities, [Capability::Read, Capability::List]);
}

#[test]
fn one_line_documents_of_old_are_read() {
    let policy =
        Policy::parse("p", "path \"a\" { policy = \"write\" } path \"/b\" { policy=\"deny\", comment=\"x\" }").unwrap();
    assert_eq!(policy.rules.len(), 2);
    assert_eq!(policy.rules[1].path, "b");
    assert_eq!(policy.rules[1].capabilities, [Capability::Deny]);
    assert!(policy.rules[0].capabilities.contains(&Capability::Create));
}

#[test]
fn errors_are_worded_as_vault_words_them() {
    for (source, text) in [
        ("path \"a\" { capabilities=[\"frob\"] }", "path \"a\": path \"a\": invalid capability \"frob\""),
        (
            "path \"a\" { capabilitie=[\"read\"] }",
            "path \"a\": 1 error occurred:\n\t* invalid key \"capabilitie\" on line 1\n\n",
        ),
        ("foo \"a\" { }", "1 error occurred:\n\t* invalid key \"foo\" on line 0\n\n"),
        ("path \"a\" { policy=\"frob\" }", "path \"a\": path \"a\": invalid policy \"frob\""),
        (
            "path \"a+*\" { policy=\"read\" }",
            "path \"a+*\": path \"a+*\": invalid use of wildcards ('+*' is forbidden)",
        ),
        (
            "path \"a\" { capabilities=\"read\" }",
            "path \"a\": path \"a\": At 1:25: unknown slice type: *ast.LiteralType",
        ),
        (
            "path \"a\" { min_wrapping_ttl=\"100s\" max_wrapping_ttl=\"1s\"}",
            "path \"a\": max_wrapping_ttl cannot be less than min_wrapping_ttl",
        ),
        (
            "path \"a\" { min_wrapping_ttl=\"foo\" }",
            "path \"a\": error parsing min_wrapping_ttl: time: invalid duration \"foo\"",
        ),
        ("path = \"x\"", "path \"path\": cannot check HCL keys of type *ast.LiteralType"),
        (
            "path \"{{identity.entity.id\" { }",
            "path \"{{identity.entity.id\": failed to validate policy templating: unbalanced templating characters",
        ),
        (
            "path \"a\" { pagination_limit=\"x\" }",
            "path \"a\": path \"a\": strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "path \"a\" { expiration=\"x\" }",
            "path \"a\": path \"a\": invalid expiration time: could not parse string as date and time",
        ),
    ] {
        assert_eq!(error(source), format!("failed to parse policy: {text}"), "{source}");
    }
}

#[test]
fn an_empty_document_grants_nothing() {
    assert!(Policy::parse("p", "  \n").unwrap().rules.is_empty());
}

#[test]
fn an_oversized_document_is_refused() {
    assert!(error(&" ".repeat((1 << 20) + 1)).contains("too long"));
}
