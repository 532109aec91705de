//! `sign/:role`, `issue/:role`: what gets into a certificate, and what never does.

use crate::harness::{Mount, NOW, Pair, signer};
use chancery_hsm::KeyAlgorithm;
use chancery_ssh_ca::public_key::SshPublicKey;
use serde_json::{Value, json};
use ssh_key::{certificate::CertType, encoding::Encode};

#[tokio::test]
async fn a_certificate_says_what_was_asked_and_is_recorded_before_it_is_held() {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    let reply = mount.sign("user", &key, json!({"valid_principals": "mitch,kate", "ttl": "5m"})).await;
    assert_eq!(reply.data["serial_number"], "1");
    let line = reply.data["signed_key"].as_str().unwrap().to_owned();
    assert!(line.starts_with("ssh-ed25519-cert-v01@openssh.com ") && line.ends_with('\n'));
    let certificate = reply.certificate();
    assert_eq!(certificate.cert_type(), CertType::User);
    assert_eq!(certificate.valid_principals(), ["mitch", "kate"]);
    assert_eq!(certificate.key_id(), format!("vault-root-{}", key.public.hex_hash()));
    assert_eq!(i64::try_from(certificate.valid_after()).unwrap(), NOW - 30);
    assert_eq!(i64::try_from(certificate.valid_before()).unwrap(), NOW + 300);
    assert_eq!(certificate.public_key().encode_vec().unwrap(), key.public.blob());
    let recorded = mount.read("certificate/1").await.ok();
    assert_eq!(recorded["signed_key"], line);
    assert_eq!(
        (&recorded["role"], &recorded["requester"], &recorded["state"]),
        (&json!("user"), &json!("root"), &json!("valid"))
    );
}

#[tokio::test]
async fn serial_numbers_rise_over_issuers_and_restarts() {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    let body = json!({"valid_principals": "x"});
    assert_eq!(mount.sign("user", &key, body.clone()).await.text("serial_number"), "1");
    mount.write("config/ca", json!({"key_type": "ed25519"})).await.ok();
    assert_eq!(mount.sign("user", &key, body.clone()).await.text("serial_number"), "2");
    let again = Mount::beside(mount.store.clone(), mount.hsm.clone(), "1");
    let after = again.sign("user", &key, body).await.text("serial_number");
    assert!(u64::from_str_radix(&after, 16).unwrap() > 2, "{after}");
}

#[tokio::test]
async fn every_kind_of_ca_signs_every_kind_of_key() {
    let mount = Mount::ready().await;
    let subjects: Vec<Pair> = [
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::EcP256,
        KeyAlgorithm::EcP384,
        KeyAlgorithm::EcP521,
        KeyAlgorithm::Rsa2048,
    ]
    .map(Pair::of)
    .into();
    for (kind, bits) in [("ec", 256), ("ec", 384), ("ec", 521), ("ed25519", 0), ("rsa", 2048)] {
        let ca = mount.write("config/ca", json!({"key_type": kind, "key_bits": bits})).await.text("public_key");
        for subject in &subjects {
            let signed = mount.sign("user", subject, json!({"valid_principals": "x"})).await.certificate();
            assert_eq!(signer(&signed), SshPublicKey::parse(&ca).unwrap().blob());
        }
    }
    for (signer, name) in [("default", "rsa-sha2-256"), ("rsa-sha2-512", "rsa-sha2-512")] {
        mount
            .role("rsa", json!({"allow_user_certificates": true, "allowed_users": "*", "algorithm_signer": signer}))
            .await;
        let signed = mount.sign("rsa", &subjects[0], json!({"valid_principals": "x"})).await.certificate();
        assert_eq!(signed.signature().algorithm().as_str(), name);
    }
    mount.write("config/ca", json!({"key_type": "ec"})).await.ok();
    mount
        .sign("rsa", &subjects[0], json!({"valid_principals": "x"}))
        .await
        .refused_for(400, "unsupported signature algorithm");
}

#[tokio::test]
async fn hostile_public_keys_are_refused_and_nothing_is_signed() {
    let mount = Mount::ready().await;
    let (ed, ec) = (Pair::ed25519(), Pair::of(KeyAlgorithm::EcP256));
    let base64 = |blob: &[u8]| data_encoding::BASE64.encode(blob);
    let certificate = mount.sign("user", &ed, json!({"valid_principals": "x"})).await.text("signed_key");
    let mut off_curve = ec.public.blob().to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    let with_tail = [ed.public.blob(), b"x"].concat();
    for (key, why) in [
        (String::new(), "missing public_key"),
        ("zork".to_owned(), "failed to parse public_key as SSH key"),
        ("ssh-ed25519 AAAA".to_owned(), "short read"),
        (format!("ssh-ed25519 {}", base64(ec.public.blob())), "the line says ssh-ed25519"),
        (format!("ssh-ed25519 {}", base64(&with_tail)), "trailing junk"),
        (format!("ecdsa-sha2-nistp256 {}", base64(&off_curve)), "invalid curve point"),
        (certificate, "certificate, not a public key"),
        (format!("{}\n{}", ed.line(), ec.line()), "more than one line"),
        (format!("command=\"sh\" {}", ed.line()), "failed to parse"),
        ("ssh-dss AAAAB3NzaC1kc3MAAAAA".to_owned(), "failed to parse"),
    ] {
        let body = json!({"public_key": key, "valid_principals": "x"});
        mount.write("sign/user", body).await.refused_for(400, why);
    }
    assert_eq!(mount.list("certificates", json!({})).await.ok()["keys"], json!(["1"]));
}

