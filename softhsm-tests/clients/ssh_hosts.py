#!/usr/bin/env python3
"""The SSH CA against real sshd, ssh, ssh-agent and ssh-keygen on loopback.

usage: CHANCERY_ADDR=… CHANCERY_TOKEN=… ssh_hosts.py CHANCERY [CASE...]

Users are the one who runs this, under the principal `deploy`. Nothing outside of a temporary directory is written, but
for sshd's /run/sshd.
"""

import contextlib
import getpass
import http.server
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import ssh_lists  # noqa: E402

CHANCERY = Path(sys.argv[1]).resolve()
ADDRESS, TOKEN = os.environ["CHANCERY_ADDR"], os.environ["CHANCERY_TOKEN"]
USER = getpass.getuser()
checks = 0


def check(fact, what):
    global checks
    checks += 1
    if not fact:
        raise AssertionError(what)


def api(method, path, body=None, token=TOKEN, status=None):
    request = urllib.request.Request(f"{ADDRESS}/v1/{path}", method=method, data=None if body is None else json.dumps(body).encode())
    if token:
        request.add_header("X-Vault-Token", token)
    try:
        with urllib.request.urlopen(request) as answer:
            code, content = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        code, content = error.code, error.read()
    check(code in ((status,) if status else (200, 204)), f"{method} {path} answered {code}: {content!r}")
    try:
        return json.loads(content).get("data") or {} if content else {}
    except ValueError:
        return content


def text(path):
    return api("GET", path, token=None).decode()


