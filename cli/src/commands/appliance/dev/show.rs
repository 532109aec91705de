//! What `dev` prints: where things are, and the next lines to paste.

use super::{Place, State};
use crate::{
    failure::Result,
    output::print,
    remote::{Ask, Remote, Verb},
};
use std::{fmt::Write as _, time::Duration};

pub(super) fn banner(place: &Place, state: &State, took: Duration) -> Result<()> {
    let Place { plain, tls, token, .. } = place;
    let directory = state.directory().display();
    let authority = place.authority.display();
    let fingerprint = place.root_fingerprint.as_deref().unwrap_or("n/a");
    let end = if state.is_temporary() {
        "DEVELOPMENT ONLY: all of it is gone when this stops. Ctrl-C stops it.".to_owned()
    } else {
        format!("DEVELOPMENT ONLY. It is kept in {directory}. Ctrl-C stops it.")
    };
    let mut text = String::new();
    let _ = write!(
        text,
        "\n  HSM      SoftHSM, private token \"chancery-dev\" in {directory}\n  \
           API      {tls}   {plain} (this machine only)\n  \
           Root CA  SHA-256 {fingerprint}\n  \
           Audit    {directory}/audit.jsonl\n  \
           Ready    in {took:.1} s\n\n  \
           export CHANCERY_ADDR={plain} CHANCERY_TOKEN={token}\n  \
           export VAULT_ADDR={plain} VAULT_TOKEN={token} VAULT_CACERT={authority}\n\n  \
           try:  chancery write -f transit/keys/app\n        \
                 chancery write transit/encrypt/app plaintext=$(base64 <<< hello)\n        \
                 chancery write pki/issue/web common_name=www.dev.test ttl=24h\n        \
                 chancery write ssh/sign/user public_key=@$HOME/.ssh/id_ed25519.pub valid_principals=$USER\n        \
                 chancery kv put secret/app password=swordfish\n\n  {end}\n",
        took = took.as_secs_f64(),
    );
    print(&text)
}

/// SHA-256 of the root certificate, as openssl prints it, if the CA has one.
pub(super) fn root_fingerprint(remote: &Remote) -> Option<String> {
    let answer = remote.send(&Ask::new(Verb::Read, "pki/issuer/root/json")).ok()?;
    let pem = answer.data().get("certificate")?.as_str()?.to_owned();
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    Some(digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}
