#!/usr/bin/env python3
"""One `chancery server` and PostgreSQL on its bad days: postgres_bad_days.py CHANCERY

The connection is under TLS with certificates on both sides, and refused where any of it is wrong. Then the primary is
killed under load and its synchronous standby promoted: the server finds the one that takes writes by itself, and whatever
was acknowledged is there.

Needs PyPI cryptography, a built `chancery`, softhsm2-util, openssl and PostgreSQL.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from two_nodes import CHANCERY, MODULE, Load, Node, check, crl, refused_for_now, serial_number, within_bound
from with_postgres import Cluster, free_port

LOAD_SECONDS = float(os.environ.get("BAD_DAYS_LOAD", "4"))


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    check(done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}")


class Authority:
    """Certificates for one side of the connection, made by openssl."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, alternative=None):
        """Certificate and PKCS#8 key of a leaf."""
        place = self.folder / f"{self.name}-{name}"
        request, certificate, key = place.with_suffix(".csr"), place.with_suffix(".crt"), place.with_suffix(".key")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = place.with_suffix(".ext")
        extensions.write_text("basicConstraints=critical,CA:FALSE\n" + (f"subjectAltName={alternative}\n" if alternative else ""))
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", 2, "-extfile", extensions, "-out", certificate)
        return certificate, key


class Appliance:
    """A token and a configuration in `work`."""

    def __init__(self, work):
        self.work = work
        tokens = work / "tokens"
        tokens.mkdir(parents=True)
        (work / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.environment = dict(os.environ, SOFTHSM2_CONF=str(work / "softhsm2.conf"))
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "bad-days", "--so-pin", "314159", "--pin", "271828"],
                       env=self.environment, check=True, stdout=subprocess.DEVNULL)
        self.secret("pin", "271828")

    def secret(self, name, text):
        (self.work / name).write_text(text)
        (self.work / name).chmod(0o600)
        return self.work / name

    def init(self, name, storage, password):
        """What `chancery init` ended with, and the configuration it wrote."""
        password = self.secret(f"{name}-password", password)
        port = free_port()
        done = subprocess.run([CHANCERY, "init", "--dir", self.work / name, "--module", MODULE, "--token", "bad-days", "--pin-file", self.work / "pin",
                               "--listen", f"127.0.0.1:{port}", "--storage", storage, "--storage-password-file", password,
                               "--non-interactive", "--format", "json"], env=self.environment, capture_output=True, text=True)
        return done, port, self.work / name / "chancery.toml"

    def start(self, name, storage, password):
        done, port, configuration = self.init(name, storage, password)
        check(done.returncode == 0, f"init: {done.stdout}{done.stderr}")
        node = Node(name, port, configuration, self.environment, self.work / f"{name}.log")
        node.token = json.loads(done.stdout)["root_token"]
        return node.start()


def query(**members):
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in members.items())


