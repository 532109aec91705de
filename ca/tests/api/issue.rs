use crate::{
    harness::{Mount, NOW},
    openssl::Openssl,
};
use chancery_engine::Engine;
use serde_json::json;

async fn mount() -> Mount {
    Mount::with_role(json!({"allowed_domains": "example.com", "allow_subdomains": true, "max_ttl": "24h"})).await
}

#[tokio::test]
async fn answers_have_the_wires_members() {
    let mount = mount().await;
    let data = mount.write("issue/r", json!({"common_name": "a.example.com"})).await.ok();
    let members: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "ca_chain",
            "certificate",
            "expiration",
            "issuing_ca",
            "not_before",
            "private_key",
            "private_key_type",
            "serial_number"
        ]
    );
    assert_eq!((&data["expiration"], &data["not_before"]), (&json!(NOW + 3599), &json!(NOW - 30)));
    assert_eq!(data["private_key_type"], "ec");
    assert_eq!(data["ca_chain"], json!([data["issuing_ca"]]));
    assert_eq!(data["serial_number"].as_str().unwrap().len(), 59);
}

#[tokio::test]
async fn names_are_judged_in_the_wires_words() {
    let mount = mount().await;
    for (request, text) in [
        (json!({"common_name": "example.com"}), "common name example.com not allowed by this role"),
        (json!({"common_name": "evil.com"}), "common name evil.com not allowed by this role"),
        (json!({"alt_names": "b.example.com,evil.org"}), "subject alternate name evil.org not allowed by this role"),
        (json!({"alt_names": "joe@example.com"}), "email address joe@example.com not allowed by this role"),
        (json!({"ip_sans": "1.2.3.4.5"}), "the value \"1.2.3.4.5\" is not a valid IP address"),
        (
            json!({"uri_sans": "spiffe://x"}),
            "URI Subject Alternative Names are not allowed in this role, but were provided via the API",
        ),
        (json!({"other_sans": "1.2.3;UTF8:x"}), "other SAN OID 1.2.3 not allowed by this role"),
        (json!({"other_sans": "xx"}), "could not parse requested other SAN: expected a semicolon in other SAN \"xx\""),
        (json!({"serial_number": "x"}), "serial_number x not allowed by this role"),
        (json!({"user_ids": "x"}), "user_id x is not allowed by this role"),
        (json!({"common_name": "1.2.3.4"}), "common name 1.2.3.4 not allowed by this role"),
        (json!({"common_name": "a_b.example.com"}), "common name a_b.example.com not allowed by this role"),
        (json!({"common_name": "a.*.example.com"}), "common name a.*.example.com not allowed by this role"),
        (json!({"common_name": "A.EXAMPLE.com"}), "common name A.EXAMPLE.com not allowed by this role"),
        (json!({"common_name": "a.example.com."}), "idna: invalid label \"a.example.com.\""),
        (
            json!({"common_name": ""}),
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to true, unless \"require_cn\" is set to false",
        ),
        (
            json!({"ttl": -1}),
            "Field validation failed: error converting input for field \"ttl\": cannot provide negative value '-1'",
        ),
        (json!({"format": "zip"}), "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\""),
    ] {
        let mut all = json!({"common_name": "a.example.com"});
        for (member, value) in request.as_object().unwrap() {
            all[member] = value.clone();
        }
        mount.write("issue/r", all).await.refused(text);
    }
    mount.write("issue/nope", json!({"common_name": "a"})).await.refused("unknown role: nope");
    mount
        .write("issuer/nope/issue/r", json!({"common_name": "a.example.com"}))
        .await
        .refused("could not fetch the CA certificate (was one set?): unable to find PKI issuer for reference: nope");
    assert_eq!(mount.list("certs").await.ok()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn names_that_are_allowed_stand_in_the_certificate() {
    let mount = Mount::with_role(json!({
        "allowed_domains": "example.com", "allow_subdomains": true, "allow_bare_domains": true,
        "allowed_uri_sans": "spiffe://*", "allowed_other_sans": "1.2.3;UTF8:a*", "allowed_serial_numbers": "S*",
        "allowed_user_ids": "*", "ou": "Dev", "organization": "Org", "allowed_ip_sans_cidr": "10.0.0.0/8",
        "policy_identifiers": ["1.2.3.4", "{\"oid\":\"1.2.3.5\",\"notice\":\"hi\",\"cps\":\"http://x\"}"],
    }))
    .await;
    let urls = json!({"issuing_certificates": "http://x/ca", "crl_distribution_points": "http://x/crl", "ocsp_servers": "http://x/ocsp",
        "delta_crl_distribution_points": "http://x/delta"});
    mount.write("config/urls", urls).await.ok();
    let certificate = mount
        .write(
            "issue/r",
            json!({"common_name": "a.example.com", "alt_names": "*.example.com,joe@example.com,bücher.example.com",
                "ip_sans": "10.1.2.3", "uri_sans": "spiffe://x/y", "other_sans": "1.2.3;UTF8:abc", "serial_number": "S1", "user_ids": "u1"}),
        )
        .await
        .text("certificate");
    let text = Openssl::new().show(&certificate);
    for part in [
        "Subject: O = Org, OU = Dev, CN = a.example.com, serialNumber = S1, UID = u1",
        "othername: 1.2.3::abc, DNS:a.example.com, DNS:*.example.com, DNS:xn--bcher-kva.example.com, email:joe@example.com, IP Address:10.1.2.3, URI:spiffe://x/y",
        "CA Issuers - URI:http://x/ca",
        "OCSP - URI:http://x/ocsp",
        "URI:http://x/crl",
        "X509v3 Freshest CRL: \n                Full Name:\n                  URI:http://x/delta",
        "Policy: 1.2.3.4",
        "CPS: http://x",
        "Explicit Text: hi",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "Digital Signature, Key Agreement",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[tokio::test]
async fn what_has_no_end_says_so_in_the_answer_and_in_the_inventory() {
    let mount = Mount::new().await;
    let end = "9999-12-31T23:59:59Z";
    let root =
        mount.write("root/generate/internal", json!({"common_name": "Root", "key_type": "ec", "not_after": end}));
    assert_eq!(root.await.ok()["expiration"], 253_402_300_799_i64);
    mount.role("r", json!({"allow_any_name": true, "ttl": "", "not_after": end})).await;
    let issued = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    assert_eq!(issued["expiration"], 253_402_300_799_i64);
    let serial = issued["serial_number"].as_str().unwrap();
    assert_eq!(mount.read("certs/search").await.ok()["key_info"][serial]["not_after"], end);
    assert_eq!(mount.list("certs/detailed").await.ok()["key_info"][serial]["not_after"], end);
}

#[tokio::test]
async fn keys_come_in_every_type_and_format() {
    let openssl = Openssl::new();
    let mount = Mount::with_role(json!({"allow_any_name": true, "key_type": "any"})).await;
    mount.write("issue/r", json!({"common_name": "a"})).await.refused(
        "role key type \"any\" not allowed for issuing certificates without providing key_type and/or key_bits request parameters",
    );
    for (kind, bits, label) in
        [("ec", 521, "EC PRIVATE KEY"), ("rsa", 2048, "RSA PRIVATE KEY"), ("ed25519", 0, "PRIVATE KEY")]
    {
        for pkcs8 in [false, true] {
            let format = if pkcs8 { "pkcs8" } else { "pem" };
            let request = json!({"common_name": "a", "key_type": kind, "key_bits": bits, "private_key_format": format});
            let data = mount.write("issue/r", request).await.ok();
            let key = data["private_key"].as_str().unwrap();
            let label = if pkcs8 { "PRIVATE KEY" } else { label };
            assert!(key.starts_with(&format!("-----BEGIN {label}-----\n")), "{kind}");
            openssl.file("key.pem", key);
            openssl.file("leaf.pem", data["certificate"].as_str().unwrap());
            let of_key = openssl.must(&["pkey", "-in", "key.pem", "-pubout"]);
            let of_certificate = openssl.must(&["x509", "-in", "leaf.pem", "-noout", "-pubkey"]);
            assert_eq!(of_key, of_certificate, "{kind} {format}");
        }
    }
    let data = mount.write("issue/r", json!({"common_name": "a", "key_type": "ec", "format": "pem_bundle"})).await.ok();
    let bundle = data["certificate"].as_str().unwrap();
    assert!(
        bundle.starts_with("-----BEGIN EC PRIVATE KEY-----")
            && bundle.matches("-----BEGIN CERTIFICATE-----").count() == 2
    );
    let data = mount.write("issue/r", json!({"common_name": "a", "key_type": "ec", "format": "der"})).await.ok();
    assert!(
        data["certificate"].as_str().unwrap().starts_with("MII")
            && data["private_key"].as_str().unwrap().starts_with("MH")
    );
    let data = mount
        .write("issue/r", json!({"common_name": "a", "key_type": "ec", "remove_roots_from_chain": "true"}))
        .await
        .ok();
    assert!(data.get("ca_chain").is_none());
}

#[tokio::test]
async fn every_leaf_key_type_verifies_under_its_root() {
    let openssl = Openssl::new();
    let mount = Mount::with_role(json!({"allow_any_name": true, "key_type": "any"})).await;
    let root = String::from_utf8(mount.read("ca/pem").await.raw).unwrap();
    for kind in ["ec", "rsa", "ed25519"] {
        let leaf = mount.write("issue/r", json!({"common_name": "a.b", "key_type": kind})).await.text("certificate");
        let (good, text) = openssl.verify(&root, "", &leaf, &["-purpose", "sslserver"]);
        assert!(good, "{kind}: {text}");
    }
}

#[tokio::test]
async fn ttl_is_capped_with_a_warning() {
    let mount = mount().await;
    let reply = mount.write("issue/r", json!({"common_name": "a.example.com", "ttl": "48h"})).await;
    assert_eq!(
        reply.warnings,
        ["TTL \"48h0m0s\" is longer than permitted maxTTL \"24h0m0s\", so maxTTL is being used"]
    );
    assert_eq!(reply.ok()["expiration"], NOW + 86_399);
}

#[tokio::test]
async fn leases_revoke_and_no_store_leaves_no_trace() {
    let mount = Mount::with_role(json!({"allow_any_name": true, "generate_lease": true})).await;
    mount.role("n", json!({"allow_any_name": true, "no_store": true})).await;
    let reply = mount.write("issue/r", json!({"common_name": "a.b"})).await;
    let lease = reply.lease.clone().unwrap();
    assert_eq!((lease.ttl, lease.renewable), (3599, false));
    let serial = reply.text("serial_number");
    mount.engine.revoke_lease(&lease.internal).await.unwrap();
    mount.engine.revoke_lease(&lease.internal).await.unwrap();
    assert_eq!(mount.list("certs/revoked").await.ok()["keys"], json!([serial]));
    let reply = mount.write("issue/n", json!({"common_name": "a.b"})).await;
    assert!(reply.lease.is_none());
    let data = reply.ok();
    let path = format!("cert/{}", data["serial_number"].as_str().unwrap());
    assert_eq!(mount.read(&path).await.status, 404);
    mount.write("revoke", json!({"certificate": data["certificate"]})).await.ok();
    assert_eq!(mount.read(&path).await.status, 200);
}

#[tokio::test]
async fn the_issuer_decides_about_leaves_that_outlive_it() {
    let mount = Mount::new().await;
    let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "2h", "issuer_name": "root"});
    mount.write("root/generate/internal", root).await.ok();
    mount.role("r", json!({"allow_any_name": true})).await;
    let request = json!({"common_name": "a.b", "ttl": "10h"});
    assert!(
        mount.write("issue/r", request.clone()).await.error.contains("beyond the expiration of the CA certificate")
    );
    for (behavior, end) in [("truncate", NOW + 7199), ("permit", NOW + 35_999)] {
        mount.write("issuer/root", json!({"issuer_name": "root", "leaf_not_after_behavior": behavior})).await.ok();
        assert_eq!(mount.write("issue/r", request.clone()).await.ok()["expiration"], end);
    }
    mount.write("issuer/root", json!({"issuer_name": "root", "usage": "read-only"})).await.ok();
    assert!(mount.write("issue/r", request).await.error.ends_with("but only had usage read-only"));
}

#[tokio::test]
async fn ghsa_g892_p242_8g86_address_blocks_bind_every_channel() {
    let mount =
        Mount::with_role(json!({"allow_any_name": true, "key_type": "any", "allowed_ip_sans_cidr": "10.0.0.0/8"}))
            .await;
    let refused = "the IP address \"11.1.1.1\" is not allowed in this role";
    mount
        .write("issue/r", json!({"common_name": "a", "key_type": "ec", "ip_sans": "10.1.1.1,11.1.1.1"}))
        .await
        .refused(refused);
    let csr = Openssl::new().csr("/CN=a", &crate::openssl::P256, "subjectAltName=IP:11.1.1.1");
    mount.write("sign/r", json!({"csr": csr})).await.refused(refused);
    mount
        .role("api", json!({"allow_any_name": true, "allowed_ip_sans_cidr": "10.0.0.0/8", "use_csr_sans": false}))
        .await;
    mount.write("sign/api", json!({"csr": csr, "ip_sans": "11.1.1.1"})).await.refused(refused);
}
