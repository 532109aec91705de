#!/usr/bin/env python3
"""`chancery bulk rewrap` over files and over a real PostgreSQL with TLS, while other writers are at work.

usage: CHANCERY_ADDR=… CHANCERY_TOKEN=… bulk_rewrap.py CHANCERY

PostgreSQL (apt: postgresql) is started by us in a temporary directory; as root, it runs as the user `postgres`, because it
refuses to run as root.
"""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from glob import glob
from pathlib import Path

CHANCERY = Path(sys.argv[1]).resolve()
checks = 0


def check(fact, what):
    global checks
    checks += 1
    if not fact:
        raise AssertionError(what)


def chancery(*words, code=0, **options):
    done = subprocess.run([CHANCERY, *map(str, words)], capture_output=True, text=True, timeout=300, **options)
    check(done.returncode == code, f"{words} exited with {done.returncode}, not {code}: {done.stderr}")
    return done


def answer(*words, **options):
    done = chancery(*words, "--format", "json", **options)
    return json.loads(done.stdout)


def batch(path, items):
    """The results of a batch, 200 at a time: OpenBao counts the texts in a body."""
    results = []
    for at in range(0, len(items), 200):
        body = json.dumps({"batch_input": items[at:at + 200]})
        results += answer("write", path, "-", input=body)["data"]["batch_results"]
    return results


def encrypted(key, texts):
    """Ciphertexts under the newest version."""
    items = [{"plaintext": base64.b64encode(text.encode()).decode()} for text in texts]
    return [item["ciphertext"] for item in batch(f"transit/encrypt/{key}", items)]


def decrypted(key, ciphertexts):
    items = [{"ciphertext": ciphertext} for ciphertext in ciphertexts]
    return [base64.b64decode(item["plaintext"]).decode() for item in batch(f"transit/decrypt/{key}", items)]


def fresh_key(name):
    chancery("transit", "key", "create", name)
    return name


# ------------------------------------------------------------------------------------------------------------------ files


def lines_csv_and_json_lines_keep_everything_else(home):
    key = fresh_key("bulk-files")
    texts = [f"text {number}" for number in range(1200)]
    ciphertexts = encrypted(key, texts)
    forms = {
        "lines": ("".join(f"{c}\n" for c in ciphertexts), []),
        "csv": ("\ufeffid,\"the secret\",note\r\n" + "".join(f"{n},\"{c}\",\"a, \"\"b\"\"\n{n}\"\r\n" for n, c in enumerate(ciphertexts)),
                ["--csv", "the secret"]),
        "jsonl": ("".join(f'{{"z": {n}.50, "secret" : {json.dumps(c).replace("/", chr(92) + "/")}, "a": [ ]}}\n'
                          for n, c in enumerate(ciphertexts)), ["--jsonl", "secret"]),
    }
    chancery("transit", "key", "rotate", key)
    for form, (content, flags) in forms.items():
        source, result = home / f"in.{form}", home / f"out.{form}"
        source.write_bytes(content.encode())
        counted = answer("bulk", "rewrap", source, "-k", key, "--dry-run", *flags)
        check(counted["versions"] == {"1": 1200} and counted["rewrapped"] == 0 and not result.exists(), counted)
        done = answer("bulk", "rewrap", source, "-o", result, "-k", key, "--batch", "100", *flags)
        check((done["rows"], done["rewrapped"], done["failed"]) == (1200, 1200, 0), done)
        new = result.read_bytes().decode()
        found = re.findall(r"vault:v2:[A-Za-z0-9+/\\]+=*", new)
        check(decrypted(key, [c.replace("\\/", "/") for c in found]) == texts, f"{form}: other plaintexts")
        blank = lambda text: re.sub(r"vault:v\d+:[A-Za-z0-9+/\\]+=*", "X", text)  # noqa: E731
        check(blank(new) == blank(content), f"{form}: more than the ciphertexts changed")
        check(not list(home.glob("*.part")) and not list(home.glob("*.state")), "something was left behind")
        again = answer("bulk", "rewrap", result, "-o", home / "again", "--force", "-k", key, *flags)
        check((again["rewrapped"], again["newest_already"]) == (0, 1200), again)
        check((home / "again").read_bytes() == result.read_bytes(), f"{form}: what is newest was touched")
        chancery("bulk", "rewrap", source, "-o", result, "-k", key, *flags, code=1)


