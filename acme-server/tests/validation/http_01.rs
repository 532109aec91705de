//! RFC 8555 §8.3, and who would make it connect elsewhere.

use crate::{
    ALLOWED, KEY_AUTHORIZATION, TOKEN, assert_failed,
    dns_stub::{Answer, DnsStub},
    look, name, settings,
    web_stub::{Piece, WebStub, ok, raw, redirect},
};
use chancery_acme_server::{
    challenge::ChallengeType::Http01,
    identifier::Identifier,
    problem::ProblemType,
    validation::{Failure, Settings},
};
use hickory_resolver::proto::rr::{RData, RecordType, rdata::A};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// Where clouds keep their metadata.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

async fn ask(dns: &DnsStub, web: &WebStub) -> Result<(), Failure> {
    look(Settings { http_port: web.port(), ..settings(dns) }, Http01, &name("www.a.test")).await
}

/// A web server at 127.0.0.2 under the name `www.a.test`.
async fn served(answer: impl Fn(&str) -> Vec<Piece> + Send + Sync + 'static) -> (DnsStub, WebStub) {
    let dns = DnsStub::start().await;
    dns.has_a("www.a.test", &[HERE]);
    (dns, WebStub::start("127.0.0.2:0", answer).await)
}

#[tokio::test]
async fn the_key_authorization_is_fetched_from_the_path_of_the_token() {
    let (dns, web) = served(|_| ok(&format!("{KEY_AUTHORIZATION}\r\n \t\n"))).await;
    ask(&dns, &web).await.unwrap();
    let requests = web.requests();
    let head = requests[0].to_lowercase();
    assert!(requests[0].starts_with(&format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains(&format!("\r\nhost: www.a.test:{}\r\n", web.port())), "{head}");
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn chunked_answers_and_answers_until_the_end_are_read() {
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{KEY_AUTHORIZATION}\r\n0\r\n\r\n",
        KEY_AUTHORIZATION.len()
    );
    for answer in [chunked, format!("HTTP/1.0 200 OK\r\n\r\n{KEY_AUTHORIZATION}")] {
        let (dns, web) = served(move |_| raw(answer.as_bytes())).await;
        ask(&dns, &web).await.unwrap();
    }
}

#[tokio::test]
async fn addresses_are_asked_without_dns() {
    let dns = DnsStub::start().await;
    let web = WebStub::start("127.0.0.2:0", |_| ok(KEY_AUTHORIZATION)).await;
    let identifier = Identifier::Ip(HERE.into());
    look(Settings { http_port: web.port(), ..settings(&dns) }, Http01, &identifier).await.unwrap();
    assert!(web.requests()[0].to_lowercase().contains(&format!("\r\nhost: 127.0.0.2:{}\r\n", web.port())));
    let web = WebStub::start("[::1]:0", |_| ok(KEY_AUTHORIZATION)).await;
    let identifier = Identifier::Ip("::1".parse().unwrap());
    let allowed = vec![("::1".parse().unwrap(), 128)];
    let settings = Settings { http_port: web.port(), allowed_networks: allowed, ..settings(&dns) };
    look(settings, Http01, &identifier).await.unwrap();
    assert!(web.requests()[0].to_lowercase().contains(&format!("\r\nhost: [::1]:{}\r\n", web.port())));
}

#[tokio::test]
async fn ipv6_comes_first_and_ipv4_helps_where_it_does_not_answer() {
    let (dns, web) = served(|_| ok(KEY_AUTHORIZATION)).await;
    let six = WebStub::start(&format!("[::1]:{}", web.port()), |_| ok("from v6")).await;
    dns.has_aaaa("www.a.test", "::1".parse().unwrap());
    let both = || Settings {
        http_port: web.port(),
        allowed_networks: vec![ALLOWED, ("::1".parse().unwrap(), 128)],
        ..settings(&dns)
    };
    let outcome = look(both(), Http01, &name("www.a.test")).await;
    assert_failed(outcome, ProblemType::IncorrectResponse, "\"from v6\"", false);
    drop(six);
    look(both(), Http01, &name("www.a.test")).await.unwrap();
}

#[tokio::test]
async fn wrong_answers_are_shown_and_cut_short() {
    let (dns, web) = served(|_| ok("\x1b]0;title\x07 somebody else's page, which is long")).await;
    assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, r#"\x1b]0;title\x07 somebody e"#, false);
    let failure = ask(&dns, &web).await.unwrap_err();
    assert!(!failure.problem.detail.contains("page"), "{}", failure.problem.detail);
    assert!(failure.problem.detail.contains(KEY_AUTHORIZATION));
    let (dns, web) = served(|_| ok(&format!(" {KEY_AUTHORIZATION}"))).await;
    assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, "not with the key", false);
}

