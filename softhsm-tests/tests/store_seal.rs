//! The seal `pkcs11` on a real token: what `pkcs11-tool` says of the key-encryption key, a restart, a database copied to
//! another token, a key that is gone.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a test binary without a harness")]

#[path = "support/softhsm.rs"]
mod softhsm;
#[path = "support/token.rs"]
mod token;

use chancery_hsm::{Hsm, TokenChoice};
use chancery_store::{BarrierPhase, Changes, Initialize, SealChoice, Store, StoreError};
use std::{
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
};
use token::{PIN, Stage, Token};

const KEY_LABEL: &str = "chancery/kek/store-seal";

fn main() -> ExitCode {
    let token = match softhsm::stage(None) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(run(&token)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("  FAILED: {what}");
            ExitCode::FAILURE
        }
    }
}

async fn run(token: &Token) -> Result<(), String> {
    let database = token.place.join("store").join("chancery.db");
    the_token_seals_and_unseals_after_a_restart(token, &database).await?;
    pkcs11_tool_calls_the_key_sensitive_and_never_extractable(token)?;
    a_database_copied_to_another_token_does_not_unseal(token, &database).await?;
    a_key_that_is_gone_is_named_and_not_made_again(token, &database).await
}

async fn open(token: &Token) -> Result<Hsm, String> {
    Hsm::open(token.config()).await.map_err(|error| error.to_string())
}

async fn store(database: &Path) -> Result<Store, String> {
    Store::sqlite(database, Arc::new(jiff::Timestamp::now)).await.map_err(|error| error.to_string())
}

fn passed(what: &str, holds: bool) -> Result<(), String> {
    if holds {
        println!("  passed: {what}");
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

async fn the_token_seals_and_unseals_after_a_restart(token: &Token, database: &Path) -> Result<(), String> {
    let text = |error: StoreError| error.to_string();
    let hsm = open(token).await?;
    let sealed = store(database).await?;
    let seal = SealChoice::Pkcs11 {
        hsm: hsm.clone(),
        key_label: KEY_LABEL.to_owned(),
        recovery_shares: 3,
        recovery_threshold: 2,
    };
    let shares = sealed.barrier().initialize(Initialize { seal }).await.map_err(text)?.shares;
    let mut changes = Changes::default();
    changes.put(&sealed.view("v"), "a", "value").map_err(text)?;
    sealed.commit(changes).await.map_err(text)?;
    let recovery = shares.get(..2).unwrap_or_default();
    let rekeyed = sealed.barrier().rekey(recovery, 2_u8, 2_u8).await.map_err(text)?.shares;
    drop(sealed);
    hsm.shutdown().await;

    let hsm = open(token).await?;
    let reopened = store(database).await?;
    reopened.barrier().unseal_with_hsm(&hsm).await.map_err(text)?;
    let entry = reopened.view("v").read("a").await.map_err(text)?;
    let value = entry.and_then(|entry| entry.decode::<String>().ok());
    passed("the token unseals after a restart", value.as_deref() == Some("value"))?;
    let proven = reopened.barrier().verify_shares(&rekeyed).await.map_err(text)?;
    passed("new recovery shares prove", proven)?;
    let outdated = reopened.barrier().verify_shares(recovery).await.map_err(text)?;
    passed("old recovery shares do not", !outdated)?;
    hsm.shutdown().await;
    Ok(())
}

fn pkcs11_tool_calls_the_key_sensitive_and_never_extractable(token: &Token) -> Result<(), String> {
    let listed = Command::new("pkcs11-tool")
        .arg("--module")
        .arg(&token.module)
        .args(["--token-label", token::LABEL, "--login", "--pin", PIN, "--list-objects", "--type", "secrkey"])
        .output()
        .map_err(|error| format!("pkcs11-tool does not run ({error}): apt-get install opensc"))?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let access = listed.lines().skip_while(|line| !line.contains(KEY_LABEL)).find(|line| line.contains("Access:"));
    let access = access.ok_or_else(|| format!("pkcs11-tool lists no key `{KEY_LABEL}`:\n{listed}"))?;
    let wanted = ["sensitive", "always sensitive", "never extractable"];
    passed("pkcs11-tool: sensitive, never extractable", wanted.iter().all(|word| access.contains(word)))
}

async fn a_database_copied_to_another_token_does_not_unseal(token: &Token, database: &Path) -> Result<(), String> {
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "chancery-other", "--so-pin", "12345678", "--pin", PIN])
        .output()
        .map_err(|error| error.to_string())?;
    passed("a second token is made", made.status.success())?;
    let copy = token.place.join("copy").join("chancery.db");
    std::fs::create_dir(token.place.join("copy")).map_err(|error| error.to_string())?;
    std::fs::copy(database, &copy).map_err(|error| error.to_string())?;
    let mut config = token.config();
    config.token = TokenChoice::Label("chancery-other".into());
    let hsm = Hsm::open(config).await.map_err(|error| error.to_string())?;
    let copied = store(&copy).await?;
    let refused = copied.barrier().unseal_with_hsm(&hsm).await;
    let sealed = copied.barrier().state().await.phase == BarrierPhase::Sealed;
    hsm.shutdown().await;
    let said = matches!(&refused, Err(StoreError::OtherToken { found, .. }) if found.contains("chancery-other"));
    passed("a database copied to another token does not unseal", said && sealed)
}

async fn a_key_that_is_gone_is_named_and_not_made_again(token: &Token, database: &Path) -> Result<(), String> {
    let hsm = open(token).await?;
    let keys = hsm.list().await.map_err(|error| error.to_string())?;
    let key =
        keys.first().filter(|_| keys.len() == 1).ok_or_else(|| format!("one key was made, not {}", keys.len()))?;
    hsm.destroy(&key.reference).await.map_err(|error| error.to_string())?;
    let sealed = store(database).await?;
    let refused = sealed.barrier().unseal_with_hsm(&hsm).await;
    let left = hsm.list().await.map_err(|error| error.to_string())?.len();
    hsm.shutdown().await;
    let said = matches!(&refused, Err(error @ StoreError::KeyEncryptionKeyMissing { .. })
        if error.to_string().contains(KEY_LABEL));
    passed("a key that is gone is named and not made again", said && left == 0)
}
