//! Batches of `encrypt` and `decrypt`: order, labels, shapes.

use crate::harness::{Mount, b64, envelope, payload};
use serde_json::{Value, json};

const BAD_BASE64: &str = "illegal base64 data at input byte 0";

#[tokio::test]
async fn results_keep_order_and_references() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let items: Vec<Value> =
            (0..100).map(|n| json!({"plaintext": b64(&[n]), "reference": format!("r\"{n}\n")})).collect();
        let sealed = mount.write("encrypt/k", json!({"batch_input": items})).await.ok();
        let sealed = sealed["batch_results"].as_array().unwrap();
        let back: Vec<Value> = sealed
            .iter()
            .map(|item| json!({"ciphertext": item["ciphertext"], "reference": item["reference"]}))
            .collect();
        let opened = mount.write("decrypt/k", json!({"batch_input": back})).await.ok();
        for (n, item) in opened["batch_results"].as_array().unwrap().iter().enumerate() {
            let n = u8::try_from(n).unwrap();
            assert_eq!(*item, json!({"plaintext": b64(&[n]), "reference": format!("r\"{n}\n")}));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_shape_at_the_end_of_a_large_batch_fails_all_of_it() {
    let mount = Mount::with_key(json!({})).await;
    let mut items: Vec<Value> = (0..20_000_u32).map(|n| json!({"plaintext": b64(&n.to_be_bytes())})).collect();
    items.push(json!({"ciphertext": "vault:v1:x"}));
    let reply = mount.write("encrypt/k", json!({"batch_input": items})).await;
    reply.refused("failed to parse batch input: '[20000].plaintext' missing plaintext to encrypt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_over_several_threads_keeps_order_and_its_one_mistake() {
    let mount = Mount::with_key(json!({})).await;
    let mut items: Vec<Value> = (0..10_000_u32).map(|n| json!({"plaintext": b64(&n.to_be_bytes())})).collect();
    items[7_777]["plaintext"] = json!("!");
    let reply = mount.write("encrypt/k", json!({"batch_input": items})).await;
    assert_eq!(reply.status, 400);
    let results = reply.data["batch_results"].as_array().unwrap();
    assert_eq!(results.len(), 10_000);
    assert_eq!(results[7_777], json!({"error": BAD_BASE64, "reference": ""}));
    let back: Vec<Value> = results
        .iter()
        .filter(|item| item.get("ciphertext").is_some())
        .map(|item| json!({"ciphertext": item["ciphertext"]}))
        .collect();
    let opened = mount.write("decrypt/k", json!({"batch_input": back})).await.ok();
    let expected = (0..10_000_u32).filter(|n| *n != 7_777).map(|n| b64(&n.to_be_bytes()));
    for (item, expected) in opened["batch_results"].as_array().unwrap().iter().zip(expected) {
        assert_eq!(item["plaintext"], expected);
    }
}

#[tokio::test]
async fn a_mistake_in_one_item_labels_the_whole_answer() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let mixed = json!([{"plaintext": "eA==", "reference": "r1"}, {"plaintext": "!!"}]);
        let reply = mount.write("encrypt/k", json!({"batch_input": mixed})).await;
        assert_eq!(reply.status, 400);
        let results = &reply.data["batch_results"];
        assert_eq!((&results[0]["key_version"], &results[0]["reference"]), (&json!(1), &json!("r1")));
        assert_eq!(results[1], json!({"error": BAD_BASE64, "reference": ""}));
        for (code, status) in [(json!(207), 207), (json!("202"), 202), (json!(99), 400), (json!(0), 400)] {
            let body = json!({"batch_input": mixed, "partial_failure_response_code": code});
            assert_eq!(mount.write("encrypt/k", body).await.status, status);
        }
        let all_bad = json!({"batch_input": [{"plaintext": "!!"}], "partial_failure_response_code": 207});
        assert_eq!(mount.write("encrypt/k", all_bad).await.status, 400);
        let all_good = json!({"batch_input": [{"plaintext": ""}], "partial_failure_response_code": 207});
        assert_eq!(mount.write("encrypt/k", all_good).await.status, 200);
    }
}

