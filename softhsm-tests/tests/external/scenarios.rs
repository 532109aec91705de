//! What must hold of registered keys on a real token.

use crate::{Bench, OPERATOR, OPERATOR_PIN, Outcome, token::LABEL};
use chancery_hsm::{HashAlgorithm, SaltLength, SignInput, SignScheme, verify};
use serde_json::{Value, json};
use std::{future::Future, pin::Pin};

type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;
type Scenario = (&'static str, for<'a> fn(&'a Bench) -> Running<'a>);

pub(crate) const ALL: [Scenario; 9] = [
    ("a wrong PIN is tried once and told", |b| Box::pin(wrong_pin(b))),
    ("a PIN counts although the process is logged in already", |b| Box::pin(second_pin(b))),
    ("keys of the operator are registered by label and by id", |b| Box::pin(register(b))),
    ("every kind of key does what it can, and what it cannot is named", |b| Box::pin(operations(b))),
    ("signatures verify outside under the public key that is shown", |b| Box::pin(signatures(b))),
    ("a version may point elsewhere than the one before", |b| Box::pin(rotation(b))),
    ("a lost token comes back by itself", |b| Box::pin(lost_token(b))),
    ("a managed key is generated once and never in place of a lost one", |b| Box::pin(generated(b))),
    ("a deleted configuration lets the token go", |b| Box::pin(deleted(b))),
];

const CONFIG: &str = "sys/external-keys/configs/op";
const TEXT: &str = "aGVsbG8=";

async fn wrong_pin(bench: &Bench) -> Outcome {
    let client = &bench.client;
    let config = json!({"plugin": "pkcs11", "lib": "operator", "token_label": OPERATOR, "pin": "not-the-pin"});
    let text = client.refused("POST", CONFIG, config.clone()).await?;
    ensure(text.contains("CKR_PIN_INCORRECT") && !text.contains("not-the-pin"), &text)?;
    // Kept without being tried, the PIN is sent at the first use and never again.
    let mut unverified = config;
    unverified["verify"] = json!(false);
    client.ok("POST", CONFIG, unverified).await?;
    let logins = bench.shim.count("C_Login");
    for _ in 0..3 {
        let text = client.refused("POST", &format!("{CONFIG}/keys/rsa"), json!({"label": "rsa"})).await?;
        ensure(text.contains("CKR_PIN_INCORRECT"), &text)?;
    }
    let tried = bench.shim.count("C_Login") - logins;
    ensure(tried == 1, &format!("the PIN was sent {tried} times"))
}

/// Logged in once, a process is logged in: a module then takes any PIN for the right one.
async fn second_pin(bench: &Bench) -> Outcome {
    let client = &bench.client;
    let config =
        |label: &str, pin: &str| json!({"plugin": "pkcs11", "lib": "operator", "token_label": label, "pin": pin});
    client.ok("POST", CONFIG, config(OPERATOR, OPERATOR_PIN)).await?;
    let other = "sys/external-keys/configs/other";
    let text = client.refused("POST", other, config(OPERATOR, "not-the-pin")).await?;
    ensure(text.contains("another pin"), &text)?;
    let text = client.refused("POST", other, config(LABEL, "not-the-pin")).await?;
    ensure(text.contains("own token"), &text)?;
    client.ok("POST", other, config(OPERATOR, OPERATOR_PIN)).await?;
    client.ok("DELETE", other, Value::Null).await.map(drop)
}

async fn register(bench: &Bench) -> Outcome {
    let client = &bench.client;
    for (name, parameters) in [
        ("rsa", json!({"label": "rsa", "rsa_oaep_hash": "sha1"})),
        ("p256", json!({"id": "02"})),
        ("p384", json!({"id": "03", "label": "p384", "mechanism": "CKM_ECDSA"})),
        ("ed25519", json!({"label": "ed25519", "mechanism": "0x1057"})),
        ("aes", json!({"id": "0x05"})),
        ("mac", json!({"label": "mac"})),
    ] {
        client.ok("POST", &format!("{CONFIG}/keys/{name}"), parameters).await?;
        client.ok("POST", &format!("{CONFIG}/keys/{name}/grants/transit"), json!({})).await?;
        let key = json!({"type": "external-key", "external_key_ref": format!("op:{name}")});
        let made = client.ok("POST", &format!("transit/keys/{name}"), key).await?;
        ensure(made["keys"]["1"] == format!("op:{name}").as_str(), &made.to_string())?;
        ensure(made["protection"] == "hsm", &made.to_string())?;
    }
    for (parameters, expected) in [
        (json!({"label": "nobody"}), "was not found"),
        (json!({"label": "rsa", "mechanism": "CKM_ECDSA"}), "does not fit"),
    ] {
        let text = client.refused("POST", &format!("{CONFIG}/keys/wrong"), parameters).await?;
        ensure(text.contains(expected), &text)?;
    }
    Ok(())
}

async fn operations(bench: &Bench) -> Outcome {
    let client = &bench.client;
    for key in ["aes", "rsa"] {
        for body in [json!({"plaintext": TEXT}), json!({"batch_input": [{"plaintext": TEXT}, {"plaintext": ""}]})] {
            let sealed = client.ok("POST", &format!("transit/encrypt/{key}"), body.clone()).await?;
            let (sealed, batch) = match sealed.get("batch_results") {
                Some(results) => (json!({"batch_input": results}), true),
                None => (json!({"ciphertext": sealed["ciphertext"]}), false),
            };
            let opened = client.ok("POST", &format!("transit/decrypt/{key}"), sealed.clone()).await?;
            let plaintext = if batch { &opened["batch_results"][0]["plaintext"] } else { &opened["plaintext"] };
            ensure(plaintext == TEXT, &format!("{key}: {opened}"))?;
            let rewrapped = client.ok("POST", &format!("transit/rewrap/{key}"), sealed).await?;
            ensure(rewrapped.to_string().contains("vault:v1:"), &rewrapped.to_string())?;
        }
        let made = client.ok("POST", &format!("transit/datakey/plaintext/{key}"), json!({})).await?;
        let opened =
            client.ok("POST", &format!("transit/decrypt/{key}"), json!({"ciphertext": made["ciphertext"]})).await?;
        ensure(opened["plaintext"] == made["plaintext"], key)?;
        let text =
            client.refused("POST", &format!("transit/decrypt/{key}"), json!({"ciphertext": "vault:v1:AAAA"})).await;
        text?;
    }
    let with_data = json!({"plaintext": TEXT, "associated_data": "YWFk"});
    let sealed = client.ok("POST", "transit/encrypt/aes", with_data).await?;
    let (ciphertext, data) = (&sealed["ciphertext"], "YWFk");
    client.ok("POST", "transit/decrypt/aes", json!({"ciphertext": ciphertext, "associated_data": data})).await?;
    client.refused("POST", "transit/decrypt/aes", json!({"ciphertext": ciphertext})).await?;
    for key in ["rsa", "p256", "p384", "ed25519"] {
        let signed = client.ok("POST", &format!("transit/sign/{key}"), json!({"input": TEXT})).await?;
        let path = format!("transit/verify/{key}");
        let good = client.ok("POST", &path, json!({"input": TEXT, "signature": signed["signature"]})).await?;
        ensure(good["valid"] == true, key)?;
        let bad = client.ok("POST", &path, json!({"input": "Ynll", "signature": signed["signature"]})).await?;
        ensure(bad["valid"] == false, key)?;
        let batch = json!({"batch_input": [{"input": TEXT}, {"input": "Ynll"}]});
        let signed = client.ok("POST", &format!("transit/sign/{key}"), batch).await?;
        ensure(signed["batch_results"][1]["signature"].is_string(), &signed.to_string())?;
    }
    for (path, body) in [
        ("transit/encrypt/p256", json!({"plaintext": TEXT})),
        ("transit/sign/aes", json!({"input": TEXT})),
        ("transit/encrypt/mac", json!({"plaintext": TEXT})),
    ] {
        client.refused("POST", path, body).await?;
    }
    for key in ["aes", "rsa", "mac"] {
        let made = client.ok("POST", &format!("transit/hmac/{key}"), json!({"input": TEXT})).await?;
        let path = format!("transit/verify/{key}");
        let good = client.ok("POST", &path, json!({"input": TEXT, "hmac": made["hmac"]})).await?;
        ensure(good["valid"] == true, key)?;
    }
    for path in ["transit/export/encryption-key/aes", "transit/export/signing-key/p256", "transit/export/hmac-key/aes"]
    {
        let (status, answer) = client.call("GET", path, Value::Null).await;
        ensure(status == 400, &format!("{path}: {status} {answer}"))?;
    }
    Ok(())
}

async fn signatures(bench: &Bench) -> Outcome {
    let client = &bench.client;
    let sha256 = HashAlgorithm::Sha256;
    for (key, body, scheme) in [
        ("p256", json!({"input": TEXT}), SignScheme::Ecdsa(sha256)),
        ("p384", json!({"input": TEXT, "hash_algorithm": "sha2-384"}), SignScheme::Ecdsa(HashAlgorithm::Sha384)),
        ("ed25519", json!({"input": TEXT}), SignScheme::Ed25519),
        ("rsa", json!({"input": TEXT, "signature_algorithm": "pkcs1v15"}), SignScheme::RsaPkcs1(sha256)),
        ("rsa", json!({"input": TEXT}), SignScheme::RsaPss { hash: sha256, salt: SaltLength::Auto }),
    ] {
        let shown = client.ok("GET", &format!("transit/keys/{key}"), Value::Null).await?;
        let pem = shown["public_keys"]["1"].as_str().ok_or_else(|| format!("{key} shows no public key: {shown}"))?;
        let public_key = from_pem(pem)?;
        let signed = client.ok("POST", &format!("transit/sign/{key}"), body).await?;
        let signature = signed["signature"].as_str().and_then(|text| text.rsplit(':').next()).unwrap_or_default();
        let signature = from_base64(signature)?;
        let input = SignInput::Message(b"hello".to_vec());
        let genuine = verify(&public_key, scheme, &input, &signature).map_err(|error| format!("{key}: {error}"))?;
        ensure(genuine, &format!("{key} with {scheme}"))?;
    }
    Ok(())
}

async fn rotation(bench: &Bench) -> Outcome {
    let client = &bench.client;
    let text = client.refused("POST", "transit/keys/aes/rotate", json!({})).await?;
    ensure(text == "must provide external_key_ref to rotate policy of type external-key", &text)?;
    let sealed = client.ok("POST", "transit/encrypt/aes", json!({"plaintext": TEXT})).await?;
    let rotated = client.ok("POST", "transit/keys/aes/rotate", json!({"external_key_ref": "op:rsa"})).await?;
    ensure(rotated["keys"] == json!({"1": "op:aes", "2": "op:rsa"}), &rotated.to_string())?;
    let ciphertext = json!({"ciphertext": sealed["ciphertext"]});
    let rewrapped = client.ok("POST", "transit/rewrap/aes", ciphertext.clone()).await?;
    ensure(rewrapped["key_version"] == 2, &rewrapped.to_string())?;
    for old_or_new in [ciphertext, json!({"ciphertext": rewrapped["ciphertext"]})] {
        let opened = client.ok("POST", "transit/decrypt/aes", old_or_new).await?;
        ensure(opened["plaintext"] == TEXT, &opened.to_string())?;
    }
    Ok(())
}

async fn lost_token(bench: &Bench) -> Outcome {
    let client = &bench.client;
    for (call, code) in [("C_Sign", 0x30), ("C_SignInit", 0xB3), ("C_SignInit", 0x101), ("C_SignInit", 0x82)] {
        bench.shim.fail(call, code, 1);
        client.ok("POST", "transit/sign/p256", json!({"input": TEXT})).await.map_err(|e| format!("{code:#x}: {e}"))?;
    }
    Ok(())
}

async fn generated(bench: &Bench) -> Outcome {
    let client = &bench.client;
    let at = "sys/managed-keys/pkcs11/made";
    let order = json!({"library": "operator", "token_label": OPERATOR, "pin": OPERATOR_PIN, "key_label": "made",
        "mechanism": "0x1041", "curve": "P256", "allow_generate_key": "true"});
    client.ok("POST", at, order).await?;
    let made = bench.shim.count("C_GenerateKeyPair");
    client.ok("POST", &format!("{at}/test/sign"), json!({})).await?;
    client.ok("POST", &format!("{at}/test/sign"), json!({})).await?;
    let generated = bench.shim.count("C_GenerateKeyPair");
    // Opening the token tries out what it can do, on throw-away keys; so only one more than a second opening is ours.
    ensure(generated > made, "nothing was made")?;
    client.ok("POST", at, json!({"allow_generate_key": "true"})).await?;
    crate::delete_object("made")?;
    let (status, answer) = client.call("POST", &format!("{at}/test/sign"), json!({})).await;
    ensure(status == 500, &format!("a lost key is not replaced: {status} {answer}"))
}

async fn deleted(bench: &Bench) -> Outcome {
    let client = &bench.client;
    client.ok("DELETE", CONFIG, Value::Null).await?;
    let text = client.refused("POST", "transit/sign/p256", json!({"input": TEXT})).await?;
    ensure(text.contains("key \"op:p256\" does not exist"), &text)
}

fn ensure(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn from_pem(pem: &str) -> Result<Vec<u8>, String> {
    from_base64(&pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>())
}

fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).map_err(|error| error.to_string())
}