#[tokio::test]
async fn what_the_role_does_not_allow_is_refused_in_openbaos_words() {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    let role = json!({
        "allow_user_certificates": true, "allowed_users": "a,b", "default_user": "a", "max_ttl": "1h",
        "allowed_extensions": "permit-pty", "allowed_critical_options": "force-command",
    });
    mount.role("r", role).await;
    for (members, text) in [
        (json!({"valid_principals": "c"}), "c is not a valid value for valid_principals"),
        (json!({"cert_type": "host"}), "cert_type 'host' is not allowed by role"),
        (json!({"cert_type": "zork"}), "cert_type must be either 'user' or 'host'"),
        (json!({"ttl": "2h"}), "ttl is larger than maximum allowed 3600"),
        (json!({"ttl": 0}), "ttl must be greater than zero"),
        (json!({"ttl": "0s"}), "ttl must be greater than zero"),
        (
            json!({"ttl": -1}),
            "Field validation failed: error converting input for field \"ttl\": cannot provide negative value '-1'",
        ),
        (json!({"key_id": "mine"}), "setting key_id is not allowed by role"),
        (
            json!({"extensions": {"permit-X11-forwarding": "", "x": ""}}),
            "extensions [permit-X11-forwarding x] are not on allowed list",
        ),
        (json!({"critical_options": {"b": "", "a": ""}}), "critical options not on allowed list: [a b]"),
    ] {
        mount.sign("r", &key, members).await.refused(text);
    }
    mount.write("sign/nope", json!({"public_key": key.line()})).await.refused("Unknown role: nope");
    mount.sign("r", &key, json!({"extensions": "permit-pty"})).await.refused_for(400, "Field validation failed");
    assert_eq!(mount.list("certificates", json!({})).await.status, 404, "nothing was signed");
}

