"""Each ACME client as people run it: one function per client takes a case and issues, issues again or renews, and revokes."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

from stub import Alpn, Web

HERE = pathlib.Path(__file__).parent
ADDRESS = "127.0.0.1"


class Failed(Exception):
    """A client did not do what it was asked for."""


class Place:
    """Where the server and the stubs are, and a folder of the case's own."""

    def __init__(self, directory, authority, ports, folder, binding=None):
        self.directory, self.authority, self.ports, self.binding = directory, authority, ports, binding
        self.folder = pathlib.Path(folder)
        self.web = self.folder / "web"
        self.web.mkdir(parents=True)
        self.certificate = self.folder / "certificate.pem"

    def run(self, *command, check=True, timeout=150, **more):
        kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        environment = kept | {
            "HOME": str(self.folder), "ORDERS_PORT": str(self.ports["orders"]), "WEB_FOLDER": str(self.web),
            "REQUESTS_CA_BUNDLE": self.authority, "LEGO_CA_CERTIFICATES": self.authority, "SSL_CERT_FILE": self.authority,
            "NODE_EXTRA_CA_CERTS": self.authority, "CURL_CA_BUNDLE": self.authority,
        } | {key: str(value) for key, value in more.items()}  # fmt: skip
        done = subprocess.run([str(part) for part in command], env=environment, cwd=self.folder, capture_output=True,
                              text=True, timeout=timeout, check=False)  # fmt: skip
        if check and done.returncode:
            tail = (done.stdout + done.stderr).strip()[-1500:]
            raise Failed(f"{command[0]} ended with {done.returncode}: {tail}")
        return done

    def keep(self, file):
        """Notes a certificate, so that the renewed one can be told from it."""
        file = pathlib.Path(file)
        if not file.is_file():
            raise Failed(f"there is no {file.name}")
        before = self.certificate.read_bytes() if self.certificate.exists() else b""
        if file.read_bytes() == before:
            raise Failed("the renewal left the old certificate in place")
        shutil.copy(file, self.certificate)


def certbot(place, challenge, names):
    folders = [f"--{name}-dir={place.folder / name}" for name in ("config", "work", "logs")]
    common = ["certbot", "--non-interactive", f"--server={place.directory}", *folders]
    binding = [f"--eab-kid={place.binding['id']}", f"--eab-hmac-key={place.binding['key']}"] if place.binding else []
    way = {
        "http-01": ["--standalone", "--preferred-challenges=http", f"--http-01-port={place.ports['http']}"],
        "dns-01": ["--manual", "--preferred-challenges=dns", f"--manual-auth-hook={HERE}/hook.py",
                   f"--manual-cleanup-hook={HERE}/hook.py"],
    }[challenge]  # fmt: skip
    domains = [part for name in names for part in ("-d", name)]
    more = {"STYLE": "certbot"}
    place.run(*common, "certonly", "--agree-tos", "--register-unsafely-without-email", *binding, *way, *domains, **more)
    live = next((place.folder / "config/live").glob("*/fullchain.pem"))
    place.keep(live)
    place.run(*common, "renew", "--force-renewal", "--no-random-sleep-on-renew", **more)
    place.keep(live)
    place.run(*common, "revoke", f"--cert-path={live.parent / 'cert.pem'}", "--reason=superseded", "--no-delete-after-revoke")


def lego(place, challenge, names):
    way = {
        "http-01": ["--http", "--http.port", f"{ADDRESS}:{place.ports['http']}"],
        "dns-01": ["--dns", "exec", "--dns.disable-cp", "--dns.resolvers", f"{ADDRESS}:{place.ports['dns']}"],
        "tls-alpn-01": ["--tls", "--tls.port", f"{ADDRESS}:{place.ports['tls']}"],
    }[challenge]  # fmt: skip
    binding = ["--eab", "--kid", place.binding["id"], "--hmac", place.binding["key"]] if place.binding else []
    common = ["lego", "--server", place.directory, "--email", "admin@a.test", "--accept-tos", "--path", place.folder / "lego",
              *binding, *way]  # fmt: skip
    domains = [part for name in names for part in ("--domains", name)]
    more = {"STYLE": "lego", "EXEC_PATH": HERE / "hook.py", "EXEC_SEQUENCE_INTERVAL": 1, "EXEC_POLLING_INTERVAL": 1}
    place.run(*common, *domains, "run", **more)
    file = next(file for file in (place.folder / "lego/certificates").glob("*.crt") if "issuer" not in file.name)
    place.keep(file)
    place.run(*common, *domains, "renew", "--days", "10000", "--no-random-sleep", **more)
    place.keep(file)
    # Of several names it knows the certificate by the first.
    place.run(*common, *domains[:2], "revoke", **more)


