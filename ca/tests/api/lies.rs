//! Requests that lie: each is refused with a reason that names what is wrong, and nothing is written.

use crate::{
    forge::{
        Forged, alternative_names, bit_string, dns, extension, extension_request, name, oid, pem, rsa_key, sequence,
        set, tlv,
    },
    harness::Mount,
    openssl::Openssl,
};
use serde_json::{Value, json};

const UNPARSED: &str = "certificate request could not be parsed: ";
const PSS: &str = "1.2.840.113549.1.1.10";

async fn mount() -> Mount {
    Mount::with_role(json!({"allowed_domains": "example.com", "allow_subdomains": true, "key_type": "any"})).await
}

/// What the inventory knows.
async fn known(mount: &Mount) -> Value {
    json!([mount.list("certs").await.data, mount.list("certs/revoked").await.data, mount.list("issuers").await.data])
}

/// Sends each to every door that takes a request; each must be refused in these words.
async fn all_refused(mount: &Mount, cases: &[(&str, Vec<u8>, &str)]) {
    let before = known(mount).await;
    for (label, der, text) in cases {
        for door in ["sign/r", "sign-verbatim", "sign-verbatim/r", "root/sign-intermediate", "issuer/root/sign/r"] {
            let reply = mount.write(door, json!({"csr": pem(der), "common_name": "a.example.com"})).await;
            assert_eq!(reply.status, 400, "{label} at {door}: {reply:?}");
            assert!(reply.error.contains(text), "{label} at {door}: {:?} does not say {text:?}", reply.error);
        }
    }
    assert_eq!(known(mount).await, before);
}