def run(*words, code=0, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, **options)
    check(code is None or done.returncode == code, f"{words} exited with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def chancery(*words, code=0, **options):
    return run(CHANCERY, *words, code=code, **options)


def key(home, name, kind="ed25519"):
    path = home / name
    if not path.exists():
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", path)
    return path


def sign(home, name, role="user", mount="ssh", **members):
    """A certificate for the key `name`, written where ssh looks for it."""
    path = key(home, name)
    answer = api("POST", f"{mount}/sign/{role}", {"public_key": Path(f"{path}.pub").read_text(), **members})
    certificate = Path(f"{path}-cert.pub")
    certificate.write_text(answer["signed_key"])
    shown = run("ssh-keygen", "-L", "-f", certificate).stdout
    check(f"Serial: {int(answer['serial_number'], 16)}" in shown, f"ssh-keygen -L shows another serial number: {shown}")
    return answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sshd:
    """An sshd of ours. `shift` moves its clock."""

    def __init__(self, home, name, lines=(), shift=None):
        self.port, self.home = free_port(), home / name
        self.home.mkdir(exist_ok=True)
        self.trusted, self.krl, self.log = self.home / "trusted", self.home / "krl", self.home / "log"
        host_key = key(self.home, "host")
        (self.home / "principals").write_text("deploy\n")
        config = [
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"PidFile {self.home}/pid", "AuthorizedKeysFile none",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UsePAM no", "StrictModes no", "LogLevel VERBOSE",
            "MaxStartups 100", f"AuthorizedPrincipalsFile {self.home}/principals", f"AllowUsers {USER}", "PermitRootLogin yes",
            *(lines or (f"HostKey {host_key}", f"TrustedUserCAKeys {self.trusted}", f"RevokedKeys {self.krl}")),
        ]  # fmt: skip
        (self.home / "config").write_text("\n".join(config) + "\n")
        self.environment = dict(os.environ)
        if shift:
            library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
            self.environment.update(LD_PRELOAD=str(library), FAKETIME=shift)
        self.known = self.home / "known"
        self.known.write_text(f"[127.0.0.1]:{self.port} {Path(f'{host_key}.pub').read_text()}")

    def pull(self, mount="ssh"):
        self.trusted.write_text(text(f"{mount}/trusted_keys"))
        chancery("ssh-ca", "--mount", mount, "krl", "pull", "--output", self.krl)

    def __enter__(self):
        run("/usr/sbin/sshd", "-t", "-f", self.home / "config")
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", self.home / "config", "-E", self.log], env=self.environment)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.05)
        raise AssertionError(f"sshd does not listen: {self.log.read_text()}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def login(self, identity, command="echo in", options=(), **more):
        words = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes",
                 "-o", f"UserKnownHostsFile={self.known}", *options, "-p", self.port]
        if identity:
            words += ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", identity]
        return run(*words, f"{USER}@127.0.0.1", command, code=None, **more)

    def accepts(self, identity, why, **more):
        done = self.login(identity, **more)
        check(done.returncode == 0 and done.stdout == "in\n", f"{why}: refused: {done.stderr}{self.log.read_text()[-2000:]}")

    def refuses(self, identity, why, reason=None, **more):
        done = self.login(identity, **more)
        check(done.returncode == 255, f"{why}: let in: {done.stdout}{done.stderr}")
        check(reason is None or reason in self.log.read_text(), f"{why}: sshd's log lacks {reason!r}: {self.log.read_text()[-2000:]}")


def mount(name, **ca):
    """A fresh mount with a role for users."""
    api("POST", f"sys/mounts/{name}", {"type": "ssh"})
    if ca:
        api("POST", f"{name}/config/ca", ca)
    role(name, "user", allow_user_certificates=True, allowed_users="*", ttl="30m", allowed_extensions="*", allow_user_key_ids=True)
    return name


def role(mount_name, name, **members):
    api("POST", f"{mount_name}/roles/{name}", {"key_type": "ca", **members})


# ----------------------------------------------------------------------------------------------------------------- cases


def every_kind_of_ca_is_believed(home):
    name = mount("ssh-kinds")
    kinds = {"p256": ("ec", 256), "p384": ("ec", 384), "p521": ("ec", 521), "ed25519": ("ed25519", 0), "rsa": ("rsa", 2048)}
    trusted = ""
    for issuer, (kind, bits) in kinds.items():
        trusted += api("POST", f"{name}/issuers/import/{issuer}", {"key_type": kind, "key_bits": bits})["public_key"]
    with Sshd(home, "kinds") as sshd:
        sshd.pull(name)
        sshd.trusted.write_text(trusted)
        for issuer in kinds:
            for signer in ("rsa-sha2-256", "rsa-sha2-512") if issuer == "rsa" else ("default",):
                role(name, "r", allow_user_certificates=True, allowed_users="*", issuer_ref=issuer, algorithm_signer=signer)
                sign(home, "kinds-user", "r", name, valid_principals="deploy")
                shown = run("ssh-keygen", "-L", "-f", home / "kinds-user-cert.pub").stdout
                check(issuer != "rsa" or f"using {signer}" in shown, shown)
                sshd.accepts(home / "kinds-user", f"CA {issuer} {signer}")
        for kind in ("ecdsa", "rsa"):
            key(home, f"subject-{kind}", kind)
            sign(home, f"subject-{kind}", "r", name, valid_principals="deploy")
            sshd.accepts(home / f"subject-{kind}", f"a user's key of type {kind}")


def principals_and_times_are_obeyed(home):
    role("ssh", "brief", allow_user_certificates=True, allowed_users="*", ttl="1h", not_before_duration="1s")
    sign(home, "times", "brief", valid_principals="deploy")
    sign(home, "other", "brief", valid_principals="somebody")
    for name, shift, reason in (("early", "-3h", "not yet valid"), ("late", "+3h", "expired")):
        with Sshd(home, name, shift=shift) as sshd:
            sshd.pull()
            sshd.refuses(home / "times", name, reason)
    with Sshd(home, "now") as sshd:
        sshd.pull()
        sshd.accepts(home / "times", "in time")
        sshd.refuses(home / "other", "another principal", "does not contain an authorized principal")
        sshd.refuses(key(home, "bare"), "no certificate at all")


def options_are_obeyed(home):
    role("ssh", "bound", allow_user_certificates=True, allowed_users="*", allowed_extensions="*")
    with Sshd(home, "options") as sshd:
        sshd.pull()
        sign(home, "options-user", "bound", valid_principals="deploy", critical_options={"source-address": "10.0.0.0/8"})
        sshd.refuses(home / "options-user", "source-address elsewhere", "permitted source address")
        sign(home, "options-user", "bound", valid_principals="deploy", critical_options={"source-address": "127.0.0.0/8,::1"})
        sshd.accepts(home / "options-user", "source-address here")
        sign(home, "options-user", "bound", valid_principals="deploy", critical_options={"force-command": "echo forced"})
        check(sshd.login(home / "options-user", "echo chosen").stdout == "forced\n", "force-command")
        sign(home, "options-user", "bound", valid_principals="deploy", critical_options={"verify-required": ""})
        sshd.accepts(home / "options-user", "verify-required, which sshd knows and asks of security keys only")
        sign(home, "options-user", "bound", valid_principals="deploy", extensions={"permit-pty": ""})
        check("PTY" not in sshd.login(home / "options-user", "echo in", ["-tt"]).stderr, "permit-pty")
        sign(home, "options-user", "bound", valid_principals="deploy")
        check("PTY allocation request failed" in sshd.login(home / "options-user", "echo in", ["-tt"]).stderr, "no permit-pty")


def every_kind_of_revocation_is_obeyed(home):
    name = mount("ssh-revoked", key_type="ec")
    revoke = lambda **body: api("POST", f"{name}/revoke", body)  # noqa: E731

    def dense(serial):
        for other in range(serial, serial + 400, 2):
            revoke(serial_number=f"{other:x}", issuer_ref="default")

    ways = {
        "list": lambda serial, _: revoke(serial_number=f"{serial:x}"),
        "range": lambda serial, _: revoke(first_serial_number=f"{serial:x}", last_serial_number=f"{serial + 5000:x}"),
        "key id": lambda _, path: revoke(key_id=f"id of {path.name}"),
        "key": lambda _, path: revoke(public_key=Path(f"{path}.pub").read_text()),
        "fingerprint": lambda _, path: revoke(fingerprint=run("ssh-keygen", "-l", "-f", f"{path}.pub").stdout.split()[1]),
        # Every second number from here on; the next certificate gets the one between.
        "bitmap": lambda serial, _: dense(serial),
        "issuer": lambda *_: revoke(issuer="default"),
    }
    with Sshd(home, "revoked") as sshd:
        sshd.pull(name)
        before = ssh_lists.sections(sshd.krl.read_bytes())
        check(before == {}, f"a list of nothing has sections: {before}")
        for number, (way, act) in enumerate(ways.items()):
            user = f"revoked-{number}"
            answer = sign(home, user, "user", name, valid_principals="deploy", key_id=f"id of {user}")
            sshd.accepts(home / user, f"before it is revoked by {way}")
            act(int(answer["serial_number"], 16), home / user)
            sshd.accepts(home / user, f"{way}: before the list is pulled")
            sshd.pull(name)
            section = {"issuer": "key"}.get(way, way)
            check(section in ssh_lists.sections(sshd.krl.read_bytes()), f"{way}: the list has {ssh_lists.sections(sshd.krl.read_bytes())}")
            sshd.refuses(home / user, f"revoked by {way}", "revoked")
            if way == "range":
                # The numbers behind it are used up by the range; what is taken back is good again.
                last = api("GET", f"{name}/revocations?list=true")["keys"][-1]
                api("DELETE", f"{name}/revocation/{last}")
                sshd.pull(name)
                sshd.accepts(home / user, "taken back")


def hosts_are_believed_by_certificate(home):
    name = mount("ssh-hosts", key_type="ec")
    role(name, "host", allow_host_certificates=True, allowed_domains="test", allow_subdomains=True)
    sign(home, "hosts-user", "user", name, valid_principals="deploy")
    sign(home, "hosts-host", "host", name, cert_type="host", valid_principals="a.test")
    lines = (f"HostKey {home}/hosts-host", f"HostCertificate {home}/hosts-host-cert.pub", f"TrustedUserCAKeys {home}/hosts/trusted",
             f"RevokedKeys {home}/hosts/krl")  # fmt: skip
    with Sshd(home, "hosts", lines) as sshd:
        sshd.pull(name)
        sshd.known.write_text(f"@cert-authority *.test {text(f'{name}/public_key')}")
        alias = lambda host: ("-o", f"HostKeyAlias={host}")  # noqa: E731
        sshd.accepts(home / "hosts-user", "the name in the certificate", options=alias("a.test"))
        sshd.refuses(home / "hosts-user", "another name", options=alias("b.test"))
        revoked = ("-o", f"RevokedHostKeys={sshd.krl}")
        sshd.accepts(home / "hosts-user", "not revoked", options=(*alias("a.test"), *revoked))
        api("POST", f"{name}/revoke", {"public_key": (home / "hosts-host.pub").read_text()})
        sshd.pull(name)
        sshd.refuses(home / "hosts-user", "a revoked host", options=(*alias("a.test"), *revoked))


def hosts_enrol_and_renew_themselves(home):
    name = mount("ssh-fleet", key_type="ec")
    role(name, "host", allow_host_certificates=True, allowed_domains="test", allow_subdomains=True, allow_host_renewal=True, ttl="24h")
    place = home / "etc"
    place.mkdir()
    (place / "ssh_known_hosts").write_text("other ssh-ed25519 AAAA\n")
    host = lambda *words, **options: chancery("ssh-ca", "--mount", name, "host", *words, "--directory", place, **options)  # noqa: E731
    enrol = ("enrol", "--name", "a.test", "--name", "b.test")
    told = host(*enrol, "--dry-run").stdout
    check("would have" in told and sorted(path.name for path in place.iterdir()) == ["ssh_known_hosts"], f"--dry-run wrote: {told}")
    host(*enrol)
    check(host(*enrol).stdout == "Everything is as it should be.\n", "enrolling twice changes nothing")
    check((place / "ssh_known_hosts").read_text().startswith("other ssh-ed25519 AAAA\n@cert-authority *.test "), "known_hosts")
    sign(home, "fleet-user", "user", name, valid_principals="deploy")
    stranger = {name: value for name, value in os.environ.items() if not name.endswith("_TOKEN")} | {"HOME": str(home)}
    with Sshd(home, "fleet", [f"Include {place}/sshd_config.d/*.conf"]) as sshd:
        sshd.known = place / "ssh_known_hosts"
        options = ("-o", "HostKeyAlias=b.test")
        sshd.accepts(home / "fleet-user", "the enrolled host", options=options)
        first = (place / "ssh_host_ed25519_key-cert.pub").read_text()
        host("renew", env=stranger)
        check((place / "ssh_host_ed25519_key-cert.pub").read_text() == first, "a certificate with its life before it is left alone")
        reloaded = home / "reloaded"
        host("renew", "--force", "--reload", f"kill -HUP {sshd.process.pid} && touch {reloaded}", env=stranger)
        check((place / "ssh_host_ed25519_key-cert.pub").read_text() != first and reloaded.exists(), "renewed without a token")
        time.sleep(0.5)
        sshd.accepts(home / "fleet-user", "the renewed host", options=options)
        rows = api("GET", f"{name}/certificates?list=true&cert_type=host")["key_info"]
        check(sorted(row["requester"] for row in rows.values())[0] == "renewal of 1" and len(rows) == 2, rows)
    api("POST", f"{name}/revoke", {"public_key": (place / "ssh_host_ed25519_key.pub").read_text()})
    refused = host("renew", "--force", env=stranger, code=2)
    check("is revoked" in refused.stderr, refused.stderr)


def a_rotation_fails_no_login(home):
    name = mount("ssh-rotated", key_type="ec")
    api("POST", f"{name}/roles/user", {"key_type": "ca", "allow_user_certificates": True, "allowed_users": "*", "ttl": "8s"})
    rotate = lambda *words, **options: chancery("ssh-ca", "--mount", name, "rotate", *words, **options)  # noqa: E731
    with Sshd(home, "rotated") as sshd:
        sshd.pull(name)
        stop, failures, logins = threading.Event(), [], []

        def people():
            number = 0
            while not stop.is_set():
                user = f"rotated-{number % 3}"
                sign(home, user, "user", name, valid_principals="deploy")
                done = sshd.login(home / user)
                (logins if done.returncode == 0 else failures).append(done.stderr)
                number += 1

        worker = threading.Thread(target=people)
        worker.start()
        try:
            check("Nothing to do on hosts" in rotate("start").stdout, "start")
            check("trust pull" in rotate("advance").stdout, "both-trusted says what to do on hosts")
            chancery("ssh-ca", "--mount", name, "trust", "pull", "--output", sshd.trusted)
            check(len(sshd.trusted.read_text().splitlines()) == 2, "hosts trust both")
            check("rotate advance" in rotate("advance").stdout, "signing-with-new")
            sign(home, "rotated-old", "user", name, valid_principals="deploy")
            check("valid until" in rotate("advance", code=2).stderr, "the old key's certificates still count")
            time.sleep(10)
            check("krl pull" in rotate("advance").stdout, "old-retired")
            sshd.pull(name)
            check(len(sshd.trusted.read_text().splitlines()) == 1, "hosts forget the old key")
            time.sleep(2)
        finally:
            stop.set()
            worker.join()
        check(not failures, f"{len(failures)} of {len(failures) + len(logins)} logins failed: {failures[:2]}")
        check(len(logins) >= 10, f"only {len(logins)} logins")


def people_log_in_through_the_agent(home):
    agent = home / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL)
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    login = lambda *words, **options: chancery("ssh", "login", "--principal", "deploy", *words, env=environment, **options)  # noqa: E731
    try:
        for _ in range(100):
            if agent.exists():
                break
            time.sleep(0.05)
        login("--if-needed")
        held = run("ssh-add", "-l", env=environment).stdout
        check("ED25519-CERT" in held and len(held.splitlines()) == 1, held)
        login("--if-needed")
        check(len(run("ssh-add", "-l", env=environment).stdout.splitlines()) == 1, "a second certificate although one is there")
        with Sshd(home, "agent") as sshd:
            sshd.pull()
            sshd.accepts(None, "through the agent", env=environment)
            snippet = run(CHANCERY, "ssh", "config", "--", "--principal", "deploy").stdout.replace("chancery", str(CHANCERY))
            config = home / "agent-config"
            config.write_text(snippet)
            run("ssh-add", "-D", env=environment)
            done = run("ssh", "-F", config, "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={sshd.known}", "-o",
                       "GlobalKnownHostsFile=/dev/null", "-p", sshd.port, f"{USER}@127.0.0.1", "echo in", env=environment)  # fmt: skip
            check(done.stdout == "in\n", f"Match exec logs in on demand: {done.stderr}")
            run("ssh-add", "-D", env=environment)
            login("--ttl", "2s")
            time.sleep(3.5)
            check("no identities" in run("ssh-add", "-l", env=environment, code=1).stdout, "the agent forgets what has ended")
            path = key(home, "beside")
            login("--key", path)
            sshd.accepts(path, "a certificate beside a key that is there")
        without = {name: value for name, value in environment.items() if name != "SSH_AUTH_SOCK"}
        check("there is no ssh-agent" in chancery("ssh", "login", env=without, code=1).stderr, "no agent")
    finally:
        process.terminate()
        process.wait()