def bad_rows_are_named_and_left_as_they_are(home):
    key = fresh_key("bulk-bad")
    good = encrypted(key, ["a", "b"])
    chancery("transit", "key", "rotate", key)
    (home / "in").write_text(f"{good[0]}\n\nhello\n{good[1][:-8]}AAAAAAA=\n{good[1]}")
    done = chancery("bulk", "rewrap", home / "in", "-o", home / "out", "-k", key, "--format", "json", code=2)
    tally = json.loads(done.stdout)
    check((tally["rows"], tally["rewrapped"], tally["empty"], tally["failed"]) == (5, 2, 1, 2), tally)
    check("in:3:" in done.stderr and "in:4:" in done.stderr and "2 of 5" in done.stderr, done.stderr)
    old, new = (home / "in").read_text().split("\n"), (home / "out").read_text().split("\n")
    check(old[1:4] == new[1:4] and decrypted(key, [new[0], new[4]]) == ["a", "b"], new)


def a_run_that_was_cut_short_goes_on(home):
    key = fresh_key("bulk-resume")
    texts = [f"row {number}" for number in range(4000)]
    (home / "in").write_text("".join(f"{c}\n" for c in encrypted(key, texts)))
    chancery("transit", "key", "rotate", key)
    words = [CHANCERY, "bulk", "rewrap", home / "in", "-o", home / "out", "-k", key, "--batch", "20", "--concurrency", "1"]
    state, kills = home / "out.state", 0
    while kills < 5:
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        seen, deadline = state.read_bytes() if state.exists() else b"", time.monotonic() + 30
        while run.poll() is None and time.monotonic() < deadline and (not state.exists() or state.read_bytes() == seen):
            time.sleep(0.005)
        if run.poll() is not None:
            break
        run.kill()
        run.wait()
        kills += 1
    check(kills >= 3 and not (home / "out").exists(), f"{kills} kills")
    done = chancery(*words[1:], "--format", "json")
    check("Going on" in done.stderr, done.stderr)
    check(json.loads(done.stdout)["rewrapped"] == 4000, done.stdout)
    check(decrypted(key, (home / "out").read_text().split()) == texts, "rows were lost or doubled")
    print(f"  killed {kills} times on the way")


# ------------------------------------------------------------------------------------------------------------- PostgreSQL


class Postgres:
    def __init__(self, home):
        found = sorted(glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
        self.bin = found[-1] if found else os.path.dirname(shutil.which("initdb") or "")
        check(self.bin, "PostgreSQL is not installed (apt-get install postgresql)")
        self.data = Path(tempfile.mkdtemp(prefix="chancery-pg-", dir="/tmp"))
        self.home = home
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def tool(self, name, *words):
        subprocess.run([f"{self.bin}/{name}", *map(str, words)], check=True, cwd="/", stdout=subprocess.DEVNULL, **self.user)

    def __enter__(self):
        if self.user:
            shutil.chown(self.data, "postgres", "postgres")
        secret = self.data / "password"
        secret.write_text("correct horse")
        secret.chmod(0o644)
        self.tool("initdb", "-D", self.data / "db", "-U", "owner", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-sync")
        self.certificates()
        options = (f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.data} -c fsync=off "
                   f"-c ssl=on -c ssl_cert_file={self.data}/server.crt -c ssl_key_file={self.data}/server.key")
        self.tool("pg_ctl", "-D", self.data / "db", "-w", "-l", self.data / "log", "-o", options, "start")
        os.environ["PGPASSWORD"] = "correct horse"
        return self

    def __exit__(self, *_):
        self.tool("pg_ctl", "-D", self.data / "db", "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.data, ignore_errors=True)

    def certificates(self):
        openssl = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)  # noqa: E731
        self.ca = self.home / "ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test CA",
                "-keyout", self.home / "ca.key", "-out", self.ca, "-days", "2")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                "-keyout", self.data / "server.key", "-out", self.home / "server.csr")
        (self.home / "names").write_text("subjectAltName=DNS:localhost")
        openssl("x509", "-req", "-in", self.home / "server.csr", "-CA", self.ca, "-CAkey", self.home / "ca.key",
                "-out", self.data / "server.crt", "-days", "2", "-extfile", self.home / "names")
        for name in ("server.key", "server.crt"):
            (self.data / name).chmod(0o600)
            if self.user:
                shutil.chown(self.data / name, "postgres", "postgres")

    def psql(self, text):
        return subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1"],
            input=text, capture_output=True, text=True, check=True).stdout.strip()

    def url(self, options=""):
        return f"postgres://owner@localhost:{self.port}/postgres{options}"