#[tokio::test]
async fn an_honest_forgery_passes() {
    let mount = mount().await;
    let names = alternative_names(&[&dns(b"a.example.com")]);
    let reply = mount.write("sign/r", json!({"csr": pem(&Forged::asking(&[&names]).sign())})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn signatures_that_prove_nothing_are_refused() {
    let honest = Forged::new();
    let stranger = Forged::new();
    let other_key = Forged { public_key: stranger.public_key.clone(), ..Forged::new() }.sign();
    let zero = sequence(&[&[2, 1, 0], &[2, 1, 0]]);
    let invalid = "request signature invalid";
    let unfit = "does not fit the key or is not supported";
    let algorithm = |id: &str, rest: &[u8]| Forged { algorithm: sequence(&[&oid(id), rest]), ..Forged::new() }.sign();
    let cases = [
        ("signed by another key", other_key, invalid),
        ("no signature", honest.with_signature(&[]), invalid),
        ("r = s = 0 (CVE-2022-21449)", honest.with_signature(&zero), invalid),
        ("junk", honest.with_signature(&[0x41; 64]), invalid),
        ("unused bits", sequence(&[&honest.info(), &honest.algorithm, &tlv(3, &[3, 0xf8])]), invalid),
        ("SHA-1", algorithm("1.2.840.10045.4.1", &[]), "algorithm 1.2.840.10045.4.1"),
        ("MD5 with RSA", algorithm("1.2.840.113549.1.1.4", &[5, 0]), unfit),
        ("RSA over an EC key", algorithm("1.2.840.113549.1.1.11", &[5, 0]), unfit),
        ("Ed25519 over an EC key", algorithm("1.3.101.112", &[]), unfit),
        ("another hash than signed", algorithm("1.2.840.10045.4.3.3", &[]), invalid),
        ("no signature at all (RFC 9925)", algorithm("1.3.6.1.5.5.7.6.36", &[]), unfit),
    ];
    all_refused(&mount().await, &cases).await;
}

#[tokio::test]
async fn keys_that_protect_nothing_are_refused() {
    let modulus = |last: u8| {
        let mut bytes = vec![0xc5; 256];
        *bytes.last_mut().unwrap() = last;
        bytes
    };
    let with = |public_key: Vec<u8>| Forged { public_key, ..Forged::new() }.sign();
    let ec = |parameters: &[u8], point: &[u8]| {
        with(sequence(&[&sequence(&[&oid("1.2.840.10045.2.1"), parameters]), &bit_string(point)]))
    };
    let honest = Forged::new().public_key;
    let point = honest[honest.len() - 65..].to_vec();
    let mut off = point.clone();
    *off.last_mut().unwrap() ^= 1;
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    let p256 = oid("1.2.840.10045.3.1.7");
    // (2^1024 - 105)(2^1024 - 179), two primes beside each other
    let mut close = vec![0xff; 128];
    close.extend([0; 128]);
    close[126] = 0xfe;
    close[127] = 0xe4;
    close[254] = 0x49;
    close[255] = 0x6b;
    let invalid_curve = "x509: invalid ECDSA parameters";
    let cases = [
        ("even modulus", with(rsa_key(&modulus(0xc4), &[1, 0, 1])), "x509: RSA modulus is divisible by 2"),
        ("1024 bits", with(rsa_key(&modulus(0xc5)[..128], &[1, 0, 1])), "RSA keys < 2048 bits are unsafe"),
        ("16384 bits", with(rsa_key(&[0xc5; 2048], &[1, 0, 1])), "RSA keys > 8192 bits are not supported: got 16384"),
        ("close primes", with(rsa_key(&close, &[1, 0, 1])), "product of two primes that are too close"),
        ("e = 1", with(rsa_key(&modulus(0xc5), &[1])), "x509: RSA public exponent 1 is not"),
        ("e = 65536", with(rsa_key(&modulus(0xc5), &[1, 0, 0])), "x509: RSA public exponent 65536 is not"),
        ("huge exponent", with(rsa_key(&modulus(0xc5), &[0x7f; 256])), "x509: RSA public exponent of 2047 bits is not"),
        (
            "negative modulus",
            with({
                let numbers = sequence(&[&tlv(2, &[0xc5; 256]), &[2, 3, 1, 0, 1]]);
                sequence(&[&sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]), &bit_string(&numbers)])
            }),
            "x509: malformed public key",
        ),
        (
            "RSA-PSS",
            with({
                let numbers = sequence(&[&tlv(2, &[0x45; 256]), &[2, 3, 1, 0, 1]]);
                sequence(&[&sequence(&[&oid(PSS)]), &bit_string(&numbers)])
            }),
            "x509: unsupported public key algorithm 1.2.840.113549.1.1.10",
        ),
        (
            "DSA",
            with(sequence(&[&sequence(&[&oid("1.2.840.10040.4.1")]), &bit_string(&[2, 1, 5])])),
            "1.2.840.10040.4.1",
        ),
        ("explicit curve (CVE-2020-0601)", ec(&sequence(&[&[2, 1, 1], &sequence(&[])]), &point), invalid_curve),
        ("implicit curve", ec(&[5, 0], &point), invalid_curve),
        ("no curve", ec(&[], &point), invalid_curve),
        ("secp256k1", ec(&oid("1.3.132.0.10"), &point), "x509: unsupported elliptic curve 1.3.132.0.10"),
        ("off the curve", ec(&p256, &off), "x509: failed to unmarshal elliptic curve point"),
        ("compressed", ec(&p256, &compressed), "x509: failed to unmarshal elliptic curve point"),
        ("infinity", ec(&p256, &[0]), "x509: failed to unmarshal elliptic curve point"),
        ("P-256 point on P-384", ec(&oid("1.3.132.0.34"), &point), "x509: failed to unmarshal elliptic curve point"),
        ("bytes behind the key", with([&honest[..], &[5, 0]].concat()), UNPARSED),
        (
            "small order",
            with(sequence(&[&sequence(&[&oid("1.3.101.112")]), &bit_string(&[0; 32])])),
            "point of small order",
        ),
        ("Ed448", with(sequence(&[&sequence(&[&oid("1.3.101.113")]), &bit_string(&[7; 57])])), "1.3.101.113"),
    ];
    all_refused(&mount().await, &cases).await;
}

