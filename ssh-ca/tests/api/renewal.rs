//! A host renews its certificate with the key it has.

use crate::harness::{Mount, Pair};
use serde_json::{Value, json};

const NAMESPACE: &str = "host-renewal@chancery";

struct Host {
    mount: Mount,
    key: Pair,
    certificate: String,
}

async fn host() -> Host {
    let mount = Mount::ready().await;
    let key = Pair::ed25519();
    let body = json!({"cert_type": "host", "valid_principals": "a.example.com,b.example.com"});
    let certificate = mount.sign("host", &key, body).await.text("signed_key");
    Host { mount, key, certificate }
}

impl Host {
    async fn nonce(&self) -> String {
        let answer = self.mount.read("host/nonce").await.ok();
        assert_eq!(answer["namespace"], NAMESPACE);
        answer["nonce"].as_str().unwrap().to_owned()
    }

    /// A request that is good, signed by `signer` for `key`.
    fn request(&self, nonce: &str, signer: &Pair, key: &Pair) -> Value {
        let message = format!("chancery-host-renewal-v1\n{nonce}\n{}\n", key.public.fingerprint());
        json!({
            "certificate": self.certificate, "nonce": nonce, "public_key": key.line(),
            "signature": signer.proof(NAMESPACE, &message),
        })
    }

    async fn renew(&self) -> crate::harness::Reply {
        let nonce = self.nonce().await;
        self.mount.write("host/renew", self.request(&nonce, &self.key, &self.key)).await
    }
}

#[tokio::test]
async fn a_host_renews_with_its_key_and_keeps_its_names() {
    let host = host().await;
    host.mount.clock.advance(3600);
    let renewed = host.renew().await.certificate();
    assert_eq!(renewed.valid_principals(), ["a.example.com", "b.example.com"]);
    assert_eq!(renewed.serial(), 2);
    let row = host.mount.read("certificate/2").await.ok();
    assert_eq!(row["requester"], "renewal of 1");
    assert_eq!(row["key_id"], host.mount.read("certificate/1").await.ok()["key_id"]);
    // To another key, signed for by the old one.
    let next = Pair::of(chancery_hsm::KeyAlgorithm::EcP256);
    let nonce = host.nonce().await;
    let rekeyed = host.mount.write("host/renew", host.request(&nonce, &host.key, &next)).await.certificate();
    assert_eq!(ssh_key::encoding::Encode::encode_vec(rekeyed.public_key()).unwrap(), next.public.blob());
}

#[tokio::test]
async fn only_the_holder_of_the_key_renews() {
    let host = host().await;
    let (nonce, stranger) = (host.nonce().await, Pair::ed25519());
    let refuse = async |body: Value, why: &str| host.mount.write("host/renew", body).await.refused_for(403, why);
    refuse(host.request(&nonce, &stranger, &stranger), "does not prove").await;
    // Signed for another key, for another nonce, for another purpose.
    let mut swapped = host.request(&nonce, &host.key, &host.key);
    swapped["public_key"] = json!(stranger.line());
    refuse(swapped, "does not prove").await;
    let mut other_nonce = host.request(&nonce, &host.key, &host.key);
    other_nonce["nonce"] = json!(host.nonce().await);
    refuse(other_nonce, "does not prove").await;
    let mut other_purpose = host.request(&nonce, &host.key, &host.key);
    let message = format!("chancery-host-renewal-v1\n{nonce}\n{}\n", host.key.public.fingerprint());
    other_purpose["signature"] = json!(host.key.proof("git", &message));
    refuse(other_purpose, "does not prove").await;
    for (member, value, why) in [
        ("nonce", json!("zork"), "not one of this server"),
        ("nonce", json!(""), "not one of this server"),
        ("signature", json!("zork"), "ssh-keygen -Y sign"),
        ("certificate", json!("zork"), "cannot be read"),
        ("certificate", json!(host.key.line()), "cannot be read"),
        ("certificate", json!("x".repeat(100_000)), "too long"),
    ] {
        let mut body = host.request(&nonce, &host.key, &host.key);
        body[member] = value;
        refuse(body, why).await;
    }
    assert_eq!(host.mount.list("certificates", json!({})).await.ok()["keys"], json!(["1"]), "nothing was signed");
}

