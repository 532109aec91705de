//! Roles that are programs.

use crate::{harness::Mount, openssl::Openssl};
use serde_json::json;

const TEMPLATE: &str = "CertTemplate{Subject: PKIX.Name{CommonName: request.common_name}, DNSNames: [request.common_name], NotBefore: now, NotAfter: now + duration('1h'), KeyUsage: 1, ExtKeyUsage: [1]}";

async fn mount(expression: &str) -> Mount {
    let mount = Mount::with_root().await;
    let role = json!({"cel_program": {
        "variables": [{"name": "cert", "expression": TEMPLATE}],
        "expression": expression,
    }});
    mount.write("cel/roles/r", role).await.ok();
    mount
}

#[tokio::test]
async fn a_program_decides_what_a_certificate_says() {
    let openssl = Openssl::new();
    let mount = mount(
        "request.common_name.endsWith('.example.com') ? ValidationOutput{template: cert, key_type: 'ec', key_bits: uint(256), warnings: ['careful']} : 'only example.com'",
    )
    .await;
    let reply = mount.write("cel/issue/r", json!({"common_name": "a.example.com"})).await;
    assert_eq!(reply.warnings, ["careful"]);
    let data = reply.ok();
    let shown = openssl.show(data["certificate"].as_str().unwrap());
    assert!(shown.contains("CN = a.example.com") && shown.contains("DNS:a.example.com"), "{shown}");
    assert!(shown.contains("TLS Web Server Authentication") && !shown.contains("Client"), "{shown}");
    assert_eq!(data["private_key_type"], "ec");
    mount.write("cel/issue/r", json!({"common_name": "a.example.org"})).await.refused("only example.com");
    mount.write("cel/issue/nope", json!({})).await.refused("CEL role not found");
    assert_eq!(mount.list("certs").await.ok()["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_program_reads_the_request_it_signs() {
    let openssl = Openssl::new();
    let mount = Mount::with_root().await;
    let expression = "ValidationOutput{template: CertTemplate{Subject: parsed_csr.Subject, DNSNames: parsed_csr.DNSNames, NotAfter: now + duration('1h')}}";
    mount.write("cel/roles/r", json!({"cel_program": {"expression": expression}})).await.ok();
    let key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let csr = openssl.csr("/CN=a.example.com/O=Org", &key, "subjectAltName=DNS:b.example.com");
    let signed = mount.write("cel/sign/r", json!({"csr": csr})).await.text("certificate");
    let shown = openssl.show(&signed);
    assert!(shown.contains("O = Org, CN = a.example.com") && shown.contains("DNS:b.example.com"), "{shown}");
    mount.write("cel/sign/r", json!({})).await.refused("\"csr\" is empty");
}

#[tokio::test]
async fn a_program_cannot_make_a_ca_nor_names_without_form() {
    let ca = mount("ValidationOutput{template: CertTemplate{IsCA: true}, key_type: 'ec'}").await;
    ca.write("cel/issue/r", json!({"common_name": "x"}))
        .await
        .refused("CertTemplate.IsCA: a CEL role cannot issue CA certificates");
    let names = mount("ValidationOutput{template: cert, key_type: 'ec'}").await;
    for name in ["a b", "a\u{0}b.example.com", "-"] {
        let reply = names.write("cel/issue/r", json!({"common_name": name})).await;
        assert!(reply.status == 400 || !reply.data["certificate"].is_null(), "{name:?}: {reply:?}");
        if reply.status == 200 {
            let shown = Openssl::new().show(reply.data["certificate"].as_str().unwrap());
            assert!(!shown.contains(&format!("DNS:{name}")), "{shown}");
        }
    }
    assert_eq!(names.list("certs").await.ok()["keys"].as_array().unwrap().len(), 1 + 2);
}

#[tokio::test]
async fn programs_are_kept_shown_listed_and_deleted() {
    let mount = mount("'no'").await;
    let role = mount.read("cel/roles/r").await.ok();
    assert_eq!((&role["name"], &role["cel_program"]["expression"]), (&json!("r"), &json!("'no'")));
    assert_eq!(mount.list("cel/roles").await.ok()["keys"], json!(["r"]));
    mount.patch("cel/roles/r", json!({"cel_program": {"expression": "'new'"}})).await.ok();
    assert_eq!(mount.read("cel/roles/r").await.ok()["cel_program"], json!({"expression": "'new'"}));
    mount.write("cel/roles/r", json!({})).await.refused("missing required field 'cel_program'");
    assert_eq!(mount.delete("cel/roles/r").await.status, 204);
    assert_eq!(mount.read("cel/roles/r").await.status, 404);
    mount
        .patch("cel/roles/r", json!({"cel_program": {"expression": "'x'"}}))
        .await
        .refused("Unable to fetch cel role entry to patch");
}
