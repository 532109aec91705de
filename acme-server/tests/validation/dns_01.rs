//! RFC 8555 §8.4 and its drafted relatives, several points of view, and DNS servers that misbehave.

use crate::{
    ACCOUNT, KEY_AUTHORIZATION, assert_failed,
    dns_stub::{Answer, DnsStub},
    look, name, question, settings,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_acme_server::{
    challenge::ChallengeType::{Dns01, DnsAccount01, DnsPersist01, Http01},
    identifier::Identifier,
    problem::ProblemType,
    validation::{Question, Settings, Validator},
};
use hickory_resolver::proto::{
    op::ResponseCode,
    rr::{RData, RecordType, rdata::TXT},
};
use std::time::Duration;

const PLACE: &str = "_acme-challenge.www.a.test";

fn digest() -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY_AUTHORIZATION.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

async fn shown(dns: &DnsStub) {
    look(settings(dns), Dns01, &name("www.a.test")).await.unwrap();
}

#[tokio::test]
async fn one_of_several_texts_is_the_digest() {
    let dns = DnsStub::start().await;
    dns.has_txt(PLACE, &[&digest()]);
    shown(&dns).await;
    dns.has_txt(PLACE, &["an older one", &"x".repeat(700), &digest(), "\u{1b}[2J"]);
    shown(&dns).await;
}

#[tokio::test]
async fn wildcards_are_shown_at_the_name_itself() {
    let dns = DnsStub::start().await;
    dns.has_txt(PLACE, &[&digest()]);
    let identifier = name("www.a.test");
    let question = Question { wildcard: true, ..question(Dns01, &identifier) };
    Validator::new(settings(&dns)).unwrap().validate(&question).await.unwrap();
}

#[tokio::test]
async fn aliases_are_followed_to_where_the_text_stands() {
    let dns = DnsStub::start().await;
    dns.has_alias(PLACE, "one.b.test");
    dns.has_alias("one.b.test", "two.c.test");
    dns.has_txt("two.c.test", &[&digest()]);
    shown(&dns).await;
}

#[tokio::test]
async fn aliases_in_a_circle_or_without_end_are_told() {
    let dns = DnsStub::start().await;
    dns.has_alias(PLACE, "one.b.test");
    dns.has_alias("one.b.test", PLACE);
    let outcome = look(settings(&dns), Dns01, &name("www.a.test")).await;
    assert_failed(outcome, ProblemType::Dns, "in a circle", false);
    dns.has_alias(PLACE, "0.b.test");
    for at in 0..20 {
        dns.has_alias(&format!("{at}.b.test"), &format!("{}.b.test", at + 1));
    }
    dns.has_txt("20.b.test", &[&digest()]);
    let outcome = look(settings(&dns), Dns01, &name("www.a.test")).await;
    assert_failed(outcome, ProblemType::Dns, "more than 8 aliases", false);
}

#[tokio::test]
async fn what_is_not_there_yet_may_come() {
    let dns = DnsStub::start().await;
    let identifier = name("www.a.test");
    let ask = || look(settings(&dns), Dns01, &identifier);
    assert_failed(ask().await, ProblemType::Dns, "_acme-challenge.www.a.test has no TXT record", true);
    dns.has_txt(PLACE, &["an older one", "and", "more", "of", "them"]);
    assert_failed(ask().await, ProblemType::IncorrectResponse, "\"an older one\", \"and\", \"more\" and 2 more", true);
    assert_failed(ask().await, ProblemType::IncorrectResponse, &digest(), true);
    // Nothing is remembered.
    dns.has_txt(PLACE, &[&digest()]);
    shown(&dns).await;
}

#[tokio::test]
async fn servers_that_fail_are_told_apart() {
    let dns = DnsStub::start().await;
    for (answer, says) in [
        (Answer::Code(ResponseCode::ServFail), "answers with Server Failure"),
        (Answer::Code(ResponseCode::Refused), "answers with Query Refused"),
        (Answer::Silence, "does not answer"),
        (Answer::Truncated(Vec::new()), "truncated"),
    ] {
        dns.say(PLACE, RecordType::TXT, [answer]);
        let quick = Settings { timeout: Duration::from_millis(900), ..settings(&dns) };
        let outcome = look(quick, Dns01, &name("www.a.test")).await;
        assert_failed(outcome, ProblemType::Dns, says, true);
    }
}

#[tokio::test]
async fn malformed_answers_are_no_proof_and_do_no_harm() {
    let dns = DnsStub::start().await;
    for garbage in [
        vec![],
        vec![0x81],
        vec![0x81, 0x80],
        vec![0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0],
        vec![0x81, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        // A name that points to itself.
        vec![0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0x0c, 0, 16, 0, 1],
        vec![0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0xc0, 0x0c, 0, 16, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 1],
        vec![0xff; 500],
    ] {
        dns.say(PLACE, RecordType::TXT, [Answer::Garbage(garbage.clone())]);
        let quick = Settings { timeout: Duration::from_millis(600), ..settings(&dns) };
        let failure = look(quick, Dns01, &name("www.a.test")).await.unwrap_err();
        assert_eq!(failure.problem.kind, ProblemType::Dns, "{garbage:?}: {}", failure.problem.detail);
    }
}

#[tokio::test]
async fn long_answers_come_over_tcp() {
    let dns = DnsStub::start().await;
    let text = RData::TXT(TXT::new(vec![digest()]));
    dns.say(PLACE, RecordType::TXT, [Answer::TruncatedOverUdp(vec![text])]);
    shown(&dns).await;
}

#[tokio::test]
async fn a_quorum_of_resolvers_must_see_the_proof() {
    let honest = [DnsStub::start().await, DnsStub::start().await];
    let liar = DnsStub::start().await;
    for dns in &honest {
        dns.has_txt(PLACE, &[&digest()]);
    }
    let all = |stubs: &[&DnsStub]| Settings {
        resolvers: stubs.iter().map(|dns| dns.address()).collect(),
        ..settings(stubs[0])
    };
    let identifier = name("www.a.test");
    let [one, other] = &honest;
    // Of three one may be blind, of two none.
    look(all(&[one, other, &liar]), Dns01, &identifier).await.unwrap();
    look(all(&[one, other]), Dns01, &identifier).await.unwrap();
    let outcome = look(all(&[one, &liar]), Dns01, &identifier).await;
    assert_failed(outcome, ProblemType::Dns, "2 of 2 resolvers", true);
    // A single one that says what nobody else sees proves nothing.
    let strangers = [DnsStub::start().await, DnsStub::start().await];
    let outcome = look(all(&[one, &strangers[0], &strangers[1]]), Dns01, &identifier).await;
    assert_failed(outcome, ProblemType::Dns, "2 of 3 resolvers", true);
}

#[tokio::test]
async fn names_of_web_servers_are_resolved_from_every_point_of_view() {
    let web = crate::web_stub::WebStub::start("127.0.0.2:0", |_| crate::web_stub::ok(KEY_AUTHORIZATION)).await;
    let (honest, liar) = (DnsStub::start().await, DnsStub::start().await);
    honest.has_a("www.a.test", &["127.0.0.3".parse().unwrap()]);
    liar.has_a("www.a.test", &["127.0.0.2".parse().unwrap()]);
    let settings =
        Settings { resolvers: vec![honest.address(), liar.address()], http_port: web.port(), ..settings(&honest) };
    let outcome = look(settings, Http01, &name("www.a.test")).await;
    assert_failed(outcome, ProblemType::Connection, "127.0.0.3", false);
}

#[tokio::test]
async fn accounts_have_a_label_of_their_own() {
    let dns = DnsStub::start().await;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, ACCOUNT.as_bytes());
    let label = data_encoding::BASE32_NOPAD.encode(&hash.as_ref()[..10]).to_lowercase();
    dns.has_txt(&format!("_{label}._acme-challenge.www.a.test"), &[&digest()]);
    look(settings(&dns), DnsAccount01, &name("www.a.test")).await.unwrap();
    let identifier = name("www.a.test");
    let other = Question { account_url: "https://ca.example/acme/acct/2", ..question(DnsAccount01, &identifier) };
    let outcome = Validator::new(settings(&dns)).unwrap().validate(&other).await;
    assert_failed(outcome, ProblemType::Dns, "has no TXT record", true);
}

#[tokio::test]
async fn persistent_records_bind_the_account() {
    let dns = DnsStub::start().await;
    let place = "_validation-persist.www.a.test";
    let ask = |wildcard| {
        let validator = Validator::new(settings(&dns)).unwrap();
        async move {
            let identifier = name("www.a.test");
            validator.validate(&Question { wildcard, ..question(DnsPersist01, &identifier) }).await
        }
    };
    dns.has_txt(place, &["other.example; accounturi=x", &format!("ca.example; accounturi={ACCOUNT}")]);
    ask(false).await.unwrap();
    assert_failed(ask(true).await, ProblemType::Unauthorized, "policy=wildcard", false);
    dns.has_txt(place, &[&format!("ca.example; accounturi={ACCOUNT}; policy=wildcard; {}=1", "x".repeat(400))]);
    ask(true).await.unwrap();
    dns.has_txt(place, &["ca.example; accounturi=https://ca.example/acme/acct/2"]);
    assert_failed(ask(false).await, ProblemType::Unauthorized, "another account", false);
    dns.has_txt(place, &["ca.example"]);
    assert_failed(ask(false).await, ProblemType::Malformed, "has no accounturi", false);
    dns.has_txt(place, &["v=spf1 -all"]);
    assert_failed(ask(false).await, ProblemType::Unauthorized, "names the CA ca.example", false);
    dns.has_txt(place, &[&format!("ca.example; accounturi={ACCOUNT}; persistUntil=1000")]);
    assert_failed(ask(false).await, ProblemType::Unauthorized, "ended", false);
}

#[tokio::test]
async fn addresses_have_no_texts() {
    let dns = DnsStub::start().await;
    for challenge in [Dns01, DnsAccount01, DnsPersist01] {
        let outcome = look(settings(&dns), challenge, &Identifier::Ip("127.0.0.2".parse().unwrap())).await;
        assert_failed(outcome, ProblemType::Malformed, "not for addresses", false);
    }
}
