//! What clients lean on at the wire, from the status line to the last byte.

use crate::appliance::{Answer, start};

#[tokio::test]
async fn an_answer_is_the_whole_envelope_in_vaults_order() {
    let running = start().await;
    let empty = running.root("PUT", "/v1/kv/a", r#"{"b":"c"}"#).await;
    assert_eq!((empty.status, empty.text.as_str()), (204, ""));
    assert_eq!(empty.header("content-type"), "application/json");
    let answer = running.root("GET", "/v1/kv/a", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4);
    let start =
        format!("{{\"request_id\":\"{id}\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":2764800,\"data\":");
    assert!(answer.text.starts_with(&start), "{}", answer.text);
    assert!(answer.text.ends_with("\"wrap_info\":null,\"warnings\":null,\"auth\":null}\n"), "{}", answer.text);
}

#[tokio::test]
async fn failures_have_the_real_servers_texts() {
    let running = start().await;
    let weak = running.token(&["default"]).await;
    let expect = |answer: Answer, status: u16, body: &str| {
        assert_eq!((answer.status, answer.text.as_str()), (status, body));
        assert_eq!(answer.header("content-type"), "application/json");
    };
    let denied = "{\"errors\":[\"permission denied\"]}\n";
    expect(running.stranger("GET", "/v1/kv/a", "").await, 403, denied);
    expect(running.stranger("GET", "/v1/nosuch/a", "").await, 403, denied);
    expect(running.with_token("wrong", "GET", "/v1/kv/a", "").await, 403, denied);
    let listed = "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}\n";
    expect(running.with_token(&weak, "GET", "/v1/kv/a", "").await, 403, listed);
    expect(running.with_token(&weak, "GET", "/v1/nosuch/a", "").await, 403, listed);
    expect(
        running.root("GET", "/v1/nosuch/x", "").await,
        404,
        "{\"errors\":[\"no handler for route \\\"nosuch/x\\\". route entry not found.\"]}\n",
    );
    expect(running.root("GET", "/v1/kv/none", "").await, 404, "{\"errors\":[]}\n");
    expect(running.root("LIST", "/v1/kv", "").await, 404, "{\"errors\":[]}\n");
    expect(running.root("GET", "/v2/x", "").await, 404, "{\"errors\":[]}\n");
    expect(running.root("FOO", "/v1/kv/a", "").await, 405, "{\"errors\":[]}\n");
    expect(
        running.root("POST", "/v1/kv/a/", "{}").await,
        400,
        "{\"errors\":[\"cannot write to a path ending in '/'\"]}\n",
    );
    assert_eq!(running.root("POST", "/v1/kv/a", "{bad").await.status, 400);
    assert_eq!(running.root("POST", "/v1/kv/a", "[1]").await.status, 400);
    assert_eq!(running.root("PATCH", "/v1/kv/a", "{}").await.status, 415);
}

#[tokio::test]
async fn hostile_paths_are_refused_before_anyone_is_asked() {
    let running = start().await;
    let address = running.appliance.addresses()[0].0;
    for path in ["/v1/kv/%2e%2e/sys/seal", "/v1/kv/../sys", "/v1/kv/a%2fb", "/v1/kv/a%00", "/v1/kv/%ff", "/v1/kv/a%5cb"]
    {
        // A raw socket: every client library would tidy the path up.
        let answer = raw(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        assert!(answer.contains("{\"errors\":[\"path "), "{path}: {answer}");
    }
    let long = "x".repeat(5000);
    assert_eq!(running.root("GET", &format!("/v1/kv/{long}"), "").await.status, 400);
}

#[tokio::test]
async fn doubled_and_trailing_slashes_are_forgiven() {
    let running = start().await;
    running.root("POST", "/v1//kv//a", r#"{"b":"c"}"#).await;
    assert_eq!(running.root("GET", "/v1/kv//a/", "").await.status, 200);
    assert_eq!(running.root("GET", "/v1/kv/?list=true", "").await.json()["data"]["keys"][0], "a");
    assert_eq!(running.root("LIST", "/v1/kv/", "").await.json()["data"]["keys"][0], "a");
}

#[tokio::test]
async fn bodies_come_as_json_or_form_whatever_the_header_says() {
    let running = start().await;
    let send = |path: &str, content_type: &str, body: &str| {
        let request = running.request("POST", path).header("Authorization", format!("Bearer {}", running.root));
        request.header("Content-Type", content_type.to_owned()).body(body.to_owned()).send()
    };
    assert_eq!(send("/v1/kv/f", "application/x-www-form-urlencoded", "a=b+c").await.unwrap().status(), 204);
    assert_eq!(running.root("GET", "/v1/kv/f", "").await.json()["data"]["a"], "b c");
    assert_eq!(send("/v1/kv/j", "application/x-www-form-urlencoded", r#"{"a":1}"#).await.unwrap().status(), 204);
    assert_eq!(running.root("GET", "/v1/kv/j", "").await.json()["data"]["a"], 1);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let running = start().await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(33 << 20));
    assert_eq!(running.root("POST", "/v1/kv/a", &large).await.status, 413);
    let wide = format!("{{\"a\":[{}]}}", vec!["\"x\""; 20_000].join(","));
    assert_eq!(running.root("POST", "/v1/kv/a", &wide).await.status, 400);
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    assert_eq!(running.root("POST", "/v1/kv/a", &deep).await.status, 400);
    assert_eq!(running.root("GET", "/v1/kv/a", "").await.status, 404, "nothing was written");
}

#[tokio::test]
async fn large_headers_and_slow_clients_are_turned_away() {
    let running = start().await;
    let address = running.appliance.addresses()[0].0;
    let header = "x".repeat(40_000);
    let answer = raw(address, &format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: {header}\r\n\r\n")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn only_the_root_namespace_exists() {
    let running = start().await;
    for (namespace, status) in [("", 404), ("root", 404), ("root/", 404), ("team", 404)] {
        let request = running.request("GET", "/v1/kv/none").header("X-Vault-Token", &running.root);
        let answer = Answer::of(request.header("X-Vault-Namespace", namespace).send().await.unwrap()).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.text.contains("namespace not found"), namespace == "team", "{}", answer.text);
    }
}

#[tokio::test]
async fn a_wrapped_answer_shows_nothing_but_its_token() {
    let running = start().await;
    running.root("POST", "/v1/kv/a", r#"{"b":"s3cret"}"#).await;
    let wrapped = |ttl: &str| {
        let request = running.request("GET", "/v1/kv/a").header("X-Vault-Token", &running.root);
        request.header("X-Vault-Wrap-TTL", ttl.to_owned()).send()
    };
    let answer = Answer::of(wrapped("1m").await.unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains("s3cret"));
    let json = answer.json();
    assert!(json["data"].is_null());
    assert_eq!(json["wrap_info"]["ttl"], 60);
    assert_eq!(json["wrap_info"]["creation_path"], "kv/a");
    let token = chancery_engine::SecretString::new(json["wrap_info"]["token"].as_str().unwrap().to_owned());
    let inside = running.core().tokens.unwrap(&token).await.unwrap();
    assert!(String::from_utf8_lossy(&inside.payload).contains("s3cret"));
    assert!(running.core().tokens.unwrap(&token).await.is_err(), "a wrapping token works once");
    assert_eq!(wrapped("bogus").await.unwrap().status(), 400);
}

#[tokio::test]
async fn metrics_need_no_unbounded_labels() {
    let running = start().await;
    for number in 0..50 {
        running.root("GET", &format!("/v1/kv/{number}"), "").await;
        running.root("GET", &format!("/v1/nosuch{number}/x"), "").await;
    }
    let page = chancery_server::metrics::render(running.core());
    assert!(page.contains("vault_core_unsealed 1"), "{page}");
    assert!(page.contains("vault_core_handle_request_count 100"), "{page}");
    assert!(!page.contains("nosuch"));
    assert!(page.lines().count() < 120, "{page}");
}

async fn raw(address: std::net::SocketAddr, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that hangs up while we still write resets the connection.
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