def fill(database, table, ciphertexts, key="n bigint PRIMARY KEY"):
    database.psql(f"CREATE TABLE {table} ({key}, c text, untouched int DEFAULT 0);\n"
                  f"COPY {table} FROM STDIN;\n" + "".join(f"{n}\t{c}\t0\n" for n, c in enumerate(ciphertexts)) + "\\.\n")


def a_column_is_rewrapped_over_tls_with_odd_names(home, database):
    key = fresh_key("bulk-table")
    texts = [f"row {number}" for number in range(3000)]
    table, column = '"My ""Schema"""."Or.ders; --"', '"Cipher ""Text"""'
    database.psql('CREATE SCHEMA "My ""Schema"""')
    database.psql(
            f'CREATE TABLE {table} ("Id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int, {column} text);\n'
            f'COPY {table} (n, {column}) FROM STDIN;\n'
            + "".join(f"{n}\t{c}\n" for n, c in enumerate(encrypted(key, texts))) + "\\.\n"
            + f"INSERT INTO {table} (n) VALUES (-1); INSERT INTO {table} (n, {column}) VALUES (-2, '');")
    chancery("transit", "key", "rotate", key)
    words = ["bulk", "rewrap", "-k", key, "--schema", 'My "Schema"', "--table", "Or.ders; --", "--column", 'Cipher "Text"',
             "--key-column", "Id", "--batch", "200"]
    refused = chancery(*words, "--postgres", database.url("?sslmode=require"), code=2)
    check("certificate" in refused.stderr and "--postgres-ca" in refused.stderr, refused.stderr)
    words += ["--postgres", database.url("?sslmode=require"), "--postgres-ca", database.ca]
    counted = answer(*words, "--dry-run")
    check(counted["versions"] == {"1": 3000} and counted["empty"] == 2 and counted["rewrapped"] == 0, counted)
    done = answer(*words)
    check((done["rewrapped"], done["failed"], done["changed_meanwhile"]) == (3000, 0, 0), done)
    new = database.psql(f"SELECT {column} FROM {table} WHERE n >= 0 ORDER BY n").split("\n")
    check(all(c.startswith("vault:v2:") for c in new) and decrypted(key, new) == texts, "other plaintexts")
    check(database.psql(f"SELECT count(*) FROM {table} WHERE n < 0 AND coalesce({column}, '') = ''") == "2", "null and empty")
    again = answer(*words)
    check((again["rewrapped"], again["newest_already"]) == (0, 3000), again)