def a_list_that_is_wrong_replaces_nothing(home):
    krl = home / "kept.krl"
    chancery("ssh-ca", "krl", "pull", "--output", krl)
    good = krl.read_bytes()
    check("up to date" in chancery("ssh-ca", "krl", "pull", "--output", krl).stdout, "the same list is not written again")
    newer = home / "newer.krl"
    newer.write_bytes(good[:12] + struct.pack(">Q", 1 << 40) + good[20:])

    class Liar(http.server.BaseHTTPRequestHandler):
        body, status = b"", 200

        def do_GET(self):
            self.send_response(Liar.status)
            self.send_header("Content-Length", str(len(Liar.body)))
            self.end_headers()
            self.wfile.write(Liar.body[: Liar.sent])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {**os.environ, "CHANCERY_ADDR": address, "CHANCERY_MAX_RETRIES": "0"}
    for body, status, sent in ((b"<html>", 200, None), (b"", 200, None), (good, 500, None), (good, 200, 20), (good[:15], 200, None)):
        Liar.body, Liar.status, Liar.sent = body, status, sent
        chancery("ssh-ca", "krl", "pull", "--output", krl, env=environment, code=2)
        check(krl.read_bytes() == good, f"{body[:10]!r} {status} {sent} replaced the list")
    Liar.body, Liar.status, Liar.sent = good, 200, None
    check("--allow-older" in chancery("ssh-ca", "krl", "pull", "--output", newer, env=environment, code=2).stderr, "an older list")
    chancery("ssh-ca", "krl", "pull", "--output", newer, "--allow-older", env=environment)
    check(newer.read_bytes() == good, "--allow-older")
    server.shutdown()
    check(sorted(path.name for path in home.glob(".chancery*")) == [], "half a file was left behind")


def ssh_keygen_agrees_with_our_lists(home):
    count = ssh_lists.compare(home, api, mount, check)
    print(f"    ssh-keygen -Q agrees on {count} queries with our list, and so does its own list")


CASES = (
    every_kind_of_ca_is_believed, principals_and_times_are_obeyed, options_are_obeyed, every_kind_of_revocation_is_obeyed,
    hosts_are_believed_by_certificate, hosts_enrol_and_renew_themselves, a_rotation_fails_no_login, people_log_in_through_the_agent,
    a_list_that_is_wrong_replaces_nothing, ssh_keygen_agrees_with_our_lists,
)  # fmt: skip


def main():
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    wanted = sys.argv[2:]
    for case in CASES:
        if wanted and case.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="chancery-ssh-") as home:
            began = time.monotonic()
            case(Path(home))
            print(f"ok  {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"{checks} checks")


if __name__ == "__main__":
    main()