def uacme(place, challenge, names):
    """Its library reads the system's authorities and no others, so it sees ours in their place, in a namespace of its own."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    script = f'mount --bind "$0" {bundle} && exec "$@"'
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, place.authority]
    binding = ["-e", f"{place.binding['id']}:{place.binding['key']}"] if place.binding else []
    common = [*inside, "uacme", "-v", "-y", "-a", place.directory, "-c", place.folder / "uacme"]
    more = {"STYLE": "uacme", "CHALLENGE": challenge}
    with contextlib.ExitStack() as stack:
        if challenge == "http-01":
            stack.enter_context(Web(place.web, place.ports["http"]))
        if challenge == "tls-alpn-01":
            socket = place.folder / "ualpn.sock"
            command = ["ualpn", "-v", "-S", "777", "-b", f"{ADDRESS}@{place.ports['tls']}", "-c", f"{ADDRESS}@1", "-s", socket, "-p",
                       place.folder / "ualpn.pid", "-n", "1"]  # fmt: skip
            daemon = stack.enter_context(background(place, command))
            more["UALPN_SOCKET"] = socket
            wait(lambda: socket.exists() and daemon.poll() is None, "ualpn")
        place.run(*common, *binding, "new", "admin@a.test", **more)
        place.run(*common, "-h", HERE / "hook.py", "issue", *names, **more)
        file = place.folder / "uacme" / names[0].removeprefix("*.") / "cert.pem"
        file = file if file.exists() else next((place.folder / "uacme").glob("*/cert.pem"))
        place.keep(file)
        place.run(*common, "-f", "-h", HERE / "hook.py", "issue", *names, **more)
        place.keep(file)
        place.run(*common, "revoke", file, **more)


def dehydrated(place, challenge, names):
    alpn = place.folder / "alpn"
    alpn.mkdir()
    config = place.folder / "config"
    lines = [f"CA={place.directory}", f"CURL_OPTS='--cacert {place.authority}'", f"BASEDIR={place.folder}", f"WELLKNOWN={place.web}",
             f"ALPNCERTDIR={alpn}", f"CHALLENGETYPE={challenge}", f"HOOK={HERE}/hook.py", "KEY_ALGO=prime256v1",
             "CONTACT_EMAIL=admin@a.test", "OCSP_MUST_STAPLE=no"]  # fmt: skip
    if place.binding:
        lines += [f"EAB_KID={place.binding['id']}", f"EAB_HMAC_KEY={place.binding['key']}"]
    config.write_text("\n".join(lines) + "\n")
    common, more = ["dehydrated", "-f", config], {"STYLE": "dehydrated", "CHALLENGE": challenge}
    domains = [part for name in names for part in ("--domain", name)] + (["--alias", "case"] if "*" in names[0] else [])
    with contextlib.ExitStack() as stack:
        if challenge == "http-01":
            stack.enter_context(Web(place.web, place.ports["http"]))
        if challenge == "tls-alpn-01":
            stack.enter_context(Alpn(alpn, place.ports["tls"]))
        place.run(*common, "--register", "--accept-terms", **more)
        place.run(*common, "--cron", *domains, **more)
        file = next((place.folder / "certs").glob("*/fullchain.pem"))
        place.keep(file)
        time.sleep(1)  # its file names have the second in them
        place.run(*common, "--cron", "--force", *domains, **more)
        place.keep(file)
        place.run(*common, "--revoke", file.parent / "cert.pem", **more)


def acme_tiny(place, _challenge, names):
    """It neither revokes nor renews: a second run is the renewal, and openssl made its keys."""
    key, request, key_file = place.folder / "account.key", place.folder / "request.csr", place.folder / "domain.key"
    place.run("openssl", "genrsa", "-out", key, "2048")
    names = ",".join(f"DNS:{name}" for name in names)
    place.run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key_file, "-subj", "/", "-addext",
              f"subjectAltName={names}", "-out", request)  # fmt: skip
    with Web(place.web, place.ports["http"]):
        for _ in range(2):
            done = place.run("acme-tiny", "--account-key", key, "--csr", request, "--acme-dir", place.web, "--directory-url",
                             place.directory, "--disable-check")  # fmt: skip
            file = place.folder / "out.pem"
            file.write_text(done.stdout)
            place.keep(file)


def caddy(place, challenge, names):
    """It serves; that it renews is seen by a lifetime of a minute. It has no command that revokes."""
    other = {"http-01": "disable_tlsalpn_challenge", "tls-alpn-01": "disable_http_challenge"}[challenge]
    binding = f"eab {place.binding['id']} {place.binding['key']}" if place.binding else ""
    sites = ", ".join(f"https://{name}:{place.ports['tls']}" for name in names)
    config = place.folder / "Caddyfile"
    config.write_text(f"""{{
    admin off
    http_port {place.ports["http"]}
    https_port {place.ports["tls"]}
    default_bind {ADDRESS}
    auto_https disable_redirects
    renew_interval 1s
    skip_install_trust
    storage file_system {place.folder}/caddy
}}
{sites} {{
    respond "hello"
    tls {{
        issuer acme {{
            dir {place.directory}
            email admin@a.test
            trusted_roots {place.authority}
            {other}
            {binding}
        }}
    }}
}}
""")
    with background(place, ["caddy", "run", "--config", config, "--adapter", "caddyfile"]) as server:
        for _ in range(2):
            def found(file=[None]):  # noqa: B006, the last file seen
                files = list((place.folder / "caddy").glob("certificates/*/*/*.crt"))
                before = place.certificate.read_bytes() if place.certificate.exists() else b""
                if server.poll() is not None:
                    raise Failed(f"caddy ended with {server.returncode}: {place.log()}")
                file[0] = next((file for file in files if file.read_bytes() != before), None)
                return file[0]

            place.keep(wait(found, "a certificate of caddy's", 100, place))


def acme_client(place, challenge, names):
    modules = os.environ["ACME_NODE"]
    binding = {"EAB_KID": place.binding["id"], "EAB_KEY": place.binding["key"]} if place.binding else {}
    place.run("node", HERE / "client.mjs", challenge, *names, MODULES=modules, DIRECTORY=place.directory,
              HTTP_PORT=place.ports["http"], TLS_PORT=place.ports["tls"], OUT=place.certificate, **binding)  # fmt: skip


def instant_acme(place, challenge, names):
    binding = {"EAB_KID": place.binding["id"], "EAB_KEY": place.binding["key"]} if place.binding else {}
    place.run(os.environ["ACME_INSTANT"], challenge, *names, DIRECTORY=place.directory, AUTHORITY=place.authority,
              HTTP_PORT=place.ports["http"], TLS_PORT=place.ports["tls"], OUT=place.certificate, **binding)  # fmt: skip


@contextlib.contextmanager
def background(place, command):
    with open(place.folder / "background.log", "ab") as log:
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        child = subprocess.Popen([str(part) for part in command], cwd=place.folder, stdout=log, stderr=log,
                                 env=environment | {"HOME": str(place.folder)})  # fmt: skip
        place.log = lambda: (place.folder / "background.log").read_text(errors="replace")[-1500:]
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait(found, what, seconds=20, place=None):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}" + (f": {place.log()}" if place else ""))
        time.sleep(0.1)
    return value


HTTP, DNS, TLS = "http-01", "dns-01", "tls-alpn-01"

#: Does not try again when a nonce is refused, as RFC 8555 §6.5 asks for: runs without refusals.
IMPATIENT = {"dehydrated"}

#: Client, its package, the challenges it can answer, over which it asks for addresses, what it does besides issuing.
CLIENTS = [
    ("certbot", certbot, "certbot", (HTTP, DNS), None, ("EAB", "renew", "revoke")),
    ("lego", lego, "lego", (HTTP, DNS, TLS), None, ("EAB", "renew", "revoke")),
    ("uacme", uacme, "uacme", (HTTP, DNS, TLS), HTTP, ("EAB", "renew", "revoke")),
    # Its external account keys come out of hexdump padded with blanks unless they are a multiple of 16 bytes long, and those of
    # Vault's form are 41 bytes.
    ("dehydrated", dehydrated, "dehydrated", (HTTP, DNS, TLS), None, ("renew", "revoke")),
    ("acme-tiny", acme_tiny, "acme-tiny", (HTTP,), None, ("renew",)),
    ("Caddy", caddy, "caddy", (HTTP, TLS), None, ("EAB", "renew")),
    ("acme-client (npm)", acme_client, None, (HTTP, DNS, TLS), HTTP, ("EAB", "renew", "revoke")),
    ("instant-acme", instant_acme, None, (HTTP, DNS, TLS), HTTP, ("EAB", "renew", "revoke")),
]


def version(package):
    if package is None:
        return ""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False)
    return done.stdout or json.dumps(None)
