use crate::{
    harness::Mount,
    openssl::{Openssl, P256},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

async fn mount() -> Mount {
    Mount::with_role(json!({"allowed_domains": "example.com", "allow_subdomains": true, "key_type": "any"})).await
}

#[tokio::test]
async fn names_of_the_csr_pass_the_same_rules() {
    let (mount, openssl) = (mount().await, Openssl::new());
    for (subject, names, text) in [
        ("/CN=a.example.com", "DNS:evil.com", "subject alternate name evil.com not allowed by this role"),
        ("/CN=evil.com", "DNS:a.example.com", "common name evil.com not allowed by this role"),
        (
            "/CN=a.example.com",
            "URI:spiffe://x",
            "URI Subject Alternative Names are not allowed in this role, but were provided via CSR",
        ),
        ("/CN=a.example.com", "email:x@y.com", "email address x@y.com not allowed by this role"),
        ("/CN=a.example.com", "otherName:1.2.3.4;UTF8:hello", "other SAN OID 1.2.3.4 not allowed by this role"),
        ("/CN=a.example.com/serialNumber=5", "DNS:a.example.com", "serial_number 5 not allowed by this role"),
        (
            "/O=x",
            "DNS:a.example.com",
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to true, unless \"require_cn\" is set to false",
        ),
    ] {
        let csr = openssl.csr(subject, &P256, &format!("subjectAltName={names}"));
        mount.write("sign/r", json!({"csr": csr})).await.refused(text);
    }
}

#[tokio::test]
async fn a_name_cannot_pass_for_one_kind_and_be_certified_as_another() {
    let (mount, openssl) = (mount().await, Openssl::new());
    for (names, text) in [
        ("DNS:x@a.example.com", "subject alternate name x@a.example.com not allowed by this role"),
        ("email:a.example.com", "email address a.example.com not allowed by this role"),
    ] {
        let csr = openssl.csr("/CN=a.example.com", &P256, &format!("subjectAltName={names}"));
        mount.write("sign/r", json!({"csr": csr})).await.refused(text);
    }
}

#[tokio::test]
async fn more_names_than_a_certificate_carries_are_refused_at_once() {
    let mount = mount().await;
    mount.role("names", json!({"allow_any_name": true, "allowed_user_ids": "*"})).await;
    let many: Vec<String> = (0..400_000).map(|number| format!("n{number}.example.com")).collect();
    for member in ["alt_names", "user_ids"] {
        let request = json!({"common_name": "a.example.com", member: many});
        mount.write("issue/names", request).await.refused("400000 names were asked for; the limit is 1000");
    }
}

#[tokio::test]
async fn fields_that_the_csr_shadows_are_warned_about() {
    let (mount, openssl) = (mount().await, Openssl::new());
    let csr = openssl.csr("/CN=a.example.com", &P256, "subjectAltName=DNS:b.example.com,IP:1.2.3.4");
    let reply =
        mount.write("sign/r", json!({"csr": csr, "common_name": "z.example.com", "alt_names": "y.example.com"})).await;
    assert_eq!(
        reply.warnings,
        [
            "the common_name field was provided but the role is set with \"use_csr_common_name\" set to true",
            "the alt_names field was provided but the role is set with \"use_csr_sans\" set to true"
        ]
    );
    let data = reply.ok();
    assert!(data.get("private_key").is_none());
    let text = openssl.show(data["certificate"].as_str().unwrap());
    assert!(text.contains("DNS:b.example.com, DNS:a.example.com, IP Address:1.2.3.4"), "{text}");
}

#[tokio::test]
async fn ekuwu_cve_2024_49019_extensions_of_the_csr_are_dropped() {
    let (mount, openssl) = (mount().await, Openssl::new());
    let extensions = "subjectAltName=DNS:a.example.com\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
        extendedKeyUsage=codeSigning,anyExtendedKeyUsage\n1.3.6.1.4.1.311.21.10=ASN1:UTF8String:policy\nsubjectKeyIdentifier=01:02:03\n\
        nameConstraints=permitted;DNS:com\ntlsfeature=status_request";
    let csr = openssl.csr("/CN=a.example.com/O=Injected/OU=Admins", &P256, extensions);
    let reply = mount.write("sign/r", json!({"csr": csr})).await;
    assert_eq!(
        reply.warnings,
        ["specified CSR contained a Basic Constraints extension that was ignored during issuance"]
    );
    let text = openssl.show(&reply.text("certificate"));
    for injected in [
        "CA:TRUE",
        "Certificate Sign",
        "Code Signing",
        "Any Extended",
        "311.21.10",
        "01:02:03",
        "Injected",
        "Admins",
        "Name Constraints",
        "TLS Feature",
    ] {
        assert!(!text.contains(injected), "{injected}\n{text}");
    }
}

#[tokio::test]
async fn keys_of_every_curve_and_hash_are_certified_byte_for_byte() {
    let (mount, openssl) = (mount().await, Openssl::new());
    let root = String::from_utf8(mount.read("ca/pem").await.raw).unwrap();
    let cases: [&[&str]; 7] = [
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha512"],
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha256"],
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-521", "-sha384"],
        &["ed25519"],
        &["rsa:2048", "-sha256"],
        &["rsa:3072", "-sha512"],
        &["rsa:2048", "-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
    ];
    for key in cases {
        let csr = openssl.csr("/CN=a.example.com", key, "subjectAltName=DNS:a.example.com");
        let leaf = mount.write("sign/r", json!({"csr": csr})).await.text("certificate");
        let (good, text) = openssl.verify(&root, "", &leaf, &[]);
        assert!(good, "{key:?}: {text}");
        openssl.file("csr.pem", &csr);
        assert_eq!(
            openssl.must(&["req", "-in", "csr.pem", "-noout", "-pubkey"]),
            openssl.must(&["x509", "-in", "leaf.pem", "-noout", "-pubkey"]),
            "{key:?}"
        );
    }
}

#[tokio::test]
async fn weak_and_strange_keys_are_refused() {
    let (mount, openssl) = (mount().await, Openssl::new());
    let cases: [(&[&str], &str); 5] = [
        (&["rsa:1024"], "RSA keys < 2048 bits are unsafe and not supported"),
        (
            &["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
            "certificate request could not be parsed: x509: unsupported elliptic curve 1.3.132.0.10",
        ),
        (
            &["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
            "certificate request could not be parsed: x509: invalid ECDSA parameters",
        ),
        (
            &["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha1"],
            "certificate request could not be parsed: signature algorithm 1.2.840.10045.4.1 does not fit the key or is not supported",
        ),
        (&["ed448"], "certificate request could not be parsed: x509: unsupported public key algorithm 1.3.101.113"),
    ];
    for (key, text) in cases {
        let csr = openssl.csr("/CN=a.example.com", key, "");
        mount.write("sign/r", json!({"csr": csr})).await.refused(text);
    }
}

#[tokio::test]
async fn roles_hold_requests_to_their_key_type_and_size() {
    let (mount, openssl) = (mount().await, Openssl::new());
    let csr = openssl.csr("/CN=a.example.com", &P256, "");
    mount.role("rsa", json!({"allow_any_name": true, "key_type": "rsa"})).await;
    mount.write("sign/rsa", json!({"csr": csr})).await.refused("role requires keys of type rsa");
    mount.role("big", json!({"allow_any_name": true, "key_type": "ec", "key_bits": 384})).await;
    mount
        .write("sign/big", json!({"csr": csr}))
        .await
        .refused("role requires a minimum of a 384-bit key, but CSR's key is 256 bits");
}

#[tokio::test]
async fn requests_that_lie_are_refused() {
    let (mount, openssl) = (mount().await, Openssl::new());
    mount.write("sign/r", json!({})).await.refused("\"csr\" is empty");
    mount.write("sign/r", json!({"csr": "x"})).await.refused("csr contains no data");
    let csr = openssl.csr("/CN=a.example.com", &P256, "subjectAltName=DNS:a.example.com");
    let text: String = csr.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(text).unwrap();
    let send = |der: Vec<u8>| {
        let pem =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----", STANDARD.encode(der));
        mount.write("sign/r", json!({"csr": pem}))
    };
    for at in 0..der.len() {
        let mut spoilt = der.clone();
        spoilt[at] ^= 1;
        let reply = send(spoilt).await;
        assert_eq!(reply.status, 400, "byte {at}: {reply:?}");
    }
    let mut longer = der.clone();
    longer.push(0);
    assert_eq!(send(longer).await.status, 400);
    assert_eq!(send(der[..der.len() - 1].to_vec()).await.status, 400);
    assert_eq!(send(vec![0x30; 1 << 17]).await.status, 400);
    assert_eq!(send(der).await.status, 200);
    let certificate = String::from_utf8(mount.read("ca/pem").await.raw).unwrap();
    assert!(
        mount
            .write("sign/r", json!({"csr": certificate}))
            .await
            .error
            .starts_with("certificate request could not be parsed")
    );
}

#[tokio::test]
async fn verbatim_keeps_the_request_but_not_what_is_the_issuers() {
    let (mount, openssl) = (mount().await, Openssl::new());
    let csr = openssl.csr(
        "/CN=verb/O=Org",
        &P256,
        "subjectAltName=DNS:x.y,URI:http://a\nkeyUsage=digitalSignature\nbasicConstraints=CA:TRUE\n1.2.3.4=ASN1:UTF8String:hi",
    );
    let leaf = mount.write("sign-verbatim", json!({"csr": csr, "ttl": "1h"})).await.text("certificate");
    let text = openssl.show(&leaf);
    assert!(text.contains("Subject: CN = verb, O = Org") && text.contains("DNS:x.y, URI:http://a"), "{text}");
    assert!(text.contains("1.2.3.4:") && !text.contains("CA:TRUE"), "{text}");
    mount.write("sign-verbatim/zork", json!({"csr": csr})).await.refused("unknown role: zork");
    let csr = openssl.csr("/CN=verb", &P256, "keyUsage=keyCertSign");
    assert!(mount.write("sign-verbatim", json!({"csr": csr})).await.error.contains("a leaf must not hold keyCertSign"));
}