#[tokio::test]
async fn statuses_other_than_ok_fail_and_some_may_pass() {
    for (status, transient) in
        [("404 Not Found", true), ("503 Busy", true), ("403 No", false), ("204 No Content", false)]
    {
        let (dns, web) = served(move |_| raw(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes())).await;
        assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, &status[..3], transient);
    }
}

#[tokio::test]
async fn redirects_are_followed_ten_times() {
    let port = Arc::new(parking_lot::Mutex::new(0));
    for (count, finds) in [(10, true), (11, false)] {
        let (dns, web) = served(move |head| {
            let done = head.split(['=', ' ']).nth(2).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
            if done == count { ok(KEY_AUTHORIZATION) } else { redirect(&format!("/moved?n={}", done + 1)) }
        })
        .await;
        *port.lock() = web.port();
        let outcome = ask(&dns, &web).await;
        if finds {
            outcome.unwrap();
        } else {
            assert_failed(outcome, ProblemType::IncorrectResponse, "more than 10 redirects", false);
            assert_eq!(web.requests().len(), 11);
        }
    }
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let (dns, web) = served(|head| redirect(head.split(' ').nth(1).unwrap())).await;
    assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, "more than 10 redirects", false);
}

#[tokio::test]
async fn redirects_to_other_names_are_resolved_and_looked_at_anew() {
    // Its port is allowed, so that the name alone decides.
    let (dns, web) = served(|_| redirect("http://b.test/there")).await;
    dns.has_a("b.test", &[HERE]);
    let outcome = ask(&dns, &web).await;
    assert_failed(outcome, ProblemType::IncorrectResponse, "more than 10 redirects", false);
    assert!(dns.asked("b.test", RecordType::A) >= 10, "each hop resolves");
    for (target, address) in [("inside.test", ELSEWHERE), ("metadata.test", METADATA)] {
        dns.has_a(target, &[address]);
    }
    for (location, says) in [
        ("http://inside.test/", "loopback"),
        ("http://metadata.test/latest/meta-data/", "metadata"),
        ("http://169.254.169.254/latest/meta-data/", "metadata"),
        ("http://2852039166/latest/meta-data/", "metadata"),
        ("http://[::ffff:169.254.169.254]/", "metadata"),
        ("https://127.0.0.1/", "loopback"),
        ("http://[::1]/", "loopback"),
        ("http://localhost/", "loopback"),
    ] {
        let (dns, web) = served(move |_| redirect(location)).await;
        dns.has_a("inside.test", &[ELSEWHERE]);
        dns.has_a("metadata.test", &[METADATA]);
        let outcome = ask(&dns, &web).await;
        assert_failed(outcome, ProblemType::Connection, says, false);
    }
}

#[tokio::test]
async fn redirects_to_other_doors_are_refused() {
    for (location, says) in [
        ("ftp://www.a.test/", "neither http nor https"),
        ("http://www.a.test:22/", "only 80 and 443"),
        ("http://user:secret@www.a.test/", "user name"),
        ("http://a_b.test/", "names a host that"),
        ("http://[", "is not a URL"),
    ] {
        let (dns, web) = served(move |_| redirect(location)).await;
        assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, says, false);
        assert_eq!(web.connections(), 1, "{location}");
    }
    let (dns, web) = served(|_| raw(b"HTTP/1.1 301 Moved\r\n\r\n")).await;
    assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, "without saying where", false);
}

#[tokio::test]
async fn internal_addresses_are_not_connected_to() {
    let dns = DnsStub::start().await;
    let elsewhere = WebStub::start("127.0.0.9:0", |_| ok(KEY_AUTHORIZATION)).await;
    dns.has_a("www.a.test", &[ELSEWHERE]);
    assert_failed(ask(&dns, &elsewhere).await, ProblemType::Connection, "127.0.0.9 is this machine itself", false);
    let identifier = Identifier::Ip(ELSEWHERE.into());
    let direct = look(Settings { http_port: elsewhere.port(), ..settings(&dns) }, Http01, &identifier).await;
    assert_failed(direct, ProblemType::Connection, "loopback", false);
    assert_eq!(elsewhere.connections(), 0);
    let everywhere = Settings { http_port: elsewhere.port(), allow_private: true, ..settings(&dns) };
    look(everywhere, Http01, &name("www.a.test")).await.unwrap();
    assert_eq!(elsewhere.connections(), 1);
}

