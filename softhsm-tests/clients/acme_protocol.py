"""ACME as cert-manager's client speaks it (golang.org/x/crypto/acme, forked): an RSA account, RS256, a pool of nonces that HEAD
newNonce fills, and answers read by its rules. Shared by the drivers that break things under it."""

import base64
import http.client
import json
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID


class Terminal(Exception):
    """A 4xx: cert-manager marks the order errored and never looks at it again."""

    def __init__(self, status, problem):
        super().__init__(f"{status}: {problem}")
        self.status, self.kind = status, str(problem.get("type", "")).rsplit(":", 1)[-1]


class Again(Exception):
    """A 5xx or a broken connection: the work queue tries again later."""


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def integer(number):
    return b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


class Client:
    """One account's client. Threads share the account and its nonces."""

    def __init__(self, directory, key=None):
        self.directory_url = directory
        self.key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self.key.public_key().public_numbers()
        self.jwk = {"e": integer(numbers.e), "kty": "RSA", "n": integer(numbers.n)}
        digest = hashes.Hash(hashes.SHA256())
        digest.update(json.dumps(self.jwk, sort_keys=True, separators=(",", ":")).encode())
        self.thumbprint = b64(digest.finalize())
        self.account, self.directory = None, None
        self.nonces, self.lock, self.calls = [], threading.Lock(), []

    # ------------------------------------------------------------------------------------------------ transport

    def send(self, method, url, body=None):
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=90)
        headers = {"User-Agent": "cert-manager-orders/v1.21 (linux/amd64)"}
        if body is not None:
            headers["Content-Type"] = "application/jose+json"
        try:
            connection.request(method, parts.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Again(f"{method} {parts.path}: {error!r}") from None
        finally:
            connection.close()
        if nonce := answer.headers.get("Replay-Nonce"):
            with self.lock:
                self.nonces.append(nonce)
        return answer.status, answer.headers, data

    def nonce(self):
        with self.lock:
            if self.nonces:
                return self.nonces.pop()
        status, headers, _ = self.send("HEAD", self.directory.get("newNonce") or self.directory_url)
        if status >= 500:
            raise Again(f"newNonce: {status}")
        with self.lock:
            self.nonces.pop()
        return headers["Replay-Nonce"]

    def sign(self, url, payload):
        header = {"alg": "RS256", "nonce": self.nonce(), "url": url}
        header |= {"kid": self.account} if self.account else {"jwk": self.jwk}
        protected = b64(json.dumps(header).encode())
        payload = "" if payload is None else b64(json.dumps(payload).encode())
        signature = self.key.sign(f"{protected}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return json.dumps({"protected": protected, "payload": payload, "signature": b64(signature)})

    def post(self, url, payload, allowed=(200,)):
        """Up to five quick tries after badNonce, and no other 400 is tried again."""
        for attempt in range(6):
            status, headers, data = self.send("POST", url, self.sign(url, payload))
            self.calls.append((url, status))
            if status in allowed:
                return headers, data
            try:
                problem = json.loads(data)
            except ValueError:
                problem = {"detail": data[:200].decode(errors="replace")}
            if status >= 500:
                raise Again(f"{url}: {status} {problem}")
            if not str(problem.get("type", "")).endswith(":badNonce") or attempt == 5:
                raise Terminal(status, problem)
        raise AssertionError("not reached")

    def read(self, url):
        headers, data = self.post(url, None)
        return headers, json.loads(data)

    # --------------------------------------------------------------------------------------- the calls it makes

    def discover(self):
        status, _, data = self.send("GET", self.directory_url)
        if status != 200:
            raise Again(f"directory: {status}")
        self.directory = json.loads(data)
        assert self.directory.get("newOrder"), "a directory without newOrder"

    def register(self):
        """`Register`, which it repeats at every start: 201 first, 200 for an account that exists."""
        self.account = None
        payload = {"termsOfServiceAgreed": True, "contact": ["mailto:admin@a.test"]}
        headers, _ = self.post(self.directory["newAccount"], payload, (200, 201))
        self.account = headers["Location"]

    def authorize_order(self, names):
        identifiers = [{"type": "dns", "value": name} for name in names]
        headers, data = self.post(self.directory["newOrder"], {"identifiers": identifiers}, (201,))
        order = json.loads(data)
        assert order["status"] and order["authorizations"] and order["finalize"], order
        return headers["Location"], order

    def key_authorization(self, token):
        return f"{token}.{self.thumbprint}"

    def dns_record(self, token):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(self.key_authorization(token).encode())
        return b64(digest.finalize())

    def accept(self, challenge):
        """200 or 202, with the challenge's JSON."""
        _, data = self.post(challenge["url"], {}, (200, 202))
        assert json.loads(data)["type"] == challenge["type"]

    def wait(self, url, settled, patience, give_up=lambda: False):
        """`WaitAuthorization`, `WaitOrder`: polls as Retry-After says, a second where it is silent."""
        deadline = time.monotonic() + patience
        while True:
            headers, found = self.read(url)
            if found["status"] in settled:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} is {found['status']} after {patience} s")
            if give_up():
                raise Restarted
            time.sleep(min(float(headers.get("Retry-After") or 1), 5))

    def create_order_cert(self, order_url, finalize, request, give_up=lambda: False):
        """`CreateOrderCert`: finalizes, waits for the order, fetches the certificate. 403 leads to a look at the order."""
        try:
            headers, data = self.post(finalize, {"csr": b64(request)})
            order = json.loads(data)
            if order["status"] != "valid":
                assert headers.get("Location"), "an order that is not valid has no Location"
                if give_up():
                    raise Restarted
                order = self.wait(headers["Location"], ("valid", "invalid"), 110, give_up)
        except Terminal as refusal:
            if refusal.status != 403:
                raise
            _, order = self.read(order_url)
        if order["status"] != "valid":
            raise Terminal(0, {"type": "order", "detail": f"the order is {order['status']}: {order.get('error')}"})
        headers, data = self.post(order["certificate"], None)
        return data


class Restarted(Exception):
    """The controller went away in the middle."""


def certificate_request(names):
    """A key and a request for the names, as DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return key, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def leaf(pem):
    chain = x509.load_pem_x509_certificates(pem)
    assert 1 <= len(chain) <= 5, f"{len(chain)} certificates"
    chain[0].verify_directly_issued_by(chain[1])
    return chain[0]