#[tokio::test]
async fn a_nonce_is_good_once_and_for_a_while() {
    let host = host().await;
    let nonce = host.nonce().await;
    let body = host.request(&nonce, &host.key, &host.key);
    host.mount.write("host/renew", body.clone()).await.ok();
    host.mount.write("host/renew", body).await.refused_for(403, "used already");
    let nonce = host.nonce().await;
    host.mount.clock.advance(121);
    host.mount.write("host/renew", host.request(&nonce, &host.key, &host.key)).await.refused_for(403, "too old");
    // One of another mount is none of this one.
    let other = Mount::beside(host.mount.store.clone(), host.mount.hsm.clone(), "2");
    let nonce = other.read("host/nonce").await.text("nonce");
    host.mount
        .write("host/renew", host.request(&nonce, &host.key, &host.key))
        .await
        .refused_for(403, "not one of this server");
}

#[tokio::test]
async fn a_certificate_that_ended_lately_is_renewed_and_one_that_ended_long_ago_is_not() {
    let host = host().await;
    host.mount.clock.advance(24 * 3600 + 2 * 3600 - 1);
    host.renew().await.ok();
    host.mount.clock.advance(1);
    host.renew().await.refused_for(403, "could be renewed until 2026-11-22T02:00:00Z");
}

#[tokio::test]
async fn a_forged_a_revoked_and_a_users_certificate_are_not_renewed() {
    let mut host = host().await;
    let genuine = host.certificate.clone();
    // Signed by another mount's CA.
    let other = Mount::beside(host.mount.store.clone(), host.mount.hsm.clone(), "2");
    other.write("config/ca", json!({"key_type": "ec"})).await.ok();
    let role = json!({"allow_host_certificates": true, "allowed_domains": "*", "allow_host_renewal": true});
    other.role("host", role).await;
    let body = json!({"cert_type": "host", "valid_principals": "a.example.com"});
    host.certificate = other.sign("host", &host.key, body).await.text("signed_key");
    host.renew().await.refused_for(403, "no issuer of this mount signed");
    // A user's.
    host.certificate = host.mount.sign("user", &host.key, json!({"valid_principals": "x"})).await.text("signed_key");
    host.renew().await.refused_for(403, "only host certificates");
    // With a bit changed.
    let (kind, text) = genuine.trim().split_once(' ').unwrap();
    let mut blob = data_encoding::BASE64.decode(text.as_bytes()).unwrap();
    let at = blob.windows(13).position(|window| window == b"a.example.com").unwrap();
    blob[at] = b'c';
    host.certificate = format!("{kind} {}", data_encoding::BASE64.encode(&blob));
    host.renew().await.refused_for(403, "no issuer of this mount signed");
    host.certificate = genuine;
    for body in [json!({"serial_number": "1"}), json!({"public_key": host.key.line()})] {
        host.mount.write("revoke", body).await.ok();
        host.renew().await.refused_for(403, "is revoked");
        let id = host.mount.list("revocations", json!({})).await.ok()["keys"][0].as_str().unwrap().to_owned();
        host.mount.delete(&format!("revocation/{id}")).await;
    }
    host.renew().await.ok();
}

#[tokio::test]
async fn the_role_as_it_is_now_decides() {
    let host = host().await;
    host.mount.patch("roles/host", json!({"allowed_domains": "example.org"})).await;
    host.renew().await.refused("a.example.com is not a valid value for valid_principals");
    host.mount.patch("roles/host", json!({"allow_host_renewal": false})).await;
    host.renew().await.refused_for(403, "allow_host_renewal");
    host.mount.delete("roles/host").await;
    host.renew().await.refused_for(403, "its role is gone");
}