def under_tls(work):
    """Both sides show a certificate; each thing that is wrong is refused and named."""
    certificates = work / "certificates"
    certificates.mkdir()
    authority, stranger = Authority(certificates, "database-ca"), Authority(certificates, "other-ca")
    server = authority.issue("server", "DNS:localhost")
    service = authority.issue("service")
    for path in certificates.iterdir():
        if os.getuid() == 0:
            shutil.chown(path, "postgres", "postgres")
        path.chmod(0o600)
    work.chmod(0o755)
    certificates.chmod(0o755)
    options = f"-c ssl=on -c ssl_cert_file={server[0]} -c ssl_key_file={server[1]} -c ssl_ca_file={authority.certificate}"
    with Cluster(options=options) as cluster:
        cluster.sql("CREATE DATABASE chancery TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
        cluster.sql(f"CREATE ROLE service LOGIN PASSWORD '{cluster.password}'; ALTER DATABASE chancery OWNER TO service")
        (cluster.data / "db" / "pg_hba.conf").write_text(
            "hostssl chancery service 127.0.0.1/32 scram-sha-256 clientcert=verify-full\nhost all owner 127.0.0.1/32 scram-sha-256\n")
        cluster.tool("pg_ctl", "-D", cluster.data / "db", "reload")
        appliance = Appliance(work / "tls")

        def url(host="localhost", **members):
            return f"postgres://service@{host}:{cluster.port}/chancery?{query(**members)}"

        ours = {"sslcert": service[0], "sslkey": service[1]}
        trusting = {"sslmode": "verify-full", "sslrootcert": authority.certificate}
        for number, (what, storage, password, words) in enumerate((
            ("no TLS", url(sslmode="disable"), cluster.password, ("pg_hba.conf",)),
            ("another authority", url(sslmode="verify-full", sslrootcert=stranger.certificate, **ours), cluster.password, ("UnknownIssuer",)),
            ("another name", url("127.0.0.1", **trusting, **ours), cluster.password, ("not valid for name", "127.0.0.1")),
            ("no certificate of ours", url(**trusting), cluster.password, ("certificate",)),
            ("another password", url(**trusting, **ours), "not-the-password", ("password",)),
        )):
            done, _, _ = appliance.init(f"refused-{number}", storage, password)
            said = done.stdout + done.stderr
            check(done.returncode != 0, f"{what}: was taken")
            check(all(word in said for word in words), f"{what}: does not say {words}: {said}")
            check("not-the-password" not in said and cluster.password not in said, f"{what}: shows the password")
            print(f"  {what}: {said.strip().splitlines()[-1].strip()[:200]}")
        node = appliance.start("one", url(**trusting, **ours), cluster.password)
        try:
            node.write("sys/mounts/secret", {"type": "kv-v2"})
            node.write("secret/data/a", {"data": {"a": "1"}})
            check(node.read("secret/data/a")["data"]["data"] == {"a": "1"}, "what was written is read")
            mine = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'service'"
            connections = int(cluster.sql(f"SELECT count(*) {mine}"))
            protected = int(cluster.sql(f"SELECT count(*) {mine} AND ssl AND version = 'TLSv1.3' AND client_dn = '/CN=service'"))
            check(connections > 0 and protected == connections, f"{protected} of {connections} connections are under TLS 1.3 as CN=service")
            print(f"  {connections} connections, all under TLS 1.3 with our certificate")
            cluster.stop()
            check(node.raw("GET", "secret/data/a")[0] == 503, "without a database the answer is 503")
            cluster.start()
            comes_back(node, "the database restarted")
        finally:
            node.stop()


def comes_back(node, what):
    began = time.monotonic()
    while refused_for_now(node):
        check(time.monotonic() - began < 40, f"{what}: the server does not come back:\n{Path(node.log.name).read_text()[-2000:]}")
        time.sleep(0.1)
    print(f"  {what}: serves again {time.monotonic() - began:.1f} s later")


def standby_of(cluster):
    """A copy of the primary that follows it, synchronously; its port."""
    port = free_port()
    place = cluster.data / "standby"
    cluster.tool("pg_basebackup", "-d", f"postgres://owner:{cluster.password}@127.0.0.1:{cluster.port}/postgres", "-D", place, "-R", "-X", "stream", "-c", "fast")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"
    subprocess.run([f"{cluster.bin}/pg_ctl", "-D", place, "-w", "-l", cluster.data / "standby-log", "-o", options, "start"], cwd=cluster.data,
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **cluster.user)
    # Behind the copy: the standby must not wait for one of its own once it is promoted.
    cluster.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    cluster.tool("pg_ctl", "-D", cluster.data / "db", "reload")
    began = time.monotonic()
    while cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1":
        check(time.monotonic() - began < 30, "the standby does not follow")
        time.sleep(0.1)
    return place, port


def failover(work):
    """The primary dies under load; its standby takes over; nothing acknowledged is missing."""
    with Cluster() as cluster:
        cluster.sql("CREATE DATABASE chancery TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
        place, port = standby_of(cluster)
        try:
            storage = f"postgres://owner@127.0.0.1:{port},127.0.0.1:{cluster.port}/chancery"
            node = Appliance(work / "failover").start("one", storage, cluster.password)
            try:
                take_over(node, cluster, place)
            finally:
                node.stop()
        finally:
            cluster.tool("pg_ctl", "-D", place, "-w", "-m", "immediate", "stop", check=False)


def take_over(node, cluster, place):
    node.write("sys/mounts/secret", {"type": "kv-v2"})
    node.write("sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    node.write("pki/root/generate/internal", {"common_name": "Bad Days Root", "key_type": "ec", "key_bits": 256, "ttl": "8760h"})
    node.write("pki/roles/web", {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "ec", "key_bits": 256, "max_ttl": "24h"})
    load = Load([node])
    time.sleep(LOAD_SECONDS)
    cluster.stop("immediate")
    time.sleep(1)
    cluster.tool("pg_ctl", "-D", place, "-w", "promote")
    comes_back(node, "the standby was promoted")
    before = len(load.issued)
    began = time.monotonic()
    while len(load.issued) < before + 20:
        check(time.monotonic() - began < 30, "nothing is issued after the failover")
        time.sleep(0.1)
    load.end()
    check(set(load.failures) <= {503, 500}, f"answers without a database: {load.failures}")
    check(not load.backward, f"CRL numbers stepped back: {load.backward[:5]}")
    load.kept_by(node)
    revoked = {serial_number(serial) for serial in load.revoked}
    within_bound("every revocation in the CRL", lambda: revoked <= crl(node)[1])
    print(f"  {len(load.issued)} certificates, {len(load.revoked)} revocations, {len(load.written)} secrets are all there; "
          f"CRL numbers {min(load.lists)} to {max(load.lists)}; answers meanwhile: {load.failures}")


def main():
    work = Path(tempfile.mkdtemp(prefix="chancery-bad-days-"))
    try:
        for name, case in (("TLS with certificates on both sides", under_tls), ("failover to a synchronous standby", failover)):
            print(name, flush=True)
            case(work)
    except BaseException:
        for log in sorted(work.glob("*/*.log")):
            print(f"--- {log.name}\n{log.read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("PostgreSQL's bad days: all held")


if __name__ == "__main__":
    main()
