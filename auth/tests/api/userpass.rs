//! Userpass.

use crate::rig::{ROOT, Rig};
use chancery_engine::Fault;
use serde_json::json;
use std::time::Instant;

const USERS: &str = "auth/userpass/users";
const WRONG: &str = "invalid username or password";

async fn rig_with_bob() -> Rig {
    let rig = Rig::new().await;
    rig.set(&format!("{USERS}/bob"), json!({"password": "pw", "token_policies": "P1", "token_ttl": "1h"})).await;
    rig
}

async fn log_in(rig: &Rig, name: &str, password: &str) -> Result<crate::rig::Answer, Fault> {
    rig.write("", &format!("auth/userpass/login/{name}"), json!({"password": password})).await
}

#[tokio::test]
async fn users_are_kept_under_lower_case_names() {
    let rig = rig_with_bob().await;
    rig.set(&format!("{USERS}/BOB"), json!({"policies": "default,p2"})).await;
    assert_eq!(
        rig.read(ROOT, &format!("{USERS}/Bob")).await.unwrap().data,
        json!({
            "policies": ["default", "p2"], "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
            "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0,
            "token_policies": ["default", "p2"], "token_strictly_bind_ip": false, "token_ttl": 3600,
            "token_type": "default"
        })
    );
    assert_eq!(rig.list(ROOT, USERS).await.unwrap().data["keys"], json!(["bob"]));
    assert!(log_in(&rig, "bob", "pw").await.is_ok());
    rig.delete(ROOT, &format!("{USERS}/bOb")).await.unwrap();
    assert!(rig.read(ROOT, &format!("{USERS}/bob")).await.is_err());
    assert!(rig.list(ROOT, USERS).await.is_err());
}

#[tokio::test]
async fn a_login_shows_the_user() {
    let rig = rig_with_bob().await;
    let answer = log_in(&rig, "BOB", "pw").await.unwrap();
    let block = answer.auth();
    assert_eq!(block.policies, ["default", "p1"]);
    assert_eq!(serde_json::to_value(&block.metadata).unwrap(), json!({"username": "bob"}));
    assert_eq!((block.lease_duration, block.renewable, block.orphan), (3600, true, true));
    let data = rig.set("auth/token/lookup", json!({"token": answer.token()})).await.data;
    assert_eq!((&data["display_name"], &data["path"]), (&json!("userpass-bob"), &json!("auth/userpass/login/BOB")));
}

#[tokio::test]
async fn passwords_and_policies_change_alone() {
    let rig = rig_with_bob().await;
    rig.set(&format!("{USERS}/bob/password"), json!({"password": "pw2"})).await;
    assert!(log_in(&rig, "bob", "pw").await.is_err());
    rig.set(&format!("{USERS}/bob/policies"), json!({"policies": "x", "token_ttl": "9h"})).await;
    let answer = log_in(&rig, "bob", "pw2").await.unwrap();
    assert_eq!(
        (answer.auth().policies.clone(), answer.auth().lease_duration),
        (vec!["default".to_owned(), "x".to_owned()], 3600)
    );
    for (path, body) in [("password", json!({"password": "x"})), ("policies", json!({"policies": "x"}))] {
        let text = rig.refusal(ROOT, &format!("{USERS}/nope/{path}"), body).await;
        assert_eq!(text, "username does not exist");
    }
    assert!(rig.read(ROOT, &format!("{USERS}/nope")).await.is_err());
}

#[tokio::test]
async fn wrong_passwords_are_refused_in_vaults_words() {
    let rig = Rig::new().await;
    for (body, text) in [
        (json!({}), "must provide either password or password_hash"),
        (json!({"password": "x".repeat(73)}), "bcrypt: password length exceeds 72 bytes"),
        (json!({"password_hash": "$2a$10$abcdefghijklmnopqrstuv"}), "password_hash is not a valid bcrypt hash"),
    ] {
        assert_eq!(rig.refusal(ROOT, &format!("{USERS}/bob"), body).await, text);
    }
    assert!(rig.read(ROOT, &format!("{USERS}/bob")).await.is_err());
    assert_eq!(rig.refusal("", "auth/userpass/login/bob", json!({})).await, "missing password");
}