#[tokio::test]
async fn requests_that_are_no_der_are_refused() {
    let honest = Forged::new();
    let signed = honest.sign();
    let asking = |attributes: Vec<u8>| Forged { attributes, ..Forged::new() }.sign();
    let names = alternative_names(&[&dns(b"a.example.com")]);
    let usage = extension("2.5.29.15", true, &[3, 2, 7, 0x80]);
    let indefinite = [&[0x30, 0x80][..], &signed[signed.len() - 3..], &[0, 0]].concat();
    let long_length = [&[0x30, 0x83, 0][..], &signed[2..]].concat();
    let twice = "extension 2.5.29.17 appears twice";
    let cases = [
        ("bytes behind it", [&signed[..], &[0]].concat(), UNPARSED),
        (
            "bytes behind the signature",
            sequence(&[&honest.info(), &honest.algorithm, &bit_string(&[1]), &[5, 0]]),
            UNPARSED,
        ),
        ("bytes behind the attributes", Forged { behind: vec![5, 0], ..Forged::new() }.sign(), UNPARSED),
        ("indefinite length", indefinite, UNPARSED),
        ("length that is not the shortest", long_length, UNPARSED),
        ("version 1", Forged { version: vec![2, 1, 1], ..Forged::new() }.sign(), "version 1 is not 0"),
        ("negative version", Forged { version: vec![2, 1, 0xff], ..Forged::new() }.sign(), UNPARSED),
        ("subject that is no name", Forged { subject: vec![5, 0], ..Forged::new() }.sign(), UNPARSED),
        ("too long", vec![0x30; 70_000], "it has 70000 bytes; the limit is 65536"),
        ("a SAN twice", Forged::asking(&[&names, &names]).sign(), twice),
        (
            "two lists of extensions",
            asking([extension_request(&[&names]), extension_request(&[&usage])].concat()),
            UNPARSED,
        ),
        (
            "a list of two values",
            asking(sequence(&[&oid("1.2.840.113549.1.9.14"), &set(&[&sequence(&[&usage]), &sequence(&[&names])])])),
            "exactly one list of extensions",
        ),
        ("no list", asking(sequence(&[&oid("1.2.840.113549.1.9.14"), &set(&[])])), "exactly one list of extensions"),
        ("junk for a list", asking(sequence(&[&oid("1.2.840.113549.1.9.14"), &set(&[&[4, 1, 0]])])), UNPARSED),
        (
            "criticality that is no boolean",
            Forged::asking(&[&sequence(&[&oid("2.5.29.17"), &[1, 1, 7], &tlv(4, &sequence(&[&dns(b"a")]))])]).sign(),
            UNPARSED,
        ),
        ("junk for names", Forged::asking(&[&extension("2.5.29.17", false, &[5, 0])]).sign(), UNPARSED),
        (
            "bytes behind the names",
            Forged::asking(&[&extension("2.5.29.17", false, &[&sequence(&[&dns(b"a")])[..], &[0]].concat())]).sign(),
            UNPARSED,
        ),
    ];
    all_refused(&mount().await, &cases).await;
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let asking = |names: &[&[u8]]| Forged::asking(&[&alternative_names(names)]).sign();
    let other = |value: &[u8]| tlv(0xa0, &[&oid("1.3.6.1.4.1.311.20.2.3")[..], &tlv(0xa0, value)].concat());
    let many: Vec<Vec<u8>> = (0..1001).map(|number| dns(format!("n{number}.example.com").as_bytes())).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let cases = [
        ("DNS name outside ASCII", asking(&[&dns("b\u{fc}cher.example.com".as_bytes())]), UNPARSED),
        ("address of five bytes", asking(&[&tlv(0x87, &[1, 2, 3, 4, 5])]), "has 5 bytes, not 4 or 16"),
        ("address of none", asking(&[&tlv(0x87, &[])]), "has 0 bytes, not 4 or 16"),
        (
            "other name that is an integer",
            asking(&[&other(&[2, 1, 5])]),
            "other SAN 1.3.6.1.4.1.311.20.2.3 of the CSR is not a UTF8String",
        ),
        ("other name that is no UTF-8", asking(&[&other(&tlv(0x0c, &[0xff]))]), "1.3.6.1.4.1.311.20.2.3"),
        ("a kind of name that is none", asking(&[&tlv(0x8f, b"x")]), UNPARSED),
        ("1001 names", asking(&many), "1001 names were asked for; the limit is 1000"),
    ];
    all_refused(&mount().await, &cases).await;
}