def writers_at_the_same_time_lose_nothing(home, database):
    key = fresh_key("bulk-race")
    count = 4000
    fill(database, "race", encrypted(key, [f"old {n}" for n in range(count)]))
    fresh = encrypted(key, [f"written {n}" for n in range(0, count, 2)])
    chancery("transit", "key", "rotate", key)
    # Every second row is written by somebody else while the run is under way, with ciphertexts of the OLD version.
    writer = subprocess.Popen(
        ["psql", "-h", "127.0.0.1", "-p", str(database.port), "-U", "owner", "-d", "postgres", "-Xq", "-v", "ON_ERROR_STOP=1"],
        stdin=subprocess.PIPE, text=True)
    run = subprocess.Popen([CHANCERY, "bulk", "rewrap", "-k", key, "--postgres", database.url(), "--postgres-ca", database.ca,
                            "--table", "race", "--column", "c", "--key-column", "n", "--batch", "25", "--concurrency", "2",
                            "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # From the end to the beginning, so that the two meet.
    for n, ciphertext in reversed(list(zip(range(0, count, 2), fresh))):
        writer.stdin.write(f"UPDATE race SET c = '{ciphertext}', untouched = 1 WHERE n = {n};\n")
    writer.stdin.close()
    out, err = run.communicate(timeout=300)
    check(writer.wait() == 0 and run.returncode == 0, err)
    # What was written behind the walk is of the old version again: a second run is for that.
    tally = answer("bulk", "rewrap", "-k", key, "--postgres", database.url(), "--postgres-ca", database.ca,
                   "--table", "race", "--column", "c", "--key-column", "n")
    check(tally["failed"] == 0, tally)
    rows = [line.split("|") for line in database.psql("SELECT n, c, untouched FROM race ORDER BY n").split("\n")]
    plain = decrypted(key, [c for _, c, _ in rows])
    check(all(c.startswith("vault:v2:") for _, c, _ in rows), "some are old still")
    expected = [f"written {n}" if n % 2 == 0 else f"old {n}" for n in range(count)]
    check(plain == expected, "a concurrent write was lost")
    print(f"  first run met {json.loads(out)['changed_meanwhile']} changed rows; the second rewrapped {tally['rewrapped']}")


def a_row_changed_between_read_and_write_is_kept(home, database):
    """The race made certain: another session holds the row's lock with a new value until the run waits for it."""
    key = fresh_key("bulk-certain")
    fill(database, "certain", encrypted(key, ["zero", "one", "two"]))
    other = encrypted(key, ["other"])[0]
    chancery("transit", "key", "rotate", key)
    locker = subprocess.Popen(["psql", "-h", "127.0.0.1", "-p", str(database.port), "-U", "owner", "-d", "postgres", "-Xq"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    locker.stdin.write(f"BEGIN; UPDATE certain SET c = '{other}' WHERE n = 1; SELECT 'locked';\n")
    locker.stdin.flush()
    while "locked" not in locker.stdout.readline():
        pass
    run = subprocess.Popen([CHANCERY, "bulk", "rewrap", "-k", key, "--postgres", database.url(), "--postgres-ca", database.ca,
                            "--table", "certain", "--column", "c", "--key-column", "n", "--format", "json"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chancery' AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 30
    while database.psql(waiting) == "0" and time.monotonic() < deadline:
        time.sleep(0.02)
    check(database.psql(waiting) == "1", "the run waits for the lock")
    locker.stdin.write("COMMIT;\n")
    locker.stdin.close()
    out, err = run.communicate(timeout=60)
    locker.wait()
    tally = json.loads(out)
    check(run.returncode == 0 and tally["changed_meanwhile"] == 1 and tally["rewrapped"] == 3, (out, err))
    rows = database.psql("SELECT c FROM certain ORDER BY n").split("\n")
    check(decrypted(key, rows) == ["zero", "other", "two"] and all("v2" in c[:9] for c in rows), rows)


def rows_the_database_refuses_are_reported_and_the_rest_is_done(home, database):
    key = fresh_key("bulk-refused")
    fill(database, "refused", encrypted(key, [f"{n}" for n in range(50)]), key="n text COLLATE \"C\" PRIMARY KEY")
    database.psql("ALTER TABLE refused ALTER c TYPE varchar(80);"
                  "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'row 7 is frozen'; END $$;"
                  "CREATE TRIGGER frozen BEFORE UPDATE ON refused FOR EACH ROW WHEN (OLD.n = '7') EXECUTE FUNCTION no();"
                  "ALTER TABLE refused ADD CHECK (n <> '9' OR c LIKE 'vault:v1:%');")
    chancery("transit", "key", "rotate", key)
    words = ["bulk", "rewrap", "-k", key, "--postgres", database.url(), "--postgres-ca", database.ca, "--table", "refused",
             "--column", "c", "--key-column", "n"]
    done = chancery(*words, "--format", "json", code=2)
    tally = json.loads(done.stdout)
    check((tally["rewrapped"], tally["failed"]) == (48, 2), tally)
    check('"n" = 7: row 7 is frozen' in done.stderr and '"n" = 9:' in done.stderr, done.stderr)


def a_table_run_that_was_cut_short_goes_on(home, database):
    key = fresh_key("bulk-cut")
    fill(database, "cut", encrypted(key, [f"{n}" for n in range(4000)]))
    chancery("transit", "key", "rotate", key)
    state = home / "cut.state"
    words = ["bulk", "rewrap", "-k", key, "--postgres", database.url(), "--postgres-ca", database.ca, "--table", "cut", "--column",
             "c", "--key-column", "n", "--batch", "20", "--concurrency", "1", "--state", state]
    run = subprocess.Popen([CHANCERY, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while run.poll() is None and not state.exists():
        time.sleep(0.005)
    run.kill()
    check(run.wait() != 0, "the run was over before it was killed")
    done = chancery(*words, "--format", "json")
    check("Going on" in done.stderr and json.loads(done.stdout)["rows"] == 4000 and not state.exists(), done)
    check(database.psql("SELECT count(*) FROM cut WHERE c LIKE 'vault:v2:%'") == "4000", "all of them")


def what_could_lose_rows_is_refused(home, database):
    key = "bulk-table"
    database.psql("CREATE TABLE odd (a int, b int NOT NULL, c text, d bytea, PRIMARY KEY (a, b))")
    base = ["bulk", "rewrap", "-k", key, "--postgres", database.url(), "--postgres-ca", database.ca]
    for words, text in (
        (["--table", "odd", "--column", "c", "--key-column", "b"], "unique"),
        (["--table", "odd", "--column", "d", "--key-column", "b"], ""),
        (["--table", "odd", "--column", "x", "--key-column", "b"], ""),
        (["--table", "public.odd", "--column", "c", "--key-column", "b"], "--schema"),
    ):
        done = chancery(*base, *words, code=2)
        check(text in done.stderr and "do:" in done.stderr, done.stderr)
    done = chancery(*base[:4], "--postgres", database.url().replace("owner@", "owner:correct@"), "--table", "odd", "--column", "c",
                    "--key-column", "b", code=1)
    check("PGPASSWORD" in done.stderr and "owner:correct" not in done.stderr, done.stderr)
    done = chancery(*base, "--table", "odd", "--column", "c", "--key-column", "b", code=2, env={**os.environ, "PGPASSWORD": "wrong"})
    check("password" in done.stderr, done.stderr)
    passwords = home / "pgpass"
    passwords.write_text("localhost:*:*:owner:correct horse\n")
    passwords.chmod(0o600)
    env = {name: value for name, value in os.environ.items() if name != "PGPASSWORD"} | {"PGPASSFILE": str(passwords)}
    counted = answer(*base, "--table", "race", "--column", "c", "--key-column", "n", "--dry-run", env=env)
    check(counted["rows"] == 4000, "with the password from a file")


def main():
    mounts = answer("secrets", "list")
    if "transit/" not in mounts.get("data", mounts):
        chancery("secrets", "enable", "transit")
    with tempfile.TemporaryDirectory(prefix="chancery-bulk-") as home:
        os.chmod(home, 0o755)
        parts = [lines_csv_and_json_lines_keep_everything_else, bad_rows_are_named_and_left_as_they_are, a_run_that_was_cut_short_goes_on]
        tables = [a_column_is_rewrapped_over_tls_with_odd_names, writers_at_the_same_time_lose_nothing,
                  a_row_changed_between_read_and_write_is_kept, rows_the_database_refuses_are_reported_and_the_rest_is_done,
                  a_table_run_that_was_cut_short_goes_on, what_could_lose_rows_is_refused]

        def run(part, *more):
            before = checks
            place = Path(home, part.__name__)
            place.mkdir()
            part(place, *more)
            print(f"  {part.__name__.replace('_', ' ')}: {checks - before} checks", flush=True)

        for part in parts:
            run(part)
        with Postgres(Path(home)) as database:
            for part in tables:
                run(part, database)
    print(f"bulk rewrap: {checks} checks passed")


if __name__ == "__main__":
    main()
