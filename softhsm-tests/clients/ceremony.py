#!/usr/bin/env python3
"""A key ceremony on SoftHSM that goes wrong in every way it can, and one that does not, judged by openssl.

Run it as `chancery dev -- python ceremony.py CHANCERY`. What docs/ceremony.md shows is run from there; this is the rest:
approvals that do not count, files that changed, keys outside of the HSM, a step that fails, cross-signing, requests from
elsewhere, transcripts that were altered. Every line printed was asserted.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

CHANCERY = os.path.abspath(sys.argv[1])
done = 0


def fact(text, truth):
    global done
    assert truth, f"not so: {text}"
    done += 1
    print(f"  ok  {text}")


def run(*arguments, expect=0):
    output = subprocess.run([CHANCERY, *map(str, arguments)], capture_output=True, text=True)
    assert output.returncode == expect, f"{arguments}: {output.returncode}\n{output.stdout}{output.stderr}"
    return output.stdout + output.stderr


def openssl(*arguments):
    output = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    return output.returncode == 0, output.stdout + output.stderr


def ceremony(*arguments, expect=0):
    return run("ca", "ceremony", *arguments, expect=expect)


def person(name):
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", f"{name}.key")[0]
    assert openssl("pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pub")[0]
    return f'[[approver]]\nname = "{name}"\npublic_key = """\n{pathlib.Path(f"{name}.pub").read_text()}"""\n'


def plan(name, steps, people, threshold=2, transcript="transit/ceremony"):
    head = f'name = "{name}"\nthreshold = {threshold}\ntranscript = "{transcript}"\n'
    path = pathlib.Path(f"{name}.toml")
    path.write_text(head + "".join(people) + steps)
    return path


def root(name, mount="pki_a", **more):
    extra = "".join(f"{member} = {value}\n" for member, value in more.items())
    return (f'[[step]]\naction = "root"\nmount = "{mount}"\nissuer_name = "{name}"\n'
            f'key = {{ name = "{name}", type = "ec", bits = 256 }}\n'
            f'[step.certificate]\ncommon_name = "{name}"\nttl = "8760h"\n{extra}')


def approve(path, *names):
    flags = []
    for name in names:
        out = f"{path.stem}.{name}.approval"
        ceremony("approve", path, "--as", name, "--key", f"{name}.key", "--out", out)
        flags += ["--approval", out]
    return flags


def issuers(mount):
    output = subprocess.run([CHANCERY, "list", "--format", "json", f"{mount}/issuers"], capture_output=True, text=True)
    return json.loads(output.stdout) if output.returncode == 0 else []


def approvals_that_do_not_count(people):
    path = plan("first", root("r1"), people)
    flags = approve(path, "alice", "bob")
    text = ceremony("run", path, *flags[:2], "--transcript", "t0.json", expect=1)
    fact("one approval of two is too few", "1 of 2 approvals" in text)
    text = ceremony("run", path, *flags[:2], *flags[:2], "--transcript", "t0.json", expect=1)
    fact("nobody counts twice", "nobody counts twice" in text)
    text = ceremony("approve", path, "--as", "carol", "--key", "alice.key", "--out", "x", expect=1)
    fact("alice cannot approve as carol", "this key is not the one the file names for carol" in text)
    text = ceremony("approve", path, "--as", "mallory", "--key", "alice.key", "--out", "x", expect=1)
    fact("a stranger is no approver", '"mallory" is no approver' in text)
    changed = pathlib.Path("first.toml")
    before = changed.read_text()
    changed.write_text(before.replace("8760h", "87600h"))
    text = ceremony("run", path, *flags, "--transcript", "t0.json", expect=1)
    fact("a changed file needs new approvals", "approved another file" in text)
    changed.write_text(before + "\n")
    text = ceremony("run", path, *flags, "--transcript", "t0.json", expect=1)
    fact("a byte more is another file", "approved another file" in text)
    changed.write_text(before)
    fact("nothing was made by any of these", issuers("pki_a") == [] and not pathlib.Path("t0.json").exists())
    return path, flags


def keys_that_do_not_sign(people):
    run("transit", "key", "create", "soft", "--type", "ecdsa-p256")
    path = plan("soft", root("r1"), people, transcript="transit/soft")
    text = ceremony("run", path, "--dry-run", expect=1)
    fact("a key outside of the HSM signs no transcript", "its protection is not hsm" in text)
    path = plan("nokey", root("r1"), people, transcript="transit/nokey")
    fact("a key that is not there neither", "transit/keys/nokey" in ceremony("run", path, "--dry-run", expect=2))
    path = plan("unknown", root("r1", colour='"red"'), people)
    fact("a member nobody knows is an error", "unknown field `colour`" in ceremony("run", path, "--dry-run", expect=1))
    path = plan("nomount", root("r1", mount="nowhere"), people)
    fact("a mount that is not there is an error", "nowhere" in ceremony("run", path, "--dry-run", expect=2))


def the_one_that_works(path, flags):
    text = ceremony("run", path, *flags, "--dry-run")
    fact("the dry run shows the request", "POST pki_a/root/generate/internal" in text and "nothing was changed" in text)
    fact("and changes nothing", issuers("pki_a") == [])
    ceremony("run", path, *flags, "--transcript", "t1.json")
    fact("the root is there", len(issuers("pki_a")) == 1)
    text = ceremony("run", path, *flags, "--transcript", "t1.json", expect=1)
    fact("a transcript is not written over", "t1.json exists" in text)
    text = ceremony("run", path, *flags, "--transcript", "t2.json", expect=1)
    fact("the same ceremony is not carried out twice", "pki_a has an issuer r1" in text and len(issuers("pki_a")) == 1)


def cross_signing(people):
    pathlib.Path("site.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    made, text = openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "site.key", "-subj", "/CN=Site",
                         "-config", "site.cnf", "-out", "site.csr")
    assert made, text
    digest = hashlib.sha256(pathlib.Path("site.csr").read_bytes()).hexdigest()
    signed_by = 'signed_by = { mount = "pki_b", issuer = "r2" }\n'
    steps = root("r2", mount="pki_b", max_path_length=1) + (
        f'[[step]]\naction = "cross-sign"\nmount = "pki_a"\nissuer_name = "r1-by-r2"\nkey = "r1"\n{signed_by}'
        '[step.certificate]\ncommon_name = "r1"\nttl = "720h"\nmax_path_length = 0\n'
    ) + (
        f'[[step]]\naction = "sign-csr"\nname = "site"\ncsr = "site.csr"\ncsr_sha256 = "{digest}"\n{signed_by}'
        '[step.certificate]\ncommon_name = "Site"\nttl = "720h"\nmax_path_length = 0\npermitted_dns_domains = ["site.example"]\n'
    )
    path = plan("second", steps, people)
    flags = approve(path, "alice", "carol")
    request = pathlib.Path("site.csr").read_text()
    pathlib.Path("site.csr").write_text(request + "\n")
    fact("another request than the approved one is refused",
         "is not the request that is to be approved" in ceremony("run", path, *flags, "--transcript", "t3.json", expect=1))
    pathlib.Path("site.csr").write_text(request)
    ceremony("run", path, *flags, "--transcript", "t3.json")
    text = ceremony("verify", "t3.json", "--public-key", "ceremony.pub", "--file", path, "--certificates", "made")
    fact("alice and carol approved it", "alice, carol" in text and "complete" in text)
    for name in ("r1-by-r2", "site"):
        good, text = openssl("verify", "-x509_strict", "-CAfile", "made/r2.pem", f"made/{name}.pem")
        fact(f"openssl verifies {name} under the other root", good)
    ceremony("verify", "t1.json", "--public-key", "ceremony.pub", "--certificates", "first")
    keys = [openssl("x509", "-in", name, "-noout", "-pubkey")[1] for name in ("first/r1.pem", "made/r1-by-r2.pem")]
    fact("the cross-certificate is for the key of the first root", keys[0] == keys[1])
    good, text = openssl("x509", "-in", "made/site.pem", "-noout", "-text")
    fact("what the file says stands in the certificate", "pathlen:0" in text and "DNS:site.example" in text)


def a_step_that_fails(people):
    path = plan("third", root("r3") + root("r4", permitted_dns_domains='["a\\u0000b"]', country='["USA"]'), people)
    flags = approve(path, "alice", "bob")
    ceremony("run", path, *flags, "--transcript", "t4.json", expect=2)
    text = ceremony("verify", "t4.json", "--public-key", "ceremony.pub", "--file", path)
    fact("a ceremony that fails leaves a transcript that says so", "failed: error: writing to pki_a/root/generate" in text)
    run("read", "pki_a/issuer/r3")
    run("read", "pki_a/issuer/r4", expect=2)
    fact("what was made until then is there, the rest is not", True)


def altered_transcripts():
    whole = json.loads(pathlib.Path("t1.json").read_text())
    altered = dict(whole, transcript=whole["transcript"].replace("r1", "r9"))
    pathlib.Path("altered.json").write_text(json.dumps(altered))
    fact("an altered transcript proves nothing", "NOT proven" in ceremony("verify", "altered.json", expect=4))
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", "eve.key")[0]
    assert openssl("pkey", "-in", "eve.key", "-pubout", "-out", "eve.pub")[0]
    pathlib.Path("t.bin").write_text(altered["transcript"])
    assert openssl("pkeyutl", "-sign", "-inkey", "eve.key", "-rawin", "-in", "t.bin", "-out", "t.sig")[0]
    import base64
    forged = dict(altered, public_key=pathlib.Path("eve.pub").read_text(),
                  signature=base64.b64encode(pathlib.Path("t.sig").read_bytes()).decode())
    pathlib.Path("forged.json").write_text(json.dumps(forged))
    fact("nor does one signed by somebody else, once the key is pinned",
         "NOT proven" in ceremony("verify", "forged.json", "--public-key", "ceremony.pub", expect=4))
    fact("one about another file neither",
         "NOT proven" in ceremony("verify", "t1.json", "--file", "second.toml", expect=4))
    entries = json.loads(whole["transcript"])["entries"]
    fact("each request is named as the audit log names it", all(entry["request_id"] for entry in entries))
    fact("no private key stands in it", "PRIVATE KEY" not in whole["transcript"])


def main():
    for mount in ("pki_a", "pki_b"):
        run("secrets", "enable", "--path", mount, "pki")
        run("secrets", "tune", "--max-lease-ttl", "87600h", f"{mount}/")
    run("transit", "key", "create", "ceremony", "--type", "ecdsa-p256", "protection=hsm")
    shown = json.loads(run("transit", "key", "show", "--format", "json", "ceremony"))
    pathlib.Path("ceremony.pub").write_text(shown["data"]["keys"]["1"]["public_key"] + "\n")
    people = [person(name) for name in ("alice", "bob", "carol")]
    keys_that_do_not_sign(people)
    path, flags = approvals_that_do_not_count(people)
    the_one_that_works(path, flags)
    cross_signing(people)
    a_step_that_fails(people)
    altered_transcripts()
    print(f"{done} facts about ceremonies")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        main()