/// What the requester wrote into the subject counts for nothing where the role decides, and has to be sound where it is
/// taken over.
#[tokio::test]
async fn subjects_taken_over_byte_for_byte_must_be_sound() {
    let mount = mount().await;
    let before = known(&mount).await;
    let subject = |kind: &str, tag: u8, text: &[u8]| Forged { subject: name(kind, tag, text), ..Forged::new() }.sign();
    for (label, der, text) in [
        ("NUL", subject("2.5.4.3", 0x0c, b"a\0.example.com"), "has the character U+0000"),
        (
            "line feed",
            subject("2.5.4.10", 0x0c, b"Org\nCN=x"),
            "attribute 2.5.4.10 \"Org\\nCN=x\" has the character U+000A",
        ),
        ("override", subject("2.5.4.3", 0x0c, "\u{202e}moc".as_bytes()), "has the character U+202E"),
        ("a text of no class", subject("2.5.4.3", 0x8c, b"a"), "is not a text of a string type"),
        ("TeletexString", subject("2.5.4.3", 0x14, b"a"), "is not a text of a string type"),
        ("UniversalString", subject("2.5.4.3", 0x1c, b"\0\0\0a"), UNPARSED),
        ("PrintableString with a star", subject("2.5.4.3", 0x13, b"*.example.com"), "is not a text of a string type"),
        ("UTF-8 that is none", subject("2.5.4.3", 0x0c, &[0xc3]), "is not a text of a string type"),
        ("no text", subject("2.5.4.3", 0x0c, b""), "attribute 2.5.4.3 is empty"),
        ("65 characters", subject("2.5.4.3", 0x0c, &[b'x'; 65]), "has 65 characters, more than 64"),
        ("country of three", subject("2.5.4.6", 0x13, b"USA"), "has 3 characters, more than 2"),
        ("country of digits", subject("2.5.4.6", 0x13, b"12"), "\"12\" has not two letters"),
        (
            "email that is no SAN",
            subject("1.2.840.113549.1.9.1", 0x16, b"a@b.c"),
            "email address \"a@b.c\" does not stand",
        ),
    ] {
        let reply = mount.write("sign-verbatim", json!({"csr": pem(&der)})).await;
        assert_eq!(reply.status, 400, "{label}: {reply:?}");
        assert!(reply.error.contains(text), "{label}: {:?} does not say {text:?}", reply.error);
    }
    assert_eq!(known(&mount).await, before);
}

#[tokio::test]
async fn extensions_taken_over_must_fit_a_leaf() {
    let mount = mount().await;
    let before = known(&mount).await;
    for (kind, critical, value, text) in [
        ("2.5.29.15", true, vec![3, 2, 2, 4], "a leaf must not hold keyCertSign"),
        ("2.5.29.15", true, vec![3, 2, 1, 6], "a leaf must not hold keyCertSign or cRLSign"),
        ("2.5.29.15", true, vec![3, 2, 0, 0x80], "is not the DER of its content"),
        ("2.5.29.15", true, vec![3, 1, 0], "has no bit"),
        ("2.5.29.15", true, vec![3, 2, 5, 0x20], "an EC key cannot encipher"),
        ("2.5.29.37", false, vec![0x30, 0], "has no purpose"),
        ("2.5.29.33", true, vec![0x30, 10, 0x30, 8, 6, 2, 0x2a, 3, 6, 2, 0x2a, 4], "policy mappings belong in CA"),
        ("2.5.29.36", true, vec![0x30, 3, 0x80, 1, 0], "policy constraints belong in CA"),
        ("2.5.29.54", true, vec![2, 1, 0], "inhibitAnyPolicy belongs in CA"),
        ("1.3.6.1.4.1.11129.2.4.3", true, vec![5, 0], "the poison of RFC 6962"),
        ("2.5.29.32", false, vec![0x30, 8, 0x30, 2, 6, 0, 0x30, 2, 6, 0], "2.5.29.32"),
        ("1.2.3.4", false, vec![], "1.2.3.4 is empty"),
    ] {
        let csr = pem(&Forged::asking(&[&extension(kind, critical, &value)]).sign());
        let reply = mount.write("sign-verbatim", json!({"csr": csr})).await;
        assert_eq!(reply.status, 400, "{kind}: {reply:?}");
        assert!(reply.error.contains(text), "{kind} {value:?}: {:?} does not say {text:?}", reply.error);
    }
    assert_eq!(known(&mount).await, before);
}