#[tokio::test]
async fn principals_and_options_of_every_hostile_kind_are_refused() {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    mount.role("any", json!({"allow_user_certificates": true, "allowed_users": "*", "allowed_extensions": "*"})).await;
    for hostile in ["a b", "*", "a*", "a?", "!root", "a\nroot", "a\u{0}b", "a\tb", "\u{200b}root"] {
        mount.sign("any", &key, json!({"valid_principals": hostile})).await.refused_for(400, "valid_principals");
    }
    // CVE-2026-35414: a comma separates, it is never part of a principal.
    let split = mount.sign("any", &key, json!({"valid_principals": "deploy,root"})).await.certificate();
    assert_eq!(split.valid_principals(), ["deploy", "root"]);
    for (members, why) in [
        (json!({"critical_options": {"zork": "x"}}), "is not known to OpenSSH"),
        (json!({"critical_options": {"force-command": "a\nb"}}), "control characters"),
        (json!({"critical_options": {"force-command": ""}}), "needs a command"),
        (json!({"critical_options": {"source-address": "*"}}), "neither an address nor a network"),
        (json!({"extensions": {"permit-pty": "x"}}), "takes no value"),
        (json!({"extensions": {"a b": ""}}), "is not a name"),
        (json!({"extensions": {"x@y": "a\u{0}"}}), "control characters"),
    ] {
        let mut body = json!({"valid_principals": "x"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        mount.sign("any", &key, body).await.refused_for(400, why);
    }
}

#[tokio::test]
async fn cve_2024_7594_nobody_gets_a_certificate_for_everybody() {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    for body in [json!({}), json!({"valid_principals": ""}), json!({"valid_principals": " , "})] {
        mount.sign("user", &key, body.clone()).await.refused_for(400, "refusing to issue unsafe");
        mount.sign("host", &key, json!({"cert_type": "host"})).await.refused_for(400, "refusing to issue unsafe");
    }
    mount.role("empty", json!({"allow_user_certificates": true, "allow_empty_principals": true})).await;
    assert!(mount.sign("empty", &key, json!({})).await.certificate().valid_principals().is_empty());
}

#[tokio::test]
async fn defaults_options_and_key_ids_reach_the_certificate() {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    let role = json!({
        "allow_user_certificates": true, "default_user": "ubuntu", "allowed_users": "ubuntu",
        "default_extensions": {"permit-pty": "", "permit-agent-forwarding": ""},
        "default_critical_options": {"source-address": "10.0.0.0/8"}, "allow_user_key_ids": true,
        "allowed_extensions": "*", "key_id_format": "{{role_name}}-{{token_display_name}}-{{public_key_hash}}-{{zork}}",
    });
    mount.role("d", role).await;
    let certificate = mount.sign("d", &key, json!({})).await.certificate();
    assert_eq!(certificate.valid_principals(), ["ubuntu"]);
    assert_eq!(certificate.key_id(), format!("d-root-{}-{{{{zork}}}}", key.public.hex_hash()));
    let names: Vec<&String> = certificate.extensions().keys().collect();
    assert_eq!(names, ["permit-agent-forwarding", "permit-pty"]);
    assert_eq!(certificate.critical_options().get("source-address").unwrap(), "10.0.0.0/8");
    let body = json!({"key_id": "mine", "extensions": {"login@example.com": "m"}, "critical_options": {"force-command": "/bin/true"}});
    let certificate = mount.sign("d", &key, body).await.certificate();
    assert_eq!(certificate.key_id(), "mine");
    assert_eq!(certificate.extensions().get("login@example.com").unwrap(), "m");
    assert_eq!(certificate.critical_options().len(), 1);
    mount.sign("d", &key, json!({"key_id": "a\nb"})).await.refused_for(400, "key_id");
}

#[tokio::test]
async fn hosts_get_names_and_no_options() {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    let host = |more: Value| {
        let mut body = json!({"cert_type": "host", "valid_principals": "a.example.com"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let certificate = mount.sign("host", &key, host(json!({}))).await.certificate();
    assert_eq!((certificate.cert_type(), certificate.extensions().len()), (CertType::Host, 0));
    mount.sign("host", &key, host(json!({"valid_principals": "*.example.com"}))).await.ok();
    for (more, why) in [
        (json!({"valid_principals": "example.com"}), "not a valid value"),
        (json!({"valid_principals": "a.example.com.evil.org"}), "not a valid value"),
        (json!({"valid_principals": "*"}), "not a valid value"),
        (json!({"critical_options": {"force-command": "x"}}), "for user certificates only"),
        (json!({"extensions": {"permit-pty": ""}}), "not on allowed list"),
    ] {
        mount.sign("host", &key, host(more)).await.refused_for(400, why);
    }
}

#[tokio::test]
async fn keys_are_judged_by_type_and_length() {
    let mount = Mount::ready().await;
    let sk = {
        let point = &Pair::ed25519().public.blob()[19..].to_vec();
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let blob = [string(b"sk-ssh-ed25519@openssh.com"), string(point), string(b"ssh:")].concat();
        format!("sk-ssh-ed25519@openssh.com {}", data_encoding::BASE64.encode(&blob))
    };
    let keys = [
        ("ed25519", Pair::ed25519().line()),
        ("p256", Pair::of(KeyAlgorithm::EcP256).line()),
        ("rsa2048", Pair::of(KeyAlgorithm::Rsa2048).line()),
        ("sk", sk),
    ];
    let invalid = "public_key failed to meet the key requirements: ";
    for (policy, allowed) in [
        (json!({}), "ed25519 p256 rsa2048 sk"),
        (json!({"allowed_user_key_lengths": {"rsa": 4096}}), ""),
        (json!({"allowed_user_key_lengths": {"rsa": [2048, 4096], "ec": 384}}), "rsa2048"),
        (json!({"allowed_user_key_lengths": {"ecdsa-sha2-nistp256": 0, "ssh-ed25519": 7}}), "ed25519 p256"),
        (json!({"allowed_user_key_lengths": {"sk-ssh-ed25519@openssh.com": 0}}), "sk"),
        (json!({"security_keys": "require"}), "sk"),
        (json!({"security_keys": "refuse"}), "ed25519 p256 rsa2048"),
    ] {
        let mut role = json!({"allow_user_certificates": true, "allowed_users": "*"});
        role.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
        mount.role("k", role).await;
        for (name, line) in &keys {
            let reply = mount.write("sign/k", json!({"public_key": line, "valid_principals": "x"})).await;
            let is_allowed = allowed.split(' ').any(|allowed| allowed == *name);
            assert_eq!(reply.status == 200, is_allowed, "{policy} {name}: {reply:?}");
            assert!(is_allowed || reply.error.starts_with(invalid), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn issue_hands_out_a_key_pair_once() {
    let mount = Mount::ready().await;
    for (kind, bits, label) in
        [("rsa", 0, "RSA PRIVATE KEY"), ("ec", 384, "EC PRIVATE KEY"), ("ed25519", 0, "OPENSSH PRIVATE KEY")]
    {
        let made =
            mount.write("issue/user", json!({"key_type": kind, "key_bits": bits, "valid_principals": "x"})).await.ok();
        assert_eq!(made["private_key_type"], kind);
        assert!(made["private_key"].as_str().unwrap().starts_with(&format!("-----BEGIN {label}-----\n")));
    }
    let bad = mount.write("issue/user", json!({"key_type": "zork", "valid_principals": "x"})).await;
    bad.refused("unknown ssh key pair algorithm: zork");
    let bad = mount.write("issue/user", json!({"key_bits": 1024, "valid_principals": "x"})).await;
    bad.refused("refusing to generate weak rsa key: 1024 bits < 2048 bits");
}