#[tokio::test]
async fn decrypting_items_always_show_a_plaintext() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let good = mount.ciphertext(b"text").await;
        let mut raw = payload(&good);
        raw[13] ^= 1;
        let items = json!([
            {"ciphertext": good, "reference": "q"}, {"ciphertext": "x"}, {"ciphertext": ""},
            {"ciphertext": envelope("v1", &raw)}
        ]);
        let reply = mount.write("decrypt/k", json!({"batch_input": items})).await;
        assert_eq!(reply.status, 400);
        assert_eq!(
            reply.data,
            json!({"batch_results": [
                {"plaintext": b64(b"text"), "reference": "q"},
                {"plaintext": "", "error": "invalid ciphertext: no prefix", "reference": ""},
                {"plaintext": "", "error": "missing ciphertext to decrypt", "reference": ""},
                {"plaintext": "", "error": "cipher: message authentication failed", "reference": ""}
            ]})
        );
    }
}

#[tokio::test]
async fn wrong_shapes_fail_the_whole_batch() {
    let mount = Mount::with_key(json!({})).await;
    let prefix = "failed to parse batch input: ";
    for (items, text) in [
        (json!(5), "source data must be an array or slice, got json.Number"),
        (json!("x"), "source data must be an array or slice, got string"),
        (json!({"plaintext": ""}), "source data must be an array or slice, got map[string]interface {}"),
        (json!([5]), "[0] expected a map, got 'json.Number'"),
        (json!([{}]), "'[0].plaintext' missing plaintext to encrypt"),
        (json!([{"plaintext": ""}, {}]), "'[1].plaintext' missing plaintext to encrypt"),
        (
            json!([{"plaintext": "", "key_version": "1"}]),
            "'[0].key_version' expected type 'int', got unconvertible type 'string'",
        ),
        (
            json!([{"plaintext": "", "reference": 7}]),
            "'[0].reference' expected type 'string', got unconvertible type 'json.Number'",
        ),
    ] {
        mount.write("encrypt/k", json!({"batch_input": items})).await.refused(&format!("{prefix}{text}"));
    }
    mount
        .write("decrypt/k", json!({"batch_input": [{"ciphertext": "x"}, {}]}))
        .await
        .refused(&format!("{prefix}'[1].ciphertext' missing ciphertext to decrypt"));
    for endpoint in ["encrypt", "decrypt", "rewrap", "sign", "verify", "hmac"] {
        let key = if endpoint == "sign" || endpoint == "verify" { "s" } else { "k" };
        mount.write("keys/s", json!({"type": "ed25519"})).await.ok();
        let reply = mount.write(&format!("{endpoint}/{key}"), json!({"batch_input": []})).await;
        reply.refused("missing batch input to process");
    }
    mount.write("encrypt/k", json!({"batch_input": null})).await.refused("missing plaintext to encrypt");
}

#[tokio::test]
async fn contexts_are_in_all_items_or_in_none() {
    let mount = Mount::with_key(json!({})).await;
    let text = "context should be set either in all the request blocks or in none";
    let mixed = json!({"batch_input": [{"plaintext": "", "context": "eA=="}, {"plaintext": ""}]});
    mount.write("encrypt/k", mixed).await.refused(text);
    let mixed = json!({"batch_input": [{"ciphertext": "x", "context": "eA=="}, {"ciphertext": "x"}]});
    mount.write("decrypt/k", mixed.clone()).await.refused(text);
    mount.write("rewrap/k", mixed).await.refused(text);
}

/// The batch stays a 200, as OpenBao's does: clients look into the item.
#[tokio::test]
async fn associated_data_without_an_aead_is_a_mistake_of_its_item() {
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    let reply = mount
        .write("encrypt/k", json!({"batch_input": [{"plaintext": ""}, {"plaintext": "", "associated_data": "eA=="}]}))
        .await;
    // The whole answer stands in the failure, so that a run on a token sees which mechanism was missing.
    assert_eq!(reply.status, 200, "{reply:?}");
    let text = "'[1].associated_data' provided for non-AEAD cipher suite rsa-2048";
    assert_eq!(reply.data["batch_results"][1]["error"], text);
}

#[tokio::test]
async fn versions_are_chosen_per_item() {
    let mount = Mount::with_key(json!({})).await;
    mount.write("keys/k/rotate", json!({})).await.ok();
    let items = json!([
        {"plaintext": "", "key_version": 1}, {"plaintext": "", "key_version": 0}, {"plaintext": "", "key_version": -1},
        {"plaintext": "", "key_version": 9}
    ]);
    let reply = mount.write("encrypt/k", json!({"batch_input": items})).await;
    let results = &reply.data["batch_results"];
    assert_eq!((&results[0]["key_version"], &results[1]["key_version"]), (&json!(1), &json!(2)));
    assert_eq!(results[2]["error"], "requested version for encryption is negative");
    assert_eq!(results[3]["error"], "requested version for encryption is higher than the latest key version");
}
