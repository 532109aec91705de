//! RFC 8659 and RFC 8657 against a DNS server.

use crate::{
    assert_failed,
    dns_stub::{Answer, DnsStub},
    name, question, settings,
};
use chancery_acme_server::{
    challenge::ChallengeType::Dns01,
    identifier::Identifier,
    problem::ProblemType,
    validation::{Failure, Question, Settings, Validator},
};
use hickory_resolver::proto::{op::ResponseCode, rr::RecordType};
use std::time::Duration;

async fn ask(dns: &DnsStub, wildcard: bool) -> Result<(), Failure> {
    let identifier = name("www.a.test");
    Validator::new(settings(dns)).unwrap().caa(&Question { wildcard, ..question(Dns01, &identifier) }).await
}

#[tokio::test]
async fn no_records_forbid_nothing() {
    let dns = DnsStub::start().await;
    ask(&dns, false).await.unwrap();
    for name in ["www.a.test", "a.test", "test"] {
        assert_eq!(dns.asked(name, RecordType::CAA), 1, "{name}");
    }
}

#[tokio::test]
async fn the_nearest_records_decide() {
    let dns = DnsStub::start().await;
    dns.has_caa("test", &["issue other.example"]);
    assert_failed(ask(&dns, false).await, ProblemType::Caa, "CAA records of test forbid it", false);
    dns.has_caa("a.test", &["issue ca.example"]);
    ask(&dns, false).await.unwrap();
    dns.has_caa("www.a.test", &["issue ;"]);
    assert_failed(ask(&dns, false).await, ProblemType::Caa, "lets nobody", false);
    assert_failed(ask(&dns, true).await, ProblemType::Caa, "lets nobody", false);
    dns.has_caa("www.a.test", &["issue ;", "issuewild ca.example"]);
    ask(&dns, true).await.unwrap();
    dns.has_caa("www.a.test", &["issue ca.example", "!frob x"]);
    assert_failed(ask(&dns, false).await, ProblemType::Caa, "critical", false);
}

#[tokio::test]
async fn accounts_and_ways_are_bound() {
    let dns = DnsStub::start().await;
    dns.has_caa("a.test", &["issue ca.example; accounturi=https://ca.example/acme/acct/1; validationmethods=dns-01"]);
    ask(&dns, false).await.unwrap();
    dns.has_caa("a.test", &["issue ca.example; accounturi=https://ca.example/acme/acct/2"]);
    assert_failed(ask(&dns, false).await, ProblemType::Caa, "another account", false);
    dns.has_caa("a.test", &["issue ca.example; validationmethods=http-01,tls-alpn-01"]);
    assert_failed(ask(&dns, false).await, ProblemType::Caa, "does not allow validation by dns-01", false);
}

#[tokio::test]
async fn aliases_lead_to_records_and_the_climb_goes_on_from_the_name() {
    let dns = DnsStub::start().await;
    dns.has_alias("www.a.test", "b.other");
    dns.has_caa("b.other", &["issue other.example"]);
    assert_failed(ask(&dns, false).await, ProblemType::Caa, "names another CA", false);
    // RFC 8659 §3: parents of the alias' target are not climbed.
    dns.has_alias("www.a.test", "c.d.other");
    dns.has_txt("c.d.other", &["something"]);
    dns.has_caa("d.other", &["issue other.example"]);
    ask(&dns, false).await.unwrap();
    dns.has_caa("a.test", &["issue ;"]);
    assert_failed(ask(&dns, false).await, ProblemType::Caa, "CAA records of a.test", false);
}

#[tokio::test]
async fn what_cannot_be_looked_up_forbids_unless_the_operator_permits() {
    let dns = DnsStub::start().await;
    for answer in [Answer::Code(ResponseCode::ServFail), Answer::Silence, Answer::Truncated(Vec::new())] {
        dns.say("a.test", RecordType::CAA, [answer]);
        let quick = Settings { timeout: Duration::from_millis(900), ..settings(&dns) };
        let identifier = name("www.a.test");
        let asked = question(Dns01, &identifier);
        let outcome = Validator::new(quick.clone()).unwrap().caa(&asked).await;
        assert_failed(outcome, ProblemType::Dns, "nobody knows", true);
        let lax = Settings { permit_without_caa_answer: true, ..quick };
        Validator::new(lax).unwrap().caa(&asked).await.unwrap();
    }
    // A circle is no accident of the network.
    dns.has_alias("www.a.test", "x.a.test");
    dns.has_alias("x.a.test", "www.a.test");
    let lax = Settings { permit_without_caa_answer: true, ..settings(&dns) };
    let identifier = name("www.a.test");
    let outcome = Validator::new(lax).unwrap().caa(&question(Dns01, &identifier)).await;
    assert_failed(outcome, ProblemType::Dns, "circle", false);
}

#[tokio::test]
async fn nobody_is_asked_where_there_is_no_name_of_ours_or_no_name_at_all() {
    let dns = DnsStub::start().await;
    dns.has_caa("www.a.test", &["issue ;"]);
    let identifier = name("www.a.test");
    let nameless = Settings { caa_identities: Vec::new(), ..settings(&dns) };
    Validator::new(nameless).unwrap().caa(&question(Dns01, &identifier)).await.unwrap();
    let address = Identifier::Ip("127.0.0.2".parse().unwrap());
    Validator::new(settings(&dns)).unwrap().caa(&question(Dns01, &address)).await.unwrap();
    assert_eq!(dns.asked("www.a.test", RecordType::CAA), 0);
}