#[tokio::test]
async fn a_long_password_is_not_cut() {
    let rig = Rig::new().await;
    let full = "x".repeat(72);
    rig.set(&format!("{USERS}/bob"), json!({"password": full})).await;
    assert!(log_in(&rig, "bob", &full).await.is_ok());
    assert_eq!(log_in(&rig, "bob", &format!("{full}y")).await.unwrap_err().to_string(), WRONG);
}

#[tokio::test]
async fn cve_2025_6011_unknown_users_cost_and_answer_the_same() {
    let rig = rig_with_bob().await;
    let timed = async |name: &str| {
        let start = Instant::now();
        let text = log_in(&rig, name, "wrong").await.unwrap_err().to_string();
        assert_eq!(text, WRONG);
        start.elapsed()
    };
    timed("warm-up").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        known.push(timed("bob").await);
        unknown.push(timed("nobody").await);
    }
    let (known, unknown) = (known.into_iter().min().unwrap(), unknown.into_iter().min().unwrap());
    assert!(unknown * 2 > known && known * 2 > unknown, "{known:?} {unknown:?}");
}

#[tokio::test]
async fn cve_2025_6004_all_spellings_share_one_lock() {
    let rig = rig_with_bob().await;
    for name in ["bob", "BOB", "Bob", "bOb", "boB"] {
        assert_eq!(log_in(&rig, name, "bad").await.unwrap_err().to_string(), WRONG);
    }
    for (name, password) in [("bob", "bad"), ("bob", "pw"), ("BoB", "pw")] {
        assert!(matches!(log_in(&rig, name, password).await, Err(Fault::Denied)), "{name}");
    }
    rig.clock.advance(15 * 60);
    assert!(log_in(&rig, "bob", "pw").await.is_ok());
}

#[tokio::test]
async fn a_success_or_time_starts_the_count_again() {
    let rig = rig_with_bob().await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert!(log_in(&rig, "bob", "bad").await.is_err());
        }
        assert!(log_in(&rig, "bob", "pw").await.is_ok());
    }
    for _ in 0..4 {
        assert!(log_in(&rig, "bob", "bad").await.is_err());
    }
    rig.clock.advance(15 * 60);
    assert_eq!(log_in(&rig, "bob", "bad").await.unwrap_err().to_string(), WRONG);
    assert!(log_in(&rig, "bob", "pw").await.is_ok());
}

#[tokio::test]
async fn cve_2026_46405_failing_logins_leave_no_token() {
    let rig = rig_with_bob().await;
    rig.set(&format!("{USERS}/eve"), json!({"password": "pw", "token_bound_cidrs": "10.0.0.0/8"})).await;
    rig.set(&format!("{USERS}/mallory"), json!({"password": "pw", "token_policies": " Root"})).await;
    let before = rig.tokens.accessors().await.unwrap();
    for name in ["eve", "mallory", "nobody"] {
        assert!(log_in(&rig, name, "pw").await.is_err(), "{name}");
    }
    assert_eq!(rig.tokens.accessors().await.unwrap(), before);
}

#[tokio::test]
async fn cve_2025_6004_guesses_sent_at_once_do_not_outrun_the_lock() {
    let rig = rig_with_bob().await;
    // The right guess is the last in the queue for a processor, long after the threshold was reached.
    let wrong = std::thread::available_parallelism().map_or(2, usize::from) * 2 + 8;
    let passwords = std::iter::repeat_n("bad", wrong).chain(["pw"]);
    let mut answers = futures_util::future::join_all(passwords.map(|password| log_in(&rig, "bob", password))).await;
    assert!(matches!(answers.pop().unwrap(), Err(Fault::Denied)));
    assert!(answers.iter().all(Result::is_err));
}