/// A role's certificate never says what the request's extensions say, whatever they are.
#[tokio::test]
async fn foreign_extensions_do_not_get_into_a_roles_certificate() {
    let (mount, openssl) = (mount().await, Openssl::new());
    let names = alternative_names(&[&dns(b"a.example.com")]);
    let foreign = [
        extension("2.5.29.19", true, &[0x30, 6, 1, 1, 0xff, 2, 1, 9]),
        extension("2.5.29.15", true, &[3, 2, 1, 6]),
        extension("2.5.29.30", true, &sequence(&[&tlv(0xa0, &sequence(&[&dns(b"com")]))])),
        extension("2.5.29.14", false, &tlv(4, &[7; 20])),
        extension("2.5.29.35", false, &sequence(&[&tlv(0x80, &[7; 20])])),
        extension("1.3.6.1.5.5.7.48.1.5", false, &[5, 0]),
        extension("1.3.6.1.4.1.311.21.10", false, &[0x30, 0]),
        extension("1.3.6.1.4.1.311.25.2", false, &sequence(&[&tlv(4, b"S-1-5-21-1-2-3-500")])),
        extension("2.5.29.37", false, &sequence(&[&oid("1.3.6.1.5.5.7.3.9"), &oid("2.5.29.37.0")])),
        extension("1.2.3.4.5", true, &[5, 0]),
    ];
    let mut extensions: Vec<&[u8]> = foreign.iter().map(Vec::as_slice).collect();
    extensions.push(&names);
    let csr = pem(&Forged::asking(&extensions).sign());
    let shown = openssl.show(&mount.write("sign/r", json!({"csr": csr})).await.text("certificate"));
    let plain = pem(&Forged::asking(&[&names]).sign());
    let honest = openssl.show(&mount.write("sign/r", json!({"csr": plain})).await.text("certificate"));
    let headings = |text: &str| -> Vec<String> {
        let (_, extensions) = text.split_once("X509v3 extensions:").unwrap();
        let (extensions, _) = extensions.split_once("Signature Algorithm:").unwrap();
        extensions.lines().filter(|line| line.trim_end().ends_with([':', 'l'])).map(str::to_owned).collect()
    };
    assert_eq!(headings(&shown), headings(&honest));
    assert!(!shown.contains("CA:TRUE") && !shown.contains("OCSP Signing") && !shown.contains("07:07:07"), "{shown}");
}

/// The common name of a CSR and its SAN are judged as those of the fields are; which of several counts, too.
#[tokio::test]
async fn several_common_names_give_no_second_chance() {
    let mount = mount().await;
    let attribute = |text: &str| set(&[&sequence(&[&oid("2.5.4.3"), &tlv(0x0c, text.as_bytes())])]);
    let subject = |first: &str, second: &str| sequence(&[&attribute(first), &attribute(second)]);
    let forged = |subject: Vec<u8>| pem(&Forged { subject, ..Forged::new() }.sign());
    let csr = forged(subject("a.example.com", "evil.com"));
    mount.write("sign/r", json!({"csr": csr})).await.refused("common name evil.com not allowed by this role");
    // Only the one that was judged gets into the certificate.
    let csr = forged(subject("evil.com", "a.example.com"));
    let openssl = Openssl::new();
    let shown = openssl.show(&mount.write("sign/r", json!({"csr": csr})).await.text("certificate"));
    assert!(!shown.contains("evil.com"), "{shown}");
    // A text that only some readers understand is no name.
    let wide: Vec<u8> = "evil.com".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let csr = pem(&Forged { subject: name("2.5.4.3", 0x1e, &wide), ..Forged::new() }.sign());
    let reply = mount.write("sign/r", json!({"csr": csr})).await;
    assert_eq!(reply.status, 400, "{reply:?}");
}