#[tokio::test]
async fn names_that_change_their_address_are_connected_to_where_they_were_looked_at() {
    let (dns, web) = served(|_| ok(KEY_AUTHORIZATION)).await;
    let inside = WebStub::start(&format!("127.0.0.9:{}", web.port()), |_| ok("secret")).await;
    let address = |address| Answer::Records(vec![RData::A(A(address))]);
    // Whoever asked a second time would be led inside.
    dns.say("www.a.test", RecordType::A, [address(HERE), address(ELSEWHERE)]);
    ask(&dns, &web).await.unwrap();
    assert_eq!(dns.asked("www.a.test", RecordType::A), 1);
    assert_failed(ask(&dns, &web).await, ProblemType::Connection, "loopback", false);
    // Both at once: the one that is allowed is used.
    dns.has_a("www.a.test", &[ELSEWHERE, HERE]);
    ask(&dns, &web).await.unwrap();
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn names_that_change_their_address_between_redirects_are_caught() {
    let (dns, web) = served(|_| redirect("http://www.a.test/again")).await;
    let inside = WebStub::start(&format!("127.0.0.9:{}", web.port()), |_| ok("secret")).await;
    let address = |address| Answer::Records(vec![RData::A(A(address))]);
    dns.say("www.a.test", RecordType::A, [address(HERE), address(ELSEWHERE)]);
    assert_failed(ask(&dns, &web).await, ProblemType::Connection, "where 1 redirects led", false);
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn long_answers_are_not_read_to_their_end() {
    let endless = vec![
        Piece::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_vec()),
        Piece::Drip(vec![b'x'; 1 << 16], 1 << 14, Duration::ZERO),
    ];
    let (dns, web) = served(move |_| endless.clone()).await;
    assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, "more than 512 bytes", false);
    let (dns, web) = served(|_| ok(&format!("{KEY_AUTHORIZATION}{}", " ".repeat(1000)))).await;
    assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, "more than 512 bytes", false);
}

#[tokio::test]
async fn slow_answers_end_in_time() {
    let began = std::time::Instant::now();
    let drip = |start: &str| {
        vec![Piece::Bytes(start.as_bytes().to_vec()), Piece::Drip(b"x".to_vec(), 1000, Duration::from_millis(100))]
    };
    for start in ["HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", "HTTP/1.1 200 OK\r\nX-Slow: ", ""] {
        let script = drip(start);
        let (dns, web) = served(move |_| script.clone()).await;
        let quick = Settings { http_port: web.port(), timeout: Duration::from_millis(700), ..settings(&dns) };
        let outcome = look(quick, Http01, &name("www.a.test")).await;
        let failure = outcome.unwrap_err();
        // A body of dots is no HTTP; the others are waited for.
        let expected = if start.is_empty() { ProblemType::IncorrectResponse } else { ProblemType::Connection };
        assert_eq!(failure.problem.kind, expected, "{start:?}: {}", failure.problem.detail);
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_not_http_is_told_so() {
    for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\0\x01\x02\x03\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"] {
        let (dns, web) = served(move |_| raw(bytes)).await;
        assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, "does not answer in HTTP", false);
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: headers\r\n".repeat(2000));
    let (dns, web) = served(move |_| raw(many.as_bytes())).await;
    assert_failed(ask(&dns, &web).await, ProblemType::IncorrectResponse, "does not answer in HTTP", false);
    let (dns, web) = served(|_| Vec::new()).await;
    assert_failed(ask(&dns, &web).await, ProblemType::Connection, "broke", true);
}

#[tokio::test]
async fn who_is_away_may_come_back() {
    let (dns, web) = served(|_| ok("")).await;
    let port = web.port();
    drop(web);
    let gone = look(Settings { http_port: port, ..settings(&dns) }, Http01, &name("www.a.test")).await;
    assert_failed(gone, ProblemType::Connection, "cannot connect to 127.0.0.2", true);
}

#[tokio::test]
async fn tokens_with_path_characters_are_refused() {
    let (dns, web) = served(|_| ok(KEY_AUTHORIZATION)).await;
    let validator =
        chancery_acme_server::validation::Validator::new(Settings { http_port: web.port(), ..settings(&dns) }).unwrap();
    let identifier = name("www.a.test");
    for token in ["../../admin", "a/b", "a?b=c", "", "a\r\nHost: b"] {
        let question = crate::question(Http01, &identifier);
        let question = chancery_acme_server::validation::Question { token, ..question };
        assert_failed(validator.validate(&question).await, ProblemType::Malformed, "token", false);
    }
    assert_eq!(web.connections(), 0);
}

#[tokio::test]
async fn wildcards_are_not_shown_by_a_web_server() {
    let (dns, web) = served(|_| ok(KEY_AUTHORIZATION)).await;
    let validator =
        chancery_acme_server::validation::Validator::new(Settings { http_port: web.port(), ..settings(&dns) }).unwrap();
    let identifier = name("www.a.test");
    let question = crate::question(Http01, &identifier);
    let question = chancery_acme_server::validation::Question { wildcard: true, ..question };
    assert_failed(validator.validate(&question).await, ProblemType::Malformed, "names below", false);
    assert_eq!(web.connections(), 0);
}
