//! Response wrapping.

use crate::rig::{ROOT, Rig};
use chancery_engine::SecretString;
use serde_json::json;

const INVALID: &str = "wrapping token is not valid or does not exist";

#[tokio::test]
async fn what_is_wrapped_comes_out_once() {
    let rig = Rig::new().await;
    let info = rig.tokens.create_wrapping(60, "sys/wrapping/wrap", b"{\"data\":{\"a\":1}}", "acc").await.unwrap();
    assert_eq!((info.ttl, info.wrapped_accessor.as_str()), (60, "acc"));
    let known = rig.tokens.lookup_wrapping(&info.token).await.unwrap();
    assert_eq!((known.creation_ttl, known.creation_path.as_str()), (60, "sys/wrapping/wrap"));
    assert_eq!(known.creation_time, info.creation_time);
    assert!(rig.tokens.is_wrapping(&info.token).await.unwrap());
    let wrapped = rig.tokens.unwrap(&info.token).await.unwrap();
    assert_eq!(wrapped.payload.as_slice(), b"{\"data\":{\"a\":1}}");
    assert_eq!(wrapped.wrapped_accessor, "acc");
    assert_eq!(rig.tokens.unwrap(&info.token).await.unwrap_err().to_string(), INVALID);
    assert_eq!(rig.tokens.lookup_wrapping(&info.token).await.unwrap_err().to_string(), INVALID);
    assert!(rig.store.view("sys/cubbyhole").keys("", chancery_store::Page::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_many_callers_one_gets_the_answer() {
    let rig = Rig::new().await;
    let info = rig.tokens.create_wrapping(60, "p", b"{}", "").await.unwrap();
    let racers: Vec<_> = (0..20)
        .map(|_| {
            let (tokens, token) = (rig.tokens.clone(), info.token.clone());
            tokio::spawn(async move { tokens.unwrap(&token).await.is_ok() })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(racer.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn rewrap_moves_the_answer() {
    let rig = Rig::new().await;
    let first = rig.tokens.create_wrapping(60, "p", b"{}", "acc").await.unwrap();
    let second = rig.tokens.rewrap(&first.token).await.unwrap();
    assert_eq!((second.ttl, second.creation_path.as_str(), second.wrapped_accessor.as_str()), (60, "p", "acc"));
    assert_eq!(rig.tokens.unwrap(&first.token).await.unwrap_err().to_string(), INVALID);
    assert!(rig.tokens.unwrap(&second.token).await.is_ok());
}

#[tokio::test]
async fn other_tokens_and_expired_ones_are_not_wrapping_tokens() {
    let rig = Rig::new().await;
    for token in [ROOT, "nope", ""] {
        let token = SecretString::new(token.to_owned());
        assert_eq!(rig.tokens.unwrap(&token).await.unwrap_err().to_string(), INVALID);
    }
    assert!(rig.is_alive(ROOT).await);
    let info = rig.tokens.create_wrapping(60, "p", b"{}", "").await.unwrap();
    rig.clock.advance(60);
    assert_eq!(rig.tokens.unwrap(&info.token).await.unwrap_err().to_string(), INVALID);
    assert!(rig.tokens.create_wrapping(0, "p", b"{}", "").await.is_err());
}

#[tokio::test]
async fn old_clients_read_the_answer_from_the_cubbyhole_once() {
    let rig = Rig::new().await;
    let info = rig.tokens.create_wrapping(60, "p", b"{\"data\":1}", "acc").await.unwrap();
    let answer = rig.read(info.token.expose(), "cubbyhole/response").await.unwrap();
    assert_eq!(answer.data, json!({"response": "{\"data\":1}"}));
    assert_eq!(answer.warnings.len(), 1);
    assert!(rig.read(info.token.expose(), "cubbyhole/response").await.is_err());
    assert!(rig.store.view("sys/cubbyhole").keys("", chancery_store::Page::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_caller_unwraps_with_the_token_itself() {
    let rig = Rig::new().await;
    let info = rig.tokens.create_wrapping(60, "p", b"{}", "").await.unwrap();
    let identity = rig.tokens.authenticate(&info.token, None).await.unwrap();
    assert!(rig.tokens.unwrap_own(&identity).await.is_ok());
    assert!(rig.tokens.unwrap_own(&identity).await.is_err());
    rig.tokens.finish(&identity).await.unwrap();
}
